/* The module "remuda", which every native worker has: what functions there are, and what
 * they take. Tools ask it: the remuda program looks whether a parameter is a string. */
#include "worker/native/builtin.h"

#include <string.h>

/* The table of this worker: there is one, and tasks run on one thread. */
static struct rmd_functions *known;

REMUDA_MODULE("remuda");

static struct remuda_value text_value(const char *text)
{
	struct remuda_value value = {.kind = REMUDA_STRING};
	value.u.string = (struct remuda_string){text, strlen(text)};
	return value;
}

/* The kind of value that a parameter of this type takes, named as in value.proto. */
static const char *kind_of(uint32_t type)
{
	switch ((enum remuda_type)type) {
	case REMUDA_TYPE_TEXT:
	case REMUDA_TYPE_STRING:
		return "string";
	case REMUDA_TYPE_BYTES:
		return "bytes";
	case REMUDA_TYPE_BOOL:
		return "boolean";
	case REMUDA_TYPE_FLOAT:
	case REMUDA_TYPE_DOUBLE:
		return "float64";
	case REMUDA_TYPE_INT64S:
		return "ints";
	case REMUDA_TYPE_DOUBLES:
		return "doubles";
	case REMUDA_TYPE_ARRAY:
		return "array";
	case REMUDA_TYPE_MESSAGE:
		return "any";
	case REMUDA_TYPE_VALUE:
		return "value";
	case REMUDA_TYPE_VOID:
		return "null";
	case REMUDA_TYPE_CTX:
		return "context";
	case REMUDA_TYPE_INT8:
	case REMUDA_TYPE_INT16:
	case REMUDA_TYPE_INT32:
	case REMUDA_TYPE_INT64:
	case REMUDA_TYPE_UINT8:
	case REMUDA_TYPE_UINT16:
	case REMUDA_TYPE_UINT32:
	case REMUDA_TYPE_UINT64:
		return "int64";
	}
	return "value";
}

/* {"name": ..., "type": ..., "kind": ...} in memory of the task. */
static struct remuda_value param_value(remuda_ctx *ctx, const struct remuda_param *param)
{
	struct remuda_value value = {.kind = REMUDA_MAP};
	struct remuda_entry *entries = remuda_alloc(ctx, 3 * sizeof *entries);
	if (entries == NULL)
		return value;
	entries[0] = (struct remuda_entry){text_value("name"), text_value(param->name)};
	entries[1] = (struct remuda_entry){text_value("type"), text_value(param->text)};
	entries[2] = (struct remuda_entry){text_value("kind"), text_value(kind_of(param->type))};
	value.u.map.entries = entries;
	value.u.map.len = 3;
	return value;
}

static struct remuda_value function_value(remuda_ctx *ctx, const struct rmd_function *function)
{
	struct remuda_value value = {.kind = REMUDA_MAP}, params = {.kind = REMUDA_LIST};
	const struct remuda_task *task = function->task;
	struct remuda_value *items = remuda_alloc(ctx, (task->param_count + 1) * sizeof *items);
	struct remuda_entry *entries = remuda_alloc(ctx, 4 * sizeof *entries);
	if (items == NULL || entries == NULL)
		return value;
	for (uint32_t i = 0; i < task->param_count; i++)
		items[i] = param_value(ctx, &task->params[i]);
	params.u.list.items = items;
	params.u.list.len = task->param_count;
	entries[0] = (struct remuda_entry){text_value("name"), text_value(function->name)};
	entries[1] = (struct remuda_entry){text_value("params"), params};
	entries[2] = (struct remuda_entry){text_value("returns"), text_value(task->ret_text)};
	entries[3] = (struct remuda_entry){text_value("file"), text_value(task->file)};
	value.u.map.entries = entries;
	value.u.map.len = 4;
	return value;
}

/* What the function `name` ("files.sha256") takes and gives. */
REMUDA_TASK(static struct remuda_value, describe, (remuda_ctx *, ctx), (struct remuda_string, name))
{
	struct remuda_error *err = NULL;
	struct remuda_value value = {.kind = REMUDA_NULL};
	struct rmd_slice wanted = rmd_slice_of(name.data, name.len);
	const struct rmd_function *function = rmd_functions_find(known, wanted);
	if (function == NULL && rmd_functions_seek(known, wanted, &err) > 0)
		function = rmd_functions_find(known, wanted);
	if (function != NULL)
		return function_value(ctx, function);
	if (err == NULL)
		err = rmd_functions_unknown(known, wanted);
	remuda_raise_from(err, "UnknownFunction", "no function %.*s to describe", (int)name.len,
			  name.data);
	return value;
}

/* The names of all functions that this worker has loaded, a list of strings. */
REMUDA_TASK(static struct remuda_value, functions, (remuda_ctx *, ctx))
{
	struct remuda_value value = {.kind = REMUDA_LIST};
	struct remuda_value *items = remuda_alloc(ctx, (known->count + 1) * sizeof *items);
	if (items == NULL)
		return value;
	for (size_t i = 0; i < known->table_size; i++)
		if (known->table[i] != NULL)
			items[value.u.list.len++] = text_value(known->table[i]->name);
	value.u.list.items = items;
	return value;
}

int rmd_builtin_add(struct rmd_functions *functions, struct remuda_error **ret_err)
{
	known = functions;
	return rmd_functions_add(functions, "(built in)", &remuda_module_v1, ret_err);
}
