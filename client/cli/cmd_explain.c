/* remuda explain: where one task is, and why it waits. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/cli/commands.h"
#include "client/cli/exit.h"
#include "client/cli/report.h"
#include "client/cli/rows.h"
#include "client/cli/tasks.h"

#define TIMEOUT_MS 30000u

struct settings {
	const char *address;
	bool json;
};

static const struct rmd_column columns[] = {
	{"TASK", "task", RMD_COLUMN_TEXT},
	{"FUNCTION", "function", RMD_COLUMN_TEXT},
	{"STATE", "state", RMD_COLUMN_TEXT},
	{"WHY", "why", RMD_COLUMN_TEXT},
	{"POOL", "pool", RMD_COLUMN_NUMBER},
	{"POOL NAME", "pool_name", RMD_COLUMN_TEXT},
	{"AGE", "age_ms", RMD_COLUMN_SPAN},
	{"TRY", "attempt", RMD_COLUMN_NUMBER},
	{"FAILED", "failed", RMD_COLUMN_TEXT},
	{"TIME LEFT", NULL, RMD_COLUMN_TEXT},
	{NULL, "deadline_left_ms", RMD_COLUMN_NUMBER},
	{"DETACHED", "detached", RMD_COLUMN_BOOLEAN},
};

static const char *cause_text(Remuda__V1__FailureCause cause)
{
	switch (cause) {
	case REMUDA__V1__FAILURE_CAUSE__FAILURE_CAUSE_TASK_ERROR:
		return "the task raised an error";
	case REMUDA__V1__FAILURE_CAUSE__FAILURE_CAUSE_WORKER_LOST:
		return "its worker was lost";
	case REMUDA__V1__FAILURE_CAUSE__FAILURE_CAUSE_OUT_OF_MEMORY:
		return "its worker was killed for want of memory";
	case REMUDA__V1__FAILURE_CAUSE__FAILURE_CAUSE_AGENT_LOST:
		return "its agent was lost";
	case REMUDA__V1__FAILURE_CAUSE__FAILURE_CAUSE_RUN_DEADLINE:
		return "it exceeded its run deadline";
	case REMUDA__V1__FAILURE_CAUSE__FAILURE_CAUSE_UNSPECIFIED:
	case _REMUDA__V1__FAILURE_CAUSE_IS_INT_SIZE:
		break;
	}
	return "?"; /* of a newer coordinator */
}

/* "attempt 1 on agent a, worker 3, 2.1 s ago: its worker was lost; attempt 2 …": free it
 * with free. NULL: out of memory. */
static char *failures_text(const Remuda__V1__ExplainResponse *said)
{
	char *whole = NULL, ago[32];
	size_t len;
	FILE *text = open_memstream(&whole, &len);

	if (text == NULL)
		return NULL;
	for (size_t i = 0; i < said->n_failures; i++) {
		const Remuda__V1__FailedAttempt *failure = said->failures[i];

		fprintf(text, "%sattempt %" PRIu32 " on agent %s", i > 0 ? "; " : "",
			failure->attempt, failure->agent);
		if (failure->worker != 0)
			fprintf(text, ", worker %" PRIu64, failure->worker);
		rmd_rows_format_span(failure->ago_ms, ago);
		fprintf(text, ", %s ago: %s", ago, cause_text(failure->cause));
	}
	return fclose(text) == 0 ? whole : NULL;
}

static int show(const Remuda__V1__ExplainResponse *said, bool json, const char *id)
{
	const Remuda__V1__TaskInfo *task = said->task;
	struct rmd_rows rows;
	char left[32] = "no limit", *failures = failures_text(said);

	if (said->deadline_left_ms != 0)
		rmd_rows_format_span(said->deadline_left_ms, left);
	rmd_rows_init(&rows, columns, RMD_COUNT(columns), json, stdout);
	rmd_rows_text(&rows, id);
	rmd_rows_text(&rows, task->function);
	rmd_rows_text(&rows, rmd_tasks_state_name(task->state));
	rmd_rows_text(&rows, said->why);
	rmd_rows_number(&rows, task->pool);
	rmd_rows_text(&rows, said->pool_name);
	rmd_rows_number(&rows, task->age_ms);
	rmd_rows_number(&rows, task->attempt);
	rmd_rows_text(&rows, failures);
	rmd_rows_text(&rows, left);
	rmd_rows_number(&rows, said->deadline_left_ms);
	rmd_rows_boolean(&rows, said->detached);
	free(failures);
	return json ? rmd_rows_finish(&rows) : rmd_rows_finish_upright(&rows);
}

static int explain(struct rmd_caller *caller, const struct settings *set,
		   const char *word)
{
	struct rmd_taskid id;
	char text[RMD_TASKID_FULL_BYTES];
	Remuda__V1__TaskId task = REMUDA__V1__TASK_ID__INIT;
	Remuda__V1__ExplainRequest request = REMUDA__V1__EXPLAIN_REQUEST__INIT;
	Remuda__V1__ExplainResponse *response = NULL;
	int rc = rmd_tasks_resolve(caller, word, &id);

	if (rc != RMD_EXIT_OK)
		return rc;
	task.session.data = id.session;
	task.session.len = sizeof id.session;
	task.number = id.number;
	request.task = &task;
	rc = rmd_caller_unary(caller, "/remuda.v1.Admin/Explain", &request.base,
			      &remuda__v1__explain_response__descriptor, TIMEOUT_MS,
			      &response);
	if (rc != RMD_EXIT_OK)
		return rc;
	if (set->json)
		rmd_taskid_format_full(&id, text);
	else
		rmd_taskid_format_short(&id, text);
	if (response->task == NULL)
		rc = rmd_report_no_memory(); /* theirs */
	else
		rc = show(response, set->json, text);
	remuda__v1__explain_response__free_unpacked(response, NULL);
	return rc;
}

static int run(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;
	struct rmd_caller *caller = NULL;
	int rc = rmd_caller_open(set->address, &caller);

	for (int i = 0; rc == RMD_EXIT_OK && i < count; i++)
		rc = explain(caller, set, arguments[i]);
	rmd_caller_close(caller);
	return rc;
}

static const struct rmd_option options[] = {
	RMD_OPTION_ROW_JSON(struct settings),
	RMD_OPTION_ROW_ADDRESS(struct settings),
};

const struct rmd_command rmd_command_explain = {
	.name = "explain",
	.arguments = "TASK...",
	.summary = "say where a task is, and why it waits",
	.description =
		"Says of each TASK where it is, and of one that waits why: its pool is "
		"full, no agent has its runtime or its labels, a worker needs more than "
		"any agent has, others go before it, it backs off until its next "
		"attempt, it waits for tasks that it submitted. Then what became of its "
		"earlier attempts. A TASK is written as 'remuda ps' shows it.",
	.examples =
		"remuda explain 3fa91c02-17\nremuda explain --json 3fa91c02-17 | jq .why",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct settings),
	.arguments_min = 1,
	.arguments_max = RMD_ARGUMENTS_ANY,
	.argument_kind = RMD_ARGUMENT_TASK,
	.run = run,
};
