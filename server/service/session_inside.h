/* server/service/session_inside.h: a session from inside: for session*.c alone. Loop's
 * thread. */
#pragma once

#include "proto/base/map.h"
#include "proto/codec/frames_session.h"
#include "proto/codec/transfer.h"
#include "server/service/coordinator.h"
#include "server/service/sharing.h"

#define RMD_SESSION_MAGIC 0x5e551001u

struct rmd_session {
	struct rmd_submitter submitter; /* first */
	uint32_t magic;
	struct rmd_coordinator *coordinator;
	struct rmd_core_client *client; /* NULL until its hello */
	struct rmd_stream *stream;	/* NULL: the client is away */
	uint8_t id[RMD_SESSION_BYTES];
	uint64_t inline_max_bytes;
	uint64_t accepted_told, window_told;
	uint64_t refused;		/* highest number that was refused */
	uint64_t last_transfer;		/* of ours */
	struct rmd_transfers transfers; /* of the client's */
	struct rmd_map pools;		/* the session's number -> rmd_core_pool */
	bool starved;			/* was told of no room for another submit */
	struct rmd_sharing sharing;	/* of this stream */
	/* Answers that the core does not count (refused tasks, pools) and that the stream
	 * may not have sent: beyond a limit no more is read until it has. */
	size_t answer_bytes;
	bool goodbye;
	bool named; /* in sessions_by_id */
	LIST_ENTRY(rmd_session) link;
};

/* Sends the outcome of a task; the client is there. Its bytes lie in `buf` (NULL: they
 * are copied). */
void rmd_session_put_outcome(struct rmd_session *session, uint64_t number,
			     const struct rmd_outcome *outcome, struct rmd_buf *buf);
/* An answer of about `bytes` was sent that the core knows nothing of: a client that asks
 * and does not read must not make them pile up. */
void rmd_session_answered(struct rmd_session *session, size_t bytes);
/* Closes a pool for the session; one that it has not opened is ignored. */
void rmd_session_close_pool(struct rmd_session *session,
			    const struct rmd_session_close_pool *asked);
/* Opens a pool, and answers. */
void rmd_session_open_pool(struct rmd_session *session,
			   const struct rmd_session_open_pool *asked);
/* Takes a submit from `frame`. What is wrong with the task goes into its outcome; codes
 * are those of a client that refers to memory that is not there: RMD_EPROTO, RMD_ENOMEM. */
int rmd_session_submit(struct rmd_session *session,
		       const struct rmd_session_submit *submit, struct rmd_buf *frame);
