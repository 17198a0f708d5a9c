/* tests/sim/agent.h: a model agent with its workers: starts and stops them as ordered,
 * runs what it was leased, gives back what it is asked for, and dies.
 *
 * Without its stream it begins nothing; what it runs ends, or is killed after a while;
 * then it comes back as another. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/link.h"

#define SIM_AGENT_POOLS 128u
#define SIM_AGENT_LEASES 512u
#define SIM_WORKERS 512u /* of all agents */

enum sim_agent_state { /* DOWN -> UP -> ORPHAN or LEAVING -> DOWN */
		       SIM_AGENT_DOWN,
		       SIM_AGENT_UP,
		       SIM_AGENT_ORPHAN, /* has no stream; its tasks run on */
};

enum sim_worker_state {
	SIM_WORKER_NONE,
	SIM_WORKER_STARTING,
	SIM_WORKER_IDLE,
	SIM_WORKER_BUSY,
	SIM_WORKER_STOPPING,
};

struct sim_worker {
	enum sim_worker_state state;
	uint32_t life, agent, next; /* next: among the spare ones */
	uint64_t pool, lease;
	bool waiting; /* its task waits for its children */
	uint8_t fate; /* how its task ends: enum rmd_core_end; NONE: the worker dies */
	uint64_t until_us;
};

struct sim_apool {
	uint64_t number;
	uint32_t wanted, failures;
	bool closed, changed, failed;
	bool broken; /* its initializer failed, or a worker was lost: runs no more */
	bool nested; /* tasks of it have waited for others */
	uint32_t starting, idle, busy, stopping, held;
	uint32_t waiting; /* of the busy: their task waits for its children */
	uint32_t slots_told, slots_most;
	uint64_t retry_us;
};

struct sim_lease {
	uint64_t number, pool;
	uint32_t history, attempt, worker; /* SIM_NONE: waits */
	bool cancelled, said;		   /* said: that it began */
	uint32_t children;		   /* that have not ended */
};

struct sim_agent {
	enum sim_agent_state state;
	uint32_t life, link;
	bool draining, reporting;
	uint64_t up_us;	    /* since when it is attached */
	uint64_t failed_us; /* when a worker failed to start last */
	uint32_t cpu_milli, workers_max, start_us, depth;
	bool labelled, python, private_local, big;
	struct sim_apool pools[SIM_AGENT_POOLS];
	uint32_t pool_count;
	struct sim_lease leases[SIM_AGENT_LEASES];
	uint32_t lease_count, worker_count;
};

void sim_agent_start(struct sim_world *world, uint32_t slot);
/* Its time: it attaches, or gives up what it still runs. */
void sim_agent_act(struct sim_world *world, uint32_t slot);
void sim_agent_hear(struct sim_world *world, uint32_t slot,
		    const struct sim_message *message);
void sim_agent_lost(struct sim_world *world, uint32_t slot);
/* Dies with all its workers; comes back after a while. */
void sim_agent_crash(struct sim_world *world, uint32_t slot);
void sim_agent_drain(struct sim_world *world, uint32_t slot);
/* Says how its pools stand, where that changed. */
void sim_agent_report(struct sim_world *world, uint32_t slot);

/* worker.c */
/* The state of a worker ends: it has started, ended its task, or stopped. */
void sim_worker_act(struct sim_world *world, uint32_t worker);
/* Its task has run for a while: the coordinator is told. */
void sim_worker_began(struct sim_world *world, uint32_t worker);
/* Starts, stops and feeds workers of the pool as wanted. May forget the pool. */
void sim_workers_balance(struct sim_world *world, uint32_t agent, uint32_t pool);
/* The task that it runs shall end soon. */
void sim_worker_cancel(struct sim_world *world, uint32_t worker);
/* Ends all workers of the agent, those of one pool only unless `pool` is 0. Their leases
 * are the caller's to settle. */
void sim_workers_kill(struct sim_world *world, uint32_t agent, uint64_t pool);

/* Has the worker run for so much longer, in place of what was set before. */
void sim_worker_run(struct sim_world *world, uint32_t worker, uint64_t us);

/* nest.c */
/* The task that the worker has begun perhaps submits others, and waits for them. */
void sim_nest_begin(struct sim_world *world, uint32_t worker);
/* A child of a lease has ended, or was refused. */
void sim_nest_hear(struct sim_world *world, uint32_t slot,
		   const struct sim_message *message);

/* agent.c, for worker.c */
struct sim_apool *sim_agent_pool(struct sim_agent *agent, uint64_t number);
/* Index of the lease, or SIM_NONE. */
uint32_t sim_agent_lease(const struct sim_agent *agent, uint64_t number);
void sim_agent_lease_over(struct sim_world *world, uint32_t slot, uint32_t lease);
/* Gives back up to `most` leases that wait: of one pool, or of all (0); the youngest
 * first. */
void sim_agent_give_back(struct sim_world *world, uint32_t slot, uint64_t pool,
			 uint32_t most);
void sim_agent_say(struct sim_world *world, uint32_t slot, struct sim_message message);
/* Something of the pool changed: a report follows. */
void sim_agent_changed(struct sim_world *world, uint32_t slot, struct sim_apool *pool);
/* Leaves in order, if it drains and holds nothing. */
void sim_agent_maybe_leave(struct sim_world *world, uint32_t slot);
