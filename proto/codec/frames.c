#include "proto/codec/frames.h"

#include "proto/base/check.h"
#include "proto/codec/frames_wire.h"

/* ---- pairs ---- */

static int entry_read(struct rmd_slice bytes, struct rmd_pair *ret_pair)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	struct rmd_pair pair = {{NULL, 0}, {NULL, 0}};
	int rc;
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number > 2)
			continue;
		if (f.type != RMD_WIRE_LEN)
			return RMD_EPROTO;
		*(f.number == 1 ? &pair.key : &pair.value) = f.bytes;
	}
	if (rc == 0)
		*ret_pair = pair;
	return rc;
}

int frames_entry(const struct rmd_wire_field *f, size_t max, struct rmd_pair *ret_pair,
		 const char *field, const char **ret_field)
{
	if (f->type != RMD_WIRE_LEN)
		return frames_fail(RMD_EPROTO, field, ret_field);
	int rc = entry_read(f->bytes, ret_pair);
	if (rc < 0)
		return frames_fail(rc, field, ret_field);
	if (ret_pair->key.len > max || ret_pair->value.len > max)
		return frames_fail(RMD_ETOOBIG, field, ret_field);
	if (!rmd_wire_utf8_valid(ret_pair->key) || !rmd_wire_utf8_valid(ret_pair->value))
		return frames_fail(RMD_EPROTO, field, ret_field);
	return 0;
}

bool rmd_pairs_next(struct rmd_pairs *pairs, struct rmd_pair *ret_pair)
{
	struct rmd_wire_field f;
	while (frames_next(&pairs->rest, &f) > 0)
		if (f.number == pairs->field && f.type == RMD_WIRE_LEN)
			return entry_read(f.bytes, ret_pair) == 0;
	return false;
}

bool frames_next_of(struct rmd_slice raw, uint32_t number, size_t *cursor,
		    struct rmd_slice *ret)
{
	if (*cursor >= raw.len)
		return false;
	struct rmd_wire_reader rest = {raw.data + *cursor, raw.data + raw.len};
	struct rmd_wire_field f;
	while (frames_next(&rest, &f) > 0) {
		if (f.number != number || f.type != RMD_WIRE_LEN)
			continue;
		*cursor = (size_t)(rest.at - raw.data);
		*ret = f.bytes;
		return true;
	}
	*cursor = raw.len;
	return false;
}

static size_t entry_size(struct rmd_pair pair)
{
	return frames_size_bytes(pair.key) + frames_size_bytes(pair.value);
}

static uint8_t *entry_store(uint8_t *at, uint32_t field, struct rmd_pair pair)
{
	at = frames_store_len(at, field, entry_size(pair));
	at = frames_store_bytes(at, 1, pair.key);
	return frames_store_bytes(at, 2, pair.value);
}

void rmd_pairs_put(struct rmd_wire_writer *writer, uint32_t field, struct rmd_pair pair)
{
	RMD_CHECK(field <= 15);
	uint8_t *at = rmd_wire_reserve(writer, frames_size_len(entry_size(pair)));
	if (at != NULL)
		entry_store(at, field, pair);
}

/* ---- numbers ---- */

int frames_packed_next(struct rmd_frame_reader *reader, uint64_t *ret_number,
		       const char *field)
{
	int rc = rmd_wire_next_varint(&reader->packed, ret_number);
	return rc < 0 ? frames_fail(rc, field, &reader->field) : rc;
}

int frames_number(struct rmd_frame_reader *reader, const struct rmd_wire_field *f,
		  uint64_t *ret_number, const char *field)
{
	if (f->type == RMD_WIRE_VARINT) {
		*ret_number = f->varint;
		return 1;
	}
	if (f->type != RMD_WIRE_LEN)
		return frames_fail(RMD_EPROTO, field, &reader->field);
	if (f->bytes.len == 0)
		return 0;
	reader->packed = rmd_wire_reader_of(f->bytes);
	reader->packed_field = f->number;
	return frames_packed_next(reader, ret_number, field);
}

void frames_put_packed(struct rmd_wire_writer *writer, uint32_t field,
		       const uint64_t *numbers, size_t count)
{
	if (count == 0)
		return;
	size_t size = 0;
	for (size_t i = 0; i < count; i++)
		size += frames_varint_size(numbers[i]);
	uint8_t *at = rmd_wire_reserve(writer, frames_size_len(size));
	if (at == NULL)
		return;
	at = frames_store_len(at, field, size);
	for (size_t i = 0; i < count; i++)
		at = frames_store_varint(at, numbers[i]);
}

/* ---- TaskId ---- */

int rmd_task_id_read(struct rmd_slice bytes, struct rmd_task_id *ret_id,
		     const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	struct rmd_task_id id = {.number = 0};
	bool named = false;
	int rc;
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1) {
			rc = frames_session(&f, id.session, "TaskId.session (16 bytes)",
					    ret_field);
			named = true;
		} else if (f.number == 2) {
			rc = frames_u64(&f, &id.number, "TaskId.number", ret_field);
		}
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "TaskId", ret_field);
	if (!named)
		return frames_fail(RMD_EPROTO, "TaskId.session (16 bytes)", ret_field);
	if (id.number == 0)
		return frames_fail(RMD_EPROTO, "TaskId.number (from 1)", ret_field);
	*ret_id = id;
	return 0;
}

void rmd_task_id_put(struct rmd_wire_writer *writer, uint32_t field,
		     const struct rmd_task_id *id)
{
	size_t size = frames_size_len(RMD_SESSION_BYTES) + frames_size_number(id->number);
	uint8_t *at = rmd_wire_reserve(writer, frames_size_len(size));
	if (at == NULL)
		return;
	at = frames_store_len(at, field, size);
	at = frames_store_bytes(at, 1, rmd_slice_of(id->session, RMD_SESSION_BYTES));
	frames_store_number(at, 2, id->number);
}

/* ---- Outcome ---- */

static int cancelled_read(struct rmd_slice bytes, struct rmd_slice *ret_reason,
			  const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	*ret_reason = rmd_slice_of(NULL, 0);
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1)
			rc = frames_text(&f, RMD_REASON_MAX_BYTES, ret_reason,
					 "Cancelled.reason (at most 256 bytes)",
					 ret_field);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "Cancelled", ret_field) : 0;
}

static int outcome_field(const struct rmd_wire_field *f, struct rmd_outcome *ret_outcome,
			 const char **ret_field)
{
	*ret_outcome = (struct rmd_outcome){.kind = (enum rmd_outcome_kind)f->number};
	switch (f->number) {
	case RMD_OUTCOME_VALUE:
		return frames_bytes(f, RMD_OUTCOME_INLINE_MAX_BYTES, &ret_outcome->bytes,
				    "Outcome.value (at most 4 MiB)", ret_field);
	case RMD_OUTCOME_ERROR:
		return frames_bytes(f, RMD_OUTCOME_INLINE_MAX_BYTES, &ret_outcome->bytes,
				    "Outcome.error (at most 4 MiB)", ret_field);
	case RMD_OUTCOME_CANCELLED:
		if (f->type != RMD_WIRE_LEN)
			return frames_fail(RMD_EPROTO, "Outcome.cancelled", ret_field);
		return cancelled_read(f->bytes, &ret_outcome->bytes, ret_field);
	default: /* RMD_OUTCOME_VALUE_TRANSFER */
		if (f->type != RMD_WIRE_VARINT || f->varint == 0)
			return frames_fail(RMD_EPROTO, "Outcome.value_transfer (from 1)",
					   ret_field);
		ret_outcome->transfer = f->varint;
		return 0;
	}
}

int rmd_outcome_read(struct rmd_slice bytes, struct rmd_outcome *ret_outcome,
		     const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	bool found = false;
	int rc;
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number > RMD_OUTCOME_VALUE_TRANSFER)
			continue;
		if (found)
			return frames_fail(RMD_EPROTO, "Outcome (exactly one result)",
					   ret_field);
		found = true;
		rc = outcome_field(&f, ret_outcome, ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "Outcome", ret_field);
	if (!found)
		return frames_fail(RMD_EPROTO, "Outcome (exactly one result)", ret_field);
	return 0;
}

struct frames_outcome frames_outcome_of(const struct rmd_outcome *outcome,
					struct rmd_buf *buf)
{
	struct frames_outcome o = {.outcome = outcome, .buf = buf};
	switch (outcome->kind) {
	case RMD_OUTCOME_VALUE:
	case RMD_OUTCOME_ERROR:
	case RMD_OUTCOME_VALUE_REFERENCE:
		o.field = (uint32_t)outcome->kind;
		o.size = frames_size_len(outcome->bytes.len);
		o.spliced = frames_spliced(outcome->bytes, buf);
		return o;
	case RMD_OUTCOME_CANCELLED:
		o.size = frames_size_len(frames_size_bytes(outcome->bytes));
		return o;
	case RMD_OUTCOME_VALUE_TRANSFER:
		RMD_CHECK(outcome->transfer != 0);
		o.size = frames_size_number(outcome->transfer);
		return o;
	}
	RMD_UNREACHABLE("an outcome has one of five kinds");
}

uint8_t *frames_store_outcome(uint8_t *at, const struct frames_outcome *o)
{
	if (o->spliced)
		return at;
	if (o->field != 0)
		return frames_store_bytes_always(at, o->field, o->outcome->bytes);
	if (o->outcome->kind == RMD_OUTCOME_CANCELLED) {
		at = frames_store_len(at, RMD_OUTCOME_CANCELLED,
				      frames_size_bytes(o->outcome->bytes));
		return frames_store_bytes(at, 1, o->outcome->bytes);
	}
	return frames_store_number(at, RMD_OUTCOME_VALUE_TRANSFER, o->outcome->transfer);
}

void frames_splice_outcome(struct rmd_wire_writer *writer, const struct frames_outcome *o)
{
	if (o->spliced)
		rmd_wire_put_piece(writer, o->field,
				   (struct rmd_piece){o->outcome->bytes, o->buf});
}

void rmd_outcome_put(struct rmd_wire_writer *writer, uint32_t field,
		     const struct rmd_outcome *outcome, struct rmd_buf *buf)
{
	struct frames_outcome o = frames_outcome_of(outcome, buf);
	size_t head = 1 + frames_varint_size(o.size);
	uint8_t *at = rmd_wire_reserve(writer, head + frames_outcome_in_block(&o));
	if (at == NULL)
		return;
	frames_store_outcome(frames_store_len(at, field, o.size), &o);
	frames_splice_outcome(writer, &o);
}

/* ---- Chunk ---- */

static int chunk_field(const struct rmd_wire_field *f, struct rmd_chunk *chunk,
		       const char **ret_field)
{
	switch (f->number) {
	case 1:
		return frames_u64(f, &chunk->transfer, "Chunk.transfer", ret_field);
	case 2:
		return frames_u64(f, &chunk->total_bytes, "Chunk.total_bytes", ret_field);
	case 3:
		return frames_u64(f, &chunk->offset, "Chunk.offset", ret_field);
	case 4:
		return frames_bytes(f, RMD_CHUNK_MAX_BYTES, &chunk->data,
				    "Chunk.data (at most 1 MiB)", ret_field);
	default:
		return 0;
	}
}

int rmd_chunk_read(struct rmd_slice bytes, struct rmd_chunk *ret_chunk,
		   const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	struct rmd_chunk chunk = {.transfer = 0};
	int rc;
	while ((rc = frames_next(&rest, &f)) > 0) {
		rc = chunk_field(&f, &chunk, ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "Chunk", ret_field);
	if (chunk.transfer == 0)
		return frames_fail(RMD_EPROTO, "Chunk.transfer (from 1)", ret_field);
	if (chunk.total_bytes > RMD_TRANSFER_MAX_BYTES)
		return frames_fail(RMD_ELIMIT, "Chunk.total_bytes (at most 1 GiB)",
				   ret_field);
	if (chunk.offset > chunk.total_bytes ||
	    chunk.data.len > chunk.total_bytes - chunk.offset)
		return frames_fail(RMD_EPROTO, "Chunk.offset (beyond total_bytes)",
				   ret_field);
	*ret_chunk = chunk;
	return 0;
}

void rmd_chunk_put(struct rmd_wire_writer *writer, uint32_t field,
		   const struct rmd_chunk *chunk, struct rmd_buf *buf)
{
	bool spliced = frames_spliced(chunk->data, buf);
	size_t data = frames_size_bytes(chunk->data);
	size_t size = frames_size_number(chunk->transfer) +
		      frames_size_number(chunk->total_bytes) +
		      frames_size_number(chunk->offset) + data;
	size_t head = 1 + frames_varint_size(size);
	uint8_t *at = rmd_wire_reserve(writer, head + size - (spliced ? data : 0));
	if (at == NULL)
		return;
	at = frames_store_len(at, field, size);
	at = frames_store_number(at, 1, chunk->transfer);
	at = frames_store_number(at, 2, chunk->total_bytes);
	at = frames_store_number(at, 3, chunk->offset);
	if (spliced)
		rmd_wire_put_piece(writer, 4, (struct rmd_piece){chunk->data, buf});
	else
		frames_store_bytes(at, 4, chunk->data);
}

/* ---- LogChunk ---- */

static int log_field(const struct rmd_wire_field *f, struct rmd_log_chunk *log,
		     const char **ret_field)
{
	uint64_t stream = 0;
	int rc;
	switch (f->number) {
	case 1:
		rc = frames_u64(f, &stream, "LogChunk.stream", ret_field);
		log->stream = stream <= RMD_LOG_STREAM_LOG ? (enum rmd_log_stream)stream
							   : RMD_LOG_STREAM_UNSPECIFIED;
		return rc;
	case 2:
		return frames_bytes(f, RMD_LOG_MAX_BYTES, &log->data,
				    "LogChunk.data (at most 64 KiB)", ret_field);
	case 3:
		return frames_u64(f, &log->dropped_bytes, "LogChunk.dropped_bytes",
				  ret_field);
	default:
		return 0;
	}
}

int rmd_log_chunk_read(struct rmd_slice bytes, struct rmd_log_chunk *ret_log,
		       const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	*ret_log = (struct rmd_log_chunk){.stream = RMD_LOG_STREAM_UNSPECIFIED};
	while ((rc = frames_next(&rest, &f)) > 0) {
		rc = log_field(&f, ret_log, ret_field);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "LogChunk", ret_field) : 0;
}

size_t frames_size_log(const struct rmd_log_chunk *log)
{
	return frames_size_number(log->stream) + frames_size_bytes(log->data) +
	       frames_size_number(log->dropped_bytes);
}

uint8_t *frames_store_log(uint8_t *at, const struct rmd_log_chunk *log)
{
	at = frames_store_number(at, 1, log->stream);
	at = frames_store_bytes(at, 2, log->data);
	return frames_store_number(at, 3, log->dropped_bytes);
}

void rmd_log_chunk_put(struct rmd_wire_writer *writer, uint32_t field,
		       const struct rmd_log_chunk *log)
{
	size_t size = frames_size_log(log);
	uint8_t *at = rmd_wire_reserve(writer, frames_size_len(size));
	if (at != NULL)
		frames_store_log(frames_store_len(at, field, size), log);
}
