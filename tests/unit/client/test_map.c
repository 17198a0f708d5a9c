/* remuda_map: order, window, chunks, the source's own errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <remuda/remuda.h>

#include "tests/unit/client/fake.h"

struct pair {
	struct fake *fake;
	struct remuda *client;
};

static int setup(void **state)
{
	struct pair *pair = calloc(1, sizeof *pair);
	struct fake_options options = {0};
	pair->fake = fake_start(&options);
	pair->client = remuda_open(fake_address(pair->fake));
	*state = pair;
	return remuda_status(pair->client, NULL);
}

static int teardown(void **state)
{
	struct pair *pair = *state;
	remuda_close(pair->client);
	fake_stop(pair->fake);
	free(pair);
	return 0;
}

/* The numbers from `next` to `end`, then 0 or `code`. */
struct numbers {
	int64_t next, end, most_ahead, *taken;
	int code;
	struct remuda_arg arg;
};

static int next_number(void *ctx, struct remuda_item *ret_item)
{
	struct numbers *numbers = ctx;
	if (numbers->next == numbers->end)
		return numbers->code;
	if (numbers->taken != NULL &&
	    numbers->next - *numbers->taken > numbers->most_ahead)
		numbers->most_ahead = numbers->next - *numbers->taken;
	numbers->arg = remuda_arg_int64(numbers->next++);
	*ret_item = (struct remuda_item){&numbers->arg, 1};
	return 1;
}

static void results_come_in_the_order_of_the_items(void **state)
{
	struct pair *pair = *state;
	int64_t taken = 0;
	struct numbers numbers = {.end = 5000, .taken = &taken};
	struct remuda_map_options options = REMUDA_MAP_OPTIONS_INIT;
	struct remuda_future *future;
	uint64_t index;
	options.window = 64;
	options.chunk = 16;
	struct remuda_mapping *map =
		remuda_map(pair->client, "x:echo", next_number, &numbers, &options);
	while (remuda_map_next(map, -1, &future, &index) == 0) {
		int64_t got = -1;
		assert_true(remuda_done(future));
		assert_int_equal(remuda_get(future, &got, NULL), 0);
		assert_int_equal(got, taken);
		assert_int_equal(index, taken);
		taken++;
	}
	assert_int_equal(taken, 5000);
	assert_in_range(numbers.most_ahead, 16, 63);
	assert_int_equal(remuda_map_next(map, -1, &future, NULL), REMUDA_ENOTFOUND);
	remuda_map_close(map);
	assert_in_range(fake_counts(pair->fake).open_most, 1, 64);
}

static void as_completed_gives_each_item_once_with_its_index(void **state)
{
	struct pair *pair = *state;
	struct numbers numbers = {.end = 3000};
	struct remuda_map_options options = REMUDA_MAP_OPTIONS_INIT;
	struct remuda_future *future;
	uint64_t index;
	char *seen = calloc(3000, 1);
	int count = 0;
	options.as_completed = true;
	options.window = 50;
	struct remuda_mapping *map =
		remuda_map(pair->client, "x:echo", next_number, &numbers, &options);
	while (remuda_map_next(map, -1, &future, &index) == 0) {
		int64_t got = -1;
		assert_int_equal(remuda_get(future, &got, NULL), 0);
		assert_int_equal(got, index);
		assert_false(seen[got]);
		seen[got] = 1;
		count++;
	}
	assert_int_equal(count, 3000);
	remuda_map_close(map);
	free(seen);
}

static void a_slow_task_holds_up_the_order_but_not_the_others(void **state)
{
	struct pair *pair = *state;
	struct remuda_future *future;
	struct numbers numbers = {.end = 1};
	struct remuda_mapping *map =
		remuda_map(pair->client, "x:hold", next_number, &numbers, NULL);
	assert_int_equal(remuda_map_next(map, 0, &future, NULL), REMUDA_ETIMEOUT);
	assert_int_equal(remuda_map_next(map, 5, &future, NULL), REMUDA_ETIMEOUT);
	FAKE_AWAIT(pair->fake, submits, 1);
	assert_int_equal(
		remuda_get(remuda_submit_name(pair->client, "x:echo", 1), NULL, NULL), 0);
	fake_release(pair->fake);
	assert_int_equal(remuda_map_next(map, -1, &future, NULL), 0);
	remuda_future_free(future);
	remuda_map_close(map);
}

static void a_failed_item_is_a_result_like_others(void **state)
{
	struct pair *pair = *state;
	struct numbers numbers = {.end = 3};
	struct remuda_future *future;
	int failed = 0;
	struct remuda_mapping *map =
		remuda_map(pair->client, "x:fail", next_number, &numbers, NULL);
	while (remuda_map_next(map, -1, &future, NULL) == 0)
		failed += remuda_get(future, NULL, NULL) == REMUDA_ETASK;
	assert_int_equal(failed, 3);
	remuda_map_close(map);
}

static void the_sources_own_code_comes_after_the_results_before_it(void **state)
{
	struct pair *pair = *state;
	struct numbers numbers = {.end = 7, .code = -77};
	struct remuda_future *future;
	int count = 0, code;
	struct remuda_mapping *map =
		remuda_map(pair->client, "x:echo", next_number, &numbers, NULL);
	while ((code = remuda_map_next(map, -1, &future, NULL)) == 0) {
		remuda_future_free(future);
		count++;
	}
	assert_int_equal(count, 7);
	assert_int_equal(code, -77);
	remuda_map_close(map);
}

static void closing_early_cancels_the_rest(void **state)
{
	struct pair *pair = *state;
	struct remuda_map_options options = REMUDA_MAP_OPTIONS_INIT;
	struct remuda_future *future;
	for (int as_completed = 0; as_completed < 2; as_completed++) {
		struct numbers numbers = {.end = 100};
		options.as_completed = as_completed == 1;
		options.window = 10;
		options.chunk = 10;
		struct remuda_mapping *map = remuda_map(pair->client, "x:hold",
							next_number, &numbers, &options);
		assert_int_equal(remuda_map_next(map, 0, &future, NULL), REMUDA_ETIMEOUT);
		remuda_map_close(map);
		FAKE_AWAIT(pair->fake, cancels, 10 * ((uint64_t)as_completed + 1));
	}
	FAKE_AWAIT(pair->fake, acks, 20);
}

static void closing_does_not_wait_for_tasks_that_hear_no_cancel(void **state)
{
	struct pair *pair = *state;
	struct remuda_map_options options = REMUDA_MAP_OPTIONS_INIT;
	struct numbers numbers = {.end = 10};
	struct remuda_future *future;
	options.as_completed = true;
	struct remuda_mapping *map =
		remuda_map(pair->client, "x:deaf", next_number, &numbers, &options);
	assert_int_equal(remuda_map_next(map, 0, &future, NULL), REMUDA_ETIMEOUT);
	remuda_map_close(map);
	FAKE_AWAIT(pair->fake, submits, 10);
}

static void an_array_is_mapped_value_by_value(void **state)
{
	struct pair *pair = *state;
	struct remuda_value items[3] = {{.kind = REMUDA_STRING, .u.string = {"a", 1}},
					{.kind = REMUDA_INT64, .u.int64 = 2},
					{.kind = REMUDA_NULL}};
	static const enum remuda_kind kinds[] = {REMUDA_STRING, REMUDA_INT64,
						 REMUDA_NULL};
	struct remuda_future *future;
	uint64_t index;
	int count = 0;
	struct remuda_mapping *map =
		remuda_map_array(pair->client, "x:echo", items, 3, NULL);
	while (remuda_map_next(map, -1, &future, &index) == 0) {
		struct remuda_value value;
		assert_int_equal(remuda_get(future, &value, NULL), 0);
		assert_int_equal(value.kind, kinds[index]);
		remuda_value_free(&value);
		count++;
	}
	assert_int_equal(count, 3);
	remuda_map_close(map);
	map = remuda_map_array(pair->client, "x:echo", NULL, 0, NULL);
	assert_int_equal(remuda_map_next(map, -1, &future, NULL), REMUDA_ENOTFOUND);
	remuda_map_close(map);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(results_come_in_the_order_of_the_items),
		WITH(as_completed_gives_each_item_once_with_its_index),
		WITH(a_slow_task_holds_up_the_order_but_not_the_others),
		WITH(a_failed_item_is_a_result_like_others),
		WITH(the_sources_own_code_comes_after_the_results_before_it),
		WITH(closing_early_cancels_the_rest),
		WITH(closing_does_not_wait_for_tasks_that_hear_no_cancel),
		WITH(an_array_is_mapped_value_by_value),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
