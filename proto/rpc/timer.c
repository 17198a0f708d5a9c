#include "proto/rpc/timer.h"

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"

void rmd_timers_fini(struct rmd_timers *timers)
{
	for (size_t i = 0; i < timers->count; i++)
		timers->heap[i]->place = 0;
	rmd_free(timers->heap);
	*timers = (struct rmd_timers){0};
}

static void put_at(struct rmd_timers *timers, size_t place, struct rmd_timer *timer)
{
	timers->heap[place - 1] = timer;
	timer->place = place;
}

/* Moves the timer at `place` towards the root, or from it, until the heap is in order. */
static void settle(struct rmd_timers *timers, size_t place)
{
	struct rmd_timer **heap = timers->heap;
	struct rmd_timer *timer = heap[place - 1];
	while (place > 1 && timer->at_ms < heap[place / 2 - 1]->at_ms) {
		put_at(timers, place, heap[place / 2 - 1]);
		place /= 2;
	}
	for (;;) {
		size_t child = place * 2;
		if (child > timers->count)
			break;
		if (child < timers->count && heap[child]->at_ms < heap[child - 1]->at_ms)
			child++;
		if (heap[child - 1]->at_ms >= timer->at_ms)
			break;
		put_at(timers, place, heap[child - 1]);
		place = child;
	}
	put_at(timers, place, timer);
}

int rmd_timers_put(struct rmd_timers *timers, struct rmd_timer *timer, uint64_t at_ms)
{
	if (timer->place == 0) {
		if (timers->count == timers->capacity) {
			size_t capacity = timers->capacity == 0 ? 16
								: timers->capacity * 2;
			struct rmd_timer **heap =
				rmd_realloc(timers->heap, capacity * sizeof *heap);
			if (heap == NULL)
				return RMD_ENOMEM;
			timers->heap = heap;
			timers->capacity = capacity;
		}
		put_at(timers, ++timers->count, timer);
	}
	RMD_CHECK(timers->heap[timer->place - 1] == timer);
	timer->at_ms = at_ms;
	settle(timers, timer->place);
	return 0;
}

void rmd_timers_remove(struct rmd_timers *timers, struct rmd_timer *timer)
{
	size_t place = timer->place;
	if (place == 0)
		return;
	RMD_CHECK(place <= timers->count && timers->heap[place - 1] == timer);
	timer->place = 0;
	struct rmd_timer *last = timers->heap[--timers->count];
	if (last == timer)
		return;
	put_at(timers, place, last);
	settle(timers, place);
}

struct rmd_timer *rmd_timers_first(const struct rmd_timers *timers)
{
	return timers->count == 0 ? NULL : timers->heap[0];
}
