/* worker/native/run.h: runs one task: decodes, calls, encodes.
 *
 * A run has an arena, emptied after each task, in which decoded arguments, results and
 * what the task allocates live. The worker's main thread; the context's functions may
 * also be called by threads that the task started, so those hold the lock. */
#pragma once

#include <pthread.h>
#include <remuda/task.h>

#include "proto/base/arena.h"
#include "proto/base/map.h"
#include "proto/codec/wire.h"
#include "worker/native/functions.h"
#include "worker/protocol/worker_end.h"

#define RMD_RUN_MAGIC 0x52554e01u

struct rmd_run {
	remuda_ctx ctx; /* first: what the task sees */
	uint32_t magic;
	struct rmd_wpw *end;		 /* borrowed */
	struct rmd_functions *functions; /* borrowed */
	const char *host;		 /* borrowed; for errors */
	uint64_t worker;
	pthread_mutex_t lock;
	struct rmd_arena arena;
	struct rmd_wire_writer
		writer; /* for errors, and for what can't be measured beforehand */

	/* The running task. */
	const struct rmd_wpw_task *task;
	const struct rmd_function *function;
	struct rmd_slice arguments[REMUDA_PARAMS_MAX];
	struct remuda_error *err; /* raised last; owned; NULL: none */
	unsigned raises;
	struct rmd_captured *captured; /* borrowed; NULL: the program is our own */
	/* A function that the task calls (run_call.c): where its result goes; NULL: none. */
	struct remuda_value *sink;
	bool sunk; /* it has */
	uint32_t calls;
	uint64_t begun_ns, run_ns;
	uint64_t silent_below_ns; /* tasks that took less have not printed; 0: can't be
				     told */
	/* What it has submitted (run_nested.c). */
	pthread_mutex_t ask_lock; /* one question at a time; taken before `lock` */
	struct rmd_map children; /* number -> struct rmd_run_child, owned: not yet told */
	uint64_t last_child;
	struct remuda_error **child_errors; /* owned, and so are the errors: given out */
	size_t child_error_count, child_error_room;
	bool encoded;	      /* its result lies in the reserved room ... */
	size_t encoded_bytes; /* ... so long */
};

/* Makes a run; `end`, `functions` and `host` are borrowed until fini. */
void rmd_run_init(struct rmd_run *run, struct rmd_wpw *end,
		  struct rmd_functions *functions, const char *host, uint64_t worker);
void rmd_run_fini(struct rmd_run *run);
/* Runs `task`, which next has given, and commits its outcome. RMD_ECLOSED: the agent is
 * gone. */
int rmd_run_task(struct rmd_run *run, const struct rmd_wpw_task *task);

/* ---- between the files of this room ---- */

/* The table that tasks are handed. */
extern const struct remuda_abi rmd_run_abi;
/* Makes `err` the task's error (takes it); what it had becomes its context. */
void rmd_run_fail(struct rmd_run *run, struct remuda_error *err);
/* Writes parameter `index` as its C type to `ret`; 0, or -1 with an error recorded. */
int rmd_run_decode(remuda_ctx *ctx, uint32_t index, void *ret);
/* Writes the result (NULL: void) to the outcome's room; 0, or -1 with an error recorded.
 */
int rmd_run_encode(remuda_ctx *ctx, const void *result);

/* run_abi.c: records an error of the running task, with its place; the lock is held. A
 * `cause` is taken (NULL: none). */
struct remuda_error *rmd_run_record(struct rmd_run *run, const struct remuda_place *place,
				    struct remuda_error *cause, const char *type,
				    const char *format, ...)
	__attribute__((format(printf, 5, 6)));
void rmd_run_lock(struct rmd_run *run);
void rmd_run_unlock(struct rmd_run *run);

/* run_nested.c: the entries of the table, and what the others need. */
uint64_t rmd_run_submit(remuda_ctx *ctx, const struct remuda_place *place,
			const struct remuda_child_options *options, const char *function,
			const struct remuda_value *args, size_t count);
int rmd_run_get(remuda_ctx *ctx, const struct remuda_place *place, uint64_t task,
		int64_t timeout_ms, struct remuda_value *ret_value,
		struct remuda_error **ret_err);
void rmd_run_cancel(remuda_ctx *ctx, uint64_t task);
/* run_call.c: the entry of the table. */
int rmd_run_call(remuda_ctx *ctx, const struct remuda_place *place,
		 const struct remuda_value *function, const struct remuda_value *args,
		 size_t count, struct remuda_value *ret_value);
/* `err` becomes part of a chain: it is no longer among the child errors, if it was. */
void rmd_run_release_error(struct rmd_run *run, const struct remuda_error *err);
/* The task has ended: forgets its children and their errors. */
void rmd_run_end_children(struct rmd_run *run);
