#include "server/core/timers.h"

#include <stddef.h>

#include "server/core/client.h"
#include "server/core/place.h"
#include "server/core/state.h"
#include "server/core/task.h"
#include "server/core/terms.h"

#define HOLDER(timer, type, field) \
	((type *)(void *)((char *)(timer)-offsetof(type, field)))

int rmd_core_timer_init(struct rmd_core *core, struct rmd_core_timer *timer,
			enum rmd_core_timer_kind kind)
{
	*timer = (struct rmd_core_timer){.kind = kind};
	return rmd_core_heap_promise(&core->timers);
}

void rmd_core_timer_fini(struct rmd_core *core, struct rmd_core_timer *timer)
{
	rmd_core_heap_take(&core->timers, &timer->node);
	rmd_core_heap_release(&core->timers);
}

void rmd_core_timer_set(struct rmd_core *core, struct rmd_core_timer *timer,
			uint64_t due_ms)
{
	rmd_core_heap_put(&core->timers, &timer->node, due_ms, 0);
}

void rmd_core_timer_stop(struct rmd_core *core, struct rmd_core_timer *timer)
{
	rmd_core_heap_take(&core->timers, &timer->node);
}

bool rmd_core_timer_pending(const struct rmd_core_timer *timer)
{
	return timer->node.place != 0;
}

/* The timer is not pending any more, and may be gone when this returns. */
static void fire(struct rmd_core *core, struct rmd_core_timer *timer)
{
	switch (timer->kind) {
	case RMD_CORE_TIMER_DEADLINE:
		rmd_core_task_expired(HOLDER(timer, struct rmd_core_task, deadline));
		return;
	case RMD_CORE_TIMER_TERMS:
		rmd_core_terms_fired(HOLDER(timer, struct rmd_core_terms, timer));
		return;
	case RMD_CORE_TIMER_IDLE:
		rmd_core_pool_idled(HOLDER(timer, struct rmd_core_pool, idle_timer));
		return;
	case RMD_CORE_TIMER_LINGER:
		rmd_core_client_lingered(HOLDER(timer, struct rmd_core_client, linger));
		return;
	case RMD_CORE_TIMER_TURN:
		rmd_core_place_turn(core);
		return;
	case RMD_CORE_TIMER_OFFER:
		rmd_core_room(core);
		return;
	case RMD_CORE_TIMER_REST:
		rmd_core_ledgers_rested(core);
		return;
	case RMD_CORE_TIMER_RETAIN:
		rmd_core_retained_expire(core);
		return;
	case RMD_CORE_TIMER_HOME:
		rmd_core_homeless_fail(core);
		return;
	}
	RMD_UNREACHABLE("every kind of timer is handled above");
}

void rmd_core_timers_fire(struct rmd_core *core)
{
	struct rmd_core_heap_node *first;
	while ((first = rmd_core_heap_first(&core->timers)) != NULL &&
	       first->key <= core->now_ms) {
		rmd_core_heap_take(&core->timers, first);
		fire(core, HOLDER(first, struct rmd_core_timer, node));
	}
}

uint64_t rmd_core_timers_next(const struct rmd_core *core)
{
	const struct rmd_core_heap_node *first = rmd_core_heap_first(&core->timers);
	return first == NULL ? 0 : first->key;
}
