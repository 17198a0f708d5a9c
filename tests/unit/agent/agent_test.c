/* The agent with real workers: starting, running, prefetching, stopping, and what crashes. */
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

#define COUNT(pool_number, wanted_state)                                             \
	rig_workers(rig, (pool_number), (wanted_state), pids, 16)

static void worker_starts_runs_and_stops(void **state)
{
	(void)state;
	pid_t pids[16];
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &plain);
	rig_lease(rig, 1, 1, "echo", "hello");
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	assert_string_equal(rig_text(rig, 1), "hello");
	assert_true(rig->leases[1].began);
	assert_int_equal(rig->leases[1].worker, 1);
	RIG_WAIT(rig, COUNT(1, RMD_WORKER_STATE_IDLE) == 1 && rig->pools[1].idle == 1);
	assert_true(rig->pools[1].slots >= 1);
	rig_pool(rig, 1, 0, NULL);
	rig_send(rig);
	RIG_WAIT(rig, rig->pools[1].worker_count == 0);
	await_end_of(pids[0]);
	assert_int_equal(rig->pools[1].slots, 0);
	rig_stop(rig);
}

static void leases_before_the_first_worker_is_ready_wait_for_it(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 2, &plain);
	rig_send(rig);
	RIG_WAIT(rig, rig->pools[1].slots > 0); /* offered while workers still start */
	for (uint64_t i = 1; i <= 10; i++)
		rig_lease(rig, 1, i, "noop", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->values == 10);
	rig_stop(rig);
}

static void worker_that_ignores_term_is_killed(void **state)
{
	(void)state;
	pid_t pids[16];
	static const struct rig_spec stubborn = {.environment = "FAKE_START=stubborn"};
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &stubborn);
	rig_send(rig);
	RIG_WAIT(rig, COUNT(1, RMD_WORKER_STATE_IDLE) == 1);
	rig_pool(rig, 1, 0, NULL);
	rig_send(rig);
	RIG_WAIT(rig, rig->pools[1].worker_count == 0);
	await_end_of(pids[0]);
	rig_stop(rig);
}

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
	/* Four at first (in one report or several), then one at a time: 50 ms doubling, jitter */
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

static void function_of_another_runtime_is_refused(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &plain);
	struct rmd_lease_grant grant = {
		.lease = 1,
		.pool = 1,
		.function = rmd_slice_of_string("python:math.sqrt"),
		.attempt = 1,
	};
	rmd_attach_response_put_lease(&rig->out, &grant, NULL);
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_ERROR);
	assert_false(rig->leases[1].began);
	rig_stop(rig);
}

static void cancel_reaches_queued_prefetched_and_running(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &plain);
	rig_lease(rig, 1, 1, "until_cancelled", "");
	rig_lease(rig, 1, 2, "noop", "");
	rig_lease(rig, 1, 3, "noop", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[1].began_told);
	rig_cancel(rig, 2);
	rig_cancel(rig, 3);
	rig_send(rig);
	rig_wait_end(rig, 2, RIG_RETURNED);
	rig_wait_end(rig, 3, RIG_RETURNED);
	assert_int_equal(rig->leases[1].end, RIG_OPEN);
	rig_cancel(rig, 1);
	rig_cancel(rig, 1);
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE); /* it heeded the cancel word */
	rig_lease(rig, 1, 4, "noop", "");
	rig_send(rig);
	rig_wait_end(rig, 4, RIG_VALUE);
	assert_int_equal(rig->leases[4].worker, rig->leases[1].worker);
	rig_stop(rig);
}

static void cancel_of_a_task_that_heeds_nothing_ends_its_worker(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &plain);
	rig_lease(rig, 1, 1, "deaf", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[1].began_told);
	rig_cancel(rig, 1);
	rig_lease(rig, 1, 2, "noop", "");
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_CANCELLED);
	assert_true(rig->leases[1].began);
	rig_wait_end(rig, 2, RIG_VALUE); /* by the worker that took its place */
	assert_int_not_equal(rig->leases[2].worker, rig->leases[1].worker);
	rig_stop(rig);
}

static void recall_gives_back_what_has_not_begun(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &plain);
	rig_lease(rig, 1, 1, "until_cancelled", "");
	for (uint64_t i = 2; i <= 11; i++)
		rig_lease(rig, 1, i, "noop", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[1].began_told);
	rig_recall(rig, 1, 4);
	rig_send(rig);
	RIG_WAIT(rig, rig->returned == 4);
	rig_recall(rig, 1, 1000);
	rig_send(rig);
	RIG_WAIT(rig, rig->returned == 10);
	assert_int_equal(rig->leases[1].end, RIG_OPEN);
	rig_cancel(rig, 1);
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	rig_stop(rig);
}

static void nobody_waits_behind_a_long_task_while_another_is_idle(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 2, &plain);
	for (uint64_t i = 1; i <= 400; i++)
		rig_lease(rig, 1, i, "noop", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->values == 400);
	/* Both have deep hands now. */
	for (uint64_t i = 401; i <= 500; i++)
		rig_lease(rig, 1, i, i == 410 ? "until_cancelled" : "noop", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->values == 499);
	assert_int_equal(rig->leases[410].end, RIG_OPEN);
	rig_cancel(rig, 410);
	rig_send(rig);
	rig_wait_end(rig, 410, RIG_VALUE);
	rig_stop(rig);
}

static void prefetch_follows_the_length_of_tasks(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	uint64_t number = 1;
	rig_pool(rig, 1, 1, &plain);
	for (int i = 0; i < 300; i++)
		rig_lease(rig, 1, number++, "noop", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->values == 300 && rig->pools[1].slots > 50);
	assert_true(rig->pools[1].slots <= 256);
	for (int i = 0; i < 12; i++)
		rig_lease(rig, 1, number++, "sleep_ms", "30");
	rig_send(rig);
	RIG_WAIT(rig, rig->values == 312 && rig->pools[1].slots <= 2);
	rig_stop(rig);
}

static void worn_out_worker_is_replaced(void **state)
{
	(void)state;
	static const struct rig_spec spec = {.max_tasks_per_worker = 10};
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &spec);
	for (uint64_t i = 1; i <= 35; i++)
		rig_lease(rig, 1, i, "pid", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->values == 35);
	uint32_t by_worker[16] = {0};
	for (uint64_t i = 1; i <= 35; i++)
		by_worker[rig->leases[i].worker]++;
	for (int i = 0; i < 16; i++)
		assert_true(by_worker[i] <= 10);
	rig_stop(rig);
}

static void log_comes_before_its_outcome_and_only_if_wanted(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 2, &plain);
	for (uint64_t i = 1; i <= 200; i++) {
		char text[16];
		snprintf(text, sizeof text, "%llu", (unsigned long long)i);
		if (i % 2 == 0)
			rig_lease_logged(rig, 1, i, "print", text);
		else
			rig_lease(rig, 1, i, "print", text);
	}
	rig_send(rig);
	RIG_WAIT(rig, rig->values == 200);
	for (uint64_t i = 1; i <= 200; i++) {
		char text[32];
		snprintf(text, sizeof text, "out %llu\n", (unsigned long long)i);
		assert_int_equal(rig->leases[i].logged, i % 2 == 0);
		if (i % 2 == 0)
			assert_non_null(strstr(rig->leases[i].log, text));
		if (i % 2 == 0)
			assert_non_null(strstr(rig->leases[i].log, "log\n"));
	}
	rig_stop(rig); /* checks that no log came late */
}

static void payload_of_64_mib_goes_in_and_out(void **state)
{
	(void)state;
	enum { LEN = 64 << 20 };
	struct rig *rig = rig_start(NULL);
	struct rmd_buf *buf = rmd_buf_create(LEN);
	uint8_t *bytes = rmd_buf_writable(buf);
	for (size_t i = 0; i < LEN; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 24);
	rmd_buf_ref(buf);
	rig_transfer(rig, 7, (struct rmd_piece){rmd_buf_slice(buf), buf});
	rig_pool(rig, 1, 1, &plain);
	struct rmd_lease_grant grant = {
		.lease = 1,
		.pool = 1,
		.function = rmd_slice_of_string("native:reverse"),
		.arguments_transfer = 7,
		.attempt = 1,
	};
	rmd_attach_response_put_lease(&rig->out, &grant, NULL);
	grant.lease = 2; /* the transfer is used up */
	rmd_attach_response_put_lease(&rig->out, &grant, NULL);
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	assert_int_equal(rig->leases[1].bytes_len, LEN);
	for (size_t i = 0; i < LEN; i += 4093)
		assert_int_equal(rig->leases[1].bytes[LEN - 1 - i], bytes[i]);
	rmd_buf_unref(buf);
	rig_wait_end(rig, 2, RIG_ERROR);
	struct remuda_error *err = rig_error(rig, 2);
	assert_string_equal(remuda_error_type(err), "PayloadLost");
	remuda_error_free(err);
	rig_stop(rig);
}

static void hundred_thousand_small_tasks_through_two_workers(void **state)
{
	(void)state;
	enum { TASKS = 100000, FRAME = 250 };
	struct rig *rig = rig_start(NULL);
	uint64_t begun_ms = rmd_clock_mono_ms();
	rig_pool(rig, 1, 2, &plain);
	for (uint64_t i = 1; i <= TASKS; i++) {
		rig_lease(rig, 1, i, "echo", "payload");
		if (i % FRAME == 0)
			rig_send(rig);
		/* as much as a coordinator would: what the slots allow */
		if (i % FRAME == 0 && i > 1000)
			RIG_WAIT(rig, rig->ended + 1000 >= i);
	}
	RIG_WAIT(rig, rig->ended == TASKS);
	assert_int_equal(rig->values, TASKS);
	print_message("%d tasks in %llu ms\n", TASKS,
		      (unsigned long long)(rmd_clock_mono_ms() - begun_ms));
	rig_stop(rig);
}

static void closed_pool_ends_what_it_holds_and_is_forgotten(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 2, &plain);
	for (uint64_t i = 1; i <= 20; i++)
		rig_lease(rig, 1, i, "sleep_ms", "2");
	rig_close_pool(rig, 1, false);
	rig_send(rig);
	RIG_WAIT(rig, rig->values == 20);
	RIG_WAIT(rig, rig->pools[1].worker_count == 0 && rig->pools[1].slots == 0);
	rig_lease(rig, 1, 21, "noop", "");
	rig_send(rig);
	rig_wait_end(rig, 21, RIG_RETURNED);
	rig_stop(rig);
}

static void killed_pool_ends_at_once(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &plain);
	rig_lease(rig, 1, 1, "deaf", "");
	rig_lease(rig, 1, 2, "noop", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[1].began_told);
	rig_close_pool(rig, 1, true);
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_CANCELLED);
	rig_wait_end(rig, 2, RIG_RETURNED);
	RIG_WAIT(rig, rig->pools[1].worker_count == 0);
	rig_stop(rig);
}

static void drained_agent_ends_what_runs_and_leaves(void **state)
{
	(void)state;
	struct rig *rig = rig_start(NULL);
	rig_pool(rig, 1, 1, &plain);
	rig_lease(rig, 1, 1, "sleep_ms", "50");
	for (uint64_t i = 2; i <= 10; i++)
		rig_lease(rig, 1, i, "noop", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[1].began_told);
	rmd_agent_drain(rig->agent);
	RIG_WAIT(rig, rig->closed);
	assert_true(rig->draining);
	assert_int_equal(rig->leases[1].end, RIG_VALUE);
	assert_int_equal(rig->returned, 9);
	while (!rmd_agent_finished(rig->agent))
		usleep(1000);
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
	rig_wait_end(rig, 1, RIG_VALUE); /* the fake worker looks whether its modules are there */
	RIG_WAIT(rig, rig->pools[2].start_failures >= 1);
	assert_non_null(strstr(rig->pools[2].start_error, "its bytes are not those of its digest"));
	rig_stop(rig);
}

/* An agent in a process of its own, which is then killed: pids of its workers on a pipe. */
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
		RIG_WAIT(rig, rig->leases[2].began_told && rig->pools[1].worker_count == 2);
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
		cmocka_unit_test(worker_starts_runs_and_stops),
		cmocka_unit_test(leases_before_the_first_worker_is_ready_wait_for_it),
		cmocka_unit_test(worker_that_ignores_term_is_killed),
		cmocka_unit_test(crash_ends_one_task_and_no_other),
		cmocka_unit_test(crash_of_a_first_task_is_no_failed_start),
		cmocka_unit_test(killed_idle_worker_is_replaced),
		cmocka_unit_test(failed_exec_backs_off_and_says_why),
		cmocka_unit_test(missing_module_is_named),
		cmocka_unit_test(worker_that_exits_at_start_is_a_failed_start),
		cmocka_unit_test(worker_that_is_never_ready_is_a_failed_start),
		cmocka_unit_test(unknown_runtime_is_said),
		cmocka_unit_test(function_of_another_runtime_is_refused),
		cmocka_unit_test(cancel_reaches_queued_prefetched_and_running),
		cmocka_unit_test(cancel_of_a_task_that_heeds_nothing_ends_its_worker),
		cmocka_unit_test(recall_gives_back_what_has_not_begun),
		cmocka_unit_test(nobody_waits_behind_a_long_task_while_another_is_idle),
		cmocka_unit_test(prefetch_follows_the_length_of_tasks),
		cmocka_unit_test(worn_out_worker_is_replaced),
		cmocka_unit_test(log_comes_before_its_outcome_and_only_if_wanted),
		cmocka_unit_test(payload_of_64_mib_goes_in_and_out),
		cmocka_unit_test(hundred_thousand_small_tasks_through_two_workers),
		cmocka_unit_test(closed_pool_ends_what_it_holds_and_is_forgotten),
		cmocka_unit_test(killed_pool_ends_at_once),
		cmocka_unit_test(drained_agent_ends_what_runs_and_leaves),
		cmocka_unit_test(lost_link_ends_everything),
		cmocka_unit_test(killed_spawner_is_replaced),
		cmocka_unit_test(module_image_is_checked_and_passed_on),
		cmocka_unit_test(killed_agent_leaves_no_worker_and_no_child),
		cmocka_unit_test(garbage_from_the_coordinator_ends_the_link),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
