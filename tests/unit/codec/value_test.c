#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "tests/unit/codec/values.h"

#define ROUNDS 20000

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

static int decode(const void *bytes, size_t len, struct remuda_value *ret)
{
	return rmd_value_get(rmd_slice_of(bytes, len), &arena, ret);
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

static void random_values_of_every_kind_come_back_as_they_went(void **state)
{
	(void)state;
	struct test_random random = {.state = 42};
	unsigned seen[REMUDA_DOUBLES + 1] = {0};
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct remuda_value value = test_value_random(&random, &arena, 1 + i % 5);
		seen[value.kind]++;
		round_trip(&value);
		rmd_arena_reset(&arena);
	}
	for (int kind = REMUDA_NULL; kind <= REMUDA_DOUBLES; kind++)
		assert_true(seen[kind] > ROUNDS / 60);
}

static void every_bit_of_a_float_is_kept(void **state)
{
	(void)state;
	static const uint64_t bits[] = {
		0,
		UINT64_C(0x8000000000000000),
		1,
		UINT64_C(0x7ff0000000000001),
		UINT64_C(0xfff8000000000000),
		UINT64_C(0x7ff8dead00beef00),
		UINT64_MAX,
	};
	for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
		struct remuda_value value = {.kind = REMUDA_FLOAT64}, back;
		uint64_t kept;
		value.u.float64 = rmd_wire_double(bits[i]);
		struct rmd_slice bytes = encoded(&value);
		assert_int_equal(rmd_value_get(bytes, &arena, &back), 0);
		memcpy(&kept, &back.u.float64, sizeof kept);
		assert_true(kept == bits[i]);
	}
}

static void integers_come_back_in_their_narrowest_kind(void **state)
{
	(void)state;
	static const struct {
		size_t len;
		uint8_t bytes[10];
		enum remuda_kind kind;
		uint64_t bits;
	} cases[] = {
		{0, {0}, REMUDA_INT64, 0},
		{1, {5}, REMUDA_INT64, 5},
		{1, {0xff}, REMUDA_INT64, UINT64_MAX},
		{3, {5, 0, 0}, REMUDA_INT64, 5},
		{8, {0, 0, 0, 0, 0, 0, 0, 0x80}, REMUDA_INT64, UINT64_C(1) << 63},
		{9, {0, 0, 0, 0, 0, 0, 0, 0x80, 0}, REMUDA_UINT64, UINT64_C(1) << 63},
		{9, {0, 0, 0, 0, 0, 0, 0, 0x80, 0xff}, REMUDA_INT64, UINT64_C(1) << 63},
		{10,
		 {255, 255, 255, 255, 255, 255, 255, 255, 0, 0},
		 REMUDA_UINT64,
		 UINT64_MAX},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t wire[20] = {0x2a, (uint8_t)(cases[i].len + 2), 0x0a,
				    (uint8_t)cases[i].len};
		struct remuda_value value;
		memcpy(wire + 4, cases[i].bytes, cases[i].len);
		assert_int_equal(decode(wire, 4 + cases[i].len, &value), 0);
		assert_int_equal(value.kind, cases[i].kind);
		assert_true(value.u.uint64 == cases[i].bits);
	}
	struct remuda_value value;
	assert_int_equal(decode("\x20\x07", 2, &value), 0); /* uint64: 7 */
	assert_int_equal(value.kind, REMUDA_INT64);
	assert_int_equal(value.u.int64, 7);
}

static void spellings_of_one_value_are_equal(void **state)
{
	(void)state;
	static const int64_t ints[] = {1, -2};
	struct remuda_value items[] = {test_int(1), test_int(-2)};
	struct remuda_value list = test_list(items, 2), packed = {.kind = REMUDA_INTS};
	packed.u.ints = (struct remuda_int64s){ints, 2};
	assert_true(rmd_value_equal(&list, &packed));
	struct remuda_value small = {.kind = REMUDA_UINT64}, seven = test_int(7);
	small.u.uint64 = 7;
	assert_true(rmd_value_equal(&small, &seven));
	struct remuda_value big = {.kind = REMUDA_BIGINT};
	big.u.bytes = (struct remuda_bytes){"\x07", 1};
	assert_true(rmd_value_equal(&big, &seven));
	struct remuda_value real = {.kind = REMUDA_FLOAT64};
	real.u.float64 = 7;
	assert_false(rmd_value_equal(&real, &seven));
	struct rmd_slice bytes = encoded(&big);
	assert_true(rmd_slice_equal(bytes, rmd_slice_of("\x18\x0e", 2)));
}

static void integers_of_all_kinds_are_in_order(void **state)
{
	(void)state;
	struct remuda_value in_order[8];
	static const char *const low[] = {"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80",
					  "\xff\xff\xff\xff\xff\xff\xff\xff\x7f\xff"};
	for (size_t i = 0; i < 2; i++) {
		in_order[i].kind = REMUDA_BIGINT;
		in_order[i].u.bytes = (struct remuda_bytes){low[i], 10};
	}
	in_order[2] = test_int(INT64_MIN);
	in_order[3] = test_int(-1);
	in_order[4] = test_int(0);
	in_order[5] = test_int(INT64_MAX);
	in_order[6].kind = REMUDA_UINT64;
	in_order[6].u.uint64 = UINT64_C(1) << 63;
	in_order[7].kind = REMUDA_BIGINT;
	in_order[7].u.bytes = (struct remuda_bytes){"\0\0\0\0\0\0\0\0\1", 9};
	for (int i = 0; i < 8; i++)
		for (int j = 0; j < 8; j++) {
			int rc = rmd_value_compare(&in_order[i], &in_order[j]);
			assert_int_equal((rc > 0) - (rc < 0), (i > j) - (i < j));
		}
}

static void what_is_not_known_is_skipped_and_the_last_kind_counts(void **state)
{
	(void)state;
	struct remuda_value value;
	assert_int_equal(decode("", 0, &value), 0);
	assert_int_equal(value.kind, REMUDA_NULL);
	/* field 99 (varint), int64 3, field 100 (bytes) */
	assert_int_equal(decode("\x98\x06\x01\x18\x06\xa2\x06\x01x", 9, &value), 0);
	assert_int_equal(value.kind, REMUDA_INT64);
	assert_int_equal(value.u.int64, 3);
	/* boolean, then string "a", then int64 with another wire type: a stranger */
	assert_int_equal(decode("\x10\x01\x42\x01"
				"a\x1a\x00",
				7, &value),
			 0);
	assert_int_equal(value.kind, REMUDA_STRING);
	assert_string_equal(value.u.string.data, "a");
	/* a list of one, then a list of none: not merged */
	assert_int_equal(decode("\x52\x02\x0a\x00\x52\x00", 6, &value), 0);
	assert_int_equal(value.kind, REMUDA_LIST);
	assert_int_equal(value.u.list.len, 0);
}

static void packed_lists_read_in_chunks_and_singly(void **state)
{
	(void)state;
	static const uint8_t wire[] = {
		0xb2, 0x01, 21, 0x0a, 8, 1, 0, 0, 0, 0, 0,    0,
		0,    0x09, 2,	0,    0, 0, 0, 0, 0, 0, 0x0a, 0,
	};
	struct remuda_value value;
	assert_int_equal(decode(wire, sizeof wire, &value), 0);
	assert_int_equal(value.kind, REMUDA_INTS);
	assert_int_equal(value.u.ints.len, 2);
	assert_int_equal(value.u.ints.data[0], 1);
	assert_int_equal(value.u.ints.data[1], 2);
	/* seven bytes are no whole number of items */
	assert_int_equal(decode("\xb2\x01\x09\x0a\x07"
				"1234567",
				12, &value),
			 RMD_EPROTO);
}

static void aligned_arrays_are_borrowed_and_others_copied(void **state)
{
	(void)state;
	alignas(16) uint8_t block[256];
	int64_t numbers[4] = {1, 2, 3, 4};
	uint64_t shape[] = {4};
	struct remuda_value value = {.kind = REMUDA_ARRAY}, back;
	value.u.array = (struct remuda_array){REMUDA_DTYPE_INT64, 1, shape, numbers,
					      sizeof numbers};
	struct rmd_slice bytes = encoded(&value);
	bool borrowed = false, copied = false;
	for (size_t shift = 0; shift < 8; shift++) {
		memcpy(block + shift, bytes.data, bytes.len);
		assert_int_equal(decode(block + shift, bytes.len, &back), 0);
		assert_true(rmd_value_equal(&value, &back));
		assert_int_equal((uintptr_t)back.u.array.data % 8, 0);
		bool within = (const uint8_t *)back.u.array.data >= block &&
			      (const uint8_t *)back.u.array.data < block + sizeof block;
		borrowed |= within;
		copied |= !within;
	}
	assert_true(borrowed && copied);
}

static void thirty_levels_are_read_and_one_more_is_not(void **state)
{
	(void)state;
	struct rmd_value_fault fault;
	struct remuda_value deepest = test_nested(&arena, REMUDA_VALUE_DEPTH_MAX), back;
	round_trip(&deepest);
	struct remuda_value deeper = test_nested(&arena, REMUDA_VALUE_DEPTH_MAX + 1);
	assert_int_equal(rmd_value_check(&deeper, &fault), RMD_EDEPTH);
	struct rmd_wire_writer writer = {0};
	rmd_value_put(&writer, &deeper);
	assert_true(writer.failed);
	rmd_wire_writer_fini(&writer);

	/* the same by hand, as a hostile peer would: also with packed items at the bottom
	 */
	uint8_t wire[300];
	size_t at = sizeof wire;
	wire[--at] = 0;
	wire[--at] = 0x08;
	for (unsigned i = 0; i < REMUDA_VALUE_DEPTH_MAX; i++) {
		size_t len = sizeof wire - at;
		wire[--at] = (uint8_t)len;
		wire[--at] = 0x0a;
		wire[--at] = (uint8_t)(len + 2);
		wire[--at] = 0x52;
	}
	assert_int_equal(decode(wire + at, sizeof wire - at, &back), RMD_EDEPTH);
}

static void packed_items_are_a_level_of_their_own(void **state)
{
	(void)state;
	static const int64_t ints[] = {1, 2};
	struct remuda_value packed = {.kind = REMUDA_INTS}, back;
	struct remuda_value levels[REMUDA_VALUE_DEPTH_MAX];
	packed.u.ints = (struct remuda_int64s){ints, 2};
	levels[0] = packed;
	for (size_t i = 1; i < REMUDA_VALUE_DEPTH_MAX; i++)
		levels[i] = test_list(&levels[i - 1], 1);
	round_trip(&levels[REMUDA_VALUE_DEPTH_MAX - 2]);
	const struct remuda_value *deep = &levels[REMUDA_VALUE_DEPTH_MAX - 1];
	assert_int_equal(rmd_value_check(deep, NULL), RMD_EDEPTH);
	struct rmd_wire_writer writer = {0};
	rmd_value_put(&writer, deep);
	if (!writer.failed)
		assert_int_equal(decode(writer.data, writer.len, &back), RMD_EDEPTH);
	rmd_wire_writer_fini(&writer);
}

/* A list or map of `count` empty items of two bytes each: the most memory for the fewest
 * bytes. */
static uint8_t *crowd(uint8_t tag, size_t count, size_t *ret_len)
{
	struct rmd_wire_writer writer = {0};
	rmd_wire_put_len_header(&writer, tag >> 3, 2 * count);
	uint8_t *at = rmd_wire_reserve(&writer, 2 * count);
	for (size_t i = 0; i < count; i++) {
		at[2 * i] = 0x0a;
		at[2 * i + 1] = 0;
	}
	*ret_len = writer.len;
	return writer.data;
}

static void a_crowd_of_empty_items_stays_within_the_stated_expansion(void **state)
{
	(void)state;
	static const uint8_t tags[] = {0x52, 0x62};
	for (size_t i = 0; i < 2; i++) {
		struct remuda_value value;
		size_t len;
		uint8_t *wire = crowd(tags[i], 10000, &len);
		size_t before = arena.used_bytes;
		int rc = decode(wire, len, &value);
		assert_int_equal(
			rc, tags[i] == 0x52 ? 0 : RMD_EPROTO); /* null twice as a key */
		assert_true(arena.used_bytes - before <= RMD_VALUE_EXPANSION_MAX * len);

		struct rmd_arena small;
		rmd_arena_init(&small, 10 * len);
		assert_int_equal(rmd_value_get(rmd_slice_of(wire, len), &small, &value),
				 RMD_ELIMIT);
		assert_int_equal(small.used_bytes, 0);
		rmd_arena_fini(&small);
		rmd_free(wire);
	}
}

static void random_values_stay_within_the_stated_expansion(void **state)
{
	(void)state;
	struct test_random random = {.state = 99};
	for (unsigned i = 0; i < 2000; i++) {
		struct remuda_value value = test_value_random(&random, &arena, 4), back;
		struct rmd_slice bytes = encoded(&value);
		size_t before = arena.used_bytes;
		assert_int_equal(rmd_value_get(bytes, &arena, &back), 0);
		assert_true(arena.used_bytes - before <=
			    RMD_VALUE_EXPANSION_MAX * bytes.len);
		rmd_arena_reset(&arena);
	}
}

static void a_map_of_many_keys_is_checked_in_good_time(void **state)
{
	(void)state;
	enum { COUNT = 100000 };
	struct remuda_entry *entries = rmd_calloc(COUNT, sizeof *entries);
	char(*texts)[40] = rmd_calloc(COUNT, sizeof *texts);
	for (size_t i = 0; i < COUNT; i++) { /* one prefix, no order */
		int len = snprintf(texts[i], sizeof texts[i],
				   "the same for all of them %zu", i * 7919 % COUNT);
		entries[i].key.kind = REMUDA_STRING;
		entries[i].key.u.string = (struct remuda_string){texts[i], (size_t)len};
	}
	struct remuda_value map = {.kind = REMUDA_MAP}, back;
	map.u.map.entries = entries;
	map.u.map.len = COUNT;
	round_trip(&map);

	struct rmd_value_fault fault;
	entries[COUNT - 1].key = entries[3].key;
	assert_int_equal(rmd_value_check(&map, &fault), RMD_EEXIST);
	assert_string_equal(fault.path, "{99999:key}");
	struct rmd_slice bytes = encoded(&map);
	assert_int_equal(rmd_value_get(bytes, &arena, &back), RMD_EPROTO);
	rmd_free(texts);
	rmd_free(entries);
}

static void keys_that_differ_in_spelling_only_are_the_same(void **state)
{
	(void)state;
	struct rmd_value_fault fault;
	static const int64_t ints[] = {1, 2};
	struct remuda_value items[] = {test_int(1), test_int(2)};
	struct remuda_entry entries[2] = {{.key = test_list(items, 2)},
					  {.key = {.kind = REMUDA_INTS}}};
	entries[1].key.u.ints = (struct remuda_int64s){ints, 2};
	struct remuda_value map = {.kind = REMUDA_MAP};
	map.u.map.entries = entries;
	map.u.map.len = 2;
	assert_int_equal(rmd_value_check(&map, &fault), RMD_EEXIST);
	assert_string_equal(fault.path, "{1:key}");
}

static void messages_that_break_a_limit_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len;
		int rc;
	} cases[] = {
		{"\x42\x01\xff", 3, RMD_EPROTO}, /* string, not UTF-8 */
		{"\x42\x05"
		 "ab",
		 4, RMD_ETRUNC},				 /* string, cut short */
		{"\x92\x01\x00", 3, RMD_EPROTO},		 /* blob without digest */
		{"\x72\x00", 2, RMD_EPROTO},			 /* array without dtype */
		{"\x72\x02\x08\x0f", 4, RMD_EPROTO},		 /* array of dtype 15 */
		{"\x72\x05\x08\x02\x12\x01\x80", 7, RMD_ETRUNC}, /* shape, cut short */
		{"\x72\x04\x08\x02\x10\x01", 6, RMD_EPROTO},	 /* one int8, no data */
		{"\x7a\x02\x10\x80", 4, RMD_ETRUNC},	     /* timestamp, cut short */
		{"\x52\x02\x0a\x01", 4, RMD_ETRUNC},	     /* list, cut short within */
		{"\x62\x04\x0a\x00\x0a\x00", 6, RMD_EPROTO}, /* map: null twice */
		{"\x0b", 1, RMD_EPROTO},		     /* a group */
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct remuda_value value = test_int(77);
		assert_int_equal(decode(cases[i].bytes, cases[i].len, &value),
				 cases[i].rc);
		assert_int_equal(value.u.int64, 77); /* untouched */
	}
}

/* ---- memory that runs out ---- */

static int encode_and_decode(const struct remuda_value *value)
{
	struct rmd_arena fresh;
	struct rmd_wire_writer writer = {0};
	struct remuda_value back;
	rmd_arena_init(&fresh, 0);
	int rc = rmd_value_check(value, NULL);
	if (rc == 0) {
		rmd_value_put(&writer, value);
		rc = writer.failed ? RMD_ENOMEM
				   : rmd_value_get(rmd_slice_of(writer.data, writer.len),
						   &fresh, &back);
	}
	if (rc == 0)
		assert_true(rmd_value_equal(value, &back));
	rmd_wire_writer_fini(&writer);
	rmd_arena_fini(&fresh);
	return rc;
}

static void each_single_allocation_may_fail(void **state)
{
	(void)state;
	struct test_random random = {.state = 5};
	for (int round = 0; round < 20; round++) {
		struct remuda_value value = test_value_of_kind(
			&random, &arena, round % 2 == 0 ? REMUDA_LIST : REMUDA_MAP, 5);
		rmd_alloc_fail_at(UINT64_MAX);
		assert_int_equal(encode_and_decode(&value), 0);
		uint64_t asked = rmd_alloc_count();
		assert_true(asked > 0);
		for (uint64_t n = 1; n <= asked; n++) {
			rmd_alloc_fail_at(n);
			assert_int_equal(encode_and_decode(&value), RMD_ENOMEM);
		}
		rmd_alloc_fail_at(0);
		rmd_arena_reset(&arena);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, arena_setup, arena_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(random_values_of_every_kind_come_back_as_they_went),
		TEST(every_bit_of_a_float_is_kept),
		TEST(integers_come_back_in_their_narrowest_kind),
		TEST(spellings_of_one_value_are_equal),
		TEST(integers_of_all_kinds_are_in_order),
		TEST(what_is_not_known_is_skipped_and_the_last_kind_counts),
		TEST(packed_lists_read_in_chunks_and_singly),
		TEST(aligned_arrays_are_borrowed_and_others_copied),
		TEST(thirty_levels_are_read_and_one_more_is_not),
		TEST(packed_items_are_a_level_of_their_own),
		TEST(a_crowd_of_empty_items_stays_within_the_stated_expansion),
		TEST(random_values_stay_within_the_stated_expansion),
		TEST(a_map_of_many_keys_is_checked_in_good_time),
		TEST(keys_that_differ_in_spelling_only_are_the_same),
		TEST(messages_that_break_a_limit_are_refused),
		TEST(each_single_allocation_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
