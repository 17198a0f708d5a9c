/* remuda workers: agents and their worker processes. */
#include <stdio.h>

#include <remuda/v1/admin.pb-c.h>

#include "client/cli/call.h"
#include "client/cli/commands.h"
#include "client/cli/exit.h"
#include "client/cli/report.h"
#include "client/cli/rows.h"
#include "proto/base/alloc.h"

#define TIMEOUT_MS 30000u

struct settings {
	const char *address;
	bool json;
};

static const struct rmd_column columns[] = {
	{"AGENT", "agent", RMD_COLUMN_TEXT}, {"WORKER", "worker", RMD_COLUMN_NUMBER},
	{"PID", "pid", RMD_COLUMN_NUMBER},   {"POOL", "pool", RMD_COLUMN_NUMBER},
	{"STATE", "state", RMD_COLUMN_TEXT}, {"DONE", "tasks_done", RMD_COLUMN_NUMBER},
};

static const char *state_name(Remuda__V1__WorkerState state)
{
	switch (state) {
	case REMUDA__V1__WORKER_STATE__WORKER_STATE_STARTING:
		return "starting";
	case REMUDA__V1__WORKER_STATE__WORKER_STATE_IDLE:
		return "idle";
	case REMUDA__V1__WORKER_STATE__WORKER_STATE_BUSY:
		return "busy";
	case REMUDA__V1__WORKER_STATE__WORKER_STATE_STOPPING:
		return "stopping";
	case REMUDA__V1__WORKER_STATE__WORKER_STATE_WAITING:
		return "waiting";
	case REMUDA__V1__WORKER_STATE__WORKER_STATE_UNSPECIFIED:
	case _REMUDA__V1__WORKER_STATE_IS_INT_SIZE:
		break;
	}
	return "?"; /* of a newer coordinator */
}

/* Says why a pool's workers can't be started there, if they can't. */
static void report_start_error(const char *agent, const Remuda__V1__AgentPool *pool)
{
	const Remuda__V1__ErrorChain *chain = pool->start_error;

	if (chain == NULL || chain->n_errors == 0)
		return;
	char *message = rmd_rows_harmless(chain->errors[chain->n_errors - 1]->message);
	rmd_report("agent %s cannot start workers of pool %llu: %s", agent,
		   (unsigned long long)pool->pool, message != NULL ? message : "?");
	rmd_free(message);
}

/* The agent itself, where its workers don't tell of it, or not all: no worker, no pool. */
static void put_alone(struct rmd_rows *rows, const char *name, bool draining)
{
	rmd_rows_text(rows, name);
	rmd_rows_number(rows, 0);
	rmd_rows_number(rows, 0);
	rmd_rows_number(rows, 0);
	rmd_rows_text(rows, draining ? "draining" : "no workers");
	rmd_rows_number(rows, 0);
}

static size_t put_agent(struct rmd_rows *rows, const Remuda__V1__AgentInfo *agent)
{
	const char *name = agent->hello != NULL ? agent->hello->name : "?";
	size_t workers = 0;

	for (size_t p = 0; p < agent->n_pools; p++) {
		const Remuda__V1__AgentPool *pool = agent->pools[p];

		for (size_t w = 0; w < pool->n_workers; w++, workers++) {
			const Remuda__V1__AgentWorker *worker = pool->workers[w];

			rmd_rows_text(rows, name);
			rmd_rows_number(rows, worker->worker);
			rmd_rows_number(rows, worker->pid);
			rmd_rows_number(rows, pool->pool);
			rmd_rows_text(rows, state_name(worker->state));
			rmd_rows_number(rows, worker->tasks_done);
		}
		report_start_error(name, pool);
	}
	if (workers == 0 || agent->draining)
		put_alone(rows, name, agent->draining);
	return workers;
}

static int run(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;
	Remuda__V1__ListWorkersRequest request = REMUDA__V1__LIST_WORKERS_REQUEST__INIT;
	Remuda__V1__ListWorkersResponse *list = NULL;
	struct rmd_caller *caller = NULL;
	struct rmd_rows rows;
	size_t workers = 0;
	int rc = rmd_caller_open(set->address, &caller);

	(void)count, (void)arguments;
	if (rc == RMD_EXIT_OK)
		rc = rmd_caller_unary(caller, "/remuda.v1.Admin/ListWorkers",
				      &request.base,
				      &remuda__v1__list_workers_response__descriptor,
				      TIMEOUT_MS, &list);
	if (rc != RMD_EXIT_OK)
		goto out;
	rmd_rows_init(&rows, columns, RMD_COUNT(columns), set->json, stdout);
	for (size_t i = 0; i < list->n_agents; i++)
		workers += put_agent(&rows, list->agents[i]);
	rc = rmd_rows_finish(&rows);
	if (list->n_agents == 0 && !set->json)
		rmd_report("no agents: workers run where an agent is; see "
			   "remuda-agent(8), or "
			   "'remuda up' for one on this machine");
	else if (workers == 0 && !set->json)
		rmd_report(
			"no workers now on %zu agent%s: they start with the first task",
			list->n_agents, list->n_agents == 1 ? "" : "s");
	remuda__v1__list_workers_response__free_unpacked(list, NULL);
out:
	rmd_caller_close(caller);
	return rc;
}

static const struct rmd_option options[] = {
	RMD_OPTION_ROW_JSON(struct settings),
	RMD_OPTION_ROW_ADDRESS(struct settings),
};

const struct rmd_command rmd_command_workers = {
	.name = "workers",
	.arguments = "",
	.summary = "list worker processes and the agents they run under",
	.description = "Lists the worker processes by agent: number and process id there, "
		       "pool, state and the tasks each has ended. An agent that has no "
		       "workers now, or that drains, has a line of its own (worker 0).",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct settings),
	.run = run,
};
