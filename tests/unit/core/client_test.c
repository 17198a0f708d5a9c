/* Clients: limits, back-pressure, leaving, closing; the core's drain; agents' edges. */
#include "tests/unit/core/rig.h"

#include <string.h>

static void restart(struct rig *rig, struct rmd_core_config config)
{
	rig_stop(rig);
	rig->config = config;
	rig_start(rig);
}

static void tasks_are_limited_for_a_client_and_in_all(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_config config = RMD_CORE_CONFIG_INIT;
	config.tasks_per_client_max = 3;
	config.tasks_max = 5;
	restart(rig, config);
	struct rmd_core_client *a = rig_client(rig, "uid:1"),
			       *b = rig_client(rig, "uid:2");
	struct rmd_core_pool *pool = rig_pool(rig, NULL, "p", 1);
	assert_int_equal(rmd_core_client_window(a), 3);
	rig_submit_many(rig, a, pool, 3);
	assert_int_equal(rig_submit(rig, a, pool), RMD_ELIMIT);
	assert_int_equal(rmd_core_client_window(a), 3);
	rig_submit_many(rig, b, pool, 2);
	assert_int_equal(rig_submit(rig, b, pool), RMD_ELIMIT);
	rmd_core_cancel(rig->core, rig->now_ms, rmd_core_task_find(a, 1),
			RMD_CORE_END_CANCELLED);
	assert_int_equal(rig_submit(rig, a, pool), RMD_ELIMIT); /* its outcome is held */
	assert_int_equal(rmd_core_ack(rig->core, rig->now_ms, a, 1), 0);
	assert_int_equal(rmd_core_client_window(a), 4);
	assert_int_equal(rig_submit(rig, a, pool),
			 0); /* the refused number is free still */
	assert_int_equal(rmd_core_client_accepted(a), 4);
}

static void bytes_of_arguments_are_limited(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_config config = RMD_CORE_CONFIG_INIT;
	uint64_t name = strlen("native:demo.square");
	config.payload_bytes_per_client_max = 1000;
	config.payload_bytes_max = 1500;
	restart(rig, config);
	struct rmd_core_client *a = rig_client(rig, "uid:1"),
			       *b = rig_client(rig, "uid:2");
	struct rmd_core_pool *pool = rig_pool(rig, NULL, "p", 1);
	static const uint8_t bytes[2000];
	struct rmd_core_submit submit = {.payload = {{bytes, 1001 - name}, NULL}};
	assert_int_equal(rig_submit_with(rig, a, pool, submit), RMD_ELIMIT);
	assert_false(rmd_core_client_full(a));
	submit.payload.bytes.len = 1000 - name;
	assert_int_equal(rig_submit_with(rig, a, pool, submit), 0);
	assert_true(rmd_core_client_full(a));
	assert_int_equal(rig_submit_with(rig, b, pool, submit), RMD_ELIMIT);
	submit.payload.bytes.len = 500 - name;
	assert_int_equal(rig_submit_with(rig, b, pool, submit), 0);
	rmd_core_cancel(rig->core, rig->now_ms, rmd_core_task_find(a, 1),
			RMD_CORE_END_CANCELLED);
	assert_false(rmd_core_client_full(a));
}

static void a_client_that_does_not_fetch_its_outcomes_gets_no_grants(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_config config = RMD_CORE_CONFIG_INIT;
	config.outcome_bytes_per_client_max = 10;
	restart(rig, config);
	struct rmd_core_client *slow = rig_client(rig, "uid:1"),
			       *ok = rig_client(rig, "uid:2");
	struct rmd_core_pool *pool = rig_pool(rig, NULL, "p", 1);
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 1);
	rig_submit_many(rig, slow, pool, 4);
	rig_ready(rig, agent, pool, 2);
	rig_value(rig, 0); /* 6 bytes each */
	rig_value(rig, 1);
	rig_tick(rig);
	assert_int_equal(rig->grants, 2);
	char text[RMD_CORE_EXPLAIN_BYTES];
	rmd_core_task_explain(rmd_core_task_find(slow, 3), text, sizeof(text));
	assert_string_equal(text, "its client has 12 bytes of outcomes to fetch first");
	rig_submit(rig, ok, pool);
	rig_tick(rig);
	assert_int_equal(rig->grants, 3);
	assert_ptr_equal(rig->leases[2].client, ok);
	rmd_core_ack(rig->core, rig->now_ms, slow, 1);
	rig_tick(rig);
	assert_int_equal(rig->grants, 4);
	assert_ptr_equal(rig->leases[3].client, slow);
}

static void all_outcomes_together_are_limited_too(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_config config = RMD_CORE_CONFIG_INIT;
	config.outcome_bytes_per_client_max = 40;
	config.outcome_bytes_max = 10;
	restart(rig, config);
	struct rmd_core_client *a = rig_client(rig, "uid:1"),
			       *b = rig_client(rig, "uid:2");
	struct rmd_core_pool *pool = rig_pool(rig, NULL, "p", 1);
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 1);
	rig_submit(rig, a, pool);
	rig_submit_many(rig, b, pool, 2);
	rig_ready(rig, agent, pool, 2);
	rig_value(rig, 0);
	rig_value(rig, 1);
	rig_tick(rig);
	assert_int_equal(rig->grants, 2); /* 12 bytes in all, and b holds its share */
	rmd_core_ack(rig->core, rig->now_ms, a, 1);
	rig_tick(rig);
	assert_int_equal(rig->grants, 3); /* another's ack let b go on */
}

static void a_closed_client_is_told_nothing_and_its_leases_still_count(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "p", 1);
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 1);
	rig_submit_many(rig, client, pool, 5);
	rig_ready(rig, agent, pool, 3);
	rig_value(rig, 0);
	rmd_core_client_close(rig->core, rig->now_ms, client);
	assert_int_equal(rig->ends, 1);
	assert_int_equal(rig->cancels, 2);
	assert_int_equal(rig_counters(rig).clients, 0);
	assert_int_equal(rig_counters(rig).leased, 2);
	struct rmd_core_task *task =
		rmd_core_agent_task(rig->core, agent, rig->leases[1].lease);
	assert_null(rmd_core_task_client(task));
	rig_returned(rig, 1);
	rig_value(rig, 2);
	assert_int_equal(rig->ends, 1);
	assert_int_equal(rig->tasks_gone, 5);
	assert_int_equal(rig_held(agent, pool), 0);
	assert_int_equal(rig_counters(rig).outcome_bytes, 0);
	rig_pass(rig, 20000);
	assert_int_equal(rig->pools_gone, 1);
}

static void a_client_that_leaves_may_come_back_to_its_outcomes(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "p", 1);
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 1);
	rig_submit_many(rig, client, pool, 3);
	rig_ready(rig, agent, pool, 3);
	rmd_core_client_leave(rig->core, rig->now_ms, client, 500);
	rig_value(rig, 2);
	rig_value(rig, 0);
	rig_pass(rig, 499);
	rmd_core_client_resume(rig->core, rig->now_ms, client);
	rig_pass(rig, 10000);
	assert_int_equal(rig->expired, 0);
	const struct rmd_core_task *task = rmd_core_client_outcome_next(client, NULL);
	assert_int_equal(rmd_core_task_number(task), 3);
	task = rmd_core_client_outcome_next(client, task);
	assert_int_equal(rmd_core_task_number(task), 1);
	assert_null(rmd_core_client_outcome_next(client, task));
	assert_int_equal(rmd_core_client_open_tasks(client), 1);
	rmd_core_client_leave(rig->core, rig->now_ms, client, 500);
	rig_pass(rig, 500);
	assert_int_equal(rig->expired, 1);
	assert_int_equal(rig_counters(rig).clients, 0);
	assert_int_equal(rig->cancels, 1);
}

static void an_ack_before_the_end_breaks_the_protocol(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	rig_submit(rig, client, rig_pool(rig, client, "p", 1));
	assert_int_equal(rmd_core_ack(rig->core, rig->now_ms, client, 1), RMD_EPROTO);
	assert_int_equal(rmd_core_ack(rig->core, rig->now_ms, client, 2), RMD_ENOTFOUND);
}

static void a_draining_core_takes_nothing_and_says_when_it_is_done(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1"), *late = NULL;
	struct rmd_core_pool *pool = rig_pool(rig, client, "p", 1);
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 1);
	rig_submit_many(rig, client, pool, 2);
	rig_ready(rig, agent, pool, 1);
	rmd_core_drain(rig->core, rig->now_ms);
	rig_tick(rig);
	assert_int_equal(rig_submit(rig, client, pool), RMD_ECLOSED);
	assert_int_equal(rmd_core_client_open(rig->core, 0, "x", NULL, &late),
			 RMD_ECLOSED);
	rig_value(rig, 0);
	rig_tick(rig);
	assert_int_equal(rig->drained, 0);
	rmd_core_cancel_all(rig->core, rig->now_ms, RMD_CORE_END_SHUTDOWN);
	rig_tick(rig);
	assert_int_equal(rig->drained, 0);
	rig_error(rig, 1, true);
	assert_int_equal(rig->ends_by[RMD_CORE_END_SHUTDOWN], 1);
	rig_tick(rig);
	rig_tick(rig);
	assert_int_equal(rig->drained, 1); /* held outcomes do not keep it */
}

static void agents_words_out_of_range_are_refused_or_cut(void **state)
{
	struct rig *rig = *state;
	struct rmd_slice runtimes[RMD_CORE_RUNTIMES_MAX + 1];
	struct rmd_core_agent *agent;
	for (size_t i = 0; i <= RMD_CORE_RUNTIMES_MAX; i++)
		runtimes[i] = rig_text("native");
	static const uint8_t name[RMD_CORE_NAME_MAX + 1] = {'n'};
	struct rmd_core_agent_info info = {.name = {name, RMD_CORE_NAME_MAX},
					   .runtimes = runtimes,
					   .runtime_count = RMD_CORE_RUNTIMES_MAX};
	assert_int_equal(rmd_core_agent_attach(rig->core, 0, &info, &agent), 0);
	info.runtime_count++;
	assert_int_equal(rmd_core_agent_attach(rig->core, 0, &info, &agent), RMD_EINVAL);
	info.runtime_count = 1;
	info.name.len++;
	assert_int_equal(rmd_core_agent_attach(rig->core, 0, &info, &agent), RMD_EINVAL);

	agent = rig_agent(rig, "node-a", 1);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "p", 1);
	rig_submit_many(rig, client, pool, 10);
	rig_tick(rig);
	agent = rmd_core_agent_next(rig->core, NULL);
	if (rig_wanted(agent, pool) == 0)
		agent = rmd_core_agent_next(rig->core, agent);
	struct rmd_core_agent_pool odd = {.pool = rmd_core_pool_number(pool),
					  .slots = UINT32_MAX,
					  .workers = UINT32_MAX,
					  .starting = UINT32_MAX,
					  .idle = UINT32_MAX};
	assert_int_equal(rmd_core_agent_pool(rig->core, 0, agent, &odd), 0);
	struct rmd_core_ledger_info ledger;
	rmd_core_ledger_info(rmd_core_ledger_next(agent, NULL), &ledger);
	assert_int_equal(ledger.slots, RMD_CORE_SLOTS_MAX);
	assert_int_equal(ledger.workers, RMD_CORE_WORKERS_MAX);
	assert_int_equal(ledger.starting, RMD_CORE_WORKERS_MAX);
	assert_int_equal(ledger.idle, 0);
	rig_tick(rig);
	assert_int_equal(rig->grants, 10);
}

static void numbers_with_gaps_are_found(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "p", 1);
	static const uint64_t numbers[] = {
		1, 15, 16, 17, 1000, UINT64_C(1) << 60, RMD_CORE_NESTED - 1};
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(
			rig_submit_with(rig, client, pool,
					(struct rmd_core_submit){.number = numbers[i]}),
			0);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(
			rmd_core_task_number(rmd_core_task_find(client, numbers[i])),
			numbers[i]);
	assert_null(rmd_core_task_find(client, 2));
	assert_null(rmd_core_task_find(client, 999));
	const struct rmd_core_task *task = NULL;
	for (size_t i = 0; i < 7; i++) {
		task = rmd_core_task_next(rig->core, task);
		assert_int_equal(rmd_core_task_number(task), numbers[i]);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(tasks_are_limited_for_a_client_and_in_all),
		T(bytes_of_arguments_are_limited),
		T(a_client_that_does_not_fetch_its_outcomes_gets_no_grants),
		T(all_outcomes_together_are_limited_too),
		T(a_closed_client_is_told_nothing_and_its_leases_still_count),
		T(a_client_that_leaves_may_come_back_to_its_outcomes),
		T(an_ack_before_the_end_breaks_the_protocol),
		T(a_draining_core_takes_nothing_and_says_when_it_is_done),
		T(agents_words_out_of_range_are_refused_or_cut),
		T(numbers_with_gaps_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
