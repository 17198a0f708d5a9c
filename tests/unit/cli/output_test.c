#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <poll.h>

#include <cmocka.h>

#include "client/cli/output.h"
#include "proto/base/alloc.h"
#include "tests/unit/cli/said.h"

static struct rmd_output *output;

static int setup(void **state)
{
	(void)state;
	output = rmd_output_create();
	return output == NULL;
}

static int teardown(void **state)
{
	(void)state;
	rmd_output_destroy(output);
	said_free();
	return 0;
}

static bool readable(void)
{
	struct pollfd poll_fd = {.fd = rmd_output_fd(output), .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

static const char *drained(void)
{
	said_free();
	said_begin();
	rmd_output_drain(output);
	fflush(stderr);
	return said_end();
}

static void output_of_the_only_task_comes_as_it_is(void **state)
{
	(void)state;
	assert_false(readable());
	rmd_output_push(output, 0, "a\nb", 3, 0);
	assert_true(readable());
	assert_string_equal(drained(), "a\nb");
	assert_false(readable());
	assert_string_equal(drained(), "");
}

static void output_of_lines_is_tagged_with_their_numbers(void **state)
{
	(void)state;
	rmd_output_push(output, 1, "one\n", 4, 0);
	rmd_output_push(output, 17, "two", 3, 0);
	rmd_output_push(output, 2, "three\n", 6, 0);
	assert_string_equal(drained(), "[1] one\n[17] two\n[2] three\n");
}

static void what_was_lost_before_is_said(void **state)
{
	(void)state;
	rmd_output_push(output, 0, "a", 1, 0);
	rmd_output_push(output, 0, "b\n", 2, 512);
	assert_string_equal(drained(), "a\nremuda: 512 bytes of output were dropped "
				       "here: it came too fast\nb\n");
}

static void what_is_held_is_bounded_and_what_is_dropped_is_said(void **state)
{
	static char piece[1 << 20];

	(void)state;
	memset(piece, 'x', sizeof piece - 1);
	piece[sizeof piece - 1] = '\n';
	for (size_t i = 0; i < RMD_OUTPUT_MAX_BYTES / sizeof piece; i++)
		rmd_output_push(output, 0, piece, sizeof piece, 0);
	rmd_output_push(output, 0, piece, 100, 0);
	drained();
	assert_int_equal(said_len, RMD_OUTPUT_MAX_BYTES);
	rmd_output_push(output, 0, "y\n", 2, 0);
	assert_string_equal(
		drained(),
		"remuda: 100 bytes of output were dropped here: it came too fast\ny\n");
}

static void shortage_of_memory_drops_and_says_so(void **state)
{
	(void)state;
	rmd_alloc_fail_at(1);
	rmd_output_push(output, 0, "lost", 4, 0);
	rmd_alloc_fail_at(0);
	assert_false(readable());
	rmd_output_push(output, 0, "y\n", 2, 0);
	assert_string_equal(
		drained(),
		"remuda: 4 bytes of output were dropped here: it came too fast\ny\n");
}

#define PUSHES 1000

static void *push_many(void *ctx)
{
	for (int i = 0; i < PUSHES; i++)
		rmd_output_push(output, (uint64_t)(uintptr_t)ctx, "x\n", 2, 0);
	return NULL;
}

static void threads_may_push_at_a_time(void **state)
{
	pthread_t threads[3];
	size_t total = 0;

	(void)state;
	for (uintptr_t i = 0; i < 3; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, push_many, (void *)(i + 1)), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	drained();
	total = said_len;
	assert_int_equal(total, 3 * PUSHES * strlen("[1] x\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(output_of_the_only_task_comes_as_it_is),
		TEST(output_of_lines_is_tagged_with_their_numbers),
		TEST(what_was_lost_before_is_said),
		TEST(what_is_held_is_bounded_and_what_is_dropped_is_said),
		TEST(shortage_of_memory_drops_and_says_so),
		TEST(threads_may_push_at_a_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
