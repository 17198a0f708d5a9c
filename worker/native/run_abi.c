/* What a task can call: the table of remuda/task.h, for this worker. */
#include <stdio.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/error/chain.h"
#include "worker/native/run.h"

/* A task that raises for ever: earlier errors are then forgotten. */
#define RAISES_MAX 64u
#define LOG_LINE_MAX 65535u

static struct rmd_run *run_of(remuda_ctx *ctx)
{
	struct rmd_run *run = (struct rmd_run *)ctx;
	RMD_CHECK_OBJ(run, RMD_RUN_MAGIC);
	return run;
}

void rmd_run_lock(struct rmd_run *run)
{
	RMD_CHECK(pthread_mutex_lock(&run->lock) == 0);
}

void rmd_run_unlock(struct rmd_run *run)
{
	RMD_CHECK(pthread_mutex_unlock(&run->lock) == 0);
}

static bool contains(const struct remuda_error *chain, const struct remuda_error *err)
{
	return chain != NULL &&
	       (chain == err || contains(remuda_error_cause(chain), err) ||
		contains(remuda_error_context(chain), err));
}

/* Records an error; the lock is held. */
static struct remuda_error *record(struct rmd_run *run, const struct remuda_place *place,
				   struct remuda_error *cause, const char *type,
				   const char *format, va_list args)
{
	struct remuda_error *before = run->err;
	run->err = NULL;
	rmd_run_release_error(run, cause);
	/* An error of the task's own, however deep it lies by now: the whole is the
	 * cause. */
	if (contains(before, cause)) {
		cause = before;
		before = NULL;
	}
	if (++run->raises > RAISES_MAX) {
		remuda_error_free(before);
		before = NULL;
		if (cause != NULL) {
			remuda_error_set_cause(cause, NULL);
			remuda_error_set_context(cause, NULL);
		}
	}
	struct remuda_error *err = rmd_error_vcreate(cause, type, format, args);
	struct remuda_frame frame = {
		.file = place->file, .line = place->line, .function = place->function};
	rmd_error_set_origin(err, REMUDA_ORIGIN_TASK);
	rmd_error_add_frame(err, &frame);
	run->err = before;
	rmd_run_fail(run, err);
	return err;
}

struct remuda_error *rmd_run_record(struct rmd_run *run, const struct remuda_place *place,
				    struct remuda_error *cause, const char *type,
				    const char *format, ...)
{
	va_list args;
	va_start(args, format);
	struct remuda_error *err = record(run, place, cause, type, format, args);
	va_end(args);
	return err;
}

static struct remuda_error *abi_raise(remuda_ctx *ctx, const struct remuda_place *place,
				      struct remuda_error *cause, const char *type,
				      const char *format, va_list args)
{
	struct rmd_run *run = run_of(ctx);
	rmd_run_lock(run);
	struct remuda_error *err = record(run, place, cause, type, format, args);
	rmd_run_unlock(run);
	return err;
}

__attribute__((format(printf, 4, 5))) static void
raise_here(struct rmd_run *run, const struct remuda_place *place, const char *type,
	   const char *format, ...)
{
	va_list args;
	va_start(args, format);
	rmd_run_lock(run);
	(void)record(run, place, NULL, type, format, args);
	rmd_run_unlock(run);
	va_end(args);
}

static struct remuda_error *abi_raised(remuda_ctx *ctx)
{
	struct rmd_run *run = run_of(ctx);
	rmd_run_lock(run);
	struct remuda_error *err = run->err;
	rmd_run_unlock(run);
	return err;
}

static void *abi_alloc(remuda_ctx *ctx, size_t size)
{
	struct rmd_run *run = run_of(ctx);
	struct remuda_place place = {"", run->function->name, 0};
	rmd_run_lock(run);
	void *memory = rmd_arena_alloc(&run->arena, size);
	rmd_run_unlock(run);
	if (memory == NULL)
		raise_here(run, &place, "OutOfMemory",
			   "no memory for %zu bytes of result", size);
	return memory;
}

static void abi_log(remuda_ctx *ctx, const char *format, va_list args)
{
	struct rmd_run *run = run_of(ctx);
	char *text = rmd_vasprintf(format, args);
	if (text == NULL)
		return;
	size_t len = strlen(text);
	if (len > LOG_LINE_MAX)
		len = LOG_LINE_MAX;
	text[len] = '\n'; /* where its NUL stood */
	rmd_run_lock(run);
	(void)rmd_wpw_log(run->end, rmd_slice_of(text, len + 1));
	rmd_run_unlock(run);
	rmd_free(text);
}

static void abi_progress(remuda_ctx *ctx, uint64_t done, uint64_t total)
{
	rmd_wpw_set_progress(run_of(ctx)->end, done, total);
}

static bool abi_cancelled(remuda_ctx *ctx)
{
	return rmd_wpw_cancelled(run_of(ctx)->end);
}

static int64_t abi_deadline_ms(remuda_ctx *ctx)
{
	uint64_t deadline_ns = run_of(ctx)->task->deadline_mono_ns;
	uint64_t now_ns = rmd_clock_mono_ns();
	if (deadline_ns == 0)
		return -1;
	return deadline_ns <= now_ns ? 0 : (int64_t)((deadline_ns - now_ns) / 1000000);
}

static uint32_t abi_attempt(remuda_ctx *ctx)
{
	return run_of(ctx)->task->attempt;
}

static const char *abi_error_type(remuda_ctx *ctx, const struct remuda_error *err)
{
	(void)ctx;
	return remuda_error_type(err);
}

static const char *abi_error_message(remuda_ctx *ctx, const struct remuda_error *err)
{
	(void)ctx;
	return remuda_error_message(err);
}

const struct remuda_abi rmd_run_abi = {
	.abi_version = REMUDA_ABI_VERSION,
	.size = sizeof rmd_run_abi,
	.decode = rmd_run_decode,
	.encode = rmd_run_encode,
	.alloc = abi_alloc,
	.raise = abi_raise,
	.raised = abi_raised,
	.log = abi_log,
	.progress = abi_progress,
	.cancelled = abi_cancelled,
	.deadline_ms = abi_deadline_ms,
	.attempt = abi_attempt,
	.submit = rmd_run_submit,
	.get = rmd_run_get,
	.cancel = rmd_run_cancel,
	.error_type = abi_error_type,
	.error_message = abi_error_message,
	.call = rmd_run_call,
};
