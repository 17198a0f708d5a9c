/* proto/base/buf.h: bytes that are looked at (slice) and bytes that are shared (buf).
 *
 * A `struct rmd_slice` borrows: pointer and length, no owner. A `struct rmd_buf` is a
 * counted, immutable piece of memory; whoever keeps a slice of it longer than a call
 * keeps a reference to the buf too. Payloads travel through the coordinator as a
 * `struct rmd_piece` = slice + the buf it lies in, and are not copied.
 * References may be taken and dropped by any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rmd_slice {
	const uint8_t *data;         /* may be NULL when len is 0 */
	size_t len;
};

struct rmd_buf;

/* Frees what a foreign buf wraps; called once, by whichever thread drops the last ref. */
typedef void rmd_buf_release(void *owner);

/* Gives a buf of `len` writable bytes (uninitialised) with one reference, or NULL. The
 * maker may write through rmd_buf_writable until it hands the buf on. */
struct rmd_buf *rmd_buf_create(size_t len);
/* Gives a buf that holds a copy of `bytes`, or NULL. */
struct rmd_buf *rmd_buf_copy(struct rmd_slice bytes);
/* Gives a buf around foreign memory; `release(owner)` runs when the last reference
 * goes. NULL when out of memory: then `release` has not run and `owner` is still the
 * caller's. */
struct rmd_buf *rmd_buf_wrap(struct rmd_slice bytes, rmd_buf_release *release, void *owner);
struct rmd_buf *rmd_buf_ref(struct rmd_buf *buf);
/* Drops one reference; NULL is allowed. */
void rmd_buf_unref(struct rmd_buf *buf);
/* All bytes of `buf`, borrowed while a reference is held. */
struct rmd_slice rmd_buf_slice(const struct rmd_buf *buf);
/* The bytes of a buf from rmd_buf_create, for its maker to fill. */
uint8_t *rmd_buf_writable(struct rmd_buf *buf);
/* Shortens what rmd_buf_slice shows to `len` bytes (at most what it showed). Maker
 * only. */
void rmd_buf_truncate(struct rmd_buf *buf, size_t len);

/* A slice together with the reference that keeps it alive; buf NULL: static or empty. */
struct rmd_piece {
	struct rmd_slice bytes;
	struct rmd_buf *buf;
};

static inline struct rmd_piece rmd_piece_ref(struct rmd_piece piece)
{
	if (piece.buf != NULL)
		rmd_buf_ref(piece.buf);
	return piece;
}

static inline void rmd_piece_unref(struct rmd_piece piece)
{
	rmd_buf_unref(piece.buf);
}

static inline struct rmd_slice rmd_slice_of(const void *data, size_t len)
{
	return (struct rmd_slice){(const uint8_t *)data, len};
}

static inline struct rmd_slice rmd_slice_of_string(const char *text)
{
	return rmd_slice_of(text, strlen(text));
}

static inline bool rmd_slice_equal(struct rmd_slice a, struct rmd_slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
