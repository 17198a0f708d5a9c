/* The native worker, as a program, over the worker protocol. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/errcode.h"
#include "proto/error/chain.h"
#include "tests/unit/protocol/harness.h"

static const char *const demo[] = {REMUDA_TEST_MODULES "/demo.so"};
static const char *const both[] = {REMUDA_TEST_MODULES "/demo.so",
				   REMUDA_TEST_MODULES "/files.so"};

static void assert_has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static void a_function_gives_its_result(void **state)
{
	struct harness h;
	(void)state;
	harness_start(&h, demo, 1);
	struct remuda_value args[] = {harness_int(20), harness_int(-62)};
	assert_int_equal(harness_call(&h, "demo.square", args, 1), 0);
	assert_int_equal(h.value.kind, REMUDA_INT64);
	assert_int_equal(h.value.u.int64, 400);
	assert_int_equal(harness_call(&h, "demo.add", args, 2), 0);
	assert_int_equal(h.value.u.int64, -42);
	rmd_wp_send_stop(h.end);
	harness_wait_end(&h);
	assert_int_equal(h.broken, RMD_ECLOSED);
	assert_int_equal(h.status, 0);
	harness_close(&h);
}

static void an_unknown_function_names_the_nearest(void **state)
{
	struct harness h;
	(void)state;
	harness_start(&h, both, 2);
	assert_int_equal(harness_call(&h, "demo.sqare", NULL, 0), 1);
	assert_string_equal(remuda_error_type(h.err), "UnknownFunction");
	assert_has(remuda_error_message(h.err),
		   "no function demo.sqare; nearest: demo.square, ");
	assert_has(remuda_error_message(h.err), "demo (" REMUDA_TEST_MODULES "/demo.so)");
	assert_has(remuda_error_message(h.err),
		   "files (" REMUDA_TEST_MODULES "/files.so)");
	assert_int_equal(remuda_error_origin(h.err), REMUDA_ORIGIN_LOOKUP);
	assert_int_equal(harness_call(&h, "sha256", NULL, 0), 1);
	assert_has(remuda_error_message(h.err), "nearest: files.sha256");
	harness_close(&h);
}

static void a_wrong_call_names_argument_and_signature(void **state)
{
	struct harness h;
	(void)state;
	harness_start(&h, demo, 1);
	struct remuda_value args[] = {harness_int(1), harness_text("two"),
				      harness_int(3)};
	assert_int_equal(harness_call(&h, "demo.add", args, 3), 1);
	assert_string_equal(remuda_error_type(h.err), "SignatureMismatch");
	assert_string_equal(
		remuda_error_message(h.err),
		"demo.add: expected 2 arguments, got 3; its signature is int64_t "
		"demo.add(int64_t a, int64_t b)");
	assert_int_equal(harness_call(&h, "demo.add", args, 2), 1);
	assert_string_equal(
		remuda_error_message(h.err),
		"demo.add: argument 2 (b): expected an integer from -2^63 to 2^63-1, "
		"got string; its signature is int64_t demo.add(int64_t a, int64_t b)");
	args[0] = harness_int(-1);
	assert_int_equal(harness_call(&h, "demo.sleep_ms", args, 1), 1);
	assert_has(remuda_error_message(h.err),
		   "argument 1 (ms): expected an integer from 0 to 4294967295, got -1");
	assert_int_equal(remuda_error_origin(h.err), REMUDA_ORIGIN_LOOKUP);
	harness_close(&h);
}

static void a_raised_chain_keeps_causes_and_places(void **state)
{
	struct harness h;
	(void)state;
	harness_start(&h, demo, 1);
	assert_int_equal(harness_call(&h, "demo.fail", NULL, 0), 1);
	assert_string_equal(remuda_error_type(h.err), "DemoError");
	const struct remuda_error *cause = remuda_error_cause(h.err);
	assert_non_null(cause);
	assert_string_equal(remuda_error_type(cause), "ConfigError");
	const struct remuda_error *root = remuda_error_root(h.err);
	assert_string_equal(remuda_error_type(root), "FileNotFound");
	assert_ptr_equal(remuda_error_cause(cause), root);
	assert_string_equal(remuda_error_message(root), "/etc/demo.conf: no such file");
	assert_string_equal(remuda_error_frame(root, 0).function, "open_file");
	assert_has(remuda_error_frame(root, 0).file, "demo.c");
	assert_true(remuda_error_frame(root, 0).line > 0);
	assert_string_equal(remuda_error_host(root), "testhost");
	assert_int_equal(remuda_error_worker(root), 7);
	assert_int_equal(remuda_error_attempt(root), 3);
	assert_int_equal(remuda_error_origin(root), REMUDA_ORIGIN_TASK);
	harness_close(&h);
}

static void output_comes_before_its_outcome_under_its_lease(void **state)
{
	struct harness h;
	(void)state;
	harness_start(&h, demo, 1);
	struct remuda_value args[] = {harness_int(2)};
	uint64_t last = 0;
	for (int i = 0; i < 50; i++) {
		char text[16];
		(void)snprintf(text, sizeof text, "line %d", i);
		struct remuda_value line = harness_text(text);
		(void)harness_give(&h, "demo.print", &line, 1);
		last = harness_give(&h, "demo.square", args, 1);
	}
	assert_true(harness_await(&h, last));
	char *at = h.log->text;
	for (int i = 0; i < 50; i++) {
		char expected[80];
		int n = snprintf(expected, sizeof expected,
				 "out %d: line %d\n|end %d|end %d|", 2 * i + 1, i,
				 2 * i + 1, 2 * i + 2);
		assert_memory_equal(at, expected, (size_t)n);
		at += n;
	}
	harness_close(&h);
}

static void a_crash_ends_the_worker_alone_and_shows_who_ran(void **state)
{
	struct harness h;
	(void)state;
	harness_start(&h, demo, 1);
	struct remuda_value line = harness_text("last words");
	struct remuda_value number = harness_int(4);
	uint64_t first = harness_give(&h, "demo.print", &line, 1);
	uint64_t crash = harness_give(&h, "demo.crash", NULL, 0);
	uint64_t never = harness_give(&h, "demo.square", &number, 1);
	assert_false(harness_await(&h, crash));
	assert_int_equal(h.broken, RMD_ECLOSED);
	assert_int_equal(h.outcomes, 1);
	assert_has(h.log->text, "last words");
	assert_false(rmd_wp_begun(h.end, first));
	assert_true(rmd_wp_begun(h.end, crash));
	assert_int_equal(rmd_wp_running(h.end), crash);
	assert_false(rmd_wp_begun(h.end, never));
	assert_true(rmd_wp_take_back(h.end, never));
	harness_wait_end(&h);
	assert_false(WIFEXITED(h.status) && WEXITSTATUS(h.status) == 0);
	harness_close(&h);
}

static void a_task_that_exits_ends_its_worker(void **state)
{
	struct harness h;
	(void)state;
	harness_start(&h, demo, 1);
	struct remuda_value code = harness_int(42);
	assert_int_equal(harness_call(&h, "demo.exit", &code, 1), -1);
	harness_wait_end(&h);
	assert_true(WIFEXITED(h.status));
	assert_int_equal(WEXITSTATUS(h.status), 42);
	harness_close(&h);
}

static void a_running_task_hears_that_it_is_cancelled(void **state)
{
	struct harness h;
	(void)state;
	harness_start(&h, demo, 1);
	struct remuda_value ms = harness_int(600000);
	uint64_t lease = harness_give(&h, "demo.sleep_ms", &ms, 1);
	assert_int_equal(rmd_wp_flush(h.end), 0);
	uint64_t done, total;
	while (!rmd_wp_progress(h.end, lease, &done, &total))
		usleep(100);
	assert_int_equal(total, 600000);
	assert_int_equal(rmd_wp_running(h.end), lease);
	assert_false(rmd_wp_take_back(h.end, lease));
	rmd_wp_cancel(h.end, lease);
	assert_true(harness_await(&h, lease));
	assert_int_equal(h.kind, RMD_WP_VALUE);
	harness_close(&h);
}

static void values_of_all_sizes_come_back_as_they_went(void **state)
{
	static const size_t sizes[] = {0,     1,     4000,    4096,    4097,	 65000,
				       65536, 70000, 1000000, 5000000, 64u << 20};
	struct harness h;
	(void)state;
	harness_start(&h, demo, 1);
	unsigned char *bytes = malloc(64u << 20);
	assert_non_null(bytes);
	for (size_t i = 0; i < 64u << 20; i++)
		bytes[i] = (unsigned char)(i * 7 + (i >> 12));
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct remuda_value value = harness_bytes(bytes, sizes[i]);
		assert_int_equal(harness_call(&h, "demo.echo", &value, 1), 0);
		assert_int_equal(h.value.kind, REMUDA_BYTES);
		assert_int_equal(h.value.u.bytes.len, sizes[i]);
		assert_true(sizes[i] == 0 ||
			    memcmp(h.value.u.bytes.data, bytes, sizes[i]) == 0);
	}
	free(bytes);
	harness_close(&h);
}

static uint64_t resident_shared_kib(pid_t pid)
{
	char path[64], line[256];
	uint64_t kib = 0, one;
	(void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof line, file) != NULL)
		if (sscanf(line, "RssShmem: %llu", (unsigned long long *)&one) == 1)
			kib = one;
	fclose(file);
	return kib;
}

static void shared_memory_is_given_back_when_idle(void **state)
{
	struct harness h;
	(void)state;
	harness_start(&h, demo, 1);
	size_t len = 16u << 20;
	char *bytes = calloc(1, len);
	assert_non_null(bytes);
	struct remuda_value value = harness_bytes(bytes, len), small = harness_int(1);
	assert_int_equal(harness_call(&h, "demo.echo", &value, 1), 0);
	assert_true(resident_shared_kib(h.pid) > 16 * 1024);
	assert_true(resident_shared_kib(getpid()) > 16 * 1024);
	rmd_piece_unref(h.payload);
	h.payload = (struct rmd_piece){0};
	rmd_wp_trim(h.end);
	assert_true(resident_shared_kib(getpid()) < 4 * 1024 + 16 * 1024);
	/* The worker lets go of its half by itself after a second. */
	while (resident_shared_kib(h.pid) > 4 * 1024)
		usleep(20000);
	assert_int_equal(harness_call(&h, "demo.square", &small, 1), 0);
	assert_int_equal(harness_call(&h, "demo.echo", &value, 1), 0);
	assert_int_equal(h.value.u.bytes.len, len);
	assert_memory_equal(h.value.u.bytes.data, bytes, len);
	free(bytes);
	harness_close(&h);
}

static void files_are_digested_and_errors_name_the_path(void **state)
{
	char path[] = "/tmp/remuda-native-test-XXXXXX";
	struct harness h;
	(void)state;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "abc", 3), 3);
	close(fd);
	harness_start(&h, both, 2);
	struct remuda_value arg = harness_text(path);
	assert_int_equal(harness_call(&h, "files.sha256", &arg, 1), 0);
	assert_string_equal(
		h.value.u.string.data,
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	arg = harness_bytes(path, strlen(path));
	assert_int_equal(harness_call(&h, "files.sha256", &arg, 1), 0);
	unlink(path);
	assert_int_equal(harness_call(&h, "files.sha256", &arg, 1), 1);
	assert_string_equal(remuda_error_type(h.err), "FileNotFound");
	assert_has(remuda_error_message(h.err), path);
	assert_has(remuda_error_message(h.err), "No such file or directory");
	arg = harness_text("/tmp");
	assert_int_equal(harness_call(&h, "files.sha256", &arg, 1), 1);
	assert_string_equal(remuda_error_message(h.err), "/tmp: not a regular file");
	harness_close(&h);
}

static void assert_start_fails(const char *const *modules, size_t count,
			       const char *const *parts)
{
	struct harness h;
	harness_start(&h, modules, count);
	assert_false(h.ready);
	assert_non_null(h.start_error);
	char *text = remuda_error_string(h.start_error);
	for (; *parts != NULL; parts++)
		assert_has(text, *parts);
	free(text);
	assert_true(WIFEXITED(h.status));
	assert_int_equal(WEXITSTATUS(h.status), 100);
	harness_close(&h);
}

static void a_module_that_cannot_be_loaded_is_named_with_the_reason(void **state)
{
	(void)state;
	const char *missing[] = {"/nowhere/x.so"};
	assert_start_fails(missing, 1,
			   (const char *[]){"ModuleError", "module /nowhere/x.so",
					    "No such file or directory", NULL});
	const char *plain[] = {REMUDA_TEST_BAD "/plain.so"};
	assert_start_fails(
		plain, 1,
		(const char *[]){"plain.so", "no symbol remuda_module_v1", NULL});
	const char *symbol[] = {REMUDA_TEST_BAD "/missing_symbol.so"};
	assert_start_fails(symbol, 1,
			   (const char *[]){"missing_symbol.so", "cannot be loaded",
					    "undefined symbol: no_such_function_anywhere",
					    NULL});
	const char *version[] = {REMUDA_TEST_BAD "/other_version.so"};
	assert_start_fails(version, 1,
			   (const char *[]){"other_version.so", "version 99",
					    "speaks version 1", NULL});
	const char *twice[] = {REMUDA_TEST_MODULES "/demo.so",
			       REMUDA_TEST_BAD "/second_demo.so"};
	assert_start_fails(twice, 2,
			   (const char *[]){"second_demo.so", "demo.square",
					    "is already in module " REMUDA_TEST_MODULES
					    "/demo.so",
					    NULL});
	const char *message[] = {REMUDA_TEST_BAD "/no_message.so"};
	assert_start_fails(
		message, 1,
		(const char *[]){"no_message.so", "const Row *", "REMUDA_MESSAGE", NULL});
}

static void the_same_module_twice_is_one(void **state)
{
	const char *twice[] = {demo[0], demo[0]};
	struct harness h;
	(void)state;
	harness_start(&h, twice, 2);
	assert_true(h.ready);
	harness_close(&h);
}

static void a_descriptor_is_a_path_too(void **state)
{
	struct harness h;
	(void)state;
	int fd = open(demo[0], O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(dup2(fd, 40), 40);
	const char *modules[] = {"/dev/fd/40"};
	harness_start(&h, modules, 1);
	assert_true(h.ready);
	close(fd);
	close(40);
	harness_close(&h);
}

static void a_worker_ends_with_its_agent(void **state)
{
	struct harness h;
	(void)state;
	harness_start(&h, demo, 1);
	rmd_wp_close(h.end);
	h.end = NULL;
	assert_int_equal(worker_process_wait(h.pid), 0);
	h.pid = 0;
	harness_close(&h);
}

static void arguments_that_are_garbage_are_an_error(void **state)
{
	static const uint8_t garbage[] = {0x0a, 0x7f, 0x01};
	struct harness h;
	(void)state;
	harness_start(&h, demo, 1);
	struct rmd_wp_task task = {
		.lease = 900,
		.function = rmd_slice_of_string("demo.square"),
		.arguments = {rmd_slice_of(garbage, sizeof garbage), NULL},
	};
	assert_int_equal(rmd_wp_give(h.end, &task), 0);
	assert_true(harness_await(&h, 900));
	assert_int_equal(h.kind, RMD_WP_ERROR);
	const char *field;
	assert_int_equal(rmd_error_decode(h.payload.bytes, &h.err, &field), 0);
	assert_string_equal(remuda_error_type(h.err), "DecodeError");
	assert_int_equal(remuda_error_origin(h.err), REMUDA_ORIGIN_DECODE);
	harness_close(&h);
}

/* A part that can't be decoded, and a number that is none, are named by their paths. */
static void what_cannot_be_decoded_is_named_by_its_path(void **state)
{
	struct harness h;
	(void)state;
	harness_start(&h, demo, 1);
	struct remuda_value bad = {.kind = REMUDA_STRING, .u.string = {"\xff", 1}};
	struct remuda_entry pair = {harness_text("name"), bad};
	struct remuda_value items[4] = {{.kind = REMUDA_NULL}};
	items[3] = (struct remuda_value){.kind = REMUDA_MAP, .u.map = {&pair, 1}};
	struct remuda_value list = {.kind = REMUDA_LIST, .u.list = {items, 4}};
	assert_int_equal(harness_call(&h, "demo.echo", &list, 1), 1);
	assert_string_equal(remuda_error_type(h.err), "DecodeError");
	assert_int_equal(remuda_error_origin(h.err), REMUDA_ORIGIN_DECODE);
	assert_has(remuda_error_message(h.err),
		   "demo.echo: args[0][3].name can't be decoded: ");
	pair.key = (struct remuda_value){.kind = REMUDA_NAMED, .u.named = {{"n", 1}, &bad}};
	pair.value = harness_int(1);
	assert_int_equal(harness_call(&h, "demo.echo", &list, 1), 1);
	assert_has(remuda_error_message(h.err),
		   "demo.echo: args[0][3]{0:key}.value can't be decoded: ");
	harness_close(&h);
}

static void a_small_worker_is_small(void **state)
{
	struct harness h;
	char path[64], line[256];
	unsigned kib = 0;
	(void)state;
	harness_start(&h, demo, 1);
	struct remuda_value number = harness_int(2);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(harness_call(&h, "demo.square", &number, 1), 0);
	(void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)h.pid);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof line, file) != NULL)
		(void)sscanf(line, "Pss: %u", &kib);
	fclose(file);
	print_message("PSS %u KiB\n", kib);
	assert_true(kib > 0);
#ifndef REMUDA_TEST_SANITIZED
	assert_true(kib <= 4096);
#endif
	harness_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_function_gives_its_result),
		cmocka_unit_test(an_unknown_function_names_the_nearest),
		cmocka_unit_test(a_wrong_call_names_argument_and_signature),
		cmocka_unit_test(a_raised_chain_keeps_causes_and_places),
		cmocka_unit_test(output_comes_before_its_outcome_under_its_lease),
		cmocka_unit_test(a_crash_ends_the_worker_alone_and_shows_who_ran),
		cmocka_unit_test(a_task_that_exits_ends_its_worker),
		cmocka_unit_test(a_running_task_hears_that_it_is_cancelled),
		cmocka_unit_test(values_of_all_sizes_come_back_as_they_went),
		cmocka_unit_test(shared_memory_is_given_back_when_idle),
		cmocka_unit_test(files_are_digested_and_errors_name_the_path),
		cmocka_unit_test(a_module_that_cannot_be_loaded_is_named_with_the_reason),
		cmocka_unit_test(the_same_module_twice_is_one),
		cmocka_unit_test(a_descriptor_is_a_path_too),
		cmocka_unit_test(a_worker_ends_with_its_agent),
		cmocka_unit_test(arguments_that_are_garbage_are_an_error),
		cmocka_unit_test(what_cannot_be_decoded_is_named_by_its_path),
		cmocka_unit_test(a_small_worker_is_small),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
