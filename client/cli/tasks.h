/* client/cli/tasks.h: the coordinator's tasks, for the commands that list, name or cancel
 * them. Main thread only. */
#pragma once

#include <stdio.h>

#include <remuda/v1/admin.pb-c.h>

#include "client/cli/call.h"
#include "client/cli/taskid.h"

/* Most tasks that are asked for when one is looked up by the start of its id. */
#define RMD_TASKS_MAX 100000u

/* Gives the list of at most `limit` tasks: free it with
 * remuda__v1__list_tasks_response__free_unpacked. */
int rmd_tasks_list(struct rmd_caller *caller, uint32_t limit,
		   Remuda__V1__ListTasksResponse **ret_tasks);
/* The id of a task message; zero where it has none or is malformed. */
struct rmd_taskid rmd_tasks_id(const Remuda__V1__TaskId *task);
/* The task that `word` names among `tasks` (NULL: none were asked for). Reports what
 * is wrong: not an id, no such task, several. An enum rmd_exit. */
int rmd_tasks_find(const Remuda__V1__ListTasksResponse *tasks, const char *word,
		   struct rmd_taskid *ret_id);
/* The task that `word` names, for which the coordinator is asked where it is not a whole
 * id. As rmd_tasks_find. */
int rmd_tasks_resolve(struct rmd_caller *caller, const char *word,
		      struct rmd_taskid *ret_id);
/* "queued"; "?" for one that a newer coordinator knows. Borrowed for ever. */
const char *rmd_tasks_state_name(Remuda__V1__TaskState state);
/* Writes "ID\tFUNCTION" of every task, for completion; nothing where nobody is up.
 * RMD_EXIT_OK. */
int rmd_tasks_write_ids(FILE *out);
