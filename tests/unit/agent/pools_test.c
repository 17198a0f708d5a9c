/* What an agent does for pools with an initializer, and for those that a crash breaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error/chain.h"
#include "tests/unit/agent/rig.h"
#include "worker/spawner/spawner.h"

static void the_first_task_comes_after_the_initializer(void **state)
{
	(void)state;
	static const struct rig_spec spec = {.initializer = "native:sleep_ms",
					     .initializer_arguments = "50"};
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 2, &spec);
	for (uint64_t i = 1; i <= 20; i++)
		rig_lease(rig, 1, i, "pid", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->values == 20);
	assert_false(rig->pools[1].broken);
	assert_int_equal(rig->pools[1].start_failures, 0);
	rig_stop(rig);
}

static void a_worker_lost_in_its_initializer_breaks_the_pool_at_once(void **state)
{
	(void)state;
	static const struct rig_spec spec = {.initializer = "native:exit",
					     .initializer_arguments = "3"};
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 2, &spec);
	for (uint64_t i = 1; i <= 5; i++)
		rig_lease(rig, 1, i, "pid", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->pools[1].broken && rig->returned == 5);
	pthread_mutex_lock(&rig->lock);
	assert_non_null(
		strstr(rig->pools[1].start_error, "BrokenPool: the pool is broken"));
	assert_non_null(strstr(rig->pools[1].start_error, "native:exit"));
	assert_non_null(strstr(rig->pools[1].start_error, "WorkerLost"));
	pthread_mutex_unlock(&rig->lock);
	/* It starts no other, and keeps no lease. */
	rig_lease(rig, 1, 6, "pid", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->returned == 6 && rig->pools[1].slots == 0);
	rig_stop(rig);
}

static void an_initializer_is_refused_children_and_goes_on(void **state)
{
	(void)state;
	static const struct rig_spec spec = {.initializer = "native:nest",
					     .initializer_arguments = "native:other"};
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &spec);
	rig_lease(rig, 1, 1, "echo", "fine");
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	assert_false(rig->pools[1].broken);
	rig_stop(rig);
}

static void a_worker_that_is_not_wanted_any_more_leaves_its_initializer(void **state)
{
	(void)state;
	static const struct rig_spec spec = {.initializer = "native:sleep_ms",
					     .initializer_arguments = "600000"};
	struct rig *rig = rig_start(NULL);
	pid_t pids[1];
	rig_pool(rig, 1, 1, &spec);
	rig_send(rig);
	RIG_WAIT(rig, rig_workers(rig, 1, RMD_WORKER_STATE_STARTING, pids, 1) == 1 &&
			      pids[0] != 0);
	rig_pool(rig, 1, 0, NULL);
	rig_send(rig);
	RIG_WAIT(rig, rig->pools[1].worker_count == 0);
	await_end_of(pids[0]);
	assert_false(rig->pools[1].broken);
	rig_stop(rig);
}

static void a_crash_breaks_a_pool_that_wants_it_and_gives_back_the_rest(void **state)
{
	(void)state;
	static const struct rig_spec spec = {.broken_on_crash = true};
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &spec);
	rig_lease(rig, 1, 1, "crash", "now");
	for (uint64_t i = 2; i <= 5; i++)
		rig_lease(rig, 1, i, "pid", "");
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_ERROR);
	struct remuda_error *err = rig_error(rig, 1);
	assert_string_equal(remuda_error_type(err), "BrokenPool");
	assert_string_equal(remuda_error_type(remuda_error_cause(err)), "WorkerLost");
	remuda_error_free(err);
	RIG_WAIT(rig, rig->pools[1].broken && rig->returned == 4);
	assert_non_null(strstr(rig->pools[1].start_error, "SIGSEGV"));
	rig_stop(rig);
}

static void a_cancelled_task_breaks_no_pool(void **state)
{
	(void)state;
	static const struct rig_spec spec = {.broken_on_crash = true};
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &spec);
	rig_lease(rig, 1, 1, "deaf", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[1].began_told);
	rig_cancel(rig, 1);
	rig_lease(rig, 1, 2, "echo", "on");
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_CANCELLED);
	rig_wait_end(rig, 2, RIG_VALUE);
	assert_false(rig->pools[1].broken);
	rig_stop(rig);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--spawner") == 0)
		rmd_spawner_main();
	fake_worker_main(argc, argv);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_task_comes_after_the_initializer),
		cmocka_unit_test(
			a_worker_lost_in_its_initializer_breaks_the_pool_at_once),
		cmocka_unit_test(an_initializer_is_refused_children_and_goes_on),
		cmocka_unit_test(
			a_worker_that_is_not_wanted_any_more_leaves_its_initializer),
		cmocka_unit_test(
			a_crash_breaks_a_pool_that_wants_it_and_gives_back_the_rest),
		cmocka_unit_test(a_cancelled_task_breaks_no_pool),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
