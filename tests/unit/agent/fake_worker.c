/* A worker for tests of the agent: the real worker protocol, and tasks that misbehave on
 * demand. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/errcode.h"
#include "proto/codec/frames_nested.h"
#include "tests/unit/agent/rig.h"
#include "worker/protocol/worker_end.h"

static void nap(long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&time, NULL);
}

/* Submits "native:NAME" as child `number`. */
static void submit(struct rmd_wpw *end, uint64_t number, const char *name)
{
	uint8_t *to;
	struct rmd_nested_submit nested = {
		.number = number,
		.function = rmd_slice_of_string(name),
		.arguments = rmd_slice_of_string("some arguments"),
	};
	struct rmd_wire_writer writer = {0};
	rmd_worker_submit_put(&writer, &nested);
	if (rmd_wpw_reserve(end, writer.len, RMD_WPW_SILENT, &to) < 0)
		_exit(9);
	memcpy(to, writer.data, writer.len);
	rmd_wpw_submit(end, writer.len);
	rmd_wire_writer_fini(&writer);
}

/* Waits for child 1, at most `ms` (0: for ever): what it is answered. */
static size_t await(struct rmd_wpw *end, uint64_t ms, char *out, size_t room)
{
	static const char *const kinds[RMD_WP_ANSWERS] = {"value", "error",   "cancelled",
							  "none",  "unknown", "stop"};
	uint32_t ticket;
	enum rmd_wp_answer kind;
	struct rmd_slice payload;
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	uint64_t until_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec +
			    ms * 1000000u;
	if (rmd_wpw_ask(end, 1, RMD_WPW_ASK_WAIT, &ticket) < 0)
		_exit(9);
	int rc = rmd_wpw_await_answer(end, 1, ticket, ms == 0 ? 0 : until_ns, &kind,
				      &payload);
	if (rc == RMD_ETIMEOUT && rmd_wpw_give_up(end, 1) == 0)
		rc = rmd_wpw_await_answer(end, 1, ticket, 0, &kind, &payload);
	if (rc < 0)
		_exit(9);
	return (size_t)snprintf(out, room, "%s %zu %.*s", kinds[kind], payload.len,
				payload.len < 64 ? (int)payload.len : 64,
				(const char *)payload.data);
}

/* Tasks that submit tasks, and tell of their progress. False: it is none of those. */
static bool run_nesting(struct rmd_wpw *end, const char *name, const char *text,
			char *out, size_t room, size_t *ret_len)
{
	*ret_len = 0;
	if (strcmp(name, "nest") == 0) {
		submit(end, 1, text);
		*ret_len = await(end, 0, out, room);
	} else if (strcmp(name, "nest_a_while") == 0) {
		submit(end, 1, "native:slow");
		*ret_len = await(end, (uint64_t)atol(text), out, room);
	} else if (strcmp(name, "ask_for_nothing") == 0) {
		*ret_len = await(end, 0, out, room);
	} else if (strcmp(name, "submit_and_end") == 0) {
		submit(end, 1, text);
		submit(end, 2, text);
		if (rmd_wpw_cancel_child(end, 2) < 0)
			_exit(9);
	} else if (strcmp(name, "progress") == 0) {
		for (uint64_t i = 0; !rmd_wpw_cancelled(end); i++) {
			rmd_wpw_set_progress(end, i, 1000);
			nap(1);
		}
	} else {
		return false;
	}
	return true;
}

/* Runs the task; what it gives is the outcome's text. */
static size_t run(struct rmd_wpw *end, const struct rmd_wpw_task *task, char *out,
		  size_t room)
{
	char name[64] = {0}, text[64] = {0};
	size_t n = task->arguments.len < sizeof text - 1 ? task->arguments.len
							 : sizeof text - 1;
	if (task->arguments.len > 0)
		memcpy(text, task->arguments.data, n);
	memcpy(name, task->function.data,
	       task->function.len < sizeof name - 1 ? task->function.len
						    : sizeof name - 1);
	if (strcmp(name, "noop") == 0)
		return 0;
	if (run_nesting(end, name, text, out, room, &n))
		return n;
	if (strcmp(name, "echo") == 0)
		return (size_t)snprintf(out, room, "%s", text);
	if (strcmp(name, "pid") == 0)
		return (size_t)snprintf(out, room, "%d", (int)getpid());
	if (strcmp(name, "sleep_ms") == 0)
		nap(atol(text));
	if (strcmp(name, "crash") == 0) {
		fprintf(stderr, "about to crash: %s\n", text);
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
	}
	if (strcmp(name, "exit") == 0)
		_exit(atoi(text));
	if (strcmp(name, "print") == 0) {
		printf("out %s\n", text);
		fflush(stdout);
		rmd_wpw_log(end, rmd_slice_of_string("log\n"));
	}
	if (strcmp(name, "until_cancelled") == 0)
		while (!rmd_wpw_cancelled(end))
			nap(1);
	if (strcmp(name, "deaf") == 0) { /* heeds neither cancel nor TERM */
		signal(SIGTERM, SIG_IGN);
		for (;;)
			nap(1000);
	}
	if (strcmp(name, "child") == 0) { /* leaves a child, in a session of its own */
		pid_t pid = fork();
		if (pid == 0) {
			setsid();
			signal(SIGTERM, SIG_IGN);
			for (;;)
				pause();
		}
		return (size_t)snprintf(out, room, "%d", (int)pid);
	}
	return 0;
}

/* 64 MiB in, 64 MiB out, turned around byte by byte: so it cannot have been a mere
 * reference. */
static int reverse(struct rmd_wpw *end, const struct rmd_wpw_task *task)
{
	uint8_t *to;
	size_t len = task->arguments.len;
	if (rmd_wpw_reserve(end, len, RMD_WPW_PRINTED_PERHAPS, &to) < 0)
		return -1;
	for (size_t i = 0; i < len; i++)
		to[i] = task->arguments.data[len - 1 - i];
	rmd_wpw_commit(end, RMD_WP_VALUE, len, 1000);
	return 0;
}

static void serve(struct rmd_wpw *end)
{
	struct rmd_wpw_task task;
	while (rmd_wpw_next(end, &task) == 0) {
		char out[128];
		uint8_t *to;
		struct timespec begun, ended;
		if (rmd_slice_equal(task.function, rmd_slice_of_string("reverse"))) {
			if (reverse(end, &task) < 0)
				_exit(9);
			continue;
		}
		clock_gettime(CLOCK_MONOTONIC, &begun);
		size_t len = run(end, &task, out, sizeof out);
		clock_gettime(CLOCK_MONOTONIC, &ended);
		if (rmd_wpw_reserve(end, len, RMD_WPW_PRINTED_PERHAPS, &to) < 0)
			return;
		if (len > 0)
			memcpy(to, out, len);
		rmd_wpw_commit(end, RMD_WP_VALUE, len,
			       (uint64_t)(ended.tv_sec - begun.tv_sec) * 1000000000u +
				       (uint64_t)ended.tv_nsec - (uint64_t)begun.tv_nsec +
				       1);
	}
}

static void refuse(struct rmd_wpw *end, const char *module)
{
	struct remuda_error *err =
		remuda_error_create("ModuleError", "cannot load %s", module);
	struct rmd_buf *chain = rmd_error_encode_buf(err);
	rmd_wpw_send_start_failed(end, rmd_buf_slice(chain));
	_exit(3);
}

void fake_worker_main(int argc, char **argv)
{
	struct rmd_wpw *end;
	struct rmd_wpw_setup setup;
	/* An agent starts it under the name of its program, as rig.c says. */
	if (argc < 1 || strcmp(argv[0], "/proc/self/exe") != 0)
		return;
	const char *start = getenv("FAKE_START");
	if (rmd_wpw_open(&end) < 0 || rmd_wpw_recv_setup(end, &setup) < 0)
		_exit(8);
	for (size_t i = 0; i < setup.module_count; i++)
		if (access(setup.modules[i], R_OK) != 0)
			refuse(end, setup.modules[i]);
	if (start != NULL && strcmp(start, "exit") == 0) {
		fputs("no licence\n", stderr);
		_exit(5);
	}
	if (start != NULL && strcmp(start, "hang") == 0)
		for (;;)
			pause();
	if (start != NULL && strcmp(start, "stubborn") == 0)
		signal(SIGTERM, SIG_IGN);
	if (rmd_wpw_send_ready(end) < 0)
		_exit(8);
	serve(end);
	if (start != NULL && strcmp(start, "stubborn") == 0)
		for (;;)
			pause();
	_exit(0);
}
