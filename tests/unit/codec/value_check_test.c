/* What has no wire form, and where it is: each limit of a value at and beyond it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "tests/unit/codec/values.h"

static struct rmd_arena arena;

static int arena_setup(void **state)
{
	(void)state;
	rmd_arena_init(&arena, 0);
	return 0;
}

static int arena_teardown(void **state)
{
	(void)state;
	rmd_arena_fini(&arena);
	return 0;
}

/* Encodes, in arena memory. */
static struct rmd_slice encoded(const struct remuda_value *value)
{
	struct rmd_wire_writer writer = {0};
	rmd_value_put(&writer, value);
	assert_false(writer.failed);
	struct rmd_slice bytes = rmd_slice_of(writer.data, writer.len);
	bytes.data = (const uint8_t *)rmd_arena_copy(&arena, bytes);
	rmd_wire_writer_fini(&writer);
	return bytes;
}

static void round_trip(const struct remuda_value *value)
{
	struct rmd_value_fault fault;
	struct remuda_value back;
	assert_int_equal(rmd_value_check(value, &fault), 0);
	struct rmd_slice bytes = encoded(value);
	assert_int_equal(rmd_value_get(bytes, &arena, &back), 0);
	assert_true(rmd_value_equal(value, &back));
	assert_int_equal(rmd_value_check(&back, &fault), 0);
	struct rmd_slice again = encoded(&back);
	assert_true(rmd_slice_equal(bytes, again));
}

static void faulty(struct remuda_value value, const char *path, const char *why)
{
	struct rmd_value_fault fault;
	int rc = rmd_value_check(&value, &fault);
	assert_true(rc < 0);
	assert_string_equal(fault.path, path);
	assert_non_null(strstr(fault.why, why));
	assert_int_equal(rmd_value_check(&value, NULL), rc);
}

static void a_fault_is_named_with_its_place(void **state)
{
	(void)state;
	struct remuda_value bad = test_string("\xc3("), named = {.kind = REMUDA_NAMED};
	named.u.named.name = (struct remuda_string){"decimal", 7};
	named.u.named.value = &bad;
	struct remuda_entry entries[] = {
		{.key = test_string("good"), .value = test_int(1)},
		{.key = test_string("name"), .value = named},
	};
	struct remuda_value map = {.kind = REMUDA_MAP};
	map.u.map.entries = entries;
	map.u.map.len = 2;
	struct remuda_value items[] = {test_int(1), test_int(2), test_string("x"), map};
	struct remuda_value list = test_list(items, 4);
	struct remuda_value outer = test_list(&list, 1);
	faulty(outer, "[0][3].name.value", "UTF-8");
	entries[1].key = test_string("odd \"key\"\n");
	faulty(outer, "[0][3][\"odd ?key??\"].value", "UTF-8");
	entries[1].key = test_int(4);
	faulty(outer, "[0][3]{1}.value", "UTF-8");
	entries[1].key = bad;
	faulty(outer, "[0][3]{1:key}", "UTF-8");
	faulty(bad, "", "UTF-8");
}

static void a_deep_fault_keeps_to_the_path_buffer(void **state)
{
	(void)state;
	struct remuda_value value = test_string("\xff");
	struct remuda_entry entries[REMUDA_VALUE_DEPTH_MAX];
	for (size_t i = 0; i < REMUDA_VALUE_DEPTH_MAX - 1; i++) {
		entries[i].key = test_string("a_key_of_no_small_length_at_all");
		entries[i].value = value;
		value.kind = REMUDA_MAP;
		value.u.map.entries = &entries[i];
		value.u.map.len = 1;
	}
	struct rmd_value_fault fault;
	assert_int_equal(rmd_value_check(&value, &fault), RMD_EINVAL);
	assert_int_equal(strlen(fault.path), sizeof fault.path - 1);
}

static struct remuda_value array_of(enum remuda_dtype dtype, uint32_t rank,
				    const uint64_t *shape, size_t data_bytes)
{
	static const uint8_t zeros[64];
	struct remuda_value value = {.kind = REMUDA_ARRAY};
	value.u.array = (struct remuda_array){dtype, rank, shape, zeros, data_bytes};
	return value;
}

static void arrays_must_be_as_long_as_their_shape(void **state)
{
	(void)state;
	uint64_t shape[REMUDA_ARRAY_RANK_MAX + 1];
	for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
		shape[i] = 1;
	struct remuda_value good =
		array_of(REMUDA_DTYPE_INT64, REMUDA_ARRAY_RANK_MAX, shape, 8);
	round_trip(&good);
	faulty(array_of(REMUDA_DTYPE_INT64, REMUDA_ARRAY_RANK_MAX + 1, shape, 8), "",
	       "dimensions");
	faulty(array_of((enum remuda_dtype)0, 1, shape, 1), "", "dtype");
	faulty(array_of((enum remuda_dtype)15, 1, shape, 1), "", "dtype");
	shape[0] = 3;
	faulty(array_of(REMUDA_DTYPE_INT16, 2, shape, 8), "", "shape");
	shape[0] = shape[1] = UINT64_C(1) << 32;
	faulty(array_of(REMUDA_DTYPE_INT8, 2, shape, 0), "", "beyond all memory");
	shape[2] = 0;
	struct remuda_value empty = array_of(REMUDA_DTYPE_INT8, 3, shape, 0);
	round_trip(&empty);
}

static struct remuda_value timed(enum remuda_kind kind, int64_t seconds, int32_t nanos)
{
	struct remuda_value value = {.kind = kind};
	value.u.time.seconds = seconds;
	value.u.time.nanos = nanos;
	return value;
}

static void times_keep_to_their_ranges(void **state)
{
	(void)state;
	const int64_t year_1 = INT64_C(-62135596800), year_9999 = INT64_C(253402300799);
	struct remuda_value good[] = {
		timed(REMUDA_TIMESTAMP, year_1, 0),
		timed(REMUDA_TIMESTAMP, year_9999, 999999999),
		timed(REMUDA_DURATION, INT64_C(315576000000), 999999999),
		timed(REMUDA_DURATION, -5, -1),
		timed(REMUDA_DURATION, 0, -1),
	};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		round_trip(&good[i]);
	faulty(timed(REMUDA_TIMESTAMP, year_1 - 1, 0), "", "years");
	faulty(timed(REMUDA_TIMESTAMP, year_9999 + 1, 0), "", "years");
	faulty(timed(REMUDA_TIMESTAMP, 0, -1), "", "nanoseconds");
	faulty(timed(REMUDA_TIMESTAMP, 0, 1000000000), "", "nanoseconds");
	faulty(timed(REMUDA_DURATION, INT64_C(315576000001), 0), "", "seconds");
	faulty(timed(REMUDA_DURATION, 1, -1), "", "sign");
	faulty(timed(REMUDA_DURATION, 0, -1000000000), "", "nanoseconds");
}

static void names_have_a_greatest_length(void **state)
{
	(void)state;
	char name[REMUDA_FUNCTION_NAME_MAX + 2];
	memset(name, 'n', sizeof name);
	name[sizeof name - 1] = '\0';
	struct remuda_value inner = {.kind = REMUDA_NULL};
	struct remuda_value function = {.kind = REMUDA_FUNCTION};
	struct remuda_value named = {.kind = REMUDA_NAMED},
			    opaque = {.kind = REMUDA_OPAQUE};
	named.u.named.value = &inner;
	struct {
		struct remuda_value *value;
		struct remuda_string *text;
		size_t max;
	} cases[] = {
		{&function, &function.u.string, REMUDA_FUNCTION_NAME_MAX},
		{&named, &named.u.named.name, REMUDA_NAMED_NAME_MAX},
		{&opaque, &opaque.u.opaque.codec, REMUDA_OPAQUE_CODEC_MAX},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct remuda_value back;
		*cases[i].text = (struct remuda_string){name, cases[i].max};
		round_trip(cases[i].value);
		cases[i].text->len++;
		faulty(*cases[i].value, "", "name over");
		struct rmd_slice bytes = encoded(cases[i].value);
		assert_int_equal(rmd_value_get(bytes, &arena, &back), RMD_EPROTO);
	}
}

static void big_integers_are_in_their_shortest_form(void **state)
{
	(void)state;
	struct remuda_value value = {.kind = REMUDA_BIGINT}, back;
	faulty(value, "", "without bytes");
	value.u.bytes = (struct remuda_bytes){"\x01\x00", 2};
	faulty(value, "", "shortest");
	value.u.bytes = (struct remuda_bytes){"\x80\xff", 2};
	faulty(value, "", "shortest");
	uint8_t *long_one = rmd_calloc(REMUDA_BIGINT_MAX + 1, 1);
	long_one[REMUDA_BIGINT_MAX - 1] = 1;
	long_one[REMUDA_BIGINT_MAX] = 1;
	value.u.bytes = (struct remuda_bytes){long_one, REMUDA_BIGINT_MAX};
	round_trip(&value);
	value.u.bytes.len++;
	faulty(value, "", "65536");
	struct rmd_slice bytes = encoded(&value);
	assert_int_equal(rmd_value_get(bytes, &arena, &back), RMD_EPROTO);
	rmd_free(long_one);
}

static void odd_structs_are_refused_and_not_followed(void **state)
{
	(void)state;
	struct remuda_value value = {.kind = (enum remuda_kind)99};
	faulty(value, "", "unknown kind");
	struct rmd_wire_writer writer = {0};
	rmd_value_put(&writer, &value);
	assert_true(writer.failed);
	rmd_wire_writer_fini(&writer);
	value = (struct remuda_value){.kind = REMUDA_NAMED};
	faulty(value, "", "without a value");
	value = (struct remuda_value){.kind = REMUDA_LIST};
	value.u.list.len = 3;
	faulty(value, "", "without items");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, arena_setup, arena_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_fault_is_named_with_its_place),
		TEST(a_deep_fault_keeps_to_the_path_buffer),
		TEST(arrays_must_be_as_long_as_their_shape),
		TEST(times_keep_to_their_ranges),
		TEST(names_have_a_greatest_length),
		TEST(big_integers_are_in_their_shortest_form),
		TEST(odd_structs_are_refused_and_not_followed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
