/* remuda_call: a task calls a function value: one of its own program, or one by name.
 *
 * In this process, and as a part of the running task: what it raises is the task's, what
 * it allocates lives as long as the task. Its arguments take the way that a task's take,
 * over their wire form, so that the same types are taken and the same are refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/codec/arguments.h"
#include "proto/task/convert.h"
#include "worker/native/captured.h"
#include "worker/native/run.h"

#define RUNTIME "native:"
/* A function that calls itself for ever. */
#define CALLS_MAX 1000u

static struct rmd_run *run_of(remuda_ctx *ctx)
{
	struct rmd_run *run = (struct rmd_run *)ctx;
	RMD_CHECK_OBJ(run, RMD_RUN_MAGIC);
	return run;
}

static bool starts_with(struct rmd_slice text, const char *start)
{
	return text.len >= strlen(start) && memcmp(text.data, start, strlen(start)) == 0;
}

/* The function that a value names, or NULL with an error recorded. */
static const struct rmd_function *find(struct rmd_run *run,
				       const struct remuda_place *place,
				       const struct remuda_value *value)
{
	const struct rmd_function *function = NULL;
	struct remuda_error *err = NULL;
	if (value->kind != REMUDA_FUNCTION) {
		rmd_run_record(run, place, NULL, "TypeError",
			       "remuda_call: expected a function, got %s",
			       remuda_kind_name(value->kind));
		return NULL;
	}
	struct rmd_slice name = rmd_slice_of(value->u.string.data, value->u.string.len);
	if (starts_with(name, REMUDA_CAPTURE_PREFIX)) {
		function = rmd_captured_named(run, name, &err);
	} else {
		if (starts_with(name, RUNTIME))
			name = rmd_slice_of(name.data + strlen(RUNTIME),
					    name.len - strlen(RUNTIME));
		function = rmd_functions_find(run->functions, name);
		if (function == NULL &&
		    rmd_functions_seek(run->functions, name, &err) > 0)
			function = rmd_functions_find(run->functions, name);
		if (function == NULL && err == NULL)
			err = rmd_functions_unknown(run->functions, name);
	}
	if (function == NULL)
		rmd_run_record(run, place, err, "CallError",
			       "remuda_call: the function %.*s cannot be called here",
			       (int)value->u.string.len, value->u.string.data);
	return function;
}

/* Puts the arguments where the function's thunk looks for them. False: it failed. */
static bool set_arguments(struct rmd_run *run, const struct remuda_place *place,
			  const struct remuda_value *args, size_t count)
{
	struct rmd_wire_reader reader;
	struct rmd_argument argument;
	if (count != run->function->task->param_count) {
		rmd_run_record(run, place, NULL, "SignatureMismatch",
			       "%s takes %u arguments, %zu given", run->function->name,
			       (unsigned)run->function->task->param_count, count);
		return false;
	}
	rmd_wire_writer_reset(&run->writer);
	for (size_t i = 0; i < count; i++) {
		int rc = rmd_value_check(&args[i], NULL);
		if (rc < 0) {
			rmd_run_record(run, place, NULL, "EncodeError",
				       "%s: argument %zu: %s", run->function->name, i + 1,
				       rmd_errcode_text(rc));
			return false;
		}
		rmd_arguments_put(&run->writer, &args[i]);
	}
	uint8_t *bytes = rmd_arena_alloc(&run->arena, run->writer.len + 1);
	if (run->writer.failed || bytes == NULL) {
		rmd_run_record(run, place, NULL, "OutOfMemory", "for arguments");
		return false;
	}
	if (run->writer.len > 0)
		memcpy(bytes, run->writer.data, run->writer.len);
	reader = rmd_wire_reader_of(rmd_slice_of(bytes, run->writer.len));
	for (size_t i = 0; i < count; i++) {
		int rc = rmd_arguments_next(&reader, &argument);
		RMD_CHECK(rc == 1);
		run->arguments[i] = argument.value;
	}
	return true;
}

/* A function with bound bytes: it is called with them before the other arguments. */
static int call_bound(remuda_ctx *ctx, const struct remuda_place *place,
		      const struct remuda_value *bound, const struct remuda_value *args,
		      size_t count, struct remuda_value *ret_value)
{
	struct remuda_value all[REMUDA_PARAMS_MAX + 1];
	const struct remuda_value *parts = bound->u.named.value->u.list.items;
	if (count >= REMUDA_PARAMS_MAX) {
		rmd_run_record(run_of(ctx), place, NULL, "SignatureMismatch",
			       "remuda_call: %zu arguments and what is bound are too many",
			       count);
		return -1;
	}
	all[0] = parts[1];
	for (size_t i = 0; i < count; i++)
		all[i + 1] = args[i];
	return rmd_run_call(ctx, place, &parts[0], all, count + 1, ret_value);
}

static bool is_bound(const struct remuda_value *value)
{
	return value->kind == REMUDA_NAMED &&
	       rmd_slice_equal(rmd_slice_of(value->u.named.name.data,
					    value->u.named.name.len),
			       rmd_slice_of_string(REMUDA_BOUND_NAME)) &&
	       value->u.named.value->kind == REMUDA_LIST &&
	       value->u.named.value->u.list.len == 2 &&
	       value->u.named.value->u.list.items[0].kind == REMUDA_FUNCTION;
}

int rmd_run_call(remuda_ctx *ctx, const struct remuda_place *place,
		 const struct remuda_value *function, const struct remuda_value *args,
		 size_t count, struct remuda_value *ret_value)
{
	struct rmd_run *run = run_of(ctx);
	struct remuda_value value = {.kind = REMUDA_NULL};
	struct remuda_value *sink_before = run->sink;
	const struct rmd_function *before = run->function;
	struct rmd_slice arguments[REMUDA_PARAMS_MAX];
	const struct remuda_error *err_before = run->err;
	if (is_bound(function))
		return call_bound(ctx, place, function, args, count, ret_value);
	if (++run->calls > CALLS_MAX) {
		run->calls--;
		rmd_run_record(run, place, NULL, "RecursionError",
			       "remuda_call: more than %u calls in each other",
			       CALLS_MAX);
		return -1;
	}
	const struct rmd_function *found = find(run, place, function);
	memcpy(arguments, run->arguments, sizeof arguments);
	if (found != NULL) {
		run->function = found;
		run->sink = &value;
		run->sunk = false;
		if (set_arguments(run, place, args, count))
			found->task->thunk(ctx);
	}
	bool good = found != NULL && run->sunk && run->err == err_before;
	run->function = before;
	run->sink = sink_before;
	run->sunk = false;
	run->calls--;
	memcpy(run->arguments, arguments, sizeof arguments);
	if (good && ret_value != NULL)
		*ret_value = value;
	return good ? 0 : -1;
}
