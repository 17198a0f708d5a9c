/* What is looked at now and then in all workers of a pool: tasks that run long, memory
 * that idle ones can give back. */
#include "worker/agent/state.h"

bool rmd_aworker_check_all(struct rmd_apool *pool)
{
	struct rmd_aworker *worker;
	bool again = false;
	TAILQ_FOREACH (worker, &pool->workers, all) {
		if (worker->state != RMD_WORKER_STATE_BUSY || worker->long_running)
			continue;
		uint64_t running = rmd_wp_running(worker->wp);
		struct rmd_alease *lease =
			running != 0 ? rmd_alease_find(pool->agent, running) : NULL;
		if (lease == NULL || lease->worker != worker ||
		    running != worker->seen_running) {
			worker->seen_running = running;
			again = true;
			continue;
		}
		worker->long_running = true;
		rmd_agent_arm_progress(pool->agent);
		if (!lease->began_told) {
			lease->began_told = true;
			rmd_agent_gather(pool->agent, &pool->agent->began, lease->number);
		}
		if (worker->in_hands > 1 && rmd_apool_take_back(worker, UINT32_MAX) > 0)
			rmd_apool_unbalance(pool);
		rmd_aworker_place(worker, worker->state, RMD_AWORKER_STUCK,
				  worker->in_hands);
	}
	return again;
}

bool rmd_aworker_trim_all(struct rmd_apool *pool)
{
	struct rmd_aworker *worker;
	bool again = rmd_apool_forget_nesting(pool);
	TAILQ_FOREACH (worker, &pool->workers, all) {
		if (worker->state == RMD_WORKER_STATE_IDLE && worker->idle_seen)
			rmd_wp_trim(worker->wp);
		else if (worker->state == RMD_WORKER_STATE_IDLE ||
			 worker->state == RMD_WORKER_STATE_BUSY)
			again = true;
		worker->idle_seen = worker->state == RMD_WORKER_STATE_IDLE;
	}
	return again;
}
