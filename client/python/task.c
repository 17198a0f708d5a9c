#include "client/python/task.h"

#include <stdlib.h>
#include <time.h>

#include "client/python/fault.h"
#include "proto/python/convert.h"

/* A wait is cut into such pieces, so that Ctrl-C is heard. */
#define SLICE_MS 100

struct task {
	PyObject_HEAD struct remuda_future
		*future; /* owned; NULL: its outcome was taken */
	int hooked;
	int waiting; /* threads that wait for the future just now */
};

PyObject *rmd_py_decode_hook;

static PyTypeObject *task_type;

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

PyObject *rmd_py_task_of(struct remuda_future *future)
{
	if (future == NULL)
		return PyErr_NoMemory();
	struct task *task = PyObject_New(struct task, task_type);
	if (task == NULL) {
		remuda_future_free(future);
		return NULL;
	}
	task->future = future;
	task->hooked = task->waiting = 0;
	return (PyObject *)task;
}

static void task_dealloc(PyObject *self)
{
	struct task *task = (struct task *)self;
	PyTypeObject *type = Py_TYPE(self);
	remuda_future_free(task->future);
	PyObject_Free(self);
	Py_DECREF(type);
}

static PyObject *task_done(PyObject *self, PyObject *none)
{
	struct task *task = (struct task *)self;
	(void)none;
	return PyBool_FromLong(task->future == NULL || remuda_done(task->future));
}

/* wait(timeout_ms) -> True: it has ended. Below 0: for ever. */
static PyObject *task_wait(PyObject *self, PyObject *arg)
{
	struct task *task = (struct task *)self;
	long long timeout_ms = PyLong_AsLongLong(arg);
	if (timeout_ms == -1 && PyErr_Occurred() != NULL)
		return NULL;
	if (task->future == NULL || remuda_done(task->future))
		Py_RETURN_TRUE;
	int64_t until_ms = timeout_ms < 0 ? INT64_MAX : now_ms() + timeout_ms;
	int code;
	task->waiting++;
	do {
		int64_t left_ms = timeout_ms < 0 ? SLICE_MS : until_ms - now_ms();
		if (left_ms > SLICE_MS)
			left_ms = SLICE_MS;
		Py_BEGIN_ALLOW_THREADS code =
			remuda_wait(task->future, left_ms < 0 ? 0 : left_ms);
		Py_END_ALLOW_THREADS if (code != 0 && PyErr_CheckSignals() < 0)
		{
			task->waiting--;
			return NULL;
		}
	} while (code == REMUDA_ETIMEOUT && (timeout_ms < 0 || now_ms() < until_ms));
	task->waiting--;
	if (code == 0)
		Py_RETURN_TRUE;
	if (code == REMUDA_ETIMEOUT)
		Py_RETURN_FALSE;
	return PyErr_Format(PyExc_RuntimeError,
			    "this is a child of the process that submitted the task: %s",
			    remuda_code_text(code));
}

/* outcome() -> (0, value) or (code, fault): takes it, once; the task must have ended. */
static PyObject *task_outcome(PyObject *self, PyObject *none)
{
	struct task *task = (struct task *)self;
	const struct remuda_value *value;
	struct remuda_error *err = NULL;
	PyObject *made;
	(void)none;
	if (task->future == NULL || !remuda_done(task->future))
		return PyErr_Format(PyExc_RuntimeError,
				    "the task has no outcome to take");
	struct remuda_future *future = task->future;
	int code;
	Py_BEGIN_ALLOW_THREADS code = remuda_result(future, &value, &err);
	Py_END_ALLOW_THREADS made = code == 0 ? rmd_py_decode(value, rmd_py_decode_hook)
					      : rmd_py_fault(err);
	remuda_error_free(err);
	if (task->future == future && task->waiting == 0) {
		task->future = NULL;
		remuda_future_free(future);
	}
	return made == NULL ? NULL : Py_BuildValue("(iN)", code, made);
}

/* cancel() -> True: asked for; False: it had ended. */
static PyObject *task_cancel(PyObject *self, PyObject *none)
{
	struct task *task = (struct task *)self;
	int code = REMUDA_ECLOSED;
	(void)none;
	if (task->future != NULL) {
		Py_BEGIN_ALLOW_THREADS code = remuda_cancel(task->future);
		Py_END_ALLOW_THREADS
	}
	return PyBool_FromLong(code == 0);
}

static void on_done(struct remuda_future *future, void *ctx)
{
	(void)future;
	rmd_py_node_push(ctx);
}

/* hook(owner): next_done gives `owner` when the task has ended. Once. */
static PyObject *task_hook(PyObject *self, PyObject *owner)
{
	struct task *task = (struct task *)self;
	if (task->hooked || task->future == NULL)
		Py_RETURN_FALSE;
	struct rmd_py_node *node = rmd_py_node_create(owner);
	if (node == NULL)
		return NULL;
	int code;
	task->hooked = 1;
	task->waiting++;
	Py_BEGIN_ALLOW_THREADS code = remuda_on_done(task->future, on_done, node);
	Py_END_ALLOW_THREADS task->waiting--;
	if (code < 0) {
		rmd_py_node_destroy(node);
		return PyErr_Format(PyExc_RuntimeError, "remuda_on_done: %s",
				    remuda_code_text(code));
	}
	Py_RETURN_TRUE;
}

static PyObject *task_number(PyObject *self, void *none)
{
	(void)none;
	return PyLong_FromUnsignedLongLong(remuda_number(((struct task *)self)->future));
}

static PyMethodDef task_methods[] = {
	{"done", task_done, METH_NOARGS, "True when the task has its outcome."},
	{"wait", task_wait, METH_O, "Waits so many milliseconds; below 0: for ever."},
	{"outcome", task_outcome, METH_NOARGS, "Takes the outcome."},
	{"cancel", task_cancel, METH_NOARGS, "Asks that the task be cancelled."},
	{"hook", task_hook, METH_O, "Has next_done give that object when it has ended."},
	{NULL, NULL, 0, NULL},
};

static PyGetSetDef task_fields[] = {
	{"number", task_number, NULL, "Its number in its client's session.", NULL},
	{NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot task_slots[] = {
	{Py_tp_dealloc, task_dealloc},
	{Py_tp_methods, task_methods},
	{Py_tp_getset, task_fields},
	{Py_tp_doc, "A submitted task."},
	{0, NULL},
};

static PyType_Spec task_spec = {
	.name = "remuda._client.Task",
	.basicsize = sizeof(struct task),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = task_slots,
};

int rmd_py_task_setup(PyObject *module)
{
	PyObject *type = PyType_FromSpec(&task_spec);
	if (type == NULL)
		return -1;
	task_type = (PyTypeObject *)type;
	Py_INCREF(type);
	return PyModule_AddObject(module, "Task", type);
}
