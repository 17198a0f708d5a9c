#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/base/map.h"

#define KEYS 700u
#define OPS 200000u

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static int values[KEYS];

/* Keys that differ in their low, high or all bits. */
static uint64_t key_of(size_t i, int spread)
{
	return spread == 0   ? i
	       : spread == 1 ? (uint64_t)i << 54
			     : i * UINT64_C(0x9e3779b97f4a7c15);
}

static void walk_finds_what_is_there(const struct rmd_map *map, void *const *model,
				     size_t count)
{
	size_t cursor = 0, found = 0;
	uint8_t seen[KEYS] = {0};
	for (int *value; (value = rmd_map_next(map, &cursor)) != NULL; found++) {
		size_t i = (size_t)(value - values);
		assert_true(i < KEYS && model[i] == value && !seen[i]);
		seen[i] = 1;
	}
	assert_int_equal(found, count);
}

static void random_operations_agree_with_a_model(void **state)
{
	(void)state;
	for (int spread = 0; spread < 3; spread++) {
		struct rmd_map map;
		void *model[KEYS] = {0};
		size_t count = 0;
		rmd_map_init(&map, (uint64_t)spread * 77);
		for (size_t op = 0; op < OPS; op++) {
			size_t i = (size_t)(next_random() >> 20) % KEYS;
			uint64_t key = key_of(i, spread);
			switch (next_random() >> 30 & 3) {
			case 0:
			case 1: {
				int rc = rmd_map_put(&map, key, &values[i]);
				assert_int_equal(rc, model[i] != NULL ? RMD_EEXIST : 0);
				count += model[i] == NULL;
				model[i] = &values[i];
				break;
			}
			case 2:
				assert_ptr_equal(rmd_map_take(&map, key), model[i]);
				count -= model[i] != NULL;
				model[i] = NULL;
				break;
			default:
				assert_ptr_equal(rmd_map_get(&map, key), model[i]);
			}
			assert_int_equal(map.count, count);
			if (op % 5000 == 0)
				walk_finds_what_is_there(&map, model, count);
		}
		for (size_t i = 0; i < KEYS; i++)
			assert_ptr_equal(rmd_map_get(&map, key_of(i, spread)), model[i]);
		rmd_map_fini(&map);
	}
}

static void an_empty_map_has_nothing(void **state)
{
	(void)state;
	struct rmd_map map;
	size_t cursor = 0;
	rmd_map_init(&map, 1);
	assert_null(rmd_map_get(&map, 0));
	assert_null(rmd_map_take(&map, 0));
	assert_null(rmd_map_next(&map, &cursor));
	rmd_map_fini(&map);
}

static void a_taken_key_keeps_its_first_value(void **state)
{
	(void)state;
	struct rmd_map map;
	rmd_map_init(&map, 1);
	assert_int_equal(rmd_map_put(&map, 5, &values[0]), 0);
	assert_int_equal(rmd_map_put(&map, 5, &values[1]), RMD_EEXIST);
	assert_ptr_equal(rmd_map_get(&map, 5), &values[0]);
	rmd_map_fini(&map);
}

static void a_map_that_cannot_grow_keeps_what_it_has(void **state)
{
	(void)state;
	struct rmd_map map;
	size_t put = 0;
	rmd_map_init(&map, 9);
	assert_int_equal(rmd_map_put(&map, 0, &values[0]), 0);
	rmd_alloc_fail_at(1);
	int rc = 0;
	while (rc == 0 && put < KEYS - 1) {
		put++;
		rc = rmd_map_put(&map, put, &values[put]);
	}
	rmd_alloc_fail_at(0);
	assert_int_equal(rc, RMD_ENOMEM);
	assert_int_equal(map.count, put);
	for (size_t i = 0; i < put; i++)
		assert_ptr_equal(rmd_map_get(&map, i), &values[i]);
	assert_null(rmd_map_get(&map, put));
	assert_int_equal(rmd_map_put(&map, put, &values[put]), 0);
	rmd_map_fini(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_agree_with_a_model),
		cmocka_unit_test(an_empty_map_has_nothing),
		cmocka_unit_test(a_taken_key_keeps_its_first_value),
		cmocka_unit_test(a_map_that_cannot_grow_keeps_what_it_has),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
