/* The agent with workers whose tasks submit tasks: who has a place, who waits in line. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/clock.h"
#include "tests/unit/agent/rig.h"
#include "worker/spawner/spawner.h"

static const struct rig_spec plain;

#define COUNT(pool_number, wanted_state) \
	rig_workers(rig, (pool_number), (wanted_state), pids, 16)

/* A pool of one place, in which lease 1 has submitted a child and waits for it. */
static struct rig *waiting(void)
{
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &plain);
	rig_lease(rig, 1, 1, "nest", "native:below");
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[1].waiting);
	return rig;
}

static void a_child_is_passed_on_and_its_end_comes_back(void **state)
{
	(void)state;
	pid_t pids[16];
	struct rig *rig = waiting();
	assert_int_equal(rig->nested.lease, 1);
	assert_int_equal(rig->nested.number, 1);
	assert_string_equal(rig->nested_function, "native:below");
	assert_string_equal(rig->nested_arguments, "some arguments");
	assert_string_equal(rig->nested_pool, "");
	RIG_WAIT(rig, COUNT(1, RMD_WORKER_STATE_WAITING) == 1);
	rig_nested(rig, 1, 2, RMD_OUTCOME_VALUE, "of no child");
	rig_nested(rig, 7, 1, RMD_OUTCOME_VALUE, "of no lease");
	rig_nested(rig, 1, 1, RMD_OUTCOME_VALUE, "its value");
	rig_nested(rig, 1, 1, RMD_OUTCOME_VALUE, "once more");
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	assert_string_equal(rig_text(rig, 1), "value 9 its value");
	assert_false(rig->leases[1].waiting);
	rig_stop(rig);
}

static void errors_and_cancels_come_back_as_such(void **state)
{
	(void)state;
	struct rig *rig = waiting();
	rig_nested(rig, 1, 1, RMD_OUTCOME_ERROR, "a chain");
	rig_lease(rig, 1, 2, "nest", "native:below");
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	assert_string_equal(rig_text(rig, 1), "error 7 a chain");
	RIG_WAIT(rig, rig->leases[2].waiting);
	rig_nested(rig, 2, 1, RMD_OUTCOME_CANCELLED, "a reason");
	rig_send(rig);
	rig_wait_end(rig, 2, RIG_VALUE);
	assert_string_equal(rig_text(rig, 2), "cancelled 8 a reason");
	rig_stop(rig);
}

static void a_value_of_32_mib_comes_as_a_transfer(void **state)
{
	(void)state;
	struct rig *rig = waiting();
	struct rmd_buf *large = rmd_buf_create(32 << 20);
	assert_non_null(large);
	memset(rmd_buf_writable(large), 'x', 32 << 20);
	rig_transfer(rig, 1, (struct rmd_piece){rmd_buf_slice(large), large});
	rig_nested_transfer(rig, 1, 1, 1);
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	assert_non_null(strstr(rig_text(rig, 1), "value 33554432 xxxx"));
	/* One that was never sent. */
	rig_lease(rig, 1, 2, "nest", "native:below");
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[2].waiting);
	rig_nested_transfer(rig, 2, 1, 2);
	rig_send(rig);
	rig_wait_end(rig, 2, RIG_VALUE);
	assert_non_null(strstr(rig_text(rig, 2), "error "));
	assert_non_null(strstr(rig_text(rig, 2), "PayloadLost"));
	rig_stop(rig);
}

static void while_one_waits_another_has_its_place(void **state)
{
	(void)state;
	pid_t pids[16];
	struct rig *rig = waiting();
	rig_lease(rig, 1, 2, "echo", "in its place");
	rig_send(rig);
	rig_wait_end(rig, 2, RIG_VALUE);
	assert_int_not_equal(rig->leases[2].worker, rig->leases[1].worker);
	assert_true(rig->leases[1].waiting);
	RIG_WAIT(rig, COUNT(1, RMD_WORKER_STATE_IDLE) == 1);
	rig_nested(rig, 1, 1, RMD_OUTCOME_VALUE, "");
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	/* The worker that was more than the pool's number is kept for a while, then not.
	 */
	RIG_WAIT(rig, rig->pools[1].worker_count == 1);
	rig_stop(rig);
}

static void who_has_waited_takes_the_next_place_before_new_tasks(void **state)
{
	(void)state;
	struct rig *rig = waiting();
	rig_lease(rig, 1, 2, "until_cancelled", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[2].began_told);
	rig_nested(rig, 1, 1, RMD_OUTCOME_VALUE, "");
	rig_lease(rig, 1, 3, "until_cancelled", "");
	rig_lease(rig, 1, 4, "until_cancelled", "");
	rig_send(rig);
	/* Neither goes on while the place is taken; nothing else could be waited for. */
	struct timespec nap = {0, 50000000};
	nanosleep(&nap, NULL);
	assert_true(rig->leases[1].waiting);
	assert_false(rig->leases[3].began_told);
	rig_cancel(rig, 2);
	rig_send(rig);
	rig_wait_end(rig, 2, RIG_VALUE);
	rig_wait_end(rig, 1, RIG_VALUE); /* the first in line */
	RIG_WAIT(rig, rig->leases[3].began_told || rig->leases[4].began_told);
	uint64_t runs = rig->leases[3].began_told ? 3 : 4;
	assert_false(rig->leases[7 - runs].began_told);
	rig_cancel(rig, runs);
	rig_send(rig);
	rig_wait_end(rig, runs, RIG_VALUE);
	RIG_WAIT(rig, rig->leases[7 - runs].began_told);
	rig_cancel(rig, 7 - runs);
	rig_send(rig);
	rig_wait_end(rig, 7 - runs, RIG_VALUE);
	rig_stop(rig);
}

static void what_lay_behind_a_task_that_waits_goes_back(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &plain);
	for (uint64_t i = 1; i <= 100; i++) /* short ones: then much is prefetched */
		rig_lease(rig, 1, i, "noop", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->values == 100 && rig->pools[1].slots > 10);
	rig_lease(rig, 1, 101, "nest", "native:below");
	for (uint64_t i = 102; i <= 110; i++)
		rig_lease(rig, 1, i, "noop", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[101].waiting);
	RIG_WAIT(rig, rig->returned == 9);
	RIG_WAIT(rig, rig->pools[1].slots == 1); /* nothing is prefetched now */
	/* A deeper one is not as deep as it says, but as deep as its lease. */
	struct rmd_lease_grant deeper = {.lease = 111,
					 .pool = 1,
					 .function = rmd_slice_of_string("native:noop"),
					 .attempt = 1,
					 .depth = 1};
	rmd_attach_response_put_lease(&rig->out, &deeper, NULL);
	rig_send(rig);
	rig_wait_end(rig, 111, RIG_VALUE);
	rig_nested(rig, 101, 1, RMD_OUTCOME_VALUE, "");
	rig_send(rig);
	rig_wait_end(rig, 101, RIG_VALUE);
	/* When none has submitted anything for a while it is as before. */
	RIG_WAIT(rig, rig->pools[1].slots > 1);
	rig_stop(rig);
}

static void a_task_that_gives_up_goes_on_without(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &plain);
	rig_lease(rig, 1, 1, "nest_a_while", "20");
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	assert_string_equal(rig_text(rig, 1), "none 0 ");
	assert_int_equal(rig->leases[1].waits, 1);
	assert_false(rig->leases[1].waiting);
	rig_stop(rig);
}

static void who_has_waited_long_enough_goes_on_though_its_place_is_taken(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &plain);
	rig_lease(rig, 1, 1, "nest_a_while", "300");
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[1].waits == 1);
	rig_lease(rig, 1, 2, "until_cancelled", ""); /* takes its place, for ever */
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	assert_string_equal(rig_text(rig, 1), "none 0 ");
	rig_stop(rig);
}

static void an_unknown_child_is_said_to_be(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &plain);
	rig_lease(rig, 1, 1, "ask_for_nothing", "");
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	assert_string_equal(rig_text(rig, 1), "unknown 0 ");
	assert_int_equal(rig->leases[1].waits, 0);
	rig_stop(rig);
}

static void a_cancelled_task_that_waits_goes_on_at_once(void **state)
{
	(void)state;
	struct rig *rig = waiting();
	rig_lease(rig, 1, 2, "until_cancelled", ""); /* has the place */
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[2].began_told);
	rig_cancel(rig, 1);
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	assert_string_equal(rig_text(rig, 1), "stop 0 ");
	rig_cancel(rig, 2);
	rig_send(rig);
	rig_wait_end(rig, 2, RIG_VALUE);
	rig_stop(rig);
}

static void a_worker_that_dies_while_it_waits_leaves_no_trace(void **state)
{
	(void)state;
	pid_t pids[16];
	struct rig *rig = waiting();
	RIG_WAIT(rig, COUNT(1, RMD_WORKER_STATE_WAITING) == 1);
	kill(pids[0], SIGKILL);
	rig_wait_end(rig, 1, RIG_ERROR);
	assert_true(rig->leases[1].began);
	rig_nested(rig, 1, 1, RMD_OUTCOME_VALUE, "too late");
	for (uint64_t i = 2; i <= 5; i++)
		rig_lease(rig, 1, i, "noop", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->values == 4);
	RIG_WAIT(rig, rig->pools[1].worker_count == 1);
	rig_stop(rig);
}

static void what_a_task_submits_just_before_its_end_is_passed_on(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &plain);
	for (uint64_t i = 1; i <= 200; i++)
		rig_lease(rig, 1, i, "submit_and_end", "native:below");
	rig_send(rig);
	RIG_WAIT(rig, rig->values == 200);
	for (uint64_t i = 1; i <= 200; i++) {
		assert_int_equal(rig->leases[i].nested, 2);
		assert_int_equal(rig->leases[i].nested_cancelled, 2);
	}
	rig_stop(rig);
}

static void an_agent_drains_and_dies_with_tasks_that_wait(void **state)
{
	(void)state;
	struct rig *rig = waiting();
	rmd_agent_drain(rig->agent);
	RIG_WAIT(rig, rig->draining);
	rig_nested(rig, 1, 1, RMD_OUTCOME_VALUE, "");
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	RIG_WAIT(rig, rig->closed);
	rig_stop(rig);
	rig_stop(waiting()); /* with one still waiting */
	rig = waiting();
	rig_lose(rig);
	rig_stop(rig);
}

static void progress_is_told_ten_times_a_second_at_most(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	uint64_t begun_ms = rmd_clock_mono_ms();
	rig_pool(rig, 1, 1, &plain);
	rig_lease(rig, 1, 1, "progress", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[1].progress_told >= 3);
	uint64_t ms = rmd_clock_mono_ms() - begun_ms;
	assert_true(rig->leases[1].progress_told <= 1 + ms / 90);
	assert_int_equal(rig->leases[1].progress_total, 1000);
	assert_true(rig->leases[1].progress_done > 0);
	rig_cancel(rig, 1);
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	rig_stop(rig);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--spawner") == 0)
		rmd_spawner_main();
	fake_worker_main(argc, argv);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_is_passed_on_and_its_end_comes_back),
		cmocka_unit_test(errors_and_cancels_come_back_as_such),
		cmocka_unit_test(a_value_of_32_mib_comes_as_a_transfer),
		cmocka_unit_test(while_one_waits_another_has_its_place),
		cmocka_unit_test(who_has_waited_takes_the_next_place_before_new_tasks),
		cmocka_unit_test(what_lay_behind_a_task_that_waits_goes_back),
		cmocka_unit_test(a_task_that_gives_up_goes_on_without),
		cmocka_unit_test(
			who_has_waited_long_enough_goes_on_though_its_place_is_taken),
		cmocka_unit_test(an_unknown_child_is_said_to_be),
		cmocka_unit_test(a_cancelled_task_that_waits_goes_on_at_once),
		cmocka_unit_test(a_worker_that_dies_while_it_waits_leaves_no_trace),
		cmocka_unit_test(what_a_task_submits_just_before_its_end_is_passed_on),
		cmocka_unit_test(an_agent_drains_and_dies_with_tasks_that_wait),
		cmocka_unit_test(progress_is_told_ten_times_a_second_at_most),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
