#include "server/core/place.h"

#include "server/core/agent.h"
#include "server/core/state.h"

/* No look at waiting pools or at agents costs more than so many at a time; the rest has
 * its turn in the next. */
#define POOLS_AT_ONCE 64u
#define AGENTS_AT_ONCE 256u

/* --- does it fit? ------------------------------------------------------------------ */

static uint64_t left_of(uint64_t all, uint64_t taken)
{
	return all > taken ? all - taken : 0;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* How many workers of `pool` an agent with that load would have room for. */
static uint64_t room_beside(const struct rmd_core_agent *agent,
			    const struct rmd_core_pool *pool,
			    const struct rmd_core_load *load)
{
	uint64_t fit = RMD_CORE_WORKERS_MAX, cpu_milli = agent->cpu_milli;
	if (agent->private_local && pool->max_workers != 0)
		return fit;
	if (agent->workers_max != 0) {
		fit = smaller(fit, left_of(agent->workers_max, load->workers));
		/* Told a number of workers, it has the cpus for so many usual ones. */
		if (cpu_milli != 0 && cpu_milli < UINT64_C(1000) * agent->workers_max)
			cpu_milli = UINT64_C(1000) * agent->workers_max;
	}
	if (cpu_milli != 0)
		fit = smaller(fit, left_of(cpu_milli, load->cpu_milli) / pool->cpu_milli);
	if (agent->memory_bytes != 0 && pool->memory_bytes != 0)
		fit = smaller(fit, left_of(agent->memory_bytes, load->memory_bytes) /
					   pool->memory_bytes);
	/* Beside pools that do not ask for room, the others would never find any. */
	if (fit == 0 && agent->private_local && pool->wanted == 0)
		return 1;
	return fit;
}

/* How many more workers of `pool` it has room for: what is promised to another pool is
 * taken. */
static uint64_t room(const struct rmd_core_agent *agent, const struct rmd_core_pool *pool,
		     const struct rmd_core_load *load)
{
	const struct rmd_core_pool *other = agent->promised_to;
	if (other == NULL || other == pool)
		return room_beside(agent, pool, load);
	struct rmd_core_load taken = {load->workers + 1,
				      load->cpu_milli + other->cpu_milli,
				      load->memory_bytes + other->memory_bytes};
	return room_beside(agent, pool, &taken);
}

static bool has_runtime(const struct rmd_core_agent *agent,
			const struct rmd_core_pool *pool)
{
	for (size_t i = 0; i < agent->runtime_count; i++)
		if (rmd_slice_equal(agent->runtimes[i], pool->runtime))
			return true;
	return false;
}

static bool has_label(const struct rmd_core_agent *agent,
		      const struct rmd_core_label *label)
{
	for (size_t i = 0; i < agent->label_count; i++)
		if (rmd_slice_equal(agent->labels[i].key, label->key) &&
		    rmd_slice_equal(agent->labels[i].value, label->value))
			return true;
	return false;
}

enum rmd_core_unfit rmd_core_place_suits(const struct rmd_core_agent *agent,
					 const struct rmd_core_pool *pool)
{
	static const struct rmd_core_load empty;
	if (!has_runtime(agent, pool))
		return RMD_CORE_UNFIT_RUNTIME;
	for (size_t i = 0; i < pool->label_count; i++)
		if (!has_label(agent, &pool->labels[i]))
			return RMD_CORE_UNFIT_LABELS;
	if (room_beside(agent, pool, &empty) == 0)
		return RMD_CORE_UNFIT_SIZE;
	return agent->draining ? RMD_CORE_UNFIT_DRAINING : RMD_CORE_FIT;
}

/* Agents have their turns: a round begins with this one (NULL: there is none) … */
static struct rmd_core_agent *round_first(const struct rmd_core *core)
{
	return core->next_to_staff != NULL ? core->next_to_staff
					   : TAILQ_FIRST(&core->agents);
}

/* … and goes on from the last to the first. */
static struct rmd_core_agent *round_next(const struct rmd_core *core,
					 const struct rmd_core_agent *agent)
{
	struct rmd_core_agent *next = TAILQ_NEXT(agent, link);
	return next != NULL ? next : TAILQ_FIRST(&core->agents);
}

/* --- more workers ------------------------------------------------------------------ */

/* One round over the agents: each with room gets up to `portion`. Gives how many were
 * placed. */
static uint32_t place_round(struct rmd_core_pool *pool, uint32_t need, uint32_t portion)
{
	struct rmd_core *core = pool->core;
	struct rmd_core_agent *agent = round_first(core);
	uint32_t placed = 0;
	for (uint64_t i = 0; i < core->agent_count && placed < need; i++) {
		struct rmd_core_ledger *ledger;
		uint64_t fit = rmd_core_place_suits(agent, pool) == RMD_CORE_FIT
				       ? room(agent, pool, &agent->occupied)
				       : 0;
		uint32_t count = (uint32_t)smaller(smaller(fit, portion), need - placed);
		if (count > 0 && rmd_core_ledger_get(agent, pool, &ledger) < 0) {
			core->lacks_memory = true;
			return placed;
		}
		if (count > 0) {
			rmd_core_ledger_want(ledger, ledger->wanted + count);
			placed += count;
		}
		agent = round_next(core, agent);
	}
	core->next_to_staff = agent;
	if (placed > 0) {
		pool->turn_due = false;
		rmd_core_place_forgo(pool);
	}
	return placed;
}

/* Gives up to `need` more workers to the pool, evenly. Gives how many are left. */
static uint32_t spread(struct rmd_core_pool *pool, uint32_t need)
{
	uint64_t agents = pool->core->agent_count;
	while (need > 0 && agents > 0) {
		uint32_t portion = need / agents > 1 ? (uint32_t)(need / agents) : 1;
		uint32_t placed = place_round(pool, need, portion);
		need -= placed;
		if (placed == 0)
			break;
	}
	return need;
}

/* A ledger on `agent` of another pool that has a worker and no work for it. */
static struct rmd_core_ledger *idle_other(const struct rmd_core_agent *agent,
					  const struct rmd_core_pool *pool)
{
	struct rmd_core_ledger *ledger;
	LIST_FOREACH (ledger, &agent->staffed, staffed_link)
		if (ledger->pool != pool && ledger->pool->queued == 0 &&
		    ledger->wanted > rmd_core_ledger_placed(ledger))
			return ledger;
	return NULL;
}

/* Stops idle workers of other pools, as many as `need` more workers take. Their room
 * comes when the agents say that they are gone. */
static void make_room(struct rmd_core_pool *pool, uint64_t need)
{
	struct rmd_core *core = pool->core;
	struct rmd_core_agent *agent = round_first(core);
	uint64_t agents = smaller(core->agent_count, AGENTS_AT_ONCE);
	for (uint64_t i = 0; i < agents && need > 0;
	     i++, agent = round_next(core, agent)) {
		struct rmd_core_ledger *idle;
		if (rmd_core_place_suits(agent, pool) != RMD_CORE_FIT)
			continue;
		while (room(agent, pool, &agent->wanted) < need &&
		       (idle = idle_other(agent, pool)) != NULL)
			rmd_core_ledger_want(idle, idle->wanted - 1);
		need -= smaller(need, room(agent, pool, &agent->wanted));
	}
}

static bool suits_any(const struct rmd_core_pool *pool)
{
	const struct rmd_core_agent *agent;
	TAILQ_FOREACH (agent, &pool->core->agents, link)
		if (rmd_core_place_suits(agent, pool) == RMD_CORE_FIT)
			return true;
	return false;
}

/* How many workers the pool could use. */
static uint32_t target_of(const struct rmd_core_pool *pool)
{
	uint64_t most = pool->max_workers != 0 ? pool->max_workers : RMD_CORE_WORKERS_MAX;
	return pool->killed ? 0 : (uint32_t)smaller(rmd_core_pool_load(pool), most);
}

/* Places what the pool lacks. Gives how many workers there is no room for. */
static uint32_t place_need(struct rmd_core_pool *pool)
{
	struct rmd_core *core = pool->core;
	uint32_t need = (uint32_t)left_of(target_of(pool), pool->wanted);
	need = spread(pool, need);
	if (need == 0)
		return 0;
	uint64_t epoch = core->room_epoch;
	make_room(pool, need);
	if (core->room_epoch != epoch) /* places that were wanted but not taken yet */
		need = spread(pool, need);
	pool->full_epoch = core->room_epoch + 1;
	return need;
}

/* Places what the pool lacks, or puts it on the list of what it waits for. */
static void try_to_place(struct rmd_core_pool *pool)
{
	if (place_need(pool) == 0)
		rmd_core_pool_set_place(pool, RMD_CORE_PLACE_FINE);
	else if (pool->wanted > 0)
		rmd_core_pool_set_place(pool, RMD_CORE_PLACE_SHORT);
	else if (suits_any(pool))
		rmd_core_pool_set_place(pool, RMD_CORE_PLACE_STARVING);
	else
		rmd_core_pool_set_place(pool, RMD_CORE_PLACE_HOMELESS);
}

/* The agents were full when this pool was last tried, and no room has come: a pool whose
 * tasks come and go at the edge must not cost a look at all agents each time. Another
 * pool may have become idle meanwhile: it is tried soon. */
static void wait_unseen(struct rmd_core_pool *pool)
{
	struct rmd_core *core = pool->core;
	rmd_core_pool_set_place(pool, RMD_CORE_PLACE_SHORT);
	if (!rmd_core_timer_pending(&core->offer_timer))
		rmd_core_timer_set(core, &core->offer_timer,
				   core->now_ms + RMD_CORE_OFFER_MS);
}

void rmd_core_place_pool(struct rmd_core_pool *pool)
{
	if (target_of(pool) <= pool->wanted)
		rmd_core_pool_set_place(pool, RMD_CORE_PLACE_FINE);
	else if (pool->place != RMD_CORE_PLACE_FINE)
		return;
	else if (pool->wanted > 0 && pool->full_epoch == pool->core->room_epoch + 1)
		wait_unseen(pool);
	else
		try_to_place(pool);
}

void rmd_core_place_resumed(struct rmd_core_ledger *ledger)
{
	const struct rmd_core_pool *pool = ledger->pool;
	const struct rmd_core_agent *agent = ledger->agent;
	if (ledger->wanted == 0 && pool->wanted < target_of(pool) &&
	    rmd_core_place_suits(agent, pool) == RMD_CORE_FIT &&
	    room(agent, pool, &agent->occupied) > 0)
		rmd_core_ledger_want(ledger, 1);
}

static void try_list(struct rmd_core *core, enum rmd_core_pool_place place)
{
	struct rmd_core_pool_list *list = &core->places[place];
	struct rmd_core_pool *last = TAILQ_LAST(list, rmd_core_pool_list);
	struct rmd_core_pool *pool = TAILQ_FIRST(list);
	for (unsigned i = 0; i < POOLS_AT_ONCE && pool != NULL; i++) {
		struct rmd_core_pool *next = pool == last ? NULL
							  : TAILQ_NEXT(pool, place_link);
		try_to_place(pool);
		rmd_core_pool_touch(pool);
		pool = next;
	}
	if (pool != NULL)
		rmd_core_timer_set(core, &core->offer_timer,
				   core->now_ms + RMD_CORE_OFFER_MS);
}

void rmd_core_place_waiting(struct rmd_core *core)
{
	try_list(core, RMD_CORE_PLACE_STARVING);
	try_list(core, RMD_CORE_PLACE_SHORT);
}

/* --- fewer workers ----------------------------------------------------------------- */

void rmd_core_place_lower(struct rmd_core_pool *pool, uint32_t workers)
{
	struct rmd_core_ledger *ledger;
	LIST_FOREACH (ledger, &pool->ledgers, pool_link) {
		uint64_t surplus = left_of(pool->wanted, workers);
		uint64_t spare = left_of(ledger->wanted, rmd_core_ledger_placed(ledger));
		rmd_core_ledger_want(ledger,
				     ledger->wanted - (uint32_t)smaller(surplus, spare));
	}
	LIST_FOREACH (ledger, &pool->ledgers, pool_link) {
		uint64_t surplus = left_of(pool->wanted, workers);
		rmd_core_ledger_want(ledger,
				     ledger->wanted -
					     (uint32_t)smaller(surplus, ledger->wanted));
	}
}

/* --- turns ------------------------------------------------------------------------- */

/* Whether `from` has to give a worker to `pool`: it has two more, or the pool has none at
 * all and this one had its turn. */
static bool owes(const struct rmd_core_ledger *from, const struct rmd_core_pool *pool)
{
	if (from->pool == pool)
		return false;
	if (from->agent->private_local && from->pool->wanted <= 1)
		return false; /* it would have it back at once */
	if (from->pool->wanted > pool->wanted + 1)
		return true;
	return pool->wanted == 0 &&
	       pool->core->now_ms - from->staffed_ms >= pool->core->config.turn_ms;
}

static struct rmd_core_ledger *victim_on(const struct rmd_core_agent *agent,
					 const struct rmd_core_pool *pool)
{
	struct rmd_core_ledger *ledger, *best = NULL;
	LIST_FOREACH (ledger, &agent->staffed, staffed_link) {
		if (!owes(ledger, pool))
			continue;
		if (best == NULL || ledger->pool->wanted > best->pool->wanted ||
		    (ledger->pool->wanted == best->pool->wanted &&
		     ledger->staffed_ms < best->staffed_ms))
			best = ledger;
	}
	return best;
}

void rmd_core_place_forgo(struct rmd_core_pool *pool)
{
	if (pool->promised == NULL)
		return;
	pool->promised->promised_to = NULL;
	pool->promised = NULL;
	rmd_core_room(pool->core);
}

static void promise(struct rmd_core_agent *agent, struct rmd_core_pool *pool)
{
	rmd_core_place_forgo(pool);
	agent->promised_to = pool;
	pool->promised = agent;
}

/* Has one worker of `pool` fit on some agent, at the cost of pools that have more. True:
 * room was made, and will come when the agent says so. */
static bool take_turn(struct rmd_core_pool *pool)
{
	struct rmd_core *core = pool->core;
	if (pool->promised != NULL &&
	    room(pool->promised, pool, &pool->promised->wanted) > 0)
		return false; /* room is on its way */
	struct rmd_core_agent *agent = round_first(core);
	struct rmd_core_ledger *victim = NULL;
	uint64_t agents = smaller(core->agent_count, AGENTS_AT_ONCE);
	for (uint64_t i = 0; i < agents; i++, agent = round_next(core, agent)) {
		if (rmd_core_place_suits(agent, pool) != RMD_CORE_FIT ||
		    (agent->promised_to != NULL && agent->promised_to != pool))
			continue;
		if (room(agent, pool, &agent->wanted) > 0) {
			promise(agent, pool); /* room is on its way */
			return false;
		}
		if ((victim = victim_on(agent, pool)) != NULL)
			break;
	}
	if (victim == NULL)
		return false;
	promise(agent, pool);
	while (victim != NULL && room(agent, pool, &agent->wanted) == 0) {
		rmd_core_ledger_want(victim, victim->wanted - 1);
		victim = victim_on(agent, pool);
	}
	return true;
}

void rmd_core_place_turn(struct rmd_core *core)
{
	static const enum rmd_core_pool_place waiting[] = {RMD_CORE_PLACE_STARVING,
							   RMD_CORE_PLACE_SHORT};
	bool any = false;
	for (unsigned w = 0; w < 2; w++) {
		struct rmd_core_pool_list *list = &core->places[waiting[w]];
		struct rmd_core_pool *pool = TAILQ_FIRST(list), *next;
		for (unsigned i = 0; i < POOLS_AT_ONCE && pool != NULL;
		     i++, pool = next) {
			next = TAILQ_NEXT(pool, place_link);
			any = true;
			if (!take_turn(pool))
				continue;
			pool->turn_due = true;
			rmd_core_pool_set_place(pool, waiting[w]); /* to the front */
		}
	}
	if (any)
		rmd_core_timer_set(core, &core->turn_timer,
				   core->now_ms + core->config.turn_ms);
}
