#include "client/c/src/future.h"

#include "client/c/src/client.h"
#include "client/c/src/futex.h"
#include "client/c/src/get.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/error/chain.h"

#define FUTURE_MAGIC 0xf0701e01u

/* Threads in remuda_wait_any, and what they sleep on: it changes with every task that
 * ends while there are any. Process-wide, as the futures may be of several clients. */
static atomic_uint any_waiters, any_done;

struct remuda_future *rmd_future_create(struct remuda *client)
{
	struct remuda_future *future = rmd_calloc(1, sizeof *future);
	if (future == NULL)
		return NULL;
	future->magic = FUTURE_MAGIC;
	atomic_init(&future->refs, 1);
	future->client = rmd_client_ref(client);
	return future;
}

struct remuda_future *rmd_future_ref(struct remuda_future *future)
{
	atomic_fetch_add_explicit(&future->refs, 1, memory_order_relaxed);
	return future;
}

void rmd_future_unref(struct remuda_future *future)
{
	if (future == NULL)
		return;
	RMD_CHECK_OBJ(future, FUTURE_MAGIC);
	if (atomic_fetch_sub_explicit(&future->refs, 1, memory_order_acq_rel) != 1)
		return;
	rmd_buf_unref(future->buf);
	rmd_decoded_free(future->decoded);
	rmd_client_unref(future->client);
	future->magic = 0;
	rmd_free(future);
}

/* Keeps the bytes: inside, in a copy, or by reference. */
static int keep(struct remuda_future *future, struct rmd_piece piece)
{
	if (piece.bytes.len <= RMD_FUTURE_SMALL_BYTES) {
		if (piece.bytes.len != 0)
			memcpy(future->small, piece.bytes.data, piece.bytes.len);
		future->bytes = rmd_slice_of(future->small, piece.bytes.len);
		return 0;
	}
	if (piece.bytes.len <= RMD_FUTURE_COPY_BYTES || piece.buf == NULL) {
		future->buf = rmd_buf_copy(piece.bytes);
		if (future->buf == NULL)
			return RMD_ENOMEM;
		future->bytes = rmd_buf_slice(future->buf);
		return 0;
	}
	future->buf = rmd_buf_ref(piece.buf);
	future->bytes = piece.bytes;
	return 0;
}

static void run_hook(struct remuda_future *future)
{
	if (future->queue != NULL)
		rmd_done_queue_push(future->queue, future);
	else
		future->done(future, future->done_ctx);
}

unsigned rmd_future_settle(struct remuda_future *future, enum rmd_outcome_kind kind,
			   int code, struct rmd_piece bytes)
{
	RMD_CHECK_OBJ(future, FUTURE_MAGIC);
	future->kind = kind;
	future->code = code;
	if (keep(future, bytes) < 0) {
		future->kind = RMD_OUTCOME_ERROR;
		future->code = REMUDA_ENOMEM;
		future->bytes = rmd_slice_of(NULL, 0);
	}
	unsigned before = atomic_fetch_or(&future->state, RMD_FUTURE_DONE);
	RMD_CHECK(!(before & RMD_FUTURE_DONE));
	if (before & RMD_FUTURE_WAITED)
		rmd_seat_unneed(&future->client->seat);
	return before;
}

void rmd_future_announce(struct remuda_future *future, unsigned before)
{
	if (before & RMD_FUTURE_WAITED)
		rmd_futex_wake(&future->state);
	if (atomic_load(&any_waiters) != 0) {
		atomic_fetch_add(&any_done, 1);
		rmd_futex_wake(&any_done);
	}
	if (before & RMD_FUTURE_HOOKED)
		run_hook(future);
}

void rmd_future_complete(struct remuda_future *future, enum rmd_outcome_kind kind,
			 int code, struct rmd_piece bytes)
{
	rmd_future_announce(future, rmd_future_settle(future, kind, code, bytes));
}

void rmd_future_fail(struct remuda_future *future, int code, struct remuda_error *err)
{
	struct rmd_buf *buf = rmd_error_encode_buf(err);
	remuda_error_free(err);
	if (buf == NULL) {
		rmd_future_complete(future, RMD_OUTCOME_ERROR, REMUDA_ENOMEM,
				    (struct rmd_piece){0});
		return;
	}
	rmd_future_complete(future, RMD_OUTCOME_ERROR, code,
			    (struct rmd_piece){rmd_buf_slice(buf), buf});
	rmd_buf_unref(buf);
}

int rmd_future_hook(struct remuda_future *future, struct rmd_done_queue *queue,
		    remuda_done_fn *done, void *ctx)
{
	if (atomic_load(&future->state) & RMD_FUTURE_HOOKED)
		return RMD_EINVAL;
	future->done = done;
	future->done_ctx = ctx;
	future->queue = queue;
	if (queue != NULL) {
		pthread_mutex_lock(&queue->lock);
		queue->expected++;
		pthread_mutex_unlock(&queue->lock);
	}
	if (atomic_fetch_or(&future->state, RMD_FUTURE_HOOKED) & RMD_FUTURE_DONE)
		run_hook(future);
	return 0;
}

/* ---- the public side ---- */

uint64_t rmd_until_ns(int64_t timeout_ms)
{
	if (timeout_ms < 0 || timeout_ms > INT64_MAX / 2000000)
		return UINT64_MAX;
	return rmd_clock_mono_ns() + (uint64_t)timeout_ms * 1000000u;
}

bool remuda_done(const struct remuda_future *future)
{
	return future == NULL || rmd_future_done(future);
}

static bool is_done(const void *ctx)
{
	return rmd_future_done(ctx);
}

/* Waits where the outcome comes in, if nobody else does: it costs a wake less. */
static bool wait_in_loop(struct remuda_future *future, uint64_t until_ns)
{
	uint64_t until_ms = until_ns == UINT64_MAX ? UINT64_MAX : until_ns / 1000000u + 1;
	if (until_ns != UINT64_MAX && rmd_clock_mono_ns() >= until_ns)
		return false;
	return rmd_seat_visit(&future->client->seat, is_done, future, until_ms) &&
	       rmd_future_done(future);
}

static int wait_until(struct remuda_future *future, uint64_t until_ns)
{
	if (rmd_future_done(future))
		return 0;
	if (rmd_client_forked(future->client))
		return REMUDA_EFORKED;
	for (;;) {
		if (wait_in_loop(future, until_ns))
			return 0;
		unsigned state = atomic_fetch_or(&future->state, RMD_FUTURE_WAITED);
		if (state & RMD_FUTURE_DONE)
			return 0;
		if (!(state & RMD_FUTURE_WAITED))
			rmd_seat_need(&future->client->seat);
		if (until_ns != UINT64_MAX && rmd_clock_mono_ns() >= until_ns)
			return REMUDA_ETIMEOUT;
		rmd_futex_wait(&future->state, state | RMD_FUTURE_WAITED, until_ns);
	}
}

int rmd_future_wait(struct remuda_future *future, uint64_t until_ns)
{
	return wait_until(future, until_ns);
}

int remuda_wait(struct remuda_future *future, int64_t timeout_ms)
{
	return future == NULL ? 0 : wait_until(future, rmd_until_ns(timeout_ms));
}

int remuda_wait_all(struct remuda_future *const *futures, size_t count,
		    int64_t timeout_ms)
{
	uint64_t until_ns = rmd_until_ns(timeout_ms);
	for (size_t i = 0; i < count; i++) {
		int code = futures[i] == NULL ? 0 : wait_until(futures[i], until_ns);
		if (code < 0)
			return code;
	}
	return 0;
}

/* The first that has ended: its index, `count`: none has; REMUDA_EINVAL, REMUDA_EFORKED.
 */
static int find_done(struct remuda_future *const *futures, size_t count,
		     size_t *ret_index)
{
	bool any = false;
	for (size_t i = 0; i < count; i++) {
		if (futures[i] == NULL)
			continue;
		any = true;
		if (atomic_load(&futures[i]->state) & RMD_FUTURE_DONE) {
			*ret_index = i;
			return 0;
		}
		if (rmd_client_forked(futures[i]->client))
			return REMUDA_EFORKED;
	}
	return any ? REMUDA_EAGAIN : REMUDA_EINVAL;
}

static void need_clients(struct remuda_future *const *futures, size_t count,
			 void (*tell)(struct rmd_seat *seat))
{
	for (size_t i = 0; i < count; i++)
		if (futures[i] != NULL)
			tell(&futures[i]->client->seat);
}

int remuda_wait_any(struct remuda_future *const *futures, size_t count,
		    int64_t timeout_ms, size_t *ret_index)
{
	int code = find_done(futures, count, ret_index);
	if (code != REMUDA_EAGAIN)
		return code;
	uint64_t until_ns = rmd_until_ns(timeout_ms);
	need_clients(futures, count, rmd_seat_need);
	atomic_fetch_add(&any_waiters, 1);
	for (;;) {
		unsigned seen = atomic_load(&any_done);
		code = find_done(futures, count, ret_index);
		if (code != REMUDA_EAGAIN)
			break;
		if (until_ns != UINT64_MAX && rmd_clock_mono_ns() >= until_ns) {
			code = REMUDA_ETIMEOUT;
			break;
		}
		rmd_futex_wait(&any_done, seen, until_ns);
	}
	atomic_fetch_sub(&any_waiters, 1);
	need_clients(futures, count, rmd_seat_unneed);
	return code;
}

void remuda_future_free(struct remuda_future *future)
{
	rmd_future_unref(future);
}

uint64_t remuda_number(const struct remuda_future *future)
{
	return future == NULL ? 0 : future->number;
}

int remuda_accepted(const struct remuda_future *future, int64_t timeout_ms)
{
	uint64_t until_ns = rmd_until_ns(timeout_ms);
	int rc = 0;
	if (future == NULL || future->number == 0)
		return REMUDA_EINVAL;
	struct remuda *client = future->client;
	if (rmd_client_forked(client))
		return REMUDA_EFORKED;
	pthread_mutex_lock(&client->lock);
	atomic_fetch_add(&client->accept_waiters, 1);
	while (rc == 0 && atomic_load(&client->accepted) < future->number) {
		if (client->state >= RMD_CLIENT_LOST)
			rc = REMUDA_EUNREACHABLE;
		else if (!rmd_client_wait(client, until_ns))
			rc = REMUDA_ETIMEOUT;
	}
	atomic_fetch_sub(&client->accept_waiters, 1);
	pthread_mutex_unlock(&client->lock);
	return rc;
}

int remuda_on_done(struct remuda_future *future, remuda_done_fn *done, void *ctx)
{
	if (done == NULL || future == NULL)
		return REMUDA_EINVAL;
	rmd_seat_keep(&future->client->seat); /* it is called on the client's thread */
	return rmd_future_hook(future, NULL, done, ctx);
}
