/* Text, decimal numbers, and moments: the parts that JSON is made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/moment.h"
#include "proto/codec/number.h"
#include "tests/unit/codec/values.h"

static struct rmd_text text;

static int teardown(void **state)
{
	(void)state;
	rmd_text_fini(&text);
	return 0;
}

static void text_grows_and_ends_with_a_nul(void **state)
{
	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		rmd_text_put_char(&text, 'a');
		assert_int_equal(text.data[text.len], '\0');
	}
	rmd_text_put(&text, NULL, 0);
	assert_int_equal(text.len, 1000);
	rmd_text_printf(&text, "%0200d", 5); /* more than it promises: cut */
	assert_int_equal(text.len, 1120);
	assert_int_equal(strlen(text.data), 1120);
}

static void text_out_of_memory_says_so_for_good(void **state)
{
	(void)state;
	rmd_alloc_fail_at(1);
	rmd_text_put_string(&text, "x");
	rmd_alloc_fail_at(0);
	assert_true(text.failed);
	rmd_text_put_string(&text, "x");
	assert_int_equal(text.len, 0);
}

static void base64_is_that_of_the_rfc(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"", ""},
		{"f", "Zg=="},
		{"fo", "Zm8="},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"},
		{"\xff\xef\xbe", "/+++"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t back[8];
		size_t len = 99;
		text.len = 0;
		rmd_text_put_base64(&text, rmd_slice_of_string(cases[i][0]));
		assert_string_equal(text.data, cases[i][1]);
		struct rmd_slice digits = rmd_slice_of_string(cases[i][1]);
		assert_true(strlen(cases[i][0]) <= rmd_text_base64_room(digits));
		assert_int_equal(rmd_text_get_base64(digits, back, &len), 0);
		assert_int_equal(len, strlen(cases[i][0]));
		assert_memory_equal(back, cases[i][0], len);
	}
	static const char *const bad[] = {"Z",	  "Zg",	    "Zg=",  "Zg===",	"Zh==",
					  "Zm9=", "Z===",   "====", "Zg==Zg==", "Zm-v",
					  "Zm 9", "Zm9v\n", "=Zm9"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		uint8_t back[8];
		size_t len;
		assert_int_equal(
			rmd_text_get_base64(rmd_slice_of_string(bad[i]), back, &len),
			RMD_EINVAL);
	}
}

static void hexadecimal_takes_either_case_and_nothing_else(void **state)
{
	(void)state;
	uint8_t bytes[2];
	assert_int_equal(rmd_text_get_hex(rmd_slice_of_string("aF09"), bytes, 2), 0);
	assert_memory_equal(bytes, "\xaf\x09", 2);
	rmd_text_put_hex(&text, rmd_slice_of(bytes, 2));
	assert_string_equal(text.data, "af09");
	assert_int_equal(rmd_text_get_hex(rmd_slice_of_string("aF0"), bytes, 2),
			 RMD_EINVAL);
	assert_int_equal(rmd_text_get_hex(rmd_slice_of_string("aF0g"), bytes, 2),
			 RMD_EINVAL);
	assert_int_equal(rmd_text_get_hex(rmd_slice_of_string("aF0911"), bytes, 2),
			 RMD_EINVAL);
	assert_int_equal(rmd_text_get_hex(rmd_slice_of_string("aF091"), bytes, 2),
			 RMD_EINVAL);
}

static void every_double_reads_back_as_the_same_bits(void **state)
{
	(void)state;
	struct test_random random = {.state = 12};
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t bits = test_random_next(&random), kept;
		if (i % 4 == 0)
			bits &= ~(UINT64_C(0x7ff) << 52); /* subnormal */
		double number = rmd_wire_double(bits), back;
		if (number != number || number - number != 0)
			continue;
		text.len = 0;
		rmd_number_put_double(&text, number);
		assert_int_equal(
			rmd_number_get_double(rmd_slice_of(text.data, text.len), &back),
			0);
		memcpy(&kept, &back, sizeof kept);
		assert_true(kept == bits);
		assert_non_null(strpbrk(text.data, ".e"));
	}
}

static void a_double_of_many_digits_is_rounded_once(void **state)
{
	(void)state;
	char digits[400] = "0.";
	double number;
	memset(digits + 2, '3', 390);
	assert_int_equal(rmd_number_get_double(rmd_slice_of_string(digits), &number), 0);
	assert_true(number == 1.0 / 3.0);
	rmd_alloc_fail_at(1);
	assert_int_equal(rmd_number_get_double(rmd_slice_of_string(digits), &number),
			 RMD_ENOMEM);
	rmd_alloc_fail_at(0);
}

/* Each day of 400 years and some others, against the C library. */
static void moments_agree_with_the_c_library(void **state)
{
	(void)state;
	for (int64_t day = -719162; day <= 2932896;
	     day += day < 0 || day > 146097 ? 97 : 1) {
		time_t at = (time_t)(day * 86400 + (day & 1 ? 86399 : 0));
		struct tm utc;
		char expected[40];
		int64_t seconds;
		int32_t nanos;
		assert_non_null(gmtime_r(&at, &utc));
		size_t len =
			strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%SZ", &utc);
		if (len < 20) { /* years below 1000 are not filled up there */
			memmove(expected + 20 - len, expected, len + 1);
			memset(expected, '0', 20 - len);
		}
		text.len = 0;
		rmd_moment_put(&text, (int64_t)at, 0);
		assert_string_equal(text.data, expected);
		assert_int_equal(rmd_moment_get(rmd_slice_of(text.data, text.len),
						&seconds, &nanos),
				 0);
		assert_true(seconds == (int64_t)at && nanos == 0);
	}
}

static void moments_take_offsets_and_fractions(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t seconds;
		int32_t nanos;
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0, 0},
		{"1970-01-01T01:30:00+01:30", 0, 0},
		{"1969-12-31T23:00:00-01:00", 0, 0},
		{"1970-01-01T00:00:00.1Z", 0, 100000000},
		{"1969-12-31T23:59:59.999999999Z", -1, 999999999},
		{"2000-02-29T00:00:00Z", 951782400, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int64_t seconds;
		int32_t nanos;
		assert_int_equal(rmd_moment_get(rmd_slice_of_string(cases[i].text),
						&seconds, &nanos),
				 0);
		assert_int_equal(seconds, cases[i].seconds);
		assert_int_equal(nanos, cases[i].nanos);
	}
	static const char *const bad[] = {
		"",
		"1970",
		"1970-01-01",
		"1970-01-01 00:00:00Z",
		"1970-01-01T00:00:00",
		"1970-01-01T00:00:00z",
		"1970-13-01T00:00:00Z",
		"1970-00-01T00:00:00Z",
		"1970-02-30T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"1970-01-01T24:00:00Z",
		"1970-01-01T00:60:00Z",
		"1970-01-01T00:00:60Z",
		"1970-01-01T00:00:00.Z",
		"1970-01-01T00:00:00.1234567890Z",
		"1970-01-01T00:00:00+1:00",
		"1970-01-01T00:00:00+24:00",
		"1970-01-01T00:00:00ZZ",
		"-970-01-01T00:00:00Z",
		"1970-1-01T00:00:00Z",
		"1970-01-01T00:00:00 01:00",
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		int64_t seconds;
		int32_t nanos;
		assert_int_equal(
			rmd_moment_get(rmd_slice_of_string(bad[i]), &seconds, &nanos),
			RMD_EINVAL);
	}
	int64_t seconds;
	int32_t nanos;
	assert_int_equal(rmd_moment_get(rmd_slice_of_string("0001-01-01T00:00:00+00:01"),
					&seconds, &nanos),
			 RMD_ERANGE);
	assert_int_equal(rmd_moment_get(rmd_slice_of_string("9999-12-31T23:59:59-00:01"),
					&seconds, &nanos),
			 RMD_ERANGE);
}

static void spans_are_seconds_with_a_fraction(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t seconds;
		int32_t nanos;
	} cases[] = {
		{"0s", 0, 0},
		{"1.5s", 1, 500000000},
		{"-1.5s", -1, -500000000},
		{"-0.000000001s", 0, -1},
		{"315576000000s", 315576000000, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int64_t seconds;
		int32_t nanos;
		struct rmd_slice slice = rmd_slice_of_string(cases[i].text);
		assert_int_equal(rmd_moment_get_span(slice, &seconds, &nanos), 0);
		assert_int_equal(seconds, cases[i].seconds);
		assert_int_equal(nanos, cases[i].nanos);
		text.len = 0;
		rmd_moment_put_span(&text, seconds, nanos);
		assert_string_equal(text.data, cases[i].text);
	}
	static const char *const bad[] = {"",
					  "s",
					  "1",
					  "1.s",
					  ".5s",
					  "+1s",
					  "--1s",
					  "1 s",
					  "1ss",
					  "1.1234567890s",
					  "1234567890123456s"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		int64_t seconds;
		int32_t nanos;
		assert_int_equal(rmd_moment_get_span(rmd_slice_of_string(bad[i]),
						     &seconds, &nanos),
				 RMD_EINVAL);
	}
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(text_grows_and_ends_with_a_nul),
		TEST(text_out_of_memory_says_so_for_good),
		TEST(base64_is_that_of_the_rfc),
		TEST(hexadecimal_takes_either_case_and_nothing_else),
		TEST(every_double_reads_back_as_the_same_bits),
		TEST(a_double_of_many_digits_is_rounded_once),
		TEST(moments_agree_with_the_c_library),
		TEST(moments_take_offsets_and_fractions),
		TEST(spans_are_seconds_with_a_fraction),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
