/* server/service/ending.c: from the core's endings to outcomes that a client can read. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/error/chain.h"
#include "server/service/coordinator.h"
#include "server/service/hub.h"

static struct rmd_buf *encode(struct remuda_error *err)
{
	rmd_error_set_origin(err, REMUDA_ORIGIN_SERVICE);
	struct rmd_buf *buf = rmd_error_encode_buf(err);
	remuda_error_free(err);
	return buf;
}

struct rmd_buf *rmd_outcome_refused(const char *type, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	struct remuda_error *err = rmd_error_vcreate(NULL, type, format, args);
	va_end(args);
	return encode(err);
}

/* --- deadlines --- */

/* Where the task was when its time was over, and why. */
static char *whereabouts(const struct rmd_core_ending *ending)
{
	const char *agent = ending->agent != NULL ? rmd_core_agent_name(ending->agent)
						  : "?";
	switch (ending->state) {
	case RMD_CORE_TASK_QUEUED:
		return rmd_asprintf("it was queued%s%s%s",
				    ending->attempt == 0 ? ", and had not begun" : "",
				    ending->waits != NULL && *ending->waits ? ": " : "",
				    ending->waits != NULL ? ending->waits : "");
	case RMD_CORE_TASK_LEASED:
		return ending->began
			       ? rmd_asprintf("it had just begun on agent %s", agent)
			       : rmd_asprintf("it was leased to agent %s, and had not "
					      "begun: it waited there for a worker",
					      agent);
	case RMD_CORE_TASK_RUNNING:
	case RMD_CORE_TASK_DONE:
		break;
	}
	return rmd_asprintf("it was running on agent %s, attempt %u", agent,
			    ending->attempt);
}

static struct remuda_error *deadline_error(const struct rmd_core_task *task,
					   const struct rmd_core_ending *ending)
{
	struct rmd_slice function = rmd_core_task_function(task);
	int len = (int)function.len;
	const char *name = (const char *)function.data, *what = "end within its deadline";
	unsigned long long ms = rmd_core_task_deadline_ms(task) -
				rmd_core_task_accepted_ms(task);
	if (ending->end == RMD_CORE_END_QUEUE_DEADLINE) {
		what = "begin within its queue deadline";
		ms = rmd_core_task_queue_deadline_ms(task);
	} else if (ending->end == RMD_CORE_END_RUN_DEADLINE) {
		what = "end within the run deadline";
		ms = rmd_core_task_run_deadline_ms(task);
	}
	char *where = whereabouts(ending);
	struct remuda_error *err = remuda_error_create(
		"DeadlineExceeded", "%.*s did not %s of %llu ms; %s", len, name, what, ms,
		where != NULL ? where : "?");
	rmd_free(where);
	return err;
}

/* --- other ends --- */

static struct remuda_error *cannot_run_error(const struct rmd_core_task *task,
					     const struct rmd_core_ending *ending)
{
	struct rmd_slice function = rmd_core_task_function(task);
	return remuda_error_create("CannotRun", "%.*s can run nowhere: %s",
				   (int)function.len, (const char *)function.data,
				   ending->waits != NULL && *ending->waits
					   ? ending->waits
					   : "no agent suits its pool");
}

static struct remuda_error *decoded(struct rmd_slice bytes)
{
	struct remuda_error *err = NULL;
	const char *field = NULL;
	if (bytes.len == 0 || rmd_error_decode(bytes, &err, &field) < 0)
		return NULL;
	return err;
}

static struct remuda_error *poisoned_error(const struct rmd_core_task *task,
					   const struct rmd_core_ending *ending)
{
	struct rmd_slice function = rmd_core_task_function(task);
	return remuda_error_wrap(
		decoded(ending->outcome.bytes), "PoisonTask",
		"%.*s is not tried again after %u attempts, though its rules would allow it: "
		"it has ended as many workers as one task may "
		"(remudad --workers-lost-max)",
		(int)function.len, (const char *)function.data, ending->attempt);
}

static struct remuda_error *start_failed_error(const struct rmd_core_task *task,
					       const struct rmd_core_ending *ending)
{
	struct rmd_slice function = rmd_core_task_function(task);
	return remuda_error_wrap(decoded(ending->start_error.bytes), "WorkerStartFailed",
				 "%.*s could not run: no worker of its pool could start",
				 (int)function.len, (const char *)function.data);
}

static struct remuda_error *agent_lost_error(const struct rmd_core_task *task,
					     const struct rmd_core_ending *ending)
{
	struct rmd_slice function = rmd_core_task_function(task);
	const char *name = ending->agent != NULL ? rmd_core_agent_name(ending->agent)
						 : "?";
	return remuda_error_create(
		"AgentLost",
		"%.*s: agent %s was lost while it held the task, which may have begun "
		"(attempt %u); its rules allow no other",
		(int)function.len, (const char *)function.data, name, ending->attempt);
}

/* --- earlier attempts --- */

/* What became of the attempts before the last: how many, and why the last of them
 * failed. */
static struct remuda_error *earlier_attempts(const struct rmd_core_task *task)
{
	uint32_t count = rmd_core_task_failures(task);
	const struct rmd_core_attempt *last = rmd_core_task_failure(task, count - 1);
	return remuda_error_wrap(decoded(rmd_core_task_last_error(task).bytes),
				 "EarlierAttempts",
				 "%u attempt%s failed before; the last of them on agent %s, "
				 "since %s",
				 last->attempt, last->attempt == 1 ? "" : "s",
				 last->agent[0] != '\0' ? last->agent : "?",
				 rmd_core_cause_text(last->cause));
}

/* The error of an end that has one of our own, or that must tell of earlier attempts; NULL:
 * what the agent sent is all. */
static struct remuda_error *error_of(const struct rmd_core_task *task,
				     const struct rmd_core_ending *ending)
{
	struct remuda_error *err = NULL;
	bool again = rmd_core_task_failures(task) > 0, ours = true;
	if (ending->end == RMD_CORE_END_DEADLINE ||
	    ending->end == RMD_CORE_END_QUEUE_DEADLINE ||
	    ending->end == RMD_CORE_END_RUN_DEADLINE)
		err = deadline_error(task, ending);
	else if (ending->end == RMD_CORE_END_CANNOT_RUN)
		err = cannot_run_error(task, ending);
	else if (ending->end == RMD_CORE_END_POISONED)
		err = poisoned_error(task, ending);
	else if (ending->end == RMD_CORE_END_START_FAILED)
		err = start_failed_error(task, ending);
	else if (ending->end == RMD_CORE_END_AGENT_LOST)
		err = agent_lost_error(task, ending);
	else if (ending->end == RMD_CORE_END_POOL_BROKEN &&
		 ending->outcome.bytes.len == 0)
		err = remuda_error_create("BrokenPool", "the pool is broken");
	else
		ours = false;
	if (ours)
		rmd_error_set_origin(err, REMUDA_ORIGIN_SERVICE);
	if (!ours && again && ending->end == RMD_CORE_END_ERROR)
		err = decoded(ending->outcome.bytes);
	if (err != NULL && again)
		rmd_error_add_earlier(err, earlier_attempts(task));
	return err;
}

static void make(enum rmd_core_end end, struct rmd_piece given,
		 struct rmd_outcome *ret_outcome, struct rmd_buf **ret_buf)
{
	*ret_buf = NULL;
	*ret_outcome =
		(struct rmd_outcome){.kind = RMD_OUTCOME_ERROR, .bytes = given.bytes};
	if (given.buf != NULL)
		*ret_buf = rmd_buf_ref(given.buf);
	switch (end) {
	case RMD_CORE_END_VALUE:
		ret_outcome->kind = RMD_OUTCOME_VALUE;
		break;
	case RMD_CORE_END_ERROR:
	case RMD_CORE_END_DEADLINE:
	case RMD_CORE_END_QUEUE_DEADLINE:
	case RMD_CORE_END_RUN_DEADLINE:
	case RMD_CORE_END_POISONED:
	case RMD_CORE_END_CANNOT_RUN:
	case RMD_CORE_END_START_FAILED:
	case RMD_CORE_END_AGENT_LOST:
	case RMD_CORE_END_POOL_BROKEN:
		break;
	case RMD_CORE_END_NONE:
	case RMD_CORE_END_CANCELLED:
	case RMD_CORE_END_STOPPED:
	case RMD_CORE_END_CLIENT_GONE:
	case RMD_CORE_END_POOL_CLOSED:
	case RMD_CORE_END_PARENT_GONE:
	case RMD_CORE_END_SHUTDOWN:
		ret_outcome->kind = RMD_OUTCOME_CANCELLED;
		if (given.bytes.len == 0 || given.bytes.len > RMD_REASON_MAX_BYTES)
			ret_outcome->bytes = rmd_slice_of_string(rmd_core_end_text(end));
		break;
	}
}

void rmd_outcome_make(const struct rmd_core_task *task, enum rmd_core_end end,
		      struct rmd_piece given, struct rmd_outcome *ret_outcome,
		      struct rmd_buf **ret_buf)
{
	(void)task;
	make(end, given, ret_outcome, ret_buf);
}

void rmd_outcome_make_ending(const struct rmd_core_task *task,
			     const struct rmd_core_ending *ending,
			     struct rmd_outcome *ret_outcome, struct rmd_buf **ret_buf)
{
	struct remuda_error *err = error_of(task, ending);
	struct rmd_buf *made = err != NULL ? rmd_error_encode_buf(err) : NULL;
	remuda_error_free(err);
	struct rmd_piece given = ending->outcome;
	if (made != NULL)
		given = (struct rmd_piece){rmd_buf_slice(made), made};
	make(ending->end, given, ret_outcome, ret_buf);
	rmd_buf_unref(made);
}

const struct rmd_core_rules *rmd_submit_rules(const struct rmd_task_options *options,
					      struct rmd_submit_rules *ret_rules)
{
	const char *field = NULL;
	if (options->queue_deadline_ms == 0 && options->run_deadline_ms == 0 &&
	    options->raw_retry.data == NULL && !options->detached)
		return NULL;
	struct rmd_retry_rule *retry = &ret_rules->retry;
	if (rmd_retry_rule_read(options->raw_retry, retry, &field) < 0)
		*retry = (struct rmd_retry_rule){.causes = 0}; /* it was checked before */
	ret_rules->rules = (struct rmd_core_rules){
		.queue_deadline_ms = options->queue_deadline_ms,
		.run_deadline_ms = options->run_deadline_ms,
		.retry_on = retry->causes, /* the core's causes have the contract's numbers */
		.error_types = retry->error_types,
		.error_type_count = retry->error_type_count,
		.backoff_ms = retry->backoff_ms,
		.backoff_max_ms = retry->backoff_max_ms,
		.detached = options->detached,
	};
	return &ret_rules->rules;
}

_Static_assert((int)RMD_CORE_CAUSE_TASK_ERROR == (int)RMD_FAILURE_TASK_ERROR &&
		       (int)RMD_CORE_CAUSE_RUN_DEADLINE == (int)RMD_FAILURE_RUN_DEADLINE,
	       "the core's causes have the contract's numbers");

struct rmd_buf *rmd_outcome_pool_broken(const struct rmd_core_pool *pool)
{
	struct rmd_piece why = {{NULL, 0}, NULL};
	if (!rmd_core_pool_broken(pool, &why))
		return NULL;
	return why.buf != NULL ? rmd_buf_ref(why.buf)
			       : rmd_outcome_refused("BrokenPool", "the pool is broken");
}

struct rmd_buf *rmd_outcome_submit_refused(const struct rmd_coordinator *coordinator,
					   int rc, struct rmd_slice function)
{
	struct rmd_core_counters counters;
	int len = (int)function.len;
	const char *name = (const char *)function.data;
	rmd_core_counters(coordinator->core, &counters);
	switch (rc) {
	case RMD_ECLOSED:
		if (counters.draining)
			return rmd_outcome_refused(
				"Unavailable",
				"%.*s was not accepted: the coordinator is "
				"shutting down; submit it to another",
				len, name);
		return rmd_outcome_refused(
			"PoolClosed",
			"%.*s was not accepted: its pool is closed; open it anew", len,
			name);
	case RMD_ELIMIT:
		return rmd_outcome_refused(
			"ResourceExhausted",
			"%.*s was not accepted: the coordinator holds %llu tasks and "
			"%llu bytes "
			"of arguments, or this client too many; wait for outcomes, then "
			"submit "
			"again",
			len, name,
			(unsigned long long)(counters.queued + counters.leased),
			(unsigned long long)counters.payload_bytes);
	case RMD_ENOMEM:
		return rmd_outcome_refused(
			"ResourceExhausted",
			"%.*s was not accepted: the coordinator is out of "
			"memory; submit it again later",
			len, name);
	default:
		return rmd_outcome_refused("InvalidTask", "%.*s was not accepted: %s",
					   len, name, rmd_errcode_text(rc));
	}
}
