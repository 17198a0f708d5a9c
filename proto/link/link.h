/* proto/link/link.h: the pipe of frames between the coordinator and one agent.
 *
 * Two kinds stand behind it: a gRPC stream (remote agent) and a direct link inside one
 * process (built-in agent of remudad). Neither end sees the difference. What goes to
 * the agent is remuda.v1.AttachResponse, what comes from it AttachRequest, both
 * without Chunk: large payloads go by send_transfer, and each kind of link carries
 * them in its own way.
 *
 * Sending: begin() gives a writer, the caller appends one or several whole top-level
 * fields, end() closes that item. Items gather and go out together (natural batching);
 * a message is never cut inside an item. Order between items and transfers is kept.
 * begin/end/send_transfer/close: one thread only, the one that owns this end. Events
 * arrive on that same thread. No event is called from inside begin, end or
 * send_transfer. */
#pragma once

#include <stdint.h>

#include "proto/base/buf.h"

struct rmd_wire_writer;
struct rmd_link;

/* What an end of a link is told. `ctx` is what rmd_link_listen was given. */
struct rmd_link_events {
	/* One message arrived; `frame` is borrowed for the call (ref it to keep
	 * slices). */
	void (*frame)(void *ctx, struct rmd_piece frame);
	/* One large payload arrived whole; takes the reference in `payload`. */
	void (*transfer)(void *ctx, uint64_t transfer, struct rmd_piece payload);
	/* The pipe is gone, for `why` (borrowed for the call). Last event; comes once,
	 * also after close(). The link may be destroyed in it or after it. */
	void (*lost)(void *ctx, const char *why);
};

/* The functions of one kind of link. */
struct rmd_link_ops {
	struct rmd_wire_writer *(*begin)(struct rmd_link *link);
	void (*end)(struct rmd_link *link);
	int (*send_transfer)(struct rmd_link *link, uint64_t transfer, struct rmd_piece payload);
	size_t (*pending_bytes)(const struct rmd_link *link);
	void (*close)(struct rmd_link *link);
	void (*destroy)(struct rmd_link *link);
};

/* Embedded first in each kind's own struct. */
struct rmd_link {
	const struct rmd_link_ops *ops;
	const struct rmd_link_events *events;
	void *ctx;
};

/* Says who hears the events of `link`. Before the first event can come. */
static inline void rmd_link_listen(struct rmd_link *link, const struct rmd_link_events *events,
				   void *ctx)
{
	link->events = events;
	link->ctx = ctx;
}

/* Gives the writer to append the next item to; borrowed until rmd_link_end. Never
 * NULL. */
static inline struct rmd_wire_writer *rmd_link_begin(struct rmd_link *link)
{
	return link->ops->begin(link);
}

/* Ends the item; it goes out soon, together with what else gathers. */
static inline void rmd_link_end(struct rmd_link *link)
{
	link->ops->end(link);
}

/* Sends a large payload under a number that a later item names. Takes the reference in
 * `payload`, also on failure. RMD_ENOMEM, RMD_ECLOSED. */
static inline int rmd_link_send_transfer(struct rmd_link *link, uint64_t transfer,
					 struct rmd_piece payload)
{
	return link->ops->send_transfer(link, transfer, payload);
}

/* Bytes that wait to be sent: for back-pressure. */
static inline size_t rmd_link_pending_bytes(const struct rmd_link *link)
{
	return link->ops->pending_bytes(link);
}

/* Sends what has gathered, then ends the pipe; the event `lost` follows. Safe to
 * repeat. */
static inline void rmd_link_close(struct rmd_link *link)
{
	link->ops->close(link);
}

/* Frees the link; only in or after the event `lost`. NULL is allowed. */
static inline void rmd_link_destroy(struct rmd_link *link)
{
	if (link != NULL)
		link->ops->destroy(link);
}
