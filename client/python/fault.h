/* client/python/fault.h: error chains for Python. GIL. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <remuda/error.h>

/* Gives the chain as nested dicts: type, message, origin, host, worker, attempt,
 * exit_code (None: it did not exit), signal, codec, payload, frames (file, line,
 * function), cause, context (None: none), text (the whole chain, printed; of the
 * outermost alone). `err` NULL: None. NULL: an exception. */
PyObject *rmd_py_fault(const struct remuda_error *err);
