/* remuda_worker._worker: the worker's end of the worker protocol, for Python.
 *
 * A worker process has one of it. Functions are called by remuda_worker's loop, on the
 * main thread, but for those that say otherwise. The GIL is let go wherever the agent is
 * waited for. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/codec/arguments.h"
#include "proto/codec/value.h"
#include "proto/python/convert.h"
#include "worker/crash/catch.h"
#include "worker/protocol/worker_end.h"
#include "worker/python/chain.h"

static struct {
	struct rmd_wpw *end; /* NULL: not open */
	struct rmd_wpw_task task;
	bool claimed; /* `task` waits for its outcome */
	struct rmd_wire_writer writer;
	PyObject *encode_other, *decode_other, *mode; /* owned */
} worker;

static PyObject *raise_code(int code, const char *what)
{
	return PyErr_Format(PyExc_OSError, "%s: %s", what, rmd_errcode_text(code));
}

/* open(encode_other, decode_other, mode) -> (host, worker, modules) */
static PyObject *py_open(PyObject *self, PyObject *args)
{
	struct rmd_wpw_setup setup;
	(void)self;
	if (!PyArg_ParseTuple(args, "OOO", &worker.encode_other, &worker.decode_other,
			      &worker.mode))
		return NULL;
	Py_INCREF(worker.encode_other);
	Py_INCREF(worker.decode_other);
	Py_INCREF(worker.mode);
	int rc = rmd_wpw_open(&worker.end);
	if (rc < 0)
		return raise_code(rc, "this program is started by remuda-agent");
	rmd_catch_open();
	Py_BEGIN_ALLOW_THREADS rc = rmd_wpw_recv_setup(worker.end, &setup);
	Py_END_ALLOW_THREADS if (rc < 0) return raise_code(rc, "no setup from the agent");
	PyObject *modules = PyList_New((Py_ssize_t)setup.module_count);
	for (size_t i = 0; modules != NULL && i < setup.module_count; i++)
		PyList_SET_ITEM(modules, (Py_ssize_t)i,
				PyUnicode_DecodeFSDefault(setup.modules[i]));
	return Py_BuildValue("(sKN)", setup.host, (unsigned long long)setup.worker,
			     modules);
}

/* ready(): tasks may come. */
static PyObject *py_ready(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	int rc = rmd_wpw_disown_output(worker.end);
	if (rc == 0)
		rc = rmd_wpw_send_ready(worker.end);
	if (rc < 0)
		return raise_code(rc, "the agent is gone");
	Py_RETURN_NONE;
}

/* next() -> (function, attempt, depth), or None: the end. */
static PyObject *py_next(PyObject *self, PyObject *none)
{
	int rc;
	(void)self;
	(void)none;
	Py_BEGIN_ALLOW_THREADS rc = rmd_wpw_next(worker.end, &worker.task);
	Py_END_ALLOW_THREADS if (rc == RMD_ECLOSED) Py_RETURN_NONE;
	if (rc < 0)
		return raise_code(rc, "what the agent sent makes no sense");
	worker.claimed = true;
	return Py_BuildValue("(NII)",
			     rmd_py_text((const char *)worker.task.function.data,
					 worker.task.function.len),
			     (unsigned)worker.task.attempt, (unsigned)worker.task.depth);
}

static PyObject *decode_arguments(const struct rmd_arguments *from)
{
	PyObject *args = PyTuple_New((Py_ssize_t)from->arg_count);
	PyObject *named = PyDict_New();
	for (uint32_t i = 0; args != NULL && i < from->arg_count; i++) {
		PyObject *item = rmd_py_decode(&from->args[i], worker.decode_other);
		if (item == NULL)
			goto fail;
		PyTuple_SET_ITEM(args, (Py_ssize_t)i, item);
	}
	for (uint32_t i = 0; named != NULL && i < from->kwarg_count; i++) {
		const struct remuda_entry *entry = &from->kwargs[i];
		PyObject *item = rmd_py_decode(&entry->value, worker.decode_other);
		int rc = item == NULL ? -1
				      : PyDict_SetItemString(
						named, entry->key.u.string.data, item);
		Py_XDECREF(item);
		if (rc < 0)
			goto fail;
	}
	if (args != NULL && named != NULL)
		return Py_BuildValue("(NN)", args, named);
fail:
	Py_XDECREF(args);
	Py_XDECREF(named);
	return NULL;
}

/* arguments() -> (args, kwargs) of the claimed task. */
static PyObject *py_arguments(PyObject *self, PyObject *none)
{
	struct rmd_arena arena;
	struct rmd_arguments arguments;
	PyObject *made = NULL;
	(void)self;
	(void)none;
	rmd_arena_init(&arena, 0);
	int rc = rmd_arguments_get(worker.task.arguments, &arena, &arguments, NULL);
	if (rc < 0)
		PyErr_Format(PyExc_ValueError, "the arguments can't be decoded: %s",
			     rmd_errcode_text(rc));
	else
		made = decode_arguments(&arguments);
	rmd_arena_fini(&arena);
	return made;
}

/* Publishes what the writer holds. */
static int commit(enum rmd_wp_outcome_kind kind, uint64_t run_ns)
{
	uint8_t *room = NULL;
	size_t len = worker.writer.len;
	int rc;
	if (worker.writer.failed)
		return RMD_ENOMEM;
	Py_BEGIN_ALLOW_THREADS rc =
		rmd_wpw_reserve(worker.end, len, RMD_WPW_PRINTED_PERHAPS, &room);
	if (rc == 0 && len != 0)
		memcpy(room, worker.writer.data, len);
	if (rc == 0)
		rmd_wpw_commit(worker.end, kind, len, run_ns);
	Py_END_ALLOW_THREADS if (rc == 0) worker.claimed = false;
	if (worker.writer.capacity > 1u << 20)
		rmd_wire_writer_fini(&worker.writer);
	return rc;
}

/* commit(result, run_ns) -> True; False: it has no exact value, pickle it. */
static PyObject *py_commit(PyObject *self, PyObject *args)
{
	PyObject *result;
	unsigned long long run_ns;
	struct rmd_py_encoder encoder;
	struct remuda_value value;
	(void)self;
	if (!PyArg_ParseTuple(args, "OK", &result, &run_ns))
		return NULL;
	rmd_py_encoder_init(&encoder, worker.encode_other, worker.mode);
	int rc = rmd_py_encode(&encoder, result, &value);
	if (rc == RMD_PY_OK && value.kind >= REMUDA_BIGINT &&
	    rmd_value_check(&value, NULL) < 0)
		rc = RMD_PY_INEXACT;
	if (rc == RMD_PY_OK) {
		rmd_wire_writer_reset(&worker.writer);
		rmd_value_put(&worker.writer, &value);
	}
	rmd_py_encoder_fini(&encoder);
	if (rc == RMD_PY_RAISED)
		return NULL;
	if (rc == RMD_PY_INEXACT)
		Py_RETURN_FALSE;
	rc = commit(RMD_WP_VALUE, run_ns);
	if (rc == RMD_ETOOBIG)
		return PyErr_Format(PyExc_ValueError, "the result is over 1 GiB");
	if (rc < 0)
		return raise_code(rc, "the result can't be sent");
	Py_RETURN_TRUE;
}

/* commit_error(chain, host, worker, run_ns): see chain.h for the form of a chain. */
static PyObject *py_commit_error(PyObject *self, PyObject *args)
{
	PyObject *chain;
	const char *host;
	unsigned long long number, run_ns;
	(void)self;
	if (!PyArg_ParseTuple(args, "OsKK", &chain, &host, &number, &run_ns))
		return NULL;
	rmd_wire_writer_reset(&worker.writer);
	if (rmd_py_chain_put(chain, host, number, worker.task.attempt, &worker.writer) <
	    0)
		return NULL;
	int rc = commit(RMD_WP_ERROR, run_ns);
	if (rc < 0)
		return raise_code(rc, "the error can't be sent");
	Py_RETURN_NONE;
}

/* start_failed(chain, host, worker): there will be no tasks. */
static PyObject *py_start_failed(PyObject *self, PyObject *args)
{
	PyObject *chain;
	const char *host;
	unsigned long long number;
	(void)self;
	if (!PyArg_ParseTuple(args, "OsK", &chain, &host, &number))
		return NULL;
	rmd_wire_writer_reset(&worker.writer);
	if (rmd_py_chain_put(chain, host, number, 0, &worker.writer) < 0)
		return NULL;
	int rc = rmd_wpw_send_start_failed(
		worker.end, rmd_slice_of(worker.writer.data, worker.writer.len));
	if (rc < 0)
		return raise_code(rc, "the agent is gone");
	Py_RETURN_NONE;
}

/* (any thread) cancelled() -> True if the running task shall end. */
static PyObject *py_cancelled(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	return PyBool_FromLong(worker.end != NULL && rmd_wpw_cancelled(worker.end));
}

/* (any thread) progress(done, total): how far the running task is. */
static PyObject *py_progress(PyObject *self, PyObject *args)
{
	unsigned long long done, total;
	(void)self;
	if (!PyArg_ParseTuple(args, "KK", &done, &total))
		return NULL;
	if (worker.end != NULL)
		rmd_wpw_set_progress(worker.end, done, total);
	Py_RETURN_NONE;
}

/* (the GIL orders it with the others) log(text): a piece of the running task's log. */
static PyObject *py_log(PyObject *self, PyObject *args)
{
	const char *text;
	Py_ssize_t len;
	(void)self;
	if (!PyArg_ParseTuple(args, "s#", &text, &len))
		return NULL;
	if (worker.end != NULL && worker.claimed) {
		int rc = rmd_wpw_log(worker.end, rmd_slice_of(text, (size_t)len));
		if (rc < 0)
			return raise_code(rc, "the agent is gone");
	}
	Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
	{"open", py_open, METH_VARARGS, "Opens the worker protocol and reads the setup."},
	{"ready", py_ready, METH_NOARGS, "Says that tasks may come."},
	{"next", py_next, METH_NOARGS, "Waits for a task and claims it."},
	{"arguments", py_arguments, METH_NOARGS, "Decodes the claimed task's arguments."},
	{"commit", py_commit, METH_VARARGS, "Sends the result."},
	{"commit_error", py_commit_error, METH_VARARGS, "Sends a chain of errors."},
	{"start_failed", py_start_failed, METH_VARARGS,
	 "Says why there will be no tasks."},
	{"cancelled", py_cancelled, METH_NOARGS, "True if the running task shall end."},
	{"progress", py_progress, METH_VARARGS, "Says how far the running task is."},
	{"log", py_log, METH_VARARGS, "Sends a piece of the running task's log."},
	{NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT,
	"_worker",
	"The worker's end of the worker protocol.",
	-1,
	methods,
	NULL,
	NULL,
	NULL,
	NULL,
};

PyMODINIT_FUNC PyInit__worker(void);

PyMODINIT_FUNC PyInit__worker(void)
{
	return PyModule_Create(&definition);
}
