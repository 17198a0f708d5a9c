/* server/core/task.h: a task, with the lease that it has while an agent holds it.
 *
 * One allocation: the struct, the function's name, and what was small enough to be
 * copied. Its state is the list it is in; rmd_core_task_move alone writes it. Core thread
 * only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "server/core/core.h"
#include "server/core/timers.h"

#define RMD_CORE_TASK_MAGIC 0x7a5c0001u

struct rmd_core_kin;
struct rmd_core_share;
struct rmd_core_terms;

struct rmd_core_task {
	uint32_t magic;
	enum rmd_core_task_state state;
	enum rmd_core_end end; /* how it ended; NONE before */
	enum rmd_core_end
		doom; /* how it will end whatever its agent says; NONE: not set */
	int16_t priority;
	uint16_t function_bytes;
	uint16_t begun; /* attempts whose user code may have begun */
	uint16_t max_attempts;
	uint32_t depth;
	uint32_t room_bytes; /* behind function and labels: arguments, then outcome */
	bool stream_logs;
	bool leased_before; /* goes back to the front of its queue */
	bool timed;	    /* `deadline` is made */
	bool waiting;	    /* for its children; written by rmd_core_kin_wait alone */
	bool backs_off;	    /* QUEUED, but not in its queue: on share->later */
	bool unwanted;	    /* its pool was closed: ends if it comes back unbegun */
	struct rmd_core_client *client;
	struct rmd_core_share *share; /* NULL once it is DONE and the port knows */
	struct rmd_core_kin *kin;     /* owned; NULL: a client's, without children */
	struct rmd_core_terms *terms; /* owned; NULL: it has no rare wishes */
	void *user;
	uint64_t number;
	uint64_t accepted_ms;
	struct rmd_core_timer deadline;
	TAILQ_ENTRY(rmd_core_task)
	state_link; /* queue, or share->later; ledger's leased or running; done */
	TAILQ_ENTRY(rmd_core_task) client_link; /* all of its client */
	TAILQ_ENTRY(rmd_core_task) core_link;	/* all */
	uint64_t lease;				/* its number; 0: none */
	struct rmd_core_ledger *ledger;		/* that holds the lease; NULL: none */
	struct rmd_piece payload; /* once it is DONE: what is held for the client */
	struct rmd_piece labels;
	uint8_t bytes[]; /* function, labels and payload as far as copied */
};

/* Moves `task` to another state: lists and counters with it. For LEASED, task->ledger is
 * set before; from LEASED or RUNNING rmd_core_lease_close follows. */
void rmd_core_task_move(struct rmd_core_task *task, enum rmd_core_task_state to);

/* Accepts a task: makes it, and puts it into its queue. `submit` has been found to fit;
 * `kin` (taken on success) makes it a child, of that depth. RMD_ENOMEM. */
int rmd_core_task_accept(struct rmd_core_client *client,
			 const struct rmd_core_submit *submit, struct rmd_core_kin *kin,
			 uint32_t depth, struct rmd_core_task **ret_task);
/* Whether what `submit` says is within the limits of that pool and of all clients; its
 * number is not looked at. RMD_EINVAL, RMD_ELIMIT. */
int rmd_core_task_fits(const struct rmd_core *core, const struct rmd_core_client *client,
		       const struct rmd_core_submit *submit);

/* Ends `task` (not DONE), and its lease if it has one: tells the port, and frees the task
 * or holds it. `ending` names its outcome; `attempt` is filled in here. Its share and
 * client may be gone when this returns, its pool is not. */
void rmd_core_task_finish(struct rmd_core_task *task, struct rmd_core_ending *ending);

/* Ends a queued task now; asks the agent for a leased one, which keeps its first doom.
 * Children are doomed when their parent's lease ends. */
void rmd_core_task_doom(struct rmd_core_task *task, enum rmd_core_end why);

/* A queued task without a parent goes to `to`, a share of its own client in another pool.
 * Its old share is not dropped. RMD_ENOMEM: it stays. */
int rmd_core_task_rehome(struct rmd_core_task *task, struct rmd_core_share *to);

/* The task's deadline has come. */
void rmd_core_task_expired(struct rmd_core_task *task);

/* Frees a task in any state, without a word to the port but task_gone. Its share is
 * dropped, its client not. */
void rmd_core_task_free(struct rmd_core_task *task);

/* When the present attempt must have ended: by its deadline, or by that of its run once it
 * runs; 0: never. */
uint64_t rmd_core_task_due_ms(const struct rmd_core_task *task);

/* Bytes that it pins: arguments, labels, name. */
uint64_t rmd_core_task_bytes(const struct rmd_core_task *task);
