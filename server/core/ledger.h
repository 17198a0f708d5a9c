/* server/core/ledger.h: what one agent owes us in one pool.
 *
 * An agent offers slots; each lease takes one (credit = slots - held), until its task
 * waits for children: it gives the slot back then, and its place among the workers. The
 * ledger knows if the agent may take a task now, what it holds, and how many workers it
 * was told to have. Lives as long as its agent and its pool. Core thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "server/core/queue.h"

struct rmd_core_agent;
struct rmd_core_pool;
struct rmd_core_ledger;
struct rmd_core;

/* Who is granted a task next: the pool's lists. */
enum rmd_core_ledger_class {
	RMD_CORE_LEDGER_IDLE,	  /* has credit, and a ready worker without a lease */
	RMD_CORE_LEDGER_PREFETCH, /* has credit; the task will wait there */
	RMD_CORE_LEDGER_FULL,	  /* no credit, or not to be used now */
};
#define RMD_CORE_LEDGER_CLASSES 3u

TAILQ_HEAD(rmd_core_ledger_list, rmd_core_ledger);

struct rmd_core_ledger {
	uint32_t magic;
	enum rmd_core_ledger_class class;
	struct rmd_core_agent *agent;
	struct rmd_core_pool *pool;
	uint32_t slots, workers, starting, idle; /* as the agent said */
	uint32_t held;				 /* leases */
	uint32_t waiting;   /* of them: their task waits for its children */
	uint32_t wanted;    /* workers that the agent should have */
	uint32_t told;	    /* … as it was last told */
	uint32_t occupied;  /* places of workers that it takes on the agent */
	uint32_t recalling; /* leases asked back and not yet seen */
	uint32_t
		idle_places; /* ready workers without a lease, if it may be granted any */
	uint64_t staffed_ms; /* when wanted last rose */
	bool introduced;     /* the agent has the pool's spec */
	bool dismissed;	     /* the agent was told that the pool is closed */
	bool resting;	     /* gave leases back unasked: no grants for a moment */
	bool ordering;	     /* on core->orders */
	bool overloaded;     /* on pool->overloaded: more leases than ready workers */
	struct rmd_core_task_list leased, running;
	TAILQ_ENTRY(rmd_core_ledger) class_link, agent_link, order_link;
	LIST_ENTRY(rmd_core_ledger)
	pool_link, overloaded_link, staffed_link, resting_link;
};

/* Gives the ledger of `agent` for `pool`, made anew if need be. RMD_ENOMEM. */
int rmd_core_ledger_get(struct rmd_core_agent *agent, struct rmd_core_pool *pool,
			struct rmd_core_ledger **ret_ledger);
/* Frees a ledger without leases. */
void rmd_core_ledger_destroy(struct rmd_core_ledger *ledger);
/* Computes class, idle places and load from the numbers: after each change of them. */
void rmd_core_ledger_sort(struct rmd_core_ledger *ledger);
/* Takes over how many workers the agent has. Sort after it. */
void rmd_core_ledger_count(struct rmd_core_ledger *ledger, uint32_t workers,
			   uint32_t starting, uint32_t idle);
/* One more of its tasks waits for its children, or one fewer (`by` 1 or -1). */
void rmd_core_ledger_wait(struct rmd_core_ledger *ledger, int by);
/* Leases that take a place: those whose task waits for its children do not. */
static inline uint32_t rmd_core_ledger_placed(const struct rmd_core_ledger *ledger)
{
	return ledger->held - ledger->waiting;
}
/* Sets how many workers the agent should have; it is told at the end of the tick. */
void rmd_core_ledger_want(struct rmd_core_ledger *ledger, uint32_t workers);
/* Asks back leases that have not begun. */
void rmd_core_ledger_recall(struct rmd_core_ledger *ledger, uint32_t leases);
/* No grants for a moment. */
void rmd_core_ledger_rest(struct rmd_core_ledger *ledger);
/* All rests are over; decisions that lacked memory are made again. */
void rmd_core_ledgers_rested(struct rmd_core *core);
/* Ready workers: started and not stopping. */
static inline uint32_t rmd_core_ledger_ready(const struct rmd_core_ledger *ledger)
{
	return ledger->workers - ledger->starting;
}
