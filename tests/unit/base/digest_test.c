#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/digest.h"
#include "proto/base/errcode.h"

/* FIPS 180-4 examples, and the empty message of the NIST test vectors. */
static const char *const vectors[][2] = {
	{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
	 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};
static const char million_a[] =
	"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void bytes_have_the_digests_of_the_standard(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
		struct rmd_digest digest;
		char hex[RMD_DIGEST_HEX_BYTES];
		assert_int_equal(
			rmd_digest_of(rmd_slice_of_string(vectors[i][0]), &digest), 0);
		rmd_digest_hex(&digest, hex);
		assert_string_equal(hex, vectors[i][1]);
	}
}

static void a_file_is_digested_from_where_it_stands(void **state)
{
	(void)state;
	static uint8_t block[1000];
	struct rmd_digest digest;
	char hex[RMD_DIGEST_HEX_BYTES];
	FILE *file = tmpfile();
	assert_non_null(file);
	memset(block, 'a', sizeof block);
	fwrite("before", 1, 6, file);
	for (int i = 0; i < 1000; i++)
		fwrite(block, 1, sizeof block, file);
	fflush(file);
	assert_int_equal(lseek(fileno(file), 6, SEEK_SET), 6);
	assert_int_equal(rmd_digest_of_fd(fileno(file), &digest), 0);
	rmd_digest_hex(&digest, hex);
	assert_string_equal(hex, million_a);
	fclose(file);
}

static void an_unreadable_file_is_an_error_with_its_errno(void **state)
{
	(void)state;
	struct rmd_digest digest;
	memset(&digest, 5, sizeof digest);
	errno = 0;
	assert_int_equal(rmd_digest_of_fd(-1, &digest), RMD_ESYS);
	assert_int_equal(errno, EBADF);
	assert_int_equal(digest.bytes[0], 5);
	rmd_alloc_fail_at(1);
	assert_int_equal(rmd_digest_of_fd(0, &digest), RMD_ENOMEM);
	rmd_alloc_fail_at(0);
}

static void digests_are_equal_only_in_all_bytes(void **state)
{
	(void)state;
	struct rmd_digest a = {{0}}, b = {{0}};
	assert_true(rmd_digest_equal(&a, &b));
	b.bytes[31] = 1;
	assert_false(rmd_digest_equal(&a, &b));
}

static void random_bytes_fill_all_and_differ(void **state)
{
	(void)state;
	uint8_t a[1000] = {0}, b[1000] = {0};
	size_t zeros = 0;
	rmd_random_bytes(a, sizeof a);
	rmd_random_bytes(b, sizeof b);
	assert_memory_not_equal(a, b, sizeof a);
	for (size_t i = 0; i < sizeof a; i++)
		zeros += a[i] == 0;
	assert_true(zeros < 50);
	rmd_random_bytes(a, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_have_the_digests_of_the_standard),
		cmocka_unit_test(a_file_is_digested_from_where_it_stands),
		cmocka_unit_test(an_unreadable_file_is_an_error_with_its_errno),
		cmocka_unit_test(digests_are_equal_only_in_all_bytes),
		cmocka_unit_test(random_bytes_fill_all_and_differ),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
