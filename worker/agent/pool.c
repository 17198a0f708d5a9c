#include "worker/agent/image.h"
#include "worker/agent/state.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"

#define SOURCE "agent"
#define STARTING_MAX 16u /* processes that start at a time, for each pool */
#define BACKOFF_FIRST_MS 50u
#define BACKOFF_MAX_MS 5000u
#define PREFETCH_NS 1000000u   /* as much work as should wait in a worker's hands */
#define LONG_TASK_NS 20000000u /* nothing is prefetched behind such */
#define DEPTH_UNKNOWN 1u       /* before any task of the pool has ended */
#define MODULE_WAIT_MS 5000u
#define REPORT_MS 100u /* between reports of what can wait */

static void on_retry(struct rmd_atimer *timer)
{
	struct rmd_apool *pool =
		(struct rmd_apool *)((char *)timer - offsetof(struct rmd_apool, retry));
	rmd_apool_unbalance(pool);
}

static void on_again(struct rmd_atimer *timer)
{
	struct rmd_apool *pool =
		(struct rmd_apool *)((char *)timer - offsetof(struct rmd_apool, again));
	struct rmd_aworker *worker, *next;
	for (worker = TAILQ_FIRST(&pool->list_stuck); worker != NULL; worker = next) {
		next = TAILQ_NEXT(worker, link);
		if (worker->in_hands == 0 && !worker->deaf)
			rmd_aworker_place(worker, worker->state, RMD_AWORKER_OPEN, 0);
	}
	rmd_apool_unbalance(pool);
}

struct rmd_apool *rmd_apool_find(const struct rmd_agent *agent, uint64_t number)
{
	return rmd_map_get(&agent->pools, number);
}

void rmd_apool_init(struct rmd_apool *pool, struct rmd_agent *agent, uint64_t number)
{
	pool->magic = RMD_APOOL_MAGIC;
	pool->agent = agent;
	pool->number = number;
	pool->depth = DEPTH_UNKNOWN;
	pool->retry.fire = on_retry;
	pool->again.fire = on_again;
	TAILQ_INIT(&pool->workers);
	TAILQ_INIT(&pool->list_starting);
	TAILQ_INIT(&pool->list_stopping);
	TAILQ_INIT(&pool->list_stuck);
	TAILQ_INIT(&pool->queue);
	TAILQ_INIT(&pool->line);
	for (size_t i = 0; i <= RMD_WP_TASKS_MAX; i++)
		TAILQ_INIT(&pool->by_load[i]);
}

static int create(struct rmd_agent *agent, const struct rmd_set_pool *set,
		  struct rmd_apool **ret_pool)
{
	const char *field;
	if (agent->pools.count >= RMD_AGENT_POOLS_MAX)
		return RMD_ELIMIT;
	struct rmd_apool *pool = rmd_calloc(1, sizeof *pool);
	if (pool == NULL)
		return RMD_ENOMEM;
	rmd_apool_init(pool, agent, set->pool);
	int rc = rmd_pool_spec_read(set->raw_spec, &pool->spec, &field);
	size_t reserved = 0;
	while (rc == 0 && reserved < 2 && (rc = rmd_atimers_reserve(&agent->timers)) == 0)
		reserved++;
	if (rc == 0)
		rc = rmd_map_put(&agent->pools, set->pool, pool);
	if (rc == 0) {
		LIST_INSERT_HEAD(&agent->pool_list, pool, link);
		*ret_pool = pool;
		return 0;
	}
	while (reserved-- > 0)
		rmd_atimers_release(&agent->timers);
	rmd_pool_spec_free(pool->spec);
	rmd_free(pool);
	return rc;
}

void rmd_apool_destroy(struct rmd_apool *pool)
{
	struct rmd_agent *agent = pool->agent;
	RMD_CHECK_OBJ(pool, RMD_APOOL_MAGIC);
	RMD_CHECK(TAILQ_EMPTY(&pool->workers) && pool->held == 0);
	if (pool->unbalanced)
		SLIST_REMOVE(&agent->unbalanced, pool, rmd_apool, unbalanced_link);
	LIST_REMOVE(pool, link);
	RMD_CHECK(LIST_EMPTY(&pool->parts));
	if (pool->whole == NULL)
		(void)rmd_map_take(&agent->pools, pool->number);
	rmd_atimer_stop(&agent->timers, &pool->retry);
	rmd_atimer_stop(&agent->timers, &pool->again);
	rmd_atimers_release(&agent->timers);
	rmd_atimers_release(&agent->timers);
	rmd_buf_unref(pool->start_error);
	if (pool->whole == NULL) {
		rmd_pool_spec_free(pool->spec);
	} else {
		LIST_REMOVE(pool, part_link);
		pool->whole->part_count--;
		rmd_aimage_leave(pool->image);
	}
	pool->magic = 0;
	rmd_free(pool);
}

static void return_queued(struct rmd_apool *pool)
{
	struct rmd_alease *lease;
	while ((lease = TAILQ_FIRST(&pool->queue)) != NULL) {
		rmd_apool_dequeue(pool, lease);
		rmd_alease_return(lease);
	}
}

static void kill_workers(struct rmd_apool *pool)
{
	struct rmd_aworker *worker;
	TAILQ_FOREACH (worker, &pool->workers, all) {
		struct rmd_alease *lease;
		worker->expected = true;
		rmd_aworker_kill(worker, "the workers of its pool were to be killed");
		TAILQ_FOREACH (lease, &worker->hands, link)
			lease->cancelled = true;
	}
	return_queued(pool);
}

void rmd_apool_kill_all(struct rmd_agent *agent)
{
	struct rmd_apool *pool;
	LIST_FOREACH (pool, &agent->pool_list, link) {
		kill_workers(pool);
		rmd_apool_unbalance(pool);
	}
}

int rmd_apool_set(struct rmd_agent *agent, const struct rmd_set_pool *set)
{
	struct rmd_apool *pool = rmd_apool_find(agent, set->pool);
	if (pool == NULL) {
		if (!set->has_spec) /* closed twice, or never opened */
			return set->closed ? 0 : RMD_EPROTO;
		int rc = create(agent, set, &pool);
		if (rc < 0)
			return rc;
	}
	pool->asked = set->workers < RMD_AGENT_CHILDREN_MAX ? set->workers
							    : RMD_AGENT_CHILDREN_MAX;
	pool->closed = pool->closed || set->closed;
	for (struct rmd_apool *at = pool; set->kill && at != NULL; at = rmd_apart_next(at))
		kill_workers(at);
	rmd_apart_share(pool);
	rmd_apart_follow(pool);
	rmd_apool_unbalance(pool);
	return 0;
}

/* ---- the queue ---- */

void rmd_apool_enqueue(struct rmd_apool *pool, struct rmd_alease *lease,
		       enum rmd_apool_end where)
{
	RMD_CHECK(lease->worker == NULL);
	if (where == RMD_APOOL_FIRST)
		TAILQ_INSERT_HEAD(&pool->queue, lease, link);
	else
		TAILQ_INSERT_TAIL(&pool->queue, lease, link);
	pool->queued++;
}

void rmd_apool_dequeue(struct rmd_apool *pool, struct rmd_alease *lease)
{
	TAILQ_REMOVE(&pool->queue, lease, link);
	pool->queued--;
}

static uint32_t recall(struct rmd_apool *pool, uint32_t count)
{
	uint32_t recalled = 0;
	for (uint32_t load = RMD_WP_TASKS_MAX; load >= 1 && pool->queued < count;
	     load--) {
		struct rmd_aworker *worker, *next;
		for (worker = TAILQ_FIRST(&pool->by_load[load]);
		     worker != NULL && pool->queued < count; worker = next) {
			next = TAILQ_NEXT(worker, link);
			(void)rmd_apool_take_back(worker, count - pool->queued);
		}
	}
	for (; recalled < count && pool->queued > 0; recalled++) {
		struct rmd_alease *lease = TAILQ_LAST(&pool->queue, rmd_aleases);
		rmd_apool_dequeue(pool, lease);
		rmd_alease_return(lease);
	}
	rmd_apool_unbalance(pool);
	return recalled;
}

void rmd_apool_recall(struct rmd_apool *pool, uint32_t count)
{
	for (struct rmd_apool *at = pool; at != NULL; at = rmd_apart_next(at))
		count -= recall(at, count);
}

/* ---- how much to prefetch ---- */

void rmd_apool_measure(struct rmd_apool *pool, uint64_t run_ns)
{
	if (run_ns == 0)
		run_ns = 1; /* 0 stands for "none has ended" */
	if (pool->run_ns == 0)
		pool->run_ns = run_ns;
	else if (run_ns > pool->run_ns)
		pool->run_ns += (run_ns - pool->run_ns) / 8 + 1;
	else
		pool->run_ns -= (pool->run_ns - run_ns) / 8;
	uint64_t depth = PREFETCH_NS / pool->run_ns;
	if (depth == 0)
		depth = pool->run_ns < LONG_TASK_NS ? 1 : 0;
	pool->depth = depth < RMD_WP_TASKS_MAX - 1 ? (uint32_t)depth
						   : RMD_WP_TASKS_MAX - 1;
}

uint32_t rmd_apool_depth(const struct rmd_apool *pool)
{
	const struct rmd_apool *whole = pool->whole != NULL ? pool->whole : pool;
	return rmd_apool_nests(pool) || whole->starved ? 0 : pool->depth;
}

/* Those whose task waits for children come on top: the coordinator counts them. */
static uint64_t slots_alone(const struct rmd_apool *pool)
{
	const struct rmd_agent *agent = pool->agent;
	if (pool->closed || pool->broken || agent->draining || agent->link_lost)
		return 0;
	if (pool->whole != NULL && pool->whole->broken)
		return 0;
	/* Workers that start count: their tasks can be here already. Not so after a
	 * failure. */
	uint32_t ready = pool->ready - pool->waiting;
	uint32_t workers = ready < pool->wanted ? ready : pool->wanted;
	if (pool->failures == 0)
		workers = pool->wanted;
	return (uint64_t)workers * (1 + rmd_apool_depth(pool));
}

static uint32_t slots_of(struct rmd_apool *pool)
{
	uint64_t slots = 0;
	for (struct rmd_apool *at = rmd_apart_whole(pool); at != NULL;
	     at = rmd_apart_next(at))
		slots += slots_alone(at);
	return slots < RMD_AGENT_HELD_MAX ? (uint32_t)slots : RMD_AGENT_HELD_MAX;
}

static bool differs_much(uint32_t told, uint32_t now)
{
	return told == 0 || now == 0 ? told != now
				     : (uint64_t)now * 4 > (uint64_t)told * 5 ||
					       (uint64_t)now * 4 < (uint64_t)told * 3;
}

/* ---- how many workers ---- */

void rmd_apool_started(struct rmd_apool *pool)
{
	pool->failures = 0;
	pool->backoff_ms = 0;
	rmd_atimer_stop(&pool->agent->timers, &pool->retry);
	rmd_apool_dirty(pool);
	rmd_apool_unbalance(pool);
}

/* The name of the first module of the pool, for a text. */
static const char *module_text(const struct rmd_apool *pool)
{
	const struct rmd_agent *agent = pool->agent;
	const char *name = NULL;
	if (pool->spec->module_count > 0 &&
	    rmd_amodule_fd(agent, &pool->spec->modules[0], &name) >= 0 && name != NULL)
		return name;
	return agent->module_count > 0 ? agent->modules[0] : "none";
}

/* Several workers that started together and fail together are one failure. */
static void back_off(struct rmd_apool *pool)
{
	struct rmd_agent *agent = pool->agent;
	uint32_t jitter;
	if (pool->retry.place != 0 && pool->failures > 0)
		return;
	pool->failures++;
	pool->backoff_ms = pool->backoff_ms == 0 ? BACKOFF_FIRST_MS
						 : pool->backoff_ms * 2;
	if (pool->backoff_ms > BACKOFF_MAX_MS)
		pool->backoff_ms = BACKOFF_MAX_MS;
	rmd_random_bytes(&jitter, sizeof jitter);
	rmd_atimer_start(&agent->timers, &pool->retry,
			 agent->now_ms + pool->backoff_ms * (75 + jitter % 51) / 100);
}

void rmd_apool_start_failed(struct rmd_apool *pool, struct remuda_error *err)
{
	struct rmd_agent *agent = pool->agent;
	const char *program = rmd_agent_program(agent, pool->spec->runtime);
	size_t modules = agent->module_count + pool->spec->module_count;
	back_off(pool);
	if (pool->whole != NULL) {
		rmd_apart_start_failed(pool, err);
		return;
	}
	err = remuda_error_wrap(
		err, "WorkerStartFailed",
		"a worker of runtime %.*s could not be started (program %s, %s%s%s)",
		(int)pool->spec->runtime.len, (const char *)pool->spec->runtime.data,
		program != NULL ? program : "none",
		modules == 0   ? "no modules"
		: modules == 1 ? "module "
			       : "modules ",
		modules == 0 ? "" : module_text(pool), modules > 1 ? ", …" : "");
	rmd_error_set_origin(err, REMUDA_ORIGIN_WORKER);
	rmd_error_set_place(err, agent->name, 0, 0);
	char *line = remuda_error_line(remuda_error_root(err));
	rmd_log(RMD_LOG_WARN, SOURCE,
		"a worker could not be started: %s pool=%" PRIu64
		" failures=%u retry_ms=%" PRIu64,
		line != NULL ? line : "?", pool->number, pool->failures,
		pool->backoff_ms);
	free(line);
	rmd_buf_unref(pool->start_error);
	pool->start_error = rmd_agent_encode_error(err);
	rmd_apool_dirty(pool);
	rmd_apool_unbalance(pool);
}

/* The pool needs a module that is not here. */
static void miss_module(struct rmd_apool *pool, const struct rmd_digest *digest)
{
	struct rmd_agent *agent = pool->agent;
	const char *refused = rmd_amodule_refused(agent, digest);
	char hex[RMD_DIGEST_HEX_BYTES];
	rmd_digest_hex(digest, hex);
	if (pool->retry.place != 0)
		return;
	if (refused != NULL) {
		rmd_apool_start_failed(
			pool, remuda_error_create("ModuleRefused",
						  "the module %s cannot be kept: %s", hex,
						  refused));
	} else if (!pool->missing_told) { /* first time: it may be on its way */
		pool->missing_told = true;
		rmd_atimer_start(&agent->timers, &pool->retry,
				 agent->now_ms + MODULE_WAIT_MS);
	} else {
		rmd_apool_start_failed(
			pool, remuda_error_create(
				      "ModuleMissing",
				      "the coordinator has not sent the module %s", hex));
	}
}

/* False: a module that the pool needs is not here (yet). */
static bool modules_here(struct rmd_apool *pool)
{
	for (size_t i = 0; i < pool->spec->module_count; i++) {
		const struct rmd_digest *digest = &pool->spec->modules[i];
		if (rmd_amodule_fd(pool->agent, digest, NULL) >= 0)
			continue;
		if (!rmd_amodule_loading(pool->agent, digest))
			miss_module(pool, digest);
		return false;
	}
	return true;
}

static bool runtime_known(struct rmd_apool *pool)
{
	if (rmd_agent_program(pool->agent, pool->spec->runtime) != NULL)
		return true;
	if (pool->retry.place == 0)
		rmd_apool_start_failed(
			pool,
			remuda_error_create("UnknownRuntime",
					    "this agent has no runtime %.*s, only native%s",
					    (int)pool->spec->runtime.len,
					    (const char *)pool->spec->runtime.data,
					    pool->agent->python_path != NULL ? " and python"
									     : ""));
	return false;
}

static uint32_t target_of(const struct rmd_apool *pool)
{
	if (pool->agent->link_lost || pool->agent->draining)
		return 0;
	if (pool->broken || (pool->whole != NULL && pool->whole->broken))
		return pool->ready - pool->idle;
	if (!pool->closed)
		return pool->wanted;
	/* What was granted before it closed still runs. */
	uint32_t alive = pool->ready - pool->idle;
	return pool->queued == 0 ? alive : alive > 0 ? alive : 1;
}

uint32_t rmd_apool_places(const struct rmd_apool *pool)
{
	/* What a closed pool was granted ends as fast as it can. */
	return pool->closed ? UINT32_MAX : pool->wanted;
}

static void start_some(struct rmd_apool *pool, uint32_t target)
{
	uint32_t at_a_time = pool->failures > 0 ? 1 : STARTING_MAX;
	/* In the places of those that wait, if there is work for more. */
	if (pool->queued > 0)
		target += pool->waiting;
	if (pool->starting + pool->ready >= target)
		return;
	if (pool->retry.place != 0 && !pool->missing_told)
		return; /* backing off */
	if (!runtime_known(pool) || !modules_here(pool) || !rmd_apart_here(pool))
		return;
	pool->missing_told = false;
	while (pool->starting + pool->ready < target && pool->starting < at_a_time)
		if (rmd_aworker_start(pool) < 0)
			return;
}

static bool worn_out(const struct rmd_aworker *worker)
{
	uint32_t worn = worker->pool->spec->max_tasks_per_worker;
	return worker->leaked || (worn != 0 && worker->tasks_done >= worn);
}

static void stop_some(struct rmd_apool *pool, uint32_t target)
{
	struct rmd_aworker *worker, *next;
	if (pool->spec->max_tasks_per_worker != 0 || pool->leaking) {
		pool->leaking = false;
		for (worker = TAILQ_FIRST(&pool->workers); worker != NULL;
		     worker = next) {
			next = TAILQ_NEXT(worker, all);
			if (worker->state == RMD_WORKER_STATE_IDLE && worn_out(worker))
				rmd_aworker_stop(worker);
			else if (worker->state == RMD_WORKER_STATE_BUSY && worker->leaked)
				pool->leaking = true;
		}
	}
	uint32_t spare = pool->waiting > pool->spare ? pool->waiting : pool->spare;
	while (pool->starting + pool->ready > target + spare) {
		worker = TAILQ_LAST(&pool->by_load[0], rmd_aworkers);
		if (worker == NULL)
			worker = TAILQ_LAST(&pool->list_starting, rmd_aworkers);
		if (worker == NULL || worker->deaf)
			return;
		rmd_aworker_stop(worker);
	}
}

void rmd_apool_unbalance(struct rmd_apool *pool)
{
	if (pool->unbalanced)
		return;
	pool->unbalanced = true;
	SLIST_INSERT_HEAD(&pool->agent->unbalanced, pool, unbalanced_link);
}

static void balance(struct rmd_apool *pool)
{
	struct rmd_agent *agent = pool->agent;
	if (agent->draining || agent->link_lost || rmd_apart_whole(pool)->broken)
		return_queued(pool);
	rmd_apart_share(pool);
	rmd_apool_resume_some(pool);
	rmd_apool_dispatch(pool);
	rmd_apool_steal(pool);
	uint32_t target = target_of(pool);
	stop_some(pool, target);
	start_some(pool, target);
	/* Nobody here will run what is queued: better elsewhere, or with its error. */
	if (pool->queued > 0 && pool->ready - pool->waiting + pool->starting == 0 &&
	    (target == 0 || pool->failures > 0))
		return_queued(pool);
	if (differs_much(rmd_apart_whole(pool)->slots_told, slots_of(pool)))
		rmd_apool_dirty(pool);
	if (pool->whole != NULL) {
		(void)rmd_apart_end(pool);
		return;
	}
	if (pool->closed && LIST_EMPTY(&pool->parts) && pool->held == 0 && TAILQ_EMPTY(&pool->workers)) {
		rmd_agent_say_pool(pool, 0);
		rmd_apool_destroy(pool);
	}
}

void rmd_apool_balance_all(struct rmd_agent *agent)
{
	struct rmd_apool *pool;
	/* A balance may unbalance its pool again (a failed start); that waits for the
	 * next round. */
	SLIST_HEAD(, rmd_apool) now = SLIST_HEAD_INITIALIZER(now);
	while ((pool = SLIST_FIRST(&agent->unbalanced)) != NULL) {
		SLIST_REMOVE_HEAD(&agent->unbalanced, unbalanced_link);
		SLIST_INSERT_HEAD(&now, pool, unbalanced_link);
	}
	while ((pool = SLIST_FIRST(&now)) != NULL) {
		SLIST_REMOVE_HEAD(&now, unbalanced_link);
		pool->unbalanced = false;
		balance(pool);
	}
}

void rmd_apool_dirty(struct rmd_apool *pool)
{
	rmd_apart_whole(pool)->dirty = pool->agent->dirty = true;
}

void rmd_apool_idle_changed(struct rmd_apool *pool)
{
	struct rmd_agent *agent = pool->agent;
	rmd_apart_whole(pool)->idle_changed = true;
	if (agent->report.place == 0)
		rmd_atimer_start(&agent->timers, &agent->report,
				 agent->now_ms + REPORT_MS);
}

void rmd_apool_report_all(struct rmd_agent *agent)
{
	struct rmd_apool *pool;
	if (!agent->dirty)
		return;
	agent->dirty = false;
	LIST_FOREACH (pool, &agent->pool_list, link) {
		if (!pool->dirty)
			continue;
		pool->slots_told = slots_of(pool);
		rmd_agent_say_pool(pool, pool->slots_told);
		rmd_buf_unref(pool->start_error);
		pool->start_error = NULL;
		pool->dirty = pool->idle_changed = false;
	}
}
