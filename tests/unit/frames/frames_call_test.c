/* What a call says of values and arguments that are too large for its message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/errcode.h"
#include "proto/codec/frames_unary.h"

/* A message of one number. */
static struct rmd_slice number(struct rmd_wire_writer *writer, uint32_t field, uint64_t n)
{
	rmd_wire_writer_reset(writer);
	rmd_wire_put_varint(writer, field, n);
	assert_false(writer->failed);
	return rmd_slice_of(writer->data, writer->len);
}

static void what_comes_inline_is_at_most_64_mib(void **state)
{
	struct rmd_wire_writer writer = {0};
	struct rmd_run_request run;
	struct rmd_map_request map;
	uint64_t bytes = 0, max = RMD_CALL_INLINE_MAX_BYTES;
	const char *field = NULL;
	(void)state;
	assert_int_equal(rmd_run_request_read(number(&writer, 7, max), &run, &field), 0);
	assert_int_equal(run.inline_max_bytes, max);
	assert_int_equal(rmd_run_request_read(number(&writer, 7, max + 1), &run, &field),
			 RMD_ELIMIT);
	assert_string_equal(field, "RunRequest.inline_max_bytes (at most 64 MiB)");
	assert_int_equal(rmd_map_request_read(number(&writer, 6, max), &map, &field), 0);
	assert_int_equal(map.inline_max_bytes, max);
	assert_int_equal(rmd_map_request_read(number(&writer, 6, max + 1), &map, &field),
			 RMD_ELIMIT);
	assert_string_equal(field, "MapRequest.inline_max_bytes (at most 64 MiB)");
	assert_int_equal(
		rmd_await_request_inline_max(number(&writer, 2, max), &bytes, &field), 0);
	assert_int_equal(bytes, max);
	assert_int_equal(
		rmd_await_request_inline_max(number(&writer, 2, max + 1), &bytes, &field),
		RMD_ELIMIT);
	assert_string_equal(field, "AwaitRequest.inline_max_bytes (at most 64 MiB)");
	rmd_wire_writer_fini(&writer);
}

static void a_blob_of_arguments_is_named_by_32_bytes(void **state)
{
	static const uint8_t digest[33] = {1, 2, 3};
	struct rmd_run_request run;
	const char *field = NULL;
	(void)state;
	for (size_t len = 0; len <= sizeof digest; len++) {
		struct rmd_wire_writer writer = {0};
		rmd_wire_put_bytes(&writer, 8, rmd_slice_of(digest, len));
		int rc = rmd_submit_request_read(rmd_slice_of(writer.data, writer.len),
						 &run, &field);
		if (len == 0 || len == 32)
			assert_int_equal(rc, 0);
		else
			assert_int_equal(rc, len > 32 ? RMD_ETOOBIG : RMD_EPROTO);
		if (rc == 0)
			assert_int_equal(run.arguments_blob.len, len);
		else
			assert_string_equal(
				field,
				"SubmitRequest.arguments_blob (a SHA-256, 32 bytes)");
		rmd_wire_writer_fini(&writer);
	}
}

static void a_reference_names_task_and_size(void **state)
{
	struct rmd_task_id id = {.session = "fifteen letters", .number = 7}, read;
	const char *field = NULL;
	struct rmd_wire_field f;
	(void)state;
	struct rmd_buf *buf = rmd_value_reference(&id, 1u << 30, 600000);
	assert_non_null(buf);
	struct rmd_outcome outcome = {.kind = RMD_OUTCOME_VALUE_REFERENCE,
				      .bytes = rmd_buf_slice(buf)};
	struct rmd_wire_writer writer = {0};
	rmd_outcome_put(&writer, 2, &outcome, buf);
	struct rmd_wire_reader reader =
		rmd_wire_reader_of(rmd_slice_of(writer.data, writer.len));
	assert_int_equal(rmd_wire_next(&reader, &f), 1);
	assert_int_equal(f.number, 2);
	/* Only a call's client reads it: on a stream it is no outcome at all. */
	assert_int_equal(rmd_outcome_read(f.bytes, &outcome, &field), RMD_EPROTO);
	reader = rmd_wire_reader_of(f.bytes);
	assert_int_equal(rmd_wire_next(&reader, &f), 1);
	assert_int_equal(f.number, 5);
	reader = rmd_wire_reader_of(f.bytes);
	assert_int_equal(rmd_wire_next(&reader, &f), 1);
	assert_int_equal(rmd_task_id_read(f.bytes, &read, &field), 0);
	assert_memory_equal(read.session, id.session, sizeof id.session);
	assert_int_equal(read.number, 7);
	assert_int_equal(rmd_wire_next(&reader, &f), 1);
	assert_int_equal(f.varint, 1u << 30);
	assert_int_equal(rmd_wire_next(&reader, &f), 1);
	assert_int_equal(f.varint, 600000);
	rmd_wire_writer_fini(&writer);
	rmd_buf_unref(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_inline_is_at_most_64_mib),
		cmocka_unit_test(a_blob_of_arguments_is_named_by_32_bytes),
		cmocka_unit_test(a_reference_names_task_and_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
