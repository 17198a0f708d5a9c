/* tests/unit/protocol/harness.h: an agent's end with a worker behind it, and what the
 * worker said. */
#pragma once

#include <remuda/error.h>
#include <remuda/value.h>

#include "proto/base/arena.h"
#include "tests/unit/protocol/worker_process.h"
#include "worker/protocol/protocol.h"

#define HARNESS_LOG_MAX 262144u

/* What one event said, in order. */
struct harness_log {
	char text[HARNESS_LOG_MAX]; /* "out 1: hello\n|err 2: …|": stream, lease, bytes, |
				     */
	size_t len;
};

struct harness {
	struct rmd_wp *end;
	pid_t pid;			  /* 0: none, or waited for */
	int status;			  /* its wait status */
	bool ready, ended;		  /* ended: read said RMD_ECLOSED */
	int broken;			  /* what read said, if that was an error */
	struct remuda_error *start_error; /* owned */
	struct harness_log *log;
	uint64_t next_lease;

	/* The outcome that was waited for, and how many there were. */
	uint64_t outcomes, wanted;
	bool found;
	enum rmd_wp_outcome_kind kind;
	struct rmd_piece payload; /* owned */
	uint64_t run_ns;
	uint64_t seen_sum; /* of the leases of all outcomes */

	/* What tasks submit and ask (log: "sub LEASE NUMBER FUNCTION POOL|", "ask LEASE
	 * NUMBER|", "now …|", "up …|", "can …|"). NULL: unknown, none. */
	void (*ask)(struct harness *harness, uint64_t lease, uint64_t number, bool now);
	void (*give_up)(struct harness *harness, uint64_t lease, uint64_t number);
	uint64_t submits, asked;
	struct rmd_piece submit; /* the last NestedSubmit; owned */

	struct rmd_arena arena;
	struct remuda_value value; /* the last call's, in the arena or the payload */
	struct remuda_error *err;  /* the last call's; owned */
};

/* An end for `tasks_max` tasks, without a worker. */
void harness_open(struct harness *harness, uint32_t tasks_max);
/* The real native worker with these modules; waits until it is ready or has failed to
 * start. */
void harness_start(struct harness *harness, const char *const *modules, size_t count);
/* Frees all; a worker that still runs is killed. */
void harness_close(struct harness *harness);

/* Reads once, after waiting for input; remembers what read gave. False: it has ended. */
bool harness_pump(struct harness *harness);
/* Pumps until the worker has closed its end, then waits for it. */
void harness_wait_end(struct harness *harness);
/* Gives a task with these arguments; its lease. Fails the test if it is not accepted. */
uint64_t harness_give(struct harness *harness, const char *function,
		      const struct remuda_value *args, size_t count);
/* Flushes, and pumps until that lease has its outcome: true (kind, payload), or the
 * worker is gone: false. */
bool harness_await(struct harness *harness, uint64_t lease);
/* Both, and decodes: 0: harness->value; 1: harness->err; -1: the worker was lost. */
int harness_call(struct harness *harness, const char *function,
		 const struct remuda_value *args, size_t count);

/* Answers with a value, or an error chain (takes `err`). */
void harness_answer(struct harness *harness, uint64_t lease, uint64_t number,
		    const struct remuda_value *value);
void harness_answer_error(struct harness *harness, uint64_t lease, uint64_t number,
			  struct remuda_error *err);

/* Values. */
struct remuda_value harness_int(int64_t number);
struct remuda_value harness_double(double number);
struct remuda_value harness_text(const char *text);
struct remuda_value harness_bytes(const void *data, size_t len);
