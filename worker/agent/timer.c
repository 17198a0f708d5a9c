#include "worker/agent/timer.h"

#include <limits.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"

int rmd_atimers_reserve(struct rmd_atimers *timers)
{
	if (timers->reserved + 2 > timers->capacity) {
		size_t capacity = timers->capacity == 0 ? 16 : timers->capacity * 2;
		void *heap =
			rmd_realloc(timers->heap, capacity * sizeof(struct rmd_atimer *));
		if (heap == NULL)
			return RMD_ENOMEM;
		timers->heap = heap;
		timers->capacity = capacity;
	}
	timers->reserved++;
	return 0;
}

void rmd_atimers_release(struct rmd_atimers *timers)
{
	RMD_CHECK(timers->reserved > timers->count);
	timers->reserved--;
}

void rmd_atimers_fini(struct rmd_atimers *timers)
{
	rmd_free(timers->heap);
	*timers = (struct rmd_atimers){0};
}

static void put(struct rmd_atimers *timers, size_t place, struct rmd_atimer *timer)
{
	timers->heap[place] = timer;
	timer->place = place;
}

/* Brings heap[place] to where it belongs. */
static void settle(struct rmd_atimers *timers, size_t place)
{
	struct rmd_atimer *timer = timers->heap[place];
	while (place > 1 && timers->heap[place / 2]->at_ms > timer->at_ms) {
		put(timers, place, timers->heap[place / 2]);
		place /= 2;
	}
	for (;;) {
		size_t child = place * 2;
		if (child > timers->count)
			break;
		if (child < timers->count &&
		    timers->heap[child + 1]->at_ms < timers->heap[child]->at_ms)
			child++;
		if (timers->heap[child]->at_ms >= timer->at_ms)
			break;
		put(timers, place, timers->heap[child]);
		place = child;
	}
	put(timers, place, timer);
}

void rmd_atimer_start(struct rmd_atimers *timers, struct rmd_atimer *timer,
		      uint64_t at_ms)
{
	timer->at_ms = at_ms;
	if (timer->place == 0) {
		RMD_CHECK(timers->count < timers->reserved);
		put(timers, ++timers->count, timer);
	}
	settle(timers, timer->place);
}

void rmd_atimer_stop(struct rmd_atimers *timers, struct rmd_atimer *timer)
{
	size_t place = timer->place;
	if (place == 0)
		return;
	RMD_CHECK(timers->heap[place] == timer);
	timer->place = 0;
	struct rmd_atimer *last = timers->heap[timers->count--];
	if (last == timer)
		return;
	put(timers, place, last);
	settle(timers, place);
}

void rmd_atimers_run(struct rmd_atimers *timers, uint64_t now_ms)
{
	while (timers->count > 0 && timers->heap[1]->at_ms <= now_ms) {
		struct rmd_atimer *timer = timers->heap[1];
		rmd_atimer_stop(timers, timer);
		timer->fire(timer);
	}
}

int rmd_atimers_wait_ms(const struct rmd_atimers *timers, uint64_t now_ms)
{
	if (timers->count == 0)
		return -1;
	if (timers->heap[1]->at_ms <= now_ms)
		return 0;
	uint64_t wait = timers->heap[1]->at_ms - now_ms;
	return wait < INT_MAX ? (int)wait : INT_MAX;
}
