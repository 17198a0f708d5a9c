#include "proto/rpc/seat.h"

#include <errno.h>
#include <time.h>

#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/rpc/loop.h"

/* For so long nobody must have sat there before the owner comes back by itself: longer
 * than between two of a row of waits, so that it sleeps through them; short enough that
 * what comes when nobody waits is heard soon. */
#define STAND_BY_MS 2u

int rmd_seat_init(struct rmd_seat *seat)
{
	pthread_condattr_t attr;
	*seat = (struct rmd_seat){.loop = NULL};
	if (pthread_mutex_init(&seat->lock, NULL) != 0)
		return RMD_ENOMEM;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&seat->changed, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

void rmd_seat_fini(struct rmd_seat *seat)
{
	pthread_cond_destroy(&seat->changed);
	pthread_mutex_destroy(&seat->lock);
}

/* ---- guests ---- */

bool rmd_seat_must_go(const struct rmd_seat *seat)
{
	return atomic_load(&seat->kept) || atomic_load(&seat->needs) != 0;
}

static bool sit_down(struct rmd_seat *seat)
{
	bool sits = false;
	pthread_mutex_lock(&seat->lock);
	if (seat->loop != NULL && !seat->guest && !rmd_seat_must_go(seat) &&
	    !rmd_loop_is_here(seat->loop)) {
		sits = atomic_load(&seat->parked) && !seat->recalled;
		seat->guest = sits;
		seat->visits += sits;
		if (!sits)
			atomic_store(&seat->wanted, true);
	}
	pthread_mutex_unlock(&seat->lock);
	return sits;
}

static void stand_up(struct rmd_seat *seat)
{
	pthread_mutex_lock(&seat->lock);
	seat->guest = false;
	if (rmd_seat_must_go(seat) || rmd_loop_has_work(seat->loop))
		seat->recalled = true;
	if (seat->recalled || seat->signalled)
		pthread_cond_broadcast(&seat->changed);
	pthread_mutex_unlock(&seat->lock);
}

bool rmd_seat_visit(struct rmd_seat *seat, bool (*done)(const void *ctx), const void *ctx,
		    uint64_t until_ms)
{
	int cancellable;
	if (rmd_seat_must_go(seat) || !sit_down(seat))
		return false;
	/* gRPC's locks must not stay behind. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellable);
	struct rmd_loop *loop = seat->loop;
	const struct rmd_loop *outer = rmd_loop_guest_begin(loop, until_ms);
	while (!done(ctx) && !rmd_seat_must_go(seat) &&
	       (until_ms == UINT64_MAX || rmd_clock_mono_ms() < until_ms) &&
	       rmd_loop_guest_round(loop))
		;
	rmd_loop_guest_end(loop, outer);
	stand_up(seat);
	pthread_setcancelstate(cancellable, NULL);
	return true;
}

/* ---- those who rely on the owner ---- */

void rmd_seat_recall(struct rmd_seat *seat)
{
	if (!atomic_load(&seat->parked))
		return;
	pthread_mutex_lock(&seat->lock);
	if (seat->guest) {
		/* It sees for itself that there is work, now or when it goes. */
	} else if (atomic_load(&seat->parked)) {
		seat->recalled = true;
		pthread_cond_broadcast(&seat->changed);
	}
	pthread_mutex_unlock(&seat->lock);
}

/* Makes a guest look whether it must go. `lock` is held. */
static void disturb(struct rmd_seat *seat)
{
	if (seat->guest)
		rmd_loop_wake(seat->loop);
	else if (atomic_load(&seat->parked)) {
		seat->recalled = true;
		pthread_cond_broadcast(&seat->changed);
	}
}

void rmd_seat_need(struct rmd_seat *seat)
{
	atomic_fetch_add(&seat->needs, 1);
	if (!atomic_load(&seat->parked))
		return;
	pthread_mutex_lock(&seat->lock);
	disturb(seat);
	pthread_mutex_unlock(&seat->lock);
}

void rmd_seat_unneed(struct rmd_seat *seat)
{
	atomic_fetch_sub(&seat->needs, 1);
}

void rmd_seat_keep(struct rmd_seat *seat)
{
	if (atomic_exchange(&seat->kept, true))
		return;
	pthread_mutex_lock(&seat->lock);
	disturb(seat);
	while (seat->guest)
		pthread_cond_wait(&seat->changed, &seat->lock);
	pthread_mutex_unlock(&seat->lock);
}

/* ---- the owner ---- */

void rmd_seat_begin(struct rmd_seat *seat, struct rmd_loop *loop)
{
	pthread_mutex_lock(&seat->lock);
	seat->loop = loop;
	pthread_mutex_unlock(&seat->lock);
}

void rmd_seat_end(struct rmd_seat *seat)
{
	pthread_mutex_lock(&seat->lock);
	seat->loop = NULL; /* rmd_seat_offer has seen the last guest go */
	pthread_mutex_unlock(&seat->lock);
}

/* Waits for a signal; false: STAND_BY_MS have passed without. */
static bool wait_a_while(struct rmd_seat *seat)
{
	uint64_t until_ms = rmd_clock_mono_ms() + STAND_BY_MS;
	struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
				 .tv_nsec = (long)(until_ms % 1000) * 1000000};
	return pthread_cond_timedwait(&seat->changed, &seat->lock, &until) != ETIMEDOUT;
}

/* Waits until the owner must come back. `lock` is held. */
static void stand_by(struct rmd_seat *seat)
{
	for (;;) {
		uint64_t visits = seat->visits;
		bool heard = wait_a_while(seat);
		if (!seat->guest &&
		    (seat->recalled || (!heard && seat->visits == visits)))
			return;
		if (!seat->guest || heard || seat->visits != visits)
			continue;
		/* It sits there for long: no looking now and then. */
		seat->signalled = true;
		while (seat->guest)
			pthread_cond_wait(&seat->changed, &seat->lock);
		seat->signalled = false;
		if (seat->recalled)
			return;
	}
}

void rmd_seat_offer(struct rmd_seat *seat)
{
	if (!atomic_load(&seat->wanted) || rmd_seat_must_go(seat))
		return;
	pthread_mutex_lock(&seat->lock);
	atomic_store(&seat->parked, true);
	atomic_store(&seat->wanted, false);
	seat->recalled = rmd_seat_must_go(seat) || rmd_loop_has_work(seat->loop);
	if (!seat->recalled)
		stand_by(seat);
	seat->recalled = false;
	atomic_store(&seat->parked, false);
	pthread_mutex_unlock(&seat->lock);
}
