/* stages: a task for each stage at which one can fail; stages_test.c runs them. */
#include <remuda/task.h>
#include <stdlib.h>

REMUDA_MODULE("stages");

static void open_row(int64_t row)
{
	remuda_raise("RowError", "row %lld: no such row", (long long)row);
}

/* A cause with its frames, and an error of the task's own. */
REMUDA_TASK(int64_t, raises, (int64_t, row))
{
	open_row(row);
	remuda_raise_from(remuda_raised(), "OrderError", "the order can't be read");
	return 0;
}

/* A second error while the first one is handled. */
REMUDA_TASK(void, raises_twice)
{
	open_row(7);
	remuda_raise("CleanupError", "the file is still there");
}

/* Gives [null, null, null, {"name": a text that is not UTF-8}]. */
REMUDA_TASK(struct remuda_value, bad_result)
{
	static const struct remuda_entry pair = {
		{.kind = REMUDA_STRING, .u.string = {"name", 4}},
		{.kind = REMUDA_STRING, .u.string = {"\xff", 1}}};
	static const struct remuda_value items[4] = {
		{.kind = REMUDA_NULL},
		{.kind = REMUDA_NULL},
		{.kind = REMUDA_NULL},
		{.kind = REMUDA_MAP, .u.map = {&pair, 1}}};
	return (struct remuda_value){.kind = REMUDA_LIST, .u.list = {items, 4}};
}

REMUDA_TASK(double, sum, (struct remuda_doubles, xs))
{
	double sum = 0;
	for (size_t i = 0; i < xs.len; i++)
		sum += xs.data[i];
	return sum;
}

/* What a task that it submitted failed with is the cause of its own error. */
REMUDA_TASK(int64_t, asks, (remuda_ctx *, ctx), (int64_t, row))
{
	struct remuda_value arg = {.kind = REMUDA_INT64, .u.int64 = row}, value;
	struct remuda_error *err;
	uint64_t task = remuda_ctx_submit(ctx, "native:stages.raises", &arg, 1);
	if (remuda_ctx_wait(ctx, task, -1, &value, &err) < 0)
		return remuda_raise_from(err, "ReportError", "there is no report"), 0;
	return value.u.int64;
}

static volatile int *nowhere;

__attribute__((noinline)) static void write_nowhere(void)
{
	*nowhere = 1;
}

REMUDA_TASK(void, crashes)
{
	write_nowhere();
	nowhere = NULL; /* or the call above were a jump */
}
