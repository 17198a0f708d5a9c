/* server/service/blobs.c: Blobs: FindMissing, Put, Get (of blobs, and of the values of
 * tasks). */
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/codec/wire.h"
#include "remuda/v1/blobs.pb-c.h"
#include "server/service/coordinator.h"
#include "server/service/unary.h"

#define PUT_MAGIC 0x00b17001u
#define GET_MAGIC 0x00be7001u
#define DIGESTS_MAX 1000u
#define PIECE_MAX (1u << 20)
#define NAME_MAX_BYTES 256u
#define PENDING_MAX (4u << 20)
#define PUT_ARENA_MAX (2u << 20)

static bool read_digest(ProtobufCBinaryData bytes, struct rmd_digest *ret_digest)
{
	if (bytes.len != RMD_DIGEST_BYTES)
		return false;
	memcpy(ret_digest->bytes, bytes.data, RMD_DIGEST_BYTES);
	return true;
}

static void handle_find_missing(struct rmd_unary *call, const void *request_message,
				void *ctx)
{
	struct rmd_coordinator *coordinator = ctx;
	const Remuda__V1__FindMissingRequest *request = request_message;
	Remuda__V1__FindMissingResponse response =
		REMUDA__V1__FIND_MISSING_RESPONSE__INIT;
	if (request->n_digests > DIGESTS_MAX) {
		rmd_unary_fail(call, RMD_RPC_INVALID_ARGUMENT, "TOO_MANY",
			       "%zu digests: at most %u in one request",
			       request->n_digests, DIGESTS_MAX);
		return;
	}
	response.missing = rmd_arena_calloc(rmd_unary_arena(call), request->n_digests + 1,
					    sizeof *response.missing);
	for (size_t i = 0; i < request->n_digests; i++) {
		struct rmd_digest digest;
		if (!read_digest(request->digests[i], &digest)) {
			rmd_unary_fail(call, RMD_RPC_INVALID_ARGUMENT, "BAD_DIGEST",
				       "digests[%zu] has %zu bytes: a SHA-256 has 32", i,
				       request->digests[i].len);
			return;
		}
		struct rmd_blob *blob =
			rmd_blobs_find(coordinator->blobs, &digest, rmd_clock_mono_ms());
		/* An offer to put it will be answered with what is wrong. */
		bool here = blob != NULL &&
			    (strcmp(request->purpose, "module") != 0 ||
			     (blob->module &&
			      rmd_coordinator_push_module(coordinator, blob) == 0));
		if (response.missing != NULL && !here)
			response.missing[response.n_missing++] = request->digests[i];
	}
	rmd_unary_reply(call, &response.base);
}

/* ---- Put ---- */

struct put {
	uint32_t magic;
	struct rmd_coordinator *coordinator;
	struct rmd_stream *stream; /* NULL: the caller is gone */
	struct rmd_upload *upload; /* NULL: none yet, or given to its job */
	bool module, verifying;
};

static void put_fail(struct put *put, enum rmd_rpc_status status, const char *reason,
		     const char *text)
{
	if (put->stream == NULL)
		return;
	rmd_stream_set_reason(put->stream, reason);
	rmd_stream_finish(put->stream, status, text);
}

static void put_begin(struct put *put, const Remuda__V1__BlobInfo *info)
{
	struct rmd_digest digest;
	if (put->upload != NULL || !read_digest(info->digest, &digest) ||
	    strlen(info->name) > NAME_MAX_BYTES) {
		put_fail(put, RMD_RPC_INVALID_ARGUMENT, "BAD_INFO",
			 "info comes once, in the first message, with a SHA-256 of 32 "
			 "bytes and "
			 "a name of at most 256");
		return;
	}
	put->module = strcmp(info->purpose, "module") == 0;
	int rc = rmd_upload_begin(put->coordinator->blobs, &digest, info->size_bytes,
				  rmd_slice_of_string(info->name), put->module,
				  &put->upload);
	if (rc == RMD_ETOOBIG)
		put_fail(put, RMD_RPC_INVALID_ARGUMENT, "BLOB_TOO_LARGE",
			 "a blob has at most 1 GiB");
	else if (rc < 0)
		put_fail(put, RMD_RPC_RESOURCE_EXHAUSTED, "BLOBS_FULL",
			 "the coordinator's memory for blobs is full: wait until others "
			 "are "
			 "forgotten, or start it with more --blob-bytes");
}

static void put_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct put *put = ctx;
	RMD_CHECK_OBJ(put, PUT_MAGIC);
	(void)stream;
	Remuda__V1__PutRequest *request = remuda__v1__put_request__unpack(
		NULL, message.bytes.len, message.bytes.data);
	if (request == NULL) {
		put_fail(put, RMD_RPC_INVALID_ARGUMENT, "BAD_MESSAGE",
			 "not a PutRequest");
		return;
	}
	if (request->info != NULL)
		put_begin(put, request->info);
	if (request->data.len > PIECE_MAX ||
	    (request->data.len != 0 && put->upload == NULL))
		put_fail(put, RMD_RPC_INVALID_ARGUMENT, "BAD_PIECE",
			 "data comes after info, at most 1 MiB in a message");
	else if (request->data.len != 0 &&
		 rmd_upload_append(put->upload, rmd_slice_of(request->data.data,
							     request->data.len)) < 0)
		put_fail(put, RMD_RPC_INVALID_ARGUMENT, "BLOB_SIZE",
			 "more bytes came than info.size_bytes said");
	remuda__v1__put_request__free_unpacked(request, NULL);
}

static void put_free(struct put *put)
{
	rmd_upload_abort(put->upload);
	put->magic = 0;
	rmd_free(put);
}

/* `why`: of RMD_EPROTO. */
static void put_refuse(struct put *put, int rc, const char *why)
{
	if (rc == RMD_EINVAL)
		put_fail(
			put, RMD_RPC_INVALID_ARGUMENT, "DIGEST_MISMATCH",
			"the bytes that came have another SHA-256 than info.digest says");
	else if (rc == RMD_EPROTO)
		put_fail(put, RMD_RPC_INVALID_ARGUMENT, "NO_MODULE", why);
	else if (rc == RMD_ELIMIT)
		put_fail(put, RMD_RPC_FAILED_PRECONDITION, "TOO_MANY_MODULES",
			 "modules of 64 prefixes are pushed already: remove one first "
			 "(remuda module remove NAME)");
	else
		put_fail(put, RMD_RPC_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY",
			 "out of memory");
}

static void put_verified(void *ctx, int rc, const char *why, struct rmd_blob *blob,
			 bool existed)
{
	struct put *put = ctx;
	RMD_CHECK_OBJ(put, PUT_MAGIC);
	put->verifying = false;
	if (rc == 0 && put->module)
		rc = rmd_coordinator_push_module(put->coordinator, blob);
	if (rc < 0)
		put_refuse(put, rc, why);
	if (rc == 0 && put->stream != NULL) {
		struct rmd_wire_writer *writer = rmd_stream_begin(put->stream);
		rmd_wire_put_bytes(writer, 1,
				   rmd_slice_of(blob->digest.bytes, RMD_DIGEST_BYTES));
		rmd_wire_put_varint_nz(writer, 2, existed);
		rmd_stream_end_message(put->stream);
		rmd_stream_finish(put->stream, RMD_RPC_OK, "");
	}
	if (put->stream == NULL)
		put_free(put);
}

static void put_half_closed(struct rmd_stream *stream, void *ctx)
{
	struct put *put = ctx;
	RMD_CHECK_OBJ(put, PUT_MAGIC);
	(void)stream;
	if (put->upload == NULL ||
	    rmd_upload_finish(put->upload, rmd_clock_mono_ms(), put_verified, put) < 0) {
		put_fail(put, RMD_RPC_INVALID_ARGUMENT, "BLOB_SIZE",
			 "fewer bytes came than info.size_bytes said");
		return;
	}
	put->upload = NULL;
	put->verifying = true;
}

static void put_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
		       const char *text)
{
	struct put *put = ctx;
	RMD_CHECK_OBJ(put, PUT_MAGIC);
	(void)stream;
	(void)status;
	(void)text;
	put->stream = NULL;
	if (!put->verifying)
		put_free(put);
}

static const struct rmd_stream_events put_events = {
	.message = put_message,
	.half_closed = put_half_closed,
	.closed = put_closed,
};

static void put_open(struct rmd_stream *stream, void *ctx)
{
	struct put *put = rmd_calloc(1, sizeof *put);
	if (put == NULL) {
		rmd_stream_finish(stream, RMD_RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	*put = (struct put){.magic = PUT_MAGIC, .coordinator = ctx, .stream = stream};
	rmd_stream_listen(stream, &put_events, put);
}

/* ---- Get ---- */

struct get {
	uint32_t magic;
	struct rmd_coordinator *coordinator;
	struct rmd_stream *stream;
	struct rmd_piece bytes;
	size_t sent;
};

static void get_pump(struct get *get)
{
	while (get->sent < get->bytes.bytes.len &&
	       rmd_stream_pending_bytes(get->stream) < PENDING_MAX) {
		size_t len = get->bytes.bytes.len - get->sent;
		if (len > PIECE_MAX)
			len = PIECE_MAX;
		struct rmd_piece piece = {
			rmd_slice_of(get->bytes.bytes.data + get->sent, len),
			get->bytes.buf};
		rmd_wire_put_piece(rmd_stream_begin(get->stream), 1, piece);
		rmd_stream_end_message(get->stream);
		get->sent += len;
	}
	if (get->sent == get->bytes.bytes.len)
		rmd_stream_finish(get->stream, RMD_RPC_OK, "");
}

/* The bytes of a blob: a reference of the caller's own. */
static bool find_blob(struct get *get, ProtobufCBinaryData name)
{
	struct rmd_digest digest;
	if (!read_digest(name, &digest)) {
		rmd_stream_set_reason(get->stream, "BAD_DIGEST");
		rmd_stream_finish(get->stream, RMD_RPC_INVALID_ARGUMENT,
				  "digest must be a SHA-256, 32 bytes");
		return false;
	}
	const struct rmd_blob *blob =
		rmd_blobs_find(get->coordinator->blobs, &digest, rmd_clock_mono_ms());
	if (blob == NULL) {
		rmd_stream_set_reason(get->stream, "UNKNOWN_BLOB");
		rmd_stream_finish(get->stream, RMD_RPC_NOT_FOUND,
				  "no such blob, or it was not used for too long");
		return false;
	}
	get->bytes = rmd_piece_ref(blob->bytes);
	return true;
}

/* The value of a task: as above. */
static bool find_value(struct get *get, const Remuda__V1__TaskId *name)
{
	struct rmd_task_id id = {.number = name->number};
	const struct rmd_core_task *task = NULL;
	if (name->session.len == RMD_SESSION_BYTES) {
		memcpy(id.session, name->session.data, sizeof id.session);
		task = rmd_coordinator_task(get->coordinator, &id);
	}
	if (task == NULL || rmd_core_task_state(task) != RMD_CORE_TASK_DONE ||
	    rmd_core_task_end(task) != RMD_CORE_END_VALUE) {
		rmd_stream_set_reason(get->stream, "UNKNOWN_VALUE");
		rmd_stream_finish(get->stream, RMD_RPC_NOT_FOUND,
				  "no value of that task is kept: it did not end with "
				  "one, or its retention is over (run it again, or "
				  "fetch values as soon as they are announced)");
		return false;
	}
	get->bytes = rmd_piece_ref(rmd_core_task_outcome(task));
	if (get->bytes.buf == NULL) { /* it lies in the task, which may go */
		get->bytes.buf = rmd_buf_copy(get->bytes.bytes);
		if (get->bytes.buf == NULL) {
			rmd_stream_finish(get->stream, RMD_RPC_RESOURCE_EXHAUSTED,
					  "out of memory");
			return false;
		}
		get->bytes.bytes = rmd_buf_slice(get->bytes.buf);
	}
	return true;
}

static void get_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct get *get = ctx;
	RMD_CHECK_OBJ(get, GET_MAGIC);
	if (get->bytes.buf != NULL)
		return;
	Remuda__V1__GetRequest *request = remuda__v1__get_request__unpack(
		NULL, message.bytes.len, message.bytes.data);
	bool found = false;
	if (request == NULL || (request->task != NULL) == (request->digest.len != 0)) {
		rmd_stream_set_reason(stream, "BAD_MESSAGE");
		rmd_stream_finish(stream, RMD_RPC_INVALID_ARGUMENT,
				  "not a GetRequest with either a digest or a task");
	} else if (request->task != NULL) {
		found = find_value(get, request->task);
	} else {
		found = find_blob(get, request->digest);
	}
	if (request != NULL)
		remuda__v1__get_request__free_unpacked(request, NULL);
	if (found)
		get_pump(get);
}

static void get_drained(struct rmd_stream *stream, void *ctx)
{
	struct get *get = ctx;
	(void)stream;
	if (get->bytes.buf != NULL && get->sent < get->bytes.bytes.len)
		get_pump(get);
}

static void get_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
		       const char *text)
{
	struct get *get = ctx;
	RMD_CHECK_OBJ(get, GET_MAGIC);
	(void)stream;
	(void)status;
	(void)text;
	rmd_piece_unref(get->bytes);
	get->magic = 0;
	rmd_free(get);
}

static const struct rmd_stream_events get_events = {
	.message = get_message,
	.drained = get_drained,
	.closed = get_closed,
};

static void get_open(struct rmd_stream *stream, void *ctx)
{
	struct get *get = rmd_calloc(1, sizeof *get);
	if (get == NULL) {
		rmd_stream_finish(stream, RMD_RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	*get = (struct get){.magic = GET_MAGIC, .coordinator = ctx, .stream = stream};
	rmd_stream_listen(stream, &get_events, get);
}

static const struct rmd_unary_method methods[] = {
	{"/remuda.v1.Blobs/FindMissing", &remuda__v1__find_missing_request__descriptor,
	 handle_find_missing},
};
static struct rmd_method rpc_methods[1], stream_methods[2];
static struct rmd_unary_service service = {methods, rpc_methods, 1, NULL};

int rmd_blobs_service_add(struct rmd_coordinator *coordinator)
{
	service.ctx = coordinator;
	stream_methods[0] =
		(struct rmd_method){"/remuda.v1.Blobs/Put", put_open, 0, false};
	stream_methods[1] =
		(struct rmd_method){"/remuda.v1.Blobs/Get", get_open, 0, false};
	int rc = rmd_unary_service_add(coordinator->server, &service);
	return rc < 0 ? rc
		      : rmd_server_add_methods(coordinator->server, stream_methods, 2,
					       coordinator);
}
