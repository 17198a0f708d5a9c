/* server/core/pool_open.c: get a pool, or make it. */
#include "proto/base/alloc.h"
#include "server/core/client.h"
#include "server/core/share.h"
#include "server/core/state.h"

#define CPU_MILLI_DEFAULT 1000u

/* --- specs ------------------------------------------------------------------------- */

/* The field that is out of its range, or NULL. */
static const char *spec_wrong(const struct rmd_core_pool_spec *spec)
{
	if (spec->name.len > RMD_CORE_POOL_NAME_MAX)
		return "name";
	if (spec->runtime.len == 0 || spec->runtime.len > RMD_CORE_RUNTIME_MAX)
		return "runtime";
	if (spec->max_workers > RMD_CORE_WORKERS_MAX)
		return "max_workers";
	if (spec->idle_timeout_ms > RMD_CORE_DEADLINE_MAX_MS)
		return "idle_timeout_ms";
	if (spec->label_count > RMD_CORE_LABELS_MAX)
		return "labels";
	for (size_t i = 0; i < spec->label_count; i++)
		if (spec->labels[i].key.len == 0 ||
		    spec->labels[i].key.len > RMD_CORE_NAME_MAX ||
		    spec->labels[i].value.len > RMD_CORE_NAME_MAX)
			return "labels";
	return NULL;
}

/* Labels are a map: their order does not count. */
static bool labels_equal(const struct rmd_core_pool *pool,
			 const struct rmd_core_pool_spec *spec)
{
	if (pool->label_count != spec->label_count)
		return false;
	for (size_t i = 0; i < pool->label_count; i++) {
		size_t j = 0;
		while (j < spec->label_count &&
		       !(rmd_slice_equal(pool->labels[i].key, spec->labels[j].key) &&
			 rmd_slice_equal(pool->labels[i].value, spec->labels[j].value)))
			j++;
		if (j == spec->label_count)
			return false;
	}
	return true;
}

static uint32_t spec_cpu(const struct rmd_core_pool_spec *spec)
{
	return spec->cpu_milli != 0 ? spec->cpu_milli : CPU_MILLI_DEFAULT;
}

static uint64_t spec_idle(const struct rmd_core *core,
			  const struct rmd_core_pool_spec *spec)
{
	return spec->idle_timeout_ms != 0 ? spec->idle_timeout_ms
					  : core->config.idle_timeout_ms;
}

/* The field in which `spec` differs from the pool, but for max_workers, or NULL. */
static const char *spec_differs(const struct rmd_core_pool *pool,
				const struct rmd_core_pool_spec *spec)
{
	if (!rmd_slice_equal(pool->runtime, spec->runtime))
		return "runtime";
	if (pool->idle_timeout_ms != spec_idle(pool->core, spec))
		return "idle_timeout_ms";
	if (pool->cpu_milli != spec_cpu(spec))
		return "cpu_milli";
	if (pool->memory_bytes != spec->memory_bytes)
		return "memory_bytes";
	if (pool->max_tasks_per_worker != spec->max_tasks_per_worker)
		return "max_tasks_per_worker";
	if (!labels_equal(pool, spec))
		return "labels";
	if (!rmd_slice_equal(pool->initializer, spec->initializer))
		return "initializer";
	if (pool->leak_bytes != spec->leak_bytes)
		return "leak_bytes";
	if (pool->broken_on_crash != spec->broken_on_crash)
		return "broken_on_crash";
	if (!rmd_slice_equal(pool->identity, spec->identity))
		return "environment or modules";
	return NULL;
}

/* --- making ------------------------------------------------------------------------ */

static struct rmd_slice copy_slice(struct rmd_slice slice, uint8_t **at)
{
	struct rmd_slice copy = rmd_slice_of(*at, slice.len);
	if (slice.len != 0)
		memcpy(*at, slice.data, slice.len);
	*at += slice.len;
	return copy;
}

static struct rmd_core_pool *pool_new(const struct rmd_core_pool_spec *spec,
				      struct rmd_slice owner)
{
	size_t bytes = spec->name.len + spec->runtime.len + spec->identity.len +
		       spec->initializer.len + owner.len;
	for (size_t i = 0; i < spec->label_count; i++)
		bytes += spec->labels[i].key.len + spec->labels[i].value.len;
	struct rmd_core_pool *pool;
	pool = rmd_calloc(1, sizeof(*pool) + spec->label_count * sizeof(*pool->labels) +
				     bytes);
	if (pool == NULL)
		return NULL;
	pool->labels = (struct rmd_core_label *)(pool + 1);
	pool->label_count = spec->label_count;
	uint8_t *at = (uint8_t *)(pool->labels + spec->label_count);
	for (size_t i = 0; i < spec->label_count; i++) {
		pool->labels[i].key = copy_slice(spec->labels[i].key, &at);
		pool->labels[i].value = copy_slice(spec->labels[i].value, &at);
	}
	pool->name = copy_slice(spec->name, &at);
	pool->runtime = copy_slice(spec->runtime, &at);
	pool->identity = copy_slice(spec->identity, &at);
	pool->initializer = copy_slice(spec->initializer, &at);
	pool->owner_identity = copy_slice(owner, &at);
	return pool;
}

static void lists_init(struct rmd_core_pool *pool)
{
	LIST_INIT(&pool->shares);
	LIST_INIT(&pool->ledgers);
	LIST_INIT(&pool->overloaded);
	for (unsigned i = 0; i < RMD_CORE_LEDGER_CLASSES; i++)
		TAILQ_INIT(&pool->by_class[i]);
}

/* Makes a pool and enters it everywhere. NULL: out of memory. */
static struct rmd_core_pool *pool_create(struct rmd_core *core,
					 enum rmd_core_pool_sort sort,
					 struct rmd_core_client *owner,
					 const struct rmd_core_pool_spec *spec)
{
	struct rmd_slice identity =
		rmd_slice_of_string(owner != NULL ? owner->identity : "");
	struct rmd_core_pool *pool = pool_new(spec, identity);
	if (pool == NULL)
		return NULL;
	pool->magic = RMD_CORE_POOL_MAGIC;
	pool->core = core;
	pool->sort = sort;
	pool->number = core->next_pool;
	pool->cpu_milli = spec_cpu(spec);
	pool->memory_bytes = spec->memory_bytes;
	pool->idle_timeout_ms = spec_idle(core, spec);
	pool->max_tasks_per_worker = spec->max_tasks_per_worker;
	pool->leak_bytes = spec->leak_bytes;
	pool->broken_on_crash = spec->broken_on_crash;
	lists_init(pool);
	if (rmd_core_timer_init(core, &pool->idle_timer, RMD_CORE_TIMER_IDLE) < 0) {
		rmd_free(pool);
		return NULL;
	}
	if (rmd_map_put(&core->pools_by_number, pool->number, pool) < 0)
		goto out;
	if (sort != RMD_CORE_POOL_OWN && rmd_core_pool_name_put(pool) < 0) {
		rmd_map_take(&core->pools_by_number, pool->number);
		goto out;
	}
	pool->spec = rmd_piece_ref(spec->spec);
	core->next_pool++;
	core->pool_count++;
	TAILQ_INSERT_TAIL(&core->pools, pool, core_link);
	return pool;
out:
	rmd_core_timer_fini(core, &pool->idle_timer);
	rmd_free(pool);
	return NULL;
}

/* --- getting ----------------------------------------------------------------------- */

/* The client's own pool of that spec, else a warm one of its identity, or NULL. */
static struct rmd_core_pool *find_own(struct rmd_core *core,
				      const struct rmd_core_client *client,
				      const struct rmd_core_pool_spec *spec)
{
	const struct rmd_core_share *share;
	struct rmd_core_pool *pool;
	LIST_FOREACH (share, &client->shares, client_link)
		if (share->holding && share->pool->sort == RMD_CORE_POOL_OWN &&
		    share->pool->state == RMD_CORE_POOL_OPEN &&
		    spec_differs(share->pool, spec) == NULL)
			return share->pool;
	TAILQ_FOREACH (pool, &core->warm, warm_link)
		if (pool->state == RMD_CORE_POOL_OPEN &&
		    rmd_slice_equal(pool->owner_identity,
				    rmd_slice_of_string(client->identity)) &&
		    spec_differs(pool, spec) == NULL)
			return pool;
	return NULL;
}

/* The client holds the pool from now on, and asks for so many workers. */
static int hold(struct rmd_core_client *client, struct rmd_core_pool *pool,
		uint32_t workers)
{
	struct rmd_core_share *share;
	if (rmd_core_share_get(client, pool, &share) < 0)
		return RMD_ENOMEM;
	if (share->holding && share->asked_workers == workers)
		return 0;
	if (!share->holding) {
		share->holding = true;
		pool->holders++;
		client->pools_held++;
	}
	share->asked_workers = workers;
	if (pool->sort == RMD_CORE_POOL_OWN && pool->owner == NULL) {
		pool->owner = client;
		if (pool->warm)
			TAILQ_REMOVE(&client->core->warm, pool, warm_link);
		pool->warm = false;
	}
	rmd_core_pool_size(pool);
	return 0;
}

/* The pool is asked for without a client. */
static void claim(struct rmd_core_pool *pool, uint32_t workers)
{
	bool named = pool->sort == RMD_CORE_POOL_NAMED;
	if (pool->asked_workers == workers && pool->claimed == named)
		return;
	pool->asked_workers = workers;
	pool->claimed = named;
	rmd_core_pool_size(pool);
}

static int open_fits(const struct rmd_core *core, const struct rmd_core_client *client,
		     const struct rmd_core_pool *found)
{
	bool holds = client != NULL && found != NULL &&
		     rmd_core_pool_held_by(found, client);
	if (core->draining || (client != NULL && client->closed))
		return RMD_ECLOSED;
	if (found == NULL && core->pool_count >= core->config.pools_max)
		return RMD_ELIMIT;
	if (client != NULL && !holds &&
	    client->pools_held >= core->config.pools_per_client_max)
		return RMD_ELIMIT;
	return 0;
}

int rmd_core_pool_open(struct rmd_core *core, uint64_t now_ms,
		       struct rmd_core_client *client,
		       const struct rmd_core_pool_spec *spec,
		       struct rmd_core_pool **ret_pool, bool *ret_reused,
		       const char **ret_field)
{
	rmd_core_enter(core, now_ms);
	const char *field = spec_wrong(spec);
	struct rmd_core_pool *found = NULL, *pool;
	enum rmd_core_pool_sort sort = spec->name.len != 0 ? RMD_CORE_POOL_NAMED
				       : client != NULL	   ? RMD_CORE_POOL_OWN
							   : RMD_CORE_POOL_DEFAULT;
	if (field == NULL && sort == RMD_CORE_POOL_OWN)
		found = find_own(core, client, spec);
	else if (field == NULL)
		found = rmd_core_pool_name_get(
			core, sort,
			sort == RMD_CORE_POOL_NAMED ? spec->name : spec->runtime);
	if (field == NULL && found != NULL)
		field = spec_differs(found, spec);
	if (field != NULL) {
		*ret_field = field;
		return RMD_EINVAL;
	}
	int rc = open_fits(core, client, found);
	if (rc < 0)
		return rc;
	pool = found != NULL ? found : pool_create(core, sort, client, spec);
	if (pool == NULL)
		return RMD_ENOMEM;
	if (client != NULL && (rc = hold(client, pool, spec->max_workers)) < 0) {
		if (found == NULL)
			rmd_core_pool_free(pool);
		return rc;
	}
	if (client == NULL)
		claim(pool, spec->max_workers);
	rmd_core_pool_touch(pool);
	*ret_pool = pool;
	*ret_reused = found != NULL;
	return 0;
}
