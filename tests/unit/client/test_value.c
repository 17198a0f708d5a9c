/* Deep copies of values, and what happens when memory runs out on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <remuda/remuda.h>

#include "proto/base/alloc.h"
#include "proto/codec/value.h"

/* One value of every kind that points to something, in one list. */
struct all {
	uint64_t shape[2];
	int32_t data[6];
	int64_t ints[2];
	double doubles[2];
	struct remuda_value inner[3];
	struct remuda_entry entries[2];
	struct remuda_value named_inner;
	struct remuda_value items[16];
	struct remuda_value list;
};

static void fill(struct all *all)
{
	*all = (struct all){.shape = {2, 3},
			    .data = {1, 2, 3, 4, 5, 6},
			    .ints = {-1, 2},
			    .doubles = {0.5, -0.0}};
	struct remuda_string word = {"word", 4};
	struct remuda_bytes bytes = {"b\0b", 3};
	struct remuda_value *items = all->items;
	size_t n = 0;
	for (size_t i = 0; i < 3; i++)
		all->inner[i] = (struct remuda_value){.kind = REMUDA_INT64,
						      .u.int64 = (int64_t)i};
	all->named_inner =
		(struct remuda_value){.kind = REMUDA_STRING, .u.string = {"1.50", 4}};
	all->entries[0] = (struct remuda_entry){
		{.kind = REMUDA_STRING, .u.string = {"k", 1}}, {.kind = REMUDA_NULL}};
	all->entries[1] = (struct remuda_entry){{.kind = REMUDA_INT64, .u.int64 = 7},
						{.kind = REMUDA_BYTES, .u.bytes = bytes}};
	items[n++] = (struct remuda_value){.kind = REMUDA_STRING, .u.string = word};
	items[n++] = (struct remuda_value){.kind = REMUDA_STRING, .u.string = {"", 0}};
	items[n++] =
		(struct remuda_value){.kind = REMUDA_FUNCTION, .u.string = {"x:y", 3}};
	items[n++] = (struct remuda_value){.kind = REMUDA_BIGINT,
					   .u.bytes = {"\1\2\3\4\5\6\7\10\11", 9}};
	items[n++] =
		(struct remuda_value){.kind = REMUDA_TUPLE, .u.list = {all->inner, 3}};
	items[n++] = (struct remuda_value){.kind = REMUDA_SET, .u.list = {all->inner, 3}};
	items[n++] = (struct remuda_value){.kind = REMUDA_LIST, .u.list = {NULL, 0}};
	items[n++] =
		(struct remuda_value){.kind = REMUDA_MAP, .u.map = {all->entries, 2}};
	items[n++] = (struct remuda_value){.kind = REMUDA_ARRAY,
					   .u.array = {REMUDA_DTYPE_INT32, 2, all->shape,
						       all->data, sizeof all->data}};
	items[n++] =
		(struct remuda_value){.kind = REMUDA_ANY, .u.any = {{"a/b.C", 5}, bytes}};
	items[n++] = (struct remuda_value){
		.kind = REMUDA_NAMED, .u.named = {{"decimal", 7}, &all->named_inner}};
	items[n++] = (struct remuda_value){.kind = REMUDA_OPAQUE,
					   .u.opaque = {{"pickle", 6}, bytes}};
	items[n++] = (struct remuda_value){.kind = REMUDA_INTS, .u.ints = {all->ints, 2}};
	items[n++] = (struct remuda_value){.kind = REMUDA_DOUBLES,
					   .u.doubles = {all->doubles, 2}};
	items[n++] = (struct remuda_value){.kind = REMUDA_TIMESTAMP, .u.time = {5, 6}};
	items[n++] = (struct remuda_value){.kind = REMUDA_BOOLEAN, .u.boolean = true};
	assert_int_equal(n, 16);
	all->list = (struct remuda_value){.kind = REMUDA_LIST, .u.list = {items, n}};
}

static void a_copy_is_equal_and_independent(void **state)
{
	struct all all;
	struct remuda_value copy;
	(void)state;
	fill(&all);
	for (size_t i = 0; i <= 16; i++) {
		const struct remuda_value *value = i < 16 ? &all.items[i] : &all.list;
		assert_int_equal(remuda_value_copy(value, &copy), 0);
		assert_true(rmd_value_equal(value, &copy));
		remuda_value_free(&copy);
		remuda_value_free(&copy);    /* null by now */
	}
	assert_int_equal(remuda_value_copy(&all.list, &copy), 0);
	memset(&all, 0x55, sizeof all);
	fill(&all);
	assert_true(rmd_value_equal(&all.list, &copy));
	assert_string_equal(copy.u.list.items[0].u.string.data, "word");
	remuda_value_free(&copy);
	remuda_value_free(NULL);
}

static void a_copy_goes_as_deep_as_values_may_and_no_deeper(void **state)
{
	struct remuda_value levels[REMUDA_VALUE_DEPTH_MAX + 1], copy;
	(void)state;
	levels[0] = (struct remuda_value){.kind = REMUDA_INT64, .u.int64 = 1};
	for (size_t i = 1; i <= REMUDA_VALUE_DEPTH_MAX; i++)
		levels[i] = (struct remuda_value){.kind = REMUDA_LIST,
						  .u.list = {&levels[i - 1], 1}};
	assert_int_equal(remuda_value_copy(&levels[REMUDA_VALUE_DEPTH_MAX - 1], &copy),
			 0);
	remuda_value_free(&copy);
	assert_int_equal(remuda_value_copy(&levels[REMUDA_VALUE_DEPTH_MAX], &copy),
			 REMUDA_ETOOBIG);
}

static void a_copy_without_memory_says_so(void **state)
{
	struct all all;
	struct remuda_value copy = {.kind = REMUDA_INT64, .u.int64 = 5};
	(void)state;
	fill(&all);
	rmd_alloc_fail_at(1);
	assert_int_equal(remuda_value_copy(&all.list, &copy), REMUDA_ENOMEM);
	rmd_alloc_fail_at(0);
	assert_int_equal(copy.u.int64, 5);
}

/* The client could not open, so nobody else allocates meanwhile. */
static void each_allocation_of_a_submit_may_fail(void **state)
{
	struct remuda *client = remuda_open("unix:/nonexistent/remuda.sock");
	const char *labels[] = {"key=value", NULL};
	struct remuda_task_options options = REMUDA_TASK_OPTIONS_INIT;
	struct remuda_bytes large = {calloc(1, 20000), 20000};
	uint64_t n = 0, asked;
	(void)state;
	options.labels = labels;
	do {
		struct remuda_error *err = NULL;
		rmd_alloc_fail_at(++n);
		struct remuda_future *future =
			remuda_submit_name_with(client, &options, "x:echo", 1, large);
		int code = remuda_get(future, NULL, &err);
		asked = rmd_alloc_count();
		rmd_alloc_fail_at(0);
		assert_true(code < 0);
		assert_non_null(err);
		remuda_error_free(err);
	} while (n <= asked);
	assert_in_range(n, 5, 200);
	free((void *)(uintptr_t)large.data);
	remuda_close(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_is_equal_and_independent),
		cmocka_unit_test(a_copy_goes_as_deep_as_values_may_and_no_deeper),
		cmocka_unit_test(a_copy_without_memory_says_so),
		cmocka_unit_test(each_allocation_of_a_submit_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
