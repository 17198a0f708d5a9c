/* proto/rpc/seat.h: who runs a loop: its own thread, or one that waits for something.
 *
 * A thread that sleeps until the loop's thread has heard what it waits for costs two
 * wakes where one would do. So it may take the loop's seat meanwhile, as a guest: the
 * loop's own thread parks, and comes back when nobody has sat there for a while or
 * somebody needs it. One sits at a time; the seat's lock orders what they do ("leader and
 * followers", Schmidt et al., Pattern-Oriented Software Architecture 2). */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct rmd_loop;

/* Belongs to whoever may visit; must outlive the loop. All fields are the seat's own. */
struct rmd_seat {
	pthread_mutex_t lock;	/* guards what follows, but for the atomics */
	pthread_cond_t changed; /* for the owner, and for rmd_seat_keep */
	struct rmd_loop *loop;	/* NULL: it does not run */
	uint64_t visits;
	bool guest;	    /* somebody else sits there */
	bool recalled;	    /* the owner shall come back */
	bool signalled;	    /* the guest tells the owner when it goes */
	atomic_bool parked; /* the owner stands by */
	atomic_bool wanted; /* there was one who would have liked to sit */
	atomic_bool kept;   /* no guests any more */
	atomic_uint needs;  /* those who wait for what the owner does */
};

int rmd_seat_init(struct rmd_seat *seat);
void rmd_seat_fini(struct rmd_seat *seat);

/* (any thread but the loop's) Runs the loop on this thread until `done(ctx)` is true or
 * it is `until_ms` (rmd_clock_mono_ms; UINT64_MAX: for ever), or the loop stops, or the
 * owner shall come back. True: it did, look whether it is done. False: the seat is taken,
 * sleep as ever. */
bool rmd_seat_visit(struct rmd_seat *seat, bool (*done)(const void *ctx), const void *ctx,
		    uint64_t until_ms);
/* (any thread) Somebody sleeps until the loop's thread has done something: it comes back,
 * and stays until rmd_seat_unneed. These two are counted. */
void rmd_seat_need(struct rmd_seat *seat);
void rmd_seat_unneed(struct rmd_seat *seat);
/* (any thread but a guest's) The loop runs on its own thread from now on: when this
 * returns, no guest is there. Safe to repeat. */
void rmd_seat_keep(struct rmd_seat *seat);

/* ---- for loop.c ---- */

/* The loop's thread begins and ends to run: in `end` it waits until the guest has gone.
 */
void rmd_seat_begin(struct rmd_seat *seat, struct rmd_loop *loop);
void rmd_seat_end(struct rmd_seat *seat);
/* The loop's thread, before it would sleep: stands by for guests, if any would like to
 * sit. */
void rmd_seat_offer(struct rmd_seat *seat);
/* (any thread) True if guests are not wanted now. */
bool rmd_seat_must_go(const struct rmd_seat *seat);
/* (any thread) There is something to do that nobody may be awake for. */
void rmd_seat_recall(struct rmd_seat *seat);
