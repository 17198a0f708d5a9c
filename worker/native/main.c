/* remuda-worker-native: the worker that runs modules of C functions.
 *
 * Started by an agent, with the worker protocol on descriptor 3. Reads its setup, loads
 * its modules, says ready, and then runs one task after the other. A task that crashes or
 * exits takes the process with it: that is what processes are for. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/errcode.h"
#include "proto/error/chain.h"
#include "worker/crash/catch.h"
#include "worker/native/builtin.h"
#include "worker/native/functions.h"
#include "worker/native/run.h"
#include "worker/protocol/worker_end.h"

/* Exit codes: asked to stop (or the agent is gone); the user's mistake; the system's. */
enum { EXIT_STOPPED = 0, EXIT_USER = 100, EXIT_SYSTEM = 111 };

#define HOST_MAX 257u

/* Tells the agent why there will be no tasks. */
static int report(struct rmd_wpw *end, struct remuda_error *err)
{
	struct rmd_wire_writer writer = {0};
	rmd_error_set_origin(err, REMUDA_ORIGIN_INITIALIZER);
	rmd_error_encode(err, &writer);
	int rc = writer.failed ? RMD_ENOMEM
			       : rmd_wpw_send_start_failed(
					 end, rmd_slice_of(writer.data, writer.len));
	if (rc < 0)
		remuda_error_print(err, stderr);
	rmd_wire_writer_fini(&writer);
	return EXIT_USER;
}

/* Loads all modules: 0, or the exit code. */
static int load(struct rmd_wpw *end, const struct rmd_wpw_setup *setup, const char *host,
		struct rmd_functions *functions)
{
	for (size_t i = 0; i <= setup->module_count; i++) {
		struct remuda_error *err = NULL;
		int rc = i == 0 ? rmd_builtin_add(functions, &err)
				: rmd_functions_load(functions, setup->modules[i - 1], &err);
		if (rc == 0)
			continue;
		rmd_error_set_place_deep(err, host, setup->worker, 0);
		int code = report(end, err);
		remuda_error_free(err);
		return code;
	}
	return 0;
}

/* Takes and runs tasks to the end. */
static int serve(struct rmd_wpw *end, struct rmd_functions *functions, const char *host,
		 uint64_t worker)
{
	struct rmd_run run;
	struct rmd_wpw_task task;
	rmd_run_init(&run, end, functions, host, worker);
	int rc;
	do {
		rc = rmd_wpw_next(end, &task);
		if (rc == 0)
			rc = rmd_run_task(&run, &task);
	} while (rc == 0);
	rmd_run_fini(&run);
	if (rc == RMD_ECLOSED)
		return EXIT_STOPPED;
	fprintf(stderr, "remuda-worker-native: what the agent sent makes no sense: %s\n",
		rmd_errcode_text(rc));
	return EXIT_SYSTEM;
}

static int work(struct rmd_wpw *end)
{
	struct rmd_wpw_setup setup;
	struct rmd_functions functions = {0};
	char host[HOST_MAX] = "";
	int rc = rmd_wpw_recv_setup(end, &setup);
	if (rc == RMD_ECLOSED)
		return EXIT_STOPPED;
	if (rc < 0) {
		fprintf(stderr, "remuda-worker-native: no setup from the agent: %s\n",
			rmd_errcode_text(rc));
		return EXIT_SYSTEM;
	}
	if (*setup.host != '\0')
		memcpy(host, setup.host, strlen(setup.host) + 1);
	else if (gethostname(host, sizeof host - 1) < 0)
		host[0] = '\0';
	uint64_t worker = setup.worker;
	int code = load(end, &setup, host, &functions);
	(void)fflush(stdout);
	if (code == 0 && (rmd_wpw_disown_output(end) < 0 || rmd_wpw_send_ready(end) < 0))
		code = EXIT_SYSTEM;
	if (code == 0)
		code = serve(end, &functions, host, worker);
	rmd_functions_fini(&functions);
	return code;
}

/* What a spawner may have left behind: blocked signals would be the tasks' too. An
 * interrupt from a terminal is for the client; how a worker ends is its agent's decision.
 */
static void set_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_DFL);
}

int main(int argc, char **argv)
{
	struct rmd_wpw *end;
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return printf("remuda-worker-native %s\n", REMUDA_VERSION) < 0
			       ? EXIT_SYSTEM
			       : 0;
	int rc = argc > 1 ? RMD_EINVAL : rmd_wpw_open(&end);
	if (rc < 0) {
		fprintf(stderr,
			"remuda-worker-native: %s\n"
			"This program is started by remuda-agent, which speaks to it on "
			"descriptor %d.\n",
			argc > 1 ? "takes no arguments but --version"
				 : rmd_errcode_text(rc),
			RMD_WP_WORKER_FD);
		return EXIT_USER;
	}
	set_signals();
	rmd_catch_open();
	/* Whole lines as they come: a crash loses no more than the last one. */
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	int code = work(end);
	rmd_wpw_close(end);
	return code;
}
