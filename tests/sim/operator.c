#include "tests/sim/operator.h"

#include <inttypes.h>

#include "server/core/agent.h"
#include "server/core/place.h"
#include "server/core/pool.h"
#include "server/core/state.h"
#include "tests/sim/check.h"
#include "tests/sim/world.h"

#define ACT_US 100000u
#define WATCH_US 1000000u
#define STALL_US 300000u
#define SKEW_MAX_MS 60000
#define STEADY_US 3000000u	  /* an agent that is up for so long does its work */
#define PATIENCE_US 20000000u	  /* in which a pool has its turn, and … */
#define PATIENCE_POOL_US 5000000u /* … so much more for each other pool that waits */

static void again(struct sim_world *world, enum sim_event_kind kind, uint64_t us)
{
	sim_agenda_put(&world->agenda, world->now_us + us, kind, 0, 0);
}

void sim_operator_start(struct sim_world *world)
{
	again(world, SIM_OPERATOR, ACT_US);
	again(world, SIM_TROUBLE, world->trouble_us);
	again(world, SIM_WATCH, WATCH_US);
}

static uint64_t now_ms(struct sim_world *world)
{
	return sim_service_ms(world);
}

/* --- from outside ------------------------------------------------------------------ */

static struct rmd_core_pool *any_pool(struct sim_world *world)
{
	struct rmd_core *core = world->service.core;
	struct rmd_core_counters counters;
	rmd_core_counters(core, &counters);
	if (counters.pools == 0)
		return NULL;
	struct rmd_core_pool *pool = rmd_core_pool_next(core, NULL);
	uint32_t skip = sim_draw(&world->trouble, (uint32_t)counters.pools);
	for (; skip > 0; skip--)
		pool = rmd_core_pool_next(core, pool);
	return pool;
}

static struct rmd_core_task *any_task(struct sim_world *world)
{
	struct rmd_core_task *task = rmd_core_task_next(world->service.core, NULL);
	uint32_t skip = sim_draw(&world->trouble, 50);
	for (; task != NULL && skip > 0; skip--)
		task = rmd_core_task_next(world->service.core, task);
	return task;
}

/* The coordinator's own client calls a function, in the default pool. */
static void call(struct sim_world *world)
{
	struct sim_service *service = &world->service;
	struct sim_random *draw = &world->trouble;
	uint32_t history = sim_history_create(world);
	struct sim_history *h = &world->histories.items[history];
	struct rmd_core_pool *pool;
	h->client = SIM_NONE;
	h->number = ++world->calls;
	h->payload_bytes = sim_between(draw, 8, 60);
	h->max_attempts = (uint8_t)sim_between(draw, 1, 3);
	h->deadline_ms = sim_has(world, SIM_DEADLINES) ? sim_between(draw, 1, 500) : 0;
	h->given_up = true; /* unless it is accepted */
	if (sim_service_open(world, NULL, sim_chance(draw, 200) ? 3 : 0, 0, &pool) == 0)
		sim_service_submit(world, service->caller, pool, history);
	h->given_up = h->accepted == 0;
}

static void cancel_in_pool(struct sim_world *world, struct rmd_core_pool *pool)
{
	struct sim_session *session =
		&world->service.sessions[sim_draw(&world->trouble, 16)];
	struct rmd_core_task *task = NULL;
	if (!session->used)
		return;
	while ((task = rmd_core_task_next(world->service.core, task)) != NULL)
		if (rmd_core_task_client(task) == session->client &&
		    rmd_core_task_pool(task) == pool)
			sim_history_of(world, task)->cancel_asked = true;
	rmd_core_pool_cancel(world->service.core, now_ms(world), session->client, pool);
}

static void stop_task(struct sim_world *world)
{
	struct rmd_core_task *task = any_task(world);
	if (task == NULL)
		return;
	if (rmd_core_task_state(task) != RMD_CORE_TASK_DONE)
		sim_history_of(world, task)->stop_asked = true;
	rmd_core_cancel(world->service.core, now_ms(world), task, RMD_CORE_END_STOPPED);
}

/* An agent speaks of a lease that is another's. */
static void stray(struct sim_world *world)
{
	const struct rmd_core_task *task = any_task(world);
	struct rmd_core *core = world->service.core;
	uint64_t lease = task == NULL ? 0 : rmd_core_task_lease(task);
	struct rmd_core_agent *agent = rmd_core_agent_next(core, NULL);
	if (lease == 0 || agent == rmd_core_task_agent(task))
		return;
	struct rmd_core_agent_outcome outcome = {.lease = lease,
						 .end = RMD_CORE_END_VALUE};
	SIM_MUST(world,
		 rmd_core_agent_began(core, now_ms(world), agent, lease) == RMD_EPROTO &&
			 rmd_core_agent_returned(core, now_ms(world), agent, lease) ==
				 RMD_EPROTO &&
			 rmd_core_agent_outcome(core, now_ms(world), agent, &outcome) ==
				 RMD_EPROTO,
		 "an agent ends the lease of another");
}

static void release(struct sim_world *world, struct rmd_core_pool *pool)
{
	struct sim_session *session =
		&world->service.sessions[sim_draw(&world->trouble, 16)];
	if (!session->used)
		return;
	bool held = rmd_core_pool_held_by(pool, session->client);
	int rc = rmd_core_pool_release(world->service.core, now_ms(world),
				       session->client, pool);
	SIM_MUST(world, rc == (held ? 0 : RMD_ENOTFOUND), "a release is answered by %s",
		 rmd_errcode_text(rc));
}

/* A session is done with a pool, in one of the three ways. */
static void leave(struct sim_world *world, struct rmd_core_pool *pool)
{
	struct sim_session *session =
		&world->service.sessions[sim_draw(&world->trouble, 16)];
	enum rmd_core_pool_close how =
		(enum rmd_core_pool_close)sim_draw(&world->trouble, 3);
	struct rmd_core_task *task = NULL;
	if (!session->used)
		return;
	bool held = rmd_core_pool_held_by(pool, session->client);
	while (held && how != RMD_CORE_POOL_DRAIN &&
	       (task = rmd_core_task_next(world->service.core, task)) != NULL)
		if (rmd_core_task_client(task) == session->client &&
		    rmd_core_task_pool(task) == pool)
			sim_history_of(world, task)->left = true;
	int rc = rmd_core_pool_leave(world->service.core, now_ms(world), session->client,
				     pool, how);
	SIM_MUST(world, rc == (held ? 0 : RMD_ENOTFOUND), "to leave is answered by %s",
		 rmd_errcode_text(rc));
}

static void act_on_pool(struct sim_world *world, struct rmd_core_pool *pool)
{
	struct rmd_core *core = world->service.core;
	struct sim_random *draw = &world->trouble;
	uint32_t what = sim_draw(draw, 10);
	if (what < 3 && sim_has(world, SIM_RESIZES)) {
		int rc = rmd_core_pool_resize(core, now_ms(world), pool,
					      sim_between(draw, 1, 9));
		SIM_MUST(world, rc == 0 || rc == RMD_ECLOSED,
			 "a resize is answered by %s", rmd_errcode_text(rc));
	} else if (what < 5 && sim_has(world, SIM_CLOSES)) {
		rmd_core_pool_close(core, now_ms(world), pool,
				    (enum rmd_core_pool_close)sim_draw(draw, 3));
	} else if (what < 6 && sim_has(world, SIM_CLOSES)) {
		if (sim_chance(&world->trouble, 500))
			release(world, pool);
		else
			leave(world, pool);
	} else if (what < 7 && sim_has(world, SIM_CANCELS)) {
		cancel_in_pool(world, pool);
	}
}

void sim_operator_act(struct sim_world *world)
{
	struct rmd_core_pool *pool = any_pool(world);
	if (!world->settling) {
		if (pool != NULL)
			act_on_pool(world, pool);
		if (sim_has(world, SIM_CANCELS) && sim_chance(&world->trouble, 300))
			stop_task(world);
		stray(world);
		for (uint32_t i = sim_draw(&world->trouble, 4); i > 0; i--)
			call(world);
		sim_check_counters(world);
		sim_service_touch(world);
	}
	again(world, SIM_OPERATOR, 1 + sim_draw(&world->trouble, 2 * ACT_US));
}

/* --- trouble ----------------------------------------------------------------------- */

static uint32_t any_link(struct sim_world *world)
{
	uint32_t i = sim_draw(&world->trouble, SIM_LINKS);
	for (uint32_t n = 0; n < SIM_LINKS; n++, i = (i + 1) % SIM_LINKS)
		if (world->links[i].used && !world->links[i].cut)
			return i;
	return SIM_NONE;
}

static void jump(struct sim_world *world)
{
	int64_t most = sim_chance(&world->trouble, 100) ? 20000 : 800;
	int64_t step = (int64_t)sim_draw(&world->trouble, (uint32_t)(2 * most)) - most;
	if (world->service.skew_ms + step > SKEW_MAX_MS ||
	    world->service.skew_ms + step < -SKEW_MAX_MS)
		step = -step;
	world->service.skew_ms += step;
	SIM_TRACE(world, "the clock jumps by %" PRId64 " ms", step);
	sim_service_touch(world);
}

void sim_operator_trouble(struct sim_world *world)
{
	struct sim_random *draw = &world->trouble;
	uint32_t link = any_link(world), agent = sim_draw(draw, world->agent_count);
	if (link != SIM_NONE && sim_has(world, SIM_CUTS) && sim_chance(draw, 250))
		sim_link_break(world, link);
	else if (link != SIM_NONE && sim_has(world, SIM_SLOW) && sim_chance(draw, 300))
		sim_link_stall(world, link, sim_chance(draw, 500) ? SIM_PEER : SIM_SERVER,
			       sim_between(draw, 1000, 3000000));
	else if (sim_has(world, SIM_CRASHES) && sim_chance(draw, 300))
		sim_agent_crash(world, agent);
	else if (sim_has(world, SIM_DRAINS) && sim_chance(draw, 300))
		sim_agent_drain(world, agent);
	else if (sim_has(world, SIM_CLOCK) && sim_chance(draw, 500))
		jump(world);
	again(world, SIM_TROUBLE, 1 + sim_skewed(draw, world->trouble_us));
}

/* --- who starves? ------------------------------------------------------------------ */

static bool works(const struct sim_world *world, const struct rmd_core_agent *agent)
{
	const struct sim_hub *hub = rmd_core_agent_user(agent);
	if (hub->link == SIM_NONE || world->links[hub->link].cut)
		return false;
	const struct sim_link *link = &world->links[hub->link];
	for (unsigned w = 0; w < 2; w++) /* stalled */
		if (link->way[w].last_due_us > world->now_us + STALL_US)
			return false;
	const struct sim_agent *peer = &world->agents[hub->slot];
	return peer->life == hub->life && peer->state == SIM_AGENT_UP &&
	       !peer->draining && world->now_us - peer->up_us > STEADY_US &&
	       (peer->failed_us == 0 || world->now_us - peer->failed_us > STEADY_US);
}

static bool can_run(const struct sim_world *world, const struct rmd_core_pool *pool)
{
	const struct rmd_core_agent *agent;
	if (pool->turns.count == 0)
		return false;
	TAILQ_FOREACH (agent, &pool->core->agents, link)
		if (rmd_core_place_suits(agent, pool) == RMD_CORE_FIT &&
		    works(world, agent))
			return true;
	return false;
}

static struct sim_watched *watched(struct sim_world *world, uint64_t pool)
{
	struct sim_watched *oldest = &world->watched[0];
	for (uint32_t i = 0; i < SIM_WATCHED; i++) {
		if (world->watched[i].pool == pool)
			return &world->watched[i];
		if (world->watched[i].since_us < oldest->since_us)
			oldest = &world->watched[i];
	}
	*oldest = (struct sim_watched){pool, 0, world->now_us, world->service.core_ms};
	return oldest;
}

void sim_operator_watch(struct sim_world *world)
{
	const struct rmd_core_pool *pool;
	uint64_t waiting = 0;
	TAILQ_FOREACH (pool, &world->service.core->pools, core_link)
		waiting += pool->turns.count > 0;
	TAILQ_FOREACH (pool, &world->service.core->pools, core_link) {
		struct sim_watched *seen = watched(world, pool->number);
		if (seen->turn != pool->turn || !can_run(world, pool)) {
			seen->turn = pool->turn;
			seen->since_us = world->now_us;
			seen->since_core_ms = world->service.core_ms;
			continue;
		}
		/* A clock that went back stands still: that time is not the core's. */
		uint64_t waited_us = world->now_us - seen->since_us;
		uint64_t core_us = 1000 * (world->service.core_ms - seen->since_core_ms);
		waited_us = waited_us < core_us ? waited_us : core_us;
		SIM_MUST(world, waited_us < PATIENCE_US + waiting * PATIENCE_POOL_US,
			 "pool %" PRIu64 " starves: %" PRIu64 " tasks wait for %" PRIu64
			 " s, and an agent could run them (wants %" PRIu32
			 " workers, place %d, %" PRIu64 " leases)",
			 pool->number, pool->queued, waited_us / 1000000, pool->wanted,
			 (int)pool->place, pool->leased);
	}
	again(world, SIM_WATCH, WATCH_US);
}

/* --- the end ----------------------------------------------------------------------- */

bool sim_operator_settled(struct sim_world *world)
{
	struct rmd_core_counters c;
	rmd_core_counters(world->service.core, &c);
	if (c.queued + c.leased + c.running + c.done > 0)
		return false;
	for (uint32_t i = 0; i < world->client_count; i++)
		if (world->clients[i].open > 0)
			return false;
	return true;
}

void sim_operator_shut_down(struct sim_world *world)
{
	struct rmd_core_task *task = NULL;
	while ((task = rmd_core_task_next(world->service.core, task)) != NULL)
		if (rmd_core_task_state(task) != RMD_CORE_TASK_DONE)
			sim_history_of(world, task)->stop_asked = true;
	rmd_core_drain(world->service.core, now_ms(world));
	rmd_core_cancel_all(world->service.core, now_ms(world), RMD_CORE_END_SHUTDOWN);
	sim_check_counters(world);
	sim_service_touch(world);
}
