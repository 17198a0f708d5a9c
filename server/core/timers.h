/* server/core/timers.h: what happens at a time, without a clock: tick brings the time.
 *
 * A timer is embedded in what it is about; its kind says in what. Room for it is promised
 * when it is made, so setting it never fails. O(log n). Core thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/heap.h"

struct rmd_core;

enum rmd_core_timer_kind {
	RMD_CORE_TIMER_DEADLINE, /* of a task */
	RMD_CORE_TIMER_TERMS,	 /* of a task's terms */
	RMD_CORE_TIMER_IDLE,	 /* of a pool: workers without work for too long */
	RMD_CORE_TIMER_LINGER,	 /* of a client that left */
	RMD_CORE_TIMER_TURN,	 /* of the core: pools without room take their turn */
	RMD_CORE_TIMER_OFFER,	 /* of the core: workers became idle, who lacks room? */
	RMD_CORE_TIMER_REST,	 /* of the core: ledgers that rest, and lack of memory */
	RMD_CORE_TIMER_RETAIN,	 /* of the core: outcomes of detached tasks */
	RMD_CORE_TIMER_HOME,	 /* of the core: pools that no agent suits */
};

struct rmd_core_timer {
	struct rmd_core_heap_node node;
	enum rmd_core_timer_kind kind;
};

/* Makes `timer`, not set. RMD_ENOMEM. */
int rmd_core_timer_init(struct rmd_core *core, struct rmd_core_timer *timer,
			enum rmd_core_timer_kind kind);
/* Unmakes it; never fires again. */
void rmd_core_timer_fini(struct rmd_core *core, struct rmd_core_timer *timer);
/* Sets it, or moves it, to `due_ms`. */
void rmd_core_timer_set(struct rmd_core *core, struct rmd_core_timer *timer,
			uint64_t due_ms);
void rmd_core_timer_stop(struct rmd_core *core, struct rmd_core_timer *timer);
bool rmd_core_timer_pending(const struct rmd_core_timer *timer);
/* Fires all that are due at core->now_ms. */
void rmd_core_timers_fire(struct rmd_core *core);
/* tick.c: pools that no agent has suited for long fail their queued tasks. */
void rmd_core_homeless_fail(struct rmd_core *core);
/* When the next is due; 0: none is set. */
uint64_t rmd_core_timers_next(const struct rmd_core *core);
