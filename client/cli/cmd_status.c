/* remuda status: what a coordinator is and does. */
#include <inttypes.h>
#include <stdio.h>

#include <remuda/v1/admin.pb-c.h>

#include "client/cli/call.h"
#include "client/cli/commands.h"
#include "client/cli/exit.h"
#include "client/cli/report.h"
#include "client/cli/rows.h"
#include "proto/base/alloc.h"

#define TIMEOUT_MS 10000u

struct settings {
	const char *address;
	bool json;
};

static const struct rmd_column columns[] = {
	{"address", "address", RMD_COLUMN_TEXT},
	{"listens on", "listens", RMD_COLUMN_TEXT},
	{"version", "version", RMD_COLUMN_TEXT},
	{"process id", "pid", RMD_COLUMN_NUMBER},
	{"epoch", "epoch", RMD_COLUMN_TEXT},
	{"up for", "uptime_ms", RMD_COLUMN_SPAN},
	{"draining", "draining", RMD_COLUMN_BOOLEAN},
	{"agents", "agents", RMD_COLUMN_NUMBER},
	{"workers", "workers", RMD_COLUMN_NUMBER},
	{"pools", "pools", RMD_COLUMN_NUMBER},
	{"sessions", "sessions", RMD_COLUMN_NUMBER},
	{"tasks queued", "queued", RMD_COLUMN_NUMBER},
	{"tasks leased", "leased", RMD_COLUMN_NUMBER},
	{"tasks done", "done", RMD_COLUMN_NUMBER},
	{"payloads", "payload_bytes", RMD_COLUMN_BYTES},
};

/* The addresses, divided by spaces (rmd_free), or NULL: no memory. */
static char *join(const Remuda__V1__StatusResponse *status)
{
	char *joined = rmd_strdup("");

	for (size_t i = 0; joined != NULL && i < status->n_addresses; i++) {
		char *longer = rmd_asprintf("%s%s%s", joined, i > 0 ? " " : "",
					    status->addresses[i]);

		rmd_free(joined);
		joined = longer;
	}
	return joined;
}

static int show(const Remuda__V1__StatusResponse *status, const char *address, bool json)
{
	struct rmd_rows rows;
	char epoch[24];
	char *listens = join(status);

	snprintf(epoch, sizeof epoch, "%016" PRIx64, status->epoch);
	rmd_rows_init(&rows, columns, RMD_COUNT(columns), json, stdout);
	rmd_rows_text(&rows, address);
	rmd_rows_text(&rows, listens);
	rmd_rows_text(&rows, status->version);
	rmd_rows_number(&rows, status->pid);
	rmd_rows_text(&rows, epoch);
	rmd_rows_number(&rows, status->uptime_ms);
	rmd_rows_boolean(&rows, status->draining);
	rmd_rows_number(&rows, status->agents);
	rmd_rows_number(&rows, status->workers);
	rmd_rows_number(&rows, status->pools);
	rmd_rows_number(&rows, status->sessions);
	rmd_rows_number(&rows, status->queued);
	rmd_rows_number(&rows, status->leased);
	rmd_rows_number(&rows, status->done);
	rmd_rows_number(&rows, status->payload_bytes);
	rmd_free(listens);
	return rmd_rows_finish_upright(&rows);
}

static int run(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;
	Remuda__V1__StatusRequest request = REMUDA__V1__STATUS_REQUEST__INIT;
	Remuda__V1__StatusResponse *status = NULL;
	struct rmd_caller *caller = NULL;
	int rc = rmd_caller_open(set->address, &caller);

	(void)count, (void)arguments;
	if (rc == RMD_EXIT_OK)
		rc = rmd_caller_unary(caller, "/remuda.v1.Admin/Status", &request.base,
				      &remuda__v1__status_response__descriptor,
				      TIMEOUT_MS, &status);
	if (rc == RMD_EXIT_OK) {
		rc = show(status, rmd_caller_place(caller)->text, set->json);
		remuda__v1__status_response__free_unpacked(status, NULL);
	}
	rmd_caller_close(caller);
	return rc;
}

static const struct rmd_option options[] = {
	RMD_OPTION_ROW_JSON(struct settings),
	RMD_OPTION_ROW_ADDRESS(struct settings),
};

const struct rmd_command rmd_command_status = {
	.name = "status",
	.arguments = "",
	.summary = "show what the coordinator is and does",
	.description =
		"Shows version, process id, load and addresses of the coordinator.",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct settings),
	.run = run,
};
