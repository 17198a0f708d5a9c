#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/arena.h"

static void allocations_are_aligned_and_do_not_overlap(void **state)
{
	(void)state;
	struct rmd_arena arena;
	uint8_t *given[400];
	rmd_arena_init(&arena, 0);
	for (int round = 0; round < 3; round++) {
		size_t total = 0;
		for (size_t i = 0; i < 400; i++) {
			size_t size = i * i % 3000;
			given[i] = rmd_arena_alloc(&arena, size);
			assert_non_null(given[i]);
			assert_int_equal((uintptr_t)given[i] % 16, 0);
			memset(given[i], (int)i & 0xff, size);
			total += size;
		}
		assert_int_equal(arena.used_bytes, total);
		for (size_t i = 0; i < 400; i++)
			for (size_t j = 0; j < i * i % 3000; j++)
				if (given[i][j] != (i & 0xff))
					fail_msg("allocation %zu was written to", i);
		rmd_arena_reset(&arena);
		assert_int_equal(arena.used_bytes, 0);
	}
	rmd_arena_fini(&arena);
}

static void a_large_allocation_gets_a_block_of_its_own(void **state)
{
	(void)state;
	struct rmd_arena arena;
	rmd_arena_init(&arena, 0);
	uint8_t *small = rmd_arena_alloc(&arena, 10);
	uint8_t *large = rmd_arena_alloc(&arena, 3000000);
	memset(small, 1, 10);
	memset(large, 2, 3000000);
	assert_int_equal(small[9], 1);
	rmd_arena_reset(&arena);
	rmd_arena_reset(&arena);
	assert_non_null(rmd_arena_alloc(&arena, 10));
	rmd_arena_fini(&arena);
}

static void the_limit_is_kept_to_the_byte(void **state)
{
	(void)state;
	struct rmd_arena arena;
	rmd_arena_init(&arena, 100);
	assert_non_null(rmd_arena_alloc(&arena, 60));
	assert_null(rmd_arena_alloc(&arena, 41));
	assert_null(rmd_arena_alloc(&arena, SIZE_MAX));
	assert_non_null(rmd_arena_alloc(&arena, 40));
	assert_null(rmd_arena_alloc(&arena, 1));
	assert_int_equal(arena.used_bytes, 100);
	rmd_arena_reset(&arena);
	assert_non_null(rmd_arena_alloc(&arena, 100));
	rmd_arena_fini(&arena);
}

static void calloc_zeroes_what_was_used_before(void **state)
{
	(void)state;
	struct rmd_arena arena;
	rmd_arena_init(&arena, 0);
	memset(rmd_arena_alloc(&arena, 500), 0xff, 500);
	rmd_arena_reset(&arena);
	uint8_t *bytes = rmd_arena_calloc(&arena, 50, 10);
	for (size_t i = 0; i < 500; i++)
		assert_int_equal(bytes[i], 0);
	assert_null(rmd_arena_calloc(&arena, SIZE_MAX / 2, 4));
	rmd_arena_fini(&arena);
}

static void copies_end_with_a_nul(void **state)
{
	(void)state;
	struct rmd_arena arena;
	rmd_arena_init(&arena, 0);
	char *copy = rmd_arena_copy(&arena, rmd_slice_of("abcdef", 3));
	assert_string_equal(copy, "abc");
	assert_string_equal(rmd_arena_copy(&arena, rmd_slice_of(NULL, 0)), "");
	rmd_arena_fini(&arena);
}

static void an_arena_without_memory_stays_whole(void **state)
{
	(void)state;
	struct rmd_arena arena;
	rmd_arena_init(&arena, 0);
	rmd_alloc_fail_at(1);
	assert_null(rmd_arena_alloc(&arena, 10));
	assert_int_equal(arena.used_bytes, 0);
	char *text = rmd_arena_copy(&arena, rmd_slice_of_string("there again"));
	rmd_alloc_fail_at(0);
	assert_string_equal(text, "there again");
	rmd_arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocations_are_aligned_and_do_not_overlap),
		cmocka_unit_test(a_large_allocation_gets_a_block_of_its_own),
		cmocka_unit_test(the_limit_is_kept_to_the_byte),
		cmocka_unit_test(calloc_zeroes_what_was_used_before),
		cmocka_unit_test(copies_end_with_a_nul),
		cmocka_unit_test(an_arena_without_memory_stays_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
