/* server/service/executor.h: one call a task: Run, Submit, Await, Cancel, Map.
 *
 * Their tasks belong to one core client of the coordinator's own, whose session id it
 * made. A ticket stands for each task: who waits for it, and how long its outcome is
 * kept. Loop's thread. executor.c has the tickets, Run and Submit; await.c Await and
 * Cancel; map.c Map; large.c what exceeds a message. */
#pragma once

#include "proto/codec/frames_unary.h"
#include "proto/codec/wire.h"
#include "server/service/coordinator.h"

/* How long the outcome of Submit, or of a Run with a request_id, is kept, or a value
 * that was too large for its response. */
#define RMD_UNARY_RETENTION_MS (UINT64_C(10) * 60 * 1000)
#define RMD_UNARY_RETAINED_MAX 100000u
/* Half of what the core lets a client hold before it runs nothing more of it: outcomes
 * that nobody fetches must not stop the other calls. A single value beyond it is an
 * error. */
#define RMD_UNARY_RETAINED_MAX_BYTES (UINT64_C(128) << 20)

struct rmd_ticket;

/* Somebody waits for a ticket; embedded in the call that waits. */
struct rmd_waiter {
	/* The task has ended. In the port: no core event. The waiter is on no list any
	 * more. */
	void (*ended)(struct rmd_waiter *waiter, struct rmd_ticket *ticket,
		      const struct rmd_outcome *outcome, struct rmd_buf *buf);
	struct rmd_ticket *ticket;   /* NULL: waits for none */
	LIST_ENTRY(rmd_waiter) link;
};

/* Of a task of the executor's; or of a session's detached task, which others may wait for:
 * then only its waiters count. */
struct rmd_ticket {
	struct rmd_core_task *task;
	uint64_t number;
	bool retained;               /* its outcome is kept when it ends */
	bool held;                   /* kept by one who waited, until it forgets the ticket */
	char *request_id;            /* NULL: none */
	size_t request_id_len;       /* it may contain NULs */
	uint64_t request_key;
	uint64_t expires_ms;         /* once it has ended */
	uint64_t outcome_bytes;      /* the same */
	struct rmd_wire_writer logs; /* RunResponse.logs, the newest */
	LIST_HEAD(, rmd_waiter) waiters;
	TAILQ_ENTRY(rmd_ticket) link; /* in executor->ended, while retained */
};

struct rmd_executor {
	struct rmd_submitter submitter; /* first */
	struct rmd_coordinator *coordinator;
	struct rmd_core_client *client;
	uint8_t id[RMD_SESSION_BYTES];
	uint64_t last_number;
	TAILQ_HEAD(, rmd_ticket) ended; /* oldest first */
	uint32_t ended_count;
	uint64_t ended_bytes;
	struct rmd_map requests;     /* hash of a request_id -> ticket */
	struct rmd_timer timer;      /* retention */
};

/* Submits a task. 0 and *ret_ticket (which goes when its task does), or a code with
 * *ret_error, an ErrorChain, perhaps NULL. */
int rmd_ticket_submit(struct rmd_executor *executor, struct rmd_slice function,
		      struct rmd_slice pool, const struct rmd_task_options *options,
		      struct rmd_buf *arguments, bool retained, struct rmd_ticket **ret_ticket,
		      struct rmd_buf **ret_error);
/* A ticket for a session's detached task; NULL: no memory. */
struct rmd_ticket *rmd_ticket_detached(void);
/* The task of such a one is gone; NULL is allowed. */
void rmd_ticket_drop(struct rmd_ticket *ticket);
/* Its task has ended: tells those who wait. In the port. */
void rmd_ticket_tell(struct rmd_ticket *ticket, const struct rmd_outcome *outcome,
		     struct rmd_buf *buf);
void rmd_ticket_wait(struct rmd_ticket *ticket, struct rmd_waiter *waiter);
/* One that waits for none is allowed. */
void rmd_waiter_leave(struct rmd_waiter *waiter);
/* Forgets the kept outcome of a ticket whose task has ended; frees the ticket. Not in
 * the port. */
void rmd_ticket_forget(struct rmd_executor *executor, struct rmd_ticket *ticket);
/* Keeps the outcome of a ticket that was held for its retention. Not in the port. */
void rmd_ticket_keep(struct rmd_executor *executor, struct rmd_ticket *ticket);
/* The ticket of a task of the executor's. */
struct rmd_ticket *rmd_ticket_of(const struct rmd_core_task *task);
/* The id of the executor's task `number`. */
struct rmd_task_id rmd_executor_task_id(const struct rmd_executor *executor, uint64_t number);
/* What a response carries of the outcome of task `id`: `outcome`, or where its value has
 * more than `inline_max_bytes` (0: 1 MiB) a reference to it; *ret_buf is then a buf to be
 * dropped, else NULL. A reference makes `ticket` one that is retained; NULL, or one
 * without a number: the task is none of the executor's. */
struct rmd_outcome rmd_outcome_fit(const struct rmd_task_id *id, struct rmd_ticket *ticket,
				   uint64_t inline_max_bytes, const struct rmd_outcome *outcome,
				   struct rmd_buf **ret_buf);
/* Gives the arguments that a request has put into a blob, a reference of the caller's own.
 * False: there are none, and the call has been ended with the reason. */
bool rmd_call_lend_blob(struct rmd_executor *executor, struct rmd_stream *stream,
			const struct rmd_run_request *request, struct rmd_buf **ret_arguments);

/* The methods. */
void rmd_await_open(struct rmd_stream *stream, void *executor);
void rmd_cancel_open(struct rmd_stream *stream, void *executor);
void rmd_map_open(struct rmd_stream *stream, void *executor);

/* Ends a call because its request is bad. */
void rmd_call_bad_request(struct rmd_stream *stream, int rc, const char *field);
