/* The rules by which a task ends: deadlines, when it is tried again, and when not. */
#include "tests/unit/core/rig.h"

#include <string.h>

struct scene {
	struct rig *rig;
	struct rmd_core_client *client;
	struct rmd_core_pool *pool;
	struct rmd_core_agent *agent;
};

/* One client, one pool with one worker on one agent, which takes `slots` leases. */
static struct scene scene(void **state, uint32_t slots)
{
	struct scene s = {.rig = *state};
	s.client = rig_client(s.rig, "uid:1");
	s.pool = rig_pool(s.rig, s.client, "", 1);
	s.agent = rig_agent(s.rig, "node-a", 4);
	rig_submit_many(s.rig, s.client, s.pool, 1);
	rig_ready(s.rig, s.agent, s.pool, slots);
	rig_value(s.rig, 0); /* the worker is there */
	rig_tick(s.rig);
	return s;
}

static int submit(struct scene *s, uint32_t max_attempts,
		  const struct rmd_core_rules *rules)
{
	struct rmd_core_submit wish = {.max_attempts = max_attempts, .rules = rules};
	int rc = rig_submit_with(s->rig, s->client, s->pool, wish);
	rig_tick(s->rig);
	return rc;
}

static struct rmd_core_task *task_of(struct scene *s, uint64_t number)
{
	return rmd_core_task_find(s->client, number);
}

static int fails(struct scene *s, size_t i, enum rmd_core_cause cause, const char *type)
{
	struct rmd_buf *buf = rmd_buf_copy(rig_text("why"));
	struct rmd_core_agent_outcome outcome = {
		.lease = s->rig->leases[i].lease,
		.end = RMD_CORE_END_ERROR,
		.outcome = {rmd_buf_slice(buf), buf},
		.began = true,
		.worker = 7,
		.cause = cause,
		.error_type = rig_text(type),
	};
	int rc = rmd_core_agent_outcome(s->rig->core, s->rig->now_ms, s->agent, &outcome);
	rmd_buf_unref(buf);
	rig_tick(s->rig);
	return rc;
}

/* --- limits ------------------------------------------------------------------------ */

static void rules_out_of_range_are_refused(void **state)
{
	struct scene s = scene(state, 1);
	char text[RMD_CORE_ERROR_TYPE_MAX + 1];
	memset(text, 'x', sizeof(text));
	struct rmd_slice most = rmd_slice_of(text, RMD_CORE_ERROR_TYPE_MAX);
	struct rmd_slice more = rmd_slice_of(text, sizeof(text)), empty = {NULL, 0};
	struct rmd_slice many[RMD_CORE_ERROR_TYPES_MAX + 1];
	for (size_t i = 0; i < RMD_CORE_ERROR_TYPES_MAX + 1; i++)
		many[i] = most;
	const struct rmd_core_rules bad[] = {
		{.queue_deadline_ms = RMD_CORE_DEADLINE_MAX_MS + 1},
		{.run_deadline_ms = RMD_CORE_DEADLINE_MAX_MS + 1},
		{.backoff_ms = RMD_CORE_BACKOFF_MAX_MS + 1},
		{.backoff_max_ms = RMD_CORE_BACKOFF_MAX_MS + 1},
		{.retry_on = 1}, /* "nothing failed" */
		{.retry_on = RMD_CORE_CAUSE_BIT(RMD_CORE_CAUSE_RUN_DEADLINE + 1)},
		{.error_types = &more, .error_type_count = 1},
		{.error_types = &empty, .error_type_count = 1},
		{.error_types = many, .error_type_count = RMD_CORE_ERROR_TYPES_MAX + 1},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(submit(&s, 1, &bad[i]), RMD_EINVAL);
	const struct rmd_core_rules good[] = {
		{.queue_deadline_ms = RMD_CORE_DEADLINE_MAX_MS,
		 .run_deadline_ms = RMD_CORE_DEADLINE_MAX_MS,
		 .backoff_ms = RMD_CORE_BACKOFF_MAX_MS,
		 .backoff_max_ms = RMD_CORE_BACKOFF_MAX_MS,
		 .retry_on = RMD_CORE_RETRY_ALL},
		{.error_types = many, .error_type_count = RMD_CORE_ERROR_TYPES_MAX},
	};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(submit(&s, 1, &good[i]), 0);
}

/* --- deadlines --------------------------------------------------------------------- */

static void a_queue_deadline_ends_what_has_not_begun(void **state)
{
	struct scene s = scene(state, 1);
	struct rmd_core_rules rules = {.queue_deadline_ms = 500};
	assert_int_equal(submit(&s, 1, NULL), 0); /* takes the worker */
	assert_int_equal(submit(&s, 1, &rules), 0);
	rig_pass(s.rig, 499);
	assert_int_equal(s.rig->ends, 1);
	rig_pass(s.rig, 1);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_QUEUE_DEADLINE], 1);
	assert_int_equal(s.rig->last_end.state, RMD_CORE_TASK_QUEUED);
	assert_int_equal(s.rig->last_end.attempt, 0);
	assert_non_null(strstr(s.rig->last_waits, "max_workers"));
}

static void a_queue_deadline_is_met_when_user_code_has_begun(void **state)
{
	struct scene s = scene(state, 1);
	struct rmd_core_rules rules = {.queue_deadline_ms = 500};
	assert_int_equal(submit(&s, 1, &rules), 0);
	assert_int_equal(rig_began(s.rig, 1), 0);
	rig_pass(s.rig, 10000);
	assert_int_equal(s.rig->cancels, 0);
	assert_int_equal(rig_value(s.rig, 1), 0);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_VALUE], 2);
}

static void what_was_leased_and_began_in_time_keeps_its_own_end(void **state)
{
	struct scene s = scene(state, 2);
	struct rmd_core_rules rules = {.queue_deadline_ms = 500};
	assert_int_equal(submit(&s, 1, &rules), 0);
	assert_int_equal(submit(&s, 1, &rules), 0);
	rig_pass(s.rig, 500); /* both are leased, neither is known to have begun */
	assert_int_equal(s.rig->cancels, 2);
	assert_int_equal(rig_value(s.rig, 1), 0);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_VALUE], 2);
	assert_int_equal(rig_returned(s.rig, 2), 0);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_QUEUE_DEADLINE], 1);
	assert_int_equal(s.rig->last_end.state, RMD_CORE_TASK_LEASED);
}

static void a_run_deadline_counts_from_the_beginning_of_each_attempt(void **state)
{
	struct scene s = scene(state, 1);
	struct rmd_core_rules rules = {
		.run_deadline_ms = 300,
		.retry_on = RMD_CORE_CAUSE_BIT(RMD_CORE_CAUSE_RUN_DEADLINE)};
	assert_int_equal(submit(&s, 2, &rules), 0);
	rig_pass(s.rig, 1000); /* leased, and did not begin: no run */
	assert_int_equal(s.rig->cancels, 0);
	for (uint32_t attempt = 1; attempt <= 2; attempt++) {
		assert_int_equal(s.rig->leases[attempt].attempt, attempt);
		assert_int_equal(rig_began(s.rig, attempt), 0);
		rig_pass(s.rig, 299);
		assert_int_equal(s.rig->cancels, attempt - 1);
		rig_pass(s.rig, 1);
		assert_int_equal(s.rig->cancels, attempt);
		assert_int_equal(fails(&s, attempt, RMD_CORE_CAUSE_WORKER_LOST, ""), 0);
	}
	assert_int_equal(s.rig->grants, 3);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_RUN_DEADLINE], 1);
	assert_int_equal(s.rig->last_end.attempt, 2);
	assert_int_equal(s.rig->last_end.state, RMD_CORE_TASK_RUNNING);
}

static void a_run_deadline_is_final_unless_the_rule_names_it(void **state)
{
	struct scene s = scene(state, 1);
	struct rmd_core_rules rules = {.run_deadline_ms = 300};
	assert_int_equal(submit(&s, 9, &rules), 0);
	rig_began(s.rig, 1);
	rig_pass(s.rig, 300);
	fails(&s, 1, RMD_CORE_CAUSE_WORKER_LOST, "");
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_RUN_DEADLINE], 1);
}

static void a_cancel_beats_a_run_deadline_and_allows_no_other_attempt(void **state)
{
	struct scene s = scene(state, 1);
	struct rmd_core_rules rules = {.run_deadline_ms = 300,
				       .retry_on = RMD_CORE_RETRY_ALL};
	assert_int_equal(submit(&s, 9, &rules), 0);
	rig_began(s.rig, 1);
	rig_pass(s.rig, 300);
	rmd_core_cancel(s.rig->core, s.rig->now_ms, task_of(&s, 2),
			RMD_CORE_END_CANCELLED);
	assert_int_equal(s.rig->cancels, 1);
	fails(&s, 1, RMD_CORE_CAUSE_WORKER_LOST, "");
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_CANCELLED], 1);
	assert_int_equal(s.rig->grants, 2);
}

static void a_childs_deadline_is_not_later_than_its_parents_run(void **state)
{
	struct scene s = scene(state, 1);
	struct rmd_core_rules rules = {.run_deadline_ms = 300};
	assert_int_equal(submit(&s, 1, &rules), 0);
	rig_began(s.rig, 1);
	rig_pass(s.rig, 100);
	assert_int_equal(rig_nested(s.rig, 1, 1, NULL), 0);
	struct rmd_core_task *task = NULL, *child = NULL;
	while ((task = rmd_core_task_next(s.rig->core, task)) != NULL)
		child = rmd_core_task_nested(task) ? task : child;
	assert_int_equal(rmd_core_task_deadline_ms(child) - s.rig->now_ms, 200);
}

/* --- another attempt --------------------------------------------------------------- */

static void a_task_is_tried_again_only_after_the_causes_of_its_rule(void **state)
{
	static const enum rmd_core_cause causes[] = {RMD_CORE_CAUSE_TASK_ERROR,
						     RMD_CORE_CAUSE_WORKER_LOST,
						     RMD_CORE_CAUSE_OUT_OF_MEMORY};
	struct scene s = scene(state, 1);
	for (size_t named = 0; named < 3; named++)
		for (size_t met = 0; met < 3; met++) {
			struct rmd_core_rules rules = {
				.retry_on = RMD_CORE_CAUSE_BIT(causes[named])};
			size_t first = s.rig->grants;
			assert_int_equal(submit(&s, 2, &rules), 0);
			assert_int_equal(fails(&s, first, causes[met], "OddError"), 0);
			assert_int_equal(s.rig->grants, first + 1 + (named == met));
			if (named == met)
				assert_int_equal(rig_value(s.rig, first + 1), 0);
			rig_tick(s.rig);
		}
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_VALUE], 1 + 3);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_ERROR], 6);
}

static void a_rule_may_name_types_of_errors(void **state)
{
	struct scene s = scene(state, 1);
	struct rmd_slice types[] = {rig_text("Busy"), rig_text("Timeout")};
	struct rmd_core_rules rules = {.error_types = types, .error_type_count = 2};
	assert_int_equal(submit(&s, 9, &rules), 0);
	fails(&s, 1, RMD_CORE_CAUSE_NONE, "Timeout"); /* NONE: the task raised it */
	assert_int_equal(s.rig->grants, 3);
	fails(&s, 2, RMD_CORE_CAUSE_NONE, "Busy");
	assert_int_equal(s.rig->grants, 4);
	fails(&s, 3, RMD_CORE_CAUSE_NONE, "Busy2");
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_ERROR], 1);
	assert_int_equal(submit(&s, 9, &rules), 0); /* a lost worker is not named */
	fails(&s, 4, RMD_CORE_CAUSE_WORKER_LOST, "Busy");
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_ERROR], 2);
}

static void a_lost_agent_is_a_cause_of_its_own(void **state)
{
	struct scene s = scene(state, 2);
	struct rmd_core_rules on = {
		.retry_on = RMD_CORE_CAUSE_BIT(RMD_CORE_CAUSE_AGENT_LOST)};
	struct rmd_core_rules off = {
		.retry_on = RMD_CORE_CAUSE_BIT(RMD_CORE_CAUSE_WORKER_LOST)};
	assert_int_equal(submit(&s, 2, &on), 0);
	assert_int_equal(submit(&s, 2, &off), 0);
	rmd_core_agent_lost(s.rig->core, s.rig->now_ms, s.agent, RMD_CORE_FAREWELL_LOST);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_AGENT_LOST], 1);
	assert_int_equal(s.rig->last_number, 3);
	assert_int_equal(rmd_core_task_state(task_of(&s, 2)), RMD_CORE_TASK_QUEUED);
	assert_int_equal(rmd_core_task_failure(task_of(&s, 2), 0)->cause,
			 RMD_CORE_CAUSE_AGENT_LOST);
}

static void each_wait_doubles_up_to_the_longest_and_half_is_chance(void **state)
{
	static const uint64_t waits_ms[] = {100, 200, 400, 500, 500};
	struct scene s = scene(state, 1);
	struct rmd_core_rules rules = {.backoff_ms = 100, .backoff_max_ms = 500};
	assert_int_equal(submit(&s, 6, &rules), 0);
	for (size_t i = 0; i < 5; i++) {
		fails(&s, i + 1, RMD_CORE_CAUSE_TASK_ERROR, "Odd");
		uint64_t due_ms = rmd_core_task_backs_off_until_ms(task_of(&s, 2));
		assert_in_range(due_ms - s.rig->now_ms, waits_ms[i] / 2, waits_ms[i]);
		assert_int_equal(rmd_core_task_state(task_of(&s, 2)),
				 RMD_CORE_TASK_QUEUED);
		struct rmd_core_pool_info info;
		rmd_core_pool_info(s.pool, &info);
		assert_int_equal(info.queued, 1);
		char text[RMD_CORE_EXPLAIN_BYTES];
		rmd_core_task_explain(task_of(&s, 2), text, sizeof(text));
		assert_non_null(strstr(text, "backs off"));
		rig_pass(s.rig, due_ms - s.rig->now_ms - 1);
		assert_int_equal(s.rig->grants, i + 2);
		rig_pass(s.rig, 1);
		assert_int_equal(s.rig->grants, i + 3);
	}
	assert_int_equal(rig_value(s.rig, 6), 0);
	assert_int_equal(s.rig->last_end.attempt, 6);
}

static void what_backs_off_can_be_cancelled_and_lets_others_pass(void **state)
{
	struct scene s = scene(state, 1);
	struct rmd_core_rules rules = {.backoff_ms = 1000};
	assert_int_equal(submit(&s, 2, &rules), 0);
	assert_int_equal(submit(&s, 1, NULL), 0);
	fails(&s, 1, RMD_CORE_CAUSE_TASK_ERROR, "Odd");
	assert_int_equal(s.rig->grants, 3);
	assert_int_equal(s.rig->leases[2].number, 3);
	rmd_core_cancel(s.rig->core, s.rig->now_ms, task_of(&s, 2),
			RMD_CORE_END_CANCELLED);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_CANCELLED], 1);
	assert_int_equal(s.rig->last_number, 2);
	assert_true(s.rig->last_end.backed_off);
}

static void a_pool_that_is_closed_ends_what_backs_off(void **state)
{
	struct scene s = scene(state, 1);
	struct rmd_core_rules rules = {.backoff_ms = 1000};
	for (int i = 0; i < 3; i++) {
		assert_int_equal(submit(&s, 2, &rules), 0);
		fails(&s, s.rig->grants - 1, RMD_CORE_CAUSE_TASK_ERROR, "Odd");
	}
	rmd_core_pool_close(s.rig->core, s.rig->now_ms, s.pool, RMD_CORE_POOL_CLOSE);
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_POOL_CLOSED], 3);
}

static void a_pool_that_drains_waits_for_what_backs_off(void **state)
{
	struct scene s = scene(state, 1);
	struct rmd_core_rules rules = {.backoff_ms = 1000};
	assert_int_equal(submit(&s, 2, &rules), 0);
	fails(&s, 1, RMD_CORE_CAUSE_TASK_ERROR, "Odd");
	rmd_core_pool_close(s.rig->core, s.rig->now_ms, s.pool, RMD_CORE_POOL_DRAIN);
	rig_pass(s.rig, 1000);
	assert_int_equal(s.rig->pools_gone, 0);
	assert_int_equal(s.rig->grants, 3);
	assert_int_equal(rig_value(s.rig, 2), 0);
	assert_int_equal(s.rig->last_end.end, RMD_CORE_END_VALUE);
}

static void failed_attempts_are_remembered_the_newest_of_them(void **state)
{
	struct scene s = scene(state, 1);
	struct rmd_core_rules rules = {.retry_on = RMD_CORE_RETRY_DEFAULT};
	assert_int_equal(submit(&s, 20, &rules), 0);
	struct rmd_core_counters before = rig_counters(s.rig);
	for (size_t i = 1; i <= 10; i++)
		fails(&s, i, RMD_CORE_CAUSE_TASK_ERROR, "Odd");
	const struct rmd_core_task *task = task_of(&s, 2);
	assert_int_equal(rmd_core_task_failures(task), RMD_CORE_ATTEMPTS_KEPT);
	assert_int_equal(rmd_core_task_failure(task, 0)->attempt, 3);
	assert_int_equal(rmd_core_task_failure(task, 7)->attempt, 10);
	assert_string_equal(rmd_core_task_failure(task, 7)->agent, "node-a");
	assert_int_equal(rmd_core_task_failure(task, 7)->worker, 7);
	assert_memory_equal(rmd_core_task_last_error(task).bytes.data, "why", 3);
	assert_int_equal(rig_counters(s.rig).payload_bytes, before.payload_bytes + 3);
	assert_int_equal(rig_value(s.rig, 11), 0);
	assert_int_equal(rig_counters(s.rig).payload_bytes, 0);
}

static void a_task_that_ends_worker_after_worker_is_stopped(void **state)
{
	struct scene s = scene(state, 1);
	assert_int_equal(submit(&s, 100, NULL), 0);
	fails(&s, 1, RMD_CORE_CAUSE_WORKER_LOST, "");
	fails(&s, 2, RMD_CORE_CAUSE_TASK_ERROR, "Odd"); /* ends no worker */
	fails(&s, 3, RMD_CORE_CAUSE_OUT_OF_MEMORY, "");
	assert_int_equal(s.rig->ends, 1);
	fails(&s, 4, RMD_CORE_CAUSE_WORKER_LOST, "");
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_POISONED], 1);
	assert_int_equal(s.rig->last_end.attempt, 4);
	assert_string_equal(s.rig->last_outcome, "why");
	assert_int_equal(s.rig->grants, 5);
}

static void a_task_whose_attempts_are_over_is_not_called_poison(void **state)
{
	struct scene s = scene(state, 1);
	assert_int_equal(submit(&s, 3, NULL), 0);
	for (size_t i = 1; i <= 3; i++)
		fails(&s, i, RMD_CORE_CAUSE_WORKER_LOST, "");
	assert_int_equal(s.rig->ends_by[RMD_CORE_END_ERROR], 1);
}

/* --- what nobody can run ----------------------------------------------------------- */

static void what_no_agent_suits_fails_after_its_time_and_says_why(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool_spec spec = rig_spec("", 1);
	struct rmd_core_pool *pool = NULL;
	const char *field;
	bool reused;
	spec.runtime = rig_text("python");
	assert_int_equal(rmd_core_pool_open(rig->core, rig->now_ms, client, &spec, &pool,
					    &reused, &field),
			 0);
	rig_submit_many(rig, client, pool, 2);
	rig_tick(rig);
	rig_pass(rig, 2 * rig->config.cannot_run_ms); /* nobody is there: one may come */
	assert_int_equal(rig->ends, 0);
	rig_agent(rig, "node-a", 4);
	rig_tick(rig);
	rig_pass(rig, 1);
	assert_int_equal(rig->ends, 0);
	rig_pass(rig, rig->config.cannot_run_ms);
	rig_pass(rig, rig->config.cannot_run_ms);
	assert_int_equal(rig->ends_by[RMD_CORE_END_CANNOT_RUN], 2);
	assert_string_equal(rig->last_waits, "no agent has the runtime python");
}

static void what_an_agent_suits_in_time_is_run(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool_spec spec = rig_spec("", 1);
	struct rmd_core_pool *pool = NULL;
	const char *field;
	bool reused;
	spec.cpu_milli = 8000;
	assert_int_equal(rmd_core_pool_open(rig->core, rig->now_ms, client, &spec, &pool,
					    &reused, &field),
			 0);
	rig_agent(rig, "small", 4);
	rig_submit_many(rig, client, pool, 1);
	rig_tick(rig);
	rig_pass(rig, rig->config.cannot_run_ms - 1);
	struct rmd_core_agent *agent = rig_agent(rig, "large", 8);
	rig_ready(rig, agent, pool, 1);
	rig_pass(rig, 2 * rig->config.cannot_run_ms);
	assert_int_equal(rig->grants, 1);
	assert_int_equal(rig->ends, 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(rules_out_of_range_are_refused),
		T(a_queue_deadline_ends_what_has_not_begun),
		T(a_queue_deadline_is_met_when_user_code_has_begun),
		T(what_was_leased_and_began_in_time_keeps_its_own_end),
		T(a_run_deadline_counts_from_the_beginning_of_each_attempt),
		T(a_run_deadline_is_final_unless_the_rule_names_it),
		T(a_cancel_beats_a_run_deadline_and_allows_no_other_attempt),
		T(a_childs_deadline_is_not_later_than_its_parents_run),
		T(a_task_is_tried_again_only_after_the_causes_of_its_rule),
		T(a_rule_may_name_types_of_errors),
		T(a_lost_agent_is_a_cause_of_its_own),
		T(each_wait_doubles_up_to_the_longest_and_half_is_chance),
		T(what_backs_off_can_be_cancelled_and_lets_others_pass),
		T(a_pool_that_is_closed_ends_what_backs_off),
		T(a_pool_that_drains_waits_for_what_backs_off),
		T(failed_attempts_are_remembered_the_newest_of_them),
		T(a_task_that_ends_worker_after_worker_is_stopped),
		T(a_task_whose_attempts_are_over_is_not_called_poison),
		T(what_no_agent_suits_fails_after_its_time_and_says_why),
		T(what_an_agent_suits_in_time_is_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
