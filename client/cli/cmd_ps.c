/* remuda ps: the tasks that a coordinator holds. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/commands.h"
#include "client/cli/exit.h"
#include "client/cli/report.h"
#include "client/cli/rows.h"
#include "client/cli/tasks.h"

struct settings {
	const char *address;
	bool json, full;
	struct rmd_option_number limit;
};

static const struct rmd_column columns[] = {
	{"TASK", "task", RMD_COLUMN_TEXT},
	{"STATE", "state", RMD_COLUMN_TEXT},
	{"FUNCTION", "function", RMD_COLUMN_TEXT},
	{"POOL", "pool", RMD_COLUMN_NUMBER},
	{"AGE", "age_ms", RMD_COLUMN_SPAN},
	{"TRY", "attempt", RMD_COLUMN_NUMBER},
	{"PROGRESS", NULL, RMD_COLUMN_TEXT},
	{NULL, "progress_done", RMD_COLUMN_NUMBER},
	{NULL, "progress_total", RMD_COLUMN_NUMBER},
	{NULL, "depth", RMD_COLUMN_NUMBER},
	{"SIZE", "payload_bytes", RMD_COLUMN_BYTES},
	{"AGENT", "agent", RMD_COLUMN_TEXT},
	{"WAITS FOR", "waiting_for", RMD_COLUMN_TEXT},
};

/* "3/10", "3" where the total is not known, "" where the task says nothing. */
static void format_progress(const Remuda__V1__TaskInfo *task, char ret_text[48])
{
	ret_text[0] = 0;
	if (task->progress_total > 0)
		snprintf(ret_text, 48, "%" PRIu64 "/%" PRIu64, task->progress_done,
			 task->progress_total);
	else if (task->progress_done > 0)
		snprintf(ret_text, 48, "%" PRIu64, task->progress_done);
}

static void put_task(struct rmd_rows *rows, const Remuda__V1__TaskInfo *task, bool full)
{
	struct rmd_taskid id = rmd_tasks_id(task->task);
	char text[RMD_TASKID_FULL_BYTES], progress[48];

	if (full)
		rmd_taskid_format_full(&id, text);
	else
		rmd_taskid_format_short(&id, text);
	rmd_rows_text(rows, text);
	rmd_rows_text(rows, rmd_tasks_state_name(task->state));
	rmd_rows_text(rows, task->function);
	rmd_rows_number(rows, task->pool);
	rmd_rows_number(rows, task->age_ms);
	rmd_rows_number(rows, task->attempt);
	format_progress(task, progress);
	rmd_rows_text(rows, progress);
	rmd_rows_number(rows, task->progress_done);
	rmd_rows_number(rows, task->progress_total);
	rmd_rows_number(rows, task->depth);
	rmd_rows_number(rows, task->payload_bytes);
	rmd_rows_text(rows, task->agent);
	rmd_rows_text(rows, task->waiting_for);
}

static int run(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;
	Remuda__V1__ListTasksResponse *tasks = NULL;
	struct rmd_caller *caller = NULL;
	struct rmd_rows rows;
	int rc = rmd_caller_open(set->address, &caller);

	(void)count, (void)arguments;
	if (rc == RMD_EXIT_OK)
		rc = rmd_tasks_list(caller,
				    set->limit.given ? (uint32_t)set->limit.value : 1000,
				    &tasks);
	if (rc != RMD_EXIT_OK)
		goto out;
	rmd_rows_init(&rows, columns, RMD_COUNT(columns), set->json, stdout);
	for (size_t i = 0; i < tasks->n_tasks; i++)
		put_task(&rows, tasks->tasks[i], set->full || set->json);
	rc = rmd_rows_finish(&rows);
	if (tasks->n_tasks == 0 && !set->json)
		rmd_report("no tasks");
	if (tasks->more > 0)
		rmd_report("%" PRIu64 " more: see --limit", tasks->more);
out:
	if (tasks != NULL)
		remuda__v1__list_tasks_response__free_unpacked(tasks, NULL);
	rmd_caller_close(caller);
	return rc;
}

static const struct rmd_option options[] = {
	{"full", 'f', RMD_OPTION_FLAG, NULL, offsetof(struct settings, full), 0, 0,
	 "show task ids in full (--json always does)"},
	{"limit", 'n', RMD_OPTION_NUMBER, "N", offsetof(struct settings, limit), 1,
	 RMD_TASKS_MAX, "list at most N tasks, the oldest (default 1000)"},
	RMD_OPTION_ROW_JSON(struct settings),
	RMD_OPTION_ROW_ADDRESS(struct settings),
};

const struct rmd_command rmd_command_ps = {
	.name = "ps",
	.arguments = "",
	.summary = "list tasks, and what the waiting ones wait for",
	.description = "Lists the tasks that have not ended, and ended ones whose client "
		       "has not yet taken "
		       "the outcome, oldest first. A task is queued, leased (given to an "
		       "agent, not yet "
		       "begun), running or done. PROGRESS is what the task "
		       "itself says. The last column says why a queued task "
		       "waits, where that "
		       "is more than its turn: no agent has its runtime, for instance.",
	.examples = "remuda ps\nremuda ps --json | jq -r 'select(.state == \"queued\") | "
		    ".task'",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct settings),
	.run = run,
};
