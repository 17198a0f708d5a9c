/* The loop: one thread, two completion queues.
 *
 * A round: what was posted, timers, deferred jobs, writes, then events. gRPC can be
 * waited for on one queue only, so the thread sleeps on the hot queue; the rare one, on
 * which calls live that hardly ever speak, is looked at now and then (each outstanding
 * batch of a queue makes all other batches of that queue slower, in Debian's build of
 * gRPC).
 *
 * Waking: gRPC has no call for that, but a batch without operations comes back at once.
 * The call that it is started on belongs to a channel that leads nowhere. */
#include "proto/rpc/loop.h"

#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/rpc/mutex_mode.h"
#include "proto/rpc/seat.h"
#include "proto/rpc/timer.h"

#define LOOP_MAGIC 0x100b0001u
/* Events of one round: deferred jobs wait for at most so many. */
#define ROUND_EVENTS_MAX 64u
/* Looking for more events when there are none costs a system call, so it is not tried
 * again for a number of rounds that doubles with each failure, up to this. */
#define LOOK_PAUSE_MAX 32u
/* The rare queue is looked at this often, in events of the hot one and in time. */
#define RARE_EVERY_EVENTS 256u
#define RARE_EVERY_MS 20u

struct job_list {
	struct rmd_deferred *first, **last;
};

struct rmd_loop {
	uint32_t magic;
	grpc_completion_queue *hot, *rare;
	grpc_channel *nowhere;
	grpc_call *waker;
	struct rmd_tag woken;
	_Atomic(struct rmd_post *) posts; /* the newest first */
	atomic_bool asleep;		  /* a post must wake the loop */
	atomic_bool stopping;
	struct job_list deferred, flushes;
	struct rmd_timers timers;
	unsigned look_pause, look_in; /* rounds: the present pause, what is left of it */
	size_t rare_calls, rare_skipped;
	uint64_t rare_at_ms;
	size_t users;
	bool ending;		 /* in rmd_loop_destroy */
	struct rmd_seat *seat;	 /* NULL: no guests */
	bool guest;		 /* one runs the rounds, */
	uint64_t guest_until_ms; /* until then */
};

static _Thread_local const struct rmd_loop *running_here;

/* What gRPC meets is told by statuses; only what it dies of is worth a line. */
static void be_silent(gpr_log_func_args *args)
{
	if (strncmp(args->message, "assertion failed", 16) == 0)
		fprintf(stderr, "gRPC: %s:%d: %s\n", args->file, args->line,
			args->message);
}

static void woken(struct rmd_tag *tag, bool success)
{
	(void)tag;
	(void)success;
}

static void job_list_init(struct job_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

struct rmd_loop *rmd_loop_create(void)
{
	struct rmd_loop *loop = rmd_calloc(1, sizeof *loop);
	if (loop == NULL)
		return NULL;
	if (getenv("GRPC_VERBOSITY") == NULL)
		gpr_set_log_function(be_silent);
	rmd_mutex_mode_production();
	grpc_init();
	loop->magic = LOOP_MAGIC;
	loop->hot = grpc_completion_queue_create_for_next(NULL);
	loop->rare = grpc_completion_queue_create_for_next(NULL);
	loop->nowhere =
		grpc_lame_client_channel_create("nowhere", GRPC_STATUS_UNAVAILABLE, "");
	loop->waker = grpc_channel_create_call(
		loop->nowhere, NULL, GRPC_PROPAGATE_DEFAULTS, loop->hot,
		grpc_slice_from_static_string("/wake"), NULL,
		gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
	RMD_CHECK(loop->waker != NULL);
	loop->woken.done = woken;
	job_list_init(&loop->deferred);
	job_list_init(&loop->flushes);
	return loop;
}

grpc_completion_queue *rmd_loop_queue(struct rmd_loop *loop, enum rmd_queue queue)
{
	return queue == RMD_QUEUE_RARE ? loop->rare : loop->hot;
}

void rmd_loop_batch(grpc_call *call, const grpc_op *ops, size_t count,
		    struct rmd_tag *tag)
{
	RMD_TSAN_RELEASE(tag);
	grpc_call_error refusal = grpc_call_start_batch(call, ops, count, tag, NULL);
	RMD_CHECK(refusal == GRPC_CALL_OK);
}

bool rmd_loop_is_here(const struct rmd_loop *loop)
{
	return running_here == loop;
}

void rmd_loop_rare_began(struct rmd_loop *loop)
{
	loop->rare_calls++;
	loop->rare_at_ms = 0;
}

void rmd_loop_rare_ended(struct rmd_loop *loop)
{
	RMD_CHECK(loop->rare_calls > 0);
	loop->rare_calls--;
}

void rmd_loop_user_began(struct rmd_loop *loop)
{
	loop->users++;
}

void rmd_loop_user_ended(struct rmd_loop *loop)
{
	RMD_CHECK(loop->users > 0);
	loop->users--;
}

/* ---- posts and jobs ---- */

bool rmd_loop_wake(struct rmd_loop *loop)
{
	if (!atomic_exchange(&loop->asleep, false))
		return false;
	rmd_loop_batch(loop->waker, NULL, 0, &loop->woken);
	return true;
}

static void wake(struct rmd_loop *loop)
{
	if (!rmd_loop_wake(loop) && loop->seat != NULL)
		rmd_seat_recall(loop->seat);
}

void rmd_loop_post(struct rmd_loop *loop, struct rmd_post *post)
{
	struct rmd_post *newest =
		atomic_load_explicit(&loop->posts, memory_order_relaxed);
	do
		post->next = newest;
	while (!atomic_compare_exchange_weak(&loop->posts, &newest, post));
	wake(loop);
}

void rmd_loop_stop(struct rmd_loop *loop)
{
	atomic_store(&loop->stopping, true);
	wake(loop);
}

static void run_posts(struct rmd_loop *loop)
{
	if (atomic_load_explicit(&loop->posts, memory_order_relaxed) == NULL)
		return;
	struct rmd_post *newest = atomic_exchange(&loop->posts, NULL), *oldest = NULL;
	while (newest != NULL) {
		struct rmd_post *next = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest != NULL) {
		struct rmd_post *post = oldest;
		oldest = post->next;
		post->run(post);
	}
}

static void job_add(struct job_list *list, struct rmd_deferred *job)
{
	if (job->queued)
		return;
	job->queued = true;
	job->next = NULL;
	*list->last = job;
	list->last = &job->next;
}

void rmd_loop_defer(struct rmd_loop *loop, struct rmd_deferred *deferred)
{
	job_add(&loop->deferred, deferred);
}

void rmd_loop_defer_flush(struct rmd_loop *loop, struct rmd_deferred *deferred)
{
	job_add(&loop->flushes, deferred);
}

/* Runs what is in the list now; what these jobs add waits for the next round. */
static void run_jobs(struct job_list *list)
{
	struct rmd_deferred *job = list->first;
	job_list_init(list);
	while (job != NULL) {
		struct rmd_deferred *next = job->next;
		job->queued = false;
		job->run(job);
		job = next;
	}
}

/* ---- timers ---- */

int rmd_timer_start(struct rmd_loop *loop, struct rmd_timer *timer, uint64_t at_ms)
{
	return rmd_timers_put(&loop->timers, timer, at_ms);
}

void rmd_timer_stop(struct rmd_loop *loop, struct rmd_timer *timer)
{
	rmd_timers_remove(&loop->timers, timer);
}

static void run_timers(struct rmd_loop *loop)
{
	struct rmd_timer *timer = rmd_timers_first(&loop->timers);
	if (timer == NULL)
		return;
	uint64_t now_ms = rmd_clock_mono_ms();
	/* At most as many as there are now: one that starts itself anew for at once must
	 * not keep the loop from its events. */
	for (size_t left = loop->timers.count;
	     left > 0 && timer != NULL && timer->at_ms <= now_ms; left--) {
		rmd_timers_remove(&loop->timers, timer);
		timer->fire(timer);
		timer = rmd_timers_first(&loop->timers);
	}
}

/* ---- events ---- */

static bool handle(grpc_event event)
{
	if (event.type != GRPC_OP_COMPLETE)
		return false;
	struct rmd_tag *tag = event.tag;
	RMD_TSAN_ACQUIRE(tag);
	tag->done(tag, event.success != 0);
	return true;
}

/* The queues' clock is the one that our milliseconds count. */
static gpr_timespec time_of_ms(uint64_t at_ms)
{
	return (gpr_timespec){.tv_sec = (int64_t)(at_ms / 1000),
			      .tv_nsec = (int32_t)(at_ms % 1000) * 1000000,
			      .clock_type = GPR_CLOCK_MONOTONIC};
}

bool rmd_loop_has_work(const struct rmd_loop *loop)
{
	return atomic_load(&((struct rmd_loop *)(uintptr_t)loop)->posts) != NULL ||
	       atomic_load(&((struct rmd_loop *)(uintptr_t)loop)->stopping) ||
	       loop->deferred.first != NULL || loop->flushes.first != NULL;
}

static gpr_timespec sleep_until(const struct rmd_loop *loop)
{
	if (rmd_loop_has_work(loop) || (loop->ending && loop->users == 0) ||
	    (loop->guest && rmd_seat_must_go(loop->seat)))
		return gpr_inf_past(GPR_CLOCK_MONOTONIC);
	uint64_t at_ms = loop->guest ? loop->guest_until_ms : UINT64_MAX;
	const struct rmd_timer *timer = rmd_timers_first(&loop->timers);
	if (timer != NULL && timer->at_ms < at_ms)
		at_ms = timer->at_ms;
	if (loop->rare_calls > 0 && loop->rare_at_ms < at_ms)
		at_ms = loop->rare_at_ms;
	/* Beyond 10^15 ms (31,000 years) milliseconds stop being a sensible timespec. */
	return at_ms > UINT64_C(1000000000000000) ? gpr_inf_future(GPR_CLOCK_MONOTONIC)
						  : time_of_ms(at_ms);
}

static void poll_rare(struct rmd_loop *loop, size_t events)
{
	loop->rare_skipped += events;
	if (loop->rare_calls == 0)
		return;
	uint64_t now_ms = rmd_clock_mono_ms();
	if (loop->rare_skipped < RARE_EVERY_EVENTS && now_ms < loop->rare_at_ms)
		return;
	loop->rare_skipped = 0;
	loop->rare_at_ms = now_ms + RARE_EVERY_MS;
	for (unsigned n = 0; n < ROUND_EVENTS_MAX; n++)
		if (!handle(grpc_completion_queue_next(
			    loop->rare, gpr_inf_past(GPR_CLOCK_MONOTONIC), NULL)))
			break;
}

/* Handles what has come meanwhile, so that what it leads to is sent together. */
static size_t look_for_more(struct rmd_loop *loop)
{
	size_t events = 0;
	if (loop->look_in > 0) {
		loop->look_in--;
		return 0;
	}
	while (events < ROUND_EVENTS_MAX && !atomic_load(&loop->stopping) &&
	       handle(grpc_completion_queue_next(
		       loop->hot, gpr_inf_past(GPR_CLOCK_MONOTONIC), NULL)))
		events++;
	if (events > 0)
		loop->look_pause = 0;
	else if (loop->look_pause < LOOK_PAUSE_MAX)
		loop->look_pause = loop->look_pause == 0 ? 1 : loop->look_pause * 2;
	loop->look_in = loop->look_pause;
	return events;
}

static void run_work(struct rmd_loop *loop)
{
	run_posts(loop);
	run_timers(loop);
	run_jobs(&loop->deferred);
	run_jobs(&loop->flushes);
}

static void run_events(struct rmd_loop *loop)
{
	atomic_store(&loop->asleep, true);
	grpc_event event = grpc_completion_queue_next(loop->hot, sleep_until(loop), NULL);
	atomic_store(&loop->asleep, false);
	size_t events = 0;
	if (handle(event))
		events = 1 + look_for_more(loop);
	poll_rare(loop, events);
}

void rmd_loop_run(struct rmd_loop *loop)
{
	RMD_CHECK_OBJ(loop, LOOP_MAGIC);
	const struct rmd_loop *outer = running_here;
	running_here = loop;
	if (loop->seat != NULL)
		rmd_seat_begin(loop->seat, loop);
	while (!atomic_load(&loop->stopping)) {
		run_work(loop);
		if (loop->seat != NULL)
			rmd_seat_offer(loop->seat);
		run_events(loop);
	}
	if (loop->seat != NULL)
		rmd_seat_end(loop->seat);
	atomic_store(&loop->stopping, false);
	running_here = outer;
}

/* ---- guests ---- */

void rmd_loop_set_seat(struct rmd_loop *loop, struct rmd_seat *seat)
{
	loop->seat = seat;
}

const struct rmd_loop *rmd_loop_guest_begin(struct rmd_loop *loop, uint64_t until_ms)
{
	const struct rmd_loop *outer = running_here;
	loop->guest = true;
	loop->guest_until_ms = until_ms;
	running_here = loop;
	return outer;
}

bool rmd_loop_guest_round(struct rmd_loop *loop)
{
	if (!atomic_load(&loop->stopping)) {
		run_work(loop);
		run_events(loop);
	}
	return !atomic_load(&loop->stopping);
}

void rmd_loop_guest_end(struct rmd_loop *loop, const struct rmd_loop *outer)
{
	run_jobs(&loop->deferred);
	run_jobs(&loop->flushes);
	loop->guest = false;
	running_here = outer;
}

static void drain(grpc_completion_queue *queue)
{
	grpc_completion_queue_shutdown(queue);
	for (;;) {
		grpc_event event = grpc_completion_queue_next(
			queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
		if (event.type == GRPC_QUEUE_SHUTDOWN)
			break;
		handle(event);
	}
	grpc_completion_queue_destroy(queue);
}

void rmd_loop_destroy(struct rmd_loop *loop)
{
	if (loop == NULL)
		return;
	RMD_CHECK_OBJ(loop, LOOP_MAGIC);
	/* Servers that were destroyed without a start are still about to go. */
	atomic_store(&loop->stopping, false);
	loop->ending = true;
	while (loop->users > 0) {
		run_work(loop);
		run_events(loop);
	}
	grpc_call_unref(loop->waker);
	grpc_channel_destroy(loop->nowhere);
	drain(loop->hot);
	drain(loop->rare);
	rmd_timers_fini(&loop->timers);
	loop->magic = 0;
	rmd_free(loop);
	grpc_shutdown_blocking();
}
