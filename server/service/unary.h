/* server/service/unary.h: control-plane methods of one request and one response, by
 * protobuf-c.
 *
 * A service is a table of methods; each handler gets the unpacked request and answers,
 * now or later, exactly once, by rmd_unary_reply or rmd_unary_fail. Only messages that
 * do not recurse may be handled here (protobuf-c bounds no depth). Loop's thread. */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "proto/base/arena.h"
#include "proto/rpc/rpc.h"

struct rmd_unary;

struct rmd_unary_method {
	const char *path;            /* "/remuda.v1.Admin/Status" */
	const ProtobufCMessageDescriptor *request;
	/* `request` lives until the answer is given. */
	void (*handle)(struct rmd_unary *call, const void *request, void *ctx);
};

/* A service; must outlive the server. `methods` and `rpc_methods` have `count`
 * entries; the latter is filled by rmd_unary_service_add. */
struct rmd_unary_service {
	const struct rmd_unary_method *methods;
	struct rmd_method *rpc_methods;
	size_t count;
	void *ctx;
};

/* Adds the service's methods to `server`. 0 or RMD_ENOMEM. */
int rmd_unary_service_add(struct rmd_server *server, struct rmd_unary_service *service);

/* The call's arena: for the response's parts; until the answer is given. */
struct rmd_arena *rmd_unary_arena(struct rmd_unary *call);
/* protobuf-c's view of that arena, for unpacking into it. */
ProtobufCAllocator *rmd_unary_allocator(struct rmd_unary *call);
/* NULL: the caller is gone. */
struct rmd_stream *rmd_unary_stream(struct rmd_unary *call);
/* A NUL-terminated copy in the call's arena; "" where memory has run out: never NULL. */
char *rmd_unary_text(struct rmd_unary *call, struct rmd_slice text);

/* Answers with `response` (borrowed for the call). Ends `call`. */
void rmd_unary_reply(struct rmd_unary *call, const ProtobufCMessage *response);
/* Answers with a status, its machine-readable reason ("NOT_FOUND_POOL") and a text.
 * Ends `call`. */
void rmd_unary_fail(struct rmd_unary *call, enum rmd_rpc_status status, const char *reason,
		    const char *format, ...) __attribute__((format(printf, 4, 5)));
