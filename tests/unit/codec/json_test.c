#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/json.h"
#include "tests/unit/codec/values.h"

#define ROUNDS 20000

static struct rmd_arena arena;
static struct rmd_text text;

static int setup(void **state)
{
	(void)state;
	rmd_arena_init(&arena, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rmd_arena_fini(&arena);
	rmd_text_fini(&text);
	return 0;
}

static int parse(const char *json, struct remuda_value *ret, char **ret_why)
{
	return rmd_json_parse(rmd_slice_of_string(json), &arena, ret, ret_why);
}

static struct remuda_value parsed(const char *json)
{
	struct remuda_value value = {.kind = REMUDA_NULL};
	char *why = NULL;
	if (parse(json, &value, &why) < 0)
		fail_msg("%s: %s", json, why);
	return value;
}

static const char *printed(const struct remuda_value *value)
{
	text.len = 0;
	assert_int_equal(rmd_json_print(value, &text), 0);
	return text.data;
}

/* `json` is read and printed as it stands. */
static struct remuda_value same(const char *json)
{
	struct remuda_value value = parsed(json);
	assert_string_equal(printed(&value), json);
	return value;
}

/* ---- both ways ---- */

static void random_values_of_every_kind_come_back_as_they_were_printed(void **state)
{
	(void)state;
	struct test_random random = {.state = 77};
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct remuda_value value = test_value_random(&random, &arena, 1 + i % 5),
				    back;
		char *why = NULL;
		printed(&value);
		int rc = rmd_json_parse(rmd_slice_of(text.data, text.len), &arena, &back,
					&why);
		if (rc < 0)
			fail_msg("%s: %s", text.data, why);
		assert_true(rmd_value_equal(&value, &back));
		assert_int_equal(rmd_value_check(&back, NULL), 0);
		rmd_arena_reset(&arena);
	}
}

static void plain_json_becomes_the_plain_kinds(void **state)
{
	(void)state;
	assert_int_equal(same("null").kind, REMUDA_NULL);
	assert_true(same("true").u.boolean);
	assert_false(same("false").u.boolean);
	assert_int_equal(same("0").kind, REMUDA_INT64);
	assert_true(same("-9223372036854775808").u.int64 == INT64_MIN);
	assert_int_equal(same("9223372036854775808").kind, REMUDA_UINT64);
	assert_true(same("18446744073709551615").u.uint64 == UINT64_MAX);
	assert_int_equal(same("18446744073709551616").kind, REMUDA_BIGINT);
	assert_int_equal(same("-9223372036854775809").kind, REMUDA_BIGINT);
	assert_int_equal(same("1.0").kind, REMUDA_FLOAT64);
	assert_string_equal(same("\"text\"").u.string.data, "text");
	struct remuda_value list = same("[1,[],{},\"a\",{\"k\":[null]}]");
	assert_int_equal(list.kind, REMUDA_LIST);
	assert_int_equal(list.u.list.len, 5);
	assert_int_equal(list.u.list.items[2].kind, REMUDA_MAP);
	struct remuda_value spaced = parsed(" \t\r\n[ 1 , { \"a\" : 2 } ] \n");
	assert_string_equal(printed(&spaced), "[1,{\"a\":2}]");
	assert_int_equal(parsed("-0").u.int64, 0);
	assert_int_equal(parsed("1e2").kind, REMUDA_FLOAT64);
}

static void doubles_are_printed_in_their_shortest_form(void **state)
{
	(void)state;
	static const char *const forms[] = {
		"0.1",
		"1.0",
		"-0.0",
		"0.0",
		"1e+22",
		"100000.0",
		"1.7976931348623157e+308",
		"5e-324",
		"2.2250738585072014e-308",
		"0.30000000000000004",
		"1e-07",
		"123456789012345.0",
		"{\"$float\":\"nan\"}",
		"{\"$float\":\"inf\"}",
		"{\"$float\":\"-inf\"}",
		"{\"$float\":\"nan:7ff8dead00beef00\"}",
		"{\"$float\":\"nan:fff0000000000001\"}",
	};
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		assert_int_equal(same(forms[i]).kind, REMUDA_FLOAT64);
}

static void each_other_kind_has_its_form(void **state)
{
	(void)state;
	static const struct {
		const char *json;
		enum remuda_kind kind;
	} forms[] = {
		{"{\"$bytes\":\"\"}", REMUDA_BYTES},
		{"{\"$bytes\":\"/+8A\"}", REMUDA_BYTES},
		{"{\"$tuple\":[1,{\"$tuple\":[]}]}", REMUDA_TUPLE},
		{"{\"$set\":[1,\"a\"]}", REMUDA_SET},
		{"{\"$map\":[[1,\"one\"],[[1,2],null]]}", REMUDA_MAP},
		{"{\"$map\":[[\"$bytes\",1]]}", REMUDA_MAP},
		{"{\"$complex\":[1.5,{\"$float\":\"-inf\"}]}", REMUDA_COMPLEX},
		{"{\"$array\":{\"dtype\":\"int16\",\"shape\":[2,1],\"data\":\"AQACAA==\"}"
		 "}",
		 REMUDA_ARRAY},
		{"{\"$array\":{\"dtype\":\"bool\",\"shape\":[],\"data\":\"AQ==\"}}",
		 REMUDA_ARRAY},
		{"{\"$array\":{\"dtype\":\"complex128\",\"shape\":[0,5],\"data\":\"\"}}",
		 REMUDA_ARRAY},
		{"{\"$timestamp\":\"2024-02-29T23:59:59.000000001Z\"}", REMUDA_TIMESTAMP},
		{"{\"$timestamp\":\"0001-01-01T00:00:00Z\"}", REMUDA_TIMESTAMP},
		{"{\"$timestamp\":\"9999-12-31T23:59:59.999999999Z\"}", REMUDA_TIMESTAMP},
		{"{\"$timestamp\":\"1969-12-31T23:59:59.5Z\"}", REMUDA_TIMESTAMP},
		{"{\"$duration\":\"1.5s\"}", REMUDA_DURATION},
		{"{\"$duration\":\"-0.000000001s\"}", REMUDA_DURATION},
		{"{\"$duration\":\"-315576000000s\"}", REMUDA_DURATION},
		{"{\"$function\":\"native:demo.square\"}", REMUDA_FUNCTION},
		{"{\"$blob\":{\"digest\":"
		 "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\","
		 "\"size_bytes\":18446744073709551615}}",
		 REMUDA_BLOB},
		{"{\"$any\":{\"type_url\":\"t/x.Y\",\"data\":\"CAE=\"}}", REMUDA_ANY},
		{"{\"$named\":{\"name\":\"decimal\",\"value\":{\"$tuple\":[1]}}}",
		 REMUDA_NAMED},
		{"{\"$opaque\":{\"codec\":\"pickle\",\"data\":\"gASVAA==\"}}",
		 REMUDA_OPAQUE},
	};
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		assert_int_equal(same(forms[i].json).kind, forms[i].kind);
}

static void other_spellings_are_read_too(void **state)
{
	(void)state;
	struct remuda_value value = parsed("{ \"$array\" : {\"data\":\"AQ==\", "
					   "\"shape\":[ 1 ], \"dtype\":\"uint8\"} }");
	assert_int_equal(value.u.array.dtype, REMUDA_DTYPE_UINT8);
	value = parsed("{\"$timestamp\":\"2024-05-01T14:00:00+02:00\"}");
	assert_string_equal(printed(&value), "{\"$timestamp\":\"2024-05-01T12:00:00Z\"}");
	value = parsed("{\"$complex\":[1,-2e0]}");
	assert_true(value.u.complex.imaginary == -2.0);
	value = parsed("\"\\u00e9\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\\\"\\\\\\u0000x\"");
	assert_int_equal(value.u.string.len, 16);
	assert_memory_equal(value.u.string.data, "é😀/\b\f\n\r\t\"\\\0x", 17);
	assert_string_equal(printed(&value), "\"é😀/\\b\\f\\n\\r\\t\\\"\\\\\\u0000x\"");
}

static void objects_with_a_dollar_that_is_not_ours_stay_maps(void **state)
{
	(void)state;
	struct remuda_value value = parsed("{\"$ref\":\"#/a\"}");
	assert_int_equal(value.kind, REMUDA_MAP);
	assert_string_equal(printed(&value), "{\"$map\":[[\"$ref\",\"#/a\"]]}");
	value = parsed("{\"a\":1,\"$bytes\":\"not base64\"}");
	assert_int_equal(value.u.map.len, 2);
	value = parsed("{\"$bytes\\u0000\":1}");
	assert_int_equal(value.kind, REMUDA_MAP);
}

static void integers_of_any_size_are_exact(void **state)
{
	(void)state;
	char digits[5002];
	struct test_random random = {.state = 3};
	for (size_t len = 1; len <= 5000; len += 1 + len / 3)
		for (int sign = 0; sign < 2; sign++) {
			for (size_t i = 0; i < len; i++)
				digits[i] = (char)('0' + test_random_below(&random, 10));
			digits[0] = sign ? '-' : '7';
			if (sign && len > 1 && digits[1] == '0')
				digits[1] = '3';
			digits[len] = '\0';
			if (!(sign && len == 1))
				same(digits);
		}
	/* each power of two and its neighbours, around where a byte or a limb more is
	 * needed */
	for (unsigned bits = 60; bits < 200; bits++)
		for (int less = 0; less < 2; less++)
			for (int negative = 0; negative < 2; negative++) {
				uint8_t twos[40] = {0};
				twos[bits / 8] = (uint8_t)(1 << bits % 8);
				for (unsigned i = 0; less && i <= bits / 8; i++)
					twos[i] = i < bits / 8 ? 0xff
							       : (uint8_t)(twos[i] - 1);
				for (unsigned i = 0; negative && i < sizeof twos; i++)
					twos[i] = (uint8_t)~twos[i]; /* the negative, less
									one */
				struct remuda_value value = rmd_value_of_twos(
					rmd_slice_of(twos, sizeof twos));
				struct remuda_value back = parsed(printed(&value));
				assert_true(rmd_value_equal(&value, &back));
			}
}

static void a_locale_with_a_decimal_comma_changes_nothing(void **state)
{
	(void)state;
	static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8"};
	bool found = false;
	for (size_t i = 0; !found && i < sizeof names / sizeof *names; i++)
		found = setlocale(LC_NUMERIC, names[i]) != NULL;
	if (!found)
		skip();
	same("0.5");
	setlocale(LC_NUMERIC, "C");
}

/* ---- what is wrong, and where ---- */

static void refused(const char *json, int code, const char *message)
{
	struct remuda_value value = test_int(5);
	char *why = NULL;
	int rc = parse(json, &value, &why);
	if (rc != code || why == NULL || strcmp(why, message) != 0)
		fail_msg("%s: %d, %s; expected %s", json, rc, why, message);
	rmd_free(why);
	assert_int_equal(value.u.int64, 5);
	assert_int_equal(parse(json, &value, NULL), code);
}

static const char *const malformed[][2] = {
	{"", "line 1, column 1: expected a value, found the end"},
	{"  ", "line 1, column 3: expected a value, found the end"},
	{"[1,\n 2,]", "line 2, column 4: expected a value, found ']'"},
	{"[1 2]", "line 1, column 4: expected ',' or ']', found '2'"},
	{"nul", "line 1, column 1: expected a value, found 'n'"},
	{"\xef\xbb\xbf"
	 "1",
	 "line 1, column 1: expected a value, found byte 0xef"},
	{"1 1", "line 1, column 3: expected nothing more, found '1'"},
	{"01", "line 1, column 2: expected no digit after a leading 0, found '1'"},
	{"-", "line 1, column 2: expected a digit, found the end"},
	{"1.", "line 1, column 3: expected a digit, found the end"},
	{"1e+", "line 1, column 4: expected a digit, found the end"},
	{".5", "line 1, column 1: expected a value, found '.'"},
	{"NaN", "line 1, column 1: expected a value, found 'N'"},
	{"{a:1}", "line 1, column 2: expected a key in quotes, found 'a'"},
	{"{\"a\" 1}", "line 1, column 6: expected ':', found '1'"},
	{"{\"a\":1", "line 1, column 7: expected ',' or '}', found the end"},
	{"{\"a\":1,\"é\":2,\"a\":3}",
	 "line 1, column 19: the map that ends here has a key twice: \"a\""},
	{"\"abc", "line 1, column 5: expected a closing '\"', found the end"},
	{"\"a\nb\"", "line 1, column 3: expected an escape for a control character, "
		     "found byte 0x0a"},
	{"\"\\x\"", "line 1, column 3: expected an escape such as \\n or "
		    "\\u00e9, found 'x'"},
	{"\"\\u12\"", "line 1, column 4: expected four hexadecimal digits, found '1'"},
	{"\"\\ud800\"", "line 1, column 4: half of a surrogate pair"},
	{"\"\\udc00\\ud800\"", "line 1, column 4: half of a surrogate pair"},
	{"\"\\ud800\\u0041\"", "line 1, column 4: half of a surrogate pair"},
	{"\"\xff\"", "line 1, column 2: text that is not valid UTF-8"},
	{"{\"$bytes\":\"A\"}", "line 1, column 11: expected base64, padded with '='"},
	{"{\"$bytes\":\"AB==\"}", "line 1, column 11: expected base64, padded with '='"},
	{"{\"$bytes\":\"A===\"}", "line 1, column 11: expected base64, padded with '='"},
	{"{\"$bytes\":\"AA==AA==\"}",
	 "line 1, column 11: expected base64, padded with '='"},
	{"{\"$bytes\":\"\",\"x\":1}",
	 "line 1, column 13: expected '}': nothing may stand beside \"$bytes\""},
	{"{\"$float\":\"nan:7ff0000000000000\"}",
	 "line 1, column 11: expected \"nan\", \"inf\", \"-inf\", or \"nan:\" "
	 "and the 16 "
	 "hexadecimal digits of one"},
	{"{\"$array\":{\"dtype\":\"int9\"}}",
	 "line 1, column 20: expected a dtype such as \"int32\" or \"float64\""},
	{"{\"$array\":{\"dtype\":\"int8\",\"shape\":[2],\"data\":\"AA==\"}}",
	 "line 1, column 11: an array whose data is not as long as its shape "
	 "says"},
	{"{\"$array\":{\"dtype\":\"int8\",\"shape\":[-2],\"data\":\"AA==\"}}",
	 "line 1, column 36: expected a whole number from 0 to 2^64-1"},
	{"{\"$array\":{\"dtype\":\"int8\",\"shape\":[]}}",
	 "line 1, column 37: expected \"data\" too"},
	{"{\"$blob\":{\"digest\":\"12\"}}",
	 "line 1, column 20: expected 64 hexadecimal digits"},
	{"{\"$any\":{\"url\":1}}", "line 1, column 10: expected \"type_url\", \"data\""},
	{"{\"$named\":{\"name\":\"a\",\"name\":\"b\"}}",
	 "line 1, column 23: \"name\" twice"},
	{"{\"$timestamp\":\"2023-02-29T00:00:00Z\"}",
	 "line 1, column 15: expected a moment such as "
	 "\"2024-05-01T12:00:00.5Z\""},
	{"{\"$timestamp\":\"0000-12-31T00:00:00Z\"}",
	 "line 1, column 15: expected a year from 1 to 9999"},
	{"{\"$duration\":\"1.5\"}",
	 "line 1, column 14: expected seconds such as \"1.5s\""},
	{"{\"$duration\":\"315576000001s\"}",
	 "line 1, column 14: a duration over 315576000000 seconds"},
	{"{\"$map\":[[1]]}", "line 1, column 12: expected ',' and a value, found ']'"},
	{"{\"$map\":[[1,2],[1,3]]}",
	 "line 1, column 21: the map that ends here has a key twice"},
};

static void errors_name_the_place_and_what_was_expected(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
		refused(malformed[i][0], RMD_EINVAL, malformed[i][1]);
	refused("1e999", RMD_ERANGE, "line 1, column 1: a number beyond float64");
	refused("[-1e309]", RMD_ERANGE, "line 1, column 2: a number beyond float64");
}

static void the_largest_integer_is_read_and_a_larger_one_is_not(void **state)
{
	(void)state;
	uint8_t *twos = rmd_calloc(REMUDA_BIGINT_MAX + 1, 1);
	memset(twos, 0xff, REMUDA_BIGINT_MAX);
	twos[REMUDA_BIGINT_MAX - 1] = 0x7f;
	struct remuda_value largest = {.kind = REMUDA_BIGINT};
	largest.u.bytes = (struct remuda_bytes){twos, REMUDA_BIGINT_MAX};
	printed(&largest);
	struct remuda_value back = parsed(text.data);
	assert_true(rmd_value_equal(&largest, &back));
	/* its last digit is a 7, as that of every 2^(8n-1)-1 with n a multiple of 4 is */
	assert_int_equal(text.data[text.len - 1], '7');
	text.data[text.len - 1] = '8';
	refused(text.data, RMD_ERANGE, "line 1, column 1: a number beyond 65536 bytes");
	rmd_text_put_char(&text, '0');
	refused(text.data, RMD_ERANGE, "line 1, column 1: a number beyond 65536 bytes");
	rmd_free(twos);
}

static void thirty_levels_are_read_and_one_more_is_not(void **state)
{
	(void)state;
	char json[64];
	for (size_t i = 0; i < 29; i++) {
		json[i] = '[';
		json[30 + i] = ']';
	}
	json[29] = '1';
	json[59] = '\0';
	same(json);
	json[29] = '{';
	json[30] = '}';
	memset(json + 31, ']', 29);
	json[60] = '\0';
	same(json);
	json[28] = json[29] = '[';
	refused(json, RMD_EDEPTH, "line 1, column 31: more than 30 levels deep");
	struct remuda_value deep = test_nested(&arena, 31);
	rmd_text_put_string(&text, "before");
	size_t len = text.len;
	assert_int_equal(rmd_json_print(&deep, &text), RMD_EDEPTH);
	assert_int_equal(text.len, len);
	assert_int_equal(
		parse("{\"$named\":{\"value\":{\"$named\":{\"value\":{\"$named\":{"
		      "\"value\":"
		      "{\"$named\":{\"value\":[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]"
		      "]]]]]]]]]]"
		      ",\"name\":\"\"}},\"name\":\"\"}},\"name\":\"\"}},\"name\":\"\"}}",
		      &deep, NULL),
		RMD_EDEPTH);
}

static void what_cannot_be_encoded_cannot_be_printed(void **state)
{
	(void)state;
	struct remuda_value bad = test_string("\xff");
	assert_int_equal(rmd_json_print(&bad, &text), RMD_EINVAL);
	assert_int_equal(text.len, 0);
}

/* ---- memory ---- */

static void a_full_arena_is_a_limit(void **state)
{
	(void)state;
	struct rmd_wire_writer json = {0};
	rmd_wire_put_raw(&json, rmd_slice_of_string("["));
	for (int i = 0; i < 100000; i++)
		rmd_wire_put_raw(&json, rmd_slice_of_string("1,"));
	rmd_wire_put_raw(&json, rmd_slice_of_string("1]"));
	struct rmd_slice slice = rmd_slice_of(json.data, json.len);
	struct remuda_value value;
	struct rmd_arena small;
	rmd_arena_init(&small, 1000000);
	rmd_alloc_fail_at(UINT64_MAX);
	char *why;
	assert_int_equal(rmd_json_parse(slice, &small, &value, &why), RMD_ELIMIT);
	assert_non_null(strstr(why, "too large"));
	rmd_free(why);
	assert_int_equal(small.used_bytes, 0);
	assert_true(rmd_alloc_count() < 30);
	rmd_alloc_fail_at(0);
	rmd_arena_fini(&small);
	assert_int_equal(rmd_json_parse(slice, &arena, &value, NULL), 0);
	assert_int_equal(value.u.list.len, 100001);
	rmd_wire_writer_fini(&json);
}

static int print_and_parse(const struct remuda_value *value)
{
	struct rmd_arena fresh;
	struct rmd_text out = {0};
	struct remuda_value back;
	char *why = NULL;
	rmd_arena_init(&fresh, 0);
	int rc = rmd_json_print(value, &out);
	if (rc == 0)
		rc = rmd_json_parse(rmd_slice_of(out.data, out.len), &fresh, &back, &why);
	if (rc == 0)
		assert_true(rmd_value_equal(value, &back));
	rmd_free(why);
	rmd_text_fini(&out);
	rmd_arena_fini(&fresh);
	return rc;
}

static void each_single_allocation_may_fail(void **state)
{
	(void)state;
	struct test_random random = {.state = 8};
	for (int round = 0; round < 20; round++) {
		struct remuda_value value = test_value_of_kind(
			&random, &arena, round % 2 == 0 ? REMUDA_LIST : REMUDA_MAP, 5);
		rmd_alloc_fail_at(UINT64_MAX);
		assert_int_equal(print_and_parse(&value), 0);
		uint64_t asked = rmd_alloc_count();
		for (uint64_t n = 1; n <= asked; n++) {
			rmd_alloc_fail_at(n);
			assert_int_equal(print_and_parse(&value), RMD_ENOMEM);
		}
		rmd_alloc_fail_at(0);
		rmd_arena_reset(&arena);
	}
}

static void an_error_survives_the_lack_of_memory_for_its_text(void **state)
{
	(void)state;
	for (uint64_t n = 1; n <= 2; n++) {
		struct remuda_value value;
		char *why = NULL;
		rmd_alloc_fail_at(n);
		assert_int_equal(parse("]", &value, &why), RMD_EINVAL);
		rmd_alloc_fail_at(0);
		assert_null(why);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(random_values_of_every_kind_come_back_as_they_were_printed),
		TEST(plain_json_becomes_the_plain_kinds),
		TEST(doubles_are_printed_in_their_shortest_form),
		TEST(each_other_kind_has_its_form),
		TEST(other_spellings_are_read_too),
		TEST(objects_with_a_dollar_that_is_not_ours_stay_maps),
		TEST(integers_of_any_size_are_exact),
		TEST(a_locale_with_a_decimal_comma_changes_nothing),
		TEST(errors_name_the_place_and_what_was_expected),
		TEST(the_largest_integer_is_read_and_a_larger_one_is_not),
		TEST(thirty_levels_are_read_and_one_more_is_not),
		TEST(what_cannot_be_encoded_cannot_be_printed),
		TEST(a_full_arena_is_a_limit),
		TEST(each_single_allocation_may_fail),
		TEST(an_error_survives_the_lack_of_memory_for_its_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
