#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/command.h"
#include "client/cli/exit.h"
#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "tests/unit/cli/said.h"

struct settings {
	bool raw, quick;
	const char *name;
	struct rmd_option_number count, time;
	struct rmd_option_texts labels;
};

static const struct rmd_option rows[] = {
	{"raw", 'r', RMD_OPTION_FLAG, NULL, offsetof(struct settings, raw), 0, 0, "h"},
	{"quick", 'q', RMD_OPTION_FLAG, NULL, offsetof(struct settings, quick), 0, 0,
	 "h"},
	{"name", 'n', RMD_OPTION_TEXT, "NAME", offsetof(struct settings, name), 0, 0,
	 "h"},
	{"count", 0, RMD_OPTION_NUMBER, "N", offsetof(struct settings, count), -5, 10,
	 "h"},
	{"time", 't', RMD_OPTION_DURATION, "TIME", offsetof(struct settings, time), 0, 0,
	 "h"},
	{"label", 'l', RMD_OPTION_TEXTS, "K=V", offsetof(struct settings, labels), 0, 0,
	 "h"},
};

static int never(const void *settings, int count, char **arguments)
{
	(void)settings, (void)count, (void)arguments;
	return RMD_EXIT_SYSTEM;
}

static const struct rmd_command command = {
	.name = "graze",
	.arguments = "FUNCTION [ARG...]",
	.summary = "s",
	.description = "d",
	.options = rows,
	.option_count = RMD_COUNT(rows),
	.settings_bytes = sizeof(struct settings),
	.arguments_min = 1,
	.arguments_max = 3,
	.argument_kind = RMD_ARGUMENT_FUNCTION,
	.run = never,
};

static struct rmd_options_parsed parsed;
static const struct settings *set;

#define MAX_WORDS 16

/* Parses the words up to a NULL; what is said stays in said_text. */
static int parse(const char *first, ...)
{
	static char *words[MAX_WORDS];
	int count = 0;
	va_list list;

	va_start(list, first);
	for (const char *word = first; word != NULL; word = va_arg(list, const char *))
		words[count++] = (char *)(uintptr_t)word;
	va_end(list);
	said_begin();
	int rc = rmd_options_parse(&command, count, words, &parsed);
	said_end();
	set = parsed.settings;
	return rc;
}

static int teardown(void **state)
{
	(void)state;
	rmd_options_fini(&command, &parsed);
	said_free();
	return 0;
}

static void assert_said(const char *text)
{
	assert_memory_equal(said_text, "remuda: ", 8);
	if (strstr(said_text, text) == NULL)
		fail_msg("expected \"%s\" in \"%s\"", text, said_text);
}

static void options_stand_before_and_behind_arguments(void **state)
{
	(void)state;
	assert_int_equal(parse("-r", "f", "--name", "x", "y", "--count=3", NULL),
			 RMD_EXIT_OK);
	assert_true(set->raw);
	assert_string_equal(set->name, "x");
	assert_true(set->count.given);
	assert_int_equal(set->count.value, 3);
	assert_int_equal(parsed.argument_count, 2);
	assert_string_equal(parsed.arguments[0], "f");
	assert_string_equal(parsed.arguments[1], "y");
}

static void letters_may_stand_together_and_end_in_a_value(void **state)
{
	(void)state;
	assert_int_equal(parse("f", "-rqnjoe", NULL), RMD_EXIT_OK);
	assert_true(set->raw && set->quick);
	assert_string_equal(set->name, "joe");
}

static void a_value_may_be_empty_or_begin_with_a_dash(void **state)
{
	(void)state;
	assert_int_equal(parse("f", "--name=", "--count", "-5", NULL), RMD_EXIT_OK);
	assert_string_equal(set->name, "");
	assert_int_equal(set->count.value, -5);
}

static void negative_numbers_and_a_lone_dash_are_arguments(void **state)
{
	(void)state;
	assert_int_equal(parse("-5", "-.5", "-", NULL), RMD_EXIT_OK);
	assert_int_equal(parsed.argument_count, 3);
	assert_string_equal(parsed.arguments[1], "-.5");
}

static void two_dashes_end_the_options(void **state)
{
	(void)state;
	assert_int_equal(parse("f", "--", "-r", "--", NULL), RMD_EXIT_OK);
	assert_false(set->raw);
	assert_int_equal(parsed.argument_count, 3);
	assert_string_equal(parsed.arguments[2], "--");
}

static void an_option_that_may_come_often_keeps_all_in_order(void **state)
{
	(void)state;
	assert_int_equal(parse("f", "-la=1", "--label", "b=2", "--label=c=3", NULL),
			 RMD_EXIT_OK);
	assert_int_equal(set->labels.count, 3);
	assert_string_equal(set->labels.items[0], "a=1");
	assert_string_equal(set->labels.items[2], "c=3");
	assert_null(set->labels.items[3]);
}

static void an_unknown_option_names_the_nearest(void **state)
{
	(void)state;
	assert_int_equal(parse("f", "--lable", "x", NULL), RMD_EXIT_USAGE);
	assert_said("'graze' has no option --lable: did you mean --label?");
}

static void an_unknown_letter_points_to_the_help(void **state)
{
	(void)state;
	assert_int_equal(parse("f", "-x", NULL), RMD_EXIT_USAGE);
	assert_said("'graze' has no option -x: see 'remuda help graze'");
}

static void a_missing_value_is_said(void **state)
{
	(void)state;
	assert_int_equal(parse("f", "--name", NULL), RMD_EXIT_USAGE);
	assert_said("--name needs a value: --name NAME");
}

static void a_value_for_a_flag_is_refused(void **state)
{
	(void)state;
	assert_int_equal(parse("f", "--raw=yes", NULL), RMD_EXIT_USAGE);
	assert_said("--raw takes no value");
}

static void a_number_is_checked_at_its_limits(void **state)
{
	(void)state;
	assert_int_equal(parse("f", "--count", "10", NULL), RMD_EXIT_OK);
	teardown(NULL);
	assert_int_equal(parse("f", "--count", "11", NULL), RMD_EXIT_USAGE);
	assert_said("--count must be from -5 to 10");
	teardown(NULL);
	assert_int_equal(parse("f", "--count", "99999999999999999999", NULL),
			 RMD_EXIT_USAGE);
	assert_said("--count must be from -5 to 10");
	teardown(NULL);
	assert_int_equal(parse("f", "--count", "3x", NULL), RMD_EXIT_USAGE);
	assert_said("--count takes a whole number, not '3x'");
	teardown(NULL);
	assert_int_equal(parse("f", "--count", "", NULL), RMD_EXIT_USAGE);
	assert_said("not ''");
}

static void durations_have_units_and_a_limit(void **state)
{
	int64_t ms = 0;

	(void)state;
	assert_int_equal(rmd_option_duration_parse("250ms", &ms), 0);
	assert_int_equal(ms, 250);
	assert_int_equal(rmd_option_duration_parse("1.5s", &ms), 0);
	assert_int_equal(ms, 1500);
	assert_int_equal(rmd_option_duration_parse("5m", &ms), 0);
	assert_int_equal(ms, 300000);
	assert_int_equal(rmd_option_duration_parse("2h", &ms), 0);
	assert_int_equal(ms, 7200000);
	assert_int_equal(rmd_option_duration_parse("7", &ms), 0);
	assert_int_equal(ms, 7000);
	assert_int_equal(rmd_option_duration_parse("3650d", &ms), 0);
	assert_int_equal(ms, RMD_OPTION_DURATION_MAX_MS);
	assert_int_equal(rmd_option_duration_parse("3651d", &ms), RMD_ERANGE);
	assert_int_equal(rmd_option_duration_parse("1e400", &ms), RMD_ERANGE);
	assert_int_equal(rmd_option_duration_parse("", &ms), RMD_EINVAL);
	assert_int_equal(rmd_option_duration_parse("-1s", &ms), RMD_EINVAL);
	assert_int_equal(rmd_option_duration_parse("5 s", &ms), RMD_EINVAL);
	assert_int_equal(rmd_option_duration_parse("5weeks", &ms), RMD_EINVAL);
	assert_int_equal(rmd_option_duration_parse("inf", &ms), RMD_EINVAL);
}

static void a_missing_function_is_named(void **state)
{
	(void)state;
	assert_int_equal(parse("-r", NULL), RMD_EXIT_USAGE);
	assert_said("FUNCTION is missing: remuda graze FUNCTION [ARG...]");
}

static void too_many_arguments_are_named(void **state)
{
	(void)state;
	assert_int_equal(parse("f", "a", "b", "c", NULL), RMD_EXIT_USAGE);
	assert_said("'c' is one argument too many");
}

static void help_is_found_whatever_else_is_wrong_behind_it(void **state)
{
	(void)state;
	assert_int_equal(parse("--help", "--nonsense", NULL), RMD_EXIT_OK);
	assert_true(parsed.help_wanted);
	teardown(NULL);
	assert_int_equal(parse("-h", NULL), RMD_EXIT_OK);
	assert_true(parsed.help_wanted);
}

static void each_allocation_may_fail(void **state)
{
	(void)state;
	for (uint64_t n = 1; n <= 4; n++) {
		rmd_alloc_fail_at(n);
		assert_int_equal(parse("f", "-la=1", "-lb=2", NULL), RMD_EXIT_SYSTEM);
		rmd_alloc_fail_at(0);
		assert_said("out of memory");
		teardown(NULL);
	}
	assert_int_equal(parse("f", "-la=1", "-lb=2", NULL), RMD_EXIT_OK);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(options_stand_before_and_behind_arguments),
		TEST(letters_may_stand_together_and_end_in_a_value),
		TEST(a_value_may_be_empty_or_begin_with_a_dash),
		TEST(negative_numbers_and_a_lone_dash_are_arguments),
		TEST(two_dashes_end_the_options),
		TEST(an_option_that_may_come_often_keeps_all_in_order),
		TEST(an_unknown_option_names_the_nearest),
		TEST(an_unknown_letter_points_to_the_help),
		TEST(a_missing_value_is_said),
		TEST(a_value_for_a_flag_is_refused),
		TEST(a_number_is_checked_at_its_limits),
		TEST(durations_have_units_and_a_limit),
		TEST(a_missing_function_is_named),
		TEST(too_many_arguments_are_named),
		TEST(help_is_found_whatever_else_is_wrong_behind_it),
		TEST(each_allocation_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
