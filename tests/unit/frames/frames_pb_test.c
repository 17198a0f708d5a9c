/* Our readers and writers against protobuf-c, over random messages: what protobuf-c
 * packs, ours reads and writes again, and protobuf-c finds the same in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "remuda/v1/agents.pb-c.h"
#include "remuda/v1/executor.pb-c.h"
#include "tests/unit/frames/random_pb.h"
#include "tests/unit/frames/rewrite.h"

#define ROUNDS 3000u

/* What protobuf-c makes of `bytes`: packed again in its own order. */
static struct rmd_buf *repacked(const ProtobufCMessageDescriptor *descriptor,
				struct rmd_slice bytes)
{
	ProtobufCMessage *message =
		protobuf_c_message_unpack(descriptor, NULL, bytes.len, bytes.data);
	assert_non_null(message);
	struct rmd_buf *buf = random_packed(message);
	protobuf_c_message_free_unpacked(message, NULL);
	return buf;
}

static void check_one(const ProtobufCMessageDescriptor *descriptor, rewrite_fn *rewrite,
		      uint64_t seed)
{
	ProtobufCMessage *message = random_message(descriptor, seed);
	struct rmd_buf *packed = random_packed(message);
	struct rmd_wire_writer out = {0};
	const char *field = "";
	int rc = rewrite(rmd_buf_slice(packed), seed % 2 ? packed : NULL, &out, &field);
	if (rc < 0)
		fail_msg("seed %llu: %s: %s", (unsigned long long)seed,
			 rmd_errcode_name(rc), field);
	struct rmd_buf *written = rmd_wire_writer_take(&out);
	assert_non_null(written);
	struct rmd_buf *again = repacked(descriptor, rmd_buf_slice(written));
	if (!rmd_slice_equal(rmd_buf_slice(packed), rmd_buf_slice(again)))
		fail_msg("seed %llu of %s: not the same", (unsigned long long)seed,
			 descriptor->name);
	rmd_buf_unref(again);
	rmd_buf_unref(written);
	rmd_buf_unref(packed);
	rmd_wire_writer_fini(&out);
	protobuf_c_message_free_unpacked(message, NULL);
}

static void check_all(const ProtobufCMessageDescriptor *descriptor, rewrite_fn *rewrite)
{
	for (uint64_t seed = 1; seed <= ROUNDS; seed++)
		check_one(descriptor, rewrite, seed);
}

static void session_requests_agree_with_protobuf_c(void **state)
{
	(void)state;
	check_all(&remuda__v1__session_request__descriptor, rewrite_session_request);
}

static void session_responses_agree_with_protobuf_c(void **state)
{
	(void)state;
	check_all(&remuda__v1__session_response__descriptor, rewrite_session_response);
}

static void attach_requests_agree_with_protobuf_c(void **state)
{
	(void)state;
	check_all(&remuda__v1__attach_request__descriptor, rewrite_attach_request);
}

static void attach_responses_agree_with_protobuf_c(void **state)
{
	(void)state;
	check_all(&remuda__v1__attach_response__descriptor, rewrite_attach_response);
}

static void pool_specs_agree_with_protobuf_c(void **state)
{
	(void)state;
	check_all(&remuda__v1__pool_spec__descriptor, rewrite_pool_spec);
}

static void run_and_submit_requests_agree_with_protobuf_c(void **state)
{
	(void)state;
	check_all(&remuda__v1__run_request__descriptor, rewrite_run_request);
	check_all(&remuda__v1__submit_request__descriptor, rewrite_run_request);
}

static void map_requests_agree_with_protobuf_c(void **state)
{
	(void)state;
	check_all(&remuda__v1__map_request__descriptor, rewrite_map_request);
}

static void await_and_cancel_requests_agree_with_protobuf_c(void **state)
{
	(void)state;
	check_all(&remuda__v1__await_request__descriptor, rewrite_task_ids);
	check_all(&remuda__v1__cancel_request__descriptor, rewrite_task_ids);
}

/* A message cut at any byte gives whole items and then ETRUNC, or ends between two items.
 * The bytes lie in a block of just that size, so that a sanitizer sees a read beyond. */
static void check_cuts(const ProtobufCMessageDescriptor *descriptor, rewrite_fn *rewrite)
{
	for (uint64_t seed = 1; seed <= 60; seed++) {
		ProtobufCMessage *message = random_message(descriptor, seed);
		struct rmd_buf *packed = random_packed(message);
		struct rmd_slice whole = rmd_buf_slice(packed);
		for (size_t len = 0; whole.len < 4096 && len < whole.len; len++) {
			uint8_t *cut = malloc(len + 1);
			assert_non_null(cut);
			memcpy(cut + 1, whole.data, len);
			struct rmd_wire_writer out = {0};
			const char *field = NULL;
			int rc = rewrite(rmd_slice_of(cut + 1, len), NULL, &out, &field);
			assert_true(rc == 0 || rc == RMD_ETRUNC);
			assert_true(rc == 0 || field != NULL);
			rmd_wire_writer_fini(&out);
			free(cut);
		}
		rmd_buf_unref(packed);
		protobuf_c_message_free_unpacked(message, NULL);
	}
}

static void a_message_cut_at_any_byte_is_refused(void **state)
{
	(void)state;
	check_cuts(&remuda__v1__session_request__descriptor, rewrite_session_request);
	check_cuts(&remuda__v1__session_response__descriptor, rewrite_session_response);
	check_cuts(&remuda__v1__attach_request__descriptor, rewrite_attach_request);
	check_cuts(&remuda__v1__attach_response__descriptor, rewrite_attach_response);
	check_cuts(&remuda__v1__pool_spec__descriptor, rewrite_pool_spec);
	check_cuts(&remuda__v1__run_request__descriptor, rewrite_run_request);
	check_cuts(&remuda__v1__map_request__descriptor, rewrite_map_request);
	check_cuts(&remuda__v1__await_request__descriptor, rewrite_task_ids);
}

/* One message, read and written with each allocation failing in turn: either all is
 * there, or the shortage is told; nothing leaks. */
static void check_shortage(const ProtobufCMessageDescriptor *descriptor,
			   rewrite_fn *rewrite)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		ProtobufCMessage *message = random_message(descriptor, seed);
		struct rmd_buf *packed = random_packed(message), *written = NULL;
		for (uint64_t n = 1; written == NULL; n++) {
			struct rmd_wire_writer out = {0};
			const char *field = NULL;
			rmd_alloc_fail_at(n);
			int rc = rewrite(rmd_buf_slice(packed), packed, &out, &field);
			assert_true(rc == 0 || rc == RMD_ENOMEM);
			assert_true(rc == 0 || field != NULL);
			written = rc == 0 ? rmd_wire_writer_take(&out) : NULL;
			assert_true(n <= rmd_alloc_count() || written != NULL);
			rmd_alloc_fail_at(0);
			rmd_wire_writer_fini(&out);
		}
		struct rmd_buf *again = repacked(descriptor, rmd_buf_slice(written));
		assert_true(rmd_slice_equal(rmd_buf_slice(packed), rmd_buf_slice(again)));
		rmd_buf_unref(again);
		rmd_buf_unref(written);
		rmd_buf_unref(packed);
		protobuf_c_message_free_unpacked(message, NULL);
	}
}

static void each_failing_allocation_is_told(void **state)
{
	(void)state;
	check_shortage(&remuda__v1__session_request__descriptor, rewrite_session_request);
	check_shortage(&remuda__v1__session_response__descriptor, rewrite_session_response);
	check_shortage(&remuda__v1__attach_request__descriptor, rewrite_attach_request);
	check_shortage(&remuda__v1__attach_response__descriptor, rewrite_attach_response);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(session_requests_agree_with_protobuf_c),
		cmocka_unit_test(session_responses_agree_with_protobuf_c),
		cmocka_unit_test(attach_requests_agree_with_protobuf_c),
		cmocka_unit_test(attach_responses_agree_with_protobuf_c),
		cmocka_unit_test(pool_specs_agree_with_protobuf_c),
		cmocka_unit_test(run_and_submit_requests_agree_with_protobuf_c),
		cmocka_unit_test(map_requests_agree_with_protobuf_c),
		cmocka_unit_test(await_and_cancel_requests_agree_with_protobuf_c),
		cmocka_unit_test(a_message_cut_at_any_byte_is_refused),
		cmocka_unit_test(each_failing_allocation_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
