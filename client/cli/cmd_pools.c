/* remuda pools: the pools of a coordinator. */
#include <stdio.h>

#include <remuda/v1/pools.pb-c.h>

#include "client/cli/call.h"
#include "client/cli/commands.h"
#include "client/cli/exit.h"
#include "client/cli/report.h"
#include "client/cli/rows.h"

#define TIMEOUT_MS 30000u

struct settings {
	const char *address;
	bool json;
};

static const struct rmd_column columns[] = {
	{"POOL", "pool", RMD_COLUMN_NUMBER},
	{"NAME", "name", RMD_COLUMN_TEXT},
	{"RUNTIME", "runtime", RMD_COLUMN_TEXT},
	{"WORKERS", "workers", RMD_COLUMN_NUMBER},
	{"IDLE", "idle", RMD_COLUMN_NUMBER},
	{"MOST", "max_workers", RMD_COLUMN_LIMIT},
	{"QUEUED", "queued", RMD_COLUMN_NUMBER},
	{"LEASED", "leased", RMD_COLUMN_NUMBER},
	{"DONE", "done", RMD_COLUMN_NUMBER},
	{NULL, "idle_timeout_ms", RMD_COLUMN_SPAN},
	{"WAITS FOR", "waiting_for", RMD_COLUMN_TEXT},
};

static void put_pool(struct rmd_rows *rows, const Remuda__V1__PoolInfo *pool)
{
	static const Remuda__V1__PoolSpec no_spec = REMUDA__V1__POOL_SPEC__INIT;
	const Remuda__V1__PoolSpec *spec = pool->spec != NULL ? pool->spec : &no_spec;

	rmd_rows_number(rows, pool->pool);
	rmd_rows_text(rows, spec->name);
	rmd_rows_text(rows, spec->runtime);
	rmd_rows_number(rows, pool->workers);
	rmd_rows_number(rows, pool->idle);
	rmd_rows_number(rows, spec->max_workers);
	rmd_rows_number(rows, pool->queued);
	rmd_rows_number(rows, pool->leased);
	rmd_rows_number(rows, pool->done);
	rmd_rows_number(rows, spec->idle_timeout_ms);
	rmd_rows_text(rows, pool->waiting_for);
}

static int run(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;
	Remuda__V1__ListRequest request = REMUDA__V1__LIST_REQUEST__INIT;
	Remuda__V1__ListResponse *pools = NULL;
	struct rmd_caller *caller = NULL;
	struct rmd_rows rows;
	int rc = rmd_caller_open(set->address, &caller);

	(void)count, (void)arguments;
	if (rc == RMD_EXIT_OK)
		rc = rmd_caller_unary(caller, "/remuda.v1.Pools/List", &request.base,
				      &remuda__v1__list_response__descriptor, TIMEOUT_MS,
				      &pools);
	if (rc != RMD_EXIT_OK)
		goto out;
	rmd_rows_init(&rows, columns, RMD_COUNT(columns), set->json, stdout);
	for (size_t i = 0; i < pools->n_pools; i++)
		put_pool(&rows, pools->pools[i]);
	rc = rmd_rows_finish(&rows);
	if (pools->n_pools == 0 && !set->json)
		rmd_report("no pools: the first task opens one");
	remuda__v1__list_response__free_unpacked(pools, NULL);
out:
	rmd_caller_close(caller);
	return rc;
}

static const struct rmd_option options[] = {
	RMD_OPTION_ROW_JSON(struct settings),
	RMD_OPTION_ROW_ADDRESS(struct settings),
};

const struct rmd_command rmd_command_pools = {
	.name = "pools",
	.arguments = "",
	.summary = "list pools of workers",
	.description =
		"Lists the pools: reusable sets of workers with one runtime and one "
		"environment. MOST is the most workers a pool may have (auto: as many as "
		"there are "
		"cpus); it has as many as its tasks need. A pool without a name belongs "
		"to one client.",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct settings),
	.run = run,
};
