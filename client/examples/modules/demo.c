/* demo: functions to try remuda with: something for each way in which a task can end.
 *
 *	remuda run native:demo.square 21 */
#include <remuda/task.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

REMUDA_MODULE("demo");

static int64_t now_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

REMUDA_TASK(int64_t, square, (int64_t, x))
{
	int64_t squared;
	if (__builtin_mul_overflow(x, x, &squared))
		remuda_raise("Overflow", "the square of %lld is over 64 bits",
			     (long long)x);
	return squared;
}

REMUDA_TASK(int64_t, add, (int64_t, a), (int64_t, b))
{
	int64_t sum;
	if (__builtin_add_overflow(a, b, &sum))
		remuda_raise("Overflow", "%lld + %lld is over 64 bits", (long long)a,
			     (long long)b);
	return sum;
}

/* Gives back what it is given, whatever it is. */
REMUDA_TASK(struct remuda_value, echo, (struct remuda_value, value))
{
	return value;
}

/* Sleeps for `ms` milliseconds, or until it is cancelled; gives how long it slept. */
REMUDA_TASK(int64_t, sleep_ms, (remuda_ctx *, ctx), (uint32_t, ms))
{
	int64_t begun_ns = now_ns(CLOCK_MONOTONIC);
	int64_t slept_ms = 0;
	while (slept_ms < ms && !remuda_cancelled(ctx)) {
		int64_t left_ms = ms - slept_ms < 10 ? ms - slept_ms : 10;
		struct timespec piece = {0, (long)left_ms * 1000000};
		remuda_progress(ctx, (uint64_t)slept_ms, ms);
		nanosleep(&piece, NULL);
		slept_ms = (now_ns(CLOCK_MONOTONIC) - begun_ns) / 1000000;
	}
	return slept_ms;
}

static int open_file(const char *path)
{
	remuda_raise("FileNotFound", "%s: no such file", path);
	return -1;
}

static int read_config(const char *path)
{
	if (open_file(path) < 0) {
		remuda_raise_from(remuda_raised(), "ConfigError",
				  "cannot read the configuration");
		return -1;
	}
	return 0;
}

/* Fails with a chain of three errors. */
REMUDA_TASK(void, fail)
{
	if (read_config("/etc/demo.conf") < 0)
		remuda_raise_from(remuda_raised(), "DemoError", "this task always fails");
}

/* Dies by SIGSEGV. */
REMUDA_TASK(void, crash)
{
	int *volatile nowhere = (int *)8;
	*nowhere = 1;
}

/* Ends its worker with an exit code. */
REMUDA_TASK_NAMED("exit", void, exit_now, (int, code))
{
	exit(code);
}

/* Keeps a cpu busy for `ms` milliseconds of its time; gives the rounds it made. */
REMUDA_TASK(uint64_t, burn_ms, (uint32_t, ms))
{
	int64_t until_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) + (int64_t)ms * 1000000;
	uint64_t rounds = 0;
	do
		rounds++;
	while (now_ns(CLOCK_THREAD_CPUTIME_ID) < until_ns);
	return rounds;
}

/* Prints a line of text to its standard output. */
REMUDA_TASK(void, print, (const char *, text))
{
	puts(text);
}

/* Submits a function of one number. */
static uint64_t submit_int(remuda_ctx *ctx, const char *function, int64_t n)
{
	struct remuda_value arg = {.kind = REMUDA_INT64, .u.int64 = n};
	return remuda_ctx_submit(ctx, function, &arg, 1);
}

static int64_t get_int(remuda_ctx *ctx, uint64_t task)
{
	struct remuda_value value;
	return remuda_ctx_get(ctx, task, &value) < 0 ? 0 : value.u.int64;
}

/* depth + (depth - 1) + ... + 0, each by a task that the one above it submits. */
REMUDA_TASK(int64_t, nest, (remuda_ctx *, ctx), (uint32_t, depth))
{
	if (depth == 0)
		return 0;
	return depth + get_int(ctx, submit_int(ctx, "native:demo.nest", depth - 1));
}

/* The n-th Fibonacci number, by tasks that submit two tasks each. Tasks nest at most 10
 * deep, which is enough for n = 11. */
REMUDA_TASK(int64_t, fib, (remuda_ctx *, ctx), (uint32_t, n))
{
	if (n < 2)
		return n;
	uint64_t one = submit_int(ctx, "native:demo.fib", n - 1);
	uint64_t other = submit_int(ctx, "native:demo.fib", n - 2);
	return get_int(ctx, one) + get_int(ctx, other);
}
