#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/cli/lines.h"
#include "proto/base/alloc.h"
#include "proto/base/errcode.h"

static int fds[2];
static struct rmd_lines lines;

static int setup(void **state)
{
	(void)state;
	return pipe(fds);
}

static void close_writer(void)
{
	if (fds[1] >= 0)
		close(fds[1]);
	fds[1] = -1;
}

static int teardown(void **state)
{
	(void)state;
	close_writer();
	close(fds[0]);
	rmd_lines_fini(&lines);
	return 0;
}

static void feed(const char *text, size_t len)
{
	assert_int_equal(write(fds[1], text, len), (ssize_t)len);
}

/* Feeds `text` and reads it in. */
static void take(const char *text)
{
	feed(text, strlen(text));
	assert_int_equal(rmd_lines_fill(&lines), 1);
}

static void assert_line(const char *text)
{
	struct rmd_slice line;

	assert_int_equal(rmd_lines_next(&lines, &line), 1);
	assert_int_equal(line.len, strlen(text));
	assert_memory_equal(line.data, text, line.len);
}

static void assert_next(int rc)
{
	struct rmd_slice line;

	assert_int_equal(rmd_lines_next(&lines, &line), rc);
}

static void lines_come_out_whole_and_in_order(void **state)
{
	(void)state;
	rmd_lines_init(&lines, fds[0], '\n', 100);
	assert_next(RMD_EAGAIN);
	take("one\ntwo\n\nthr");
	assert_line("one");
	assert_line("two");
	assert_line("");
	assert_next(RMD_EAGAIN);
	take("ee\n");
	assert_line("three");
	close_writer();
	assert_int_equal(rmd_lines_fill(&lines), 0);
	assert_next(0);
	assert_next(0);
	assert_int_equal(lines.lines_read, 4);
	assert_int_equal(lines.bytes_read, 15);
}

static void a_last_line_without_its_end_is_a_line(void **state)
{
	(void)state;
	rmd_lines_init(&lines, fds[0], '\n', 100);
	take("one\ntwo");
	assert_line("one");
	close_writer();
	assert_int_equal(rmd_lines_fill(&lines), 0);
	assert_line("two");
	assert_next(0);
	assert_int_equal(lines.lines_read, 2);
}

static void an_empty_input_has_no_lines(void **state)
{
	(void)state;
	rmd_lines_init(&lines, fds[0], '\n', 100);
	close_writer();
	assert_int_equal(rmd_lines_fill(&lines), 0);
	assert_next(0);
	assert_int_equal(lines.lines_read, 0);
}

static void lines_may_end_with_a_nul(void **state)
{
	(void)state;
	rmd_lines_init(&lines, fds[0], 0, 100);
	feed("a\nb\0c\0", 6);
	assert_int_equal(rmd_lines_fill(&lines), 1);
	assert_line("a\nb");
	assert_line("c");
	assert_next(RMD_EAGAIN);
}

static void a_line_at_the_limit_passes_and_one_beyond_does_not(void **state)
{
	(void)state;
	rmd_lines_init(&lines, fds[0], '\n', 4);
	take("1234\n12345\nnext\n");
	assert_line("1234");
	assert_next(RMD_ETOOBIG);
	assert_line("next");
	assert_next(RMD_EAGAIN);
}

static void a_long_line_is_passed_over_piece_by_piece(void **state)
{
	(void)state;
	rmd_lines_init(&lines, fds[0], '\n', 4);
	for (int i = 0; i < 100; i++) {
		take("0123456789");
		assert_next(RMD_EAGAIN);
		assert_int_equal(rmd_lines_held_bytes(&lines), 0);
	}
	take("end\nnext\n");
	assert_next(RMD_ETOOBIG);
	assert_line("next");
	assert_int_equal(lines.lines_read, 2);
}

static void a_long_last_line_without_its_end_is_said_once(void **state)
{
	(void)state;
	rmd_lines_init(&lines, fds[0], '\n', 4);
	take("0123456789");
	assert_next(RMD_EAGAIN);
	close_writer();
	assert_int_equal(rmd_lines_fill(&lines), 0);
	assert_next(RMD_ETOOBIG);
	assert_next(0);
	assert_int_equal(lines.lines_read, 1);
}

static void a_long_line_that_ends_with_the_input_is_said_once(void **state)
{
	(void)state;
	rmd_lines_init(&lines, fds[0], '\n', 4);
	take("0123456789");
	close_writer();
	assert_int_equal(rmd_lines_fill(&lines), 0);
	assert_next(RMD_ETOOBIG);
	assert_next(0);
}

static void memory_stays_small_over_a_long_input(void **state)
{
	static char text[4096];
	struct rmd_slice line;
	uint64_t count = 0;

	(void)state;
	memset(text, 'x', sizeof text);
	for (size_t i = 63; i < sizeof text; i += 64)
		text[i] = '\n';
	rmd_lines_init(&lines, fds[0], '\n', 100);
	for (int i = 0; i < 2000; i++) {
		feed(text, sizeof text);
		assert_int_equal(rmd_lines_fill(&lines), 1);
		while (rmd_lines_next(&lines, &line) == 1)
			count++;
	}
	assert_int_equal(count, 2000 * 64);
	assert_true(lines.capacity <= (size_t)1 << 20);
}

static void shortage_of_memory_is_an_error_and_no_more(void **state)
{
	(void)state;
	rmd_lines_init(&lines, fds[0], '\n', 100);
	feed("one\n", 4);
	rmd_alloc_fail_at(1);
	assert_int_equal(rmd_lines_fill(&lines), RMD_ENOMEM);
	rmd_alloc_fail_at(0);
	assert_int_equal(rmd_lines_fill(&lines), 1);
	assert_line("one");
}

static void a_bad_descriptor_is_an_error(void **state)
{
	(void)state;
	rmd_lines_init(&lines, fds[1], '\n', 100); /* the writing end */
	assert_int_equal(rmd_lines_fill(&lines), RMD_ESYS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines_come_out_whole_and_in_order),
		TEST(a_last_line_without_its_end_is_a_line),
		TEST(an_empty_input_has_no_lines),
		TEST(lines_may_end_with_a_nul),
		TEST(a_line_at_the_limit_passes_and_one_beyond_does_not),
		TEST(a_long_line_is_passed_over_piece_by_piece),
		TEST(a_long_last_line_without_its_end_is_said_once),
		TEST(a_long_line_that_ends_with_the_input_is_said_once),
		TEST(memory_stays_small_over_a_long_input),
		TEST(shortage_of_memory_is_an_error_and_no_more),
		TEST(a_bad_descriptor_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
