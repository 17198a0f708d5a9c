/* remuda run: one task. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#include "client/cli/commands.h"
#include "client/cli/exit.h"
#include "client/cli/interrupt.h"
#include "client/cli/outcome.h"
#include "client/cli/report.h"
#include "client/cli/submit.h"
#include "proto/base/buf.h"
#include "proto/base/errcode.h"

#define ACCEPT_TIMEOUT_MS 30000

static int read_arguments(struct rmd_submitter *submitter, int count, char **words,
			  struct rmd_argument_list *arguments)
{
	char why[RMD_ARGUMENT_WHY_BYTES];

	for (int i = 0; i < count; i++) {
		int rc = rmd_submitter_add(submitter, arguments,
					   rmd_slice_of_string(words[i]), why);

		if (rc == RMD_ENOMEM)
			return rmd_report_no_memory();
		if (rc < 0) {
			rmd_report("argument %d: %s", i + 1, why);
			return RMD_EXIT_USAGE;
		}
	}
	return RMD_EXIT_OK;
}

/* Waits until the task's future comes off the done queue, showing what the task prints.
 * RMD_EXIT_INTERRUPTED: it did not; the task was told to end. */
static int wait_done(struct rmd_submitter *submitter, struct remuda_future *future)
{
	struct rmd_output *output = submitter->output;
	struct pollfd fds[] = {
		{.fd = remuda_fd(submitter->client), .events = POLLIN},
		{.fd = submitter->interrupt_fd, .events = POLLIN},
		{.fd = output != NULL ? rmd_output_fd(output) : -1, .events = POLLIN},
	};

	while (remuda_next_done(submitter->client, NULL) == NULL) {
		if (rmd_interrupt_seen()) {
			remuda_cancel(future);
			rmd_report("interrupted: the task is cancelled");
			return RMD_EXIT_INTERRUPTED;
		}
		poll(fds, sizeof fds / sizeof *fds, -1);
		if (output != NULL)
			rmd_output_drain(output);
	}
	return RMD_EXIT_OK;
}

static int show(struct rmd_submitter *submitter, struct remuda_future *future)
{
	const struct remuda_value *value = NULL;
	struct remuda_error *err = NULL;
	int code = remuda_result(future, &value, &err);

	if (submitter->output != NULL) {
		rmd_output_drain(submitter->output);
		rmd_output_end_line(submitter->output);
	}
	if (code < 0) {
		rmd_outcome_report(submitter->function, code, err);
		remuda_error_free(err);
		return rmd_outcome_exit(code, RMD_EXIT_TASK);
	}
	if (rmd_outcome_write(value, submitter->settings->raw, stdout) < 0)
		return rmd_report_no_memory();
	putchar('\n');
	return RMD_EXIT_OK;
}

/* Prints the id of a detached task once it is accepted, and leaves it alone. */
static int leave(struct rmd_submitter *submitter, struct remuda_future *future)
{
	char session[33];
	int code = remuda_accepted(future, ACCEPT_TIMEOUT_MS), rc = RMD_EXIT_OK;

	if (code < 0 && code != REMUDA_EINVAL) {
		rmd_report("the coordinator did not accept the task: %s",
			   remuda_code_text(code));
		rc = RMD_EXIT_SERVICE;
	} else if (remuda_done(future) && remuda_result(future, NULL, NULL) < 0) {
		rc = show(submitter, future); /* refused, or it has failed already */
	} else {
		remuda_session_hex(submitter->client, session);
		printf("%s-%" PRIu64 "\n", session, remuda_number(future));
		rc = rmd_report_flush();
	}
	remuda_future_free(future);
	return rc;
}

static int submit_and_wait(struct rmd_submitter *submitter,
			   const struct rmd_argument_list *arguments)
{
	struct remuda_future *future = rmd_submitter_submit(submitter, arguments, 0);
	int rc;

	if (future == NULL)
		return rmd_report_no_memory();
	if (submitter->settings->detach)
		return leave(submitter, future);
	if (remuda_enqueue(future, NULL, NULL) < 0) {
		remuda_future_free(future);
		return RMD_EXIT_SERVICE;
	}
	/* From here on it is the client's, until it comes off the done queue. */
	rc = wait_done(submitter, future);
	if (rc != RMD_EXIT_OK)
		return rc;
	rc = show(submitter, future);
	remuda_future_free(future);
	return rc;
}

static int run(const void *settings, int count, char **words)
{
	struct rmd_submitter submitter;
	struct rmd_argument_list arguments;
	int rc;

	rmd_argument_list_init(&arguments);
	rc = rmd_submitter_check(&submitter, settings, words[0]);
	bool early = submitter.learned; /* nobody need be asked: find mistakes before
					   starting anything */
	if (rc == RMD_EXIT_OK && early)
		rc = read_arguments(&submitter, count - 1, words + 1, &arguments);
	if (rc == RMD_EXIT_OK)
		rc = rmd_submitter_open(&submitter);
	if (rc == RMD_EXIT_OK && !early)
		rc = read_arguments(&submitter, count - 1, words + 1, &arguments);
	if (rc == RMD_EXIT_OK)
		rc = submit_and_wait(&submitter, &arguments);
	rmd_submitter_fini(&submitter);
	rmd_argument_list_fini(&arguments);
	return rc;
}

static const struct rmd_option options[] = {
	RMD_SUBMIT_ROWS_ARGUMENT,
	RMD_SUBMIT_ROW("detach", 'd', FLAG, NULL, detach, 0, 0,
		       "do not wait: print the task's id, for 'remuda wait'; it goes on "
		       "without this program"),
	RMD_SUBMIT_ROWS_TASK,
};

const struct rmd_command rmd_command_run = {
	.name = "run",
	.arguments = "FUNCTION [ARG...]",
	.summary = "run one function and print its value",
	.description = "Runs FUNCTION, named RUNTIME:NAME, with the arguments, and "
		       "prints its value as JSON on "
		       "one line. What the task prints goes to standard error as it "
		       "comes. If it fails, the "
		       "whole chain of errors is written to standard error, the root "
		       "cause first, and the exit "
		       "code is 1.\n\n"
		       "An argument is JSON where it parses as JSON and the function "
		       "does not ask for a string "
		       "there, else a string; so 21 is a number, and notes.txt a string. "
		       "A negative number is an argument, not an option; any other that "
		       "begins with a dash is written behind '--'.",
	.examples = "remuda run native:demo.square 21\n"
		    "remuda run --detach native:demo.sleep_ms 60000\n"
		    "remuda run -m ./numbers.so native:numbers.mean '[1, 2, 4]'\n"
		    "remuda run -r native:files.sha256 /etc/hostname\n"
		    "remuda run --spread native:demo.add '[1, 2]'",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct rmd_submit_settings),
	.arguments_min = 1,
	.arguments_max = RMD_ARGUMENTS_ANY,
	.argument_kind = RMD_ARGUMENT_FUNCTION,
	.run = run,
};
