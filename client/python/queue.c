/* What has ended and what was printed, in order, on its way to Python's own thread. */
#include "client/python/task.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* So much of what tasks print is kept while nobody takes it; what comes then is dropped.
 */
#define PRINTED_MAX ((size_t)16 << 20)

struct rmd_py_node {
	struct rmd_py_node *next;
	PyObject *owner; /* owned; NULL: something printed, or the end */
	enum remuda_stream stream;
	size_t len;
	char data[]; /* what was printed */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct rmd_py_node *head, **end;
	size_t printed_bytes;
	int stop;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void push(struct rmd_py_node *node)
{
	pthread_mutex_lock(&queue.lock);
	node->next = NULL;
	if (queue.head == NULL)
		queue.end = &queue.head;
	*queue.end = node;
	queue.end = &node->next;
	pthread_cond_signal(&queue.changed);
	pthread_mutex_unlock(&queue.lock);
}

struct rmd_py_node *rmd_py_node_create(PyObject *owner)
{
	struct rmd_py_node *node = calloc(1, sizeof *node);
	if (node == NULL) {
		PyErr_NoMemory();
		return NULL;
	}
	Py_INCREF(owner);
	node->owner = owner;
	return node;
}

void rmd_py_node_destroy(struct rmd_py_node *node)
{
	Py_XDECREF(node->owner);
	free(node);
}

void rmd_py_node_push(struct rmd_py_node *node)
{
	push(node);
}

void rmd_py_task_on_log(void *ctx, enum remuda_stream stream, const void *data,
			size_t len, uint64_t dropped_bytes)
{
	(void)ctx;
	(void)dropped_bytes;
	pthread_mutex_lock(&queue.lock);
	int full = queue.printed_bytes + len > PRINTED_MAX;
	if (!full)
		queue.printed_bytes += len;
	pthread_mutex_unlock(&queue.lock);
	struct rmd_py_node *node = full ? NULL : calloc(1, sizeof *node + len);
	if (node == NULL)
		return;
	node->stream = stream;
	node->len = len;
	memcpy(node->data, data, len);
	push(node);
}

/* Waits until there is something: gives all of it. Without the GIL. */
static struct rmd_py_node *take_all(int *ret_stop)
{
	pthread_mutex_lock(&queue.lock);
	while (queue.head == NULL && !queue.stop)
		pthread_cond_wait(&queue.changed, &queue.lock);
	struct rmd_py_node *head = queue.head;
	queue.head = NULL;
	queue.printed_bytes = 0;
	*ret_stop = queue.stop;
	queue.stop = 0;
	pthread_mutex_unlock(&queue.lock);
	return head;
}

PyObject *rmd_py_next_done(PyObject *self, PyObject *none)
{
	struct rmd_py_node *head;
	int stop;
	(void)self;
	(void)none;
	Py_BEGIN_ALLOW_THREADS head = take_all(&stop);
	Py_END_ALLOW_THREADS PyObject *list = PyList_New(0);
	while (head != NULL) {
		struct rmd_py_node *node = head;
		PyObject *item = node->owner;
		head = node->next;
		if (item == NULL)
			item = Py_BuildValue("(iy#)", (int)node->stream, node->data,
					     (Py_ssize_t)node->len);
		if (list == NULL || item == NULL || PyList_Append(list, item) < 0)
			PyErr_WriteUnraisable(NULL);
		Py_XDECREF(item);
		free(node);
	}
	if (stop && list != NULL && PyList_Append(list, Py_None) < 0)
		Py_CLEAR(list);
	return list;
}

PyObject *rmd_py_post(PyObject *self, PyObject *owner)
{
	struct rmd_py_node *node = rmd_py_node_create(owner);
	(void)self;
	if (node == NULL)
		return NULL;
	push(node);
	Py_RETURN_NONE;
}

PyObject *rmd_py_stop_done(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	pthread_mutex_lock(&queue.lock);
	queue.stop = 1;
	pthread_cond_signal(&queue.changed);
	pthread_mutex_unlock(&queue.lock);
	Py_RETURN_NONE;
}
