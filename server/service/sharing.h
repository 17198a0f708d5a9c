/* server/service/sharing.h: the shared memory of one session, if its client has any.
 *
 * Belongs to the session and to its present stream: what was begun for one stream ends
 * with it. Large values are copied into the client's view by the jobs' thread, so an
 * outcome may leave a little later than those that came after it. Loop's thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proto/codec/frames.h"
#include "proto/rpc/rpc.h"

struct rmd_coordinator;
struct rmd_shared;

struct rmd_sharing_copy;
LIST_HEAD(rmd_sharing_copies, rmd_sharing_copy);

/* Embedded in a session; zeroed: no memory is shared. */
struct rmd_sharing {
	struct rmd_coordinator *coordinator;
	struct rmd_shared *shared;   /* owned; NULL: none */
	/* The value of task `number` lies in `ref`, which is now the client's. */
	void (*send)(struct rmd_sharing *sharing, uint64_t number,
		     const struct rmd_segment_ref *ref);
	struct rmd_timer trim;
};

/* Takes what the client posted under its session; true: memory is shared. `uid`: of the
 * stream's peer, -1: not known. `sharing` is zeroed or ended, but for `send`. */
bool rmd_sharing_begin(struct rmd_sharing *sharing, struct rmd_coordinator *coordinator,
		       const uint8_t session[RMD_SESSION_BYTES], int64_t uid);
/* No memory is shared any more, and `send` is not called again; what the client lent
 * stays readable while it is held. Safe to repeat. */
void rmd_sharing_end(struct rmd_sharing *sharing);
/* The bytes that a client refers to, one reference. RMD_EPROTO: there are none there.
 * RMD_ENOMEM. */
int rmd_sharing_borrow(struct rmd_sharing *sharing, const struct rmd_segment_ref *ref,
		       struct rmd_buf **ret_buf);
/* Puts the value of task `number` into shared memory: true: `send` has been or will be
 * called; false: it must go another way (it is small, there is no memory or no room). */
bool rmd_sharing_put(struct rmd_sharing *sharing, uint64_t number, struct rmd_piece value);
/* Frees the copies that the jobs' thread will not make any more: after it has ended. */
void rmd_sharing_forget_copies(struct rmd_coordinator *coordinator);
