/* server/service/session.c: Executor.Session: what client libraries use.
 *
 * A session outlives its stream: it is found again by its 16 bytes, resumes, and is
 * sent the outcomes that it has not acknowledged. Nothing is run twice: the core knows
 * the highest number. session_submit.c has what it does for tasks and pools. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"
#include "server/service/executor.h"
#include "server/service/session_inside.h"

#define TRANSFERS_MAX 1024u
#define MESSAGE_BYTES (6u << 20) /* an inline argument, a chunk, and room */
#define ANSWERS_MAX_BYTES (4u << 20)
#define ANSWER_BYTES 64u /* of an answer, beside its text */

static const char session_path[] = "/remuda.v1.Executor/Session";
static struct rmd_method session_method;
static const struct rmd_stream_events session_events, deaf_events;

const uint8_t *rmd_session_id(const struct rmd_session *session)
{
	return session->id;
}

struct rmd_core_client *rmd_session_client(const struct rmd_session *session)
{
	return session->client;
}

/* Half of the 16 random bytes: two sessions with the same half don't come about by
 * chance. */
static uint64_t key_of(const uint8_t *id)
{
	uint64_t key;
	memcpy(&key, id, sizeof key);
	return key;
}

struct rmd_session *rmd_session_find(struct rmd_coordinator *coordinator,
				     const uint8_t *id)
{
	struct rmd_session *session =
		rmd_map_get(&coordinator->sessions_by_id, key_of(id));
	if (session == NULL || memcmp(session->id, id, RMD_SESSION_BYTES) != 0)
		return NULL;
	return session;
}

static void set_starved(struct rmd_session *session, bool starved);

/* Frees it; the core's client is gone or goes with it. */
static void session_free(struct rmd_session *session)
{
	RMD_CHECK_OBJ(session, RMD_SESSION_MAGIC);
	struct rmd_coordinator *coordinator = session->coordinator;
	if (session->client != NULL) {
		rmd_core_client_close(coordinator->core, rmd_clock_mono_ms(),
				      session->client);
		rmd_coordinator_touch(coordinator);
	}
	if (session->named)
		rmd_map_take(&coordinator->sessions_by_id, key_of(session->id));
	set_starved(session, false);
	rmd_sharing_end(&session->sharing);
	LIST_REMOVE(session, link);
	coordinator->session_count--;
	rmd_transfers_fini(&session->transfers);
	rmd_map_fini(&session->pools);
	session->magic = 0;
	rmd_free(session);
}

/* ---- what goes to the client ---- */

void rmd_session_put_outcome(struct rmd_session *session, uint64_t number,
			     const struct rmd_outcome *outcome, struct rmd_buf *buf)
{
	struct rmd_outcome sent = *outcome;
	if (outcome->kind == RMD_OUTCOME_VALUE &&
	    rmd_sharing_put(&session->sharing, number,
			    (struct rmd_piece){outcome->bytes, buf}))
		return;
	if (outcome->kind == RMD_OUTCOME_VALUE &&
	    outcome->bytes.len > session->inline_max_bytes) {
		struct rmd_chunks chunks =
			rmd_chunks_of(++session->last_transfer, outcome->bytes);
		struct rmd_chunk chunk;
		while (rmd_chunks_next(&chunks, &chunk)) {
			rmd_chunk_put(rmd_stream_begin(session->stream), RMD_FIELD_CHUNKS,
				      &chunk, buf);
			rmd_stream_end(session->stream);
		}
		sent = (struct rmd_outcome){.kind = RMD_OUTCOME_VALUE_TRANSFER,
					    .transfer = session->last_transfer};
	}
	rmd_session_response_put_outcome(rmd_stream_begin(session->stream), number, &sent,
					 buf);
	rmd_stream_end(session->stream);
}

/* The value of a task lies where the client sees it. */
static void on_shared(struct rmd_sharing *sharing, uint64_t number,
		      const struct rmd_segment_ref *ref)
{
	struct rmd_session *session =
		(struct rmd_session *)(void *)((char *)sharing -
					       offsetof(struct rmd_session, sharing));
	RMD_CHECK_OBJ(session, RMD_SESSION_MAGIC);
	rmd_session_response_put_segment(rmd_stream_begin(session->stream), number, ref);
	rmd_stream_end(session->stream);
}

static enum rmd_core_keep on_ended(struct rmd_submitter *submitter,
				   struct rmd_core_task *task,
				   const struct rmd_outcome *outcome, struct rmd_buf *buf)
{
	struct rmd_session *session = (struct rmd_session *)submitter;
	RMD_CHECK_OBJ(session, RMD_SESSION_MAGIC);
	struct rmd_ticket *ticket = rmd_ticket_of(task);
	if (session->stream != NULL)
		rmd_session_put_outcome(session, rmd_core_task_number(task), outcome, buf);
	if (ticket != NULL) /* it is detached: others may wait for it */
		rmd_ticket_tell(ticket, outcome, buf);
	return RMD_CORE_KEEP;
}

static void on_log(struct rmd_submitter *submitter, struct rmd_core_task *task,
		   const struct rmd_log_chunk *log)
{
	struct rmd_session *session = (struct rmd_session *)submitter;
	RMD_CHECK_OBJ(session, RMD_SESSION_MAGIC);
	if (session->stream == NULL)
		return;
	rmd_session_response_put_log(rmd_stream_begin(session->stream),
				     rmd_core_task_number(task), log);
	rmd_stream_end(session->stream);
}

static void on_expired(struct rmd_submitter *submitter)
{
	struct rmd_session *session = (struct rmd_session *)submitter;
	RMD_CHECK_OBJ(session, RMD_SESSION_MAGIC);
	session->client = NULL; /* gone when this returns */
	session_free(session);
}

static void set_starved(struct rmd_session *session, bool starved)
{
	if (starved != session->starved)
		session->coordinator->starved_count += starved ? 1 : (uint32_t)-1;
	session->starved = starved;
}

void rmd_session_answered(struct rmd_session *session, size_t bytes)
{
	session->answer_bytes += bytes + ANSWER_BYTES;
	if (session->answer_bytes > ANSWERS_MAX_BYTES)
		rmd_stream_pause(session->stream, true);
}

static void on_drained(struct rmd_stream *stream, void *ctx)
{
	struct rmd_session *session = ctx;
	RMD_CHECK_OBJ(session, RMD_SESSION_MAGIC);
	if (session->answer_bytes > ANSWERS_MAX_BYTES)
		rmd_stream_pause(stream, false);
	session->answer_bytes = 0;
}

/* Acknowledges submits, opens the window further, and ends the stream after a goodbye. */
static void tell_progress(struct rmd_session *session)
{
	uint64_t accepted = rmd_core_client_accepted(session->client);
	uint64_t window = rmd_core_client_window(session->client);
	if (accepted < session->refused)
		accepted = session->refused;
	if (accepted != session->accepted_told) {
		rmd_session_response_put_accepted(rmd_stream_begin(session->stream),
						  accepted);
		rmd_stream_end(session->stream);
		session->accepted_told = accepted;
	}
	if (window > session->window_told) {
		rmd_session_response_put_window(rmd_stream_begin(session->stream),
						window);
		rmd_stream_end(session->stream);
		session->window_told = window;
	}
	set_starved(session, session->window_told <= accepted);
	if (session->goodbye && rmd_core_client_tasks(session->client) ==
					rmd_core_client_detached(session->client))
		rmd_stream_finish(session->stream, RMD_RPC_OK, "");
}

void rmd_session_feed(struct rmd_coordinator *coordinator)
{
	struct rmd_session *session;
	if (coordinator->starved_count == 0)
		return;
	LIST_FOREACH (session, &coordinator->sessions, link)
		if (session->starved && session->stream != NULL)
			tell_progress(session);
}

/* ---- what comes from the client ---- */

static void welcome(struct rmd_session *session, uint64_t accepted)
{
	uint64_t payload_max = session->coordinator->options.payload_budget_bytes;
	if (payload_max > RMD_TRANSFER_MAX_BYTES)
		payload_max = RMD_TRANSFER_MAX_BYTES;
	struct rmd_session_welcome said = {.protocol = RMD_PROTOCOL_VERSION,
					   .epoch = session->coordinator->epoch,
					   .version = rmd_slice_of_string(REMUDA_VERSION),
					   .accepted = accepted,
					   .payload_max_bytes = payload_max,
					   .shared_memory = session->sharing.shared != NULL};
	rmd_session_response_put_welcome(rmd_stream_begin(session->stream), &said);
	rmd_stream_end(session->stream);
}

/* What belonged to the stream that was: pieces of transfers, shared memory. */
static void forget_stream(struct rmd_session *session)
{
	uint64_t seed;
	rmd_random_bytes(&seed, sizeof seed);
	rmd_transfers_fini(&session->transfers);
	rmd_transfers_init(&session->transfers, TRANSFERS_MAX,
			   session->coordinator->options.payload_budget_bytes, seed);
	rmd_sharing_end(&session->sharing);
}

/* Takes the memory that the client has posted, before the welcome says so. */
static void share(struct rmd_session *session, const struct rmd_session_hello *hello)
{
	if (hello->shared_memory)
		rmd_sharing_begin(&session->sharing, session->coordinator, hello->session,
				  rmd_stream_peer_uid(session->stream));
}

/* The stream goes over from `fresh` (which ends) to the session that it resumes. */
static struct rmd_session *resume(struct rmd_session *fresh, struct rmd_session *session,
				  const struct rmd_session_hello *hello)
{
	struct rmd_core_task *task = NULL;
	if (session->stream != NULL) { /* a half-open one: the newest counts */
		rmd_stream_listen(session->stream, &deaf_events, NULL);
		rmd_stream_cancel(session->stream);
	}
	session->stream = fresh->stream;
	session->inline_max_bytes = fresh->inline_max_bytes;
	session->accepted_told = session->window_told = 0;
	session->answer_bytes = 0;
	fresh->stream = NULL;
	session_free(fresh);
	rmd_stream_listen(session->stream, &session_events, session);
	forget_stream(session);
	share(session, hello);
	rmd_core_client_resume(session->coordinator->core, rmd_clock_mono_ms(),
			       session->client);
	welcome(session, rmd_core_client_accepted(session->client));
	while ((task = rmd_core_client_outcome_next(session->client, task)) != NULL) {
		struct rmd_outcome outcome;
		struct rmd_buf *buf;
		rmd_outcome_make(task, rmd_core_task_end(task),
				 rmd_core_task_outcome(task), &outcome, &buf);
		rmd_session_put_outcome(session, rmd_core_task_number(task), &outcome, buf);
		rmd_buf_unref(buf);
	}
	return session;
}

static void end_stream(struct rmd_session *session, enum rmd_rpc_status status,
		       const char *reason, const char *text)
{
	rmd_stream_set_reason(session->stream, reason);
	rmd_stream_finish(session->stream, status, text);
}

/* Whose the client is: pools pass on only within one identity. */
static void identity_of(const struct rmd_stream *stream, char *ret_identity, size_t size)
{
	if (rmd_stream_peer_uid(stream) >= 0)
		snprintf(ret_identity, size, "uid:%lld",
			 (long long)rmd_stream_peer_uid(stream));
	else
		snprintf(ret_identity, size, "anyone");
}

/* Gives the session that goes on: itself, the one it resumes, or NULL: refused. */
static struct rmd_session *take_hello(struct rmd_session *session,
				      const struct rmd_session_hello *hello)
{
	struct rmd_coordinator *coordinator = session->coordinator;
	if (session->client != NULL) {
		end_stream(session, RMD_RPC_INVALID_ARGUMENT, "SECOND_HELLO",
			   "a session says hello once");
		return NULL;
	}
	if (hello->protocol != RMD_PROTOCOL_VERSION) {
		char text[160];
		snprintf(text, sizeof text,
			 "the client speaks protocol %u, this coordinator (%s) protocol "
			 "%u",
			 hello->protocol, REMUDA_VERSION, RMD_PROTOCOL_VERSION);
		end_stream(session, RMD_RPC_FAILED_PRECONDITION, "PROTOCOL_VERSION",
			   text);
		return NULL;
	}
	session->inline_max_bytes = hello->inline_max_bytes != 0
					    ? hello->inline_max_bytes
					    : RMD_OUTCOME_INLINE_DEFAULT_BYTES;
	struct rmd_session *known = rmd_session_find(coordinator, hello->session);
	if (known != NULL && rmd_core_client_abandoned(known->client)) {
		end_stream(session, RMD_RPC_NOT_FOUND, "SESSION_OVER",
			   "the session was away for too long, and its tasks were cancelled; "
			   "ask for detached ones with Executor.Await");
		return NULL;
	}
	if (known != NULL)
		return resume(session, known, hello);
	char identity[64];
	identity_of(session->stream, identity, sizeof identity);
	memcpy(session->id, hello->session, RMD_SESSION_BYTES);
	int rc = rmd_map_put(&coordinator->sessions_by_id, key_of(session->id), session);
	session->named = rc == 0;
	if (rc == 0)
		rc = rmd_core_client_open(coordinator->core, rmd_clock_mono_ms(),
					  identity, &session->submitter,
					  &session->client);
	if (rc < 0) {
		end_stream(session,
			   rc == RMD_ECLOSED ? RMD_RPC_UNAVAILABLE
					     : RMD_RPC_RESOURCE_EXHAUSTED,
			   rc == RMD_ECLOSED ? "DRAINING" : "TOO_MANY_SESSIONS",
			   rc == RMD_ECLOSED
				   ? "the coordinator is shutting down"
				   : "too many sessions are open; try again later");
		return NULL;
	}
	share(session, hello);
	welcome(session, 0);
	return session;
}

static int take_item(struct rmd_session *session,
		     const struct rmd_session_request_item *item, struct rmd_buf *frame,
		     const char **ret_field)
{
	struct rmd_core *core = session->coordinator->core;
	uint64_t now_ms = rmd_clock_mono_ms();
	struct rmd_core_task *task;
	int rc;
	switch (item->kind) {
	case RMD_SESSION_REQUEST_HELLO:
		return RMD_EPROTO; /* taken before */
	case RMD_SESSION_REQUEST_CHUNK:
		rc = rmd_transfers_add(&session->transfers, &item->chunk);
		return rc < 0 ? rc : 0;
	case RMD_SESSION_REQUEST_SUBMIT:
		rc = rmd_session_submit(session, &item->submit, frame);
		if (rc == RMD_EPROTO)
			*ret_field = "TaskSpec.arguments_segment (not within the shared "
				     "memory, or still in use)";
		return rc;
	case RMD_SESSION_REQUEST_CANCEL:
		task = rmd_core_task_find(session->client, item->number);
		if (task != NULL)
			rmd_core_cancel(core, now_ms, task, RMD_CORE_END_CANCELLED);
		return 0;
	case RMD_SESSION_REQUEST_ACK:
		rc = rmd_core_ack(core, now_ms, session->client, item->number);
		return rc == RMD_EPROTO ? rc : 0;
	case RMD_SESSION_REQUEST_OPEN_POOL:
		rmd_session_open_pool(session, &item->open_pool);
		return 0;
	case RMD_SESSION_REQUEST_CLOSE_POOL:
		rmd_session_close_pool(session, &item->close_pool);
		return 0;
	case RMD_SESSION_REQUEST_GOODBYE:
		session->goodbye = true;
		return 0;
	}
	return RMD_EPROTO;
}

static void bad_frame(struct rmd_session *session, int rc, const char *field)
{
	char text[256];
	snprintf(text, sizeof text, "a bad SessionRequest: %s%s%s", rmd_errcode_text(rc),
		 field != NULL ? " at " : "", field != NULL ? field : "");
	end_stream(session,
		   rc == RMD_ELIMIT || rc == RMD_ETOOBIG || rc == RMD_ENOMEM
			   ? RMD_RPC_RESOURCE_EXHAUSTED
			   : RMD_RPC_INVALID_ARGUMENT,
		   "BAD_FRAME", text);
}

static void on_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct rmd_session *session = ctx;
	RMD_CHECK_OBJ(session, RMD_SESSION_MAGIC);
	(void)stream;
	struct rmd_frame_reader reader = rmd_frame_reader_of(message.bytes);
	struct rmd_session_request_item item;
	int rc;
	while ((rc = rmd_session_request_next(&reader, &item)) > 0) {
		if (item.kind == RMD_SESSION_REQUEST_HELLO) {
			session = take_hello(session, &item.hello);
			if (session == NULL)
				return;
			rc = 0;
		} else if (session->client == NULL) {
			rc = RMD_EPROTO;
		} else {
			rc = take_item(session, &item, message.buf, &reader.field);
		}
		if (rc < 0)
			break;
	}
	if (rc < 0) {
		bad_frame(session, rc, reader.field);
		return;
	}
	if (session->client != NULL)
		tell_progress(session);
	rmd_coordinator_touch(session->coordinator);
}

static void on_half_closed(struct rmd_stream *stream, void *ctx)
{
	struct rmd_session *session = ctx;
	RMD_CHECK_OBJ(session, RMD_SESSION_MAGIC);
	rmd_stream_finish(stream, RMD_RPC_OK, "");
}

static void on_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
		      const char *text)
{
	struct rmd_session *session = ctx;
	RMD_CHECK_OBJ(session, RMD_SESSION_MAGIC);
	(void)status;
	(void)text;
	RMD_CHECK(session->stream == stream);
	session->stream = NULL;
	rmd_sharing_end(&session->sharing);
	struct rmd_coordinator *coordinator = session->coordinator;
	bool for_ever = session->goodbye || coordinator->options.private_mode;
	if (session->client == NULL ||
	    (for_ever && rmd_core_client_detached(session->client) == 0)) {
		session_free(session);
		return;
	}
	rmd_core_client_leave(coordinator->core, rmd_clock_mono_ms(), session->client,
			      for_ever ? 0 : coordinator->options.client_grace_ms);
	rmd_coordinator_touch(coordinator);
}

static const struct rmd_stream_events session_events = {
	.message = on_message,
	.half_closed = on_half_closed,
	.drained = on_drained,
	.closed = on_closed,
};

/* For a stream whose session has gone over to a newer one. */
static const struct rmd_stream_events deaf_events = {0};

static void on_open(struct rmd_stream *stream, void *service)
{
	struct rmd_coordinator *coordinator = service;
	struct rmd_session *session = rmd_calloc(1, sizeof *session);
	if (session == NULL) {
		rmd_stream_finish(stream, RMD_RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	uint64_t seed;
	rmd_random_bytes(&seed, sizeof seed);
	session->submitter = (struct rmd_submitter){on_ended, on_log, on_expired};
	session->magic = RMD_SESSION_MAGIC;
	session->coordinator = coordinator;
	session->sharing.send = on_shared;
	session->stream = stream;
	rmd_transfers_init(&session->transfers, TRANSFERS_MAX,
			   coordinator->options.payload_budget_bytes, seed);
	rmd_map_init(&session->pools, seed);
	LIST_INSERT_HEAD(&coordinator->sessions, session, link);
	coordinator->session_count++;
	rmd_stream_listen(stream, &session_events, session);
}

int rmd_session_service_add(struct rmd_coordinator *coordinator)
{
	session_method = (struct rmd_method){.path = session_path,
					     .open = on_open,
					     .message_max_bytes = MESSAGE_BYTES};
	return rmd_server_add_methods(coordinator->server, &session_method, 1,
				      coordinator);
}

void rmd_session_service_end(struct rmd_coordinator *coordinator)
{
	for (struct rmd_session *session;
	     (session = LIST_FIRST(&coordinator->sessions)) != NULL;)
		session_free(session);
}
