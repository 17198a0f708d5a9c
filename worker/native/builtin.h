/* worker/native/builtin.h: the functions that every native worker has: the module "remuda".
 *
 * remuda.describe(NAME): what a function takes and gives. remuda.functions(): their names. */
#pragma once

#include "worker/native/functions.h"

/* Adds them. They look into `functions` (borrowed for ever). Codes as rmd_functions_add. */
int rmd_builtin_add(struct rmd_functions *functions, struct remuda_error **ret_err);
