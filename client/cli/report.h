/* client/cli/report.h: what `remuda` says to people.
 *
 * Results go to stdout, all else to stderr, each message beginning with "remuda: ". A
 * bar that is drawn on the terminal is taken away first (progress.h sets the hook).
 * Main thread only. */
#pragma once

#include <stddef.h>

/* Writes "remuda: MESSAGE\n" to stderr. */
void rmd_report(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Writes "remuda: out of memory" and gives RMD_EXIT_SYSTEM. */
int rmd_report_no_memory(void);
/* Runs `before(ctx)` ahead of every message; NULL: no longer. */
void rmd_report_hook(void (*before)(void *ctx), void *ctx);
/* Calls that hook: for what goes to stderr by another way. */
void rmd_report_prepare(void);
/* Flushes stdout: RMD_EXIT_OK; RMD_EXIT_PIPE: its reader has gone, which is not reported;
 * else reports why it can't be written and gives RMD_EXIT_SYSTEM. */
int rmd_report_flush(void);
/* Ends the program by SIGPIPE, as a filter ends whose reader has gone. */
_Noreturn void rmd_report_broken_pipe(void);
