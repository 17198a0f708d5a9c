/* client/cli/mapper.h: a stream of lines through a function, in bounded memory.
 *
 * Design. One loop on the main thread waits for whatever comes first: outcomes, output
 * of tasks, input, a signal, the next drawing of the bar. Lines that were submitted
 * and not yet given out stand in a list in the order of the input; outcomes are given
 * out from its head, or, unordered, as they come. Three bounds hold it small: the
 * lines in the list (a window that grows with success up to MAPPER_WINDOW_MAX), the
 * input they came from, and the results that wait or must be expected, by the largest
 * seen so far. So a huge input is read no faster than it is worked off.
 *
 * Failure. The first line that fails, in input order, ends the run: nothing more is
 * read, lines behind it are cancelled, those before it are given out. With keep_going
 * it is reported, and null (an empty line with `raw`) stands in its place. A lost
 * coordinator ends the run at once. */
#pragma once

#include "client/cli/submit.h"

/* Runs the open submitter's function over the lines of `input_fd`; results go to
 * `out`. Gives an enum rmd_exit; whatever went wrong is reported. RMD_EXIT_PIPE: the
 * reader of `out` has gone. */
int rmd_mapper_run(struct rmd_submitter *submitter, int input_fd, FILE *out);
