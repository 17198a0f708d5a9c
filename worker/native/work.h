/* worker/native/work.h: the life of a native worker: setup, modules, ready, tasks.
 *
 * Exit codes: 0: asked to stop, or the agent is gone; 100: the user's mistake; 111: the
 * system's. The process's main thread. */
#pragma once

#include "worker/native/functions.h"

struct rmd_wpw;
struct rmd_captured;

enum rmd_work_exit { RMD_WORK_STOPPED = 0, RMD_WORK_USER = 100, RMD_WORK_SYSTEM = 111 };

/* What the program that works is made of. */
struct rmd_work {
	const char *program; /* its name, for what it prints */
	/* Adds what it has before its modules; NULL: nothing. Codes as rmd_functions_add.
	 */
	int (*add)(struct rmd_functions *functions, struct remuda_error **ret_err);
	/* Gives the functions of the image that it was captured from; NULL: none. */
	struct rmd_captured *(*capture)(struct rmd_functions *functions);
};

/* Works to the end, over the descriptors that its agent has given: the exit code. */
int rmd_work(const struct rmd_work *work);
