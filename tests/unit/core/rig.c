#include "tests/unit/core/rig.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/alloc.h"

static void on_grant(void *ctx, struct rmd_core_agent *agent, struct rmd_core_task *task)
{
	struct rig *rig = ctx;
	assert_true(rig->grants < RIG_LEASES);
	assert_int_equal(rmd_core_task_state(task), RMD_CORE_TASK_LEASED);
	assert_ptr_equal(rmd_core_task_agent(task), agent);
	rig->leases[rig->grants++] = (struct rig_lease){
		.lease = rmd_core_task_lease(task),
		.agent = agent,
		.client = rmd_core_task_client(task),
		.number = rmd_core_task_number(task),
		.attempt = rmd_core_task_attempt(task),
	};
}

static void on_cancel(void *ctx, struct rmd_core_agent *agent, uint64_t lease)
{
	struct rig *rig = ctx;
	(void)agent;
	rig->cancels++;
	rig->last_cancel = lease;
}

static void on_recall(void *ctx, struct rmd_core_agent *agent, struct rmd_core_pool *pool,
		      uint32_t leases)
{
	struct rig *rig = ctx;
	(void)pool;
	rig->recalls++;
	rig->recalled_leases += leases;
	rig->last_recall = agent;
}

static void on_order(void *ctx, struct rmd_core_agent *agent, struct rmd_core_pool *pool,
		     const struct rmd_core_order *order)
{
	struct rig *rig = ctx;
	(void)agent;
	(void)pool;
	rig->orders++;
	rig->first_orders += order->first;
	rig->closed_orders += order->closed;
	rig->kill_orders += order->kill;
}

static void copy_text(char *to, size_t size, struct rmd_slice from)
{
	snprintf(to, size, "%.*s", (int)from.len,
		 from.len == 0 ? "" : (const char *)from.data);
}

static enum rmd_core_keep on_ended(void *ctx, struct rmd_core_task *task,
				   const struct rmd_core_ending *ending)
{
	struct rig *rig = ctx;
	assert_int_equal(rmd_core_task_state(task), RMD_CORE_TASK_DONE);
	assert_int_equal(rmd_core_task_end(task), ending->end);
	assert_non_null(rmd_core_task_pool(task));
	rig->ends++;
	rig->ends_by[ending->end]++;
	rig->last_end = *ending;
	rig->last_number = rmd_core_task_number(task);
	copy_text(rig->last_outcome, sizeof(rig->last_outcome), ending->outcome.bytes);
	copy_text(rig->last_start_error, sizeof(rig->last_start_error),
		  ending->start_error.bytes);
	copy_text(rig->last_waits, sizeof(rig->last_waits),
		  rig_text(ending->waits == NULL ? "" : ending->waits));
	copy_text(rig->last_agent, sizeof(rig->last_agent),
		  rig_text(ending->agent == NULL ? ""
						 : rmd_core_agent_name(ending->agent)));
	if (rig->give_outcome != NULL)
		rmd_core_task_keep_outcome(
			task, (struct rmd_piece){rig_text(rig->give_outcome), NULL});
	return rig->keep;
}

static void on_child_ended(void *ctx, struct rmd_core_agent *agent, uint64_t lease,
			   struct rmd_core_task *child,
			   const struct rmd_core_ending *ending)
{
	struct rig *rig = ctx;
	assert_true(rmd_core_task_nested(child));
	assert_int_equal(rmd_core_task_lease(rmd_core_task_parent(child)), lease);
	assert_ptr_equal(rmd_core_task_agent(rmd_core_task_parent(child)), agent);
	rig->child_ends++;
	rig->child_ends_by[ending->end]++;
	rig->last_child = rmd_core_task_child_number(child);
	rig->last_child_lease = lease;
	copy_text(rig->last_outcome, sizeof(rig->last_outcome), ending->outcome.bytes);
}

static void on_task_gone(void *ctx, struct rmd_core_task *task)
{
	(void)task;
	((struct rig *)ctx)->tasks_gone++;
}

static void on_pool_gone(void *ctx, struct rmd_core_pool *pool)
{
	(void)pool;
	((struct rig *)ctx)->pools_gone++;
}

static void on_expired(void *ctx, struct rmd_core_client *client)
{
	(void)client;
	((struct rig *)ctx)->expired++;
}

static void on_drained(void *ctx)
{
	((struct rig *)ctx)->drained++;
}

const struct rmd_core_port rig_port = {
	.grant = on_grant,
	.cancel = on_cancel,
	.recall = on_recall,
	.order = on_order,
	.ended = on_ended,
	.child_ended = on_child_ended,
	.task_gone = on_task_gone,
	.pool_gone = on_pool_gone,
	.client_expired = on_expired,
	.drained = on_drained,
};

void rig_start(struct rig *rig)
{
	rig->core = rmd_core_create(&rig->config, &rig_port, rig);
	assert_non_null(rig->core);
}

void rig_stop(struct rig *rig)
{
	rmd_core_destroy(rig->core);
	rig->core = NULL;
}

int rig_setup(void **state)
{
	struct rig *rig = rmd_calloc(1, sizeof(*rig));
	assert_non_null(rig);
	rig->config = (struct rmd_core_config)RMD_CORE_CONFIG_INIT;
	rig->now_ms = 1000;
	rig_start(rig);
	*state = rig;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *rig = *state;
	rig_stop(rig);
	rmd_free(rig);
	return 0;
}

void rig_tick(struct rig *rig)
{
	rig->due_ms = rmd_core_tick(rig->core, rig->now_ms);
}

void rig_pass(struct rig *rig, uint64_t ms)
{
	uint64_t until = rig->now_ms + ms;
	rig_tick(rig);
	while (rig->due_ms != 0 && rig->due_ms <= until) {
		rig->now_ms = rig->due_ms > rig->now_ms ? rig->due_ms : rig->now_ms;
		rig_tick(rig);
	}
	rig->now_ms = until;
	rig_tick(rig);
}

struct rmd_slice rig_text(const char *text)
{
	return rmd_slice_of_string(text);
}

struct rmd_core_client *rig_client(struct rig *rig, const char *identity)
{
	struct rmd_core_client *client = NULL;
	assert_int_equal(
		rmd_core_client_open(rig->core, rig->now_ms, identity, rig, &client), 0);
	return client;
}

struct rmd_core_pool_spec rig_spec(const char *name, uint32_t max_workers)
{
	return (struct rmd_core_pool_spec){
		.name = rig_text(name),
		.runtime = rig_text("native"),
		.max_workers = max_workers,
		.identity = rig_text("env"),
		.spec = {rig_text("spec"), NULL},
	};
}

struct rmd_core_pool *rig_pool(struct rig *rig, struct rmd_core_client *client,
			       const char *name, uint32_t max_workers)
{
	struct rmd_core_pool_spec spec = rig_spec(name, max_workers);
	struct rmd_core_pool *pool = NULL;
	const char *field = NULL;
	bool reused;
	assert_int_equal(rmd_core_pool_open(rig->core, rig->now_ms, client, &spec, &pool,
					    &reused, &field),
			 0);
	return pool;
}

int rig_submit_with(struct rig *rig, struct rmd_core_client *client,
		    struct rmd_core_pool *pool, struct rmd_core_submit submit)
{
	if (submit.number == 0)
		submit.number = rmd_core_client_accepted(client) + 1;
	if (submit.function.len == 0)
		submit.function = rig_text("native:demo.square");
	submit.pool = pool;
	return rmd_core_submit(rig->core, rig->now_ms, client, &submit, NULL);
}

int rig_submit(struct rig *rig, struct rmd_core_client *client,
	       struct rmd_core_pool *pool)
{
	return rig_submit_with(rig, client, pool, (struct rmd_core_submit){0});
}

void rig_submit_many(struct rig *rig, struct rmd_core_client *client,
		     struct rmd_core_pool *pool, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(rig_submit(rig, client, pool), 0);
}

struct rmd_core_agent *rig_agent(struct rig *rig, const char *name, uint32_t cpus)
{
	struct rmd_slice runtime = rig_text("native");
	struct rmd_core_agent_info info = {
		.name = rig_text(name),
		.runtimes = &runtime,
		.runtime_count = 1,
		.cpu_milli = cpus * 1000,
	};
	struct rmd_core_agent *agent = NULL;
	assert_int_equal(rmd_core_agent_attach(rig->core, rig->now_ms, &info, &agent), 0);
	return agent;
}

static struct rmd_core_ledger_info ledger(const struct rmd_core_agent *agent,
					  const struct rmd_core_pool *pool)
{
	struct rmd_core_ledger *at = NULL;
	struct rmd_core_ledger_info info;
	while ((at = rmd_core_ledger_next(agent, at)) != NULL) {
		rmd_core_ledger_info(at, &info);
		if (info.pool == pool)
			return info;
	}
	return (struct rmd_core_ledger_info){0};
}

uint32_t rig_wanted(const struct rmd_core_agent *agent, const struct rmd_core_pool *pool)
{
	return ledger(agent, pool).wanted;
}

uint32_t rig_held(const struct rmd_core_agent *agent, const struct rmd_core_pool *pool)
{
	return ledger(agent, pool).held;
}

int rig_report(struct rig *rig, struct rmd_core_agent *agent, struct rmd_core_pool *pool,
	       uint32_t slots, uint32_t workers)
{
	struct rmd_core_agent_pool state = {
		.pool = rmd_core_pool_number(pool),
		.slots = slots,
		.workers = workers,
	};
	return rmd_core_agent_pool(rig->core, rig->now_ms, agent, &state);
}

void rig_ready(struct rig *rig, struct rmd_core_agent *agent, struct rmd_core_pool *pool,
	       uint32_t slots)
{
	rig_tick(rig);
	assert_int_equal(rig_report(rig, agent, pool, slots, rig_wanted(agent, pool)), 0);
	rig_tick(rig);
}

int rig_start_failed(struct rig *rig, struct rmd_core_agent *agent,
		     struct rmd_core_pool *pool, const char *why)
{
	struct rmd_buf *buf = rmd_buf_copy(rig_text(why));
	struct rmd_core_agent_pool state = {
		.pool = rmd_core_pool_number(pool),
		.start_failed = true,
		.start_error = {rmd_buf_slice(buf), buf},
	};
	int rc = rmd_core_agent_pool(rig->core, rig->now_ms, agent, &state);
	rmd_buf_unref(buf);
	return rc;
}

int rig_broken(struct rig *rig, struct rmd_core_agent *agent, struct rmd_core_pool *pool,
	       const char *why)
{
	struct rmd_buf *buf = rmd_buf_copy(rig_text(why));
	struct rmd_core_agent_pool state = {
		.pool = rmd_core_pool_number(pool),
		.start_failed = true,
		.start_error = {rmd_buf_slice(buf), buf},
		.broken = true,
	};
	int rc = rmd_core_agent_pool(rig->core, rig->now_ms, agent, &state);
	rmd_buf_unref(buf);
	return rc;
}

static int outcome(struct rig *rig, size_t i, enum rmd_core_end end, bool began)
{
	struct rmd_buf *buf = rmd_buf_copy(rig_text("result"));
	struct rmd_core_agent_outcome out = {
		.lease = rig->leases[i].lease,
		.end = end,
		.outcome = {rmd_buf_slice(buf), buf},
		.began = began,
		.worker = 7,
		.run_ns = 42,
	};
	int rc = rmd_core_agent_outcome(rig->core, rig->now_ms, rig->leases[i].agent,
					&out);
	rmd_buf_unref(buf);
	return rc;
}

int rig_value(struct rig *rig, size_t i)
{
	return outcome(rig, i, RMD_CORE_END_VALUE, true);
}

int rig_error(struct rig *rig, size_t i, bool began)
{
	return outcome(rig, i, RMD_CORE_END_ERROR, began);
}

int rig_returned(struct rig *rig, size_t i)
{
	return rmd_core_agent_returned(rig->core, rig->now_ms, rig->leases[i].agent,
				       rig->leases[i].lease);
}

int rig_began(struct rig *rig, size_t i)
{
	return rmd_core_agent_began(rig->core, rig->now_ms, rig->leases[i].agent,
				    rig->leases[i].lease);
}

int rig_nested(struct rig *rig, size_t i, uint64_t number, struct rmd_core_pool *pool)
{
	struct rmd_core_nested nested = {.lease = rig->leases[i].lease,
					 .number = number,
					 .function = rig_text("native:demo.child"),
					 .pool = pool};
	return rmd_core_agent_submit(rig->core, rig->now_ms, rig->leases[i].agent,
				     &nested);
}

int rig_waits(struct rig *rig, size_t i, bool waiting)
{
	return rmd_core_agent_waits(rig->core, rig->now_ms, rig->leases[i].agent,
				    rig->leases[i].lease, waiting);
}

struct rmd_core_counters rig_counters(const struct rig *rig)
{
	struct rmd_core_counters counters;
	rmd_core_counters(rig->core, &counters);
	return counters;
}
