#include "proto/codec/frames_session.h"

#include "proto/base/check.h"
#include "proto/codec/frames_wire.h"

#define CANCELS 4u
#define ACKS 5u

/* ---- client to coordinator: reading ---- */

static int hello_field(const struct rmd_wire_field *f, struct rmd_session_hello *hello,
		       const char **ret_field)
{
	switch (f->number) {
	case 2:
		return frames_u32(f, &hello->protocol, "SessionHello.protocol",
				  ret_field);
	case 3:
		return frames_text(f, RMD_CLIENT_NAME_MAX_BYTES, &hello->client,
				   "SessionHello.client (at most 256 bytes)", ret_field);
	case 4:
		return frames_u64(f, &hello->epoch, "SessionHello.epoch", ret_field);
	case 5:
		if (f->type == RMD_WIRE_VARINT &&
		    f->varint > RMD_OUTCOME_INLINE_MAX_BYTES)
			return frames_fail(
				RMD_ELIMIT,
				"SessionHello.inline_max_bytes (at most 4 MiB)",
				ret_field);
		return frames_u64(f, &hello->inline_max_bytes,
				  "SessionHello.inline_max_bytes", ret_field);
	case 6:
		return frames_bool(f, &hello->shared_memory, "SessionHello.shared_memory",
				   ret_field);
	default:
		return 0;
	}
}

static int hello_read(struct rmd_slice bytes, struct rmd_session_hello *ret_hello,
		      const char **ret_field)
{
	static const char session[] = "SessionHello.session (16 bytes)";
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	bool named = false;
	int rc;
	*ret_hello = (struct rmd_session_hello){.protocol = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1) {
			rc = frames_session(&f, ret_hello->session, session, ret_field);
			named = true;
		} else {
			rc = hello_field(&f, ret_hello, ret_field);
		}
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "SessionHello", ret_field);
	return named ? 0 : frames_fail(RMD_EPROTO, session, ret_field);
}

static int submit_read(struct rmd_slice bytes, struct rmd_session_submit *ret_submit,
		       const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	struct rmd_slice task = {NULL, 0};
	int rc;
	ret_submit->number = 0;
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1)
			rc = frames_u64(&f, &ret_submit->number, "SessionSubmit.number",
					ret_field);
		else if (f.number == 2)
			rc = frames_message(&f, &task, "SessionSubmit.task", ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "SessionSubmit", ret_field);
	if (ret_submit->number == 0)
		return frames_fail(RMD_EPROTO, "SessionSubmit.number (from 1)",
				   ret_field);
	return rmd_task_spec_read(task, &ret_submit->task, ret_field);
}

static int open_pool_read(struct rmd_slice bytes, struct rmd_session_open_pool *ret_open,
			  const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	*ret_open = (struct rmd_session_open_pool){.pool = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1)
			rc = frames_u64(&f, &ret_open->pool, "SessionOpenPool.pool",
					ret_field);
		else if (f.number == 2)
			rc = frames_message(&f, &ret_open->raw_spec,
					    "SessionOpenPool.spec", ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "SessionOpenPool", ret_field);
	if (ret_open->pool == 0)
		return frames_fail(RMD_EPROTO, "SessionOpenPool.pool (from 1)",
				   ret_field);
	return 0;
}

static int close_pool_read(struct rmd_slice bytes,
			   struct rmd_session_close_pool *ret_close,
			   const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	uint64_t how = 0;
	int rc;
	*ret_close = (struct rmd_session_close_pool){.pool = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1)
			rc = frames_u64(&f, &ret_close->pool, "SessionClosePool.pool",
					ret_field);
		else if (f.number == 2)
			rc = frames_u64(&f, &how, "SessionClosePool.how", ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "SessionClosePool", ret_field);
	if (ret_close->pool == 0)
		return frames_fail(RMD_EPROTO, "SessionClosePool.pool (from 1)",
				   ret_field);
	if (how <= RMD_SESSION_CLOSE_KILL)
		ret_close->how = (enum rmd_session_close)how;
	return 0;
}

/* One field: 1: an item is in *item; 0: there is none in it. */
static int request_field(struct rmd_frame_reader *reader, const struct rmd_wire_field *f,
			 struct rmd_session_request_item *item)
{
	bool goodbye;
	int rc;
	switch (f->number) {
	case RMD_SESSION_REQUEST_HELLO:
		rc = hello_read(f->bytes, &item->hello, &reader->field);
		break;
	case RMD_SESSION_REQUEST_CHUNK:
		rc = rmd_chunk_read(f->bytes, &item->chunk, &reader->field);
		break;
	case RMD_SESSION_REQUEST_SUBMIT:
		rc = submit_read(f->bytes, &item->submit, &reader->field);
		break;
	case RMD_SESSION_REQUEST_CANCEL:
	case RMD_SESSION_REQUEST_ACK:
		item->kind = (enum rmd_session_request_kind)f->number;
		return frames_number(reader, f, &item->number,
				     f->number == CANCELS ? "SessionRequest.cancels"
							  : "SessionRequest.acks");
	case RMD_SESSION_REQUEST_OPEN_POOL:
		rc = open_pool_read(f->bytes, &item->open_pool, &reader->field);
		break;
	case RMD_SESSION_REQUEST_GOODBYE:
		item->kind = RMD_SESSION_REQUEST_GOODBYE;
		rc = frames_bool(f, &goodbye, "SessionRequest.goodbye", &reader->field);
		return rc < 0 ? rc : goodbye;
	case RMD_SESSION_REQUEST_CLOSE_POOL:
		rc = close_pool_read(f->bytes, &item->close_pool, &reader->field);
		break;
	default:
		return 0;
	}
	if (f->type != RMD_WIRE_LEN)
		return frames_fail(RMD_EPROTO, "SessionRequest", &reader->field);
	item->kind = (enum rmd_session_request_kind)f->number;
	return rc < 0 ? rc : 1;
}

int rmd_session_request_next(struct rmd_frame_reader *reader,
			     struct rmd_session_request_item *ret_item)
{
	if (frames_packed_left(reader)) {
		ret_item->kind = (enum rmd_session_request_kind)reader->packed_field;
		return frames_packed_next(reader, &ret_item->number,
					  reader->packed_field == CANCELS
						  ? "SessionRequest.cancels"
						  : "SessionRequest.acks");
	}
	struct rmd_wire_field f;
	int rc;
	while ((rc = frames_next(&reader->rest, &f)) > 0) {
		rc = request_field(reader, &f, ret_item);
		if (rc != 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "SessionRequest", &reader->field) : 0;
}

/* ---- client to coordinator: writing ---- */

void rmd_session_request_put_hello(struct rmd_wire_writer *writer,
				   const struct rmd_session_hello *hello)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, RMD_SESSION_REQUEST_HELLO);
	rmd_wire_put_bytes(writer, 1, rmd_slice_of(hello->session, RMD_SESSION_BYTES));
	rmd_wire_put_varint_nz(writer, 2, hello->protocol);
	rmd_wire_put_bytes_nz(writer, 3, hello->client);
	rmd_wire_put_varint_nz(writer, 4, hello->epoch);
	rmd_wire_put_varint_nz(writer, 5, hello->inline_max_bytes);
	rmd_wire_put_varint_nz(writer, 6, hello->shared_memory);
	rmd_wire_close(writer, nest);
}

void rmd_session_request_put_submit(struct rmd_wire_writer *writer, uint64_t number,
				    const struct rmd_task_spec *task, struct rmd_buf *buf)
{
	bool spliced = frames_spliced(task->arguments, buf);
	size_t arguments = frames_size_bytes(task->arguments);
	size_t options = frames_size_options(&task->options);
	size_t spec = frames_size_bytes(task->function) + arguments +
		      frames_size_number(task->arguments_transfer) +
		      frames_size_number(task->pool) +
		      (options != 0 ? frames_size_len(options) : 0);
	size_t segment = frames_size_segment(&task->segment);
	if (task->segment.length != 0)
		spec += frames_size_len(segment);
	size_t size = frames_size_number(number) + frames_size_len(spec);
	uint8_t *at = rmd_wire_reserve(writer,
				       frames_size_len(size) - (spliced ? arguments : 0));
	if (at == NULL)
		return;
	at = frames_store_len(at, RMD_SESSION_REQUEST_SUBMIT, size);
	at = frames_store_number(at, 1, number);
	at = frames_store_len(at, 2, spec);
	at = frames_store_bytes(at, 1, task->function);
	at = frames_store_number(at, 3, task->arguments_transfer);
	at = frames_store_number(at, 4, task->pool);
	if (options != 0)
		at = frames_store_options(frames_store_len(at, 5, options),
					  &task->options);
	if (task->segment.length != 0)
		at = frames_store_segment(frames_store_len(at, 6, segment),
					  &task->segment);
	if (spliced)
		rmd_wire_put_piece(writer, 2, (struct rmd_piece){task->arguments, buf});
	else
		frames_store_bytes(at, 2, task->arguments);
}

void rmd_session_request_put_cancels(struct rmd_wire_writer *writer,
				     const uint64_t *numbers, size_t count)
{
	frames_put_packed(writer, CANCELS, numbers, count);
}

void rmd_session_request_put_acks(struct rmd_wire_writer *writer, const uint64_t *numbers,
				  size_t count)
{
	frames_put_packed(writer, ACKS, numbers, count);
}

void rmd_session_request_put_open_pool(struct rmd_wire_writer *writer, uint64_t pool,
				       struct rmd_slice raw_spec)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, RMD_SESSION_REQUEST_OPEN_POOL);
	rmd_wire_put_varint_nz(writer, 1, pool);
	rmd_wire_put_bytes(writer, 2, raw_spec);
	rmd_wire_close(writer, nest);
}

void rmd_session_request_put_goodbye(struct rmd_wire_writer *writer)
{
	rmd_wire_put_varint(writer, RMD_SESSION_REQUEST_GOODBYE, 1);
}

void rmd_session_request_put_close_pool(struct rmd_wire_writer *writer,
					const struct rmd_session_close_pool *closed)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, RMD_SESSION_REQUEST_CLOSE_POOL);
	rmd_wire_put_varint_nz(writer, 1, closed->pool);
	rmd_wire_put_varint_nz(writer, 2, (uint64_t)closed->how);
	rmd_wire_close(writer, nest);
}

/* ---- coordinator to client: reading ---- */

static int welcome_read(struct rmd_slice bytes, struct rmd_session_welcome *w,
			const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	*w = (struct rmd_session_welcome){.protocol = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		switch (f.number) {
		case 1:
			rc = frames_u32(&f, &w->protocol, "SessionWelcome.protocol",
					ret_field);
			break;
		case 2:
			rc = frames_u64(&f, &w->epoch, "SessionWelcome.epoch", ret_field);
			break;
		case 3:
			rc = frames_text(&f, RMD_VERSION_MAX_BYTES, &w->version,
					 "SessionWelcome.version (at most 256 bytes)",
					 ret_field);
			break;
		case 4:
			rc = frames_u64(&f, &w->accepted, "SessionWelcome.accepted",
					ret_field);
			break;
		case 5:
			rc = frames_u64(&f, &w->payload_max_bytes,
					"SessionWelcome.payload_max_bytes", ret_field);
			break;
		case 6:
			rc = frames_bool(&f, &w->shared_memory,
					 "SessionWelcome.shared_memory", ret_field);
			break;
		default:
			break;
		}
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "SessionWelcome", ret_field) : 0;
}

static int outcome_read(struct rmd_slice bytes, struct rmd_session_outcome *ret_outcome,
			const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	struct rmd_slice outcome = {NULL, 0}, segment = {NULL, 0};
	int rc;
	*ret_outcome = (struct rmd_session_outcome){.outcome.kind = RMD_OUTCOME_VALUE};
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1)
			rc = frames_u64(&f, &ret_outcome->number, "SessionOutcome.number",
					ret_field);
		else if (f.number == 2)
			rc = frames_message(&f, &outcome, "SessionOutcome.outcome",
					    ret_field);
		else if (f.number == 3)
			rc = frames_message(&f, &segment, "SessionOutcome.value_segment",
					    ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "SessionOutcome", ret_field);
	if (ret_outcome->number == 0)
		return frames_fail(RMD_EPROTO, "SessionOutcome.number (from 1)",
				   ret_field);
	if (segment.data == NULL)
		return rmd_outcome_read(outcome, &ret_outcome->outcome, ret_field);
	if (outcome.data != NULL)
		return frames_fail(RMD_EPROTO,
				   "SessionOutcome.value_segment (and outcome)",
				   ret_field);
	return rmd_segment_ref_read(segment, &ret_outcome->segment, ret_field);
}

static int log_read(struct rmd_slice bytes, struct rmd_session_log *ret_log,
		    const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	struct rmd_slice log = {NULL, 0};
	int rc;
	ret_log->number = 0;
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1)
			rc = frames_u64(&f, &ret_log->number, "SessionLog.number",
					ret_field);
		else if (f.number == 2)
			rc = frames_message(&f, &log, "SessionLog.log", ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "SessionLog", ret_field);
	return rmd_log_chunk_read(log, &ret_log->log, ret_field);
}

static int pool_read(struct rmd_slice bytes, struct rmd_session_pool *ret_pool,
		     const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	*ret_pool = (struct rmd_session_pool){.pool = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1)
			rc = frames_u64(&f, &ret_pool->pool, "SessionPool.pool",
					ret_field);
		else if (f.number == 2)
			rc = frames_text(&f, RMD_POOL_ERROR_MAX_BYTES, &ret_pool->error,
					 "SessionPool.error (at most 4 KiB)", ret_field);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "SessionPool", ret_field) : 0;
}

/* One field: 1: an item is in *item; 0: there is none in it. */
static int response_field(struct rmd_frame_reader *reader, const struct rmd_wire_field *f,
			  struct rmd_session_response_item *item)
{
	int rc;
	enum rmd_wire_type type = RMD_WIRE_LEN;
	switch (f->number) {
	case RMD_SESSION_RESPONSE_WELCOME:
		rc = welcome_read(f->bytes, &item->welcome, &reader->field);
		break;
	case RMD_SESSION_RESPONSE_CHUNK:
		rc = rmd_chunk_read(f->bytes, &item->chunk, &reader->field);
		break;
	case RMD_SESSION_RESPONSE_LOG:
		rc = log_read(f->bytes, &item->log, &reader->field);
		break;
	case RMD_SESSION_RESPONSE_OUTCOME:
		rc = outcome_read(f->bytes, &item->outcome, &reader->field);
		break;
	case RMD_SESSION_RESPONSE_ACCEPTED:
	case RMD_SESSION_RESPONSE_WINDOW:
		type = RMD_WIRE_VARINT;
		rc = 0;
		item->number = f->varint;
		break;
	case RMD_SESSION_RESPONSE_POOL:
		rc = pool_read(f->bytes, &item->pool, &reader->field);
		break;
	default:
		return 0;
	}
	if (f->type != type)
		return frames_fail(RMD_EPROTO, "SessionResponse", &reader->field);
	item->kind = (enum rmd_session_response_kind)f->number;
	return rc < 0 ? rc : 1;
}

int rmd_session_response_next(struct rmd_frame_reader *reader,
			      struct rmd_session_response_item *ret_item)
{
	struct rmd_wire_field f;
	int rc;
	while ((rc = frames_next(&reader->rest, &f)) > 0) {
		rc = response_field(reader, &f, ret_item);
		if (rc != 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "SessionResponse", &reader->field) : 0;
}

/* ---- coordinator to client: writing ---- */

void rmd_session_response_put_welcome(struct rmd_wire_writer *writer,
				      const struct rmd_session_welcome *welcome)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, RMD_SESSION_RESPONSE_WELCOME);
	rmd_wire_put_varint_nz(writer, 1, welcome->protocol);
	rmd_wire_put_varint_nz(writer, 2, welcome->epoch);
	rmd_wire_put_bytes_nz(writer, 3, welcome->version);
	rmd_wire_put_varint_nz(writer, 4, welcome->accepted);
	rmd_wire_put_varint_nz(writer, 5, welcome->payload_max_bytes);
	rmd_wire_put_varint_nz(writer, 6, welcome->shared_memory);
	rmd_wire_close(writer, nest);
}

void rmd_session_response_put_log(struct rmd_wire_writer *writer, uint64_t number,
				  const struct rmd_log_chunk *log)
{
	size_t inner = frames_size_log(log);
	size_t size = frames_size_number(number) + frames_size_len(inner);
	uint8_t *at = rmd_wire_reserve(writer, frames_size_len(size));
	if (at == NULL)
		return;
	at = frames_store_len(at, RMD_SESSION_RESPONSE_LOG, size);
	at = frames_store_number(at, 1, number);
	frames_store_log(frames_store_len(at, 2, inner), log);
}

void rmd_session_response_put_outcome(struct rmd_wire_writer *writer, uint64_t number,
				      const struct rmd_outcome *outcome,
				      struct rmd_buf *buf)
{
	struct frames_outcome o = frames_outcome_of(outcome, buf);
	size_t size = frames_size_number(number) + frames_size_len(o.size);
	size_t elsewhere = o.size - frames_outcome_in_block(&o);
	uint8_t *at = rmd_wire_reserve(writer, frames_size_len(size) - elsewhere);
	if (at == NULL)
		return;
	at = frames_store_len(at, RMD_SESSION_RESPONSE_OUTCOME, size);
	at = frames_store_number(at, 1, number);
	frames_store_outcome(frames_store_len(at, 2, o.size), &o);
	frames_splice_outcome(writer, &o);
}

void rmd_session_response_put_segment(struct rmd_wire_writer *writer, uint64_t number,
				      const struct rmd_segment_ref *ref)
{
	size_t inner = frames_size_segment(ref);
	size_t size = frames_size_number(number) + frames_size_len(inner);
	uint8_t *at = rmd_wire_reserve(writer, frames_size_len(size));
	if (at == NULL)
		return;
	at = frames_store_len(at, RMD_SESSION_RESPONSE_OUTCOME, size);
	at = frames_store_number(at, 1, number);
	frames_store_segment(frames_store_len(at, 3, inner), ref);
}

void rmd_session_response_put_accepted(struct rmd_wire_writer *writer, uint64_t number)
{
	rmd_wire_put_varint(writer, RMD_SESSION_RESPONSE_ACCEPTED, number);
}

void rmd_session_response_put_window(struct rmd_wire_writer *writer, uint64_t number)
{
	rmd_wire_put_varint(writer, RMD_SESSION_RESPONSE_WINDOW, number);
}

void rmd_session_response_put_pool(struct rmd_wire_writer *writer, uint64_t pool,
				   struct rmd_slice error)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, RMD_SESSION_RESPONSE_POOL);
	rmd_wire_put_varint_nz(writer, 1, pool);
	rmd_wire_put_bytes_nz(writer, 2, error);
	rmd_wire_close(writer, nest);
}
