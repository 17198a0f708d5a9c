/* server/service/attach.c: Agents.Attach: the link of a remote agent, the
 * coordinator's end. */
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/digest.h"
#include "proto/base/errcode.h"
#include "proto/codec/frames_agent.h"
#include "proto/codec/transfer.h"
#include "proto/link/link.h"
#include "server/service/coordinator.h"

#define ATTACH_MAGIC 0xa77ac401u
#define TRANSFERS_MAX 4096u
#define MESSAGE_BYTES (6u << 20)

struct attach {
	struct rmd_link link; /* first */
	uint32_t magic;
	struct rmd_stream *stream; /* NULL once closed */
	struct rmd_transfers transfers;
	bool destroyed, delivering;
};

static struct rmd_method attach_method;
static const struct rmd_stream_events attach_events;

static void attach_free(struct attach *attach)
{
	rmd_transfers_fini(&attach->transfers);
	attach->magic = 0;
	rmd_free(attach);
}

/* ---- the link's functions ---- */

static struct rmd_wire_writer *attach_begin(struct rmd_link *link)
{
	return rmd_stream_begin(((struct attach *)link)->stream);
}

static void attach_end(struct rmd_link *link)
{
	rmd_stream_end(((struct attach *)link)->stream);
}

static int attach_send_transfer(struct rmd_link *link, uint64_t number,
				struct rmd_piece payload)
{
	struct attach *attach = (struct attach *)link;
	struct rmd_chunks chunks = rmd_chunks_of(number, payload.bytes);
	struct rmd_chunk chunk;
	while (rmd_chunks_next(&chunks, &chunk)) {
		rmd_chunk_put(rmd_stream_begin(attach->stream), RMD_FIELD_CHUNKS, &chunk,
			      payload.buf);
		rmd_stream_end(attach->stream);
	}
	rmd_piece_unref(payload);
	return 0;
}

static size_t attach_pending_bytes(const struct rmd_link *link)
{
	return rmd_stream_pending_bytes(((const struct attach *)link)->stream);
}

static void attach_close(struct rmd_link *link)
{
	struct attach *attach = (struct attach *)link;
	if (attach->stream != NULL)
		rmd_stream_finish(attach->stream, RMD_RPC_ABORTED,
				  "the coordinator has ended this agent's stream");
}

static void attach_destroy(struct rmd_link *link)
{
	struct attach *attach = (struct attach *)link;
	RMD_CHECK_OBJ(attach, ATTACH_MAGIC);
	attach->destroyed = true;
	if (attach->stream != NULL)
		rmd_stream_cancel(attach->stream);
	else if (!attach->delivering)
		attach_free(attach);
}

static const struct rmd_link_ops attach_ops = {
	.begin = attach_begin,
	.end = attach_end,
	.send_transfer = attach_send_transfer,
	.pending_bytes = attach_pending_bytes,
	.close = attach_close,
	.destroy = attach_destroy,
};

/* ---- the stream's events ---- */

/* Takes in the chunks of a message. 1: there are other items; 0: there are none. */
static int take_chunks(struct attach *attach, struct rmd_slice message)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(message);
	struct rmd_wire_field field;
	struct rmd_chunk chunk;
	const char *name;
	int others = 0, rc;
	while ((rc = rmd_wire_next(&reader, &field)) > 0) {
		if (field.number != RMD_FIELD_CHUNKS) {
			others = 1;
			continue;
		}
		if (field.type != RMD_WIRE_LEN)
			return RMD_EPROTO;
		if ((rc = rmd_chunk_read(field.bytes, &chunk, &name)) < 0 ||
		    (rc = rmd_transfers_add(&attach->transfers, &chunk)) < 0)
			return rc;
		if (rc == 0)
			continue;
		struct rmd_buf *whole;
		if ((rc = rmd_transfers_take(&attach->transfers, chunk.transfer,
					     &whole)) < 0)
			return rc;
		attach->link.events->transfer(
			attach->link.ctx, chunk.transfer,
			(struct rmd_piece){rmd_buf_slice(whole), whole});
	}
	return rc < 0 ? rc : others;
}

/* The message without its chunks, which the hub is not shown. */
static struct rmd_buf *without_chunks(struct rmd_slice message)
{
	struct rmd_wire_writer writer = {0};
	struct rmd_wire_reader reader = rmd_wire_reader_of(message);
	struct rmd_wire_field field;
	const uint8_t *from = reader.at;
	while (rmd_wire_next(&reader, &field) > 0) {
		if (field.number != RMD_FIELD_CHUNKS)
			rmd_wire_put_raw(&writer,
					 rmd_slice_of(from, (size_t)(reader.at - from)));
		from = reader.at;
	}
	struct rmd_buf *rest = rmd_wire_writer_take(&writer);
	rmd_wire_writer_fini(&writer);
	return rest;
}

/* True if any field of the message is a chunk. */
static bool has_chunks(struct rmd_slice message)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(message);
	struct rmd_wire_field field;
	while (rmd_wire_next(&reader, &field) > 0)
		if (field.number == RMD_FIELD_CHUNKS)
			return true;
	return false;
}

static void on_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct attach *attach = ctx;
	RMD_CHECK_OBJ(attach, ATTACH_MAGIC);
	if (attach->destroyed)
		return;
	if (!has_chunks(message.bytes)) {
		attach->link.events->frame(attach->link.ctx, message);
		return;
	}
	int rc = take_chunks(attach, message.bytes);
	if (rc > 0) {
		struct rmd_buf *rest = without_chunks(message.bytes);
		if (rest != NULL)
			attach->link.events->frame(
				attach->link.ctx,
				(struct rmd_piece){rmd_buf_slice(rest), rest});
		else
			rc = RMD_ENOMEM;
		rmd_buf_unref(rest);
	}
	if (rc < 0)
		rmd_stream_finish(stream,
				  rc == RMD_ELIMIT || rc == RMD_ENOMEM
					  ? RMD_RPC_RESOURCE_EXHAUSTED
					  : RMD_RPC_INVALID_ARGUMENT,
				  rmd_errcode_text(rc));
}

static void on_half_closed(struct rmd_stream *stream, void *ctx)
{
	(void)ctx;
	rmd_stream_finish(stream, RMD_RPC_OK, "");
}

static void on_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
		      const char *text)
{
	struct attach *attach = ctx;
	RMD_CHECK_OBJ(attach, ATTACH_MAGIC);
	(void)stream;
	attach->delivering = true;
	attach->stream = NULL;
	if (!attach->destroyed)
		attach->link.events->lost(attach->link.ctx, status == RMD_RPC_OK
								    ? "its stream ended"
								    : text);
	attach->delivering = false;
	if (attach->destroyed)
		attach_free(attach);
}

static const struct rmd_stream_events attach_events = {
	.message = on_message,
	.half_closed = on_half_closed,
	.closed = on_closed,
};

static void on_open(struct rmd_stream *stream, void *service)
{
	struct rmd_coordinator *coordinator = service;
	struct attach *attach = rmd_calloc(1, sizeof *attach);
	if (attach == NULL) {
		rmd_stream_finish(stream, RMD_RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	uint64_t seed;
	rmd_random_bytes(&seed, sizeof seed);
	attach->link.ops = &attach_ops;
	attach->magic = ATTACH_MAGIC;
	attach->stream = stream;
	rmd_transfers_init(&attach->transfers, TRANSFERS_MAX,
			   coordinator->options.payload_budget_bytes, seed);
	rmd_stream_listen(stream, &attach_events, attach);
	if (rmd_coordinator_add_agent(coordinator, &attach->link, false) < 0)
		rmd_stream_finish(stream, RMD_RPC_RESOURCE_EXHAUSTED, "out of memory");
}

int rmd_attach_service_add(struct rmd_coordinator *coordinator)
{
	attach_method = (struct rmd_method){.path = "/remuda.v1.Agents/Attach",
					    .open = on_open,
					    .message_max_bytes = MESSAGE_BYTES};
	return rmd_server_add_methods(coordinator->server, &attach_method, 1,
				      coordinator);
}
