/* tests/sim/worker.c: the workers of model agents: they start, or fail to; run a task;
 * die under it; stop. */
#include <inttypes.h>

#include "tests/sim/agent.h"
#include "tests/sim/world.h"

#define LONG_US 5000u /* a task that runs for longer is said to have begun */
#define TASK_MAX_US 3000000u
#define START_MAX_US 1000000u
#define BACKOFF_US 50000u
#define GRACE_US 300000u /* from a cancel to the kill */

static struct sim_agent *agent_of(struct sim_world *world,
				  const struct sim_worker *worker)
{
	return &world->agents[worker->agent];
}

static struct sim_apool *pool_of(struct sim_world *world, const struct sim_worker *worker)
{
	return sim_agent_pool(agent_of(world, worker), worker->pool);
}

/* The next event of the worker, in place of the one that was set before. */
static void wait(struct sim_world *world, struct sim_worker *worker, uint64_t us)
{
	worker->life++;
	worker->until_us = world->now_us + us;
	sim_agenda_put(&world->agenda, worker->until_us, SIM_WORKER,
		       (uint32_t)(worker - world->workers), worker->life);
}

static void count(struct sim_apool *pool, enum sim_worker_state state, int change)
{
	uint32_t by = (uint32_t)change;
	switch (state) {
	case SIM_WORKER_NONE:
		return;
	case SIM_WORKER_STARTING:
		pool->starting += by;
		return;
	case SIM_WORKER_IDLE:
		pool->idle += by;
		return;
	case SIM_WORKER_BUSY:
		pool->busy += by;
		return;
	case SIM_WORKER_STOPPING:
		pool->stopping += by;
		return;
	}
}

/* The only writer of its state. */
static void move(struct sim_world *world, struct sim_worker *worker,
		 enum sim_worker_state to)
{
	struct sim_apool *pool = pool_of(world, worker);
	if (worker->waiting) {
		worker->waiting = false;
		pool->waiting--;
	}
	count(pool, worker->state, -1);
	count(pool, to, 1);
	worker->state = to;
	sim_agent_changed(world, worker->agent, pool);
	if (to != SIM_WORKER_NONE)
		return;
	worker->life++;
	agent_of(world, worker)->worker_count--;
	worker->next = world->spare_worker;
	world->spare_worker = (uint32_t)(worker - world->workers);
}

/* --- starting and stopping --------------------------------------------------------- */

static void start(struct sim_world *world, uint32_t agent, struct sim_apool *pool)
{
	uint32_t i = world->spare_worker;
	SIM_MUST(world, i != SIM_NONE, "the simulator has too few workers");
	struct sim_worker *worker = &world->workers[i];
	world->spare_worker = worker->next;
	if (i >= world->worker_top)
		world->worker_top = i + 1;
	worker->agent = agent;
	worker->pool = pool->number;
	world->agents[agent].worker_count++;
	move(world, worker, SIM_WORKER_STARTING);
	uint32_t us = sim_skewed(&world->farm, world->agents[agent].start_us);
	wait(world, worker, us < START_MAX_US ? us : START_MAX_US);
}

static void stop(struct sim_world *world, struct sim_worker *worker)
{
	move(world, worker, SIM_WORKER_STOPPING);
	wait(world, worker, 1 + sim_draw(&world->farm, 20000));
}

/* Stops up to so many workers of the pool that are in that state. */
static uint32_t stop_some(struct sim_world *world, uint32_t agent, uint64_t pool,
			  enum sim_worker_state state, uint32_t most)
{
	uint32_t stopped = 0;
	for (uint32_t i = 0; i < world->worker_top && stopped < most; i++) {
		struct sim_worker *worker = &world->workers[i];
		if (worker->state != state || worker->agent != agent ||
		    worker->pool != pool)
			continue;
		stop(world, worker);
		stopped++;
	}
	return stopped;
}

void sim_workers_kill(struct sim_world *world, uint32_t agent, uint64_t pool)
{
	for (uint32_t i = 0; i < world->worker_top; i++) {
		struct sim_worker *worker = &world->workers[i];
		if (worker->state != SIM_WORKER_NONE && worker->agent == agent &&
		    (pool == 0 || worker->pool == pool))
			move(world, worker, SIM_WORKER_NONE);
	}
}

/* --- tasks ------------------------------------------------------------------------- */

static void begin(struct sim_world *world, struct sim_worker *worker,
		  struct sim_lease *lease)
{
	struct sim_random *draw = &world->farm;
	uint64_t us = sim_skewed(draw, world->task_us);
	if (us > TASK_MAX_US)
		us = TASK_MAX_US;
	lease->worker = (uint32_t)(worker - world->workers);
	worker->lease = lease->number;
	worker->fate = RMD_CORE_END_VALUE;
	if (sim_has(world, SIM_ERRORS) && sim_chance(draw, 150))
		worker->fate = RMD_CORE_END_ERROR;
	if (sim_has(world, SIM_DEATHS) && sim_chance(draw, 50))
		worker->fate = RMD_CORE_END_NONE;
	move(world, worker, SIM_WORKER_BUSY);
	wait(world, worker, us);
	if (us > LONG_US)
		sim_agenda_put(&world->agenda, world->now_us + LONG_US, SIM_BEGAN,
			       lease->worker, worker->life);
	sim_history_begin(world, lease->history, lease->number, lease->attempt);
	sim_nest_begin(world, lease->worker);
}

void sim_worker_run(struct sim_world *world, uint32_t i, uint64_t us)
{
	wait(world, &world->workers[i], us);
}

void sim_worker_began(struct sim_world *world, uint32_t i)
{
	const struct sim_worker *worker = &world->workers[i];
	struct sim_agent *agent = agent_of(world, worker);
	struct sim_lease *lease = &agent->leases[sim_agent_lease(agent, worker->lease)];
	if (lease->said)
		return;
	lease->said = true;
	sim_agent_say(world, worker->agent,
		      (struct sim_message){.word = SIM_A_BEGAN,
					   .number = lease->number,
					   .history = lease->history});
}

void sim_worker_cancel(struct sim_world *world, uint32_t i)
{
	struct sim_worker *worker = &world->workers[i];
	uint64_t grace_us = 1 + sim_draw(&world->farm, GRACE_US);
	if (worker->until_us <= world->now_us + grace_us)
		return; /* it ends before it would be killed */
	worker->fate = sim_chance(&world->farm, 500) ? RMD_CORE_END_CANCELLED
						     : RMD_CORE_END_NONE;
	wait(world, worker, grace_us);
}

/* Its task has ended, or has taken it along. */
static void end_task(struct sim_world *world, struct sim_worker *worker)
{
	uint32_t slot = worker->agent;
	struct sim_agent *agent = agent_of(world, worker);
	uint32_t i = sim_agent_lease(agent, worker->lease);
	struct sim_lease lease = agent->leases[i];
	bool dies = worker->fate == RMD_CORE_END_NONE;
	struct sim_message message = {.word = SIM_A_OUTCOME,
				      .number = lease.number,
				      .history = lease.history,
				      .end = worker->fate,
				      .flag = true,
				      .count = {lease.attempt}};
	if (dies)
		message.end = lease.cancelled ? RMD_CORE_END_CANCELLED
					      : RMD_CORE_END_ERROR;
	if (dies && !lease.cancelled)
		message.count[1] = lease.number % 4 == 0 ? RMD_CORE_CAUSE_OUT_OF_MEMORY
							 : RMD_CORE_CAUSE_WORKER_LOST;
	sim_agent_lease_over(world, slot, i);
	sim_agent_say(world, slot, message);
	move(world, worker, dies ? SIM_WORKER_NONE : SIM_WORKER_IDLE);
}

static void feed(struct sim_world *world, uint32_t slot, struct sim_apool *pool)
{
	struct sim_agent *agent = &world->agents[slot];
	uint32_t lease = 0;
	for (uint32_t i = 0; i < world->worker_top && pool->idle > 0; i++) {
		struct sim_worker *worker = &world->workers[i];
		if (worker->state != SIM_WORKER_IDLE || worker->agent != slot ||
		    worker->pool != pool->number)
			continue;
		while (lease < agent->lease_count &&
		       (agent->leases[lease].pool != pool->number ||
			agent->leases[lease].worker != SIM_NONE))
			lease++;
		if (lease == agent->lease_count)
			return;
		begin(world, worker, &agent->leases[lease]);
	}
}

/* Stops what is too much, as far as it runs nothing. Gives how many are left. */
static uint32_t stop_surplus(struct sim_world *world, uint32_t slot,
			     const struct sim_apool *pool, uint32_t wanted)
{
	static const enum sim_worker_state states[] = {SIM_WORKER_IDLE,
						       SIM_WORKER_STARTING};
	uint32_t have = pool->starting + pool->idle + pool->busy - pool->waiting;
	for (unsigned i = 0; i < 2 && have > wanted; i++)
		have -= stop_some(world, slot, pool->number, states[i], have - wanted);
	return have;
}

void sim_workers_balance(struct sim_world *world, uint32_t slot, uint32_t p)
{
	struct sim_agent *agent = &world->agents[slot];
	struct sim_apool *pool = &agent->pools[p];
	bool up = agent->state == SIM_AGENT_UP && !(pool->closed && pool->held == 0);
	uint32_t wanted = up && !pool->broken ? pool->wanted : 0;
	/* First those that are too many stop: others wait for their places. */
	uint32_t have = stop_surplus(world, slot, pool, wanted);
	if (agent->state == SIM_AGENT_UP)
		feed(world, slot, pool);
	while (have < wanted && world->now_us >= pool->retry_us) {
		start(world, slot, pool);
		have++;
	}
	/* Nobody here will run what waits: better elsewhere. */
	if ((pool->broken || (have + pool->waiting == 0 && pool->failures > 0)) &&
	    agent->state == SIM_AGENT_UP)
		sim_agent_give_back(world, slot, pool->number, UINT32_MAX);
	if (pool->closed && have + pool->stopping + pool->waiting == 0 && pool->held == 0)
		*pool = agent->pools[--agent->pool_count];
}

/* --- its events -------------------------------------------------------------------- */

static void started(struct sim_world *world, struct sim_worker *worker)
{
	struct sim_agent *agent = agent_of(world, worker);
	struct sim_apool *pool = pool_of(world, worker);
	/* Its initializer fails, or it is lost as soon as it is there. */
	if (sim_has(world, SIM_BREAKS) && sim_chance(&world->farm, 15))
		pool->broken = true;
	if (!sim_has(world, SIM_STARTS) || !sim_chance(&world->farm, 250)) {
		pool->failures = 0;
		move(world, worker, SIM_WORKER_IDLE);
		return;
	}
	pool->failures++;
	pool->failed = true;
	agent->failed_us = world->now_us;
	pool->retry_us = world->now_us + BACKOFF_US;
	move(world, worker, SIM_WORKER_STOPPING); /* and tries again when that is over */
	wait(world, worker, BACKOFF_US);
}

void sim_worker_act(struct sim_world *world, uint32_t i)
{
	struct sim_worker *worker = &world->workers[i];
	uint32_t slot = worker->agent;
	uint64_t number = worker->pool;
	switch (worker->state) {
	case SIM_WORKER_STARTING:
		started(world, worker);
		break;
	case SIM_WORKER_BUSY:
		end_task(world, worker);
		break;
	case SIM_WORKER_STOPPING:
		move(world, worker, SIM_WORKER_NONE);
		break;
	case SIM_WORKER_NONE:
	case SIM_WORKER_IDLE:
		return;
	}
	struct sim_agent *agent = &world->agents[slot];
	const struct sim_apool *pool = sim_agent_pool(agent, number);
	if (pool != NULL)
		sim_workers_balance(world, slot, (uint32_t)(pool - agent->pools));
	sim_agent_maybe_leave(world, slot);
}
