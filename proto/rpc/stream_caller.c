/* What a server may know of the one who calls. */
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/rpc/server.h"
#include "proto/rpc/status.h"
#include "proto/rpc/stream.h"

/* gRPC's deadline in our milliseconds; 0: none. */
static uint64_t deadline_of(gpr_timespec deadline)
{
	gpr_timespec at = gpr_convert_clock_type(deadline, GPR_CLOCK_MONOTONIC);
	if (gpr_time_cmp(at, gpr_inf_future(GPR_CLOCK_MONOTONIC)) == 0)
		return 0;
	gpr_timespec left = gpr_time_sub(at, gpr_now(GPR_CLOCK_MONOTONIC));
	int64_t left_ms = left.tv_sec * 1000 + left.tv_nsec / 1000000;
	uint64_t now_ms = rmd_clock_mono_ms();
	return left_ms <= 0 ? now_ms : now_ms + (uint64_t)left_ms;
}

static char *copy_slice(grpc_slice slice)
{
	return rmd_strndup((const char *)GRPC_SLICE_START_PTR(slice),
			   GRPC_SLICE_LENGTH(slice));
}

int rmd_stream_learn_caller(struct rmd_stream *stream)
{
	if (stream->method != NULL) /* else `path` is wanted for the refusal */
		stream->path = rmd_strdup(stream->method->path);
	else
		stream->path = copy_slice(stream->details.method);
	stream->deadline_ms = deadline_of(stream->details.deadline);
	char *peer = grpc_call_get_peer(stream->call);
	stream->peer = rmd_server_peer(stream->server, peer, &stream->peer_uid,
				       &stream->peer_pid);
	gpr_free(peer);
	return stream->path == NULL || stream->peer == NULL ? RMD_ENOMEM : 0;
}

void rmd_stream_forget_caller(struct rmd_stream *stream)
{
	if (stream->values != NULL)
		for (size_t i = 0; i < stream->initial.count; i++)
			rmd_free(stream->values[i]);
	rmd_free(stream->values);
	rmd_free(stream->path);
	rmd_free(stream->peer);
	stream->values = NULL;
	stream->path = NULL;
	stream->peer = NULL;
}

const char *rmd_stream_method(const struct rmd_stream *stream)
{
	return stream->path;
}

const char *rmd_stream_peer(const struct rmd_stream *stream)
{
	return stream->peer;
}

int64_t rmd_stream_peer_uid(const struct rmd_stream *stream)
{
	return stream->peer_uid;
}

int64_t rmd_stream_peer_pid(const struct rmd_stream *stream)
{
	return stream->peer_pid;
}

uint64_t rmd_stream_deadline_ms(const struct rmd_stream *stream)
{
	return stream->deadline_ms;
}

const char *rmd_stream_metadata(struct rmd_stream *stream, const char *key)
{
	for (size_t i = 0; i < stream->initial.count; i++) {
		const grpc_metadata *entry = &stream->initial.metadata[i];
		if (grpc_slice_str_cmp(entry->key, key) != 0)
			continue;
		if (stream->values == NULL)
			stream->values =
				rmd_calloc(stream->initial.count, sizeof *stream->values);
		if (stream->values == NULL)
			return NULL;
		if (stream->values[i] == NULL)
			stream->values[i] = copy_slice(entry->value);
		return stream->values[i];
	}
	return NULL;
}

void rmd_stream_set_reason(struct rmd_stream *stream, const char *reason)
{
	RMD_CHECK(strlen(reason) <= RMD_STATUS_REASON_MAX_BYTES);
	char *copy =
		rmd_strdup(reason); /* where memory is short, the status goes without */
	pthread_mutex_lock(&stream->lock);
	rmd_free(stream->reason);
	stream->reason = copy;
	pthread_mutex_unlock(&stream->lock);
}
