#include "tests/sim/agent.h"

#include <inttypes.h>
#include <string.h>

#include "tests/sim/world.h"

#define DRAIN_US 3000000u /* in which what it holds should end */

/* --- its tables -------------------------------------------------------------------- */

static struct sim_agent *agent_of(struct sim_world *world, uint32_t slot)
{
	return &world->agents[slot];
}

struct sim_apool *sim_agent_pool(struct sim_agent *agent, uint64_t number)
{
	for (uint32_t i = 0; i < agent->pool_count; i++)
		if (agent->pools[i].number == number)
			return &agent->pools[i];
	return NULL;
}

uint32_t sim_agent_lease(const struct sim_agent *agent, uint64_t number)
{
	for (uint32_t i = 0; i < agent->lease_count; i++)
		if (agent->leases[i].number == number)
			return i;
	return SIM_NONE;
}

static uint32_t pool_at(const struct sim_agent *agent, const struct sim_apool *pool)
{
	return (uint32_t)(pool - agent->pools);
}

void sim_agent_lease_over(struct sim_world *world, uint32_t slot, uint32_t i)
{
	struct sim_agent *agent = agent_of(world, slot);
	struct sim_apool *pool = sim_agent_pool(agent, agent->leases[i].pool);
	pool->held--;
	memmove(&agent->leases[i], &agent->leases[i + 1],
		(--agent->lease_count - i) * sizeof(agent->leases[0]));
}

void sim_agent_say(struct sim_world *world, uint32_t slot, struct sim_message message)
{
	const struct sim_agent *agent = agent_of(world, slot);
	if (agent->link != SIM_NONE)
		sim_link_send(world, agent->link, SIM_SERVER, message);
}

/* --- life -------------------------------------------------------------------------- */

static void act_in(struct sim_world *world, uint32_t slot, uint64_t us)
{
	sim_agenda_put(&world->agenda, world->now_us + us, SIM_AGENT, slot,
		       agent_of(world, slot)->life);
}

/* What it is this time. */
static void draw_self(struct sim_world *world, struct sim_agent *agent)
{
	struct sim_random *draw = &world->farm;
	agent->labelled = agent->big || sim_chance(draw, 400);
	agent->python = agent->big || sim_chance(draw, 600);
	agent->private_local = !agent->big && sim_chance(draw, 100);
	agent->cpu_milli = 1000 * (agent->big ? 12 : sim_between(draw, 1, 6));
	agent->workers_max = sim_chance(draw, 300) ? sim_between(draw, 1, 8) : 0;
	if (agent->big)
		agent->workers_max = 0;
	agent->start_us = sim_between(draw, 500, 100000);
	agent->depth = sim_draw(draw, 4);
}

void sim_agent_start(struct sim_world *world, uint32_t slot)
{
	struct sim_agent *agent = agent_of(world, slot);
	agent->link = SIM_NONE;
	agent->state = SIM_AGENT_DOWN;
	act_in(world, slot, sim_draw(&world->farm, 300000));
}

/* Forgets everything: the next life begins after so long. */
static void down(struct sim_world *world, uint32_t slot, uint64_t us)
{
	struct sim_agent *agent = agent_of(world, slot);
	sim_workers_kill(world, slot, 0);
	agent->lease_count = agent->pool_count = 0;
	agent->state = SIM_AGENT_DOWN;
	agent->draining = agent->reporting = false;
	agent->life++;
	act_in(world, slot, us);
}

void sim_agent_crash(struct sim_world *world, uint32_t slot)
{
	struct sim_agent *agent = agent_of(world, slot);
	if (agent->state == SIM_AGENT_DOWN)
		return;
	SIM_TRACE(world, "agent %" PRIu32 " crashes", slot);
	if (agent->link != SIM_NONE) {
		sim_link_drop(world, agent->link, SIM_PEER);
		agent->link = SIM_NONE;
	}
	down(world, slot, 1 + sim_skewed(&world->farm, 200000));
}

static void attach(struct sim_world *world, uint32_t slot)
{
	struct sim_agent *agent = agent_of(world, slot);
	draw_self(world, agent);
	agent->state = SIM_AGENT_UP;
	agent->up_us = world->now_us;
	agent->failed_us = 0;
	agent->link = sim_link_open(world, true, slot);
	sim_agent_say(world, slot, (struct sim_message){.word = SIM_A_HELLO});
}

/* Kills what runs, says of it that it began or how it ended, and that this was all. */
static void farewell(struct sim_world *world, uint32_t slot)
{
	const struct sim_agent *agent = agent_of(world, slot);
	for (uint32_t i = 0; i < agent->lease_count; i++) {
		const struct sim_lease *lease = &agent->leases[i];
		bool ends = sim_chance(&world->farm, 500);
		if (lease->worker == SIM_NONE || (lease->said && !ends))
			continue;
		sim_agent_say(
			world, slot,
			(struct sim_message){.word = ends ? SIM_A_OUTCOME : SIM_A_BEGAN,
					     .number = lease->number,
					     .history = lease->history,
					     .end = RMD_CORE_END_ERROR,
					     .flag = true,
					     .count = {lease->attempt}});
	}
	sim_agent_say(world, slot, (struct sim_message){.word = SIM_A_FAREWELL});
}

/* Ends the stream, perhaps with a word. */
static void leave(struct sim_world *world, uint32_t slot)
{
	struct sim_agent *agent = agent_of(world, slot);
	uint32_t link = agent->link;
	if (link == SIM_NONE)
		return;
	if (agent->lease_count > 0 || sim_chance(&world->farm, 500))
		farewell(world, slot);
	agent->link = SIM_NONE;
	sim_link_finish(world, link, SIM_PEER);
	down(world, slot, 1 + sim_skewed(&world->farm, 300000));
}

void sim_agent_act(struct sim_world *world, uint32_t slot)
{
	switch (agent_of(world, slot)->state) {
	case SIM_AGENT_DOWN:
		attach(world, slot);
		return;
	case SIM_AGENT_ORPHAN: /* nobody asks for what it runs any more */
		down(world, slot, 1 + sim_skewed(&world->farm, 50000));
		return;
	case SIM_AGENT_UP: /* what it still runs may wait for others: it leaves */
		if (agent_of(world, slot)->draining)
			leave(world, slot);
		return;
	}
}

void sim_agent_lost(struct sim_world *world, uint32_t slot)
{
	struct sim_agent *agent = agent_of(world, slot);
	agent->link = SIM_NONE;
	agent->state = SIM_AGENT_ORPHAN;
	for (uint32_t i = agent->lease_count; i > 0; i--) /* nothing new begins */
		if (agent->leases[i - 1].worker == SIM_NONE)
			sim_agent_lease_over(world, slot, i - 1);
	act_in(world, slot, 1 + sim_draw(&world->farm, 2000000));
}

/* --- leaving in order -------------------------------------------------------------- */

static void give_back(struct sim_world *world, uint32_t slot, uint32_t i)
{
	const struct sim_lease *lease = &agent_of(world, slot)->leases[i];
	sim_agent_say(world, slot,
		      (struct sim_message){.word = SIM_A_RETURNED,
					   .number = lease->number,
					   .history = lease->history});
	sim_agent_lease_over(world, slot, i);
}

/* It cannot be run here: its function is not known. */
static void refuse(struct sim_world *world, uint32_t slot, uint32_t i)
{
	const struct sim_lease *lease = &agent_of(world, slot)->leases[i];
	sim_agent_say(world, slot,
		      (struct sim_message){.word = SIM_A_OUTCOME,
					   .number = lease->number,
					   .history = lease->history,
					   .end = RMD_CORE_END_ERROR,
					   .count = {lease->attempt}});
	sim_agent_lease_over(world, slot, i);
}

void sim_agent_give_back(struct sim_world *world, uint32_t slot, uint64_t pool,
			 uint32_t most)
{
	const struct sim_agent *agent = agent_of(world, slot);
	for (uint32_t i = agent->lease_count; i > 0 && most > 0; i--) {
		if (agent->leases[i - 1].worker != SIM_NONE ||
		    (pool != 0 && agent->leases[i - 1].pool != pool))
			continue;
		give_back(world, slot, i - 1);
		most--;
	}
}

void sim_agent_drain(struct sim_world *world, uint32_t slot)
{
	struct sim_agent *agent = agent_of(world, slot);
	if (agent->state != SIM_AGENT_UP || agent->draining)
		return;
	agent->draining = true;
	sim_agent_say(world, slot, (struct sim_message){.word = SIM_A_DRAINING});
	act_in(world, slot, DRAIN_US);
	sim_agent_give_back(world, slot, 0, UINT32_MAX);
	sim_agent_maybe_leave(world, slot);
}

void sim_agent_maybe_leave(struct sim_world *world, uint32_t slot)
{
	struct sim_agent *agent = agent_of(world, slot);
	if (!agent->draining || agent->state != SIM_AGENT_UP || agent->link == SIM_NONE)
		return;
	if (agent->lease_count == 0 || sim_chance(&world->farm, 100))
		leave(world, slot);
}

/* --- reports ----------------------------------------------------------------------- */

void sim_agent_changed(struct sim_world *world, uint32_t slot, struct sim_apool *pool)
{
	struct sim_agent *agent = agent_of(world, slot);
	pool->changed = true;
	if (agent->reporting)
		return;
	agent->reporting = true;
	sim_agenda_put(&world->agenda, world->now_us + sim_draw(&world->farm, 3000),
		       SIM_REPORT, slot, agent->life);
}

static uint32_t slots_of(const struct sim_agent *agent, const struct sim_apool *pool)
{
	uint32_t ready = pool->idle + pool->busy - pool->waiting;
	uint32_t workers = ready < pool->wanted ? ready : pool->wanted;
	if (pool->closed || pool->broken || agent->draining)
		return 0;
	if (pool->failures == 0)
		workers = pool->wanted;
	return workers * (1 + agent->depth);
}

void sim_agent_report(struct sim_world *world, uint32_t slot)
{
	struct sim_agent *agent = agent_of(world, slot);
	for (uint32_t i = agent->pool_count; i > 0; i--) /* places may have come free */
		if (agent->pools[i - 1].changed)
			sim_workers_balance(world, slot, i - 1);
	agent->reporting = false;
	for (uint32_t i = 0; i < agent->pool_count; i++) {
		struct sim_apool *pool = &agent->pools[i];
		if (!pool->changed)
			continue;
		pool->slots_told = slots_of(agent, pool);
		if (pool->slots_told > pool->slots_most)
			pool->slots_most = pool->slots_told;
		sim_agent_say(world, slot,
			      (struct sim_message){
				      .word = SIM_A_POOL,
				      .number = pool->number,
				      .flag = pool->failed || pool->broken,
				      .flag2 = pool->broken,
				      .count = {pool->slots_told,
						pool->starting + pool->idle + pool->busy,
						pool->starting, pool->idle}});
		pool->changed = pool->failed = false;
	}
}

/* --- what it hears ----------------------------------------------------------------- */

static void hear_order(struct sim_world *world, uint32_t slot,
		       const struct sim_message *message)
{
	struct sim_agent *agent = agent_of(world, slot);
	struct sim_apool *pool = sim_agent_pool(agent, message->number);
	if (pool == NULL) {
		SIM_MUST(world, agent->pool_count < SIM_AGENT_POOLS,
			 "the simulator's agent has too many pools");
		pool = &agent->pools[agent->pool_count++];
		*pool = (struct sim_apool){.number = message->number};
	}
	pool->wanted = message->count[0];
	pool->closed = pool->closed || message->flag;
	if (message->flag2) {
		sim_workers_kill(world, slot, pool->number);
		for (uint32_t i = agent->lease_count; i > 0; i--) {
			const struct sim_lease *lease = &agent->leases[i - 1];
			if (lease->pool != pool->number)
				continue;
			if (lease->worker == SIM_NONE) {
				give_back(world, slot, i - 1);
				continue;
			}
			sim_agent_say(world, slot,
				      (struct sim_message){.word = SIM_A_OUTCOME,
							   .number = lease->number,
							   .history = lease->history,
							   .end = RMD_CORE_END_CANCELLED,
							   .flag = true,
							   .count = {lease->attempt}});
			sim_agent_lease_over(world, slot, i - 1);
		}
	}
	sim_agent_changed(world, slot, pool);
	sim_workers_balance(world, slot, pool_at(agent, pool));
	sim_agent_maybe_leave(world, slot);
}

static void hear_lease(struct sim_world *world, uint32_t slot,
		       const struct sim_message *message)
{
	struct sim_agent *agent = agent_of(world, slot);
	struct sim_apool *pool = sim_agent_pool(agent, message->count[0]);
	SIM_MUST(world, pool != NULL && !pool->closed,
		 "a lease of pool %" PRIu32 ", which agent %" PRIu32 " does not have",
		 message->count[0], slot);
	SIM_MUST(world, pool->held < pool->slots_most || pool->nested,
		 "agent %" PRIu32 " never had so many slots: %" PRIu32 " are taken", slot,
		 pool->held);
	SIM_MUST(world, agent->lease_count < SIM_AGENT_LEASES,
		 "the simulator's agent has too many leases");
	pool->held++;
	agent->leases[agent->lease_count++] =
		(struct sim_lease){.number = message->number,
				   .pool = pool->number,
				   .history = message->history,
				   .attempt = message->count[1],
				   .worker = SIM_NONE};
	if (agent->draining || pool->broken)
		give_back(world, slot, agent->lease_count - 1);
	else if (sim_has(world, SIM_ERRORS) && sim_chance(&world->farm, 30))
		refuse(world, slot, agent->lease_count - 1);
	else
		sim_workers_balance(world, slot, pool_at(agent, pool));
}

static void hear_cancel(struct sim_world *world, uint32_t slot, uint64_t number)
{
	struct sim_agent *agent = agent_of(world, slot);
	uint32_t i = sim_agent_lease(agent, number);
	if (i == SIM_NONE || agent->leases[i].cancelled)
		return;
	agent->leases[i].cancelled = true;
	if (agent->leases[i].worker == SIM_NONE)
		give_back(world, slot, i);
	else
		sim_worker_cancel(world, agent->leases[i].worker);
}

void sim_agent_hear(struct sim_world *world, uint32_t slot,
		    const struct sim_message *message)
{
	switch (message->word) {
	case SIM_O_ORDER:
		hear_order(world, slot, message);
		return;
	case SIM_O_LEASE:
		hear_lease(world, slot, message);
		return;
	case SIM_O_CANCEL:
		hear_cancel(world, slot, message->number);
		return;
	case SIM_O_CHILD:
		sim_nest_hear(world, slot, message);
		return;
	case SIM_O_RECALL:
		sim_agent_give_back(world, slot, message->number, message->count[0]);
		return;
	default:
		sim_fail(world, "the simulator sends an agent what is not for it");
	}
}
