/* proto/rpc/loop.h: the loop from inside this room: completion queues and tags.
 *
 * Each batch that is given to gRPC carries a tag; when the batch has ended, the loop
 * calls the tag's function, on the loop's thread, exactly once. */
#pragma once

#include <grpc/grpc.h>
#include <stddef.h>

#include "proto/base/check.h"
#include "proto/rpc/rpc.h"

/* The struct of `type` whose member `member` is at `ptr`. */
#define RMD_CONTAINER_OF(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Embedded in whatever waits for a batch. */
struct rmd_tag {
	/* `success` as in grpc_event. */
	void (*done)(struct rmd_tag *tag, bool success);
};

/* Says to the thread sanitizer what it cannot see, because gRPC is not instrumented:
 * what was done before release is visible after acquire of the same pointer. */
#if defined(__SANITIZE_THREAD__)
#define RMD_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RMD_TSAN 1
#endif
#endif
#ifdef RMD_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define RMD_TSAN_ACQUIRE(ptr) __tsan_acquire(ptr)
#define RMD_TSAN_RELEASE(ptr) __tsan_release(ptr)
#else
#define RMD_TSAN_ACQUIRE(ptr) ((void)(ptr))
#define RMD_TSAN_RELEASE(ptr) ((void)(ptr))
#endif

/* Which queue a call's events arrive on. */
enum rmd_queue { RMD_QUEUE_HOT, RMD_QUEUE_RARE };

/* The gRPC queue for `queue`, borrowed while the loop lives. */
grpc_completion_queue *rmd_loop_queue(struct rmd_loop *loop, enum rmd_queue queue);
/* (any thread) Starts a batch on `call`; `tag->done` follows. A refusal is our bug:
 * aborts. */
void rmd_loop_batch(grpc_call *call, const grpc_op *ops, size_t count,
		    struct rmd_tag *tag);
/* (any thread) Wakes who sleeps in a round, if one does: false, if none. */
bool rmd_loop_wake(struct rmd_loop *loop);
/* For seat.c. There are posts or jobs, or the loop shall stop. Who sits there, or under
 * the seat's lock when nobody does. */
bool rmd_loop_has_work(const struct rmd_loop *loop);
/* For seat.c: a guest runs rounds, between begin and end; `outer` is what begin gave. A
 * round lasts until something happens or it is `until_ms`; false: the loop stops. */
const struct rmd_loop *rmd_loop_guest_begin(struct rmd_loop *loop, uint64_t until_ms);
bool rmd_loop_guest_round(struct rmd_loop *loop);
void rmd_loop_guest_end(struct rmd_loop *loop, const struct rmd_loop *outer);
/* Counts calls on the rare queue: it is polled while there are any. */
void rmd_loop_rare_began(struct rmd_loop *loop);
void rmd_loop_rare_ended(struct rmd_loop *loop);
/* Counts servers and channels (and calls): the loop outlives them. */
void rmd_loop_user_began(struct rmd_loop *loop);
void rmd_loop_user_ended(struct rmd_loop *loop);
