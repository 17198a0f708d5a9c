/* client/c/src/get.h: from an outcome to a value or an error. */
#pragma once

#include "client/c/src/future.h"
#include "proto/base/arena.h"

/* A decoded value and the memory that it lies in, besides the future's own bytes. */
struct rmd_decoded {
	struct rmd_arena arena;
	struct remuda_value value;
};

/* NULL is allowed. */
void rmd_decoded_free(struct rmd_decoded *decoded);
/* What a future that has ended with `kind` gives as code. */
int rmd_future_code(const struct remuda_future *future);
/* The error of a future that has ended without a value; never NULL. */
struct remuda_error *rmd_future_error(const struct remuda_future *future);
