#include "worker/python/chain.h"

#include "proto/error/chain.h"

static struct remuda_error *make(PyObject *chain, int depth);

static int add_frames(struct remuda_error *err, PyObject *frames)
{
	for (Py_ssize_t i = 0; i < PyList_GET_SIZE(frames); i++) {
		struct remuda_frame frame = {.line = 0};
		unsigned line;
		if (!PyArg_ParseTuple(PyList_GET_ITEM(frames, i), "sIs", &frame.file,
				      &line, &frame.function))
			return -1;
		frame.line = line;
		rmd_error_add_frame(err, &frame);
	}
	return 0;
}

/* Makes the chain of `inner` (None: none) and hands it to `set`. */
static int add_inner(struct remuda_error *err, PyObject *inner, int depth,
		     void (*set)(struct remuda_error *err, struct remuda_error *inner))
{
	if (inner == Py_None || depth >= REMUDA_ERROR_CHAIN_MAX)
		return 0;
	struct remuda_error *made = make(inner, depth + 1);
	if (made == NULL)
		return -1;
	set(err, made);
	return 0;
}

/* Gives the error, or NULL with an exception. */
static struct remuda_error *make(PyObject *chain, int depth)
{
	const char *type, *message;
	int origin;
	PyObject *frames, *cause, *context, *payload;
	if (!PyArg_ParseTuple(chain, "ssiO!OOO", &type, &message, &origin, &PyList_Type,
			      &frames, &cause, &context, &payload))
		return NULL;
	struct remuda_error *err = remuda_error_create(type, "%s", message);
	rmd_error_set_origin(err, (enum remuda_origin)origin);
	if (add_frames(err, frames) < 0 ||
	    add_inner(err, cause, depth, remuda_error_set_cause) < 0 ||
	    add_inner(err, context, depth, remuda_error_set_context) < 0) {
		remuda_error_free(err);
		return NULL;
	}
	if (PyBytes_Check(payload))
		rmd_error_set_runtime_payload(
			err, RMD_PY_PAYLOAD_CODEC,
			rmd_slice_of(PyBytes_AS_STRING(payload),
				     (size_t)PyBytes_GET_SIZE(payload)));
	return err;
}

int rmd_py_chain_put(PyObject *chain, const char *host, uint64_t worker, uint32_t attempt,
		     struct rmd_wire_writer *writer)
{
	struct remuda_error *err = make(chain, 1);
	if (err == NULL)
		return -1;
	rmd_error_set_place_deep(err, host, worker, attempt);
	rmd_error_encode(err, writer);
	remuda_error_free(err);
	if (!writer->failed)
		return 0;
	PyErr_NoMemory();
	return -1;
}
