/* tests/sim/nest.c: tasks that submit tasks, on the agent's side: some wait for their
 * children and then go on, some end before them, some cancel one. */
#include <inttypes.h>

#include "tests/sim/agent.h"
#include "tests/sim/world.h"

#define GO_ON_MAX_US 20000u

static struct sim_lease *lease_of(struct sim_world *world,
				  const struct sim_worker *worker)
{
	struct sim_agent *agent = &world->agents[worker->agent];
	return &agent->leases[sim_agent_lease(agent, worker->lease)];
}

static void submit(struct sim_world *world, const struct sim_worker *worker,
		   const struct sim_lease *lease, uint32_t number)
{
	struct sim_random *draw = &world->farm;
	uint32_t history = sim_history_create(world);
	struct sim_history *h = &world->histories.items[history];
	h->child = true;
	h->client = SIM_NONE;
	h->parent = lease->history;
	h->parent_lease = lease->number;
	h->depth = world->histories.items[lease->history].depth + 1;
	h->payload_bytes = sim_between(draw, 8, 100);
	h->max_attempts = (uint8_t)(sim_chance(draw, 700) ? 1 : sim_between(draw, 1, 3));
	if (sim_has(world, SIM_DEADLINES) && sim_chance(draw, 200))
		h->deadline_ms = sim_skewed(draw, 200);
	sim_agent_say(world, worker->agent,
		      (struct sim_message){.word = SIM_A_CHILD,
					   .number = lease->number,
					   .history = history,
					   .flag = sim_chance(draw, 100),
					   .count = {number}});
	if (sim_has(world, SIM_CANCELS) && sim_chance(draw, 50))
		sim_agent_say(world, worker->agent,
			      (struct sim_message){.word = SIM_A_CANCEL,
						   .number = lease->number,
						   .history = history,
						   .count = {number}});
}

static void say_waits(struct sim_world *world, const struct sim_worker *worker,
		      const struct sim_lease *lease, bool waiting)
{
	sim_agent_say(world, worker->agent,
		      (struct sim_message){.word = SIM_A_WAITS,
					   .number = lease->number,
					   .history = lease->history,
					   .flag = waiting});
}

static void wait_for_children(struct sim_world *world, struct sim_worker *worker,
			      const struct sim_lease *lease)
{
	struct sim_agent *agent = &world->agents[worker->agent];
	struct sim_apool *pool = sim_agent_pool(agent, worker->pool);
	worker->life++; /* nothing but its children, or a cancel, ends this */
	worker->until_us = UINT64_MAX;
	worker->waiting = pool->nested = true;
	pool->waiting++;
	say_waits(world, worker, lease, true);
	sim_agent_changed(world, worker->agent, pool);
}

void sim_nest_begin(struct sim_world *world, uint32_t i)
{
	struct sim_worker *worker = &world->workers[i];
	struct sim_lease *lease = lease_of(world, worker);
	uint32_t depth = world->histories.items[lease->history].depth;
	if (!sim_has(world, SIM_NESTS) || !sim_chance(&world->farm, world->nest_permille))
		return;
	uint32_t children = sim_between(&world->farm, 1, depth > 2 ? 1 : 3);
	sim_worker_began(world, i);
	for (uint32_t n = 1; n <= children; n++)
		submit(world, worker, lease, n);
	lease->children = children;
	if (sim_chance(&world->farm, 850))
		wait_for_children(world, worker, lease);
}

/* Its children have ended: it goes on. */
static void go_on(struct sim_world *world, struct sim_worker *worker,
		  const struct sim_lease *lease)
{
	struct sim_agent *agent = &world->agents[worker->agent];
	struct sim_apool *pool = sim_agent_pool(agent, worker->pool);
	worker->waiting = false;
	pool->waiting--;
	say_waits(world, worker, lease, false);
	sim_agent_changed(world, worker->agent, pool);
	sim_worker_run(world, lease->worker, 1 + sim_draw(&world->farm, GO_ON_MAX_US));
}

void sim_nest_hear(struct sim_world *world, uint32_t slot,
		   const struct sim_message *message)
{
	struct sim_agent *agent = &world->agents[slot];
	uint32_t i = sim_agent_lease(agent, message->number);
	if (i == SIM_NONE)
		return; /* its task has ended before it */
	struct sim_lease *lease = &agent->leases[i];
	const struct sim_history *h = &world->histories.items[message->history];
	SIM_MUST(world, h->parent == lease->history && !h->delivered,
		 "task %" PRIu32 " hears of a child twice, or of another's",
		 lease->history);
	sim_history_deliver(world, message->history, message->count[0], message->end);
	struct sim_worker *worker = &world->workers[lease->worker];
	if (--lease->children == 0 && worker->waiting && !lease->cancelled)
		go_on(world, worker, lease);
}
