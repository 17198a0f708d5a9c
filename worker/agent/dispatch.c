#include "worker/agent/state.h"

#include "proto/base/check.h"
#include "proto/base/errcode.h"

#define AGAIN_MS 1	    /* until there may be room again where none was */
#define PENDING_AGAIN_MS 10 /* until the link may have sent something */

/* How many tasks the worker may have in its hands now. */
static uint32_t room_of(const struct rmd_aworker *worker)
{
	const struct rmd_apool *pool = worker->pool;
	uint64_t limit = 1 + (uint64_t)rmd_apool_depth(pool);
	uint32_t worn = pool->spec->max_tasks_per_worker;
	if (worker->leaked)
		return 0;
	if (worn != 0 && worker->tasks_done + limit > worn)
		limit = worker->tasks_done < worn ? worn - worker->tasks_done : 0;
	return limit < RMD_WP_TASKS_MAX ? (uint32_t)limit : RMD_WP_TASKS_MAX;
}

/* The ready worker with the least in its hands, or NULL. */
static struct rmd_aworker *least_loaded(struct rmd_apool *pool)
{
	for (; pool->load_min <= RMD_WP_TASKS_MAX; pool->load_min++) {
		struct rmd_aworker *worker = TAILQ_FIRST(&pool->by_load[pool->load_min]);
		if (worker != NULL)
			return worker;
	}
	return NULL;
}

/* Gives the lease, which is in no queue and no hands. False: there was no room after all,
 * and it is queued again. */
static bool give(struct rmd_aworker *worker, struct rmd_alease *lease)
{
	struct rmd_wp_task task = {
		.lease = lease->number,
		.function = lease->function,
		.arguments = lease->arguments,
		.attempt = lease->attempt,
		.deadline_mono_ns = lease->deadline_mono_ns,
		.depth = lease->depth,
	};
	struct rmd_agent *agent = worker->agent;
	int rc = rmd_wp_give(worker->wp, &task);
	if (rc == 0) {
		rmd_aworker_hold(worker, lease);
		if (!worker->unflushed) {
			worker->unflushed = true;
			SLIST_INSERT_HEAD(&agent->unflushed, worker, unflushed_link);
		}
		rmd_agent_arm_check(agent);
		return true;
	}
	if (rc == RMD_EAGAIN || rc == RMD_ECLOSED) {
		rmd_apool_enqueue(lease->pool, lease, RMD_APOOL_FIRST);
		/* No room: nothing more for this one until something has ended there. */
		rmd_aworker_place(worker, worker->state, RMD_AWORKER_STUCK,
				  worker->in_hands);
		if (worker->in_hands == 0)
			rmd_atimer_start(&agent->timers, &worker->pool->again,
					 agent->now_ms + AGAIN_MS);
		return false;
	}
	struct remuda_error *err =
		rc == RMD_ETOOBIG
			? remuda_error_create(
				  "PayloadTooLarge",
				  "the arguments of %.*s are %zu bytes, more than a "
				  "worker can be given",
				  (int)lease->function.len,
				  (const char *)lease->function.data,
				  lease->arguments.bytes.len)
			: remuda_error_create("AgentError",
					      "%.*s could not be given to a worker: %s",
					      (int)lease->function.len,
					      (const char *)lease->function.data,
					      rmd_errcode_text(rc));
	rmd_error_set_origin(err, REMUDA_ORIGIN_AGENT);
	rmd_error_set_place(err, agent->name, 0, lease->attempt);
	rmd_alease_fail(lease, err, false, 0, RMD_FAILURE_UNSPECIFIED);
	return true;
}

void rmd_apool_dispatch(struct rmd_apool *pool)
{
	struct rmd_agent *agent = pool->agent;
	if (pool->queued == 0 || agent->link_lost || !TAILQ_EMPTY(&pool->line))
		return;
	if (rmd_link_pending_bytes(agent->link) > RMD_AGENT_PENDING_MAX) {
		rmd_atimer_start(&agent->timers, &pool->again,
				 agent->now_ms + PENDING_AGAIN_MS);
		return;
	}
	struct rmd_alease *lease;
	while ((lease = TAILQ_FIRST(&pool->queue)) != NULL) {
		struct rmd_aworker *worker = least_loaded(pool);
		if (worker == NULL || (worker->in_hands == 0 &&
				       rmd_apool_active(pool) >= rmd_apool_places(pool)))
			return;
		uint32_t room = room_of(worker);
		if (worker->in_hands >= room) {
			/* Worn out ones wait aside for their end; else all others have no
			 * less. */
			if (room > rmd_apool_depth(pool))
				return;
			rmd_aworker_place(worker, worker->state, RMD_AWORKER_STUCK,
					  worker->in_hands);
			continue;
		}
		rmd_apool_dequeue(pool, lease);
		(void)give(worker, lease);
	}
}

uint32_t rmd_apool_take_back(struct rmd_aworker *worker, uint32_t count)
{
	struct rmd_alease *lease, *previous;
	uint32_t taken = 0;
	for (lease = TAILQ_LAST(&worker->hands, rmd_aleases);
	     lease != NULL && taken < count; lease = previous) {
		previous = TAILQ_PREV(lease, rmd_aleases, link);
		if (!rmd_wp_take_back(worker->wp, lease->number))
			continue;
		rmd_aworker_let_go(worker, lease);
		rmd_apool_enqueue(worker->pool, lease, RMD_APOOL_FIRST);
		taken++;
	}
	return taken;
}

void rmd_apool_steal(struct rmd_apool *pool)
{
	if (pool->queued > 0 || pool->idle == 0 || pool->stealable == 0)
		return;
	for (uint32_t load = RMD_WP_TASKS_MAX; load >= 2; load--) {
		struct rmd_aworker *worker = TAILQ_FIRST(&pool->by_load[load]);
		if (worker == NULL)
			continue;
		if (rmd_apool_take_back(worker, load / 2) > 0)
			rmd_apool_dispatch(pool);
		return;
	}
}
