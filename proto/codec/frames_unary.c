#include "proto/codec/frames_unary.h"

#include "proto/base/check.h"
#include "proto/codec/frames_wire.h"

#define RUN_ARGS 2u   /* in RunRequest; in Arguments it is 1 */
#define RUN_KWARGS 3u /* in RunRequest; in Arguments it is 2 */
#define ARGUMENTS_ARGS 1u
#define ARGUMENTS_KWARGS 2u
#define MAP_ITEMS 2u

/* The names of the fields of RunRequest and SubmitRequest, which are alike. */
struct run_names {
	const char *message, *function, *args, *args_count, *kwargs, *kwargs_count, *pool,
		*options, *request_id, *inline_max, *arguments_blob;
};

#define RUN_NAMES(m)                                                                     \
	{                                                                                \
		m, m ".function (at most 512 bytes)", m ".args",                         \
			m ".args (at most 255)", m ".kwargs", m ".kwargs (at most 255)", \
			m ".pool (at most 128 bytes)", m ".options",                     \
			m ".request_id (at most 128 bytes)",                             \
			m ".inline_max_bytes (at most 64 MiB)",                          \
			m ".arguments_blob (a SHA-256, 32 bytes)"                        \
	}

static const struct run_names run_names = RUN_NAMES("RunRequest");
static const struct run_names submit_names = RUN_NAMES("SubmitRequest");

/* A RunRequest while it is read. */
struct run_reading {
	struct rmd_run_request *request;
	const struct run_names *names;
	struct rmd_slice options; /* data NULL: not yet met */
};

static int argument_field(const struct rmd_wire_field *f, struct run_reading *r,
			  const char **ret_field)
{
	bool keyword = f->number == RUN_KWARGS;
	uint32_t *count = keyword ? &r->request->kwarg_count : &r->request->arg_count;
	if (f->type != RMD_WIRE_LEN)
		return frames_fail(RMD_EPROTO,
				   keyword ? r->names->kwargs : r->names->args,
				   ret_field);
	if ((*count)++ == RMD_ARGS_MAX)
		return frames_fail(RMD_ELIMIT,
				   keyword ? r->names->kwargs_count
					   : r->names->args_count,
				   ret_field);
	r->request->arguments_bytes += frames_size_len(f->bytes.len);
	return 0;
}

static int inline_max_field(const struct rmd_wire_field *f, uint64_t *ret_bytes,
			    const char *field, const char **ret_field)
{
	int rc = frames_u64(f, ret_bytes, field, ret_field);
	return rc == 0 && *ret_bytes > RMD_CALL_INLINE_MAX_BYTES
		       ? frames_fail(RMD_ELIMIT, field, ret_field)
		       : rc;
}

static int blob_field(const struct rmd_wire_field *f, struct run_reading *r,
		      const char **ret_field)
{
	int rc = frames_bytes(f, RMD_ARGUMENTS_BLOB_BYTES, &r->request->arguments_blob,
			      r->names->arguments_blob, ret_field);
	return rc == 0 && f->bytes.len != 0 && f->bytes.len != RMD_ARGUMENTS_BLOB_BYTES
		       ? frames_fail(RMD_EPROTO, r->names->arguments_blob, ret_field)
		       : rc;
}

static int run_field(const struct rmd_wire_field *f, struct run_reading *r,
		     const char **ret_field)
{
	int rc;
	switch (f->number) {
	case 1:
		return frames_text(f, RMD_FUNCTION_MAX_BYTES, &r->request->function,
				   r->names->function, ret_field);
	case RUN_ARGS:
	case RUN_KWARGS:
		return argument_field(f, r, ret_field);
	case 4:
		return frames_text(f, RMD_POOL_REFERENCE_MAX_BYTES, &r->request->pool,
				   r->names->pool, ret_field);
	case 5:
		rc = frames_message(f, &r->options, r->names->options, ret_field);
		return rc < 0 ? rc
			      : rmd_task_options_read(f->bytes, &r->request->options,
						      ret_field);
	case 6:
		return frames_text(f, RMD_REQUEST_ID_MAX_BYTES, &r->request->request_id,
				   r->names->request_id, ret_field);
	case 7:
		return inline_max_field(f, &r->request->inline_max_bytes,
					r->names->inline_max, ret_field);
	case 8:
		return blob_field(f, r, ret_field);
	default:
		return 0;
	}
}

static int run_read(struct rmd_slice message, const struct run_names *names,
		    struct rmd_run_request *ret_request, const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(message);
	struct rmd_wire_field f;
	struct run_reading r = {.request = ret_request, .names = names};
	int rc;
	*ret_request = (struct rmd_run_request){.raw = message};
	while ((rc = frames_next(&rest, &f)) > 0) {
		rc = run_field(&f, &r, ret_field);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, names->message, ret_field) : 0;
}

int rmd_run_request_read(struct rmd_slice message, struct rmd_run_request *ret_request,
			 const char **ret_field)
{
	return run_read(message, &run_names, ret_request, ret_field);
}

int rmd_submit_request_read(struct rmd_slice message, struct rmd_run_request *ret_request,
			    const char **ret_field)
{
	return run_read(message, &submit_names, ret_request, ret_field);
}

int rmd_run_request_arguments(const struct rmd_run_request *request,
			      struct rmd_buf **ret_arguments)
{
	struct rmd_buf *buf = rmd_buf_create(request->arguments_bytes);
	if (buf == NULL)
		return RMD_ENOMEM;
	uint8_t *at = rmd_buf_writable(buf);
	const uint8_t *end = at + request->arguments_bytes;
	struct rmd_wire_reader rest = rmd_wire_reader_of(request->raw);
	struct rmd_wire_field f;
	while (frames_next(&rest, &f) > 0)
		if (f.number == RUN_ARGS || f.number == RUN_KWARGS)
			at = frames_store_bytes_always(
				at,
				f.number == RUN_ARGS ? ARGUMENTS_ARGS : ARGUMENTS_KWARGS,
				f.bytes);
	RMD_CHECK(at == end); /* the same bytes were measured when it was read */
	*ret_arguments = buf;
	return 0;
}

/* ---- Map ---- */

/* A MapRequest while it is read. */
struct map_reading {
	struct rmd_map_request *request;
	struct rmd_slice options; /* data NULL: not yet met */
	size_t item_bytes;
};

static int item_field(const struct rmd_wire_field *f, struct map_reading *m,
		      const char **ret_field)
{
	if (f->type != RMD_WIRE_LEN)
		return frames_fail(RMD_EPROTO, "MapRequest.items", ret_field);
	if (m->request->item_count++ == RMD_MAP_ITEMS_MAX)
		return frames_fail(RMD_ELIMIT, "MapRequest.items (at most 100,000)",
				   ret_field);
	m->item_bytes += frames_size_len(f->bytes.len);
	if (m->item_bytes > RMD_MAP_MAX_BYTES)
		return frames_fail(RMD_ETOOBIG, "MapRequest.items (at most 4 MiB)",
				   ret_field);
	return 0;
}

static int map_field(const struct rmd_wire_field *f, struct map_reading *m,
		     const char **ret_field)
{
	int rc;
	switch (f->number) {
	case 1:
		return frames_text(f, RMD_FUNCTION_MAX_BYTES, &m->request->function,
				   "MapRequest.function (at most 512 bytes)", ret_field);
	case MAP_ITEMS:
		return item_field(f, m, ret_field);
	case 3:
		return frames_text(f, RMD_POOL_REFERENCE_MAX_BYTES, &m->request->pool,
				   "MapRequest.pool (at most 128 bytes)", ret_field);
	case 4:
		rc = frames_message(f, &m->options, "MapRequest.options", ret_field);
		return rc < 0 ? rc
			      : rmd_task_options_read(f->bytes, &m->request->options,
						      ret_field);
	case 5:
		return frames_bool(f, &m->request->unordered, "MapRequest.unordered",
				   ret_field);
	case 6:
		return inline_max_field(f, &m->request->inline_max_bytes,
					"MapRequest.inline_max_bytes (at most 64 MiB)",
					ret_field);
	default:
		return 0;
	}
}

int rmd_map_request_read(struct rmd_slice message, struct rmd_map_request *ret_request,
			 const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(message);
	struct rmd_wire_field f;
	struct map_reading m = {.request = ret_request};
	int rc;
	*ret_request = (struct rmd_map_request){.raw = message};
	while ((rc = frames_next(&rest, &f)) > 0) {
		rc = map_field(&f, &m, ret_field);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "MapRequest", ret_field) : 0;
}

bool rmd_map_request_next_item(const struct rmd_map_request *request, size_t *cursor,
			       struct rmd_slice *ret_value)
{
	return frames_next_of(request->raw, MAP_ITEMS, cursor, ret_value);
}

struct rmd_buf *rmd_arguments_of_value(struct rmd_slice value)
{
	struct rmd_buf *buf = rmd_buf_create(frames_size_len(value.len));
	if (buf != NULL)
		frames_store_bytes_always(rmd_buf_writable(buf), ARGUMENTS_ARGS, value);
	return buf;
}

/* ---- Await, Cancel ---- */

int rmd_task_ids_next(struct rmd_frame_reader *reader, struct rmd_task_id *ret_id)
{
	struct rmd_wire_field f;
	int rc;
	while ((rc = frames_next(&reader->rest, &f)) > 0) {
		if (f.number != 1)
			continue;
		if (f.type != RMD_WIRE_LEN)
			return frames_fail(RMD_EPROTO, "tasks", &reader->field);
		if (reader->count++ == RMD_AWAIT_TASKS_MAX)
			return frames_fail(RMD_ELIMIT, "tasks (at most 10,000)",
					   &reader->field);
		rc = rmd_task_id_read(f.bytes, ret_id, &reader->field);
		return rc < 0 ? rc : 1;
	}
	return rc < 0 ? frames_fail(rc, "tasks", &reader->field) : 0;
}

int rmd_await_request_inline_max(struct rmd_slice message, uint64_t *ret_bytes,
				 const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(message);
	struct rmd_wire_field f;
	uint64_t bytes = 0;
	int rc;
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 2)
			rc = inline_max_field(
				&f, &bytes,
				"AwaitRequest.inline_max_bytes (at most 64 MiB)",
				ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "AwaitRequest", ret_field);
	*ret_bytes = bytes;
	return 0;
}

/* ---- responses ---- */

struct rmd_buf *rmd_value_reference(const struct rmd_task_id *task, uint64_t size_bytes,
				    uint64_t kept_ms)
{
	struct rmd_wire_writer writer = {0};
	rmd_task_id_put(&writer, 1, task);
	rmd_wire_put_varint_nz(&writer, 2, size_bytes);
	rmd_wire_put_varint_nz(&writer, 3, kept_ms);
	struct rmd_buf *buf = rmd_wire_writer_take(&writer);
	rmd_wire_writer_fini(&writer);
	return buf;
}

void rmd_run_response_put(struct rmd_wire_writer *writer, const struct rmd_task_id *task,
			  const struct rmd_outcome *outcome, struct rmd_buf *buf)
{
	rmd_task_id_put(writer, 1, task);
	rmd_outcome_put(writer, 2, outcome, buf);
}

void rmd_run_response_put_log(struct rmd_wire_writer *writer,
			      const struct rmd_log_chunk *log)
{
	rmd_log_chunk_put(writer, 3, log);
}

void rmd_submit_response_put(struct rmd_wire_writer *writer,
			     const struct rmd_task_id *task)
{
	rmd_task_id_put(writer, 1, task);
}

void rmd_await_response_put(struct rmd_wire_writer *writer,
			    const struct rmd_task_id *task,
			    const struct rmd_outcome *outcome, struct rmd_buf *buf)
{
	rmd_task_id_put(writer, 1, task);
	rmd_outcome_put(writer, 2, outcome, buf);
}

void rmd_map_response_put(struct rmd_wire_writer *writer, uint64_t index,
			  const struct rmd_outcome *outcome, struct rmd_buf *buf)
{
	rmd_wire_put_varint_nz(writer, 1, index);
	rmd_outcome_put(writer, 2, outcome, buf);
}

void rmd_cancel_response_put(struct rmd_wire_writer *writer,
			     enum rmd_cancel_result result)
{
	rmd_wire_put_varint(writer, 1, (uint64_t)result);
}
