/* proto/python/convert.h: Python objects to values and back, exactly.
 *
 * The plain types (None, bool, int, float, complex, str, bytes, list, tuple, dict, set)
 * are converted here; what else there is, is asked of two Python functions, the hooks
 * (remuda_codec). Subclasses are never taken for their base. What a value cannot hold
 * exactly (a list that occurs twice or in itself, keys that are NaN, more than
 * REMUDA_VALUE_DEPTH_MAX levels) is told apart, so that the caller pickles the whole.
 *
 * Compiled once per interpreter, into its extension modules. All of it needs the GIL. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <remuda/value.h>

#include "proto/base/arena.h"
#include "proto/base/map.h"

enum rmd_py_code {
	RMD_PY_OK = 0,
	RMD_PY_RAISED = -1,  /* a Python exception is set */
	RMD_PY_INEXACT = -2, /* no exact value; no exception is set */
};

/* Makes values that share one arena: for the arguments of one call, or one result. */
struct rmd_py_encoder {
	struct rmd_arena arena;
	struct rmd_map seen;	  /* containers met that might be met again */
	struct rmd_py_kept *kept; /* objects whose memory values borrow */
	PyObject *hook;		  /* borrowed: encode_other(object, top, mode) */
	PyObject *mode;		  /* borrowed: what the hook is told */
	size_t others;		  /* objects that became pickles of their own */
};

/* `hook` and `mode` are borrowed until fini. */
void rmd_py_encoder_init(struct rmd_py_encoder *encoder, PyObject *hook, PyObject *mode);
/* Frees all values and lets go of what they borrow. */
void rmd_py_encoder_fini(struct rmd_py_encoder *encoder);
/* Gives the value of `object`; borrowed until fini. */
int rmd_py_encode(struct rmd_py_encoder *encoder, PyObject *object,
		  struct remuda_value *ret_value);

/* Gives a new reference to the object that `value` stands for, or NULL with an exception.
 * `hook`: decode_other(kind, ...). Nothing of `value` is referred to afterwards. */
PyObject *rmd_py_decode(const struct remuda_value *value, PyObject *hook);

/* The text as str; bytes that are not UTF-8 are replaced. New reference or NULL. */
PyObject *rmd_py_text(const char *text, size_t len);
