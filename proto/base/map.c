#include "proto/base/map.h"

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"

#define CAPACITY_MIN 16u

struct rmd_map_slot {
	uint64_t key;
	void *value;                 /* NULL: empty */
};

/* The finaliser of splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
 * generators", OOPSLA 2014). */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static size_t home(const struct rmd_map *map, uint64_t key)
{
	return (size_t)mix(key ^ map->seed) & (map->capacity - 1);
}

void rmd_map_init(struct rmd_map *map, uint64_t seed)
{
	*map = (struct rmd_map){.seed = seed};
}

void rmd_map_fini(struct rmd_map *map)
{
	rmd_free(map->slots);
	*map = (struct rmd_map){0};
}

/* The slot that holds `key`, or the empty one where it would go. */
static struct rmd_map_slot *find(const struct rmd_map *map, uint64_t key)
{
	size_t at = home(map, key);
	while (map->slots[at].value != NULL && map->slots[at].key != key)
		at = (at + 1) & (map->capacity - 1);
	return &map->slots[at];
}

static int grow(struct rmd_map *map)
{
	size_t capacity = map->capacity == 0 ? CAPACITY_MIN : map->capacity * 2;
	struct rmd_map bigger = {.seed = map->seed, .capacity = capacity, .count = map->count};
	bigger.slots = rmd_calloc(capacity, sizeof *bigger.slots);
	if (bigger.slots == NULL)
		return RMD_ENOMEM;
	for (size_t i = 0; i < map->capacity; i++)
		if (map->slots[i].value != NULL)
			*find(&bigger, map->slots[i].key) = map->slots[i];
	rmd_free(map->slots);
	*map = bigger;
	return 0;
}

int rmd_map_put(struct rmd_map *map, uint64_t key, void *value)
{
	RMD_CHECK(value != NULL);
	if (map->capacity == 0 || map->count >= map->capacity / 4 * 3) {
		int rc = grow(map);
		if (rc < 0)
			return rc;
	}
	struct rmd_map_slot *slot = find(map, key);
	if (slot->value != NULL)
		return RMD_EEXIST;
	*slot = (struct rmd_map_slot){key, value};
	map->count++;
	return 0;
}

void *rmd_map_get(const struct rmd_map *map, uint64_t key)
{
	return map->count == 0 ? NULL : find(map, key)->value;
}

/* Empties the slot at `hole`, moving back each later entry of its run that may move. */
static void close_hole(struct rmd_map *map, size_t hole)
{
	size_t mask = map->capacity - 1;
	for (size_t at = (hole + 1) & mask; map->slots[at].value != NULL; at = (at + 1) & mask) {
		size_t want = home(map, map->slots[at].key);
		if (((at - want) & mask) < ((at - hole) & mask))
			continue;
		map->slots[hole] = map->slots[at];
		hole = at;
	}
	map->slots[hole].value = NULL;
}

void *rmd_map_take(struct rmd_map *map, uint64_t key)
{
	if (map->count == 0)
		return NULL;
	struct rmd_map_slot *slot = find(map, key);
	void *value = slot->value;
	if (value == NULL)
		return NULL;
	close_hole(map, (size_t)(slot - map->slots));
	map->count--;
	return value;
}

void *rmd_map_next(const struct rmd_map *map, size_t *cursor)
{
	while (*cursor < map->capacity) {
		void *value = map->slots[(*cursor)++].value;
		if (value != NULL)
			return value;
	}
	return NULL;
}
