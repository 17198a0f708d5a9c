#include "client/cli/call.h"

#include <string.h>

#include "client/cli/exit.h"
#include "client/cli/report.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/codec/wire.h"
#include "proto/rpc/identity.h"
#include "proto/rpc/rpc.h"

#define CALLER_MAGIC 0xca11e401u

struct rmd_caller {
	uint32_t magic;
	struct rmd_place address;
	struct rmd_loop *loop;
	struct rmd_channel *channel;
	bool silent;
	/* The present call. */
	rmd_caller_message_fn *message;
	void *ctx;
	int exit; /* what `message` said */
	enum rmd_rpc_status status;
	char *text; /* owned: the status's text */
};

int rmd_caller_open(const char *option, struct rmd_caller **ret_caller)
{
	struct rmd_caller *caller = rmd_calloc(1, sizeof *caller);
	struct rmd_identity identity = {0};
	char *why = NULL;
	int rc = RMD_EXIT_OK;

	if (caller == NULL)
		return rmd_report_no_memory();
	caller->magic = CALLER_MAGIC;
	rc = rmd_place_find(option, &caller->address);
	if (rc != RMD_EXIT_OK)
		goto out;
	caller->loop = rmd_loop_create();
	if (caller->loop == NULL) {
		rc = rmd_report_no_memory();
		goto out;
	}
	rc = rmd_identity_load(&(struct rmd_identity_options){0}, &identity, &why);
	if (rc == 0)
		caller->channel = rmd_identity_open(&identity, caller->loop,
						    caller->address.text, &why);
	rmd_identity_fini(&identity);
	rc = RMD_EXIT_OK;
	if (caller->channel == NULL) {
		rmd_report("%s", why != NULL ? why : "out of memory");
		rc = RMD_EXIT_SYSTEM;
		goto out;
	}
	*ret_caller = caller;
	caller = NULL;
out:
	rmd_free(why);
	rmd_caller_close(caller);
	return rc;
}

void rmd_caller_close(struct rmd_caller *caller)
{
	if (caller == NULL)
		return;
	RMD_CHECK_OBJ(caller, CALLER_MAGIC);
	rmd_channel_close(caller->channel);
	if (caller->loop != NULL)
		rmd_loop_destroy(caller->loop);
	rmd_place_fini(&caller->address);
	rmd_free(caller->text);
	caller->magic = 0;
	rmd_free(caller);
}

const struct rmd_place *rmd_caller_place(const struct rmd_caller *caller)
{
	RMD_CHECK_OBJ(caller, CALLER_MAGIC);
	return &caller->address;
}

void rmd_caller_set_silent(struct rmd_caller *caller, bool silent)
{
	RMD_CHECK_OBJ(caller, CALLER_MAGIC);
	caller->silent = silent;
}

static void on_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct rmd_caller *caller = ctx;

	RMD_CHECK_OBJ(caller, CALLER_MAGIC);
	if (caller->exit != RMD_EXIT_OK)
		return;
	caller->exit = caller->message(caller->ctx, message.bytes);
	if (caller->exit != RMD_EXIT_OK)
		rmd_stream_cancel(stream);
}

static void on_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
		      const char *text)
{
	struct rmd_caller *caller = ctx;

	(void)stream;
	RMD_CHECK_OBJ(caller, CALLER_MAGIC);
	caller->status = status;
	caller->text = rmd_strdup(text != NULL ? text : "");
	rmd_loop_stop(caller->loop);
}

static const struct rmd_stream_events events = {.message = on_message,
						.closed = on_closed};

/* Says how the call failed. Nobody there is one story, a refusal another. */
static int report_status(const struct rmd_caller *caller, const char *path)
{
	const char *text = caller->text != NULL ? caller->text : "";

	if (caller->silent)
		return RMD_EXIT_SERVICE;
	switch (caller->status) {
	case RMD_RPC_UNAVAILABLE:
		if (*text == 0 || !rmd_place_is_served(&caller->address))
			rmd_place_report_nobody(&caller->address, text);
		else
			rmd_report("the coordinator at %s: %s", caller->address.text,
				   text);
		break;
	case RMD_RPC_DEADLINE_EXCEEDED:
		rmd_report("the coordinator at %s does not answer", caller->address.text);
		break;
	case RMD_RPC_UNIMPLEMENTED:
		rmd_report("the coordinator at %s does not know %s: is it of another "
			   "version?",
			   caller->address.text, path + 1);
		break;
	default:
		rmd_report("the coordinator says %s: %s",
			   rmd_rpc_status_name(caller->status), text);
		break;
	}
	return RMD_EXIT_SERVICE;
}

/* Starts the call, sends `request`, and runs the loop until the call has ended. */
static int call(struct rmd_caller *caller, const char *path,
		const ProtobufCMessage *request, uint64_t deadline_ms)
{
	size_t len = protobuf_c_message_get_packed_size(request);
	uint8_t *packed = rmd_malloc(len + 1);
	struct rmd_stream *stream;

	if (packed == NULL)
		return rmd_report_no_memory();
	protobuf_c_message_pack(request, packed);
	rmd_free(caller->text);
	caller->text = NULL;
	caller->exit = RMD_EXIT_OK;
	stream = rmd_channel_call(caller->channel, path, deadline_ms, false, &events,
				  caller);
	if (stream == NULL) {
		rmd_free(packed);
		return rmd_report_no_memory();
	}
	rmd_wire_put_raw(rmd_stream_begin(stream), rmd_slice_of(packed, len));
	rmd_stream_end_message(stream);
	rmd_stream_finish(stream, RMD_RPC_OK, "");
	rmd_free(packed);
	rmd_loop_run(caller->loop);
	if (caller->exit != RMD_EXIT_OK)
		return caller->exit;
	return caller->status == RMD_RPC_OK ? RMD_EXIT_OK : report_status(caller, path);
}

/* What a unary call waits for. */
struct answer {
	const ProtobufCMessageDescriptor *descriptor;
	ProtobufCMessage *response;
};

static int keep_answer(void *ctx, struct rmd_slice message)
{
	struct answer *answer = ctx;

	if (answer->response != NULL)
		return RMD_EXIT_OK;
	answer->response = protobuf_c_message_unpack(answer->descriptor, NULL,
						     message.len, message.data);
	if (answer->response != NULL)
		return RMD_EXIT_OK;
	rmd_report("the coordinator's answer cannot be read: is it of another version?");
	return RMD_EXIT_SERVICE;
}

int rmd_caller_unary(struct rmd_caller *caller, const char *path,
		     const ProtobufCMessage *request,
		     const ProtobufCMessageDescriptor *descriptor, uint64_t timeout_ms,
		     void *ret_response)
{
	RMD_CHECK_OBJ(caller, CALLER_MAGIC);
	struct answer answer = {.descriptor = descriptor};
	int rc;

	caller->message = keep_answer;
	caller->ctx = &answer;
	rc = call(caller, path, request, rmd_clock_mono_ms() + timeout_ms);
	if (rc == RMD_EXIT_OK &&
	    answer.response == NULL) /* an empty message came as none */
		rc = keep_answer(&answer, rmd_slice_of("", 0));
	if (rc != RMD_EXIT_OK) {
		if (answer.response != NULL)
			protobuf_c_message_free_unpacked(answer.response, NULL);
		return rc;
	}
	memcpy(ret_response, &answer.response, sizeof answer.response);
	return RMD_EXIT_OK;
}

int rmd_caller_stream(struct rmd_caller *caller, const char *path,
		      const ProtobufCMessage *request, rmd_caller_message_fn *message,
		      void *ctx)
{
	RMD_CHECK_OBJ(caller, CALLER_MAGIC);
	caller->message = message;
	caller->ctx = ctx;
	return call(caller, path, request, 0);
}
