#include "server/service/coordinator.h"

#include <malloc.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"
#include "proto/link/link.h"
#include "server/service/executor.h"
#include "server/service/hub.h"

#define COORDINATOR_MAGIC 0xc0042d01u
#define BLOB_TTL_MS (UINT64_C(10) * 60 * 1000)
#define TRIM_TASKS 10000u /* after fewer it is not worth a trim */
#define LAST_WORD_MS 1000 /* from cancelling all to giving up on them */

/* ---- the core's actions ---- */

static void port_grant(void *ctx, struct rmd_core_agent *agent,
		       struct rmd_core_task *task)
{
	(void)ctx;
	rmd_hub_grant(rmd_core_agent_user(agent), task);
}

static void port_cancel(void *ctx, struct rmd_core_agent *agent, uint64_t lease)
{
	(void)ctx;
	rmd_hub_cancel(rmd_core_agent_user(agent), lease);
}

static void port_recall(void *ctx, struct rmd_core_agent *agent,
			struct rmd_core_pool *pool, uint32_t leases)
{
	(void)ctx;
	rmd_hub_recall(rmd_core_agent_user(agent), pool, leases);
}

static void port_order(void *ctx, struct rmd_core_agent *agent,
		       struct rmd_core_pool *pool, const struct rmd_core_order *order)
{
	(void)ctx;
	rmd_hub_order(rmd_core_agent_user(agent), pool, order);
}

static enum rmd_core_keep port_ended(void *ctx, struct rmd_core_task *task,
				     const struct rmd_core_ending *ending)
{
	(void)ctx;
	struct rmd_outcome outcome;
	struct rmd_buf *buf;
	rmd_outcome_make_ending(task, ending, &outcome, &buf);
	if (buf != NULL && outcome.bytes.data != ending->outcome.bytes.data)
		rmd_core_task_keep_outcome(
			task, rmd_piece_ref((struct rmd_piece){outcome.bytes, buf}));
	struct rmd_submitter *submitter =
		rmd_core_client_user(rmd_core_task_client(task));
	enum rmd_core_keep keep = submitter->ended(submitter, task, &outcome, buf);
	rmd_buf_unref(buf);
	return keep;
}

static void port_child_ended(void *ctx, struct rmd_core_agent *agent, uint64_t lease,
			     struct rmd_core_task *child,
			     const struct rmd_core_ending *ending)
{
	(void)ctx;
	rmd_hub_child_ended(rmd_core_agent_user(agent), lease, child, ending);
}

/* The ticket of a session's detached task goes with it; those of calls are the
 * executor's. */
static void port_task_gone(void *ctx, struct rmd_core_task *task)
{
	const struct rmd_coordinator *coordinator = ctx;
	struct rmd_core_client *client = rmd_core_task_client(task);
	if (client == NULL || client != coordinator->calls)
		rmd_ticket_drop(rmd_core_task_user(task));
}

static void port_pool_gone(void *ctx, struct rmd_core_pool *pool)
{
	struct rmd_coordinator *coordinator = ctx;
	if (coordinator->default_native == pool)
		coordinator->default_native = NULL;
	if (coordinator->default_python == pool)
		coordinator->default_python = NULL;
}

static void port_client_expired(void *ctx, struct rmd_core_client *client)
{
	(void)ctx;
	struct rmd_submitter *submitter = rmd_core_client_user(client);
	submitter->expired(submitter);
}

static void stopped(struct rmd_coordinator *coordinator)
{
	void (*tell)(void *ctx) = coordinator->stopped;
	coordinator->stopped = NULL;
	rmd_timer_stop(coordinator->loop, &coordinator->stop_timer);
	if (tell != NULL)
		tell(coordinator->stopped_ctx);
}

static void port_drained(void *ctx)
{
	stopped(ctx);
}

static const struct rmd_core_port core_port = {
	.grant = port_grant,
	.cancel = port_cancel,
	.recall = port_recall,
	.order = port_order,
	.ended = port_ended,
	.child_ended = port_child_ended,
	.task_gone = port_task_gone,
	.pool_gone = port_pool_gone,
	.client_expired = port_client_expired,
	.drained = port_drained,
};

/* ---- life ---- */

/* Gives the memory of many tasks that are gone back to the system. */
static void trim(struct rmd_coordinator *coordinator)
{
	struct rmd_core_counters counters;
	rmd_core_counters(coordinator->core, &counters);
	uint64_t held = counters.queued + counters.leased + counters.running +
			counters.done;
	if (held > coordinator->most_held)
		coordinator->most_held = held;
	if (held != 0 || coordinator->most_held < TRIM_TASKS)
		return;
	coordinator->most_held = 0;
	malloc_trim(0);
}

static void decide(struct rmd_coordinator *coordinator)
{
	trim(coordinator);
	uint64_t now_ms = rmd_clock_mono_ms();
	uint64_t next_ms = rmd_core_tick(coordinator->core, now_ms);
	rmd_session_feed(coordinator);
	uint64_t blobs_ms = rmd_blobs_tick(coordinator->blobs, now_ms);
	if (next_ms == 0 || (blobs_ms != 0 && blobs_ms < next_ms))
		next_ms = blobs_ms;
	if (next_ms == 0)
		rmd_timer_stop(coordinator->loop, &coordinator->timer);
	else if (rmd_timer_start(coordinator->loop, &coordinator->timer, next_ms) < 0)
		rmd_log(RMD_LOG_ERROR, "coordinator", "out of memory for a timer");
}

static void on_decide(struct rmd_deferred *deferred)
{
	decide((struct rmd_coordinator *)((char *)deferred -
					  offsetof(struct rmd_coordinator, decide)));
}

static void on_timer(struct rmd_timer *timer)
{
	decide((struct rmd_coordinator *)((char *)timer -
					  offsetof(struct rmd_coordinator, timer)));
}

void rmd_coordinator_touch(struct rmd_coordinator *coordinator)
{
	rmd_loop_defer(coordinator->loop, &coordinator->decide);
}

static int add_services(struct rmd_coordinator *coordinator)
{
	coordinator->executor = rmd_executor_create(coordinator);
	coordinator->admin = rmd_admin_create(coordinator);
	if (coordinator->executor == NULL || coordinator->admin == NULL)
		return RMD_ENOMEM;
	coordinator->calls = rmd_executor_client(coordinator->executor);
	int rc = rmd_session_service_add(coordinator);
	if (rc == 0)
		rc = rmd_attach_service_add(coordinator);
	if (rc == 0)
		rc = rmd_pools_service_add(coordinator);
	if (rc == 0)
		rc = rmd_blobs_service_add(coordinator);
	return rc;
}

struct rmd_coordinator *
rmd_coordinator_create(struct rmd_loop *loop, struct rmd_server *server,
		       const struct rmd_coordinator_options *options)
{
	struct rmd_coordinator *coordinator = rmd_calloc(1, sizeof *coordinator);
	if (coordinator == NULL)
		return NULL;
	coordinator->magic = COORDINATOR_MAGIC;
	coordinator->options = *options;
	coordinator->loop = loop;
	coordinator->server = server;
	coordinator->timer.fire = on_timer;
	coordinator->decide.run = on_decide;
	coordinator->started_ms = rmd_clock_mono_ms();
	rmd_random_bytes(&coordinator->epoch, sizeof coordinator->epoch);
	coordinator->epoch |= 1; /* never 0, which means "none" on the wire */
	LIST_INIT(&coordinator->sessions);
	rmd_map_init(&coordinator->sessions_by_id, coordinator->epoch);
	TAILQ_INIT(&coordinator->hubs);
	struct rmd_core_config config = RMD_CORE_CONFIG_INIT;
	rmd_random_bytes(&config.seed, sizeof config.seed);
	config.payload_bytes_max = options->payload_budget_bytes;
	config.outcome_bytes_max = options->payload_budget_bytes;
	config.retention_ms = options->retention_ms;
	config.retained_bytes_max = options->retained_bytes;
	config.poison_max = options->workers_lost_max;
	config.cannot_run_ms = options->cannot_run_ms;
	if (options->private_mode) {
		config.payload_bytes_per_client_max = options->payload_budget_bytes;
		config.outcome_bytes_per_client_max = options->payload_budget_bytes;
		config.tasks_per_client_max = config.tasks_max;
	}
	coordinator->core = rmd_core_create(&config, &core_port, coordinator);
	coordinator->jobs = rmd_jobs_create(loop);
	if (coordinator->jobs != NULL)
		coordinator->blobs = rmd_blobs_create(
			coordinator->jobs, options->blob_budget_bytes, BLOB_TTL_MS);
	if (coordinator->core == NULL || coordinator->blobs == NULL ||
	    add_services(coordinator) < 0) {
		rmd_coordinator_destroy(coordinator);
		return NULL;
	}
	return coordinator;
}

void rmd_coordinator_destroy(struct rmd_coordinator *coordinator)
{
	if (coordinator == NULL)
		return;
	RMD_CHECK_OBJ(coordinator, COORDINATOR_MAGIC);
	rmd_timer_stop(coordinator->loop, &coordinator->timer);
	rmd_timer_stop(coordinator->loop, &coordinator->stop_timer);
	rmd_session_service_end(coordinator);
	rmd_map_fini(&coordinator->sessions_by_id);
	for (struct rmd_hub *hub; (hub = TAILQ_FIRST(&coordinator->hubs)) != NULL;)
		rmd_hub_destroy(hub);
	rmd_executor_destroy(coordinator->executor);
	rmd_core_destroy(coordinator->core);
	rmd_admin_destroy(coordinator->admin);
	rmd_jobs_destroy(coordinator->jobs);
	rmd_sharing_forget_copies(coordinator);
	rmd_blobs_destroy(coordinator->blobs);
	coordinator->magic = 0;
	rmd_free(coordinator);
}

void rmd_coordinator_set_addresses(struct rmd_coordinator *coordinator,
				   const char *const *addresses, size_t count)
{
	coordinator->addresses = addresses;
	coordinator->address_count = count;
}

int rmd_coordinator_add_agent(struct rmd_coordinator *coordinator, struct rmd_link *link,
			      bool own)
{
	return rmd_hub_create(coordinator, link, own);
}

static struct rmd_coordinator *of_stop_timer(struct rmd_timer *timer)
{
	return (struct rmd_coordinator *)((char *)timer -
					  offsetof(struct rmd_coordinator, stop_timer));
}

static void on_last_word(struct rmd_timer *timer)
{
	stopped(of_stop_timer(timer));
}

/* The grace is over: cancel what is left, and go without it a moment later. */
static void on_grace_over(struct rmd_timer *timer)
{
	struct rmd_coordinator *coordinator = of_stop_timer(timer);
	struct rmd_core_counters counters;
	rmd_core_counters(coordinator->core, &counters);
	uint64_t open = counters.queued + counters.leased + counters.running;
	if (open != 0)
		rmd_log(RMD_LOG_WARN, "coordinator",
			"the grace is over: %llu tasks are cancelled",
			(unsigned long long)open);
	uint64_t now_ms = rmd_clock_mono_ms();
	timer->fire = on_last_word;
	if (rmd_timer_start(coordinator->loop, timer, now_ms + LAST_WORD_MS) < 0) {
		stopped(coordinator);
		return;
	}
	rmd_core_cancel_all(coordinator->core, now_ms, RMD_CORE_END_SHUTDOWN);
	rmd_coordinator_touch(coordinator);
}

void rmd_coordinator_stop(struct rmd_coordinator *coordinator, uint64_t grace_ms,
			  void (*tell)(void *ctx), void *ctx)
{
	RMD_CHECK_OBJ(coordinator, COORDINATOR_MAGIC);
	uint64_t now_ms = rmd_clock_mono_ms();
	coordinator->stopped = tell;
	coordinator->stopped_ctx = ctx;
	coordinator->stop_timer.fire = on_grace_over;
	if (rmd_timer_start(coordinator->loop, &coordinator->stop_timer,
			    now_ms + grace_ms) < 0) {
		stopped(coordinator);
		return;
	}
	rmd_core_drain(coordinator->core, now_ms);
	rmd_coordinator_touch(coordinator);
}

void rmd_coordinator_on_shutdown(struct rmd_coordinator *coordinator,
				 void (*shutdown)(void *ctx, uint64_t grace_ms),
				 void *ctx)
{
	coordinator->shutdown = shutdown;
	coordinator->shutdown_ctx = ctx;
}

/* ---- looking tasks up ---- */

const uint8_t *rmd_submitter_session(const struct rmd_coordinator *coordinator,
				     const struct rmd_submitter *submitter)
{
	if (rmd_executor_owns(coordinator->executor, submitter))
		return rmd_executor_session(coordinator->executor);
	return rmd_session_id((const struct rmd_session *)submitter);
}

struct rmd_core_task *rmd_coordinator_task(struct rmd_coordinator *coordinator,
					   const struct rmd_task_id *id)
{
	struct rmd_core_client *client = NULL;
	if (memcmp(id->session, rmd_executor_session(coordinator->executor),
		   RMD_SESSION_BYTES) == 0)
		client = rmd_executor_client(coordinator->executor);
	else {
		struct rmd_session *session = rmd_session_find(coordinator, id->session);
		if (session != NULL)
			client = rmd_session_client(session);
	}
	return client == NULL ? NULL : rmd_core_task_find(client, id->number);
}
