/* The window of open tasks by number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/c/src/table.h"
#include "proto/base/alloc.h"
#include "proto/base/errcode.h"

/* Any pointer will do: the table never looks behind it. */
static struct remuda_future *mark(uint64_t number)
{
	return (struct remuda_future *)(uintptr_t)(number * 8 + 8);
}

static void gives_back_what_was_put(void **state)
{
	struct rmd_table table;
	(void)state;
	rmd_table_init(&table, 1);
	for (uint64_t n = 1; n <= 5000; n++)
		assert_int_equal(rmd_table_put(&table, n, mark(n)), 0);
	assert_ptr_equal(rmd_table_get(&table, 4999), mark(4999));
	assert_null(rmd_table_get(&table, 5001));
	assert_null(rmd_table_take(&table, 0));
	for (uint64_t n = 5000; n >= 1; n--) {
		assert_ptr_equal(rmd_table_take(&table, n), mark(n));
		assert_null(rmd_table_take(&table, n));
	}
	assert_int_equal(table.live, 0);
	rmd_table_fini(&table);
}

static void one_old_task_does_not_hold_the_memory_of_all_newer_ones(void **state)
{
	struct rmd_table table;
	(void)state;
	rmd_table_init(&table, 1);
	assert_int_equal(rmd_table_put(&table, 1, mark(1)), 0);
	for (uint64_t n = 2; n <= 300000; n++) {
		assert_int_equal(rmd_table_put(&table, n, mark(n)), 0);
		assert_ptr_equal(rmd_table_take(&table, n), mark(n));
	}
	size_t held = 0;
	for (size_t i = 0; i < table.count; i++)
		held += table.segments[(table.first + i) & (table.capacity - 1)] != NULL;
	assert_in_range(held, 1, 2);
	assert_ptr_equal(rmd_table_take(&table, 1), mark(1));
	assert_int_equal(table.count, 1);
	rmd_table_fini(&table);
}

static void a_steady_stream_needs_no_more_memory(void **state)
{
	struct rmd_table table;
	(void)state;
	rmd_table_init(&table, 77);
	for (uint64_t n = 77; n < 100000; n++) {
		assert_int_equal(rmd_table_put(&table, n, mark(n)), 0);
		assert_ptr_equal(rmd_table_take(&table, n), mark(n));
		assert_in_range(table.count, 1, 2);
	}
	assert_int_equal(table.capacity, 8);
	rmd_table_fini(&table);
}

static void walks_upwards_over_gaps(void **state)
{
	struct rmd_table table;
	uint64_t number = 0;
	(void)state;
	rmd_table_init(&table, 1);
	for (uint64_t n = 1; n <= 3000; n++)
		assert_int_equal(rmd_table_put(&table, n, mark(n)), 0);
	for (uint64_t n = 1; n <= 3000; n++)
		if (n != 7 && n != 2900)
			rmd_table_take(&table, n);
	assert_ptr_equal(rmd_table_next(&table, &number), mark(7));
	assert_int_equal(number, 7);
	number++;
	assert_ptr_equal(rmd_table_next(&table, &number), mark(2900));
	number++;
	assert_null(rmd_table_next(&table, &number));
	rmd_table_take(&table, 7);
	rmd_table_take(&table, 2900);
	rmd_table_fini(&table);
}

static void a_failed_put_changes_nothing(void **state)
{
	struct rmd_table table;
	(void)state;
	rmd_table_init(&table, 1);
	for (uint64_t n = 1; n <= 2; n++) {
		rmd_alloc_fail_at(n);
		assert_int_equal(rmd_table_put(&table, 1, mark(1)), RMD_ENOMEM);
		rmd_alloc_fail_at(0);
		assert_int_equal(table.live, 0);
		assert_null(rmd_table_get(&table, 1));
	}
	assert_int_equal(rmd_table_put(&table, 1, mark(1)), 0);
	assert_ptr_equal(rmd_table_take(&table, 1), mark(1));
	rmd_table_fini(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_back_what_was_put),
		cmocka_unit_test(one_old_task_does_not_hold_the_memory_of_all_newer_ones),
		cmocka_unit_test(a_steady_stream_needs_no_more_memory),
		cmocka_unit_test(walks_upwards_over_gaps),
		cmocka_unit_test(a_failed_put_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
