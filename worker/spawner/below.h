/* worker/spawner/below.h: the processes below this one. Not for other rooms. */
#pragma once

#include <sys/types.h>

/* What a spawner is called (comm). */
#define RMD_SPAWNER_NAME "remuda-spawner"

/* Calls `visit` with the pid of each child of this process, of all its threads. A list
 * that the kernel makes while processes come and go: repeat until nothing is left. */
void rmd_spawn_each_below(void (*visit)(pid_t pid, void *arg), void *arg);
