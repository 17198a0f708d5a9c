/* worker/crash/crash.h: how a worker process ended, as an error that a person can read.
 *
 * Pure: what is known is an argument, and what is not known is not said. Links with
 * proto/error and nanopb alone. */
#pragma once

#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/error/chain.h"
#include "worker/crash/oom.h"
#include "worker/crash/record.h"

/* What is known of a worker that has ended. All borrowed for the call. */
struct rmd_crash {
	const char *host;	   /* NULL: not known */
	uint64_t worker;	   /* its number there */
	uint32_t attempt;	   /* of the task that it ran; 0: it ran none */
	struct rmd_slice function; /* that it ran; empty: none */
	int wait_status;	   /* as of waitpid; where status_known */
	bool status_known;	   /* false: nobody could wait for it */
	int32_t pid;		   /* 0: not known */
	uint64_t peak_bytes;	   /* most memory it ever had; 0: not known */
	const char *killed_for;	   /* why its agent sent SIGTERM or SIGKILL; NULL: it
				      did not */
	const remuda_local_CrashRecord *record; /* what it said itself; NULL: nothing */
	const struct remuda_error *stack;	/* its frames; NULL: none were taken */
	const struct rmd_oom_proof *oom; /* that the kernel killed it; NULL: none */
	uint64_t limit_bytes; /* killed since it used more than this … */
	uint64_t used_bytes;  /* … namely this, as its agent saw; both 0: not */
	uint32_t used_children; /* with so many processes that it started */
	struct rmd_slice
		stderr_tail; /* what it last wrote to stderr; any bytes, may be empty */
};

/* Gives an error of type WorkerLost, or OutOfMemory where it was killed for a limit_bytes,
 * origin WORKER, with exit code or signal. A record
 * and its stack are used where it says the signal that the wait status says. Never NULL
 * (as remuda_error_create). */
struct remuda_error *rmd_crash_error(const struct rmd_crash *crash);
