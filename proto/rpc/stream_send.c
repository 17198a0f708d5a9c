/* The sending half of a stream: the queue that is the batcher. */
#include <grpc/slice.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/rpc/message.h"
#include "proto/rpc/status.h"
#include "proto/rpc/stream.h"

/* An idle stream keeps a block of at most so much. */
#define SPARE_MAX_BYTES 65536u

/* What one batch sends: made under the lock, started outside it. */
struct outgoing {
	grpc_call *call;
	grpc_op ops[3];
	size_t count;
	grpc_byte_buffer *message;
};

/* ---- the queue ---- */

/* Written under the lock alone, so that readers need none; wraps for negative `bytes`. */
static void add_pending(struct rmd_stream *stream, size_t bytes)
{
	size_t now = atomic_load_explicit(&stream->pending_bytes, memory_order_relaxed);
	atomic_store_explicit(&stream->pending_bytes, now + bytes, memory_order_relaxed);
}

static void message_free(struct rmd_out_message *message)
{
	rmd_wire_writer_fini(&message->writer);
	rmd_free(message);
}

void rmd_stream_bury(struct rmd_stream *stream)
{
	stream->dead = true;
	while (stream->first != NULL) {
		struct rmd_out_message *message = stream->first;
		stream->first = message->next;
		message_free(message);
	}
	stream->last = NULL;
	if (stream->spare != NULL)
		message_free(stream->spare);
	stream->spare = NULL;
	stream->flying_bytes = 0;
	atomic_store(&stream->pending_bytes, 0);
}

/* The message to append to: the last one while it is small, else a new one. NULL: out of
 * memory. */
static struct rmd_out_message *message_to_fill(struct rmd_stream *stream)
{
	struct rmd_out_message *last = stream->last;
	if (last != NULL && !last->sealed &&
	    rmd_wire_writer_len(&last->writer) <= RMD_STREAM_MESSAGE_BYTES)
		return last;
	struct rmd_out_message *fresh = stream->spare;
	stream->spare = NULL;
	if (fresh == NULL)
		fresh = rmd_calloc(1, sizeof *fresh);
	if (fresh == NULL)
		return NULL;
	fresh->next = NULL;
	fresh->sealed = false;
	if (fresh->writer.data == NULL && stream->block_bytes > 0) {
		/* As large as the last one, instead of growing there again; want of
		 * memory shows later. */
		fresh->writer.data = rmd_malloc(stream->block_bytes);
		fresh->writer.capacity = fresh->writer.data == NULL ? 0
								    : stream->block_bytes;
	}
	if (last == NULL)
		stream->first = fresh;
	else
		last->next = fresh;
	stream->last = fresh;
	return fresh;
}

struct rmd_wire_writer *rmd_stream_begin(struct rmd_stream *stream)
{
	RMD_CHECK_OBJ(stream, RMD_STREAM_MAGIC);
	pthread_mutex_lock(&stream->lock);
	stream->open = NULL;
	stream->out_of_memory = false;
	if (!stream->dead && stream->finish == RMD_FINISH_OPEN) {
		stream->open = message_to_fill(stream);
		stream->out_of_memory = stream->open == NULL;
	}
	if (stream->open == NULL) {
		stream->the_void = (struct rmd_wire_writer){.failed = true};
		return &stream->the_void;
	}
	stream->open_bytes = rmd_wire_writer_len(&stream->open->writer);
	return &stream->open->writer;
}

/* ---- one batch ---- */

static void add_status(struct rmd_stream *stream, grpc_op *op)
{
	op->op = GRPC_OP_SEND_STATUS_FROM_SERVER;
	op->data.send_status_from_server.status = (grpc_status_code)stream->status;
	op->data.send_status_from_server.status_details = &stream->status_text;
	if (stream->reason == NULL || stream->status == RMD_RPC_OK)
		return;
	struct rmd_wire_writer writer = {0};
	struct rmd_slice text = rmd_slice_of(GRPC_SLICE_START_PTR(stream->status_text),
					     GRPC_SLICE_LENGTH(stream->status_text));
	rmd_status_encode(&writer, stream->status, text, stream->reason);
	if (!writer.failed) { /* where memory is short, code and text must do */
		stream->status_details = grpc_slice_from_copied_buffer(
			(const char *)writer.data, writer.len);
		stream->status_metadata = (grpc_metadata){
			.key = grpc_slice_from_static_string("grpc-status-details-bin"),
			.value = stream->status_details};
		op->data.send_status_from_server.trailing_metadata_count = 1;
		op->data.send_status_from_server.trailing_metadata =
			&stream->status_metadata;
	}
	rmd_wire_writer_fini(&writer);
}

/* Moves the first message from the queue into `out`. RMD_ENOMEM: it stays. */
static int take_message(struct rmd_stream *stream, struct outgoing *out)
{
	struct rmd_out_message *message = stream->first;
	size_t bytes = rmd_wire_writer_len(&message->writer);
	stream->block_bytes = message->writer.len + message->writer.len / 8;
	out->message = rmd_message_pack(&message->writer);
	if (out->message == NULL)
		return RMD_ENOMEM;
	stream->first = message->next;
	if (stream->first == NULL)
		stream->last = NULL;
	if (stream->spare == NULL && message->writer.capacity <= SPARE_MAX_BYTES)
		stream->spare = message;
	else
		message_free(message);
	stream->flying_bytes = bytes;
	out->ops[out->count].op = GRPC_OP_SEND_MESSAGE;
	out->ops[out->count++].data.send_message.send_message = out->message;
	return 0;
}

/* Fills `out` with what may go now, and marks the stream as sending: 1; 0: nothing may
 * go; RMD_ENOMEM. Lock held. */
static int take_outgoing(struct rmd_stream *stream, struct outgoing *out)
{
	bool server = stream->side == RMD_SIDE_SERVER;
	if (stream->call == NULL || stream->sending || stream->dead)
		return 0;
	bool message = stream->first != NULL;
	bool ending = stream->finish == RMD_FINISH_WANTED &&
		      (!message || stream->first->next == NULL);
	bool greeting = !stream->greeted && (message || ending || !server);
	if (!message && !ending && !greeting)
		return 0;
	*out = (struct outgoing){.call = stream->call};
	if (greeting) {
		out->ops[out->count].op = GRPC_OP_SEND_INITIAL_METADATA;
		out->ops[out->count].data.send_initial_metadata.metadata =
			stream->greeting;
		out->ops[out->count].data.send_initial_metadata.count =
			stream->greeting != NULL;
		out->ops[out->count++].flags = stream->greeting_flags;
	}
	if (message && take_message(stream, out) < 0)
		return RMD_ENOMEM;
	if (ending && server)
		add_status(stream, &out->ops[out->count++]);
	else if (ending)
		out->ops[out->count++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
	if (ending)
		stream->finish = RMD_FINISH_GIVEN;
	stream->greeted = true;
	stream->flying_message = message;
	stream->flying_status = ending && server;
	stream->sending = true;
	atomic_fetch_add(&stream->batches, 1);
	return 1;
}

/* Unlocks the stream and sends what may go. The caller has a reference or is on the
 * loop's thread; once the batch is started the stream may be gone. */
static void unlock_and_send(struct rmd_stream *stream)
{
	struct outgoing out;
	int code = take_outgoing(stream, &out);
	pthread_mutex_unlock(&stream->lock);
	if (code < 0)
		rmd_stream_fail(stream, RMD_RPC_RESOURCE_EXHAUSTED, "out of memory");
	if (code <= 0)
		return;
	rmd_loop_batch(out.call, out.ops, out.count, &stream->sent);
	if (out.message != NULL)
		grpc_byte_buffer_destroy(out.message);
}

void rmd_stream_on_flush(struct rmd_deferred *deferred)
{
	struct rmd_stream *stream = RMD_CONTAINER_OF(deferred, struct rmd_stream, flush);
	pthread_mutex_lock(&stream->lock);
	unlock_and_send(stream);
	rmd_stream_unref(stream);
}

void rmd_stream_flush_soon(struct rmd_stream *stream)
{
	if (stream->flush.queued)
		return;
	rmd_stream_ref(stream);
	rmd_loop_defer_flush(stream->loop, &stream->flush);
}

void rmd_stream_on_sent(struct rmd_tag *tag, bool success)
{
	struct rmd_stream *stream = RMD_CONTAINER_OF(tag, struct rmd_stream, sent);
	pthread_mutex_lock(&stream->lock);
	stream->sending = false;
	add_pending(stream, -stream->flying_bytes);
	stream->flying_bytes = 0;
	bool message = stream->flying_message;
	if (stream->flying_status)
		stream->status_sent = success;
	if (!success)
		rmd_stream_bury(stream);
	bool more = !stream->dead &&
		    (stream->first != NULL || stream->finish == RMD_FINISH_WANTED);
	pthread_mutex_unlock(&stream->lock);
	if (more)
		rmd_stream_flush_soon(stream);
	else if (success && message && !atomic_load(&stream->deaf) &&
		 stream->events->drained != NULL)
		stream->events->drained(stream, stream->ctx);
	rmd_stream_batch_done(stream);
}

/* ---- ending items and the stream ---- */

enum item_end { ITEM_MAY_MERGE, ITEM_ENDS_MESSAGE };

static void end_item(struct rmd_stream *stream, enum item_end how)
{
	struct rmd_out_message *message = stream->open;
	bool failed = message == NULL ? stream->out_of_memory : message->writer.failed;
	if (message == NULL || failed) {
		pthread_mutex_unlock(&stream->lock);
		if (failed)
			rmd_stream_fail(stream, RMD_RPC_RESOURCE_EXHAUSTED,
					"out of memory");
		return;
	}
	stream->open = NULL;
	message->sealed = how == ITEM_ENDS_MESSAGE;
	add_pending(stream, rmd_wire_writer_len(&message->writer) - stream->open_bytes);
	if (!rmd_loop_is_here(stream->loop)) {
		unlock_and_send(stream);
		return;
	}
	bool idle = !stream->sending;
	pthread_mutex_unlock(&stream->lock);
	if (idle)
		rmd_stream_flush_soon(stream);
}

void rmd_stream_end(struct rmd_stream *stream)
{
	end_item(stream, ITEM_MAY_MERGE);
}

void rmd_stream_end_message(struct rmd_stream *stream)
{
	end_item(stream, ITEM_ENDS_MESSAGE);
}

size_t rmd_stream_pending_bytes(const struct rmd_stream *stream)
{
	return atomic_load_explicit(&stream->pending_bytes, memory_order_relaxed);
}

/* Lock held. False: it is ended or ending already. */
static bool want_finish(struct rmd_stream *stream, enum rmd_rpc_status status,
			const char *text)
{
	if (stream->dead || stream->finish != RMD_FINISH_OPEN)
		return false;
	stream->finish = RMD_FINISH_WANTED;
	if (stream->side == RMD_SIDE_CLIENT)
		return true;
	struct rmd_slice sent = rmd_status_text(text);
	stream->status = status;
	stream->status_text =
		grpc_slice_from_copied_buffer((const char *)sent.data, sent.len);
	atomic_store(&stream->deaf, true);
	return true;
}

void rmd_stream_finish(struct rmd_stream *stream, enum rmd_rpc_status status,
		       const char *text)
{
	RMD_CHECK_OBJ(stream, RMD_STREAM_MAGIC);
	pthread_mutex_lock(&stream->lock);
	bool wanted = want_finish(stream, status, text);
	pthread_mutex_unlock(&stream->lock);
	if (wanted)
		rmd_stream_flush_soon(stream);
}

void rmd_stream_fail(struct rmd_stream *stream, enum rmd_rpc_status status,
		     const char *text)
{
	pthread_mutex_lock(&stream->lock);
	atomic_store(&stream->deaf, true);
	if (stream->call == NULL || stream->dead || stream->finish == RMD_FINISH_GIVEN) {
		pthread_mutex_unlock(&stream->lock);
		return;
	}
	rmd_stream_bury(stream);
	if (stream->side == RMD_SIDE_CLIENT) {
		grpc_call_cancel_with_status(stream->call, (grpc_status_code)status, text,
					     NULL);
		pthread_mutex_unlock(&stream->lock);
		return;
	}
	stream->dead = false; /* the status is still to go */
	grpc_slice_unref(stream->status_text);
	stream->status_text = grpc_empty_slice();
	stream->finish = RMD_FINISH_OPEN;
	want_finish(stream, status, text);
	unlock_and_send(stream);
}

void rmd_stream_cancel(struct rmd_stream *stream)
{
	RMD_CHECK_OBJ(stream, RMD_STREAM_MAGIC);
	pthread_mutex_lock(&stream->lock);
	atomic_store(&stream->deaf, true);
	if (stream->call != NULL) {
		rmd_stream_bury(stream);
		grpc_call_cancel(stream->call, NULL);
	}
	pthread_mutex_unlock(&stream->lock);
}
