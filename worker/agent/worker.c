#include "worker/agent/state.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"

#define SOURCE "agent"
#define ALL_READS 4096 /* of a worker that has ended; far more than its ring holds */
#define LAST_READS 4   /* quiet ones, of a worker that has ended */
#define ASKED_MS 1000u /* from the word "stop" to TERM */

/* ---- lists ---- */

static struct rmd_aworkers *list_of(const struct rmd_aworker *worker)
{
	struct rmd_apool *pool = worker->pool;
	switch (worker->state) {
	case RMD_WORKER_STATE_UNSPECIFIED:
		return NULL;
	case RMD_WORKER_STATE_STARTING:
		return &pool->list_starting;
	case RMD_WORKER_STATE_STOPPING:
		return &pool->list_stopping;
	case RMD_WORKER_STATE_IDLE:
	case RMD_WORKER_STATE_BUSY:
	case RMD_WORKER_STATE_WAITING: /* only ever said, see rmd_agent_say_pool */
		return worker->room == RMD_AWORKER_STUCK
			       ? &pool->list_stuck
			       : &pool->by_load[worker->in_hands];
	}
	RMD_UNREACHABLE("worker state");
}

/* Adds `sign` to what the pool counts of such a worker. */
static void count(const struct rmd_aworker *worker, uint32_t sign)
{
	struct rmd_apool *pool = worker->pool;
	switch (worker->state) {
	case RMD_WORKER_STATE_UNSPECIFIED:
		return;
	case RMD_WORKER_STATE_STARTING:
		pool->starting += sign;
		return;
	case RMD_WORKER_STATE_STOPPING:
		pool->stopping += sign;
		return;
	case RMD_WORKER_STATE_IDLE:
	case RMD_WORKER_STATE_BUSY:
	case RMD_WORKER_STATE_WAITING:
		pool->ready += sign;
		if (worker->waits_in != 0)
			pool->waiting += sign;
		if (worker->in_hands == 0)
			pool->idle += sign;
		if (worker->in_hands >= 2 && worker->room == RMD_AWORKER_OPEN)
			pool->stealable += sign;
		return;
	}
}

void rmd_aworker_place(struct rmd_aworker *worker, enum rmd_worker_state state,
		       enum rmd_aworker_room room, uint32_t in_hands)
{
	struct rmd_apool *pool = worker->pool;
	enum rmd_worker_state before = worker->state;
	if (list_of(worker) != NULL)
		TAILQ_REMOVE(list_of(worker), worker, link);
	count(worker, (uint32_t)-1);
	if (state == RMD_WORKER_STATE_IDLE || state == RMD_WORKER_STATE_BUSY)
		state = in_hands == 0 ? RMD_WORKER_STATE_IDLE : RMD_WORKER_STATE_BUSY;
	RMD_CHECK(in_hands <= RMD_WP_TASKS_MAX);
	worker->state = state;
	worker->room = room;
	worker->in_hands = in_hands;
	count(worker, 1);
	struct rmd_aworkers *list = list_of(worker);
	if (list != NULL && in_hands == 0)
		TAILQ_INSERT_HEAD(list, worker, link);
	else if (list != NULL)
		TAILQ_INSERT_TAIL(list, worker, link);
	if (in_hands < pool->load_min && list == &pool->by_load[in_hands])
		pool->load_min = in_hands;
	if (before == state)
		return;
	if ((before == RMD_WORKER_STATE_IDLE && state == RMD_WORKER_STATE_BUSY) ||
	    (before == RMD_WORKER_STATE_BUSY && state == RMD_WORKER_STATE_IDLE))
		rmd_apool_idle_changed(pool);
	else
		rmd_apool_dirty(pool);
}

void rmd_aworker_set_waiting(struct rmd_aworker *worker, uint64_t lease)
{
	count(worker, (uint32_t)-1);
	worker->waits_in = lease;
	count(worker, 1);
	rmd_apool_idle_changed(worker->pool);
}

void rmd_aworker_hold(struct rmd_aworker *worker, struct rmd_alease *lease)
{
	lease->worker = worker;
	worker->idle_seen = false;
	if (worker->pool->spec->memory_bytes != 0)
		rmd_agent_arm_limit(worker->agent);
	TAILQ_INSERT_TAIL(&worker->hands, lease, link);
	rmd_aworker_place(worker, worker->state, worker->room, worker->in_hands + 1);
}

void rmd_aworker_let_go(struct rmd_aworker *worker, struct rmd_alease *lease)
{
	RMD_CHECK(lease->worker == worker);
	if (worker->waits_in == lease->number)
		rmd_aworker_end_wait(worker);
	TAILQ_REMOVE(&worker->hands, lease, link);
	lease->worker = NULL;
	rmd_aworker_place(worker, worker->state, worker->room, worker->in_hands - 1);
}

/* ---- what the worker says ---- */

static void on_ready(void *ctx)
{
	struct rmd_aworker *worker = ctx;
	RMD_CHECK_OBJ(worker, RMD_AWORKER_MAGIC);
	if (worker->state != RMD_WORKER_STATE_STARTING || worker->ready ||
	    worker->initializing)
		return;
	rmd_atimer_stop(&worker->agent->timers, &worker->timer);
	if (!rmd_aworker_initialize(worker))
		rmd_aworker_begin(worker);
	else if (worker->pool->spec->memory_bytes != 0)
		rmd_agent_arm_limit(worker->agent);
}

void rmd_aworker_begin(struct rmd_aworker *worker)
{
	if (worker->state != RMD_WORKER_STATE_STARTING)
		return; /* it is to stop */
	worker->ready = true;
	rmd_aworker_place(worker, RMD_WORKER_STATE_IDLE, RMD_AWORKER_OPEN, 0);
	rmd_apool_started(worker->pool);
}

static void on_start_failed(void *ctx, struct rmd_slice error_chain)
{
	struct rmd_aworker *worker = ctx;
	const char *field;
	RMD_CHECK_OBJ(worker, RMD_AWORKER_MAGIC);
	if (worker->ready || worker->start_error != NULL)
		return;
	if (rmd_error_decode(error_chain, &worker->start_error, &field) < 0)
		worker->start_error = remuda_error_create(
			"ProtocolError",
			"the worker gave an error that cannot be read (%s)", field);
}

static void on_log(void *ctx, uint64_t number, enum rmd_wp_log stream,
		   struct rmd_slice bytes, uint64_t dropped_bytes)
{
	static const enum rmd_log_stream streams[] = {
		[RMD_WP_STDOUT] = RMD_LOG_STREAM_STDOUT,
		[RMD_WP_STDERR] = RMD_LOG_STREAM_STDERR,
		[RMD_WP_LOG] = RMD_LOG_STREAM_LOG,
	};
	struct rmd_aworker *worker = ctx;
	RMD_CHECK_OBJ(worker, RMD_AWORKER_MAGIC);
	struct rmd_alease *lease = number != 0 ? rmd_alease_find(worker->agent, number)
					       : NULL;
	if (lease == NULL || lease->worker != worker || !lease->stream_logs)
		return;
	do {
		size_t n = bytes.len < RMD_LOG_MAX_BYTES ? bytes.len : RMD_LOG_MAX_BYTES;
		struct rmd_lease_log log = {
			.lease = number,
			.worker = worker->number,
			.log = {streams[stream], rmd_slice_of(bytes.data, n),
				dropped_bytes},
		};
		rmd_agent_say_log(worker->agent, &log);
		dropped_bytes = 0;
		bytes = rmd_slice_of(bytes.data + n, bytes.len - n);
	} while (bytes.len > 0);
}

static void on_outcome(void *ctx, const struct rmd_wp_outcome *outcome)
{
	struct rmd_aworker *worker = ctx;
	RMD_CHECK_OBJ(worker, RMD_AWORKER_MAGIC);
	if (outcome->lease == RMD_AGENT_INITIALIZER) {
		rmd_aworker_initialized(worker, outcome);
		return;
	}
	struct rmd_alease *lease = rmd_alease_find(worker->agent, outcome->lease);
	if (lease == NULL || lease->worker != worker) {
		worker->broken = true;
		return;
	}
	worker->long_running = false;
	worker->tasks_done++;
	rmd_aworker_let_go(worker, lease);
	if (worker->state != RMD_WORKER_STATE_STOPPING && !worker->deaf &&
	    worker->room == RMD_AWORKER_STUCK)
		rmd_aworker_place(worker, worker->state, RMD_AWORKER_OPEN,
				  worker->in_hands);
	if (worker->urged_for == lease->number && worker->end == RMD_AWORKER_CANCELLING) {
		worker->end = RMD_AWORKER_UNURGED;
		worker->urged_for = 0;
		rmd_atimer_stop(&worker->agent->timers, &worker->timer);
	}
	rmd_aworker_look_for_leak(worker);
	rmd_apool_measure(worker->pool, outcome->run_ns);
	rmd_alease_ended(lease, outcome, worker->number);
}

const struct rmd_wp_events rmd_aworker_events = {
	.ready = on_ready,
	.start_failed = on_start_failed,
	.log = on_log,
	.outcome = on_outcome,
	.submit = rmd_aworker_on_submit,
	.ask = rmd_aworker_on_ask,
	.give_up = rmd_aworker_on_give_up,
	.cancel = rmd_aworker_on_cancel_child,
};

/* Hears no more from the worker's descriptors: they would wake us for ever. */
static void go_deaf(struct rmd_aworker *worker)
{
	int fds[3];
	if (worker->deaf)
		return;
	worker->deaf = true;
	rmd_wp_poll_fds(worker->wp, fds);
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			(void)epoll_ctl(worker->agent->epoll_fd, EPOLL_CTL_DEL, fds[i],
					NULL);
}

void rmd_aworker_readable(struct rmd_aworker *worker)
{
	if (worker->deaf)
		return;
	int rc = rmd_wp_read(worker->wp);
	rmd_apool_unbalance(worker->pool);
	if (rc == 1 && !worker->hot) {
		worker->hot = true;
		SLIST_INSERT_HEAD(&worker->agent->hot, worker, hot_link);
	}
	if (rc == RMD_EPROTO || worker->broken) {
		rmd_log(RMD_LOG_WARN, SOURCE,
			"a worker broke the worker protocol and is killed worker=%" PRIu64
			" pool=%" PRIu64,
			worker->number, worker->pool->number);
		worker->broken = true;
		go_deaf(worker);
		rmd_aworker_kill(worker, "it broke the worker protocol");
	} else if (rc < 0) { /* it has closed: the spawner will tell of its end */
		go_deaf(worker);
		if (worker->end == RMD_AWORKER_UNURGED ||
		    worker->end == RMD_AWORKER_CANCELLING) {
			worker->end = RMD_AWORKER_ASKED;
			worker->ended_for = "it closed its socket and did not exit";
			rmd_atimer_start(&worker->agent->timers, &worker->timer,
					 worker->agent->now_ms + ASKED_MS);
		}
		/* It keeps its place until its end is known: another that starts now
		 * might fail for the same reason, before anybody has backed off. */
		rmd_aworker_place(worker, worker->state, RMD_AWORKER_STUCK,
				  worker->in_hands);
	}
}

/* ---- ending ---- */

static void send_signal(struct rmd_aworker *worker, int signal_number)
{
	struct rmd_agent *agent = worker->agent;
	if (agent->spawner_fd >= 0 &&
	    rmd_spawner_signal(agent->spawner_fd, worker->number, signal_number) == 0)
		return;
	if (worker->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, worker->pidfd, signal_number, NULL,
			      0);
}

static void urge(struct rmd_aworker *worker, enum rmd_aworker_end end, uint64_t after_ms)
{
	worker->end = end;
	rmd_atimer_start(&worker->agent->timers, &worker->timer,
			 worker->agent->now_ms + after_ms);
}

/* It gets no more, and what it has not begun goes to others. */
static void set_aside(struct rmd_aworker *worker)
{
	if (worker->in_hands > 0) {
		(void)rmd_apool_take_back(worker, UINT32_MAX);
		rmd_apool_unbalance(worker->pool);
	}
	rmd_aworker_place(worker, RMD_WORKER_STATE_STOPPING, RMD_AWORKER_STUCK,
			  worker->in_hands);
}

static void terminate(struct rmd_aworker *worker)
{
	set_aside(worker);
	send_signal(worker, SIGTERM);
	urge(worker, RMD_AWORKER_TERMED, worker->agent->stop_grace_ms);
}

void rmd_aworker_stop(struct rmd_aworker *worker)
{
	worker->expected = true;
	worker->ended_for = "it was to stop";
	rmd_aworker_place(worker, RMD_WORKER_STATE_STOPPING, RMD_AWORKER_STUCK,
			  worker->in_hands);
	rmd_wp_send_stop(worker->wp);
	urge(worker, RMD_AWORKER_ASKED, ASKED_MS);
}

void rmd_aworker_distrust(struct rmd_aworker *worker, const char *reason)
{
	if (worker->state != RMD_WORKER_STATE_IDLE || worker->end != RMD_AWORKER_UNURGED)
		return;
	worker->ended_for = reason;
	rmd_aworker_place(worker, worker->state, RMD_AWORKER_STUCK, worker->in_hands);
	urge(worker, RMD_AWORKER_ASKED, ASKED_MS);
}

void rmd_aworker_kill(struct rmd_aworker *worker, const char *reason)
{
	if (worker->end == RMD_AWORKER_KILLED)
		return;
	if (worker->ended_for == NULL)
		worker->ended_for = reason;
	set_aside(worker);
	send_signal(worker, SIGKILL);
	rmd_atimer_stop(&worker->agent->timers, &worker->timer);
	worker->end = RMD_AWORKER_KILLED;
}

void rmd_aworker_cancel(struct rmd_aworker *worker, struct rmd_alease *lease)
{
	rmd_wp_cancel(worker->wp, lease->number);
	if (worker->end != RMD_AWORKER_UNURGED)
		return; /* it is on its way out already */
	worker->urged_for = lease->number;
	urge(worker, RMD_AWORKER_CANCELLING, worker->agent->cancel_grace_ms);
}

void rmd_aworker_on_timer(struct rmd_atimer *timer)
{
	struct rmd_aworker *worker =
		(struct rmd_aworker *)((char *)timer -
				       offsetof(struct rmd_aworker, timer));
	RMD_CHECK_OBJ(worker, RMD_AWORKER_MAGIC);
	struct rmd_agent *agent = worker->agent;
	switch (worker->end) {
	case RMD_AWORKER_UNURGED:
		if (worker->start_error == NULL)
			worker->start_error = remuda_error_create(
				"StartTimeout", "it was not ready within %" PRIu64 " ms",
				agent->start_timeout_ms);
		rmd_aworker_kill(worker, "it was not ready in time");
		return;
	case RMD_AWORKER_CANCELLING:
		worker->expected = true;
		worker->ended_for = "its task was cancelled";
		terminate(worker);
		return;
	case RMD_AWORKER_ASKED:
		terminate(worker);
		return;
	case RMD_AWORKER_TERMED:
		rmd_aworker_kill(worker, "it did not end by SIGTERM");
		return;
	case RMD_AWORKER_KILLED:
		return;
	}
}

/* Whether the end of this worker breaks its pool. */
static bool breaks(const struct rmd_aworker *worker)
{
	return worker->pool->spec->broken_on_crash && worker->ready && !worker->expected;
}

/* The error of a worker that was lost while it ran `lease` (NULL: nothing). */
static struct remuda_error *lost_error(const struct rmd_aworker *worker,
				       const struct rmd_alease *lease,
				       const int *wait_status)
{
	struct remuda_error *err = rmd_aworker_crash_error(worker, lease, wait_status);
	if (!breaks(worker))
		return err;
	return remuda_error_wrap(err, "BrokenPool",
				 "the pool is broken: a worker was lost, and it is "
				 "broken_on_crash; open it again to begin anew");
}

/* The task that it had begun, or NULL. */
static const struct rmd_alease *begun_by(const struct rmd_aworker *worker)
{
	const struct rmd_alease *lease;
	TAILQ_FOREACH (lease, &worker->hands, link)
		if (rmd_wp_begun(worker->wp, lease->number))
			return lease;
	return NULL;
}

/* What was in the hands of a worker that has ended: the task that had begun ends, the
 * others go to other workers, in their order. True if one had begun. */
static bool settle_hands(struct rmd_aworker *worker, const int *wait_status)
{
	struct rmd_alease *lease;
	bool ran = false;
	while ((lease = TAILQ_LAST(&worker->hands, rmd_aleases)) != NULL) {
		bool begun = rmd_wp_begun(worker->wp, lease->number);
		rmd_aworker_let_go(worker, lease);
		ran = ran || begun;
		if (!begun)
			rmd_apool_enqueue(worker->pool, lease, RMD_APOOL_FIRST);
		else if (lease->cancelled)
			rmd_alease_cancelled(lease, "cancelled; its worker was ended",
					     worker->number);
		else
			rmd_alease_fail(
				lease,
				lost_error(worker, lease, wait_status), true,
				worker->number, rmd_aworker_crash_cause(worker));
	}
	return ran;
}

void rmd_aworker_destroy(struct rmd_aworker *worker)
{
	struct rmd_agent *agent = worker->agent;
	RMD_CHECK(TAILQ_EMPTY(&worker->hands));
	rmd_aworker_place(worker, RMD_WORKER_STATE_UNSPECIFIED, RMD_AWORKER_STUCK, 0);
	TAILQ_REMOVE(&worker->pool->workers, worker, all);
	if (worker->unflushed)
		SLIST_REMOVE(&agent->unflushed, worker, rmd_aworker, unflushed_link);
	if (worker->hot)
		SLIST_REMOVE(&agent->hot, worker, rmd_aworker, hot_link);
	(void)rmd_map_take(&agent->workers, worker->number);
	rmd_atimer_stop(&agent->timers, &worker->timer);
	rmd_atimers_release(&agent->timers);
	agent->worker_count--;
	go_deaf(worker);
	rmd_aworker_crash_close(worker);
	rmd_wp_close(worker->wp);
	if (worker->pidfd >= 0)
		close(worker->pidfd);
	remuda_error_free(worker->start_error);
	worker->magic = 0;
	rmd_free(worker);
}

/* Takes all that the worker has left. One read stops at a doorbell, and perhaps at a
 * budget; the end of the socket need not come, where a child of the worker still holds
 * it. */
static void read_last(struct rmd_aworker *worker)
{
	int quiet = 0;
	for (int i = 0; i < ALL_READS && quiet < LAST_READS && !worker->broken; i++) {
		int rc = rmd_wp_read(worker->wp);
		if (rc < 0)
			return;
		quiet = rc == 0 ? quiet + 1 : 0;
	}
}

void rmd_aworker_ended(struct rmd_aworker *worker, const int *wait_status)
{
	struct rmd_apool *pool = worker->pool;
	struct remuda_error *failure = NULL;
	/* What it had finished before counts; it has left the worker's memory. */
	read_last(worker);
	rmd_aworker_crash_last(worker, wait_status);
	/* One that ends before it has run anything would end again and again: back off.
	 */
	bool initializing = worker->initializing && !worker->expected;
	struct remuda_error *broken =
		breaks(worker) ? lost_error(worker, begun_by(worker), wait_status) : NULL;
	bool ran = settle_hands(worker, wait_status);
	bool useless = !worker->ready || (worker->tasks_done == 0 && !ran);
	if (worker->start_error != NULL) {
		failure = worker->start_error;
		worker->start_error = NULL;
	} else if (!worker->expected && useless && broken == NULL) {
		failure = rmd_aworker_crash_error(worker, NULL, wait_status);
	}
	if (worker->expected || failure != NULL)
		rmd_log(RMD_LOG_DEBUG, SOURCE,
			"worker ended worker=%" PRIu64 " pool=%" PRIu64, worker->number,
			pool->number);
	else
		rmd_log(RMD_LOG_WARN, SOURCE,
			"worker lost worker=%" PRIu64 " pool=%" PRIu64 " wait_status=%d",
			worker->number, pool->number,
			wait_status != NULL ? *wait_status : -1);
	rmd_aworker_destroy(worker);
	if (broken != NULL)
		rmd_apool_break(pool, broken);
	if (failure != NULL && initializing)
		rmd_aworker_initializer_lost(pool, failure);
	else if (failure != NULL)
		rmd_apool_start_failed(pool, failure);
	rmd_apool_unbalance(pool);
}

/* ---- starting ---- */

void rmd_aworker_reported(struct rmd_aworker *worker,
			  const struct rmd_spawn_report *report)
{
	static const char *const stages[] = {
		[RMD_SPAWN_STAGE_NONE] = "start",
		[RMD_SPAWN_STAGE_FORK] = "make a process for",
		[RMD_SPAWN_STAGE_SETUP] = "set up the process of",
		[RMD_SPAWN_STAGE_CWD] = "enter the working folder of",
		[RMD_SPAWN_STAGE_EXEC] = "execute",
	};
	struct rmd_agent *agent = worker->agent;
	switch (report->kind) {
	case RMD_SPAWN_STARTED:
		worker->pid = report->pid;
		worker->pidfd = report->pidfd;
		rmd_apool_dirty(worker->pool);
		return;
	case RMD_SPAWN_FAILED:
		if (worker->start_error == NULL)
			worker->start_error = remuda_error_create(
				"SystemError", "cannot %s %s: %s", stages[report->stage],
				rmd_agent_program(agent, worker->pool->spec->runtime),
				strerror(report->error));
		rmd_aworker_ended(worker, NULL);
		return;
	case RMD_SPAWN_EXITED:
		worker->peak_bytes = report->peak_bytes;
		rmd_aworker_ended(worker, &report->wait_status);
		return;
	}
}

void rmd_aworker_flush_all(struct rmd_agent *agent)
{
	SLIST_HEAD(, rmd_aworker) later = SLIST_HEAD_INITIALIZER(later);
	struct rmd_aworker *worker;
	while ((worker = SLIST_FIRST(&agent->unflushed)) != NULL) {
		SLIST_REMOVE_HEAD(&agent->unflushed, unflushed_link);
		if (!worker->deaf && rmd_wp_flush(worker->wp) == RMD_EAGAIN) {
			SLIST_INSERT_HEAD(&later, worker, unflushed_link);
			rmd_atimer_start(&agent->timers, &worker->pool->again,
					 agent->now_ms + 1);
		} else {
			worker->unflushed = false;
		}
	}
	while ((worker = SLIST_FIRST(&later)) != NULL) {
		SLIST_REMOVE_HEAD(&later, unflushed_link);
		SLIST_INSERT_HEAD(&agent->unflushed, worker, unflushed_link);
	}
}
