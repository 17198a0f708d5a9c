/* worker/agent/state.h: what an agent knows: pools, workers, leases. For this room only.
 *
 * Everything here belongs to the agent's thread, except the mailbox. A lease is in
 * exactly one place: its pool's queue (worker NULL) or a worker's hands. A worker is on
 * exactly one of its pool's lists, and rmd_aworker_place alone moves it: STARTING ->
 * ready (IDLE: load 0, BUSY: load 1 and more) -> STOPPING -> gone any -> gone (it has
 * ended) Ready workers stand in `by_load[tasks in hands]`, or, where the task that runs
 * is long or no room is left, in `list_stuck`: those get no more for now. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "proto/base/buf.h"
#include "proto/base/digest.h"
#include "proto/base/map.h"
#include "proto/codec/frames_agent.h"
#include "proto/codec/frames_pool.h"
#include "proto/error/chain.h"
#include "worker/agent/agent.h"
#include "worker/agent/timer.h"
#include "worker/crash/oom.h"
#include "worker/protocol/protocol.h"
#include "worker/spawner/spawner.h"

/* Limits on what a coordinator can ask for. */
#define RMD_AGENT_POOLS_MAX 4096u
#define RMD_AGENT_CHILDREN_MAX RMD_SPAWN_CHILDREN_MAX
#define RMD_AGENT_HELD_MAX (1u << 20)
#define RMD_AGENT_TRANSFERS_MAX 4096u
#define RMD_AGENT_TRANSFER_BYTES_MAX (UINT64_C(4) << 30)
#define RMD_AGENT_MODULES_MAX 1024u
/* Children of one task whose end it has not asked for. */
#define RMD_AGENT_CHILDREN_OPEN_MAX 10000u

/* Outcomes beyond go as a transfer. */
#define RMD_AGENT_INLINE_MAX (256u * 1024u)
/* With so much waiting to be sent no more tasks are given to workers. */
#define RMD_AGENT_PENDING_MAX (64u << 20)
/* A task that runs so long is reported as begun, and nobody waits behind it. */
#define RMD_AGENT_LONG_MS 5u
/* How often at most a task's progress is told. */
#define RMD_AGENT_PROGRESS_MS 100u
/* An idle worker gives memory back after one to two of these. */
#define RMD_AGENT_TRIM_MS 1000u

/* The lease under which a worker runs the initializer of its pool; no coordinator gives
 * it. */
#define RMD_AGENT_INITIALIZER UINT64_MAX

#define RMD_AGENT_MAGIC 0xa6e27001u
#define RMD_APOOL_MAGIC 0xa6e27002u
#define RMD_AWORKER_MAGIC 0xa6e27003u
#define RMD_ALEASE_MAGIC 0xa6e27004u

struct rmd_apool;
struct rmd_aworker;
struct rmd_acrash;

struct rmd_alease {
	uint32_t magic;
	uint32_t attempt, depth;
	bool stream_logs;
	bool cancelled; /* the coordinator wants it to end */
	bool began_told;
	uint64_t number;
	struct rmd_apool *pool;
	struct rmd_aworker *worker; /* has it in its hands; NULL: it is queued */
	struct rmd_slice function;  /* without the runtime; lies in `frame` */
	struct rmd_buf *frame;	    /* referenced */
	struct rmd_piece arguments; /* referenced */
	uint64_t deadline_mono_ns;  /* 0: none */
	struct rmd_anest *nest;	    /* owned; NULL: it has submitted nothing */
	uint64_t progress_done, progress_total; /* as told */
	TAILQ_ENTRY(rmd_alease) link;		/* of the queue or the hands */
};
TAILQ_HEAD(rmd_aleases, rmd_alease);

/* Whether a ready worker can be given more. */
enum rmd_aworker_room { RMD_AWORKER_OPEN, RMD_AWORKER_STUCK };

/* How far a worker has been urged to end. */
enum rmd_aworker_end {
	RMD_AWORKER_UNURGED,
	RMD_AWORKER_CANCELLING, /* the cancel word is set; TERM follows */
	RMD_AWORKER_ASKED,	/* told to stop when it is done; TERM follows */
	RMD_AWORKER_TERMED,	/* KILL follows */
	RMD_AWORKER_KILLED,
};

struct rmd_aworker {
	uint32_t magic;
	enum rmd_worker_state state; /* written by rmd_aworker_place alone */
	uint64_t number;	     /* on this agent; also its id at the spawner */
	struct rmd_agent *agent;
	struct rmd_apool *pool;
	struct rmd_wp *wp;
	int pidfd; /* -1: not started yet */
	pid_t pid;
	enum rmd_aworker_room room; /* written by rmd_aworker_place alone */
	bool unflushed;		    /* on agent->unflushed */
	bool hot;		    /* on agent->hot: there is more to read */
	bool idle_seen;		    /* was idle at the last look */
	bool ready;		    /* has said so */
	bool deaf;		    /* nothing more is heard from its descriptors */
	bool broken;		    /* it broke the protocol */
	bool expected;		    /* that it ends: we asked */
	bool long_running;	    /* its running task was seen to be long */
	bool initializing;	    /* it runs the initializer of its pool */
	bool leaked;		    /* it has grown too much: to be replaced */
	uint32_t in_hands; /* leases in `hands`; written by rmd_aworker_place alone */
	uint64_t tasks_done;
	uint64_t seen_running; /* lease that ran at the last look; 0: none */
	uint64_t waits_in;     /* lease whose task waits for a child; 0: none. Written
				* by rmd_aworker_set_waiting alone */
	bool in_line;	       /* on pool->line: it waits for a place only */
	uint64_t urged_for;    /* lease for whose end it is being urged; 0: its own */
	enum rmd_aworker_end end;
	const char
		*ended_for; /* why it is made to end; borrowed for ever; NULL: not said */
	int crash_fd;	    /* its channel for a crash; -1: none */
	struct rmd_acrash *crash; /* owned; NULL: it has not crashed */
	uint64_t peak_bytes;	  /* most memory it had; 0: it has not ended */
	uint64_t first_bytes;	  /* own memory after its first task; 0: not known */
	uint64_t leak_look_ms;	  /* when that was last looked at */
	uint64_t limit_bytes;	  /* killed for using `used_bytes`, more than this; 0: not */
	uint64_t used_bytes;
	uint32_t used_children;	  /* so many processes that it started among them */
	struct rmd_atimer timer;  /* start timeout, or the next step of `end` */
	struct remuda_error
		*start_error;	       /* owned; what it said of its failure to start */
	struct rmd_aleases hands;      /* in the order given */
	TAILQ_ENTRY(rmd_aworker) link; /* of the list of its state */
	TAILQ_ENTRY(rmd_aworker) all;  /* of pool->workers */
	TAILQ_ENTRY(rmd_aworker) line_link;
	SLIST_ENTRY(rmd_aworker) unflushed_link, hot_link;
};
TAILQ_HEAD(rmd_aworkers, rmd_aworker);

struct rmd_apool {
	uint32_t magic;
	bool closed;
	bool dirty;	   /* to be reported at the end of this round */
	bool idle_changed; /* to be reported soon */
	bool unbalanced;   /* on agent->unbalanced: dispatch and converge */
	bool missing_told;
	bool broken;  /* runs nothing more; start_error says why, until it is reported */
	bool leaking; /* some worker was to be replaced for its memory */
	uint64_t number;
	struct rmd_agent *agent;
	struct rmd_pool_spec *spec;	    /* owned */
	uint32_t wanted;		    /* workers, as the coordinator says */
	uint32_t starting, ready, stopping; /* lengths of the lists */
	struct rmd_aworkers workers;	    /* all of them, oldest first */
	struct rmd_aworkers list_starting, list_stopping, list_stuck;
	struct rmd_aworkers by_load[RMD_WP_TASKS_MAX + 1]; /* the newest idle first */
	uint32_t load_min; /* no ready, unstuck worker has less */
	uint32_t idle;
	uint32_t waiting;	    /* ready workers whose task waits for a child */
	struct rmd_aworkers line;   /* of them: those that may go on, first come first */
	uint64_t nested_ms;	    /* when a task last submitted one; 0: not lately */
	uint32_t spare, spare_next; /* most that waited, lately: so many workers more are
				     * kept for the next to wait */
	uint32_t stealable;	    /* workers with two and more in hands */
	struct rmd_aleases queue;
	uint32_t queued, held; /* held: queued and in hands */
	uint64_t run_ns;       /* of a task, moving average; 0: none has ended */
	uint32_t depth;	       /* tasks to prefetch beyond the running one */
	uint32_t slots_told;
	uint32_t failures; /* starts in a row that failed */
	uint64_t backoff_ms;
	struct rmd_atimer retry;     /* back-off after failed starts */
	struct rmd_atimer again;     /* dispatch again: there was no room */
	struct rmd_buf *start_error; /* raw ErrorChain to report, then dropped */
	LIST_ENTRY(rmd_apool) link;
	SLIST_ENTRY(rmd_apool) unbalanced_link;
	/* Its parts, one for each image that it runs (part.c). */
	LIST_HEAD(, rmd_apool) parts;
	LIST_ENTRY(rmd_apool) part_link;
	struct rmd_apool *whole;  /* of a part: its pool, whose spec it borrows */
	struct rmd_aimage *image; /* of a part: what its workers are; one use */
	uint32_t asked;		  /* workers wanted of it and its parts together */
	uint32_t part_count;
	uint64_t short_ms; /* since when it has work and no worker; 0: it is not so */
	bool starved;	   /* it or a part is, while others have workers */
};

struct rmd_amail {
	void (*run)(void *arg);
	void *arg;
	struct rmd_amail *next;
};

struct rmd_amodule;
struct rmd_aimage;
struct rmd_atransfer;

/* Numbers that go to the coordinator at the end of a round. */
struct rmd_anumbers {
	uint64_t *items; /* owned */
	size_t count, capacity;
};

struct rmd_agent {
	uint32_t magic;
	pthread_t thread;
	int epoll_fd, wake_fd;
	int spawner_fd; /* -1: gone */
	pid_t spawner_pid;
	struct rmd_link *link; /* NULL: lost and destroyed */
	bool link_lost;
	bool welcome, draining, leaving;
	bool stopping;
	bool dirty; /* some pool is */
	atomic_bool finished;

	/* options, owned */
	char *name, *version, *worker_path, *run_dir;
	char *python_path; /* program of python workers; NULL: this host has none */
	char *crash_path; /* program of crash helpers; NULL: there is none */
	char *preload_path; /* what makes a captured program a worker; NULL: there is none */
	char **modules, **labels;
	size_t module_count, label_count;
	uint32_t workers_max, cpu_milli;
	uint64_t stop_grace_ms, cancel_grace_ms, orphan_ms, start_timeout_ms;
	void (*on_attached)(void *ctx);
	void (*on_finished)(void *ctx);
	void *ctx; /* of these two */

	pthread_mutex_t round; /* held by who does a round: all of this is its own */
	int sleep_ms;	       /* what the agent's thread sleeps at most; -1: for ever */
	uint64_t slept_ms;     /* since when */

	pthread_mutex_t mail_lock; /* guards the three below */
	struct rmd_amail *mail, **mail_last;
	bool woken;

	uint64_t now_ms;      /* of this round */
	uint64_t next_worker; /* number of the next one */
	uint64_t next_transfer;
	uint64_t spawner_restart_ms; /* back-off */
	struct rmd_map pools, workers, leases, transfers;
	LIST_HEAD(, rmd_apool) pool_list;
	LIST_HEAD(, rmd_amodule) module_list;
	TAILQ_HEAD(rmd_aimages, rmd_aimage) images; /* used last: first */
	uint32_t image_count;
	uint64_t image_bytes, image_bytes_max;
	uint32_t worker_count, modules_held;
	uint64_t transfer_bytes;
	uint64_t nested_bytes; /* of ended children that their parents have not asked for
				*/
	SLIST_HEAD(, rmd_aworker) unflushed, hot;
	SLIST_HEAD(, rmd_apool) unbalanced;
	TAILQ_HEAD(, rmd_acrash) crashes; /* that wait for a helper */
	uint32_t crash_helpers;		  /* that run */
	struct rmd_oom oom;
	struct rmd_alease *spare; /* free leases, linked by link.tqe_next */
	size_t spare_count;
	struct rmd_anumbers returned, began;
	struct rmd_atimers timers;
	struct rmd_atimer check;    /* looks for long tasks */
	struct rmd_atimer trim;	    /* gives memory of idle workers back */
	struct rmd_atimer limit;    /* looks at the memory of busy ones */
	struct rmd_atimer report;   /* tells of changes that can wait */
	struct rmd_atimer progress; /* tells how far tasks are */
	struct rmd_atimer orphan;   /* after the loss of the link */
	struct rmd_atimer respawn;  /* of the spawner */
};

/* ---- inbox.c: what the coordinator says ---- */

extern const struct rmd_link_events rmd_agent_link_events;
/* Takes the bytes of transfer `number` out: true, or false where they have not come. */
bool rmd_agent_take_transfer(struct rmd_agent *agent, uint64_t number,
			     struct rmd_piece *ret_piece);
/* Drops all transfers that nobody has asked for. */
void rmd_agent_drop_transfers(struct rmd_agent *agent);

/* ---- pool.c ---- */

/* Applies a SetPool. RMD_EPROTO, RMD_ELIMIT: the coordinator's mistake; RMD_ENOMEM. */
int rmd_apool_set(struct rmd_agent *agent, const struct rmd_set_pool *set);
struct rmd_apool *rmd_apool_find(const struct rmd_agent *agent, uint64_t number);
/* Makes a zeroed struct one, on no list. */
void rmd_apool_init(struct rmd_apool *pool, struct rmd_agent *agent, uint64_t number);
/* Has the pool dispatched and converged at the end of this round. */
void rmd_apool_unbalance(struct rmd_apool *pool);
/* Does so for all pools that were unbalanced. */
void rmd_apool_balance_all(struct rmd_agent *agent);
/* Puts a lease at the end of the queue, or (again) at its head. */
enum rmd_apool_end { RMD_APOOL_LAST, RMD_APOOL_FIRST };
void rmd_apool_enqueue(struct rmd_apool *pool, struct rmd_alease *lease,
		       enum rmd_apool_end where);
/* Takes a lease out of the queue. */
void rmd_apool_dequeue(struct rmd_apool *pool, struct rmd_alease *lease);
/* Gives back up to `count` leases that have not begun. */
void rmd_apool_recall(struct rmd_apool *pool, uint32_t count);
/* A task has run for so long: adapts the depth of prefetching. */
void rmd_apool_measure(struct rmd_apool *pool, uint64_t run_ns);
/* How many of its workers may be busy at a time, those that wait not counted. */
uint32_t rmd_apool_places(const struct rmd_apool *pool);
/* How many tasks to prefetch behind one that runs. */
uint32_t rmd_apool_depth(const struct rmd_apool *pool);
/* A worker of the pool has become ready. */
void rmd_apool_started(struct rmd_apool *pool);
/* A worker of the pool could not be started, for `err` (takes). Backs off. */
void rmd_apool_start_failed(struct rmd_apool *pool, struct remuda_error *err);
/* The pool is to be reported: at the end of this round; or within a tenth of a second. */
void rmd_apool_dirty(struct rmd_apool *pool);
void rmd_apool_idle_changed(struct rmd_apool *pool);
/* Says what has changed. */
void rmd_apool_report_all(struct rmd_agent *agent);
/* Kills all workers of all pools. */
void rmd_apool_kill_all(struct rmd_agent *agent);
/* Frees the pool: no worker, no lease. */
void rmd_apool_destroy(struct rmd_apool *pool);

/* ---- dispatch.c: which worker gets which lease ---- */

/* Gives queued leases to workers that have room. */
void rmd_apool_dispatch(struct rmd_apool *pool);
/* An idle worker gets half of what another one has not begun. */
void rmd_apool_steal(struct rmd_apool *pool);
/* Takes back from a worker what it has not begun, up to `count`, newest first, to the
 * head of the pool's queue; gives the number. */
uint32_t rmd_apool_take_back(struct rmd_aworker *worker, uint32_t count);

/* ---- nested.c: tasks that submit tasks ---- */

/* How many of the pool's workers have a place: busy, and not waiting for children. */
uint32_t rmd_apool_active(const struct rmd_apool *pool);
/* Its tasks submit tasks: nothing is prefetched, so that the deepest can go first. */
bool rmd_apool_nests(const struct rmd_apool *pool);
/* Once a second: workers kept for tasks that wait go when none has waited for a while.
 * False: nothing is left to forget. */
bool rmd_apool_forget_nesting(struct rmd_apool *pool);
/* Gives places that are free to those in line. */
void rmd_apool_resume_some(struct rmd_apool *pool);
/* The worker waits no more, if it does: its task has ended, or goes on. */
void rmd_aworker_end_wait(struct rmd_aworker *worker);
/* The lease was cancelled: if its task waits, it goes on at once. */
void rmd_aworker_stop_waiting(struct rmd_aworker *worker, struct rmd_alease *lease);
/* Forgets the children of a lease. */
void rmd_anest_free(struct rmd_alease *lease);
/* A child has ended. */
void rmd_agent_take_nested(struct rmd_agent *agent,
			   const struct rmd_nested_outcome *said);
/* What rmd_aworker_events calls. */
void rmd_aworker_on_submit(void *ctx, uint64_t lease, struct rmd_piece submit);
void rmd_aworker_on_ask(void *ctx, uint64_t lease, uint64_t number, bool now);
void rmd_aworker_on_give_up(void *ctx, uint64_t lease, uint64_t number);
void rmd_aworker_on_cancel_child(void *ctx, uint64_t lease, uint64_t number);

/* ---- first.c: what a worker does before its first task ---- */

/* The pool's initializer without its runtime; empty: it has none. Borrowed. */
struct rmd_slice rmd_apool_initializer(const struct rmd_apool *pool);
/* Has a worker that is loaded run the initializer; false: there is none. */
bool rmd_aworker_initialize(struct rmd_aworker *worker);
/* The initializer has ended: the worker begins, or its pool is broken. */
void rmd_aworker_initialized(struct rmd_aworker *worker,
			     const struct rmd_wp_outcome *outcome);
/* A worker was lost, for `err` (takes), while it ran the initializer. */
void rmd_aworker_initializer_lost(struct rmd_apool *pool, struct remuda_error *err);
/* An initializer asks for child `number`, which it cannot have. */
void rmd_aworker_refuse_children(struct rmd_aworker *worker, uint64_t number);
/* The pool is broken for `err` (takes): it runs nothing more; the coordinator is told. */
void rmd_apool_break(struct rmd_apool *part, struct remuda_error *err);

/* ---- memory.c ---- */

/* After a task: has a worker replaced that has grown too much. */
void rmd_aworker_look_for_leak(struct rmd_aworker *worker);
/* Kills busy workers of the pool that use more memory than it allows. False: none is busy,
 * or there is no limit. */
bool rmd_aworker_limit_all(struct rmd_apool *pool);
/* Has that looked at soon: a task begins in a pool with a limit. */
void rmd_agent_arm_limit(struct rmd_agent *agent);

/* ---- start.c ---- */

/* Starts one more worker of the pool. RMD_EAGAIN: not now; else a failure that has been
 * reported as start failure. */
int rmd_aworker_start(struct rmd_apool *pool);

/* ---- worker.c ---- */

/* What a worker's protocol end and timer call. */
extern const struct rmd_wp_events rmd_aworker_events;
void rmd_aworker_on_timer(struct rmd_atimer *timer);
/* Frees what has nothing in its hands and no process. */
void rmd_aworker_destroy(struct rmd_aworker *worker);
/* The one writer of state, room and in_hands; moves it to the list of these. IDLE and
 * BUSY both mean ready: in_hands decides. UNSPECIFIED: on no list (not begun, or ended).
 */
void rmd_aworker_place(struct rmd_aworker *worker, enum rmd_worker_state state,
		       enum rmd_aworker_room room, uint32_t in_hands);
/* Its task of that lease waits for a child; 0: none does. */
void rmd_aworker_set_waiting(struct rmd_aworker *worker, uint64_t lease);
/* Puts a lease that has been given into its hands, and takes one out. */
void rmd_aworker_hold(struct rmd_aworker *worker, struct rmd_alease *lease);
void rmd_aworker_let_go(struct rmd_aworker *worker, struct rmd_alease *lease);
/* Its protocol descriptors have something. */
void rmd_aworker_readable(struct rmd_aworker *worker);
/* The spawner says something of it. */
void rmd_aworker_reported(struct rmd_aworker *worker,
			  const struct rmd_spawn_report *report);
/* It has ended: settles its leases, frees it. `wait_status` NULL: not known. */
void rmd_aworker_ended(struct rmd_aworker *worker, const int *wait_status);
/* A starting one is ready for tasks. */
void rmd_aworker_begin(struct rmd_aworker *worker);
/* Asks an idle or starting one to stop; TERM, then KILL follow. */
void rmd_aworker_stop(struct rmd_aworker *worker);
/* Has it end now, for a reason (borrowed for ever) that its error gives. */
void rmd_aworker_kill(struct rmd_aworker *worker, const char *reason);
/* It says that it crashes, and runs nothing that could end before it: it gets no more, and
 * if it has not ended by itself soon it is made to. Nothing where it is busy. */
void rmd_aworker_distrust(struct rmd_aworker *worker, const char *reason);
/* Has the task that it runs end: cancel word, then TERM, then KILL. */
void rmd_aworker_cancel(struct rmd_aworker *worker, struct rmd_alease *lease);
/* Sends what has gathered for workers. */
void rmd_aworker_flush_all(struct rmd_agent *agent);
/* ---- look.c ---- */

/* Looks for tasks that run long in the pool's workers: says so, and takes back what waits
 * behind them. True if some busy worker's task was not seen to be long yet. */
bool rmd_aworker_check_all(struct rmd_apool *pool);
/* Gives back memory of workers that were idle at the last call too. True if some were
 * not. */
bool rmd_aworker_trim_all(struct rmd_apool *pool);

/* ---- crash_end.c: what is learnt of a crash ---- */

/* Makes the worker's channel; the caller closes *ret_child_fd. RMD_ESYS. */
int rmd_aworker_crash_open(struct rmd_aworker *worker, int *ret_child_fd);
/* The worker's channel, or its helper's, has something. */
void rmd_aworker_crash_readable(struct rmd_aworker *worker);
void rmd_aworker_helper_readable(struct rmd_aworker *worker);
/* The spawner says something of a helper. */
void rmd_aworker_helper_reported(struct rmd_agent *agent,
				 const struct rmd_spawn_report *report);
/* The worker has ended: takes what it and its helper have left, and looks whether the
 * kernel killed it. NULL: its status is not known. */
void rmd_aworker_crash_last(struct rmd_aworker *worker, const int *wait_status);
/* Forgets the crash, and ends its helper. */
void rmd_aworker_crash_close(struct rmd_aworker *worker);
/* Gives the error of a worker that has ended, for the task that it ran (NULL: none). */
struct remuda_error *rmd_aworker_crash_error(const struct rmd_aworker *worker,
					     const struct rmd_alease *lease,
					     const int *wait_status);
/* Why it was lost, for the rule by which its task is tried again. */
enum rmd_failure_cause rmd_aworker_crash_cause(const struct rmd_aworker *worker);

/* ---- lease.c ---- */

/* Makes a lease, queued nowhere yet. NULL: out of memory. */
struct rmd_alease *rmd_alease_create(struct rmd_apool *pool, uint64_t number);
/* Forgets it: it is in no queue and no hands. */
void rmd_alease_destroy(struct rmd_alease *lease);
struct rmd_alease *rmd_alease_find(const struct rmd_agent *agent, uint64_t number);
/* Each ends a lease that is in no queue and no hands, says so, and destroys it. */
void rmd_alease_return(struct rmd_alease *lease);
void rmd_alease_fail(struct rmd_alease *lease, struct remuda_error *err, bool began,
		     uint64_t worker, enum rmd_failure_cause cause);
void rmd_alease_cancelled(struct rmd_alease *lease, const char *reason, uint64_t worker);
void rmd_alease_ended(struct rmd_alease *lease, const struct rmd_wp_outcome *outcome,
		      uint64_t worker);
void rmd_alease_free_spares(struct rmd_agent *agent);

/* ---- report.c: what the coordinator is told ---- */

void rmd_agent_say_hello(struct rmd_agent *agent);
/* An outcome of `lease`, inline or as a transfer. Borrows the payload. */
void rmd_agent_say_outcome(struct rmd_agent *agent,
			   const struct rmd_lease_outcome *outcome,
			   struct rmd_piece payload);
void rmd_agent_say_log(struct rmd_agent *agent, const struct rmd_lease_log *log);
void rmd_agent_say_pool(struct rmd_apool *pool, uint32_t slots);
/* Tells how far long tasks are, where it changed; again while there are such. */
void rmd_agent_tell_progress(struct rmd_atimer *timer);
/* Has it told soon: a task is long. */
void rmd_agent_arm_progress(struct rmd_agent *agent);
void rmd_agent_say_draining(struct rmd_agent *agent);
/* Gather numbers until rmd_agent_say_numbers. */
void rmd_agent_gather(struct rmd_agent *agent, struct rmd_anumbers *numbers,
		      uint64_t number);
void rmd_agent_say_numbers(struct rmd_agent *agent);
/* Gives `err` (takes it) as a raw ErrorChain; NULL: out of memory. */
struct rmd_buf *rmd_agent_encode_error(struct remuda_error *err);

/* ---- module.c ---- */

/* Takes in a module's bytes: checks their digest on a thread of its own, and keeps them
 * in a sealed memfd. Takes the reference in `bytes`. RMD_ELIMIT, RMD_ENOMEM, RMD_ESYS. */
int rmd_amodule_load(struct rmd_agent *agent, const struct rmd_module_image *image,
		     struct rmd_piece bytes);
/* The memfd of a module, borrowed; -1: not here (yet). *ret_name (borrowed) may be NULL.
 */
int rmd_amodule_fd(const struct rmd_agent *agent, const struct rmd_digest *digest,
		   const char **ret_name);
/* Its bytes have come and are being checked. */
bool rmd_amodule_loading(const struct rmd_agent *agent, const struct rmd_digest *digest);
/* Why its bytes were refused (borrowed for ever); NULL: they were not. */
const char *rmd_amodule_refused(const struct rmd_agent *agent,
				const struct rmd_digest *digest);
/* At the end: waits for threads that load; then, when their posts have been run, frees
 * all. */
void rmd_amodule_join_all(struct rmd_agent *agent);
void rmd_amodule_free_all(struct rmd_agent *agent);

/* ---- options.c ---- */

/* Program of the workers of `runtime`, borrowed; NULL: the agent has no such runtime. */
const char *rmd_agent_program(const struct rmd_agent *agent, struct rmd_slice runtime);
/* Copies the options, with their defaults filled in. RMD_ENOMEM, RMD_EINVAL. */
int rmd_agent_copy_options(struct rmd_agent *agent,
			   const struct rmd_agent_options *options);
void rmd_agent_free_options(struct rmd_agent *agent);

/* ---- spawner_end.c: the agent's dealings with its spawner ---- */

/* The spawner has said something, or is gone: then its workers are, and another is
 * started. */
void rmd_agent_spawner_readable(struct rmd_agent *agent);
/* Polls the spawner's socket. RMD_ESYS. */
int rmd_agent_spawner_listen(struct rmd_agent *agent);
/* Has the spawner kill all workers and whatever they started, and waits until it is done.
 */
void rmd_agent_spawner_end(struct rmd_agent *agent);
/* Starts another spawner. */
void rmd_agent_respawn(struct rmd_agent *agent);

/* ---- agent.c ---- */

/* What epoll says of what is not a worker. */
#define RMD_AGENT_WAKE UINT64_C(0)
#define RMD_AGENT_SPAWNER UINT64_MAX
/* With a worker's number: its channel for a crash, and its helper (at the spawner too).
 */
#define RMD_AGENT_CRASH (UINT64_C(1) << 62)
#define RMD_AGENT_HELPER (UINT64_C(1) << 61)

/* Begins to drain. */
void rmd_agent_begin_draining(struct rmd_agent *agent);
/* Arms the look for long tasks. */
void rmd_agent_arm_check(struct rmd_agent *agent);
