#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"

static void levels_are_known_by_their_names(void **state)
{
	(void)state;
	static const char *const names[] = {"error", "warn", "info", "debug"};
	for (int i = 0; i < 4; i++) {
		enum rmd_log_level level = RMD_LOG_ERROR;
		assert_int_equal(rmd_log_level_parse(names[i], &level), 0);
		assert_int_equal(level, i);
	}
	enum rmd_log_level level = RMD_LOG_WARN;
	assert_int_equal(rmd_log_level_parse("INFO", &level), RMD_EINVAL);
	assert_int_equal(rmd_log_level_parse("", &level), RMD_EINVAL);
	assert_int_equal(level, RMD_LOG_WARN);
}

static char caught[8192];

/* What `speak` writes to stderr. */
static size_t catch_stderr(void (*speak)(void))
{
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	assert_true(file != NULL && saved >= 0);
	dup2(fileno(file), STDERR_FILENO);
	speak();
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	size_t len = fread(caught, 1, sizeof caught - 1, file);
	caught[len] = '\0';
	fclose(file);
	return len;
}

static void speak_at_all_levels(void)
{
	errno = EBUSY;
	rmd_log(RMD_LOG_ERROR, "pool", "one task=%d", 1);
	rmd_log(RMD_LOG_INFO, "pool", "two");
	rmd_log(RMD_LOG_DEBUG, "pool", "three");
	assert_int_equal(errno, EBUSY);
}

static void a_line_has_its_time_level_and_source(void **state)
{
	(void)state;
	catch_stderr(speak_at_all_levels);
	int chars = 0;
	unsigned year, ms;
	assert_int_equal(
		sscanf(caught, "%4u-%*2u-%*2uT%*2u:%*2u:%*2u.%3uZ%n", &year, &ms, &chars),
		2);
	assert_int_equal(strncmp(caught + chars, " error pool: one task=1\n", 24), 0);
	assert_non_null(strstr(caught, "Z info pool: two\n"));
	assert_null(strstr(caught, "three"));
	rmd_log_set_level(RMD_LOG_DEBUG);
	catch_stderr(speak_at_all_levels);
	assert_non_null(strstr(caught, "three"));
	rmd_log_set_level(RMD_LOG_ERROR);
	catch_stderr(speak_at_all_levels);
	assert_null(strstr(caught, "two"));
	rmd_log_set_level(RMD_LOG_INFO);
}

static void speak_at_length(void)
{
	char text[6000];
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	rmd_log(RMD_LOG_ERROR, "agent", "%s", text);
}

static void a_long_line_is_cut_and_still_ends(void **state)
{
	(void)state;
	size_t len = catch_stderr(speak_at_length);
	assert_int_equal(len, 4096);
	assert_int_equal(caught[len - 1], '\n');
}

static void every_code_has_a_name_and_a_text(void **state)
{
	(void)state;
	assert_string_equal(rmd_errcode_name(RMD_EPROTO), "RMD_EPROTO");
	assert_string_equal(rmd_errcode_text(RMD_ENOMEM), "out of memory");
	assert_string_equal(rmd_errcode_text(0), "success");
	assert_string_equal(rmd_errcode_text(-12345), "unknown error");
#define X(name, value, text) assert_string_equal(rmd_errcode_name(name), #name);
	RMD_ERRCODES(X)
#undef X
}

static void the_clocks_do_not_run_backwards(void **state)
{
	(void)state;
	uint64_t before = rmd_clock_mono_ns();
	uint64_t after = rmd_clock_mono_ns();
	assert_true(after >= before);
	assert_true(rmd_clock_mono_ms() >= before / 1000000);
	assert_true(rmd_clock_unix_ms() > INT64_C(1700000000000));
}

static void break_a_promise(void)
{
	pid_t child = fork();
	if (child == 0) {
		int two = 2;
		signal(SIGABRT, SIG_DFL);
		RMD_CHECK(two == 3);
		_exit(0);
	}
	int status = 0;
	waitpid(child, &status, 0);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void a_broken_promise_aborts_with_its_place(void **state)
{
	(void)state;
	catch_stderr(break_a_promise);
	assert_non_null(strstr(caught, "bug at "));
	assert_non_null(strstr(caught, "log_test.c"));
	assert_non_null(strstr(caught, "break_a_promise: two == 3"));
	RMD_CHECK(caught[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_are_known_by_their_names),
		cmocka_unit_test(a_line_has_its_time_level_and_source),
		cmocka_unit_test(a_long_line_is_cut_and_still_ends),
		cmocka_unit_test(every_code_has_a_name_and_a_text),
		cmocka_unit_test(the_clocks_do_not_run_backwards),
		cmocka_unit_test(a_broken_promise_aborts_with_its_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
