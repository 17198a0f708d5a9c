/* client/cli/help.h: --help, written from the table of commands. Main thread only. */
#pragma once

#include <stdio.h>

struct rmd_command;

/* The page of `remuda --help`: what it is, the commands, where to go on. */
void rmd_help_program(FILE *out);
/* The page of one command: usage, description, options, examples. */
void rmd_help_command(const struct rmd_command *command, FILE *out);
/* The program in one sentence, no full stop. */
extern const char rmd_help_tagline[];
