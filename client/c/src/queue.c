/* Done queues, and their public side for event loops. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "client/c/src/client.h"
#include "client/c/src/futex.h"
#include "client/c/src/future.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"

int rmd_done_queue_init(struct rmd_done_queue *queue)
{
	*queue = (struct rmd_done_queue){.event_fd = -1};
	return pthread_mutex_init(&queue->lock, NULL) == 0 ? 0 : RMD_ENOMEM;
}

void rmd_done_queue_fini(struct rmd_done_queue *queue)
{
	struct remuda_future *future;
	while ((future = rmd_done_queue_pop(queue)) != NULL)
		rmd_future_unref(future);
	if (queue->event_fd >= 0)
		close(queue->event_fd);
	pthread_mutex_destroy(&queue->lock);
}

/* The descriptor is readable exactly while the queue is not empty; the queue's lock is
 * held. */
static void signal_fd(struct rmd_done_queue *queue)
{
	uint64_t one = 1;
	ssize_t n = write(queue->event_fd, &one, sizeof one);
	(void)n; /* it is nonblocking and holds at most 1 */
}

static void clear_fd(struct rmd_done_queue *queue)
{
	uint64_t count;
	ssize_t n = read(queue->event_fd, &count, sizeof count);
	(void)n;
}

/* One more has come to an abandoned queue. */
static void drop(struct rmd_done_queue *queue, struct remuda_future *future)
{
	rmd_future_unref(future);
	pthread_mutex_lock(&queue->lock);
	bool last = --queue->expected == 0;
	pthread_mutex_unlock(&queue->lock);
	if (last)
		queue->gone(queue);
}

void rmd_done_queue_abandon(struct rmd_done_queue *queue,
			    void (*gone)(struct rmd_done_queue *queue))
{
	struct remuda_future *future;
	while ((future = rmd_done_queue_pop(queue)) != NULL)
		rmd_future_unref(future);
	pthread_mutex_lock(&queue->lock);
	queue->gone = gone;
	future = queue->head; /* what came in between */
	queue->head = queue->tail = NULL;
	bool none = queue->expected == 0;
	pthread_mutex_unlock(&queue->lock);
	if (none)
		gone(queue);
	while (future != NULL) {
		struct remuda_future *next = future->next;
		drop(queue, future);
		future = next;
	}
}

void rmd_done_queue_push(struct rmd_done_queue *queue, struct remuda_future *future)
{
	pthread_mutex_lock(&queue->lock);
	if (queue->gone != NULL) {
		pthread_mutex_unlock(&queue->lock);
		drop(queue, future);
		return;
	}
	future->next = NULL;
	if (queue->head == NULL) {
		queue->head = future;
		if (queue->event_fd >= 0)
			signal_fd(queue);
	} else {
		queue->tail->next = future;
	}
	queue->tail = future;
	/* Under the lock: who pops the last future may free the queue. */
	atomic_fetch_add(&queue->pushes, 1);
	if (atomic_load(&queue->sleepers) != 0)
		rmd_futex_wake(&queue->pushes);
	pthread_mutex_unlock(&queue->lock);
}

struct remuda_future *rmd_done_queue_pop(struct rmd_done_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	struct remuda_future *future = queue->head;
	if (future != NULL) {
		queue->head = future->next;
		future->next = NULL;
		queue->expected--;
		if (queue->head == NULL && queue->event_fd >= 0)
			clear_fd(queue);
	}
	pthread_mutex_unlock(&queue->lock);
	return future;
}

struct remuda_future *rmd_done_queue_pop_wait(struct rmd_done_queue *queue,
					      uint64_t until_ns)
{
	for (;;) {
		unsigned seen = atomic_load(&queue->pushes);
		struct remuda_future *future = rmd_done_queue_pop(queue);
		if (future != NULL ||
		    (until_ns != UINT64_MAX && rmd_clock_mono_ns() >= until_ns))
			return future;
		atomic_fetch_add(&queue->sleepers, 1);
		rmd_futex_wait(&queue->pushes, seen, until_ns);
		atomic_fetch_sub(&queue->sleepers, 1);
	}
}

int rmd_done_queue_fd(struct rmd_done_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	if (queue->event_fd < 0) {
		queue->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (queue->event_fd >= 0 && queue->head != NULL)
			signal_fd(queue);
	}
	int fd = queue->event_fd;
	pthread_mutex_unlock(&queue->lock);
	return fd >= 0 ? fd : RMD_ESYS;
}

/* ---- the public side ---- */

int remuda_enqueue(struct remuda_future *future, remuda_done_fn *done, void *ctx)
{
	if (future == NULL)
		return REMUDA_EINVAL;
	struct remuda *client = future->client;
	pthread_mutex_lock(&client->lock);
	bool closed = client->state == RMD_CLIENT_CLOSED;
	pthread_mutex_unlock(&client->lock);
	if (closed)
		return REMUDA_ECLOSED; /* nobody would ever take it off the queue */
	return rmd_future_hook(future, &client->queue, done, ctx);
}

int remuda_fd(struct remuda *client)
{
	if (client == NULL)
		return REMUDA_EINVAL;
	if (rmd_client_forked(client))
		return REMUDA_EFORKED;
	rmd_seat_keep(
		&client->seat); /* its user polls the descriptor, and nobody waits */
	return rmd_done_queue_fd(&client->queue);
}

struct remuda_future *remuda_next_done(struct remuda *client, void **ret_ctx)
{
	if (client == NULL || rmd_client_forked(client))
		return NULL;
	struct remuda_future *future = rmd_done_queue_pop(&client->queue);
	if (future != NULL && ret_ctx != NULL)
		*ret_ctx = future->done_ctx;
	return future;
}

size_t remuda_dispatch(struct remuda *client)
{
	if (client == NULL || rmd_client_forked(client))
		return 0;
	/* Only what is there now, so that callbacks that submit cannot hold us for ever.
	 */
	pthread_mutex_lock(&client->queue.lock);
	struct remuda_future *future = client->queue.head;
	client->queue.head = client->queue.tail = NULL;
	for (struct remuda_future *each = future; each != NULL; each = each->next)
		client->queue.expected--;
	if (future != NULL && client->queue.event_fd >= 0)
		clear_fd(&client->queue);
	pthread_mutex_unlock(&client->queue.lock);
	size_t count = 0;
	while (future != NULL) {
		struct remuda_future *next = future->next;
		if (future->done != NULL)
			future->done(future, future->done_ctx);
		else
			rmd_future_unref(future);
		future = next;
		count++;
	}
	return count;
}
