/* Random events against a simple model: 200,000 from each of a few seeds, invariants
 * checked after each; then the same with allocations that fail. In the end the dust
 * settles: with an agent that does its work every accepted task has ended, once. */
#include "tests/unit/core/rig.h"

#include <string.h>

#include "proto/base/alloc.h"

#define CLIENTS 5u
#define AGENTS 4u
#define LEASES 512u
#define EVENTS 200000u

struct lease {
	uint64_t lease;
	struct rmd_core_agent *agent;
	bool began;
};

struct member {
	struct rmd_core_client *client;
};

struct model {
	struct rmd_core *core;
	uint64_t random, now_ms;
	bool allocations_fail;
	struct member member[CLIENTS];
	struct rmd_core_agent *agent[AGENTS];
	struct lease lease[LEASES];
	size_t leases;
	uint64_t newest_lease;
	uint64_t accepted, ended, closed_with; /* tasks */
	uint64_t forgotten, pools_gone;
	bool stopping;
	uint8_t told[EVENTS]; /* a byte for each task; its address is the task's user */
};

/* splitmix64, as in "Fast splittable pseudorandom number generators" (OOPSLA 2014). */
static uint64_t draw(struct model *m, uint64_t below)
{
	uint64_t z = m->random += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % below;
}

/* --- the port ---------------------------------------------------------------------- */

static void on_grant(void *ctx, struct rmd_core_agent *agent, struct rmd_core_task *task)
{
	struct model *m = ctx;
	struct rmd_core_ledger *ledger = NULL;
	struct rmd_core_ledger_info info;
	bool found = false;
	assert_true(m->leases < LEASES);
	assert_true(rmd_core_task_lease(task) > m->newest_lease); /* never used again */
	m->newest_lease = rmd_core_task_lease(task);
	m->lease[m->leases++] = (struct lease){m->newest_lease, agent, false};
	assert_false(rmd_core_agent_drains(agent));
	while ((ledger = rmd_core_ledger_next(agent, ledger)) != NULL) {
		rmd_core_ledger_info(ledger, &info);
		if (info.pool != rmd_core_task_pool(task))
			continue;
		found = true;
		assert_true(info.held <= info.slots); /* credit never below zero */
		assert_true(info.wanted > 0);
	}
	assert_true(found);
}

static size_t lease_at(const struct model *m, uint64_t lease)
{
	size_t i = 0;
	while (i < m->leases && m->lease[i].lease != lease)
		i++;
	assert_true(i < m->leases);
	return i;
}

static void on_cancel(void *ctx, struct rmd_core_agent *agent, uint64_t lease)
{
	struct model *m = ctx;
	assert_ptr_equal(m->lease[lease_at(m, lease)].agent, agent);
}

static void on_recall(void *ctx, struct rmd_core_agent *agent, struct rmd_core_pool *pool,
		      uint32_t leases)
{
	(void)ctx, (void)pool;
	assert_true(leases > 0 && leases <= rmd_core_agent_held(agent));
}

static void on_order(void *ctx, struct rmd_core_agent *agent, struct rmd_core_pool *pool,
		     const struct rmd_core_order *order)
{
	struct rmd_core_pool_info info;
	(void)ctx, (void)agent;
	rmd_core_pool_info(pool, &info);
	assert_true(info.max_workers == 0 || order->workers <= info.max_workers);
	assert_true(!order->closed || info.closing);
}

/* How often the port was told of the task's end. */
static uint8_t *told(struct model *m, const struct rmd_core_task *task)
{
	return &m->told[(uint8_t *)rmd_core_task_user(task) - m->told];
}

static enum rmd_core_keep on_ended(void *ctx, struct rmd_core_task *task,
				   const struct rmd_core_ending *ending)
{
	struct model *m = ctx;
	assert_non_null(rmd_core_task_client(task));
	assert_int_equal((*told(m, task))++, 0); /* once */
	assert_int_not_equal(ending->end, RMD_CORE_END_NONE);
	m->ended++;
	return draw(m, 2) ? RMD_CORE_KEEP : RMD_CORE_FORGET;
}

static void on_task_gone(void *ctx, struct rmd_core_task *task)
{
	struct model *m = ctx;
	m->forgotten++;
	if (*told(m, task) == 0) {
		assert_true(m->stopping || rmd_core_task_client(task) == NULL);
		m->closed_with++;
	}
}

static void on_pool_gone(void *ctx, struct rmd_core_pool *pool)
{
	(void)pool;
	((struct model *)ctx)->pools_gone++;
}

static void on_expired(void *ctx, struct rmd_core_client *client)
{
	struct model *m = ctx;
	for (size_t i = 0; i < CLIENTS; i++)
		if (m->member[i].client == client)
			m->member[i].client = NULL;
}

static const struct rmd_core_port port = {
	.grant = on_grant,
	.cancel = on_cancel,
	.recall = on_recall,
	.order = on_order,
	.ended = on_ended,
	.task_gone = on_task_gone,
	.pool_gone = on_pool_gone,
	.client_expired = on_expired,
};

/* --- events ------------------------------------------------------------------------ */

/* The code is 0, or one that may be, or lack of memory where allocations fail. */
static bool went_well(const struct model *m, int rc)
{
	if (rc == RMD_ENOMEM)
		assert_true(m->allocations_fail);
	return rc == 0;
}

static struct rmd_core_pool *any_pool(struct model *m)
{
	struct rmd_core_counters counters;
	rmd_core_counters(m->core, &counters);
	if (counters.pools == 0)
		return NULL;
	struct rmd_core_pool *pool = rmd_core_pool_next(m->core, NULL);
	for (uint64_t skip = draw(m, counters.pools); skip > 0; skip--)
		pool = rmd_core_pool_next(m->core, pool);
	return pool;
}

static void ev_client(struct model *m)
{
	struct member *at = &m->member[draw(m, CLIENTS)];
	static const char *const identities[] = {"uid:1", "uid:2"};
	if (at->client == NULL) {
		struct rmd_core_client *client;
		if (went_well(m, rmd_core_client_open(m->core, m->now_ms,
						      identities[draw(m, 2)], NULL,
						      &client)))
			at->client = client;
	} else if (draw(m, 8) == 0) {
		rmd_core_client_close(m->core, m->now_ms, at->client);
		at->client = NULL;
	} else if (draw(m, 4) == 0) {
		rmd_core_client_leave(m->core, m->now_ms, at->client, draw(m, 2000));
	} else {
		rmd_core_client_resume(m->core, m->now_ms, at->client);
	}
}

static void ev_pool(struct model *m)
{
	static const char *const names[] = {"", "a", "b", "c"};
	struct member *at = &m->member[draw(m, CLIENTS)];
	struct rmd_core_pool_spec spec =
		rig_spec(names[draw(m, 4)], (uint32_t)draw(m, 6));
	struct rmd_core_pool *pool = any_pool(m);
	const char *field = NULL;
	bool reused;
	int rc = 0;
	spec.idle_timeout_ms = 500;
	spec.cpu_milli = draw(m, 3) == 0 ? 2000 : 1000;
	switch (draw(m, 8)) {
	case 0:
		if (pool != NULL && draw(m, 4) == 0)
			rmd_core_pool_close(m->core, m->now_ms, pool,
					    (enum rmd_core_pool_close)draw(m, 3));
		break;
	case 1:
		if (pool != NULL)
			rc = rmd_core_pool_resize(m->core, m->now_ms, pool,
						  1 + (uint32_t)draw(m, 6));
		assert_true(rc == 0 || rc == RMD_ECLOSED);
		break;
	case 2:
		if (pool != NULL && at->client != NULL)
			rc = rmd_core_pool_release(m->core, m->now_ms, at->client, pool);
		assert_true(rc == 0 || rc == RMD_ENOTFOUND);
		break;
	default:
		rc = rmd_core_pool_open(m->core, m->now_ms, at->client, &spec, &pool,
					&reused, &field);
		assert_true(went_well(m, rc) || rc == RMD_ENOMEM || rc == RMD_EINVAL);
		break;
	}
}

static void ev_submit(struct model *m)
{
	struct member *at = &m->member[draw(m, CLIENTS)];
	struct rmd_core_counters before, after;
	static const uint8_t bytes[100];
	if (at->client == NULL)
		return;
	struct rmd_core_submit submit = {
		.number = rmd_core_client_accepted(at->client) + draw(m, 3),
		.function = rig_text("native:f"),
		.payload = {rmd_slice_of(bytes, draw(m, 100)), NULL},
		.pool = any_pool(m),
		.priority = draw(m, 3) ? 0 : (int32_t)draw(m, 2001) - 1000,
		.deadline_ms = draw(m, 4) ? 0 : draw(m, 3000),
		.max_attempts = (uint32_t)draw(m, 4),
		.user = &m->told[m->accepted],
	};
	rmd_core_counters(m->core, &before);
	if (submit.pool == NULL || before.queued > 60)
		return;
	int rc = rmd_core_submit(m->core, m->now_ms, at->client, &submit, NULL);
	rmd_core_counters(m->core, &after);
	m->accepted += went_well(m, rc);
	assert_int_equal(after.accepted, m->accepted);
	if (rc != 0)
		assert_memory_equal(&before, &after,
				    offsetof(struct rmd_core_counters, draining));
}

static void ev_task(struct model *m)
{
	struct member *at = &m->member[draw(m, CLIENTS)];
	if (at->client == NULL)
		return;
	uint64_t newest = rmd_core_client_accepted(at->client);
	uint64_t number = newest < 40 ? draw(m, 40) : newest - draw(m, 40);
	struct rmd_core_task *task = rmd_core_task_find(at->client, number);
	if (draw(m, 2) == 0) {
		int rc = rmd_core_ack(m->core, m->now_ms, at->client, number);
		assert_int_equal(rc == RMD_ENOTFOUND, task == NULL);
	} else if (task != NULL && draw(m, 4) == 0) {
		rmd_core_cancel(m->core, m->now_ms, task, RMD_CORE_END_CANCELLED);
	}
}

static void lease_over(struct model *m, size_t i)
{
	m->lease[i] = m->lease[--m->leases];
}

static void ev_agent(struct model *m)
{
	struct rmd_core_agent **at = &m->agent[draw(m, AGENTS)];
	struct rmd_slice runtime = rig_text("native");
	struct rmd_core_agent_info info = {.name = rig_text("n"),
					   .runtimes = &runtime,
					   .runtime_count = 1,
					   .cpu_milli = 1000 * (uint32_t)draw(m, 5),
					   .private_local = draw(m, 4) == 0};
	if (*at == NULL) {
		struct rmd_core_agent *agent;
		if (went_well(m,
			      rmd_core_agent_attach(m->core, m->now_ms, &info, &agent)))
			*at = agent;
	} else if (draw(m, 10) == 0) {
		rmd_core_agent_draining(m->core, m->now_ms, *at);
	} else if (draw(m, 10) == 0) {
		rmd_core_agent_lost(m->core, m->now_ms, *at,
				    (enum rmd_core_farewell)draw(m, 2));
		for (size_t i = 0; i < m->leases;)
			if (m->lease[i].agent == *at)
				lease_over(m, i);
			else
				i++;
		*at = NULL;
	}
}

/* An agent says how one of its pools stands, obedient or odd. */
static void report(struct model *m, struct rmd_core_agent *agent, bool odd)
{
	struct rmd_core_ledger *ledger = NULL, *chosen = NULL;
	uint64_t seen = 0;
	while ((ledger = rmd_core_ledger_next(agent, ledger)) != NULL)
		if (draw(m, ++seen) == 0)
			chosen = ledger;
	if (chosen == NULL)
		return;
	struct rmd_core_ledger_info info;
	rmd_core_ledger_info(chosen, &info);
	struct rmd_core_agent_pool state = {
		.pool = rmd_core_pool_number(info.pool),
		.slots = info.wanted * (1 + (uint32_t)draw(m, 4)),
		.workers = odd ? (uint32_t)draw(m, 6) : info.wanted,
		.starting = odd ? (uint32_t)draw(m, 6) : 0,
		.start_failed = odd && draw(m, 4) == 0,
	};
	assert_int_equal(rmd_core_agent_pool(m->core, m->now_ms, agent, &state), 0);
}

static void ev_report(struct model *m)
{
	struct rmd_core_agent *agent = m->agent[draw(m, AGENTS)];
	if (agent != NULL)
		report(m, agent, draw(m, 3) == 0);
}

static void end_lease(struct model *m, size_t i, enum rmd_core_end end, bool began)
{
	struct rmd_buf *buf = rmd_buf_create(1 + draw(m, 200));
	struct rmd_core_agent_outcome outcome = {
		.lease = m->lease[i].lease, .end = end, .began = began};
	struct rmd_core_agent *agent = m->lease[i].agent;
	if (buf != NULL)
		outcome.outcome = (struct rmd_piece){rmd_buf_slice(buf), buf};
	if (buf != NULL)
		memset(rmd_buf_writable(buf), 'r', rmd_buf_slice(buf).len);
	assert_int_equal(rmd_core_agent_outcome(m->core, m->now_ms, agent, &outcome), 0);
	assert_int_equal(rmd_core_agent_outcome(m->core, m->now_ms, agent, &outcome),
			 RMD_ENOTFOUND);
	rmd_buf_unref(buf);
	lease_over(m, i);
}

static void ev_lease(struct model *m)
{
	if (m->leases == 0)
		return;
	size_t i = draw(m, m->leases);
	struct lease *lease = &m->lease[i];
	struct rmd_core_agent *stranger = m->agent[draw(m, AGENTS)];
	switch (draw(m, 6)) {
	case 0:
		assert_int_equal(rmd_core_agent_began(m->core, m->now_ms, lease->agent,
						      lease->lease),
				 lease->began ? RMD_EPROTO : 0);
		lease->began = true;
		break;
	case 1:
		assert_int_equal(rmd_core_agent_returned(m->core, m->now_ms, lease->agent,
							 lease->lease),
				 lease->began ? RMD_EPROTO : 0);
		if (!lease->began)
			lease_over(m, i);
		break;
	case 2:
		end_lease(m, i, RMD_CORE_END_ERROR, draw(m, 2) == 0);
		break;
	case 3:
		if (stranger != NULL && stranger != lease->agent)
			assert_int_equal(rmd_core_agent_returned(m->core, m->now_ms,
								 stranger, lease->lease),
					 RMD_EPROTO);
		break;
	default:
		end_lease(m, i, RMD_CORE_END_VALUE, true);
		break;
	}
}

/* --- invariants -------------------------------------------------------------------- */

static void check_tasks(const struct model *m, const struct rmd_core_counters *counters)
{
	uint64_t states[RMD_CORE_TASK_DONE + 1] = {0};
	const struct rmd_core_task *task = NULL;
	while ((task = rmd_core_task_next(m->core, task)) != NULL) {
		states[rmd_core_task_state(task)]++;
		bool leased = rmd_core_task_state(task) == RMD_CORE_TASK_LEASED ||
			      rmd_core_task_state(task) == RMD_CORE_TASK_RUNNING;
		assert_int_equal(leased, rmd_core_task_lease(task) != 0);
		assert_int_equal(leased, rmd_core_task_agent(task) != NULL);
		assert_int_equal(rmd_core_task_state(task) == RMD_CORE_TASK_DONE,
				 rmd_core_task_end(task) != RMD_CORE_END_NONE);
	}
	assert_int_equal(states[RMD_CORE_TASK_QUEUED], counters->queued);
	assert_int_equal(states[RMD_CORE_TASK_LEASED], counters->leased);
	assert_int_equal(states[RMD_CORE_TASK_RUNNING], counters->running);
	assert_int_equal(states[RMD_CORE_TASK_DONE], counters->done);
	assert_int_equal(counters->leased + counters->running, m->leases);
	assert_int_equal(counters->accepted - counters->ended,
			 counters->queued + counters->leased + counters->running);
	assert_int_equal(m->forgotten, counters->accepted - counters->queued -
					       counters->leased - counters->running -
					       counters->done);
	assert_int_equal(counters->ended, m->ended + m->closed_with);
	if (counters->queued + counters->leased + counters->running == 0)
		assert_int_equal(counters->payload_bytes, 0);
	if (counters->done == 0)
		assert_int_equal(counters->outcome_bytes, 0);
}

static void check_workers(const struct model *m, const struct rmd_core_counters *counters)
{
	uint64_t wanted = 0, workers = 0, queued = 0, leased = 0, held = 0, pools = 0;
	struct rmd_core_pool *pool = NULL;
	while ((pool = rmd_core_pool_next(m->core, pool)) != NULL) {
		struct rmd_core_pool_info info;
		rmd_core_pool_info(pool, &info);
		assert_true(info.max_workers == 0 || info.wanted <= info.max_workers);
		wanted += info.wanted;
		workers += info.workers;
		queued += info.queued;
		leased += info.leased;
		pools++;
	}
	assert_int_equal(wanted, counters->wanted_workers);
	assert_int_equal(workers, counters->workers);
	assert_int_equal(queued, counters->queued);
	assert_int_equal(leased, counters->leased + counters->running);
	assert_int_equal(pools, counters->pools);
	const struct rmd_core_agent *agent = NULL;
	while ((agent = rmd_core_agent_next(m->core, agent)) != NULL) {
		struct rmd_core_ledger *ledger = NULL;
		uint64_t here = 0;
		while ((ledger = rmd_core_ledger_next(agent, ledger)) != NULL) {
			struct rmd_core_ledger_info info;
			rmd_core_ledger_info(ledger, &info);
			wanted -= info.wanted;
			workers -= info.workers;
			here += info.held;
		}
		assert_int_equal(here, rmd_core_agent_held(agent));
		held += here;
	}
	assert_int_equal(wanted + workers, 0);
	assert_int_equal(held, m->leases);
}

static void check(const struct model *m)
{
	struct rmd_core_counters counters;
	rmd_core_counters(m->core, &counters);
	check_tasks(m, &counters);
	check_workers(m, &counters);
}

/* --- runs -------------------------------------------------------------------------- */

static void step(struct model *m)
{
	static void (*const events[])(struct model *) = {
		ev_client, ev_pool,  ev_submit, ev_submit, ev_submit, ev_submit,
		ev_submit, ev_task,  ev_agent,	ev_report, ev_report, ev_lease,
		ev_lease,  ev_lease, ev_lease,	ev_lease,
	};
	if (m->allocations_fail)
		rmd_alloc_fail_at(1 + draw(m, 12));
	events[draw(m, sizeof(events) / sizeof(events[0]))](m);
	if (draw(m, 3) == 0) {
		m->now_ms += draw(m, 30);
		rmd_core_tick(m->core, m->now_ms);
	}
	rmd_alloc_fail_at(0);
}

/* An agent that suits every pool does all the work; then nothing may be left over. */
static void settle(struct model *m)
{
	struct rmd_slice runtime = rig_text("native");
	struct rmd_core_agent_info info = {
		.name = rig_text("good"), .runtimes = &runtime, .runtime_count = 1};
	struct rmd_core_counters counters;
	for (size_t i = 0; i < AGENTS; i++)
		if (m->agent[i] != NULL) {
			rmd_core_agent_lost(m->core, m->now_ms, m->agent[i],
					    RMD_CORE_FAREWELL_LOST);
			m->agent[i] = NULL;
		}
	m->leases = 0;
	assert_int_equal(rmd_core_agent_attach(m->core, m->now_ms, &info, &m->agent[0]),
			 0);
	for (int round = 0; round < 5000; round++) {
		rmd_core_tick(m->core, m->now_ms += 20);
		for (int i = 0; i < 8; i++)
			report(m, m->agent[0], false);
		while (m->leases > 0)
			end_lease(m, 0, RMD_CORE_END_VALUE, true);
		rmd_core_counters(m->core, &counters);
		if (counters.queued + counters.leased + counters.running == 0)
			break;
	}
	check(m);
	assert_int_equal(counters.queued + counters.leased + counters.running, 0);
	assert_int_equal(counters.ended, counters.accepted);
}

static void run(uint64_t seed, bool allocations_fail)
{
	static struct model m;
	m = (struct model){
		.random = seed, .now_ms = 1, .allocations_fail = allocations_fail};
	struct rmd_core_config config = RMD_CORE_CONFIG_INIT;
	config.outcome_bytes_per_client_max = 5000;
	config.outcome_bytes_max = 12000;
	config.turn_ms = 100;
	m.core = rmd_core_create(&config, &port, &m);
	assert_non_null(m.core);
	for (unsigned i = 0; i < EVENTS; i++) {
		step(&m);
		check(&m);
	}
	print_message("seed %d: %d accepted, %d told, %d leases, %d pools gone\n",
		      (int)seed, (int)m.accepted, (int)m.ended, (int)m.newest_lease,
		      (int)m.pools_gone);
	assert_true(m.ended > EVENTS / 20);    /* the run did something */
	for (size_t i = 0; i < CLIENTS; i++) { /* what is held would pause its client */
		struct rmd_core_task *task;
		if (m.member[i].client == NULL)
			continue;
		rmd_core_client_resume(m.core, m.now_ms, m.member[i].client);
		while ((task = rmd_core_client_outcome_next(m.member[i].client, NULL)) !=
		       NULL)
			assert_int_equal(rmd_core_ack(m.core, m.now_ms,
						      m.member[i].client,
						      rmd_core_task_number(task)),
					 0);
	}
	settle(&m);
	m.stopping = true;
	rmd_core_destroy(m.core);
}

static void random_events_keep_every_invariant(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++)
		run(seed, false);
}

static void allocations_that_fail_at_random_lose_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 11; seed <= 12; seed++)
		run(seed, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_events_keep_every_invariant),
		cmocka_unit_test(allocations_that_fail_at_random_lose_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
