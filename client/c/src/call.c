/* Calls of other methods over the client's channel: the user's thread waits, the client's
 * works. */
#include <stddef.h>

#include "client/c/src/client.h"
#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/codec/wire.h"

#define CALL_OF(ptr, member) \
	((struct pending *)(void *)((char *)(ptr)-offsetof(struct pending, member)))

/* Lives on the waiting thread's stack until `ended`. */
struct pending {
	struct rmd_post post;
	struct remuda *client;
	const struct rmd_client_call *call;
	bool sent;                   /* all messages are; half-closed */
	struct rmd_buf *response;
	enum rmd_rpc_status status;
	char *text;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ended;                  /* under `lock` */
};

static void end_pending(struct pending *pending, enum rmd_rpc_status status,
			const char *text)
{
	pthread_mutex_lock(&pending->lock);
	pending->status = status;
	pending->text = rmd_strdup(text);
	pending->ended = true;
	pthread_cond_signal(&pending->changed);
	pthread_mutex_unlock(&pending->lock);
}

/* One message at a time: what is on its way bounds what is in memory. */
static void send_next(struct rmd_stream *stream, struct pending *pending)
{
	if (pending->sent)
		return;
	struct rmd_wire_writer message = {0};
	bool any = pending->call->next_message(pending->call->ctx, &message);
	if (any) {
		struct rmd_buf *buf = rmd_wire_writer_take(&message);
		struct rmd_wire_writer *writer = rmd_stream_begin(stream);
		if (buf == NULL)
			writer->failed = true;
		else
			rmd_wire_put_raw(writer, rmd_buf_slice(buf));
		rmd_stream_end_message(stream);
		rmd_buf_unref(buf);
	} else {
		pending->sent = true;
		rmd_stream_finish(stream, RMD_RPC_OK, "");
	}
	rmd_wire_writer_fini(&message);
}

static void on_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct pending *pending = ctx;
	(void)stream;
	rmd_buf_unref(pending->response);
	pending->response = rmd_buf_copy(message.bytes);
}

static void on_drained(struct rmd_stream *stream, void *ctx)
{
	send_next(stream, ctx);
}

static void on_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
		      const char *text)
{
	(void)stream;
	end_pending(ctx, status, text);
}

static const struct rmd_stream_events call_events = {
	.message = on_message,
	.drained = on_drained,
	.closed = on_closed,
};

static void start(struct rmd_post *post)
{
	struct pending *pending = CALL_OF(post, post);
	const struct rmd_client_call *call = pending->call;
	struct remuda *client = pending->client;
	struct rmd_stream *stream = NULL;
	if (client->channel != NULL)
		stream = rmd_channel_call(client->channel, call->path,
					  rmd_clock_mono_ms() + call->timeout_ms, false,
					  &call_events, pending);
	if (stream == NULL) {
		end_pending(pending, RMD_RPC_UNAVAILABLE, "no connection");
		return;
	}
	if (call->next_message != NULL) {
		send_next(stream, pending);
		return;
	}
	pending->sent = true;
	rmd_wire_put_raw(rmd_stream_begin(stream), call->request);
	rmd_stream_end_message(stream);
	rmd_stream_finish(stream, RMD_RPC_OK, "");
}

static int code_of(enum rmd_rpc_status status)
{
	switch (status) {
	case RMD_RPC_OK:
		return 0;
	case RMD_RPC_DEADLINE_EXCEEDED:
		return REMUDA_ETIMEOUT;
	case RMD_RPC_NOT_FOUND:
		return REMUDA_ENOTFOUND;
	case RMD_RPC_UNAVAILABLE:
	case RMD_RPC_CANCELLED:
	case RMD_RPC_UNAUTHENTICATED:
	case RMD_RPC_PERMISSION_DENIED:
	case RMD_RPC_UNIMPLEMENTED:
		return REMUDA_EUNREACHABLE;
	case RMD_RPC_RESOURCE_EXHAUSTED:
		return REMUDA_ETOOBIG;
	case RMD_RPC_INTERNAL:
	case RMD_RPC_DATA_LOSS:
	case RMD_RPC_UNKNOWN:
		return REMUDA_EPROTO;
	case RMD_RPC_INVALID_ARGUMENT:
	case RMD_RPC_ALREADY_EXISTS:
	case RMD_RPC_FAILED_PRECONDITION:
	case RMD_RPC_ABORTED:
	case RMD_RPC_OUT_OF_RANGE:
		return REMUDA_EINVAL;
	}
	return REMUDA_EPROTO;
}

int rmd_client_call(struct remuda *client, const struct rmd_client_call *call,
		    struct rmd_buf **ret_response, struct remuda_error **ret_err)
{
	struct pending pending = {.post = {.run = start}, .client = client, .call = call};
	int code = remuda_status(client, ret_err);
	if (code < 0)
		return code;
	if (rmd_client_is_here(client)) {
		*ret_err = remuda_error_create(
			"WrongThread", "a callback on the client's thread cannot wait for a call");
		return REMUDA_EINVAL;
	}
	pthread_mutex_init(&pending.lock, NULL);
	pthread_cond_init(&pending.changed, NULL);
	rmd_seat_need(&client->seat);
	rmd_loop_post(client->loop, &pending.post);
	pthread_mutex_lock(&pending.lock);
	while (!pending.ended)
		pthread_cond_wait(&pending.changed, &pending.lock);
	pthread_mutex_unlock(&pending.lock);
	rmd_seat_unneed(&client->seat);
	pthread_cond_destroy(&pending.changed);
	pthread_mutex_destroy(&pending.lock);
	code = code_of(pending.status);
	if (code == 0) {
		*ret_response = pending.response;
	} else {
		rmd_buf_unref(pending.response);
		*ret_err = remuda_error_create("CallFailed", "%s at %s: %s (%s)", call->path,
					       client->address,
					       pending.text != NULL ? pending.text : "",
					       rmd_rpc_status_name(pending.status));
	}
	rmd_free(pending.text);
	return code;
}
