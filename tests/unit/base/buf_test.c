#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/buf.h"

static int releases;

static void count_release(void *owner)
{
	assert_ptr_equal(owner, &releases);
	releases++;
}

static void a_buf_is_filled_by_its_maker_and_may_be_shortened(void **state)
{
	(void)state;
	struct rmd_buf *buf = rmd_buf_create(100);
	memset(rmd_buf_writable(buf), 7, 100);
	assert_int_equal(rmd_buf_slice(buf).len, 100);
	rmd_buf_truncate(buf, 40);
	assert_int_equal(rmd_buf_slice(buf).len, 40);
	assert_int_equal(rmd_buf_slice(buf).data[39], 7);
	rmd_buf_unref(buf);
	buf = rmd_buf_create(0);
	assert_int_equal(rmd_buf_slice(buf).len, 0);
	rmd_buf_unref(buf);
	rmd_buf_unref(NULL);
}

static void a_copy_is_apart_from_its_source(void **state)
{
	(void)state;
	char source[] = "source";
	struct rmd_buf *buf = rmd_buf_copy(rmd_slice_of(source, 6));
	source[0] = 'X';
	assert_memory_equal(rmd_buf_slice(buf).data, "source", 6);
	rmd_buf_unref(buf);
}

static void foreign_memory_is_released_with_the_last_reference(void **state)
{
	(void)state;
	releases = 0;
	struct rmd_buf *buf =
		rmd_buf_wrap(rmd_slice_of("abc", 3), count_release, &releases);
	assert_ptr_equal(rmd_buf_ref(buf), buf);
	rmd_buf_unref(buf);
	assert_int_equal(releases, 0);
	assert_memory_equal(rmd_buf_slice(buf).data, "abc", 3);
	rmd_buf_unref(buf);
	assert_int_equal(releases, 1);
}

static void a_buf_without_memory_is_null_and_releases_nothing(void **state)
{
	(void)state;
	releases = 0;
	rmd_alloc_fail_at(1);
	assert_null(rmd_buf_wrap(rmd_slice_of("abc", 3), count_release, &releases));
	rmd_alloc_fail_at(1);
	assert_null(rmd_buf_copy(rmd_slice_of("abc", 3)));
	rmd_alloc_fail_at(0);
	assert_int_equal(releases, 0);
	assert_null(rmd_buf_create(SIZE_MAX));
}

static void a_piece_may_have_no_buf(void **state)
{
	(void)state;
	struct rmd_piece piece = {rmd_slice_of("static", 6), NULL};
	piece = rmd_piece_ref(piece);
	assert_int_equal(piece.bytes.len, 6);
	rmd_piece_unref(piece);
	releases = 0;
	piece.buf = rmd_buf_wrap(piece.bytes, count_release, &releases);
	rmd_piece_ref(piece);
	rmd_piece_unref(piece);
	assert_int_equal(releases, 0);
	rmd_piece_unref(piece);
	assert_int_equal(releases, 1);
}

static void slices_are_equal_by_their_bytes(void **state)
{
	(void)state;
	assert_true(rmd_slice_equal(rmd_slice_of(NULL, 0), rmd_slice_of("", 0)));
	assert_true(rmd_slice_equal(rmd_slice_of_string("ab"), rmd_slice_of("abc", 2)));
	assert_false(
		rmd_slice_equal(rmd_slice_of_string("ab"), rmd_slice_of_string("ac")));
	assert_false(
		rmd_slice_equal(rmd_slice_of_string("ab"), rmd_slice_of_string("abc")));
}

static void *ref_and_unref(void *buf)
{
	for (int i = 0; i < 20000; i++)
		rmd_buf_unref(rmd_buf_ref(buf));
	rmd_buf_unref(buf);
	return NULL;
}

static void threads_may_share_a_buf(void **state)
{
	(void)state;
	releases = 0;
	pthread_t threads[4];
	struct rmd_buf *buf =
		rmd_buf_wrap(rmd_slice_of("abc", 3), count_release, &releases);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ref_and_unref,
						rmd_buf_ref(buf)),
				 0);
	rmd_buf_unref(buf);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(releases, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_buf_is_filled_by_its_maker_and_may_be_shortened),
		cmocka_unit_test(a_copy_is_apart_from_its_source),
		cmocka_unit_test(foreign_memory_is_released_with_the_last_reference),
		cmocka_unit_test(a_buf_without_memory_is_null_and_releases_nothing),
		cmocka_unit_test(a_piece_may_have_no_buf),
		cmocka_unit_test(slices_are_equal_by_their_bytes),
		cmocka_unit_test(threads_may_share_a_buf),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
