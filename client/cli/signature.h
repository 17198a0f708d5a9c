/* client/cli/signature.h: what a function's parameters ask for.
 *
 * Only a worker knows the signature of a native function. Every native worker has the
 * function "native:remuda.describe", which tells. Python functions have none to ask for.
 * Main thread only. */
#pragma once

#include <stdint.h>

#include <remuda/remuda.h>

/* Asks a worker for the signature of `function` ("native:demo.square"), with the pool,
 * priority and deadline of `options`. Gives bit i for parameter i that asks for a string;
 * 0 also where nothing can be known: another runtime, no such function, no worker, an
 * interrupt. The task itself will tell what is wrong. */
uint64_t rmd_signature_strings(struct remuda *client, const char *function,
			       const struct remuda_task_options *options);
/* The same bits from what "native:remuda.describe" gives. Pure. */
uint64_t rmd_signature_strings_of(const struct remuda_value *description);
