/* grpc.health.v1 and grpc.reflection (v1 and v1alpha) as methods of a server. */
#include <sys/queue.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/wire.h"
#include "proto/rpc/server.h"
#include "proto/standard/reflection.h"

#define REQUEST_MAX_BYTES 65536u
/* Beyond this a client that asks and does not read is not listened to. */
#define ANSWERS_MAX_BYTES (1u << 20)

enum serving_status { SERVING = 1, NOT_SERVING = 2, SERVICE_UNKNOWN = 3 };

/* Field numbers of health.proto. */
enum { HEALTH_REQUEST_SERVICE = 1, HEALTH_RESPONSE_STATUS = 1 };

/* One call of Health.Watch. */
struct watch {
	LIST_ENTRY(watch) link;
	struct rmd_standard *standard;
	struct rmd_stream *stream; /* borrowed while the watch lives */
	bool asked, service_unknown;
};

struct rmd_standard {
	struct rmd_server *server;
	struct rmd_reflection *reflection;
	bool healthy, shut_down;
	LIST_HEAD(, watch) watches;
};

/* ---- health ---- */

/* The service that is asked for, "" for all. RMD_EPROTO and the like. */
static int asked_service(struct rmd_slice request, struct rmd_slice *ret_service)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(request);
	struct rmd_wire_field field;
	int more;
	*ret_service = rmd_slice_of("", 0);
	while ((more = rmd_wire_next(&reader, &field)) > 0)
		if (field.number == HEALTH_REQUEST_SERVICE && field.type == RMD_WIRE_LEN)
			*ret_service = field.bytes;
	return more;
}

static bool knows(const struct rmd_standard *standard, struct rmd_slice service)
{
	return service.len == 0 || rmd_server_has_service(standard->server, service);
}

static enum serving_status status_now(const struct rmd_standard *standard)
{
	return standard->healthy && !standard->shut_down ? SERVING : NOT_SERVING;
}

static void send_status(struct rmd_stream *stream, enum serving_status status)
{
	struct rmd_wire_writer *writer = rmd_stream_begin(stream);
	rmd_wire_put_varint(writer, HEALTH_RESPONSE_STATUS, (uint64_t)status);
	rmd_stream_end(stream);
}

static void check_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	const struct rmd_standard *standard = ctx;
	struct rmd_slice service;
	if (asked_service(message.bytes, &service) < 0) {
		rmd_stream_finish(stream, RMD_RPC_INVALID_ARGUMENT,
				  "not a HealthCheckRequest");
	} else if (!knows(standard, service)) {
		rmd_stream_finish(stream, RMD_RPC_NOT_FOUND,
				  "this server has no such service");
	} else {
		send_status(stream, status_now(standard));
		rmd_stream_finish(stream, RMD_RPC_OK, "");
	}
}

static void check_no_message(struct rmd_stream *stream, void *ctx)
{
	(void)ctx;
	rmd_stream_finish(stream, RMD_RPC_INVALID_ARGUMENT, "the request is missing");
}

static const struct rmd_stream_events check_events = {
	.message = check_message,
	.half_closed = check_no_message,
};

static void check_open(struct rmd_stream *stream, void *service)
{
	rmd_stream_listen(stream, &check_events, service);
}

static void watch_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct watch *watch = ctx;
	struct rmd_slice service;
	if (watch->asked || asked_service(message.bytes, &service) < 0) {
		rmd_stream_finish(stream, RMD_RPC_INVALID_ARGUMENT,
				  "Watch takes one HealthCheckRequest");
		return;
	}
	watch->asked = true;
	watch->service_unknown = !knows(watch->standard, service);
	send_status(stream, watch->service_unknown ? SERVICE_UNKNOWN
						   : status_now(watch->standard));
}

static void watch_no_message(struct rmd_stream *stream, void *ctx)
{
	const struct watch *watch = ctx;
	if (!watch->asked)
		check_no_message(stream, ctx);
}

static void watch_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
			 const char *text)
{
	(void)stream;
	(void)status;
	(void)text;
	struct watch *watch = ctx;
	LIST_REMOVE(watch, link);
	rmd_free(watch);
}

static const struct rmd_stream_events watch_events = {
	.message = watch_message,
	.half_closed = watch_no_message,
	.closed = watch_closed,
};

static void watch_open(struct rmd_stream *stream, void *service)
{
	struct rmd_standard *standard = service;
	struct watch *watch = rmd_calloc(1, sizeof *watch);
	if (watch == NULL) {
		rmd_stream_finish(stream, RMD_RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	*watch = (struct watch){.standard = standard, .stream = stream};
	LIST_INSERT_HEAD(&standard->watches, watch, link);
	rmd_stream_listen(stream, &watch_events, watch);
}

static void tell_watches(struct rmd_standard *standard)
{
	struct watch *watch;
	LIST_FOREACH (watch, &standard->watches, link)
		if (watch->asked && !watch->service_unknown)
			send_status(watch->stream, status_now(standard));
}

void rmd_standard_set_healthy(struct rmd_standard *standard, bool healthy)
{
	if (standard->healthy == healthy || standard->shut_down)
		return;
	standard->healthy = healthy;
	tell_watches(standard);
}

void rmd_standard_shut_down(struct rmd_standard *standard)
{
	struct watch *watch;
	if (standard->shut_down)
		return;
	standard->shut_down = true;
	if (standard->healthy)
		tell_watches(standard);
	LIST_FOREACH (watch, &standard->watches, link)
		rmd_stream_finish(watch->stream, RMD_RPC_UNAVAILABLE,
				  "the server shuts down");
}

/* ---- reflection ---- */

static bool served(void *ctx, struct rmd_slice service)
{
	const struct rmd_standard *standard = ctx;
	return rmd_server_has_service(standard->server, service);
}

static void reflect_message(struct rmd_stream *stream, void *ctx,
			    struct rmd_piece message)
{
	struct rmd_standard *standard = ctx;
	struct rmd_wire_writer answer = {0};
	if (rmd_reflection_answer(standard->reflection, message.bytes, served, standard,
				  &answer) < 0) {
		rmd_stream_finish(stream, RMD_RPC_INVALID_ARGUMENT,
				  "not a ServerReflectionRequest");
	} else {
		struct rmd_wire_writer *writer = rmd_stream_begin(stream);
		if (answer.failed)
			writer->failed = true;
		rmd_wire_put_raw(writer, rmd_slice_of(answer.data, answer.len));
		rmd_stream_end_message(stream);
		if (rmd_stream_pending_bytes(stream) > ANSWERS_MAX_BYTES)
			rmd_stream_pause(stream, true);
	}
	rmd_wire_writer_fini(&answer);
}

static void reflect_drained(struct rmd_stream *stream, void *ctx)
{
	(void)ctx;
	rmd_stream_pause(stream, false);
}

static void reflect_half_closed(struct rmd_stream *stream, void *ctx)
{
	(void)ctx;
	rmd_stream_finish(stream, RMD_RPC_OK, "");
}

static const struct rmd_stream_events reflect_events = {
	.message = reflect_message,
	.half_closed = reflect_half_closed,
	.drained = reflect_drained,
};

static void reflect_open(struct rmd_stream *stream, void *service)
{
	rmd_stream_listen(stream, &reflect_events, service);
}

/* ---- both ---- */

static const struct rmd_method methods[] = {
	{"/grpc.health.v1.Health/Check", check_open, REQUEST_MAX_BYTES, false},
	{"/grpc.health.v1.Health/Watch", watch_open, REQUEST_MAX_BYTES, true},
	{"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", reflect_open,
	 REQUEST_MAX_BYTES, false},
	{"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", reflect_open,
	 REQUEST_MAX_BYTES, false},
};

struct rmd_standard *rmd_standard_create(struct rmd_server *server)
{
	struct rmd_standard *standard = rmd_calloc(1, sizeof *standard);
	if (standard == NULL)
		return NULL;
	standard->server = server;
	LIST_INIT(&standard->watches);
	int code =
		rmd_reflection_create(rmd_standard_descriptors(), &standard->reflection);
	if (code == 0)
		code = rmd_server_add_methods(server, methods,
					      sizeof methods / sizeof *methods, standard);
	RMD_CHECK(code == 0 || code == RMD_ENOMEM); /* the descriptors are our own */
	if (code < 0) {
		rmd_standard_destroy(standard);
		return NULL;
	}
	return standard;
}

void rmd_standard_destroy(struct rmd_standard *standard)
{
	if (standard == NULL)
		return;
	RMD_CHECK(LIST_EMPTY(&standard->watches));
	rmd_reflection_destroy(standard->reflection);
	rmd_free(standard);
}
