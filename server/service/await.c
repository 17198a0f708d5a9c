/* server/service/await.c: Executor.Await and Executor.Cancel. */
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "server/service/executor.h"

#define AWAIT_MAGIC 0xa3a17001u
#define CANCEL_MAGIC 0xca4ce101u
#define CANCEL_POLL_MS 10
#define CANCEL_WAIT_MS 60000 /* the ladder of a running task is shorter */

/* ---- Await ---- */

struct awaited {
	struct rmd_waiter waiter; /* first */
	struct await *await;
	struct rmd_task_id id;
};

struct await {
	uint32_t magic;
	struct rmd_executor *executor;
	struct rmd_stream *stream;
	bool requested;
	uint64_t inline_max_bytes;
	size_t waiting, count;
	struct awaited *awaited; /* count of them */
};

/* `ticket` NULL: the task is none of the executor's. */
static void send_outcome(struct await *await, const struct rmd_task_id *id,
			 struct rmd_ticket *ticket, const struct rmd_outcome *outcome,
			 struct rmd_buf *buf)
{
	struct rmd_buf *made;
	struct rmd_outcome sent =
		rmd_outcome_fit(id, ticket, await->inline_max_bytes, outcome, &made);
	rmd_await_response_put(rmd_stream_begin(await->stream), id, &sent,
			       made != NULL ? made : buf);
	rmd_stream_end_message(await->stream);
	rmd_buf_unref(made);
}

static void awaited_ended(struct rmd_waiter *waiter, struct rmd_ticket *ticket,
			  const struct rmd_outcome *outcome, struct rmd_buf *buf)
{
	struct await *await = ((struct awaited *)waiter)->await;
	RMD_CHECK_OBJ(await, AWAIT_MAGIC);
	struct rmd_task_id id = ((struct awaited *)waiter)->id;
	send_outcome(await, &id, ticket, outcome, buf);
	if (--await->waiting == 0)
		rmd_stream_finish(await->stream, RMD_RPC_OK, "");
}

static void send_error(struct await *await, const struct rmd_task_id *id,
		       const char *type, const char *text)
{
	struct rmd_buf *error = rmd_outcome_refused(type, "%s", text);
	struct rmd_outcome outcome = {.kind = RMD_OUTCOME_ERROR};
	if (error != NULL)
		outcome.bytes = rmd_buf_slice(error);
	send_outcome(await, id, NULL, &outcome, error);
	rmd_buf_unref(error);
}

/* The ticket of a task that is the executor's own, or NULL. */
static struct rmd_ticket *ticket_of(const struct await *await,
				    const struct rmd_core_task *task)
{
	return rmd_core_task_client(task) == await->executor->client &&
			       !rmd_core_task_nested(task)
		       ? rmd_ticket_of(task)
		       : NULL;
}

static void await_one(struct await *await, struct awaited *awaited,
		      const struct rmd_task_id *id)
{
	struct rmd_core_task *task =
		rmd_coordinator_task(await->executor->coordinator, id);
	awaited->await = await;
	awaited->id = *id;
	awaited->waiter.ended = awaited_ended;
	if (task == NULL) {
		send_error(await, id, "UnknownTask",
			   "no such task: it was never accepted here, or its outcome was "
			   "kept "
			   "for its time and is forgotten");
	} else if (rmd_core_task_state(task) == RMD_CORE_TASK_DONE) {
		struct rmd_outcome outcome;
		struct rmd_buf *buf;
		rmd_outcome_make(task, rmd_core_task_end(task),
				 rmd_core_task_outcome(task), &outcome, &buf);
		send_outcome(await, id, ticket_of(await, task), &outcome, buf);
		rmd_buf_unref(buf);
	} else if (rmd_core_task_nested(task)) {
		send_error(await, id, "NotAwaitable",
			   "the task was submitted by a task, which waits for it itself");
	} else if (rmd_ticket_of(task) != NULL) { /* a call's, or a detached one */
		rmd_ticket_wait(rmd_ticket_of(task), &awaited->waiter);
		await->waiting++;
	} else {
		send_error(await, id, "NotAwaitable",
			   "the task belongs to a session that waits for it itself");
	}
}

static int count_ids(struct rmd_slice message, size_t *ret_count, const char **ret_field)
{
	struct rmd_frame_reader reader = rmd_frame_reader_of(message);
	struct rmd_task_id id;
	size_t count = 0;
	int rc;
	while ((rc = rmd_task_ids_next(&reader, &id)) > 0)
		count++;
	*ret_count = count;
	*ret_field = reader.field;
	return rc;
}

static void await_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct await *await = ctx;
	RMD_CHECK_OBJ(await, AWAIT_MAGIC);
	const char *field = NULL;
	if (await->requested)
		return;
	await->requested = true;
	int rc = count_ids(message.bytes, &await->count, &field);
	if (rc == 0)
		rc = rmd_await_request_inline_max(message.bytes, &await->inline_max_bytes,
						  &field);
	if (rc == 0) {
		await->awaited = rmd_calloc(await->count, sizeof *await->awaited);
		if (await->awaited == NULL)
			rc = RMD_ENOMEM;
	}
	if (rc < 0) {
		await->count = 0;
		rmd_call_bad_request(stream, rc, field);
		return;
	}
	struct rmd_frame_reader reader = rmd_frame_reader_of(message.bytes);
	struct rmd_task_id id;
	for (size_t i = 0; rmd_task_ids_next(&reader, &id) > 0; i++)
		await_one(await, &await->awaited[i], &id);
	if (await->waiting == 0)
		rmd_stream_finish(stream, RMD_RPC_OK, "");
}

static void await_half_closed(struct rmd_stream *stream, void *ctx)
{
	const struct await *await = ctx;
	if (!await->requested)
		rmd_call_bad_request(stream, RMD_ETRUNC, "the request message");
}

static void await_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
			 const char *text)
{
	struct await *await = ctx;
	RMD_CHECK_OBJ(await, AWAIT_MAGIC);
	(void)stream;
	(void)status;
	(void)text;
	for (size_t i = 0; i < await->count; i++)
		rmd_waiter_leave(&await->awaited[i].waiter);
	rmd_free(await->awaited);
	await->magic = 0;
	rmd_free(await);
}

static const struct rmd_stream_events await_events = {
	.message = await_message,
	.half_closed = await_half_closed,
	.closed = await_closed,
};

void rmd_await_open(struct rmd_stream *stream, void *executor)
{
	struct await *await = rmd_calloc(1, sizeof *await);
	if (await == NULL) {
		rmd_stream_finish(stream, RMD_RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	await->magic = AWAIT_MAGIC;
	await->executor = executor;
	await->stream = stream;
	rmd_stream_listen(stream, &await_events, await);
}

/* ---- Cancel ---- */

/* Looks again and again until all have ended: cancels are rare, and end by many ways. */
struct cancel {
	uint32_t magic;
	struct rmd_executor *executor;
	struct rmd_stream *stream;
	struct rmd_timer timer;
	uint64_t until_ms;
	bool requested;
	size_t count;
	struct rmd_task_id *ids;
	enum rmd_cancel_result *results;
};

static bool all_ended(struct cancel *cancel)
{
	for (size_t i = 0; i < cancel->count; i++) {
		struct rmd_core_task *task = rmd_coordinator_task(
			cancel->executor->coordinator, &cancel->ids[i]);
		if (task != NULL && rmd_core_task_state(task) != RMD_CORE_TASK_DONE)
			return false;
	}
	return true;
}

static void look(struct cancel *cancel)
{
	uint64_t now_ms = rmd_clock_mono_ms();
	if (!all_ended(cancel) && now_ms < cancel->until_ms &&
	    rmd_timer_start(cancel->executor->coordinator->loop, &cancel->timer,
			    now_ms + CANCEL_POLL_MS) == 0)
		return;
	struct rmd_wire_writer *writer = rmd_stream_begin(cancel->stream);
	for (size_t i = 0; i < cancel->count; i++)
		rmd_cancel_response_put(writer, cancel->results[i]);
	rmd_stream_end(cancel->stream);
	rmd_stream_finish(cancel->stream, RMD_RPC_OK, "");
}

static void on_cancel_timer(struct rmd_timer *timer)
{
	look((struct cancel *)((char *)timer - offsetof(struct cancel, timer)));
}

static void cancel_one(struct cancel *cancel, size_t i)
{
	struct rmd_coordinator *coordinator = cancel->executor->coordinator;
	struct rmd_core_task *task = rmd_coordinator_task(coordinator, &cancel->ids[i]);
	if (task == NULL) {
		cancel->results[i] = RMD_CANCEL_RESULT_NOT_FOUND;
	} else if (rmd_core_task_state(task) == RMD_CORE_TASK_DONE) {
		cancel->results[i] = RMD_CANCEL_RESULT_DONE;
	} else {
		cancel->results[i] = RMD_CANCEL_RESULT_CANCELLED;
		rmd_core_cancel(coordinator->core, rmd_clock_mono_ms(), task,
				RMD_CORE_END_CANCELLED);
	}
}

static void cancel_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct cancel *cancel = ctx;
	RMD_CHECK_OBJ(cancel, CANCEL_MAGIC);
	const char *field = NULL;
	if (cancel->requested)
		return;
	cancel->requested = true;
	int rc = count_ids(message.bytes, &cancel->count, &field);
	if (rc == 0) {
		cancel->ids = rmd_calloc(cancel->count, sizeof *cancel->ids);
		cancel->results = rmd_calloc(cancel->count, sizeof *cancel->results);
		if (cancel->ids == NULL || cancel->results == NULL)
			rc = RMD_ENOMEM;
	}
	if (rc < 0) {
		cancel->count = 0;
		rmd_call_bad_request(stream, rc, field);
		return;
	}
	struct rmd_frame_reader reader = rmd_frame_reader_of(message.bytes);
	for (size_t i = 0; i < cancel->count; i++)
		if (rmd_task_ids_next(&reader, &cancel->ids[i]) > 0)
			cancel_one(cancel, i);
	rmd_coordinator_touch(cancel->executor->coordinator);
	cancel->until_ms = rmd_clock_mono_ms() + CANCEL_WAIT_MS;
	look(cancel);
}

static void cancel_half_closed(struct rmd_stream *stream, void *ctx)
{
	const struct cancel *cancel = ctx;
	if (!cancel->requested)
		rmd_call_bad_request(stream, RMD_ETRUNC, "the request message");
}

static void cancel_closed(struct rmd_stream *stream, void *ctx,
			  enum rmd_rpc_status status, const char *text)
{
	struct cancel *cancel = ctx;
	RMD_CHECK_OBJ(cancel, CANCEL_MAGIC);
	(void)stream;
	(void)status;
	(void)text;
	rmd_timer_stop(cancel->executor->coordinator->loop, &cancel->timer);
	rmd_free(cancel->ids);
	rmd_free(cancel->results);
	cancel->magic = 0;
	rmd_free(cancel);
}

static const struct rmd_stream_events cancel_events = {
	.message = cancel_message,
	.half_closed = cancel_half_closed,
	.closed = cancel_closed,
};

void rmd_cancel_open(struct rmd_stream *stream, void *executor)
{
	struct cancel *cancel = rmd_calloc(1, sizeof *cancel);
	if (cancel == NULL) {
		rmd_stream_finish(stream, RMD_RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	cancel->magic = CANCEL_MAGIC;
	cancel->executor = executor;
	cancel->stream = stream;
	cancel->timer.fire = on_cancel_timer;
	rmd_stream_listen(stream, &cancel_events, cancel);
}
