/* Tasks that submit tasks: what children have of their parents, from submit to end. */
#include "tests/unit/core/nested_scene.h"

static void a_child_has_identity_depth_and_output_of_its_parent(void **state)
{
	struct scene s = scene(state, 0, 1);
	struct rmd_core_submit parent = {.priority = 5, .stream_logs = true};
	assert_int_equal(rig_submit_with(s.rig, s.client, s.pool, parent), 0);
	rig_tick(s.rig);
	rig_ready(s.rig, s.agent, s.pool, 1);
	nest(&s, 0, 1);
	assert_int_equal(s.rig->grants, 2);
	const struct rmd_core_task *child = task_of(&s, 1);
	assert_ptr_equal(rmd_core_task_client(child), s.client);
	assert_ptr_equal(rmd_core_task_pool(child), s.pool);
	assert_int_equal(rmd_core_task_depth(child), 1);
	assert_true(rmd_core_task_stream_logs(child));
	assert_true(rmd_core_task_nested(child));
	assert_int_equal(rmd_core_task_child_number(child), 1);
	assert_ptr_equal(rmd_core_task_parent(child), task_of(&s, 0));
	assert_int_equal(rmd_core_task_deadline_ms(child), 0);
	assert_true(rmd_core_task_number(child) >= RMD_CORE_NESTED);
	assert_ptr_equal(rmd_core_task_find(s.client, rmd_core_task_number(child)),
			 child);
	assert_false(rmd_core_task_nested(task_of(&s, 0)));
	assert_null(rmd_core_task_parent(task_of(&s, 0)));
	assert_true(rmd_core_task_waiting(task_of(&s, 0)));
}

static void a_childs_deadline_is_never_later_than_its_parents(void **state)
{
	struct scene s = scene(state, 0, 1);
	struct rmd_core_submit parent = {.deadline_ms = 5000};
	assert_int_equal(rig_submit_with(s.rig, s.client, s.pool, parent), 0);
	rig_tick(s.rig);
	rig_ready(s.rig, s.agent, s.pool, 1);
	rig_began(s.rig, 0);
	rig_pass(s.rig, 1000);
	static const uint64_t asked_ms[] = {0, 100000, 300};
	static const uint64_t left_ms[] = {4000, 4000, 300};
	struct rmd_core_task *child = NULL;
	for (size_t i = 0; i < 3; i++) {
		struct rmd_core_nested nested = {.lease = s.rig->leases[0].lease,
						 .number = i + 1,
						 .function = rig_text("f"),
						 .deadline_ms = asked_ms[i]};
		assert_int_equal(rmd_core_agent_submit(s.rig->core, s.rig->now_ms,
						       s.agent, &nested),
				 0);
		child = rmd_core_task_find(s.client, RMD_CORE_NESTED + i + 1);
		assert_int_equal(rmd_core_task_deadline_ms(child) - s.rig->now_ms,
				 left_ms[i]);
	}
	/* The third comes to its own; then the parent with all that is left. */
	rig_pass(s.rig, 300);
	assert_int_equal(s.rig->child_ends_by[RMD_CORE_END_DEADLINE], 1);
	assert_int_equal(s.rig->last_child, 3);
	rig_pass(s.rig, 3700);
	assert_int_equal(s.rig->cancels, 1);
	assert_int_equal(s.rig->child_ends, 3);
	assert_int_equal(rig_error(s.rig, 0, true), 0);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_DEADLINE], 1);
	assert_int_equal(rig_counters(s.rig).queued, 0);
}

static void a_number_that_was_taken_submits_nothing(void **state)
{
	struct scene s = scene(state, 1, 1);
	assert_int_equal(rig_nested(s.rig, 0, 3, NULL), 0);
	assert_int_equal(rig_nested(s.rig, 0, 3, NULL), RMD_EEXIST);
	assert_int_equal(rig_nested(s.rig, 0, 1, NULL), RMD_EEXIST);
	assert_int_equal(rig_nested(s.rig, 0, 4, NULL), 0);
	assert_int_equal(rig_counters(s.rig).accepted, 3);
	/* Nor when the child has ended. */
	rig_waits(s.rig, 0, true);
	rig_tick(s.rig);
	assert_int_equal(rig_value(s.rig, 1), 0);
	assert_int_equal(s.rig->last_child, 3);
	assert_int_equal(rig_nested(s.rig, 0, 3, NULL), RMD_EEXIST);
}

static void only_the_agent_of_a_lease_that_has_begun_may_submit(void **state)
{
	struct scene s = scene(state, 0, 1);
	struct rmd_core_agent *other = rig_agent(s.rig, "node-b", 4);
	rig_submit(s.rig, s.client, s.pool);
	rig_tick(s.rig);
	rig_ready(s.rig, s.agent, s.pool, 1);
	assert_int_equal(s.rig->grants, 1);
	assert_int_equal(rig_nested(s.rig, 0, 1, NULL), RMD_EPROTO);
	assert_int_equal(rig_waits(s.rig, 0, true), RMD_EPROTO);
	rig_began(s.rig, 0);
	assert_int_equal(rig_nested(s.rig, 0, 0, NULL), RMD_EPROTO);
	s.rig->leases[0].agent = other;
	assert_int_equal(rig_nested(s.rig, 0, 1, NULL), RMD_EPROTO);
	assert_int_equal(rig_waits(s.rig, 0, true), RMD_EPROTO);
	assert_int_equal(rmd_core_agent_cancel_child(s.rig->core, s.rig->now_ms, other,
						     s.rig->leases[0].lease, 1),
			 RMD_EPROTO);
	s.rig->leases[0].agent = s.agent;
	rig_value(s.rig, 0);
	assert_int_equal(rig_nested(s.rig, 0, 1, NULL), RMD_ENOTFOUND);
	assert_int_equal(rig_waits(s.rig, 0, true), RMD_ENOTFOUND);
	assert_int_equal(rmd_core_agent_cancel_child(s.rig->core, s.rig->now_ms, s.agent,
						     s.rig->leases[0].lease, 1),
			 RMD_ENOTFOUND);
}

static void tasks_nest_to_the_limit_on_one_place_and_no_deeper(void **state)
{
	struct scene s = scene(state, 1, 1);
	for (size_t depth = 0; depth < RMD_CORE_DEPTH_MAX; depth++) {
		nest(&s, depth, 1);
		assert_int_equal(s.rig->grants, depth + 2);
		assert_int_equal(rmd_core_task_depth(task_of(&s, depth + 1)), depth + 1);
	}
	rig_began(s.rig, RMD_CORE_DEPTH_MAX);
	assert_int_equal(rig_nested(s.rig, RMD_CORE_DEPTH_MAX, 1, NULL), RMD_EDEPTH);
	for (size_t depth = RMD_CORE_DEPTH_MAX; depth > 0; depth--) {
		assert_int_equal(rig_value(s.rig, depth), 0);
		assert_int_equal(s.rig->last_child_lease, s.rig->leases[depth - 1].lease);
		assert_int_equal(rig_waits(s.rig, depth - 1, false), 0);
	}
	assert_int_equal(rig_value(s.rig, 0), 0);
	assert_int_equal(s.rig->child_ends_by[RMD_CORE_END_VALUE], RMD_CORE_DEPTH_MAX);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_VALUE], 1);
	struct rmd_core_pool_info info;
	rmd_core_pool_info(s.pool, &info);
	assert_int_equal(info.waiting, 0);
	assert_int_equal(info.leased + info.queued, 0);
}

static void a_place_is_free_only_while_its_task_waits(void **state)
{
	struct scene s = scene(state, 3, 1);
	assert_int_equal(s.rig->grants, 1);
	rig_nested(s.rig, 0, 1, NULL);
	rig_tick(s.rig);
	assert_int_equal(s.rig->grants, 1);
	rig_waits(s.rig, 0, true);
	rig_waits(s.rig, 0, true); /* said again: the same */
	rig_tick(s.rig);
	assert_int_equal(s.rig->grants, 2);
	assert_int_equal(s.rig->leases[1].number, RMD_CORE_NESTED + 1);
	rig_value(s.rig, 1);
	rig_waits(s.rig, 0, false);
	rig_waits(s.rig, 0, false);
	rig_tick(s.rig);
	assert_int_equal(s.rig->grants, 2); /* the parent has its place back */
	rig_value(s.rig, 0);
	rig_tick(s.rig);
	assert_int_equal(s.rig->grants, 3);
	assert_int_equal(s.rig->leases[2].number, 2);
}

static void deeper_tasks_go_first_whatever_the_priority_of_others(void **state)
{
	struct scene s = scene(state, 2, 2);
	assert_int_equal(s.rig->grants, 2);
	struct rmd_core_submit urgent = {.priority = 1000};
	assert_int_equal(rig_submit_with(s.rig, s.client, s.pool, urgent), 0);
	nest(&s, 0, 1); /* grant 2: depth 1 */
	rig_nested(s.rig, 1, 1, NULL);
	rig_began(s.rig, 2);
	rig_nested(s.rig, 2, 1, NULL);
	rig_nested(s.rig, 2, 2, NULL);
	rig_waits(s.rig, 1, true);
	rig_waits(s.rig, 2, true);
	rig_tick(s.rig); /* two places: both of depth 2, in their order */
	assert_int_equal(s.rig->grants, 5);
	assert_int_equal(rmd_core_task_depth(task_of(&s, 3)), 2);
	assert_int_equal(rmd_core_task_child_number(task_of(&s, 3)), 1);
	assert_int_equal(rmd_core_task_child_number(task_of(&s, 4)), 2);
	rig_value(s.rig, 3);
	rig_value(s.rig, 4);
	rig_tick(s.rig);
	assert_int_equal(s.rig->grants, 7);
	assert_int_equal(rmd_core_task_depth(task_of(&s, 5)), 1);
	assert_int_equal(s.rig->leases[6].number, 3); /* the urgent one, last */
}

static void the_end_of_a_parent_cancels_its_children_and_nobody_hears_of_it(void **state)
{
	struct scene s = scene(state, 1, 3);
	rig_nested(s.rig, 0, 1, NULL);
	rig_tick(s.rig);
	rig_ready(s.rig, s.agent, s.pool, 3);
	assert_int_equal(s.rig->grants, 2);
	rig_began(s.rig, 1);
	rig_nested(s.rig, 1, 1, NULL); /* a grandchild: it ends with its own parent */
	rig_tick(s.rig);
	rig_ready(s.rig, s.agent, s.pool, 2);
	rig_report(s.rig, s.agent, s.pool, 2, 2);
	rig_nested(s.rig, 0, 2, NULL); /* stays queued: no slot */
	rig_tick(s.rig);
	assert_int_equal(s.rig->grants, 3);
	rig_value(s.rig, 0);
	assert_int_equal(s.rig->ends, 1);
	assert_int_equal(s.rig->child_ends, 0);
	assert_int_equal(s.rig->cancels, 1); /* the child that is leased */
	assert_int_equal(s.rig->last_cancel, s.rig->leases[1].lease);
	assert_int_equal(s.rig->tasks_gone, 2); /* the parent and the queued one */
	assert_int_equal(rig_value(s.rig, 1), 0);
	assert_int_equal(s.rig->cancels, 2);
	assert_int_equal(s.rig->last_cancel, s.rig->leases[2].lease);
	assert_int_equal(rig_error(s.rig, 2, true), 0);
	assert_int_equal(s.rig->child_ends, 0);
	assert_int_equal(s.rig->tasks_gone, 4);
	assert_int_equal(rig_counters(s.rig).leased + rig_counters(s.rig).running, 0);
}

static void a_cancelled_parent_has_its_children_cancelled_at_once(void **state)
{
	struct scene s = scene(state, 1, 3);
	rig_nested(s.rig, 0, 1, NULL);
	rig_tick(s.rig);
	rig_ready(s.rig, s.agent, s.pool, 2);
	rig_report(s.rig, s.agent, s.pool, 2, 2);
	rig_nested(s.rig, 0, 2, NULL);
	rig_tick(s.rig);
	assert_int_equal(s.rig->grants, 2);
	rmd_core_cancel(s.rig->core, s.rig->now_ms, task_of(&s, 0),
			RMD_CORE_END_CANCELLED);
	assert_int_equal(s.rig->cancels, 2);
	assert_int_equal(s.rig->child_ends_by[RMD_CORE_END_PARENT_GONE], 1);
	assert_int_equal(s.rig->last_child, 2);
	assert_int_equal(rig_nested(s.rig, 0, 3, NULL), RMD_ECLOSED);
	rig_value(s.rig, 1);
	assert_int_equal(s.rig->child_ends_by[RMD_CORE_END_PARENT_GONE], 2);
	rig_value(s.rig, 0);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_CANCELLED], 1);
	assert_int_equal(rig_counters(s.rig).ended, 3);
}

static void a_parent_may_cancel_a_child(void **state)
{
	struct scene s = scene(state, 1, 1);
	rig_nested(s.rig, 0, 1, NULL);
	rig_nested(s.rig, 0, 2, NULL);
	rig_waits(s.rig, 0, true);
	rig_tick(s.rig);
	assert_int_equal(s.rig->grants, 2);
	struct rmd_core *core = s.rig->core;
	uint64_t lease = s.rig->leases[0].lease;
	assert_int_equal(
		rmd_core_agent_cancel_child(core, s.rig->now_ms, s.agent, lease, 3),
		RMD_ENOTFOUND);
	assert_int_equal(
		rmd_core_agent_cancel_child(core, s.rig->now_ms, s.agent, lease, 2), 0);
	assert_int_equal(s.rig->child_ends_by[RMD_CORE_END_CANCELLED], 1);
	assert_int_equal(
		rmd_core_agent_cancel_child(core, s.rig->now_ms, s.agent, lease, 1), 0);
	assert_int_equal(s.rig->last_cancel, s.rig->leases[1].lease);
	rig_error(s.rig, 1, true);
	assert_int_equal(s.rig->child_ends_by[RMD_CORE_END_CANCELLED], 2);
	assert_int_equal(s.rig->last_child, 1);
}

static void another_attempt_of_a_parent_begins_without_children(void **state)
{
	struct scene s = scene(state, 0, 1);
	struct rmd_core_submit twice = {.max_attempts = 2};
	assert_int_equal(rig_submit_with(s.rig, s.client, s.pool, twice), 0);
	rig_tick(s.rig);
	rig_ready(s.rig, s.agent, s.pool, 1);
	nest(&s, 0, 1); /* grant 1 */
	rig_nested(s.rig, 0, 2, NULL);
	rig_error(s.rig, 0, true); /* its worker died while it waited */
	assert_int_equal(s.rig->child_ends, 0);
	assert_int_equal(s.rig->last_cancel, s.rig->leases[1].lease);
	rig_error(s.rig, 1, true);
	rig_tick(s.rig);
	assert_int_equal(s.rig->grants, 3);
	assert_int_equal(s.rig->leases[2].attempt, 2);
	assert_false(rmd_core_task_waiting(task_of(&s, 2)));
	nest(&s, 2, 1); /* its numbers begin anew */
	rig_value(s.rig, 3);
	assert_int_equal(s.rig->child_ends, 1);
	rig_waits(s.rig, 2, false);
	rig_value(s.rig, 2);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_VALUE], 1);
}

static void children_may_have_attempts_of_their_own(void **state)
{
	struct scene s = scene(state, 1, 1);
	struct rmd_core_nested nested = {.lease = s.rig->leases[0].lease,
					 .number = 1,
					 .function = rig_text("f"),
					 .max_attempts = 2};
	assert_int_equal(
		rmd_core_agent_submit(s.rig->core, s.rig->now_ms, s.agent, &nested), 0);
	rig_waits(s.rig, 0, true);
	rig_tick(s.rig);
	rig_error(s.rig, 1, true);
	rig_tick(s.rig);
	assert_int_equal(s.rig->grants, 3);
	assert_int_equal(s.rig->child_ends, 0);
	rig_error(s.rig, 2, true);
	assert_int_equal(s.rig->child_ends_by[RMD_CORE_END_ERROR], 1);
	nested.number = 2;
	nested.max_attempts = RMD_CORE_ATTEMPTS_MAX + 1;
	assert_int_equal(
		rmd_core_agent_submit(s.rig->core, s.rig->now_ms, s.agent, &nested),
		RMD_EINVAL);
	/* What was refused did not take its number. */
	assert_int_equal(rig_nested(s.rig, 0, 2, NULL), 0);
}

static void
a_lost_agent_ends_parents_that_wait_and_their_children_everywhere(void **state)
{
	struct scene s = {.rig = *state};
	s.client = rig_client(s.rig, "uid:1");
	s.pool = rig_pool(s.rig, s.client, "", 0);
	s.agent = rig_agent(s.rig, "node-a", 1);
	rig_submit(s.rig, s.client, s.pool);
	rig_tick(s.rig);
	rig_ready(s.rig, s.agent, s.pool, 1);
	rig_began(s.rig, 0);
	struct rmd_core_agent *other = rig_agent(s.rig, "node-b", 1);
	rig_nested(s.rig, 0, 1, NULL);
	rig_nested(s.rig, 0, 2, NULL);
	rig_waits(s.rig, 0, true);
	rig_tick(s.rig);
	rig_ready(s.rig, other, s.pool, 1);
	assert_int_equal(s.rig->grants, 3);
	rmd_core_agent_lost(s.rig->core, s.rig->now_ms, s.agent, RMD_CORE_FAREWELL_LOST);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_AGENT_LOST], 1);
	size_t i = s.rig->leases[1].agent == other ? 1 : 2;
	assert_ptr_equal(s.rig->leases[i].agent, other);
	assert_int_equal(s.rig->last_cancel, s.rig->leases[i].lease);
	assert_int_equal(rig_value(s.rig, i), 0);
	assert_int_equal(rig_counters(s.rig).ended, 3);
	rig_tick(s.rig);
}

static void the_end_of_a_client_ends_parents_and_children(void **state)
{
	struct scene s = scene(state, 1, 2);
	nest(&s, 0, 1);
	rig_nested(s.rig, 0, 2, NULL);
	rig_report(s.rig, s.agent, s.pool, 1, 1);
	rig_nested(s.rig, 0, 3, NULL);
	rmd_core_client_close(s.rig->core, s.rig->now_ms, s.client);
	for (size_t i = 0; i < s.rig->grants; i++)
		rig_error(s.rig, i, true);
	rig_tick(s.rig);
	assert_int_equal(s.rig->ends, 0);
	assert_int_equal(rig_counters(s.rig).ended, 4);
	assert_int_equal(rig_counters(s.rig).clients, 0);
	assert_int_equal(s.rig->tasks_gone, 4);
}

static void children_go_to_shared_pools_and_to_no_others(void **state)
{
	struct scene s = scene(state, 1, 1);
	struct rmd_core_client *other = rig_client(s.rig, "uid:2");
	struct rmd_core_pool *shared = rig_pool(s.rig, other, "shared", 1);
	struct rmd_core_pool *own = rig_pool(s.rig, other, "", 1);
	assert_int_equal(rig_nested(s.rig, 0, 1, own), RMD_EINVAL);
	assert_int_equal(rig_nested(s.rig, 0, 1, shared), 0);
	rig_waits(s.rig, 0, true);
	rig_tick(s.rig);
	rig_ready(s.rig, s.agent, shared, 1);
	assert_int_equal(s.rig->grants, 2);
	assert_ptr_equal(rmd_core_task_pool(task_of(&s, 1)), shared);
	rig_value(s.rig, 1);
	assert_int_equal(s.rig->child_ends, 1);
	rmd_core_pool_close(s.rig->core, s.rig->now_ms, shared, RMD_CORE_POOL_DRAIN);
	assert_int_equal(rig_nested(s.rig, 0, 2, shared), RMD_ECLOSED);
}

static void what_goes_on_in_a_pool_that_closes_may_still_submit_there(void **state)
{
	struct scene s = scene(state, 1, 1);
	rmd_core_pool_close(s.rig->core, s.rig->now_ms, s.pool, RMD_CORE_POOL_DRAIN);
	rmd_core_drain(s.rig->core, s.rig->now_ms);
	nest(&s, 0, 1);
	assert_int_equal(s.rig->grants, 2);
	assert_int_equal(s.rig->drained, 0);
	rig_value(s.rig, 1);
	rig_waits(s.rig, 0, false);
	rmd_core_pool_close(s.rig->core, s.rig->now_ms, s.pool, RMD_CORE_POOL_KILL);
	assert_int_equal(rig_nested(s.rig, 0, 2, NULL), RMD_ECLOSED);
	rig_error(s.rig, 0, true);
	rig_tick(s.rig);
	assert_int_equal(s.rig->drained, 1);
}

static void a_parent_that_waits_says_so(void **state)
{
	struct scene s = scene(state, 1, 1);
	char text[RMD_CORE_EXPLAIN_BYTES];
	nest(&s, 0, 1);
	rmd_core_task_explain(task_of(&s, 0), text, sizeof(text));
	assert_string_equal(text, "waits for tasks that it submitted");
	rig_waits(s.rig, 0, false);
	rmd_core_task_explain(task_of(&s, 0), text, sizeof(text));
	assert_string_equal(text, "");
}

static void a_core_with_parents_and_children_can_be_destroyed(void **state)
{
	struct scene s = scene(state, 3, 1);
	nest(&s, 0, 1);
	nest(&s, 1, 1);
	rig_nested(s.rig, 0, 2, NULL);
	rig_stop(s.rig);
	assert_int_equal(s.rig->child_ends, 0);
	assert_int_equal(s.rig->tasks_gone, 6);
	rig_start(s.rig);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(a_child_has_identity_depth_and_output_of_its_parent),
		T(a_childs_deadline_is_never_later_than_its_parents),
		T(a_number_that_was_taken_submits_nothing),
		T(only_the_agent_of_a_lease_that_has_begun_may_submit),
		T(tasks_nest_to_the_limit_on_one_place_and_no_deeper),
		T(a_place_is_free_only_while_its_task_waits),
		T(deeper_tasks_go_first_whatever_the_priority_of_others),
		T(the_end_of_a_parent_cancels_its_children_and_nobody_hears_of_it),
		T(a_cancelled_parent_has_its_children_cancelled_at_once),
		T(a_parent_may_cancel_a_child),
		T(another_attempt_of_a_parent_begins_without_children),
		T(children_may_have_attempts_of_their_own),
		T(a_lost_agent_ends_parents_that_wait_and_their_children_everywhere),
		T(the_end_of_a_client_ends_parents_and_children),
		T(children_go_to_shared_pools_and_to_no_others),
		T(what_goes_on_in_a_pool_that_closes_may_still_submit_there),
		T(a_parent_that_waits_says_so),
		T(a_core_with_parents_and_children_can_be_destroyed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
