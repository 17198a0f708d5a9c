/* client/python/task.h: one submitted task, and the queue of what has ended.
 *
 * A task is waited for directly (the GIL let go), or it is hooked: then it comes out of
 * the queue when it has ended, for Python's own thread to take. libremuda's thread never
 * takes the GIL: it appends to the queue and goes on. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <remuda/remuda.h>

/* Makes the type and the functions of the queue part of `module`. 0 or -1. */
int rmd_py_task_setup(PyObject *module);
/* Gives a Task, which takes `future`; NULL: an exception, and the future is freed. */
PyObject *rmd_py_task_of(struct remuda_future *future);

/* Hears what tasks print: for remuda_task_options.on_log. (any thread, without the GIL)
 */
void rmd_py_task_on_log(void *ctx, enum remuda_stream stream, const void *data,
			size_t len, uint64_t dropped_bytes);

/* The hook that makes objects of other values: decode_other. Borrowed; set once. */
extern PyObject *rmd_py_decode_hook;

/* next_done() -> list; see queue.c. */
PyObject *rmd_py_next_done(PyObject *self, PyObject *none);
/* post(owner): has next_done give it, behind what is there now. */
PyObject *rmd_py_post(PyObject *self, PyObject *owner);
/* stop_done(): ends the list that a waiting next_done gives with None. */
PyObject *rmd_py_stop_done(PyObject *self, PyObject *none);

struct rmd_py_node;
/* A node for `owner` (a new reference is taken), or NULL with an exception. */
struct rmd_py_node *rmd_py_node_create(PyObject *owner);
/* Undoes it, where it was not pushed. */
void rmd_py_node_destroy(struct rmd_py_node *node);
/* (any thread, without the GIL) Has next_done give the node's owner. */
void rmd_py_node_push(struct rmd_py_node *node);
