#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/alloc.h"

static void memory_of_no_bytes_is_memory_too(void **state)
{
	(void)state;
	void *a = rmd_malloc(0), *b = rmd_calloc(0, 8);
	assert_non_null(a);
	assert_non_null(b);
	a = rmd_realloc(a, 0);
	assert_non_null(a);
	rmd_free(a);
	rmd_free(b);
	rmd_free(NULL);
}

static void calloc_zeroes_and_refuses_what_overflows(void **state)
{
	(void)state;
	uint8_t *bytes = rmd_calloc(100, 3);
	for (size_t i = 0; i < 300; i++)
		assert_int_equal(bytes[i], 0);
	rmd_free(bytes);
	volatile size_t huge = SIZE_MAX / 2; /* so that no compiler foresees it */
	assert_null(rmd_calloc(huge, 4));
}

static void only_the_nth_allocation_fails(void **state)
{
	(void)state;
	rmd_alloc_fail_at(3);
	void *given[4] = {rmd_malloc(1), rmd_calloc(1, 1), rmd_realloc(NULL, 1),
			  rmd_strdup("x")};
	assert_int_equal(rmd_alloc_count(), 4);
	rmd_alloc_fail_at(0);
	assert_non_null(given[0]);
	assert_non_null(given[1]);
	assert_null(given[2]);
	assert_non_null(given[3]);
	for (size_t i = 0; i < 4; i++)
		rmd_free(given[i]);
	void *more = rmd_malloc(1);
	assert_non_null(more);
	assert_int_equal(rmd_alloc_count(), 0); /* switched off */
	rmd_free(more);
}

static void a_realloc_that_fails_leaves_the_old_memory(void **state)
{
	(void)state;
	char *text = rmd_strdup("kept");
	rmd_alloc_fail_at(1);
	assert_null(rmd_realloc(text, 100));
	rmd_alloc_fail_at(0);
	assert_string_equal(text, "kept");
	rmd_free(text);
}

static void strings_are_copied_with_a_nul(void **state)
{
	(void)state;
	char *copy = rmd_strndup("abcdef", 3);
	assert_string_equal(copy, "abc");
	rmd_free(copy);
	copy = rmd_strndup(NULL, 0);
	assert_string_equal(copy, "");
	rmd_free(copy);
}

static void formatted_strings_have_room_for_all(void **state)
{
	(void)state;
	char *text = rmd_asprintf("%s-%05d-%300s", "a", 42, "end");
	assert_int_equal(strlen(text), 2 + 5 + 1 + 300);
	assert_memory_equal(text, "a-00042-", 8);
	rmd_free(text);
	rmd_alloc_fail_at(1);
	assert_null(rmd_asprintf("x"));
	rmd_alloc_fail_at(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_of_no_bytes_is_memory_too),
		cmocka_unit_test(calloc_zeroes_and_refuses_what_overflows),
		cmocka_unit_test(only_the_nth_allocation_fails),
		cmocka_unit_test(a_realloc_that_fails_leaves_the_old_memory),
		cmocka_unit_test(strings_are_copied_with_a_nul),
		cmocka_unit_test(formatted_strings_have_room_for_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
