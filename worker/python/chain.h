/* worker/python/chain.h: exceptions as error chains.
 *
 * The Python side hands over plain tuples, one an error:
 *	(type, message, origin, frames, cause, context, payload)
 * frames: tuples (file, line, function), outermost call first; cause and context: such a
 * tuple or None; payload: the runtime's own form as bytes, or None. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#include "proto/codec/wire.h"

/* Codec of the payloads. */
#define RMD_PY_PAYLOAD_CODEC "python-exception"

/* Appends the chain, with its place, as a raw ErrorChain. 0, or -1 with a Python
 * exception. GIL. */
int rmd_py_chain_put(PyObject *chain, const char *host, uint64_t worker, uint32_t attempt,
		     struct rmd_wire_writer *writer);
