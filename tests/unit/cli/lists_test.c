#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/exit.h"
#include "client/cli/progress.h"
#include "client/cli/rows.h"
#include "client/cli/tagger.h"
#include "proto/base/alloc.h"
#include "tests/unit/cli/said.h"

static const struct rmd_column columns[] = {
	{"NAME", "name", RMD_COLUMN_TEXT},   {"AGE", "age_ms", RMD_COLUMN_SPAN},
	{NULL, "secret", RMD_COLUMN_NUMBER}, {"SIZE", NULL, RMD_COLUMN_BYTES},
	{"OLD", "old", RMD_COLUMN_BOOLEAN},
};

static char *text;
static size_t len;
static FILE *out;

static int setup(void **state)
{
	(void)state;
	out = open_memstream(&text, &len);
	return out == NULL;
}

static int teardown(void **state)
{
	(void)state;
	fclose(out);
	free(text);
	return 0;
}

static void assert_written(const char *expected)
{
	fflush(out);
	assert_string_equal(text, expected);
}

static void put_row(struct rmd_rows *rows, const char *name, uint64_t age_ms)
{
	rmd_rows_text(rows, name);
	rmd_rows_number(rows, age_ms);
	rmd_rows_number(rows, 7);
	rmd_rows_number(rows, 2048);
	rmd_rows_boolean(rows, age_ms > 1000);
}

static void a_table_is_aligned(void **state)
{
	struct rmd_rows rows;

	(void)state;
	rmd_rows_init(&rows, columns, 5, false, out);
	put_row(&rows, "rocinante", 12);
	put_row(&rows, "zo\xc3\xab", 61000);
	assert_int_equal(rmd_rows_finish(&rows), RMD_EXIT_OK);
	assert_written("NAME             AGE     SIZE  OLD\n"
		       "rocinante      12 ms  2.0 KiB  no\n"
		       "zo\xc3\xab        1 min 1 s  2.0 KiB  yes\n");
}

static void the_same_rows_are_json_objects(void **state)
{
	struct rmd_rows rows;

	(void)state;
	rmd_rows_init(&rows, columns, 5, true, out);
	put_row(&rows, "a\"b\\c\n\xff", 12);
	put_row(&rows, "", 2000);
	assert_int_equal(rmd_rows_finish(&rows), RMD_EXIT_OK);
	assert_written(
		"{\"name\": \"a\\\"b\\\\c\\u000a\xef\xbf\xbd\", \"age_ms\": 12, "
		"\"secret\": 7, "
		"\"old\": false}\n"
		"{\"name\": \"\", \"age_ms\": 2000, \"secret\": 7, \"old\": true}\n");
}

static void an_empty_table_has_no_title(void **state)
{
	struct rmd_rows rows;

	(void)state;
	rmd_rows_init(&rows, columns, 5, false, out);
	assert_int_equal(rmd_rows_finish(&rows), RMD_EXIT_OK);
	assert_written("");
}

static void a_list_of_one_stands_upright(void **state)
{
	struct rmd_rows rows;

	(void)state;
	rmd_rows_init(&rows, columns, 5, false, out);
	put_row(&rows, "rocinante", 12);
	assert_int_equal(rmd_rows_finish_upright(&rows), RMD_EXIT_OK);
	assert_written("NAME  rocinante\nAGE   12 ms\nSIZE  2.0 KiB\nOLD   no\n");
}

static void what_peers_say_cannot_steer_the_terminal(void **state)
{
	char *harmless = rmd_rows_harmless("a\x1b[2Jb\xff\xc2\x9b\xc3\xa9\x7f");

	(void)state;
	assert_string_equal(harmless, "a\\x1b[2Jb\\xff\\xc2\\x9b\xc3\xa9\\x7f");
	rmd_free(harmless);
}

static void shortage_of_memory_is_said_at_the_end(void **state)
{
	struct rmd_rows rows;

	(void)state;
	for (uint64_t n = 1; n <= 3; n++) {
		rmd_rows_init(&rows, columns, 5, false, out);
		rmd_alloc_fail_at(n);
		put_row(&rows, "rocinante", 12);
		rmd_alloc_fail_at(0);
		said_begin();
		int rc = rmd_rows_finish(&rows);
		assert_string_equal(said_end(), "remuda: out of memory\n");
		said_free();
		assert_int_equal(rc, RMD_EXIT_SYSTEM);
	}
	assert_written("");
}

static void spans_and_sizes_are_for_people(void **state)
{
	char span[32];

	(void)state;
	rmd_rows_format_span(999, span);
	assert_string_equal(span, "999 ms");
	rmd_rows_format_span(1000, span);
	assert_string_equal(span, "1.0 s");
	rmd_rows_format_span(59999, span);
	assert_string_equal(span, "59.9 s");
	rmd_rows_format_span(3600000, span);
	assert_string_equal(span, "1 h 0 min");
	rmd_rows_format_span(90000000, span);
	assert_string_equal(span, "1 d 1 h");
	rmd_rows_format_bytes(1023, span);
	assert_string_equal(span, "1023 B");
	rmd_rows_format_bytes(UINT64_MAX, span);
	assert_string_equal(span, "16.0 EiB");
}

static const char *bar(struct rmd_progress_view view, size_t width)
{
	static char line[RMD_PROGRESS_COLUMNS_MAX];

	rmd_progress_format(&view, width, line);
	return line;
}

static void a_known_total_shows_bar_rate_and_eta(void **state)
{
	struct rmd_progress_view view = {
		.done = 1234, .total = 5000, .rate = 512, .elapsed_ms = 2400};

	(void)state;
	assert_string_equal(bar(view, 80), "1,234/5,000 [=========>                      "
					   "        ]  24 %  512/s  ETA 0:07");
	assert_string_equal(bar(view, 44), "1,234/5,000  24 %  512/s  ETA 0:07");
	assert_int_equal(strlen(bar(view, 20)), 19);
	view.estimated = true;
	assert_memory_equal(bar(view, 80), "1,234/~5,000 [", 14);
}

static void an_unknown_total_shows_count_rate_and_time(void **state)
{
	struct rmd_progress_view view = {
		.done = 7, .rate = 3.25, .elapsed_ms = 61000, .failed = 2};

	(void)state;
	assert_string_equal(bar(view, 80), "7 lines  3.2/s  1:01  2 failed");
}

static void a_full_bar_is_full(void **state)
{
	struct rmd_progress_view view = {
		.done = 10, .total = 10, .rate = 1000000, .elapsed_ms = 3723000};

	(void)state;
	assert_string_equal(
		bar(view, 60),
		"10/10 [=======================] 100 %  1,000,000/s  1:02:03");
}

static void a_bar_never_breaks_its_line(void **state)
{
	struct rmd_progress_view view = {.done = UINT64_MAX,
					 .total = UINT64_MAX,
					 .rate = 1e18,
					 .failed = UINT64_MAX,
					 .elapsed_ms = UINT64_MAX - 500};

	(void)state;
	for (size_t width = 1; width < 300; width++) {
		size_t most = width < RMD_PROGRESS_COLUMNS_MAX ? width
							       : RMD_PROGRESS_COLUMNS_MAX;
		assert_true(strlen(bar(view, width)) < most);
	}
	view.done = 0;
	view.rate = 1e-300;
	assert_true(strlen(bar(view, 100)) < 100);
}

static void output_of_two_tasks_does_not_share_a_line(void **state)
{
	struct rmd_tagger tagger = {.out = out};

	(void)state;
	rmd_tagger_write(&tagger, "[1]", "he", 2);
	rmd_tagger_write(&tagger, "[1]", "llo\nwor", 7);
	rmd_tagger_write(&tagger, "[2]", "other\n", 6);
	rmd_tagger_write(&tagger, "[1]", "ld", 2);
	rmd_tagger_end_line(&tagger);
	assert_written("[1] hello\n[1] wor\n[2] other\n[1] ld\n");
}

static void output_without_a_tag_comes_as_it_is(void **state)
{
	struct rmd_tagger tagger = {.out = out};

	(void)state;
	rmd_tagger_write(&tagger, "", "a\n\nb", 4);
	rmd_tagger_write(&tagger, "", "", 0);
	rmd_tagger_write(&tagger, "", "c\n", 2);
	rmd_tagger_end_line(&tagger);
	assert_written("a\n\nbc\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_table_is_aligned),
		TEST(the_same_rows_are_json_objects),
		TEST(an_empty_table_has_no_title),
		TEST(a_list_of_one_stands_upright),
		TEST(what_peers_say_cannot_steer_the_terminal),
		TEST(shortage_of_memory_is_said_at_the_end),
		TEST(spans_and_sizes_are_for_people),
		TEST(a_known_total_shows_bar_rate_and_eta),
		TEST(an_unknown_total_shows_count_rate_and_time),
		TEST(a_full_bar_is_full),
		TEST(a_bar_never_breaks_its_line),
		TEST(output_of_two_tasks_does_not_share_a_line),
		TEST(output_without_a_tag_comes_as_it_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
