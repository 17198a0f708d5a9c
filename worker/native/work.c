/* The life of a native worker, the same for our own program and for captured ones. */
#include "worker/native/work.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/errcode.h"
#include "proto/error/chain.h"
#include "worker/crash/catch.h"
#include "worker/native/captured.h"
#include "worker/native/run.h"
#include "worker/protocol/worker_end.h"

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
	return RMD_WORK_USER;
}

/* Loads all modules: 0, or the exit code. */
static int load(struct rmd_wpw *end, const struct rmd_wpw_setup *setup, const char *host,
		const struct rmd_work *work, struct rmd_functions *functions)
{
	struct remuda_error *err = NULL;
	int rc = work->add == NULL ? 0 : work->add(functions, &err);
	if (rc == 0)
		rc = rmd_functions_load_all(functions, setup->modules, setup->module_count,
					    &err);
	if (rc == 0)
		return 0;
	rmd_error_set_place_deep(err, host, setup->worker, 0);
	int code = report(end, err);
	remuda_error_free(err);
	return code;
}

/* Takes and runs tasks to the end. */
static int serve(struct rmd_wpw *end, struct rmd_functions *functions,
		 const struct rmd_work *work, const char *host, uint64_t worker)
{
	struct rmd_run run;
	struct rmd_wpw_task task;
	rmd_run_init(&run, end, functions, host, worker);
	if (work->capture != NULL && (run.captured = work->capture(functions)) == NULL)
		return RMD_WORK_SYSTEM;
	int rc;
	do {
		rc = rmd_wpw_next(end, &task);
		if (rc == 0)
			rc = rmd_run_task(&run, &task);
	} while (rc == 0);
	rmd_captured_destroy(run.captured);
	rmd_run_fini(&run);
	if (rc == RMD_ECLOSED)
		return RMD_WORK_STOPPED;
	fprintf(stderr, "%s: what the agent sent makes no sense: %s\n", work->program,
		rmd_errcode_text(rc));
	return RMD_WORK_SYSTEM;
}

static int work_over(struct rmd_wpw *end, const struct rmd_work *work)
{
	struct rmd_wpw_setup setup;
	struct rmd_functions functions = {0};
	char host[HOST_MAX] = "";
	int rc = rmd_wpw_recv_setup(end, &setup);
	if (rc == RMD_ECLOSED)
		return RMD_WORK_STOPPED;
	if (rc < 0) {
		fprintf(stderr, "%s: no setup from the agent: %s\n", work->program,
			rmd_errcode_text(rc));
		return RMD_WORK_SYSTEM;
	}
	if (*setup.host != '\0')
		memcpy(host, setup.host, strlen(setup.host) + 1);
	else if (gethostname(host, sizeof host - 1) < 0)
		host[0] = '\0';
	uint64_t worker = setup.worker;
	int code = load(end, &setup, host, work, &functions);
	(void)fflush(stdout);
	if (code == 0 && (rmd_wpw_disown_output(end) < 0 || rmd_wpw_send_ready(end) < 0))
		code = RMD_WORK_SYSTEM;
	if (code == 0)
		code = serve(end, &functions, work, host, worker);
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

int rmd_work(const struct rmd_work *work)
{
	struct rmd_wpw *end;
	int rc = rmd_wpw_open(&end);
	if (rc < 0) {
		fprintf(stderr,
			"%s: %s\n"
			"This program is started by remuda-agent, which speaks to it on "
			"descriptor %d.\n",
			work->program, rmd_errcode_text(rc), RMD_WP_WORKER_FD);
		return RMD_WORK_USER;
	}
	set_signals();
	rmd_catch_open();
	/* Whole lines as they come: a crash loses no more than the last one. */
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	int code = work_over(end, work);
	rmd_wpw_close(end);
	return code;
}
