/* server/core/pool_name.c: shared pools by name: a hash table of chains. */
#include "server/core/state.h"

/* FNV-1a, begun with the seed; the map mixes it. Chains make collisions harmless. */
static uint64_t hash(const struct rmd_core *core, enum rmd_core_pool_sort sort,
		     struct rmd_slice name)
{
	uint64_t h = core->config.seed ^ UINT64_C(0xcbf29ce484222325) ^ (uint64_t)sort;
	for (size_t i = 0; i < name.len; i++)
		h = (h ^ name.data[i]) * UINT64_C(0x100000001b3);
	return h;
}

static struct rmd_slice name_of(const struct rmd_core_pool *pool)
{
	return pool->sort == RMD_CORE_POOL_DEFAULT ? pool->runtime : pool->name;
}

int rmd_core_pool_name_put(struct rmd_core_pool *pool)
{
	struct rmd_map *map = &pool->core->pools_by_name;
	uint64_t key = hash(pool->core, pool->sort, name_of(pool));
	struct rmd_core_pool *first = rmd_map_get(map, key);
	if (first == NULL)
		return rmd_map_put(map, key, pool);
	pool->name_next = first->name_next;
	first->name_next = pool;
	return 0;
}

void rmd_core_pool_name_drop(struct rmd_core_pool *pool)
{
	struct rmd_map *map = &pool->core->pools_by_name;
	if (pool->sort == RMD_CORE_POOL_OWN)
		return;
	uint64_t key = hash(pool->core, pool->sort, name_of(pool));
	struct rmd_core_pool *at = rmd_map_get(map, key);
	if (at == pool) {
		rmd_map_take(map, key);
		/* The place that was just freed is there: this cannot fail. */
		if (pool->name_next != NULL)
			RMD_CHECK(rmd_map_put(map, key, pool->name_next) == 0);
	}
	for (; at != NULL && at != pool; at = at->name_next) {
		if (at->name_next != pool)
			continue;
		at->name_next = pool->name_next;
		break;
	}
	pool->name_next = NULL;
}

struct rmd_core_pool *rmd_core_pool_name_get(const struct rmd_core *core,
					     enum rmd_core_pool_sort sort,
					     struct rmd_slice name)
{
	struct rmd_core_pool *pool =
		rmd_map_get(&core->pools_by_name, hash(core, sort, name));
	while (pool != NULL &&
	       (pool->sort != sort || !rmd_slice_equal(name_of(pool), name)))
		pool = pool->name_next;
	return pool;
}

struct rmd_core_pool *rmd_core_pool_find_name(const struct rmd_core *core,
					      struct rmd_slice name)
{
	return rmd_core_pool_name_get(core, RMD_CORE_POOL_NAMED, name);
}
