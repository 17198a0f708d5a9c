/* The life of a stream, and its receiving half. */
#include "proto/rpc/stream.h"

#include <grpc/slice.h>
#include <stdio.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/rpc/message.h"
#include "proto/rpc/status.h"

static const struct rmd_stream_events no_events;

static void on_greeting(struct rmd_tag *tag, bool success);
static void on_message(struct rmd_tag *tag, bool success);
static void on_half_close_settled(struct rmd_tag *tag, bool success);
static void on_ended(struct rmd_tag *tag, bool success);

struct rmd_stream *rmd_stream_create(struct rmd_loop *loop, enum rmd_stream_side side)
{
	struct rmd_stream *stream = rmd_calloc(1, sizeof *stream);
	if (stream == NULL)
		return NULL;
	stream->magic = RMD_STREAM_MAGIC;
	stream->side = side;
	stream->loop = loop;
	atomic_init(&stream->refs, 1);
	pthread_mutex_init(&stream->lock, NULL);
	stream->greeting_came.done = on_greeting;
	stream->message_came.done = on_message;
	stream->half_close_settled.done = on_half_close_settled;
	stream->ended.done = on_ended;
	stream->sent.done = rmd_stream_on_sent;
	stream->flush.run = rmd_stream_on_flush;
	stream->events = &no_events;
	grpc_metadata_array_init(&stream->initial);
	grpc_metadata_array_init(&stream->trailing);
	grpc_call_details_init(&stream->details);
	stream->end_text = grpc_empty_slice();
	stream->status_text = grpc_empty_slice();
	stream->status_details = grpc_empty_slice();
	stream->peer_uid = -1;
	stream->peer_pid = -1;
	return stream;
}

/* Gives up all that belongs to gRPC. */
static void let_go(struct rmd_stream *stream)
{
	rmd_stream_forget_caller(stream);
	grpc_metadata_array_destroy(&stream->initial);
	grpc_metadata_array_destroy(&stream->trailing);
	grpc_call_details_destroy(&stream->details);
	grpc_slice_unref(stream->end_text);
	grpc_slice_unref(stream->status_text);
	grpc_slice_unref(stream->status_details);
	rmd_free(stream->end_reason);
	rmd_free(stream->reason);
	stream->end_reason = NULL;
	stream->reason = NULL;
}

void rmd_stream_discard(struct rmd_stream *stream)
{
	RMD_CHECK(stream->call == NULL);
	let_go(stream);
	rmd_stream_unref(stream);
}

struct rmd_stream *rmd_stream_ref(struct rmd_stream *stream)
{
	RMD_CHECK_OBJ(stream, RMD_STREAM_MAGIC);
	atomic_fetch_add_explicit(&stream->refs, 1, memory_order_relaxed);
	return stream;
}

void rmd_stream_unref(struct rmd_stream *stream)
{
	RMD_CHECK_OBJ(stream, RMD_STREAM_MAGIC);
	if (atomic_fetch_sub_explicit(&stream->refs, 1, memory_order_acq_rel) != 1)
		return;
	rmd_stream_bury(stream);
	pthread_mutex_destroy(&stream->lock);
	stream->magic = 0;
	rmd_free(stream);
}

void rmd_stream_listen(struct rmd_stream *stream, const struct rmd_stream_events *events,
		       void *ctx)
{
	stream->events = events;
	stream->ctx = ctx;
}

void *rmd_stream_ctx(const struct rmd_stream *stream)
{
	return stream->ctx;
}

/* ---- receiving ---- */

/* The loop's thread starts a batch of what is received; `op` NULL: of nothing. */
static void receive(struct rmd_stream *stream, const grpc_op *op, struct rmd_tag *tag)
{
	atomic_fetch_add(&stream->batches, 1);
	rmd_loop_batch(stream->call, op, op == NULL ? 0 : 1, tag);
}

/* Reads the next message, unless paused, reading, or at the end. */
static void read_next(struct rmd_stream *stream)
{
	if (stream->reading || stream->paused || stream->read_all ||
	    atomic_load(&stream->deaf))
		return;
	grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
	op.data.recv_message.recv_message = &stream->incoming;
	stream->reading = true;
	receive(stream, &op, &stream->message_came);
}

void rmd_stream_run(struct rmd_stream *stream)
{
	grpc_op end = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
	end.data.recv_close_on_server.cancelled = &stream->end_cancelled;
	if (stream->side == RMD_SIDE_CLIENT) {
		grpc_op greeting = {.op = GRPC_OP_RECV_INITIAL_METADATA};
		greeting.data.recv_initial_metadata.recv_initial_metadata =
			&stream->initial;
		receive(stream, &greeting, &stream->greeting_came);
		end = (grpc_op){.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
		end.data.recv_status_on_client.trailing_metadata = &stream->trailing;
		end.data.recv_status_on_client.status = &stream->end_status;
		end.data.recv_status_on_client.status_details = &stream->end_text;
		rmd_stream_flush_soon(stream);
	}
	receive(stream, &end, &stream->ended);
	read_next(stream);
}

void rmd_stream_pause(struct rmd_stream *stream, bool paused)
{
	stream->paused = paused;
	if (!paused && stream->call != NULL && !stream->has_ended)
		read_next(stream);
}

static void refuse_size(struct rmd_stream *stream, size_t len)
{
	char text[256];
	snprintf(text, sizeof text, "a message of %zu bytes came; %s takes at most %u",
		 len, rmd_stream_method(stream), stream->message_max_bytes);
	rmd_stream_fail(stream, RMD_RPC_RESOURCE_EXHAUSTED, text);
}

static void deliver(struct rmd_stream *stream, grpc_byte_buffer *message)
{
	size_t len = grpc_byte_buffer_length(message);
	if (stream->message_max_bytes != 0 && len > stream->message_max_bytes) {
		refuse_size(stream, len);
		return;
	}
	struct rmd_piece piece;
	int code = rmd_message_unpack(message, &piece);
	if (code == RMD_ENOMEM)
		rmd_stream_fail(stream, RMD_RPC_RESOURCE_EXHAUSTED, "out of memory");
	else if (code < 0)
		rmd_stream_fail(stream, RMD_RPC_INTERNAL,
				"a message came that cannot be unpacked");
	if (code < 0)
		return;
	if (stream->events->message != NULL)
		stream->events->message(stream, stream->ctx, piece);
	rmd_piece_unref(piece);
}

static void on_message(struct rmd_tag *tag, bool success)
{
	struct rmd_stream *stream =
		RMD_CONTAINER_OF(tag, struct rmd_stream, message_came);
	grpc_byte_buffer *message = stream->incoming;
	stream->incoming = NULL;
	stream->reading = false;
	bool deaf = atomic_load(&stream->deaf);
	if (message == NULL || !success) {
		stream->read_all = true;
		if (success && !deaf && stream->side == RMD_SIDE_SERVER)
			receive(stream, NULL, &stream->half_close_settled);
	} else if (!deaf) {
		deliver(stream, message);
	}
	if (message != NULL)
		grpc_byte_buffer_destroy(message);
	if (!stream->has_ended)
		read_next(stream);
	rmd_stream_batch_done(stream);
}

/* A cancelled call looks half-closed first, and its end is then already in the queue; so
 * the event is told after a batch without operations has gone through that queue. */
static void on_half_close_settled(struct rmd_tag *tag, bool success)
{
	(void)success;
	struct rmd_stream *stream =
		RMD_CONTAINER_OF(tag, struct rmd_stream, half_close_settled);
	if (!stream->has_ended && !atomic_load(&stream->deaf) &&
	    stream->events->half_closed != NULL)
		stream->events->half_closed(stream, stream->ctx);
	rmd_stream_batch_done(stream);
}

static void on_greeting(struct rmd_tag *tag, bool success)
{
	(void)success;
	rmd_stream_batch_done(RMD_CONTAINER_OF(tag, struct rmd_stream, greeting_came));
}

/* ---- the end ---- */

static void on_ended(struct rmd_tag *tag, bool success)
{
	(void)success; /* these batches always succeed */
	struct rmd_stream *stream = RMD_CONTAINER_OF(tag, struct rmd_stream, ended);
	pthread_mutex_lock(&stream->lock);
	rmd_stream_bury(stream);
	pthread_mutex_unlock(&stream->lock);
	stream->has_ended = true;
	rmd_stream_batch_done(stream);
}

static void learn_reason(struct rmd_stream *stream)
{
	for (size_t i = 0; i < stream->trailing.count; i++) {
		const grpc_metadata *entry = &stream->trailing.metadata[i];
		struct rmd_slice reason;
		if (grpc_slice_str_cmp(entry->key, "grpc-status-details-bin") != 0)
			continue;
		struct rmd_slice value = rmd_slice_of(GRPC_SLICE_START_PTR(entry->value),
						      GRPC_SLICE_LENGTH(entry->value));
		if (rmd_status_reason(value, &reason) == 0 &&
		    reason.len <= RMD_STATUS_REASON_MAX_BYTES)
			stream->end_reason =
				rmd_strndup((const char *)reason.data, reason.len);
		return;
	}
}

const char *rmd_stream_reason(const struct rmd_stream *stream)
{
	return stream->end_reason;
}

static void tell_client(struct rmd_stream *stream)
{
	struct rmd_channel *channel = stream->channel;
	learn_reason(stream);
	char *text = rmd_strndup((const char *)GRPC_SLICE_START_PTR(stream->end_text),
				 GRPC_SLICE_LENGTH(stream->end_text));
	if (text != NULL && stream->end_status == GRPC_STATUS_UNAVAILABLE) {
		char *better = rmd_channel_connect_text(channel, text);
		if (better != NULL) {
			rmd_free(text);
			text = better;
		}
	}
	stream->channel = NULL;
	rmd_channel_stream_closed(channel);
	if (stream->events->closed != NULL)
		stream->events->closed(stream, stream->ctx,
				       (enum rmd_rpc_status)stream->end_status,
				       text == NULL ? "" : text);
	rmd_free(text);
}

static void tell_server(struct rmd_stream *stream)
{
	bool delivered = stream->status_sent && stream->end_cancelled == 0;
	if (stream->events->closed != NULL)
		stream->events->closed(stream, stream->ctx,
				       delivered ? RMD_RPC_OK : RMD_RPC_CANCELLED,
				       delivered ? "" : "the client is gone");
}

static void close_stream(struct rmd_stream *stream)
{
	pthread_mutex_lock(&stream->lock);
	grpc_call *call = stream->call;
	stream->call = NULL;
	pthread_mutex_unlock(&stream->lock);
	struct rmd_server *server = stream->server;
	struct rmd_loop *loop = stream->loop;
	if (stream->side == RMD_SIDE_CLIENT)
		tell_client(stream);
	else
		tell_server(stream);
	grpc_call_unref(call);
	let_go(stream);
	if (stream->rare)
		rmd_loop_rare_ended(loop);
	rmd_stream_unref(stream);
	if (server != NULL)
		rmd_server_stream_closed(server);
	rmd_loop_user_ended(loop);
}

void rmd_stream_batch_done(struct rmd_stream *stream)
{
	if (atomic_fetch_sub(&stream->batches, 1) == 1 && stream->has_ended)
		close_stream(stream);
}
