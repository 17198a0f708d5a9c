/* remuda/pool.h: pools of worker processes: open, resize, close. Included by remuda.h, whose
 * conventions hold here. */
#ifndef REMUDA_POOL_H
#define REMUDA_POOL_H

#include <remuda/remuda.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a pool is: a reusable set of workers. Start from REMUDA_POOL_OPTIONS_INIT. */
struct remuda_pool_options {
	uint32_t version;            /* REMUDA_POOL_OPTIONS_VERSION */
	uint32_t max_workers;        /* 0: as many as the agents have cpus */
	const char *name;            /* shared under this name; NULL: the client's own */
	const char *runtime;         /* NULL: "native" */
	uint64_t idle_timeout_ms;    /* 0: 10 s */
	const char *const *environment; /* "NAME=VALUE", ended by NULL */
	const uint8_t (*modules)[32]; /* digests, from remuda_module_push */
	size_t module_count;         /* at most 64 */
	uint32_t max_tasks_per_worker; /* then it is replaced; 0: never */
	uint32_t cpu_milli;          /* cpus of one worker in thousandths; 0: 1000 */
	uint64_t memory_bytes;       /* of one worker; 0: no limit */
	const char *const *labels; /* "key=value" that agents must have, ended by NULL */
	/* Run once in each worker before its first task: "RUNTIME:NAME" of the pool's
	 * runtime, and its arguments (at most 64 KiB encoded). NULL: nothing is. Where it
	 * fails, or its worker dies in it, the pool is broken: tasks that wait there and
	 * later submits fail as BrokenPool, caused by its error. */
	const char *initializer;
	const struct remuda_arg *initializer_args;
	size_t initializer_arg_count; /* at most 255 */
	/* A worker whose own memory has grown by more than so much since the end of its
	 * first task is replaced, between tasks; 0: 300,000,000 bytes;
	 * REMUDA_LEAK_NEVER. */
	uint64_t leak_bytes;
	/* A worker that is lost breaks the pool: all its tasks, running ones too, fail as
	 * BrokenPool. false: only the task that the worker ran fails. */
	bool broken_on_crash;
};
#define REMUDA_LEAK_NEVER UINT64_MAX
#define REMUDA_POOL_OPTIONS_VERSION 1u
#ifdef __cplusplus
#define REMUDA_POOL_OPTIONS_INIT                                                       \
	{                                                                              \
		REMUDA_POOL_OPTIONS_VERSION, 0, nullptr, nullptr, 0, nullptr, nullptr, \
			0, 0, 0, 0, nullptr, nullptr, nullptr, 0, 0, false             \
	}
#else
#define REMUDA_POOL_OPTIONS_INIT {.version = REMUDA_POOL_OPTIONS_VERSION}
#endif

/* Gets the pool of that spec, resizes it when only max_workers differs, else creates it;
 * one that is broken or closed is made anew. `*ret_pool` is its number in this client, for
 * remuda_task_options.pool: the same for the same spec. Tasks that run are not disturbed:
 * a pool that shrinks stops workers after their task. Waits for the coordinator's answer.
 * REMUDA_EINVAL: the error names the field (a named pool with another spec exists). */
REMUDA_API int remuda_pool_open(struct remuda *client,
				const struct remuda_pool_options *options,
				uint32_t *ret_pool, struct remuda_error **ret_err);

/* What becomes of a pool's tasks when it is closed. */
enum remuda_pool_end {
	REMUDA_POOL_DRAIN = 1, /* queued and running ones go on to their ends */
	REMUDA_POOL_CANCEL,    /* those that have not begun are cancelled, others go on */
	REMUDA_POOL_KILL,      /* all are cancelled, and workers killed with what they
				* started: at once where the pool is the client's own, else
				* those that do not end by themselves */
};
/* Closes a pool: no task can be submitted to its number any more (PoolClosed,
 * REMUDA_ECLOSED), until it is opened again. An unnamed pool ends; of a named one only
 * this client's tasks are touched. Then waits until all of this client's tasks there have
 * ended, in whichever way (cancelled ones: REMUDA_ECANCELLED): 0; REMUDA_ETIMEOUT: some
 * have not within `timeout_ms` (below 0: for ever; 0: it does not wait): they go on as
 * `how` says, for as long as the client is open. Futures stay valid. REMUDA_ENOTFOUND: no
 * such pool is open. On the client's own thread only with timeout 0. */
REMUDA_API int remuda_pool_close(struct remuda *client, uint32_t pool,
				 enum remuda_pool_end how, int64_t timeout_ms,
				 struct remuda_error **ret_err);

#ifdef __cplusplus
}
#endif

#endif
