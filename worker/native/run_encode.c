/* The result of a task, straight into the shared memory where the agent finds it. */
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/codec/value.h"
#include "proto/error/chain.h"
#include "proto/task/convert.h"
#include "worker/native/run.h"

/* What a value may take on the wire beyond its bytes: tags, lengths, numbers. */
#define NODE_BYTES_MAX 64u
/* Room for a dimension of an array. */
#define DIMENSION_BYTES_MAX 10u
/* Beyond so much the bound is too rough to reserve: the result is encoded apart, then
 * copied. */
#define BOUND_MAX ((size_t)256 << 20)

#define TYPE_URL_PREFIX "type.googleapis.com/"

/* At least what `value`, which has passed rmd_value_check, takes on the wire. */
static size_t bound_of(const struct remuda_value *value)
{
	size_t bound = NODE_BYTES_MAX;
	switch (value->kind) {
	case REMUDA_STRING:
	case REMUDA_FUNCTION:
		return bound + value->u.string.len;
	case REMUDA_BYTES:
	case REMUDA_BIGINT:
		return bound + value->u.bytes.len;
	case REMUDA_LIST:
	case REMUDA_TUPLE:
	case REMUDA_SET:
		for (size_t i = 0; i < value->u.list.len; i++)
			bound += bound_of(&value->u.list.items[i]);
		return bound;
	case REMUDA_MAP:
		for (size_t i = 0; i < value->u.map.len; i++)
			bound += NODE_BYTES_MAX + bound_of(&value->u.map.entries[i].key) +
				 bound_of(&value->u.map.entries[i].value);
		return bound;
	case REMUDA_ARRAY:
		return bound + (size_t)value->u.array.rank * DIMENSION_BYTES_MAX +
		       value->u.array.data_bytes;
	case REMUDA_ANY:
		return bound + value->u.any.type_url.len + value->u.any.data.len;
	case REMUDA_OPAQUE:
		return bound + value->u.opaque.codec.len + value->u.opaque.data.len;
	case REMUDA_NAMED:
		return bound + value->u.named.name.len + bound_of(value->u.named.value);
	case REMUDA_INTS:
		return bound + value->u.ints.len * 8;
	case REMUDA_DOUBLES:
		return bound + value->u.doubles.len * 8;
	case REMUDA_NULL:
	case REMUDA_BOOLEAN:
	case REMUDA_INT64:
	case REMUDA_UINT64:
	case REMUDA_FLOAT64:
	case REMUDA_COMPLEX:
	case REMUDA_TIMESTAMP:
	case REMUDA_DURATION:
	case REMUDA_BLOB:
		break;
	}
	return bound + sizeof value->u.blob;
}

static void fail_result(struct rmd_run *run, const char *type, const char *where,
			const char *why)
{
	struct remuda_error *err = remuda_error_create(
		type, "%s: its result%s%s can't be encoded: %s", run->function->name,
		*where == '\0' ? "" : " at ", where, why);
	rmd_error_set_origin(err, REMUDA_ORIGIN_RESULT);
	rmd_run_fail(run, err);
}

/* Makes a google.protobuf.Any of a message; NULL: null. False: it failed. */
static bool value_of_message(struct rmd_run *run, const void *result,
			     struct remuda_value *ret)
{
	const struct remuda_message *message = run->function->ret_message;
	const void *from;
	memcpy(&from, result, sizeof from);
	*ret = (struct remuda_value){.kind = REMUDA_NULL};
	if (from == NULL)
		return true;
	if (!message->valid(from)) {
		fail_result(run, "ResultError", "", "it is no valid message of its type");
		return false;
	}
	size_t len = message->packed_size(from);
	size_t url_len = sizeof TYPE_URL_PREFIX - 1 + strlen(message->name());
	uint8_t *packed = rmd_arena_alloc(&run->arena, len + 1);
	char *url = rmd_arena_alloc(&run->arena, url_len + 1);
	if (packed == NULL || url == NULL) {
		fail_result(run, "OutOfMemory", "", "no memory for it");
		return false;
	}
	len = message->pack(from, packed);
	(void)snprintf(url, url_len + 1, TYPE_URL_PREFIX "%s", message->name());
	ret->kind = REMUDA_ANY;
	ret->u.any.type_url = (struct remuda_string){url, url_len};
	ret->u.any.data = (struct remuda_bytes){packed, len};
	return true;
}

/* Encodes into reserved room, which is never too small, so that the writer never moves.
 */
static int encode_in_place(struct rmd_run *run, const struct remuda_value *value,
			   size_t bound, enum rmd_wpw_output output)
{
	uint8_t *room;
	int rc = rmd_wpw_reserve(run->end, bound, output, &room);
	if (rc < 0)
		return rc;
	struct rmd_wire_writer writer = {.data = room, .capacity = bound};
	rmd_value_put(&writer, value);
	RMD_CHECK(!writer.failed && writer.data == room);
	run->encoded_bytes = writer.len;
	return 0;
}

static int encode_apart(struct rmd_run *run, const struct remuda_value *value,
			enum rmd_wpw_output output)
{
	uint8_t *room;
	rmd_wire_writer_reset(&run->writer);
	rmd_value_put(&run->writer, value);
	if (run->writer.failed)
		return RMD_ENOMEM;
	int rc = rmd_wpw_reserve(run->end, run->writer.len, output, &room);
	if (rc < 0)
		return rc;
	memcpy(room, run->writer.data, run->writer.len);
	run->encoded_bytes = run->writer.len;
	return 0;
}

/* The result of a function that the task called stays here: it is a value for the task. */
static int sink(struct rmd_run *run, const void *result)
{
	enum remuda_type type = (enum remuda_type)run->function->task->ret_type;
	struct remuda_value value;
	if (run->err != NULL)
		return -1;
	if (type != REMUDA_TYPE_MESSAGE)
		value = rmd_task_from_c(type, result);
	else if (!value_of_message(run, result, &value))
		return -1;
	if (value.kind == REMUDA_ARRAY && value.u.array.rank > 0) {
		/* Its shape may lie in the function's own memory. */
		size_t bytes = value.u.array.rank * sizeof *value.u.array.shape;
		uint64_t *shape = rmd_arena_alloc(&run->arena, bytes);
		if (shape == NULL) {
			fail_result(run, "OutOfMemory", "", "no memory for it");
			return -1;
		}
		memcpy(shape, value.u.array.shape, bytes);
		value.u.array.shape = shape;
	}
	*run->sink = value;
	run->sunk = true;
	return 0;
}

int rmd_run_encode(remuda_ctx *ctx, const void *result)
{
	struct rmd_run *run = (struct rmd_run *)ctx;
	RMD_CHECK_OBJ(run, RMD_RUN_MAGIC);
	RMD_CHECK(run->function != NULL && !run->encoded);
	if (run->sink != NULL)
		return sink(run, result);
	run->run_ns = rmd_clock_mono_ns() - run->begun_ns;
	if (run->err != NULL)
		return -1; /* it has raised: what it returns does not matter */
	enum remuda_type type = (enum remuda_type)run->function->task->ret_type;
	struct remuda_value value;
	struct rmd_value_fault fault = {.path = ""};
	if (type != REMUDA_TYPE_MESSAGE)
		value = rmd_task_from_c(type, result);
	else if (!value_of_message(run, result, &value))
		return -1;
	int rc = value.kind < REMUDA_BIGINT ? 0 : rmd_value_check(&value, &fault);
	if (rc < 0) {
		fail_result(run, "ResultError", fault.path,
			    fault.why == NULL ? rmd_errcode_text(rc) : fault.why);
		return -1;
	}
	enum rmd_wpw_output output = RMD_WPW_PRINTED_PERHAPS;
	if (__fpending(stdout) != 0)
		(void)fflush(stdout);
	else if (run->run_ns < run->silent_below_ns)
		output = RMD_WPW_SILENT;
	size_t bound = bound_of(&value);
	rc = bound <= BOUND_MAX ? encode_in_place(run, &value, bound, output)
				: encode_apart(run, &value, output);
	if (rc < 0) {
		fail_result(run, rc == RMD_ENOMEM ? "OutOfMemory" : "ResultError", "",
			    rc == RMD_ETOOBIG ? "it is over 1 GiB"
					      : rmd_errcode_text(rc));
		return -1;
	}
	run->encoded = true;
	return 0;
}
