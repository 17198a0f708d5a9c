/* remuda cancel: end tasks of any client. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/commands.h"
#include "client/cli/exit.h"
#include "client/cli/report.h"
#include "client/cli/tasks.h"
#include "proto/base/alloc.h"

#define TIMEOUT_MS 30000u
#define CANCEL_MAX 10000

struct settings {
	const char *address;
};

/* The request's parts, in one block. */
struct request {
	Remuda__V1__CancelTasksRequest message;
	struct rmd_taskid *ids;
	Remuda__V1__TaskId *tasks;
	Remuda__V1__TaskId **list;
};

static void fini(struct request *request)
{
	rmd_free(request->ids);
	rmd_free(request->tasks);
	rmd_free(request->list);
}

static bool needs_list(int count, char **words)
{
	struct rmd_taskid_pattern pattern;
	struct rmd_taskid id;

	for (int i = 0; i < count; i++)
		if (rmd_taskid_parse(words[i], &pattern) == 0 &&
		    !rmd_taskid_is_whole(&pattern, &id))
			return true;
	return false;
}

/* Finds each task before any is cancelled. */
static int fill(struct request *request, struct rmd_caller *caller, int count,
		char **words)
{
	Remuda__V1__ListTasksResponse *tasks = NULL;
	int rc = RMD_EXIT_OK;

	request->ids = rmd_calloc((size_t)count, sizeof *request->ids);
	request->tasks = rmd_calloc((size_t)count, sizeof *request->tasks);
	request->list = rmd_calloc((size_t)count, sizeof *request->list);
	if (request->ids == NULL || request->tasks == NULL || request->list == NULL)
		return rmd_report_no_memory();
	if (needs_list(count, words))
		rc = rmd_tasks_list(caller, RMD_TASKS_MAX, &tasks);
	for (int i = 0; rc == RMD_EXIT_OK && i < count; i++) {
		Remuda__V1__TaskId *task = &request->tasks[i];

		remuda__v1__task_id__init(task);
		rc = rmd_tasks_find(tasks, words[i], &request->ids[i]);
		task->session.data = request->ids[i].session;
		task->session.len = sizeof request->ids[i].session;
		task->number = request->ids[i].number;
		request->list[i] = task;
	}
	if (tasks != NULL)
		remuda__v1__list_tasks_response__free_unpacked(tasks, NULL);
	remuda__v1__cancel_tasks_request__init(&request->message);
	request->message.tasks = request->list;
	request->message.n_tasks = (size_t)count;
	return rc;
}

static int run(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;
	struct request request = {0};
	Remuda__V1__CancelTasksResponse *response = NULL;
	struct rmd_caller *caller = NULL;
	int rc = rmd_caller_open(set->address, &caller);

	if (rc == RMD_EXIT_OK)
		rc = fill(&request, caller, count, arguments);
	if (rc == RMD_EXIT_OK)
		rc = rmd_caller_unary(caller, "/remuda.v1.Admin/CancelTasks",
				      &request.message.base,
				      &remuda__v1__cancel_tasks_response__descriptor,
				      TIMEOUT_MS, &response);
	if (rc == RMD_EXIT_OK) {
		printf("%" PRIu32 " of %d told to end\n", response->cancelled, count);
		if (response->cancelled < (uint32_t)count)
			rmd_report("the others had ended, or are not known");
		remuda__v1__cancel_tasks_response__free_unpacked(response, NULL);
	}
	fini(&request);
	rmd_caller_close(caller);
	return rc;
}

static const struct rmd_option options[] = {
	RMD_OPTION_ROW_ADDRESS(struct settings),
};

const struct rmd_command rmd_command_cancel = {
	.name = "cancel",
	.arguments = "TASK...",
	.summary = "cancel tasks",
	.description = "Cancels tasks of any client. A TASK is written as 'remuda ps' "
		       "shows it; of its "
		       "session (before the dash) as many digits as make it unique are "
		       "enough. None is "
		       "cancelled unless each can be found. A queued task ends at once; "
		       "a running one "
		       "is told, and its worker is stopped if it does not listen.",
	.examples = "remuda cancel 3fa91c02-17\nremuda ps --json | jq -r .task | xargs "
		    "remuda cancel",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct settings),
	.arguments_min = 1,
	.arguments_max = CANCEL_MAX,
	.argument_kind = RMD_ARGUMENT_TASK,
	.run = run,
};
