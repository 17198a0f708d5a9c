#include "server/core/ledger.h"

#include "proto/base/alloc.h"
#include "server/core/agent.h"
#include "server/core/state.h"

int rmd_core_ledger_get(struct rmd_core_agent *agent, struct rmd_core_pool *pool,
			struct rmd_core_ledger **ret_ledger)
{
	struct rmd_core_ledger *ledger =
		rmd_map_get(&agent->ledgers_by_pool, pool->number);
	if (ledger != NULL) {
		*ret_ledger = ledger;
		return 0;
	}
	ledger = rmd_calloc(1, sizeof(*ledger));
	if (ledger == NULL ||
	    rmd_map_put(&agent->ledgers_by_pool, pool->number, ledger) < 0) {
		rmd_free(ledger);
		return RMD_ENOMEM;
	}
	ledger->magic = RMD_CORE_LEDGER_MAGIC;
	ledger->agent = agent;
	ledger->pool = pool;
	ledger->class = RMD_CORE_LEDGER_FULL;
	TAILQ_INIT(&ledger->leased);
	TAILQ_INIT(&ledger->running);
	TAILQ_INSERT_TAIL(&agent->ledgers, ledger, agent_link);
	TAILQ_INSERT_TAIL(&pool->by_class[ledger->class], ledger, class_link);
	LIST_INSERT_HEAD(&pool->ledgers, ledger, pool_link);
	*ret_ledger = ledger;
	return 0;
}

/* Loads or unloads `load` by `workers` of the pool. */
static void load_change(struct rmd_core_load *load, const struct rmd_core_pool *pool,
			uint32_t from, uint32_t to)
{
	load->workers += to;
	load->workers -= from;
	load->cpu_milli += (uint64_t)to * pool->cpu_milli;
	load->cpu_milli -= (uint64_t)from * pool->cpu_milli;
	load->memory_bytes += to * pool->memory_bytes;
	load->memory_bytes -= from * pool->memory_bytes;
}

/* A worker takes its place from when it is wanted until the agent says it is gone; not
 * while its task waits for children. */
static void occupy(struct rmd_core_ledger *ledger)
{
	uint32_t places =
		ledger->workers > ledger->waiting ? ledger->workers - ledger->waiting : 0;
	if (places < ledger->wanted)
		places = ledger->wanted;
	if (places == ledger->occupied)
		return;
	if (places < ledger->occupied)
		rmd_core_room(ledger->pool->core);
	load_change(&ledger->agent->occupied, ledger->pool, ledger->occupied, places);
	ledger->occupied = places;
}

static enum rmd_core_ledger_class class_of(const struct rmd_core_ledger *ledger)
{
	if (rmd_core_ledger_placed(ledger) >= ledger->slots || ledger->wanted == 0 ||
	    ledger->resting || ledger->agent->draining || ledger->pool->killed)
		return RMD_CORE_LEDGER_FULL;
	return ledger->held < rmd_core_ledger_ready(ledger) ? RMD_CORE_LEDGER_IDLE
							    : RMD_CORE_LEDGER_PREFETCH;
}

static void set_overloaded(struct rmd_core_ledger *ledger, bool overloaded)
{
	if (overloaded == ledger->overloaded)
		return;
	ledger->overloaded = overloaded;
	if (overloaded)
		LIST_INSERT_HEAD(&ledger->pool->overloaded, ledger, overloaded_link);
	else
		LIST_REMOVE(ledger, overloaded_link);
}

void rmd_core_ledger_sort(struct rmd_core_ledger *ledger)
{
	struct rmd_core_pool *pool = ledger->pool;
	enum rmd_core_ledger_class class = class_of(ledger);
	uint32_t ready = rmd_core_ledger_ready(ledger);
	uint32_t places = class == RMD_CORE_LEDGER_IDLE ? ready - ledger->held : 0;
	uint32_t waiting = ledger->held > ready ? ledger->held - ready : 0;
	/* Always to the tail: agents of one class take turns. */
	TAILQ_REMOVE(&pool->by_class[ledger->class], ledger, class_link);
	TAILQ_INSERT_TAIL(&pool->by_class[class], ledger, class_link);
	ledger->class = class;
	pool->idle_places += places;
	pool->idle_places -= ledger->idle_places;
	ledger->idle_places = places;
	/* What has been asked back and is not there any more has ended instead. */
	if (ledger->recalling > waiting && ledger->wanted > 0) {
		pool->recalling -= ledger->recalling - waiting;
		ledger->recalling = waiting;
	} else if (ledger->recalling > ledger->held) {
		pool->recalling -= ledger->recalling - ledger->held;
		ledger->recalling = ledger->held;
	}
	set_overloaded(ledger, waiting > 0);
	rmd_core_pool_touch(pool);
}

static void order(struct rmd_core_ledger *ledger)
{
	struct rmd_core *core = ledger->pool->core;
	if (ledger->ordering)
		return;
	ledger->ordering = true;
	TAILQ_INSERT_TAIL(&core->orders, ledger, order_link);
}

void rmd_core_ledger_want(struct rmd_core_ledger *ledger, uint32_t workers)
{
	struct rmd_core_pool *pool = ledger->pool;
	uint32_t before = ledger->wanted;
	if (workers == before)
		return;
	if (before == 0)
		LIST_INSERT_HEAD(&ledger->agent->staffed, ledger, staffed_link);
	else if (workers == 0)
		LIST_REMOVE(ledger, staffed_link);
	if (workers > before)
		ledger->staffed_ms = pool->core->now_ms;
	ledger->wanted = workers;
	load_change(&ledger->agent->wanted, pool, before, workers);
	pool->wanted += workers;
	pool->wanted -= before;
	pool->core->wanted += workers;
	pool->core->wanted -= before;
	occupy(ledger);
	order(ledger);
	/* Without any it waits in another line, and may have claims that it had not. */
	if (pool->wanted == 0 && pool->place != RMD_CORE_PLACE_FINE)
		rmd_core_room(pool->core);
	rmd_core_ledger_sort(ledger);
	if (workers == 0 && ledger->held > ledger->recalling)
		rmd_core_ledger_recall(ledger, ledger->held - ledger->recalling);
}

void rmd_core_ledger_recall(struct rmd_core_ledger *ledger, uint32_t leases)
{
	ledger->recalling += leases;
	ledger->pool->recalling += leases;
	RMD_CORE_SAY(ledger->pool->core, recall, ledger->agent, ledger->pool, leases);
}

void rmd_core_ledger_rest(struct rmd_core_ledger *ledger)
{
	struct rmd_core *core = ledger->pool->core;
	if (ledger->resting)
		return;
	ledger->resting = true;
	LIST_INSERT_HEAD(&core->resting, ledger, resting_link);
	if (!rmd_core_timer_pending(&core->rest_timer))
		rmd_core_timer_set(core, &core->rest_timer,
				   core->now_ms + RMD_CORE_REST_MS);
}

static void wake(struct rmd_core_ledger *ledger)
{
	if (!ledger->resting)
		return;
	ledger->resting = false;
	LIST_REMOVE(ledger, resting_link);
}

void rmd_core_ledgers_rested(struct rmd_core *core)
{
	struct rmd_core_ledger *ledger;
	struct rmd_core_pool *pool;
	while ((ledger = LIST_FIRST(&core->resting)) != NULL) {
		wake(ledger);
		rmd_core_ledger_sort(ledger);
	}
	if (!core->lacks_memory)
		return;
	core->lacks_memory = false;
	rmd_core_room(core);
	TAILQ_FOREACH (pool, &core->pools, core_link)
		rmd_core_pool_touch(pool);
}

void rmd_core_ledger_destroy(struct rmd_core_ledger *ledger)
{
	RMD_CHECK_OBJ(ledger, RMD_CORE_LEDGER_MAGIC);
	struct rmd_core_pool *pool = ledger->pool;
	RMD_CHECK(ledger->held == 0);
	rmd_core_ledger_want(ledger, 0);
	rmd_core_ledger_count(ledger, 0, 0, 0);
	wake(ledger);
	rmd_core_ledger_sort(ledger);
	if (ledger->ordering)
		TAILQ_REMOVE(&pool->core->orders, ledger, order_link);
	TAILQ_REMOVE(&pool->by_class[ledger->class], ledger, class_link);
	TAILQ_REMOVE(&ledger->agent->ledgers, ledger, agent_link);
	LIST_REMOVE(ledger, pool_link);
	rmd_map_take(&ledger->agent->ledgers_by_pool, pool->number);
	ledger->magic = 0;
	rmd_free(ledger);
}

void rmd_core_ledger_count(struct rmd_core_ledger *ledger, uint32_t workers,
			   uint32_t starting, uint32_t idle)
{
	struct rmd_core_pool *pool = ledger->pool;
	pool->workers += workers - ledger->workers;
	pool->core->workers += workers;
	pool->core->workers -= ledger->workers;
	pool->starting += starting - ledger->starting;
	pool->idle += idle - ledger->idle;
	ledger->workers = workers;
	ledger->starting = starting;
	ledger->idle = idle;
	occupy(ledger);
}

void rmd_core_ledger_wait(struct rmd_core_ledger *ledger, int by)
{
	ledger->waiting += (uint32_t)by;
	ledger->pool->waiting += (uint32_t)by;
	occupy(ledger);
	rmd_core_ledger_sort(ledger);
}

/* A peer's numbers, made sane. */
static uint32_t at_most(uint32_t number, uint32_t most)
{
	return number < most ? number : most;
}

static void heed_starts(struct rmd_core_pool *pool,
			const struct rmd_core_agent_pool *state)
{
	if (state->broken)
		rmd_core_pool_break(pool, state->start_error);
	if (pool->broken)
		return;
	if (pool->workers > pool->starting) {
		pool->start_failures = 0;
		rmd_piece_unref(pool->start_error);
		pool->start_error = (struct rmd_piece){{NULL, 0}, NULL};
	}
	if (!state->start_failed)
		return;
	struct rmd_piece former = pool->start_error;
	pool->start_error = rmd_piece_ref(state->start_error);
	rmd_piece_unref(former);
	if (pool->workers > pool->starting ||
	    ++pool->start_failures < pool->core->config.start_failures_max)
		return;
	pool->start_failures = 0;
	rmd_core_pool_fail(pool);
}

int rmd_core_agent_pool(struct rmd_core *core, uint64_t now_ms,
			struct rmd_core_agent *agent,
			const struct rmd_core_agent_pool *state)
{
	rmd_core_enter(core, now_ms);
	RMD_CHECK_OBJ(agent, RMD_CORE_AGENT_MAGIC);
	if (state->pool == 0 || state->pool >= core->next_pool)
		return RMD_EPROTO;
	struct rmd_core_ledger *ledger =
		rmd_map_get(&agent->ledgers_by_pool, state->pool);
	if (ledger == NULL) {
		const struct rmd_core_pool *pool = rmd_core_pool_find(core, state->pool);
		return pool == NULL || pool->state == RMD_CORE_POOL_CLOSING
			       ? RMD_ENOTFOUND
			       : RMD_EPROTO;
	}
	uint32_t workers = at_most(state->workers, RMD_CORE_WORKERS_MAX);
	uint32_t starting = at_most(state->starting, workers);
	rmd_core_ledger_count(ledger, workers, starting,
			      at_most(state->idle, workers - starting));
	ledger->slots = at_most(state->slots, RMD_CORE_SLOTS_MAX);
	wake(ledger);
	rmd_core_ledger_sort(ledger);
	heed_starts(ledger->pool, state);
	return 0;
}

/* --- looking at it ----------------------------------------------------------------- */

struct rmd_core_ledger *rmd_core_ledger_next(const struct rmd_core_agent *agent,
					     const struct rmd_core_ledger *previous)
{
	return previous == NULL ? TAILQ_FIRST(&agent->ledgers)
				: TAILQ_NEXT(previous, agent_link);
}

void rmd_core_ledger_info(const struct rmd_core_ledger *ledger,
			  struct rmd_core_ledger_info *ret_info)
{
	*ret_info = (struct rmd_core_ledger_info){
		.pool = ledger->pool,
		.agent = ledger->agent,
		.slots = ledger->slots,
		.held = ledger->held,
		.waiting = ledger->waiting,
		.workers = ledger->workers,
		.starting = ledger->starting,
		.idle = ledger->idle,
		.wanted = ledger->wanted,
	};
}
