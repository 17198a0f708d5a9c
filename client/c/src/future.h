/* client/c/src/future.h: a future from inside: one word of state, and an outcome.
 *
 * Written once, by whoever takes it out of its session's table (the client's thread), or
 * by the submit that failed. Then read by any thread that has seen DONE. Nobody locks. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/c/include/remuda/remuda.h"
#include "proto/base/buf.h"
#include "proto/codec/frames.h"

/* Payloads up to this size lie in the future itself. */
#define RMD_FUTURE_SMALL_BYTES 32u
/* Larger ones up to this size are copied, so that they don't hold a whole message in
 * memory. */
#define RMD_FUTURE_COPY_BYTES 4096u

enum rmd_future_state {              /* bits of `state`; only ever set */
	RMD_FUTURE_DONE = 1,         /* it has its outcome */
	RMD_FUTURE_WAITED = 2,       /* somebody sleeps on the word */
	RMD_FUTURE_HOOKED = 4,       /* done, queue and ctx are set */
};

struct rmd_decoded;

struct remuda_future {
	uint32_t magic;
	atomic_uint state;           /* a futex */
	atomic_uint refs;            /* its user's, the table's */
	atomic_bool cancelled;       /* a cancel was asked for */
	enum rmd_outcome_kind kind;
	int code;                    /* what get returns for this kind; 0: by the kind */
	struct remuda *client;       /* one reference */
	uint64_t number;             /* 0: never sent */
	bool detached;               /* its task goes on without the client */
	uint32_t pool;               /* it was submitted to; 0: the default one */
	struct rmd_slice bytes;      /* raw Value, ErrorChain, or a reason */
	struct rmd_buf *buf;         /* what they lie in; NULL: in `small` */
	uint8_t small[RMD_FUTURE_SMALL_BYTES];
	remuda_done_fn *done;
	void *done_ctx;
	struct rmd_done_queue *queue;
	struct remuda_future *next;  /* the queue's */
	remuda_log_fn *on_log;
	void *log_ctx;
	struct rmd_decoded *decoded; /* owned; by remuda_result */
};

/* Gives a future with one reference for its user, or NULL. */
struct remuda_future *rmd_future_create(struct remuda *client);
struct remuda_future *rmd_future_ref(struct remuda_future *future);
/* Drops a reference; NULL is allowed. */
void rmd_future_unref(struct remuda_future *future);

/* Gives the future its outcome, wakes who waits, calls or queues what is hooked. Once.
 * The bytes are copied or referred to. No lock may be held: callbacks are called. */
void rmd_future_complete(struct remuda_future *future, enum rmd_outcome_kind kind,
			 int code, struct rmd_piece bytes);
/* The same in two steps, for many at a time: who wakes up finds all of them settled,
 * instead of sleeping again on the next. Settle gives the outcome, and what announce must
 * be told. */
unsigned rmd_future_settle(struct remuda_future *future, enum rmd_outcome_kind kind,
			   int code, struct rmd_piece bytes);
void rmd_future_announce(struct remuda_future *future, unsigned before);
/* As rmd_future_complete with an error made here, which it takes. */
void rmd_future_fail(struct remuda_future *future, int code, struct remuda_error *err);

static inline bool rmd_future_done(const struct remuda_future *future)
{
	return atomic_load_explicit(&((struct remuda_future *)(uintptr_t)future)->state,
				    memory_order_acquire) & RMD_FUTURE_DONE;
}

/* ---- done queues: futures in the order in which they ended ---- */

struct rmd_done_queue {
	pthread_mutex_t lock;
	struct remuda_future *head, *tail;
	atomic_uint pushes;          /* a futex */
	atomic_uint sleepers;        /* threads that wait for it */
	int event_fd;                /* readable while not empty; -1: nobody asked */
	size_t expected;             /* hooked and not yet taken out */
	void (*gone)(struct rmd_done_queue
			     *queue); /* abandoned: called when none is expected */
};

int rmd_done_queue_init(struct rmd_done_queue *queue);
/* Frees all futures in it. */
void rmd_done_queue_fini(struct rmd_done_queue *queue);
/* Nobody will take futures out any more: those that are there and those that come are
 * freed, and with the last one `gone` is called, from here or on any thread. */
void rmd_done_queue_abandon(struct rmd_done_queue *queue,
			    void (*gone)(struct rmd_done_queue *queue));
/* (any thread) Appends one that has ended. */
void rmd_done_queue_push(struct rmd_done_queue *queue, struct remuda_future *future);
/* (any thread) Takes the oldest, or NULL. */
struct remuda_future *rmd_done_queue_pop(struct rmd_done_queue *queue);
/* (any thread) The same, waiting until `until_ns` of CLOCK_MONOTONIC (UINT64_MAX: for
 * ever). */
struct remuda_future *rmd_done_queue_pop_wait(struct rmd_done_queue *queue,
					      uint64_t until_ns);
/* (any thread) The descriptor, made at the first call; or RMD_ESYS. */
int rmd_done_queue_fd(struct rmd_done_queue *queue);
/* Has the future go to `queue` when it ends, at once if it has. RMD_EINVAL: it has a
 * hook. */
int rmd_future_hook(struct remuda_future *future, struct rmd_done_queue *queue,
		    remuda_done_fn *done, void *ctx);

/* Waits until the future has ended or `until_ns` (of CLOCK_MONOTONIC; UINT64_MAX: for
 * ever): 0, REMUDA_ETIMEOUT. */
int rmd_future_wait(struct remuda_future *future, uint64_t until_ns);
/* `timeout_ms` from now, as time of CLOCK_MONOTONIC in ns; below 0: UINT64_MAX. */
uint64_t rmd_until_ns(int64_t timeout_ms);
