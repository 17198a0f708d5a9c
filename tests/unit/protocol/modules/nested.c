/* Functions that submit others, each in one of the ways there are. */
#include <pthread.h>
#include <remuda/task.h>
#include <stdlib.h>
#include <string.h>

REMUDA_MODULE("nested");

static struct remuda_value int_value(int64_t n)
{
	return (struct remuda_value){.kind = REMUDA_INT64, .u.int64 = n};
}

/* The value of a child. */
REMUDA_TASK(struct remuda_value, plain, (remuda_ctx *, ctx), (struct remuda_value, arg))
{
	struct remuda_value value = {.kind = REMUDA_NULL};
	(void)remuda_ctx_get(ctx, remuda_ctx_submit(ctx, "far.away", &arg, 1), &value);
	return value;
}

/* How it was told to run. */
REMUDA_TASK(void, with, (remuda_ctx *, ctx), (const char *, pool))
{
	struct remuda_child_options options = {
		.pool = pool, .deadline_ms = 1234, .max_attempts = 3};
	(void)remuda_ctx_submit_with(ctx, &options, "python:math.pow", NULL, 0);
}

/* Handles the child's error: gives its type and message, and raises none. */
REMUDA_TASK(const char *, handled, (remuda_ctx *, ctx))
{
	struct remuda_error *err;
	uint64_t task = remuda_ctx_submit(ctx, "native:far.away", NULL, 0);
	int rc = remuda_ctx_wait(ctx, task, -1, NULL, &err);
	if (rc != -1 || remuda_raised() != NULL)
		return "not so";
	return remuda_format(ctx, "%s: %s", remuda_ctx_error_type(ctx, err),
			     remuda_ctx_error_message(ctx, err));
}

/* Raises another error from the child's. */
REMUDA_TASK(void, from, (remuda_ctx *, ctx))
{
	struct remuda_error *err;
	uint64_t task = remuda_ctx_submit(ctx, "native:far.away", NULL, 0);
	if (remuda_ctx_wait(ctx, task, -1, NULL, &err) < 0)
		remuda_raise_from(err, "OrderError", "no order");
}

/* Polls, waits for a while, and then for as long as it takes: the three codes and the
 * value. */
REMUDA_TASK(int64_t, patient, (remuda_ctx *, ctx))
{
	struct remuda_value value = int_value(0);
	struct remuda_error *err;
	uint64_t task = remuda_ctx_submit(ctx, "native:far.away", NULL, 0);
	int now = remuda_ctx_wait(ctx, task, 0, &value, &err);
	int later = remuda_ctx_wait(ctx, task, 20, &value, &err);
	int last = remuda_ctx_wait(ctx, task, -1, &value, &err);
	return now * 1000 + later * 100 + last * 10 + value.u.int64;
}

/* Mistakes: what comes of each raises an error. */
REMUDA_TASK(void, twice, (remuda_ctx *, ctx))
{
	uint64_t task = remuda_ctx_submit(ctx, "native:far.away", NULL, 0);
	(void)remuda_ctx_get(ctx, task, NULL);
	(void)remuda_ctx_get(ctx, task, NULL);
}

REMUDA_TASK(void, bad_argument, (remuda_ctx *, ctx))
{
	struct remuda_value bad = {.kind = REMUDA_STRING, .u.string = {"\xff", 1}};
	struct remuda_value args[] = {int_value(1), bad};
	if (remuda_ctx_submit(ctx, "native:far.away", args, 2) != 0)
		abort();
	if (remuda_ctx_get(ctx, 0, NULL) != -1)
		abort();
}

REMUDA_TASK(void, long_name, (remuda_ctx *, ctx))
{
	char name[600];
	memset(name, 'x', sizeof name);
	name[599] = '\0';
	(void)remuda_ctx_submit(ctx, name, NULL, 0);
}

REMUDA_TASK(uint64_t, many, (remuda_ctx *, ctx), (uint32_t, count))
{
	uint64_t last = 0;
	for (uint32_t i = 0; i < count; i++)
		last = remuda_ctx_submit(ctx, "native:far.away", NULL, 0);
	return last;
}

REMUDA_TASK(void, cancels, (remuda_ctx *, ctx))
{
	uint64_t task = remuda_ctx_submit(ctx, "native:far.away", NULL, 0);
	remuda_ctx_cancel(ctx, task + 1); /* none of its own: nothing happens */
	remuda_ctx_cancel(ctx, task);
	(void)remuda_ctx_get(ctx, task, NULL);
}

struct half {
	remuda_ctx *ctx;
	int64_t sum;
};

static void *take_half(void *arg)
{
	struct half *half = arg;
	remuda_attach(half->ctx);
	for (int64_t i = 0; i < 50; i++) {
		struct remuda_value n = int_value(i), value = int_value(0);
		uint64_t task = remuda_ctx_submit(half->ctx, "native:far.away", &n, 1);
		remuda_log(half->ctx, "one more");
		if (remuda_ctx_get(half->ctx, task, &value) == 0)
			half->sum += value.u.int64;
	}
	return NULL;
}

/* Two threads of one task that submit and wait. */
REMUDA_TASK(int64_t, threads, (remuda_ctx *, ctx))
{
	struct half halves[2] = {{ctx, 0}, {ctx, 0}};
	pthread_t thread[2];
	for (int i = 0; i < 2; i++)
		if (pthread_create(&thread[i], NULL, take_half, &halves[i]) != 0)
			abort();
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	return halves[0].sum + halves[1].sum;
}
