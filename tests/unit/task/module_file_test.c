/* proto/task/module_file: modules are told from other files without loading them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/errcode.h"
#include "proto/task/module_file.h"

struct file {
	uint8_t *bytes;
	size_t len;
};

static struct file read_whole(const char *path)
{
	struct file file = {NULL, 0};
	FILE *stream = fopen(path, "rb");
	assert_non_null(stream);
	assert_int_equal(fseek(stream, 0, SEEK_END), 0);
	file.len = (size_t)ftell(stream);
	rewind(stream);
	file.bytes = malloc(file.len);
	assert_non_null(file.bytes);
	assert_int_equal(fread(file.bytes, 1, file.len, stream), file.len);
	fclose(stream);
	return file;
}

static void expect_why(const char *path, const char *words)
{
	struct file file = read_whole(path);
	struct rmd_module_facts facts;
	const char *why = NULL;
	assert_int_equal(
		rmd_module_file_read(rmd_slice_of(file.bytes, file.len), &facts, &why),
		RMD_EPROTO);
	if (strstr(why, words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, why);
	free(file.bytes);
}

static void a_module_tells_its_prefix_and_how_many_functions_it_has(void **state)
{
	struct file file = read_whole(REMUDA_TEST_MODULES "/demo.so");
	struct rmd_module_facts facts;
	const char *why = "";
	(void)state;
	assert_int_equal(
		rmd_module_file_read(rmd_slice_of(file.bytes, file.len), &facts, &why),
		0);
	assert_string_equal(facts.prefix, "demo");
	assert_true(facts.functions >= 8 && facts.functions < 100);
	free(file.bytes);
}

static void other_files_are_refused_with_the_reason(void **state)
{
	(void)state;
	expect_why(REMUDA_TEST_SOURCE, "no shared object");
	expect_why(REMUDA_TEST_BAD "/plain.so", "REMUDA_MODULE");
	expect_why(REMUDA_TEST_BAD "/other_version.so", "another version");
}

static void every_shortened_file_is_refused_or_read(void **state)
{
	struct file file = read_whole(REMUDA_TEST_MODULES "/demo.so");
	struct rmd_module_facts facts;
	const char *why;
	(void)state;
	/* In memory of just that size, so that a sanitizer sees one byte too many. */
	for (size_t len = 0; len < file.len; len += len < 4096 ? 13 : 4099) {
		uint8_t *part = malloc(len + 1);
		memcpy(part, file.bytes, len);
		part = realloc(part, len != 0 ? len : 1);
		(void)rmd_module_file_read(rmd_slice_of(part, len), &facts, &why);
		free(part);
	}
	free(file.bytes);
}

static void no_changed_byte_leads_out_of_the_file(void **state)
{
	struct file file = read_whole(REMUDA_TEST_MODULES "/demo.so");
	struct rmd_module_facts facts;
	const char *why;
	(void)state;
	for (size_t at = 0; at < 1024 && at < file.len; at++)
		for (unsigned bit = 0; bit < 8; bit += 7) {
			file.bytes[at] ^= (uint8_t)(1u << bit);
			(void)rmd_module_file_read(rmd_slice_of(file.bytes, file.len),
						   &facts, &why);
			file.bytes[at] ^= (uint8_t)(1u << bit);
		}
	free(file.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_module_tells_its_prefix_and_how_many_functions_it_has),
		cmocka_unit_test(other_files_are_refused_with_the_reason),
		cmocka_unit_test(every_shortened_file_is_refused_or_read),
		cmocka_unit_test(no_changed_byte_leads_out_of_the_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
