/* worker/crash/crash.h: how a worker process ended, as an error that a person can read.
 *
 * Pure: what is known is an argument. Links with proto/error alone. */
#pragma once

#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/error/chain.h"

/* What is known of a worker that has ended. All borrowed for the call. */
struct rmd_crash {
	const char *host;	   /* NULL: not known */
	uint64_t worker;	   /* its number there */
	uint32_t attempt;	   /* of the task that it ran; 0: it ran none */
	struct rmd_slice function; /* that it ran; empty: none */
	int wait_status;	   /* as of waitpid; where status_known */
	bool status_known;	   /* false: nobody could wait for it */
	struct rmd_slice
		stderr_tail; /* what it last wrote to stderr; any bytes, may be empty */
};

/* Gives an error of type WorkerLost, origin WORKER, with exit code or signal. Never NULL
 * (as remuda_error_create). */
struct remuda_error *rmd_crash_error(const struct rmd_crash *crash);
