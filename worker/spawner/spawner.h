/* worker/spawner/spawner.h: the small process that is the parent of the workers.
 *
 * Exec'ed from our own binary (`PROGRAM --spawner`) before gRPC starts its threads. It is a
 * subreaper, has one thread, and speaks packets on one socket: start a program, end a
 * process group. When the agent's end of the socket closes, it kills everything and exits; its own death
 * kills the workers (PR_SET_PDEATHSIG). */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Starts the spawner by exec of /proc/self/exe with the argument "--spawner". On success *ret_fd is the
 * agent's end of its socket (owned by the caller), *ret_pid its process. RMD_ESYS. */
int rmd_spawner_start(int *ret_fd, pid_t *ret_pid);

/* The spawner's main: called first thing by a program whose argv[1] is "--spawner". Does not return. */
_Noreturn void rmd_spawner_main(void);
