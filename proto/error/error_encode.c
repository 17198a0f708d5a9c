#include <stdio.h>

#include "proto/base/check.h"
#include "proto/codec/wire.h"
#include "proto/error/parts.h"

#define MARK_BYTES 32u

/* How much of an error goes out. The next level is tried where the whole is too large. */
struct level {
	size_t message_max, frames_max, frame_max;
	bool payloads;
};

static const struct level levels[] = {
	{MESSAGE_MAX_BYTES, REMUDA_ERROR_FRAMES_MAX, FRAME_MAX_BYTES, true},
	{MESSAGE_MAX_BYTES, REMUDA_ERROR_FRAMES_MAX, FRAME_MAX_BYTES, false},
	{4096, 8, 256, false}, /* 64 of these are below 1 MiB */
};

/* Puts text and tail; where both are over `max`, the text is cut between two characters,
 * and a mark says how much is missing. Nothing where both are empty. */
static void put_text(struct rmd_wire_writer *writer, uint32_t field, const char *text,
		     const char *tail, size_t max)
{
	size_t len = strlen(text), tail_len = strlen(tail), kept = len;
	char mark[MARK_BYTES] = "";
	if (len + tail_len == 0)
		return;
	if (len + tail_len > max) {
		kept = max - tail_len - MARK_BYTES;
		while (kept > 0 && ((uint8_t)text[kept] & 0xc0) == 0x80)
			kept--;
		snprintf(mark, sizeof mark, " [%zu bytes left out]", len - kept);
	}
	rmd_wire_put_len_header(writer, field, kept + strlen(mark) + tail_len);
	rmd_wire_put_raw(writer, rmd_slice_of(text, kept));
	rmd_wire_put_raw(writer, rmd_slice_of_string(mark));
	rmd_wire_put_raw(writer, rmd_slice_of_string(tail));
}

static void put_frame(struct rmd_wire_writer *writer, const struct remuda_frame *frame,
		      size_t max)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, 3);
	put_text(writer, 1, frame->file, "", max);
	rmd_wire_put_varint_nz(writer, 2, frame->line);
	put_text(writer, 3, frame->function, "", max);
	put_text(writer, 4, frame->image, "", max);
	rmd_wire_put_varint_nz(writer, 5, frame->offset);
	rmd_wire_close(writer, nest);
}

/* All frames, or the outermost and the innermost with a mark between them. */
static void put_frames(struct rmd_wire_writer *writer, const struct remuda_error *err,
		       const struct level *level)
{
	size_t count = err->frame_count, first = count, last = 0;
	if (count > level->frames_max) {
		first = level->frames_max / 2;
		last = level->frames_max - first - 1;
	}
	for (size_t i = 0; i < first; i++)
		put_frame(writer, &err->frames[i].frame, level->frame_max);
	if (first + last < count) {
		char text[ERROR_TAIL_BYTES];
		snprintf(text, sizeof text, "[%zu frames left out]",
			 count - first - last);
		struct remuda_frame mark = {.file = "", .function = text, .image = ""};
		put_frame(writer, &mark, level->frame_max);
	}
	for (size_t i = count - last; i < count; i++)
		put_frame(writer, &err->frames[i].frame, level->frame_max);
}

static void put_error(struct rmd_wire_writer *writer, const struct error_flat *flat,
		      uint32_t index, const struct level *level)
{
	const struct remuda_error *err = flat->errors[index];
	struct rmd_wire_nest nest = rmd_wire_open(writer, 1);
	char tail[ERROR_TAIL_BYTES];
	error_tail(err, tail);
	put_text(writer, 1, remuda_error_type(err), "", TYPE_MAX_BYTES);
	put_text(writer, 2, remuda_error_message(err), tail, level->message_max);
	put_frames(writer, err, level);
	rmd_wire_put_varint_nz(writer, 4, flat->cause[index]);
	rmd_wire_put_varint_nz(writer, 5, flat->context[index]);
	rmd_wire_put_varint_nz(writer, 6, err->origin);
	put_text(writer, 7, remuda_error_host(err), "", HOST_MAX_BYTES);
	rmd_wire_put_varint_nz(writer, 8, err->worker);
	rmd_wire_put_varint_nz(writer, 9, err->attempt);
	rmd_wire_put_varint_nz(writer, 10, (uint64_t)(int64_t)err->exit_code);
	rmd_wire_put_varint_nz(writer, 11, err->exited);
	rmd_wire_put_varint_nz(writer, 12, (uint64_t)(int64_t)err->signal);
	if (level->payloads && err->payload_len != 0) {
		rmd_wire_put_bytes(writer, 13,
				   rmd_slice_of(err->payload, err->payload_len));
		put_text(writer, 14, remuda_error_runtime_codec(err), "",
			 CODEC_MAX_BYTES);
	}
	rmd_wire_close(writer, nest);
}

void rmd_error_encode(const struct remuda_error *err, struct rmd_wire_writer *writer)
{
	struct error_flat flat;
	error_flatten(err, &flat);
	size_t start = writer->len;
	for (size_t l = 0; l < sizeof levels / sizeof *levels; l++) {
		writer->len = start;
		for (uint32_t i = 0; i < flat.count; i++) {
			put_error(writer, &flat, i, &levels[l]);
			if (writer->failed)
				return;
			if (writer->len - start > RMD_ERROR_CHAIN_MAX_BYTES)
				break;
		}
		if (writer->len - start <= RMD_ERROR_CHAIN_MAX_BYTES)
			return;
	}
	RMD_UNREACHABLE("the last level is always small enough");
}

struct rmd_buf *rmd_error_encode_buf(const struct remuda_error *err)
{
	struct rmd_wire_writer writer = {0};
	rmd_error_encode(err, &writer);
	struct rmd_buf *buf = rmd_wire_writer_take(&writer);
	rmd_wire_writer_fini(&writer);
	return buf;
}
