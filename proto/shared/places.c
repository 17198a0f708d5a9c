#include "proto/shared/places.h"

#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"

#define EXTENTS_MIN 16u

struct rmd_places_extent {
	uint64_t offset, length;
	uint32_t index;
};

struct rmd_places_slot {
	uint64_t offset;             /* of its extent, while in use */
	uint32_t mark;               /* of its last use; 0: none yet */
	bool used;
};

static uint64_t pages_up(uint64_t bytes)
{
	return (bytes + RMD_PLACES_ALIGNMENT - 1) & ~(uint64_t)(RMD_PLACES_ALIGNMENT - 1);
}

static uint64_t end_of(const struct rmd_places_extent *extent)
{
	return extent->offset + extent->length;
}

void rmd_places_init(struct rmd_places *places, uint64_t first, uint64_t end)
{
	RMD_CHECK(first % RMD_PLACES_ALIGNMENT == 0 && first <= end);
	*places = (struct rmd_places){.first = first, .end = end};
}

void rmd_places_fini(struct rmd_places *places)
{
	rmd_free(places->extents);
	rmd_free(places->slots);
	*places = (struct rmd_places){.first = 0};
}

/* The first extent that ends above `offset`; `count`: there is none. */
static uint32_t first_above(const struct rmd_places *places, uint64_t offset)
{
	uint32_t low = 0, high = places->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (end_of(&places->extents[middle]) <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Makes room for one more extent and for slots up to `index`. */
static int reserve(struct rmd_places *places, uint32_t index)
{
	if (places->count == places->extent_capacity) {
		uint32_t want = places->extent_capacity == 0 ? EXTENTS_MIN
							     : places->extent_capacity * 2;
		struct rmd_places_extent *extents =
			rmd_realloc(places->extents, want * sizeof *extents);
		if (extents == NULL)
			return RMD_ENOMEM;
		places->extents = extents;
		places->extent_capacity = want;
	}
	if (index < places->slot_count)
		return 0;
	uint32_t want = places->slot_count == 0 ? EXTENTS_MIN : places->slot_count * 2;
	while (want <= index)
		want *= 2;
	struct rmd_places_slot *slots = rmd_realloc(places->slots, want * sizeof *slots);
	if (slots == NULL)
		return RMD_ENOMEM;
	memset(slots + places->slot_count, 0, (want - places->slot_count) * sizeof *slots);
	places->slots = slots;
	places->slot_count = want;
	return 0;
}

/* Both tables have room, and nothing meets it. */
static void insert(struct rmd_places *places, uint32_t at,
		   const struct rmd_segment_ref *ref)
{
	memmove(&places->extents[at + 1], &places->extents[at],
		(places->count - at) * sizeof *places->extents);
	places->extents[at] =
		(struct rmd_places_extent){ref->offset, ref->length, ref->place};
	places->slots[ref->place] =
		(struct rmd_places_slot){ref->offset, ref->mark, true};
	places->count++;
}

/* A free index; RMD_PLACES_MAX: none. */
static uint32_t free_index(const struct rmd_places *places)
{
	for (uint32_t i = 0; i < places->slot_count; i++)
		if (!places->slots[i].used)
			return i;
	return places->slot_count;
}

int rmd_places_take(struct rmd_places *places, uint64_t length,
		    struct rmd_segment_ref *ret_ref)
{
	RMD_CHECK(length > 0);
	uint32_t index = free_index(places), at = 0;
	uint64_t offset = places->first;
	if (index >= RMD_PLACES_MAX)
		return RMD_EAGAIN;
	for (; at < places->count; at++) {
		if (places->extents[at].offset - offset >= length)
			break;
		offset = pages_up(end_of(&places->extents[at]));
		if (offset > places->end)
			return RMD_EAGAIN;
	}
	if (at == places->count && places->end - offset < length)
		return RMD_EAGAIN;
	if (reserve(places, index) < 0)
		return RMD_ENOMEM;
	uint32_t mark = places->slots[index].mark + 1;
	*ret_ref = (struct rmd_segment_ref){.offset = offset,
					    .length = length,
					    .place = index,
					    .mark = mark != 0 ? mark : 1};
	insert(places, at, ret_ref);
	return 0;
}

int rmd_places_enter(struct rmd_places *places, const struct rmd_segment_ref *ref)
{
	if (ref->place >= RMD_PLACES_MAX || ref->mark == 0 || ref->length == 0 ||
	    ref->offset < places->first || ref->offset > places->end ||
	    ref->length > places->end - ref->offset)
		return RMD_EPROTO;
	if (ref->place < places->slot_count && places->slots[ref->place].used)
		return RMD_EPROTO;
	uint32_t at = first_above(places, ref->offset);
	if (at < places->count && places->extents[at].offset < ref->offset + ref->length)
		return RMD_EPROTO;
	if (reserve(places, ref->place) < 0)
		return RMD_ENOMEM;
	insert(places, at, ref);
	return 0;
}

/* The number of the extent of a place that is in use. */
static uint32_t extent_of(const struct rmd_places *places, uint32_t index)
{
	RMD_CHECK(index < places->slot_count && places->slots[index].used);
	uint32_t at = first_above(places, places->slots[index].offset);
	RMD_CHECK(at < places->count && places->extents[at].index == index);
	return at;
}

void rmd_places_shorten(struct rmd_places *places, const struct rmd_segment_ref *ref)
{
	struct rmd_places_extent *extent = &places->extents[extent_of(places, ref->place)];
	RMD_CHECK(ref->length > 0 && ref->length <= extent->length);
	extent->length = ref->length;
}

void rmd_places_drop(struct rmd_places *places, uint32_t index)
{
	uint32_t at = extent_of(places, index);
	places->count--;
	memmove(&places->extents[at], &places->extents[at + 1],
		(places->count - at) * sizeof *places->extents);
	places->slots[index].used = false;
}

bool rmd_places_gap(const struct rmd_places *places, uint64_t from, uint64_t to,
		    uint64_t *ret_offset, uint64_t *ret_bytes)
{
	for (uint32_t at = first_above(places, from); from < to; at++) {
		uint64_t until = to;
		if (at < places->count && places->extents[at].offset < to)
			until = places->extents[at].offset &
				~(uint64_t)(RMD_PLACES_ALIGNMENT - 1);
		if (from < until) {
			*ret_offset = from;
			*ret_bytes = until - from;
			return true;
		}
		if (at >= places->count)
			return false;
		from = pages_up(end_of(&places->extents[at]));
	}
	return false;
}

bool rmd_places_get(const struct rmd_places *places, uint32_t index,
		    struct rmd_segment_ref *ret_ref)
{
	if (index >= places->slot_count || !places->slots[index].used)
		return false;
	const struct rmd_places_extent *extent =
		&places->extents[extent_of(places, index)];
	*ret_ref = (struct rmd_segment_ref){.offset = extent->offset,
					    .length = extent->length,
					    .place = index,
					    .mark = places->slots[index].mark};
	return true;
}
