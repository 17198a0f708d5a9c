/* server/core/core.h: the scheduler, a pure state machine.
 *
 * Events and a clock value go in; actions come out through a table of functions, the
 * port. No gRPC, no threads, no time(), no I/O, no random bytes: so it can be simulated
 * and fuzzed. It never reads a payload, a spec or an outcome: bytes go through.
 *
 * How to use it:
 *  - Event functions (those with `now_ms`) keep the books. `now_ms` is CLOCK_MONOTONIC in
 *    milliseconds; a clock that went backwards is taken for one that stood still.
 *  - Decisions (grants, worker counts, recalls) are made by rmd_core_tick alone: call it
 *    after each burst of events, and when the time that it returned has come.
 *  - Port functions are called synchronously, from event functions too (endings,
 *    cancels), and must not call event functions: that is checked, and aborts.
 *    Accessors may be called, and rmd_core_task_keep_outcome. What must follow an action
 *    is done after the event returned.
 *  - Lack of memory: an event function that returns RMD_ENOMEM has changed nothing. Those
 *    that return void cannot fail; a decision that lacks memory is made later.
 *
 * Invariants: each accepted task ends exactly once; a task whose user code may have begun
 * runs again only while its rules allow; a lease number is never used again; cost
 * per task does not grow with the number of tasks, clients, pools or agents.
 *
 * One thread at a time, the one that created the core. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/errcode.h"
#include "server/core/rules.h"

#define RMD_CORE_FUNCTION_MAX 512u /* bytes of a function's name */
#define RMD_CORE_NAME_MAX 256u	   /* bytes of an agent's name, an identity, a label */
#define RMD_CORE_POOL_NAME_MAX 128u
#define RMD_CORE_RUNTIME_MAX 64u
#define RMD_CORE_RUNTIMES_MAX 16u  /* of an agent */
#define RMD_CORE_LABELS_MAX 64u	   /* of an agent or a pool */
#define RMD_CORE_PRIORITY_MAX 1000 /* and -1000 the least */
#define RMD_CORE_ATTEMPTS_MAX 100u
#define RMD_CORE_DEADLINE_MAX_MS UINT64_C(315576000000) /* 10 years */
#define RMD_CORE_WORKERS_MAX 100000u			/* of a pool */
#define RMD_CORE_SLOTS_MAX 1000000u /* of an agent in a pool; more is taken for this */
#define RMD_CORE_PAYLOAD_COPY_MAX 1024u /* payloads below are copied into their task */
#define RMD_CORE_DEPTH_MAX 10u		/* of a task that a task submits; a client's: 0 */
#define RMD_CORE_CHILDREN_MAX 10000u	/* of one lease, that have not ended */
#define RMD_CORE_WAITING_MAX 1000u	/* tasks of a pool that wait for their children */
#define RMD_CORE_EXPLAIN_BYTES 512u	/* enough for any explanation, with the NUL */

struct rmd_core;
struct rmd_core_client; /* one session of one client */
struct rmd_core_pool;
struct rmd_core_task; /* with its lease, while it has one */
struct rmd_core_agent;
struct rmd_core_ledger; /* one pool on one agent */

/* --- configuration ----------------------------------------------------------------- */

/* Settings; start from RMD_CORE_CONFIG_INIT. Every limit is at least 1. */
struct rmd_core_config {
	uint64_t seed; /* for hash tables; random where peers are not trusted */
	uint32_t clients_max;
	uint32_t agents_max;
	uint32_t pools_max;
	uint32_t pools_per_client_max;
	uint64_t tasks_max; /* held in all states, all clients */
	uint64_t tasks_per_client_max;
	uint64_t payload_bytes_max; /* of tasks that have not ended, all clients */
	uint64_t payload_bytes_per_client_max;
	uint64_t outcome_bytes_max; /* beyond it who holds much gets no grants */
	uint64_t outcome_bytes_per_client_max; /* beyond it: no grants */
	uint32_t start_failures_max; /* in a row: the pool's queued tasks fail */
	uint64_t turn_ms; /* a pool without a worker waits so long for a busy agent
			   * before another pool gives up a worker to it */
	uint64_t idle_timeout_ms; /* of pools whose spec says 0 */
	uint32_t poison_max;	  /* workers that one task may end, whatever its rule says */
	uint64_t cannot_run_ms; /* tasks of a pool that no agent suits, though there are
				 * agents, fail after this; UINT64_MAX: never */
	uint64_t retention_ms;	/* how long outcomes of detached tasks wait */
	uint64_t retained_bytes_max; /* of all of them; then the oldest go */
};

#define RMD_CORE_CONFIG_INIT                                                             \
	{                                                                                \
		.clients_max = 10000, .agents_max = 10000, .pools_max = 10000,           \
		.pools_per_client_max = 1000, .tasks_max = 10000000,                     \
		.tasks_per_client_max = 2000000, .payload_bytes_max = UINT64_C(4) << 30, \
		.payload_bytes_per_client_max = UINT64_C(2) << 30,                       \
		.outcome_bytes_max = UINT64_C(2) << 30,                                  \
		.outcome_bytes_per_client_max = UINT64_C(256) << 20,                     \
		.start_failures_max = 3, .turn_ms = 1000, .idle_timeout_ms = 10000,      \
		.poison_max = 3, .cannot_run_ms = 600000, .retention_ms = 600000,        \
		.retained_bytes_max = UINT64_C(128) << 20,                               \
	}

/* --- how a task ends --------------------------------------------------------------- */

/* The end of one task; all of it borrowed for the call of port->ended. */
struct rmd_core_ending {
	enum rmd_core_end end;
	struct rmd_piece outcome; /* as the agent sent it: END_VALUE, END_ERROR, and
				   * END_CANCELLED where the agent said so; else empty */
	const struct rmd_core_agent *agent; /* held it last; NULL: none does */
	uint64_t worker;		    /* as the agent said; 0: none */
	uint64_t run_ns;		    /* as the agent said; 0: unknown */
	uint32_t attempt;		    /* times that user code may have begun */
	bool began;		      /* in the last lease: user code may have begun */
	struct rmd_piece start_error; /* END_START_FAILED: the agent's ErrorChain */
	enum rmd_core_cause cause;    /* why the last attempt failed */
	struct rmd_slice error_type;  /* as the agent said */
	enum rmd_core_task_state state; /* in which it ended */
	bool backed_off;		/* QUEUED: it waited for its next attempt */
	const char *waits; /* QUEUED, and a deadline came or nobody can run it: for what it
			    * waited; else NULL */
};

/* What becomes of a task that has ended. */
enum rmd_core_keep {
	RMD_CORE_KEEP,	 /* until rmd_core_ack or the end of its client */
	RMD_CORE_FORGET, /* now: as if acknowledged */
};

/* --- the port: what the core asks for ---------------------------------------------- */

/* What an agent is told about a pool. */
struct rmd_core_order {
	uint32_t workers; /* that the agent should have, beside those whose task waits for
			   * its children; the rest, if idle, stops */
	bool first;	  /* first order for this pool: send the spec too */
	bool closed;	  /* no task will come; stop workers; forget the pool */
	bool kill;	  /* with closed: kill the workers now */
};

/* Actions. `ctx` is what rmd_core_create was given. Handles are borrowed for the call,
 * and live on as their own comments say. None may call an event function. */
struct rmd_core_port {
	/* Send the lease of `task` (rmd_core_task_lease, _attempt …) to `agent`. */
	void (*grant)(void *ctx, struct rmd_core_agent *agent,
		      struct rmd_core_task *task);
	/* The task of a lease that `agent` holds shall end: give it back or end it. */
	void (*cancel)(void *ctx, struct rmd_core_agent *agent, uint64_t lease);
	/* Have `agent` give back up to `leases` leases of `pool` that have not begun. */
	void (*recall)(void *ctx, struct rmd_core_agent *agent,
		       struct rmd_core_pool *pool, uint32_t leases);
	/* Tell `agent` about `pool`. After `closed` the agent is told no more of that
	 * pool. */
	void (*order)(void *ctx, struct rmd_core_agent *agent, struct rmd_core_pool *pool,
		      const struct rmd_core_order *order);
	/* `task` has ended, once. The core holds ending->outcome unless the port gives
	 * another by rmd_core_task_keep_outcome (so that an END_… without bytes can be
	 * sent again). Not called for a client that was closed. */
	enum rmd_core_keep (*ended)(void *ctx, struct rmd_core_task *task,
				    const struct rmd_core_ending *ending);
	/* `child`, which the task of a lease that `agent` holds submitted, has ended;
	 * instead of port->ended, and also for a client that was closed. Not called once
	 * that lease is over. May be NULL. */
	void (*child_ended)(void *ctx, struct rmd_core_agent *agent, uint64_t lease,
			    struct rmd_core_task *child,
			    const struct rmd_core_ending *ending);
	/* `task` is about to be freed, for whatever reason. May be NULL. */
	void (*task_gone)(void *ctx, struct rmd_core_task *task);
	/* `pool` is about to be freed. May be NULL. */
	void (*pool_gone)(void *ctx, struct rmd_core_pool *pool);
	/* The time of rmd_core_client_leave is over: `client` is closed, and the handle
	 * gone when this returns. May be NULL. */
	void (*client_expired)(void *ctx, struct rmd_core_client *client);
	/* rmd_core_drain was called, and no task is left that has not ended. Once. May be
	 * NULL. */
	void (*drained)(void *ctx);
};

/* --- the core ---------------------------------------------------------------------- */

/* Gives a core, or NULL when out of memory. Copies `config` and `port`. */
struct rmd_core *rmd_core_create(const struct rmd_core_config *config,
				 const struct rmd_core_port *port, void *port_ctx);
/* Frees the core and all it holds; of the port only task_gone and pool_gone are called.
 * NULL is allowed. */
void rmd_core_destroy(struct rmd_core *core);

/* Fires what is due and makes all decisions. Returns the time at which it wants to be
 * called again at the latest; 0: no such time. */
uint64_t rmd_core_tick(struct rmd_core *core, uint64_t now_ms);

/* From now on submits get RMD_ECLOSED; what was accepted goes on to its end. Then
 * port->drained (perhaps in the next tick). Safe to repeat. */
void rmd_core_drain(struct rmd_core *core, uint64_t now_ms);
/* Cancels every task that has not ended, for `why` (END_SHUTDOWN, END_STOPPED). */
void rmd_core_cancel_all(struct rmd_core *core, uint64_t now_ms, enum rmd_core_end why);

/* What the core holds. */
struct rmd_core_counters {
	uint64_t clients, pools, agents;
	uint64_t queued, leased, running, done; /* tasks held, by state */
	uint64_t accepted, ended;		/* tasks, since creation */
	uint64_t granted;			/* leases, since creation */
	uint64_t payload_bytes;			/* of tasks that have not ended */
	uint64_t outcome_bytes;			/* held for clients */
	uint64_t workers;			/* as agents said, starting ones too */
	uint64_t wanted_workers;		/* as agents were told */
	uint64_t stale_events;			/* of leases that were over: dropped */
	bool draining;
};
void rmd_core_counters(const struct rmd_core *core,
		       struct rmd_core_counters *ret_counters);

/* --- clients ----------------------------------------------------------------------- */

/* Opens a client. `identity` says whose it is ("uid:1000"): unnamed pools pass on only
 * within one identity; at most RMD_CORE_NAME_MAX bytes, copied. Which session id a client
 * has is the service's to know. RMD_ELIMIT, RMD_ECLOSED (draining), RMD_EINVAL,
 * RMD_ENOMEM. */
int rmd_core_client_open(struct rmd_core *core, uint64_t now_ms, const char *identity,
			 void *user, struct rmd_core_client **ret_client);
/* Closes a client: its tasks are cancelled, outcomes dropped, pools released. The handle
 * is gone when this returns; of its tasks port->ended is not called any more. */
void rmd_core_client_close(struct rmd_core *core, uint64_t now_ms,
			   struct rmd_core_client *client);
/* The client's stream is gone: its tasks go on, and outcomes wait, for `linger_ms`; then
 * port->client_expired, unless rmd_core_client_resume or _close came first. A client that
 * has detached tasks is abandoned instead: its other tasks are cancelled and forgotten, it
 * submits no more and does not resume, and expires when the retention of the last outcome
 * of a detached task has ended. */
void rmd_core_client_leave(struct rmd_core *core, uint64_t now_ms,
			   struct rmd_core_client *client, uint64_t linger_ms);
/* The client is back. Its outcomes are to be sent again: rmd_core_client_outcome_next. */
void rmd_core_client_resume(struct rmd_core *core, uint64_t now_ms,
			    struct rmd_core_client *client);

void *rmd_core_client_user(const struct rmd_core_client *client);
const char *rmd_core_client_identity(const struct rmd_core_client *client);
/* The highest number that was accepted; 0: none. */
uint64_t rmd_core_client_accepted(const struct rmd_core_client *client);
/* The highest number that it may submit now; never falls while numbers rise by one. */
uint64_t rmd_core_client_window(const struct rmd_core_client *client);
/* Much of the bytes that may be held is taken: stop reading from it while this is true.
 * The window counts tasks, not bytes. */
bool rmd_core_client_full(const struct rmd_core_client *client);
/* Tasks that have not ended; tasks held (with ended ones): children of its tasks not
 * counted. Bytes of outcomes held. */
uint64_t rmd_core_client_open_tasks(const struct rmd_core_client *client);
uint64_t rmd_core_client_tasks(const struct rmd_core_client *client);
uint64_t rmd_core_client_outcome_bytes(const struct rmd_core_client *client);
/* Walks the tasks that have ended and are not acknowledged, in the order in which they
 * ended; NULL begins, NULL ends. No event function may be called between. */
struct rmd_core_task *rmd_core_client_outcome_next(const struct rmd_core_client *client,
						   const struct rmd_core_task *previous);

/* --- pools ------------------------------------------------------------------------- */

struct rmd_core_label {
	struct rmd_slice key, value;
};

/* What the core needs to know of a PoolSpec. Borrowed for the call; what is kept is
 * copied, and the piece referenced. */
struct rmd_core_pool_spec {
	struct rmd_slice name; /* empty: not shared by name */
	struct rmd_slice runtime;
	uint32_t max_workers;	  /* 0: as many as the agents have room for */
	uint64_t idle_timeout_ms; /* 0: the configuration's */
	uint32_t cpu_milli;	  /* of one worker; 0: 1000 */
	uint64_t memory_bytes;	  /* of one worker; 0: does not matter */
	uint32_t max_tasks_per_worker;
	const struct rmd_core_label *labels; /* that an agent must have */
	size_t label_count;
	uint64_t leak_bytes;
	struct rmd_slice initializer; /* stands for it and its arguments; empty: none */
	bool broken_on_crash; /* a pool that breaks fails running tasks too */
	struct rmd_slice identity; /* digest of what only workers see */
	struct rmd_piece spec; /* the PoolSpec for agents, unread; referenced, so with its
				* buf: better one of its own than a large frame's */
};

/* Opens, gets or resizes a pool:
 *  - named: all clients share it. A spec that differs in more than max_workers is
 * RMD_EINVAL, and *ret_field names the field; its size is the largest that its holders
 * ask for.
 *  - unnamed, with a client: the client's own; equal specs get the same pool; a warm pool
 * that a former client of the same identity left behind is adopted.
 *  - unnamed, without a client: the default pool of the runtime, for all.
 * With a client, the client holds the pool until rmd_core_pool_release or its own end.
 * Without one a named pool stays until rmd_core_pool_close; the default pool goes when
 * idle, so open it anew for each submit. `*ret_reused`: it ran before. A closing pool is
 * not found again. RMD_ELIMIT, RMD_EINVAL (with the field's name, borrowed for ever),
 * RMD_ENOMEM, RMD_ECLOSED. */
int rmd_core_pool_open(struct rmd_core *core, uint64_t now_ms,
		       struct rmd_core_client *client,
		       const struct rmd_core_pool_spec *spec,
		       struct rmd_core_pool **ret_pool, bool *ret_reused,
		       const char **ret_field);
/* The client does not hold the pool any more; its tasks there go on, and an unnamed pool
 * stays warm. RMD_ENOTFOUND. */
int rmd_core_pool_release(struct rmd_core *core, uint64_t now_ms,
			  struct rmd_core_client *client, struct rmd_core_pool *pool);
/* Sets what the pool is asked for without a client (Pools.Resize): 1 to
 * RMD_CORE_WORKERS_MAX. For a named pool held by nobody this is its size. RMD_EINVAL,
 * RMD_ECLOSED. */
int rmd_core_pool_resize(struct rmd_core *core, uint64_t now_ms,
			 struct rmd_core_pool *pool, uint32_t max_workers);

/* How a pool closes. */
enum rmd_core_pool_close {
	RMD_CORE_POOL_DRAIN, /* queued and running tasks go on to their ends */
	RMD_CORE_POOL_CLOSE, /* what has not begun is cancelled, the rest goes on */
	RMD_CORE_POOL_KILL,  /* all are cancelled, workers killed */
};
/* From now on submits to it get RMD_ECLOSED; it is gone (port->pool_gone) when its tasks
 * have ended and nobody holds it. Safe to repeat, also with a harsher `how`. */
void rmd_core_pool_close(struct rmd_core *core, uint64_t now_ms,
			 struct rmd_core_pool *pool, enum rmd_core_pool_close how);
/* Whether tasks wait in it (or back off). */
bool rmd_core_pool_has_queued(const struct rmd_core_pool *pool);
/* The queued tasks of `from` that clients have submitted go to `to`, which is open, in their
 * order; children stay with their parents' pool, and so does what there is no memory for. */
void rmd_core_pool_hand_over(struct rmd_core *core, uint64_t now_ms,
			     struct rmd_core_pool *from, struct rmd_core_pool *to);
/* The client is done with the pool and holds it no more: an unnamed one closes; of a
 * named one only the client's own tasks are touched, in the same way (END_POOL_CLOSED).
 * RMD_ENOTFOUND: it does not hold it. */
int rmd_core_pool_leave(struct rmd_core *core, uint64_t now_ms,
			struct rmd_core_client *client, struct rmd_core_pool *pool,
			enum rmd_core_pool_close how);
/* Whether the pool is broken (submits get RMD_ECLOSED), and why: an ErrorChain, borrowed
 * from the pool; perhaps empty. `ret_error` may be NULL. */
bool rmd_core_pool_broken(const struct rmd_core_pool *pool, struct rmd_piece *ret_error);
/* The client's own tasks in the pool are cancelled (END_CANCELLED). */
void rmd_core_pool_cancel(struct rmd_core *core, uint64_t now_ms,
			  struct rmd_core_client *client, struct rmd_core_pool *pool);

/* A pool's number is never used again. The first finds a pool by it, closing ones too, or
 * NULL; the second a shared pool by its name, not one that closes, or NULL. */
struct rmd_core_pool *rmd_core_pool_find(const struct rmd_core *core, uint64_t number);
struct rmd_core_pool *rmd_core_pool_find_name(const struct rmd_core *core,
					      struct rmd_slice name);
/* Whether `client` holds `pool`. */
bool rmd_core_pool_held_by(const struct rmd_core_pool *pool,
			   const struct rmd_core_client *client);
/* Walks all pools in order of their numbers; NULL begins, NULL ends. */
struct rmd_core_pool *rmd_core_pool_next(const struct rmd_core *core,
					 const struct rmd_core_pool *previous);

/* A pool as it is now. Slices and piece are borrowed from the pool. */
struct rmd_core_pool_info {
	uint64_t number;
	struct rmd_slice name, runtime;
	struct rmd_piece spec;	       /* as given to open, unread */
	uint32_t max_workers;	       /* now; 0: as many as the agents have room for */
	uint64_t queued, leased, done; /* leased: running ones too */
	uint32_t workers, starting, idle; /* as agents said */
	uint32_t wanted;		  /* workers, as agents were told */
	uint32_t holders;		  /* clients */
	uint32_t waiting; /* tasks that wait for their children: their places are free */
	struct rmd_piece start_error; /* the last, while workers fail to start */
	bool closing;
	bool broken; /* it closes since it is broken */
};
void rmd_core_pool_info(const struct rmd_core_pool *pool,
			struct rmd_core_pool_info *ret_info);
uint64_t rmd_core_pool_number(const struct rmd_core_pool *pool);
/* The service's own; starts as NULL. */
void *rmd_core_pool_user(const struct rmd_core_pool *pool);
void rmd_core_pool_set_user(struct rmd_core_pool *pool, void *user);
/* Why tasks of the pool wait, to `ret_text` (RMD_CORE_EXPLAIN_BYTES suffice); empty: they
 * do not, or for their turn only. */
void rmd_core_pool_explain(const struct rmd_core_pool *pool, char *ret_text, size_t size);

/* --- tasks ------------------------------------------------------------------------- */

/* What to run. Slices and pieces are borrowed for the call. */
struct rmd_core_submit {
	uint64_t number;	    /* rising, from 1; below RMD_CORE_NESTED */
	struct rmd_slice function;  /* 1 to RMD_CORE_FUNCTION_MAX bytes */
	struct rmd_piece payload;   /* copied when small or part of a much larger buf (or
				     * when   its buf is NULL), else referenced */
	struct rmd_piece labels;    /* the service's own bytes about it; as payload */
	struct rmd_core_pool *pool; /* that the client holds, or any shared one */
	int32_t priority;	    /* within +-RMD_CORE_PRIORITY_MAX */
	uint64_t deadline_ms;	    /* from now to its end; 0: none */
	uint32_t max_attempts;	    /* 0: 1 */
	bool stream_logs;
	const struct rmd_core_rules *rules; /* NULL: none */
	void *user;
};

/* Accepts a task. RMD_EEXIST: the number is not above the highest accepted one: nothing
 * runs. RMD_EINVAL: a field is out of its range. RMD_ECLOSED: core, client or pool
 * closes. RMD_ELIMIT: tasks or bytes held. RMD_ENOMEM. On failure nothing has changed.
 * `ret_task` may be NULL. */
int rmd_core_submit(struct rmd_core *core, uint64_t now_ms,
		    struct rmd_core_client *client, const struct rmd_core_submit *submit,
		    struct rmd_core_task **ret_task);
/* The task under that number, in any state, or NULL: never accepted, or acknowledged. */
struct rmd_core_task *rmd_core_task_find(const struct rmd_core_client *client,
					 uint64_t number);
/* Asks that a task end, for `why` (END_CANCELLED, END_STOPPED …). A queued task ends at
 * once; a leased one when its agent confirms it, in whichever way: the outcome is `why`
 * then. Nothing happens to a task that has ended. */
void rmd_core_cancel(struct rmd_core *core, uint64_t now_ms, struct rmd_core_task *task,
		     enum rmd_core_end why);
/* The client has the outcome of task `number`: it is freed; that of a detached task waits
 * for its time first, from now on. RMD_ENOTFOUND: no such task
 * (ignore); RMD_EPROTO: it has not ended. */
int rmd_core_ack(struct rmd_core *core, uint64_t now_ms, struct rmd_core_client *client,
		 uint64_t number);
/* In port->ended only: what to hold for the client instead of ending->outcome; takes the
 * reference in `outcome`. */
void rmd_core_task_keep_outcome(struct rmd_core_task *task, struct rmd_piece outcome);

uint64_t rmd_core_task_number(const struct rmd_core_task *task);
/* NULL: the client was closed. */
struct rmd_core_client *rmd_core_task_client(const struct rmd_core_task *task);
/* NULL after port->ended: the pool may be gone. */
struct rmd_core_pool *rmd_core_task_pool(const struct rmd_core_task *task);
void *rmd_core_task_user(const struct rmd_core_task *task);
enum rmd_core_task_state rmd_core_task_state(const struct rmd_core_task *task);
struct rmd_slice rmd_core_task_function(const struct rmd_core_task *task);
/* The arguments as submitted; empty once it is DONE. With buf NULL they live as long as
 * the task has not ended: copy them, or send them before the event returns. */
struct rmd_piece rmd_core_task_payload(const struct rmd_core_task *task);
struct rmd_piece rmd_core_task_labels(const struct rmd_core_task *task);
/* What is held for the client; only when DONE. */
struct rmd_piece rmd_core_task_outcome(const struct rmd_core_task *task);
enum rmd_core_end rmd_core_task_end(const struct rmd_core_task *task);
/* The lease's number and its agent; 0 and NULL: it has none. */
uint64_t rmd_core_task_lease(const struct rmd_core_task *task);
struct rmd_core_agent *rmd_core_task_agent(const struct rmd_core_task *task);
/* The present attempt, from 1; of a task without a lease: how many may have begun. */
uint32_t rmd_core_task_attempt(const struct rmd_core_task *task);
uint32_t rmd_core_task_depth(const struct rmd_core_task *task);
/* It was submitted by a task. */
bool rmd_core_task_nested(const struct rmd_core_task *task);
/* The task that submitted it; NULL: a client did, or that lease is over. */
struct rmd_core_task *rmd_core_task_parent(const struct rmd_core_task *task);
/* The number under which its parent knows it; 0: a client's task. */
uint64_t rmd_core_task_child_number(const struct rmd_core_task *task);
/* It waits for its children. */
bool rmd_core_task_waiting(const struct rmd_core_task *task);
bool rmd_core_task_stream_logs(const struct rmd_core_task *task);
/* When it was accepted. */
uint64_t rmd_core_task_accepted_ms(const struct rmd_core_task *task);
/* When it must have ended; 0: no deadline. */
uint64_t rmd_core_task_deadline_ms(const struct rmd_core_task *task);
/* Walks all tasks held, oldest first; NULL begins, NULL ends. */
struct rmd_core_task *rmd_core_task_next(const struct rmd_core *core,
					 const struct rmd_core_task *previous);

/* --- agents ------------------------------------------------------------------------ */

/* What an agent says of itself. Borrowed for the call, copied. */
struct rmd_core_agent_info {
	struct rmd_slice name; /* at most RMD_CORE_NAME_MAX bytes */
	const struct rmd_slice *runtimes;
	size_t runtime_count;
	uint32_t cpu_milli;    /* that workers may use; 0: not limited */
	uint64_t memory_bytes; /* that workers may use; 0: not known, not limited */
	uint32_t workers_max;  /* 0: what cpu_milli gives */
	const struct rmd_core_label *labels;
	size_t label_count;
	bool private_local; /* pools' max_workers rule, not cpu_milli and workers_max */
	void *user;
};

/* An agent joins. RMD_ELIMIT, RMD_EINVAL (a field is out of its range), RMD_ENOMEM. */
int rmd_core_agent_attach(struct rmd_core *core, uint64_t now_ms,
			  const struct rmd_core_agent_info *info,
			  struct rmd_core_agent **ret_agent);

/* State of a pool on an agent. */
struct rmd_core_agent_pool {
	uint64_t pool;	   /* its number */
	uint32_t slots;	   /* leases that the agent will hold at a time, not counting
			    * those whose task waits for its children */
	uint32_t workers;  /* starting, idle, busy or waiting; not those that stop */
	uint32_t starting; /* of them: not ready yet */
	uint32_t idle;	   /* of them: nothing to do */
	bool start_failed; /* a worker could not be started since the last report */
	struct rmd_piece start_error; /* then: why, an ErrorChain; as `outcome` below */
	bool broken; /* the pool is, for start_error: what waits there fails with it
		      * (END_POOL_BROKEN), where its spec is broken_on_crash what runs
		      * too; the pool closes */
};
/* The agent says how a pool stands. RMD_ENOTFOUND: it has no such pool any more (ignore);
 * RMD_EPROTO: it never had. */
int rmd_core_agent_pool(struct rmd_core *core, uint64_t now_ms,
			struct rmd_core_agent *agent,
			const struct rmd_core_agent_pool *state);
/* User code of that lease's task has begun. RMD_ENOTFOUND: the lease is over (ignore);
 * RMD_EPROTO: it is not this agent's, or has begun before. */
int rmd_core_agent_began(struct rmd_core *core, uint64_t now_ms,
			 struct rmd_core_agent *agent, uint64_t lease);

/* What an agent says of a lease's end. */
struct rmd_core_agent_outcome {
	uint64_t lease;
	enum rmd_core_end end;	  /* END_VALUE, END_ERROR or END_CANCELLED */
	struct rmd_piece outcome; /* the Outcome, unread; referenced, so with its buf */
	bool began;		  /* user code may have begun */
	uint64_t worker;
	uint64_t run_ns;
	enum rmd_core_cause cause;   /* END_ERROR: why; NONE: the task raised it */
	struct rmd_slice error_type; /* END_ERROR: of its outermost error; may be empty */
};
/* A lease has ended. After END_ERROR with `began` (or of a lease known to have begun) the
 * task is tried again while its rules allow; an error before user code is final. Codes as
 * above. */
int rmd_core_agent_outcome(struct rmd_core *core, uint64_t now_ms,
			   struct rmd_core_agent *agent,
			   const struct rmd_core_agent_outcome *outcome);
/* A lease comes back; its user code never began. Codes as above; RMD_EPROTO: it had
 * begun. */
int rmd_core_agent_returned(struct rmd_core *core, uint64_t now_ms,
			    struct rmd_core_agent *agent, uint64_t lease);
/* --- tasks that tasks submit ---
 *
 * A child belongs to the client of its parent; priority and output are the parent's, its
 * depth is the parent's + 1, its deadline never later. Deeper tasks of a client go before
 * others, so that those who wait come to their ends. While a task waits for its children
 * its place in the pool is free for others. When the parent's lease ends, in whichever
 * way, its children are cancelled (END_PARENT_GONE), and nobody hears of them. */

/* Added to the number of a task that a task submitted, so that it is like no client's. */
#define RMD_CORE_NESTED (UINT64_C(1) << 63)

/* What the task of a lease submits. Borrowed for the call. */
struct rmd_core_nested {
	uint64_t lease;		   /* the parent's */
	uint64_t number;	   /* rising in that lease, from 1 */
	struct rmd_slice function; /* as in rmd_core_submit, and so what follows */
	struct rmd_piece payload;
	struct rmd_core_pool *pool; /* NULL: the parent's; else a shared one */
	uint64_t deadline_ms;	    /* 0: the parent's */
	uint32_t max_attempts;	    /* 0: 1 */
};
/* Accepts a child. RMD_ENOTFOUND: the lease is over (ignore); RMD_EEXIST: the number was
 * taken before (ignore); RMD_EPROTO: the lease is not this agent's, or not known to have
 * begun. Refused, so that the parent should be told: RMD_EDEPTH: the parent's depth is
 * RMD_CORE_DEPTH_MAX; RMD_EAGAIN: too many tasks of the parent's pool wait for their
 * children; RMD_ECLOSED: the parent was cancelled, or the pool closes; RMD_EINVAL,
 * RMD_ELIMIT, RMD_ENOMEM as rmd_core_submit (RMD_ELIMIT also: too many children). */
int rmd_core_agent_submit(struct rmd_core *core, uint64_t now_ms,
			  struct rmd_core_agent *agent,
			  const struct rmd_core_nested *nested);
/* A parent asks that its child end. RMD_ENOTFOUND: lease or child is over (ignore);
 * RMD_EPROTO: the lease is not this agent's. */
int rmd_core_agent_cancel_child(struct rmd_core *core, uint64_t now_ms,
				struct rmd_core_agent *agent, uint64_t lease,
				uint64_t number);
/* A task waits for its children (or to hear that they were refused), or goes on. Safe to
 * repeat. RMD_ENOTFOUND: the lease is over (ignore); RMD_EPROTO: it is not this agent's,
 * or not known to have begun. */
int rmd_core_agent_waits(struct rmd_core *core, uint64_t now_ms,
			 struct rmd_core_agent *agent, uint64_t lease, bool waiting);
/* How many tasks of the pool may wait before its tasks can submit no more. */
uint32_t rmd_core_pool_waiting_max(const struct rmd_core_pool *pool);

/* The agent takes no new leases, and will leave. Safe to repeat. */
void rmd_core_agent_draining(struct rmd_core *core, uint64_t now_ms,
			     struct rmd_core_agent *agent);

/* How an agent goes. */
enum rmd_core_farewell {
	RMD_CORE_FAREWELL_LOST, /* without a word: all it was sent may have begun */
	RMD_CORE_FAREWELL_SAID, /* in order: what it did not say to have begun did not */
};
/* The agent is gone, and so is the handle when this returns. */
void rmd_core_agent_lost(struct rmd_core *core, uint64_t now_ms,
			 struct rmd_core_agent *agent, enum rmd_core_farewell how);

/* An agent's number is never used again. */
uint64_t rmd_core_agent_number(const struct rmd_core_agent *agent);
const char *rmd_core_agent_name(const struct rmd_core_agent *agent);
void *rmd_core_agent_user(const struct rmd_core_agent *agent);
bool rmd_core_agent_drains(const struct rmd_core_agent *agent);
/* Leases that it holds, in all pools. */
uint64_t rmd_core_agent_held(const struct rmd_core_agent *agent);
/* The task of a lease that the agent holds (whose log is that?), or NULL. */
struct rmd_core_task *rmd_core_agent_task(const struct rmd_core *core,
					  const struct rmd_core_agent *agent,
					  uint64_t lease);
/* Walks all agents in order of their numbers; NULL begins, NULL ends. */
struct rmd_core_agent *rmd_core_agent_next(const struct rmd_core *core,
					   const struct rmd_core_agent *previous);

/* A pool on an agent as it is now. */
struct rmd_core_ledger_info {
	struct rmd_core_pool *pool;
	struct rmd_core_agent *agent;
	uint32_t slots, held, workers, starting, idle; /* as the agent said; held: ours */
	uint32_t waiting; /* of the held: tasks that wait for their children */
	uint32_t wanted;  /* workers that the agent was told to have */
};
/* Walks the pools of an agent; NULL begins, NULL ends. */
struct rmd_core_ledger *rmd_core_ledger_next(const struct rmd_core_agent *agent,
					     const struct rmd_core_ledger *previous);
void rmd_core_ledger_info(const struct rmd_core_ledger *ledger,
			  struct rmd_core_ledger_info *ret_info);
