/* server/core/tick.c: the decisions, made once for each burst of events. */
#include "server/core/agent.h"
#include "server/core/lease.h"
#include "server/core/place.h"
#include "server/core/share.h"
#include "server/core/state.h"
#include "server/core/task.h"

/* Room from one decision allows another; past so many rounds the rest waits. */
#define ROUNDS_MAX 4u

#define SHARE(node)                                                 \
	((struct rmd_core_share *)(void *)((char *)(node)-offsetof( \
		struct rmd_core_share, turn)))

/* The ledger that is granted a task next, or NULL: no agent has credit. */
static struct rmd_core_ledger *next_ledger(const struct rmd_core_pool *pool)
{
	struct rmd_core_ledger *ledger =
		TAILQ_FIRST(&pool->by_class[RMD_CORE_LEDGER_IDLE]);
	return ledger != NULL ? ledger
			      : TAILQ_FIRST(&pool->by_class[RMD_CORE_LEDGER_PREFETCH]);
}

static void grant_all(struct rmd_core_pool *pool)
{
	struct rmd_core_heap_node *turn;
	struct rmd_core_ledger *ledger;
	while ((turn = rmd_core_heap_first(&pool->turns)) != NULL &&
	       (ledger = next_ledger(pool)) != NULL) {
		struct rmd_core_task *task = rmd_core_queue_first(&SHARE(turn)->queue);
		if (rmd_core_lease_grant(ledger, task) < 0) {
			pool->core->lacks_memory = true;
			return;
		}
	}
}

/* Where nothing is queued, what waits at one agent while workers of another are idle
 * comes back to be given to those. */
static void recall_for_idle(struct rmd_core_pool *pool)
{
	struct rmd_core_ledger *ledger;
	if (pool->queued > 0 || pool->idle_places <= pool->recalling)
		return;
	uint64_t need = pool->idle_places - pool->recalling;
	LIST_FOREACH (ledger, &pool->overloaded, overloaded_link) {
		uint32_t waiting = ledger->held - rmd_core_ledger_ready(ledger);
		if (need == 0)
			return;
		if (waiting <= ledger->recalling)
			continue;
		waiting -= ledger->recalling;
		uint32_t count = waiting < need ? waiting : (uint32_t)need;
		rmd_core_ledger_recall(ledger, count);
		need -= count;
	}
}

/* Pools that wait for room may want what this one does not use now. */
static void offer_idle(const struct rmd_core_pool *pool)
{
	struct rmd_core *core = pool->core;
	if (pool->queued > 0 || pool->wanted <= pool->leased - pool->waiting ||
	    rmd_core_timer_pending(&core->offer_timer))
		return;
	if (TAILQ_EMPTY(&core->places[RMD_CORE_PLACE_STARVING]) &&
	    TAILQ_EMPTY(&core->places[RMD_CORE_PLACE_SHORT]))
		return;
	rmd_core_timer_set(core, &core->offer_timer, core->now_ms + RMD_CORE_OFFER_MS);
}

/* A pool that no agent suits, though there are agents, fails what is queued after a
 * while: nobody might ever come for it. */
static void heed_home(struct rmd_core_pool *pool)
{
	struct rmd_core *core = pool->core;
	uint64_t wait_ms = core->config.cannot_run_ms;
	if (pool->place != RMD_CORE_PLACE_HOMELESS || pool->queued == 0) {
		pool->homeless_ms = 0;
		return;
	}
	if (wait_ms > UINT64_MAX - core->now_ms)
		return;
	if (pool->homeless_ms == 0)
		pool->homeless_ms = core->now_ms > 0 ? core->now_ms : 1;
	if (!rmd_core_timer_pending(&core->home_timer))
		rmd_core_timer_set(core, &core->home_timer, pool->homeless_ms + wait_ms);
}

/* Whether some agent is there to stay. */
static bool staffed(const struct rmd_core *core)
{
	const struct rmd_core_agent *agent;
	TAILQ_FOREACH (agent, &core->agents, link)
		if (!agent->draining)
			return true;
	return false;
}

void rmd_core_homeless_fail(struct rmd_core *core)
{
	struct rmd_core_pool *pool;
	uint64_t wait_ms = core->config.cannot_run_ms, next_ms = UINT64_MAX;
	bool there = staffed(core);
	TAILQ_FOREACH (pool, &core->places[RMD_CORE_PLACE_HOMELESS], place_link) {
		if (pool->homeless_ms == 0)
			continue;
		if (!there) /* an agent that suits may come, as any other */
			pool->homeless_ms = core->now_ms;
		else if (pool->homeless_ms + wait_ms <= core->now_ms)
			rmd_core_pool_end_queued(pool, RMD_CORE_END_CANNOT_RUN);
		if (pool->queued > 0 && pool->homeless_ms + wait_ms < next_ms)
			next_ms = pool->homeless_ms + wait_ms;
	}
	if (next_ms != UINT64_MAX)
		rmd_core_timer_set(core, &core->home_timer,
				   next_ms > core->now_ms ? next_ms
							  : core->now_ms + RMD_CORE_REST_MS);
}

/* Takes the first dirty pool and decides for it. It stays marked meanwhile, so that its
 * own decisions don't bring it back. It may be gone when this returns. */
static void decide(struct rmd_core *core, struct rmd_core_pool *pool)
{
	TAILQ_REMOVE(&core->dirty, pool, dirty_link);
	rmd_core_place_pool(pool);
	heed_home(pool);
	grant_all(pool);
	recall_for_idle(pool);
	rmd_core_pool_watch_idle(pool);
	offer_idle(pool);
	pool->dirty = false;
	rmd_core_pool_reap(pool);
}

/* Looks at each pool that is dirty now; those that become so meanwhile come in the next
 * round. */
static void decide_all(struct rmd_core *core)
{
	struct rmd_core_pool *pool, *last = TAILQ_LAST(&core->dirty, rmd_core_dirty_list);
	bool more = last != NULL;
	while (more) {
		pool = TAILQ_FIRST(&core->dirty);
		more = pool != last;
		decide(core, pool);
	}
}

static void flush_orders(struct rmd_core *core)
{
	struct rmd_core_ledger *ledger;
	while ((ledger = TAILQ_FIRST(&core->orders)) != NULL) {
		TAILQ_REMOVE(&core->orders, ledger, order_link);
		ledger->ordering = false;
		if (ledger->told == ledger->wanted || ledger->dismissed)
			continue;
		struct rmd_core_order order = {
			.workers = ledger->wanted,
			.first = !ledger->introduced,
		};
		ledger->told = ledger->wanted;
		ledger->introduced = true;
		RMD_CORE_SAY(core, order, ledger->agent, ledger->pool, &order);
	}
}

static void heed_memory(struct rmd_core *core)
{
	if (core->lacks_memory && !rmd_core_timer_pending(&core->rest_timer))
		rmd_core_timer_set(core, &core->rest_timer,
				   core->now_ms + RMD_CORE_REST_MS);
}

static void heed_drain(struct rmd_core *core)
{
	if (!core->draining || core->drained_said ||
	    core->task_count > core->by_state[RMD_CORE_TASK_DONE])
		return;
	core->drained_said = true;
	if (core->port.drained != NULL) {
		core->in_port = true;
		core->port.drained(core->port_ctx);
		core->in_port = false;
	}
}

uint64_t rmd_core_tick(struct rmd_core *core, uint64_t now_ms)
{
	rmd_core_enter(core, now_ms);
	rmd_core_timers_fire(core);
	for (unsigned i = 0; i < ROUNDS_MAX; i++) {
		bool room_came = core->room_came;
		core->room_came = false;
		if (room_came)
			rmd_core_place_waiting(core);
		decide_all(core);
		if (!core->room_came && TAILQ_EMPTY(&core->dirty))
			break;
	}
	if (core->room_came || !TAILQ_EMPTY(&core->dirty))
		rmd_core_timer_set(core, &core->offer_timer,
				   core->now_ms + RMD_CORE_OFFER_MS);
	flush_orders(core);
	heed_memory(core);
	heed_drain(core);
	return rmd_core_timers_next(core);
}
