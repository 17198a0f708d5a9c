/* server/service/pools.c: Pools: Open, Resize, Drain, Close, List, Watch. */
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/codec/wire.h"
#include "remuda/v1/pools.pb-c.h"
#include "server/service/pool_info.h"
#include "server/service/unary.h"

#define WATCH_MAGIC 0x3a7c4001u
#define WATCH_MS 100 /* at most ten times a second */
#define POLL_MS 20

typedef Remuda__V1__PoolInfo PoolInfo;

/* Makes the message of a pool, in the call's arena; NULL: out of memory. */
PoolInfo *rmd_pool_info_make(struct rmd_arena *arena, const struct rmd_core_pool *pool)
{
	struct rmd_core_pool_info info;
	rmd_core_pool_info(pool, &info);
	PoolInfo *message = rmd_arena_alloc(arena, sizeof *message);
	Remuda__V1__PoolSpec *spec = rmd_arena_alloc(arena, sizeof *spec);
	char *waits = rmd_arena_calloc(arena, 1, RMD_CORE_EXPLAIN_BYTES);
	if (message == NULL || spec == NULL || waits == NULL)
		return NULL;
	remuda__v1__pool_info__init(message);
	remuda__v1__pool_spec__init(spec);
	spec->name = rmd_arena_copy(arena, info.name);
	spec->runtime = rmd_arena_copy(arena, info.runtime);
	if (spec->name == NULL || spec->runtime == NULL)
		return NULL;
	spec->max_workers = info.max_workers;
	rmd_core_pool_explain(pool, waits, RMD_CORE_EXPLAIN_BYTES);
	message->pool = info.number;
	message->spec = spec;
	message->queued = info.queued;
	message->leased = info.leased;
	message->workers = info.workers;
	message->idle = info.idle;
	message->done = info.done;
	message->waiting_for = waits;
	return message;
}

static void out_of_memory(struct rmd_unary *call)
{
	rmd_unary_fail(call, RMD_RPC_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY",
		       "the coordinator is out of memory");
}

static void handle_open(struct rmd_unary *call, const void *request_message, void *ctx)
{
	struct rmd_coordinator *coordinator = ctx;
	const Remuda__V1__OpenRequest *request = request_message;
	if (request->spec == NULL || request->spec->name[0] == '\0') {
		rmd_unary_fail(call, RMD_RPC_INVALID_ARGUMENT, "NO_NAME",
			       "spec.name is empty: give the pool a name");
		return;
	}
	struct rmd_pool_spec *spec = NULL;
	const char *field = NULL;
	size_t size = protobuf_c_message_get_packed_size(&request->spec->base);
	uint8_t *raw = rmd_arena_alloc(rmd_unary_arena(call), size);
	if (raw == NULL) {
		out_of_memory(call);
		return;
	}
	protobuf_c_message_pack(&request->spec->base, raw);
	int rc = rmd_pool_spec_read(rmd_slice_of(raw, size), &spec, &field);
	if (rc < 0) {
		rmd_unary_fail(call, RMD_RPC_INVALID_ARGUMENT, "BAD_SPEC", "%s: %s",
			       field != NULL ? field : "spec", rmd_errcode_text(rc));
		return;
	}
	struct rmd_core_pool *pool;
	bool reused = false;
	char *why = NULL;
	rc = rmd_coordinator_open_pool(coordinator, NULL, spec, &pool, &reused, &why);
	rmd_pool_spec_free(spec);
	if (rc < 0) {
		rmd_unary_fail(call,
			       rc == RMD_ELIMIT || rc == RMD_ENOMEM
				       ? RMD_RPC_RESOURCE_EXHAUSTED
			       : rc == RMD_ECLOSED ? RMD_RPC_UNAVAILABLE
			       : rc == RMD_ERANGE  ? RMD_RPC_INVALID_ARGUMENT
						   : RMD_RPC_FAILED_PRECONDITION,
			       "POOL_REFUSED", "%s", why != NULL ? why : "out of memory");
		rmd_free(why);
		return;
	}
	Remuda__V1__OpenResponse response = REMUDA__V1__OPEN_RESPONSE__INIT;
	response.pool = rmd_pool_info_make(rmd_unary_arena(call), pool);
	response.reused = reused;
	rmd_unary_reply(call, &response.base);
}

/* The named pool, or NULL after the call has failed. */
static struct rmd_core_pool *find(struct rmd_unary *call,
				  struct rmd_coordinator *coordinator, const char *name)
{
	struct rmd_core_pool *pool =
		rmd_core_pool_find_name(coordinator->core, rmd_slice_of_string(name));
	if (pool == NULL)
		rmd_unary_fail(call, RMD_RPC_NOT_FOUND, "UNKNOWN_POOL",
			       "no pool is named \"%.128s\"", name);
	return pool;
}

static void handle_resize(struct rmd_unary *call, const void *request_message, void *ctx)
{
	struct rmd_coordinator *coordinator = ctx;
	const Remuda__V1__ResizeRequest *request = request_message;
	struct rmd_core_pool *pool = find(call, coordinator, request->name);
	if (pool == NULL)
		return;
	if (rmd_core_pool_resize(coordinator->core, rmd_clock_mono_ms(), pool,
				 request->max_workers) < 0) {
		rmd_unary_fail(call, RMD_RPC_INVALID_ARGUMENT, "BAD_SIZE",
			       "max_workers is %u: it goes from 1 to %u",
			       request->max_workers, RMD_CORE_WORKERS_MAX);
		return;
	}
	rmd_coordinator_touch(coordinator);
	Remuda__V1__ResizeResponse response = REMUDA__V1__RESIZE_RESPONSE__INIT;
	response.pool = rmd_pool_info_make(rmd_unary_arena(call), pool);
	rmd_unary_reply(call, &response.base);
}

/* A Drain that waits for the pool to be gone. */
struct drain {
	struct rmd_timer timer; /* first */
	struct rmd_coordinator *coordinator;
	struct rmd_unary *call;
	uint64_t pool;
};

static void look_drained(struct rmd_timer *timer)
{
	struct drain *drain = (struct drain *)timer;
	struct rmd_core_pool *pool =
		rmd_core_pool_find(drain->coordinator->core, drain->pool);
	struct rmd_core_pool_info info = {0};
	if (pool != NULL)
		rmd_core_pool_info(pool, &info);
	bool waits = pool != NULL && info.queued + info.leased != 0 &&
		     rmd_unary_stream(drain->call) != NULL;
	if (waits && rmd_timer_start(drain->coordinator->loop, timer,
				     rmd_clock_mono_ms() + POLL_MS) == 0)
		return;
	Remuda__V1__DrainResponse response = REMUDA__V1__DRAIN_RESPONSE__INIT;
	rmd_unary_reply(drain->call, &response.base);
	rmd_free(drain);
}

static void handle_drain(struct rmd_unary *call, const void *request_message, void *ctx)
{
	struct rmd_coordinator *coordinator = ctx;
	const Remuda__V1__DrainRequest *request = request_message;
	struct rmd_core_pool *pool = find(call, coordinator, request->name);
	struct drain *drain = pool == NULL ? NULL : rmd_calloc(1, sizeof *drain);
	if (pool == NULL)
		return;
	if (drain == NULL) {
		out_of_memory(call);
		return;
	}
	drain->timer.fire = look_drained;
	drain->coordinator = coordinator;
	drain->call = call;
	drain->pool = rmd_core_pool_number(pool);
	rmd_core_pool_close(coordinator->core, rmd_clock_mono_ms(), pool,
			    RMD_CORE_POOL_DRAIN);
	rmd_coordinator_touch(coordinator);
	look_drained(&drain->timer);
}

static void handle_close(struct rmd_unary *call, const void *request_message, void *ctx)
{
	struct rmd_coordinator *coordinator = ctx;
	const Remuda__V1__CloseRequest *request = request_message;
	struct rmd_core_pool *pool = find(call, coordinator, request->name);
	if (pool == NULL)
		return;
	rmd_core_pool_close(coordinator->core, rmd_clock_mono_ms(), pool,
			    request->kill_workers ? RMD_CORE_POOL_KILL
						  : RMD_CORE_POOL_CLOSE);
	rmd_coordinator_touch(coordinator);
	Remuda__V1__CloseResponse response = REMUDA__V1__CLOSE_RESPONSE__INIT;
	rmd_unary_reply(call, &response.base);
}

/* All pools, in `arena`; -1: out of memory. */
static int64_t list(struct rmd_arena *arena, const struct rmd_core *core,
		    PoolInfo ***ret_pools)
{
	size_t count = 0, i = 0;
	for (struct rmd_core_pool *pool = NULL;
	     (pool = rmd_core_pool_next(core, pool)) != NULL;)
		count++;
	*ret_pools = rmd_arena_calloc(arena, count + 1, sizeof **ret_pools);
	if (*ret_pools == NULL)
		return -1;
	for (struct rmd_core_pool *pool = NULL;
	     (pool = rmd_core_pool_next(core, pool)) != NULL;)
		if (((*ret_pools)[i++] = rmd_pool_info_make(arena, pool)) == NULL)
			return -1;
	return (int64_t)count;
}

static void handle_list(struct rmd_unary *call, const void *request_message, void *ctx)
{
	struct rmd_coordinator *coordinator = ctx;
	(void)request_message;
	Remuda__V1__ListResponse response = REMUDA__V1__LIST_RESPONSE__INIT;
	int64_t count = list(rmd_unary_arena(call), coordinator->core, &response.pools);
	if (count < 0) {
		out_of_memory(call);
		return;
	}
	response.n_pools = (size_t)count;
	rmd_unary_reply(call, &response.base);
}

/* ---- Watch ---- */

struct watch {
	uint32_t magic;
	struct rmd_coordinator *coordinator;
	struct rmd_stream *stream;
	struct rmd_timer timer;
	struct rmd_digest last; /* of what was sent */
	struct rmd_arena arena;
	bool sent;
};

/* Sends the list if it is another than before. */
static void look_changed(struct watch *watch)
{
	Remuda__V1__WatchResponse response = REMUDA__V1__WATCH_RESPONSE__INIT;
	rmd_arena_reset(&watch->arena);
	int64_t count = list(&watch->arena, watch->coordinator->core, &response.pools);
	if (count >= 0 && rmd_stream_pending_bytes(watch->stream) == 0) {
		struct rmd_digest digest;
		response.n_pools = (size_t)count;
		size_t size = remuda__v1__watch_response__get_packed_size(&response);
		uint8_t *raw = rmd_arena_alloc(&watch->arena, size);
		if (raw != NULL) {
			remuda__v1__watch_response__pack(&response, raw);
			struct rmd_slice bytes = rmd_slice_of(raw, size);
			if (rmd_digest_of(bytes, &digest) == 0 &&
			    (!watch->sent || !rmd_digest_equal(&digest, &watch->last))) {
				rmd_wire_put_raw(rmd_stream_begin(watch->stream), bytes);
				rmd_stream_end_message(watch->stream);
				watch->last = digest;
				watch->sent = true;
			}
		}
	}
	rmd_timer_start(watch->coordinator->loop, &watch->timer,
			rmd_clock_mono_ms() + WATCH_MS);
}

static void on_watch_timer(struct rmd_timer *timer)
{
	look_changed((struct watch *)((char *)timer - offsetof(struct watch, timer)));
}

static void watch_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	(void)stream;
	(void)message;
	struct watch *watch = ctx;
	RMD_CHECK_OBJ(watch, WATCH_MAGIC);
	look_changed(watch);
}

static void watch_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
			 const char *text)
{
	struct watch *watch = ctx;
	RMD_CHECK_OBJ(watch, WATCH_MAGIC);
	(void)stream;
	(void)status;
	(void)text;
	rmd_timer_stop(watch->coordinator->loop, &watch->timer);
	rmd_arena_fini(&watch->arena);
	watch->magic = 0;
	rmd_free(watch);
}

static const struct rmd_stream_events watch_events = {
	.message = watch_message,
	.closed = watch_closed,
};

static void watch_open(struct rmd_stream *stream, void *ctx)
{
	struct watch *watch = rmd_calloc(1, sizeof *watch);
	if (watch == NULL) {
		rmd_stream_finish(stream, RMD_RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	watch->magic = WATCH_MAGIC;
	watch->coordinator = ctx;
	watch->stream = stream;
	watch->timer.fire = on_watch_timer;
	rmd_arena_init(&watch->arena, 0);
	rmd_stream_listen(stream, &watch_events, watch);
}

static const struct rmd_unary_method methods[] = {
	{"/remuda.v1.Pools/Open", &remuda__v1__open_request__descriptor, handle_open},
	{"/remuda.v1.Pools/Resize", &remuda__v1__resize_request__descriptor,
	 handle_resize},
	{"/remuda.v1.Pools/Drain", &remuda__v1__drain_request__descriptor, handle_drain},
	{"/remuda.v1.Pools/Close", &remuda__v1__close_request__descriptor, handle_close},
	{"/remuda.v1.Pools/List", &remuda__v1__list_request__descriptor, handle_list},
};
#define METHOD_COUNT (sizeof methods / sizeof *methods)
static struct rmd_method rpc_methods[METHOD_COUNT], watch_method;
static struct rmd_unary_service service = {methods, rpc_methods, METHOD_COUNT, NULL};

int rmd_pools_service_add(struct rmd_coordinator *coordinator)
{
	service.ctx = coordinator;
	watch_method = (struct rmd_method){"/remuda.v1.Pools/Watch", watch_open, 0, true};
	int rc = rmd_unary_service_add(coordinator->server, &service);
	return rc < 0 ? rc
		      : rmd_server_add_methods(coordinator->server, &watch_method, 1,
					       coordinator);
}
