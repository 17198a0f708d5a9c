#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/exit.h"
#include "client/cli/function.h"
#include "client/cli/nearest.h"
#include "client/cli/taskid.h"
#include "proto/base/errcode.h"
#include "tests/unit/cli/said.h"

static void distance_counts_inserts_deletes_changes_and_swaps(void **state)
{
	(void)state;
	assert_int_equal(rmd_nearest_distance("map", "map"), 0);
	assert_int_equal(rmd_nearest_distance("mpa", "map"), 1);
	assert_int_equal(rmd_nearest_distance("maap", "map"), 1);
	assert_int_equal(rmd_nearest_distance("mp", "map"), 1);
	assert_int_equal(rmd_nearest_distance("mop", "map"), 1);
	assert_int_equal(rmd_nearest_distance("", "map"), 3);
	assert_int_equal(rmd_nearest_distance("kitten", "sitting"), 3);
}

static void words_over_the_limit_are_near_to_nothing(void **state)
{
	char word[66];

	(void)state;
	memset(word, 'a', sizeof word);
	word[64] = 0;
	assert_int_equal(rmd_nearest_distance(word, word), 0);
	word[64] = 'a';
	word[65] = 0;
	assert_true(rmd_nearest_distance(word, "a") == SIZE_MAX);
}

static void the_nearest_candidate_wins_and_a_far_one_does_not(void **state)
{
	struct rmd_nearest search = {.word = "wrokers"};

	(void)state;
	rmd_nearest_offer(&search, "pools");
	assert_null(search.best);
	rmd_nearest_offer(&search, "workers");
	rmd_nearest_offer(&search, "worker");
	assert_string_equal(search.best, "workers");
}

static void a_beginning_is_near(void **state)
{
	struct rmd_nearest search = {.word = "keep"};

	(void)state;
	rmd_nearest_offer(&search, "keep-going");
	assert_string_equal(search.best, "keep-going");
}

static const struct rmd_taskid some_id = {
	.session = {0x3f, 0xa9, 0x1c, 0x02, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xff},
	.number = 17,
};

static void an_id_is_printed_short_and_in_full(void **state)
{
	char brief[RMD_TASKID_SHORT_BYTES], full[RMD_TASKID_FULL_BYTES];
	struct rmd_taskid most = some_id;

	(void)state;
	rmd_taskid_format_short(&some_id, brief);
	assert_string_equal(brief, "3fa91c02-17");
	rmd_taskid_format_full(&some_id, full);
	assert_string_equal(full, "3fa91c0205060708090a0b0c0d0e0fff-17");
	most.number = UINT64_MAX;
	rmd_taskid_format_short(&most, brief);
	assert_string_equal(brief, "3fa91c02-n9223372036854775807");
	rmd_taskid_format_full(&most, full);
	assert_string_equal(full,
			    "3fa91c0205060708090a0b0c0d0e0fff-n9223372036854775807");
	most.number = RMD_TASKID_NESTED - 1;
	rmd_taskid_format_short(&most, brief);
	assert_string_equal(brief, "3fa91c02-9223372036854775807");
}

static void a_printed_id_is_understood_again(void **state)
{
	struct rmd_taskid_pattern pattern;
	struct rmd_taskid id;

	(void)state;
	assert_int_equal(rmd_taskid_parse("3FA91c02-17", &pattern), 0);
	assert_true(rmd_taskid_matches(&pattern, &some_id));
	assert_false(rmd_taskid_is_whole(&pattern, &id));
	assert_int_equal(
		rmd_taskid_parse("3fa91c0205060708090a0b0c0d0e0fff-17", &pattern), 0);
	assert_true(rmd_taskid_is_whole(&pattern, &id));
	assert_memory_equal(id.session, some_id.session, sizeof id.session);
	assert_int_equal(id.number, 17);
	/* One that a task submitted. */
	struct rmd_taskid nested = some_id;
	nested.number = RMD_TASKID_NESTED + 17;
	assert_int_equal(rmd_taskid_parse("3fa91c02-n17", &pattern), 0);
	assert_true(rmd_taskid_matches(&pattern, &nested));
	assert_false(rmd_taskid_matches(&pattern, &some_id));
	assert_int_equal(rmd_taskid_parse("3fa91c02-n9223372036854775807", &pattern), 0);
	assert_int_equal(pattern.number, UINT64_MAX);
}

static void part_of_an_id_matches_by_its_start_and_whole_number(void **state)
{
	struct rmd_taskid_pattern pattern;

	(void)state;
	assert_int_equal(rmd_taskid_parse("3", &pattern), 0);
	assert_true(rmd_taskid_matches(&pattern, &some_id));
	assert_int_equal(rmd_taskid_parse("3-1", &pattern), 0);
	assert_false(rmd_taskid_matches(&pattern, &some_id));
	assert_int_equal(rmd_taskid_parse("4-17", &pattern), 0);
	assert_false(rmd_taskid_matches(&pattern, &some_id));
}

static void what_is_no_id_is_refused(void **state)
{
	static const char *const bad[] = {
		"",	     "-",	   "-17",
		"3fa91c02-", "3fa91c02-x", "3fa91c02-17x",
		"xyz",	     "3fa9 -1",	   "3fa91c0205060708090a0b0c0d0e0fff0-1",
		"3f--1",     "3f-+1",	   "3f-18446744073709551616",
		"3f-n",	     "3f-nn1",	   "3f-n9223372036854775808",
	};
	struct rmd_taskid_pattern pattern;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(rmd_taskid_parse(bad[i], &pattern), RMD_EINVAL);
}

static void check_function(const char *name, int exit, const char *said)
{
	said_begin();
	int rc = rmd_function_check(name);
	const char *text = said_end();

	assert_int_equal(rc, exit);
	if (said == NULL)
		assert_int_equal(said_len, 0);
	else
		assert_non_null(strstr(text, said));
	if (said != NULL)
		assert_memory_equal(text, "remuda: ", 8);
	said_free();
}

static void a_function_without_its_runtime_is_told_what_was_meant(void **state)
{
	(void)state;
	check_function("native:demo.square", RMD_EXIT_OK, NULL);
	check_function("python:math.factorial", RMD_EXIT_OK, NULL);
	check_function("demo.square", RMD_EXIT_USAGE,
		       "native:demo.square or python:demo.square");
	check_function("square", RMD_EXIT_USAGE, "RUNTIME:NAME");
	check_function("native:", RMD_EXIT_USAGE, "RUNTIME:NAME");
	check_function("", RMD_EXIT_USAGE, "RUNTIME:NAME");
}

static void a_mistyped_runtime_is_told_what_was_meant(void **state)
{
	(void)state;
	check_function("natvie:demo.square", RMD_EXIT_USAGE, "native:demo.square?");
	check_function("pyhton:f", RMD_EXIT_USAGE, "python:f?");
	check_function("go:f", RMD_EXIT_USAGE, "no runtime 'go'");
	check_function(":f", RMD_EXIT_USAGE, "no runtime ''");
}

static void a_function_name_is_bounded_and_text(void **state)
{
	char name[514] = "native:";

	(void)state;
	memset(name + 7, 'x', sizeof name - 7);
	name[512] = 0;
	check_function(name, RMD_EXIT_OK, NULL);
	name[512] = 'x';
	name[513] = 0;
	check_function(name, RMD_EXIT_USAGE, "512 bytes");
	check_function("native:\xff", RMD_EXIT_USAGE, "UTF-8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(distance_counts_inserts_deletes_changes_and_swaps),
		cmocka_unit_test(words_over_the_limit_are_near_to_nothing),
		cmocka_unit_test(the_nearest_candidate_wins_and_a_far_one_does_not),
		cmocka_unit_test(a_beginning_is_near),
		cmocka_unit_test(an_id_is_printed_short_and_in_full),
		cmocka_unit_test(a_printed_id_is_understood_again),
		cmocka_unit_test(part_of_an_id_matches_by_its_start_and_whole_number),
		cmocka_unit_test(what_is_no_id_is_refused),
		cmocka_unit_test(a_function_without_its_runtime_is_told_what_was_meant),
		cmocka_unit_test(a_mistyped_runtime_is_told_what_was_meant),
		cmocka_unit_test(a_function_name_is_bounded_and_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
