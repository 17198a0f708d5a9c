/* What a worker does before its first task: the initializer of its pool, given to it as a
 * task of a lease that no coordinator gives. Until it has ended the worker is STARTING.
 */
#include "worker/agent/image.h"
#include "worker/agent/state.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/errcode.h"
#include "proto/base/log.h"

#define SOURCE "agent"

/* The name without its runtime, which the spec's reader has checked. */
struct rmd_slice rmd_apool_initializer(const struct rmd_apool *pool)
{
	struct rmd_slice name = pool->spec->initializer;
	size_t prefix = pool->spec->runtime.len + 1;
	if (name.len <= prefix)
		return rmd_slice_of(NULL, 0);
	return rmd_slice_of(name.data + prefix, name.len - prefix);
}

/* A pool whose initializer has failed, for `err` (takes). */
static void break_pool(struct rmd_apool *pool, struct remuda_error *err)
{
	struct rmd_slice name = pool->spec->initializer;
	rmd_apool_break(pool, remuda_error_wrap(
				      err, "BrokenPool",
				      "the pool is broken: its initializer %.*s failed; "
				      "open it again to begin anew",
				      (int)name.len, (const char *)name.data));
}

bool rmd_aworker_initialize(struct rmd_aworker *worker)
{
	const struct rmd_apool *pool = worker->pool;
	struct rmd_wp_task task = {
		.lease = RMD_AGENT_INITIALIZER,
		.function = rmd_apool_initializer(pool),
		.arguments = {pool->spec->initializer_arguments, NULL},
		.attempt = 1,
	};
	if (task.function.len == 0)
		return false;
	worker->initializing = true;
	int rc = rmd_wp_give(worker->wp, &task);
	if (rc == 0)
		rc = rmd_wp_flush(worker->wp);
	if (rc < 0 && rc != RMD_ECLOSED) { /* one that has closed is about to end */
		worker->start_error = remuda_error_create(
			"AgentError", "it could not be given its initializer: %s",
			rmd_errcode_text(rc));
		worker->initializing = false;
		rmd_aworker_kill(worker, "it could not be given its initializer");
	}
	return true;
}

void rmd_aworker_initialized(struct rmd_aworker *worker,
			     const struct rmd_wp_outcome *outcome)
{
	struct rmd_apool *pool = worker->pool;
	struct remuda_error *err = NULL;
	const char *field = NULL;
	if (!worker->initializing) {
		worker->broken = true;
		return;
	}
	worker->initializing = false;
	if (outcome->kind == RMD_WP_VALUE) {
		rmd_aworker_begin(worker);
		return;
	}
	if (rmd_error_decode(outcome->payload.bytes, &err, &field) < 0)
		err = remuda_error_create("ProtocolError",
					  "the worker gave an error that cannot be read "
					  "(%s)",
					  field);
	rmd_log(RMD_LOG_WARN, SOURCE,
		"an initializer failed worker=%" PRIu64 " pool=%" PRIu64, worker->number,
		pool->number);
	if (worker->state == RMD_WORKER_STATE_STARTING)
		rmd_aworker_stop(worker);
	break_pool(pool, err);
}

void rmd_aworker_initializer_lost(struct rmd_apool *pool, struct remuda_error *err)
{
	break_pool(pool, err);
}

void rmd_aworker_refuse_children(struct rmd_aworker *worker, uint64_t number)
{
	struct remuda_error *err = remuda_error_create(
		"NotAllowed",
		"an initializer cannot submit tasks: its pool runs none yet");
	rmd_error_set_origin(err, REMUDA_ORIGIN_AGENT);
	struct rmd_buf *chain = rmd_agent_encode_error(err);
	struct rmd_slice bytes = {NULL, 0};
	if (chain != NULL)
		bytes = rmd_buf_slice(chain);
	(void)rmd_wp_answer(worker->wp, RMD_AGENT_INITIALIZER, number,
			    RMD_WP_ANSWER_ERROR, bytes);
	rmd_buf_unref(chain);
}

void rmd_apool_break(struct rmd_apool *part, struct remuda_error *err)
{
	struct rmd_apool *pool = rmd_apart_whole(part);
	if (pool->broken) {
		remuda_error_free(err);
		return;
	}
	rmd_error_set_origin(err, REMUDA_ORIGIN_WORKER);
	rmd_error_set_place(err, pool->agent->name, 0, 0);
	pool->broken = true;
	rmd_buf_unref(pool->start_error);
	pool->start_error = rmd_agent_encode_error(err);
	rmd_log(RMD_LOG_WARN, SOURCE, "a pool is broken pool=%" PRIu64, pool->number);
	for (struct rmd_apool *at = pool; at != NULL; at = rmd_apart_next(at)) {
		struct rmd_aworker *worker;
		TAILQ_FOREACH (worker, &at->workers, all)
			(void)rmd_apool_take_back(worker, UINT32_MAX);
		rmd_apool_unbalance(at);
	}
	rmd_apool_dirty(pool);
}
