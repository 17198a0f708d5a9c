/* A task from its submit to its end. */
#include "tests/unit/core/rig.h"

#include <string.h>

/* One client, one pool with one worker on one agent that takes `slots` leases. */
struct scene {
	struct rig *rig;
	struct rmd_core_client *client;
	struct rmd_core_pool *pool;
	struct rmd_core_agent *agent;
};

static struct scene scene(void **state, unsigned tasks, uint32_t slots)
{
	struct scene s = {.rig = *state};
	s.client = rig_client(s.rig, "uid:1");
	s.pool = rig_pool(s.rig, s.client, "", 1);
	s.agent = rig_agent(s.rig, "node-a", 4);
	rig_submit_many(s.rig, s.client, s.pool, tasks);
	rig_tick(s.rig);
	if (tasks > 0)
		rig_ready(s.rig, s.agent, s.pool, slots);
	return s;
}

static void a_value_ends_a_task_and_is_held_until_acknowledged(void **state)
{
	struct scene s = scene(state, 1, 1);
	assert_int_equal(s.rig->grants, 1);
	assert_int_equal(s.rig->leases[0].attempt, 1);
	assert_int_equal(rig_value(s.rig, 0), 0);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_VALUE], 1);
	assert_string_equal(s.rig->last_outcome, "result");
	assert_string_equal(s.rig->last_agent, "node-a");
	assert_int_equal(s.rig->last_end.worker, 7);
	struct rmd_core_task *task = rmd_core_client_outcome_next(s.client, NULL);
	assert_non_null(task);
	assert_int_equal(rmd_core_task_outcome(task).bytes.len, 6);
	assert_memory_equal(rmd_core_task_outcome(task).bytes.data, "result", 6);
	assert_int_equal(rmd_core_client_outcome_bytes(s.client), 6);
	assert_int_equal(rmd_core_ack(s.rig->core, s.rig->now_ms, s.client, 1), 0);
	assert_int_equal(rmd_core_ack(s.rig->core, s.rig->now_ms, s.client, 1),
			 RMD_ENOTFOUND);
	assert_int_equal(s.rig->tasks_gone, 1);
	assert_int_equal(rmd_core_client_outcome_bytes(s.client), 0);
	assert_null(rmd_core_task_find(s.client, 1));
}

static void a_number_that_was_taken_runs_nothing(void **state)
{
	struct scene s = scene(state, 2, 1);
	struct rmd_core_submit again = {.number = 2};
	assert_int_equal(rig_submit_with(s.rig, s.client, s.pool, again), RMD_EEXIST);
	again.number = 1;
	assert_int_equal(rig_submit_with(s.rig, s.client, s.pool, again), RMD_EEXIST);
	rig_value(s.rig, 0);
	rmd_core_ack(s.rig->core, s.rig->now_ms, s.client, 1);
	assert_int_equal(rig_submit_with(s.rig, s.client, s.pool, again), RMD_EEXIST);
	assert_int_equal(rig_counters(s.rig).accepted, 2);
}

static void fields_out_of_range_are_refused(void **state)
{
	struct scene s = scene(state, 0, 1);
	static const struct rmd_core_submit bad[] = {
		{.priority = RMD_CORE_PRIORITY_MAX + 1},
		{.priority = -RMD_CORE_PRIORITY_MAX - 1},
		{.max_attempts = RMD_CORE_ATTEMPTS_MAX + 1},
		{.deadline_ms = RMD_CORE_DEADLINE_MAX_MS + 1},
		{.number = RMD_CORE_NESTED},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(rig_submit_with(s.rig, s.client, s.pool, bad[i]),
				 RMD_EINVAL);
	static const struct rmd_core_submit good[] = {
		{.priority = RMD_CORE_PRIORITY_MAX},
		{.priority = -RMD_CORE_PRIORITY_MAX},
		{.max_attempts = RMD_CORE_ATTEMPTS_MAX},
		{.deadline_ms = RMD_CORE_DEADLINE_MAX_MS},
	};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(rig_submit_with(s.rig, s.client, s.pool, good[i]), 0);
	static const uint8_t name[RMD_CORE_FUNCTION_MAX + 1] = {'f'};
	struct rmd_core_submit longest = {.function = {name, RMD_CORE_FUNCTION_MAX}};
	assert_int_equal(rig_submit_with(s.rig, s.client, s.pool, longest), 0);
	longest.function.len++;
	assert_int_equal(rig_submit_with(s.rig, s.client, s.pool, longest), RMD_EINVAL);
	assert_int_equal(rig_counters(s.rig).accepted, 5);
}

static void priority_goes_before_age_and_age_before_nothing(void **state)
{
	struct scene s = scene(state, 0, 1);
	static const int32_t priorities[] = {0, -5, 7, 0, 1000, 7, -1000};
	static const uint64_t order[] = {5, 3, 6, 1, 4, 2, 7};
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(rig_submit_with(s.rig, s.client, s.pool,
						 (struct rmd_core_submit){
							 .priority = priorities[i]}),
				 0);
	rig_ready(s.rig, s.agent, s.pool, 7);
	assert_int_equal(s.rig->grants, 7);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(s.rig->leases[i].number, order[i]);
}

static void no_more_leases_are_granted_than_there_are_slots(void **state)
{
	struct scene s = scene(state, 10, 3);
	assert_int_equal(s.rig->grants, 3);
	assert_int_equal(rig_held(s.agent, s.pool), 3);
	rig_value(s.rig, 0);
	rig_tick(s.rig);
	assert_int_equal(s.rig->grants, 4);
	assert_int_equal(rig_report(s.rig, s.agent, s.pool, 1, 1), 0);
	rig_value(s.rig, 1);
	rig_tick(s.rig);
	assert_int_equal(s.rig->grants, 4);
	rig_report(s.rig, s.agent, s.pool, 5, 1);
	rig_tick(s.rig);
	assert_int_equal(s.rig->grants, 7);
}

static void small_arguments_are_copied_and_large_ones_shared(void **state)
{
	struct scene s = scene(state, 0, 1);
	struct rmd_buf *frame = rmd_buf_create(100000);
	memset(rmd_buf_writable(frame), 'x', 100000);
	struct rmd_piece small = {rmd_slice_of(rmd_buf_slice(frame).data + 10, 100),
				  frame};
	struct rmd_piece part = {rmd_slice_of(rmd_buf_slice(frame).data + 10, 2000),
				 frame};
	struct rmd_piece large = {rmd_buf_slice(frame), frame};
	struct rmd_piece pieces[] = {small, part, large};
	for (size_t i = 0; i < 3; i++) {
		struct rmd_core_submit submit = {.payload = pieces[i]};
		assert_int_equal(rig_submit_with(s.rig, s.client, s.pool, submit), 0);
		struct rmd_piece kept =
			rmd_core_task_payload(rmd_core_task_find(s.client, i + 1));
		assert_true(rmd_slice_equal(kept.bytes, pieces[i].bytes));
		assert_int_equal(kept.buf == frame, i == 2);
	}
	uint64_t names = 3 * strlen("native:demo.square");
	assert_int_equal(rig_counters(s.rig).payload_bytes, 102100 + names);
	rmd_buf_unref(frame);
	rmd_core_cancel_all(s.rig->core, s.rig->now_ms, RMD_CORE_END_STOPPED);
	assert_int_equal(rig_counters(s.rig).payload_bytes, 0);
}

static void a_queued_task_is_cancelled_at_once(void **state)
{
	struct scene s = scene(state, 2, 1);
	rmd_core_cancel(s.rig->core, s.rig->now_ms, rmd_core_task_find(s.client, 2),
			RMD_CORE_END_CANCELLED);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_CANCELLED], 1);
	assert_int_equal(s.rig->cancels, 0);
	assert_int_equal(s.rig->last_end.attempt, 0);
}

static void a_leased_task_is_cancelled_when_its_agent_confirms(void **state)
{
	struct scene s = scene(state, 2, 2);
	for (uint64_t i = 1; i <= 2; i++)
		for (int twice = 0; twice < 2; twice++)
			rmd_core_cancel(s.rig->core, s.rig->now_ms,
					rmd_core_task_find(s.client, i),
					RMD_CORE_END_CANCELLED);
	assert_int_equal(s.rig->cancels, 2);
	assert_int_equal(s.rig->ends, 0);
	assert_int_equal(rig_returned(s.rig, 0), 0);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_CANCELLED], 1);
	/* The value crossed the cancel: the user asked for its end first. */
	assert_int_equal(rig_value(s.rig, 1), 0);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_CANCELLED], 2);
	assert_string_equal(s.rig->last_outcome, "");
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_VALUE], 0);
}

static void a_cancel_after_the_end_changes_nothing(void **state)
{
	struct scene s = scene(state, 1, 1);
	rig_value(s.rig, 0);
	rmd_core_cancel(s.rig->core, s.rig->now_ms, rmd_core_task_find(s.client, 1),
			RMD_CORE_END_CANCELLED);
	assert_int_equal(s.rig->ends, 1);
	assert_int_equal(rmd_core_task_end(rmd_core_task_find(s.client, 1)),
			 RMD_CORE_END_VALUE);
}

static void a_deadline_ends_queued_tasks_and_asks_for_leased_ones(void **state)
{
	struct scene s = scene(state, 0, 1);
	struct rmd_core_submit submit = {.deadline_ms = 100};
	rig_submit_with(s.rig, s.client, s.pool, submit);
	rig_submit_with(s.rig, s.client, s.pool, submit);
	rig_ready(s.rig, s.agent, s.pool, 1);
	assert_int_equal(s.rig->due_ms, s.rig->now_ms + 100);
	rig_pass(s.rig, 99);
	assert_int_equal(s.rig->ends + s.rig->cancels, 0);
	rig_pass(s.rig, 1);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_DEADLINE], 1);
	assert_int_equal(s.rig->last_number, 2);
	assert_int_equal(s.rig->cancels, 1);
	rig_value(s.rig, 0);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_DEADLINE], 2);
	rig_submit_with(s.rig, s.client, s.pool, submit);
	rig_tick(s.rig);
	rig_value(s.rig, 1);
	rig_tick(s.rig);
	assert_true(s.rig->due_ms > s.rig->now_ms + 100); /* an ended task has none */
}

static void a_clock_that_goes_backwards_stands_still(void **state)
{
	struct scene s = scene(state, 0, 1);
	rig_submit_with(s.rig, s.client, s.pool,
			(struct rmd_core_submit){.deadline_ms = 100});
	s.rig->now_ms -= 900;
	rig_tick(s.rig);
	assert_int_equal(s.rig->ends, 0);
	assert_int_equal(s.rig->due_ms, 1100);
}

static void a_task_that_began_runs_again_only_if_it_says_so(void **state)
{
	struct scene s = scene(state, 0, 1);
	rig_submit(s.rig, s.client, s.pool);
	rig_submit_with(s.rig, s.client, s.pool,
			(struct rmd_core_submit){.max_attempts = 3});
	rig_ready(s.rig, s.agent, s.pool, 1);
	rig_error(s.rig, 0, true);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_ERROR], 1);
	rig_tick(s.rig);
	for (size_t i = 1; i < 4; i++) {
		assert_int_equal(s.rig->grants, i + 1);
		assert_int_equal(s.rig->leases[i].number, 2);
		assert_int_equal(s.rig->leases[i].attempt, i);
		assert_int_equal(rig_error(s.rig, i, true), 0);
		rig_tick(s.rig);
	}
	assert_int_equal(s.rig->grants, 4);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_ERROR], 2);
	assert_int_equal(s.rig->last_end.attempt, 3);
}

static void an_error_before_user_code_is_final(void **state)
{
	struct scene s = scene(state, 0, 1);
	rig_submit_with(s.rig, s.client, s.pool,
			(struct rmd_core_submit){.max_attempts = 3});
	rig_ready(s.rig, s.agent, s.pool, 1);
	rig_error(s.rig, 0, false);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_ERROR], 1);
	assert_false(s.rig->last_end.began);
	assert_int_equal(s.rig->last_end.attempt, 0);
}

static void a_lease_that_comes_back_is_given_again_as_the_same_attempt(void **state)
{
	struct scene s = scene(state, 3, 2);
	assert_int_equal(rig_returned(s.rig, 0), 0);
	rig_pass(s.rig, 100);
	assert_int_equal(s.rig->grants, 3);
	assert_int_equal(s.rig->leases[2].number, 1); /* before task 3: it is older */
	assert_int_equal(s.rig->leases[2].attempt, 1);
	assert_true(s.rig->leases[2].lease > s.rig->leases[1].lease);
	assert_int_equal(rig_returned(s.rig, 2), 0);
	assert_int_equal(rig_returned(s.rig, 1), 0);
	rig_pass(s.rig, 100);
	assert_int_equal(s.rig->leases[3].number, 1); /* whichever came back first */
	assert_int_equal(s.rig->leases[4].number, 2);
}

static void words_about_a_lease_that_is_over_are_dropped(void **state)
{
	struct scene s = scene(state, 2, 2);
	assert_int_equal(rig_value(s.rig, 0), 0);
	assert_int_equal(rig_value(s.rig, 0), RMD_ENOTFOUND);
	assert_int_equal(rig_began(s.rig, 0), RMD_ENOTFOUND);
	assert_int_equal(rig_returned(s.rig, 0), RMD_ENOTFOUND);
	assert_int_equal(s.rig->ends, 1);
	assert_int_equal(rig_counters(s.rig).stale_events, 3);
}

static void nonsense_about_leases_breaks_the_protocol(void **state)
{
	struct scene s = scene(state, 2, 2);
	struct rmd_core_agent *other = rig_agent(s.rig, "node-b", 1);
	uint64_t now = s.rig->now_ms, lease = s.rig->leases[0].lease;
	assert_int_equal(rmd_core_agent_began(s.rig->core, now, other, lease),
			 RMD_EPROTO);
	assert_int_equal(rmd_core_agent_returned(s.rig->core, now, other, lease),
			 RMD_EPROTO);
	assert_int_equal(rmd_core_agent_began(s.rig->core, now, s.agent, 0), RMD_EPROTO);
	assert_int_equal(rmd_core_agent_began(s.rig->core, now, s.agent, 999),
			 RMD_EPROTO);
	assert_int_equal(rig_began(s.rig, 0), 0);
	assert_int_equal(rig_began(s.rig, 0), RMD_EPROTO);
	assert_int_equal(rig_returned(s.rig, 0), RMD_EPROTO);
	struct rmd_core_agent_outcome odd = {.lease = lease,
					     .end = RMD_CORE_END_DEADLINE};
	assert_int_equal(rmd_core_agent_outcome(s.rig->core, now, s.agent, &odd),
			 RMD_EPROTO);
	assert_int_equal(s.rig->ends, 0);
	assert_int_equal(rig_report(s.rig, other, s.pool, 1, 1), RMD_EPROTO);
	struct rmd_core_agent_pool unknown = {.pool = 999};
	assert_int_equal(rmd_core_agent_pool(s.rig->core, now, other, &unknown),
			 RMD_EPROTO);
}

static void an_agent_lost_without_a_word_may_have_begun_all_it_was_sent(void **state)
{
	struct scene s = scene(state, 0, 4);
	for (uint32_t attempts = 1; attempts <= 2; attempts++)
		for (int i = 0; i < 2; i++)
			rig_submit_with(
				s.rig, s.client, s.pool,
				(struct rmd_core_submit){.max_attempts = attempts});
	rig_ready(s.rig, s.agent, s.pool, 4);
	rig_began(s.rig, 0);
	rig_began(s.rig, 2);
	rmd_core_agent_lost(s.rig->core, s.rig->now_ms, s.agent, RMD_CORE_FAREWELL_LOST);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_AGENT_LOST], 2);
	assert_string_equal(s.rig->last_agent, "node-a");
	assert_int_equal(rig_counters(s.rig).queued, 2);
	s.agent = rig_agent(s.rig, "node-b", 4);
	rig_ready(s.rig, s.agent, s.pool, 4);
	assert_int_equal(s.rig->grants, 6);
	assert_int_equal(s.rig->leases[4].number, 3);
	assert_int_equal(s.rig->leases[4].attempt, 2);
}

static void an_agent_that_says_farewell_gives_back_what_had_not_begun(void **state)
{
	struct scene s = scene(state, 3, 3);
	rig_began(s.rig, 1);
	rmd_core_agent_lost(s.rig->core, s.rig->now_ms, s.agent, RMD_CORE_FAREWELL_SAID);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_AGENT_LOST], 1);
	assert_int_equal(s.rig->last_number, 2);
	assert_int_equal(rig_counters(s.rig).queued, 2);
}

static void an_outcome_of_the_ports_own_is_held_and_a_forgotten_task_is_not(void **state)
{
	struct scene s = scene(state, 2, 1);
	s.rig->give_outcome = "cancelled, says the service";
	rmd_core_cancel(s.rig->core, s.rig->now_ms, rmd_core_task_find(s.client, 2),
			RMD_CORE_END_STOPPED);
	struct rmd_piece held = rmd_core_task_outcome(rmd_core_task_find(s.client, 2));
	assert_true(rmd_slice_equal(held.bytes, rig_text(s.rig->give_outcome)));
	s.rig->give_outcome = NULL;
	s.rig->keep = RMD_CORE_FORGET;
	rig_value(s.rig, 0);
	assert_null(rmd_core_task_find(s.client, 1));
	assert_int_equal(s.rig->tasks_gone, 1);
}

static void a_held_outcome_does_not_keep_its_frame(void **state)
{
	struct scene s = scene(state, 2, 2);
	struct rmd_buf *frame = rmd_buf_create(1 << 20);
	memset(rmd_buf_writable(frame), 'y', 1 << 20);
	for (size_t i = 0; i < 2; i++) {
		struct rmd_core_agent_outcome out = {
			.lease = s.rig->leases[i].lease,
			.end = RMD_CORE_END_VALUE,
			.outcome = {rmd_slice_of(rmd_buf_slice(frame).data,
						 i == 0 ? 20 : 900),
				    frame},
		};
		rmd_core_agent_outcome(s.rig->core, s.rig->now_ms, s.agent, &out);
		struct rmd_piece held =
			rmd_core_task_outcome(rmd_core_task_find(s.client, i + 1));
		assert_true(held.buf != frame);
		assert_true(rmd_slice_equal(held.bytes, out.outcome.bytes));
	}
	rmd_buf_unref(frame);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(a_value_ends_a_task_and_is_held_until_acknowledged),
		T(a_number_that_was_taken_runs_nothing),
		T(fields_out_of_range_are_refused),
		T(priority_goes_before_age_and_age_before_nothing),
		T(no_more_leases_are_granted_than_there_are_slots),
		T(small_arguments_are_copied_and_large_ones_shared),
		T(a_queued_task_is_cancelled_at_once),
		T(a_leased_task_is_cancelled_when_its_agent_confirms),
		T(a_cancel_after_the_end_changes_nothing),
		T(a_deadline_ends_queued_tasks_and_asks_for_leased_ones),
		T(a_clock_that_goes_backwards_stands_still),
		T(a_task_that_began_runs_again_only_if_it_says_so),
		T(an_error_before_user_code_is_final),
		T(a_lease_that_comes_back_is_given_again_as_the_same_attempt),
		T(words_about_a_lease_that_is_over_are_dropped),
		T(nonsense_about_leases_breaks_the_protocol),
		T(an_agent_lost_without_a_word_may_have_begun_all_it_was_sent),
		T(an_agent_that_says_farewell_gives_back_what_had_not_begun),
		T(an_outcome_of_the_ports_own_is_held_and_a_forgotten_task_is_not),
		T(a_held_outcome_does_not_keep_its_frame),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
