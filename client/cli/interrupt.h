/* client/cli/interrupt.h: what Ctrl-C does.
 *
 * Most commands just end. Those that hold tasks ask for a notice instead, cancel the
 * tasks and end in order; a second signal, or three seconds, ends them anyway: the
 * coordinator then cancels what their session holds. SIGINT, SIGTERM and SIGHUP are
 * treated alike. */
#pragma once

#include <stdbool.h>

/* From now on the signals end the program with RMD_EXIT_INTERRUPTED. */
void rmd_interrupt_exit(void);
/* From now on they are noticed: gives a descriptor that is readable from the first one
 * on, or -1: no descriptors, and they end the program as before. */
int rmd_interrupt_notice(void);
/* True once a signal was noticed. */
bool rmd_interrupt_seen(void);
