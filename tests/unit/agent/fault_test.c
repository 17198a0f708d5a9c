/* The agent when something fails: workers, starts, modules, spawner, link, the agent. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/clock.h"
#include "tests/unit/agent/rig.h"
#include "worker/spawner/spawner.h"

static const struct rig_spec plain;

#define COUNT(pool_number, wanted_state) \
	rig_workers(rig, (pool_number), (wanted_state), pids, 16)

static void crash_ends_one_task_and_no_other(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 2, &plain);
	/* Small tasks first, so that much is prefetched behind the one that crashes. */
	for (uint64_t i = 1; i <= 200; i++)
		rig_lease(rig, 1, i, "noop", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->values == 200);
	for (uint64_t i = 201; i <= 600; i++) {
		if (i == 300)
			rig_lease(rig, 1, i, "crash", "boom");
		else if (i == 400)
			rig_lease(rig, 1, i, "exit", "42");
		else
			rig_lease(rig, 1, i, "echo", "x");
	}
	rig_send(rig);
	RIG_WAIT(rig, rig->ended == 600);
	assert_int_equal(rig->values, 598);
	assert_int_equal(rig->leases[300].end, RIG_ERROR);
	assert_true(rig->leases[300].began);
	struct remuda_error *err = rig_error(rig, 300);
	assert_string_equal(remuda_error_type(err), "WorkerLost");
	assert_int_equal(remuda_error_signal(err), SIGSEGV);
	assert_string_equal(remuda_error_host(err), "test-host");
	assert_int_equal(remuda_error_worker(err), rig->leases[300].worker);
	assert_int_equal(remuda_error_origin(err), REMUDA_ORIGIN_WORKER);
	assert_non_null(strstr(remuda_error_message(err), "about to crash: boom"));
	remuda_error_free(err);
	err = rig_error(rig, 400);
	assert_string_equal(remuda_error_type(err), "WorkerLost");
	assert_true(remuda_error_exited(err));
	assert_int_equal(remuda_error_exit_code(err), 42);
	remuda_error_free(err);
	rig_stop(rig);
}

static void crash_of_a_first_task_is_no_failed_start(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &plain);
	for (uint64_t i = 1; i <= 5; i++)
		rig_lease(rig, 1, i, "exit", "1");
	rig_lease(rig, 1, 6, "noop", "");
	rig_send(rig);
	rig_wait_end(rig, 6, RIG_VALUE);
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(rig->leases[i].end, RIG_ERROR);
	assert_int_equal(rig->pools[1].start_failures, 0);
	rig_stop(rig);
}

static void killed_idle_worker_is_replaced(void **state)
{
	(void)state;
	pid_t pids[16];
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &plain);
	rig_lease(rig, 1, 1, "noop", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->values == 1 && COUNT(1, RMD_WORKER_STATE_IDLE) == 1);
	pid_t before = pids[0];
	kill(before, SIGKILL);
	RIG_WAIT(rig, COUNT(1, RMD_WORKER_STATE_IDLE) == 1 && pids[0] != before);
	rig_stop(rig);
}

static void failed_exec_backs_off_and_says_why(void **state)
{
	(void)state;
	struct rmd_agent_options options = {.worker_path = "/nonexistent/worker"};
	struct rig *rig = rig_start(&options);
	uint64_t begun_ms = rmd_clock_mono_ms();
	rig_pool(rig, 1, 4, &plain);
	rig_lease(rig, 1, 1, "noop", "");
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_RETURNED); /* nobody here can run it */
	/* Four at first (in one report or several), then one at a time: 50 ms doubling,
	 * jitter */
	RIG_WAIT(rig, rig->pools[1].start_failures >= 7);
	assert_true(rmd_clock_mono_ms() - begun_ms >= 37 + 75 + 150);
	assert_int_equal(rig->pools[1].slots, 0);
	assert_non_null(strstr(rig->pools[1].start_error, "/nonexistent/worker"));
	assert_non_null(strstr(rig->pools[1].start_error, "No such file or directory"));
	assert_non_null(strstr(rig->pools[1].start_error, "WorkerStartFailed"));
	rig_stop(rig);
}

static void missing_module_is_named(void **state)
{
	(void)state;
	static const char *const modules[] = {"/nonexistent/module.so"};
	struct rmd_agent_options options = {.modules = modules, .module_count = 1};
	struct rig *rig = rig_start(&options);
	uint64_t begun_ms = rmd_clock_mono_ms();
	rig_pool(rig, 1, 1, &plain);
	rig_send(rig);
	RIG_WAIT(rig, rig->pools[1].start_failures >= 3);
	assert_true(rmd_clock_mono_ms() - begun_ms >= 37 + 75);
	assert_non_null(strstr(rig->pools[1].start_error,
			       "ModuleError: cannot load /nonexistent/module.so"));
	rig_stop(rig);
}

static void worker_that_exits_at_start_is_a_failed_start(void **state)
{
	(void)state;
	static const struct rig_spec spec = {.environment = "FAKE_START=exit"};
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &spec);
	rig_send(rig);
	RIG_WAIT(rig, rig->pools[1].start_failures >= 1);
	assert_non_null(strstr(rig->pools[1].start_error, "no licence"));
	rig_stop(rig);
}

static void worker_that_is_never_ready_is_a_failed_start(void **state)
{
	(void)state;
	static const struct rig_spec spec = {.environment = "FAKE_START=hang"};
	struct rmd_agent_options options = {.start_timeout_ms = 100};
	struct rig *rig = rig_start(&options);
	rig_pool(rig, 1, 1, &spec);
	rig_send(rig);
	RIG_WAIT(rig, rig->pools[1].start_failures >= 1);
	assert_non_null(strstr(rig->pools[1].start_error, "StartTimeout"));
	rig_stop(rig);
}

static void unknown_runtime_is_said(void **state)
{
	(void)state;
	static const struct rig_spec spec = {.runtime = "cobol"};
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &spec);
	rig_send(rig);
	RIG_WAIT(rig, rig->pools[1].start_failures >= 1);
	assert_non_null(strstr(rig->pools[1].start_error, "no runtime cobol"));
	rig_stop(rig);
}

static void lost_link_ends_everything(void **state)
{
	(void)state;
	pid_t pids[16];
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &plain);
	rig_lease(rig, 1, 1, "deaf", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[1].began_told);
	RIG_WAIT(rig, COUNT(1, RMD_WORKER_STATE_BUSY) == 1);
	rig_lose(rig);
	await_end_of(pids[0]);
	while (!rmd_agent_finished(rig->agent))
		usleep(1000);
	assert_int_equal(rig->leases[1].end, RIG_OPEN); /* nobody was there to hear */
	rig_stop(rig);
}

static void killed_spawner_is_replaced(void **state)
{
	(void)state;
	pid_t pids[16];
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 2, &plain);
	rig_lease(rig, 1, 1, "child", "");
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	pid_t child = (pid_t)atoi(rig_text(rig, 1));
	rig_lease(rig, 1, 2, "deaf", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[2].began_told && rig->pools[1].worker_count == 2);
	RIG_WAIT(rig, COUNT(1, RMD_WORKER_STATE_BUSY) == 1);
	kill(rig->spawner_pid, SIGKILL);
	await_end_of(pids[0]);
	rig_wait_end(rig, 2, RIG_ERROR);
	struct remuda_error *err = rig_error(rig, 2);
	assert_string_equal(remuda_error_type(err), "WorkerLost");
	assert_string_equal(remuda_error_type(remuda_error_cause(err)), "SpawnerLost");
	remuda_error_free(err);
	assert_int_equal(kill(child, 0), -1);
	assert_int_equal(errno, ESRCH);
	rig_lease(rig, 1, 3, "noop", "");
	rig_send(rig);
	rig_wait_end(rig, 3, RIG_VALUE);
	rig_stop(rig);
}

static void module_image_is_checked_and_passed_on(void **state)
{
	(void)state;
	struct rmd_digest digest, wrong;
	struct rmd_buf *buf = rmd_buf_copy(rmd_slice_of_string("the bytes of a module"));
	assert_int_equal(rmd_digest_of(rmd_buf_slice(buf), &digest), 0);
	wrong = digest;
	wrong.bytes[0] ^= 1;
	const struct rig_spec good = {.module = &digest};
	const struct rig_spec bad = {.module = &wrong};
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &good); /* the order does not matter */
	rig_pool(rig, 2, 1, &bad);
	struct rmd_module_image image = {digest, 5, rmd_slice_of_string("demo.so")};
	rmd_attach_response_put_module(&rig->out, &image);
	image = (struct rmd_module_image){wrong, 6, rmd_slice_of_string("evil.so")};
	rmd_attach_response_put_module(&rig->out, &image);
	rig_lease(rig, 1, 1, "noop", "");
	rmd_buf_ref(buf);
	rig_transfer(rig, 5, (struct rmd_piece){rmd_buf_slice(buf), buf});
	rig_transfer(rig, 6, (struct rmd_piece){rmd_buf_slice(buf), buf});
	rig_send(rig);
	rig_wait_end(rig, 1,
		     RIG_VALUE); /* the fake worker looks whether its modules are there */
	RIG_WAIT(rig, rig->pools[2].start_failures >= 1);
	assert_non_null(strstr(rig->pools[2].start_error,
			       "its bytes are not those of its digest"));
	rig_stop(rig);
}

/* An agent in a process of its own, which is then killed: pids of its workers on a pipe.
 */
static void killed_agent_leaves_no_worker_and_no_child(void **state)
{
	(void)state;
	int ends[2];
	pid_t family[4] = {0};
	assert_int_equal(pipe(ends), 0);
	pid_t agent = fork();
	if (agent == 0) {
		pid_t pids[16];
		struct rig *rig = rig_start(NULL);
		rig_pool(rig, 1, 2, &plain);
		rig_lease(rig, 1, 1, "child", "");
		rig_lease(rig, 1, 2, "deaf", "");
		rig_send(rig);
		rig_wait_end(rig, 1, RIG_VALUE);
		RIG_WAIT(rig,
			 rig->leases[2].began_told && rig->pools[1].worker_count == 2);
		RIG_WAIT(rig, COUNT(1, RMD_WORKER_STATE_STARTING) == 0);
		family[0] = (pid_t)rig->pools[1].workers[0].pid;
		family[1] = (pid_t)rig->pools[1].workers[1].pid;
		family[2] = (pid_t)atoi(rig_text(rig, 1));
		family[3] = rig->spawner_pid;
		if (write(ends[1], family, sizeof family) != (ssize_t)sizeof family)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ends[0], family, sizeof family), sizeof family);
	kill(agent, SIGKILL);
	assert_int_equal(waitpid(agent, NULL, 0), agent);
	for (int i = 0; i < 4; i++) {
		assert_true(family[i] > 0);
		await_end_of(family[i]);
	}
	while (waitpid(-1, NULL, 0) > 0) /* those that fell to us */
		;
	close(ends[0]);
	close(ends[1]);
}

static void garbage_from_the_coordinator_ends_the_link(void **state)
{
	(void)state;
	static const uint8_t garbage[] = {0x1a, 0xff, 0xff, 0xff, 0xff, 0x7f};
	struct rig *rig = rig_start(NULL);
	rmd_wire_put_raw(&rig->out, rmd_slice_of(garbage, sizeof garbage));
	rig_send(rig);
	RIG_WAIT(rig, rig->closed);
	rig_stop(rig);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--spawner") == 0)
		rmd_spawner_main();
	fake_worker_main(argc, argv);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crash_ends_one_task_and_no_other),
		cmocka_unit_test(crash_of_a_first_task_is_no_failed_start),
		cmocka_unit_test(killed_idle_worker_is_replaced),
		cmocka_unit_test(failed_exec_backs_off_and_says_why),
		cmocka_unit_test(missing_module_is_named),
		cmocka_unit_test(worker_that_exits_at_start_is_a_failed_start),
		cmocka_unit_test(worker_that_is_never_ready_is_a_failed_start),
		cmocka_unit_test(unknown_runtime_is_said),
		cmocka_unit_test(lost_link_ends_everything),
		cmocka_unit_test(killed_spawner_is_replaced),
		cmocka_unit_test(module_image_is_checked_and_passed_on),
		cmocka_unit_test(killed_agent_leaves_no_worker_and_no_child),
		cmocka_unit_test(garbage_from_the_coordinator_ends_the_link),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
