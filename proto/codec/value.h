/* proto/codec/value.h: values to and from their wire form, remuda.v1.Value.
 *
 * Encoding and decoding are exact: NaN payloads, -0, integers of any size. Decoding
 * executes nothing, recurses at most REMUDA_VALUE_DEPTH_MAX levels and counts before
 * it allocates. The same value has these spellings, which mean the same and compare as
 * equal: an integer as int64, uint64 or bigint; a list of numbers as list or packed
 * (ints, doubles). Pure: no I/O, no clock. Values are read only; any thread that may
 * read them may be here. */
#pragma once

#include <remuda/value.h>

#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/codec/wire.h"

/* What is decoded takes at most this many times its wire form, all in the arena (the
 * worst: a map's pair of two bytes, 96 here; a list's item of two bytes is 48). */
#define RMD_VALUE_EXPANSION_MAX 48u

/* What is not encodable, and where. */
struct rmd_value_fault {
	char path[160];              /* "[0][3].name", "" for the value itself; long ones are cut */
	const char *why;             /* "text that is not valid UTF-8"; borrowed for ever */
};

/* Says if `value` can be encoded: 0. RMD_EDEPTH: nested more than
 * REMUDA_VALUE_DEPTH_MAX levels; RMD_EINVAL: a part has no wire form; RMD_EEXIST: a
 * map has a key twice; RMD_ENOMEM. `ret_fault` (may be NULL) is filled on any failure.
 * The path's steps: [n] an item, .key the value under a text key (["odd key"] where it
 * is no plain word), {n} the value of the n-th pair under a key that is no text,
 * {n:key} that key, .value what a named value holds. */
int rmd_value_check(const struct remuda_value *value, struct rmd_value_fault *ret_fault);

/* Appends the fields of a Value message. `value` has passed rmd_value_check, or came out
 * of rmd_value_get; what has not and is too deep or of no kind makes the writer fail. */
void rmd_value_put(struct rmd_wire_writer *writer, const struct remuda_value *value);
/* The same as field `number`, a nested Value. */
void rmd_value_put_field(struct rmd_wire_writer *writer, uint32_t number,
			 const struct remuda_value *value);

/* Reads a Value message. `*ret_value` borrows from `bytes` (byte strings, arrays and
 * packed lists that lie aligned) and from `arena` (all else; text has a NUL behind it
 * there). Fields that are not known are skipped; no kind means null; of several kinds
 * the last one counts, of a nested message that comes twice the last one too (not
 * merged). Integers come out in their narrowest kind, so whatever is given passes
 * rmd_value_check. RMD_ETRUNC, RMD_EPROTO: not a Value, or one against its limits;
 * RMD_EDEPTH; RMD_ELIMIT: the arena's limit is reached; RMD_ENOMEM. */
int rmd_value_get(struct rmd_slice bytes, struct rmd_arena *arena,
		  struct remuda_value *ret_value);

/* Fills `ret_fault` with the innermost part at which a Value message can't be decoded, as
 * rmd_value_check says it; `rc` is what rmd_value_get gave for the whole. What is decoded
 * on the way is left in `arena`; the time is its size by its depth. */
void rmd_value_locate(struct rmd_slice bytes, int rc, struct rmd_arena *arena,
		      struct rmd_value_fault *ret_fault);

/* A total order: negative, 0 (same content), positive. Numbers are compared bit for
 * bit (a NaN equals itself, 0.0 and -0.0 differ), an integer never equals a float. The
 * order of items counts, in sets and maps too. Both are at most REMUDA_VALUE_DEPTH_MAX
 * deep. */
int rmd_value_compare(const struct remuda_value *a, const struct remuda_value *b);

static inline bool rmd_value_equal(const struct remuda_value *a, const struct remuda_value *b)
{
	return rmd_value_compare(a, b) == 0;
}

/* 0 if no two keys are the same. RMD_EEXIST: `*ret_twin` is the later of two that are.
 * RMD_ENOMEM. Takes O(n log n) comparisons, whatever the keys. */
int rmd_value_keys_distinct(const struct remuda_entry *entries, size_t len, size_t *ret_twin);

/* What `value` says against the limits of its own kind, its items left out, or NULL. */
const char *rmd_value_blemish(const struct remuda_value *value);

/* Gives the integer of `len` bytes in two's complement, least significant first, in its
 * narrowest kind; as REMUDA_BIGINT it borrows a shortened `bytes`. No bytes: 0. */
struct remuda_value rmd_value_of_twos(struct rmd_slice bytes);
