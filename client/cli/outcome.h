/* client/cli/outcome.h: how tasks ended, for people and pipes. Main thread only. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include <remuda/remuda.h>

/* The exit code for a remuda_code that is not 0; for codes that say nothing about whose
 * fault it is, `fallback`. */
int rmd_outcome_exit(int code, int fallback);
/* Writes a value as JSON on one line, without its newline; `raw`: strings and bytes
 * bare. 0, or RMD_ENOMEM. Look at ferror(out) for the rest. */
int rmd_outcome_write(const struct remuda_value *value, bool raw, FILE *out);
/* Reports "WHAT failed:" and the whole chain below it. `err` may be NULL: then the
 * code's text. */
void rmd_outcome_report(const char *what, int code, const struct remuda_error *err);
/* Reports "WHAT: TYPE: MESSAGE; caused by TYPE: MESSAGE" on one line. `err` as above. */
void rmd_outcome_report_line(const char *what, int code, const struct remuda_error *err);
/* About what a value takes in memory, in bytes. */
size_t rmd_outcome_weigh(const struct remuda_value *value);
