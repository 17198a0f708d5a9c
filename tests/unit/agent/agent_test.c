/* The agent with real workers: starting, running, prefetching, stopping. */
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

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--spawner") == 0)
		rmd_spawner_main();
	fake_worker_main(argc, argv);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(worker_starts_runs_and_stops),
		cmocka_unit_test(leases_before_the_first_worker_is_ready_wait_for_it),
		cmocka_unit_test(worker_that_ignores_term_is_killed),
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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
