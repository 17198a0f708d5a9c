/* The agent's small parts: timers, the error of a lost worker, the command line. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "worker/agent/config.h"
#include "worker/agent/timer.h"
#include "worker/crash/crash.h"

/* ---- timers ---- */

#define TIMERS 200

static struct rmd_atimer timers_made[TIMERS];
static uint64_t last_fired_at;
static int fired;

static void fire(struct rmd_atimer *timer)
{
	assert_true(timer->at_ms >= last_fired_at);
	assert_int_equal(timer->place, 0);
	last_fired_at = timer->at_ms;
	fired++;
}

static void timers_fire_in_order_of_time(void **state)
{
	(void)state;
	struct rmd_atimers timers = {0};
	uint32_t random = 1;
	last_fired_at = 0;
	fired = 0;
	assert_int_equal(rmd_atimers_wait_ms(&timers, 5), -1);
	for (int i = 0; i < TIMERS; i++) {
		timers_made[i] = (struct rmd_atimer){.fire = fire};
		assert_int_equal(rmd_atimers_reserve(&timers), 0);
		random = random * 1664525u + 1013904223u;
		rmd_atimer_start(&timers, &timers_made[i], random >> 20);
	}
	for (int i = 0; i < TIMERS; i += 3) /* moved, earlier or later */
		rmd_atimer_start(&timers, &timers_made[i], (uint64_t)(i * 37 % 4096));
	for (int i = 0; i < TIMERS; i += 4) {
		rmd_atimer_stop(&timers, &timers_made[i]);
		rmd_atimer_stop(&timers, &timers_made[i]);
	}
	for (uint64_t now = 0; now < 4096; now += 7) {
		rmd_atimers_run(&timers, now);
		assert_true(rmd_atimers_wait_ms(&timers, now) != 0);
	}
	rmd_atimers_run(&timers, 4096);
	assert_int_equal(fired, TIMERS - TIMERS / 4);
	assert_int_equal(timers.count, 0);
	for (int i = 0; i < TIMERS; i++)
		rmd_atimers_release(&timers);
	rmd_atimers_fini(&timers);
}

static void timer_room_that_cannot_be_made_is_an_error(void **state)
{
	(void)state;
	struct rmd_atimers timers = {0};
	rmd_alloc_fail_at(1);
	assert_int_equal(rmd_atimers_reserve(&timers), RMD_ENOMEM);
	assert_int_equal(timers.reserved, 0);
	rmd_alloc_fail_at(0);
	rmd_atimers_fini(&timers);
}

/* ---- crash ---- */

static void lost_worker_is_told_by_signal_function_and_last_words(void **state)
{
	(void)state;
	struct rmd_crash crash = {
		.host = "node-b",
		.worker = 3,
		.attempt = 2,
		.function = rmd_slice_of_string("orders.parse"),
		.wait_status = SIGABRT, /* as of waitpid: killed by it */
		.status_known = true,
		.stderr_tail = rmd_slice_of("free(): \0invalid\n\n", 18),
	};
	struct remuda_error *err = rmd_crash_error(&crash);
	assert_string_equal(remuda_error_type(err), "WorkerLost");
	assert_string_equal(remuda_error_host(err), "node-b");
	assert_int_equal(remuda_error_worker(err), 3);
	assert_int_equal(remuda_error_attempt(err), 2);
	assert_int_equal(remuda_error_signal(err), SIGABRT);
	assert_false(remuda_error_exited(err));
	assert_string_equal(
		remuda_error_message(err),
		"the worker process ended while it ran orders.parse\n"
		"It last wrote to stderr:\nfree(): ?invalid");
	remuda_error_free(err);
}

static void exit_code_of_a_lost_worker_is_told(void **state)
{
	(void)state;
	struct rmd_crash crash = {
		.worker = 1, .wait_status = 7 << 8, .status_known = true};
	struct remuda_error *err = rmd_crash_error(&crash);
	assert_true(remuda_error_exited(err));
	assert_int_equal(remuda_error_exit_code(err), 7);
	assert_int_equal(remuda_error_signal(err), 0);
	assert_string_equal(remuda_error_message(err), "the worker process exited");
	remuda_error_free(err);
	crash.status_known = false;
	err = rmd_crash_error(&crash);
	assert_false(remuda_error_exited(err));
	assert_string_equal(remuda_error_message(err), "the worker process ended");
	remuda_error_free(err);
}

static void last_words_are_cut_at_the_front(void **state)
{
	(void)state;
	static char words[10000];
	memset(words, 'a', sizeof words);
	words[sizeof words - 1] = 'z';
	struct rmd_crash crash = {.stderr_tail = rmd_slice_of(words, sizeof words)};
	struct remuda_error *err = rmd_crash_error(&crash);
	const char *message = remuda_error_message(err);
	assert_true(strlen(message) < 4300);
	assert_int_equal(message[strlen(message) - 1], 'z');
	remuda_error_free(err);
}

/* ---- the command line ---- */

static int parse(struct rmd_agent_config *config, enum rmd_agent_exit *code,
		 const char *first, ...)
{
	char *argv[16] = {(char *)(uintptr_t) "remuda-agent"};
	int argc = 1;
	va_list args;
	va_start(args, first);
	for (const char *arg = first; arg != NULL; arg = va_arg(args, const char *))
		argv[argc++] = (char *)(uintptr_t)arg;
	va_end(args);
	extern int optind;
	optind = 0; /* glibc: begin anew */
	/* what it says of mistakes is not for the reader of the test */
	int saved = dup(STDERR_FILENO), saved_out = dup(STDOUT_FILENO);
	assert_non_null(freopen("/dev/null", "w", stderr));
	fflush(stdout);
	assert_true(dup2(fileno(stderr), STDOUT_FILENO) >= 0);
	int rc = rmd_agent_config_parse(argc, argv, config, code);
	fflush(stdout);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	dup2(saved_out, STDOUT_FILENO);
	close(saved);
	close(saved_out);
	return rc;
}

static void command_line_is_understood(void **state)
{
	(void)state;
	struct rmd_agent_config config;
	enum rmd_agent_exit code;
	assert_int_equal(parse(&config, &code, "--coordinator", "tcp:h:1", "--insecure",
			       "--cpus", "1.5", "--workers-max", "4096", "--module",
			       "/etc/passwd", "--module", "/etc/../etc/group", "--label",
			       "k=v=w", "--orphan",
			       "0.25", NULL),
			 0);
	assert_string_equal(config.coordinator, "tcp:h:1");
	assert_int_equal(config.cpu_milli, 1500);
	assert_int_equal(config.workers_max, 4096);
	assert_int_equal(config.module_count, 2);
	assert_string_equal(config.modules[1], "/etc/group"); /* whole */
	assert_string_equal(config.labels[0], "k=v=w");
	assert_int_equal(config.orphan_ms, 250);
	assert_int_equal(parse(&config, &code, "--coordinator", "unix:/x", NULL), 0);
	assert_int_equal(config.orphan_ms, 10000);
	assert_int_equal(parse(&config, &code, "--help", NULL), RMD_EINVAL);
	assert_int_equal(code, RMD_AGENT_EXIT_OK);
}

static void command_line_mistakes_are_usage_errors(void **state)
{
	(void)state;
	struct rmd_agent_config config;
	enum rmd_agent_exit code = RMD_AGENT_EXIT_OK;
	const char *c = "--coordinator";
#define REFUSED(...)                                                                    \
	do {                                                                            \
		assert_int_equal(parse(&config, &code, __VA_ARGS__, NULL), RMD_EINVAL); \
		assert_int_equal(code, RMD_AGENT_EXIT_USAGE);                           \
	} while (0)
	REFUSED("--insecure");
	REFUSED(c, "unix:/x", "--module", "/nowhere/a.so");
	REFUSED(c, "tcp:h:1", "--insecure", "--tls-ca", "x");
	REFUSED(c, "unix:/x", "more");
	REFUSED(c, "unix:/x", "--workers-max", "4097");
	REFUSED(c, "unix:/x", "--workers-max", "-1");
	REFUSED(c, "unix:/x", "--cpus", "many");
	REFUSED(c, "unix:/x", "--label", "=v");
	REFUSED(c, "unix:/x", "--label", "k");
	REFUSED(c, "unix:/x", "--name", "");
	REFUSED(c, "unix:/x", "--nonsense");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_in_order_of_time),
		cmocka_unit_test(timer_room_that_cannot_be_made_is_an_error),
		cmocka_unit_test(lost_worker_is_told_by_signal_function_and_last_words),
		cmocka_unit_test(exit_code_of_a_lost_worker_is_told),
		cmocka_unit_test(last_words_are_cut_at_the_front),
		cmocka_unit_test(command_line_is_understood),
		cmocka_unit_test(command_line_mistakes_are_usage_errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
