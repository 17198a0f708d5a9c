#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/transfer.h"

#define MIB (1u << 20)

static struct rmd_chunk chunk(uint64_t transfer, uint64_t total, uint64_t offset,
			      const char *text)
{
	return (struct rmd_chunk){transfer, total, offset, rmd_slice_of_string(text)};
}

static int add(struct rmd_transfers *t, struct rmd_chunk piece)
{
	return rmd_transfers_add(t, &piece);
}

static void a_payload_goes_through_chunks_and_back(void **state)
{
	(void)state;
	static const size_t sizes[] = {0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5};
	struct rmd_transfers t;
	rmd_transfers_init(&t, 4, 16 * MIB, 7);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct rmd_buf *payload = rmd_buf_create(sizes[i]);
		assert_non_null(payload);
		for (size_t j = 0; j < sizes[i]; j++)
			rmd_buf_writable(payload)[j] = (uint8_t)(j * 31 >> 3);
		struct rmd_chunks chunks = rmd_chunks_of(i + 1, rmd_buf_slice(payload));
		struct rmd_chunk piece;
		struct rmd_buf *whole = NULL;
		int rc = 0;
		size_t pieces = 0;
		while (rmd_chunks_next(&chunks, &piece)) {
			assert_int_equal(rc, 0);
			assert_true(piece.data.len <= RMD_CHUNK_MAX_BYTES);
			rc = rmd_transfers_add(&t, &piece);
			assert_true(rc >= 0);
			if (rc == 0)
				assert_int_equal(rmd_transfers_take(&t, i + 1, &whole),
						 RMD_EAGAIN);
			pieces++;
		}
		assert_int_equal(rc, 1);
		assert_int_equal(pieces, sizes[i] == 0 ? 1 : (sizes[i] + MIB - 1) / MIB);
		assert_int_equal(rmd_transfers_take(&t, i + 1, &whole), 0);
		assert_true(
			rmd_slice_equal(rmd_buf_slice(whole), rmd_buf_slice(payload)));
		assert_int_equal(rmd_transfers_take(&t, i + 1, &whole), RMD_ENOTFOUND);
		rmd_buf_unref(whole);
		rmd_buf_unref(payload);
	}
	assert_int_equal(t.used_bytes, 0);
	rmd_transfers_fini(&t);
}

static void transfers_may_be_interleaved(void **state)
{
	(void)state;
	struct rmd_transfers t;
	struct rmd_buf *whole;
	rmd_transfers_init(&t, 2, 100, 7);
	assert_int_equal(add(&t, chunk(1, 4, 0, "ab")), 0);
	assert_int_equal(add(&t, chunk(2, 2, 0, "x")), 0);
	assert_int_equal(add(&t, chunk(1, 4, 2, "cd")), 1);
	assert_int_equal(add(&t, chunk(2, 2, 1, "y")), 1);
	assert_int_equal(rmd_transfers_take(&t, 1, &whole), 0);
	assert_memory_equal(rmd_buf_slice(whole).data, "abcd", 4);
	rmd_buf_unref(whole);
	rmd_transfers_drop(&t, 2);
	rmd_transfers_drop(&t, 2);
	assert_int_equal(t.used_bytes, 0);
	rmd_transfers_fini(&t);
}

static void a_piece_out_of_place_is_refused(void **state)
{
	(void)state;
	struct rmd_transfers t;
	rmd_transfers_init(&t, 4, 100, 7);
	assert_int_equal(add(&t, chunk(5, 4, 1, "b")), RMD_EPROTO); /* begins late */
	assert_int_equal(add(&t, chunk(5, 4, 0, "")), RMD_EPROTO);  /* brings nothing */
	assert_int_equal(add(&t, chunk(5, 4, 0, "ab")), 0);
	assert_int_equal(add(&t, chunk(5, 4, 1, "b")), RMD_EPROTO); /* again */
	assert_int_equal(add(&t, chunk(5, 4, 3, "d")), RMD_EPROTO); /* a gap */
	assert_int_equal(add(&t, chunk(5, 3, 2, "c")), RMD_EPROTO); /* another total */
	assert_int_equal(add(&t, chunk(5, 1, 2, "c")),
			 RMD_EPROTO); /* one below its offset */
	assert_int_equal(add(&t, chunk(5, 4, 2, "cde")), RMD_EPROTO); /* too long */
	assert_int_equal(add(&t, chunk(5, 4, 2, "")), RMD_EPROTO);
	assert_int_equal(add(&t, chunk(4, 1, 0, "a")), RMD_EPROTO); /* numbers rise */
	assert_int_equal(add(&t, chunk(5, 4, 2, "cd")), 1);
	assert_int_equal(add(&t, chunk(5, 4, 4, "e")), RMD_EPROTO);
	rmd_transfers_drop(&t, 5);
	assert_int_equal(add(&t, chunk(5, 1, 0, "a")), RMD_EPROTO); /* used before */
	rmd_transfers_fini(&t);
}

static void number_and_bytes_of_open_transfers_are_bounded(void **state)
{
	(void)state;
	struct rmd_transfers t;
	struct rmd_buf *whole;
	rmd_transfers_init(&t, 2, 10, 7);
	assert_int_equal(add(&t, chunk(1, 11, 0, "a")),
			 RMD_ELIMIT); /* one over the budget */
	assert_int_equal(add(&t, chunk(1, 11, 1, "b")), RMD_EPROTO); /* not held */
	assert_int_equal(add(&t, chunk(2, 9, 0, "a")), 0); /* charged for all of it */
	assert_int_equal(add(&t, chunk(3, 2, 0, "a")), RMD_ELIMIT);
	assert_int_equal(add(&t, chunk(4, 1, 0, "a")), 1);	   /* at the maximum */
	assert_int_equal(add(&t, chunk(5, 0, 0, "")), RMD_ELIMIT); /* a third */
	assert_int_equal(rmd_transfers_take(&t, 4, &whole), 0);
	rmd_buf_unref(whole);
	assert_int_equal(add(&t, chunk(6, 0, 0, "")), 1);
	rmd_transfers_fini(&t); /* with two held */

	rmd_transfers_init(&t, 2, UINT64_MAX, 7);
	assert_int_equal(add(&t, chunk(1, RMD_TRANSFER_MAX_BYTES + 1, 0, "a")),
			 RMD_ELIMIT);
	rmd_transfers_fini(&t);
}

static void each_failing_allocation_leaves_the_transfer_out(void **state)
{
	(void)state;
	int rc = RMD_ENOMEM;
	for (uint64_t n = 1; rc != 1; n++) {
		struct rmd_transfers t;
		rmd_transfers_init(&t, 2, 10, 7);
		rmd_alloc_fail_at(n);
		rc = add(&t, chunk(1, 1, 0, "a"));
		rmd_alloc_fail_at(0);
		assert_true(rc == 1 || (rc == RMD_ENOMEM && t.used_bytes == 0));
		assert_true(n < 10);
		rmd_transfers_fini(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_payload_goes_through_chunks_and_back),
		cmocka_unit_test(transfers_may_be_interleaved),
		cmocka_unit_test(a_piece_out_of_place_is_refused),
		cmocka_unit_test(number_and_bytes_of_open_transfers_are_bounded),
		cmocka_unit_test(each_failing_allocation_leaves_the_transfer_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
