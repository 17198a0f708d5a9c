#include "server/service/unary.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/codec/wire.h"

#define UNARY_MAGIC 0x04a41001u
#define REQUEST_ARENA_MAX (64u * 1024u * 1024u)
#define TEXT_MAX 1024

struct rmd_unary {
	uint32_t magic;
	struct rmd_stream *stream; /* NULL once closed */
	const struct rmd_unary_method *method;
	void *ctx;
	struct rmd_piece request;
	bool requested, answered;
	struct rmd_arena arena;
	ProtobufCAllocator allocator;
};

static void *arena_malloc(void *arena, size_t size)
{
	return rmd_arena_alloc(arena, size);
}

static void arena_free(void *arena, void *ptr)
{
	(void)arena; /* gone with the arena */
	(void)ptr;
}

static void unary_free(struct rmd_unary *call)
{
	rmd_piece_unref(call->request);
	rmd_arena_fini(&call->arena);
	call->magic = 0;
	rmd_free(call);
}

static void on_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct rmd_unary *call = ctx;
	RMD_CHECK_OBJ(call, UNARY_MAGIC);
	if (call->requested) {
		rmd_stream_finish(stream, RMD_RPC_INVALID_ARGUMENT,
				  "more than one request");
		return;
	}
	call->requested = true;
	call->request = rmd_piece_ref(message);
}

/* True if a text of the message contains a NUL: protobuf-c would cut it there, and the
 * request would speak of another thing than was named. The schema bounds the recursion.
 */
static bool has_cut_text(const ProtobufCMessageDescriptor *type, struct rmd_slice bytes)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(bytes);
	struct rmd_wire_field field;
	while (rmd_wire_next(&reader, &field) > 0) {
		const ProtobufCFieldDescriptor *known =
			protobuf_c_message_descriptor_get_field(type, field.number);
		if (known == NULL || field.type != RMD_WIRE_LEN || field.bytes.len == 0)
			continue;
		if (known->type == PROTOBUF_C_TYPE_STRING &&
		    memchr(field.bytes.data, 0, field.bytes.len) != NULL)
			return true;
		if (known->type == PROTOBUF_C_TYPE_MESSAGE &&
		    has_cut_text(known->descriptor, field.bytes))
			return true;
	}
	return false;
}

static void on_half_closed(struct rmd_stream *stream, void *ctx)
{
	struct rmd_unary *call = ctx;
	RMD_CHECK_OBJ(call, UNARY_MAGIC);
	(void)stream;
	if (!call->requested) {
		rmd_unary_fail(call, RMD_RPC_INVALID_ARGUMENT, "NO_REQUEST",
			       "the call ended without a request message");
		return;
	}
	if (has_cut_text(call->method->request, call->request.bytes)) {
		rmd_unary_fail(call, RMD_RPC_INVALID_ARGUMENT, "BAD_MESSAGE",
			       "a text of the %s contains a NUL",
			       call->method->request->name);
		return;
	}
	call->allocator = (ProtobufCAllocator){arena_malloc, arena_free, &call->arena};
	const ProtobufCMessage *request = protobuf_c_message_unpack(
		call->method->request, &call->allocator, call->request.bytes.len,
		call->request.bytes.data);
	if (request == NULL)
		rmd_unary_fail(call, RMD_RPC_INVALID_ARGUMENT, "BAD_MESSAGE",
			       "the request is not a %s", call->method->request->name);
	else
		call->method->handle(call, request, call->ctx);
}

static void on_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
		      const char *text)
{
	struct rmd_unary *call = ctx;
	RMD_CHECK_OBJ(call, UNARY_MAGIC);
	(void)stream;
	(void)status;
	(void)text;
	call->stream = NULL;
	/* Without a whole request no handler has begun that would answer later. */
	if (call->answered || call->allocator.alloc == NULL)
		unary_free(call);
}

static const struct rmd_stream_events unary_events = {
	.message = on_message,
	.half_closed = on_half_closed,
	.closed = on_closed,
};

static void on_open(struct rmd_stream *stream, void *service_ctx)
{
	const struct rmd_unary_service *service = service_ctx;
	struct rmd_unary *call = rmd_calloc(1, sizeof *call);
	if (call == NULL) {
		rmd_stream_finish(stream, RMD_RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	call->magic = UNARY_MAGIC;
	call->stream = stream;
	call->ctx = service->ctx;
	rmd_arena_init(&call->arena, REQUEST_ARENA_MAX);
	for (size_t i = 0; i < service->count; i++)
		if (strcmp(service->methods[i].path, rmd_stream_method(stream)) == 0)
			call->method = &service->methods[i];
	RMD_CHECK(call->method != NULL);
	rmd_stream_listen(stream, &unary_events, call);
}

int rmd_unary_service_add(struct rmd_server *server, struct rmd_unary_service *service)
{
	for (size_t i = 0; i < service->count; i++)
		service->rpc_methods[i] = (struct rmd_method){
			.path = service->methods[i].path, .open = on_open};
	return rmd_server_add_methods(server, service->rpc_methods, service->count,
				      service);
}

struct rmd_arena *rmd_unary_arena(struct rmd_unary *call)
{
	RMD_CHECK_OBJ(call, UNARY_MAGIC);
	return &call->arena;
}

ProtobufCAllocator *rmd_unary_allocator(struct rmd_unary *call)
{
	RMD_CHECK_OBJ(call, UNARY_MAGIC);
	return &call->allocator;
}

struct rmd_stream *rmd_unary_stream(struct rmd_unary *call)
{
	RMD_CHECK_OBJ(call, UNARY_MAGIC);
	return call->stream;
}

char *rmd_unary_text(struct rmd_unary *call, struct rmd_slice text)
{
	static char nothing[1] = "";
	char *copy = rmd_arena_copy(rmd_unary_arena(call), text);
	return copy != NULL ? copy : nothing;
}

/* The one place where a call becomes answered. */
static void answered(struct rmd_unary *call)
{
	call->answered = true;
	if (call->stream == NULL)
		unary_free(call);
}

void rmd_unary_reply(struct rmd_unary *call, const ProtobufCMessage *response)
{
	RMD_CHECK_OBJ(call, UNARY_MAGIC);
	RMD_CHECK(!call->answered);
	if (call->stream != NULL) {
		size_t size = protobuf_c_message_get_packed_size(response);
		struct rmd_wire_writer *writer = rmd_stream_begin(call->stream);
		uint8_t *at = rmd_wire_reserve(writer, size);
		if (at != NULL)
			protobuf_c_message_pack(response, at);
		rmd_stream_end_message(call->stream);
		rmd_stream_finish(call->stream, RMD_RPC_OK, "");
	}
	answered(call);
}

void rmd_unary_fail(struct rmd_unary *call, enum rmd_rpc_status status,
		    const char *reason, const char *format, ...)
{
	RMD_CHECK_OBJ(call, UNARY_MAGIC);
	RMD_CHECK(!call->answered);
	if (call->stream != NULL) {
		char text[TEXT_MAX];
		va_list args;
		va_start(args, format);
		vsnprintf(text, sizeof text, format, args);
		va_end(args);
		rmd_stream_set_reason(call->stream, reason);
		rmd_stream_finish(call->stream, status, text);
	}
	answered(call);
}
