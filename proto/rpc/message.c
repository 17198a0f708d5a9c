#include "proto/rpc/message.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/rpc/loop.h"

/* Up to here a copy costs less than giving the block away and growing another. */
#define COPY_MAX_BYTES 16384u
/* From here on a received slice is kept where it is. */
#define WRAP_MIN_BYTES 2048u
/* Parts of a message that fit on the stack: a block cut by some payloads. */
#define PARTS_ON_STACK 64u

static void drop_block(void *block)
{
	RMD_TSAN_ACQUIRE(block);
	rmd_free(block);
}

static void drop_buf(void *buf)
{
	RMD_TSAN_ACQUIRE(buf);
	rmd_buf_unref(buf);
}

static void drop_nothing(void *unused)
{
	(void)unused;
}

/* The writer's block as a slice; a large one changes hands. */
static grpc_slice block_slice(struct rmd_wire_writer *writer)
{
	if (writer->len <= COPY_MAX_BYTES)
		return grpc_slice_from_copied_buffer((const char *)writer->data,
						     writer->len);
	uint8_t *block = writer->data;
	RMD_TSAN_RELEASE(block);
	writer->data = NULL;
	writer->capacity = 0;
	return grpc_slice_new_with_user_data(block, writer->len, drop_block, block);
}

static grpc_slice piece_slice(const struct rmd_piece *piece)
{
	void *bytes = (void *)(uintptr_t)piece->bytes.data;
	if (piece->buf == NULL)
		return grpc_slice_new_with_user_data(bytes, piece->bytes.len,
						     drop_nothing, NULL);
	struct rmd_buf *buf = rmd_buf_ref(piece->buf);
	RMD_TSAN_RELEASE(buf);
	return grpc_slice_new_with_user_data(bytes, piece->bytes.len, drop_buf, buf);
}

/* Cuts the block at the splices and puts these between the cuts; gives the number of
 * parts. */
static size_t cut(const struct rmd_wire_writer *writer, grpc_slice block,
		  grpc_slice *parts)
{
	size_t count = 0, done = 0;
	for (size_t i = 0; i < writer->splice_count; i++) {
		const struct rmd_wire_splice *splice = &writer->splices[i];
		if (splice->at > done)
			parts[count++] = grpc_slice_sub(block, done, splice->at);
		done = splice->at;
		parts[count++] = piece_slice(&splice->piece);
	}
	size_t len = GRPC_SLICE_LENGTH(block);
	if (len > done)
		parts[count++] = grpc_slice_sub(block, done, len);
	return count;
}

grpc_byte_buffer *rmd_message_pack(struct rmd_wire_writer *writer)
{
	RMD_CHECK(!writer->failed);
	grpc_slice on_stack[PARTS_ON_STACK], *parts = on_stack;
	size_t parts_max = writer->splice_count * 2 + 1;
	if (parts_max > PARTS_ON_STACK) {
		parts = rmd_malloc(parts_max * sizeof *parts);
		if (parts == NULL)
			return NULL;
	}
	grpc_slice block = block_slice(writer);
	size_t count = cut(writer, block, parts);
	grpc_byte_buffer *message = grpc_raw_byte_buffer_create(parts, count);
	for (size_t i = 0; i < count; i++)
		grpc_slice_unref(parts[i]);
	grpc_slice_unref(block);
	if (parts != on_stack)
		rmd_free(parts);
	rmd_wire_writer_reset(writer);
	return message;
}

static void drop_slice(void *owner)
{
	grpc_slice *slice = owner;
	grpc_slice_unref(*slice);
	rmd_free(slice);
}

/* The whole message lies in `slice`: keeps it where it is. */
static int wrap(const grpc_slice *slice, struct rmd_piece *ret_piece)
{
	grpc_slice *kept = rmd_malloc(sizeof *kept);
	if (kept == NULL)
		return RMD_ENOMEM;
	*kept = grpc_slice_ref(*slice);
	struct rmd_slice bytes =
		rmd_slice_of(GRPC_SLICE_START_PTR(*kept), GRPC_SLICE_LENGTH(*kept));
	struct rmd_buf *buf = rmd_buf_wrap(bytes, drop_slice, kept);
	if (buf == NULL) {
		drop_slice(kept);
		return RMD_ENOMEM;
	}
	*ret_piece = (struct rmd_piece){bytes, buf};
	return 0;
}

static int gather(grpc_byte_buffer_reader *reader, grpc_slice *slice, size_t len,
		  struct rmd_piece *ret_piece)
{
	struct rmd_buf *buf = rmd_buf_create(len);
	if (buf == NULL)
		return RMD_ENOMEM;
	uint8_t *at = rmd_buf_writable(buf);
	size_t left = len;
	do {
		size_t part = GRPC_SLICE_LENGTH(*slice);
		RMD_CHECK(part <= left);
		if (part != 0)
			memcpy(at, GRPC_SLICE_START_PTR(*slice), part);
		at += part;
		left -= part;
	} while (grpc_byte_buffer_reader_peek(reader, &slice));
	RMD_CHECK(left == 0);
	*ret_piece = (struct rmd_piece){rmd_buf_slice(buf), buf};
	return 0;
}

int rmd_message_unpack(grpc_byte_buffer *message, struct rmd_piece *ret_piece)
{
	if (message->type != GRPC_BB_RAW ||
	    message->data.raw.compression != GRPC_COMPRESS_NONE)
		return RMD_EPROTO;
	grpc_byte_buffer_reader reader;
	if (!grpc_byte_buffer_reader_init(&reader, message))
		return RMD_EPROTO;
	size_t len = grpc_byte_buffer_length(message);
	grpc_slice *slice;
	int code = 0;
	if (!grpc_byte_buffer_reader_peek(&reader, &slice))
		*ret_piece = (struct rmd_piece){rmd_slice_of("", 0), NULL};
	else if (GRPC_SLICE_LENGTH(*slice) == len && len >= WRAP_MIN_BYTES)
		code = wrap(slice, ret_piece);
	else
		code = gather(&reader, slice, len, ret_piece);
	grpc_byte_buffer_reader_destroy(&reader);
	return code;
}
