/* The printed form, fixed by golden texts. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/error/chain.h"

/* Prints `err` in both ways, frees it. */
static void assert_prints(struct remuda_error *err, const char *expected)
{
	char *string = remuda_error_string(err), *printed = NULL;
	size_t len = 0;
	assert_non_null(string);
	assert_string_equal(string, expected);
	free(string);
	FILE *stream = open_memstream(&printed, &len);
	assert_non_null(stream);
	remuda_error_print(err, stream);
	fclose(stream);
	assert_string_equal(printed, expected);
	free(printed);
	remuda_error_free(err);
}

static void add_frame(struct remuda_error *err, const char *file, uint32_t line,
		      const char *function)
{
	rmd_error_add_frame(
		err,
		&(struct remuda_frame){.file = file, .line = line, .function = function});
}

static struct remuda_error *parse_error(void)
{
	struct remuda_error *err = remuda_error_create(
		"ParseError", "row %d: expected %d fields, found %d", 7, 4, 3);
	rmd_error_set_origin(err, REMUDA_ORIGIN_TASK);
	rmd_error_set_place(err, "node-b", 3, 1);
	add_frame(err, "orders.c", 41, "parse_row");
	return err;
}

static void a_plain_error_is_one_line(void **state)
{
	(void)state;
	assert_prints(
		remuda_error_create("ConnectError", "unix:/tmp/x: %s", "no such file"),
		"ConnectError: unix:/tmp/x: no such file\n");
	assert_prints(remuda_error_create("Bare", "%s", ""), "Bare\n");
}

static void the_cause_of_a_task_error_is_a_remote_traceback(void **state)
{
	(void)state;
	assert_prints(remuda_error_wrap(parse_error(), "TaskError",
					"orders.parse_row failed on worker 3 (node-b)"),
		      "RemoteTraceback:\n"
		      "\"\"\"\n"
		      "Traceback (most recent call last):\n"
		      "  File \"orders.c\", line 41, in parse_row (worker 3 on node-b, "
		      "attempt 1)\n"
		      "ParseError: row 7: expected 4 fields, found 3\n"
		      "\"\"\"\n"
		      "\n"
		      "The above error was the direct cause of the following error:\n"
		      "\n"
		      "TaskError: orders.parse_row failed on worker 3 (node-b)\n");
}

static void a_chain_of_three_begins_with_its_root(void **state)
{
	(void)state;
	struct remuda_error *read = remuda_error_create("ReadError", "disk 2 is gone");
	struct remuda_error *load =
		remuda_error_wrap(read, "LoadError", "cannot load orders.csv");
	add_frame(load, "main.c", 3, "main");
	add_frame(load, "load.c", 12, "load");
	rmd_error_set_place_deep(load, "node-b", 3, 2);
	assert_prints(
		remuda_error_wrap(load, "TaskError", "orders.load failed"),
		"RemoteTraceback:\n"
		"\"\"\"\n"
		"On worker 3 on node-b, attempt 2:\n"
		"ReadError: disk 2 is gone\n"
		"\"\"\"\n"
		"\n"
		"The above error was the direct cause of the following error:\n"
		"\n"
		"RemoteTraceback:\n"
		"\"\"\"\n"
		"Traceback (most recent call last):\n"
		"  File \"main.c\", line 3, in main\n"
		"  File \"load.c\", line 12, in load (worker 3 on node-b, attempt 2)\n"
		"LoadError: cannot load orders.csv\n"
		"\"\"\"\n"
		"\n"
		"The above error was the direct cause of the following error:\n"
		"\n"
		"TaskError: orders.load failed\n");
}

static void a_context_is_what_was_being_handled(void **state)
{
	(void)state;
	struct remuda_error *err =
		remuda_error_create("CleanupError", "cannot remove the file");
	remuda_error_set_context(err, remuda_error_create("WriteError", "disk full"));
	assert_prints(err, "WriteError: disk full\n"
			   "\n"
			   "During handling of the above error, another error occurred:\n"
			   "\n"
			   "CleanupError: cannot remove the file\n");
}

static void a_cause_hides_the_context(void **state)
{
	(void)state;
	struct remuda_error *err =
		remuda_error_wrap(remuda_error_create("Cause", "c"), "Outer", "o");
	remuda_error_set_context(err, remuda_error_create("Context", "x"));
	assert_prints(err,
		      "Cause: c\n\n"
		      "The above error was the direct cause of the following error:\n\n"
		      "Outer: o\n");
}

static void a_lost_worker_names_its_signal(void **state)
{
	(void)state;
	struct remuda_error *err =
		remuda_error_create("WorkerLost", "the worker process ended while it ran "
						  "demo.crash; its last words:\noops");
	rmd_error_set_origin(err, REMUDA_ORIGIN_WORKER);
	rmd_error_set_place(err, "node-b", 3, 1);
	rmd_error_set_signal(err, SIGSEGV);
	assert_prints(err, "RemoteTraceback:\n"
			   "\"\"\"\n"
			   "On worker 3 on node-b, attempt 1:\n"
			   "WorkerLost: the worker process ended while it ran "
			   "demo.crash; its last words: "
			   "[signal 11 SIGSEGV]\n"
			   "oops\n"
			   "\"\"\"\n");
}

static void a_lost_worker_names_its_exit_code(void **state)
{
	(void)state;
	struct remuda_error *err =
		remuda_error_create("WorkerLost", "the worker process exited");
	rmd_error_set_exit_code(err, 0);
	rmd_error_set_place(err, NULL, 3, 0);
	assert_prints(err,
		      "RemoteTraceback:\n\"\"\"\nOn worker 3:\n"
		      "WorkerLost: the worker process exited [exit code 0]\n\"\"\"\n");
}

static void a_frame_without_a_file_shows_image_and_offset(void **state)
{
	(void)state;
	struct remuda_error *err = remuda_error_create("Oops", "it broke");
	rmd_error_set_place(err, "node-b", 0, 0);
	rmd_error_add_frame(err, &(struct remuda_frame){.image = "demo.so",
							.offset = 0x1f3a,
							.function = "crash"});
	rmd_error_add_frame(err,
			    &(struct remuda_frame){.image = "demo.so", .offset = 0x20});
	rmd_error_add_frame(err, &(struct remuda_frame){.file = "a.c"});
	rmd_error_add_frame(err, &(struct remuda_frame){.function = "only"});
	rmd_error_add_frame(err, &(struct remuda_frame){.line = 4});
	assert_prints(err,
		      "RemoteTraceback:\n\"\"\"\nTraceback (most recent call last):\n"
		      "  Image \"demo.so\", offset 0x1f3a, in crash\n"
		      "  Image \"demo.so\", offset 0x20\n"
		      "  File \"a.c\"\n"
		      "  In only\n"
		      "  In an unknown function (host node-b)\n"
		      "Oops: it broke\n\"\"\"\n");
}

static void a_peers_text_cannot_steer_the_terminal(void **state)
{
	(void)state;
	struct remuda_error *err =
		remuda_error_create("Evil\n\x1b[2J", "%s",
				    "tab\tnew\nline \x1b]0;x\x07 \xc2\x9b"
				    "1m \xc3\xa4 \x7f");
	char *line = remuda_error_line(err);
	assert_string_equal(
		line,
		"Evil\\n\\x1b[2J: tab\tnew\\nline \\x1b]0;x\\x07 \\x9b1m \xc3\xa4 \\x7f");
	free(line);
	assert_prints(err, "Evil\\n\\x1b[2J: tab\tnew\nline \\x1b]0;x\\x07 \\x9b1m "
			   "\xc3\xa4 \\x7f\n");
}

static void the_line_says_signal_and_exit_code(void **state)
{
	(void)state;
	struct remuda_error *err = remuda_error_create(
		"WorkerLost", "it ended\nIt last wrote to stderr:\nbye\n");
	rmd_error_set_signal(err, SIGSEGV);
	char *line = remuda_error_line(err);
	assert_string_equal(line, "WorkerLost: it ended [signal 11 SIGSEGV]\\nIt last wrote "
				  "to stderr:\\nbye\\n");
	free(line);
	remuda_error_free(err);
	err = remuda_error_create("WorkerLost", "it exited");
	rmd_error_set_exit_code(err, 7);
	line = remuda_error_line(err);
	assert_string_equal(line, "WorkerLost: it exited [exit code 7]");
	free(line);
	remuda_error_free(err);
}

static void json_is_protobufs_mapping(void **state)
{
	(void)state;
	struct remuda_error *err = parse_error();
	rmd_error_set_runtime_payload(err, "pickle", rmd_slice_of("\x00\xff\x10\x83", 4));
	rmd_error_set_exit_code(err, -2);
	rmd_error_set_signal(err, 9);
	rmd_error_add_frame(
		err, &(struct remuda_frame){.image = "i\"\\", .offset = UINT64_MAX});
	err = remuda_error_wrap(err, "TaskError", "a\tb\n");
	remuda_error_set_context(err, remuda_error_create("C", "%s", ""));
	char *json = remuda_error_json(err);
	assert_string_equal(
		json, "{\"errors\":[{\"type\":\"TaskError\",\"message\":\"a\\u0009b\\n\","
		      "\"cause\":2,\"context\":3},"
		      "{\"type\":\"ParseError\",\"message\":\"row 7: expected 4 fields, "
		      "found 3\","
		      "\"frames\":[{\"file\":\"orders.c\",\"line\":41,\"function\":"
		      "\"parse_row\"},"
		      "{\"image\":\"i\\\"\\\\\",\"offset\":\"18446744073709551615\"}],"
		      "\"origin\":\"ORIGIN_TASK\",\"host\":\"node-b\",\"worker\":\"3\","
		      "\"attempt\":1,"
		      "\"exitCode\":-2,\"exited\":true,\"signal\":9,"
		      "\"runtimePayload\":\"AP8Qgw==\",\"runtimeCodec\":\"pickle\"},"
		      "{\"type\":\"C\"}]}");
	free(json);
	remuda_error_free(err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_error_is_one_line),
		cmocka_unit_test(the_cause_of_a_task_error_is_a_remote_traceback),
		cmocka_unit_test(a_chain_of_three_begins_with_its_root),
		cmocka_unit_test(a_context_is_what_was_being_handled),
		cmocka_unit_test(a_cause_hides_the_context),
		cmocka_unit_test(a_lost_worker_names_its_signal),
		cmocka_unit_test(a_lost_worker_names_its_exit_code),
		cmocka_unit_test(a_frame_without_a_file_shows_image_and_offset),
		cmocka_unit_test(a_peers_text_cannot_steer_the_terminal),
		cmocka_unit_test(the_line_says_signal_and_exit_code),
		cmocka_unit_test(json_is_protobufs_mapping),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
