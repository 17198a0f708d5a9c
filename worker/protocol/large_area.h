/* worker/protocol/large_area.h: where the worker puts payloads too large for the ring.
 *
 * First-fit from the bottom, so that warm memory is used again; the agent frees a place
 * by clearing its byte in the control page. Worker's thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "worker/protocol/page.h"

struct rmd_wp_area {
	uint8_t *base;		  /* borrowed: the mapping of the large area */
	struct rmd_wp_page *page; /* borrowed */
	uint64_t touched_bytes;	  /* below it memory may be in use */
	struct rmd_wp_large places[RMD_WP_LARGE_MAX]; /* len 0: free */
};

/* Finds a place for `len` bytes (at least 1): true. Its byte in the page is not set yet.
 */
bool rmd_wp_area_find(struct rmd_wp_area *area, uint64_t len,
		      struct rmd_wp_large *ret_place);
/* Takes what find gave. */
void rmd_wp_area_take(struct rmd_wp_area *area, const struct rmd_wp_large *place);
/* True if there is memory that rmd_wp_area_trim might give back. */
bool rmd_wp_area_warm(const struct rmd_wp_area *area);
/* Gives memory above all places in use back to the system. */
void rmd_wp_area_trim(struct rmd_wp_area *area);
