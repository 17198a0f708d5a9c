/* server/core/state.h: the core itself, from the inside: all it holds, and how it speaks
 * to its port. Core thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proto/base/check.h"
#include "proto/base/map.h"
#include "server/core/core.h"
#include "server/core/ledger.h"
#include "server/core/pool.h"
#include "server/core/queue.h"
#include "server/core/timers.h"

#define RMD_CORE_MAGIC 0xc04e0001u
#define RMD_CORE_CLIENT_MAGIC 0xc11e0001u
#define RMD_CORE_SHARE_MAGIC 0x54a4e001u
#define RMD_CORE_POOL_MAGIC 0x90010001u
#define RMD_CORE_LEDGER_MAGIC 0x1ed9e401u
#define RMD_CORE_AGENT_MAGIC 0xa9e47001u

#define RMD_CORE_REST_MS \
	50u /* how long a ledger rests, and a decision waits for memory */
#define RMD_CORE_OFFER_MS \
	20u /* from idle workers to the pools that could use their place */

/* Why no agent suits a pool, as it was last said. */
struct rmd_core_unfit_text {
	uint64_t pool, now_ms, room_epoch; /* of which pool, and when */
	char text[RMD_CORE_EXPLAIN_BYTES];
};

struct rmd_core {
	uint32_t magic;
	struct rmd_core_config config;
	struct rmd_core_port port;
	void *port_ctx;
	uint64_t now_ms; /* never goes back */
	bool in_port;	 /* a port function runs: no events */
	bool draining, drained_said;
	bool room_came;	     /* workers could be placed that could not before */
	uint64_t room_epoch; /* rises with it: between, agents only fill */

	TAILQ_HEAD(, rmd_core_client) clients;
	LIST_HEAD(, rmd_core_client)
	paused, ghosts; /* ghosts: closed, leases not ended */
	TAILQ_HEAD(, rmd_core_pool) pools, warm;
	TAILQ_HEAD(rmd_core_pool_list, rmd_core_pool) places[RMD_CORE_PLACES];
	TAILQ_HEAD(rmd_core_dirty_list, rmd_core_pool) dirty;
	TAILQ_HEAD(, rmd_core_agent) agents;
	struct rmd_core_agent *next_to_staff; /* the first of the round, or NULL */
	bool lacks_memory; /* a decision failed for it: again when rested */
	TAILQ_HEAD(, rmd_core_ledger) orders;
	LIST_HEAD(, rmd_core_ledger) resting;
	struct rmd_core_task_list tasks;
	struct rmd_map pools_by_number, pools_by_name, leases; /* lease number -> task */
	struct rmd_core_heap timers;
	struct rmd_core_timer turn_timer, offer_timer, rest_timer, retain_timer, home_timer;
	TAILQ_HEAD(, rmd_core_terms) retained; /* outcomes of detached tasks, oldest first */
	uint64_t retained_bytes, retained_count;
	uint64_t random; /* of back-offs */
	struct rmd_core_unfit_text unfit;

	uint64_t next_pool, next_agent, next_lease;
	uint64_t client_count, pool_count, agent_count;
	uint64_t task_count; /* in all states */
	uint64_t by_state[RMD_CORE_TASK_DONE + 1];
	uint64_t accepted, ended, granted, stale_events;
	uint64_t payload_bytes, outcome_bytes;
	uint64_t workers, wanted;
};

/* Begins each event function: checks that no port function runs; time goes on. */
static inline void rmd_core_enter(struct rmd_core *core, uint64_t now_ms)
{
	RMD_CHECK_OBJ(core, RMD_CORE_MAGIC);
	RMD_CHECK(!core->in_port);
	if (now_ms > core->now_ms)
		core->now_ms = now_ms;
}

/* Workers may fit that did not before: pools that wait are tried in this tick. */
static inline void rmd_core_room(struct rmd_core *core)
{
	core->room_came = true;
	core->room_epoch++;
}

/* Calls a function of the port, during which no event function may be called. */
#define RMD_CORE_SAY(core, function, ...)                             \
	do {                                                          \
		(core)->in_port = true;                               \
		(core)->port.function((core)->port_ctx, __VA_ARGS__); \
		(core)->in_port = false;                              \
	} while (0)
