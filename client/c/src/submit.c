/* Submitting: check, encode, wait for the window, number, append. In the user's thread.
 *
 * Arguments are encoded before any lock is taken: small ones into a scratch block that
 * each thread keeps, large ones straight into shared memory, or where there is none into
 * a buf of their own, which travels by reference. */
#include "client/c/src/submit.h"

#include <pthread.h>
#include <string.h>

#include "client/c/src/share.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/codec/arguments.h"
#include "proto/error/chain.h"
#include "proto/shared/shared.h"

/* A thread's scratch block is not kept beyond this size. */
#define SCRATCH_KEEP_BYTES (64u * 1024u)
/* Beside what values take. */
#define SLACK_BYTES 64u
/* About what a capture takes, its name and all. */
#define CAPTURE_BYTES 256u
/* And each global, over its bytes. */
#define GLOBAL_BYTES 32u

/* ---- a thread's scratch ---- */

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static bool scratch_usable;

static void scratch_free(void *ptr)
{
	struct rmd_wire_writer *writer = ptr;
	rmd_wire_writer_fini(writer);
	rmd_free(writer);
}

static void scratch_setup(void)
{
	scratch_usable = pthread_key_create(&scratch_key, scratch_free) == 0;
}

/* This thread's writer, empty; NULL: out of memory. */
static struct rmd_wire_writer *scratch(void)
{
	static _Thread_local struct rmd_wire_writer *mine;
	if (mine != NULL) {
		rmd_wire_writer_reset(mine);
		return mine;
	}
	pthread_once(&scratch_once, scratch_setup);
	struct rmd_wire_writer *writer = scratch_usable ? rmd_calloc(1, sizeof *writer)
							: NULL;
	if (writer != NULL && pthread_setspecific(scratch_key, writer) != 0) {
		rmd_free(writer);
		writer = NULL;
	}
	mine = writer;
	return writer;
}

/* ---- encoding ---- */

/* About how many bytes `value` takes; of nested ones only a guess that is never tiny. */
static size_t weight(const struct remuda_value *value)
{
	switch (value->kind) {
	case REMUDA_STRING:
	case REMUDA_FUNCTION:
		return value->u.string.len + 16;
	case REMUDA_BYTES:
	case REMUDA_BIGINT:
		return value->u.bytes.len + 16;
	case REMUDA_ARRAY:
		return value->u.array.data_bytes + 512;
	case REMUDA_INTS:
		return value->u.ints.len * 8 + 16;
	case REMUDA_DOUBLES:
		return value->u.doubles.len * 8 + 16;
	case REMUDA_ANY:
		return value->u.any.data.len + value->u.any.type_url.len + 16;
	case REMUDA_OPAQUE:
		return value->u.opaque.data.len + value->u.opaque.codec.len + 16;
	case REMUDA_LIST:
	case REMUDA_TUPLE:
	case REMUDA_SET:
		return value->u.list.len * 16 + 16;
	case REMUDA_MAP:
		return value->u.map.len * 32 + 16;
	case REMUDA_NULL:
	case REMUDA_BOOLEAN:
	case REMUDA_INT64:
	case REMUDA_UINT64:
	case REMUDA_FLOAT64:
	case REMUDA_COMPLEX:
	case REMUDA_TIMESTAMP:
	case REMUDA_DURATION:
	case REMUDA_BLOB:
	case REMUDA_NAMED:
		return 48;
	}
	return 0;
}

static void put_all(struct rmd_wire_writer *writer,
		    const struct rmd_submission *submission)
{
	const struct rmd_captured_task *captured = submission->captured;
	if (captured != NULL)
		rmd_capture_put(writer, &captured->capture, captured->globals,
				captured->global_count);
	for (size_t i = 0; i < submission->count; i++)
		rmd_arguments_put(writer, &submission->args[i].value);
	for (size_t i = 0; i < submission->named_count; i++) {
		const struct remuda_named_arg *named = &submission->named_args[i];
		rmd_arguments_put_named(writer, rmd_slice_of_string(named->name),
					&named->arg.value);
	}
}

static void release_block(void *owner)
{
	rmd_free(owner);
}

/* Turns a writer's block into a buf without a copy. NULL: out of memory. */
static struct rmd_buf *adopt(struct rmd_wire_writer *writer)
{
	struct rmd_buf *buf = NULL;
	if (!writer->failed && writer->data != NULL)
		buf = rmd_buf_wrap(rmd_slice_of(writer->data, writer->len), release_block,
				   writer->data);
	if (buf != NULL)
		writer->data = NULL;
	rmd_wire_writer_fini(writer);
	return buf;
}

static size_t total_weight(const struct rmd_submission *submission)
{
	const struct rmd_captured_task *captured = submission->captured;
	size_t total = captured != NULL ? CAPTURE_BYTES : 0;
	for (size_t i = 0; captured != NULL && i < captured->global_count; i++)
		total += captured->globals[i].data.len + GLOBAL_BYTES;
	for (size_t i = 0; i < submission->count; i++)
		total += weight(&submission->args[i].value);
	for (size_t i = 0; i < submission->named_count; i++)
		total += weight(&submission->named_args[i].arg.value);
	return total;
}

/* ---- shared memory ---- */

/* Gives the place back, if the submission has one. */
static void leave_place(struct rmd_submission *submission)
{
	if (submission->shared == NULL)
		return;
	rmd_shared_take_back(submission->shared, &submission->place);
	rmd_shared_unref(submission->shared);
	submission->shared = NULL;
}

/* Has the submission own a place for `bytes`, at *ret_to. False: there is none. */
static bool find_place(struct remuda *client, struct rmd_submission *submission,
		       size_t bytes, uint8_t **ret_to)
{
	if (bytes < RMD_SHARED_PAYLOAD_MIN)
		return false;
	submission->shared = rmd_share_get(client);
	if (submission->shared == NULL)
		return false;
	if (rmd_shared_lend(submission->shared, bytes, &submission->place, ret_to) == 0)
		return true;
	rmd_shared_unref(submission->shared);
	submission->shared = NULL;
	return false;
}

/* Encodes straight into a place: true; false: there is none, or `total` was too small a
 * guess. */
static bool encode_in_place(struct remuda *client, struct rmd_submission *submission,
			    size_t total)
{
	uint8_t *to;
	size_t room = total + SLACK_BYTES;
	if (!find_place(client, submission, room, &to))
		return false;
	struct rmd_wire_writer writer = {.data = to, .capacity = room, .borrowed = true};
	put_all(&writer, submission);
	bool in_place = !writer.failed && writer.borrowed && writer.len != 0;
	if (in_place) {
		rmd_shared_shorten(submission->shared, &submission->place, writer.len);
		submission->spec.arguments = rmd_slice_of(to, writer.len);
	}
	rmd_wire_writer_fini(&writer);
	if (!in_place)
		leave_place(submission);
	return in_place;
}

/* Moves arguments that turned out to be large from their buf to a place, if there is
 * one. */
static void move_to_place(struct remuda *client, struct rmd_submission *submission)
{
	uint8_t *to;
	struct rmd_slice bytes = submission->spec.arguments;
	if (!find_place(client, submission, bytes.len, &to))
		return;
	memcpy(to, bytes.data, bytes.len);
	submission->spec.arguments = rmd_slice_of(to, bytes.len);
	rmd_buf_unref(submission->large);
	submission->large = NULL;
}

/* Moves them to a buf: what the place lies in is not what the present call shares. */
static int move_from_place(struct rmd_submission *submission)
{
	submission->large = rmd_buf_copy(submission->spec.arguments);
	if (submission->large == NULL)
		return RMD_ENOMEM;
	submission->spec.arguments = rmd_buf_slice(submission->large);
	leave_place(submission);
	return 0;
}

/* ---- encoding ---- */

/* Fills spec->arguments, and submission->large or ->shared where they have a buf or a
 * place of their own. RMD_ENOMEM. */
static int encode(struct remuda *client, struct rmd_submission *submission)
{
	size_t total = total_weight(submission);
	if (encode_in_place(client, submission, total))
		return 0;
	struct rmd_wire_writer own = {0};
	struct rmd_wire_writer *writer = total < RMD_WIRE_SPLICE_MIN ? scratch() : &own;
	if (writer == NULL)
		return RMD_ENOMEM;
	if (writer == &own && (own.data = rmd_malloc(total + SLACK_BYTES)) != NULL)
		own.capacity = total + SLACK_BYTES;
	put_all(writer, submission);
	if (writer->failed) {
		rmd_wire_writer_fini(writer);
		return RMD_ENOMEM;
	}
	if (writer != &own && writer->len >= RMD_WIRE_SPLICE_MIN) {
		own = *writer; /* more than it seemed: the block leaves the thread */
		*writer = (struct rmd_wire_writer){0};
		writer = &own;
	}
	if (writer != &own) {
		submission->spec.arguments = rmd_slice_of(writer->data, writer->len);
		return 0;
	}
	submission->large = adopt(&own);
	if (submission->large == NULL)
		return RMD_ENOMEM;
	submission->spec.arguments = rmd_buf_slice(submission->large);
	move_to_place(client, submission);
	return 0;
}

/* ---- sending ---- */

void rmd_send_transfer(struct rmd_stream *stream, uint64_t transfer,
		       struct rmd_buf *arguments)
{
	struct rmd_chunks chunks = rmd_chunks_of(transfer, rmd_buf_slice(arguments));
	struct rmd_chunk chunk;
	while (rmd_chunks_next(&chunks, &chunk)) {
		struct rmd_wire_writer *writer = rmd_stream_begin(stream);
		rmd_chunk_put(writer, RMD_FIELD_CHUNKS, &chunk, arguments);
		rmd_stream_end(stream);
	}
}

/* True if the stream has room for `bytes` more; else its draining wakes us. `lock` is
 * held. */
static bool has_room(struct remuda *client, size_t bytes)
{
	if (bytes < RMD_CLIENT_LARGE_BYTES ||
	    rmd_stream_pending_bytes(client->stream) < RMD_CLIENT_PENDING_MAX_BYTES)
		return true;
	/* Said before the second look, so that a drain in between is not missed. */
	atomic_store(&client->room_wanted, true);
	return rmd_stream_pending_bytes(client->stream) < RMD_CLIENT_PENDING_MAX_BYTES;
}

/* Waits until the next number may be sent: 0. `lock` is held. RMD_EUNREACHABLE: never
 * more. RMD_ETIMEOUT: the deadline has passed. RMD_EAGAIN: this thread must not wait. */
static int wait_for_turn(struct remuda *client, const struct rmd_submission *submission)
{
	for (;;) {
		if (client->state >= RMD_CLIENT_LOST)
			return RMD_EUNREACHABLE;
		/* Between the end of a call and the move to RESUMING there is no stream.
		 */
		if (client->state == RMD_CLIENT_OPEN && client->stream != NULL &&
		    client->next <= client->window &&
		    has_room(client, submission->shared != NULL
					     ? 0
					     : submission->spec.arguments.len))
			return 0;
		if (rmd_client_is_here(client))
			return RMD_EAGAIN;
		if (!rmd_client_wait(client, submission->until_ns))
			return RMD_ETIMEOUT;
	}
}

/* What is left of the deadline after waiting. RMD_ETIMEOUT: nothing. */
static int set_deadline(struct rmd_submission *submission)
{
	if (submission->until_ns == UINT64_MAX)
		return 0;
	uint64_t now_ns = rmd_clock_mono_ns();
	if (now_ns >= submission->until_ns)
		return RMD_ETIMEOUT;
	submission->spec.options.deadline_ms = (submission->until_ns - now_ns + 999999) /
					       1000000;
	return 0;
}

/* Numbers the task and puts it into the table. `lock` is held. RMD_ENOMEM. */
static int enter(struct remuda *client, struct rmd_submission *submission,
		 struct remuda_future *future)
{
	uint64_t number = client->next;
	pthread_mutex_lock(&client->table_lock);
	int rc = rmd_table_put(&client->table, number, future);
	pthread_mutex_unlock(&client->table_lock);
	if (rc < 0)
		return rc;
	if (client->reach == RMD_REACH_REMOTE &&
	    rmd_unaccepted_add(client, number, &submission->spec, submission->large) <
		    0) {
		pthread_mutex_lock(&client->table_lock);
		rmd_table_take(&client->table, number);
		pthread_mutex_unlock(&client->table_lock);
		return RMD_ENOMEM;
	}
	client->next = number + 1;
	future->number = number;
	future->pool = (uint32_t)submission->spec.pool;
	rmd_future_ref(future);
	return 0;
}

/* Under the lock: waits, numbers, appends; leaves the item open in *ret_stream, for the
 * caller to end without the lock. Codes of wait_for_turn, and RMD_ENOMEM, RMD_ETOOBIG,
 * RMD_ELIMIT. */
static int append(struct remuda *client, struct rmd_submission *submission,
		  struct remuda_future *future, struct rmd_stream **ret_stream)
{
	uint32_t pool = 0;
	struct rmd_task_spec *spec = &submission->spec;
	int rc = wait_for_turn(client, submission);
	if (rc == 0)
		rc = set_deadline(submission);
	if (rc == 0 && client->payload_max_bytes != 0 &&
	    spec->arguments.len > client->payload_max_bytes)
		rc = RMD_ETOOBIG;
	if (rc == 0 && spec->pool != 0 && rmd_client_pool_closed(client, spec->pool))
		rc = RMD_ECLOSED;
	if (rc == 0 && spec->pool == 0)
		rc = rmd_client_default_pool(client, spec->function, &pool);
	if (rc < 0)
		return rc;
	if (spec->pool == 0)
		spec->pool = pool;
	if (submission->shared != NULL && submission->shared != client->shared &&
	    (rc = move_from_place(submission)) < 0)
		return rc;
	if (submission->shared != NULL) {
		spec->segment = submission->place;
		spec->arguments = rmd_slice_of(NULL, 0);
	}
	if (submission->large != NULL && spec->arguments.len > RMD_CLIENT_INLINE_BYTES) {
		spec->arguments_transfer = client->next_transfer++;
		spec->arguments = rmd_slice_of(NULL, 0);
	}
	rc = enter(client, submission, future);
	if (rc < 0)
		return rc;
	struct rmd_stream *stream = rmd_stream_ref(client->stream);
	if (spec->arguments_transfer != 0)
		rmd_send_transfer(stream, spec->arguments_transfer, submission->large);
	struct rmd_wire_writer *writer = rmd_stream_begin(stream);
	rmd_session_request_put_submit(writer, future->number, spec, submission->large);
	rmd_shared_unref(submission->shared); /* the place is now the coordinator's */
	submission->shared = NULL;
	*ret_stream = stream;
	return 0;
}

/* ---- failing ---- */

static struct remuda_error *refusal(const struct remuda *client,
				    const struct rmd_submission *submission, int rc)
{
	struct rmd_slice name = submission->spec.function;
	switch (rc) {
	case RMD_ETIMEOUT:
		return remuda_error_create("DeadlineExceeded",
					   "%.*s was not submitted: its deadline passed "
					   "while the coordinator's window "
					   "was full or the connection was down",
					   (int)name.len, (const char *)name.data);
	case RMD_EAGAIN:
		return remuda_error_create(
			"WindowFull",
			"%.*s was not submitted: the coordinator's window is full, and a "
			"callback on the "
			"client's own thread cannot wait for it. Submit from another "
			"thread, or use remuda_enqueue",
			(int)name.len, (const char *)name.data);
	case RMD_ETOOBIG:
		return remuda_error_create("PayloadTooLarge",
					   "the arguments of %.*s take %zu bytes; this "
					   "coordinator takes at most %llu (remudad "
					   "--payload-bytes, and never over 1 GiB)",
					   (int)name.len, (const char *)name.data,
					   submission->spec.arguments.len,
					   (unsigned long long)client->payload_max_bytes);
	case RMD_ECLOSED:
		return remuda_error_create(
			"PoolClosed",
			"%.*s was not submitted: its pool %llu was closed; open it again",
			(int)name.len, (const char *)name.data,
			(unsigned long long)submission->spec.pool);
	case RMD_ELIMIT:
		return remuda_error_create(
			"TooManyPools",
			"this client has opened %u pools, the most there can be",
			RMD_CLIENT_POOLS_MAX);
	default:
		return remuda_error_create("OutOfMemory", "in the client, for a task");
	}
}

static int public_code(int rc)
{
	switch (rc) {
	case RMD_EUNREACHABLE:
	case RMD_ETIMEOUT:
	case RMD_EAGAIN:
	case RMD_ETOOBIG:
	case RMD_ENOMEM:
	case RMD_ECLOSED:
		return rc;                   /* the public numbers are the same */
	default:
		return REMUDA_EINVAL;
	}
}

static void send(struct remuda *client, struct rmd_submission *submission,
		 struct remuda_future *future)
{
	struct rmd_stream *stream = NULL;
	struct remuda_error *err = NULL;
	pthread_mutex_lock(&client->lock);
	int rc = append(client, submission, future, &stream);
	int code = public_code(rc);
	if (rc == RMD_EUNREACHABLE) {
		err = rmd_client_why(client);
		code = client->why_code != 0 ? client->why_code : rc;
	} else if (rc < 0) {
		err = refusal(client, submission, rc);
	}
	pthread_mutex_unlock(&client->lock);
	if (rc == 0) {
		rmd_stream_end(stream);      /* writes, if no write is in flight */
		rmd_stream_unref(stream);
	} else {
		rmd_error_set_origin(err, REMUDA_ORIGIN_SERVICE);
		rmd_future_fail(future, code, err);
	}
}

struct remuda_future *rmd_submit(struct remuda *client, struct rmd_submission *submission,
				 struct remuda_future *future)
{
	int rc = encode(client, submission);
	if (rc < 0)
		rmd_future_fail(future, REMUDA_ENOMEM, refusal(client, submission, rc));
	else
		send(client, submission, future);
	leave_place(submission);
	rmd_buf_unref(submission->large);
	return future;
}
