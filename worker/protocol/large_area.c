#include "worker/protocol/large_area.h"

#include <sys/mman.h>

#define ALIGNMENT 4096u /* so that trimming frees whole pages */
#define WARM_BYTES ((uint64_t)1 << 20)

static uint64_t end_of(const struct rmd_wp_large *place)
{
	return (place->offset + place->len + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
}

/* Forgets the places that the agent has released. */
static void reclaim(struct rmd_wp_area *area)
{
	for (uint32_t i = 0; i < RMD_WP_LARGE_MAX; i++)
		if (area->places[i].len != 0 &&
		    atomic_load_explicit(&area->page->large[i], memory_order_acquire) ==
			    0)
			area->places[i].len = 0;
}

/* True if `len` bytes at `offset` meet no place in use. */
static bool fits(const struct rmd_wp_area *area, uint64_t offset, uint64_t len)
{
	if (offset > RMD_WP_LARGE_BYTES || len > RMD_WP_LARGE_BYTES - offset)
		return false;
	for (uint32_t i = 0; i < RMD_WP_LARGE_MAX; i++) {
		const struct rmd_wp_large *place = &area->places[i];
		if (place->len != 0 && offset < end_of(place) &&
		    place->offset < offset + len)
			return false;
	}
	return true;
}

bool rmd_wp_area_find(struct rmd_wp_area *area, uint64_t len,
		      struct rmd_wp_large *ret_place)
{
	struct rmd_wp_large found = {
		.index = RMD_WP_LARGE_MAX, .offset = UINT64_MAX, .len = len};
	reclaim(area);
	if (fits(area, 0, len))
		found.offset = 0;
	for (uint32_t i = 0; i < RMD_WP_LARGE_MAX; i++) {
		const struct rmd_wp_large *place = &area->places[i];
		if (place->len == 0)
			found.index = i;
		else if (end_of(place) < found.offset && fits(area, end_of(place), len))
			found.offset = end_of(place);
	}
	if (found.index == RMD_WP_LARGE_MAX || found.offset == UINT64_MAX)
		return false;
	*ret_place = found;
	return true;
}

void rmd_wp_area_take(struct rmd_wp_area *area, const struct rmd_wp_large *place)
{
	area->places[place->index] = *place;
	if (end_of(place) > area->touched_bytes)
		area->touched_bytes = end_of(place);
	atomic_store_explicit(&area->page->large[place->index], 1, memory_order_relaxed);
}

bool rmd_wp_area_warm(const struct rmd_wp_area *area)
{
	return area->touched_bytes > WARM_BYTES;
}

void rmd_wp_area_trim(struct rmd_wp_area *area)
{
	uint64_t until = WARM_BYTES;
	reclaim(area);
	for (uint32_t i = 0; i < RMD_WP_LARGE_MAX; i++)
		if (area->places[i].len != 0 && end_of(&area->places[i]) > until)
			until = end_of(&area->places[i]);
	if (until < area->touched_bytes)
		(void)madvise(area->base + until, area->touched_bytes - until,
			      MADV_REMOVE);
	area->touched_bytes = until;
}
