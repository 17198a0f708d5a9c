/* client/cli/modules.h: the files of --module.
 *
 * Each is given on by its whole path: whoever loads it may stand in another folder, and
 * the loader takes a name without a slash for that of a system library. */
#pragma once

#include "client/cli/options.h"

/* Resolves `modules`: `*ret_paths` is owned, for rmd_modules_free, also on failure. An
 * enum rmd_exit; what is wrong is reported. */
int rmd_modules_resolve(const struct rmd_option_texts *modules,
			struct rmd_option_texts *ret_paths);
/* Frees the paths; all zero is allowed. */
void rmd_modules_free(struct rmd_option_texts *paths);
