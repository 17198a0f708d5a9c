#include "server/service/executor.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"

#define RUN_MAGIC 0x04c41001u
#define LOGS_MAX_BYTES (1u << 20)
#define REQUEST_BYTES ((4u << 20) + (64u << 10))

static struct rmd_method methods[5];

/* ---- tickets ---- */

struct rmd_ticket *rmd_ticket_of(const struct rmd_core_task *task)
{
	return rmd_core_task_user(task);
}

struct rmd_task_id rmd_executor_task_id(const struct rmd_executor *executor,
					uint64_t number)
{
	struct rmd_task_id id = {.number = number};
	memcpy(id.session, executor->id, sizeof id.session);
	return id;
}

void rmd_ticket_wait(struct rmd_ticket *ticket, struct rmd_waiter *waiter)
{
	RMD_CHECK(waiter->ticket == NULL);
	waiter->ticket = ticket;
	LIST_INSERT_HEAD(&ticket->waiters, waiter, link);
}

void rmd_waiter_leave(struct rmd_waiter *waiter)
{
	if (waiter->ticket == NULL)
		return;
	LIST_REMOVE(waiter, link);
	waiter->ticket = NULL;
}

static void ticket_free(struct rmd_executor *executor, struct rmd_ticket *ticket)
{
	if (ticket->request_id != NULL)
		rmd_map_take(&executor->requests, ticket->request_key);
	rmd_wire_writer_fini(&ticket->logs);
	rmd_free(ticket->request_id);
	rmd_free(ticket);
}

void rmd_ticket_forget(struct rmd_executor *executor, struct rmd_ticket *ticket)
{
	if (!ticket->held) {
		TAILQ_REMOVE(&executor->ended, ticket, link);
		executor->ended_count--;
		executor->ended_bytes -= ticket->outcome_bytes;
	}
	rmd_core_ack(executor->coordinator->core, rmd_clock_mono_ms(), executor->client,
		     ticket->number);
	ticket_free(executor, ticket);
}

static bool retains_too_much(const struct rmd_executor *executor)
{
	return executor->ended_count > RMD_UNARY_RETAINED_MAX ||
	       executor->ended_bytes > RMD_UNARY_RETAINED_MAX_BYTES;
}

/* Of a ticket whose task has ended. */
static void retain(struct rmd_executor *executor, struct rmd_ticket *ticket)
{
	TAILQ_INSERT_TAIL(&executor->ended, ticket, link);
	executor->ended_count++;
	executor->ended_bytes += ticket->outcome_bytes;
	rmd_timer_start(executor->coordinator->loop, &executor->timer,
			retains_too_much(executor)
				? 0
				: TAILQ_FIRST(&executor->ended)->expires_ms);
}

static void on_timer(struct rmd_timer *timer)
{
	struct rmd_executor *executor =
		(struct rmd_executor *)((char *)timer -
					offsetof(struct rmd_executor, timer));
	struct rmd_ticket *ticket;
	uint64_t now_ms = rmd_clock_mono_ms();
	while ((ticket = TAILQ_FIRST(&executor->ended)) != NULL &&
	       (ticket->expires_ms <= now_ms || retains_too_much(executor)))
		rmd_ticket_forget(executor, ticket);
	if (ticket != NULL)
		rmd_timer_start(executor->coordinator->loop, timer, ticket->expires_ms);
	rmd_coordinator_touch(executor->coordinator);
}

void rmd_ticket_keep(struct rmd_executor *executor, struct rmd_ticket *ticket)
{
	ticket->held = false;
	ticket->expires_ms = rmd_clock_mono_ms() + RMD_UNARY_RETENTION_MS;
	ticket->outcome_bytes = rmd_core_task_outcome(ticket->task).bytes.len;
	retain(executor, ticket);
}

static enum rmd_core_keep on_ended(struct rmd_submitter *submitter,
				   struct rmd_core_task *task,
				   const struct rmd_outcome *outcome, struct rmd_buf *buf)
{
	struct rmd_executor *executor = (struct rmd_executor *)submitter;
	struct rmd_ticket *ticket = rmd_ticket_of(task);
	rmd_ticket_tell(ticket, outcome, buf);
	if (ticket->held)
		return RMD_CORE_KEEP;
	if (!ticket->retained) {
		ticket_free(executor, ticket);
		return RMD_CORE_FORGET;
	}
	ticket->expires_ms = rmd_clock_mono_ms() + RMD_UNARY_RETENTION_MS;
	ticket->outcome_bytes = outcome->bytes.len;
	retain(executor, ticket);
	return RMD_CORE_KEEP;
}

static void on_log(struct rmd_submitter *submitter, struct rmd_core_task *task,
		   const struct rmd_log_chunk *log)
{
	(void)submitter;
	struct rmd_ticket *ticket = rmd_ticket_of(task);
	if (rmd_wire_writer_len(&ticket->logs) + log->data.len > LOGS_MAX_BYTES)
		rmd_wire_writer_reset(&ticket->logs);
	rmd_run_response_put_log(&ticket->logs, log);
}

static void on_expired(struct rmd_submitter *submitter)
{
	(void)submitter; /* it never leaves */
}

/* The pool of that name, or the runtime's default one. */
static int find_pool(struct rmd_executor *executor, struct rmd_slice function,
		     struct rmd_slice name, struct rmd_core_pool **ret_pool,
		     struct rmd_buf **ret_error)
{
	struct rmd_coordinator *coordinator = executor->coordinator;
	struct rmd_slice runtime = rmd_function_runtime(function);
	if (runtime.len == 0) {
		*ret_error = rmd_outcome_refused(
			"UnknownFunction",
			"\"%.*s\" names no runtime: write RUNTIME:NAME, such as "
			"native:%.*s",
			(int)function.len, (const char *)function.data, (int)function.len,
			(const char *)function.data);
		return RMD_EINVAL;
	}
	if (name.len != 0) {
		*ret_pool = rmd_core_pool_find_name(coordinator->core, name);
		if (*ret_pool != NULL)
			return 0;
		*ret_error = rmd_outcome_refused(
			"UnknownPool",
			"no pool is named \"%.*s\": open it with Pools.Open",
			(int)name.len, (const char *)name.data);
		return RMD_ENOTFOUND;
	}
	int rc = rmd_coordinator_default_pool(coordinator, runtime, ret_pool);
	if (rc < 0)
		*ret_error = rmd_outcome_submit_refused(coordinator, rc, function);
	return rc;
}

int rmd_ticket_submit(struct rmd_executor *executor, struct rmd_slice function,
		      struct rmd_slice pool, const struct rmd_task_options *options,
		      struct rmd_buf *arguments, bool retained,
		      struct rmd_ticket **ret_ticket, struct rmd_buf **ret_error)
{
	struct rmd_core_pool *core_pool;
	struct rmd_ticket *ticket = rmd_calloc(1, sizeof *ticket);
	if (ticket == NULL) {
		*ret_error = rmd_outcome_submit_refused(executor->coordinator, RMD_ENOMEM,
							function);
		return RMD_ENOMEM;
	}
	int rc = find_pool(executor, function, pool, &core_pool, ret_error);
	if (rc < 0) {
		rmd_free(ticket);
		return rc;
	}
	ticket->retained = retained || options->detached;
	ticket->number = executor->last_number + 1;
	LIST_INIT(&ticket->waiters);
	struct rmd_submit_rules rules;
	struct rmd_core_submit submit = {
		.number = ticket->number,
		.function = function,
		.payload = {rmd_buf_slice(arguments), arguments},
		.labels = {options->raw_labels, NULL},
		.pool = core_pool,
		.priority = options->priority,
		.deadline_ms = options->deadline_ms,
		.max_attempts = options->max_attempts,
		.stream_logs = options->stream_logs,
		.rules = rmd_submit_rules(options, &rules),
		.user = ticket,
	};
	rc = rmd_core_submit(executor->coordinator->core, rmd_clock_mono_ms(),
			     executor->client, &submit, &ticket->task);
	if (rc < 0) {
		*ret_error =
			rmd_outcome_submit_refused(executor->coordinator, rc, function);
		rmd_free(ticket);
		return rc == RMD_ELIMIT && rmd_buf_slice(arguments).len >=
						   executor->coordinator->options
							   .payload_budget_bytes
			       ? RMD_ETOOBIG
			       : rc;
	}
	executor->last_number++;
	rmd_coordinator_touch(executor->coordinator);
	*ret_ticket = ticket;
	return 0;
}

/* ---- Run and Submit ---- */

struct run {
	struct rmd_waiter waiter; /* first */
	uint32_t magic;
	struct rmd_executor *executor;
	struct rmd_stream *stream;
	bool submit_only; /* Submit */
	bool requested;
	uint64_t inline_max_bytes;
};

void rmd_call_bad_request(struct rmd_stream *stream, int rc, const char *field)
{
	char text[256];
	snprintf(text, sizeof text, "a bad request: %s%s%s", rmd_errcode_text(rc),
		 field != NULL ? " at " : "", field != NULL ? field : "");
	rmd_stream_set_reason(stream, "BAD_REQUEST");
	rmd_stream_finish(stream, RMD_RPC_INVALID_ARGUMENT, text);
}

/* `ticket` NULL: the task was refused. */
static void reply(struct run *run, struct rmd_ticket *ticket,
		  const struct rmd_outcome *outcome, struct rmd_buf *buf)
{
	struct rmd_task_id id =
		rmd_executor_task_id(run->executor, ticket != NULL ? ticket->number : 0);
	struct rmd_buf *made;
	struct rmd_outcome sent =
		rmd_outcome_fit(&id, ticket, run->inline_max_bytes, outcome, &made);
	struct rmd_wire_writer *writer = rmd_stream_begin(run->stream);
	rmd_run_response_put(writer, &id, &sent, made != NULL ? made : buf);
	if (ticket != NULL)
		rmd_wire_put_raw(writer,
				 rmd_slice_of(ticket->logs.data, ticket->logs.len));
	rmd_stream_end(run->stream);
	rmd_stream_finish(run->stream, RMD_RPC_OK, "");
	rmd_buf_unref(made);
}

static void reply_submitted(struct run *run, const struct rmd_ticket *ticket)
{
	struct rmd_task_id id = rmd_executor_task_id(run->executor, ticket->number);
	rmd_submit_response_put(rmd_stream_begin(run->stream), &id);
	rmd_stream_end(run->stream);
	rmd_stream_finish(run->stream, RMD_RPC_OK, "");
}

static void run_ended(struct rmd_waiter *waiter, struct rmd_ticket *ticket,
		      const struct rmd_outcome *outcome, struct rmd_buf *buf)
{
	struct run *run = (struct run *)waiter;
	RMD_CHECK_OBJ(run, RUN_MAGIC);
	reply(run, ticket, outcome, buf);
}

/* A task that could not be accepted: for Run an outcome, for Submit a status. */
static void refused(struct run *run, int rc, struct rmd_buf *error)
{
	struct rmd_outcome outcome = {.kind = RMD_OUTCOME_ERROR};
	if (error != NULL)
		outcome.bytes = rmd_buf_slice(error);
	if (rc == RMD_ELIMIT || rc == RMD_ENOMEM) {
		rmd_stream_set_reason(run->stream, "OVERLOADED");
		rmd_stream_finish(
			run->stream, RMD_RPC_RESOURCE_EXHAUSTED,
			"the coordinator holds too many tasks or bytes; try again later");
	} else if (rc == RMD_ETOOBIG) {
		rmd_stream_set_reason(run->stream, "TOO_LARGE");
		rmd_stream_finish(
			run->stream, RMD_RPC_INVALID_ARGUMENT,
			"the arguments take more bytes than the coordinator may "
			"hold at all: start it with more --payload-bytes");
	} else if (rc == RMD_ECLOSED) {
		rmd_stream_set_reason(run->stream, "DRAINING");
		rmd_stream_finish(run->stream, RMD_RPC_UNAVAILABLE,
				  "the coordinator or the pool is closing");
	} else if (run->submit_only) {
		rmd_stream_set_reason(run->stream, "BAD_TASK");
		rmd_stream_finish(run->stream,
				  rc == RMD_ENOTFOUND ? RMD_RPC_NOT_FOUND
						      : RMD_RPC_INVALID_ARGUMENT,
				  rc == RMD_ENOTFOUND
					  ? "no such pool: open it with Pools.Open"
					  : "the function must be RUNTIME:NAME");
	} else {
		reply(run, NULL, &outcome, error);
	}
	rmd_buf_unref(error);
}

/* FNV-1a (Fowler, Noll, Vo), of a request_id; the map mixes a secret seed in. */
static uint64_t key_of(struct rmd_slice id)
{
	uint64_t key = UINT64_C(14695981039346656037);
	for (size_t i = 0; i < id.len; i++)
		key = (key ^ id.data[i]) * UINT64_C(1099511628211);
	return key;
}

static struct rmd_ticket *find_request(struct rmd_executor *executor, struct rmd_slice id)
{
	struct rmd_ticket *ticket = rmd_map_get(&executor->requests, key_of(id));
	if (ticket == NULL ||
	    !rmd_slice_equal(rmd_slice_of(ticket->request_id, ticket->request_id_len),
			     id))
		return NULL;
	return ticket;
}

/* Joins the ticket of the same request that came before. */
static void join(struct run *run, struct rmd_ticket *ticket)
{
	if (run->submit_only) {
		reply_submitted(run, ticket);
		return;
	}
	if (rmd_core_task_state(ticket->task) != RMD_CORE_TASK_DONE) {
		rmd_ticket_wait(ticket, &run->waiter);
		return;
	}
	struct rmd_outcome outcome;
	struct rmd_buf *buf;
	rmd_outcome_make(ticket->task, rmd_core_task_end(ticket->task),
			 rmd_core_task_outcome(ticket->task), &outcome, &buf);
	reply(run, ticket, &outcome, buf);
	rmd_buf_unref(buf);
}

/* Remembers the ticket under its request_id; without memory it has none. */
static void remember(struct rmd_executor *executor, struct rmd_ticket *ticket,
		     struct rmd_slice request_id)
{
	ticket->request_key = key_of(request_id);
	ticket->request_id = rmd_strndup((const char *)request_id.data, request_id.len);
	ticket->request_id_len = request_id.len;
	if (ticket->request_id != NULL &&
	    rmd_map_put(&executor->requests, ticket->request_key, ticket) < 0) {
		rmd_free(ticket->request_id);
		ticket->request_id = NULL;
	}
}

/* Who waits for a Run waits no longer than the deadline of the call: that is the task's
 * too, and so that of its children. */
static void heed_deadline(const struct rmd_stream *stream, const struct run *run,
			  struct rmd_task_options *options)
{
	uint64_t due_ms = rmd_stream_deadline_ms(stream), now_ms = rmd_clock_mono_ms();
	if (due_ms == 0 || run->submit_only || options->detached ||
	    due_ms >= now_ms + RMD_DEADLINE_MAX_MS)
		return;
	uint64_t left_ms = due_ms > now_ms ? due_ms - now_ms : 1;
	if (options->deadline_ms == 0 || options->deadline_ms > left_ms)
		options->deadline_ms = left_ms;
}

static void on_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct run *run = ctx;
	RMD_CHECK_OBJ(run, RUN_MAGIC);
	struct rmd_run_request request;
	const char *field = NULL;
	if (run->requested)
		return;
	run->requested = true;
	int rc = run->submit_only
			 ? rmd_submit_request_read(message.bytes, &request, &field)
			 : rmd_run_request_read(message.bytes, &request, &field);
	if (rc < 0) {
		rmd_call_bad_request(stream, rc, field);
		return;
	}
	struct rmd_ticket *ticket = NULL;
	if (request.request_id.len != 0)
		ticket = find_request(run->executor, request.request_id);
	if (ticket != NULL) {
		join(run, ticket);
		return;
	}
	struct rmd_buf *arguments = NULL, *error = NULL;
	heed_deadline(stream, run, &request.options);
	run->inline_max_bytes = request.inline_max_bytes;
	if (request.arguments_blob.len != 0 &&
	    !rmd_call_lend_blob(run->executor, stream, &request, &arguments))
		return;
	rc = arguments != NULL ? 0 : rmd_run_request_arguments(&request, &arguments);
	if (rc == 0)
		rc = rmd_ticket_submit(run->executor, request.function, request.pool,
				       &request.options, arguments,
				       run->submit_only || request.request_id.len != 0,
				       &ticket, &error);
	rmd_buf_unref(arguments);
	if (rc < 0) {
		refused(run, rc, error);
		return;
	}
	if (request.request_id.len != 0)
		remember(run->executor, ticket, request.request_id);
	if (run->submit_only)
		reply_submitted(run, ticket);
	else
		rmd_ticket_wait(ticket, &run->waiter);
}

static void on_half_closed(struct rmd_stream *stream, void *ctx)
{
	const struct run *run = ctx;
	if (!run->requested)
		rmd_call_bad_request(stream, RMD_ETRUNC, "the request message");
}

/* The caller is gone: a task that nobody else waits for is cancelled. */
static void on_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
		      const char *text)
{
	struct run *run = ctx;
	RMD_CHECK_OBJ(run, RUN_MAGIC);
	(void)stream;
	(void)status;
	(void)text;
	struct rmd_ticket *ticket = run->waiter.ticket;
	struct rmd_coordinator *coordinator = run->executor->coordinator;
	rmd_waiter_leave(&run->waiter);
	run->magic = 0;
	rmd_free(run);
	if (ticket == NULL || ticket->retained || !LIST_EMPTY(&ticket->waiters))
		return;
	rmd_core_cancel(coordinator->core, rmd_clock_mono_ms(), ticket->task,
			RMD_CORE_END_CLIENT_GONE);
	rmd_coordinator_touch(coordinator);
}

static const struct rmd_stream_events run_events = {
	.message = on_message,
	.half_closed = on_half_closed,
	.closed = on_closed,
};

static void open_call(struct rmd_stream *stream, struct rmd_executor *executor,
		      bool submit_only)
{
	struct run *run = rmd_calloc(1, sizeof *run);
	if (run == NULL) {
		rmd_stream_finish(stream, RMD_RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	run->magic = RUN_MAGIC;
	run->waiter.ended = run_ended;
	run->executor = executor;
	run->stream = stream;
	run->submit_only = submit_only;
	rmd_stream_listen(stream, &run_events, run);
}

static void run_open(struct rmd_stream *stream, void *executor)
{
	open_call(stream, executor, false);
}

static void submit_open(struct rmd_stream *stream, void *executor)
{
	open_call(stream, executor, true);
}

/* ---- life ---- */

const uint8_t *rmd_executor_session(const struct rmd_executor *executor)
{
	return executor->id;
}

struct rmd_core_client *rmd_executor_client(const struct rmd_executor *executor)
{
	return executor->client;
}

bool rmd_executor_owns(const struct rmd_executor *executor,
		       const struct rmd_submitter *submitter)
{
	return submitter == &executor->submitter;
}

struct rmd_executor *rmd_executor_create(struct rmd_coordinator *coordinator)
{
	struct rmd_executor *executor = rmd_calloc(1, sizeof *executor);
	if (executor == NULL)
		return NULL;
	executor->submitter = (struct rmd_submitter){on_ended, on_log, on_expired};
	executor->coordinator = coordinator;
	executor->timer.fire = on_timer;
	rmd_random_bytes(executor->id, sizeof executor->id);
	TAILQ_INIT(&executor->ended);
	rmd_map_init(&executor->requests, coordinator->epoch);
	methods[0] = (struct rmd_method){"/remuda.v1.Executor/Run", run_open,
					 REQUEST_BYTES, false};
	methods[1] = (struct rmd_method){"/remuda.v1.Executor/Submit", submit_open,
					 REQUEST_BYTES, false};
	methods[2] = (struct rmd_method){"/remuda.v1.Executor/Await", rmd_await_open, 0,
					 false};
	methods[3] = (struct rmd_method){"/remuda.v1.Executor/Cancel", rmd_cancel_open, 0,
					 false};
	methods[4] = (struct rmd_method){"/remuda.v1.Executor/Map", rmd_map_open,
					 REQUEST_BYTES, false};
	if (rmd_core_client_open(coordinator->core, rmd_clock_mono_ms(), "calls",
				 &executor->submitter, &executor->client) < 0 ||
	    rmd_server_add_methods(coordinator->server, methods, 5, executor) < 0) {
		rmd_map_fini(&executor->requests);
		rmd_free(executor);
		return NULL;
	}
	return executor;
}

void rmd_executor_destroy(struct rmd_executor *executor)
{
	if (executor == NULL)
		return;
	struct rmd_ticket *ticket;
	struct rmd_core_task *task = NULL;
	rmd_timer_stop(executor->coordinator->loop, &executor->timer);
	while ((task = rmd_core_task_next(executor->coordinator->core, task)) != NULL)
		if (rmd_core_task_client(task) == executor->client &&
		    !rmd_core_task_nested(task) &&
		    (rmd_core_task_state(task) != RMD_CORE_TASK_DONE ||
		     rmd_ticket_of(task)->held))
			ticket_free(executor, rmd_ticket_of(task));
	while ((ticket = TAILQ_FIRST(&executor->ended)) != NULL) {
		TAILQ_REMOVE(&executor->ended, ticket, link);
		ticket_free(executor, ticket);
	}
	rmd_map_fini(&executor->requests);
	rmd_free(executor);
}
