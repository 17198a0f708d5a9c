/* server/service/ending.c: from the core's endings to outcomes that a client can read. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

static struct rmd_buf *deadline_error(const struct rmd_core_task *task)
{
	struct rmd_slice function = rmd_core_task_function(task);
	uint64_t allowed_ms = rmd_core_task_deadline_ms(task) -
			      rmd_core_task_accepted_ms(task);
	char waits[RMD_CORE_EXPLAIN_BYTES] = "";
	if (rmd_core_task_attempt(task) == 0)
		rmd_core_pool_explain(rmd_core_task_pool(task), waits, sizeof waits);
	return rmd_outcome_refused("DeadlineExceeded",
				   "%.*s did not end within its deadline of %llu ms%s%s",
				   (int)function.len, (const char *)function.data,
				   (unsigned long long)allowed_ms,
				   waits[0] != '\0' ? "; it had not begun: " : "", waits);
}

static struct rmd_buf *start_failed_error(const struct rmd_core_task *task,
					  struct rmd_piece why)
{
	struct rmd_slice function = rmd_core_task_function(task);
	struct remuda_error *cause = NULL;
	const char *field = NULL;
	if (why.bytes.len != 0 && rmd_error_decode(why.bytes, &cause, &field) < 0)
		cause = NULL;
	return encode(
		remuda_error_wrap(cause, "WorkerStartFailed",
				  "%.*s could not run: no worker of its pool could start",
				  (int)function.len, (const char *)function.data));
}

static struct rmd_buf *agent_lost_error(const struct rmd_core_task *task,
					const struct rmd_core_ending *ending)
{
	struct rmd_slice function = rmd_core_task_function(task);
	const char *name = ending->agent != NULL ? rmd_core_agent_name(ending->agent)
						 : "?";
	return rmd_outcome_refused(
		"AgentLost",
		"%.*s: agent %s was lost while it held the task, which may have begun "
		"(attempt %u); max_attempts allows no other",
		(int)function.len, (const char *)function.data, name, ending->attempt);
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
	case RMD_CORE_END_START_FAILED:
	case RMD_CORE_END_AGENT_LOST:
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
	struct rmd_buf *made = NULL;
	if (ending->end == RMD_CORE_END_DEADLINE)
		made = deadline_error(task);
	else if (ending->end == RMD_CORE_END_START_FAILED)
		made = start_failed_error(task, ending->start_error);
	else if (ending->end == RMD_CORE_END_AGENT_LOST)
		made = agent_lost_error(task, ending);
	struct rmd_piece given = ending->outcome;
	if (made != NULL)
		given = (struct rmd_piece){rmd_buf_slice(made), made};
	make(ending->end, given, ret_outcome, ret_buf);
	rmd_buf_unref(made);
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
