/* Real workers that crash, with a real agent and crash helper: what their errors say. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/codec/arguments.h"
#include "tests/unit/agent/rig.h"
#include "worker/crash/catch.h"
#include "worker/crash/record.h"
#include "worker/spawner/spawner.h"

static const char *const plain[] = {CRASH_MODULES "/plain.so"};
/* As clang makes it: no table from addresses to units. */
static const char *const no_table[] = {CRASH_MODULES "/no_table.so"};
static const char *const stripped[] = {CRASH_MODULES "/stripped.so"};
static const struct rig_spec spec;

#ifdef RMD_CATCH_SANITIZED
#define NEEDS_HANDLER() skip() /* the sanitizer tells of crashes itself */
#else
#define NEEDS_HANDLER() (void)0
#endif

static struct rig *start(const char *const *modules, const char *helper)
{
	struct rmd_agent_options options = {
		.worker_path = CRASH_WORKER,
		.crash_path = helper,
		.modules = modules,
		.module_count = 1,
		.stop_grace_ms = 300,
		.cancel_grace_ms = 200,
	};
	struct rig *rig = rig_start(&options);
	rig_pool(rig, 1, 1, &spec);
	return rig;
}

static void lease(struct rig *rig, uint64_t number, const char *function,
		  const int64_t *argument)
{
	struct rmd_wire_writer writer = {0};
	if (argument != NULL) {
		struct remuda_value value = {.kind = REMUDA_INT64, .u.int64 = *argument};
		rmd_arguments_put(&writer, &value);
	}
	rig_lease_bytes(rig, 1, number, function, rmd_slice_of(writer.data, writer.len));
	rmd_wire_writer_fini(&writer);
}

static void assert_in(const char *text, const char *wanted)
{
	if (strstr(text, wanted) == NULL)
		fail_msg("\"%s\" is not in:\n%s", wanted, text);
}

static void assert_not_in(const char *text, const char *unwanted)
{
	if (strstr(text, unwanted) != NULL)
		fail_msg("\"%s\" is in:\n%s", unwanted, text);
}

/* Runs one function that crashes; gives its error, printed (free it). */
static char *crash(const char *const *modules, const char *helper, const char *function,
		   const int64_t *argument)
{
	struct rig *rig = start(modules, helper);
	lease(rig, 1, function, argument);
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_ERROR);
	struct remuda_error *err = rig_error(rig, 1);
	char *text = remuda_error_string(err);
	remuda_error_free(err);
	rig_stop(rig);
	return text;
}

/* The line of the module's source with the mark LINE_`name`. */
static int line_of(const char *name)
{
	char line[512], mark[64];
	FILE *file = fopen(CRASH_SOURCE, "re");
	int number = 0;
	snprintf(mark, sizeof mark, "LINE_%s */", name);
	assert_non_null(file);
	while (fgets(line, sizeof line, file) != NULL) {
		number++;
		if (strstr(line, mark) != NULL) {
			fclose(file);
			return number;
		}
	}
	fail_msg("no line is marked %s", mark);
	return 0;
}

static void assert_frame(const char *text, const char *mark, const char *function)
{
	char wanted[256];
	snprintf(wanted, sizeof wanted, "crashing.c\", line %d, in %s", line_of(mark),
		 function);
	assert_in(text, wanted);
}

/* What a function's error says, its helper at work. */
static void assert_crash(const char *function, const char *const *wanted)
{
	char *text = crash(plain, CRASH_HELPER, function, NULL);
	for (; *wanted != NULL; wanted++)
		assert_in(text, *wanted);
	assert_not_in(text, "remuda_thunk");
	assert_not_in(text, "rmd_run_task");
	assert_not_in(text, "on_crash");
	free(text);
}

#define SAYS(function, ...) \
	assert_crash(function, (const char *const[]){__VA_ARGS__, NULL})

static void a_bad_access_names_address_line_and_function(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	char *text = crash(plain, CRASH_HELPER, "crashing.null_write", NULL);
	assert_frame(text, "null_write", "null_write (worker 1 on test-host, attempt 1)");
	assert_in(text,
		  "while it ran crashing.null_write; it wrote to address 0x0, where "
		  "no memory is mapped [signal 11 SIGSEGV]");
	free(text);
	SAYS("crashing.null_read",
	     "it read from address 0x10, where no memory is mapped");
	SAYS("crashing.read_only_write", "it wrote to address 0x",
	     ", whose memory does not allow it [signal 11 SIGSEGV]");
	SAYS("crashing.wild_read",
	     "the processor refused an instruction, and names no address",
	     "in wild_read");
}

static void all_calls_that_led_there_are_named(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	char *text = crash(plain, CRASH_HELPER, "crashing.three_deep", NULL);
	assert_frame(text, "three_deep", "three_deep\n");
	assert_frame(text, "outermost", "outermost\n");
	assert_frame(text, "middle", "middle\n");
	assert_frame(text, "innermost", "innermost (worker 1");
	assert_true(strstr(text, "in outermost") < strstr(text, "in innermost"));
	assert_in(text,
		  "recent call last):\n  File \""); /* nothing of ours before them */
	free(text);
	text = crash(plain, CRASH_HELPER, "crashing.inline_crash", NULL);
	assert_frame(text, "inline_crash", "inline_crash\n");
	assert_frame(text, "inlined", "inlined (worker 1");
	free(text);
}

static void lines_are_found_without_a_table_of_addresses(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	char *text = crash(no_table, CRASH_HELPER, "crashing.three_deep", NULL);
	assert_frame(text, "three_deep", "three_deep\n");
	assert_frame(text, "innermost", "innermost (worker 1");
	free(text);
}

static void a_call_through_a_bad_pointer_names_the_caller(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	char *text = crash(plain, CRASH_HELPER, "crashing.null_call", NULL);
	assert_frame(text, "null_call", "null_call");
	assert_in(text, "it ran code at address 0x0");
	free(text);
}

static void a_stack_overflow_is_told_in_any_thread(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	static const char *const functions[] = {
		"crashing.overflow", "crashing.thread_overflow", "crashing.c11_overflow"};
	for (size_t i = 0; i < 3; i++)
		SAYS(functions[i], "[outer frames left out]", "in recurse",
		     "[signal 11 SIGSEGV]", "it wrote to address 0x");
}

static void a_crash_in_a_thread_of_the_task_is_told(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	char *text = crash(plain, CRASH_HELPER, "crashing.thread_crash", NULL);
	assert_frame(text, "crash_thread", "crash_thread (worker 1");
	assert_not_in(text, "start_thread");
	assert_not_in(text, "libc.so");
	assert_in(text, "recent call last):\n  File \"");
	free(text);
	SAYS("crashing.many_crash", "in crash_thread", "[signal 11 SIGSEGV]");
}

static void signals_are_told_apart(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	SAYS("crashing.aborts", "it sent itself the signal [signal 6 SIGABRT]\n",
	     "It last wrote to stderr:\nabout to abort\n", "in aborts", "in abort");
	SAYS("crashing.divide",
	     "integer division by zero, or with too large a result at address 0x",
	     "[signal 8 SIGFPE]", "in divide (worker 1");
	SAYS("crashing.trap", "illegal instruction at address 0x", "[signal 4 SIGILL]",
	     "in trap");
	SAYS("crashing.past_the_file", "it read from address 0x",
	     "388, which has no memory behind it [signal 7 SIGBUS]", "in past_the_file");
}

static void a_crash_with_mallocs_lock_held_is_told(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	SAYS("crashing.in_malloc", "[signal 11 SIGSEGV]", "libc", "in in_malloc");
}

static void without_symbols_there_is_image_and_offset(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	char *text = crash(stripped, CRASH_HELPER, "crashing.three_deep", NULL);
	int frames = 0;
	for (const char *at = text; (at = strstr(at, "stripped.so\", offset 0x")) != NULL;
	     at++)
		frames++;
	assert_true(frames >= 4);
	assert_not_in(text, "crashing.c");
	free(text);
}

static void a_pushed_module_has_its_stack_too(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	struct rmd_digest digest;
	struct stat info;
	int fd = open(plain[0], O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &info) == 0);
	struct rmd_buf *buf = rmd_buf_create((size_t)info.st_size);
	assert_int_equal(read(fd, rmd_buf_writable(buf), (size_t)info.st_size),
			 info.st_size);
	close(fd);
	assert_int_equal(rmd_digest_of(rmd_buf_slice(buf), &digest), 0);
	struct rmd_module_image image = {
		.digest = digest, .name = rmd_slice_of_string("shop.so"), .transfer = 9};
	struct rig_spec pushed = {.module = &digest};
	struct rmd_agent_options options = {.worker_path = CRASH_WORKER,
					    .crash_path = CRASH_HELPER,
					    .stop_grace_ms = 300,
					    .cancel_grace_ms = 200};
	struct rig *rig = rig_start(&options);
	rig_transfer(rig, 9, (struct rmd_piece){rmd_buf_slice(buf), buf});
	rmd_attach_response_put_module(&rig->out, &image);
	rig_pool(rig, 1, 1, &pushed);
	rig_lease(rig, 1, 1, "crashing.three_deep", "");
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_ERROR);
	struct remuda_error *err = rig_error(rig, 1);
	char *text = remuda_error_string(err);
	assert_frame(text, "innermost", "innermost");
	assert_frame(text, "three_deep", "three_deep");
	free(text);
	remuda_error_free(err);
	rig_stop(rig);
}

/* ---- ends that are no crash ---- */

static void an_exit_says_its_code(void **state)
{
	(void)state;
	const int64_t three = 3, none = 0;
	char *text = crash(plain, CRASH_HELPER, "crashing.exits", &three);
	assert_in(text, "the worker process exited while it ran crashing.exits "
			"[exit code 3]");
	free(text);
	text = crash(plain, CRASH_HELPER, "crashing.exits_at_once", &none);
	assert_in(text, "[exit code 0]");
	assert_not_in(text, "Traceback (most");
	free(text);
}

static void a_signal_from_outside_is_told_without_a_guess(void **state)
{
	(void)state;
	static const int signals[] = {SIGTERM, SIGKILL, SIGSEGV};
	static const char *const ends[] = {"[signal 15 SIGTERM]", "[signal 9 SIGKILL]",
					   "[signal 11 SIGSEGV]"};
	for (size_t i = 0; i < 3; i++) {
#ifdef RMD_CATCH_SANITIZED
		if (signals[i] == SIGSEGV)
			continue;
#endif
		struct rig *rig = start(plain, CRASH_HELPER);
		pid_t pid;
		lease(rig, 1, "crashing.sleeps", NULL);
		rig_send(rig);
		RIG_WAIT(rig, rig->leases[1].began_told);
		assert_int_equal(rig_workers(rig, 1, RMD_WORKER_STATE_BUSY, &pid, 1), 1);
		assert_int_equal(kill(pid, signals[i]), 0);
		rig_wait_end(rig, 1, RIG_ERROR);
		struct remuda_error *err = rig_error(rig, 1);
		char *text = remuda_error_string(err), by[64];
		assert_in(text, ends[i]);
		assert_not_in(text, "memory");
		snprintf(by, sizeof by, "; process %d sent it the signal", (int)getpid());
		if (signals[i] == SIGSEGV) {
			assert_in(text, by);
			assert_in(text, "in sleeps");
		} else {
			assert_in(text, "process ended while it ran crashing.sleeps [");
		}
		free(text);
		remuda_error_free(err);
		rig_stop(rig);
	}
}

static void others_handlers_are_left_alone(void **state)
{
	(void)state;
	char *text = crash(plain, CRASH_HELPER, "crashing.handled", NULL);
	assert_in(text, "[exit code 61]");
	free(text);
}

static void a_child_of_the_task_dies_by_itself(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	const int64_t seven = 7;
	struct rig *rig = start(plain, CRASH_HELPER);
	lease(rig, 1, "crashing.child_crash", NULL);
	lease(rig, 2, "crashing.square", &seven);
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	rig_wait_end(rig, 2, RIG_VALUE);
	assert_int_equal(rig->leases[1].worker, rig->leases[2].worker);
	rig_stop(rig);
}

static void threads_of_tasks_are_as_ever(void **state)
{
	(void)state;
	const int64_t count = 200;
	struct rig *rig = start(plain, CRASH_HELPER);
	lease(rig, 1, "crashing.many_threads", &count);
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	rig_stop(rig);
}

static void what_had_not_begun_runs_elsewhere(void **state)
{
	(void)state;
	const int64_t seven = 7;
	struct rig *rig = start(plain, CRASH_HELPER);
	lease(rig, 1, "crashing.null_write", NULL);
	for (uint64_t i = 2; i <= 20; i++)
		lease(rig, i, "crashing.square", &seven);
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_ERROR);
	for (uint64_t i = 2; i <= 20; i++)
		rig_wait_end(rig, i, RIG_VALUE);
	rig_stop(rig);
}

/* ---- the helper's own troubles ---- */

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* A helper that never answers, as a script. */
static char *write_script(const char *text)
{
	static char path[] = "/tmp/remuda-crash-XXXXXX";
	strcpy(strrchr(path, '-'), "-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, 0700), 0);
	close(fd);
	return path;
}

static void assert_no_stack_in(double seconds, const char *helper)
{
	double begun = now();
	char *text = crash(plain, helper, "crashing.three_deep", NULL);
	assert_true(now() - begun < seconds);
	assert_in(text, "it read from address 0x8, where no memory is mapped [signal 11 "
			"SIGSEGV]");
	assert_in(text, "plain.so\", offset 0x"); /* where, by the worker's own record */
	assert_not_in(text, "in outermost");
	free(text);
}

static void without_a_helper_the_signal_is_told_all_the_same(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	assert_no_stack_in(1.5, "/nonexistent/remuda-crash");
	assert_no_stack_in(1.5, "/bin/false");
	char *path = write_script("#!/bin/sh\nkill -9 $$\n");
	assert_no_stack_in(1.5, path);
	unlink(path);
}

/* Whether a child of the agent's spawner is called so. */
static bool spawner_runs(const struct rig *rig, const char *name)
{
	char path[64], comm[32];
	int pid;
	bool found = false;
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)rig->spawner_pid,
		 (int)rig->spawner_pid);
	FILE *children = fopen(path, "re");
	assert_non_null(children);
	while (!found && fscanf(children, "%d", &pid) == 1) {
		snprintf(path, sizeof path, "/proc/%d/comm", pid);
		FILE *file = fopen(path, "re");
		if (file == NULL)
			continue;
		found = fscanf(file, "%31s", comm) == 1 && strcmp(comm, name) == 0;
		fclose(file);
	}
	fclose(children);
	return found;
}

static void a_helper_that_hangs_costs_two_seconds(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	char *path = write_script("#!/bin/sh\nexec sleep 600\n");
	assert_no_stack_in(RMD_CRASH_WAIT_MS / 1000.0 + 2, path);
	struct rig *rig = start(plain, path);
	lease(rig, 1, "crashing.null_write", NULL);
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_ERROR);
	for (int i = 0; spawner_runs(rig, "sleep"); i++) {
		assert_true(i < 1000);
		usleep(10000);
	}
	rig_stop(rig);
	unlink(path);
}

static void many_workers_that_crash_at_once_are_all_told(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	struct rig *rig = start(plain, CRASH_HELPER);
	rig_pool(rig, 1, 12, NULL);
	for (uint64_t i = 1; i <= 24; i++)
		lease(rig, i, "crashing.three_deep", NULL);
	rig_send(rig);
	for (uint64_t i = 1; i <= 24; i++) {
		rig_wait_end(rig, i, RIG_ERROR);
		struct remuda_error *err = rig_error(rig, i);
		char *text = remuda_error_string(err);
		assert_in(text, "in innermost");
		free(text);
		remuda_error_free(err);
	}
	rig_stop(rig);
}

/* ---- user code that lies ---- */

static void lease_forger(struct rig *rig, uint64_t number, int count, bool sense,
			 bool ends)
{
	struct rmd_wire_writer writer = {0};
	struct remuda_value values[] = {
		{.kind = REMUDA_INT64, .u.int64 = count},
		{.kind = REMUDA_BOOLEAN, .u.boolean = sense},
		{.kind = REMUDA_BOOLEAN, .u.boolean = ends},
	};
	for (size_t i = 0; i < 3; i++)
		rmd_arguments_put(&writer, &values[i]);
	rig_lease_bytes(rig, 1, number, "crashing.forges",
			rmd_slice_of(writer.data, writer.len));
	rmd_wire_writer_fini(&writer);
}

static void a_forged_crash_is_not_believed(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	struct rig *rig = start(plain, CRASH_HELPER);
	lease_forger(rig, 1, 1, true, true);
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_ERROR);
	struct remuda_error *err = rig_error(rig, 1);
	char *text = remuda_error_string(err);
	assert_in(text, "exited while it ran crashing.forges [exit code 3]");
	assert_not_in(text, "SIGSEGV");
	assert_int_equal(remuda_error_frame_count(err), 0);
	free(text);
	remuda_error_free(err);
	rig_stop(rig);
}

static void nonsense_on_the_channel_costs_the_worker_its_own_stack(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	static const bool sense[] = {false, true};
	for (size_t i = 0; i < 2; i++) {
		struct rig *rig = start(plain, CRASH_HELPER);
		lease_forger(rig, 1, 1000, sense[i], false);
		rig_send(rig);
		rig_wait_end(rig, 1, RIG_VALUE);
		lease(rig, 2, "crashing.null_write", NULL);
		rig_send(rig);
		rig_wait_end(rig, 2, RIG_ERROR);
		struct remuda_error *err = rig_error(rig, 2);
		assert_int_equal(remuda_error_signal(err), SIGSEGV);
		remuda_error_free(err);
		rig_stop(rig);
	}
}

static void a_record_that_comes_after_its_task_keeps_nobody_waiting(void **state)
{
	(void)state;
	NEEDS_HANDLER();
	pid_t pid;
	char go[64];
	struct rig *rig = start(plain, CRASH_HELPER);
	lease(rig, 1, "crashing.forges_late", NULL);
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	RIG_WAIT(rig, rig_workers(rig, 1, RMD_WORKER_STATE_IDLE, &pid, 1) == 1);
	snprintf(go, sizeof go, "/tmp/remuda-forge-%d", (int)pid);
	int fd = open(go, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	await_end_of(pid);
	lease(rig, 2, "crashing.null_write", NULL);
	rig_send(rig);
	rig_wait_end(rig, 2, RIG_ERROR);
	rig_stop(rig);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--spawner") == 0)
		rmd_spawner_main();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bad_access_names_address_line_and_function),
		cmocka_unit_test(all_calls_that_led_there_are_named),
		cmocka_unit_test(lines_are_found_without_a_table_of_addresses),
		cmocka_unit_test(a_call_through_a_bad_pointer_names_the_caller),
		cmocka_unit_test(a_stack_overflow_is_told_in_any_thread),
		cmocka_unit_test(a_crash_in_a_thread_of_the_task_is_told),
		cmocka_unit_test(signals_are_told_apart),
		cmocka_unit_test(a_crash_with_mallocs_lock_held_is_told),
		cmocka_unit_test(without_symbols_there_is_image_and_offset),
		cmocka_unit_test(a_pushed_module_has_its_stack_too),
		cmocka_unit_test(an_exit_says_its_code),
		cmocka_unit_test(a_signal_from_outside_is_told_without_a_guess),
		cmocka_unit_test(others_handlers_are_left_alone),
		cmocka_unit_test(a_child_of_the_task_dies_by_itself),
		cmocka_unit_test(threads_of_tasks_are_as_ever),
		cmocka_unit_test(what_had_not_begun_runs_elsewhere),
		cmocka_unit_test(without_a_helper_the_signal_is_told_all_the_same),
		cmocka_unit_test(a_helper_that_hangs_costs_two_seconds),
		cmocka_unit_test(many_workers_that_crash_at_once_are_all_told),
		cmocka_unit_test(a_forged_crash_is_not_believed),
		cmocka_unit_test(nonsense_on_the_channel_costs_the_worker_its_own_stack),
		cmocka_unit_test(a_record_that_comes_after_its_task_keeps_nobody_waiting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
