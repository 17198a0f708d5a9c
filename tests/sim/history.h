/* tests/sim/history.h: what happened to each task, as everybody saw it: its client, the
 * core (by its port and by what it was told), and the workers that ran it.
 *
 * A task that the core has not accepted is one too: it may be sent again. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_world;

struct sim_history {
	/* What it is. */
	uint32_t client,
		life; /* who submitted it; SIM_NONE: the coordinator's own calls */
	bool child;   /* a task did: `parent`, in the lease `parent_lease` */
	uint32_t parent, sibling, children; /* histories; SIM_NONE: none */
	uint64_t parent_lease;
	uint32_t depth;
	uint64_t number;
	uint32_t local_pool; /* the client's number for its pool */
	uint32_t payload_bytes, deadline_ms;
	int16_t priority;
	uint8_t max_attempts;
	bool detached;
	uint32_t queue_ms, run_ms, retry_on, backoff_ms, backoff_max_ms; /* 0: none */

	/* As the core was told, and said. */
	uint8_t accepted;  /* times: at most once */
	uint8_t ended;	   /* times: at most once */
	uint8_t gone;	   /* times that it was freed */
	uint8_t counted;   /* attempts that the core must count as begun */
	uint8_t end;	   /* enum rmd_core_end */
	uint8_t agent_end; /* what the agent said last */
	bool leased, running;
	bool cancel_told; /* its agent was asked to end this lease */
	bool cancel_asked, stop_asked, closed_under;
	bool left; /* its client has left its pool, and wants it to end */
	bool orphan; /* its parent's lease is over: nobody hears of it */
	bool was_leased;
	uint8_t outcome_attempt; /* whose outcome is held */
	uint32_t pool;		 /* the core's number */
	uint32_t hub;		 /* that holds the lease */
	uint64_t lease;		 /* the last one */
	uint64_t due_ms;	 /* when its deadline comes; 0: none */
	uint64_t accepted_at;	 /* counts acceptances */
	uint64_t accepted_ms, run_began_ms, failed_ms; /* by the core's clock */
	uint8_t last_cause; /* enum rmd_core_cause of the last attempt that failed */
	uint8_t lost;	    /* workers that it ended, as the core was told */

	/* As workers did. */
	uint8_t begun;	  /* times that user code began, anywhere */
	uint8_t attempts; /* bit i: attempt i + 1 began */

	/* As the client saw. */
	bool refused, delivered, given_up;
	uint8_t delivered_end;
};

struct sim_histories {
	struct sim_history *items;
	uint32_t count, capacity;
};

/* Gives the number of a new history, all zero. */
uint32_t sim_history_create(struct sim_world *world);
/* The lease of `history` is over: its children are nobody's. */
void sim_history_orphan(struct sim_world *world, struct sim_history *history);
/* A worker begins user code for an attempt. Checks that it may. */
void sim_history_begin(struct sim_world *world, uint32_t history, uint64_t lease,
		       uint32_t attempt);
/* The client hears how its task ended. */
void sim_history_deliver(struct sim_world *world, uint32_t history, uint32_t attempt,
			 uint8_t end);
/* At the end of a run: each task has one truthful history. */
void sim_histories_check(struct sim_world *world);
