#include "server/service/explain.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/clock.h"

#define WHY_BYTES (RMD_CORE_EXPLAIN_BYTES + RMD_CORE_NAME_MAX + 256u)

static const char *agent_of(const struct rmd_core_task *task)
{
	const struct rmd_core_agent *agent = rmd_core_task_agent(task);
	return agent != NULL ? rmd_core_agent_name(agent) : "?";
}

/* Where the task is, on one line. */
static void say_why(const struct rmd_core_task *task, char *ret_text, size_t size)
{
	char waits[RMD_CORE_EXPLAIN_BYTES];
	rmd_core_task_explain(task, waits, sizeof waits);
	switch (rmd_core_task_state(task)) {
	case RMD_CORE_TASK_QUEUED:
		snprintf(ret_text, size, "%s",
			 waits[0] != '\0' ? waits : "waits for its turn");
		return;
	case RMD_CORE_TASK_LEASED:
		snprintf(ret_text, size,
			 "lies ready at agent %s: a worker there begins it next, or has "
			 "just "
			 "begun it",
			 agent_of(task));
		return;
	case RMD_CORE_TASK_RUNNING:
		snprintf(ret_text, size, "runs on agent %s%s%s", agent_of(task),
			 waits[0] != '\0' ? "; it " : "", waits);
		return;
	case RMD_CORE_TASK_DONE:
		snprintf(ret_text, size,
			 "has ended (%s); its outcome waits to be fetched",
			 rmd_core_end_text(rmd_core_task_end(task)));
		return;
	}
}

static void fill_failures(struct rmd_unary *call, const struct rmd_core_task *task,
			  Remuda__V1__ExplainResponse *response)
{
	struct rmd_arena *arena = rmd_unary_arena(call);
	uint32_t count = rmd_core_task_failures(task);
	uint64_t now_ms = rmd_clock_mono_ms();
	Remuda__V1__FailedAttempt *items =
		rmd_arena_calloc(arena, count + 1, sizeof *items);
	response->failures =
		rmd_arena_calloc(arena, count + 1, sizeof *response->failures);
	for (uint32_t i = 0; items != NULL && response->failures != NULL && i < count;
	     i++) {
		const struct rmd_core_attempt *failure = rmd_core_task_failure(task, i);
		remuda__v1__failed_attempt__init(&items[i]);
		items[i].attempt = failure->attempt;
		items[i].cause = (Remuda__V1__FailureCause)failure->cause;
		items[i].agent =
			rmd_unary_text(call, rmd_slice_of_string(failure->agent));
		items[i].worker = failure->worker;
		items[i].run_ns = failure->run_ns;
		items[i].ago_ms = now_ms - failure->ended_ms;
		response->failures[response->n_failures++] = &items[i];
	}
}

static struct rmd_core_task *find(struct rmd_coordinator *coordinator,
				  const Remuda__V1__TaskId *asked)
{
	struct rmd_task_id id;
	if (asked == NULL || asked->session.len != RMD_SESSION_BYTES)
		return NULL;
	memcpy(id.session, asked->session.data, RMD_SESSION_BYTES);
	id.number = asked->number;
	return rmd_coordinator_task(coordinator, &id);
}

void rmd_admin_explain(struct rmd_unary *call, const Remuda__V1__ExplainRequest *request,
		       struct rmd_coordinator *coordinator)
{
	const struct rmd_core_task *task = find(coordinator, request->task);
	Remuda__V1__ExplainResponse response = REMUDA__V1__EXPLAIN_RESPONSE__INIT;
	char why[WHY_BYTES];
	if (task == NULL) {
		rmd_unary_fail(
			call, RMD_RPC_NOT_FOUND, "UNKNOWN_TASK",
			"no such task: it was never accepted here, or it has ended and "
			"its outcome is not held any more");
		return;
	}
	response.task = rmd_admin_task_info(call, coordinator, task);
	say_why(task, why, sizeof why);
	response.why = rmd_unary_text(call, rmd_slice_of_string(why));
	fill_failures(call, task, &response);
	uint64_t deadline_ms = rmd_core_task_deadline_ms(task);
	uint64_t now_ms = rmd_clock_mono_ms();
	if (deadline_ms > now_ms && rmd_core_task_state(task) != RMD_CORE_TASK_DONE)
		response.deadline_left_ms = deadline_ms - now_ms;
	const struct rmd_core_pool *pool = rmd_core_task_pool(task);
	if (pool != NULL) {
		struct rmd_core_pool_info info;
		rmd_core_pool_info(pool, &info);
		response.pool_name = rmd_unary_text(call, info.name);
	}
	response.detached = rmd_core_task_detached(task);
	rmd_unary_reply(call, &response.base);
}
