/* What the agent does when a worker crashes: hears its record, has a helper take its
 * stack, and lets it die (worker/crash/record.h, worker/crash/helper/job.h).
 *
 * WAITING (for one of HELPERS_MAX) -> STARTING -> AGREEING (the worker is told of the
 * helper) -> WORKING -> OVER (the worker is let go). Whatever fails leads to OVER: the
 * error then says what the wait status and the record say. What record and helper say is
 * made by user code, or may be: it is checked, and used as text alone. */
#include "worker/agent/state.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"
#include "worker/crash/crash.h"
#include "worker/crash/helper/job.h"

#define SOURCE "agent"
#define HELPERS_MAX 4u /* at a time; other crashed workers wait */

enum crash_state { WAITING, STARTING, AGREEING, WORKING, OVER };

struct rmd_acrash {
	enum crash_state state;
	struct rmd_aworker *worker;
	int helper_fd; /* -1: none */
	bool helper_runs;
	bool proven;   /* `oom` is */
	struct rmd_oom_proof oom;
	struct remuda_error *stack; /* owned; NULL: none */
	bool recorded;		    /* `record` is, and `job` holds it as it came */
	remuda_local_CrashRecord record;
	size_t job_bytes;
	uint8_t job[sizeof(struct rmd_crash_job) + RMD_CRASH_RECORD_MAX];
	TAILQ_ENTRY(rmd_acrash) waiting;
};

static uint64_t helper_id(const struct rmd_aworker *worker)
{
	return worker->number | RMD_AGENT_HELPER;
}

static struct rmd_acrash *crash_of(struct rmd_aworker *worker)
{
	if (worker->crash != NULL)
		return worker->crash;
	struct rmd_acrash *crash = rmd_calloc(1, sizeof *crash);
	if (crash == NULL)
		return NULL;
	crash->worker = worker;
	crash->state = OVER;
	crash->helper_fd = -1;
	worker->crash = crash;
	return crash;
}

/* ---- the worker's channel ---- */

int rmd_aworker_crash_open(struct rmd_aworker *worker, int *ret_child_fd)
{
	int ends[2];
	struct epoll_event event = {.events = EPOLLIN,
				    .data.u64 = worker->number | RMD_AGENT_CRASH};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return RMD_ESYS;
	if (epoll_ctl(worker->agent->epoll_fd, EPOLL_CTL_ADD, ends[0], &event) < 0) {
		int saved = errno;
		close(ends[0]);
		close(ends[1]);
		errno = saved;
		return RMD_ESYS;
	}
	worker->crash_fd = ends[0];
	*ret_child_fd = ends[1];
	return 0;
}

static void close_channel(struct rmd_aworker *worker)
{
	if (worker->crash_fd >= 0)
		close(worker->crash_fd); /* leaves the epoll set with its last copy */
	worker->crash_fd = -1;
}

static void say(struct rmd_aworker *worker, enum rmd_crash_op op, pid_t pid)
{
	struct rmd_crash_word word = {.op = op, .pid = pid};
	if (worker->crash_fd >= 0)
		(void)send(worker->crash_fd, &word, sizeof word,
			   MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Done with the helper, whatever it still does. */
static void drop_helper(struct rmd_acrash *crash)
{
	struct rmd_agent *agent = crash->worker->agent;
	if (crash->helper_fd >= 0)
		close(crash->helper_fd);
	crash->helper_fd = -1;
	if (crash->helper_runs && agent->spawner_fd >= 0)
		(void)rmd_spawner_signal(agent->spawner_fd, helper_id(crash->worker),
					 SIGKILL);
	crash->helper_runs = false;
}

/* Lets the worker die. One that lies does not: the end of the task that it runs shows
 * that. Where it runs none, nothing would (its record can come after its outcome). */
static void finish(struct rmd_acrash *crash)
{
	if (crash->state == OVER)
		return;
	if (crash->state == WAITING)
		TAILQ_REMOVE(&crash->worker->agent->crashes, crash, waiting);
	crash->state = OVER;
	drop_helper(crash);
	say(crash->worker, RMD_CRASH_DONE, 0);
	rmd_aworker_distrust(crash->worker, "it said that it crashed, and did not end");
}

/* Takes the worker's record; false: there was none. */
static bool read_record(struct rmd_aworker *worker)
{
	struct rmd_acrash *crash = crash_of(worker);
	if (crash == NULL || crash->recorded)
		return false;
	uint8_t *bytes = crash->job + sizeof(struct rmd_crash_job);
	ssize_t n = recv(worker->crash_fd, bytes, RMD_CRASH_RECORD_MAX,
			 MSG_DONTWAIT | MSG_TRUNC);
	if (n <= 0 || (size_t)n > RMD_CRASH_RECORD_MAX ||
	    rmd_crash_record_get(rmd_slice_of(bytes, (size_t)n), &crash->record) < 0)
		return false;
	crash->job_bytes = sizeof(struct rmd_crash_job) + (size_t)n;
	crash->recorded = true;
	return true;
}

/* ---- the helper ---- */

static int spawn_helper(struct rmd_aworker *worker, int helper_end)
{
	struct rmd_agent *agent = worker->agent;
	const struct rmd_pool_spec *spec = worker->pool->spec;
	struct rmd_spawn_fd fds[1 + RMD_CRASH_MODULES_MAX];
	const char *argv[2 + RMD_CRASH_MODULES_MAX] = {"remuda-crash"};
	size_t count = 0;
	fds[count++] = (struct rmd_spawn_fd){helper_end, RMD_CRASH_HELPER_FD};
	for (size_t i = 0; i < spec->module_count && count <= RMD_CRASH_MODULES_MAX;
	     i++) {
		const char *name;
		int fd = rmd_amodule_fd(agent, &spec->modules[i], &name);
		if (fd < 0)
			continue;
		argv[count] = name != NULL ? name : "module";
		fds[count] =
			(struct rmd_spawn_fd){fd, RMD_CRASH_MODULE_FD + (int)count - 1};
		count++;
	}
	struct rmd_spawn_request request = {
		.id = helper_id(worker),
		.program = agent->crash_path,
		.argv = argv,
		.fds = fds,
		.fd_count = count,
	};
	return rmd_spawner_spawn(agent->spawner_fd, &request);
}

static int start_helper(struct rmd_acrash *crash)
{
	struct rmd_agent *agent = crash->worker->agent;
	int ends[2];
	struct epoll_event event = {.events = EPOLLIN,
				    .data.u64 = helper_id(crash->worker)};
	if (agent->crash_path == NULL || agent->spawner_fd < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return RMD_ESYS;
	int rc = epoll_ctl(agent->epoll_fd, EPOLL_CTL_ADD, ends[0], &event) < 0 ? RMD_ESYS
										: 0;
	if (rc == 0)
		rc = spawn_helper(crash->worker, ends[1]);
	close(ends[1]);
	if (rc < 0) {
		close(ends[0]);
		return rc;
	}
	crash->helper_fd = ends[0];
	crash->state = STARTING;
	agent->crash_helpers++;
	return 0;
}

static void start_helpers(struct rmd_agent *agent)
{
	struct rmd_acrash *crash;
	while (agent->crash_helpers < HELPERS_MAX &&
	       (crash = TAILQ_FIRST(&agent->crashes)) != NULL) {
		TAILQ_REMOVE(&agent->crashes, crash, waiting);
		crash->state = STARTING;
		int rc = start_helper(crash);
		if (rc == 0)
			continue;
		rmd_log(RMD_LOG_WARN, SOURCE,
			"no stack of a crashed worker: %s cannot be started: %s "
			"worker=%" PRIu64,
			agent->crash_path != NULL ? agent->crash_path : "remuda-crash",
			rmd_errcode_text(rc), crash->worker->number);
		finish(crash);
	}
}

void rmd_aworker_crash_readable(struct rmd_aworker *worker)
{
	struct rmd_acrash *crash = worker->crash;
	if (worker->crash_fd < 0)
		return;
	if (crash == NULL || !crash->recorded) {
		if (!read_record(worker)) {
			close_channel(worker); /* it has closed it, or talks nonsense */
			return;
		}
		crash = worker->crash;
		crash->state = WAITING;
		TAILQ_INSERT_TAIL(&worker->agent->crashes, crash, waiting);
		/* What it has not begun goes to others: it will not. */
		if (rmd_apool_take_back(worker, UINT32_MAX) > 0)
			rmd_apool_unbalance(worker->pool);
		rmd_aworker_place(worker, worker->state, RMD_AWORKER_STUCK,
				  worker->in_hands);
		start_helpers(worker->agent);
		return;
	}
	struct rmd_crash_word word;
	ssize_t n = recv(worker->crash_fd, &word, sizeof word, MSG_DONTWAIT);
	if (n != (ssize_t)sizeof word || word.op != RMD_CRASH_AGREED ||
	    crash->state != AGREEING) {
		finish(crash);
		close_channel(worker);
		return;
	}
	crash->state = WORKING;
	/* Not before: a worker can be faster than the word that it has been started. */
	struct rmd_crash_job job = {.pid = worker->pid};
	memcpy(crash->job, &job, sizeof job);
	if (send(crash->helper_fd, crash->job, crash->job_bytes,
		 MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		finish(crash);
}

/* Takes the helper's answer, if it is there. */
static void read_stack(struct rmd_acrash *crash)
{
	const char *unused;
	uint8_t *bytes = rmd_malloc(RMD_CRASH_STACK_MAX);
	if (bytes == NULL)
		return;
	ssize_t n = recv(crash->helper_fd, bytes, RMD_CRASH_STACK_MAX,
			 MSG_DONTWAIT | MSG_TRUNC);
	if (n > 0 && (size_t)n <= RMD_CRASH_STACK_MAX && crash->stack == NULL)
		(void)rmd_error_decode(rmd_slice_of(bytes, (size_t)n), &crash->stack,
				       &unused);
	rmd_free(bytes);
}

void rmd_aworker_helper_readable(struct rmd_aworker *worker)
{
	struct rmd_acrash *crash = worker->crash;
	if (crash == NULL || crash->helper_fd < 0)
		return;
	read_stack(crash);
	finish(crash);
}

void rmd_aworker_helper_reported(struct rmd_agent *agent,
				 const struct rmd_spawn_report *report)
{
	struct rmd_aworker *worker =
		rmd_map_get(&agent->workers, report->id & ~RMD_AGENT_HELPER);
	struct rmd_acrash *crash = worker != NULL ? worker->crash : NULL;
	if (report->pidfd >= 0)
		close(report->pidfd);
	if (report->kind == RMD_SPAWN_STARTED) {
		if (crash == NULL || crash->state != STARTING) {
			(void)rmd_spawner_signal(agent->spawner_fd, report->id, SIGKILL);
			return;
		}
		crash->state = AGREEING;
		crash->helper_runs = true;
		say(worker, RMD_CRASH_TRACER, report->pid);
		return;
	}
	agent->crash_helpers--;
	if (report->kind == RMD_SPAWN_FAILED)
		rmd_log(RMD_LOG_WARN, SOURCE,
			"no stack of a crashed worker: %s cannot be started: %s "
			"worker=%" PRIu64,
			agent->crash_path, strerror(report->error),
			report->id & ~RMD_AGENT_HELPER);
	if (crash != NULL)
		crash->helper_runs = false;
	if (crash != NULL && crash->state != OVER) {
		if (crash->helper_fd >= 0)
			read_stack(crash);
		finish(crash);
	}
	start_helpers(agent);
}

/* ---- the end ---- */

static bool killed(const int *wait_status)
{
	return wait_status != NULL && WIFSIGNALED(*wait_status) &&
	       WTERMSIG(*wait_status) == SIGKILL;
}

void rmd_aworker_crash_last(struct rmd_aworker *worker, const int *wait_status)
{
	struct rmd_oom_proof proof;
	if (worker->crash_fd >= 0 && (worker->crash == NULL || !worker->crash->recorded))
		(void)read_record(worker);
	if (worker->crash != NULL && worker->crash->helper_fd >= 0)
		read_stack(worker->crash);
	if (killed(wait_status) && worker->end != RMD_AWORKER_KILLED &&
	    rmd_oom_prove(&worker->agent->oom, &proof) && crash_of(worker) != NULL) {
		worker->crash->oom = proof;
		worker->crash->proven = true;
	}
}

void rmd_aworker_crash_close(struct rmd_aworker *worker)
{
	struct rmd_acrash *crash = worker->crash;
	if (crash != NULL) {
		finish(crash);
		remuda_error_free(crash->stack);
		rmd_free(crash);
	}
	worker->crash = NULL;
	close_channel(worker);
}

/* Why the agent sent the signal that ended it; NULL: it did not. */
static const char *killed_for(const struct rmd_aworker *worker, int wait_status)
{
	if (!WIFSIGNALED(wait_status))
		return NULL;
	int signal_number = WTERMSIG(wait_status);
	bool ours = (signal_number == SIGKILL && worker->end == RMD_AWORKER_KILLED) ||
		    (signal_number == SIGTERM && worker->end >= RMD_AWORKER_TERMED);
	return ours ? worker->ended_for : NULL;
}

struct remuda_error *rmd_aworker_crash_error(const struct rmd_aworker *worker,
					     const struct rmd_alease *lease,
					     const int *wait_status)
{
	const struct rmd_acrash *said = worker->crash;
	struct rmd_crash crash = {
		.host = worker->agent->name,
		.worker = worker->number,
		.status_known = wait_status != NULL,
		.pid = worker->pid,
		.peak_bytes = worker->peak_bytes,
		.limit_bytes = worker->limit_bytes,
		.used_bytes = worker->used_bytes,
		.used_children = worker->used_children,
		.stderr_tail = rmd_wp_stderr_tail(worker->wp),
	};
	if (wait_status != NULL) {
		crash.wait_status = *wait_status;
		crash.killed_for = killed_for(worker, *wait_status);
	}
	if (lease != NULL) {
		crash.attempt = lease->attempt;
		crash.function = lease->function;
	}
	if (lease == NULL && worker->initializing)
		crash.function = rmd_apool_initializer(worker->pool);
	if (said != NULL) {
		crash.record = said->recorded ? &said->record : NULL;
		crash.stack = said->stack;
		crash.oom = said->proven ? &said->oom : NULL;
	}
	struct remuda_error *err = rmd_crash_error(&crash);
	if (worker->broken)
		remuda_error_set_cause(
			err, remuda_error_create("ProtocolError",
						 "the worker broke the worker protocol "
						 "and was killed"));
	else if (wait_status == NULL)
		remuda_error_set_cause(
			err, remuda_error_create("SpawnerLost",
						 "the process that watches over "
						 "workers was lost"));
	return err;
}

enum rmd_failure_cause rmd_aworker_crash_cause(const struct rmd_aworker *worker)
{
	return (worker->crash != NULL && worker->crash->proven) || worker->limit_bytes != 0
		       ? RMD_FAILURE_OUT_OF_MEMORY
		       : RMD_FAILURE_WORKER_LOST;
}
