/* worker/protocol/protocol.h: the worker protocol: one worker and its agent, on one host.
 *
 * Three things join them: a SEQPACKET socketpair (packets of at most 128 KiB; several
 * tasks in one), a control page of shared memory (a word per task in the worker's hands,
 * a cancel word, flags), and two segments for bytes: input (the agent writes, sealed
 * against the worker) and output (the worker writes). Outcomes lie in a ring in the
 * output segment, so they have left the worker's memory before it claims the next task;
 * the socket is only the doorbell. What a worker writes is copied, then checked, then
 * used.
 *
 * This header is the agent's end; worker_end.h is the worker's. The agent's end belongs
 * to the agent's thread (but for the payloads that it hands out: their references may be
 * dropped by any thread, also after rmd_wp_close); it never blocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"

/* Most tasks in a worker's hands at a time (running + prefetched). */
#define RMD_WP_TASKS_MAX 256u
#define RMD_WP_PACKET_MAX (128u * 1024u)

/* Environment variable that makes the preload library turn a captured program into a
 * worker: "NUMBER:TEXT": the descriptor of its image, and what LD_PRELOAD was before. */
#define RMD_CAPTURE_VARIABLE "REMUDA_CAPTURE"

/* … and one for our own worker: "PATH NAME" of a captured shared object. */
#define RMD_CAPTURE_OBJECT_VARIABLE "REMUDA_CAPTURE_OBJECT"

struct rmd_wp; /* the agent's end */

/* A task for a worker. All borrowed for the call. */
struct rmd_wp_task {
	uint64_t lease;
	struct rmd_slice function;  /* "demo.square": without the runtime */
	struct rmd_piece arguments; /* remuda.v1.Arguments */
	uint32_t attempt;
	uint64_t deadline_mono_ns; /* CLOCK_MONOTONIC; 0: none */
	uint32_t depth;
};

enum rmd_wp_outcome_kind { RMD_WP_VALUE, RMD_WP_ERROR };

/* How a task ended; the payload is checked for size, not for content. */
struct rmd_wp_outcome {
	uint64_t lease;
	enum rmd_wp_outcome_kind kind;
	struct rmd_piece payload; /* remuda.v1.Value or ErrorChain; ref it to keep it */
	uint64_t run_ns;
};

/* What a task is told of a child that it asked for. */
enum rmd_wp_answer {
	RMD_WP_ANSWER_VALUE,	 /* a remuda.v1.Value */
	RMD_WP_ANSWER_ERROR,	 /* an ErrorChain */
	RMD_WP_ANSWER_CANCELLED, /* why, a text */
	RMD_WP_ANSWER_NONE,	 /* it has not ended; the task goes on without it */
	RMD_WP_ANSWER_UNKNOWN,	 /* no such child, or its end was told before */
	RMD_WP_ANSWER_STOP,	 /* the task itself is cancelled */
	RMD_WP_ANSWERS,
};

enum rmd_wp_log { RMD_WP_STDOUT, RMD_WP_STDERR, RMD_WP_LOG };

/* What the agent hears from rmd_wp_read. `ctx` as given. */
struct rmd_wp_events {
	/* The worker is ready for tasks (its modules are loaded). */
	void (*ready)(void *ctx);
	/* The worker could not get ready: an ErrorChain, borrowed. It will exit. */
	void (*start_failed)(void *ctx, struct rmd_slice error_chain);
	/* Output of the task `lease` (0: between tasks), borrowed; always before its
	 * outcome. */
	void (*log)(void *ctx, uint64_t lease, enum rmd_wp_log stream,
		    struct rmd_slice bytes, uint64_t dropped_bytes);
	void (*outcome)(void *ctx, const struct rmd_wp_outcome *outcome);
	/* The four below: the running task of `lease` … NULL: tasks may not do that here,
	 * and the worker that does it breaks the protocol.
	 * … submits a task: a raw remuda.v1.NestedSubmit without lease, unread; ref it to
	 * keep it. */
	void (*submit)(void *ctx, uint64_t lease, struct rmd_piece submit);
	/* … asks how child `number` ended: to be answered once, by rmd_wp_answer, perhaps
	 * later; `now`: at once, with NONE where it has not. */
	void (*ask)(void *ctx, uint64_t lease, uint64_t number, bool now);
	/* … has waited long enough for what it asked: to be answered soon, with NONE. */
	void (*give_up)(void *ctx, uint64_t lease, uint64_t number);
	/* … wants child `number` to end. */
	void (*cancel)(void *ctx, uint64_t lease, uint64_t number);
};

/* What a worker process is given: descriptors that it must inherit under the numbers that
 * rmd_wp_child_fds names; the agent closes its copies with rmd_wp_release_child. */
#define RMD_WP_CHILD_FDS 6u /* socket, control page, input, output, stdout, stderr */
/* The descriptor that the worker protocol starts from, as the worker sees it. */
#define RMD_WP_WORKER_FD 3

/* Gives an end with all its descriptors made, or NULL (errno says why). `tasks_max` up to
 * RMD_WP_TASKS_MAX. */
struct rmd_wp *rmd_wp_open(uint32_t tasks_max, const struct rmd_wp_events *events,
			   void *ctx);
/* Closes and frees; NULL is allowed. */
void rmd_wp_close(struct rmd_wp *end);
/* Descriptors for the child: ret_fds[i] becomes child descriptor ret_numbers[i] (stdout
 * and stderr: 1, 2; the others from RMD_WP_WORKER_FD on). Borrowed. */
void rmd_wp_child_fds(const struct rmd_wp *end, int ret_fds[RMD_WP_CHILD_FDS],
		      int ret_numbers[RMD_WP_CHILD_FDS]);
void rmd_wp_release_child(struct rmd_wp *end);
/* Descriptors to poll for input (socket, stdout pipe, stderr pipe). Borrowed. Poll them
 * level-triggered: one read does not always take all there is. */
void rmd_wp_poll_fds(const struct rmd_wp *end, int ret_fds[3]);
/* What the worker puts into its errors: its host (at most 256 bytes; NULL: the worker
 * asks the system) and its number. To be called before rmd_wp_send_setup, which sends
 * them. */
void rmd_wp_set_names(struct rmd_wp *end, const char *host, uint64_t worker);
/* Tells the worker how to get ready, first of all: runtime modules to load (paths or
 * /dev/fd/N; at most 64 of 895 bytes each, else RMD_EINVAL). 0, RMD_EAGAIN, RMD_ECLOSED.
 */
int rmd_wp_send_setup(struct rmd_wp *end, const char *const *modules, size_t count);
/* Hands over one task: it lies in the worker's hands until its outcome, or until taken
 * back. Packets gather until rmd_wp_flush. RMD_EAGAIN: no room now (tasks_max, segment
 * full). RMD_ETOOBIG: never fits. RMD_ECLOSED: the worker is gone. */
int rmd_wp_give(struct rmd_wp *end, const struct rmd_wp_task *task);
/* Sends what has gathered. RMD_EAGAIN: the rest goes at a later flush. */
int rmd_wp_flush(struct rmd_wp *end);
/* Takes a task back if its user code has not begun: true: it never will. */
bool rmd_wp_take_back(struct rmd_wp *end, uint64_t lease);
/* True if the worker has claimed `lease` (user code may have begun) and it has no outcome
 * yet. */
bool rmd_wp_begun(const struct rmd_wp *end, uint64_t lease);
/* The lease that the worker runs now, 0: none. */
uint64_t rmd_wp_running(const struct rmd_wp *end);
/* Sets the cancel word for a running task: its context says "cancelled". */
void rmd_wp_cancel(struct rmd_wp *end, uint64_t lease);
/* Answers what the running task of `lease` asked of child `number`. `payload` is copied
 * (VALUE, ERROR, CANCELLED; else empty). RMD_EAGAIN: no room for it now; RMD_ETOOBIG: it
 * never fits; both: answer otherwise. RMD_ENOTFOUND: nothing was asked. */
int rmd_wp_answer(struct rmd_wp *end, uint64_t lease, uint64_t number,
		  enum rmd_wp_answer kind, struct rmd_slice payload);
/* Asks the worker to exit when it has no task left. */
void rmd_wp_send_stop(struct rmd_wp *end);
/* Handles all input that is there: events are called from here (they must not close the
 * end). 0; 1: the worker is so busy that more is there already: call again when others
 * have had their turn, poll may not tell; RMD_ECLOSED: the worker has closed its end (all
 * it left has been delivered); RMD_EPROTO: it broke the protocol: kill it. */
int rmd_wp_read(struct rmd_wp *end);
/* The last bytes (up to 4 KiB) that the worker wrote to stderr. Borrowed until the next
 * read. */
struct rmd_slice rmd_wp_stderr_tail(const struct rmd_wp *end);
/* How far the task says it is (remuda_progress): true, and its numbers; false: it has not
 * said. */
bool rmd_wp_progress(const struct rmd_wp *end, uint64_t lease, uint64_t *ret_done,
		     uint64_t *ret_total);
/* Gives memory of the input segment back to the system, if it holds no arguments. To be
 * called when the worker has had nothing to do for a second or so; cheap when there is
 * nothing to give back. */
void rmd_wp_trim(struct rmd_wp *end);
