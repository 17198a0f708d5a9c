#include "worker/agent/remote_link.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/digest.h"
#include "proto/base/errcode.h"
#include "proto/codec/transfer.h"
#include "proto/rpc/rpc.h"
#include "worker/agent/agent.h"

#define MAGIC 0x4e307e11u
#define TRANSFERS_MAX 4096u
#define TRANSFER_BYTES_MAX (UINT64_C(4) << 30)
#define INBOX_BYTES_MAX (64u << 20) /* beyond it the stream is not read */
#define CLOSE_MS 5000u /* that the coordinator has to end a stream that we ended */

/* One thing for the agent to hear. */
struct letter {
	struct letter *next;
	uint64_t transfer;	/* 0: a frame */
	struct rmd_piece piece; /* owned */
};

struct remote_link {
	struct rmd_link link; /* first */
	uint32_t magic;
	struct rmd_loop *loop;
	struct rmd_stream *stream; /* referenced until the end of this struct's life */
	struct rmd_transfers transfers; /* loop's thread */
	struct rmd_timer close_timer;	/* loop's thread */
	void (*gone)(void *ctx);
	void *gone_ctx;
	struct rmd_post close_post, resume_post;
	bool finished; /* loop's thread: our side of the stream is ended */

	pthread_mutex_t lock; /* guards what follows */
	int refs;	      /* the agent's end, the call, posts under way */
	struct rmd_agent *agent;
	struct letter *first, **last;
	size_t inbox_bytes;
	bool paused; /* the stream is not read, or is about not to be */
	bool woken, closing, resuming, destroyed;
	bool closed; /* the call has ended, for: */
	char why[256];

	bool lost_told; /* agent's thread */
};

static struct remote_link *remote_of(struct rmd_link *link)
{
	struct remote_link *remote = (struct remote_link *)link;
	RMD_CHECK_OBJ(remote, MAGIC);
	return remote;
}

/* Drops a reference; unlocks. */
static void unref_locked(struct remote_link *remote)
{
	bool last = --remote->refs == 0;
	pthread_mutex_unlock(&remote->lock);
	if (!last)
		return;
	while (remote->first != NULL) {
		struct letter *letter = remote->first;
		remote->first = letter->next;
		rmd_piece_unref(letter->piece);
		rmd_free(letter);
	}
	pthread_mutex_destroy(&remote->lock);
	remote->magic = 0;
	rmd_free(remote);
}

/* ---- to the agent ---- */

static void deliver(void *arg)
{
	struct remote_link *remote = arg;
	RMD_CHECK_OBJ(remote, MAGIC);
	const struct rmd_link_events *events = remote->link.events;
	pthread_mutex_lock(&remote->lock);
	struct letter *letters = remote->first;
	remote->first = NULL;
	remote->last = &remote->first;
	remote->inbox_bytes = 0;
	remote->woken = false;
	bool deaf = remote->destroyed || remote->lost_told;
	bool lost = remote->closed;
	if (remote->paused && !remote->resuming && !lost) {
		remote->resuming = true;
		remote->refs++;
		rmd_loop_post(remote->loop, &remote->resume_post);
	}
	pthread_mutex_unlock(&remote->lock);
	while (letters != NULL) {
		struct letter *letter = letters;
		letters = letter->next;
		if (!deaf && letter->transfer != 0) {
			events->transfer(remote->link.ctx, letter->transfer,
					 letter->piece);
		} else {
			if (!deaf)
				events->frame(remote->link.ctx, letter->piece);
			rmd_piece_unref(letter->piece);
		}
		rmd_free(letter);
	}
	if (lost && !deaf) {
		remote->lost_told = true;
		events->lost(remote->link.ctx, remote->why);
	}
	pthread_mutex_lock(&remote->lock);
	unref_locked(remote);
}

static void wake_locked(struct remote_link *remote)
{
	if (remote->woken || remote->agent == NULL)
		return;
	if (rmd_agent_post(remote->agent, deliver, remote) == 0) {
		remote->woken = true; /* else: the next letter tries again */
		remote->refs++;
	}
}

/* Puts one more into the inbox; takes the reference in `piece`. RMD_ENOMEM. */
static int send_to_agent(struct remote_link *remote, uint64_t transfer,
			 struct rmd_piece piece)
{
	struct letter *letter = rmd_malloc(sizeof *letter);
	if (letter == NULL) {
		rmd_piece_unref(piece);
		return RMD_ENOMEM;
	}
	*letter = (struct letter){NULL, transfer, piece};
	pthread_mutex_lock(&remote->lock);
	*remote->last = letter;
	remote->last = &letter->next;
	remote->inbox_bytes += piece.bytes.len;
	bool pause = remote->inbox_bytes > INBOX_BYTES_MAX && !remote->paused;
	if (pause)
		remote->paused = true;
	wake_locked(remote);
	pthread_mutex_unlock(&remote->lock);
	if (pause)
		rmd_stream_pause(remote->stream, true);
	return 0;
}

static void on_resume(struct rmd_post *post)
{
	struct remote_link *remote =
		(struct remote_link *)((char *)post -
				       offsetof(struct remote_link, resume_post));
	pthread_mutex_lock(&remote->lock);
	remote->resuming = false;
	bool resume = remote->paused && !remote->closed;
	if (resume)
		remote->paused = false;
	pthread_mutex_unlock(&remote->lock);
	if (resume)
		rmd_stream_pause(remote->stream, false);
	pthread_mutex_lock(&remote->lock);
	unref_locked(remote);
}

/* ---- from the coordinator ---- */

static int take_chunk(struct remote_link *remote, const struct rmd_wire_field *field)
{
	struct rmd_chunk chunk;
	const char *name;
	if (field->type != RMD_WIRE_LEN)
		return RMD_EPROTO;
	int rc = rmd_chunk_read(field->bytes, &chunk, &name);
	if (rc == 0)
		rc = rmd_transfers_add(&remote->transfers, &chunk);
	if (rc <= 0)
		return rc;
	struct rmd_buf *whole;
	rc = rmd_transfers_take(&remote->transfers, chunk.transfer, &whole);
	if (rc < 0)
		return rc;
	return send_to_agent(remote, chunk.transfer,
			     (struct rmd_piece){rmd_buf_slice(whole), whole});
}

/* Takes the chunks out of a message; the agent hears the rest, which may refer to them.
 */
static int sort_message(struct remote_link *remote, struct rmd_piece message)
{
	struct rmd_wire_writer rest = {0};
	struct rmd_wire_reader reader = rmd_wire_reader_of(message.bytes);
	struct rmd_wire_field field;
	const uint8_t *from = reader.at;
	bool cut = false;
	int rc;
	while ((rc = rmd_wire_next(&reader, &field)) > 0) {
		struct rmd_slice raw = rmd_slice_of(from, (size_t)(reader.at - from));
		if (field.number == RMD_FIELD_CHUNKS) {
			if (!cut) /* what came before it */
				rmd_wire_put_raw(
					&rest,
					rmd_slice_of(
						message.bytes.data,
						(size_t)(from - message.bytes.data)));
			cut = true;
			if ((rc = take_chunk(remote, &field)) < 0)
				break;
		} else if (cut) {
			rmd_wire_put_raw(&rest, raw);
		}
		from = reader.at;
	}
	if (rc == 0 && !cut) {
		rc = send_to_agent(remote, 0, rmd_piece_ref(message));
	} else if (rc == 0 && rmd_wire_writer_len(&rest) > 0) {
		struct rmd_buf *buf = rmd_wire_writer_take(&rest);
		rc = buf == NULL
			     ? RMD_ENOMEM
			     : send_to_agent(remote, 0,
					     (struct rmd_piece){rmd_buf_slice(buf), buf});
	}
	rmd_wire_writer_fini(&rest);
	return rc;
}

static void on_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct remote_link *remote = ctx;
	RMD_CHECK_OBJ(remote, MAGIC);
	int rc = sort_message(remote, message);
	if (rc == 0)
		return;
	pthread_mutex_lock(&remote->lock);
	snprintf(remote->why, sizeof remote->why, "the coordinator's message: %s",
		 rmd_errcode_text(rc));
	pthread_mutex_unlock(&remote->lock);
	rmd_stream_cancel(stream);
}

static void on_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
		      const char *text)
{
	struct remote_link *remote = ctx;
	RMD_CHECK_OBJ(remote, MAGIC);
	(void)stream;
	rmd_timer_stop(remote->loop, &remote->close_timer);
	rmd_transfers_fini(&remote->transfers);
	void (*gone)(void *ctx) = remote->gone;
	void *gone_ctx = remote->gone_ctx;
	pthread_mutex_lock(&remote->lock);
	if (remote->why[0] == '\0')
		snprintf(remote->why, sizeof remote->why, "%s%s%s",
			 rmd_rpc_status_name(status), text[0] != '\0' ? ": " : "", text);
	remote->closed = true;
	wake_locked(remote);
	unref_locked(remote);
	gone(gone_ctx);
}

static const struct rmd_stream_events stream_events = {
	.message = on_message,
	.closed = on_closed,
};

/* ---- the link's functions: agent's thread ---- */

static struct rmd_wire_writer *remote_begin(struct rmd_link *link)
{
	return rmd_stream_begin(remote_of(link)->stream);
}

static void remote_end(struct rmd_link *link)
{
	rmd_stream_end(remote_of(link)->stream);
}

static int remote_send_transfer(struct rmd_link *link, uint64_t number,
				struct rmd_piece payload)
{
	struct remote_link *remote = remote_of(link);
	struct rmd_chunks chunks = rmd_chunks_of(number, payload.bytes);
	struct rmd_chunk chunk;
	while (rmd_chunks_next(&chunks, &chunk)) {
		rmd_chunk_put(rmd_stream_begin(remote->stream), RMD_FIELD_CHUNKS, &chunk,
			      payload.buf);
		rmd_stream_end(remote->stream);
	}
	rmd_piece_unref(payload);
	return 0;
}

static size_t remote_pending_bytes(const struct rmd_link *link)
{
	return rmd_stream_pending_bytes(((const struct remote_link *)link)->stream);
}

static void on_close_timer(struct rmd_timer *timer)
{
	struct remote_link *remote =
		(struct remote_link *)((char *)timer -
				       offsetof(struct remote_link, close_timer));
	rmd_stream_cancel(remote->stream);
}

static void on_close(struct rmd_post *post)
{
	struct remote_link *remote =
		(struct remote_link *)((char *)post -
				       offsetof(struct remote_link, close_post));
	pthread_mutex_lock(&remote->lock);
	bool closed = remote->closed;
	pthread_mutex_unlock(&remote->lock);
	if (!closed) {
		rmd_stream_finish(remote->stream, RMD_RPC_OK, "");
		if (rmd_timer_start(remote->loop, &remote->close_timer,
				    rmd_clock_mono_ms() + CLOSE_MS) < 0)
			rmd_stream_cancel(remote->stream);
	}
	pthread_mutex_lock(&remote->lock);
	unref_locked(remote);
}

static void remote_close(struct rmd_link *link)
{
	struct remote_link *remote = remote_of(link);
	pthread_mutex_lock(&remote->lock);
	if (!remote->closing && !remote->closed) {
		remote->closing = true;
		remote->refs++;
		rmd_loop_post(remote->loop, &remote->close_post);
	}
	pthread_mutex_unlock(&remote->lock);
}

static void remote_destroy(struct rmd_link *link)
{
	struct remote_link *remote = remote_of(link);
	struct rmd_stream *stream = remote->stream;
	pthread_mutex_lock(&remote->lock);
	RMD_CHECK(!remote->destroyed);
	remote->destroyed = true;
	bool closed = remote->closed;
	unref_locked(remote);
	if (!closed)
		rmd_stream_cancel(stream);
	rmd_stream_unref(stream);
}

static const struct rmd_link_ops remote_ops = {
	.begin = remote_begin,
	.end = remote_end,
	.send_transfer = remote_send_transfer,
	.pending_bytes = remote_pending_bytes,
	.close = remote_close,
	.destroy = remote_destroy,
};

/* ---- loop's thread ---- */

int rmd_remote_link_open(struct rmd_loop *loop, struct rmd_channel *channel,
			 void (*gone)(void *ctx), void *ctx, struct rmd_link **ret_link)
{
	struct remote_link *remote = rmd_calloc(1, sizeof *remote);
	uint64_t seed;
	if (remote == NULL)
		return RMD_ENOMEM;
	rmd_random_bytes(&seed, sizeof seed);
	remote->link.ops = &remote_ops;
	remote->magic = MAGIC;
	remote->loop = loop;
	remote->gone = gone;
	remote->gone_ctx = ctx;
	remote->close_timer.fire = on_close_timer;
	remote->close_post.run = on_close;
	remote->resume_post.run = on_resume;
	remote->last = &remote->first;
	remote->refs = 2;
	pthread_mutex_init(&remote->lock, NULL);
	rmd_transfers_init(&remote->transfers, TRANSFERS_MAX, TRANSFER_BYTES_MAX, seed);
	struct rmd_stream *stream = rmd_channel_call(channel, "/remuda.v1.Agents/Attach",
						     0, false, &stream_events, remote);
	if (stream == NULL) {
		rmd_transfers_fini(&remote->transfers);
		pthread_mutex_destroy(&remote->lock);
		rmd_free(remote);
		return RMD_ENOMEM;
	}
	remote->stream = rmd_stream_ref(stream);
	*ret_link = &remote->link;
	return 0;
}

void rmd_remote_link_attach_agent(struct rmd_link *link, struct rmd_agent *agent)
{
	struct remote_link *remote = remote_of(link);
	pthread_mutex_lock(&remote->lock);
	remote->agent = agent;
	if (remote->first != NULL || remote->closed)
		wake_locked(remote);
	pthread_mutex_unlock(&remote->lock);
}

void rmd_remote_link_detach_agent(struct rmd_link *link)
{
	struct remote_link *remote = remote_of(link);
	pthread_mutex_lock(&remote->lock);
	remote->agent = NULL;
	pthread_mutex_unlock(&remote->lock);
}
