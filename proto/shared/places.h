/* proto/shared/places.h: which parts of a segment are in use, and by what number.
 *
 * The same books for both ends: the one that gives places out (first-fit from the bottom,
 * so that warm memory is used again) and the one that is told of them, which checks that
 * each lies within the segment and meets no other. A place has an index, under which a
 * mark says that it is free again, and the mark itself, which differs from use to use.
 * Pure: no memory but its own books is touched. One thread at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/codec/frames.h"

/* Most places in use at a time; as many marks fit the first page of a segment. */
#define RMD_PLACES_MAX 1024u
/* Places that are given out begin at multiples of this, so that whole pages get free. */
#define RMD_PLACES_ALIGNMENT 4096u

struct rmd_places_slot;
struct rmd_places_extent;

struct rmd_places {
	uint64_t first, end;         /* places lie in [first, end) */
	uint32_t count;              /* in use */
	uint32_t extent_capacity;
	struct rmd_places_extent *extents; /* owned; in use, by offset */
	uint32_t slot_count;
	struct rmd_places_slot *slots; /* owned; by index */
};

/* Makes it empty. `first` is a multiple of RMD_PLACES_ALIGNMENT and at most `end`. */
void rmd_places_init(struct rmd_places *places, uint64_t first, uint64_t end);
void rmd_places_fini(struct rmd_places *places);

/* Gives a place of `length` bytes (at least 1) out. RMD_EAGAIN: there is no room now.
 * RMD_ENOMEM. */
int rmd_places_take(struct rmd_places *places, uint64_t length,
		    struct rmd_segment_ref *ret_ref);
/* Enters a place that the other end has given out. RMD_EPROTO: it is empty, out of
 * bounds, meets another, or its index is in use or none. RMD_ENOMEM. */
int rmd_places_enter(struct rmd_places *places, const struct rmd_segment_ref *ref);
/* Makes the place `ref` shorter: ref->length bytes, at least 1. */
void rmd_places_shorten(struct rmd_places *places, const struct rmd_segment_ref *ref);
/* Frees a place that is in use. */
void rmd_places_drop(struct rmd_places *places, uint32_t index);

/* The first stretch of whole free pages that lies in [from, to): true. All four are
 * multiples of RMD_PLACES_ALIGNMENT. */
bool rmd_places_gap(const struct rmd_places *places, uint64_t from, uint64_t to,
		    uint64_t *ret_offset, uint64_t *ret_bytes);
/* The place in use under `index`: true, and it with its mark. */
bool rmd_places_get(const struct rmd_places *places, uint32_t index,
		    struct rmd_segment_ref *ret_ref);
