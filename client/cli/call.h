/* client/cli/call.h: calls of the coordinator's own services, for the commands that look
 * into it or command it. Tasks go by libremuda instead.
 *
 * A caller is a channel with a loop that runs only while a call does. What goes wrong is
 * reported here; functions give an enum rmd_exit. Main thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "client/cli/place.h"
#include "proto/base/buf.h"

struct rmd_caller;

/* Opens a channel to where `option` says (rmd_place_find). Close with
 * rmd_caller_close. */
int rmd_caller_open(const char *option, struct rmd_caller **ret_caller);
void rmd_caller_close(struct rmd_caller *caller);
/* Where it calls; borrowed until close. */
const struct rmd_place *rmd_caller_place(const struct rmd_caller *caller);
/* Failures are no longer reported (true): for what may fail, such as completion. */
void rmd_caller_set_silent(struct rmd_caller *caller, bool silent);

/* Calls `path` ("/remuda.v1.Admin/Status", of static life), waits up to `timeout_ms`,
 * and gives the response: free it with protobuf_c_message_free_unpacked(response,
 * NULL). */
int rmd_caller_unary(struct rmd_caller *caller, const char *path,
		     const ProtobufCMessage *request,
		     const ProtobufCMessageDescriptor *descriptor, uint64_t timeout_ms,
		     void *ret_response);

/* Hears one message of a stream; borrowed for the call. An enum rmd_exit; other than
 * RMD_EXIT_OK ends the call. */
typedef int rmd_caller_message_fn(void *ctx, struct rmd_slice message);
/* Calls `path` and hears messages until the stream ends. RMD_EXIT_OK: it ended in
 * order. */
int rmd_caller_stream(struct rmd_caller *caller, const char *path,
		      const ProtobufCMessage *request, rmd_caller_message_fn *message,
		      void *ctx);
