#include "tests/sim/rules.h"

#include <inttypes.h>

#include "tests/sim/world.h"

void sim_rules_draw(struct sim_world *world, struct sim_history *h)
{
	struct sim_random *draw = &world->clientele;
	h->detached = sim_has(world, SIM_DETACHED) && sim_chance(draw, 100);
	if (!sim_has(world, SIM_RULES))
		return;
	if (sim_chance(draw, 150))
		h->queue_ms = sim_skewed(draw, 300);
	if (sim_chance(draw, 150))
		h->run_ms = sim_skewed(draw, 100);
	if (sim_chance(draw, 300))
		h->retry_on = sim_draw(draw, RMD_CORE_RETRY_ALL / 2 + 1) * 2;
	if (sim_chance(draw, 300))
		h->backoff_ms = sim_skewed(draw, 100);
	if (h->backoff_ms != 0 && sim_chance(draw, 500))
		h->backoff_max_ms = sim_between(draw, 1, 400);
	if (sim_chance(draw, 100))
		h->max_attempts = (uint8_t)sim_between(draw, 2, 12);
}

const struct rmd_core_rules *sim_rules_of(const struct sim_history *h,
					  struct rmd_core_rules *ret_rules)
{
	*ret_rules = (struct rmd_core_rules){
		.queue_deadline_ms = h->queue_ms,
		.run_deadline_ms = h->run_ms,
		.retry_on = h->retry_on,
		.backoff_ms = h->backoff_ms,
		.backoff_max_ms = h->backoff_max_ms,
		.detached = h->detached,
	};
	bool none = h->queue_ms == 0 && h->run_ms == 0 && h->retry_on == 0 &&
		    h->backoff_ms == 0 && !h->detached;
	return none ? NULL : ret_rules;
}

void sim_rules_failed(struct sim_world *world, struct sim_history *h,
		      enum rmd_core_cause cause)
{
	h->last_cause = (uint8_t)cause;
	h->failed_ms = world->service.core_ms;
	if (cause == RMD_CORE_CAUSE_WORKER_LOST || cause == RMD_CORE_CAUSE_OUT_OF_MEMORY)
		h->lost++;
}

bool sim_rules_allow(const struct sim_history *h)
{
	uint32_t retry_on = h->retry_on != 0 ? h->retry_on : RMD_CORE_RETRY_DEFAULT;
	return h->counted < h->max_attempts &&
	       (retry_on & RMD_CORE_CAUSE_BIT(h->last_cause)) != 0;
}

bool sim_rules_poisoned(const struct sim_world *world, const struct sim_history *h)
{
	bool by_worker = h->last_cause == RMD_CORE_CAUSE_WORKER_LOST ||
			 h->last_cause == RMD_CORE_CAUSE_OUT_OF_MEMORY;
	return h->lost > world->service.config.poison_max ||
	       (by_worker && h->lost == world->service.config.poison_max);
}

void sim_rules_check_again(struct sim_world *world, const struct sim_history *h)
{
	long number = (long)(h - world->histories.items);
	if (h->counted == 0)
		return;
	/* A run deadline can have come just when the agent told of another end. */
	bool unsure = h->run_ms != 0;
	SIM_MUST(world, unsure || sim_rules_allow(h),
		 "task %ld is granted again, after %s", number,
		 rmd_core_cause_text((enum rmd_core_cause)h->last_cause));
	SIM_MUST(world, h->lost < world->service.config.poison_max,
		 "task %ld is granted again, and has ended %d workers", number, h->lost);
	uint64_t wait_ms = h->backoff_ms;
	for (unsigned i = 1; i < h->counted; i++)
		wait_ms *= 2;
	if (h->backoff_max_ms != 0 && wait_ms > h->backoff_max_ms)
		wait_ms = h->backoff_max_ms;
	if (wait_ms > RMD_CORE_BACKOFF_DEFAULT_MAX_MS)
		wait_ms = RMD_CORE_BACKOFF_DEFAULT_MAX_MS;
	SIM_MUST(world, world->service.core_ms >= h->failed_ms + wait_ms / 2,
		 "task %ld is granted again after %" PRIu64 " ms of %" PRIu64, number,
		 world->service.core_ms - h->failed_ms, wait_ms);
}

bool sim_rules_end_fits(const struct sim_world *world,
			const struct rmd_core_ending *ending, const struct sim_history *h)
{
	uint64_t now_ms = world->service.core_ms;
	switch (ending->end) {
	case RMD_CORE_END_QUEUE_DEADLINE:
		return h->queue_ms != 0 && h->counted <= 1 &&
		       h->accepted_ms + h->queue_ms <= now_ms;
	case RMD_CORE_END_RUN_DEADLINE:
		return h->run_ms != 0 && h->counted > 0 &&
		       h->run_began_ms + h->run_ms <= now_ms;
	case RMD_CORE_END_POISONED:
		return sim_rules_poisoned(world, h) && sim_rules_allow(h);
	case RMD_CORE_END_CANNOT_RUN:
		return !ending->began && ending->waits != NULL &&
		       ending->waits[0] != '\0' &&
		       world->service.config.cannot_run_ms != UINT64_MAX;
	default:
		return false;
	}
}

bool sim_rules_forsaken(struct sim_world *world, const struct rmd_core_task *task)
{
	struct rmd_core_client *client = rmd_core_task_client(task);
	const struct sim_history *h = sim_history_of(world, task);
	while (h->child)
		h = &world->histories.items[h->parent];
	return client == NULL || (rmd_core_client_abandoned(client) && !h->detached);
}
