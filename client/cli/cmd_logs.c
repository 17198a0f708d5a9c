/* remuda logs: what tasks print, as they print it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/commands.h"
#include "client/cli/exit.h"
#include "client/cli/report.h"
#include "client/cli/rows.h"
#include "client/cli/tagger.h"
#include "client/cli/tasks.h"

struct settings {
	const char *address;
	bool json, follow;
};

/* What hears the stream. */
struct listener {
	struct rmd_tagger tagger;
	bool json;
	bool tagged; /* several tasks may speak */
};

static const char *stream_name(Remuda__V1__LogStream stream)
{
	switch (stream) {
	case REMUDA__V1__LOG_STREAM__LOG_STREAM_STDOUT:
		return "stdout";
	case REMUDA__V1__LOG_STREAM__LOG_STREAM_STDERR:
		return "stderr";
	case REMUDA__V1__LOG_STREAM__LOG_STREAM_LOG:
		return "log";
	case REMUDA__V1__LOG_STREAM__LOG_STREAM_UNSPECIFIED:
	case _REMUDA__V1__LOG_STREAM_IS_INT_SIZE:
		break;
	}
	return "?";
}

/* Writes one object; what is not UTF-8 in "data" becomes U+FFFD. */
static void write_json(const Remuda__V1__LogsResponse *piece, const char *task)
{
	const Remuda__V1__LogChunk *log = piece->log;

	fputs("{\"task\": ", stdout);
	rmd_rows_write_json_text(task, strlen(task), stdout);
	fputs(", \"agent\": ", stdout);
	rmd_rows_write_json_text(piece->agent, strlen(piece->agent), stdout);
	printf(", \"worker\": %" PRIu64
	       ", \"stream\": \"%s\", \"dropped_bytes\": %" PRIu64 ", \"data\": ",
	       piece->worker, stream_name(log->stream), log->dropped_bytes);
	rmd_rows_write_json_text((const char *)log->data.data, log->data.len, stdout);
	fputs("}\n", stdout);
}

static void write_text(struct listener *listener, const Remuda__V1__LogsResponse *piece,
		       const char *task)
{
	const Remuda__V1__LogChunk *log = piece->log;
	char note[64];

	if (!listener->tagged)
		task = "";
	if (log->dropped_bytes > 0) {
		rmd_tagger_end_line(&listener->tagger);
		int len = snprintf(note, sizeof note,
				   "(%" PRIu64 " bytes were dropped)\n",
				   log->dropped_bytes);
		rmd_tagger_write(&listener->tagger, task, note, (size_t)len);
	}
	rmd_tagger_write(&listener->tagger, task, log->data.data, log->data.len);
}

static int hear(void *ctx, struct rmd_slice message)
{
	struct listener *listener = ctx;
	Remuda__V1__LogsResponse *piece =
		remuda__v1__logs_response__unpack(NULL, message.len, message.data);
	char task[RMD_TASKID_FULL_BYTES] = "";

	if (piece == NULL) {
		rmd_report("the coordinator's answer cannot be read: is it of another "
			   "version?");
		return RMD_EXIT_SERVICE;
	}
	struct rmd_taskid id = rmd_tasks_id(piece->task);
	if (id.number != 0 && listener->json)
		rmd_taskid_format_full(&id, task);
	else if (id.number != 0)
		rmd_taskid_format_short(&id, task);
	else if (!listener->json)
		snprintf(task, sizeof task, "worker-%" PRIu64, piece->worker);
	if (piece->log != NULL && listener->json)
		write_json(piece, task);
	else if (piece->log != NULL)
		write_text(listener, piece, task);
	remuda__v1__logs_response__free_unpacked(piece, NULL);
	return rmd_report_flush();
}

static int run(const void *settings, int count, char **arguments)
{
	const struct settings *set = settings;
	struct listener listener = {
		.tagger = {.out = stdout},
		.json = set->json,
		.tagged = count == 0,
	};
	Remuda__V1__LogsRequest request = REMUDA__V1__LOGS_REQUEST__INIT;
	Remuda__V1__TaskId task = REMUDA__V1__TASK_ID__INIT;
	struct rmd_taskid id = {0};
	struct rmd_caller *caller = NULL;
	int rc = rmd_caller_open(set->address, &caller);

	if (rc == RMD_EXIT_OK && count > 0) {
		rc = rmd_tasks_resolve(caller, arguments[0], &id);
		task.session.data = id.session;
		task.session.len = sizeof id.session;
		task.number = id.number;
		request.task = &task;
	}
	if (rc == RMD_EXIT_OK)
		rc = rmd_caller_stream(caller, "/remuda.v1.Admin/Logs", &request.base,
				       hear, &listener);
	rmd_tagger_end_line(&listener.tagger);
	rmd_caller_close(caller);
	return rc;
}

static const struct rmd_option options[] = {
	{"follow", 'f', RMD_OPTION_FLAG, NULL, offsetof(struct settings, follow), 0, 0,
	 "go on as more is printed: what 'logs' always does, since no past output is "
	 "kept"},
	RMD_OPTION_ROW_JSON(struct settings),
	RMD_OPTION_ROW_ADDRESS(struct settings),
};

const struct rmd_command rmd_command_logs = {
	.name = "logs",
	.arguments = "[TASK]",
	.summary = "show what tasks print, from now on",
	.description =
		"Shows what tasks print from now on, until interrupted; of all tasks, "
		"each line "
		"with the task's id before it, or of TASK alone, as it comes. The "
		"coordinator "
		"keeps no past output: 'run' and 'map' show that of their own tasks.",
	.examples = "remuda logs\nremuda logs 3fa91c02-17",
	.options = options,
	.option_count = RMD_COUNT(options),
	.settings_bytes = sizeof(struct settings),
	.arguments_max = 1,
	.argument_kind = RMD_ARGUMENT_TASK,
	.run = run,
};
