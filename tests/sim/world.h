/* tests/sim/world.h: one run: the core, everybody around it, and the virtual time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/agenda.h"
#include "tests/sim/agent.h"
#include "tests/sim/client.h"
#include "tests/sim/history.h"
#include "tests/sim/link.h"
#include "tests/sim/options.h"
#include "tests/sim/random.h"
#include "tests/sim/service.h"

#define SIM_LINKS 128u
#define SIM_WATCHED 256u

struct sim_watched { /* a pool with tasks that wait and an agent for them */
	uint64_t pool, turn, since_us, since_core_ms;
};

struct sim_world {
	struct sim_options options;
	uint32_t faults; /* bit i: fault i may happen */
	/* What each room draws from. */
	struct sim_random net, clientele, farm, trouble, memory, sample;
	uint64_t now_us, steps;
	bool settling; /* no more trouble and no more tasks: all must end */
	struct sim_agenda agenda;
	struct sim_histories histories;
	struct sim_service service;
	struct sim_link links[SIM_LINKS];
	struct sim_client clients[SIM_CLIENTS_MAX];
	struct sim_agent agents[SIM_AGENTS_MAX];
	struct sim_worker workers[SIM_WORKERS];
	uint32_t client_count, agent_count;
	uint32_t spare_worker, worker_top; /* none above top was ever used */
	uint32_t delay_us;		   /* usual, of a message */
	uint32_t task_us;		   /* usual, of a task */
	uint32_t nest_permille;		   /* of tasks, that submit tasks */
	uint32_t trouble_us;		   /* usual, between two */
	uint64_t calls;			   /* of the coordinator's own */
	struct sim_watched watched[SIM_WATCHED];
	uint64_t walks;
};

/* Whether that kind of trouble may happen now. */
static inline bool sim_has(const struct sim_world *world, enum sim_fault fault)
{
	return !world->settling && (world->faults >> fault & 1) != 0;
}

/* What a run came to. */
struct sim_summary {
	uint64_t steps, accepted, ended, begun, grants, walks, virtual_ms;
};

/* Runs one seed to its end. Ends the program with 1 where the core broke a promise. */
void sim_run(const struct sim_options *options, struct sim_summary *ret_summary);
/* Where the step of a run that fails is written, for --shrink; NULL: nowhere. */
extern uint64_t *sim_failed_step;

/* Ends the program: says the seed, the step, and what is wrong. */
_Noreturn void sim_fail(const struct sim_world *world, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Ends the program unless `cond` holds. */
#define SIM_MUST(world, cond, ...)                      \
	do {                                            \
		if (!(cond))                            \
			sim_fail((world), __VA_ARGS__); \
	} while (0)

/* Says what happens, where asked for. */
void sim_trace(const struct sim_world *world, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
#define SIM_TRACE(world, ...)                            \
	do {                                             \
		if ((world)->options.trace)              \
			sim_trace((world), __VA_ARGS__); \
	} while (0)
