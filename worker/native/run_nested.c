/* What a task submits, and what became of it: part of the table of remuda/task.h. */
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/codec/arguments.h"
#include "proto/codec/frames_nested.h"
#include "proto/error/chain.h"
#include "worker/native/run.h"

#define CHILDREN_MAX 10000u /* open at a time: the agent allows no more */
#define RUNTIME "native:"

/* A task that was submitted and whose end has not been told. */
struct rmd_run_child {
	char *function; /* owned */
};

static struct rmd_run *run_of(remuda_ctx *ctx)
{
	struct rmd_run *run = (struct rmd_run *)ctx;
	RMD_CHECK_OBJ(run, RMD_RUN_MAGIC);
	return run;
}

static void child_free(struct rmd_run_child *child)
{
	if (child != NULL)
		rmd_free(child->function);
	rmd_free(child);
}

void rmd_run_end_children(struct rmd_run *run)
{
	struct rmd_run_child *child;
	size_t cursor = 0;
	if (run->last_child == 0)
		return;
	while ((child = rmd_map_next(&run->children, &cursor)) != NULL)
		child_free(child);
	rmd_map_fini(&run->children);
	rmd_map_init(&run->children, 0);
	run->last_child = 0;
	while (run->child_error_count > 0)
		remuda_error_free(run->child_errors[--run->child_error_count]);
}

/* ---- submit ---- */

/* Encodes the arguments to run->writer. False: an error is recorded. */
static bool put_arguments(struct rmd_run *run, const struct remuda_place *place,
			  const char *function, const struct remuda_value *args,
			  size_t count)
{
	struct rmd_value_fault fault = {.path = ""};
	if (count > RMD_ARGUMENTS_MAX) {
		rmd_run_record(run, place, NULL, "EncodeError",
			       "%s was not submitted: %zu arguments are more than %u",
			       function, count, RMD_ARGUMENTS_MAX);
		return false;
	}
	rmd_wire_writer_reset(&run->writer);
	for (size_t i = 0; i < count; i++) {
		int rc = rmd_value_check(&args[i], &fault);
		if (rc < 0) {
			rmd_run_record(
				run, place, NULL, "EncodeError",
				"%s was not submitted: args[%zu]%s can't be encoded: %s",
				function, i, fault.path,
				fault.why == NULL ? rmd_errcode_text(rc) : fault.why);
			return false;
		}
		rmd_arguments_put(&run->writer, &args[i]);
	}
	return true;
}

/* Remembers the child, under the next number. NULL: no memory. */
static struct rmd_run_child *child_new(struct rmd_run *run, const char *function)
{
	struct rmd_run_child *child = rmd_calloc(1, sizeof *child);
	if (child == NULL)
		return NULL;
	bool bare = strchr(function, ':') == NULL;
	child->function = rmd_asprintf("%s%s", bare ? RUNTIME : "", function);
	if (child->function == NULL ||
	    rmd_map_put(&run->children, run->last_child + 1, child) < 0) {
		child_free(child);
		return NULL;
	}
	run->last_child++;
	return child;
}

/* Hands it to the agent. */
static int send(struct rmd_run *run, const struct rmd_nested_submit *submit)
{
	uint8_t *room;
	size_t len = rmd_worker_submit_bytes(submit);
	if (run->writer.failed)
		return RMD_ENOMEM;
	if (submit->arguments.len > RMD_TRANSFER_MAX_BYTES / 2)
		return RMD_ETOOBIG;
	int rc = rmd_wpw_reserve(run->end, len, RMD_WPW_SILENT, &room);
	if (rc < 0)
		return rc;
	struct rmd_wire_writer writer = {.data = room, .capacity = len};
	rmd_worker_submit_put(&writer, submit);
	RMD_CHECK(!writer.failed && writer.data == room);
	rmd_wpw_submit(run->end, writer.len);
	return 0;
}

/* Submits; the lock is held. Gives the number, or 0. */
static uint64_t submit_locked(struct rmd_run *run, const struct remuda_place *place,
			      const struct remuda_child_options *options,
			      const char *function, const struct remuda_value *args,
			      size_t count)
{
	static const struct remuda_child_options none;
	if (options == NULL)
		options = &none;
	if (run->children.count >= CHILDREN_MAX) {
		rmd_run_record(run, place, NULL, "ResourceExhausted",
			       "%s was not submitted: %u tasks are open; wait for some "
			       "first",
			       function, CHILDREN_MAX);
		return 0;
	}
	if (run->encoded || !put_arguments(run, place, function, args, count))
		return 0;
	struct rmd_run_child *child = child_new(run, function);
	int rc = RMD_ENOMEM;
	if (child != NULL) {
		struct rmd_nested_submit submit = {
			.number = run->last_child,
			.function = rmd_slice_of_string(child->function),
			.arguments = rmd_slice_of(run->writer.data, run->writer.len),
			.pool = rmd_slice_of_string(
				options->pool == NULL ? "" : options->pool),
			.deadline_ms = options->deadline_ms,
			.max_attempts = options->max_attempts,
		};
		rc = RMD_ETOOBIG;
		if (submit.function.len <= RMD_FUNCTION_MAX_BYTES &&
		    submit.pool.len <= RMD_NESTED_POOL_MAX_BYTES &&
		    submit.max_attempts <= RMD_ATTEMPTS_MAX)
			rc = send(run, &submit);
	}
	if (rc == 0)
		return run->last_child;
	if (child != NULL)
		child_free(rmd_map_take(&run->children, run->last_child));
	rmd_run_record(
		run, place, NULL, "SubmitError", "%s was not submitted: %s", function,
		rc == RMD_ETOOBIG ? "its name, pool, arguments or max_attempts are "
				    "over their limit"
				  : rmd_errcode_text(rc));
	return 0;
}

uint64_t rmd_run_submit(remuda_ctx *ctx, const struct remuda_place *place,
			const struct remuda_child_options *options, const char *function,
			const struct remuda_value *args, size_t count)
{
	struct rmd_run *run = run_of(ctx);
	rmd_run_lock(run);
	uint64_t number = submit_locked(run, place, options, function, args, count);
	rmd_run_unlock(run);
	return number;
}

void rmd_run_cancel(remuda_ctx *ctx, uint64_t task)
{
	struct rmd_run *run = run_of(ctx);
	rmd_run_lock(run);
	if (task != 0 && rmd_map_get(&run->children, task) != NULL)
		(void)rmd_wpw_cancel_child(run->end, task);
	rmd_run_unlock(run);
}

/* ---- get ---- */

void rmd_run_release_error(struct rmd_run *run, const struct remuda_error *err)
{
	for (size_t i = run->child_error_count; err != NULL && i > 0; i--) {
		if (run->child_errors[i - 1] != err)
			continue;
		run->child_errors[i - 1] = run->child_errors[--run->child_error_count];
		return;
	}
}

/* Gives an error out, to be freed with the task. NULL: no memory; it is freed. */
static struct remuda_error *keep_error(struct rmd_run *run, struct remuda_error *err)
{
	if (run->child_error_count == run->child_error_room) {
		size_t room = run->child_error_room == 0 ? 16 : run->child_error_room * 2;
		struct remuda_error **list = rmd_realloc(
			run->child_errors, room * sizeof(struct remuda_error *));
		if (list == NULL) {
			remuda_error_free(err);
			return NULL;
		}
		run->child_errors = list;
		run->child_error_room = room;
	}
	run->child_errors[run->child_error_count++] = err;
	return err;
}

/* What went wrong, as the caller wants it; takes `err`. The lock is held. */
static int fail(struct rmd_run *run, const struct remuda_place *place,
		const char *function, struct remuda_error *err,
		struct remuda_error **ret_err)
{
	if (ret_err != NULL)
		*ret_err = keep_error(run, err);
	else
		rmd_run_record(run, place, err, "ChildError",
			       "%s, which %s submitted, did not give a value", function,
			       run->function->name);
	return -1;
}

/* Opens the value; the lock is held. */
static int take_value(struct rmd_run *run, struct rmd_slice payload,
		      struct remuda_value *ret_value)
{
	if (ret_value == NULL)
		return 0;
	/* What the agent gave is there until the next question; the value lives on. */
	uint8_t *copy = rmd_arena_alloc(&run->arena, payload.len + 1);
	if (copy == NULL)
		return RMD_ENOMEM;
	if (payload.len > 0)
		memcpy(copy, payload.data, payload.len);
	return rmd_value_get(rmd_slice_of(copy, payload.len), &run->arena, ret_value);
}

static struct remuda_error *error_of(enum rmd_wp_answer kind, struct rmd_slice payload,
				     const char *function)
{
	struct remuda_error *err = NULL;
	const char *field;
	switch (kind) {
	case RMD_WP_ANSWER_ERROR:
		if (rmd_error_decode(payload, &err, &field) == 0)
			return err;
		return remuda_error_create("TaskError",
					   "%s failed, with an error that cannot be read",
					   function);
	case RMD_WP_ANSWER_CANCELLED:
		return remuda_error_create("Cancelled", "%s was cancelled: %.*s",
					   function, (int)payload.len,
					   (const char *)payload.data);
	case RMD_WP_ANSWER_STOP:
		return remuda_error_create(
			"Cancelled", "the task was cancelled while it waited for %s",
			function);
	case RMD_WP_ANSWER_VALUE:
	case RMD_WP_ANSWER_NONE:
	case RMD_WP_ANSWER_UNKNOWN:
	case RMD_WP_ANSWERS:
		break;
	}
	return remuda_error_create("OutOfMemory", "%s: its agent does not know of it",
				   function);
}

/* Asks the agent and waits: the answer, borrowed. Takes the lock to speak, and not while
 * it waits. */
static int ask(struct rmd_run *run, uint64_t task, int64_t timeout_ms,
	       enum rmd_wp_answer *ret_kind, struct rmd_slice *ret_payload)
{
	uint32_t ticket;
	uint64_t until_ns = 0;
	if (timeout_ms > 0 && (uint64_t)timeout_ms < UINT64_MAX / 2000000u)
		until_ns = rmd_clock_mono_ns() + (uint64_t)timeout_ms * 1000000u;
	rmd_run_lock(run);
	int rc = rmd_wpw_ask(run->end, task,
			     timeout_ms == 0 ? RMD_WPW_ASK_NOW : RMD_WPW_ASK_WAIT,
			     &ticket);
	rmd_run_unlock(run);
	if (rc < 0)
		return rc;
	rc = rmd_wpw_await_answer(run->end, task, ticket, until_ns, ret_kind,
				  ret_payload);
	if (rc != RMD_ETIMEOUT)
		return rc;
	rmd_run_lock(run);
	rc = rmd_wpw_give_up(run->end, task);
	rmd_run_unlock(run);
	return rc < 0 ? rc
		      : rmd_wpw_await_answer(run->end, task, ticket, 0, ret_kind,
					     ret_payload);
}

/* The answer, as get gives it; the lock is held. */
static int settle(struct rmd_run *run, const struct remuda_place *place, uint64_t task,
		  enum rmd_wp_answer kind, struct rmd_slice payload,
		  struct remuda_value *ret_value, struct remuda_error **ret_err)
{
	struct rmd_run_child *child = rmd_map_get(&run->children, task);
	struct remuda_error *err = NULL;
	if (kind == RMD_WP_ANSWER_NONE)
		return 1;
	if (kind == RMD_WP_ANSWER_VALUE) {
		int rc = take_value(run, payload, ret_value);
		if (rc < 0)
			err = remuda_error_create("DecodeError",
						  "%s: its value can't be decoded: %s",
						  child->function, rmd_errcode_text(rc));
	} else {
		err = error_of(kind, payload, child->function);
	}
	int rc = err == NULL ? 0 : fail(run, place, child->function, err, ret_err);
	if (kind != RMD_WP_ANSWER_STOP)
		child_free(rmd_map_take(&run->children, task));
	return rc;
}

static int get(struct rmd_run *run, const struct remuda_place *place, uint64_t task,
	       int64_t timeout_ms, struct remuda_value *ret_value,
	       struct remuda_error **ret_err)
{
	enum rmd_wp_answer kind = RMD_WP_ANSWERS;
	struct rmd_slice payload = {NULL, 0};
	rmd_run_lock(run);
	bool known = task != 0 && rmd_map_get(&run->children, task) != NULL;
	rmd_run_unlock(run);
	int rc = known ? ask(run, task, timeout_ms, &kind, &payload) : RMD_ENOTFOUND;
	rmd_run_lock(run);
	if (rc == 0) {
		rc = settle(run, place, task, kind, payload, ret_value, ret_err);
	} else {
		struct remuda_error *err = remuda_error_create(
			rc == RMD_ENOTFOUND ? "InvalidTask" : "AgentLost",
			"task %llu: %s", (unsigned long long)task,
			rc == RMD_ENOTFOUND
				? "this task has not submitted it, or has got its end "
				  "before"
				: rmd_errcode_text(rc));
		rc = fail(run, place, "a task", err, ret_err);
	}
	rmd_run_unlock(run);
	return rc;
}

int rmd_run_get(remuda_ctx *ctx, const struct remuda_place *place, uint64_t task,
		int64_t timeout_ms, struct remuda_value *ret_value,
		struct remuda_error **ret_err)
{
	struct rmd_run *run = run_of(ctx);
	if (ret_err != NULL)
		*ret_err = NULL;
	if (task == 0)
		return -1; /* its submit has said what was wrong */
	RMD_CHECK(pthread_mutex_lock(&run->ask_lock) == 0);
	int rc = get(run, place, task, timeout_ms, ret_value, ret_err);
	RMD_CHECK(pthread_mutex_unlock(&run->ask_lock) == 0);
	return rc;
}
