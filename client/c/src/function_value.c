#include "client/c/src/function_value.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/codec/value.h"
#include "proto/error/chain.h"

#define PATH_BYTES 160u

/* One submission's resolving. */
struct resolving {
	struct remuda *client;
	const struct remuda_call *call;
	const struct rmd_capture *capture; /* what the task itself is; NULL: by name */
	enum remuda_encoder encoder;
	struct rmd_arena *arena;
	size_t index;	       /* of the argument */
	char path[PATH_BYTES]; /* inside it: "[0][0]" */
	struct remuda_error *err;
};

/* ---- is there one? ---- */

static bool is_function(const struct remuda_value *value)
{
	const struct remuda_string *codec = &value->u.opaque.codec;
	return value->kind == REMUDA_OPAQUE &&
	       value->u.opaque.data.len == sizeof(struct remuda_task *) &&
	       ((codec->len == sizeof REMUDA_FN_CODEC - 1 &&
		 memcmp(codec->data, REMUDA_FN_CODEC, codec->len) == 0) ||
		(codec->len == sizeof REMUDA_WRAP_CODEC - 1 &&
		 memcmp(codec->data, REMUDA_WRAP_CODEC, codec->len) == 0));
}

static bool has_function(const struct remuda_value *value, unsigned depth)
{
	if (depth == 0)
		return false; /* too deep: the check says so */
	switch (value->kind) {
	case REMUDA_OPAQUE:
		return is_function(value);
	case REMUDA_LIST:
	case REMUDA_TUPLE:
	case REMUDA_SET:
		for (size_t i = 0; i < value->u.list.len; i++)
			if (value->u.list.items[i].kind >= REMUDA_LIST &&
			    has_function(&value->u.list.items[i], depth - 1))
				return true;
		return false;
	case REMUDA_MAP:
		for (size_t i = 0; i < value->u.map.len; i++)
			if (has_function(&value->u.map.entries[i].value, depth - 1))
				return true;
		return false;
	case REMUDA_NAMED:
		return has_function(value->u.named.value, depth - 1);
	default:
		return false;
	}
}

/* ---- one function ---- */

static void refuse(struct resolving *r, struct remuda_error *cause)
{
	if (cause == NULL)
		cause = remuda_error_create("OutOfMemory", "for a function");
	rmd_error_set_origin(cause, REMUDA_ORIGIN_ENCODE);
	r->err = remuda_error_wrap(
		cause, "EncodeError",
		"Could not encode the task %s to send it to the workers.",
		r->call->function);
	rmd_error_set_origin(r->err, REMUDA_ORIGIN_ENCODE);
}

static void refuse_nested(struct resolving *r, const struct remuda_task *task)
{
	refuse(r, remuda_error_create(
			  "EncodeError",
			  "Can't encode the function %s (%s:%u), which is in argument "
			  "%zu at "
			  "%s: it is in no module, so workers cannot look it up by name. "
			  "Wrap it: remuda_wrap(%s); or have such functions captured: "
			  "remuda_set_encoder(REMUDA_ENCODER_CAPTURE), or "
			  "REMUDA_ENCODER=auto in the environment",
			  task->name, task->file, (unsigned)task->line, r->index + 1,
			  r->path, task->name));
}

static void put_text(struct resolving *r, struct remuda_value *value, const char *text)
{
	size_t len = strlen(text);
	char *copy = rmd_arena_copy(r->arena, rmd_slice_of(text, len));
	if (copy == NULL) {
		refuse(r, NULL);
		return;
	}
	value->kind = REMUDA_FUNCTION;
	value->u.string = (struct remuda_string){copy, len};
}

static void put_capture(struct resolving *r, const struct remuda_task *task,
			struct remuda_value *value)
{
	struct rmd_captured_task captured;
	char hex[RMD_DIGEST_HEX_BYTES], text[RMD_FUNCTION_MAX_BYTES + 1];
	struct remuda_error *err = rmd_capture_task(r->client, task, &captured);
	if (err != NULL) {
		refuse(r, err);
		return;
	}
	if (r->capture == NULL ||
	    !rmd_digest_equal(&r->capture->image, &captured.capture.image)) {
		refuse(r,
		       remuda_error_create(
			       "EncodeError",
			       "the function %s (%s:%u) in argument %zu is of another "
			       "image than %s, whose worker could not call it: submit a "
			       "function of the same program or library",
			       task->name, task->file, (unsigned)task->line, r->index + 1,
			       r->call->function));
		return;
	}
	rmd_digest_hex(&captured.capture.image, hex);
	int n = snprintf(text, sizeof text, REMUDA_CAPTURE_PREFIX "%s:%llx:%s", hex,
			 (unsigned long long)captured.capture.entry,
			 captured.function + strlen("native:"));
	if (n < 0 || (size_t)n >= sizeof text)
		refuse(r, remuda_error_create("FunctionName",
					      "the name of %s is too long", task->name));
	else
		put_text(r, value, text);
}

static void resolve_function(struct resolving *r, struct remuda_value *value)
{
	const struct remuda_task *task;
	char text[RMD_FUNCTION_MAX_BYTES + 1];
	memcpy(&task, value->u.opaque.data.data, sizeof task);
	bool wrapped = value->u.opaque.codec.len == sizeof REMUDA_WRAP_CODEC - 1;
	const char *module = wrapped ? NULL : rmd_task_module(task);
	if (module != NULL) {
		int n = snprintf(text, sizeof text, "native:%s.%s", module, task->name);
		if (n < 0 || (size_t)n >= sizeof text)
			refuse(r, remuda_error_create("FunctionName",
						      "the name of %s is too long",
						      task->name));
		else
			put_text(r, value, text);
	} else if (!wrapped && r->path[0] != '\0' &&
		   r->encoder == REMUDA_ENCODER_SCHEMA) {
		refuse_nested(r, task);
	} else {
		put_capture(r, task, value);
	}
}

/* ---- the tree ---- */

/* Adds a step to the path; gives what cuts it off again. */
static size_t step(struct resolving *r, const char *format, size_t index)
{
	size_t len = strlen(r->path);
	(void)snprintf(r->path + len, sizeof r->path - len, format, index);
	return len;
}

static void resolve(struct resolving *r, struct remuda_value *value);

static void resolve_items(struct resolving *r, struct remuda_value *value)
{
	size_t len = value->u.list.len;
	struct remuda_value *items = rmd_arena_alloc(r->arena, len * sizeof *items);
	if (items == NULL) {
		refuse(r, NULL);
		return;
	}
	memcpy(items, value->u.list.items, len * sizeof *items);
	value->u.list.items = items;
	for (size_t i = 0; i < len && r->err == NULL; i++) {
		size_t cut = step(r, "[%zu]", i);
		resolve(r, &items[i]);
		if (r->err == NULL)
			r->path[cut] = '\0';
	}
}

static void resolve_entries(struct resolving *r, struct remuda_value *value)
{
	size_t len = value->u.map.len;
	struct remuda_entry *entries = rmd_arena_alloc(r->arena, len * sizeof *entries);
	if (entries == NULL) {
		refuse(r, NULL);
		return;
	}
	memcpy(entries, value->u.map.entries, len * sizeof *entries);
	value->u.map.entries = entries;
	for (size_t i = 0; i < len && r->err == NULL; i++) {
		size_t cut = step(r, "{%zu}", i);
		resolve(r, &entries[i].value);
		if (r->err == NULL)
			r->path[cut] = '\0';
	}
}

static bool is_bound(const struct remuda_value *value)
{
	return value->kind == REMUDA_NAMED &&
	       value->u.named.name.len == sizeof REMUDA_BOUND_NAME - 1 &&
	       memcmp(value->u.named.name.data, REMUDA_BOUND_NAME,
		      sizeof REMUDA_BOUND_NAME - 1) == 0 &&
	       value->u.named.value->kind == REMUDA_LIST &&
	       value->u.named.value->u.list.len == 2;
}

/* A function with its bytes is where the function itself would be. */
static void resolve_bound(struct resolving *r, struct remuda_value *value)
{
	struct remuda_value *parts = rmd_arena_alloc(r->arena, 3 * sizeof *parts);
	if (parts == NULL) {
		refuse(r, NULL);
		return;
	}
	memcpy(parts, value->u.named.value->u.list.items, 2 * sizeof *parts);
	parts[2] = *value->u.named.value;
	parts[2].u.list.items = parts;
	value->u.named.value = &parts[2];
	resolve(r, &parts[0]);
}

/* Resolves what lies in `value`, which is ours; what it points to is copied where there
 * is something to change. */
static void resolve(struct resolving *r, struct remuda_value *value)
{
	if (!has_function(value, REMUDA_VALUE_DEPTH_MAX))
		return;
	if (value->kind == REMUDA_OPAQUE) {
		resolve_function(r, value);
	} else if (value->kind == REMUDA_MAP) {
		resolve_entries(r, value);
	} else if (is_bound(value)) {
		resolve_bound(r, value);
	} else if (value->kind == REMUDA_NAMED) {
		struct remuda_value *inner = rmd_arena_alloc(r->arena, sizeof *inner);
		if (inner == NULL) {
			refuse(r, NULL);
			return;
		}
		*inner = *value->u.named.value;
		value->u.named.value = inner;
		size_t cut = step(r, ".value%.0zu", 0);
		resolve(r, inner);
		if (r->err == NULL)
			r->path[cut] = '\0';
	} else {
		resolve_items(r, value);
	}
}

struct remuda_error *rmd_function_values_resolve(struct remuda *client,
						 const struct remuda_call *call,
						 const struct rmd_capture *capture,
						 struct rmd_function_values *ret_values)
{
	*ret_values = (struct rmd_function_values){.args = call->args};
	bool any = false;
	for (size_t i = 0; i < call->count && !any; i++)
		any = call->args[i].value.kind >= REMUDA_LIST &&
		      has_function(&call->args[i].value, REMUDA_VALUE_DEPTH_MAX);
	if (!any)
		return NULL;
	rmd_arena_init(&ret_values->arena, 0);
	ret_values->changed = true;
	struct resolving r = {
		.client = client,
		.call = call,
		.capture = capture,
		.encoder = rmd_encoder_of(client),
		.arena = &ret_values->arena,
	};
	struct remuda_arg *args =
		rmd_arena_alloc(&ret_values->arena, call->count * sizeof *args);
	if (args == NULL)
		return remuda_error_create("OutOfMemory", "for arguments");
	memcpy(args, call->args, call->count * sizeof *args);
	for (r.index = 0; r.index < call->count && r.err == NULL; r.index++)
		resolve(&r, &args[r.index].value);
	ret_values->args = args;
	return r.err;
}

void rmd_function_values_fini(struct rmd_function_values *values)
{
	if (values->changed)
		rmd_arena_fini(&values->arena);
}
