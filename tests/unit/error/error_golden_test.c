/* The printed text of error chains, fixed by the files in golden/: what every language
 * and program prints. Each chain is printed as it was made and as it comes out of the
 * wire.
 *
 * REMUDA_GOLDEN=write writes the files anew: read the difference before you commit it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error/chain.h"

/* The file's content, to be freed. */
static char *read_golden(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;
	if (file == NULL)
		fail_msg("cannot open %s", path);
	ssize_t len = getdelim(&text, &size, '\0', file);
	fclose(file);
	assert_true(len > 0);
	return text;
}

static void compare(const char *name, const char *kind, const char *text)
{
	char path[512];
	const char *golden = getenv("REMUDA_GOLDEN");
	snprintf(path, sizeof path, "%s/%s.%s", GOLDEN_DIR, name, kind);
	if (golden != NULL && strcmp(golden, "write") == 0) {
		FILE *file = fopen(path, "we");
		assert_non_null(file);
		fputs(text, file);
		fclose(file);
	}
	char *expected = read_golden(path);
	if (strcmp(text, expected) != 0)
		fail_msg("not as %s says:\n%s", path, text);
	free(expected);
}

static void check_print(const char *name, const struct remuda_error *err)
{
	char *string = remuda_error_string(err), *json = remuda_error_json(err);
	char *printed = NULL;
	size_t len = 0;
	FILE *stream = open_memstream(&printed, &len);
	assert_non_null(stream);
	remuda_error_print(err, stream);
	fclose(stream);
	assert_string_equal(printed, string);
	compare(name, "golden", string);
	compare(name, "json.golden", json);
	free(printed);
	free(string);
	free(json);
}

/* Prints `err` before and after the wire; frees it. */
static void check(const char *name, struct remuda_error *err)
{
	struct rmd_buf *buf = rmd_error_encode_buf(err);
	struct remuda_error *back = NULL;
	const char *field = NULL;
	assert_non_null(buf);
	assert_int_equal(rmd_error_decode(rmd_buf_slice(buf), &back, &field), 0);
	check_print(name, err);
	check_print(name, back);
	remuda_error_free(back);
	remuda_error_free(err);
	rmd_buf_unref(buf);
}

/* The same, of a chain that the wire cuts: only what comes out of it is compared. */
static void check_cut(const char *name, struct remuda_error *err)
{
	struct rmd_buf *buf = rmd_error_encode_buf(err);
	struct remuda_error *back = NULL;
	const char *field = NULL;
	assert_non_null(buf);
	assert_int_equal(rmd_error_decode(rmd_buf_slice(buf), &back, &field), 0);
	remuda_error_free(err);
	rmd_buf_unref(buf);
	check(name, back);
}

static void add_frame(struct remuda_error *err, const char *file, uint32_t line,
		      const char *function)
{
	rmd_error_add_frame(
		err,
		&(struct remuda_frame){.file = file, .line = line, .function = function});
}

static struct remuda_error *raised(struct remuda_error *cause, const char *type,
				   const char *host, uint64_t worker)
{
	struct remuda_error *err =
		cause != NULL ? remuda_error_wrap(cause, type, "%s on %s", type, host)
			      : remuda_error_create(type, "%s on %s", type, host);
	rmd_error_set_origin(err, REMUDA_ORIGIN_TASK);
	rmd_error_set_place(err, host, worker, 1);
	add_frame(err, "orders.c", 41, "parse_row");
	return err;
}

/* A task asked another one, on another host, which asked a third one. */
static void a_chain_across_hosts_names_each_place(void **state)
{
	(void)state;
	struct remuda_error *root = raised(NULL, "RowError", "node-c", 9);
	struct remuda_error *middle = raised(root, "OrderError", "node-b", 3);
	struct remuda_error *outer = raised(middle, "ReportError", "node-a", 1);
	check("hosts", remuda_error_wrap(outer, "BatchError", "the batch failed"));
}

/* The context of a cause, and the cause of a context. */
static void causes_and_contexts_mix(void **state)
{
	(void)state;
	struct remuda_error *handled =
		raised(raised(NULL, "DiskError", "node-a", 1), "WriteError", "node-a", 1);
	struct remuda_error *err = raised(NULL, "CleanupError", "node-a", 1);
	remuda_error_set_context(err, handled);
	check("mixed", remuda_error_wrap(err, "TaskError", "the task failed"));
}

static void a_crash_has_its_stack(void **state)
{
	(void)state;
	struct remuda_error *err = remuda_error_create(
		"WorkerLost",
		"the worker process ended while it ran orders.first_digit; it "
		"read from address 0x1, where no memory is mapped\n"
		"It last wrote to stderr:\nreading row 7");
	rmd_error_set_origin(err, REMUDA_ORIGIN_WORKER);
	rmd_error_set_signal(err, 11);
	rmd_error_set_place(err, "node-b", 3, 2);
	add_frame(err, "orders.c", 33, "first_digit");
	rmd_error_add_frame(err, &(struct remuda_frame){.image = "/usr/lib/libparse.so.1",
							.offset = 0x1450,
							.function = "parse"});
	rmd_error_add_frame(err, &(struct remuda_frame){.image = "/usr/lib/libparse.so.1",
							.offset = 0x149e});
	rmd_error_add_frame(err, &(struct remuda_frame){.function = "digit_at"});
	check("crash", err);
}

static void an_end_without_a_stack_has_its_place(void **state)
{
	(void)state;
	struct remuda_error *err = remuda_error_create(
		"WorkerLost", "the worker process exited while it ran demo.exit");
	rmd_error_set_origin(err, REMUDA_ORIGIN_WORKER);
	rmd_error_set_exit_code(err, 7);
	rmd_error_set_place(err, "node-b", 3, 1);
	check("exit", err);
}

/* Of a chain over the limit the outermost and the innermost errors are left. */
static void a_chain_that_is_too_long_is_cut_in_the_middle(void **state)
{
	struct remuda_error *err = remuda_error_create("Level0", "the root");
	(void)state;
	for (int i = 1; i < 3 * REMUDA_ERROR_CHAIN_MAX; i++) {
		char type[32];
		snprintf(type, sizeof type, "Level%d", i);
		err = remuda_error_wrap(err, type, "level %d failed", i);
	}
	check_cut("long_chain", err);
}

static void a_stack_that_is_too_long_is_cut(void **state)
{
	struct remuda_error *err = raised(NULL, "RecursionError", "node-a", 1);
	(void)state;
	for (uint32_t i = 0; i < 2 * REMUDA_ERROR_FRAMES_MAX; i++)
		add_frame(err, "deep.c", i + 1, "recurse");
	check_cut("long_stack", err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_chain_across_hosts_names_each_place),
		cmocka_unit_test(causes_and_contexts_mix),
		cmocka_unit_test(a_crash_has_its_stack),
		cmocka_unit_test(an_end_without_a_stack_has_its_place),
		cmocka_unit_test(a_chain_that_is_too_long_is_cut_in_the_middle),
		cmocka_unit_test(a_stack_that_is_too_long_is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
