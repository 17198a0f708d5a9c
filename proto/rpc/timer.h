/* proto/rpc/timer.h: the timers of one loop: a binary heap, soonest first, in which each
 * timer knows its place. Pure: the clock is an argument. One thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/rpc/rpc.h"

struct rmd_timers {
	struct rmd_timer **heap; /* owned; heap[place - 1] */
	size_t count, capacity;
};

/* Frees the heap; timers in it are forgotten. */
void rmd_timers_fini(struct rmd_timers *timers);
/* Puts or moves `timer`, which is borrowed until it fires or is removed. RMD_ENOMEM. */
int rmd_timers_put(struct rmd_timers *timers, struct rmd_timer *timer, uint64_t at_ms);
/* Takes `timer` out; one that is not in is allowed. */
void rmd_timers_remove(struct rmd_timers *timers, struct rmd_timer *timer);
/* The soonest timer, or NULL. */
struct rmd_timer *rmd_timers_first(const struct rmd_timers *timers);
