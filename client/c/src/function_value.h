/* client/c/src/function_value.h: functions as arguments: remuda_fn and remuda_wrap.
 *
 * Until it is submitted such a value is an Opaque that holds the address of the
 * function's descriptor; here it becomes a function reference: by name where workers find
 * it so, else captured: "capture:IMAGE:ENTRY:NAME", with the image's digest and the
 * descriptor's place in hexadecimal digits. Any thread. */
#pragma once

#include "client/c/src/capture.h"
#include "proto/base/arena.h"

/* Arguments in which functions have become references. */
struct rmd_function_values {
	struct rmd_arena arena;
	const struct remuda_arg
		*args; /* the caller's own, where there was nothing to do */
	bool changed;
};

/* Resolves the functions in `args`, for a task that is `capture` (NULL: it goes by name).
 * NULL, or the chain that says which cannot go, and how it could. `ret_values` is to be
 * finished by rmd_function_values_fini in both cases. */
struct remuda_error *rmd_function_values_resolve(struct remuda *client,
						 const struct remuda_call *call,
						 const struct rmd_capture *capture,
						 struct rmd_function_values *ret_values);
void rmd_function_values_fini(struct rmd_function_values *values);

/* encoder.c: the encoder that this client uses. */
enum remuda_encoder rmd_encoder_of(const struct remuda *client);
/* api.c: the prefix of the names of the module that `task` lies in; NULL: that is none.
 */
const char *rmd_task_module(const struct remuda_task *task);
