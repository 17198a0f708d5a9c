/* proto/shared/shared.h: the memory that one client and its coordinator have in common.
 *
 * Two segments, one for each direction: each is written by one side and mapped read-only
 * by the other. The client makes both and posts them (mailbox.h) before its hello. A
 * payload is written once into a place of the writer's own segment; a SegmentRef in a
 * frame says where; the reader borrows it, and at the last use stores the place's mark
 * into the head of its own segment, by which the writer knows that the place is free. No
 * message, no wake, and any thread may do it.
 *
 * What is trusted: nothing that the other side wrote. A SegmentRef is checked against the
 * size of the mapping and all places that are borrowed; marks only ever free a place of
 * the own segment. The other side can change bytes while we hold them, so they are never
 * looked at twice, or not at all.
 *
 * All functions may be called by any thread; each is short and holds one lock. In a child
 * of fork they do nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/codec/frames.h"

/* Payloads from this size on go through shared memory where there is any. */
#define RMD_SHARED_PAYLOAD_MIN (64u * 1024u)
/* Of each segment, unless somebody wants less. */
#define RMD_SHARED_DEFAULT_BYTES (UINT64_C(1) << 30)

struct rmd_shared;

/* The descriptors that a client posts: of what it writes (read-only), and of what the
 * coordinator writes. */
#define RMD_SHARED_FDS 2u

/* The client: makes both segments, of up to `bytes_max` of payloads (less where the
 * address space is limited), and descriptors for the coordinator, which the caller
 * closes. RMD_EINVAL: bytes_max is too small to be of use. RMD_ESYS, RMD_ENOMEM. */
int rmd_shared_create(uint64_t bytes_max, struct rmd_shared **ret_shared,
		      int ret_fds[RMD_SHARED_FDS]);
/* The coordinator: checks and maps what a client posted (`fds` stay the caller's), and
 * will put at most `bytes_max` into it at a time. RMD_EPROTO, RMD_ESYS, RMD_ENOMEM. */
int rmd_shared_adopt(const int fds[RMD_SHARED_FDS], uint64_t bytes_max,
		     struct rmd_shared **ret_shared);
struct rmd_shared *rmd_shared_ref(struct rmd_shared *shared);
/* Unmaps with the last reference; what is borrowed has one of its own. NULL is allowed. */
void rmd_shared_unref(struct rmd_shared *shared);

/* Gives a place of our segment for `length` bytes, to be filled at *ret_bytes before the
 * SegmentRef is sent. RMD_EAGAIN: full. RMD_ENOMEM. The place is ours until the other
 * side marks it, or rmd_shared_take_back. */
int rmd_shared_lend(struct rmd_shared *shared, uint64_t length,
		    struct rmd_segment_ref *ret_ref, uint8_t **ret_bytes);
/* The place is only so long: before it is sent. */
void rmd_shared_shorten(struct rmd_shared *shared, struct rmd_segment_ref *ref,
			uint64_t length);
/* Frees a place that was not sent, or whose SegmentRef cannot arrive any more. */
void rmd_shared_take_back(struct rmd_shared *shared, const struct rmd_segment_ref *ref);

/* Borrows the bytes of a SegmentRef that came: a buf whose last reference gives them
 * back. RMD_EPROTO: it is out of bounds, or meets a place that is borrowed. RMD_ENOMEM. */
int rmd_shared_borrow(struct rmd_shared *shared, const struct rmd_segment_ref *ref,
		      struct rmd_buf **ret_buf);

/* Gives memory that has not been used for a while back to the system, a bounded step of
 * it. Returns when to call again, in milliseconds from now; 0: there is nothing more to
 * give back until the next rmd_shared_lend. Only on one thread at a time. */
uint64_t rmd_shared_trim(struct rmd_shared *shared, uint64_t now_ms);
/* True if rmd_shared_trim should be called some time. Cheap. */
bool rmd_shared_warm(const struct rmd_shared *shared);
