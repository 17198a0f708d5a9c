#include "worker/native/run.h"

#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/codec/arguments.h"
#include "proto/error/chain.h"
#include "proto/task/convert.h"
#include "worker/native/captured.h"

#define SIGNATURE_MAX 1024u
#define PLACE_BYTES 32 /* "args[254]" and an item's index */
/* A child of the task's that returns from the task function ends with this code. */
#define STRAY_CHILD_EXIT 125
/* A larger block of the writer is not kept for the next task. */
#define WRITER_KEEP_BYTES ((size_t)256 << 10)

/* Set in a child that a task has forked. */
static bool forked;

static void note_fork(void)
{
	forked = true;
}

/* True if the clock tells apart what is RMD_WPW_SILENT_BELOW_NS apart: by ticks of that
 * order it would call a task short that was not. */
static bool clock_fine(void)
{
	for (int i = 0; i < 16; i++) {
		uint64_t first = rmd_clock_mono_ns(), next;
		do
			next = rmd_clock_mono_ns();
		while (next == first);
		if (next - first < RMD_WPW_SILENT_BELOW_NS / 2)
			return true;
	}
	return false;
}

void rmd_run_init(struct rmd_run *run, struct rmd_wpw *end,
		  struct rmd_functions *functions, const char *host, uint64_t worker)
{
	*run = (struct rmd_run){
		.ctx = {&rmd_run_abi},
		.magic = RMD_RUN_MAGIC,
		.end = end,
		.functions = functions,
		.host = host,
		.worker = worker,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.ask_lock = PTHREAD_MUTEX_INITIALIZER,
	};
	if (clock_fine())
		run->silent_below_ns = RMD_WPW_SILENT_BELOW_NS;
	rmd_arena_init(&run->arena, 0);
	(void)pthread_atfork(NULL, NULL, note_fork);
}

void rmd_run_fini(struct rmd_run *run)
{
	RMD_CHECK_OBJ(run, RMD_RUN_MAGIC);
	rmd_arena_fini(&run->arena);
	rmd_wire_writer_fini(&run->writer);
	rmd_run_end_children(run);
	rmd_free(run->child_errors);
	pthread_mutex_destroy(&run->ask_lock);
	pthread_mutex_destroy(&run->lock);
	run->magic = 0;
}

void rmd_run_fail(struct rmd_run *run, struct remuda_error *err)
{
	if (run->err != NULL)
		remuda_error_set_context(err, run->err);
	run->err = err;
}

static struct remuda_error *signature_error(const struct rmd_run *run, const char *fault)
{
	char signature[SIGNATURE_MAX];
	const struct rmd_function *function = run->function;
	rmd_task_signature(function->task,
			   run->functions->modules[function->module].module->prefix,
			   signature, sizeof signature);
	struct remuda_error *err = remuda_error_create("SignatureMismatch",
						       "%s: %s; its signature is %s",
						       function->name, fault, signature);
	rmd_error_set_origin(err, REMUDA_ORIGIN_LOOKUP);
	return err;
}

static struct remuda_error *count_error(const struct rmd_run *run, uint32_t given)
{
	char fault[96];
	uint32_t expected = run->function->task->param_count;
	(void)snprintf(fault, sizeof fault, "expected %u argument%s, got %u",
		       (unsigned)expected, expected == 1 ? "" : "s", (unsigned)given);
	return signature_error(run, fault);
}

static struct remuda_error *decode_error(const struct rmd_run *run, const char *place,
					 const char *path, const char *why)
{
	struct remuda_error *err =
		remuda_error_create("DecodeError", "%s: %s%s can't be decoded: %s",
				    run->function->name, place, path, why);
	rmd_error_set_origin(err, REMUDA_ORIGIN_DECODE);
	return err;
}

/* Finds the arguments in the task's bytes; NULL: there are as many as the function takes.
 */
static struct remuda_error *find_arguments(struct rmd_run *run)
{
	uint32_t positional, named;
	struct rmd_slice bytes = run->task->arguments;
	int rc = rmd_arguments_count(bytes, &positional, &named);
	if (rc < 0)
		return decode_error(run, "its arguments", "", rmd_errcode_text(rc));
	if (named != 0)
		return signature_error(run,
				       "a native function takes no arguments by name");
	if (positional != run->function->task->param_count)
		return count_error(run, positional);
	struct rmd_wire_reader reader = rmd_wire_reader_of(bytes);
	struct rmd_argument argument;
	for (uint32_t i = 0; i < positional; i++) {
		rc = rmd_arguments_next(&reader, &argument);
		RMD_CHECK(rc == 1);
		run->arguments[i] = argument.value;
	}
	return NULL;
}

/* Of a list of numbers, the item that is at fault, and its index; else `value` itself. */
static const struct remuda_value *worst_part(const struct remuda_value *value,
					     enum remuda_type *type,
					     struct rmd_arena *arena, size_t *ret_index)
{
	union {
		int64_t whole;
		double real;
	} ignored;
	enum remuda_type item_type = *type == REMUDA_TYPE_INT64S ? REMUDA_TYPE_INT64
								 : REMUDA_TYPE_DOUBLE;
	if ((*type != REMUDA_TYPE_INT64S && *type != REMUDA_TYPE_DOUBLES) ||
	    (value->kind != REMUDA_LIST && value->kind != REMUDA_TUPLE))
		return value;
	for (size_t i = 0; i < value->u.list.len; i++) {
		if (rmd_task_to_c(&value->u.list.items[i], item_type, arena, &ignored) ==
		    0)
			continue;
		*type = item_type;
		*ret_index = i;
		return &value->u.list.items[i];
	}
	return value;
}

/* What is wrong with argument `index`, by the code of its conversion. */
static struct remuda_error *argument_error(struct rmd_run *run, uint32_t index, int rc,
					   const struct remuda_value *argument)
{
	const struct remuda_param *param = &run->function->task->params[index];
	enum remuda_type type = (enum remuda_type)param->type;
	char fault[512], at[PLACE_BYTES] = "";
	if (rc == RMD_ENOMEM)
		return remuda_error_create(
			"OutOfMemory", "%s: no memory for argument %u (%s)",
			run->function->name, (unsigned)index + 1, param->name);
	char got[64];
	size_t item = SIZE_MAX;
	const struct remuda_value *value =
		worst_part(argument, &type, &run->arena, &item);
	if (item != SIZE_MAX)
		(void)snprintf(at, sizeof at, " at [%zu]", item);
	(void)snprintf(got, sizeof got, "%s", remuda_kind_name(value->kind));
	if (rc == RMD_ERANGE && value->kind == REMUDA_INT64)
		(void)snprintf(got, sizeof got, "%lld", (long long)value->u.int64);
	else if (rc == RMD_ERANGE && value->kind == REMUDA_UINT64)
		(void)snprintf(got, sizeof got, "%llu",
			       (unsigned long long)value->u.uint64);
	else if (rc == RMD_ERANGE && value->kind == REMUDA_FLOAT64)
		(void)snprintf(got, sizeof got, "%.17g", value->u.float64);
	else if (rc == RMD_EINVAL)
		(void)snprintf(got, sizeof got, "%s with a NUL in it",
			       remuda_kind_name(value->kind));
	(void)snprintf(fault, sizeof fault, "argument %u (%s)%s: expected %s, got %s",
		       (unsigned)index + 1, param->name, at, rmd_task_type_text(type),
		       got);
	return signature_error(run, fault);
}

static void *arena_alloc(void *arena, size_t size)
{
	return rmd_arena_alloc(arena, size);
}

static void arena_release(void *arena, void *memory)
{
	(void)arena;
	(void)memory;
}

/* Opens a message: a google.protobuf.Any of the type that the parameter names. */
static int decode_message(struct rmd_run *run, uint32_t index,
			  const struct remuda_value *value, void *ret)
{
	const struct remuda_message *message = run->function->messages[index];
	const char *wanted = message->name();
	struct remuda_string url = {"", 0};
	void *opened = NULL;
	char fault[512];
	if (value->kind == REMUDA_ANY)
		url = value->u.any.type_url;
	const char *slash = url.len == 0 ? NULL : memrchr(url.data, '/', url.len);
	const char *name = slash == NULL ? url.data : slash + 1;
	if (value->kind == REMUDA_ANY && strcmp(name, wanted) == 0) {
		opened = message->unpack(arena_alloc, arena_release, &run->arena,
					 value->u.any.data.len, value->u.any.data.data);
		if (opened != NULL) {
			memcpy(ret, &opened, sizeof opened);
			return 0;
		}
		(void)snprintf(fault, sizeof fault,
			       "argument %u (%s): its bytes are no valid message %s",
			       (unsigned)index + 1,
			       run->function->task->params[index].name, wanted);
	} else {
		(void)snprintf(fault, sizeof fault,
			       "argument %u (%s): expected a message %s, got %s%s",
			       (unsigned)index + 1,
			       run->function->task->params[index].name, wanted,
			       remuda_kind_name(value->kind),
			       value->kind == REMUDA_ANY ? " of another type" : "");
	}
	rmd_run_fail(run, signature_error(run, fault));
	return -1;
}

int rmd_run_decode(remuda_ctx *ctx, uint32_t index, void *ret)
{
	struct rmd_run *run = (struct rmd_run *)ctx;
	struct remuda_value value;
	RMD_CHECK_OBJ(run, RMD_RUN_MAGIC);
	RMD_CHECK(run->function != NULL && index < run->function->task->param_count);
	int rc = rmd_value_get(run->arguments[index], &run->arena, &value);
	if (rc < 0) {
		char place[PLACE_BYTES];
		struct rmd_value_fault fault;
		rmd_value_locate(run->arguments[index], rc, &run->arena, &fault);
		(void)snprintf(place, sizeof place, "args[%u]", (unsigned)index);
		rmd_run_fail(run, decode_error(run, place, fault.path, fault.why));
		return -1;
	}
	enum remuda_type type = (enum remuda_type)run->function->task->params[index].type;
	if (type == REMUDA_TYPE_MESSAGE)
		return decode_message(run, index, &value, ret);
	rc = rmd_task_to_c(&value, type, &run->arena, ret);
	if (rc == 0)
		return 0;
	rmd_run_fail(run, argument_error(run, index, rc, &value));
	return -1;
}

/* Writes the task's error as its outcome and forgets it. */
static int commit_error(struct rmd_run *run)
{
	uint8_t *room;
	rmd_error_set_place_deep(run->err, run->host, run->worker, run->task->attempt);
	rmd_wire_writer_reset(&run->writer);
	rmd_error_encode(run->err, &run->writer);
	if (run->writer.failed) {
		struct remuda_error *shortage = remuda_error_create(
			"OutOfMemory", "%s failed, and there is no memory to say why",
			run->function == NULL ? "a task" : run->function->name);
		rmd_wire_writer_fini(&run->writer);
		rmd_error_encode(shortage, &run->writer);
		remuda_error_free(shortage);
	}
	remuda_error_free(run->err);
	run->err = NULL;
	size_t len = rmd_wire_writer_len(&run->writer);
	int rc = rmd_wpw_reserve(run->end, len, RMD_WPW_PRINTED_PERHAPS, &room);
	if (rc < 0)
		return rc;
	if (len > 0)
		memcpy(room, run->writer.data, len);
	rmd_wpw_commit(run->end, RMD_WP_ERROR, len, run->run_ns);
	return 0;
}

/* Calls the function; its result is then encoded, or an error recorded. */
static void call(struct rmd_run *run)
{
	struct rmd_slice name = run->task->function;
	run->function = rmd_captured_find(run, &run->err);
	if (run->err != NULL)
		return;
	if (run->function == NULL)
		run->function = rmd_functions_find(run->functions, name);
	if (run->function == NULL &&
	    rmd_functions_seek(run->functions, name, &run->err) > 0)
		run->function = rmd_functions_find(run->functions, name);
	if (run->function == NULL) {
		if (run->err == NULL)
			run->err = rmd_functions_unknown(run->functions, name);
		return;
	}
	run->err = find_arguments(run);
	if (run->err != NULL)
		return;
	run->begun_ns = rmd_clock_mono_ns();
	run->function->task->thunk(&run->ctx);
	if (!run->encoded)
		run->run_ns = rmd_clock_mono_ns() - run->begun_ns;
	if (forked)
		_exit(STRAY_CHILD_EXIT);
	rmd_captured_restore(run);
	if (run->err == NULL && !run->encoded)
		run->err = remuda_error_create(
			"TaskError", "%s returned without a result", run->function->name);
}

int rmd_run_task(struct rmd_run *run, const struct rmd_wpw_task *task)
{
	RMD_CHECK_OBJ(run, RMD_RUN_MAGIC);
	run->task = task;
	run->function = NULL;
	run->raises = 0;
	run->run_ns = 0;
	run->encoded = false;
	call(run);
	int rc = 0;
	if (__fpending(stdout) != 0)
		(void)fflush(stdout);
	if (run->err != NULL)
		rc = commit_error(run);
	else
		rmd_wpw_commit(run->end, RMD_WP_VALUE, run->encoded_bytes, run->run_ns);
	rmd_run_end_children(run);
	rmd_arena_reset(&run->arena);
	if (run->writer.capacity > WRITER_KEEP_BYTES)
		rmd_wire_writer_fini(&run->writer);
	return rc;
}
