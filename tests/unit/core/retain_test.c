/* Clients that go away, and their detached tasks. */
#include "tests/unit/core/rig.h"

static const struct rmd_core_rules detached = {.detached = true};

struct scene {
	struct rig *rig;
	struct rmd_core_client *client;
	struct rmd_core_pool *pool;
	struct rmd_core_agent *agent;
};

/* Tasks 1 (detached) and 2 run, 3 (detached) and 4 are queued; then the client leaves for
 * ever. */
static struct scene scene(void **state)
{
	struct scene s = {.rig = *state};
	s.client = rig_client(s.rig, "uid:1");
	s.pool = rig_pool(s.rig, s.client, "", 2);
	s.agent = rig_agent(s.rig, "node-a", 4);
	for (int i = 0; i < 4; i++) {
		struct rmd_core_submit wish = {.rules = i % 2 == 0 ? &detached : NULL};
		assert_int_equal(rig_submit_with(s.rig, s.client, s.pool, wish), 0);
	}
	rig_ready(s.rig, s.agent, s.pool, 2);
	assert_int_equal(s.rig->grants, 2);
	rig_began(s.rig, 0);
	rig_began(s.rig, 1);
	s.rig->keep = RMD_CORE_KEEP;
	rmd_core_client_leave(s.rig->core, s.rig->now_ms, s.client, 100);
	rig_pass(s.rig, 99);
	assert_false(rmd_core_client_abandoned(s.client));
	rig_pass(s.rig, 1);
	return s;
}

static void an_abandoned_clients_other_tasks_are_cancelled(void **state)
{
	struct scene s = scene(state);
	assert_true(rmd_core_client_abandoned(s.client));
	assert_int_equal(s.rig->expired, 0);
	assert_int_equal(s.rig->cancels, 1);
	assert_int_equal(s.rig->last_cancel, s.rig->leases[1].lease);
	assert_int_equal(s.rig->tasks_gone, 1); /* task 4 */
	assert_int_equal(s.rig->ends, 0);
	rig_error(s.rig, 1, true);
	assert_int_equal(s.rig->tasks_gone, 2);
	assert_int_equal(s.rig->ends, 0); /* nobody is told */
	assert_int_equal(rmd_core_client_detached(s.client), 2);
	struct rmd_core_submit more = {.number = 5};
	assert_int_equal(rig_submit_with(s.rig, s.client, s.pool, more), RMD_ECLOSED);
}

static void detached_tasks_go_on_and_their_outcomes_wait(void **state)
{
	struct scene s = scene(state);
	rig_error(s.rig, 1, true);
	rig_value(s.rig, 0);
	rig_tick(s.rig);
	assert_int_equal(s.rig->grants, 3); /* task 3 */
	rig_value(s.rig, 2);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_VALUE], 2);
	rig_pass(s.rig, s.rig->config.retention_ms - 1);
	assert_non_null(rmd_core_task_find(s.client, 1));
	assert_memory_equal(
		rmd_core_task_outcome(rmd_core_task_find(s.client, 3)).bytes.data,
		"result", 6);
	rig_pass(s.rig, 1);
	assert_int_equal(s.rig->expired, 1);
	assert_int_equal(s.rig->tasks_gone, 4);
	assert_int_equal(rig_counters(s.rig).outcome_bytes, 0);
	assert_int_equal(rig_counters(s.rig).clients, 0);
}

static void an_acknowledged_outcome_waits_all_the_same(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "", 1);
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 4);
	struct rmd_core_submit wish = {.rules = &detached};
	rig->keep = RMD_CORE_KEEP;
	assert_int_equal(rig_submit_with(rig, client, pool, wish), 0);
	rig_ready(rig, agent, pool, 1);
	rig_value(rig, 0);
	assert_int_equal(rmd_core_client_outcome_bytes(client), 6);
	for (int i = 0; i < 2; i++) { /* said again it means the same */
		assert_int_equal(rmd_core_ack(rig->core, rig->now_ms, client, 1), 0);
		assert_non_null(rmd_core_task_find(client, 1));
		assert_int_equal(rmd_core_client_outcome_bytes(client), 0);
		rig_pass(rig, rig->config.retention_ms / 2);
	}
	rig_pass(rig, 1);
	assert_null(rmd_core_task_find(client, 1));
	assert_int_equal(rig->expired, 0);
}

static void beyond_their_bytes_the_oldest_outcomes_go(void **state)
{
	struct rig *rig = *state;
	rig->config.retained_bytes_max = 11; /* one "result", not two */
	rig_stop(rig);
	rig_start(rig);
	struct scene s = scene(state);
	rig_error(s.rig, 1, true);
	rig_value(s.rig, 0);
	rig_tick(s.rig);
	assert_non_null(rmd_core_task_find(s.client, 1));
	rig_value(s.rig, 2);
	rig_tick(s.rig);
	assert_null(rmd_core_task_find(s.client, 1));
	assert_non_null(rmd_core_task_find(s.client, 3));
}

static void the_children_of_a_detached_task_go_on_too(void **state)
{
	struct scene s = {.rig = *state};
	s.client = rig_client(s.rig, "uid:1");
	s.pool = rig_pool(s.rig, s.client, "", 2);
	s.agent = rig_agent(s.rig, "node-a", 4);
	struct rmd_core_submit wish = {.rules = &detached};
	assert_int_equal(rig_submit_with(s.rig, s.client, s.pool, wish), 0);
	rig_ready(s.rig, s.agent, s.pool, 1);
	rig_began(s.rig, 0);
	assert_int_equal(rig_nested(s.rig, 0, 1, NULL), 0);
	rmd_core_client_leave(s.rig->core, s.rig->now_ms, s.client, 0);
	rig_waits(s.rig, 0, true);
	rig_pass(s.rig, 1);
	rig_tick(s.rig);
	assert_true(rmd_core_client_abandoned(s.client));
	assert_int_equal(s.rig->grants, 2);
	rig_value(s.rig, 1);
	assert_int_equal(s.rig->child_ends_by[RMD_CORE_END_VALUE], 1);
}

static void a_client_without_detached_tasks_expires_as_before(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "", 1);
	rig_submit_many(rig, client, pool, 1);
	rmd_core_client_leave(rig->core, rig->now_ms, client, 10);
	rig_pass(rig, 10);
	assert_int_equal(rig->expired, 1);
	assert_int_equal(rig_counters(rig).queued, 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_abandoned_clients_other_tasks_are_cancelled),
		T(detached_tasks_go_on_and_their_outcomes_wait),
		T(an_acknowledged_outcome_waits_all_the_same),
		T(beyond_their_bytes_the_oldest_outcomes_go),
		T(the_children_of_a_detached_task_go_on_too),
		T(a_client_without_detached_tasks_expires_as_before),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
