/* Tokens: what a file says, who is known by it, and what a bad one does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"
#include "proto/tokens/tokens.h"

#define DAY_S 86400

static char path[64];

static int setup(void **state)
{
	(void)state;
	strcpy(path, "/tmp/remuda-tokens-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return unlink(path);
}

static void write_file(const char *text)
{
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* A line for a fresh token: appended to `text`. */
static void add_line(char *text, size_t size, const char *name, const char *until,
		     char ret_token[RMD_TOKEN_BYTES])
{
	struct rmd_digest digest;
	char hex[RMD_DIGEST_HEX_BYTES];
	size_t len = strlen(text);
	rmd_token_create(ret_token, &digest);
	rmd_digest_hex(&digest, hex);
	snprintf(text + len, size - len, "%s %s %s\n", name, hex, until);
}

static enum rmd_token_answer ask(struct rmd_tokens *tokens, const char *token, time_t now,
				 const char *name)
{
	const char *found;
	enum rmd_token_answer answer =
		rmd_tokens_find(tokens, rmd_slice_of_string(token), now, &found);
	if (name == NULL)
		assert_null(found);
	else
		assert_string_equal(found, name);
	return answer;
}

static void a_token_is_known_until_the_end_of_its_day(void **state)
{
	(void)state;
	char text[1024] = "# who may come\n\n", ann[RMD_TOKEN_BYTES],
	     bob[RMD_TOKEN_BYTES];
	struct rmd_tokens *tokens;
	char *why;
	add_line(text, sizeof text, "ann", "never", ann);
	add_line(text, sizeof text, "bob", "1970-01-03", bob);
	write_file(text);
	assert_int_equal(rmd_tokens_open(path, &tokens, &why), 0);
	assert_int_equal(strlen(ann), RMD_TOKEN_BYTES - 1);
	assert_string_not_equal(ann, bob);
	assert_int_equal(ask(tokens, ann, 0, "ann"), RMD_TOKEN_GOOD);
	assert_int_equal(ask(tokens, bob, 3 * DAY_S - 1, "bob"), RMD_TOKEN_GOOD);
	assert_int_equal(ask(tokens, bob, 3 * DAY_S, "bob"), RMD_TOKEN_EXPIRED);
	ann[10] = ann[10] == 'a' ? 'b' : 'a';
	assert_int_equal(ask(tokens, ann, 0, NULL), RMD_TOKEN_UNKNOWN);
	assert_int_equal(ask(tokens, "", 0, NULL), RMD_TOKEN_UNKNOWN);
	assert_string_equal(rmd_tokens_at(tokens, 1)->name, "bob");
	assert_null(rmd_tokens_at(tokens, 2));
	rmd_tokens_close(tokens);
}

static void refuse(const char *text, const char *says)
{
	struct rmd_tokens *tokens;
	char *why = NULL;
	write_file(text);
	assert_int_equal(rmd_tokens_open(path, &tokens, &why), RMD_EINVAL);
	assert_non_null(why);
	if (strstr(why, says) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, says);
	rmd_free(why);
}

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void a_mistake_is_told_with_its_line(void **state)
{
	(void)state;
	char line[400];
	refuse("\nann\n", ":2: this line is not NAME SHA256 EXPIRES");
	refuse("a b c d\n", ":1: this line is not NAME");
	refuse("an/n " HEX " never\n", "has a name");
	refuse("ann 0011 never\n", "has a digest");
	refuse("ann " HEX "x never\n", "has a digest");
	refuse("ann " HEX " tomorrow\n", "has an end");
	refuse("ann " HEX " 2026-02-30\n", "has an end");
	refuse("ann " HEX " 2026-2-3\n", "has an end");
	memset(line, 'x', sizeof line - 1);
	line[sizeof line - 1] = '\0';
	refuse(line, "is too long");
	struct rmd_tokens *tokens;
	char *why = NULL;
	assert_int_equal(rmd_tokens_open("/nowhere/at/all", &tokens, &why), RMD_EINVAL);
	assert_non_null(strstr(why, "/nowhere/at/all: No such file"));
	rmd_free(why);
}

static void a_changed_file_counts_and_a_bad_one_does_not(void **state)
{
	(void)state;
	char text[1024] = "", ann[RMD_TOKEN_BYTES], bob[RMD_TOKEN_BYTES];
	struct rmd_tokens *tokens;
	char *why;
	add_line(text, sizeof text, "ann", "never", ann);
	write_file(text);
	assert_int_equal(rmd_tokens_open(path, &tokens, &why), 0);
	add_line(text, sizeof text, "bob", "never", bob);
	write_file(text);
	rmd_tokens_look_again(tokens, 5000);
	assert_int_equal(ask(tokens, bob, 0, "bob"), RMD_TOKEN_GOOD);
	write_file("garbage\n");
	rmd_tokens_look_again(tokens, 5500); /* too soon to look */
	rmd_tokens_look_again(tokens, 10000);
	assert_int_equal(ask(tokens, ann, 0, "ann"), RMD_TOKEN_GOOD);
	unlink(path);
	rmd_tokens_look_again(tokens, 15000);
	assert_int_equal(ask(tokens, bob, 0, "bob"), RMD_TOKEN_GOOD);
	write_file("");
	rmd_tokens_look_again(tokens, 20000);
	assert_int_equal(ask(tokens, ann, 0, NULL), RMD_TOKEN_UNKNOWN);
	rmd_tokens_close(tokens);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_token_is_known_until_the_end_of_its_day),
		T(a_mistake_is_told_with_its_line),
		T(a_changed_file_counts_and_a_bad_one_does_not),
	};
	rmd_log_set_level(RMD_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
