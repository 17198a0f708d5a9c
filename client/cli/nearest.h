/* client/cli/nearest.h: which known word a mistyped one was meant to be. Pure. */
#pragma once

#include <stddef.h>

/* A search: start with {word}, offer each candidate, read `best`. */
struct rmd_nearest {
	const char *word; /* borrowed: what was typed */
	const char *best; /* borrowed: the nearest candidate, or NULL: none is near */
	size_t distance;  /* of `best` */
};

/* Considers `candidate` (borrowed as long as the search). Near is: one begins with the
 * other, or at most a third of the letters differ (a swap of neighbours counts once).
 * Words over 64 bytes are near to nothing. */
void rmd_nearest_offer(struct rmd_nearest *search, const char *candidate);
/* The letters to insert, delete, change or swap that make `b` of `a`; SIZE_MAX: one is
 * over 64 bytes. */
size_t rmd_nearest_distance(const char *a, const char *b);
