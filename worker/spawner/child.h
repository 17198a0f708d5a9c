/* worker/spawner/child.h: making one process from a request: fork, set up, exec.
 *
 * Runs in the spawner, which has one thread, so that the child may do anything between
 * fork and exec. Not for other rooms. */
#pragma once

#include "worker/spawner/packet.h"

/* Starts the program. 0: *ret_pid runs it, *ret_pidfd (close-on-exec, owned by the
 * caller) refers to it. Else an errno value, and *ret_stage says of what; no process is
 * left. Borrows `fds`. */
int rmd_spawn_child(const struct rmd_spawn_parsed *request, const int *fds,
		    pid_t *ret_pid, int *ret_pidfd, enum rmd_spawn_stage *ret_stage);
