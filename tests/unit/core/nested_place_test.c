/* Tasks that submit tasks: who has a place while parents wait, and how many may. */
#include "tests/unit/core/nested_scene.h"

/* On a full agent a parent waits for a child in a pool that has no worker there: the
 * parent's place goes to it soon, not when turns come round. */
static void a_place_may_go_to_another_pool(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_agent *agent = rig_agent(rig, "small", 1);
	struct rmd_core_pool *first = rig_pool(rig, client, "first", 0);
	struct rmd_core_pool *second = rig_pool(rig, client, "second", 0);
	rig->keep = RMD_CORE_FORGET;
	rig_submit(rig, client, first);
	rig_tick(rig);
	rig_ready(rig, agent, first, 1);
	rig_began(rig, 0);
	assert_int_equal(rig_nested(rig, 0, 1, second), 0);
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, first), 1);
	rig_waits(rig, 0, true);
	rig_tick(rig);
	rig_pass(rig, 20);
	assert_int_equal(rig_wanted(agent, second), 1);
	rig_ready(rig, agent, second, 1);
	assert_int_equal(rig->grants, 2);
	rig_value(rig, 1);
	rig_waits(rig, 0, false); /* it goes on, also where the place is still taken */
	rig_tick(rig);		  /* an idle worker of the other gives it back */
	assert_int_equal(rig_wanted(agent, second), 0);
	rig_report(rig, agent, second, 0, 0);
	rig_value(rig, 0);
	assert_int_equal(rig->ends_by[RMD_CORE_END_VALUE], 1);
	rig_submit(rig, client, first);
	rig_report(rig, agent, first, 0, 0);
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, first), 1);
}

static void a_client_whose_tasks_wait_has_its_turn_as_if_it_had_none(void **state)
{
	struct scene s = scene(state, 2, 2);
	struct rmd_core_pool *pool = rig_pool(s.rig, s.client, "shared", 2);
	struct rmd_core_client *other = rig_client(s.rig, "uid:2");
	rig_submit(s.rig, s.client, pool);
	rig_tick(s.rig);
	rig_ready(s.rig, s.agent, pool, 1);
	assert_int_equal(s.rig->grants, 3);
	rig_report(s.rig, s.agent, pool, 2, 2);
	rig_submit(s.rig, other, pool);
	rig_submit(s.rig, other, pool);
	rig_tick(s.rig); /* grant 3: the other's; both have one lease */
	assert_int_equal(s.rig->grants, 4);
	nest(&s, 2, 1); /* the first's waits: it has none that takes a place */
	assert_int_equal(s.rig->grants, 5);
	assert_ptr_equal(s.rig->leases[4].client, s.client);
}

static void tasks_that_wait_are_limited(void **state)
{
	struct scene s = scene(state, 40, 1);
	uint32_t most = rmd_core_pool_waiting_max(s.pool);
	assert_int_equal(most, RMD_CORE_DEPTH_MAX + 1);
	/* An agent that begins one after the other, whatever is deeper. */
	rig_report(s.rig, s.agent, s.pool, 40, 1);
	rig_tick(s.rig);
	for (uint32_t i = 0; i < most; i++) {
		if (i > 0)
			rig_began(s.rig, i);
		assert_int_equal(rig_nested(s.rig, i, 1, NULL), 0);
		assert_int_equal(rig_waits(s.rig, i, true), 0);
	}
	rig_began(s.rig, most);
	assert_int_equal(rig_nested(s.rig, most, 1, NULL), RMD_EAGAIN);
	assert_int_equal(rig_waits(s.rig, 0, false), 0);
	assert_int_equal(rig_nested(s.rig, most, 1, NULL), 0);
	struct rmd_core_pool *large = rig_pool(s.rig, s.client, "large", 0);
	assert_int_equal(rmd_core_pool_waiting_max(large), RMD_CORE_WAITING_MAX);
	large = rig_pool(s.rig, s.client, "larger", 500);
	assert_int_equal(rmd_core_pool_waiting_max(large), RMD_CORE_WAITING_MAX);
}

/* Where half of those that may wait do, others don't begin before some have ended. */
static void in_a_crowd_only_children_begin(void **state)
{
	struct scene s = scene(state, 6, 1);
	struct rmd_core_client *others[6];
	struct rmd_core_pool *pool = rig_pool(s.rig, s.client, "shared", 1);
	for (int i = 0; i < 6; i++) {
		others[i] = rig_client(s.rig, "uid:2");
		rig_submit(s.rig, others[i], pool);
	}
	size_t first = s.rig->grants;
	rig_tick(s.rig);
	rig_ready(s.rig, s.agent, pool, 1);
	/* Clients without a lease have their turn before those whose tasks wait. */
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(s.rig->grants, first + i + 1);
		assert_true(s.rig->leases[first + i].number < RMD_CORE_NESTED);
		nest(&s, first + i, 1);
	}
	assert_int_equal(s.rig->grants, first + 6);
	assert_true(s.rig->leases[first + 5].number >= RMD_CORE_NESTED);
	char text[RMD_CORE_EXPLAIN_BYTES];
	int last = 0;
	while (rmd_core_task_state(rmd_core_task_find(others[last], 1)) !=
	       RMD_CORE_TASK_QUEUED)
		last++;
	rmd_core_task_explain(rmd_core_task_find(others[last], 1), text, sizeof(text));
	assert_string_equal(text, "5 tasks of its pool wait for tasks that they "
				  "submitted: those go first");
	/* Each child that ends lets its parent end; then the last begins. */
	for (size_t i = 0; i < 5; i++) {
		size_t child = s.rig->grants - 1;
		assert_true(s.rig->leases[child].number >= RMD_CORE_NESTED);
		uint64_t lease = 0;
		rig_value(s.rig, child);
		lease = s.rig->last_child_lease;
		for (size_t j = first; j < first + 5; j++)
			if (s.rig->leases[j].lease == lease) {
				rig_waits(s.rig, j, false);
				rig_value(s.rig, j);
			}
		rig_tick(s.rig);
		if (s.rig->leases[s.rig->grants - 1].number < RMD_CORE_NESTED)
			return; /* before all have ended, and after some have */
	}
	fail_msg("the last client's task has not begun");
}

static void a_larger_pool_is_a_crowd_no_more(void **state)
{
	struct scene s = scene(state, 6, 1);
	struct rmd_core_pool *pool = rig_pool(s.rig, s.client, "shared", 1);
	struct rmd_core_task *tasks[6], *queued = NULL;
	for (int i = 0; i < 6; i++) {
		struct rmd_core_client *other = rig_client(s.rig, "uid:2");
		rig_submit(s.rig, other, pool);
		tasks[i] = rmd_core_task_find(other, 1);
	}
	size_t first = s.rig->grants;
	rig_tick(s.rig);
	rig_ready(s.rig, s.agent, pool, 1);
	for (size_t i = 0; i < 5; i++)
		nest(&s, first + i, 1);
	for (int i = 0; i < 6; i++)
		if (rmd_core_task_state(tasks[i]) == RMD_CORE_TASK_QUEUED)
			queued = tasks[i];
	assert_non_null(queued);
	rig_pool(s.rig, s.client, "shared", 20);
	rig_ready(s.rig, s.agent, pool, 20);
	assert_int_equal(rmd_core_task_state(queued), RMD_CORE_TASK_LEASED);
}

static void children_of_one_task_are_limited(void **state)
{
	struct scene s = scene(state, 1, 1);
	for (uint64_t i = 1; i <= RMD_CORE_CHILDREN_MAX; i++)
		assert_int_equal(rig_nested(s.rig, 0, i, NULL), 0);
	assert_int_equal(rig_nested(s.rig, 0, RMD_CORE_CHILDREN_MAX + 1, NULL),
			 RMD_ELIMIT);
	rig_waits(s.rig, 0, true);
	rig_tick(s.rig);
	rig_value(s.rig, 1);
	assert_int_equal(rig_nested(s.rig, 0, RMD_CORE_CHILDREN_MAX + 1, NULL), 0);
	rig_waits(s.rig, 0, false);
	rig_value(s.rig, 0);
	assert_int_equal(rig_counters(s.rig).queued, 0);
}

static void children_take_no_part_of_the_clients_window(void **state)
{
	struct scene s = {.rig = *state};
	s.rig->config.tasks_per_client_max = 3;
	rig_stop(s.rig);
	rig_start(s.rig);
	s = scene(state, 2, 1);
	uint64_t window = rmd_core_client_window(s.client);
	assert_int_equal(window, 3);
	for (uint64_t i = 1; i <= 3; i++)
		assert_int_equal(rig_nested(s.rig, 0, i, NULL), 0);
	assert_int_equal(rig_nested(s.rig, 0, 4, NULL), RMD_ELIMIT);
	assert_int_equal(rmd_core_client_tasks(s.client), 2);
	assert_int_equal(rmd_core_client_open_tasks(s.client), 2);
	assert_int_equal(rig_submit(s.rig, s.client, s.pool), 0);
	assert_int_equal(rig_submit(s.rig, s.client, s.pool), RMD_ELIMIT);
}

static void what_comes_back_from_behind_a_task_that_waits_is_granted_at_once(void **state)
{
	struct scene s = scene(state, 2, 1);
	rig_report(s.rig, s.agent, s.pool, 2, 1);
	rig_tick(s.rig);
	assert_int_equal(s.rig->grants, 2);
	rig_nested(s.rig, 0, 1, NULL);
	rig_report(s.rig, s.agent, s.pool, 1, 1);
	rig_waits(s.rig, 0, true);
	rig_returned(s.rig, 1);
	rig_tick(s.rig);
	assert_int_equal(s.rig->grants, 3);
	assert_int_equal(s.rig->leases[2].number, RMD_CORE_NESTED + 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(a_place_may_go_to_another_pool),
		T(a_client_whose_tasks_wait_has_its_turn_as_if_it_had_none),
		T(tasks_that_wait_are_limited),
		T(in_a_crowd_only_children_begin),
		T(a_larger_pool_is_a_crowd_no_more),
		T(children_of_one_task_are_limited),
		T(children_take_no_part_of_the_clients_window),
		T(what_comes_back_from_behind_a_task_that_waits_is_granted_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
