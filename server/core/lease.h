/* server/core/lease.h: the grant of a task to an agent, from its number to its end. A
 * lease is embedded in its task. Core thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rmd_core;
struct rmd_core_agent;
struct rmd_core_ledger;
struct rmd_core_task;

/* Leases a queued task to the agent of `ledger`, which has credit, and tells the agent.
 * RMD_ENOMEM: nothing changed. */
int rmd_core_lease_grant(struct rmd_core_ledger *ledger, struct rmd_core_task *task);
/* Ends the lease of a task that is LEASED and RUNNING no more; nothing happens without
 * one. */
void rmd_core_lease_close(struct rmd_core_task *task);
/* Finds the task of a lease that `agent` speaks of. RMD_ENOTFOUND: the lease is over;
 * RMD_EPROTO: it never was, or is another agent's. */
int rmd_core_lease_find(struct rmd_core *core, const struct rmd_core_agent *agent,
			uint64_t lease, struct rmd_core_task **ret_task);
/* Takes every lease of `ledger` back: the agent is gone. `lost`: all may have begun. */
void rmd_core_lease_take_back(struct rmd_core_ledger *ledger, bool lost);
