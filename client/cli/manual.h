/* client/cli/manual.h: the man page remuda(1), written from the table of commands in
 * mdoc. */
#pragma once

#include <stdio.h>

/* Writes the page. Main thread only. */
void rmd_manual_write(FILE *out);
