/* Both ends of the worker protocol; the worker is a child that follows a script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/errcode.h"
#include "tests/unit/protocol/harness.h"
#include "worker/protocol/page.h"
#include "worker/protocol/worker_end.h"

/* ---- scripted workers: each runs in a child and gives its exit code ---- */

/* Opens, gets ready; NULL: it could not. */
static struct rmd_wpw *get_ready(void)
{
	struct rmd_wpw *end = NULL;
	struct rmd_wpw_setup setup;
	if (rmd_wpw_open(&end) < 0 || rmd_wpw_recv_setup(end, &setup) < 0 ||
	    rmd_wpw_send_ready(end) < 0)
		return NULL;
	return end;
}

static int give_back(struct rmd_wpw *end, struct rmd_slice bytes)
{
	uint8_t *room;
	int rc = rmd_wpw_reserve(end, bytes.len, RMD_WPW_PRINTED_PERHAPS, &room);
	if (rc < 0)
		return rc;
	if (bytes.len > 0)
		memcpy(room, bytes.data, bytes.len);
	rmd_wpw_commit(end, RMD_WP_VALUE, bytes.len, 1);
	return 0;
}

/* Gives every task its arguments back. */
static int echoing(void *arg)
{
	struct rmd_wpw *end = get_ready();
	struct rmd_wpw_task task;
	int rc = end == NULL ? RMD_ESYS : 0;
	(void)arg;
	while (rc == 0) {
		rc = rmd_wpw_next(end, &task);
		if (rc == 0)
			rc = give_back(end, task.arguments);
	}
	return rc == RMD_ECLOSED ? 0 : 1;
}

static void start(struct harness *h, int (*body)(void *arg), void *arg)
{
	harness_open(h, RMD_WP_TASKS_MAX);
	h->pid = worker_process_fork(h->end, body, arg);
	(void)rmd_wp_send_setup(h->end, NULL, 0);
}

static int give_bytes(struct harness *h, uint64_t lease, const void *data, size_t len)
{
	struct rmd_wp_task task = {
		.lease = lease,
		.function = rmd_slice_of_string("f"),
		.arguments = {rmd_slice_of(data, len), NULL},
	};
	return rmd_wp_give(h->end, &task);
}

/* ---- tests ---- */

static void each_task_ends_once_while_the_agent_takes_back(void **state)
{
	enum { TASKS = 100000 };
	struct harness h;
	uint64_t given = 0, taken = 0, taken_sum = 0, retry = 0;
	(void)state;
	start(&h, echoing, NULL);
	srand(7);
	while (h.outcomes + taken < TASKS) {
		while (given < TASKS && give_bytes(&h, given + 1, "x", 1) == 0)
			given++;
		int rc = rmd_wp_flush(h.end);
		assert_true(rc == 0 || rc == RMD_EAGAIN);
		for (int i = 0; i < 64; i++) {
			/* Among the newest, where the worker may be about to claim. */
			uint64_t lease = given - (uint64_t)(rand() % 256);
			if (lease == 0 || lease > given)
				continue;
			if (rmd_wp_take_back(h.end, lease)) {
				assert_false(rmd_wp_begun(h.end, lease));
				taken++;
				taken_sum += lease;
			} else {
				retry++;
			}
		}
		rc = rmd_wp_read(h.end);
		assert_true(rc >= 0);
		if (rc == 0 && h.outcomes + taken < given)
			(void)worker_process_poll(h.end, 1);
	}
	print_message("%llu ran, %llu taken back, %llu refused\n",
		      (unsigned long long)h.outcomes, (unsigned long long)taken,
		      (unsigned long long)retry);
	assert_true(taken > 0 && h.outcomes > 0 && retry > 0);
	assert_int_equal(given, TASKS);
	assert_int_equal(h.outcomes + taken, TASKS);
	/* Each number once: the sums agree. */
	assert_int_equal(h.seen_sum + taken_sum, (uint64_t)TASKS * (TASKS + 1) / 2);
	harness_close(&h);
}

/* Counts in shared memory how often each seq was run. */
static int counting(void *arg)
{
	atomic_uint *counts = arg;
	struct rmd_wpw *end = get_ready();
	struct rmd_wpw_task task;
	uint32_t number;
	while (end != NULL && rmd_wpw_next(end, &task) == 0) {
		memcpy(&number, task.arguments.data, sizeof number);
		atomic_fetch_add(&counts[number], 1);
		if (give_back(end, rmd_slice_of(NULL, 0)) < 0)
			return 1;
	}
	return 0;
}

static void what_was_taken_back_never_runs(void **state)
{
	enum { TASKS = 20000 };
	struct harness h;
	(void)state;
	atomic_uint *counts = mmap(NULL, (TASKS + 1) * sizeof *counts,
				   PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
				   0);
	bool *taken = calloc(TASKS + 1, sizeof *taken);
	assert_true(counts != MAP_FAILED && taken != NULL);
	start(&h, counting, counts);
	uint32_t given = 0, taken_count = 0;
	while (h.outcomes + taken_count < TASKS) {
		uint32_t next = given + 1;
		while (given < TASKS && give_bytes(&h, next, &next, sizeof next) == 0)
			next = ++given + 1;
		(void)rmd_wp_flush(h.end);
		for (uint32_t lease = given; lease > 0 && lease + 200 > given;
		     lease -= 1) {
			if (taken[lease] || !rmd_wp_take_back(h.end, lease))
				continue;
			taken[lease] = true;
			taken_count++;
			if (lease % 3 == 0)
				break;
		}
		assert_true(rmd_wp_read(h.end) >= 0);
	}
	rmd_wp_send_stop(h.end);
	harness_wait_end(&h);
	assert_int_equal(h.status, 0);
	for (uint32_t i = 1; i <= TASKS; i++)
		assert_int_equal(atomic_load(&counts[i]), taken[i] ? 0 : 1);
	munmap(counts, (TASKS + 1) * sizeof *counts);
	free(taken);
	harness_close(&h);
}

enum stage {
	BEFORE_SETUP,
	BEFORE_READY,
	BEFORE_CLAIM,
	CLAIMED,
	RESERVED,
	COMMITTED,
	STAGES
};

/* Dies by SIGKILL at the stage it is told. */
static int dying(void *arg)
{
	enum stage stage = *(enum stage *)arg;
	struct rmd_wpw *end = NULL;
	struct rmd_wpw_setup setup;
	struct rmd_wpw_task task;
	uint8_t *room;
	int rc = rmd_wpw_open(&end);
	for (enum stage at = BEFORE_SETUP; rc == 0; at++) {
		if (at == stage)
			raise(SIGKILL);
		if (at == BEFORE_SETUP)
			rc = rmd_wpw_recv_setup(end, &setup);
		else if (at == BEFORE_READY)
			rc = rmd_wpw_send_ready(end);
		else if (at == BEFORE_CLAIM)
			rc = rmd_wpw_next(end, &task);
		else if (at == CLAIMED)
			rc = rmd_wpw_reserve(end, 3, RMD_WPW_PRINTED_PERHAPS, &room);
		else if (at == RESERVED)
			rmd_wpw_commit(end, RMD_WP_VALUE, 3, 0);
	}
	return 1;
}

static void death_at_each_stage_is_told_with_what_had_begun(void **state)
{
	(void)state;
	for (enum stage stage = BEFORE_SETUP; stage < STAGES; stage++) {
		struct harness h;
		start(&h, dying, &stage);
		(void)give_bytes(&h, 1, "abc", 3);
		(void)give_bytes(&h, 2, "abc", 3);
		(void)rmd_wp_flush(h.end);
		harness_wait_end(&h);
		assert_int_equal(h.broken, RMD_ECLOSED);
		assert_true(WIFSIGNALED(h.status));
		assert_int_equal(h.ready, stage > BEFORE_READY);
		assert_int_equal(h.outcomes, stage == COMMITTED);
		assert_int_equal(rmd_wp_begun(h.end, 1),
				 stage == CLAIMED || stage == RESERVED);
		assert_int_equal(rmd_wp_running(h.end),
				 stage == CLAIMED || stage == RESERVED ? 1 : 0);
		assert_false(rmd_wp_begun(h.end, 2));
		assert_int_equal(give_bytes(&h, 3, "abc", 3), RMD_ECLOSED);
		assert_int_equal(rmd_wp_read(h.end), RMD_ECLOSED);
		harness_close(&h);
	}
}

static void no_more_tasks_are_taken_than_agreed(void **state)
{
	struct harness h;
	(void)state;
	harness_open(&h, 3);
	for (uint64_t lease = 1; lease <= 3; lease++)
		assert_int_equal(give_bytes(&h, lease, "x", 1), 0);
	assert_int_equal(give_bytes(&h, 4, "x", 1), RMD_EAGAIN);
	assert_true(rmd_wp_take_back(h.end, 2));
	assert_false(rmd_wp_take_back(h.end, 2));
	assert_int_equal(give_bytes(&h, 1, "x", 1), RMD_EINVAL);
	assert_int_equal(give_bytes(&h, 4, "x", 1), 0);
	assert_int_equal(give_bytes(&h, 5, "x", 1), RMD_EAGAIN);
	harness_close(&h);
}

static void sizes_are_bounded(void **state)
{
	char name[RMD_WP_FUNCTION_MAX + 1];
	struct harness h;
	(void)state;
	harness_open(&h, 4);
	memset(name, 'n', sizeof name);
	struct rmd_wp_task task = {.lease = 1,
				   .function = rmd_slice_of(name, sizeof name)};
	assert_int_equal(rmd_wp_give(h.end, &task), RMD_ETOOBIG);
	task.function.len--;
	assert_int_equal(rmd_wp_give(h.end, &task), 0);
	/* Never read: the sizes alone are refused. */
	assert_int_equal(give_bytes(&h, 2, name, (size_t)RMD_WP_INPUT_BYTES + 1),
			 RMD_ETOOBIG);
	assert_false(rmd_wp_take_back(h.end, 2));
	const char *modules[65] = {0};
	for (int i = 0; i < 65; i++)
		modules[i] = "m";
	assert_int_equal(rmd_wp_send_setup(h.end, modules, 65), RMD_EINVAL);
	assert_int_equal(rmd_wp_send_setup(h.end, modules, 64), 0);
	harness_close(&h);
}

static void the_agent_never_blocks_on_a_worker_that_does_not_read(void **state)
{
	static const char bytes[RMD_WP_INLINE_MAX];
	struct harness h;
	int rc = 0;
	uint64_t lease = 0;
	(void)state;
	harness_open(&h, RMD_WP_TASKS_MAX);
	/* Taken back as soon as they are given, so that only the socket can fill up. */
	for (; lease < 10000 && rc == 0; lease++) {
		rc = give_bytes(&h, lease + 1, bytes, sizeof bytes);
		if (rc == 0)
			assert_true(rmd_wp_take_back(h.end, lease + 1));
	}
	assert_int_equal(rc, RMD_EAGAIN);
	assert_true(lease > 20);
	harness_close(&h);
}

/* Writes to its input; exit code 1 where that worked. */
static int scribbling(void *arg)
{
	int fd = RMD_WP_WORKER_FD + 2;
	char path[32];
	(void)arg;
	if (write(fd, "x", 1) >= 0)
		return 1;
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
		return 2;
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int again = open(path, O_RDWR);
	if (again >= 0 && write(again, "x", 1) >= 0)
		return 3;
	if (again >= 0 &&
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) != MAP_FAILED)
		return 4;
	if (again >= 0 &&
	    (ftruncate(again, 0) == 0 || ftruncate(again, 1 << 30 | 1) == 0))
		return 5;
	void *mapped = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED || mprotect(mapped, 4096, PROT_READ | PROT_WRITE) == 0)
		return 6;
	if (ftruncate(RMD_WP_WORKER_FD + 1, 0) == 0 ||
	    ftruncate(RMD_WP_WORKER_FD + 3, 0) == 0)
		return 7;
	return 0;
}

static void a_worker_cannot_write_its_input_nor_resize_what_is_shared(void **state)
{
	struct harness h;
	(void)state;
	harness_open(&h, 4);
	h.pid = worker_process_fork(h.end, scribbling, NULL);
	harness_wait_end(&h);
	assert_int_equal(h.status, 0);
	harness_close(&h);
}

/* Prints on both streams for each task, then ends it; logs too. */
static int talking(void *arg)
{
	struct rmd_wpw *end = get_ready();
	struct rmd_wpw_task task;
	(void)arg;
	while (end != NULL && rmd_wpw_next(end, &task) == 0) {
		if (task.arguments.len > 0 && task.arguments.data[0] == 'p') {
			(void)!write(1, task.arguments.data, task.arguments.len);
			(void)!write(2, "E", 1);
			if (rmd_wpw_log(end, rmd_slice_of_string("L")) < 0)
				return 1;
		}
		if (give_back(end, rmd_slice_of(NULL, 0)) < 0)
			return 1;
	}
	return 0;
}

static void output_of_many_short_tasks_goes_to_the_right_one(void **state)
{
	enum { TASKS = 2000 };
	struct harness h;
	(void)state;
	start(&h, talking, NULL);
	uint64_t given = 0;
	while (h.outcomes < TASKS) {
		char text[32];
		(void)snprintf(text, sizeof text, given % 3 == 0 ? "p%llu." : "q",
			       (unsigned long long)given + 1);
		while (given < TASKS &&
		       give_bytes(&h, given + 1, text, strlen(text)) == 0) {
			given++;
			(void)snprintf(text, sizeof text, given % 3 == 0 ? "p%llu." : "q",
				       (unsigned long long)given + 1);
		}
		(void)rmd_wp_flush(h.end);
		assert_true(harness_pump(&h));
	}
	/* Every piece that was printed names its own lease, and precedes its end. */
	uint64_t printed = 0, ended = 0, lease, said;
	for (char *at = strtok(h.log->text, "|"); at != NULL; at = strtok(NULL, "|")) {
		if (sscanf(at, "out %llu: p%llu.", (unsigned long long *)&lease,
			   (unsigned long long *)&said) == 2) {
			assert_int_equal(lease, said);
			assert_int_equal(lease, ended + 1);
			printed++;
		} else if (sscanf(at, "err %llu:", (unsigned long long *)&lease) == 1 ||
			   sscanf(at, "log %llu:", (unsigned long long *)&lease) == 1) {
			assert_int_equal(lease, ended + 1);
		} else {
			assert_int_equal(
				sscanf(at, "end %llu", (unsigned long long *)&lease), 1);
			assert_int_equal(lease, ++ended);
		}
	}
	assert_int_equal(ended, TASKS);
	assert_int_equal(printed, (TASKS + 2) / 3);
	assert_int_equal(rmd_wp_stderr_tail(h.end).len, printed);
	harness_close(&h);
}

/* Prints far more than a pipe holds, in one task. */
static int flooding(void *arg)
{
	static char text[65536];
	struct rmd_wpw *end = get_ready();
	struct rmd_wpw_task task;
	(void)arg;
	memset(text, 'f', sizeof text);
	while (end != NULL && rmd_wpw_next(end, &task) == 0) {
		for (int i = 0; i < 64; i++)
			(void)!write(2, text, sizeof text);
		if (give_back(end, rmd_slice_of(NULL, 0)) < 0)
			return 1;
	}
	return 0;
}

static void a_flood_of_output_passes_in_pieces(void **state)
{
	struct harness h;
	(void)state;
	start(&h, flooding, NULL);
	assert_int_equal(give_bytes(&h, 1, "x", 1), 0);
	assert_true(harness_await(&h, 1));
	assert_int_equal(rmd_wp_stderr_tail(h.end).len, 4096);
	rmd_wp_send_stop(h.end);
	harness_wait_end(&h);
	assert_int_equal(h.status, 0);
	harness_close(&h);
}

/* Answers each task with 300 KiB that begin with its number. */
static int large(void *arg)
{
	static uint8_t answer[300 * 1024];
	struct rmd_wpw *end = get_ready();
	struct rmd_wpw_task task;
	(void)arg;
	while (end != NULL && rmd_wpw_next(end, &task) == 0) {
		memcpy(answer, task.arguments.data, task.arguments.len);
		if (give_back(end, rmd_slice_of(answer, sizeof answer)) < 0)
			return 1;
	}
	return 0;
}

/* Keeps the payload of every outcome. */
struct keeper {
	struct rmd_piece kept[256];
	uint32_t count;
};

static void keep_outcome(void *ctx, const struct rmd_wp_outcome *outcome)
{
	struct keeper *keeper = ctx;
	assert_int_equal(outcome->payload.bytes.len, 300 * 1024);
	keeper->kept[keeper->count++] = rmd_piece_ref(outcome->payload);
}

static void keep_ready(void *ctx)
{
	(void)ctx;
}

static void large_outcomes_are_lent_and_survive_the_end(void **state)
{
	enum { TASKS = 200 };
	static const struct rmd_wp_events events = {.ready = keep_ready,
						    .outcome = keep_outcome};
	struct keeper keeper = {.count = 0};
	(void)state;
	struct rmd_wp *end = rmd_wp_open(RMD_WP_TASKS_MAX, &events, &keeper);
	assert_non_null(end);
	pid_t pid = worker_process_fork(end, large, NULL);
	assert_int_equal(rmd_wp_send_setup(end, NULL, 0), 0);
	for (uint32_t i = 0; i < TASKS; i++) {
		struct rmd_wp_task task = {
			.lease = i + 1,
			.function = rmd_slice_of_string("f"),
			.arguments = {rmd_slice_of(&i, sizeof i), NULL}};
		assert_int_equal(rmd_wp_give(end, &task), 0);
	}
	assert_int_equal(rmd_wp_flush(end), 0);
	/* No more are lent at a time than there are places; then the worker waits. */
	while (keeper.count < RMD_WP_LARGE_MAX) {
		(void)worker_process_poll(end, 1000);
		assert_int_equal(rmd_wp_read(end), 0);
	}
	while (worker_process_poll(end, 50)) /* a late doorbell perhaps */
		assert_int_equal(rmd_wp_read(end), 0);
	assert_int_equal(keeper.count, RMD_WP_LARGE_MAX);
	for (uint32_t released = 0; keeper.count < TASKS;) {
		rmd_piece_unref(keeper.kept[released++]);
		(void)worker_process_poll(end, 1000);
		assert_int_equal(rmd_wp_read(end), 0);
		for (; keeper.count == TASKS && released < TASKS - 20; released++)
			rmd_piece_unref(keeper.kept[released]);
	}
	rmd_wp_send_stop(end);
	assert_int_equal(worker_process_wait(pid), 0);
	rmd_wp_close(end);
	for (uint32_t i = TASKS - 20; i < TASKS; i++) {
		uint32_t number;
		memcpy(&number, keeper.kept[i].bytes.data, sizeof number);
		assert_int_equal(number, i);
		rmd_piece_unref(keeper.kept[i]);
	}
}

static void the_ring_goes_round_with_payloads_of_all_sizes(void **state)
{
	struct harness h;
	uint64_t given = 0;
	static uint8_t bytes[70000];
	(void)state;
	start(&h, echoing, NULL);
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 13);
	srand(3);
	for (int i = 0; i < 3000; i++) {
		size_t len = (size_t)rand() % (i % 10 == 0 ? sizeof bytes : 3000);
		assert_int_equal(give_bytes(&h, ++given, bytes, len), 0);
		if (i % 50 != 49)
			continue;
		assert_true(harness_await(&h, given));
		assert_int_equal(h.payload.bytes.len, len);
		assert_true(len == 0 || memcmp(h.payload.bytes.data, bytes, len) == 0);
		assert_int_equal(h.outcomes, given);
	}
	harness_close(&h);
}

/* Begins a task and waits for ever. */
static int stuck(void *arg)
{
	struct rmd_wpw *end = get_ready();
	struct rmd_wpw_task task;
	(void)arg;
	if (end == NULL || rmd_wpw_next(end, &task) < 0)
		return 1;
	rmd_wpw_set_progress(end, 5, 9);
	while (!rmd_wpw_cancelled(end))
		usleep(1000);
	return give_back(end, rmd_slice_of(NULL, 0)) < 0;
}

static void progress_and_cancel_reach_the_running_task_only(void **state)
{
	struct harness h;
	uint64_t done = 0, total = 0;
	(void)state;
	start(&h, stuck, NULL);
	assert_int_equal(give_bytes(&h, 1, "x", 1), 0);
	assert_int_equal(give_bytes(&h, 2, "x", 1), 0);
	assert_int_equal(rmd_wp_flush(h.end), 0);
	while (!rmd_wp_progress(h.end, 1, &done, &total))
		usleep(100);
	assert_int_equal(done, 5);
	assert_int_equal(total, 9);
	assert_false(rmd_wp_progress(h.end, 2, &done, &total));
	rmd_wp_cancel(h.end, 99);
	rmd_wp_cancel(h.end, 1);
	assert_true(harness_await(&h, 1));
	harness_wait_end(&h);
	assert_int_equal(h.status, 0);
	harness_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_task_ends_once_while_the_agent_takes_back),
		cmocka_unit_test(what_was_taken_back_never_runs),
		cmocka_unit_test(death_at_each_stage_is_told_with_what_had_begun),
		cmocka_unit_test(no_more_tasks_are_taken_than_agreed),
		cmocka_unit_test(sizes_are_bounded),
		cmocka_unit_test(the_agent_never_blocks_on_a_worker_that_does_not_read),
		cmocka_unit_test(
			a_worker_cannot_write_its_input_nor_resize_what_is_shared),
		cmocka_unit_test(output_of_many_short_tasks_goes_to_the_right_one),
		cmocka_unit_test(a_flood_of_output_passes_in_pieces),
		cmocka_unit_test(large_outcomes_are_lent_and_survive_the_end),
		cmocka_unit_test(the_ring_goes_round_with_payloads_of_all_sizes),
		cmocka_unit_test(progress_and_cancel_reach_the_running_task_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
