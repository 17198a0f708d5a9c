/* The tasks of the fake coordinator: what they do, and how they end. */
#include <string.h>

#include "proto/base/check.h"
#include "proto/codec/arguments.h"
#include "proto/error/chain.h"
#include "tests/unit/client/fake_inside.h"

/* ---- outcomes ---- */

void fake_send_window(struct fake_session *session)
{
	rmd_session_response_put_window(rmd_stream_begin(session->stream),
					session->ended + session->fake->options.window);
	rmd_stream_end(session->stream);
}

void fake_send_outcome(struct fake_session *session, const struct fake_task *task)
{
	struct rmd_outcome outcome = task->outcome;
	if (session->stream == NULL || session->fake->hold_back)
		return;
	struct rmd_segment_ref ref;
	uint8_t *to;
	if (outcome.kind == RMD_OUTCOME_VALUE && session->shared != NULL &&
	    outcome.bytes.len >= RMD_SHARED_PAYLOAD_MIN &&
	    rmd_shared_lend(session->shared, outcome.bytes.len, &ref, &to) == 0) {
		memcpy(to, outcome.bytes.data, outcome.bytes.len);
		rmd_session_response_put_segment(rmd_stream_begin(session->stream),
						 task->number, &ref);
		rmd_stream_end(session->stream);
		fake_count(session->fake, &session->fake->counts.lent);
		return;
	}
	if (outcome.kind == RMD_OUTCOME_VALUE &&
	    outcome.bytes.len > session->fake->options.inline_max_bytes) {
		struct rmd_chunks chunks =
			rmd_chunks_of(session->next_transfer, outcome.bytes);
		struct rmd_chunk chunk;
		while (rmd_chunks_next(&chunks, &chunk)) {
			rmd_chunk_put(rmd_stream_begin(session->stream), RMD_FIELD_CHUNKS,
				      &chunk, task->buf);
			rmd_stream_end(session->stream);
		}
		outcome = (struct rmd_outcome){.kind = RMD_OUTCOME_VALUE_TRANSFER,
					       .transfer = session->next_transfer++};
	}
	rmd_session_response_put_outcome(rmd_stream_begin(session->stream), task->number,
					 &outcome, task->buf);
	rmd_stream_end(session->stream);
}

/* Takes `buf`. */
void fake_end_task(struct fake_session *session, struct fake_task *task,
		     enum rmd_outcome_kind kind, struct rmd_buf *buf)
{
	task->done = true;
	task->buf = buf;
	task->outcome = (struct rmd_outcome){.kind = kind};
	if (buf != NULL)
		task->outcome.bytes = rmd_buf_slice(buf);
	session->open--;
	session->ended++;
	fake_send_outcome(session, task);
	if (session->stream != NULL)
		fake_send_window(session);
}

static struct rmd_buf *value_buf(const struct remuda_value *value)
{
	struct rmd_wire_writer writer = {0};
	rmd_value_put(&writer, value);
	struct rmd_buf *buf = rmd_wire_writer_take(&writer);
	rmd_wire_writer_fini(&writer);
	return buf;
}

struct rmd_buf *fake_int(uint64_t number)
{
	struct remuda_value value = {.kind = REMUDA_INT64, .u.int64 = (int64_t)number};
	return value_buf(&value);
}

static struct rmd_buf *first_argument(struct rmd_slice arguments)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(arguments);
	struct rmd_argument argument;
	if (rmd_arguments_next(&reader, &argument) <= 0)
		return rmd_buf_create(0);
	return rmd_buf_copy(argument.value);
}

static struct rmd_buf *argument_counts(struct rmd_slice arguments)
{
	uint32_t counts[2] = {0, 0};
	rmd_arguments_count(arguments, &counts[0], &counts[1]);
	int64_t numbers[2] = {counts[0], counts[1]};
	struct remuda_value value = {.kind = REMUDA_INTS, .u.ints = {numbers, 2}};
	return value_buf(&value);
}

static struct rmd_buf *error_chain(void)
{
	struct remuda_error *cause = remuda_error_create("RootError", "row %d", 7);
	struct remuda_error *err =
		remuda_error_wrap(cause, "OuterError", "it went wrong");
	struct rmd_buf *buf = rmd_error_encode_buf(err);
	remuda_error_free(err);
	return buf;
}

/* ---- running ---- */

static bool is(struct rmd_slice function, const char *name)
{
	const uint8_t *colon = memchr(function.data, ':', function.len);
	RMD_CHECK(colon != NULL);
	struct rmd_slice rest = rmd_slice_of(
		colon + 1, function.len - (size_t)(colon + 1 - function.data));
	return rmd_slice_equal(rest, rmd_slice_of_string(name));
}

void fake_run_task(struct fake_session *session, struct fake_task *task,
		     const struct rmd_task_spec *spec, struct rmd_slice arguments)
{
	struct rmd_slice name = spec->function;
	if (is(name, "count")) {
		fake_end_task(session, task, RMD_OUTCOME_VALUE, argument_counts(arguments));
	} else if (is(name, "pool")) {
		fake_end_task(session, task, RMD_OUTCOME_VALUE, fake_int(spec->pool));
	} else if (is(name, "deadline")) {
		fake_end_task(session, task, RMD_OUTCOME_VALUE,
			 fake_int(spec->options.deadline_ms));
	} else if (is(name, "fail")) {
		fake_end_task(session, task, RMD_OUTCOME_ERROR, error_chain());
	} else if (is(name, "deaf")) {
		task->deaf = true;
	} else if (is(name, "garbage")) {
		rmd_wire_put_raw(rmd_stream_begin(session->stream),
				 rmd_slice_of_string("\xff\xff\xff\xff"));
		rmd_stream_end(session->stream);
	} else if (is(name, "stray")) {
		const struct rmd_segment_ref stray = {
			.offset = 1u << 30, .length = 1u << 20, .place = 3, .mark = 1};
		rmd_session_response_put_segment(rmd_stream_begin(session->stream),
						 task->number, &stray);
		rmd_stream_end(session->stream);
	} else if (is(name, "refuse")) {
		rmd_stream_finish(session->stream, RMD_RPC_INVALID_ARGUMENT, "no such thing");
	} else if (is(name, "die")) {
		rmd_stream_cancel(session->stream);
	} else if (!is(name, "hold")) {
		struct rmd_log_chunk log = {.stream = RMD_LOG_STREAM_STDOUT,
					    .data = rmd_slice_of_string("hello"),
					    .dropped_bytes = 3};
		if (is(name, "log") && spec->options.stream_logs) {
			rmd_session_response_put_log(rmd_stream_begin(session->stream),
						     task->number, &log);
			rmd_stream_end(session->stream);
		}
		fake_end_task(session, task, RMD_OUTCOME_VALUE, first_argument(arguments));
	}
}
