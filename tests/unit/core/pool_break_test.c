/* Pools that break, and clients that are done with a pool. */
#include "tests/unit/core/rig.h"

static struct rmd_core_pool *pool_with(struct rig *rig, struct rmd_core_client *client,
				       const char *name, bool broken_on_crash)
{
	struct rmd_core_pool_spec spec = rig_spec(name, 2);
	struct rmd_core_pool *pool;
	const char *field;
	bool reused;
	spec.broken_on_crash = broken_on_crash;
	assert_int_equal(rmd_core_pool_open(rig->core, rig->now_ms, client, &spec, &pool,
					    &reused, &field),
			 0);
	return pool;
}

static void leave(struct rig *rig, struct rmd_core_client *client,
		  struct rmd_core_pool *pool, enum rmd_core_pool_close how)
{
	assert_int_equal(rmd_core_pool_leave(rig->core, rig->now_ms, client, pool, how),
			 0);
}

/* --- breaking ---------------------------------------------------------------------- */

static void what_waits_in_a_broken_pool_fails_with_why_and_what_runs_goes_on(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = pool_with(rig, client, "", false);
	struct rmd_core_agent *agent = rig_agent(rig, "a", 4);
	struct rmd_piece why;
	rig_submit_many(rig, client, pool, 5);
	rig_tick(rig);
	rig_ready(rig, agent, pool, 2);
	rig_tick(rig);
	assert_int_equal(rig->grants, 2);
	assert_int_equal(rig_began(rig, 0), 0);
	assert_false(rmd_core_pool_broken(pool, NULL));
	assert_int_equal(rig_broken(rig, agent, pool, "setup failed"), 0);
	assert_true(rmd_core_pool_broken(pool, &why));
	assert_true(rmd_slice_equal(why.bytes, rig_text("setup failed")));
	assert_int_equal(rig->ends_by[RMD_CORE_END_POOL_BROKEN], 3);
	assert_string_equal(rig->last_outcome, "setup failed");
	/* What had not begun comes back, and fails too. */
	assert_int_equal(rig_returned(rig, 1), 0);
	assert_int_equal(rig->ends_by[RMD_CORE_END_POOL_BROKEN], 4);
	assert_int_equal(rig_value(rig, 0), 0);
	assert_int_equal(rig->ends_by[RMD_CORE_END_VALUE], 1);
	assert_int_equal(rig->cancels, 0);
	assert_int_equal(rig_submit(rig, client, pool), RMD_ECLOSED);
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, pool), 0);
	assert_int_equal(rig->kill_orders, 0);
}

static void a_pool_that_crashes_break_fails_what_runs_and_kills(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = pool_with(rig, client, "", true);
	struct rmd_core_agent *agent = rig_agent(rig, "a", 4);
	rig_submit_many(rig, client, pool, 4);
	rig_tick(rig);
	rig_ready(rig, agent, pool, 2);
	rig_tick(rig);
	assert_int_equal(rig_began(rig, 0), 0);
	assert_int_equal(rig_began(rig, 1), 0);
	assert_int_equal(rig_error(rig, 0, true), 0); /* the one that crashed */
	assert_int_equal(rig_broken(rig, agent, pool, "a worker was lost"), 0);
	assert_int_equal(rig->ends_by[RMD_CORE_END_POOL_BROKEN], 2);
	assert_int_equal(rig->cancels, 1);
	rig_tick(rig);
	assert_int_equal(rig->kill_orders, 1);
	/* Even if it had come to its end: the pool was said to be broken first. */
	assert_int_equal(rig_value(rig, 1), 0);
	assert_int_equal(rig->ends_by[RMD_CORE_END_POOL_BROKEN], 3);
	assert_string_equal(rig->last_outcome, "a worker was lost");
}

static void a_task_that_would_be_tried_again_fails_where_its_pool_is_broken(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = pool_with(rig, client, "", false);
	struct rmd_core_agent *agent = rig_agent(rig, "a", 4);
	struct rmd_core_submit submit = {.max_attempts = 3};
	assert_int_equal(rig_submit_with(rig, client, pool, submit), 0);
	rig_tick(rig);
	rig_ready(rig, agent, pool, 2);
	rig_tick(rig);
	assert_int_equal(rig_began(rig, 0), 0);
	assert_int_equal(rig_broken(rig, agent, pool, "why"), 0);
	assert_int_equal(rig_error(rig, 0, true), 0);
	assert_int_equal(rig->ends_by[RMD_CORE_END_POOL_BROKEN], 1);
}

static void a_broken_pool_is_not_found_again_and_a_new_one_takes_its_name(void **state)
{
	static const char *const names[] = {"shared", ""};
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_agent *agent = rig_agent(rig, "a", 4);
	for (size_t i = 0; i < 2; i++) {
		struct rmd_core_pool *pool = pool_with(rig, client, names[i], false);
		rig_submit_many(rig, client, pool, 1);
		rig_tick(rig);
		assert_int_equal(rig_broken(rig, agent, pool, "why"), 0);
		assert_int_equal(rig_broken(rig, agent, pool, "another"), 0);
		struct rmd_core_pool *fresh = pool_with(rig, client, names[i], false);
		assert_ptr_not_equal(fresh, pool);
		assert_false(rmd_core_pool_broken(fresh, NULL));
		assert_int_equal(rig_submit(rig, client, fresh), 0);
		/* It stays as long as its client holds it, to say why. */
		rig_pass(rig, 60000);
		assert_true(rmd_core_pool_broken(pool, NULL));
		leave(rig, client, pool, RMD_CORE_POOL_DRAIN);
		uint64_t gone = rig->pools_gone;
		rig_tick(rig);
		assert_int_equal(rig->pools_gone, gone + 1);
	}
}

static void a_task_in_a_broken_pool_can_submit_no_other(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = pool_with(rig, client, "", false);
	struct rmd_core_agent *agent = rig_agent(rig, "a", 4);
	rig_submit_many(rig, client, pool, 1);
	rig_tick(rig);
	rig_ready(rig, agent, pool, 2);
	rig_tick(rig);
	assert_int_equal(rig_began(rig, 0), 0);
	assert_int_equal(rig_nested(rig, 0, 1, NULL), 0);
	assert_int_equal(rig_broken(rig, agent, pool, "why"), 0);
	assert_int_equal(rig->child_ends_by[RMD_CORE_END_POOL_BROKEN], 1);
	assert_int_equal(rig_nested(rig, 0, 2, NULL), RMD_ECLOSED);
}

/* --- leaving ----------------------------------------------------------------------- */

static void to_cancel_ends_what_has_not_begun_wherever_it_lies(void **state)
{
	static const char *const names[] = {"", "shared"};
	for (size_t i = 0; i < 2; i++) {
		struct rig *rig = *state;
		struct rmd_core_client *client = rig_client(rig, "uid:1");
		struct rmd_core_agent *agent = rig_agent(rig, "a", 4);
		struct rmd_core_pool *pool = pool_with(rig, client, names[i], false);
		size_t first = rig->grants;
		uint64_t closed = rig->ends_by[RMD_CORE_END_POOL_CLOSED];
		rig_submit_many(rig, client, pool, 6);
		rig_tick(rig);
		rig_ready(rig, agent, pool, 4);
		rig_tick(rig);
		assert_int_equal(rig->grants - first, 4);
		assert_int_equal(rig_began(rig, first), 0);
		uint64_t asked = rig->recalled_leases;
		leave(rig, client, pool, RMD_CORE_POOL_CLOSE);
		assert_int_equal(rig->ends_by[RMD_CORE_END_POOL_CLOSED] - closed, 2);
		assert_true(rig->recalled_leases - asked >= 3);
		assert_int_equal(rig_returned(rig, first + 3), 0);
		assert_int_equal(rig_returned(rig, first + 2), 0);
		assert_int_equal(rig->ends_by[RMD_CORE_END_POOL_CLOSED] - closed, 4);
		/* What was about to begin goes on, as what runs. */
		assert_int_equal(rig_value(rig, first + 1), 0);
		assert_int_equal(rig_value(rig, first), 0);
		assert_int_equal(rig->ends_by[RMD_CORE_END_POOL_CLOSED] - closed, 4);
		assert_int_equal(rmd_core_pool_leave(rig->core, rig->now_ms, client, pool,
						     RMD_CORE_POOL_KILL),
				 RMD_ENOTFOUND);
		rmd_core_agent_lost(rig->core, rig->now_ms, agent,
				    RMD_CORE_FAREWELL_SAID);
		rig_tick(rig);
	}
}

static void who_leaves_a_shared_pool_touches_nobody_elses_tasks(void **state)
{
	static const enum rmd_core_pool_close ways[] = {
		RMD_CORE_POOL_DRAIN, RMD_CORE_POOL_CLOSE, RMD_CORE_POOL_KILL};
	struct rig *rig = *state;
	struct rmd_core_client *stays = rig_client(rig, "uid:2");
	struct rmd_core_agent *agent = rig_agent(rig, "a", 1);
	struct rmd_core_pool *pool = pool_with(rig, stays, "shared", false);
	rig_submit_many(rig, stays, pool, 3);
	rig_tick(rig);
	rig_report(rig, agent, pool, 1, 1);
	rig_tick(rig);
	assert_int_equal(rig_began(rig, 0), 0);
	for (size_t i = 0; i < 3; i++) {
		struct rmd_core_client *goes = rig_client(rig, "uid:1");
		uint64_t closed = rig->ends_by[RMD_CORE_END_POOL_CLOSED];
		assert_ptr_equal(pool_with(rig, goes, "shared", false), pool);
		rig_submit_many(rig, goes, pool, 2);
		leave(rig, goes, pool, ways[i]);
		assert_int_equal(rig->ends_by[RMD_CORE_END_POOL_CLOSED] - closed,
				 ways[i] == RMD_CORE_POOL_DRAIN ? 0 : 2);
		assert_int_equal(rig->cancels, 0);
	}
	assert_int_equal(rig->ends, 4);
	assert_int_equal(rig_submit(rig, stays, pool), 0);
}

static void to_kill_ends_all_of_ones_own_tasks(void **state)
{
	static const char *const names[] = {"", "shared"};
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "a", 4);
	for (size_t i = 0; i < 2; i++) {
		struct rmd_core_client *client = rig_client(rig, "uid:1");
		struct rmd_core_pool *pool = pool_with(rig, client, names[i], false);
		size_t first = rig->grants;
		uint64_t cancels = rig->cancels;
		rig_submit_many(rig, client, pool, 3);
		rig_tick(rig);
		rig_ready(rig, agent, pool, 2);
		rig_tick(rig);
		assert_int_equal(rig_began(rig, first), 0);
		leave(rig, client, pool, RMD_CORE_POOL_KILL);
		assert_int_equal(rig->ends_by[RMD_CORE_END_POOL_CLOSED], 3 * i + 1);
		assert_int_equal(rig->cancels - cancels, 2);
		rig_tick(rig);
		/* A shared pool's workers are others' too. */
		assert_int_equal(rig->kill_orders, 1);
		assert_int_equal(rig_value(rig, first), 0);
		assert_int_equal(rig_returned(rig, first + 1), 0);
		assert_int_equal(rig->ends_by[RMD_CORE_END_POOL_CLOSED], 3 * i + 3);
		rig_tick(rig);
	}
}

static void a_new_task_of_the_pool_is_not_mistaken_for_one_that_was_to_end(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_agent *agent = rig_agent(rig, "a", 4);
	struct rmd_core_pool *pool = pool_with(rig, client, "shared", false);
	struct rmd_core_client *other = rig_client(rig, "uid:2");
	pool_with(rig, other, "shared", false);
	rig_submit_many(rig, client, pool, 1);
	rig_tick(rig);
	rig_ready(rig, agent, pool, 2);
	rig_tick(rig);
	leave(rig, client, pool, RMD_CORE_POOL_CLOSE);
	assert_ptr_equal(pool_with(rig, client, "shared", false), pool);
	rig_submit_many(rig, client, pool, 1);
	rig_tick(rig);
	size_t grants = rig->grants;
	assert_int_equal(grants, 2);
	assert_int_equal(rig_returned(rig, 1), 0); /* the agent may pick the new one */
	assert_int_equal(rig->ends, 0);
	assert_int_equal(rig_returned(rig, 0), 0);
	assert_int_equal(rig->ends_by[RMD_CORE_END_POOL_CLOSED], 1);
	rig_pass(rig, 1000);
	assert_int_equal(rig->grants, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
		TEST(what_waits_in_a_broken_pool_fails_with_why_and_what_runs_goes_on),
		TEST(a_pool_that_crashes_break_fails_what_runs_and_kills),
		TEST(a_task_that_would_be_tried_again_fails_where_its_pool_is_broken),
		TEST(a_broken_pool_is_not_found_again_and_a_new_one_takes_its_name),
		TEST(a_task_in_a_broken_pool_can_submit_no_other),
		TEST(to_cancel_ends_what_has_not_begun_wherever_it_lies),
		TEST(who_leaves_a_shared_pool_touches_nobody_elses_tasks),
		TEST(to_kill_ends_all_of_ones_own_tasks),
		TEST(a_new_task_of_the_pool_is_not_mistaken_for_one_that_was_to_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
