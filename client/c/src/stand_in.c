/* What libremuda is inside a worker that was captured from a program: values and errors
 * work as ever; clients, futures and maps cannot be opened there, and say so. A part of
 * libremuda-worker.so, which loads no gRPC. */
#include <string.h>

#include "client/c/include/remuda/remuda.h"
#include "proto/base/errcode.h"

/* No such thing exists here: every future, client and map is NULL. */
static int nothing(struct remuda_error **ret_err)
{
	if (ret_err != NULL)
		*ret_err = remuda_error_create("InsideWorker",
					       "this program runs as a worker, where a "
					       "client cannot be opened: a "
					       "task submits with remuda_ctx_submit");
	return REMUDA_EUNREACHABLE;
}

const char *remuda_code_text(int code)
{
	return rmd_errcode_text(code);
}

const char *remuda_version(void)
{
	return REMUDA_VERSION;
}

struct remuda *remuda_open(const char *address)
{
	(void)address;
	return NULL;
}

struct remuda *remuda_open_with(const struct remuda_options *options,
				struct remuda_error **ret_err)
{
	(void)options;
	(void)nothing(ret_err);
	return NULL;
}

int remuda_status(const struct remuda *client, struct remuda_error **ret_err)
{
	(void)client;
	return nothing(ret_err);
}

const char *remuda_address(const struct remuda *client)
{
	(void)client;
	return "";
}

void remuda_close(struct remuda *client)
{
	(void)client;
}

struct remuda_future *remuda_submit_task(struct remuda *client,
					 const struct remuda_task *task,
					 const struct remuda_task_options *options,
					 const struct remuda_arg *args, size_t count)
{
	(void)client;
	(void)task;
	(void)options;
	(void)args;
	(void)count;
	return NULL;
}

struct remuda_future *remuda_submit_call(struct remuda *client,
					 const struct remuda_call *call)
{
	(void)client;
	(void)call;
	return NULL;
}

bool remuda_done(const struct remuda_future *future)
{
	(void)future;
	return true;
}

int remuda_wait(struct remuda_future *future, int64_t timeout_ms)
{
	(void)future;
	(void)timeout_ms;
	return nothing(NULL);
}

int remuda_wait_any(struct remuda_future *const *futures, size_t count,
		    int64_t timeout_ms, size_t *ret_index)
{
	(void)futures;
	(void)count;
	(void)timeout_ms;
	(void)ret_index;
	return REMUDA_EINVAL;
}

int remuda_wait_all(struct remuda_future *const *futures, size_t count,
		    int64_t timeout_ms)
{
	(void)futures;
	(void)count;
	(void)timeout_ms;
	return nothing(NULL);
}

int remuda_result(struct remuda_future *future, const struct remuda_value **ret_value,
		  struct remuda_error **ret_err)
{
	(void)future;
	(void)ret_value;
	return nothing(ret_err);
}

int remuda_cancel(struct remuda_future *future)
{
	(void)future;
	return REMUDA_ECLOSED;
}

void remuda_future_free(struct remuda_future *future)
{
	(void)future;
}

uint64_t remuda_number(const struct remuda_future *future)
{
	(void)future;
	return 0;
}

int remuda_accepted(const struct remuda_future *future, int64_t timeout_ms)
{
	(void)future;
	(void)timeout_ms;
	return REMUDA_EINVAL;
}

void remuda_session_hex(const struct remuda *client, char ret_hex[33])
{
	(void)client;
	memset(ret_hex, '0', 32);
	ret_hex[32] = '\0';
}

int remuda_on_done(struct remuda_future *future, remuda_done_fn *done, void *ctx)
{
	(void)future;
	(void)done;
	(void)ctx;
	return REMUDA_EINVAL;
}

int remuda_enqueue(struct remuda_future *future, remuda_done_fn *done, void *ctx)
{
	(void)future;
	(void)done;
	(void)ctx;
	return REMUDA_EINVAL;
}

int remuda_fd(struct remuda *client)
{
	(void)client;
	return nothing(NULL);
}

struct remuda_future *remuda_next_done(struct remuda *client, void **ret_ctx)
{
	(void)client;
	(void)ret_ctx;
	return NULL;
}

size_t remuda_dispatch(struct remuda *client)
{
	(void)client;
	return 0;
}

struct remuda_mapping *remuda_map(struct remuda *client, const char *function,
				  remuda_source_fn *source, void *ctx,
				  const struct remuda_map_options *options)
{
	(void)client;
	(void)function;
	(void)source;
	(void)ctx;
	(void)options;
	return NULL;
}

struct remuda_mapping *remuda_map_array(struct remuda *client, const char *function,
					const struct remuda_value *items, size_t count,
					const struct remuda_map_options *options)
{
	(void)client;
	(void)function;
	(void)items;
	(void)count;
	(void)options;
	return NULL;
}

int remuda_map_next(struct remuda_mapping *map, int64_t timeout_ms,
		    struct remuda_future **ret_future, uint64_t *ret_index)
{
	(void)map;
	(void)timeout_ms;
	(void)ret_future;
	(void)ret_index;
	return nothing(NULL);
}

void remuda_map_close(struct remuda_mapping *map)
{
	(void)map;
}

int remuda_pool_open(struct remuda *client, const struct remuda_pool_options *options,
		     uint32_t *ret_pool, struct remuda_error **ret_err)
{
	(void)client;
	(void)options;
	(void)ret_pool;
	return nothing(ret_err);
}

int remuda_pool_close(struct remuda *client, uint32_t pool, enum remuda_pool_end how,
		      int64_t timeout_ms, struct remuda_error **ret_err)
{
	(void)client;
	(void)pool;
	(void)how;
	(void)timeout_ms;
	return nothing(ret_err);
}

int remuda_module_push(struct remuda *client, const char *path, uint8_t ret_digest[32],
		       struct remuda_error **ret_err)
{
	(void)client;
	(void)path;
	(void)ret_digest;
	return nothing(ret_err);
}

int remuda_set_encoder(enum remuda_encoder encoder)
{
	(void)encoder;
	return 0;
}

int remuda_client_set_encoder(struct remuda *client, enum remuda_encoder encoder)
{
	(void)client;
	(void)encoder;
	return 0;
}

/* remuda_get of each type: there is no future whose value it could be. */
#define GET(name, type)                                                \
	int remuda_get_##name(struct remuda_future *future, type *ret, \
			      struct remuda_error **ret_err)           \
	{                                                              \
		(void)future;                                          \
		(void)ret;                                             \
		return nothing(ret_err);                               \
	}
GET(int64, int64_t)
GET(llong, long long)
GET(int, int)
GET(uint64, uint64_t)
GET(ullong, unsigned long long)
GET(uint, unsigned)
GET(double, double)
GET(float, float)
GET(bool, bool)
GET(text, char *)
GET(string, struct remuda_string)
GET(bytes, struct remuda_bytes)
GET(int64s, struct remuda_int64s)
GET(doubles, struct remuda_doubles)
GET(value, struct remuda_value)
GET(nothing, const void)
