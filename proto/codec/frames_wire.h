/* proto/codec/frames_wire.h: what the readers and writers of frames*.c are made of.
 *
 * Only for frames*.c and proto/error. Readers: each takes one field that rmd_wire_next
 * gave, checks it and stores it; on failure it names the field. Writers: sizes are summed
 * first, then everything goes into one reserved block, with the payload last, so that it
 * may be spliced. All field numbers of these messages are at most 15: a tag is one byte.
 */
#pragma once

#include "proto/base/errcode.h"
#include "proto/codec/frames.h"

/* ---- reading ---- */

/* A varint of at most three bytes at `at`, of which there are so many; 0: it is longer.
 * Gives its size. */
static inline size_t frames_short_varint(const uint8_t *at, uint64_t *ret_value)
{
	uint64_t value = at[0];
	if (value < 0x80) {
		*ret_value = value;
		return 1;
	}
	value = (value & 0x7f) | (uint64_t)at[1] << 7;
	if (at[1] < 0x80) {
		*ret_value = value;
		return 2;
	}
	value = (value & 0x3fff) | (uint64_t)at[2] << 14;
	*ret_value = value;
	return at[2] < 0x80 ? 3 : 0;
}

/* As rmd_wire_next, inline for what nearly all fields are: a tag of one byte and a number
 * or length of at most three. */
static inline int frames_next(struct rmd_wire_reader *reader,
			      struct rmd_wire_field *ret_field)
{
	const uint8_t *at = reader->at;
	size_t left = (size_t)(reader->end - at), size;
	uint64_t value;
	if (left < 4 || at[0] >= 0x80 || at[0] < 8 ||
	    (size = frames_short_varint(at + 1, &value)) == 0)
		return rmd_wire_next(reader, ret_field);
	enum rmd_wire_type type = (enum rmd_wire_type)(at[0] & 7);
	ret_field->number = at[0] >> 3;
	ret_field->type = type;
	if (type == RMD_WIRE_VARINT) {
		ret_field->varint = value;
		ret_field->bytes = (struct rmd_slice){NULL, 0};
		reader->at = at + 1 + size;
		return 1;
	}
	if (type != RMD_WIRE_LEN || value > left - 1 - size)
		return rmd_wire_next(reader, ret_field);
	ret_field->varint = 0;
	ret_field->bytes = (struct rmd_slice){at + 1 + size, (size_t)value};
	reader->at = at + 1 + size + value;
	return 1;
}

/* Names the field and gives the code. */
static inline int frames_fail(int rc, const char *field, const char **ret_field)
{
	*ret_field = field;
	return rc;
}

static inline int frames_u64(const struct rmd_wire_field *f, uint64_t *ret,
			     const char *field, const char **ret_field)
{
	if (f->type != RMD_WIRE_VARINT)
		return frames_fail(RMD_EPROTO, field, ret_field);
	*ret = f->varint;
	return 0;
}

static inline int frames_u32(const struct rmd_wire_field *f, uint32_t *ret,
			     const char *field, const char **ret_field)
{
	if (f->type != RMD_WIRE_VARINT)
		return frames_fail(RMD_EPROTO, field, ret_field);
	if (f->varint > UINT32_MAX)
		return frames_fail(RMD_ELIMIT, field, ret_field);
	*ret = (uint32_t)f->varint;
	return 0;
}

static inline int frames_bool(const struct rmd_wire_field *f, bool *ret,
			      const char *field, const char **ret_field)
{
	if (f->type != RMD_WIRE_VARINT)
		return frames_fail(RMD_EPROTO, field, ret_field);
	*ret = f->varint != 0;
	return 0;
}

static inline int frames_bytes(const struct rmd_wire_field *f, size_t max,
			       struct rmd_slice *ret, const char *field,
			       const char **ret_field)
{
	if (f->type != RMD_WIRE_LEN)
		return frames_fail(RMD_EPROTO, field, ret_field);
	if (f->bytes.len > max)
		return frames_fail(RMD_ETOOBIG, field, ret_field);
	*ret = f->bytes;
	return 0;
}

static inline int frames_text(const struct rmd_wire_field *f, size_t max,
			      struct rmd_slice *ret, const char *field,
			      const char **ret_field)
{
	int rc = frames_bytes(f, max, ret, field, ret_field);
	if (rc == 0 && !rmd_wire_utf8_valid(f->bytes))
		return frames_fail(RMD_EPROTO, field, ret_field);
	return rc;
}

/* A nested message that occurs once: `ret` starts with data NULL. Never gives data NULL.
 */
static inline int frames_message(const struct rmd_wire_field *f, struct rmd_slice *ret,
				 const char *field, const char **ret_field)
{
	if (f->type != RMD_WIRE_LEN || ret->data != NULL)
		return frames_fail(RMD_EPROTO, field, ret_field);
	*ret = f->bytes;
	return 0;
}

/* 16 bytes, no more and no less. */
static inline int frames_session(const struct rmd_wire_field *f,
				 uint8_t ret[RMD_SESSION_BYTES], const char *field,
				 const char **ret_field)
{
	if (f->type != RMD_WIRE_LEN || f->bytes.len != RMD_SESSION_BYTES)
		return frames_fail(RMD_EPROTO, field, ret_field);
	memcpy(ret, f->bytes.data, RMD_SESSION_BYTES);
	return 0;
}

/* One entry of a map<string, string>, both texts at most `max` bytes. */
int frames_entry(const struct rmd_wire_field *f, size_t max, struct rmd_pair *ret_pair,
		 const char *field, const char **ret_field);

/* The next LEN field `number` of the checked message `raw` from *cursor on, which moves
 * behind it; false: there is none. */
bool frames_next_of(struct rmd_slice raw, uint32_t number, size_t *cursor,
		    struct rmd_slice *ret);

/* A repeated uint64 at a top level, packed or not: for a packed one, `reader` remembers
 * the rest of it, and frames_packed_next gives it. 1: a number is in *ret_number; 0: none
 * in it. */
int frames_number(struct rmd_frame_reader *reader, const struct rmd_wire_field *f,
		  uint64_t *ret_number, const char *field);
/* The next number of the packed field reader->packed_field; only while
 * frames_packed_left. */
int frames_packed_next(struct rmd_frame_reader *reader, uint64_t *ret_number,
		       const char *field);

static inline bool frames_packed_left(const struct rmd_frame_reader *reader)
{
	return reader->packed.at != reader->packed.end;
}

/* ---- writing ---- */

static inline size_t frames_varint_size(uint64_t value)
{
	unsigned bits = 64u - (unsigned)__builtin_clzll(value | 1);
	return (bits * 9 + 64) / 64;
}

static inline uint8_t *frames_store_varint(uint8_t *at, uint64_t value)
{
	while (value >= 0x80) {
		*at++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*at++ = (uint8_t)value;
	return at;
}

/* Size of a varint field; nothing where it is 0. */
static inline size_t frames_size_number(uint64_t value)
{
	return value != 0 ? 1 + frames_varint_size(value) : 0;
}

static inline uint8_t *frames_store_number(uint8_t *at, uint32_t field, uint64_t value)
{
	if (value == 0)
		return at;
	*at++ = (uint8_t)(field << 3 | RMD_WIRE_VARINT);
	return frames_store_varint(at, value);
}

/* Size of a LEN field with `len` bytes, also where it is 0. */
static inline size_t frames_size_len(size_t len)
{
	return 1 + frames_varint_size(len) + len;
}

static inline uint8_t *frames_store_len(uint8_t *at, uint32_t field, size_t len)
{
	*at++ = (uint8_t)(field << 3 | RMD_WIRE_LEN);
	return frames_store_varint(at, len);
}

/* Size of a bytes or text field; nothing where it is empty. */
static inline size_t frames_size_bytes(struct rmd_slice bytes)
{
	return bytes.len != 0 ? frames_size_len(bytes.len) : 0;
}

/* A bytes field, also where it is empty. */
static inline uint8_t *frames_store_bytes_always(uint8_t *at, uint32_t field,
						 struct rmd_slice bytes)
{
	at = frames_store_len(at, field, bytes.len);
	if (bytes.len != 0)
		memcpy(at, bytes.data, bytes.len);
	return at + bytes.len;
}

static inline uint8_t *frames_store_bytes(uint8_t *at, uint32_t field,
					  struct rmd_slice bytes)
{
	return bytes.len != 0 ? frames_store_bytes_always(at, field, bytes) : at;
}

/* True: these bytes go in by reference to `buf`, behind what is stored. */
static inline bool frames_spliced(struct rmd_slice bytes, const struct rmd_buf *buf)
{
	return buf != NULL && bytes.len >= RMD_WIRE_SPLICE_MIN;
}

/* Size of the fields of a SegmentRef, and they themselves. */
size_t frames_size_segment(const struct rmd_segment_ref *ref);
uint8_t *frames_store_segment(uint8_t *at, const struct rmd_segment_ref *ref);

/* google.protobuf.Duration to milliseconds, rounded up, at most `max_ms`: RMD_ELIMIT. */
int frames_duration_read(struct rmd_slice bytes, uint64_t max_ms, uint64_t *ret_ms,
			 const char *field, const char **ret_field);
/* Size of a Duration as a field, and it itself; nothing where it is 0. */
size_t frames_size_duration(uint64_t ms);
uint8_t *frames_store_duration(uint8_t *at, uint32_t field, uint64_t ms);

/* Size of the fields of a TaskOptions, and they themselves. */
size_t frames_size_options(const struct rmd_task_options *options);
uint8_t *frames_store_options(uint8_t *at, const struct rmd_task_options *options);

/* An Outcome that is being written: sizes first. */
struct frames_outcome {
	const struct rmd_outcome *outcome;
	struct rmd_buf *buf;         /* NULL: nothing is spliced */
	uint32_t field;              /* of the payload; 0: a transfer or a reason */
	size_t size;                 /* of its fields, payload included */
	bool spliced;
};

struct frames_outcome frames_outcome_of(const struct rmd_outcome *outcome,
					struct rmd_buf *buf);
/* How much of o->size stands in the block. */
static inline size_t frames_outcome_in_block(const struct frames_outcome *o)
{
	return o->spliced ? 0 : o->size;
}
/* Stores its fields (nothing where they are spliced). */
uint8_t *frames_store_outcome(uint8_t *at, const struct frames_outcome *o);
/* Splices it, if it is to be spliced; after the block, as the last thing. */
void frames_splice_outcome(struct rmd_wire_writer *writer,
			   const struct frames_outcome *o);

/* Size of the fields of a LogChunk, and they themselves. */
size_t frames_size_log(const struct rmd_log_chunk *log);
uint8_t *frames_store_log(uint8_t *at, const struct rmd_log_chunk *log);

/* Appends a packed list of numbers; nothing where count is 0. */
void frames_put_packed(struct rmd_wire_writer *writer, uint32_t field,
		       const uint64_t *numbers, size_t count);
