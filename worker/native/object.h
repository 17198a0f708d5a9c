/* worker/native/object.h: a shared object whose functions were captured, in our own
 * worker.
 *
 * The process's main thread. */
#pragma once

#include "worker/native/functions.h"

struct rmd_captured;

/* The path of the object that the agent wants loaded, taken out of the environment; NULL:
 * it wants none. Borrowed for ever. */
const char *rmd_object_wanted(void);
/* Loads the object that was wanted; prints to stderr why it cannot. NULL then. */
struct rmd_captured *rmd_object_load(struct rmd_functions *functions);
