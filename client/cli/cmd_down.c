/* remuda down: stop a coordinator. */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <remuda/v1/admin.pb-c.h>

#include "client/cli/call.h"
#include "client/cli/commands.h"
#include "client/cli/coordinator.h"
#include "client/cli/exit.h"
#include "client/cli/report.h"
#include "proto/base/clock.h"

#define TIMEOUT_MS 10000u
#define GRACE_MS 10000
#define AFTER_GRACE_MS 15000u /* workers are killed, files removed */

struct settings {
	const char *address;
	struct rmd_option_number grace;
};

static int ask(struct rmd_caller *caller, uint64_t grace_ms)
{
	Remuda__V1__ShutdownRequest request = REMUDA__V1__SHUTDOWN_REQUEST__INIT;
	Remuda__V1__ShutdownResponse *response = NULL;
	int rc;

	request.grace_ms = grace_ms;
	rc = rmd_caller_unary(caller, "/remuda.v1.Admin/Shutdown", &request.base,
			      &remuda__v1__shutdown_response__descriptor, TIMEOUT_MS,
			      &response);
	if (rc == RMD_EXIT_OK)
		remuda__v1__shutdown_response__free_unpacked(response, NULL);
	return rc;
}

/* Asks for its status until none comes: for one on another machine. 0, or
 * RMD_EXIT_SERVICE. */
static int wait_silent(struct rmd_caller *caller, uint64_t timeout_ms)
{
	uint64_t until_ms = rmd_clock_mono_ms() + timeout_ms;
	struct timespec pause = {.tv_nsec = 100000000};

	rmd_caller_set_silent(caller, true);
	while (rmd_clock_mono_ms() < until_ms) {
		Remuda__V1__StatusRequest request = REMUDA__V1__STATUS_REQUEST__INIT;
		Remuda__V1__StatusResponse *status = NULL;

		if (rmd_caller_unary(caller, "/remuda.v1.Admin/Status", &request.base,
				     &remuda__v1__status_response__descriptor, TIMEOUT_MS,
				     &status) != RMD_EXIT_OK)
			return RMD_EXIT_OK;
		remuda__v1__status_response__free_unpacked(status, NULL);
		nanosleep(&pause, NULL);
	}
	return RMD_EXIT_SERVICE;
}

static int stop(struct rmd_caller *caller, int pidfd, uint64_t grace_ms)
{
	const char *address = rmd_caller_place(caller)->text;
	int rc = ask(caller, grace_ms);

	if (rc != RMD_EXIT_OK)
		return rc;
	if (pidfd >= 0)
		rc = rmd_coordinator_wait_gone(pidfd, grace_ms + AFTER_GRACE_MS) < 0
			     ? RMD_EXIT_SERVICE
			     : RMD_EXIT_OK;
	else
		rc = wait_silent(caller, grace_ms + AFTER_GRACE_MS);
	if (rc == RMD_EXIT_OK)
		printf("down: %s\n", address);
	else
		rmd_report("the coordinator at %s was told to stop, but is still there",
			   address);
	return rc;
}

static int run(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;
	struct rmd_place address;
	struct rmd_caller *caller = NULL;
	const char *socket_path;
	int pidfd = -1, rc = rmd_place_find(set->address, &address);

	(void)count, (void)arguments;
	if (rc != RMD_EXIT_OK)
		return rc;
	socket_path = rmd_place_unix_path(address.text);
	if (socket_path != NULL)
		pidfd = rmd_coordinator_pidfd(socket_path);
	if (pidfd < 0 && address.by_default &&
	    (errno == ENOENT || errno == ECONNREFUSED)) {
		puts("nothing is up");
		goto out;
	}
	rc = rmd_caller_open(set->address, &caller);
	if (rc == RMD_EXIT_OK)
		rc = stop(caller, pidfd,
			  (uint64_t)(set->grace.given ? set->grace.value : GRACE_MS));
out:
	rmd_caller_close(caller);
	if (pidfd >= 0)
		close(pidfd);
	rmd_place_fini(&address);
	return rc;
}

static const struct rmd_option options[] = {
	{"grace", 'g', RMD_OPTION_DURATION, "TIME", offsetof(struct settings, grace), 0,
	 0,
	 "let tasks run so long before they are cancelled (default 10s; 0: cancel them "
	 "now)"},
	RMD_OPTION_ROW_ADDRESS(struct settings),
};

const struct rmd_command rmd_command_down = {
	.name = "down",
	.arguments = "",
	.summary = "stop the coordinator",
	.description =
		"Stops the coordinator of 'remuda up', or the one at --address or "
		"REMUDA_ADDRESS: it accepts nothing new, lets tasks end for the time of "
		"grace, "
		"cancels the rest. Waits until it is gone. That none is up is no error.",
	.examples = "remuda down\nremuda down --grace 0",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct settings),
	.run = run,
};
