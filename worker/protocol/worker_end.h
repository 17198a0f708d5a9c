/* worker/protocol/worker_end.h: the worker's end of the worker protocol.
 *
 * A runtime opens it, reads its setup, says ready, and then takes tasks one at a time:
 * next, run, reserve, commit. A task that next has given is claimed: the agent will not
 * take it back. What commit has published has left this process.
 *
 * Blocks wherever it has to wait for the agent. One thread, but for those functions that
 * say otherwise. The agent is trusted; what it sends is checked nevertheless, so that a
 * mix of versions fails in words. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "worker/protocol/protocol.h"

struct rmd_wpw; /* the worker's end */

/* What the agent says first. Borrowed until the first rmd_wpw_next. */
struct rmd_wpw_setup {
	const char *host; /* "" : not said */
	uint64_t worker;
	const char *const *modules;
	size_t module_count;
};

/* A task to run now. Borrowed until its commit. */
struct rmd_wpw_task {
	uint64_t seq;
	struct rmd_slice function;  /* without the runtime; no NUL behind it */
	struct rmd_slice arguments; /* remuda.v1.Arguments; not to be written to */
	uint32_t attempt;
	uint32_t depth;
	uint64_t deadline_mono_ns; /* 0: none */
};

/* Gives the end made of the descriptors from RMD_WP_WORKER_FD on; it moves the socket to
 * a number out of users' way and closes the others. RMD_ENOMEM, RMD_ESYS (not started by
 * an agent), RMD_EVERSION. */
int rmd_wpw_open(struct rmd_wpw **ret_end);
/* Closes and frees; NULL is allowed. */
void rmd_wpw_close(struct rmd_wpw *end);
/* Waits for the setup. RMD_ECLOSED; RMD_EPROTO; RMD_EVERSION: the agent is of another
 * version. */
int rmd_wpw_recv_setup(struct rmd_wpw *end, struct rmd_wpw_setup *ret_setup);
/* Says that tasks may come. RMD_ECLOSED, RMD_ENOMEM. */
int rmd_wpw_send_ready(struct rmd_wpw *end);
/* Most bytes of a chain for rmd_wpw_send_start_failed. */
#define RMD_WPW_START_ERROR_MAX 60000u
/* Says why not: an ErrorChain. RMD_ETOOBIG, RMD_ECLOSED, RMD_ENOMEM. */
int rmd_wpw_send_start_failed(struct rmd_wpw *end, struct rmd_slice error_chain);

/* Waits for the next task and claims it. RMD_ECLOSED: the agent asks to exit, or is gone;
 * RMD_EPROTO: what came makes no sense. */
int rmd_wpw_next(struct rmd_wpw *end, struct rmd_wpw_task *ret_task);
/* A task that took less than this has not written to a pipe: not even an empty system
 * call and a copy of one byte are done in that time, on any machine. So the runtime need
 * not look (two system calls, which would be half of what a short task costs). */
#define RMD_WPW_SILENT_BELOW_NS 150u
/* May the claimed task have printed? */
enum rmd_wpw_output { RMD_WPW_PRINTED_PERHAPS, RMD_WPW_SILENT };
/* Room for the claimed task's outcome: `len` bytes of shared memory to write it to; waits
 * where there is none. RMD_ETOOBIG: over 1 GiB; RMD_ECLOSED: the agent is gone. What was
 * printed (and flushed) before counts as this task's. At most one is open at a time; a
 * second call gives up the first. */
int rmd_wpw_reserve(struct rmd_wpw *end, size_t len, enum rmd_wpw_output output,
		    uint8_t **ret_bytes);
/* Publishes the first `len` bytes of the reserved room as the claimed task's outcome. */
void rmd_wpw_commit(struct rmd_wpw *end, enum rmd_wp_outcome_kind kind, size_t len,
		    uint64_t run_ns);

/* Sends a piece of the claimed task's log (cut at 64 KiB). Waits for room. Not between
 * reserve and commit. (Any thread, if calls of this one and of reserve and commit exclude
 * each other.) RMD_ECLOSED. */
int rmd_wpw_log(struct rmd_wpw *end, struct rmd_slice bytes);
/* (any thread) The claimed task's progress. */
void rmd_wpw_set_progress(struct rmd_wpw *end, uint64_t done, uint64_t total);
/* (any thread) True if the claimed task has been cancelled. */
bool rmd_wpw_cancelled(const struct rmd_wpw *end);
/* What has been printed so far belongs to no task. RMD_ECLOSED. */
int rmd_wpw_disown_output(struct rmd_wpw *end);

/* ---- tasks that submit tasks: worker_nested.c ---- */

/* Publishes the first `len` bytes of the reserved room as what the claimed task submits:
 * a NestedSubmit without lease. */
void rmd_wpw_submit(struct rmd_wpw *end, size_t len);

/* Whether a task that asks for a child waits for it. */
enum rmd_wpw_ask { RMD_WPW_ASK_WAIT, RMD_WPW_ASK_NOW };
/* Asks how child `number` ended. *ret_ticket is for rmd_wpw_await_answer, which must
 * follow. As rmd_wpw_log in all else. RMD_ECLOSED. */
int rmd_wpw_ask(struct rmd_wpw *end, uint64_t number, enum rmd_wpw_ask how,
		uint32_t *ret_ticket);
/* Says that the claimed task goes on without child `number`; the answer is yet to be
 * awaited. As rmd_wpw_log. */
int rmd_wpw_give_up(struct rmd_wpw *end, uint64_t number);
/* Says that child `number` shall end. As rmd_wpw_log. */
int rmd_wpw_cancel_child(struct rmd_wpw *end, uint64_t number);
/* Waits for the answer, at most until `until_mono_ns` (0: for ever). `*ret_payload` is
 * borrowed until the next ask or commit, and is not to be written to. RMD_ETIMEOUT;
 * RMD_ECLOSED; RMD_EPROTO. (Any thread: the one that asked.) */
int rmd_wpw_await_answer(struct rmd_wpw *end, uint64_t number, uint32_t ticket,
			 uint64_t until_mono_ns, enum rmd_wp_answer *ret_kind,
			 struct rmd_slice *ret_payload);
