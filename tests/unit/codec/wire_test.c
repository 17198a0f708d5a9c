#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/wire.h"
#include "tests/unit/codec/values.h"

static struct rmd_wire_reader reader_of(const void *bytes, size_t len)
{
	return rmd_wire_reader_of(rmd_slice_of(bytes, len));
}

/* ---- reading ---- */

static void an_empty_message_has_no_fields(void **state)
{
	(void)state;
	struct rmd_wire_field field;
	struct rmd_wire_reader reader = reader_of(NULL, 0);
	assert_int_equal(rmd_wire_next(&reader, &field), 0);
	assert_int_equal(rmd_wire_next(&reader, &field), 0);
}

static void each_wire_type_is_read(void **state)
{
	(void)state;
	static const char bytes[] = "\x08\x96\x01"
				    "\x11\x01\x02\x03\x04\x05\x06\x07\x88"
				    "\x1a\x03"
				    "abc"
				    "\x25\xff\xff\xff\x80"
				    "\xfa\xff\xff\xff\x0f\x00";
	struct rmd_wire_reader reader = reader_of(bytes, sizeof bytes - 1);
	struct rmd_wire_field field;
	assert_int_equal(rmd_wire_next(&reader, &field), 1);
	assert_int_equal(field.number, 1);
	assert_int_equal(field.type, RMD_WIRE_VARINT);
	assert_int_equal(field.varint, 150);
	assert_null(field.bytes.data);
	assert_int_equal(rmd_wire_next(&reader, &field), 1);
	assert_int_equal(field.type, RMD_WIRE_I64);
	assert_true(field.varint == UINT64_C(0x8807060504030201));
	assert_int_equal(rmd_wire_next(&reader, &field), 1);
	assert_int_equal(field.type, RMD_WIRE_LEN);
	assert_int_equal(field.bytes.len, 3);
	assert_memory_equal(field.bytes.data, "abc", 3);
	assert_ptr_equal(field.bytes.data, bytes + 14);
	assert_int_equal(field.varint, 0);
	assert_int_equal(rmd_wire_next(&reader, &field), 1);
	assert_int_equal(field.type, RMD_WIRE_I32);
	assert_true(field.varint == 0x80ffffff);
	assert_int_equal(rmd_wire_next(&reader, &field), 1);
	assert_int_equal(field.number, (1 << 29) - 1);
	assert_int_equal(field.bytes.len, 0);
	assert_int_equal(rmd_wire_next(&reader, &field), 0);
}

static void what_is_cut_short_or_malformed_is_refused_and_nothing_moves(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len;
		int rc;
	} cases[] = {
		{"\x08", 1, RMD_ETRUNC},
		{"\x88", 1, RMD_ETRUNC},
		{"\x08\x80", 2, RMD_ETRUNC},
		{"\x11\1\2\3\4\5\6\7", 8, RMD_ETRUNC},
		{"\x15\1\2\3", 4, RMD_ETRUNC},
		{"\x1a", 1, RMD_ETRUNC},
		{"\x1a\x04"
		 "abc",
		 5, RMD_ETRUNC},
		{"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, RMD_ETRUNC},
		{"\x00\x01", 2, RMD_EPROTO},		     /* number 0 */
		{"\x80\x80\x80\x80\x10\x01", 6, RMD_EPROTO}, /* number 2^29 */
		{"\x0b", 1, RMD_EPROTO},		     /* groups */
		{"\x0c", 1, RMD_EPROTO},
		{"\x0e\x01", 2, RMD_EPROTO},
		{"\x0f\x01", 2, RMD_EPROTO},
		{"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, RMD_EPROTO},
		{"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12, RMD_EPROTO},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct rmd_wire_reader reader = reader_of(cases[i].bytes, cases[i].len);
		struct rmd_wire_field field = {.number = 7};
		assert_int_equal(rmd_wire_next(&reader, &field), cases[i].rc);
		assert_ptr_equal(reader.at, cases[i].bytes);
		assert_int_equal(field.number, 7);
	}
}

static void a_varint_may_be_longer_than_needed_and_hold_all_64_bits(void **state)
{
	(void)state;
	struct rmd_wire_field field;
	struct rmd_wire_reader reader = reader_of(
		"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x08\x81\x80\x00", 15);
	assert_int_equal(rmd_wire_next(&reader, &field), 1);
	assert_true(field.varint == UINT64_MAX);
	assert_int_equal(rmd_wire_next(&reader, &field), 1);
	assert_int_equal(field.varint, 1);
}

static void bare_varints_are_read_to_the_end(void **state)
{
	(void)state;
	struct rmd_wire_reader reader = reader_of("\x01\xac\x02\x80", 4);
	uint64_t value = 0;
	assert_int_equal(rmd_wire_next_varint(&reader, &value), 1);
	assert_int_equal(value, 1);
	assert_int_equal(rmd_wire_next_varint(&reader, &value), 1);
	assert_int_equal(value, 300);
	assert_int_equal(rmd_wire_next_varint(&reader, &value), RMD_ETRUNC);
	reader = reader_of(NULL, 0);
	assert_int_equal(rmd_wire_next_varint(&reader, &value), 0);
}

static void zigzag_goes_both_ways(void **state)
{
	(void)state;
	static const int64_t numbers[] = {0, -1, 1, -2, INT64_MAX, INT64_MIN};
	static const uint64_t wires[] = {0, 1, 2, 3, UINT64_MAX - 1, UINT64_MAX};
	for (size_t i = 0; i < 6; i++) {
		assert_true(rmd_wire_zigzag(numbers[i]) == wires[i]);
		assert_true(rmd_wire_unzigzag(wires[i]) == numbers[i]);
	}
}

static bool utf8(const char *text, size_t len)
{
	return rmd_wire_utf8_valid(rmd_slice_of(text, len));
}

static void utf8_is_valid_only_in_its_one_form(void **state)
{
	(void)state;
	static const char *const good[] = {
		"",
		"plain",
		"\xc2\x80",
		"\xdf\xbf",
		"\xe0\xa0\x80",
		"\xed\x9f\xbf",
		"\xee\x80\x80",
		"\xef\xbf\xbf",
		"\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf",
		"twelve bytes \xe2\x82\xac and more than eight again"};
	static const char *const bad[] = {
		"\x80",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc2",
		"\xc2\x41",
		"\xe0\x9f\xbf",
		"\xed\xa0\x80",
		"\xed\xbf\xbf",
		"\xe2\x82",
		"\xe2\x82\x41",
		"\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xff",
		"\xf0\x9f\x98",
		"eight by\xff",
		"aaaaaaaaaaaaaaaaa\xe2",
	};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(utf8(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(utf8(bad[i], strlen(bad[i])));
	assert_true(utf8("a\0b", 3));
	assert_true(rmd_wire_utf8_valid(rmd_slice_of(NULL, 0)));
}

/* ---- writing ---- */

static void what_is_written_is_read_back(void **state)
{
	(void)state;
	struct rmd_wire_writer writer = {0};
	rmd_wire_put_varint(&writer, 1, UINT64_MAX);
	rmd_wire_put_sint(&writer, 2, -3);
	rmd_wire_put_fixed64(&writer, 3, UINT64_C(0x0102030405060708));
	rmd_wire_put_double(&writer, 16, -0.5);
	rmd_wire_put_bytes(&writer, 5, rmd_slice_of_string("five"));
	rmd_wire_put_bytes(&writer, 6, rmd_slice_of(NULL, 0));
	rmd_wire_put_varint_nz(&writer, 7, 0);
	rmd_wire_put_bytes_nz(&writer, 8, rmd_slice_of(NULL, 0));
	rmd_wire_put_raw(&writer, rmd_slice_of("\x48\x01", 2));
	assert_false(writer.failed);
	struct rmd_buf *buf = rmd_wire_writer_take(&writer);
	assert_int_equal(writer.len, 0);
	struct rmd_wire_reader reader = rmd_wire_reader_of(rmd_buf_slice(buf));
	struct rmd_wire_field fields[7];
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(rmd_wire_next(&reader, &fields[i]), 1);
	assert_int_equal(rmd_wire_next(&reader, &fields[0]), 0);
	assert_int_equal(rmd_wire_unzigzag(fields[1].varint), -3);
	assert_true(fields[2].varint == UINT64_C(0x0102030405060708));
	assert_int_equal(fields[3].number, 16);
	assert_true(rmd_wire_double(fields[3].varint) == -0.5);
	assert_memory_equal(fields[4].bytes.data, "five", 4);
	assert_int_equal(fields[5].bytes.len, 0);
	assert_int_equal(fields[6].number, 9);
	rmd_buf_unref(buf);
	rmd_wire_writer_fini(&writer);
}

static void sizes_of_varints_are_foretold(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 64; bits++)
		for (int less = 0; less < 2; less++) {
			uint64_t value = (UINT64_C(1) << bits) - (uint64_t)less;
			struct rmd_wire_writer writer = {0};
			rmd_wire_put_raw_varint(&writer, value);
			assert_int_equal(writer.len, rmd_wire_varint_size(value));
			rmd_wire_writer_fini(&writer);
		}
}

/* A message of one nested message of one nested byte string of `len`, for lengths around
 * where the length takes one byte more. */
static void nested_lengths_are_patched_whatever_they_take(void **state)
{
	(void)state;
	static const size_t lens[] = {0,   1,	  123,	 124,	125,   126,   127,
				      128, 16379, 16380, 16381, 16383, 16384, 3000000};
	for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
		struct rmd_wire_writer writer = {0};
		uint8_t *bytes = rmd_calloc(lens[i], 1);
		memset(bytes, 'x', lens[i]);
		rmd_wire_put_varint(&writer, 9, 1);
		struct rmd_wire_nest outer = rmd_wire_open(&writer, 20);
		struct rmd_wire_nest inner = rmd_wire_open(&writer, 2);
		rmd_wire_put_bytes(&writer, 3, rmd_slice_of(bytes, lens[i]));
		rmd_wire_close(&writer, inner);
		rmd_wire_put_varint(&writer, 4, 5);
		rmd_wire_close(&writer, outer);
		rmd_wire_put_varint(&writer, 10, 1);

		struct rmd_wire_reader top = reader_of(writer.data, writer.len);
		struct rmd_wire_field field, leaf;
		assert_int_equal(rmd_wire_next(&top, &field), 1);
		assert_int_equal(rmd_wire_next(&top, &field), 1);
		assert_int_equal(field.number, 20);
		struct rmd_wire_reader middle = rmd_wire_reader_of(field.bytes);
		assert_int_equal(rmd_wire_next(&middle, &field), 1);
		struct rmd_wire_reader bottom = rmd_wire_reader_of(field.bytes);
		assert_int_equal(rmd_wire_next(&bottom, &leaf), 1);
		assert_int_equal(leaf.bytes.len, lens[i]);
		assert_true(rmd_slice_equal(leaf.bytes, rmd_slice_of(bytes, lens[i])));
		assert_int_equal(rmd_wire_next(&bottom, &leaf), 0);
		assert_int_equal(rmd_wire_next(&middle, &field), 1);
		assert_int_equal(field.varint, 5);
		assert_int_equal(rmd_wire_next(&middle, &field), 0);
		assert_int_equal(rmd_wire_next(&top, &field), 1);
		assert_int_equal(rmd_wire_next(&top, &field), 0);
		rmd_free(bytes);
		rmd_wire_writer_fini(&writer);
	}
}

/* Writes a random tree of nested messages with pieces in it: once with pieces, once with
 * plain bytes into `plain`. */
static void random_tree(struct test_random *random, struct rmd_wire_writer *spliced,
			struct rmd_wire_writer *plain, struct rmd_buf *big,
			unsigned depth)
{
	size_t parts = test_random_below(random, 5);
	for (size_t i = 0; i < parts; i++) {
		uint32_t number = 1 + (uint32_t)test_random_below(random, 40);
		if (depth > 0 && test_random_below(random, 2) == 0) {
			struct rmd_wire_nest a = rmd_wire_open(spliced, number);
			struct rmd_wire_nest b = rmd_wire_open(plain, number);
			random_tree(random, spliced, plain, big, depth - 1);
			rmd_wire_close(spliced, a);
			rmd_wire_close(plain, b);
			continue;
		}
		size_t len = test_random_below(random, 2 * RMD_WIRE_SPLICE_MIN);
		if (test_random_below(random, 2) == 0)
			len %= 200;
		struct rmd_slice all = rmd_buf_slice(big);
		size_t from = test_random_below(random, all.len - len);
		struct rmd_slice bytes = rmd_slice_of(all.data + from, len);
		rmd_wire_put_piece(spliced, number, (struct rmd_piece){bytes, big});
		rmd_wire_put_bytes(plain, number, bytes);
	}
}

static void spliced_payloads_give_the_same_message_as_copied_ones(void **state)
{
	(void)state;
	struct test_random random = {.state = 11};
	struct rmd_buf *big = rmd_buf_create(4 * RMD_WIRE_SPLICE_MIN);
	for (size_t i = 0; i < 4 * RMD_WIRE_SPLICE_MIN; i++)
		rmd_buf_writable(big)[i] = (uint8_t)test_random_next(&random);
	struct rmd_wire_writer spliced = {0}, plain = {0};
	size_t splices = 0;
	for (unsigned round = 0; round < 300; round++) {
		random_tree(&random, &spliced, &plain, big, 4);
		splices += spliced.splice_count;
		assert_int_equal(rmd_wire_writer_len(&spliced), plain.len);
		for (size_t i = 1; i < spliced.splice_count; i++)
			assert_true(spliced.splices[i - 1].at <= spliced.splices[i].at);
		struct rmd_buf *a = rmd_wire_writer_take(&spliced);
		struct rmd_buf *b = rmd_wire_writer_take(&plain);
		assert_true(rmd_slice_equal(rmd_buf_slice(a), rmd_buf_slice(b)));
		rmd_buf_unref(a);
		rmd_buf_unref(b);
	}
	assert_true(splices > 100);
	rmd_wire_writer_fini(&spliced);
	rmd_wire_writer_fini(&plain);
	rmd_buf_unref(big);
}

static unsigned released;

static void count_release(void *owner)
{
	(void)owner;
	released++;
}

static void a_writer_holds_its_pieces_until_it_is_emptied(void **state)
{
	(void)state;
	static const uint8_t zeros[RMD_WIRE_SPLICE_MIN];
	struct rmd_slice bytes = rmd_slice_of(zeros, sizeof zeros);
	struct rmd_wire_writer writer = {0};
	released = 0;
	for (unsigned round = 0; round < 3; round++) {
		struct rmd_buf *buf = rmd_buf_wrap(bytes, count_release, NULL);
		rmd_wire_put_piece(&writer, 1, (struct rmd_piece){bytes, buf});
		rmd_buf_unref(buf);
		assert_int_equal(released, round);
		if (round == 0)
			rmd_wire_writer_reset(&writer);
		else if (round == 1)
			rmd_buf_unref(rmd_wire_writer_take(&writer));
		else
			rmd_wire_writer_fini(&writer);
		assert_int_equal(released, round + 1);
		assert_int_equal(rmd_wire_writer_len(&writer), 0);
	}
}

static void write_something(struct rmd_wire_writer *writer, struct rmd_buf *big)
{
	for (unsigned i = 0; i < 6; i++) {
		struct rmd_wire_nest nest = rmd_wire_open(writer, 1);
		rmd_wire_put_piece(writer, 1,
				   (struct rmd_piece){rmd_buf_slice(big), big});
		rmd_wire_put_bytes(writer, 2, rmd_slice_of(rmd_buf_slice(big).data, 300));
		rmd_wire_close(writer, nest);
	}
}

static void a_writer_out_of_memory_says_so_and_leaks_nothing(void **state)
{
	(void)state;
	struct rmd_buf *big = rmd_buf_create(RMD_WIRE_SPLICE_MIN);
	memset(rmd_buf_writable(big), 1, RMD_WIRE_SPLICE_MIN);
	for (uint64_t n = 1;; n++) {
		struct rmd_wire_writer writer = {0};
		rmd_alloc_fail_at(n);
		write_something(&writer, big);
		bool failed = writer.failed;
		uint64_t asked = rmd_alloc_count();
		struct rmd_buf *taken = rmd_wire_writer_take(&writer);
		rmd_alloc_fail_at(0);
		assert_int_equal(failed, n <= asked);
		if (failed)
			assert_null(taken);
		rmd_buf_unref(taken);
		assert_false(writer.failed);
		rmd_wire_writer_fini(&writer);
		if (!failed)
			break;
	}
	rmd_buf_unref(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_message_has_no_fields),
		cmocka_unit_test(each_wire_type_is_read),
		cmocka_unit_test(
			what_is_cut_short_or_malformed_is_refused_and_nothing_moves),
		cmocka_unit_test(a_varint_may_be_longer_than_needed_and_hold_all_64_bits),
		cmocka_unit_test(bare_varints_are_read_to_the_end),
		cmocka_unit_test(zigzag_goes_both_ways),
		cmocka_unit_test(utf8_is_valid_only_in_its_one_form),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(sizes_of_varints_are_foretold),
		cmocka_unit_test(nested_lengths_are_patched_whatever_they_take),
		cmocka_unit_test(spliced_payloads_give_the_same_message_as_copied_ones),
		cmocka_unit_test(a_writer_holds_its_pieces_until_it_is_emptied),
		cmocka_unit_test(a_writer_out_of_memory_says_so_and_leaks_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
