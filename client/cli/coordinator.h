/* client/cli/coordinator.h: the coordinator of `remuda up` as a process: find its
 * program, start it, know when it is gone. Before any thread or gRPC. Main thread
 * only. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/cli/options.h"

/* How to start it. */
struct rmd_coordinator_start {
	const char *address;			/* where to listen */
	const char *log_path;			/* where its output goes */
	uint32_t workers;			/* most local workers; 0: one a cpu */
	const struct rmd_option_texts *modules; /* paths */
	uint64_t timeout_ms;			/* for it to be ready */
};

/* Gives the program to start (rmd_free), as libremuda finds it. NULL: there is none;
 * that is reported. */
char *rmd_coordinator_program(void);
/* Starts `program` in a session of its own, and waits until it says that it is ready. An
 * enum rmd_exit; `*ret_pid` is set on success. RMD_EXIT_SERVICE: it ended or was not
 * ready in time; nothing is left of it, and the log tells why. */
int rmd_coordinator_start(const char *program, const struct rmd_coordinator_start *start,
			  pid_t *ret_pid);
/* Gives a pidfd of the process that listens on a unix socket, or -1 and errno. */
int rmd_coordinator_pidfd(const char *socket_path);
/* Waits until the process of `pidfd` has ended: 0, or RMD_ETIMEOUT. */
int rmd_coordinator_wait_gone(int pidfd, uint64_t timeout_ms);
/* Writes the last lines of the log to stderr. */
void rmd_coordinator_show_log(const char *log_path);
