/* Pools from C, with real processes behind: initializers, memory, crashes, sizes, and the
 * ways to close one. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <remuda/remuda.h>

#define MIB (INT64_C(1) << 20)

static uint8_t module[1][32];
static char folder[64];

static int group_open(void **state)
{
	struct remuda_error *err = NULL;
	struct remuda *client = remuda_open("private");
	if (remuda_module_push(client, POOLS_MODULE, module[0], &err) < 0) {
		remuda_error_print(err, stderr);
		return -1;
	}
	const char *where = getenv("POOLS_FOLDER");
	snprintf(folder, sizeof folder, "%s/rmdpoolsXXXXXX",
		 where != NULL ? where : "/tmp");
	*state = client;
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static int group_close(void **state)
{
	char command[128];
	remuda_close(*state);
	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command);
}

/* A path in the folder that no test has used. */
static const char *fresh_path(void)
{
	static char paths[64][96];
	static unsigned next;
	snprintf(paths[next % 64], sizeof paths[0], "%s/%u", folder, next);
	return paths[next++ % 64];
}

static void touch(const char *path)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
}

static void nap_ms(long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&time, NULL);
}

static void wait_for_file(const char *path)
{
	while (access(path, F_OK) != 0)
		nap_ms(2);
}

static void wait_for_end_of(int64_t pid)
{
	for (int i = 0; i < 30000 && (kill((pid_t)pid, 0) == 0 || errno != ESRCH); i++)
		nap_ms(2);
	assert_int_equal(kill((pid_t)pid, 0), -1);
}

static struct remuda_pool_options options_of(uint32_t workers)
{
	struct remuda_pool_options options = REMUDA_POOL_OPTIONS_INIT;
	options.max_workers = workers;
	options.modules = (const uint8_t(*)[32])module;
	options.module_count = 1;
	return options;
}

static uint32_t open_pool(struct remuda *client,
			  const struct remuda_pool_options *options)
{
	struct remuda_error *err = NULL;
	uint32_t pool = 0;
	if (remuda_pool_open(client, options, &pool, &err) < 0) {
		remuda_error_print(err, stderr);
		fail();
	}
	return pool;
}

static struct remuda_task_options in(uint32_t pool)
{
	struct remuda_task_options options = REMUDA_TASK_OPTIONS_INIT;
	options.pool = pool;
	return options;
}

static struct remuda_future *submit(struct remuda *client, uint32_t pool,
				    const char *name)
{
	struct remuda_task_options options = in(pool);
	return remuda_submit_name_with(client, &options, name);
}

static struct remuda_future *submit_int(struct remuda *client, uint32_t pool,
					const char *name, int64_t arg)
{
	struct remuda_task_options options = in(pool);
	return remuda_submit_name_with(client, &options, name, arg);
}

/* A task that says by a file that it runs, and ends when the other file is there. */
static struct remuda_future *submit_meet(struct remuda *client, uint32_t pool,
					 const char *mine, const char *other)
{
	struct remuda_task_options options = in(pool);
	return remuda_submit_name_with(client, &options, "native:pools.meet", mine,
				       other);
}

static int64_t int_of(struct remuda_future *future)
{
	struct remuda_error *err = NULL;
	int64_t value = -1;
	if (remuda_get(future, &value, &err) < 0) {
		remuda_error_print(err, stderr);
		fail();
	}
	return value;
}

/* The future has failed, by errors of these types ("": no such), and a text in one. */
static void expect_types(struct remuda_future *future, const char *type,
			 const char *cause_type, const char *part)
{
	struct remuda_error *err = NULL;
	assert_int_equal(remuda_get(future, NULL, &err), REMUDA_ETASK);
	const struct remuda_error *cause = remuda_error_cause(err);
	char *text = remuda_error_string(err);
	if (strcmp(remuda_error_type(err), type) != 0 ||
	    strcmp(cause == NULL ? "" : remuda_error_type(cause), cause_type) != 0 ||
	    strstr(text, part) == NULL)
		fail_msg("not %s by %s (%s): %s", type, cause_type, part, text);
	free(text);
	remuda_error_free(err);
}

static int code_of(struct remuda_future *future)
{
	return remuda_get(future, NULL, NULL);
}

/* ---- initializers ---- */

static void an_initializer_runs_once_in_each_worker_before_its_first_task(void **state)
{
	static const char *const environment[] = {"POOLS=here", NULL};
	struct remuda_arg seven[] = {REMUDA_ARG(7)};
	struct remuda_pool_options options = options_of(2);
	options.initializer = "native:pools.setup";
	options.initializer_args = seven;
	options.initializer_arg_count = 1;
	options.environment = environment;
	uint32_t pool = open_pool(*state, &options);
	struct remuda_future *futures[40];
	for (int i = 0; i < 40; i++)
		futures[i] = submit(*state, pool, "native:pools.kept");
	for (int i = 0; i < 40; i++)
		assert_int_equal(int_of(futures[i]), 701);
	char *text = NULL;
	assert_int_equal(
		remuda_get(submit(*state, pool, "native:pools.kept_env"), &text, NULL),
		0);
	assert_string_equal(text, "here");
	free(text);
	/* Another argument is another pool. */
	seven[0] = REMUDA_ARG(8);
	uint32_t other = open_pool(*state, &options);
	assert_int_not_equal(other, pool);
	assert_int_equal(int_of(submit(*state, other, "native:pools.kept")), 801);
	assert_int_equal(remuda_pool_close(*state, pool, REMUDA_POOL_DRAIN, -1, NULL), 0);
	assert_int_equal(remuda_pool_close(*state, other, REMUDA_POOL_DRAIN, -1, NULL),
			 0);
}

static void a_failing_initializer_breaks_its_pool_which_can_be_opened_anew(void **state)
{
	const char *path = fresh_path();
	struct remuda_arg args[] = {REMUDA_ARG(path)};
	struct remuda_pool_options options = options_of(2);
	options.initializer = "native:pools.needs";
	options.initializer_args = args;
	options.initializer_arg_count = 1;
	uint32_t pool = open_pool(*state, &options);
	struct remuda_future *futures[10];
	for (int i = 0; i < 10; i++)
		futures[i] = submit(*state, pool, "native:pools.pid");
	for (int i = 0; i < 10; i++)
		expect_types(futures[i], "BrokenPool", "SetupError", "is not there");
	/* Also what is submitted later. */
	expect_types(submit(*state, pool, "native:pools.pid"), "BrokenPool", "SetupError",
		     "initializer native:pools.needs failed");
	/* Opened anew it begins anew: the same error, and then none. */
	assert_int_equal(open_pool(*state, &options), pool);
	expect_types(submit(*state, pool, "native:pools.pid"), "BrokenPool", "SetupError",
		     "is not there");
	touch(path);
	assert_int_equal(open_pool(*state, &options), pool);
	assert_true(int_of(submit(*state, pool, "native:pools.pid")) > 0);
	assert_int_equal(remuda_pool_close(*state, pool, REMUDA_POOL_DRAIN, -1, NULL), 0);
}

static void a_worker_that_dies_in_its_initializer_breaks_the_pool(void **state)
{
	struct remuda_pool_options options = options_of(1);
	options.initializer = "native:pools.die";
	uint32_t pool = open_pool(*state, &options);
	expect_types(submit(*state, pool, "native:pools.pid"), "BrokenPool", "WorkerLost",
		     "while it ran pools.die");
}

static void an_initializer_that_is_not_there_or_nests_breaks_the_pool(void **state)
{
	struct remuda_pool_options options = options_of(1);
	options.initializer = "native:pools.no_such";
	expect_types(submit(*state, open_pool(*state, &options), "native:pools.pid"),
		     "BrokenPool", "UnknownFunction", "pools.no_such");
	options.initializer = "native:pools.nests";
	expect_types(submit(*state, open_pool(*state, &options), "native:pools.pid"),
		     "BrokenPool", "ChildError", "NotAllowed: an initializer cannot");
}

static void an_initializer_of_another_runtime_is_refused(void **state)
{
	struct remuda_pool_options options = options_of(1);
	struct remuda_error *err = NULL;
	uint32_t pool;
	options.initializer = "python:setup";
	assert_int_equal(remuda_pool_open(*state, &options, &pool, &err), REMUDA_EINVAL);
	assert_non_null(strstr(remuda_error_message(err), "PoolSpec.initializer"));
	remuda_error_free(err);
}

/* ---- crashes ---- */

static void a_crash_fails_the_task_that_ran_and_no_other(void **state)
{
	struct remuda_pool_options options = options_of(1);
	uint32_t pool = open_pool(*state, &options);
	struct remuda_future *crash = submit(*state, pool, "native:pools.die");
	struct remuda_future *after = submit(*state, pool, "native:pools.pid");
	expect_types(crash, "WorkerLost", "", "SIGKILL");
	assert_true(int_of(after) > 0);
	assert_int_equal(remuda_pool_close(*state, pool, REMUDA_POOL_DRAIN, -1, NULL), 0);
}

static void a_crash_breaks_a_pool_that_wants_it(void **state)
{
	struct remuda_pool_options options = options_of(2);
	const char *runs = fresh_path(), *never = fresh_path();
	options.broken_on_crash = true;
	uint32_t pool = open_pool(*state, &options);
	/* Both workers are there and idle: the crash waits behind nothing. */
	const char *one = fresh_path(), *two = fresh_path();
	struct remuda_future *first = submit_meet(*state, pool, one, two);
	int64_t before = int_of(submit_meet(*state, pool, two, one));
	assert_int_not_equal(int_of(first), before);
	struct remuda_future *running = submit_meet(*state, pool, runs, never);
	wait_for_file(runs);
	struct remuda_future *crash = submit(*state, pool, "native:pools.die"),
			     *queued[8];
	for (int i = 0; i < 8; i++)
		queued[i] = submit_meet(*state, pool, fresh_path(), never);
	expect_types(crash, "BrokenPool", "WorkerLost", "broken_on_crash");
	expect_types(running, "BrokenPool", "WorkerLost", "SIGKILL");
	for (int i = 0; i < 8; i++)
		expect_types(queued[i], "BrokenPool", "WorkerLost", "SIGKILL");
	wait_for_end_of(before);
	assert_int_equal(open_pool(*state, &options), pool);
	assert_int_not_equal(int_of(submit(*state, pool, "native:pools.pid")), before);
	assert_int_equal(remuda_pool_close(*state, pool, REMUDA_POOL_DRAIN, -1, NULL), 0);
}

/* ---- sizes ---- */

static void a_pool_grows_and_shrinks_while_its_tasks_run(void **state)
{
	struct remuda_pool_options options = options_of(1);
	const char *gate = fresh_path(),
		   *runs[3] = {fresh_path(), fresh_path(), fresh_path()};
	options.idle_timeout_ms = 60000;
	uint32_t pool = open_pool(*state, &options);
	struct remuda_future *futures[3];
	int64_t pids[3];
	for (int i = 0; i < 3; i++)
		futures[i] = submit_meet(*state, pool, runs[i], gate);
	wait_for_file(runs[0]);
	assert_int_equal(access(runs[1], F_OK), -1);
	options.max_workers = 3;
	assert_int_equal(open_pool(*state, &options), pool);
	wait_for_file(runs[1]);
	wait_for_file(runs[2]);
	options.max_workers = 1;
	assert_int_equal(open_pool(*state, &options), pool);
	touch(gate);
	for (int i = 0; i < 3; i++)
		pids[i] = int_of(futures[i]);
	assert_true(pids[0] != pids[1] && pids[1] != pids[2] && pids[0] != pids[2]);
	/* One of the three is left, and runs all that follows. */
	int64_t left = int_of(submit(*state, pool, "native:pools.pid"));
	for (int i = 0; i < 3; i++)
		if (pids[i] != left)
			wait_for_end_of(pids[i]);
	assert_int_equal(int_of(submit(*state, pool, "native:pools.pid")), left);
	assert_int_equal(remuda_pool_close(*state, pool, REMUDA_POOL_DRAIN, -1, NULL), 0);
	wait_for_end_of(left);
}

static void a_worker_stops_when_it_is_idle_for_its_time(void **state)
{
	struct remuda_pool_options options = options_of(1);
	options.idle_timeout_ms = 30;
	uint32_t pool = open_pool(*state, &options);
	int64_t first = int_of(submit(*state, pool, "native:pools.pid"));
	wait_for_end_of(first);
	assert_int_not_equal(int_of(submit(*state, pool, "native:pools.pid")), first);
	assert_int_equal(remuda_pool_close(*state, pool, REMUDA_POOL_DRAIN, -1, NULL), 0);
}

static void a_worker_is_replaced_after_its_tasks(void **state)
{
	struct remuda_pool_options options = options_of(1);
	options.max_tasks_per_worker = 3;
	uint32_t pool = open_pool(*state, &options);
	struct remuda_future *futures[9];
	int64_t pids[9];
	for (int i = 0; i < 9; i++)
		futures[i] = submit(*state, pool, "native:pools.pid");
	for (int i = 0; i < 9; i++)
		pids[i] = int_of(futures[i]);
	for (int i = 0; i < 9; i++)
		assert_int_equal(pids[i], pids[i / 3 * 3]);
	assert_true(pids[0] != pids[3] && pids[3] != pids[6] && pids[0] != pids[6]);
	assert_int_equal(remuda_pool_close(*state, pool, REMUDA_POOL_DRAIN, -1, NULL), 0);
}

/* ---- memory ---- */

static void a_worker_that_grows_is_replaced_between_tasks(void **state)
{
	struct remuda_pool_options options = options_of(1);
	options.leak_bytes = 8 * (uint64_t)MIB;
	uint32_t pool = open_pool(*state, &options);
	int64_t first = int_of(submit_int(*state, pool, "native:pools.grow", 1000));
	int64_t now = first;
	for (int i = 0; i < 500 && now == first; i++)
		now = int_of(submit_int(*state, pool, "native:pools.grow", MIB));
	assert_int_not_equal(now, first);
	wait_for_end_of(first);
	assert_int_equal(remuda_pool_close(*state, pool, REMUDA_POOL_DRAIN, -1, NULL), 0);
}

static void a_task_that_uses_too_much_memory_fails_with_limit_and_peak(void **state)
{
	struct remuda_pool_options options = options_of(1);
	options.memory_bytes = 64 * (uint64_t)MIB;
	uint32_t pool = open_pool(*state, &options);
	expect_types(submit_int(*state, pool, "native:pools.hog", 96 * MIB),
		     "OutOfMemory", "", "memory_bytes allow 64 MiB; its peak was ");
	expect_types(submit_int(*state, pool, "native:pools.hog_below", 96 * MIB),
		     "OutOfMemory", "", "and 1 process that it started used ");
	/* What is shared is counted once. */
	assert_int_equal(int_of(submit_int(*state, pool, "native:pools.share", 24 * MIB)),
			 8);
	assert_int_equal(remuda_pool_close(*state, pool, REMUDA_POOL_DRAIN, -1, NULL), 0);
}

/* ---- closing ---- */

/* A pool of one worker with one task that runs until `gate` is there, and one behind. */
struct scene {
	struct remuda_pool_options options;
	uint32_t pool;
	const char *gate;
	struct remuda_future *running, *queued;
};

static struct scene scene_of(struct remuda *client, const char *name)
{
	struct scene scene = {.options = options_of(1), .gate = fresh_path()};
	const char *runs = fresh_path();
	scene.options.name = name;
	scene.pool = open_pool(client, &scene.options);
	scene.running = submit_meet(client, scene.pool, runs, scene.gate);
	scene.queued = submit(client, scene.pool, "native:pools.pid");
	wait_for_file(runs);
	return scene;
}

static void draining_waits_for_all_tasks_or_lets_them_go_on(void **state)
{
	static const char *const names[] = {NULL, "drained"};
	for (int i = 0; i < 2; i++) {
		struct scene scene = scene_of(*state, names[i]);
		struct remuda_error *err = NULL;
		assert_int_equal(
			remuda_pool_close(*state, scene.pool, REMUDA_POOL_DRAIN, 0, NULL),
			0);
		assert_int_equal(
			remuda_get(submit(*state, scene.pool, "native:pools.pid"), NULL,
				   &err),
			REMUDA_ECLOSED);
		assert_string_equal(remuda_error_type(err), "PoolClosed");
		remuda_error_free(err);
		touch(scene.gate);
		int64_t ran = int_of(scene.running);
		assert_int_equal(int_of(scene.queued), ran);
		wait_for_end_of(ran);
	}
	struct scene scene = scene_of(*state, NULL);
	assert_int_equal(
		remuda_pool_close(*state, scene.pool, REMUDA_POOL_DRAIN, 20, NULL),
		REMUDA_ETIMEOUT);
	assert_int_equal(
		remuda_pool_close(*state, scene.pool, REMUDA_POOL_DRAIN, 0, NULL),
		REMUDA_ENOTFOUND);
	touch(scene.gate);
	assert_true(int_of(scene.running) > 0 && int_of(scene.queued) > 0);
}

static void cancelling_ends_what_waits_and_not_what_runs(void **state)
{
	static const char *const names[] = {NULL, "cancelled"};
	for (int i = 0; i < 2; i++) {
		struct scene scene = scene_of(*state, names[i]);
		assert_int_equal(remuda_pool_close(*state, scene.pool, REMUDA_POOL_CANCEL,
						   0, NULL),
				 0);
		assert_int_equal(code_of(scene.queued), REMUDA_ECANCELLED);
		assert_false(remuda_done(scene.running));
		touch(scene.gate);
		assert_true(int_of(scene.running) > 0);
	}
}

static void killing_ends_all_at_once(void **state)
{
	struct scene scene = scene_of(*state, NULL);
	assert_int_equal(
		remuda_pool_close(*state, scene.pool, REMUDA_POOL_KILL, -1, NULL), 0);
	assert_true(remuda_done(scene.running) && remuda_done(scene.queued));
	assert_int_equal(code_of(scene.running), REMUDA_ECANCELLED);
	assert_int_equal(code_of(scene.queued), REMUDA_ECANCELLED);
	/* And it can be opened again. */
	assert_int_equal(open_pool(*state, &scene.options), scene.pool);
	assert_true(int_of(submit(*state, scene.pool, "native:pools.pid")) > 0);
	assert_int_equal(
		remuda_pool_close(*state, scene.pool, REMUDA_POOL_DRAIN, -1, NULL), 0);
}

static void closing_a_shared_pool_leaves_the_tasks_of_others_alone(void **state)
{
	struct scene scene = scene_of(*state, "both");
	struct remuda_future *second = submit(*state, scene.pool, "native:pools.pid");
	/* The pool is open under another number too: nothing of it ends. */
	struct remuda_pool_options wider = scene.options;
	wider.idle_timeout_ms = 10000; /* the default, in so many words */
	uint32_t other = open_pool(*state, &wider);
	assert_int_not_equal(other, scene.pool);
	assert_int_equal(remuda_pool_close(*state, other, REMUDA_POOL_KILL, 0, NULL), 0);
	touch(scene.gate);
	assert_true(int_of(scene.running) > 0 && int_of(scene.queued) > 0);
	assert_true(int_of(second) > 0);
	assert_int_equal(
		remuda_pool_close(*state, scene.pool, REMUDA_POOL_DRAIN, -1, NULL), 0);
}

static void what_cannot_be_closed_is_said(void **state)
{
	struct remuda_error *err = NULL;
	assert_int_equal(remuda_pool_close(*state, 4000, REMUDA_POOL_DRAIN, 0, &err),
			 REMUDA_ENOTFOUND);
	assert_string_equal(remuda_error_type(err), "UnknownPool");
	remuda_error_free(err);
	assert_int_equal(remuda_pool_close(*state, 0, REMUDA_POOL_DRAIN, 0, NULL),
			 REMUDA_ENOTFOUND);
	assert_int_equal(remuda_pool_close(NULL, 1, REMUDA_POOL_DRAIN, 0, NULL),
			 REMUDA_EINVAL);
	assert_int_equal(remuda_pool_close(*state, 1, (enum remuda_pool_end)9, 0, NULL),
			 REMUDA_EINVAL);
}

static void the_same_spec_has_the_same_number_however_often_it_is_opened(void **state)
{
	struct remuda_pool_options options = options_of(1);
	uint32_t pool = open_pool(*state, &options);
	for (uint32_t i = 0; i < 3000; i++)
		assert_int_equal(open_pool(*state, &options), pool);
	assert_true(int_of(submit(*state, pool, "native:pools.pid")) > 0);
	assert_int_equal(remuda_pool_close(*state, pool, REMUDA_POOL_DRAIN, -1, NULL), 0);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0); /* who kills it reads how far it is */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			an_initializer_runs_once_in_each_worker_before_its_first_task),
		cmocka_unit_test(
			a_failing_initializer_breaks_its_pool_which_can_be_opened_anew),
		cmocka_unit_test(a_worker_that_dies_in_its_initializer_breaks_the_pool),
		cmocka_unit_test(
			an_initializer_that_is_not_there_or_nests_breaks_the_pool),
		cmocka_unit_test(an_initializer_of_another_runtime_is_refused),
		cmocka_unit_test(a_crash_fails_the_task_that_ran_and_no_other),
		cmocka_unit_test(a_crash_breaks_a_pool_that_wants_it),
		cmocka_unit_test(a_pool_grows_and_shrinks_while_its_tasks_run),
		cmocka_unit_test(a_worker_stops_when_it_is_idle_for_its_time),
		cmocka_unit_test(a_worker_is_replaced_after_its_tasks),
		cmocka_unit_test(a_worker_that_grows_is_replaced_between_tasks),
		cmocka_unit_test(
			a_task_that_uses_too_much_memory_fails_with_limit_and_peak),
		cmocka_unit_test(draining_waits_for_all_tasks_or_lets_them_go_on),
		cmocka_unit_test(cancelling_ends_what_waits_and_not_what_runs),
		cmocka_unit_test(killing_ends_all_at_once),
		cmocka_unit_test(closing_a_shared_pool_leaves_the_tasks_of_others_alone),
		cmocka_unit_test(what_cannot_be_closed_is_said),
		cmocka_unit_test(
			the_same_spec_has_the_same_number_however_often_it_is_opened),
	};
	return cmocka_run_group_tests(tests, group_open, group_close);
}
