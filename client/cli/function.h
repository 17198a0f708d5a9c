/* client/cli/function.h: names of functions as people write them. Pure but for its
 * reports. */
#pragma once

/* RMD_EXIT_OK if `name` is RUNTIME:NAME; else says what is wrong and what was perhaps
 * meant, and gives RMD_EXIT_USAGE. That the function exists only the worker knows. */
int rmd_function_check(const char *name);
