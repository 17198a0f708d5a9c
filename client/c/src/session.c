/* The client's thread: one call of Executor.Session, and what to do when it ends.
 *
 * welcome, same epoch      -> what was not accepted is sent again; the session goes on
 * welcome, another epoch   -> open tasks end as CoordinatorLost; the session starts anew
 * the connection is lost   -> private: LOST. remote: RESUMING until the patience of
 *                             open_timeout_ms ends. unix socket: its coordinator is gone:
 *                             open tasks end; RESUMING with another session
 * the call is refused      -> open tasks end; RESUMING with another session
 * All here runs on the client's thread, except where client.h says otherwise. */
#include "client/c/src/client.h"
#include "client/c/src/share.h"

#include <stddef.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/error/chain.h"

#define SESSION_PATH  "/remuda.v1.Executor/Session"
#define RETRY_MS      100u

#define CLIENT_OF(ptr, member) \
	((struct remuda *)(void *)((char *)(ptr)-offsetof(struct remuda, member)))

static void call_start(struct remuda *client);

/* ---- ending tasks ---- */

void rmd_session_fail_all(struct remuda *client, int code, struct remuda_error *err)
{
	struct rmd_buf *buf = rmd_error_encode_buf(err);
	remuda_error_free(err);
	uint64_t number = 0;
	for (;;) {
		pthread_mutex_lock(&client->table_lock);
		struct remuda_future *future = rmd_table_next(&client->table, &number);
		if (future != NULL)
			rmd_table_take(&client->table, number);
		pthread_mutex_unlock(&client->table_lock);
		if (future == NULL)
			break;
		struct rmd_piece piece = {0};
		if (buf != NULL)
			piece = (struct rmd_piece){rmd_buf_slice(buf), buf};
		rmd_future_complete(future, RMD_OUTCOME_ERROR, code, piece);
		rmd_future_unref(future);
	}
	rmd_buf_unref(buf);
}

static struct remuda_error *lost_error(const struct remuda *client, const char *text)
{
	struct remuda_error *err =
		remuda_error_create("CoordinatorLost",
				    "the coordinator at %s was lost before this task's "
				    "outcome came: it may have run%s%s",
				    client->address, text[0] != '\0' ? ": " : "", text);
	rmd_error_set_origin(err, REMUDA_ORIGIN_SERVICE);
	return err;
}

/* LOST for good: takes `err`, which is what each later submit says. */
static void lose(struct remuda *client, int code, struct remuda_error *err)
{
	pthread_mutex_lock(&client->lock);
	client->stream = NULL;
	client->why_code = code;
	client->why = rmd_error_encode_buf(err);
	rmd_unaccepted_drop(client, UINT64_MAX);
	rmd_client_move(client, RMD_CLIENT_LOST);
	pthread_mutex_unlock(&client->lock);
	remuda_error_free(err);
	rmd_timer_stop(client->loop, &client->patience);
	rmd_timer_stop(client->loop, &client->retry);
}

/* ---- giving up ---- */

void rmd_session_give_up(struct remuda *client, const char *text)
{
	rmd_session_fail_all(client, REMUDA_EUNREACHABLE, lost_error(client, text));
	pthread_mutex_lock(&client->lock);
	rmd_unaccepted_drop(client, UINT64_MAX);
	client->window = 0;
	pthread_mutex_unlock(&client->lock);
}

/* The next call begins another session: this one cannot go on, or would only bring the
 * same trouble again. */
static void begin_anew(struct remuda *client, const char *text)
{
	rmd_session_give_up(client, text);
	client->epoch = 0;
	pthread_mutex_lock(&client->lock);
	rmd_random_bytes(client->session, sizeof client->session);
	pthread_mutex_unlock(&client->lock);
}

/* ---- the call's life ---- */

static void ack_timer_fired(struct rmd_timer *timer)
{
	rmd_session_send_acks(CLIENT_OF(timer, ack_timer));
}

static void on_drained(struct rmd_stream *stream, void *ctx)
{
	struct remuda *client = ctx;
	(void)stream;
	if (!atomic_exchange(&client->room_wanted, false))
		return;
	pthread_mutex_lock(&client->lock);
	pthread_cond_broadcast(&client->changed);
	pthread_mutex_unlock(&client->lock);
}

/* `text` without `lead`, `address` and ": " where it begins so: that has been said. */
static const char *behind(const char *text, const char *lead, const char *address)
{
	size_t lead_len = strlen(lead), len = strlen(address);
	if (strncmp(text, lead, lead_len) != 0 ||
	    strncmp(text + lead_len, address, len) != 0 ||
	    strncmp(text + lead_len + len, ": ", 2) != 0)
		return text;
	return text + lead_len + len + 2;
}

/* Opening has failed: what to tell the user who waits in remuda_open. */
static struct remuda_error *open_error(const struct remuda *client,
				       enum rmd_rpc_status status, const char *text)
{
	const char *address = client->address;
	const char *hint =
		"Is remudad running there (remudad --listen ADDRESS)? Without an "
		"address, remuda starts a private coordinator";
	if (status == RMD_RPC_CANCELLED)
		text = "no answer within the time for opening (options.open_timeout_ms)";
	if (client->reach == RMD_REACH_PRIVATE)
		return remuda_error_create("ServerFailed",
					   "the private coordinator %s ended or broke "
					   "off before it answered (%s: %s). "
					   "What it said stands on standard error; "
					   "REMUDA_SERVER chooses another program",
					   client->server_path,
					   rmd_rpc_status_name(status), text);
	if (status == RMD_RPC_UNAUTHENTICATED || status == RMD_RPC_PERMISSION_DENIED)
		hint = "The coordinator does not let this client in";
	else if (status == RMD_RPC_UNIMPLEMENTED)
		hint = "Something answers there that is no coordinator of remuda";
	text = behind(behind(text, "cannot connect to ", address), "", address);
	return remuda_error_create("CoordinatorUnreachable",
				   "no coordinator at %s: %s (%s). %s", address,
				   text, rmd_rpc_status_name(status), hint);
}

/* The end of closing: nothing is open any more. */
static void finish_close(struct remuda *client)
{
	struct remuda_error *err = remuda_error_create(
		"Cancelled",
		"the client was closed before this task's outcome came: it may have run");
	rmd_session_fail_all(client, REMUDA_ECANCELLED, err);
	rmd_timer_stop(client->loop, &client->patience);
	rmd_timer_stop(client->loop, &client->retry);
	rmd_timer_stop(client->loop, &client->ack_timer);
	pthread_mutex_lock(&client->lock);
	rmd_unaccepted_drop(client, UINT64_MAX);
	rmd_client_move(client, RMD_CLIENT_CLOSED);
	pthread_mutex_unlock(&client->lock);
	client->looping = false;
	rmd_loop_stop(client->loop);
}

/* True if the coordinator ended the call because of what was said, or would have: where
 * the same would be said again, it would end the same way. */
static bool is_refusal(const struct remuda *client, enum rmd_rpc_status status)
{
	return client->misunderstood ||
	       (status != RMD_RPC_UNAVAILABLE && status != RMD_RPC_CANCELLED &&
		status != RMD_RPC_UNKNOWN && status != RMD_RPC_INTERNAL &&
		status != RMD_RPC_OK);
}

/* The call has ended while the session was open. */
static void interrupted(struct remuda *client, enum rmd_rpc_status status,
			const char *text)
{
	if (client->reach == RMD_REACH_PRIVATE) {
		lose(client, REMUDA_EUNREACHABLE,
		     remuda_error_create(
			     "CoordinatorLost",
			     "the private coordinator ended unexpectedly (%s): "
			     "close this client and open another",
			     text));
		rmd_session_fail_all(client, REMUDA_EUNREACHABLE,
				     lost_error(client, text));
		return;
	}
	pthread_mutex_lock(&client->lock);
	rmd_client_move(client, RMD_CLIENT_RESUMING);
	pthread_mutex_unlock(&client->lock);
	/* A local socket does not break by itself: its coordinator has gone. */
	if (client->reach == RMD_REACH_UNIX || is_refusal(client, status))
		begin_anew(client, text);
	rmd_timer_start(client->loop, &client->patience,
			rmd_clock_mono_ms() + client->open_timeout_ms);
	call_start(client);
}

/* A further try to resume has failed. */
static void resume_failed(struct remuda *client, enum rmd_rpc_status status,
			  const char *text)
{
	bool refused = is_refusal(client, status);
	if (refused && client->epoch != 0) {
		/* It answers, but not to this session: begin another there. */
		begin_anew(client, text);
		call_start(client);
		return;
	}
	if (!refused && client->patience.place != 0) {
		rmd_timer_start(client->loop, &client->retry,
				rmd_clock_mono_ms() + RETRY_MS);
		return;
	}
	lose(client, REMUDA_EUNREACHABLE,
	     remuda_error_create("CoordinatorLost",
				 "the coordinator at %s was lost and did not come back "
				 "within %u ms: %s (%s)",
				 client->address, client->open_timeout_ms, text,
				 rmd_rpc_status_name(status)));
	rmd_session_fail_all(client, REMUDA_EUNREACHABLE, lost_error(client, text));
}

static void on_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
		      const char *text)
{
	struct remuda *client = ctx;
	(void)stream;
	bool welcomed = client->welcomed;
	pthread_mutex_lock(&client->lock);
	client->stream = NULL;
	pthread_cond_broadcast(&client->changed);
	enum rmd_client_state state = client->state;
	pthread_mutex_unlock(&client->lock);
	client->call = NULL;
	client->welcomed = false;
	client->ack_count = 0;
	rmd_timer_stop(client->loop, &client->ack_timer);
	rmd_share_drop(client);
	rmd_transfers_fini(&client->transfers);
	rmd_transfers_init(&client->transfers, RMD_CLIENT_TRANSFERS_MAX,
			   RMD_CLIENT_TRANSFERS_BYTES, rmd_clock_mono_ns());
	switch (state) {
	case RMD_CLIENT_OPENING:
		lose(client, REMUDA_EUNREACHABLE, open_error(client, status, text));
		break;
	case RMD_CLIENT_OPEN:
		RMD_CHECK(welcomed);
		interrupted(client, status, text);
		break;
	case RMD_CLIENT_RESUMING:
		resume_failed(client, status, text);
		break;
	case RMD_CLIENT_CLOSING:
		finish_close(client);
		break;
	case RMD_CLIENT_LOST:
	case RMD_CLIENT_CLOSED:
		break;
	}
}

static const struct rmd_stream_events session_events = {
	.message = rmd_session_hear,
	.drained = on_drained,
	.closed = on_closed,
};

/* Calls Session and says hello. */
static void call_start(struct remuda *client)
{
	bool resuming = client->epoch != 0 || client->state == RMD_CLIENT_RESUMING;
	client->welcomed = client->misunderstood = false;
	client->call = rmd_channel_call(client->channel, SESSION_PATH, 0, resuming,
					&session_events, client);
	if (client->call == NULL) {
		lose(client, REMUDA_ENOMEM,
		     remuda_error_create("OutOfMemory", "for a call"));
		rmd_session_fail_all(client, REMUDA_ENOMEM,
				     lost_error(client, "out of memory"));
		return;
	}
	struct rmd_session_hello hello = {
		.protocol = RMD_PROTOCOL_VERSION,
		.client = rmd_slice_of_string(client->client_name),
		.epoch = client->epoch,
		.shared_memory = rmd_share_offer(client),
	};
	memcpy(hello.session, client->session, sizeof hello.session);
	rmd_session_request_put_hello(rmd_stream_begin(client->call), &hello);
	rmd_stream_end(client->call);
}

static void retry_fired(struct rmd_timer *timer)
{
	struct remuda *client = CLIENT_OF(timer, retry);
	if (client->state == RMD_CLIENT_RESUMING && client->call == NULL)
		call_start(client);
}

/* Opening, resuming or closing has taken too long. */
static void patience_fired(struct rmd_timer *timer)
{
	struct remuda *client = CLIENT_OF(timer, patience);
	if (client->call != NULL)
		rmd_stream_cancel(client->call);
	else if (client->state == RMD_CLIENT_CLOSING)
		finish_close(client);
	else if (client->state == RMD_CLIENT_RESUMING)
		resume_failed(client, RMD_RPC_UNAVAILABLE, "no connection");
}

static struct rmd_channel *open_channel(struct remuda *client, char **ret_why)
{
	if (client->reach != RMD_REACH_PRIVATE)
		return rmd_identity_open(&client->identity, client->loop, client->address,
					 ret_why);
	int fd = client->private_fd;
	client->private_fd = -1;
	return rmd_channel_open_fd(client->loop, fd, ret_why);
}

void rmd_session_start(struct remuda *client)
{
	char *why = NULL;
	client->looping = true;
	client->ack_timer.fire = ack_timer_fired;
	client->patience.fire = patience_fired;
	client->retry.fire = retry_fired;
	client->channel = open_channel(client, &why);
	if (client->channel == NULL) {
		lose(client, REMUDA_EINVAL,
		     remuda_error_create("InvalidAddress",
					 "cannot use the address %s: %s", client->address,
					 why != NULL ? why : "out of memory"));
		rmd_free(why);
		return;
	}
	rmd_timer_start(client->loop, &client->patience,
			rmd_clock_mono_ms() + client->open_timeout_ms);
	call_start(client);
}

void rmd_session_close(struct remuda *client)
{
	pthread_mutex_lock(&client->lock);
	bool connected = client->stream != NULL;
	client->stream = NULL;               /* nothing more is submitted */
	rmd_client_move(client, RMD_CLIENT_CLOSING);
	pthread_mutex_unlock(&client->lock);
	if (client->call == NULL) {
		finish_close(client);
		return;
	}
	if (!connected) {
		rmd_stream_cancel(client->call);
		return;
	}
	rmd_session_send_acks(client);
	uint64_t number = 0;
	pthread_mutex_lock(&client->table_lock);
	struct remuda_future *future;
	for (; (future = rmd_table_next(&client->table, &number)) != NULL; number++) {
		if (future->detached)
			continue;
		rmd_session_request_put_cancels(rmd_stream_begin(client->call), &number,
						1);
		rmd_stream_end(client->call);
	}
	pthread_mutex_unlock(&client->table_lock);
	rmd_session_request_put_goodbye(rmd_stream_begin(client->call));
	rmd_stream_end(client->call);
	rmd_timer_start(client->loop, &client->patience,
			rmd_clock_mono_ms() + RMD_CLIENT_CLOSE_MS);
}
