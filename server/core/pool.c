#include "server/core/pool.h"

#include "proto/base/alloc.h"
#include "server/core/client.h"
#include "server/core/kin.h"
#include "server/core/place.h"
#include "server/core/share.h"
#include "server/core/state.h"
#include "server/core/task.h"

void rmd_core_pool_touch(struct rmd_core_pool *pool)
{
	if (pool->dirty)
		return;
	pool->dirty = true;
	TAILQ_INSERT_TAIL(&pool->core->dirty, pool, dirty_link);
}

void rmd_core_pool_set_place(struct rmd_core_pool *pool, enum rmd_core_pool_place to)
{
	struct rmd_core *core = pool->core;
	if (pool->place != RMD_CORE_PLACE_FINE)
		TAILQ_REMOVE(&core->places[pool->place], pool, place_link);
	pool->place = to;
	if (to == RMD_CORE_PLACE_FINE || to == RMD_CORE_PLACE_HOMELESS)
		rmd_core_place_forgo(pool);
	if (to == RMD_CORE_PLACE_FINE) {
		pool->turn_due = false;
		return;
	}
	if (pool->turn_due)
		TAILQ_INSERT_HEAD(&core->places[to], pool, place_link);
	else
		TAILQ_INSERT_TAIL(&core->places[to], pool, place_link);
	if (to != RMD_CORE_PLACE_HOMELESS && !rmd_core_timer_pending(&core->turn_timer))
		rmd_core_timer_set(core, &core->turn_timer,
				   core->now_ms + core->config.turn_ms);
}

/* --- size and holders -------------------------------------------------------------- */

/* 0 is the largest: as many as there is room for. */
static uint32_t larger(uint32_t a, uint32_t b)
{
	if (a == 0 || b == 0)
		return 0;
	return a > b ? a : b;
}

void rmd_core_pool_size(struct rmd_core_pool *pool)
{
	const struct rmd_core_share *share;
	bool asked = pool->claimed || pool->sort == RMD_CORE_POOL_DEFAULT;
	uint32_t size = pool->asked_workers;
	LIST_FOREACH (share, &pool->shares, pool_link) {
		if (!share->holding)
			continue;
		size = asked ? larger(size, share->asked_workers) : share->asked_workers;
		asked = true;
	}
	if (!asked)
		return; /* nobody holds it: what is queued goes on as it was */
	if (pool->max_workers == size)
		return;
	pool->max_workers = size;
	rmd_core_kin_heed_crowd(pool);
	if (size != 0 && pool->wanted > size)
		rmd_core_place_lower(pool, size);
	/* A larger size may suit where a smaller did not, and the reverse. A pool that
	 * waits keeps its place in the line. */
	pool->full_epoch = 0;
	if (pool->place == RMD_CORE_PLACE_HOMELESS)
		rmd_core_pool_set_place(pool, RMD_CORE_PLACE_FINE);
	else if (pool->place != RMD_CORE_PLACE_FINE)
		rmd_core_room(pool->core);
	rmd_core_pool_touch(pool);
}

void rmd_core_pool_unhold(struct rmd_core_share *share)
{
	struct rmd_core_pool *pool = share->pool;
	share->holding = false;
	pool->holders--;
	share->client->pools_held--;
	if (pool->sort == RMD_CORE_POOL_OWN) {
		pool->owner = NULL;
		pool->warm = true;
		TAILQ_INSERT_TAIL(&pool->core->warm, pool, warm_link);
	}
	rmd_core_pool_size(pool);
	rmd_core_pool_touch(pool);
	rmd_core_share_drop(share);
}

int rmd_core_pool_release(struct rmd_core *core, uint64_t now_ms,
			  struct rmd_core_client *client, struct rmd_core_pool *pool)
{
	rmd_core_enter(core, now_ms);
	RMD_CHECK_OBJ(client, RMD_CORE_CLIENT_MAGIC);
	RMD_CHECK_OBJ(pool, RMD_CORE_POOL_MAGIC);
	if (!rmd_core_pool_held_by(pool, client))
		return RMD_ENOTFOUND;
	rmd_core_pool_unhold(rmd_core_share_find(client, pool));
	return 0;
}

int rmd_core_pool_resize(struct rmd_core *core, uint64_t now_ms,
			 struct rmd_core_pool *pool, uint32_t max_workers)
{
	rmd_core_enter(core, now_ms);
	RMD_CHECK_OBJ(pool, RMD_CORE_POOL_MAGIC);
	if (max_workers == 0 || max_workers > RMD_CORE_WORKERS_MAX)
		return RMD_EINVAL;
	if (pool->state == RMD_CORE_POOL_CLOSING)
		return RMD_ECLOSED;
	pool->asked_workers = max_workers;
	pool->claimed = pool->claimed || pool->sort == RMD_CORE_POOL_NAMED;
	rmd_core_pool_size(pool);
	return 0;
}

/* --- ending tasks ------------------------------------------------------------------ */

/* Ends the queued tasks of one share. With the last task the share may go. */
static void end_share(struct rmd_core_share *share, enum rmd_core_end why)
{
	for (uint64_t left = share->queue.count + share->later_count; left > 0; left--)
		rmd_core_task_doom(share->queue.count > 0
					   ? rmd_core_queue_first(&share->queue)
					   : TAILQ_FIRST(&share->later),
				   why);
}

void rmd_core_pool_end_queued(struct rmd_core_pool *pool, enum rmd_core_end why)
{
	struct rmd_core_share *next;
	for (struct rmd_core_share *share = LIST_FIRST(&pool->shares); share != NULL;
	     share = next) {
		next = LIST_NEXT(share, pool_link);
		end_share(share, why);
	}
}

void rmd_core_pool_doom_leased(struct rmd_core_pool *pool, enum rmd_core_end why)
{
	struct rmd_core_ledger *ledger;
	struct rmd_core_task *task;
	LIST_FOREACH (ledger, &pool->ledgers, pool_link) {
		TAILQ_FOREACH (task, &ledger->leased, state_link)
			rmd_core_task_doom(task, why);
		TAILQ_FOREACH (task, &ledger->running, state_link)
			rmd_core_task_doom(task, why);
	}
}

void rmd_core_pool_cancel(struct rmd_core *core, uint64_t now_ms,
			  struct rmd_core_client *client, struct rmd_core_pool *pool)
{
	struct rmd_core_task *next;
	rmd_core_enter(core, now_ms);
	RMD_CHECK_OBJ(client, RMD_CORE_CLIENT_MAGIC);
	RMD_CHECK_OBJ(pool, RMD_CORE_POOL_MAGIC);
	for (struct rmd_core_task *task = TAILQ_FIRST(&client->all); task != NULL;
	     task = next) {
		next = TAILQ_NEXT(task, client_link);
		if (task->share != NULL && task->share->pool == pool)
			rmd_core_task_doom(task, RMD_CORE_END_CANCELLED);
	}
}

void rmd_core_pool_fail(struct rmd_core_pool *pool)
{
	rmd_core_pool_end_queued(pool, RMD_CORE_END_START_FAILED);
	/* What is leased and has not begun comes back, since no workers are wanted. It is
	 * not ended here: some may have found a worker meanwhile. */
	rmd_core_place_lower(pool, 0);
}

/* --- closing ----------------------------------------------------------------------- */

void rmd_core_pool_begin_closing(struct rmd_core_pool *pool)
{
	if (pool->state == RMD_CORE_POOL_CLOSING)
		return;
	pool->state = RMD_CORE_POOL_CLOSING;
	pool->claimed = false;
	rmd_core_pool_name_drop(pool);
	rmd_core_pool_touch(pool);
}

void rmd_core_pool_close(struct rmd_core *core, uint64_t now_ms,
			 struct rmd_core_pool *pool, enum rmd_core_pool_close how)
{
	struct rmd_core_ledger *ledger;
	rmd_core_enter(core, now_ms);
	RMD_CHECK_OBJ(pool, RMD_CORE_POOL_MAGIC);
	rmd_core_pool_begin_closing(pool);
	if (how == RMD_CORE_POOL_DRAIN)
		return;
	rmd_core_pool_end_queued(pool, RMD_CORE_END_POOL_CLOSED);
	rmd_core_pool_unwant(pool, NULL);
	if (how != RMD_CORE_POOL_KILL || pool->killed)
		return;
	pool->killed = true;
	rmd_core_pool_doom_leased(pool, RMD_CORE_END_POOL_CLOSED);
	rmd_core_place_lower(pool, 0);
	LIST_FOREACH (ledger, &pool->ledgers, pool_link)
		rmd_core_ledger_sort(ledger);
	rmd_core_pool_touch(pool);
}

bool rmd_core_pool_has_queued(const struct rmd_core_pool *pool)
{
	RMD_CHECK_OBJ(pool, RMD_CORE_POOL_MAGIC);
	return pool->queued + pool->later > 0;
}

static void hand_over_share(struct rmd_core_share *share, struct rmd_core_pool *to)
{
	struct rmd_core_client *client = share->client;
	struct rmd_core_share *target;
	struct rmd_core_task *task;
	if (rmd_core_share_get(client, to, &target) < 0)
		return;
	TAILQ_FOREACH (task, &client->all, client_link)
		if (task->share == share && task->state == RMD_CORE_TASK_QUEUED &&
		    task->depth == 0 && rmd_core_task_rehome(task, target) < 0)
			break;
	rmd_core_share_drop(target);
	rmd_core_share_drop(share);
}

void rmd_core_pool_hand_over(struct rmd_core *core, uint64_t now_ms,
			     struct rmd_core_pool *from, struct rmd_core_pool *to)
{
	struct rmd_core_share *next;
	rmd_core_enter(core, now_ms);
	RMD_CHECK_OBJ(from, RMD_CORE_POOL_MAGIC);
	RMD_CHECK_OBJ(to, RMD_CORE_POOL_MAGIC);
	RMD_CHECK(from != to && to->state == RMD_CORE_POOL_OPEN);
	for (struct rmd_core_share *share = LIST_FIRST(&from->shares); share != NULL;
	     share = next) {
		next = LIST_NEXT(share, pool_link);
		hand_over_share(share, to);
	}
	rmd_core_pool_touch(from);
	rmd_core_pool_touch(to);
}

/* Tells the agent that the pool is no more, once, and forgets its ledger when it is
 * empty. */
static void dismiss(struct rmd_core_ledger *ledger)
{
	struct rmd_core_pool *pool = ledger->pool;
	if (ledger->introduced && !ledger->dismissed) {
		struct rmd_core_order order = {.closed = true, .kill = pool->killed};
		ledger->dismissed = true;
		RMD_CORE_SAY(pool->core, order, ledger->agent, pool, &order);
	}
	if (ledger->held == 0)
		rmd_core_ledger_destroy(ledger);
}

static bool unused(const struct rmd_core_pool *pool)
{
	return pool->holders == 0 && !pool->claimed && pool->later == 0 &&
	       rmd_core_pool_demand(pool) == 0;
}

bool rmd_core_pool_reap(struct rmd_core_pool *pool)
{
	struct rmd_core_ledger *next;
	if (pool->state != RMD_CORE_POOL_CLOSING ||
	    (rmd_core_pool_demand(pool) + pool->later > 0 && !pool->killed))
		return false;
	for (struct rmd_core_ledger *ledger = LIST_FIRST(&pool->ledgers); ledger != NULL;
	     ledger = next) {
		next = LIST_NEXT(ledger, pool_link);
		dismiss(ledger);
	}
	if (!LIST_EMPTY(&pool->ledgers) || !LIST_EMPTY(&pool->shares))
		return false;
	if (pool->core->port.pool_gone != NULL)
		RMD_CORE_SAY(pool->core, pool_gone, pool);
	rmd_core_pool_free(pool);
	return true;
}

void rmd_core_pool_free(struct rmd_core_pool *pool)
{
	struct rmd_core *core = pool->core;
	RMD_CHECK(LIST_EMPTY(&pool->shares) && LIST_EMPTY(&pool->ledgers));
	if (pool->state == RMD_CORE_POOL_OPEN)
		rmd_core_pool_name_drop(pool);
	rmd_core_pool_set_place(pool, RMD_CORE_PLACE_FINE);
	if (pool->warm)
		TAILQ_REMOVE(&core->warm, pool, warm_link);
	if (pool->dirty)
		TAILQ_REMOVE(&core->dirty, pool, dirty_link);
	TAILQ_REMOVE(&core->pools, pool, core_link);
	core->pool_count--;
	rmd_map_take(&core->pools_by_number, pool->number);
	rmd_core_timer_fini(core, &pool->idle_timer);
	rmd_core_heap_fini(&pool->turns);
	rmd_piece_unref(pool->spec);
	rmd_piece_unref(pool->start_error);
	rmd_piece_unref(pool->broken_error);
	pool->magic = 0;
	rmd_free(pool);
}

/* --- idle workers ------------------------------------------------------------------ */

void rmd_core_pool_watch_idle(struct rmd_core_pool *pool)
{
	struct rmd_core *core = pool->core;
	if (rmd_core_pool_load(pool) >= pool->wanted && !unused(pool)) {
		rmd_core_timer_stop(core, &pool->idle_timer);
	} else if (!rmd_core_timer_pending(&pool->idle_timer)) {
		pool->peak = rmd_core_pool_load(pool);
		rmd_core_timer_set(core, &pool->idle_timer,
				   core->now_ms + pool->idle_timeout_ms);
	}
}

void rmd_core_pool_idled(struct rmd_core_pool *pool)
{
	if (pool->peak < pool->wanted)
		rmd_core_place_lower(pool, (uint32_t)pool->peak);
	if (unused(pool) && pool->wanted == 0)
		rmd_core_pool_begin_closing(pool);
	rmd_core_pool_touch(pool);
}
