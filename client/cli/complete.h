/* client/cli/complete.h: what may stand at the end of a command line.
 *
 * The completion scripts of bash and zsh (deploy/completion) hand over the words
 * behind "remuda", the last of them unfinished, and get one candidate a line, a tab,
 * and its description. A line ":files" asks the shell for names of files instead,
 * ":tasks" stands for ids of tasks, which the caller asks the coordinator for. Pure. */
#pragma once

#include <stdio.h>

/* Writes the candidates for the last of `words` (count at least 1). */
void rmd_complete_write(int count, char **words, FILE *out);
