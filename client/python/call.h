/* client/python/call.h: the arguments of a call, as libremuda takes them. GIL. */
#pragma once

#include <remuda/remuda.h>

#include "proto/python/convert.h"

/* Most arguments of a sort. */
#define RMD_PY_ARGS_MAX 255

/* Encoded arguments; init, then fill, then fini. */
struct rmd_py_call {
	struct rmd_py_encoder encoder;
	struct remuda_arg *args; /* from the encoder's arena */
	size_t count;
	struct remuda_named_arg *named;
	size_t named_count;
	Py_buffer *views; /* of the opaques; from the arena */
	size_t view_count;
};

void rmd_py_call_init(struct rmd_py_call *call, PyObject *hook, PyObject *mode);
void rmd_py_call_fini(struct rmd_py_call *call);
/* Fills it: first the `opaques`, a tuple of (codec, bytes); then `args`, a tuple; by name
 * `named`, a dict. Each may be None. As rmd_py_encode. */
int rmd_py_call_fill(struct rmd_py_call *call, PyObject *opaques, PyObject *args,
		     PyObject *named);
