/* tests/unit/core/rig.h: a core with a port that writes down what it was asked for, and a
 * tester's words: a client, a pool, agents that are ready at once. One thread. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Needs those above. */
#include <cmocka.h>

#include "server/core/core.h"

#define RIG_LEASES 4096u

struct rig_lease {
	uint64_t lease;
	struct rmd_core_agent *agent;
	struct rmd_core_client *client;
	uint64_t number;
	uint32_t attempt;
};

struct rig {
	struct rmd_core *core;
	struct rmd_core_config config;
	uint64_t now_ms, due_ms;
	enum rmd_core_keep keep; /* what the port says to an end */

	struct rig_lease leases[RIG_LEASES]; /* in the order of their grants */
	size_t grants;
	uint64_t cancels, recalls, recalled_leases;
	uint64_t last_cancel; /* lease */
	struct rmd_core_agent *last_recall;
	uint64_t orders, closed_orders, kill_orders, first_orders;
	uint64_t ends;
	uint64_t ends_by[RMD_CORE_END_AGENT_LOST + 1];
	struct rmd_core_ending last_end; /* pieces and agent are not kept */
	uint64_t last_number;
	char last_outcome[64], last_start_error[64], last_agent[64];
	char last_waits[RMD_CORE_EXPLAIN_BYTES];
	uint64_t tasks_gone, pools_gone, expired, drained;
	uint64_t child_ends;
	uint64_t child_ends_by[RMD_CORE_END_AGENT_LOST + 1];
	uint64_t last_child, last_child_lease; /* its number; its parent's lease */
	const char *give_outcome;	       /* the port's own outcome, or NULL */
};

/* The port; its ctx is a rig. */
extern const struct rmd_core_port rig_port;

/* Makes a core with the configuration in rig->config. */
void rig_start(struct rig *rig);
void rig_stop(struct rig *rig);
/* setup and teardown for cmocka: *state is a started rig. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* Ticks at the present time, or after so many milliseconds. */
void rig_tick(struct rig *rig);
void rig_pass(struct rig *rig, uint64_t ms);

struct rmd_slice rig_text(const char *text);
struct rmd_core_client *rig_client(struct rig *rig, const char *identity);
/* A pool of the runtime "native": named; the client's own with name ""; max_workers. */
struct rmd_core_pool *rig_pool(struct rig *rig, struct rmd_core_client *client,
			       const char *name, uint32_t max_workers);
/* A spec as rig_pool uses it. */
struct rmd_core_pool_spec rig_spec(const char *name, uint32_t max_workers);
/* Submits the next number; the code. */
int rig_submit(struct rig *rig, struct rmd_core_client *client,
	       struct rmd_core_pool *pool);
/* … with these options; number, pool and function are filled in where they are 0. */
int rig_submit_with(struct rig *rig, struct rmd_core_client *client,
		    struct rmd_core_pool *pool, struct rmd_core_submit submit);
void rig_submit_many(struct rig *rig, struct rmd_core_client *client,
		     struct rmd_core_pool *pool, unsigned count);

/* An agent with the runtime "native" and so many cpus. */
struct rmd_core_agent *rig_agent(struct rig *rig, const char *name, uint32_t cpus);
/* The agent has the workers that it was told to have, all ready, and so many slots. */
void rig_ready(struct rig *rig, struct rmd_core_agent *agent, struct rmd_core_pool *pool,
	       uint32_t slots);
/* The agent says so many slots, workers (all ready). The code. */
int rig_report(struct rig *rig, struct rmd_core_agent *agent, struct rmd_core_pool *pool,
	       uint32_t slots, uint32_t workers);
/* The agent could not start a worker. */
int rig_start_failed(struct rig *rig, struct rmd_core_agent *agent,
		     struct rmd_core_pool *pool, const char *why);
/* The agent says that the pool is broken. */
int rig_broken(struct rig *rig, struct rmd_core_agent *agent, struct rmd_core_pool *pool,
	       const char *why);
/* What the agent was told to have of the pool, and what it holds. */
uint32_t rig_wanted(const struct rmd_core_agent *agent, const struct rmd_core_pool *pool);
uint32_t rig_held(const struct rmd_core_agent *agent, const struct rmd_core_pool *pool);
/* The i-th grant ends with a value; the code. */
int rig_value(struct rig *rig, size_t i);
int rig_error(struct rig *rig, size_t i, bool began);
int rig_returned(struct rig *rig, size_t i);
int rig_began(struct rig *rig, size_t i);
/* The task of the i-th grant (which has begun) submits child `number` to `pool` (NULL:
 * its own); it waits, or goes on. The codes. */
int rig_nested(struct rig *rig, size_t i, uint64_t number, struct rmd_core_pool *pool);
int rig_waits(struct rig *rig, size_t i, bool waiting);
struct rmd_core_counters rig_counters(const struct rig *rig);
