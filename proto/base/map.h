/* proto/base/map.h: a hash map from a 64-bit number to a pointer.
 *
 * Open addressing with linear probing and backward-shift deletion; cost per operation
 * does not grow with its size (growth is amortised). Keys come from peers, so they are
 * mixed with a seed. The map owns its table, not what its values point to. One thread
 * at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rmd_map_slot;

struct rmd_map {
	uint64_t seed;
	struct rmd_map_slot *slots;
	size_t capacity;             /* 0 or a power of two */
	size_t count;
};

/* Makes `map` empty. `seed` should be random where keys come from peers. */
void rmd_map_init(struct rmd_map *map, uint64_t seed);
void rmd_map_fini(struct rmd_map *map);
/* Puts `value` (not NULL) under `key`. RMD_EEXIST: taken, nothing changed. RMD_ENOMEM. */
int rmd_map_put(struct rmd_map *map, uint64_t key, void *value);
/* The value under `key`, or NULL. */
void *rmd_map_get(const struct rmd_map *map, uint64_t key);
/* Takes the value under `key` out and gives it, or NULL. */
void *rmd_map_take(struct rmd_map *map, uint64_t key);
/* Walks: start with *cursor = 0; gives the next value or NULL at the end. The map must
 * not change during a walk. */
void *rmd_map_next(const struct rmd_map *map, size_t *cursor);
