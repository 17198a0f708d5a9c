/* worker/native/captured.h: functions of the program that the process itself is.
 *
 * A task's capture says where its descriptor lies, counted from the load address of the
 * image: that is looked at, and made a function once. What comes from the network is no
 * more trusted than the image itself: a descriptor that makes no sense is an error. The
 * worker's main thread. */
#pragma once

#include <stdint.h>

#include "worker/native/run.h"

struct rmd_captured;

/* Makes the functions of an image: `address` lies in it. Adds its module, named `name`,
 * to `functions` (borrowed for ever). NULL: out of memory, or no such image. */
struct rmd_captured *rmd_captured_create(struct rmd_functions *functions,
					 const void *address, const char *name);
/* The running program. */
struct rmd_captured *rmd_captured_create_self(struct rmd_functions *functions);
/* Frees it; NULL is allowed. */
void rmd_captured_destroy(struct rmd_captured *captured);

/* The function that the running task captured, with its environment in place; NULL: the
 * task goes by name, or *ret_err says what is wrong. */
const struct rmd_function *rmd_captured_find(struct rmd_run *run,
					     struct remuda_error **ret_err);
/* The function that "capture:IMAGE:ENTRY:NAME" means, in a worker of that image; NULL:
 * *ret_err says why it is not here. */
const struct rmd_function *rmd_captured_named(struct rmd_run *run, struct rmd_slice name,
					      struct remuda_error **ret_err);
/* Puts back what the environment took the place of. */
void rmd_captured_restore(struct rmd_run *run);
