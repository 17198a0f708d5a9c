/* What the coordinator says in a session: welcome, outcomes, logs, marks; and the
 * acknowledging of it. On the client's thread; session.c has the life of the call. */
#include "client/c/src/client.h"
#include "client/c/src/share.h"

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/error/chain.h"
#include "proto/shared/shared.h"

/* Outcomes that are taken out of the table under one lock. */
#define OUTCOME_BATCH 64u

/* ---- acknowledging ---- */

void rmd_session_send_acks(struct remuda *client)
{
	if (client->ack_count != 0 && client->call != NULL && client->welcomed) {
		rmd_session_request_put_acks(rmd_stream_begin(client->call), client->acks,
					     client->ack_count);
		rmd_stream_end(client->call);
	}
	client->ack_count = 0;
}

static void acknowledge(struct remuda *client, uint64_t number)
{
	if (client->ack_count == 0 &&
	    rmd_timer_start(client->loop, &client->ack_timer,
			    rmd_clock_mono_ms() + RMD_CLIENT_ACK_DELAY_MS) < 0) {
		client->acks[client->ack_count++] = number;
		rmd_session_send_acks(client);
		return;
	}
	client->acks[client->ack_count++] = number;
	if (client->ack_count == RMD_CLIENT_ACKS_MAX) {
		rmd_timer_stop(client->loop, &client->ack_timer);
		rmd_session_send_acks(client);
	}
}

/* ---- hearing ---- */

/* What is read from one message, to be done in few steps. */
struct reading {
	struct remuda *client;
	struct rmd_piece message;
	struct rmd_session_outcome outcomes[OUTCOME_BATCH];
	size_t outcome_count;
	uint64_t accepted, window;
};

/* A whole result, which came by another way than in the outcome (0), or did not: as
 * rmd_future_settle. Takes `buf`. */
static unsigned settle_whole(struct remuda_future *future, int rc, struct rmd_buf *buf)
{
	if (rc == 0) {
		unsigned before =
			rmd_future_settle(future, RMD_OUTCOME_VALUE, 0,
					  (struct rmd_piece){rmd_buf_slice(buf), buf});
		rmd_buf_unref(buf);
		return before;
	}
	struct remuda_error *err = remuda_error_create(
		"ProtocolError", "the result does not lie where it should: %s",
		rmd_errcode_text(rc));
	buf = rmd_error_encode_buf(err);
	remuda_error_free(err);
	struct rmd_piece piece = {.buf = buf};
	if (buf != NULL)
		piece.bytes = rmd_buf_slice(buf);
	unsigned before =
		rmd_future_settle(future, RMD_OUTCOME_ERROR, REMUDA_EPROTO, piece);
	rmd_buf_unref(buf);
	return before;
}

/* The bytes that an outcome refers to. */
static int borrow(struct remuda *client, const struct rmd_segment_ref *ref,
		  struct rmd_buf **ret_buf)
{
	return client->shared == NULL ? RMD_EPROTO
				      : rmd_shared_borrow(client->shared, ref, ret_buf);
}

static unsigned settle(struct reading *reading, struct remuda_future *future,
		       const struct rmd_session_outcome *told)
{
	struct remuda *client = reading->client;
	const struct rmd_outcome *outcome = &told->outcome;
	struct rmd_buf *buf = NULL;
	if (told->segment.length != 0) {
		int rc = borrow(client, &told->segment, &buf);
		return settle_whole(future, rc, buf);
	}
	if (outcome->kind == RMD_OUTCOME_VALUE_TRANSFER) {
		int rc = rmd_transfers_take(&client->transfers, outcome->transfer, &buf);
		return settle_whole(future, rc, buf);
	}
	return rmd_future_settle(
		future, outcome->kind, 0,
		(struct rmd_piece){outcome->bytes, reading->message.buf});
}

/* Heard before, or of a task that was given up. */
static void drop(struct remuda *client, const struct rmd_session_outcome *told)
{
	struct rmd_buf *buf = NULL;
	rmd_transfers_drop(&client->transfers, told->outcome.transfer);
	if (told->segment.length != 0 && borrow(client, &told->segment, &buf) == 0)
		rmd_buf_unref(buf);
}

static void flush_outcomes(struct reading *reading)
{
	struct remuda *client = reading->client;
	struct remuda_future *futures[OUTCOME_BATCH];
	unsigned before[OUTCOME_BATCH] = {0};
	size_t count = reading->outcome_count;
	pthread_mutex_lock(&client->table_lock);
	for (size_t i = 0; i < count; i++)
		futures[i] = rmd_table_take(&client->table, reading->outcomes[i].number);
	pthread_mutex_unlock(&client->table_lock);
	for (size_t i = 0; i < count; i++) {
		if (futures[i] != NULL)
			before[i] = settle(reading, futures[i], &reading->outcomes[i]);
		else
			drop(client, &reading->outcomes[i]);
	}
	for (size_t i = 0; i < count; i++) {
		if (futures[i] == NULL)
			continue;
		rmd_future_announce(futures[i], before[i]);
		rmd_future_unref(futures[i]);
	}
	for (size_t i = 0; i < count; i++)
		acknowledge(client, reading->outcomes[i].number);
	reading->outcome_count = 0;
	rmd_share_tidy(client);
}

static void hear_log(struct remuda *client, const struct rmd_session_log *log)
{
	pthread_mutex_lock(&client->table_lock);
	struct remuda_future *future = rmd_table_get(&client->table, log->number);
	if (future != NULL)
		rmd_future_ref(future);
	pthread_mutex_unlock(&client->table_lock);
	if (future == NULL)
		return;
	if (future->on_log != NULL)
		future->on_log(future->log_ctx, (enum remuda_stream)log->log.stream,
			       log->log.data.data, log->log.data.len,
			       log->log.dropped_bytes);
	rmd_future_unref(future);
}

/* Cancels that were asked for while there was no stream. `lock` is held. */
static void send_cancels_again(struct remuda *client)
{
	uint64_t number = 0;
	pthread_mutex_lock(&client->table_lock);
	for (struct remuda_future *future;
	     (future = rmd_table_next(&client->table, &number)) != NULL; number++) {
		if (!atomic_load(&future->cancelled))
			continue;
		rmd_session_request_put_cancels(rmd_stream_begin(client->call), &number,
						1);
		rmd_stream_end(client->call);
	}
	pthread_mutex_unlock(&client->table_lock);
}

static int hear_welcome(struct remuda *client, const struct rmd_session_welcome *welcome)
{
	if (client->welcomed || welcome->epoch == 0 ||
	    welcome->protocol != RMD_PROTOCOL_VERSION)
		return RMD_EPROTO;
	bool anew = client->epoch != welcome->epoch;
	if (anew && client->epoch != 0)
		rmd_session_give_up(client, "another coordinator answers there now");
	rmd_timer_stop(client->loop, &client->patience);
	client->welcomed = true;
	client->epoch = welcome->epoch;
	pthread_mutex_lock(&client->lock);
	client->payload_max_bytes = welcome->payload_max_bytes;
	client->stream = client->call;
	rmd_share_answered(client, welcome->shared_memory);
	if (anew) {
		client->next = welcome->accepted + 1;
		pthread_mutex_lock(&client->table_lock);
		rmd_table_fini(&client->table);
		rmd_table_init(&client->table, client->next);
		pthread_mutex_unlock(&client->table_lock);
		rmd_pools_send_again(client);
	} else {
		rmd_unaccepted_drop(client, welcome->accepted);
		rmd_pools_send_again(client);
		rmd_unaccepted_send_again(client);
		rmd_pools_close_again(client);
		send_cancels_again(client);
	}
	if (client->state != RMD_CLIENT_CLOSING)
		rmd_client_move(client, RMD_CLIENT_OPEN);
	pthread_mutex_unlock(&client->lock);
	return 0;
}

static int hear_item(struct reading *reading,
		     const struct rmd_session_response_item *item)
{
	struct remuda *client = reading->client;
	if (!client->welcomed && item->kind != RMD_SESSION_RESPONSE_WELCOME)
		return RMD_EPROTO;
	switch (item->kind) {
	case RMD_SESSION_RESPONSE_WELCOME:
		return hear_welcome(client, &item->welcome);
	case RMD_SESSION_RESPONSE_CHUNK: {
		int rc = rmd_transfers_add(&client->transfers, &item->chunk);
		return rc < 0 ? rc : 0;
	}
	case RMD_SESSION_RESPONSE_LOG:
		hear_log(client, &item->log);
		return 0;
	case RMD_SESSION_RESPONSE_OUTCOME:
		reading->outcomes[reading->outcome_count++] = item->outcome;
		if (reading->outcome_count == OUTCOME_BATCH)
			flush_outcomes(reading);
		return 0;
	case RMD_SESSION_RESPONSE_ACCEPTED:
		reading->accepted = item->number;
		return 0;
	case RMD_SESSION_RESPONSE_WINDOW:
		reading->window = item->number;
		return 0;
	case RMD_SESSION_RESPONSE_POOL:
		rmd_client_pool_answered(client, item->pool.pool, item->pool.error);
		return 0;
	}
	return 0;
}

static void hear_marks(struct reading *reading)
{
	struct remuda *client = reading->client;
	if (reading->window == 0 &&
	    (reading->accepted == 0 || client->reach != RMD_REACH_REMOTE))
		return;
	pthread_mutex_lock(&client->lock);
	rmd_unaccepted_drop(client, reading->accepted);
	if (reading->window > client->window) {
		client->window = reading->window;
		pthread_cond_broadcast(&client->changed);
	}
	pthread_mutex_unlock(&client->lock);
}

/* After the outcomes: what was refused has ended when it counts as accepted. */
static void tell_accepted(struct remuda *client, uint64_t accepted)
{
	atomic_store(&client->accepted, accepted);
	if (atomic_load(&client->accept_waiters) == 0)
		return;
	pthread_mutex_lock(&client->lock);
	pthread_cond_broadcast(&client->changed);
	pthread_mutex_unlock(&client->lock);
}

void rmd_session_hear(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct reading reading;
	reading.client = ctx;
	reading.message = message;
	reading.outcome_count = 0;
	reading.accepted = reading.window = 0;
	struct rmd_frame_reader reader = rmd_frame_reader_of(message.bytes);
	struct rmd_session_response_item item;
	int rc;
	while ((rc = rmd_session_response_next(&reader, &item)) > 0)
		if ((rc = hear_item(&reading, &item)) < 0)
			break;
	hear_marks(&reading);                /* first: callbacks may submit */
	flush_outcomes(&reading);
	if (reading.accepted != 0)
		tell_accepted(reading.client, reading.accepted);
	if (rc < 0) {                        /* nonsense: cut it off; `closed` follows */
		reading.client->misunderstood = true;
		rmd_stream_cancel(stream);
	}
}
