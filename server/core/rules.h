/* server/core/rules.h: the rules by which a task ends, as the core's users see them: its
 * states, its ends, why attempts fail, and what a submit may ask for beyond the common.
 * Included by core.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"

#define RMD_CORE_ERROR_TYPES_MAX 16u
#define RMD_CORE_ERROR_TYPE_MAX 128u		   /* bytes of one */
#define RMD_CORE_BACKOFF_MAX_MS UINT64_C(86400000) /* a day */
#define RMD_CORE_BACKOFF_DEFAULT_MAX_MS 60000u
#define RMD_CORE_ATTEMPTS_KEPT 8u      /* attempts of a task that are remembered */
#define RMD_CORE_LAST_ERROR_MAX 16384u /* bytes of the last failed attempt's error */

struct rmd_core_client;
struct rmd_core_task;

/* States of a task. QUEUED -> LEASED -> RUNNING -> DONE; LEASED or RUNNING -> QUEUED when
 * it is tried again; any -> DONE. Name and text of each. */
#define RMD_CORE_TASK_STATES(X)                                                    \
	X(RMD_CORE_TASK_QUEUED, "queued")   /* waits for a worker, or backs off */ \
	X(RMD_CORE_TASK_LEASED, "leased")   /* granted; not known to have begun */ \
	X(RMD_CORE_TASK_RUNNING, "running") /* user code has begun */              \
	X(RMD_CORE_TASK_DONE, "done")	    /* has ended; held until acknowledged */

/* How a task ended. */
#define RMD_CORE_ENDS(X)                                                             \
	X(RMD_CORE_END_NONE, "has not ended")                                        \
	X(RMD_CORE_END_VALUE, "value")                                               \
	X(RMD_CORE_END_ERROR, "error")                                               \
	X(RMD_CORE_END_CANCELLED, "cancelled by its client")                         \
	X(RMD_CORE_END_STOPPED, "cancelled by an operator")                          \
	X(RMD_CORE_END_CLIENT_GONE, "cancelled since its client is gone")            \
	X(RMD_CORE_END_POOL_CLOSED, "cancelled since its pool was closed")           \
	X(RMD_CORE_END_POOL_BROKEN, "its pool is broken")                            \
	X(RMD_CORE_END_SHUTDOWN, "cancelled since the coordinator shuts down")       \
	X(RMD_CORE_END_DEADLINE, "deadline exceeded")                                \
	X(RMD_CORE_END_QUEUE_DEADLINE, "it did not begin within its queue deadline") \
	X(RMD_CORE_END_RUN_DEADLINE, "an attempt exceeded its run deadline")         \
	X(RMD_CORE_END_POISONED, "it ended too many workers")                        \
	X(RMD_CORE_END_CANNOT_RUN, "no agent can run it")                            \
	X(RMD_CORE_END_PARENT_GONE, "cancelled with the task that submitted it")     \
	X(RMD_CORE_END_START_FAILED, "no worker of its pool could be started")       \
	X(RMD_CORE_END_AGENT_LOST, "the agent that held it was lost")

/* Why an attempt failed. */
#define RMD_CORE_CAUSES(X)                                                         \
	X(RMD_CORE_CAUSE_NONE, "nothing failed")                                   \
	X(RMD_CORE_CAUSE_TASK_ERROR, "the task raised an error")                   \
	X(RMD_CORE_CAUSE_WORKER_LOST, "its worker was lost")                       \
	X(RMD_CORE_CAUSE_OUT_OF_MEMORY, "its worker was ended for want of memory") \
	X(RMD_CORE_CAUSE_AGENT_LOST, "its agent was lost")                         \
	X(RMD_CORE_CAUSE_RUN_DEADLINE, "it exceeded its run deadline")

#define RMD_CORE_ENUM(name, text) name,
enum rmd_core_task_state { RMD_CORE_TASK_STATES(RMD_CORE_ENUM) };
enum rmd_core_end { RMD_CORE_ENDS(RMD_CORE_ENUM) };
enum rmd_core_cause { RMD_CORE_CAUSES(RMD_CORE_ENUM) };
#undef RMD_CORE_ENUM

/* The texts above, borrowed for ever. */
const char *rmd_core_task_state_name(enum rmd_core_task_state state);
const char *rmd_core_end_text(enum rmd_core_end end);
const char *rmd_core_cause_text(enum rmd_core_cause cause);

/* A set of causes is a sum of these. */
#define RMD_CORE_CAUSE_BIT(cause) (UINT32_C(1) << (cause))
/* What is tried again where neither causes nor types of errors are named. */
#define RMD_CORE_RETRY_DEFAULT                              \
	(RMD_CORE_CAUSE_BIT(RMD_CORE_CAUSE_TASK_ERROR) |    \
	 RMD_CORE_CAUSE_BIT(RMD_CORE_CAUSE_WORKER_LOST) |   \
	 RMD_CORE_CAUSE_BIT(RMD_CORE_CAUSE_OUT_OF_MEMORY) | \
	 RMD_CORE_CAUSE_BIT(RMD_CORE_CAUSE_AGENT_LOST))
#define RMD_CORE_RETRY_ALL \
	(RMD_CORE_RETRY_DEFAULT | RMD_CORE_CAUSE_BIT(RMD_CORE_CAUSE_RUN_DEADLINE))

/* Rare wishes of a submit; all zero: none. Borrowed for the call, copied. */
struct rmd_core_rules {
	uint64_t queue_deadline_ms; /* from acceptance until user code begins; 0: none */
	uint64_t run_deadline_ms;   /* of each attempt; 0: none */
	uint32_t retry_on; /* causes after which it is tried again, as far as max_attempts
			    * allows; 0 without types: RMD_CORE_RETRY_DEFAULT */
	const struct rmd_slice *error_types; /* and errors of these types */
	size_t error_type_count;
	uint64_t backoff_ms; /* before the second attempt; doubles with each; 0: none */
	uint64_t backoff_max_ms; /* 0: RMD_CORE_BACKOFF_DEFAULT_MAX_MS */
	bool detached; /* goes on when its client is gone; its outcome waits for its time
			*/
};

/* One failed attempt. */
struct rmd_core_attempt {
	uint32_t attempt; /* from 1 */
	enum rmd_core_cause cause;
	uint64_t worker;   /* as the agent said; 0: unknown */
	uint64_t run_ns;   /* as the agent said; 0: unknown */
	uint64_t ended_ms; /* when the core heard of it */
	char agent[48];	   /* its name, perhaps cut */
};
/* The failed attempts of a task that are remembered, oldest first (at most
 * RMD_CORE_ATTEMPTS_KEPT, the newest): how many, and the `index`-th. */
uint32_t rmd_core_task_failures(const struct rmd_core_task *task);
const struct rmd_core_attempt *rmd_core_task_failure(const struct rmd_core_task *task,
						     uint32_t index);
/* The error of the last of them as its agent sent it; empty: none came, or it was too
 * large to be kept. */
struct rmd_piece rmd_core_task_last_error(const struct rmd_core_task *task);
/* Its other deadlines; 0: none. */
uint64_t rmd_core_task_queue_deadline_ms(const struct rmd_core_task *task);
uint64_t rmd_core_task_run_deadline_ms(const struct rmd_core_task *task);
/* It goes on when its client is gone. */
bool rmd_core_task_detached(const struct rmd_core_task *task);
/* When its next attempt may begin, where it backs off; else 0. */
uint64_t rmd_core_task_backs_off_until_ms(const struct rmd_core_task *task);
/* Why a task waits, for a person, to `ret_text` (RMD_CORE_EXPLAIN_BYTES suffice): "no
 * agent is attached", "waits for its turn: 41 tasks are queued in its pool"; empty: it
 * does not wait. */
void rmd_core_task_explain(const struct rmd_core_task *task, char *ret_text, size_t size);

/* The client is gone for good, and has detached tasks that go on. */
bool rmd_core_client_abandoned(const struct rmd_core_client *client);
/* Its detached tasks that are held, in all states. */
uint64_t rmd_core_client_detached(const struct rmd_core_client *client);
