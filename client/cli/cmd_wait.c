/* remuda wait: outcomes of detached tasks, by their ids. */
#include <stdio.h>
#include <string.h>

#include "client/cli/commands.h"
#include "client/cli/exit.h"
#include "client/cli/outcome.h"
#include "client/cli/report.h"
#include "client/cli/tasks.h"
#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/frames.h"
#include "proto/codec/value.h"
#include "proto/error/chain.h"
#include "remuda/v1/executor.pb-c.h"

#define INLINE_MAX_BYTES (UINT64_C(3) << 20) /* with room in a message of 4 MiB */
#define WAIT_MAX 1000

struct settings {
	const char *address;
	bool raw;
};

/* The request's parts, and what has come. */
struct wait {
	const struct settings *settings;
	struct rmd_taskid ids[WAIT_MAX];
	Remuda__V1__TaskId tasks[WAIT_MAX];
	Remuda__V1__TaskId *list[WAIT_MAX];
	int worst; /* enum rmd_exit of the tasks */
};

static int show_value(struct wait *wait, struct rmd_slice bytes)
{
	struct rmd_arena arena;
	struct remuda_value value;
	int rc;

	rmd_arena_init(&arena, 0);
	rc = rmd_value_get(bytes, &arena, &value);
	if (rc == 0 && rmd_outcome_write(&value, wait->settings->raw, stdout) < 0)
		rc = rmd_report_no_memory();
	else if (rc == 0)
		putchar('\n');
	else
		rmd_report("the value cannot be read: %s", rmd_errcode_text(rc));
	rmd_arena_fini(&arena);
	return rc == 0 ? rmd_report_flush() : RMD_EXIT_SERVICE;
}

static void show_error(const char *id, struct rmd_slice bytes)
{
	struct remuda_error *err = NULL;
	const char *field;

	if (rmd_error_decode(bytes, &err, &field) < 0)
		err = NULL;
	rmd_outcome_report(id, REMUDA_ETASK, err);
	remuda_error_free(err);
}

/* Where the value lies instead of here: field 5 of Outcome. */
static bool elsewhere(struct rmd_slice outcome)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(outcome);
	struct rmd_wire_field field;

	while (rmd_wire_next(&rest, &field) > 0)
		if (field.number == 5)
			return true;
	return false;
}

static int show(struct wait *wait, const struct rmd_task_id *task, struct rmd_slice bytes)
{
	struct rmd_taskid id = {.number = task->number};
	struct rmd_outcome outcome;
	const char *field;
	char text[RMD_TASKID_SHORT_BYTES];

	memcpy(id.session, task->session, sizeof id.session);
	rmd_taskid_format_short(&id, text);
	if (elsewhere(bytes)) {
		rmd_report("%s: its value is larger than 3 MiB: fetch it by Blobs.Get",
			   text);
		wait->worst = RMD_EXIT_TASK;
		return RMD_EXIT_OK;
	}
	if (rmd_outcome_read(bytes, &outcome, &field) < 0) {
		rmd_report("the coordinator's answer cannot be read: is it of another "
			   "version?");
		return RMD_EXIT_SERVICE;
	}
	if (outcome.kind == RMD_OUTCOME_VALUE)
		return show_value(wait, outcome.bytes);
	wait->worst = RMD_EXIT_TASK;
	if (outcome.kind == RMD_OUTCOME_ERROR)
		show_error(text, outcome.bytes);
	else
		rmd_report("%s: %.*s", text, (int)outcome.bytes.len,
			   (const char *)outcome.bytes.data);
	return RMD_EXIT_OK;
}

/* One AwaitResponse: read by hand, since values nest. */
static int hear(void *ctx, struct rmd_slice message)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(message);
	struct rmd_wire_field field;
	struct rmd_task_id task = {.number = 0};
	struct rmd_slice outcome = {NULL, 0};
	const char *what;
	int rc;

	while ((rc = rmd_wire_next(&rest, &field)) > 0) {
		if (field.type != RMD_WIRE_LEN)
			continue;
		if (field.number == 1 && rmd_task_id_read(field.bytes, &task, &what) < 0)
			break;
		if (field.number == 2)
			outcome = field.bytes;
	}
	if (rc != 0) {
		rmd_report("the coordinator's answer cannot be read: is it of another "
			   "version?");
		return RMD_EXIT_SERVICE;
	}
	return show(ctx, &task, outcome);
}

static int run(const void *settings, int count, char **arguments)
{
	struct wait *wait = rmd_calloc(1, sizeof *wait);
	Remuda__V1__AwaitRequest request = REMUDA__V1__AWAIT_REQUEST__INIT;
	struct rmd_caller *caller = NULL;
	const struct settings *set = settings;
	int rc;

	if (wait == NULL)
		return rmd_report_no_memory();
	wait->settings = set;
	rc = rmd_caller_open(set->address, &caller);
	for (int i = 0; rc == RMD_EXIT_OK && i < count; i++) {
		rc = rmd_tasks_resolve(caller, arguments[i], &wait->ids[i]);
		remuda__v1__task_id__init(&wait->tasks[i]);
		wait->tasks[i].session.data = wait->ids[i].session;
		wait->tasks[i].session.len = sizeof wait->ids[i].session;
		wait->tasks[i].number = wait->ids[i].number;
		wait->list[i] = &wait->tasks[i];
	}
	request.tasks = wait->list;
	request.n_tasks = (size_t)count;
	request.inline_max_bytes = INLINE_MAX_BYTES;
	if (rc == RMD_EXIT_OK)
		rc = rmd_caller_stream(caller, "/remuda.v1.Executor/Await", &request.base,
				       hear, wait);
	if (rc == RMD_EXIT_OK)
		rc = wait->worst;
	rmd_caller_close(caller);
	rmd_free(wait);
	return rc;
}

static const struct rmd_option options[] = {
	{"raw", 'r', RMD_OPTION_FLAG, NULL, offsetof(struct settings, raw), 0, 0,
	 "print strings and bytes bare instead of as JSON"},
	RMD_OPTION_ROW_ADDRESS(struct settings),
};

const struct rmd_command rmd_command_wait = {
	.name = "wait",
	.arguments = "TASK...",
	.summary = "wait for detached tasks, and print their values",
	.description =
		"Waits until each TASK has ended, and prints its value as JSON on one "
		"line, in the order in which they end. If one fails, its chain of "
		"errors is written to standard error, and the exit code is 1. Only "
		"tasks that were submitted with 'remuda run --detach' (or as detached "
		"by a program, or by Executor.Submit) can be waited for. Their outcomes "
		"wait for a time that remudad --retention says; asking for one does not "
		"use it up.",
	.examples = "id=$(remuda run --detach native:demo.square 21); remuda wait $id",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct settings),
	.arguments_min = 1,
	.arguments_max = WAIT_MAX,
	.argument_kind = RMD_ARGUMENT_TASK,
	.run = run,
};
