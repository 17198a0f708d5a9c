/* nested: functions that submit tasks themselves: the patterns that docs/tasks.md tells of.
 *
 *	remuda run native:nested.fan 100 */
#include <remuda/task.h>
#include <stdlib.h>

REMUDA_MODULE("nested");

static struct remuda_value int_value(int64_t n)
{
	return (struct remuda_value){.kind = REMUDA_INT64, .u.int64 = n};
}

/* 1 + 4 + 9 + ... : all are submitted first, so that they run side by side, and then got. */
REMUDA_TASK(int64_t, fan, (remuda_ctx *, ctx), (uint32_t, count))
{
	uint64_t *tasks = (uint64_t *)remuda_alloc(ctx, count * sizeof *tasks);
	int64_t sum = 0;
	if (tasks == NULL)
		return 0; /* the task fails as OutOfMemory */
	for (uint32_t i = 0; i < count; i++) {
		struct remuda_value n = int_value(i + 1);
		tasks[i] = remuda_ctx_submit(ctx, "native:demo.square", &n, 1);
	}
	for (uint32_t i = 0; i < count; i++) {
		struct remuda_value square;
		if (remuda_ctx_get(ctx, tasks[i], &square) < 0)
			return 0; /* its error is raised; the others are cancelled */
		sum += square.u.int64;
		remuda_progress(ctx, i + 1, count);
	}
	return sum;
}

/* Fails at the bottom; each level above raises an error of its own from that below. */
REMUDA_TASK(int64_t, chain, (remuda_ctx *, ctx), (uint32_t, depth))
{
	struct remuda_value arg = int_value((int64_t)depth - 1), value;
	struct remuda_error *err;
	if (depth == 0)
		return remuda_raise("BottomError", "there is nothing below"), 0;
	uint64_t task = remuda_ctx_submit(ctx, "native:nested.chain", &arg, 1);
	if (remuda_ctx_wait(ctx, task, -1, &value, &err) < 0)
		return remuda_raise_from(err, "LevelError", "level %u failed", depth), 0;
	return value.u.int64;
}

/* Waits at most `patience_ms` for a task that sleeps for `ms`; gives how long that slept,
 * or -1, and cancels it then. */
REMUDA_TASK(int64_t, patience, (remuda_ctx *, ctx), (uint32_t, ms), (uint32_t, patience_ms))
{
	struct remuda_value arg = int_value(ms), slept;
	struct remuda_error *err;
	uint64_t task = remuda_ctx_submit(ctx, "native:demo.sleep_ms", &arg, 1);
	switch (remuda_ctx_wait(ctx, task, patience_ms, &slept, &err)) {
	case 0:
		return slept.u.int64;
	case 1:
		remuda_ctx_cancel(ctx, task);
		return -1;
	default:
		return remuda_raise_from(err, "PatienceError", "it did not even sleep"), 0;
	}
}

/* Runs native:demo.square in the shared pool of that name, to be begun at most twice. */
REMUDA_TASK(int64_t, elsewhere, (remuda_ctx *, ctx), (const char *, pool), (int64_t, n))
{
	struct remuda_value arg = int_value(n), square = int_value(0);
	struct remuda_child_options options = {.pool = pool, .max_attempts = 2};
	uint64_t task = remuda_ctx_submit_with(ctx, &options, "native:demo.square", &arg, 1);
	(void)remuda_ctx_get(ctx, task, &square);
	return square.u.int64;
}

/* Leaves `count` tasks that sleep for a minute behind when it ends, or dies: they are
 * cancelled. */
REMUDA_TASK(void, leave, (remuda_ctx *, ctx), (uint32_t, count), (bool, die))
{
	struct remuda_value minute = int_value(60000), slept;
	struct remuda_error *err;
	uint64_t task = 0;
	for (uint32_t i = 0; i < count; i++)
		task = remuda_ctx_submit(ctx, "native:demo.sleep_ms", &minute, 1);
	(void)remuda_ctx_wait(ctx, task, 300, &slept, &err);
	if (die)
		abort();
}

/* Gives back what it is given, by way of two tasks: for large values. */
REMUDA_TASK(struct remuda_value, echo, (remuda_ctx *, ctx), (struct remuda_value, value))
{
	struct remuda_value back = {.kind = REMUDA_NULL};
	uint64_t task = remuda_ctx_submit(ctx, "native:demo.echo", &value, 1);
	(void)remuda_ctx_get(ctx, task, &back);
	return back;
}
