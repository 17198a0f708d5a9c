/* server/core/place.h: how many workers each agent should have for each pool.
 *
 * A pool gets as many as it has tasks, at most max_workers, spread over the agents that
 * suit and have room. Where there is none: idle workers of other pools are stopped; else
 * it waits, and with each turn a pool that has more gives one up to a pool that has fewer
 * (or none). The room that comes of it is kept for that pool: what needs more at a time
 * would never find it whole. Core thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rmd_core;
struct rmd_core_agent;
struct rmd_core_ledger;
struct rmd_core_pool;

/* Why an agent cannot have a worker of a pool: the first of these that holds. */
enum rmd_core_unfit {
	RMD_CORE_UNFIT_RUNTIME,
	RMD_CORE_UNFIT_LABELS,
	RMD_CORE_UNFIT_SIZE, /* not even if nothing else ran there */
	RMD_CORE_UNFIT_DRAINING,
	RMD_CORE_FIT,
};
enum rmd_core_unfit rmd_core_place_suits(const struct rmd_core_agent *agent,
					 const struct rmd_core_pool *pool);

/* Brings the wanted workers of `pool` in line with its tasks. */
void rmd_core_place_pool(struct rmd_core_pool *pool);
/* A task at `ledger` that waited for its children goes on: it has its place there again.
 */
void rmd_core_place_resumed(struct rmd_core_ledger *ledger);
/* Lowers the wanted workers of `pool` to `workers`, idle ones first. */
void rmd_core_place_lower(struct rmd_core_pool *pool, uint32_t workers);
/* Room has come: tries the pools that wait for it. */
void rmd_core_place_waiting(struct rmd_core *core);
/* No room is kept for the pool any more. */
void rmd_core_place_forgo(struct rmd_core_pool *pool);
/* A turn is over: pools that wait take workers from pools that have more. */
void rmd_core_place_turn(struct rmd_core *core);
