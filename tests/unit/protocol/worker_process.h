/* tests/unit/protocol/worker_process.h: a real worker process at the other end, for tests
 * and the bench. Fails the program where the system refuses something. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "worker/protocol/protocol.h"

/* Starts `program` as the worker of `end` (stderr and stdout go to the agent's end), and
 * closes the child's descriptors here. */
pid_t worker_process_start(struct rmd_wp *end, const char *program);
/* Forks a child with the worker's descriptors in place, which runs `body` and exits with
 * what it gives: a worker that follows a script. */
pid_t worker_process_fork(struct rmd_wp *end, int (*body)(void *arg), void *arg);
/* Waits for the process; gives its wait status. */
int worker_process_wait(pid_t pid);
/* Waits until the end has something to read, at most `timeout_ms`; false: it has not. */
bool worker_process_poll(const struct rmd_wp *end, int timeout_ms);
