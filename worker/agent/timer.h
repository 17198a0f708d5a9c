/* worker/agent/timer.h: a small heap of timers for the agent's thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Embedded by its owner; zeroed, with `fire` set, before the first start. */
struct rmd_atimer {
	void (*fire)(struct rmd_atimer *timer);
	uint64_t at_ms;
	size_t place; /* in the heap, from 1; 0: not started */
};

/* Starts zeroed. */
struct rmd_atimers {
	struct rmd_atimer **heap; /* owned; heap[1] is the earliest */
	size_t count, capacity, reserved;
};

/* Makes room for one more timer, so that starting it cannot fail. RMD_ENOMEM. */
int rmd_atimers_reserve(struct rmd_atimers *timers);
/* Gives that room back; the timer must be stopped. */
void rmd_atimers_release(struct rmd_atimers *timers);
void rmd_atimers_fini(struct rmd_atimers *timers);
/* Fires once at `at_ms` or soon after; starting again moves it. Its room was reserved. */
void rmd_atimer_start(struct rmd_atimers *timers, struct rmd_atimer *timer,
		      uint64_t at_ms);
/* Stops it; one that is not started is allowed. */
void rmd_atimer_stop(struct rmd_atimers *timers, struct rmd_atimer *timer);
/* Fires what is due at `now_ms`. */
void rmd_atimers_run(struct rmd_atimers *timers, uint64_t now_ms);
/* Milliseconds from `now_ms` to the first timer, for epoll_wait; -1: none. */
int rmd_atimers_wait_ms(const struct rmd_atimers *timers, uint64_t now_ms);
