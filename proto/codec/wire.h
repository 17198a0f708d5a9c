/* proto/codec/wire.h: protobuf's wire format, read and written by hand, bounded.
 *
 * For the hot path (batches of tasks and outcomes) and for whatever recurses (Value):
 * about 10 ns a task where a generated codec takes 90, and no peer decides how deep we
 * recurse. The reader hands out slices of its input and copies nothing. The writer
 * appends to one growing block; large payloads are spliced in by reference. Pure: no
 * I/O, no clock. A reader or writer belongs to one thread at a time. Format:
 * https://protobuf.dev/programming-guides/encoding/ */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/buf.h"

enum rmd_wire_type {
	RMD_WIRE_VARINT = 0,
	RMD_WIRE_I64 = 1,
	RMD_WIRE_LEN = 2,
	RMD_WIRE_I32 = 5,
};

/* ---- reading ---- */

/* What is left to read. Make one with rmd_wire_reader_of; copy it to look ahead. */
struct rmd_wire_reader {
	const uint8_t *at, *end;
};

/* One field. `number` 1 to 2^29-1. Of `varint` (VARINT, I64, I32: its bits) and
 * `bytes` (LEN) the one that `type` says is set, the other is zero. */
struct rmd_wire_field {
	uint32_t number;
	enum rmd_wire_type type;
	uint64_t varint;
	struct rmd_slice bytes;      /* borrowed from the input */
};

static inline struct rmd_wire_reader rmd_wire_reader_of(struct rmd_slice bytes)
{
	/* Nothing is added to a NULL pointer. */
	return (struct rmd_wire_reader){bytes.data,
					bytes.len == 0 ? bytes.data : bytes.data + bytes.len};
}

/* Reads the next field: 1, or 0 at the end of the input; RMD_ETRUNC: it is cut short;
 * RMD_EPROTO: a bad tag, a varint over 10 bytes, a group. */
int rmd_wire_next(struct rmd_wire_reader *reader, struct rmd_wire_field *ret_field);

/* Reads a bare varint, as in a packed field; gives as rmd_wire_next. */
int rmd_wire_next_varint(struct rmd_wire_reader *reader, uint64_t *ret_value);

/* Zigzag (sint32, sint64). */
static inline int64_t rmd_wire_unzigzag(uint64_t n)
{
	return (int64_t)(n >> 1) ^ -(int64_t)(n & 1);
}

static inline uint64_t rmd_wire_zigzag(int64_t n)
{
	return ((uint64_t)n << 1) ^ (uint64_t)(n >> 63);
}

/* The bits of a double field (type I64). */
static inline double rmd_wire_double(uint64_t bits)
{
	double value;
	memcpy(&value, &bits, sizeof value);
	return value;
}

/* True if `bytes` is valid UTF-8 (no surrogates, no overlong forms). */
bool rmd_wire_utf8_valid(struct rmd_slice bytes);

/* ---- writing ---- */

/* A payload spliced in by reference, behind the first `at` bytes of the block. */
struct rmd_wire_splice {
	size_t at;
	struct rmd_piece piece;      /* owned */
};

/* Starts zeroed ({0}). `failed` is sticky: set once memory has run out; then all
 * further puts do nothing and the contents must not be sent. */
struct rmd_wire_writer {
	uint8_t *data;               /* owned, from rmd_malloc, unless `borrowed` */
	size_t len, capacity;
	struct rmd_wire_splice *splices; /* owned, in order of `at` */
	size_t splice_count, splice_capacity;
	size_t splice_bytes;         /* sum of their lengths */
	bool failed;
	bool borrowed;               /* `data` is not ours: it is never freed, and what
				      * does not fit moves to a block of our own */
};

/* Pieces of at least this many bytes are spliced, smaller ones are copied. */
#define RMD_WIRE_SPLICE_MIN 16384u

/* Frees what the writer holds and zeroes it. */
void rmd_wire_writer_fini(struct rmd_wire_writer *writer);
/* Empties it, keeping its block for the next message. */
void rmd_wire_writer_reset(struct rmd_wire_writer *writer);
/* Length of the message so far, splices included. */
static inline size_t rmd_wire_writer_len(const struct rmd_wire_writer *writer)
{
	return writer->len + writer->splice_bytes;
}
/* Gives the message as one buf (copies), or NULL (failed, or out of memory); the
 * writer is emptied. */
struct rmd_buf *rmd_wire_writer_take(struct rmd_wire_writer *writer);

/* Bytes that `value` takes as a varint: 1 to 10. */
static inline size_t rmd_wire_varint_size(uint64_t value)
{
	unsigned bits = 64u - (unsigned)__builtin_clzll(value | 1);
	return (bits + 6) / 7;
}

/* Each appends one field; numbers from 1. */
void rmd_wire_put_varint(struct rmd_wire_writer *writer, uint32_t number, uint64_t value);
void rmd_wire_put_sint(struct rmd_wire_writer *writer, uint32_t number, int64_t value);
void rmd_wire_put_fixed64(struct rmd_wire_writer *writer, uint32_t number, uint64_t bits);
void rmd_wire_put_double(struct rmd_wire_writer *writer, uint32_t number, double value);
void rmd_wire_put_bytes(struct rmd_wire_writer *writer, uint32_t number, struct rmd_slice bytes);
/* As put_bytes; from RMD_WIRE_SPLICE_MIN on by reference (takes one of its own). */
void rmd_wire_put_piece(struct rmd_wire_writer *writer, uint32_t number, struct rmd_piece piece);
/* As the above, and nothing where the value is 0 or empty (proto3 default). */
static inline void rmd_wire_put_varint_nz(struct rmd_wire_writer *writer, uint32_t number,
					  uint64_t value)
{
	if (value != 0)
		rmd_wire_put_varint(writer, number, value);
}
static inline void rmd_wire_put_bytes_nz(struct rmd_wire_writer *writer, uint32_t number,
					 struct rmd_slice bytes)
{
	if (bytes.len != 0)
		rmd_wire_put_bytes(writer, number, bytes);
}
/* Appends bytes that are already wire format. */
void rmd_wire_put_raw(struct rmd_wire_writer *writer, struct rmd_slice bytes);
/* Appends a bare varint, as in a packed field. */
void rmd_wire_put_raw_varint(struct rmd_wire_writer *writer, uint64_t value);
/* Only the tag and length of a LEN field whose `len` bytes the caller appends itself
 * (put_raw, or directly with rmd_wire_reserve). */
void rmd_wire_put_len_header(struct rmd_wire_writer *writer, uint32_t number, size_t len);
/* Gives room for `len` bytes at the end, for the caller to fill at once; NULL: failed. */
uint8_t *rmd_wire_reserve(struct rmd_wire_writer *writer, size_t len);

/* A nested message: what is put between open and close is its content. Close patches
 * the length. May be nested in turn. */
struct rmd_wire_nest {
	size_t length_at;            /* where its length stands in the block */
	size_t splice_bytes;         /* what the writer had at open */
};
struct rmd_wire_nest rmd_wire_open(struct rmd_wire_writer *writer, uint32_t number);
void rmd_wire_close(struct rmd_wire_writer *writer, struct rmd_wire_nest nest);
