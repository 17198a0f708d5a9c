/* Closing a pool, and waiting for the tasks that are in it. */
#include "client/c/src/client.h"
#include "client/c/src/future.h"
#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/error/chain.h"

_Static_assert((int)REMUDA_POOL_DRAIN == (int)RMD_SESSION_CLOSE_DRAIN &&
		       (int)REMUDA_POOL_KILL == (int)RMD_SESSION_CLOSE_KILL,
	       "the ends of a pool have the contract's numbers");

/* ---- under the client's lock ---- */

/* Says that pool `number` is closed, if there is a stream; else it will be said. */
static void say_closed(struct remuda *client, uint32_t number)
{
	struct rmd_session_close_pool closed = {
		.pool = number,
		.how = client->pools[number - 1].closed,
	};
	if (client->stream == NULL)
		return;
	rmd_session_request_put_close_pool(rmd_stream_begin(client->stream), &closed);
	rmd_stream_end(client->stream);
}

void rmd_pools_close_again(struct remuda *client)
{
	for (uint32_t i = 0; i < client->pool_count; i++)
		if (client->pools[i].closed != RMD_SESSION_CLOSE_UNSPECIFIED)
			say_closed(client, i + 1);
}

/* ---- waiting ---- */

/* Gives some task of the pool that has not ended, from number *number on, with a
 * reference, or NULL. */
static struct remuda_future *next_of(struct remuda *client, uint32_t pool,
				     uint64_t *number)
{
	struct remuda_future *future;
	pthread_mutex_lock(&client->table_lock);
	while ((future = rmd_table_next(&client->table, number)) != NULL &&
	       future->pool != pool)
		++*number;
	if (future != NULL)
		rmd_future_ref(future);
	pthread_mutex_unlock(&client->table_lock);
	return future;
}

static int wait_for_tasks(struct remuda *client, uint32_t pool, int64_t timeout_ms)
{
	uint64_t number = 0, until_ns = rmd_until_ns(timeout_ms);
	struct remuda_future *future;
	int code = 0;
	while (code == 0 && (future = next_of(client, pool, &number)) != NULL) {
		code = rmd_future_wait(future, until_ns);
		rmd_future_unref(future);
		number++;
	}
	return code;
}

/* ---- the public side ---- */

static int close_pool(struct remuda *client, uint32_t pool, enum remuda_pool_end how,
		      struct remuda_error **ret_err)
{
	int code = 0;
	pthread_mutex_lock(&client->lock);
	if (pool == 0 || pool > client->pool_count ||
	    client->pools[pool - 1].closed != RMD_SESSION_CLOSE_UNSPECIFIED) {
		code = REMUDA_ENOTFOUND;
		*ret_err = remuda_error_create(
			"UnknownPool", "this client has no open pool %u", (unsigned)pool);
	} else {
		client->pools[pool - 1].closed = (enum rmd_session_close)how;
		say_closed(client, pool);
	}
	pthread_mutex_unlock(&client->lock);
	return code;
}

int remuda_pool_close(struct remuda *client, uint32_t pool, enum remuda_pool_end how,
		      int64_t timeout_ms, struct remuda_error **ret_err)
{
	struct remuda_error *err = NULL;
	int code = client == NULL || how < REMUDA_POOL_DRAIN || how > REMUDA_POOL_KILL
			   ? REMUDA_EINVAL
			   : 0;
	if (code == 0 && rmd_client_forked(client)) {
		code = REMUDA_EFORKED;
		err = rmd_forked_error();
	}
	if (code == 0 && timeout_ms != 0 && rmd_client_is_here(client)) {
		code = REMUDA_EINVAL;
		err = remuda_error_create(
			"WrongThread",
			"a callback on the client's thread cannot wait for a pool");
	}
	if (code == 0)
		code = close_pool(client, pool, how, &err);
	if (code == 0 && timeout_ms != 0 &&
	    (code = wait_for_tasks(client, pool, timeout_ms)) == REMUDA_ETIMEOUT)
		err = remuda_error_create("Timeout",
					  "the pool is closed, and its tasks go on: they "
					  "did not end within %lld ms",
					  (long long)timeout_ms);
	if (code < 0 && err == NULL)
		err = remuda_error_create("InvalidCall", "%s", remuda_code_text(code));
	if (ret_err != NULL && err != NULL)
		*ret_err = err;
	else
		remuda_error_free(err);
	return code;
}
