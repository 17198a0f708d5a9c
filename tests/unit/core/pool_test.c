/* Pools: who gets which, how large they are, when they go. */
#include "tests/unit/core/rig.h"

static int try_open(struct rig *rig, struct rmd_core_client *client,
		    const struct rmd_core_pool_spec *spec,
		    struct rmd_core_pool **ret_pool, const char **ret_field)
{
	bool reused;
	return rmd_core_pool_open(rig->core, rig->now_ms, client, spec, ret_pool, &reused,
				  ret_field);
}

static struct rmd_core_pool_info info(const struct rmd_core_pool *pool)
{
	struct rmd_core_pool_info info;
	rmd_core_pool_info(pool, &info);
	return info;
}

static void a_named_pool_is_shared_and_as_large_as_the_largest_asks(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *a = rig_client(rig, "uid:1"),
			       *b = rig_client(rig, "uid:2");
	struct rmd_core_pool *pool = rig_pool(rig, a, "shared", 2);
	assert_ptr_equal(rig_pool(rig, b, "shared", 5), pool);
	assert_int_equal(info(pool).max_workers, 5);
	assert_int_equal(info(pool).holders, 2);
	assert_int_equal(rmd_core_pool_release(rig->core, rig->now_ms, b, pool), 0);
	assert_int_equal(rmd_core_pool_release(rig->core, rig->now_ms, b, pool),
			 RMD_ENOTFOUND);
	assert_int_equal(info(pool).max_workers, 2);
	assert_int_equal(rmd_core_pool_resize(rig->core, rig->now_ms, pool, 3), 0);
	assert_int_equal(info(pool).max_workers, 3);
	assert_int_equal(rmd_core_pool_resize(rig->core, rig->now_ms, pool, 0),
			 RMD_EINVAL);
	assert_int_equal(rmd_core_pool_resize(rig->core, rig->now_ms, pool, 100001),
			 RMD_EINVAL);
	assert_ptr_equal(rmd_core_pool_find_name(rig->core, rig_text("shared")), pool);
	assert_ptr_equal(rmd_core_pool_find(rig->core, rmd_core_pool_number(pool)), pool);
}

static void a_differing_spec_is_refused_by_the_field_that_differs(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_label label = {rig_text("zone"), rig_text("b")};
	rig_pool(rig, client, "p", 1);
	struct rmd_core_pool_spec spec[7];
	static const char *const fields[] = {"runtime",
					     "idle_timeout_ms",
					     "cpu_milli",
					     "memory_bytes",
					     "max_tasks_per_worker",
					     "labels",
					     "environment or modules"};
	for (size_t i = 0; i < 7; i++)
		spec[i] = rig_spec("p", 1);
	spec[0].runtime = rig_text("python");
	spec[1].idle_timeout_ms = 5;
	spec[2].cpu_milli = 500;
	spec[3].memory_bytes = 1;
	spec[4].max_tasks_per_worker = 9;
	spec[5].labels = &label;
	spec[5].label_count = 1;
	spec[6].identity = rig_text("other");
	for (size_t i = 0; i < 7; i++) {
		struct rmd_core_pool *pool;
		const char *field = NULL;
		assert_int_equal(try_open(rig, client, &spec[i], &pool, &field),
				 RMD_EINVAL);
		assert_string_equal(field, fields[i]);
	}
	/* What says the default in so many words is the same spec. */
	struct rmd_core_pool_spec same = rig_spec("p", 1);
	struct rmd_core_pool *pool;
	const char *field = NULL;
	same.cpu_milli = 1000;
	same.idle_timeout_ms = rig->config.idle_timeout_ms;
	assert_int_equal(try_open(rig, client, &same, &pool, &field), 0);
}

static void specs_out_of_range_are_refused(void **state)
{
	struct rig *rig = *state;
	static const uint8_t name[RMD_CORE_POOL_NAME_MAX + 1] = {'n'};
	struct rmd_core_pool *pool;
	const char *field = NULL;
	struct rmd_core_pool_spec spec = rig_spec("", 100001);
	assert_int_equal(try_open(rig, NULL, &spec, &pool, &field), RMD_EINVAL);
	assert_string_equal(field, "max_workers");
	spec = rig_spec("", 1);
	spec.name = rmd_slice_of(name, RMD_CORE_POOL_NAME_MAX + 1);
	assert_int_equal(try_open(rig, NULL, &spec, &pool, &field), RMD_EINVAL);
	assert_string_equal(field, "name");
	spec.name.len--;
	assert_int_equal(try_open(rig, NULL, &spec, &pool, &field), 0);
	spec.runtime.len = 0;
	assert_int_equal(try_open(rig, NULL, &spec, &pool, &field), RMD_EINVAL);
	assert_string_equal(field, "runtime");
}

static void an_unnamed_pool_is_of_its_client_alone(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *a = rig_client(rig, "uid:1"),
			       *b = rig_client(rig, "uid:1");
	struct rmd_core_pool *mine = rig_pool(rig, a, "", 2);
	struct rmd_core_pool *theirs = rig_pool(rig, b, "", 2);
	assert_ptr_not_equal(mine, theirs);
	assert_ptr_equal(rig_pool(rig, a, "", 4), mine);
	assert_int_equal(info(mine).max_workers, 4);
	assert_ptr_equal(rig_pool(rig, a, "", 1), mine);
	assert_int_equal(info(mine).max_workers, 1);
	assert_int_equal(rig_submit(rig, b, mine), RMD_EINVAL);
}

static void a_warm_pool_goes_to_the_next_client_of_the_same_identity(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 2);
	struct rmd_core_client *first = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, first, "", 2);
	rig_submit(rig, first, pool);
	rig_ready(rig, agent, pool, 2);
	rig_value(rig, 0);
	rmd_core_client_close(rig->core, rig->now_ms, first);
	rig_pass(rig, 5000);
	assert_int_equal(rig_wanted(agent, pool), 1);
	struct rmd_core_client *stranger = rig_client(rig, "uid:2");
	assert_ptr_not_equal(rig_pool(rig, stranger, "", 2), pool);
	struct rmd_core_client *next = rig_client(rig, "uid:1");
	assert_ptr_equal(rig_pool(rig, next, "", 2), pool);
	assert_int_equal(rig_submit(rig, next, pool), 0);
	rig_tick(rig);
	assert_int_equal(rig->grants, 2);
}

static void a_warm_pool_goes_when_its_idle_time_is_over(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 2);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "", 2);
	rig_submit(rig, client, pool);
	rig_ready(rig, agent, pool, 2);
	rig_value(rig, 0);
	rmd_core_client_close(rig->core, rig->now_ms, client);
	rig_pass(rig, 9999);
	assert_int_equal(rig->pools_gone, 0);
	rig_pass(rig, 1);
	assert_int_equal(rig->pools_gone, 1);
	assert_int_equal(rig->closed_orders, 1);
	assert_int_equal(rig_counters(rig).pools, 0);
}

static void the_default_pool_of_a_runtime_is_one_for_all(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *a = rig_client(rig, "uid:1"),
			       *b = rig_client(rig, "uid:2");
	struct rmd_core_pool *pool = rig_pool(rig, NULL, "", 0);
	assert_ptr_equal(rig_pool(rig, NULL, "", 0), pool);
	assert_int_equal(rig_submit(rig, a, pool), 0);
	assert_int_equal(rig_submit(rig, b, pool), 0);
	rmd_core_cancel_all(rig->core, rig->now_ms, RMD_CORE_END_STOPPED);
	rig_pass(rig, 30000);
	assert_int_equal(rig->pools_gone, 1);
	assert_int_equal(rig_submit(rig, a, rig_pool(rig, NULL, "", 0)), 0);
}

static void a_pool_opened_without_a_client_stays_until_closed(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_pool *pool = rig_pool(rig, NULL, "forever", 2);
	rig_pass(rig, 1000000);
	assert_ptr_equal(rmd_core_pool_find_name(rig->core, rig_text("forever")), pool);
	rmd_core_pool_close(rig->core, rig->now_ms, pool, RMD_CORE_POOL_DRAIN);
	assert_null(rmd_core_pool_find_name(rig->core, rig_text("forever")));
	rig_tick(rig);
	assert_int_equal(rig->pools_gone, 1);
}

static void a_draining_pool_ends_its_tasks_and_takes_no_new_ones(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 2);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "p", 1);
	rig_submit_many(rig, client, pool, 2);
	rig_ready(rig, agent, pool, 1);
	rmd_core_pool_close(rig->core, rig->now_ms, pool, RMD_CORE_POOL_DRAIN);
	assert_int_equal(rig_submit(rig, client, pool), RMD_ECLOSED);
	assert_ptr_not_equal(rig_pool(rig, client, "p", 1), pool); /* a new one */
	rig_value(rig, 0);
	rig_tick(rig);
	rig_value(rig, 1);
	rig_tick(rig);
	assert_int_equal(rig->ends_by[RMD_CORE_END_VALUE], 2);
	assert_int_equal(rig->closed_orders, 1);
	assert_int_equal(rig->pools_gone, 0); /* its client still has the handle */
	assert_int_equal(rig_report(rig, agent, pool, 1, 1), RMD_ENOTFOUND);
	rmd_core_pool_release(rig->core, rig->now_ms, client, pool);
	rig_tick(rig);
	assert_int_equal(rig->pools_gone, 1);
}

static void closing_a_pool_cancels_what_waits_and_killing_it_all(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 2);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "p", 1);
	rig_submit_many(rig, client, pool, 3);
	rig_ready(rig, agent, pool, 1);
	rmd_core_pool_close(rig->core, rig->now_ms, pool, RMD_CORE_POOL_CLOSE);
	assert_int_equal(rig->ends_by[RMD_CORE_END_POOL_CLOSED], 2);
	assert_int_equal(rig->cancels, 0);
	rmd_core_pool_close(rig->core, rig->now_ms, pool, RMD_CORE_POOL_KILL);
	rig_tick(rig);
	assert_int_equal(rig->cancels, 1);
	assert_int_equal(rig->kill_orders, 1);
	assert_int_equal(rig_wanted(agent, pool), 0);
	rig_error(rig, 0, true);
	assert_int_equal(rig->ends_by[RMD_CORE_END_POOL_CLOSED], 3);
	rmd_core_client_close(rig->core, rig->now_ms, client);
	rig_tick(rig);
	assert_int_equal(rig->pools_gone, 1);
	assert_int_equal(rig->closed_orders, 1);
	assert_int_equal(rig->orders, 2); /* its workers, its end; nothing after that */
}

static void a_client_cancels_its_own_tasks_in_a_shared_pool_only(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *a = rig_client(rig, "uid:1"),
			       *b = rig_client(rig, "uid:2");
	struct rmd_core_pool *pool = rig_pool(rig, a, "p", 1);
	struct rmd_core_pool *other = rig_pool(rig, a, "q", 1);
	rig_pool(rig, b, "p", 1);
	rig_submit_many(rig, a, pool, 2);
	rig_submit_many(rig, b, pool, 3);
	rig_submit_many(rig, a, other, 1);
	rmd_core_pool_cancel(rig->core, rig->now_ms, a, pool);
	assert_int_equal(rig->ends_by[RMD_CORE_END_CANCELLED], 2);
	assert_int_equal(info(pool).queued, 3);
	assert_int_equal(info(other).queued, 1);
}

static void pools_are_limited_in_all_and_for_each_client(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_pool *pool;
	const char *field;
	rig_stop(rig);
	rig->config.pools_max = 3;
	rig->config.pools_per_client_max = 2;
	rig_start(rig);
	struct rmd_core_client *a = rig_client(rig, "uid:1"),
			       *b = rig_client(rig, "uid:2");
	rig_pool(rig, a, "1", 1);
	rig_pool(rig, a, "2", 1);
	struct rmd_core_pool_spec spec = rig_spec("3", 1);
	assert_int_equal(try_open(rig, a, &spec, &pool, &field), RMD_ELIMIT);
	assert_int_equal(try_open(rig, b, &spec, &pool, &field), 0);
	spec = rig_spec("4", 1);
	assert_int_equal(try_open(rig, b, &spec, &pool, &field), RMD_ELIMIT);
	spec = rig_spec("2", 1);
	assert_int_equal(try_open(rig, a, &spec, &pool, &field), 0);
}

static void workers_that_cannot_start_fail_the_queued_tasks(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 2);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "p", 2);
	rig_submit_many(rig, client, pool, 2);
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, pool), 2);
	for (int i = 0; i < 2; i++) {
		rig_start_failed(rig, agent, pool, "no such module");
		rig_tick(rig);
	}
	assert_int_equal(rig->ends, 0);
	rig_start_failed(rig, agent, pool, "still no such module");
	rig_tick(rig);
	assert_int_equal(rig->ends_by[RMD_CORE_END_START_FAILED], 2);
	assert_string_equal(rig->last_start_error, "still no such module");
	assert_int_equal(rig_wanted(agent, pool), 0);
	/* New tasks are a new try. */
	rig_submit(rig, client, pool);
	rig_ready(rig, agent, pool, 1);
	assert_int_equal(rig->grants, 1);
	assert_int_equal(info(pool).start_error.bytes.len, 0);
}

static void
what_was_leased_before_starts_failed_is_neither_ended_nor_cancelled(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 2);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "p", 1);
	rig_submit_many(rig, client, pool, 3);
	rig_tick(rig);
	/* Two are leased ahead of the worker, which then does not come. */
	assert_int_equal(rig_report(rig, agent, pool, 2, 0), 0);
	rig_tick(rig);
	assert_int_equal(rig->grants, 2);
	for (uint32_t i = 0; i < rig->config.start_failures_max; i++)
		rig_start_failed(rig, agent, pool, "no such module");
	rig_tick(rig);
	assert_int_equal(rig->ends_by[RMD_CORE_END_START_FAILED], 1);
	assert_int_equal(rig->cancels, 0);
	assert_int_equal(rig->recalled_leases, 2);
	/* One found a worker after all; the other comes back, and is tried again. */
	assert_int_equal(rig_value(rig, 0), 0);
	assert_int_equal(rig_returned(rig, 1), 0);
	assert_int_equal(rig->ends_by[RMD_CORE_END_VALUE], 1);
	assert_int_equal(rig_counters(rig).queued, 1);
	rig_ready(rig, agent, pool, 1);
	assert_int_equal(rig->grants, 3);
}

static void a_failed_start_beside_running_workers_fails_nothing(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 2);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "p", 2);
	rig_submit_many(rig, client, pool, 3);
	rig_tick(rig);
	for (int i = 0; i < 10; i++) {
		struct rmd_core_agent_pool state_now = {
			.pool = rmd_core_pool_number(pool),
			.slots = 1,
			.workers = 1,
			.start_failed = true};
		assert_int_equal(
			rmd_core_agent_pool(rig->core, rig->now_ms, agent, &state_now),
			0);
		rig_tick(rig);
	}
	assert_int_equal(rig->ends, 0);
}

static void what_is_queued_can_be_handed_over_to_another_pool(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *a = rig_client(rig, "uid:1"),
			       *b = rig_client(rig, "uid:2");
	struct rmd_core_pool *from = rig_pool(rig, a, "from", 1);
	struct rmd_core_pool *to = rig_pool(rig, a, "to", 1);
	struct rmd_core_submit urgent = {.priority = 7};
	rig_pool(rig, b, "from", 1);
	struct rmd_core_agent *agent = rig_agent(rig, "host", 2);
	rig_submit(rig, a, from);
	rig_tick(rig);
	rig_ready(rig, agent, from, 1);
	rig_tick(rig);
	assert_int_equal(rig->grants, 1);
	rig_submit_many(rig, a, from, 3);
	assert_int_equal(rig_submit_with(rig, a, from, urgent), 0);
	rig_submit_many(rig, b, from, 2);
	assert_true(rmd_core_pool_has_queued(from));
	rmd_core_pool_close(rig->core, rig->now_ms, from, RMD_CORE_POOL_DRAIN);
	rmd_core_pool_hand_over(rig->core, rig->now_ms, from, to);
	assert_false(rmd_core_pool_has_queued(from));
	assert_int_equal(info(to).queued, 6);
	assert_int_equal(info(from).leased, 1); /* ends where it is */
	rig_tick(rig);
	rig_ready(rig, agent, to, 6);
	rig_tick(rig);
	assert_int_equal(rig->grants, 7);
	uint64_t last = 0;
	for (size_t i = 1; i < 7; i++) {
		if (rig->leases[i].client != a || rig->leases[i].number == 5)
			continue;
		assert_true(rig->leases[i].number > last); /* their order is kept */
		last = rig->leases[i].number;
	}
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(rig_value(rig, i), 0);
	assert_int_equal(rig->ends_by[RMD_CORE_END_VALUE], 7);
	rig_tick(rig);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(what_is_queued_can_be_handed_over_to_another_pool),
		T(a_named_pool_is_shared_and_as_large_as_the_largest_asks),
		T(a_differing_spec_is_refused_by_the_field_that_differs),
		T(specs_out_of_range_are_refused),
		T(an_unnamed_pool_is_of_its_client_alone),
		T(a_warm_pool_goes_to_the_next_client_of_the_same_identity),
		T(a_warm_pool_goes_when_its_idle_time_is_over),
		T(the_default_pool_of_a_runtime_is_one_for_all),
		T(a_pool_opened_without_a_client_stays_until_closed),
		T(a_draining_pool_ends_its_tasks_and_takes_no_new_ones),
		T(closing_a_pool_cancels_what_waits_and_killing_it_all),
		T(a_client_cancels_its_own_tasks_in_a_shared_pool_only),
		T(pools_are_limited_in_all_and_for_each_client),
		T(workers_that_cannot_start_fail_the_queued_tasks),
		T(what_was_leased_before_starts_failed_is_neither_ended_nor_cancelled),
		T(a_failed_start_beside_running_workers_fails_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
