#include "client/python/call.h"

#include <string.h>

void rmd_py_call_init(struct rmd_py_call *call, PyObject *hook, PyObject *mode)
{
	memset(call, 0, sizeof *call);
	rmd_py_encoder_init(&call->encoder, hook, mode);
}

void rmd_py_call_fini(struct rmd_py_call *call)
{
	for (size_t i = 0; i < call->view_count; i++)
		PyBuffer_Release(&call->views[i]);
	rmd_py_encoder_fini(&call->encoder);
}

static size_t length_of(PyObject *container)
{
	if (container == Py_None)
		return 0;
	return PyDict_Check(container) ? (size_t)PyDict_GET_SIZE(container)
				       : (size_t)PyTuple_GET_SIZE(container);
}

static int put_opaques(struct rmd_py_call *call, PyObject *opaques)
{
	for (size_t i = 0; i < length_of(opaques); i++) {
		struct remuda_value *value = &call->args[call->count].value;
		const char *codec;
		PyObject *data;
		Py_ssize_t len;
		Py_buffer *view = &call->views[call->view_count];
		PyObject *pair = PyTuple_GET_ITEM(opaques, (Py_ssize_t)i);
		if (!PyArg_ParseTuple(pair, "s#O", &codec, &len, &data) ||
		    PyObject_GetBuffer(data, view, PyBUF_SIMPLE) < 0)
			return RMD_PY_RAISED;
		call->view_count++;
		value->kind = REMUDA_OPAQUE;
		value->u.opaque.codec = (struct remuda_string){codec, (size_t)len};
		value->u.opaque.data =
			(struct remuda_bytes){view->buf, (size_t)view->len};
		call->count++;
	}
	return RMD_PY_OK;
}

static int put_named(struct rmd_py_call *call, PyObject *named)
{
	PyObject *key, *item;
	Py_ssize_t at = 0;
	if (named == Py_None)
		return RMD_PY_OK;
	while (PyDict_Next(named, &at, &key, &item)) {
		struct remuda_named_arg *arg = &call->named[call->named_count];
		arg->name = PyUnicode_AsUTF8(key);
		if (arg->name == NULL)
			return RMD_PY_RAISED;
		int rc = rmd_py_encode(&call->encoder, item, &arg->arg.value);
		if (rc != RMD_PY_OK)
			return rc;
		call->named_count++;
	}
	return RMD_PY_OK;
}

int rmd_py_call_fill(struct rmd_py_call *call, PyObject *opaques, PyObject *args,
		     PyObject *named)
{
	size_t before = length_of(opaques), count = length_of(args);
	size_t named_count = length_of(named);
	struct rmd_arena *arena = &call->encoder.arena;
	if (before + count > RMD_PY_ARGS_MAX || named_count > RMD_PY_ARGS_MAX)
		return RMD_PY_INEXACT;
	call->args = rmd_arena_calloc(arena, before + count + 1, sizeof *call->args);
	call->views = rmd_arena_calloc(arena, before + 1, sizeof *call->views);
	call->named = rmd_arena_calloc(arena, named_count + 1, sizeof *call->named);
	if (call->args == NULL || call->named == NULL || call->views == NULL) {
		PyErr_NoMemory();
		return RMD_PY_RAISED;
	}
	int rc = put_opaques(call, opaques);
	for (size_t i = 0; rc == RMD_PY_OK && i < count; i++) {
		rc = rmd_py_encode(&call->encoder, PyTuple_GET_ITEM(args, (Py_ssize_t)i),
				   &call->args[call->count].value);
		call->count += rc == RMD_PY_OK;
	}
	return rc == RMD_PY_OK ? put_named(call, named) : rc;
}
