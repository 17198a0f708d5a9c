/* Every limit of the .proto, at its maximum and one beyond; and what means nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base/errcode.h"
#include "proto/codec/frames_agent.h"
#include "proto/codec/frames_pool.h"
#include "proto/codec/frames_session.h"
#include "proto/codec/frames_unary.h"
#include "tests/unit/frames/rewrite.h"

/* Where a field stands: the numbers of the messages around it, outermost first, and
 * what else stands before it in each of them (wire bytes, so that only the field
 * itself is at fault). */
struct level {
	uint32_t field;
	const char *before;
	size_t before_len;
};

#define AT(field)            \
	{                    \
		field, "", 0 \
	}
#define WITH(field, before)                      \
	{                                        \
		field, before, sizeof before - 1 \
	}
#define LEVELS_MAX 5

enum leaf {
	LEN_BYTES, /* one field of n bytes */
	NUMBER,	   /* one varint n */
	TIMES,	   /* n fields of `unit` */
};

struct limit {
	rewrite_fn *read;
	struct level path[LEVELS_MAX]; /* the last one that is not 0: the field itself */
	enum leaf leaf;
	uint64_t max;
	int code;
	const char *says;
	const char *unit;
	size_t unit_len;
};

#define UNIT(unit) unit, sizeof unit - 1
#define SIXTEEN "0123456789abcdef"

/* A number below TaskOptions of a Run. */
#define OPTION(field, inner, n, name)                                          \
	{                                                                      \
		rewrite_run_request, {AT(5), AT(field), AT(inner)}, NUMBER, n, \
			RMD_ELIMIT, name, NULL, 0                              \
	}

static const struct limit limits[] = {
	/* SessionHello */
	{rewrite_session_request,
	 {WITH(1, "\x0a\x10" SIXTEEN), AT(3)},
	 LEN_BYTES,
	 256,
	 RMD_ETOOBIG,
	 "SessionHello.client",
	 NULL,
	 0},
	{rewrite_session_request,
	 {WITH(3, "\x08\x01"), AT(2), WITH(6, "\x20\x01"), AT(2)},
	 NUMBER,
	 1 << 30,
	 RMD_ELIMIT,
	 "SegmentRef.length",
	 NULL,
	 0},
	{rewrite_session_request,
	 {WITH(3, "\x08\x01"), AT(2), WITH(6, "\x10\x01\x20\x01"), AT(3)},
	 NUMBER,
	 UINT32_MAX,
	 RMD_ELIMIT,
	 "SegmentRef.place",
	 NULL,
	 0},
	{rewrite_session_request,
	 {WITH(1, "\x0a\x10" SIXTEEN), AT(5)},
	 NUMBER,
	 4 << 20,
	 RMD_ELIMIT,
	 "SessionHello.inline_max_bytes",
	 NULL,
	 0},
	{rewrite_session_request,
	 {WITH(1, "\x0a\x10" SIXTEEN), AT(2)},
	 NUMBER,
	 UINT32_MAX,
	 RMD_ELIMIT,
	 "SessionHello.protocol",
	 NULL,
	 0},
	/* Chunk */
	{rewrite_session_request,
	 {WITH(2, "\x08\x01\x10\xff\xff\xff\x7f"), AT(4)},
	 LEN_BYTES,
	 1 << 20,
	 RMD_ETOOBIG,
	 "Chunk.data",
	 NULL,
	 0},
	{rewrite_session_request,
	 {WITH(2, "\x08\x01"), AT(2)},
	 NUMBER,
	 1 << 30,
	 RMD_ELIMIT,
	 "Chunk.total_bytes",
	 NULL,
	 0},
	{rewrite_session_request,
	 {WITH(2, "\x08\x01\x10\x64"), AT(3)},
	 NUMBER,
	 100,
	 RMD_EPROTO,
	 "Chunk.offset",
	 NULL,
	 0},
	{rewrite_session_request,
	 {WITH(2, "\x08\x01\x10\x64\x18\x5a"), AT(4)},
	 LEN_BYTES,
	 10,
	 RMD_EPROTO,
	 "Chunk.offset",
	 NULL,
	 0},
	/* TaskSpec and TaskOptions */
	{rewrite_session_request,
	 {WITH(3, "\x08\x01"), AT(2), AT(1)},
	 LEN_BYTES,
	 512,
	 RMD_ETOOBIG,
	 "TaskSpec.function",
	 NULL,
	 0},
	{rewrite_session_request,
	 {WITH(3, "\x08\x01"), AT(2), AT(2)},
	 LEN_BYTES,
	 1 << 20,
	 RMD_ETOOBIG,
	 "TaskSpec.arguments",
	 NULL,
	 0},
	{rewrite_session_request,
	 {WITH(3, "\x08\x01"), AT(2), AT(5), AT(1)},
	 NUMBER,
	 1000,
	 RMD_ELIMIT,
	 "TaskOptions.priority",
	 NULL,
	 0},
	{rewrite_session_request,
	 {WITH(3, "\x08\x01"), AT(2), AT(5), AT(2), AT(1)},
	 NUMBER,
	 RMD_DEADLINE_MAX_MS / 1000,
	 RMD_ELIMIT,
	 "TaskOptions.deadline",
	 NULL,
	 0},
	{rewrite_session_request,
	 {WITH(3, "\x08\x01"), AT(2), AT(5), AT(2), AT(2)},
	 NUMBER,
	 999999999,
	 RMD_ELIMIT,
	 "TaskOptions.deadline",
	 NULL,
	 0},
	{rewrite_session_request,
	 {WITH(3, "\x08\x01"), AT(2), AT(5), AT(3)},
	 NUMBER,
	 100,
	 RMD_ELIMIT,
	 "TaskOptions.max_attempts",
	 NULL,
	 0},
	{rewrite_session_request,
	 {WITH(3, "\x08\x01"), AT(2), AT(5), AT(5)},
	 TIMES,
	 16,
	 RMD_ELIMIT,
	 "TaskOptions.labels",
	 UNIT("\x0a\x01k\x12\x01v")},
	{rewrite_session_request,
	 {WITH(3, "\x08\x01"), AT(2), AT(5), AT(5), AT(1)},
	 LEN_BYTES,
	 128,
	 RMD_ETOOBIG,
	 "TaskOptions.labels",
	 NULL,
	 0},
	{rewrite_session_request,
	 {WITH(3, "\x08\x01"), AT(2), AT(5), AT(5), AT(2)},
	 LEN_BYTES,
	 128,
	 RMD_ETOOBIG,
	 "TaskOptions.labels",
	 NULL,
	 0},
	OPTION(6, 1, RMD_DEADLINE_MAX_MS / 1000, "TaskOptions.queue_deadline"),
	OPTION(7, 1, RMD_DEADLINE_MAX_MS / 1000, "TaskOptions.run_deadline"),
	OPTION(8, 1, 5, "RetryRule.causes"),
	{rewrite_session_request,
	 {WITH(3, "\x08\x01"), AT(2), AT(5), AT(8), AT(2)},
	 TIMES,
	 16,
	 RMD_ELIMIT,
	 "RetryRule.error_types",
	 UNIT("Odd")},
	{rewrite_session_request,
	 {WITH(3, "\x08\x01"), AT(2), AT(5), AT(8), AT(2)},
	 LEN_BYTES,
	 128,
	 RMD_ETOOBIG,
	 "RetryRule.error_types",
	 NULL,
	 0},
	{rewrite_run_request,
	 {AT(5), AT(8), AT(3), AT(1)},
	 NUMBER,
	 86400,
	 RMD_ELIMIT,
	 "RetryRule.backoff",
	 NULL,
	 0},
	{rewrite_run_request,
	 {AT(5), AT(8), AT(4), AT(1)},
	 NUMBER,
	 86400,
	 RMD_ELIMIT,
	 "RetryRule.backoff_max",
	 NULL,
	 0},
	/* SessionResponse */
	{rewrite_session_response,
	 {AT(1), AT(3)},
	 LEN_BYTES,
	 256,
	 RMD_ETOOBIG,
	 "SessionWelcome.version",
	 NULL,
	 0},
	{rewrite_session_response,
	 {WITH(3, "\x08\x01"), AT(2), AT(2)},
	 LEN_BYTES,
	 65536,
	 RMD_ETOOBIG,
	 "LogChunk.data",
	 NULL,
	 0},
	{rewrite_session_response,
	 {WITH(4, "\x08\x01"), AT(2), AT(1)},
	 LEN_BYTES,
	 4 << 20,
	 RMD_ETOOBIG,
	 "Outcome.value",
	 NULL,
	 0},
	{rewrite_session_response,
	 {WITH(4, "\x08\x01"), AT(2), AT(2)},
	 LEN_BYTES,
	 4 << 20,
	 RMD_ETOOBIG,
	 "Outcome.error",
	 NULL,
	 0},
	{rewrite_session_response,
	 {WITH(4, "\x08\x01"), AT(2), AT(3), AT(1)},
	 LEN_BYTES,
	 256,
	 RMD_ETOOBIG,
	 "Cancelled.reason",
	 NULL,
	 0},
	{rewrite_session_response,
	 {WITH(7, "\x08\x01"), AT(2)},
	 LEN_BYTES,
	 4096,
	 RMD_ETOOBIG,
	 "SessionPool.error",
	 NULL,
	 0},
	/* AttachRequest */
	{rewrite_attach_request,
	 {AT(1), AT(2)},
	 LEN_BYTES,
	 256,
	 RMD_ETOOBIG,
	 "AgentHello.name",
	 NULL,
	 0},
	{rewrite_attach_request,
	 {AT(1), AT(3)},
	 LEN_BYTES,
	 256,
	 RMD_ETOOBIG,
	 "AgentHello.version",
	 NULL,
	 0},
	{rewrite_attach_request,
	 {AT(1), AT(4)},
	 TIMES,
	 16,
	 RMD_ELIMIT,
	 "AgentHello.runtimes",
	 UNIT("native")},
	{rewrite_attach_request,
	 {AT(1), AT(4)},
	 LEN_BYTES,
	 64,
	 RMD_ETOOBIG,
	 "AgentHello.runtimes",
	 NULL,
	 0},
	{rewrite_attach_request,
	 {AT(1), AT(5)},
	 NUMBER,
	 UINT32_MAX,
	 RMD_ELIMIT,
	 "AgentHello.cpu_milli",
	 NULL,
	 0},
	{rewrite_attach_request,
	 {AT(1), AT(7)},
	 TIMES,
	 64,
	 RMD_ELIMIT,
	 "AgentHello.labels",
	 UNIT("\x0a\x01k")},
	{rewrite_attach_request,
	 {AT(1), AT(7), AT(2)},
	 LEN_BYTES,
	 128,
	 RMD_ETOOBIG,
	 "AgentHello.labels",
	 NULL,
	 0},
	{rewrite_attach_request,
	 {AT(7), AT(3)},
	 TIMES,
	 100000,
	 RMD_ELIMIT,
	 "AgentPool.workers",
	 UNIT("")},
	{rewrite_attach_request,
	 {AT(7), AT(4)},
	 LEN_BYTES,
	 4 << 20,
	 RMD_ETOOBIG,
	 "AgentPool.start_error",
	 NULL,
	 0},
	{rewrite_attach_request,
	 {WITH(9, "\x08\x01\x10\x01"), AT(3)},
	 LEN_BYTES,
	 512,
	 RMD_ETOOBIG,
	 "NestedSubmit.function",
	 NULL,
	 0},
	{rewrite_attach_request,
	 {WITH(9, "\x08\x01\x10\x01"), AT(4)},
	 LEN_BYTES,
	 4 << 20,
	 RMD_ETOOBIG,
	 "NestedSubmit.arguments",
	 NULL,
	 0},
	{rewrite_attach_request,
	 {WITH(9, "\x08\x01\x10\x01"), AT(6)},
	 LEN_BYTES,
	 128,
	 RMD_ETOOBIG,
	 "NestedSubmit.pool",
	 NULL,
	 0},
	{rewrite_attach_request,
	 {WITH(9, "\x08\x01\x10\x01"), AT(7)},
	 NUMBER,
	 RMD_DEADLINE_MAX_MS,
	 RMD_ELIMIT,
	 "NestedSubmit.deadline_ms",
	 NULL,
	 0},
	{rewrite_attach_request,
	 {WITH(9, "\x08\x01\x10\x01"), AT(8)},
	 NUMBER,
	 100,
	 RMD_ELIMIT,
	 "NestedSubmit.max_attempts",
	 NULL,
	 0},
	/* AttachResponse */
	{rewrite_attach_response,
	 {WITH(4, "\x08\x01\x30\x01"), AT(3)},
	 LEN_BYTES,
	 512,
	 RMD_ETOOBIG,
	 "Lease.function",
	 NULL,
	 0},
	{rewrite_attach_response,
	 {WITH(4, "\x08\x01\x30\x01"), AT(4)},
	 LEN_BYTES,
	 4 << 20,
	 RMD_ETOOBIG,
	 "Lease.arguments",
	 NULL,
	 0},
	{rewrite_attach_response,
	 {WITH(4, "\x08\x01\x30\x01"), AT(7)},
	 NUMBER,
	 RMD_DEADLINE_MAX_MS,
	 RMD_ELIMIT,
	 "Lease.deadline_ms",
	 NULL,
	 0},
	{rewrite_attach_response,
	 {WITH(8, "\x0a\x20" SIXTEEN SIXTEEN "\x10\x01"), AT(3)},
	 LEN_BYTES,
	 256,
	 RMD_ETOOBIG,
	 "ModuleImage.name",
	 NULL,
	 0},
	/* PoolSpec */
	{rewrite_pool_spec,
	 {AT(1)},
	 LEN_BYTES,
	 128,
	 RMD_ETOOBIG,
	 "PoolSpec.name",
	 NULL,
	 0},
	{rewrite_pool_spec,
	 {AT(2)},
	 LEN_BYTES,
	 64,
	 RMD_ETOOBIG,
	 "PoolSpec.runtime",
	 NULL,
	 0},
	{rewrite_pool_spec,
	 {AT(3)},
	 NUMBER,
	 100000,
	 RMD_ELIMIT,
	 "PoolSpec.max_workers",
	 NULL,
	 0},
	{rewrite_pool_spec,
	 {AT(5)},
	 TIMES,
	 256,
	 RMD_ELIMIT,
	 "PoolSpec.environment",
	 UNIT("\x0a\x01K")},
	{rewrite_pool_spec,
	 {WITH(5, "\x0a\x04NAME"), AT(2)},
	 LEN_BYTES,
	 65532,
	 RMD_ETOOBIG,
	 "PoolSpec.environment",
	 NULL,
	 0},
	{rewrite_pool_spec,
	 {AT(6)},
	 TIMES,
	 64,
	 RMD_ELIMIT,
	 "PoolSpec.modules",
	 UNIT(SIXTEEN SIXTEEN)},
	{rewrite_pool_spec,
	 {AT(10)},
	 TIMES,
	 16,
	 RMD_ELIMIT,
	 "PoolSpec.labels",
	 UNIT("\x0a\x01k")},
	{rewrite_pool_spec,
	 {AT(10), AT(1)},
	 LEN_BYTES,
	 128,
	 RMD_ETOOBIG,
	 "PoolSpec.labels",
	 NULL,
	 0},
	/* RunRequest, MapRequest, AwaitRequest */
	{rewrite_run_request,
	 {AT(1)},
	 LEN_BYTES,
	 512,
	 RMD_ETOOBIG,
	 "Request.function",
	 NULL,
	 0},
	{rewrite_run_request, {AT(2)}, TIMES, 255, RMD_ELIMIT, "Request.args", UNIT("")},
	{rewrite_run_request,
	 {AT(3)},
	 TIMES,
	 255,
	 RMD_ELIMIT,
	 "Request.kwargs",
	 UNIT("")},
	{rewrite_run_request,
	 {AT(4)},
	 LEN_BYTES,
	 128,
	 RMD_ETOOBIG,
	 "Request.pool",
	 NULL,
	 0},
	{rewrite_run_request,
	 {AT(6)},
	 LEN_BYTES,
	 128,
	 RMD_ETOOBIG,
	 "Request.request_id",
	 NULL,
	 0},
	{rewrite_map_request,
	 {AT(1)},
	 LEN_BYTES,
	 512,
	 RMD_ETOOBIG,
	 "MapRequest.function",
	 NULL,
	 0},
	{rewrite_map_request,
	 {AT(2)},
	 TIMES,
	 100000,
	 RMD_ELIMIT,
	 "MapRequest.items",
	 UNIT("\x10\x01")},
	{rewrite_map_request,
	 {AT(2)},
	 LEN_BYTES,
	 (4 << 20) - 5,
	 RMD_ETOOBIG,
	 "MapRequest.items",
	 NULL,
	 0},
	{rewrite_map_request,
	 {AT(3)},
	 LEN_BYTES,
	 128,
	 RMD_ETOOBIG,
	 "MapRequest.pool",
	 NULL,
	 0},
	{rewrite_task_ids,
	 {AT(1)},
	 TIMES,
	 10000,
	 RMD_ELIMIT,
	 "tasks",
	 UNIT("\x0a\x10" SIXTEEN "\x10\x01")},
};

/* Puts the field of `limit` with `n` where it belongs. */
static void build(struct rmd_wire_writer *out, const struct limit *limit, unsigned depth,
		  uint64_t n)
{
	const struct level *level = &limit->path[depth];
	bool leaf = depth + 1 == LEVELS_MAX || limit->path[depth + 1].field == 0;
	if (!leaf) {
		struct rmd_wire_nest nest = rmd_wire_open(out, level->field);
		rmd_wire_put_raw(out, rmd_slice_of(level->before, level->before_len));
		build(out, limit, depth + 1, n);
		rmd_wire_close(out, nest);
		return;
	}
	switch (limit->leaf) {
	case LEN_BYTES: {
		uint8_t *bytes = malloc(n + 1);
		assert_non_null(bytes);
		memset(bytes, 'x', n);
		rmd_wire_put_bytes(out, level->field, rmd_slice_of(bytes, n));
		free(bytes);
		return;
	}
	case NUMBER:
		rmd_wire_put_varint(out, level->field, n);
		return;
	case TIMES:
		for (uint64_t i = 0; i < n; i++)
			rmd_wire_put_bytes(out, level->field,
					   rmd_slice_of(limit->unit, limit->unit_len));
		return;
	}
}

static int read_at(const struct limit *limit, uint64_t n, const char **ret_field)
{
	struct rmd_wire_writer message = {0}, out = {0};
	build(&message, limit, 0, n);
	int rc = limit->read(rmd_slice_of(message.data, message.len), NULL, &out,
			     ret_field);
	rmd_wire_writer_fini(&out);
	rmd_wire_writer_fini(&message);
	return rc;
}

static void each_limit_holds_at_its_maximum_and_not_one_beyond(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		const char *field = "";
		int rc = read_at(&limits[i], limits[i].max, &field);
		if (rc != 0)
			fail_msg("%s at its maximum: %s, %s", limits[i].says,
				 rmd_errcode_name(rc), field);
		rc = read_at(&limits[i], limits[i].max + 1, &field);
		if (rc != limits[i].code)
			fail_msg("%s one beyond: %s, %s", limits[i].says,
				 rmd_errcode_name(rc), field);
		if (strstr(field, limits[i].says) == NULL)
			fail_msg("%s one beyond: says %s", limits[i].says, field);
	}
}

/* Bytes that a reader refuses. */
struct nonsense {
	rewrite_fn *read;
	const char *bytes;
	size_t len;
	int code;
	const char *says;
};

#define NONSENSE(read, bytes, code, says)                 \
	{                                                 \
		read, bytes, sizeof bytes - 1, code, says \
	}

static const struct nonsense nonsense[] = {
	NONSENSE(rewrite_session_request, "\x0a\x00", RMD_EPROTO, "SessionHello.session"),
	NONSENSE(rewrite_session_request,
		 "\x0a\x11\x0a\x0f"
		 "0123456789abcde",
		 RMD_EPROTO, "SessionHello.session"),
	NONSENSE(rewrite_session_request,
		 "\x0a\x13\x0a\x11"
		 "0123456789abcdefg",
		 RMD_EPROTO, "SessionHello.session"),
	NONSENSE(rewrite_session_request, "\x08\x01", RMD_EPROTO, "Session"),
	NONSENSE(rewrite_session_request, "\x12\x00", RMD_EPROTO, "Chunk.transfer"),
	NONSENSE(rewrite_session_request, "\x1a\x00", RMD_EPROTO, "SessionSubmit.number"),
	NONSENSE(rewrite_session_request, "\x1a\x06\x08\x01\x12\x00\x12\x00", RMD_EPROTO,
		 "SessionSubmit.task"),
	NONSENSE(rewrite_session_request, "\x1a\x07\x08\x01\x12\x03\x0a\x01\xff",
		 RMD_EPROTO, "TaskSpec.function"),
	NONSENSE(rewrite_session_request, "\x1a\x06\x08\x01\x12\x02\x08\x01", RMD_EPROTO,
		 "TaskSpec.function"),
	NONSENSE(rewrite_session_request, "\x1a\x09\x08\x01\x12\x05\x12\x01x\x18\x01",
		 RMD_EPROTO, "TaskSpec.arguments_transfer"),
	NONSENSE(rewrite_session_request,
		 "\x1a\x0c\x08\x01\x12\x08\x18\x01\x32\x04\x10\x01\x20\x01", RMD_EPROTO,
		 "TaskSpec.arguments_segment"),
	NONSENSE(rewrite_session_request, "\x1a\x08\x08\x01\x12\x04\x32\x02\x10\x01",
		 RMD_EPROTO, "SegmentRef (length and mark"),
	NONSENSE(rewrite_session_request, "\x1a\x08\x08\x01\x12\x04\x32\x02\x20\x01",
		 RMD_EPROTO, "SegmentRef (length and mark"),
	NONSENSE(rewrite_session_response,
		 "\x22\x0c\x08\x01\x12\x02\x1a\x00\x1a\x04\x10\x01\x20\x01", RMD_EPROTO,
		 "SessionOutcome.value_segment"),
	NONSENSE(rewrite_session_request, "\x1a\x08\x08\x01\x12\x04\x2a\x00\x2a\x00",
		 RMD_EPROTO, "TaskSpec.options"),
	NONSENSE(rewrite_session_request, "\x1a\x08\x08\x01\x12\x04\x2a\x05\x08\x01",
		 RMD_ETRUNC, "TaskSpec"),
	/* A deadline before now, and one that is just over ten years. */
	NONSENSE(rewrite_session_request,
		 "\x1a\x13\x08\x01\x12\x0f\x2a\x0d\x12\x0b\x08\xff\xff\xff\xff\xff\xff"
		 "\xff\xff\xff\x01",
		 RMD_ELIMIT, "TaskOptions.deadline"),
	NONSENSE(rewrite_session_request, "\x22\x01\x80", RMD_ETRUNC,
		 "SessionRequest.cancels"),
	NONSENSE(rewrite_session_request,
		 "\x2a\x0c\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x01", RMD_EPROTO,
		 "SessionRequest.acks"),
	NONSENSE(rewrite_session_request, "\x29\x01\x02\x03\x04\x05\x06\x07\x08",
		 RMD_EPROTO, "SessionRequest.acks"),
	NONSENSE(rewrite_session_request, "\x32\x02\x12\x00", RMD_EPROTO,
		 "SessionOpenPool.pool"),
	NONSENSE(rewrite_session_request, "\x3a\x00", RMD_EPROTO,
		 "SessionRequest.goodbye"),
	NONSENSE(rewrite_session_request, "\x0b", RMD_EPROTO, "SessionRequest"),
	NONSENSE(rewrite_session_response, "\x22\x02\x08\x01", RMD_EPROTO, "Outcome"),
	NONSENSE(rewrite_session_response, "\x22\x08\x08\x01\x12\x04\x0a\x00\x12\x00",
		 RMD_EPROTO, "Outcome"),
	NONSENSE(rewrite_session_response, "\x22\x06\x08\x01\x12\x02\x20\x00", RMD_EPROTO,
		 "Outcome.value_transfer"),
	NONSENSE(rewrite_session_response, "\x2a\x00", RMD_EPROTO, "SessionResponse"),
	NONSENSE(rewrite_attach_request, "\x2a\x04\x12\x02\x0a\x00", RMD_EPROTO,
		 "LeaseOutcome.lease"),
	NONSENSE(rewrite_attach_request, "\x3a\x02\x18\x01", RMD_EPROTO,
		 "AgentPool.workers"),
	NONSENSE(rewrite_attach_request, "\x3a\x04\x1a\x02\x0a\x00", RMD_EPROTO,
		 "AgentWorker.worker"),
	NONSENSE(rewrite_attach_request, "\x4a\x02\x10\x01", RMD_EPROTO,
		 "NestedSubmit.lease"),
	NONSENSE(rewrite_attach_request, "\x4a\x02\x08\x01", RMD_EPROTO,
		 "NestedSubmit.number"),
	NONSENSE(rewrite_attach_request, "\x4a\x09\x08\x01\x10\x01\x22\x01x\x28\x01",
		 RMD_EPROTO, "NestedSubmit.arguments_transfer"),
	NONSENSE(rewrite_attach_request, "\x4a\x02\x18\x01", RMD_EPROTO,
		 "NestedSubmit.function"),
	NONSENSE(rewrite_attach_request, "\x48\x01", RMD_EPROTO, "AttachRequest"),
	NONSENSE(rewrite_attach_request, "\x52\x02\x08\x01", RMD_EPROTO, "NestedCancel"),
	NONSENSE(rewrite_attach_request, "\x52\x02\x12\x00", RMD_EPROTO,
		 "NestedCancel.number"),
	NONSENSE(rewrite_attach_request, "\x5a\x02\x10\x01", RMD_EPROTO,
		 "LeaseWait.lease"),
	NONSENSE(rewrite_attach_request, "\x62\x02\x10\x01", RMD_EPROTO,
		 "LeaseProgress.lease"),
	NONSENSE(rewrite_attach_response, "\x4a\x06\x08\x01\x1a\x02\x1a\x00", RMD_EPROTO,
		 "NestedOutcome"),
	NONSENSE(rewrite_attach_response, "\x4a\x04\x08\x01\x10\x01", RMD_EPROTO,
		 "Outcome"),
	NONSENSE(rewrite_attach_response, "\x22\x02\x30\x01", RMD_EPROTO, "Lease.lease"),
	NONSENSE(rewrite_attach_response, "\x22\x02\x08\x01", RMD_EPROTO,
		 "Lease.attempt"),
	NONSENSE(rewrite_attach_response, "\x22\x09\x08\x01\x30\x01\x22\x01x\x28\x01",
		 RMD_EPROTO, "Lease.arguments_transfer"),
	NONSENSE(rewrite_attach_response, "\x42\x02\x10\x01", RMD_EPROTO,
		 "ModuleImage.digest"),
	NONSENSE(rewrite_attach_request, "\x6a\x01x", RMD_EPROTO,
		 "AttachRequest.images_wanted"),
	NONSENSE(rewrite_pool_spec,
		 "\x0a\x03"
		 "a/b",
		 RMD_EINVAL, "PoolSpec.name"),
	NONSENSE(rewrite_pool_spec,
		 "\x12\x02"
		 "a\0",
		 RMD_EINVAL, "PoolSpec.runtime"),
	NONSENSE(rewrite_pool_spec, "\x2a\x03\x12\x01v", RMD_EINVAL,
		 "PoolSpec.environment"),
	NONSENSE(rewrite_pool_spec,
		 "\x2a\x05\x0a\x03"
		 "A=B",
		 RMD_EINVAL, "PoolSpec.environment"),
	NONSENSE(rewrite_pool_spec,
		 "\x2a\x06\x0a\x01"
		 "A"
		 "\x12\x01\0",
		 RMD_EINVAL, "PoolSpec.environment"),
	NONSENSE(rewrite_pool_spec, "\x32\x01x", RMD_EPROTO, "PoolSpec.modules"),
	NONSENSE(rewrite_pool_spec, "\x52\x06\x0a\x01k\x12\x01\0", RMD_EINVAL,
		 "PoolSpec.labels"),
	NONSENSE(rewrite_task_ids, "\x0a\x02\x10\x01", RMD_EPROTO, "TaskId.session"),
	NONSENSE(rewrite_task_ids, "\x0a\x12\x0a\x10" SIXTEEN, RMD_EPROTO,
		 "TaskId.number"),
};

static void what_means_nothing_is_refused_and_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
		struct rmd_wire_writer out = {0};
		const char *field = "";
		int rc =
			nonsense[i].read(rmd_slice_of(nonsense[i].bytes, nonsense[i].len),
					 NULL, &out, &field);
		if (rc != nonsense[i].code || strstr(field, nonsense[i].says) == NULL)
			fail_msg("%zu: %s expected at %s, got %s at %s", i,
				 rmd_errcode_name(nonsense[i].code), nonsense[i].says,
				 rc == 0 ? "0" : rmd_errcode_name(rc), field);
		rmd_wire_writer_fini(&out);
	}
}

static void priorities_and_deadlines_are_exact(void **state)
{
	(void)state;
	const char *field = "";
	struct rmd_task_options options;
	for (int64_t priority = -1002; priority <= 1002; priority++) {
		struct rmd_wire_writer w = {0};
		rmd_wire_put_varint(&w, 1, (uint64_t)priority);
		int rc = rmd_task_options_read(rmd_slice_of(w.data, w.len), &options,
					       &field);
		bool within = priority >= -1000 && priority <= 1000;
		assert_int_equal(rc, within ? 0 : RMD_ELIMIT);
		if (within)
			assert_int_equal(options.priority, priority);
		rmd_wire_writer_fini(&w);
	}
	/* A nanosecond is rounded up to a millisecond, so that it isn't "no deadline". */
	assert_int_equal(rmd_task_options_read(rmd_slice_of("\x12\x02\x10\x01", 4),
					       &options, &field),
			 0);
	assert_int_equal(options.deadline_ms, 1);
	assert_int_equal(
		rmd_task_options_read(rmd_slice_of("\x12\x04\x08\x02\x10\x00", 6),
				      &options, &field),
		0);
	assert_int_equal(options.deadline_ms, 2000);
}

static void unknown_fields_are_skipped(void **state)
{
	(void)state;
	/* Field 15 at every level, as a newer version may write. */
	static const char bytes[] = "\x78\x05\x1a\x15\x08\x07\x7a\x01x\x12\x0e\x0a\x01"
				    "f\x7a\x00"
				    "\x2a\x07\x78\x01\x08\x03\x7a\x01y\x7a\x00";
	struct rmd_frame_reader reader =
		rmd_frame_reader_of(rmd_slice_of(bytes, sizeof bytes - 1));
	struct rmd_session_request_item item;
	assert_int_equal(rmd_session_request_next(&reader, &item), 1);
	assert_int_equal(item.kind, RMD_SESSION_REQUEST_SUBMIT);
	assert_int_equal(item.submit.number, 7);
	assert_int_equal(item.submit.task.options.priority, 3);
	assert_int_equal(rmd_session_request_next(&reader, &item), 0);
}

static void numbers_are_read_packed_and_unpacked(void **state)
{
	(void)state;
	static const char bytes[] =
		"\x20\x05\x22\x03\x01\x80\x01\x22\x00\x2a\x01\x09\x28\x0a";
	static const uint64_t expected[][2] = {{4, 5}, {4, 1}, {4, 128}, {5, 9}, {5, 10}};
	struct rmd_frame_reader reader =
		rmd_frame_reader_of(rmd_slice_of(bytes, sizeof bytes - 1));
	struct rmd_session_request_item item;
	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
		assert_int_equal(rmd_session_request_next(&reader, &item), 1);
		assert_int_equal(item.kind, expected[i][0]);
		assert_int_equal(item.number, expected[i][1]);
	}
	assert_int_equal(rmd_session_request_next(&reader, &item), 0);
}

static void numbers_are_written_packed(void **state)
{
	(void)state;
	static const uint64_t numbers[] = {1, 300, UINT64_MAX};
	struct rmd_wire_writer w = {0};
	rmd_session_request_put_acks(&w, numbers, 3);
	rmd_session_request_put_acks(&w, numbers, 0);
	static const char expected[] =
		"\x2a\x0d\x01\xac\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
	assert_int_equal(w.len, sizeof expected - 1);
	assert_memory_equal(w.data, expected, w.len);
	rmd_wire_writer_fini(&w);
}

static void a_large_payload_is_spliced_and_a_small_one_copied(void **state)
{
	(void)state;
	static const size_t sizes[] = {RMD_WIRE_SPLICE_MIN - 1, RMD_WIRE_SPLICE_MIN};
	for (size_t i = 0; i < 2; i++) {
		struct rmd_buf *buf = rmd_buf_create(sizes[i]);
		assert_non_null(buf);
		memset(rmd_buf_writable(buf), 'a', sizes[i]);
		struct rmd_outcome outcome = {RMD_OUTCOME_VALUE, rmd_buf_slice(buf), 0};
		struct rmd_task_spec task = {.arguments = rmd_buf_slice(buf)};
		struct rmd_wire_writer w = {0};
		rmd_session_response_put_outcome(&w, 1, &outcome, buf);
		rmd_session_request_put_submit(&w, 1, &task, buf);
		assert_int_equal(w.splice_count, 2 * i);
		rmd_session_response_put_outcome(&w, 1, &outcome, NULL);
		assert_int_equal(w.splice_count, 2 * i);
		rmd_buf_unref(buf); /* the writer has its own references */
		rmd_wire_writer_fini(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_limit_holds_at_its_maximum_and_not_one_beyond),
		cmocka_unit_test(what_means_nothing_is_refused_and_named),
		cmocka_unit_test(priorities_and_deadlines_are_exact),
		cmocka_unit_test(unknown_fields_are_skipped),
		cmocka_unit_test(numbers_are_read_packed_and_unpacked),
		cmocka_unit_test(numbers_are_written_packed),
		cmocka_unit_test(a_large_payload_is_spliced_and_a_small_one_copied),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
