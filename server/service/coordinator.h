/* server/service/coordinator.h: what the services of remudad have in common.
 *
 * Joins the core (which decides) to the streams (which carry): decodes into core events,
 * encodes the core's actions. Everything here belongs to the loop's thread.
 *
 *   session.c   Executor.Session: the libraries' stream
 *   sharing.c   the memory that a session shares with its client
 *   executor.c  Executor.Run, Submit, Await, Cancel, Map: one call a task
 *   hub.c       agents, whatever link they come by
 *   attach.c    Agents.Attach: the link of a remote agent
 *   pools.c, blobs.c, admin.c   the control plane
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proto/base/map.h"
#include "proto/codec/frames.h"
#include "proto/codec/frames_pool.h"
#include "proto/rpc/rpc.h"
#include "server/core/core.h"
#include "server/service/sharing.h"
#include "server/store/blobs.h"

struct rmd_hub;
struct rmd_mailbox;
struct rmd_session;
struct rmd_link;

struct rmd_coordinator_options {
	bool private_mode;           /* one client; pools' max_workers rule on the local agent */
	uint64_t payload_budget_bytes;
	uint64_t blob_budget_bytes;
	struct rmd_mailbox *mailbox; /* borrowed; NULL: no memory is shared with clients */
	uint64_t shared_bytes;       /* most that lies in a client's view at a time */
	uint64_t client_grace_ms;    /* how long a lost client may come back */
	uint64_t retention_ms;       /* how long outcomes wait that nobody is there for */
	uint64_t retained_bytes;     /* at most so much of them */
	uint32_t workers_lost_max;   /* by one task */
	uint64_t cannot_run_ms;      /* until what no agent suits fails; UINT64_MAX: never */
};

/* Who submitted a task: the `user` of a core client begins with this. */
struct rmd_submitter {
	/* The task has ended; `outcome` is borrowed for the call, its bytes lie in
	 * `buf`. */
	enum rmd_core_keep (*ended)(struct rmd_submitter *submitter, struct rmd_core_task *task,
				    const struct rmd_outcome *outcome, struct rmd_buf *buf);
	/* The task printed something. */
	void (*log)(struct rmd_submitter *submitter, struct rmd_core_task *task,
		    const struct rmd_log_chunk *log);
	/* The core has given the client up. */
	void (*expired)(struct rmd_submitter *submitter);
};

LIST_HEAD(rmd_sessions, rmd_session);
TAILQ_HEAD(rmd_hubs, rmd_hub);

struct rmd_executor;
struct rmd_admin;
struct rmd_unary;

/* Read-only for the services, but for the lists that are theirs. */
struct rmd_coordinator {
	uint32_t magic;
	struct rmd_coordinator_options options;
	struct rmd_loop *loop;
	struct rmd_server *server;
	struct rmd_core *core;
	struct rmd_jobs *jobs;
	struct rmd_blobs *blobs;
	uint64_t epoch;              /* random: names this life of the coordinator */
	uint64_t started_ms;
	uint64_t most_held;          /* tasks, since memory was trimmed last */
	struct rmd_timer timer;      /* the core's next decision */
	struct rmd_deferred decide;
	struct rmd_sessions sessions;
	struct rmd_map sessions_by_id; /* session.c's */
	struct rmd_sharing_copies copies; /* sharing.c's */
	uint32_t session_count, starved_count;
	struct rmd_hubs hubs;
	struct rmd_executor *executor;
	struct rmd_core_client *calls; /* the executor's */
	struct rmd_admin *admin;
	struct rmd_core_pool *default_native, *default_python; /* cached; NULL: open anew */
	const char *const *addresses; /* where it listens, for people */
	size_t address_count;
	void (*stopped)(void *ctx);  /* see rmd_coordinator_stop */
	void *stopped_ctx;
	struct rmd_timer stop_timer;
	void (*shutdown)(void *ctx, uint64_t grace_ms); /* Admin.Shutdown */
	void *shutdown_ctx;
};

/* Gives a coordinator whose methods are on `server`, which is not started yet. NULL:
 * out of memory. */
struct rmd_coordinator *rmd_coordinator_create(struct rmd_loop *loop, struct rmd_server *server,
					       const struct rmd_coordinator_options *options);
/* Ends all sessions and hubs and frees; after the server has been shut down. */
void rmd_coordinator_destroy(struct rmd_coordinator *coordinator);
/* Says where it listens (borrowed), for Admin.Status. */
void rmd_coordinator_set_addresses(struct rmd_coordinator *coordinator,
				   const char *const *addresses, size_t count);
/* An agent has come by `link`, which the coordinator owns from now on. `own`: the
 * built-in one. */
int rmd_coordinator_add_agent(struct rmd_coordinator *coordinator, struct rmd_link *link, bool own);
/* Accepts no new task, lets the present ones end for `grace_ms`, then cancels them;
 * calls `stopped` once all have ended, at the latest a second after the grace. A
 * second call with a shorter grace shortens it. */
void rmd_coordinator_stop(struct rmd_coordinator *coordinator, uint64_t grace_ms,
			  void (*stopped)(void *ctx), void *ctx);
/* Who carries out Admin.Shutdown; NULL: it is refused. */
void rmd_coordinator_on_shutdown(struct rmd_coordinator *coordinator,
				 void (*shutdown)(void *ctx, uint64_t grace_ms), void *ctx);

/* ---- for the services ---- */

/* The core has had events: it decides at the end of this round. */
void rmd_coordinator_touch(struct rmd_coordinator *coordinator);
/* The pool of `runtime` for tasks that name none; opened anew where it has gone. */
int rmd_coordinator_default_pool(struct rmd_coordinator *coordinator, struct rmd_slice runtime,
				 struct rmd_core_pool **ret_pool);
/* `blob`, a module, was pushed (again): from now on it is the newest of its prefix, and what the
 * default pool's workers load. What runs or is leased there ends on the old ones; what is
 * queued goes to the new. RMD_ELIMIT: there are RMD_POOL_MODULES_MAX other prefixes. */
int rmd_coordinator_push_module(struct rmd_coordinator *coordinator, struct rmd_blob *blob);
/* `blob` is a module no more: it goes when nobody uses it. The default pool as above. */
void rmd_coordinator_remove_module(struct rmd_coordinator *coordinator, struct rmd_blob *blob);
/* Opens a pool for `client` (NULL: for nobody) from its spec; *ret_why (free with
 * rmd_free) says why not: which field or module. */
int rmd_coordinator_open_pool(struct rmd_coordinator *coordinator, struct rmd_core_client *client,
			      const struct rmd_pool_spec *spec, struct rmd_core_pool **ret_pool,
			      bool *ret_reused, char **ret_why);
/* The runtime in "RUNTIME:NAME": everything before the first colon; empty: there is
 * none. */
struct rmd_slice rmd_function_runtime(struct rmd_slice function);

/* What a submit asks for beyond the common, for the core. */
struct rmd_submit_rules {
	struct rmd_core_rules rules;
	struct rmd_retry_rule retry; /* what rules.error_types points to */
};
/* Fills `ret_rules` from checked options. Gives its rules, or NULL: they ask for none. */
const struct rmd_core_rules *rmd_submit_rules(const struct rmd_task_options *options,
					      struct rmd_submit_rules *ret_rules);
/* Makes the outcome of a task that ended as `end` says. `given`: the bytes that came
 * with it, if any. *ret_buf: what outcome->bytes lie in; a reference of the caller's
 * own, perhaps NULL. */
void rmd_outcome_make(const struct rmd_core_task *task, enum rmd_core_end end,
		      struct rmd_piece given, struct rmd_outcome *ret_outcome,
		      struct rmd_buf **ret_buf);
/* As above while the task ends: from the ending, with all that it tells. */
void rmd_outcome_make_ending(const struct rmd_core_task *task, const struct rmd_core_ending *ending,
			     struct rmd_outcome *ret_outcome, struct rmd_buf **ret_buf);
/* An error outcome of the service's own, of that type. Gives the raw ErrorChain, NULL:
 * no memory. */
struct rmd_buf *rmd_outcome_refused(const char *type, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Gives the error of tasks that are submitted to a broken pool, an ErrorChain; NULL: it is not
 * broken, or out of memory. */
struct rmd_buf *rmd_outcome_pool_broken(const struct rmd_core_pool *pool);
/* A submit that the core refused with `rc`: the type and text of its error. */
struct rmd_buf *rmd_outcome_submit_refused(const struct rmd_coordinator *coordinator, int rc,
					   struct rmd_slice function);

/* A log chunk of any task, for Admin.Logs; task NULL: a worker between tasks. */
void rmd_admin_log(struct rmd_admin *admin, const struct rmd_hub *hub, struct rmd_core_task *task,
		   uint64_t worker, const struct rmd_log_chunk *log);
/* True while somebody listens to Admin.Logs. */
bool rmd_admin_logs_wanted(const struct rmd_admin *admin);
/* The session's 16 bytes of a task's client. */
const uint8_t *rmd_submitter_session(const struct rmd_coordinator *coordinator,
				     const struct rmd_submitter *submitter);
/* The task of that id, or NULL. */
struct rmd_core_task *rmd_coordinator_task(struct rmd_coordinator *coordinator,
					   const struct rmd_task_id *id);

/* Each service adds its methods to coordinator->server; destroy takes NULL. */
int rmd_session_service_add(struct rmd_coordinator *coordinator);
void rmd_session_service_end(struct rmd_coordinator *coordinator);
/* Tells the sessions that had no room for another submit of the room there is now. */
void rmd_session_feed(struct rmd_coordinator *coordinator);
const uint8_t *rmd_session_id(const struct rmd_session *session);
struct rmd_core_client *rmd_session_client(const struct rmd_session *session);
struct rmd_session *rmd_session_find(struct rmd_coordinator *coordinator, const uint8_t *id);

struct rmd_executor *rmd_executor_create(struct rmd_coordinator *coordinator);
void rmd_executor_destroy(struct rmd_executor *executor);
const uint8_t *rmd_executor_session(const struct rmd_executor *executor);
struct rmd_core_client *rmd_executor_client(const struct rmd_executor *executor);
bool rmd_executor_owns(const struct rmd_executor *executor, const struct rmd_submitter *submitter);

int rmd_attach_service_add(struct rmd_coordinator *coordinator);
int rmd_pools_service_add(struct rmd_coordinator *coordinator);
int rmd_blobs_service_add(struct rmd_coordinator *coordinator);
struct rmd_admin *rmd_admin_create(struct rmd_coordinator *coordinator);
void rmd_admin_destroy(struct rmd_admin *admin);
