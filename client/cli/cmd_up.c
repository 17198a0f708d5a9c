/* remuda up: a coordinator for this user, with workers on this machine. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/commands.h"
#include "client/cli/coordinator.h"
#include "client/cli/exit.h"
#include "client/cli/modules.h"
#include "client/cli/place.h"
#include "client/cli/report.h"
#include "client/cli/rows.h"
#include "proto/base/alloc.h"

#define READY_TIMEOUT_MS 30000

struct settings {
	bool json;
	struct rmd_option_number workers, timeout;
	struct rmd_option_texts modules;
};

static bool answers(const char *socket_path)
{
	int fd = rmd_place_connect_unix(socket_path);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void say_up(const char *address, bool json, bool before)
{
	const char *elsewhere = getenv("REMUDA_ADDRESS");

	if (json) {
		fputs("{\"address\": ", stdout);
		rmd_rows_write_json_text(address, strlen(address), stdout);
		printf(", \"was_up\": %s}\n", before ? "true" : "false");
	} else {
		printf("%s at %s\n", before ? "already up" : "up", address);
	}
	if (elsewhere != NULL && *elsewhere != 0)
		rmd_report("REMUDA_ADDRESS is set: programs go to %s, not here",
			   elsewhere);
}

static int start(const struct settings *set, const char *address, const char *socket_path,
		 const char *log_path)
{
	struct rmd_option_texts modules = {0};
	struct rmd_coordinator_start how = {
		.address = address,
		.log_path = log_path,
		.workers = (uint32_t)set->workers.value,
		.modules = &modules,
		.timeout_ms = (uint64_t)(set->timeout.given ? set->timeout.value
							    : READY_TIMEOUT_MS),
	};
	char *program = NULL;
	pid_t pid;
	int rc = rmd_modules_resolve(&set->modules, &modules);

	if (rc == RMD_EXIT_OK) {
		program = rmd_coordinator_program();
		rc = program == NULL ? RMD_EXIT_SYSTEM
				     : rmd_coordinator_start(program, &how, &pid);
	}
	if (rc == RMD_EXIT_OK) {
		say_up(address, set->json, false);
	} else if (rc == RMD_EXIT_SERVICE &&
		   answers(socket_path)) { /* another `up` was quicker */
		say_up(address, set->json, true);
		rc = RMD_EXIT_OK;
	} else if (rc == RMD_EXIT_SERVICE) {
		rmd_report("the coordinator did not come up");
		rmd_coordinator_show_log(log_path);
	}
	rmd_free(program);
	rmd_modules_free(&modules);
	return rc;
}

static int run(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;
	char *socket_path = NULL, *log_path = NULL, *address = NULL;
	int rc = rmd_place_make_run_folder();

	(void)count, (void)arguments;
	if (rc != RMD_EXIT_OK)
		return rc;
	socket_path = rmd_place_run_path("up.sock");
	log_path = rmd_place_run_path("up.log");
	address = socket_path != NULL ? rmd_asprintf("unix:%s", socket_path) : NULL;
	if (log_path == NULL || address == NULL)
		rc = rmd_report_no_memory();
	else
		rc = rmd_place_check(address, "the run folder");
	if (rc == RMD_EXIT_OK && answers(socket_path)) {
		say_up(address, set->json, true);
		if (set->workers.given || set->modules.count > 0)
			rmd_report("--workers and --module had no effect: 'remuda down' "
				   "first");
	} else if (rc == RMD_EXIT_OK) {
		rc = start(set, address, socket_path, log_path);
	}
	rmd_free(socket_path);
	rmd_free(log_path);
	rmd_free(address);
	return rc;
}

static const struct rmd_option options[] = {
	{"workers", 'w', RMD_OPTION_NUMBER, "N", offsetof(struct settings, workers), 1,
	 100000, "run at most N workers at a time (default: one a cpu)"},
	{"module", 'm', RMD_OPTION_FILES, "FILE", offsetof(struct settings, modules), 0,
	 0, "load this module of task functions; may be given often"},
	{"timeout", 't', RMD_OPTION_DURATION, "TIME", offsetof(struct settings, timeout),
	 0, 0, "wait so long for it to be ready (default 30s)"},
	RMD_OPTION_ROW_JSON(struct settings),
};

const struct rmd_command rmd_command_up = {
	.name = "up",
	.arguments = "",
	.summary = "start a coordinator for your programs on this machine",
	.description = "Starts a coordinator with workers on this machine, in the "
		       "background, and prints its "
		       "address once it is ready. All your programs, and 'run' and "
		       "'map', then share its warm "
		       "workers instead of starting their own. It stays until 'remuda "
		       "down'. If one is up "
		       "already, says so and does nothing.",
	.examples = "remuda up --workers 4\nremuda status",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct settings),
	.run = run,
};
