/* The server: methods, listeners, calls that come, and an orderly end. */
#include "proto/rpc/server.h"

#include <stdlib.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/rpc/stream.h"
#include "proto/rpc/unix_listener.h"

#define MESSAGE_DEFAULT_BYTES ((4u << 20) + (64u << 10))
#define MESSAGE_LIMIT_BYTES (64u << 20)
/* Bounds what all connections' transports may hold in buffers. */
#define BUFFERS_MAX_BYTES (256u << 20)

static void on_shut(struct rmd_tag *tag, bool success);
static void on_grace(struct rmd_timer *timer);
static void on_finish(struct rmd_deferred *deferred);

struct rmd_server *rmd_server_create(struct rmd_loop *loop,
				     const struct rmd_server_options *options)
{
	struct rmd_server *server = rmd_calloc(1, sizeof *server);
	if (server == NULL)
		return NULL;
	server->magic = RMD_SERVER_MAGIC;
	server->loop = loop;
	server->shut.done = on_shut;
	server->grace.fire = on_grace;
	server->finish.run = on_finish;
	rmd_map_init(&server->peers, 0); /* keys are the kernel's, not a peer's */
	if (options != NULL && options->reflection_and_health) {
		server->standard = rmd_standard_create(server);
		if (server->standard == NULL) {
			rmd_server_forget_peers(server);
			rmd_free(server->methods);
			rmd_free(server);
			return NULL;
		}
	}
	rmd_loop_user_began(loop);
	return server;
}

/* ---- methods ---- */

static int by_path(const void *a, const void *b)
{
	const struct served_method *left = a, *right = b;
	return strcmp(left->method->path, right->method->path);
}

static const struct served_method *find_method(const struct rmd_server *server,
					       const char *path)
{
	struct rmd_method wanted = {.path = path};
	struct served_method key = {.method = &wanted};
	if (server->method_count == 0)
		return NULL;
	return bsearch(&key, server->methods, server->method_count, sizeof key, by_path);
}

static uint32_t message_max(const struct rmd_method *method)
{
	return method->message_max_bytes == 0 ? MESSAGE_DEFAULT_BYTES
					      : method->message_max_bytes;
}

int rmd_server_add_methods(struct rmd_server *server, const struct rmd_method *methods,
			   size_t count, void *service)
{
	RMD_CHECK_OBJ(server, RMD_SERVER_MAGIC);
	if (server->grpc != NULL || server->state != SERVER_CREATED)
		return RMD_EINVAL;
	for (size_t i = 0; i < count; i++) {
		if (find_method(server, methods[i].path) != NULL)
			return RMD_EEXIST;
		if (message_max(&methods[i]) > MESSAGE_LIMIT_BYTES)
			return RMD_EINVAL;
	}
	size_t total = server->method_count + count;
	struct served_method *all = rmd_realloc(server->methods, total * sizeof *all);
	if (all == NULL)
		return RMD_ENOMEM;
	server->methods = all;
	for (size_t i = 0; i < count; i++) {
		all[server->method_count + i] =
			(struct served_method){&methods[i], service};
		if (message_max(&methods[i]) > server->largest_message_bytes)
			server->largest_message_bytes = message_max(&methods[i]);
	}
	server->method_count = total;
	qsort(all, total, sizeof *all, by_path);
	return 0;
}

const char *rmd_server_method_path(const struct rmd_server *server, size_t index)
{
	return index < server->method_count ? server->methods[index].method->path : NULL;
}

bool rmd_server_has_service(const struct rmd_server *server, struct rmd_slice service)
{
	for (size_t i = 0; i < server->method_count; i++) {
		const char *path = server->methods[i].method->path + 1;
		if (strncmp(path, (const char *)service.data, service.len) == 0 &&
		    path[service.len] == '/')
			return true;
	}
	return false;
}

/* ---- gRPC's own server ---- */

static grpc_arg number_arg(const char *key, uint32_t value)
{
	return (grpc_arg){.type = GRPC_ARG_INTEGER,
			  .key = (char *)(uintptr_t)key,
			  .value.integer = (int)value};
}

/* Makes it when the methods are known, because the largest message is the connections'
 * limit. */
void rmd_server_ensure_grpc(struct rmd_server *server)
{
	if (server->grpc != NULL)
		return;
	server->transport_max_bytes = server->largest_message_bytes == 0
					      ? MESSAGE_DEFAULT_BYTES
					      : server->largest_message_bytes;
	grpc_resource_quota *quota = grpc_resource_quota_create("remuda");
	grpc_resource_quota_resize(quota, BUFFERS_MAX_BYTES);
	grpc_arg args[] = {
		number_arg(GRPC_ARG_ALLOW_REUSEPORT, 0),
		number_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1024),
		number_arg(GRPC_ARG_MAX_METADATA_SIZE, 16384),
		number_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
			   server->transport_max_bytes),
		/* Only uncompressed messages: a few bytes must not become gigabytes. */
		number_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1),
		number_arg(GRPC_ARG_KEEPALIVE_TIME_MS, 20000),
		number_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000),
		number_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
		number_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
		number_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000),
		number_arg(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 20000),
		number_arg(GRPC_ARG_HTTP2_BDP_PROBE, 0),
		number_arg(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 4u << 20),
		number_arg(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 256u << 10),
		number_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
		{.type = GRPC_ARG_POINTER,
		 .key = (char *)(uintptr_t)GRPC_ARG_RESOURCE_QUOTA,
		 .value.pointer = {quota, grpc_resource_quota_arg_vtable()}},
	};
	grpc_channel_args channel_args = {sizeof args / sizeof *args, args};
	server->grpc = grpc_server_create(&channel_args, NULL);
	grpc_resource_quota_unref(quota);
	grpc_server_register_completion_queue(
		server->grpc, rmd_loop_queue(server->loop, RMD_QUEUE_HOT), NULL);
}

/* ---- calls that come ---- */

static void ask_for_call(struct call_request *request);

static void on_retry(struct rmd_deferred *deferred)
{
	ask_for_call(RMD_CONTAINER_OF(deferred, struct call_request, retry));
}

static void ask_for_call(struct call_request *request)
{
	struct rmd_server *server = request->server;
	if (server->state != SERVER_SERVING)
		return;
	struct rmd_stream *stream = rmd_stream_create(server->loop, RMD_SIDE_SERVER);
	if (stream == NULL) {
		rmd_loop_defer(server->loop, &request->retry);
		return;
	}
	request->stream = stream;
	grpc_completion_queue *hot = rmd_loop_queue(server->loop, RMD_QUEUE_HOT);
	RMD_TSAN_RELEASE(&request->came);
	grpc_call_error refusal;
	if (request->rare == NULL)
		refusal = grpc_server_request_call(server->grpc, &stream->call,
						   &stream->details, &stream->initial,
						   hot, hot, &request->came);
	else
		refusal = grpc_server_request_registered_call(
			server->grpc, request->registration, &stream->call,
			&request->deadline, &stream->initial, NULL,
			rmd_loop_queue(server->loop, RMD_QUEUE_RARE), hot,
			&request->came);
	RMD_CHECK(refusal == GRPC_CALL_OK);
	server->requests_out++;
}

static void refuse_method(struct rmd_stream *stream)
{
	char *text = rmd_asprintf(
		"this server has no method %s; `grpcurl ADDRESS list` shows its "
		"services, if it reflects",
		stream->path);
	rmd_stream_finish(stream, RMD_RPC_UNIMPLEMENTED,
			  text == NULL ? "no such method" : text);
	rmd_free(text);
}

void rmd_server_set_admission(struct rmd_server *server, rmd_admit_fn *admit, void *ctx)
{
	RMD_CHECK_OBJ(server, RMD_SERVER_MAGIC);
	server->admit = admit;
	server->admit_ctx = ctx;
}

/* False: the call was refused. */
static bool admit(struct rmd_server *server, struct rmd_stream *stream)
{
	static const char health[] = "/grpc.health.v1.Health/";
	enum rmd_rpc_status status = RMD_RPC_UNAUTHENTICATED;
	if (server->admit == NULL ||
	    strncmp(stream->path, health, sizeof health - 1) == 0)
		return true;
	const char *why = server->admit(server->admit_ctx, stream, &status);
	if (why != NULL)
		rmd_stream_finish(stream, status, why);
	return why == NULL;
}

static void open_call(struct call_request *request, struct rmd_stream *stream)
{
	struct rmd_server *server = request->server;
	const struct served_method *served = request->rare;
	stream->server = server;
	server->streams++;
	rmd_loop_user_began(server->loop);
	if (served != NULL) {
		stream->method = served->method;
		stream->details.deadline = request->deadline;
		stream->rare = true;
		rmd_loop_rare_began(server->loop);
	}
	if (rmd_stream_learn_caller(stream) < 0) {
		rmd_stream_finish(stream, RMD_RPC_RESOURCE_EXHAUSTED, "out of memory");
		rmd_stream_run(stream);
		return;
	}
	if (served == NULL)
		served = find_method(server, stream->path);
	if (!admit(server, stream)) {
		/* told */
	} else if (served == NULL) {
		refuse_method(stream);
	} else {
		stream->message_max_bytes = message_max(served->method);
		served->method->open(stream, served->service);
	}
	rmd_stream_run(stream);
}

static void on_call(struct rmd_tag *tag, bool success)
{
	struct call_request *request = RMD_CONTAINER_OF(tag, struct call_request, came);
	struct rmd_server *server = request->server;
	struct rmd_stream *stream = request->stream;
	request->stream = NULL;
	server->requests_out--;
	if (!success) { /* the server shuts down */
		rmd_stream_discard(stream);
		rmd_server_maybe_finish(server);
		return;
	}
	ask_for_call(request);
	open_call(request, stream);
}

void rmd_server_stream_closed(struct rmd_server *server)
{
	RMD_CHECK(server->streams > 0);
	server->streams--;
	rmd_server_maybe_finish(server);
}

/* ---- beginning and end ---- */

static int make_requests(struct rmd_server *server)
{
	size_t count = 1;
	for (size_t i = 0; i < server->method_count; i++)
		count += server->methods[i].method->rare;
	server->requests = rmd_calloc(count, sizeof *server->requests);
	if (server->requests == NULL)
		return RMD_ENOMEM;
	server->request_count = 1;
	for (size_t i = 0; i < server->method_count; i++) {
		struct call_request *request = &server->requests[server->request_count];
		if (!server->methods[i].method->rare)
			continue;
		request->rare = &server->methods[i];
		request->registration = grpc_server_register_method(
			server->grpc, server->methods[i].method->path, NULL,
			GRPC_SRM_PAYLOAD_NONE, 0);
		RMD_CHECK(request->registration != NULL);
		server->request_count++;
	}
	for (size_t i = 0; i < server->request_count; i++) {
		struct call_request *request = &server->requests[i];
		request->server = server;
		request->came.done = on_call;
		request->retry.run = on_retry;
	}
	return 0;
}

int rmd_server_start(struct rmd_server *server)
{
	RMD_CHECK_OBJ(server, RMD_SERVER_MAGIC);
	RMD_CHECK(server->state == SERVER_CREATED);
	rmd_server_ensure_grpc(server);
	if (server->requests == NULL && make_requests(server) < 0)
		return RMD_ENOMEM;
	for (size_t i = 0; i < server->listener_count; i++)
		if (rmd_unix_listener_start(server->listeners[i], rmd_server_on_accepted,
					    server) < 0)
			return RMD_ESYS;
	grpc_server_start(server->grpc);
	server->state = SERVER_SERVING;
	for (size_t i = 0; i < server->request_count; i++)
		ask_for_call(&server->requests[i]);
	return 0;
}

void rmd_server_set_healthy(struct rmd_server *server, bool healthy)
{
	RMD_CHECK_OBJ(server, RMD_SERVER_MAGIC);
	if (server->standard != NULL)
		rmd_standard_set_healthy(server->standard, healthy);
}

static void close_listeners(struct rmd_server *server)
{
	for (size_t i = 0; i < server->listener_count; i++)
		rmd_unix_listener_close(server->listeners[i]);
	server->listener_count = 0;
}

static void on_grace(struct rmd_timer *timer)
{
	struct rmd_server *server = RMD_CONTAINER_OF(timer, struct rmd_server, grace);
	grpc_server_cancel_all_calls(server->grpc);
}

/* Stops listening and begins gRPC's shutdown; on_shut follows. */
static void begin_shutdown(struct rmd_server *server)
{
	server->state = SERVER_STOPPING;
	close_listeners(server);
	if (server->standard != NULL)
		rmd_standard_shut_down(server->standard);
	rmd_server_ensure_grpc(server);
	RMD_TSAN_RELEASE(&server->shut);
	grpc_server_shutdown_and_notify(
		server->grpc, rmd_loop_queue(server->loop, RMD_QUEUE_HOT), &server->shut);
}

void rmd_server_shutdown(struct rmd_server *server, uint64_t grace_ms,
			 void (*done)(void *ctx), void *ctx)
{
	RMD_CHECK_OBJ(server, RMD_SERVER_MAGIC);
	if (server->state == SERVER_STOPPING || server->state == SERVER_STOPPED)
		return;
	server->done = done;
	server->done_ctx = ctx;
	begin_shutdown(server);
	if (grace_ms == 0 || rmd_timer_start(server->loop, &server->grace,
					     rmd_clock_mono_ms() + grace_ms) < 0)
		grpc_server_cancel_all_calls(server->grpc);
}

static void on_shut(struct rmd_tag *tag, bool success)
{
	(void)success;
	struct rmd_server *server = RMD_CONTAINER_OF(tag, struct rmd_server, shut);
	server->shut_down = true;
	rmd_server_maybe_finish(server);
}

void rmd_server_maybe_finish(struct rmd_server *server)
{
	if (server->shut_down && server->streams == 0 && server->requests_out == 0 &&
	    atomic_load(&server->arrivals) == 0)
		rmd_loop_defer(server->loop, &server->finish);
}

static void server_free(struct rmd_server *server)
{
	struct rmd_loop *loop = server->loop;
	rmd_server_forget_peers(server);
	rmd_standard_destroy(server->standard);
	rmd_free(server->methods);
	rmd_free(server->requests);
	server->magic = 0;
	rmd_free(server);
	rmd_loop_user_ended(loop);
}

static void on_finish(struct rmd_deferred *deferred)
{
	struct rmd_server *server = RMD_CONTAINER_OF(deferred, struct rmd_server, finish);
	if (server->state == SERVER_STOPPED)
		return;
	rmd_timer_stop(server->loop, &server->grace);
	grpc_server_destroy(server->grpc);
	server->grpc = NULL;
	server->state = SERVER_STOPPED;
	if (server->orphaned)
		server_free(server);
	else if (server->done != NULL)
		server->done(server->done_ctx);
}

void rmd_server_destroy(struct rmd_server *server)
{
	if (server == NULL)
		return;
	RMD_CHECK_OBJ(server, RMD_SERVER_MAGIC);
	switch (server->state) {
	case SERVER_CREATED:
		close_listeners(server);
		if (server->grpc == NULL) {
			server_free(server);
			return;
		}
		server->orphaned = true; /* it is freed when gRPC lets go of it */
		begin_shutdown(server);
		return;
	case SERVER_STOPPED:
		server_free(server);
		return;
	case SERVER_SERVING:
	case SERVER_STOPPING:
		RMD_UNREACHABLE(
			"a server that serves is shut down before it is destroyed");
	}
}
