#include "client/python/fault.h"

#include <stdlib.h>
#include <string.h>

static PyObject *frames_of(const struct remuda_error *err)
{
	size_t count = remuda_error_frame_count(err);
	PyObject *frames = PyList_New((Py_ssize_t)count);
	for (size_t i = 0; frames != NULL && i < count; i++) {
		struct remuda_frame frame = remuda_error_frame(err, i);
		PyObject *item = Py_BuildValue(
			"(sIs)", *frame.file != '\0' ? frame.file : frame.image,
			(unsigned)frame.line, frame.function);
		if (item == NULL)
			Py_CLEAR(frames);
		else
			PyList_SET_ITEM(frames, (Py_ssize_t)i, item);
	}
	return frames;
}

static PyObject *exit_code_of(const struct remuda_error *err)
{
	if (remuda_error_exited(err))
		return PyLong_FromLong(remuda_error_exit_code(err));
	Py_RETURN_NONE;
}

static PyObject *payload_of(const struct remuda_error *err)
{
	size_t len;
	const void *payload = remuda_error_runtime_payload(err, &len);
	if (payload == NULL)
		Py_RETURN_NONE;
	return PyBytes_FromStringAndSize(payload, (Py_ssize_t)len);
}

static PyObject *one(const struct remuda_error *err)
{
	if (err == NULL)
		Py_RETURN_NONE;
	PyObject *cause = one(remuda_error_cause(err));
	PyObject *context = cause == NULL ? NULL : one(remuda_error_context(err));
	if (context == NULL) {
		Py_XDECREF(cause);
		return NULL;
	}
	return Py_BuildValue(
		"{sssssisssKsIsNsisssNsNsNsN}", "type", remuda_error_type(err), "message",
		remuda_error_message(err), "origin", (int)remuda_error_origin(err),
		"host", remuda_error_host(err), "worker",
		(unsigned long long)remuda_error_worker(err), "attempt",
		(unsigned)remuda_error_attempt(err), "exit_code", exit_code_of(err),
		"signal", remuda_error_signal(err), "codec",
		remuda_error_runtime_codec(err), "payload", payload_of(err), "frames",
		frames_of(err), "cause", cause, "context", context);
}

PyObject *rmd_py_fault(const struct remuda_error *err)
{
	PyObject *fault = one(err);
	if (fault == NULL || err == NULL)
		return fault;
	char *text = remuda_error_string(err);
	PyObject *printed = PyUnicode_DecodeUTF8(
		text != NULL ? text : "", text != NULL ? (Py_ssize_t)strlen(text) : 0,
		"replace");
	free(text);
	if (printed == NULL || PyDict_SetItemString(fault, "text", printed) < 0)
		Py_CLEAR(fault);
	Py_XDECREF(printed);
	return fault;
}
