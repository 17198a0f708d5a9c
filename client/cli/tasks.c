#include "client/cli/tasks.h"

#include <string.h>

#include "client/cli/exit.h"
#include "client/cli/report.h"
#include "client/cli/rows.h"
#include "proto/base/alloc.h"

#define LIST_TIMEOUT_MS 30000u
#define COMPLETION_TIMEOUT_MS 500u

static int list(struct rmd_caller *caller, uint32_t limit, uint64_t timeout_ms,
		Remuda__V1__ListTasksResponse **ret_tasks)
{
	Remuda__V1__ListTasksRequest request = REMUDA__V1__LIST_TASKS_REQUEST__INIT;

	request.limit = limit;
	return rmd_caller_unary(caller, "/remuda.v1.Admin/ListTasks", &request.base,
				&remuda__v1__list_tasks_response__descriptor, timeout_ms,
				ret_tasks);
}

int rmd_tasks_list(struct rmd_caller *caller, uint32_t limit,
		   Remuda__V1__ListTasksResponse **ret_tasks)
{
	return list(caller, limit, LIST_TIMEOUT_MS, ret_tasks);
}

struct rmd_taskid rmd_tasks_id(const Remuda__V1__TaskId *task)
{
	struct rmd_taskid id = {0};

	if (task != NULL && task->session.len == sizeof id.session) {
		memcpy(id.session, task->session.data, sizeof id.session);
		id.number = task->number;
	}
	return id;
}

int rmd_tasks_find(const Remuda__V1__ListTasksResponse *tasks, const char *word,
		   struct rmd_taskid *ret_id)
{
	struct rmd_taskid_pattern pattern;
	struct rmd_taskid found = {0};
	size_t matches = 0, count = tasks != NULL ? tasks->n_tasks : 0;

	if (rmd_taskid_parse(word, &pattern) < 0) {
		rmd_report("'%s' is no task id: write one as 'remuda ps' shows it", word);
		return RMD_EXIT_USAGE;
	}
	if (rmd_taskid_is_whole(&pattern, ret_id))
		return RMD_EXIT_OK;
	for (size_t i = 0; i < count; i++) {
		struct rmd_taskid id = rmd_tasks_id(tasks->tasks[i]->task);

		if (rmd_taskid_matches(&pattern, &id)) {
			found = id;
			matches++;
		}
	}
	if (matches == 0) {
		rmd_report("there is no task %s (one that has ended is forgotten)", word);
		return RMD_EXIT_USAGE;
	}
	if (matches > 1) {
		rmd_report("%zu tasks begin with %s: write more of the id ('remuda ps "
			   "--full' shows "
			   "all of it)",
			   matches, word);
		return RMD_EXIT_USAGE;
	}
	*ret_id = found;
	return RMD_EXIT_OK;
}

int rmd_tasks_resolve(struct rmd_caller *caller, const char *word,
		      struct rmd_taskid *ret_id)
{
	struct rmd_taskid_pattern pattern;
	Remuda__V1__ListTasksResponse *tasks = NULL;
	int rc = RMD_EXIT_OK;

	if (rmd_taskid_parse(word, &pattern) == 0 &&
	    !rmd_taskid_is_whole(&pattern, ret_id))
		rc = rmd_tasks_list(caller, RMD_TASKS_MAX, &tasks);
	if (rc == RMD_EXIT_OK)
		rc = rmd_tasks_find(tasks, word, ret_id);
	if (tasks != NULL)
		remuda__v1__list_tasks_response__free_unpacked(tasks, NULL);
	return rc;
}

const char *rmd_tasks_state_name(Remuda__V1__TaskState state)
{
	switch (state) {
	case REMUDA__V1__TASK_STATE__TASK_STATE_QUEUED:
		return "queued";
	case REMUDA__V1__TASK_STATE__TASK_STATE_LEASED:
		return "leased";
	case REMUDA__V1__TASK_STATE__TASK_STATE_RUNNING:
		return "running";
	case REMUDA__V1__TASK_STATE__TASK_STATE_DONE:
		return "done";
	case REMUDA__V1__TASK_STATE__TASK_STATE_UNSPECIFIED:
	case _REMUDA__V1__TASK_STATE_IS_INT_SIZE:
		break;
	}
	return "?"; /* of a newer coordinator */
}

int rmd_tasks_write_ids(FILE *out)
{
	struct rmd_caller *caller = NULL;
	Remuda__V1__ListTasksResponse *tasks = NULL;
	char id_text[RMD_TASKID_SHORT_BYTES];

	if (rmd_caller_open(NULL, &caller) != RMD_EXIT_OK)
		return RMD_EXIT_OK;
	rmd_caller_set_silent(caller, true);
	if (list(caller, 1000, COMPLETION_TIMEOUT_MS, &tasks) == RMD_EXIT_OK) {
		for (size_t i = 0; i < tasks->n_tasks; i++) {
			struct rmd_taskid id = rmd_tasks_id(tasks->tasks[i]->task);
			char *function = rmd_rows_harmless(tasks->tasks[i]->function);

			rmd_taskid_format_short(&id, id_text);
			fprintf(out, "%s\t%s\n", id_text,
				function != NULL ? function : "");
			rmd_free(function);
		}
		remuda__v1__list_tasks_response__free_unpacked(tasks, NULL);
	}
	rmd_caller_close(caller);
	return RMD_EXIT_OK;
}
