/* remuda._client: libremuda for Python: clients, pools, tasks.
 *
 * The GIL is let go around every call that may wait. Errors of calls are raised as
 * _client.Refused with the chain as its argument (fault.h). */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>

#include "client/python/call.h"
#include "client/python/fault.h"
#include "client/python/task.h"

#define TEXTS_MAX 512

struct client {
	PyObject_HEAD struct remuda *remuda; /* NULL: closed */
	unsigned calls;			     /* that are under way without the GIL */
};

static PyObject *encode_hook, *refused;

/* Raises what `err` (taken) says. */
static PyObject *refuse(struct remuda_error *err)
{
	PyObject *fault = rmd_py_fault(err);
	remuda_error_free(err);
	if (fault != NULL)
		PyErr_SetObject(refused, fault);
	Py_XDECREF(fault);
	return NULL;
}

/* The open client, with one more call under way; NULL: an exception. */
static struct remuda *begin(PyObject *self)
{
	struct client *client = (struct client *)self;
	if (client->remuda == NULL) {
		PyErr_SetString(PyExc_RuntimeError, "the client is closed");
		return NULL;
	}
	client->calls++;
	return client->remuda;
}

static void end(PyObject *self)
{
	((struct client *)self)->calls--;
}

static int client_init(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = {"address", "server_path", "open_timeout_ms", NULL};
	struct client *client = (struct client *)self;
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	struct remuda_error *err = NULL;
	unsigned timeout_ms = 0;
	if (!PyArg_ParseTupleAndKeywords(args, named, "|zzI", names, &options.address,
					 &options.server_path, &timeout_ms))
		return -1;
	options.open_timeout_ms = timeout_ms;
	options.client_name = "python";
	Py_BEGIN_ALLOW_THREADS client->remuda = remuda_open_with(&options, &err);
	Py_END_ALLOW_THREADS if (client->remuda != NULL) return 0;
	(void)refuse(err);
	return -1;
}

static void client_dealloc(PyObject *self)
{
	struct client *client = (struct client *)self;
	PyTypeObject *type = Py_TYPE(self);
	struct remuda *remuda = client->remuda;
	Py_BEGIN_ALLOW_THREADS remuda_close(remuda);
	Py_END_ALLOW_THREADS type->tp_free(self);
	Py_DECREF(type);
}

/* close(): ends the connection; tasks that have not ended fail. */
static PyObject *client_close(PyObject *self, PyObject *none)
{
	struct client *client = (struct client *)self;
	(void)none;
	if (client->calls != 0)
		return PyErr_Format(PyExc_RuntimeError,
				    "the client is in use by another thread");
	struct remuda *remuda = client->remuda;
	client->remuda = NULL;
	Py_BEGIN_ALLOW_THREADS remuda_close(remuda);
	Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

/* ---- submit ---- */

/* What submit is given, in this order. */
enum { FUNCTION, OPAQUES, ARGS, NAMED, MODE, POOL, OPTIONS, SUBMIT_ARGS };

/* Reads (priority, max_attempts, deadline_ms, run_deadline_ms, output), or None. */
static int read_options(PyObject *from, struct remuda_task_options *options)
{
	unsigned long long deadline_ms, run_ms;
	int output;
	if (from == Py_None)
		return 0;
	if (!PyArg_ParseTuple(from, "iIKKp", &options->priority, &options->max_attempts,
			      &deadline_ms, &run_ms, &output))
		return -1;
	options->deadline_ms = deadline_ms;
	options->run_deadline_ms = run_ms;
	if (output)
		options->on_log = rmd_py_task_on_log;
	return 0;
}

/* submit(function, opaques, args, kwargs, mode, pool, options) -> Task, or None: the
 * arguments have no exact value, pickle them all. */
static PyObject *client_submit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	struct remuda_task_options options = REMUDA_TASK_OPTIONS_INIT;
	if (count != SUBMIT_ARGS || !PyUnicode_Check(args[FUNCTION]))
		return PyErr_Format(PyExc_TypeError, "submit takes %d arguments",
				    SUBMIT_ARGS);
	const char *function = PyUnicode_AsUTF8(args[FUNCTION]);
	options.pool = (uint32_t)PyLong_AsUnsignedLong(args[POOL]);
	if (function == NULL || PyErr_Occurred() != NULL ||
	    read_options(args[OPTIONS], &options) < 0)
		return NULL;
	struct rmd_py_call call;
	struct remuda_future *future = NULL;
	rmd_py_call_init(&call, encode_hook, args[MODE]);
	int rc = rmd_py_call_fill(&call, args[OPAQUES], args[ARGS], args[NAMED]);
	struct remuda *remuda = rc == RMD_PY_OK ? begin(self) : NULL;
	if (remuda != NULL) {
		struct remuda_call made = {
			.function = function,
			.options = &options,
			.args = call.args,
			.count = call.count,
			.named_args = call.named,
			.named_count = call.named_count,
		};
		Py_BEGIN_ALLOW_THREADS future = remuda_submit_call(remuda, &made);
		Py_END_ALLOW_THREADS end(self);
	}
	rmd_py_call_fini(&call);
	if (rc == RMD_PY_INEXACT)
		Py_RETURN_NONE;
	return remuda == NULL ? NULL : rmd_py_task_of(future);
}

/* ---- pools ---- */

/* The texts of a list, as libremuda takes them: borrowed from the list, the array owned.
 * NULL where the list is None, or an exception is set. */
static const char **texts_of(PyObject *list)
{
	if (list == Py_None)
		return NULL;
	if (!PyList_Check(list) || PyList_GET_SIZE(list) > TEXTS_MAX) {
		PyErr_Format(PyExc_TypeError, "a list of at most %d texts is wanted",
			     TEXTS_MAX);
		return NULL;
	}
	Py_ssize_t count = PyList_GET_SIZE(list);
	const char **texts = calloc((size_t)count + 1, sizeof *texts);
	if (texts == NULL)
		PyErr_NoMemory();
	for (Py_ssize_t i = 0; texts != NULL && i < count; i++) {
		texts[i] = PyUnicode_AsUTF8(PyList_GET_ITEM(list, i));
		if (texts[i] == NULL) {
			free(texts);
			return NULL;
		}
	}
	return texts;
}

/* Opens the pool, and gives its number. */
static PyObject *open_pool(PyObject *self, struct remuda_pool_options *options)
{
	struct remuda_error *err = NULL;
	uint32_t number = 0;
	int code;
	struct remuda *remuda = begin(self);
	if (remuda == NULL)
		return NULL;
	Py_BEGIN_ALLOW_THREADS code = remuda_pool_open(remuda, options, &number, &err);
	Py_END_ALLOW_THREADS end(self);
	return code < 0 ? refuse(err) : PyLong_FromUnsignedLong(number);
}

/* open_pool(...) -> number; None as an initializer's answer: pickle its arguments. */
static PyObject *client_open_pool(PyObject *self, PyObject *args, PyObject *named)
{
	static char *names[] = {"max_workers",	"idle_timeout_ms", "environment",
				"name",		"max_tasks",	   "cpu_milli",
				"memory_bytes", "labels",	   "initializer",
				"opaques",	"initargs",	   "mode",
				"leak_bytes",	"broken_on_crash", NULL};
	struct remuda_pool_options options = REMUDA_POOL_OPTIONS_INIT;
	unsigned max_workers, max_tasks = 0, cpu_milli = 0;
	unsigned long long idle_ms, memory = 0, leak = 0;
	PyObject *environment, *labels = Py_None, *opaques = Py_None, *initargs = Py_None;
	PyObject *mode = Py_None, *number = NULL;
	int broken = 0;
	if (!PyArg_ParseTupleAndKeywords(
		    args, named, "IKO|zIIKOzOOOKp", names, &max_workers, &idle_ms,
		    &environment, &options.name, &max_tasks, &cpu_milli, &memory, &labels,
		    &options.initializer, &opaques, &initargs, &mode, &leak, &broken))
		return NULL;
	options.runtime = "python";
	options.max_workers = max_workers;
	options.idle_timeout_ms = idle_ms;
	options.max_tasks_per_worker = max_tasks;
	options.cpu_milli = cpu_milli;
	options.memory_bytes = memory;
	options.leak_bytes = leak;
	options.broken_on_crash = broken != 0;
	const char **pairs = texts_of(environment), **wanted = texts_of(labels);
	struct rmd_py_call call;
	rmd_py_call_init(&call, encode_hook, mode);
	int rc = PyErr_Occurred() != NULL
			 ? RMD_PY_RAISED
			 : rmd_py_call_fill(&call, opaques, initargs, Py_None);
	if (rc == RMD_PY_OK) {
		options.environment = pairs;
		options.labels = wanted;
		options.initializer_args = call.args;
		options.initializer_arg_count = call.count;
		number = open_pool(self, &options);
	}
	rmd_py_call_fini(&call);
	free(pairs);
	free(wanted);
	if (rc == RMD_PY_INEXACT)
		Py_RETURN_NONE;
	return number;
}

/* close_pool(pool, how, timeout_ms) -> True: all its tasks have ended. */
static PyObject *client_close_pool(PyObject *self, PyObject *args)
{
	unsigned pool;
	int how, code;
	long long timeout_ms;
	struct remuda_error *err = NULL;
	if (!PyArg_ParseTuple(args, "IiL", &pool, &how, &timeout_ms))
		return NULL;
	struct remuda *remuda = begin(self);
	if (remuda == NULL)
		return NULL;
	Py_BEGIN_ALLOW_THREADS code = remuda_pool_close(
		remuda, pool, (enum remuda_pool_end)how, timeout_ms, &err);
	Py_END_ALLOW_THREADS end(self);
	if (code == 0 || code == REMUDA_ENOTFOUND || code == REMUDA_ETIMEOUT) {
		remuda_error_free(err);
		return PyBool_FromLong(code != REMUDA_ETIMEOUT);
	}
	return refuse(err);
}

static PyObject *client_address(PyObject *self, void *none)
{
	struct client *client = (struct client *)self;
	(void)none;
	if (client->remuda == NULL)
		Py_RETURN_NONE;
	return PyUnicode_FromString(remuda_address(client->remuda));
}

static PyObject *client_session(PyObject *self, void *none)
{
	char hex[33];
	struct client *client = (struct client *)self;
	(void)none;
	if (client->remuda == NULL)
		Py_RETURN_NONE;
	remuda_session_hex(client->remuda, hex);
	return PyUnicode_FromString(hex);
}

static PyObject *client_usable(PyObject *self, void *none)
{
	struct client *client = (struct client *)self;
	(void)none;
	return PyBool_FromLong(client->remuda != NULL &&
			       remuda_status(client->remuda, NULL) == 0);
}

static PyMethodDef client_methods[] = {
	{"submit", (PyCFunction)(void (*)(void))client_submit, METH_FASTCALL,
	 "Submits a task."},
	{"open_pool", (PyCFunction)(void (*)(void))client_open_pool,
	 METH_VARARGS | METH_KEYWORDS,
	 "Gets, resizes or makes a pool of Python workers."},
	{"close_pool", client_close_pool, METH_VARARGS, "Closes a pool."},
	{"close", client_close, METH_NOARGS, "Ends the connection."},
	{NULL, NULL, 0, NULL},
};

static PyGetSetDef client_fields[] = {
	{"address", client_address, NULL, "Where it is connected.", NULL},
	{"session", client_session, NULL, "The session, in hex.", NULL},
	{"usable", client_usable, NULL, "True while tasks can be submitted.", NULL},
	{NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot client_slots[] = {
	{Py_tp_init, client_init},
	{Py_tp_dealloc, client_dealloc},
	{Py_tp_methods, client_methods},
	{Py_tp_getset, client_fields},
	{Py_tp_new, PyType_GenericNew},
	{Py_tp_doc, "A connection to a coordinator."},
	{0, NULL},
};

static PyType_Spec client_spec = {
	.name = "remuda._client.Client",
	.basicsize = sizeof(struct client),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = client_slots,
};

/* set_hooks(encode_other, decode_other): before anything else. */
static PyObject *py_set_hooks(PyObject *self, PyObject *args)
{
	PyObject *encode, *decode;
	(void)self;
	if (!PyArg_ParseTuple(args, "OO", &encode, &decode))
		return NULL;
	Py_INCREF(encode);
	Py_INCREF(decode);
	Py_XSETREF(encode_hook, encode);
	Py_XSETREF(rmd_py_decode_hook, decode);
	Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
	{"set_hooks", py_set_hooks, METH_VARARGS,
	 "Sets what makes values of other objects."},
	{"next_done", rmd_py_next_done, METH_NOARGS,
	 "Waits for hooked tasks that have ended, and for what tasks print."},
	{"post", rmd_py_post, METH_O, "Has next_done give an object."},
	{"stop_done", rmd_py_stop_done, METH_NOARGS, "Ends a waiting next_done."},
	{NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT,
	"_client",
	"libremuda for Python.",
	-1,
	functions,
	NULL,
	NULL,
	NULL,
	NULL,
};

PyMODINIT_FUNC PyInit__client(void);

PyMODINIT_FUNC PyInit__client(void)
{
	PyObject *module = PyModule_Create(&definition);
	PyObject *type = PyType_FromSpec(&client_spec);
	refused = PyErr_NewException("remuda._client.Refused", NULL, NULL);
	if (module == NULL || type == NULL || refused == NULL ||
	    PyModule_AddObject(module, "Client", type) < 0 ||
	    rmd_py_task_setup(module) < 0)
		return NULL;
	Py_INCREF(refused);
	if (PyModule_AddObject(module, "Refused", refused) < 0 ||
	    PyModule_AddStringConstant(module, "version", remuda_version()) < 0)
		return NULL;
	return module;
}
