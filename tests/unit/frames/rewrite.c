#include "tests/unit/frames/rewrite.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/codec/frames_agent.h"
#include "proto/codec/frames_pool.h"
#include "proto/codec/frames_session.h"
#include "proto/codec/frames_unary.h"

/* Reads a nested PoolSpec and writes it into `out`. */
static int rewrite_spec(struct rmd_slice raw, struct rmd_wire_writer *out,
			const char **ret_field)
{
	struct rmd_pool_spec *spec = NULL;
	int rc = rmd_pool_spec_read(raw, &spec, ret_field);
	if (rc == 0)
		rmd_pool_spec_put_raw(out, spec);
	if (rc == 0 && out->failed) {
		*ret_field = "PoolSpec";
		rc = RMD_ENOMEM;
	}
	rmd_pool_spec_free(spec);
	return rc;
}

int rewrite_pool_spec(struct rmd_slice message, struct rmd_buf *buf,
		      struct rmd_wire_writer *out, const char **ret_field)
{
	(void)buf;
	return rewrite_spec(message, out, ret_field);
}

static int put_open_pool(struct rmd_wire_writer *out,
			 const struct rmd_session_open_pool *open, const char **ret_field)
{
	struct rmd_wire_writer spec = {0};
	int rc = rewrite_spec(open->raw_spec, &spec, ret_field);
	if (rc == 0)
		rmd_session_request_put_open_pool(out, open->pool,
						  rmd_slice_of(spec.data, spec.len));
	rmd_wire_writer_fini(&spec);
	return rc;
}

int rewrite_session_request(struct rmd_slice message, struct rmd_buf *buf,
			    struct rmd_wire_writer *out, const char **ret_field)
{
	struct rmd_frame_reader reader = rmd_frame_reader_of(message);
	struct rmd_session_request_item item;
	int rc;
	while ((rc = rmd_session_request_next(&reader, &item)) > 0) {
		switch (item.kind) {
		case RMD_SESSION_REQUEST_HELLO:
			rmd_session_request_put_hello(out, &item.hello);
			break;
		case RMD_SESSION_REQUEST_CHUNK:
			rmd_chunk_put(out, RMD_FIELD_CHUNKS, &item.chunk, buf);
			break;
		case RMD_SESSION_REQUEST_SUBMIT:
			rmd_session_request_put_submit(out, item.submit.number,
						       &item.submit.task, buf);
			break;
		case RMD_SESSION_REQUEST_CANCEL:
			rmd_session_request_put_cancels(out, &item.number, 1);
			break;
		case RMD_SESSION_REQUEST_ACK:
			rmd_session_request_put_acks(out, &item.number, 1);
			break;
		case RMD_SESSION_REQUEST_OPEN_POOL:
			rc = put_open_pool(out, &item.open_pool, ret_field);
			if (rc < 0)
				return rc;
			break;
		case RMD_SESSION_REQUEST_GOODBYE:
			rmd_session_request_put_goodbye(out);
			break;
		case RMD_SESSION_REQUEST_CLOSE_POOL:
			rmd_session_request_put_close_pool(out, &item.close_pool);
			break;
		}
	}
	if (rc < 0)
		*ret_field = reader.field;
	return rc;
}

int rewrite_session_response(struct rmd_slice message, struct rmd_buf *buf,
			     struct rmd_wire_writer *out, const char **ret_field)
{
	struct rmd_frame_reader reader = rmd_frame_reader_of(message);
	struct rmd_session_response_item item;
	int rc;
	while ((rc = rmd_session_response_next(&reader, &item)) > 0) {
		switch (item.kind) {
		case RMD_SESSION_RESPONSE_WELCOME:
			rmd_session_response_put_welcome(out, &item.welcome);
			break;
		case RMD_SESSION_RESPONSE_CHUNK:
			rmd_chunk_put(out, RMD_FIELD_CHUNKS, &item.chunk, buf);
			break;
		case RMD_SESSION_RESPONSE_LOG:
			rmd_session_response_put_log(out, item.log.number, &item.log.log);
			break;
		case RMD_SESSION_RESPONSE_OUTCOME:
			if (item.outcome.segment.length != 0) {
				rmd_session_response_put_segment(out, item.outcome.number,
								 &item.outcome.segment);
				break;
			}
			rmd_session_response_put_outcome(out, item.outcome.number,
							 &item.outcome.outcome, buf);
			break;
		case RMD_SESSION_RESPONSE_ACCEPTED:
			rmd_session_response_put_accepted(out, item.number);
			break;
		case RMD_SESSION_RESPONSE_WINDOW:
			rmd_session_response_put_window(out, item.number);
			break;
		case RMD_SESSION_RESPONSE_POOL:
			rmd_session_response_put_pool(out, item.pool.pool,
						      item.pool.error);
			break;
		}
	}
	if (rc < 0)
		*ret_field = reader.field;
	return rc;
}

static void put_hello(struct rmd_wire_writer *out, const struct rmd_agent_hello *hello)
{
	char *texts[RMD_AGENT_RUNTIMES_MAX];
	size_t count = 0, cursor = 0;
	struct rmd_slice runtime;
	while (rmd_agent_hello_next_runtime(hello, &cursor, &runtime)) {
		RMD_CHECK(count < RMD_AGENT_RUNTIMES_MAX);
		/* Not rmd_strndup: a runtime may hold a NUL, which ends it here. */
		texts[count] = calloc(1, runtime.len + 1);
		RMD_CHECK(texts[count] != NULL);
		if (runtime.len != 0)
			memcpy(texts[count], runtime.data, runtime.len);
		count++;
	}
	rmd_attach_request_put_hello(out, hello, (const char *const *)texts, count,
				     rmd_agent_hello_labels(hello));
	while (count > 0)
		free(texts[--count]);
}

static void put_pool(struct rmd_wire_writer *out, const struct rmd_agent_pool *pool)
{
	size_t count = 0, cursor = 0;
	struct rmd_agent_worker worker, *workers;
	while (rmd_agent_pool_next_worker(pool, &cursor, &worker))
		count++;
	workers = calloc(count + 1, sizeof *workers);
	RMD_CHECK(workers != NULL);
	cursor = 0;
	for (size_t i = 0; i < count; i++)
		RMD_CHECK(rmd_agent_pool_next_worker(pool, &cursor, &workers[i]));
	rmd_attach_request_put_pool(out, pool, workers, count);
	free(workers);
}

int rewrite_attach_request(struct rmd_slice message, struct rmd_buf *buf,
			   struct rmd_wire_writer *out, const char **ret_field)
{
	struct rmd_frame_reader reader = rmd_frame_reader_of(message);
	struct rmd_attach_request_item item;
	int rc;
	while ((rc = rmd_attach_request_next(&reader, &item)) > 0) {
		switch (item.kind) {
		case RMD_ATTACH_REQUEST_HELLO:
			put_hello(out, &item.hello);
			break;
		case RMD_ATTACH_REQUEST_CHUNK:
			rmd_chunk_put(out, RMD_FIELD_CHUNKS, &item.chunk, buf);
			break;
		case RMD_ATTACH_REQUEST_LOG:
			rmd_attach_request_put_log(out, &item.log);
			break;
		case RMD_ATTACH_REQUEST_BEGAN:
			rmd_attach_request_put_began(out, &item.number, 1);
			break;
		case RMD_ATTACH_REQUEST_OUTCOME:
			rmd_attach_request_put_outcome(out, &item.outcome, buf);
			break;
		case RMD_ATTACH_REQUEST_RETURNED:
			rmd_attach_request_put_returned(out, &item.number, 1);
			break;
		case RMD_ATTACH_REQUEST_POOL:
			put_pool(out, &item.pool);
			break;
		case RMD_ATTACH_REQUEST_DRAINING:
			rmd_attach_request_put_draining(out);
			break;
		case RMD_ATTACH_REQUEST_NESTED:
			rmd_attach_request_put_nested(out, &item.nested, buf);
			break;
		case RMD_ATTACH_REQUEST_NESTED_CANCEL:
			rmd_attach_request_put_nested_cancel(out, &item.nested_cancel);
			break;
		case RMD_ATTACH_REQUEST_WAIT:
			rmd_attach_request_put_wait(out, &item.wait);
			break;
		case RMD_ATTACH_REQUEST_PROGRESS:
			rmd_attach_request_put_progress(out, &item.progress);
			break;
		case RMD_ATTACH_REQUEST_IMAGE_WANTED:
			rmd_attach_request_put_image_wanted(out, &item.digest);
			break;
		}
	}
	if (rc < 0)
		*ret_field = reader.field;
	return rc;
}

static int put_set_pool(struct rmd_wire_writer *out, const struct rmd_set_pool *set_pool,
			const char **ret_field)
{
	struct rmd_wire_writer spec = {0};
	struct rmd_set_pool again = *set_pool;
	int rc = 0;
	if (again.has_spec)
		rc = rewrite_spec(again.raw_spec, &spec, ret_field);
	again.raw_spec = rmd_slice_of(spec.data, spec.len);
	if (rc == 0)
		rmd_attach_response_put_set_pool(out, &again);
	rmd_wire_writer_fini(&spec);
	return rc;
}

int rewrite_attach_response(struct rmd_slice message, struct rmd_buf *buf,
			    struct rmd_wire_writer *out, const char **ret_field)
{
	struct rmd_frame_reader reader = rmd_frame_reader_of(message);
	struct rmd_attach_response_item item;
	int rc;
	while ((rc = rmd_attach_response_next(&reader, &item)) > 0) {
		switch (item.kind) {
		case RMD_ATTACH_RESPONSE_WELCOME:
			rmd_attach_response_put_welcome(out, &item.welcome);
			break;
		case RMD_ATTACH_RESPONSE_CHUNK:
			rmd_chunk_put(out, RMD_FIELD_CHUNKS, &item.chunk, buf);
			break;
		case RMD_ATTACH_RESPONSE_SET_POOL:
			rc = put_set_pool(out, &item.set_pool, ret_field);
			if (rc < 0)
				return rc;
			break;
		case RMD_ATTACH_RESPONSE_LEASE:
			rmd_attach_response_put_lease(out, &item.lease, buf);
			break;
		case RMD_ATTACH_RESPONSE_CANCEL:
			rmd_attach_response_put_cancels(out, &item.number, 1);
			break;
		case RMD_ATTACH_RESPONSE_RECALL:
			rmd_attach_response_put_recall(out, &item.recall);
			break;
		case RMD_ATTACH_RESPONSE_DRAIN:
			rmd_attach_response_put_drain(out);
			break;
		case RMD_ATTACH_RESPONSE_MODULE:
			rmd_attach_response_put_module(out, &item.module);
			break;
		case RMD_ATTACH_RESPONSE_NESTED:
			rmd_attach_response_put_nested(out, &item.nested, buf);
			break;
		}
	}
	if (rc < 0)
		*ret_field = reader.field;
	return rc;
}

/* Arguments' fields 1 and 2 go back to a RunRequest's 2 and 3. */
static void put_arguments(struct rmd_wire_writer *out, struct rmd_slice arguments)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(arguments);
	struct rmd_wire_field f;
	while (rmd_wire_next(&rest, &f) > 0)
		rmd_wire_put_bytes(out, f.number + 1, f.bytes);
}

int rewrite_run_request(struct rmd_slice message, struct rmd_buf *buf,
			struct rmd_wire_writer *out, const char **ret_field)
{
	struct rmd_run_request request, alike;
	struct rmd_buf *arguments = NULL;
	(void)buf;
	int rc = rmd_run_request_read(message, &request, ret_field);
	const char *field;
	RMD_CHECK(rmd_submit_request_read(message, &alike, &field) == rc);
	if (rc == 0)
		rc = rmd_run_request_arguments(&request, &arguments);
	if (rc < 0)
		return rc;
	RMD_CHECK(rmd_buf_slice(arguments).len == request.arguments_bytes);
	rmd_wire_put_bytes_nz(out, 1, request.function);
	put_arguments(out, rmd_buf_slice(arguments));
	rmd_wire_put_bytes_nz(out, 4, request.pool);
	rmd_task_options_put(out, 5, &request.options);
	rmd_wire_put_bytes_nz(out, 6, request.request_id);
	rmd_wire_put_varint_nz(out, 7, request.inline_max_bytes);
	rmd_wire_put_bytes_nz(out, 8, request.arguments_blob);
	rmd_buf_unref(arguments);
	return 0;
}

int rewrite_map_request(struct rmd_slice message, struct rmd_buf *buf,
			struct rmd_wire_writer *out, const char **ret_field)
{
	struct rmd_map_request request;
	struct rmd_slice value;
	size_t cursor = 0;
	uint32_t count = 0;
	(void)buf;
	int rc = rmd_map_request_read(message, &request, ret_field);
	if (rc < 0)
		return rc;
	rmd_wire_put_bytes_nz(out, 1, request.function);
	while (rmd_map_request_next_item(&request, &cursor, &value)) {
		struct rmd_buf *arguments = rmd_arguments_of_value(value);
		RMD_CHECK(arguments != NULL);
		struct rmd_wire_reader rest =
			rmd_wire_reader_of(rmd_buf_slice(arguments));
		struct rmd_wire_field f;
		RMD_CHECK(rmd_wire_next(&rest, &f) == 1 && f.number == 1 &&
			  rest.at == rest.end);
		rmd_wire_put_bytes(out, 2, f.bytes);
		rmd_buf_unref(arguments);
		count++;
	}
	RMD_CHECK(count == request.item_count);
	rmd_wire_put_bytes_nz(out, 3, request.pool);
	rmd_task_options_put(out, 4, &request.options);
	rmd_wire_put_varint_nz(out, 5, request.unordered);
	rmd_wire_put_varint_nz(out, 6, request.inline_max_bytes);
	return 0;
}

int rewrite_task_ids(struct rmd_slice message, struct rmd_buf *buf,
		     struct rmd_wire_writer *out, const char **ret_field)
{
	struct rmd_frame_reader reader = rmd_frame_reader_of(message);
	struct rmd_task_id id;
	int rc;
	(void)buf;
	while ((rc = rmd_task_ids_next(&reader, &id)) > 0)
		rmd_task_id_put(out, 1, &id);
	if (rc < 0) {
		*ret_field = reader.field;
		return rc;
	}
	uint64_t inline_max_bytes;
	rc = rmd_await_request_inline_max(message, &inline_max_bytes, ret_field);
	if (rc == 0)
		rmd_wire_put_varint_nz(out, 2, inline_max_bytes);
	return rc;
}
