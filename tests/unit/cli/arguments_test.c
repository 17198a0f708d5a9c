#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/argument.h"
#include "client/cli/exit.h"
#include "client/cli/outcome.h"
#include "client/cli/signature.h"
#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/json.h"
#include "tests/unit/cli/said.h"

static const struct rmd_argument_rule as_json = {0};
static const struct rmd_argument_rule as_text = {.text = true};
static const struct rmd_argument_rule as_spread = {.spread = true};

static struct rmd_argument_list list;
static char why[RMD_ARGUMENT_WHY_BYTES];

static int setup(void **state)
{
	(void)state;
	rmd_argument_list_init(&list);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rmd_argument_list_fini(&list);
	return 0;
}

static int add(struct rmd_argument_rule rule, const char *word)
{
	return rmd_argument_list_add(&list, rule, rmd_slice_of_string(word), why);
}

/* The kind that `word` alone becomes. */
static enum remuda_kind kind_of(struct rmd_argument_rule rule, const char *word)
{
	rmd_argument_list_reset(&list);
	assert_int_equal(add(rule, word), 0);
	assert_int_equal(list.count, 1);
	return list.args[0].value.kind;
}

static void assert_text(size_t index, const char *text)
{
	const struct remuda_value *value = &list.args[index].value;

	assert_int_equal(value->kind, REMUDA_STRING);
	assert_int_equal(value->u.string.len, strlen(text));
	assert_string_equal(value->u.string.data, text);
}

static void what_parses_as_json_is_json(void **state)
{
	(void)state;
	assert_int_equal(kind_of(as_json, "21"), REMUDA_INT64);
	assert_int_equal(list.args[0].value.u.int64, 21);
	assert_int_equal(kind_of(as_json, "-5"), REMUDA_INT64);
	assert_int_equal(kind_of(as_json, "2.5"), REMUDA_FLOAT64);
	assert_int_equal(kind_of(as_json, "18446744073709551615"), REMUDA_UINT64);
	assert_int_equal(kind_of(as_json, "true"), REMUDA_BOOLEAN);
	assert_int_equal(kind_of(as_json, "null"), REMUDA_NULL);
	assert_int_equal(kind_of(as_json, " 7 "), REMUDA_INT64);
	assert_int_equal(kind_of(as_json, "{\"a\": 1}"), REMUDA_MAP);
	assert_int_equal(kind_of(as_json, "[\"x\"]"), REMUDA_LIST);
	assert_int_equal(kind_of(as_json, "\"21\""), REMUDA_STRING);
	assert_text(0, "21");
}

static void what_does_not_is_a_string_as_it_stands(void **state)
{
	static const char *const words[] = {
		"",   "notes.txt", "/etc/hosts", "21 apples", "1.2.3", "truely",
		"[1", "{",	   "\"open",	 "Infinity",  "NaN",   "0x10",
		"-",  "- 5",	   "'a'",	 " space",    "a\nb",
	};

	(void)state;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		assert_int_equal(kind_of(as_json, words[i]), REMUDA_STRING);
		assert_text(0, words[i]);
	}
}

static void as_text_everything_is_a_string(void **state)
{
	(void)state;
	assert_int_equal(kind_of(as_text, "21"), REMUDA_STRING);
	assert_text(0, "21");
	assert_int_equal(kind_of(as_text, "[1, 2]"), REMUDA_STRING);
	assert_int_equal(kind_of(as_text, "\"x\""), REMUDA_STRING);
	assert_text(0, "\"x\"");
}

static void what_is_not_utf8_is_bytes(void **state)
{
	(void)state;
	assert_int_equal(kind_of(as_json, "caf\xe9"), REMUDA_BYTES);
	assert_int_equal(list.args[0].value.u.bytes.len, 4);
	assert_memory_equal(list.args[0].value.u.bytes.data, "caf\xe9", 4);
	assert_int_equal(kind_of(as_text, "\xff"), REMUDA_BYTES);
	assert_int_equal(kind_of(as_json, "\"\xff\""), REMUDA_BYTES);
}

static void text_may_hold_nuls(void **state)
{
	(void)state;
	assert_int_equal(
		rmd_argument_list_add(&list, as_json, rmd_slice_of("a\0b", 3), why), 0);
	assert_int_equal(list.args[0].value.u.string.len, 3);
	assert_memory_equal(list.args[0].value.u.string.data, "a\0b", 4);
}

static void arguments_gather_in_order(void **state)
{
	(void)state;
	assert_int_equal(add(as_json, "a"), 0);
	assert_int_equal(add(as_json, "2"), 0);
	assert_int_equal(add(as_json, "c"), 0);
	assert_int_equal(list.count, 3);
	assert_text(0, "a");
	assert_text(2, "c");
	rmd_argument_list_reset(&list);
	assert_int_equal(list.count, 0);
	assert_int_equal(add(as_json, "d"), 0);
	assert_text(0, "d");
}

static void a_spread_array_is_the_arguments(void **state)
{
	(void)state;
	assert_int_equal(add(as_spread, "[1, \"b\", [2]]"), 0);
	assert_int_equal(list.count, 3);
	assert_int_equal(list.args[0].value.u.int64, 1);
	assert_text(1, "b");
	rmd_argument_list_reset(&list);
	assert_int_equal(add(as_spread, "[3, 4]"), 0);
	assert_int_equal(list.count, 2);
	assert_int_equal(list.args[1].value.kind, REMUDA_INT64);
	assert_int_equal(list.args[1].value.u.int64, 4);
	rmd_argument_list_reset(&list);
	assert_int_equal(add(as_spread, "[0.5, 1.5]"), 0);
	assert_true(list.args[1].value.u.float64 == 1.5);
	rmd_argument_list_reset(&list);
	assert_int_equal(add(as_spread, "[]"), 0);
	assert_int_equal(list.count, 0);
}

static void what_is_no_array_cannot_be_spread(void **state)
{
	(void)state;
	assert_int_equal(add(as_spread, "3"), RMD_EINVAL);
	assert_non_null(strstr(why, "--spread takes a JSON array"));
	assert_int_equal(add(as_spread, "notes.txt"), RMD_EINVAL);
	assert_int_equal(add(as_spread, ""), RMD_EINVAL);
	assert_int_equal(add(as_spread, "{\"a\": 1}"), RMD_EINVAL);
	assert_int_equal(add(as_spread, "\xff"), RMD_EINVAL);
	assert_int_equal(list.count, 0);
}

static void arguments_are_bounded_and_an_array_is_taken_whole_or_not(void **state)
{
	char array[1024] = "[0";

	(void)state;
	for (unsigned i = 1; i < RMD_ARGUMENT_LIST_MAX; i++)
		strcat(array, ",0");
	strcat(array, "]");
	assert_int_equal(add(as_spread, array), 0);
	assert_int_equal(list.count, RMD_ARGUMENT_LIST_MAX);
	assert_int_equal(add(as_json, "1"), RMD_ELIMIT);
	rmd_argument_list_reset(&list);
	assert_int_equal(add(as_json, "1"), 0);
	assert_int_equal(add(as_spread, array), RMD_ELIMIT);
	assert_non_null(strstr(why, "255"));
	assert_int_equal(list.count, 1);
}

static void json_nested_too_deeply_is_refused_and_not_taken_as_text(void **state)
{
	char deep[80] = "";

	(void)state;
	for (int i = 0; i < 30; i++) {
		deep[i] = '[';
		deep[30 + i] = ']';
	}
	assert_int_equal(add(as_json, deep), 0);
	memset(deep, '[', 31);
	memset(deep + 31, ']', 31);
	assert_int_equal(add(as_json, deep), RMD_EDEPTH);
	assert_non_null(strstr(why, "-R"));
	assert_int_equal(add(as_text, deep), 0);
}

static void a_parameter_that_asks_for_a_string_gets_the_word_as_it_stands(void **state)
{
	static const struct rmd_argument_rule rule = {.strings = 1u << 1};

	(void)state;
	assert_int_equal(add(rule, "21"), 0);
	assert_true(list.open);
	assert_int_equal(add(rule, "21"), 0);
	assert_false(list.open);
	assert_int_equal(add(rule, "21"), 0);
	assert_int_equal(list.args[0].value.kind, REMUDA_INT64);
	assert_text(1, "21");
	assert_int_equal(list.args[2].value.kind, REMUDA_INT64);
	rmd_argument_list_cut(&list, 1);
	assert_int_equal(list.count, 1);
	assert_int_equal(add(rule, "\"x\""), 0);
	assert_text(1, "\"x\"");
}

static void only_words_that_could_be_both_make_the_signature_matter(void **state)
{
	(void)state;
	assert_int_equal(add(as_json, "notes.txt"), 0);
	assert_false(list.open);
	assert_int_equal(add(as_json, "[1"), 0);
	assert_false(list.open);
	assert_int_equal(add(as_text, "21"), 0);
	assert_false(list.open);
	assert_int_equal(add(as_json, "1e999999999999999999999"), RMD_ERANGE);
	assert_true(list.open);
	assert_int_equal(add(as_json, "21"), 0);
	assert_true(list.open);
}

static uint64_t strings_of(const char *json)
{
	struct rmd_arena arena;
	struct remuda_value value;
	uint64_t strings;

	rmd_arena_init(&arena, 0);
	assert_int_equal(rmd_json_parse(rmd_slice_of_string(json), &arena, &value, NULL),
			 0);
	strings = rmd_signature_strings_of(&value);
	rmd_arena_fini(&arena);
	return strings;
}

static void a_description_tells_which_parameters_ask_for_a_string(void **state)
{
	(void)state;
	assert_int_equal(
		strings_of(
			"{\"params\": [{\"kind\": \"context\"}, {\"kind\": \"string\"}, "
			"{\"kind\": \"int64\"}, {\"kind\": \"string\"}]}"),
		5);
	assert_int_equal(strings_of("{\"params\": []}"), 0);
	assert_int_equal(strings_of("{\"params\": [1, null, {\"kind\": 3}]}"), 0);
	assert_int_equal(strings_of("{\"params\": {}}"), 0);
	assert_int_equal(strings_of("{}"), 0);
	assert_int_equal(strings_of("7"), 0);
}

static void each_allocation_may_fail(void **state)
{
	(void)state;
	for (uint64_t n = 1;; n++) {
		rmd_argument_list_fini(&list);
		rmd_argument_list_init(&list);
		rmd_alloc_fail_at(n);
		int first = add(as_json, "notes.txt"),
		    second = add(as_spread, "[1, \"x\"]");
		uint64_t asked = rmd_alloc_count();
		rmd_alloc_fail_at(0);
		if (asked < n) {
			assert_int_equal(first, 0);
			assert_int_equal(second, 0);
			break;
		}
		assert_true(first == RMD_ENOMEM || second == RMD_ENOMEM ||
			    first + second == 0);
	}
}

static const char *written(const struct remuda_value *value, bool raw)
{
	static char text[256];
	FILE *out = fmemopen(text, sizeof text, "w");

	assert_int_equal(rmd_outcome_write(value, raw, out), 0);
	fclose(out);
	return text;
}

static void raw_prints_strings_and_bytes_bare_and_the_rest_as_json(void **state)
{
	struct remuda_value string = remuda_arg_string("a\"b\n").value;
	struct remuda_value bytes =
		remuda_arg_bytes((struct remuda_bytes){"\x01\x02", 2}).value;
	struct remuda_value number = remuda_arg_int64(-3).value;

	(void)state;
	assert_string_equal(written(&string, true), "a\"b\n");
	assert_string_equal(written(&string, false), "\"a\\\"b\\n\"");
	assert_string_equal(written(&bytes, true), "\x01\x02");
	assert_string_equal(written(&number, true), "-3");
	assert_string_equal(written(&number, false), "-3");
}

static void codes_become_exits_that_tell_task_service_and_system_apart(void **state)
{
	(void)state;
	assert_int_equal(rmd_outcome_exit(REMUDA_ETASK, RMD_EXIT_SYSTEM), RMD_EXIT_TASK);
	assert_int_equal(rmd_outcome_exit(REMUDA_ECANCELLED, RMD_EXIT_SYSTEM),
			 RMD_EXIT_TASK);
	assert_int_equal(rmd_outcome_exit(REMUDA_EUNREACHABLE, RMD_EXIT_TASK),
			 RMD_EXIT_SERVICE);
	assert_int_equal(rmd_outcome_exit(REMUDA_ENOMEM, RMD_EXIT_TASK), RMD_EXIT_SYSTEM);
	assert_int_equal(rmd_outcome_exit(REMUDA_EINVAL, RMD_EXIT_TASK), RMD_EXIT_TASK);
}

static void a_failure_on_one_line_names_the_outermost_and_the_root(void **state)
{
	struct remuda_error *err =
		remuda_error_create("ParseError", "row 7: expected 4 fields");
	err = remuda_error_wrap(err, "LoadError", "orders.csv");

	(void)state;
	said_begin();
	rmd_outcome_report_line("line 3", REMUDA_ETASK, err);
	rmd_outcome_report_line("line 4", REMUDA_ETIMEOUT, NULL);
	assert_string_equal(
		said_end(),
		"remuda: line 3: LoadError: orders.csv; caused by ParseError: "
		"row 7: expected 4 fields\n"
		"remuda: line 4: timed out\n");
	said_free();
	remuda_error_free(err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_parses_as_json_is_json),
		TEST(what_does_not_is_a_string_as_it_stands),
		TEST(as_text_everything_is_a_string),
		TEST(what_is_not_utf8_is_bytes),
		TEST(text_may_hold_nuls),
		TEST(arguments_gather_in_order),
		TEST(a_spread_array_is_the_arguments),
		TEST(what_is_no_array_cannot_be_spread),
		TEST(arguments_are_bounded_and_an_array_is_taken_whole_or_not),
		TEST(json_nested_too_deeply_is_refused_and_not_taken_as_text),
		TEST(a_parameter_that_asks_for_a_string_gets_the_word_as_it_stands),
		TEST(only_words_that_could_be_both_make_the_signature_matter),
		TEST(a_description_tells_which_parameters_ask_for_a_string),
		TEST(each_allocation_may_fail),
		TEST(raw_prints_strings_and_bytes_bare_and_the_rest_as_json),
		TEST(codes_become_exits_that_tell_task_service_and_system_apart),
		TEST(a_failure_on_one_line_names_the_outermost_and_the_root),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
