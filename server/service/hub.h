/* server/service/hub.h: the coordinator's side of one agent.
 *
 * Reads AttachRequest into core events, writes the core's actions as AttachResponse.
 * Nonsense from the agent cuts off that agent alone. Loop's thread. */
#pragma once

#include "server/service/coordinator.h"

struct rmd_hub;

/* Takes `link`. RMD_ENOMEM: the link has been destroyed. */
int rmd_hub_create(struct rmd_coordinator *coordinator, struct rmd_link *link, bool own);
/* Cuts the agent off, telling the core; `why` goes to the log. */
void rmd_hub_cut(struct rmd_hub *hub, const char *why);
/* Frees it without a word (the coordinator is being destroyed). */
void rmd_hub_destroy(struct rmd_hub *hub);
struct rmd_hub *rmd_hub_next(struct rmd_coordinator *coordinator, struct rmd_hub *hub);

/* The core's actions. */
void rmd_hub_grant(struct rmd_hub *hub, struct rmd_core_task *task);
void rmd_hub_cancel(struct rmd_hub *hub, uint64_t lease);
void rmd_hub_recall(struct rmd_hub *hub, struct rmd_core_pool *pool, uint32_t leases);
void rmd_hub_order(struct rmd_hub *hub, struct rmd_core_pool *pool,
		   const struct rmd_core_order *order);
/* `child`, which the task of that lease submitted, has ended. In the port. */
void rmd_hub_child_ended(struct rmd_hub *hub, uint64_t lease, struct rmd_core_task *child,
			 const struct rmd_core_ending *ending);

/* For Admin. The agent; its raw AgentHello; its last raw AgentPool of a pool, empty if
 * none. */
struct rmd_core_agent *rmd_hub_agent(const struct rmd_hub *hub);
struct rmd_slice rmd_hub_hello(const struct rmd_hub *hub);
struct rmd_slice rmd_hub_pool_state(const struct rmd_hub *hub, uint64_t pool);
/* How far the task of a lease said it is; false: it has not said. */
bool rmd_hub_progress(const struct rmd_hub *hub, uint64_t lease, uint64_t *ret_done,
		      uint64_t *ret_total);
