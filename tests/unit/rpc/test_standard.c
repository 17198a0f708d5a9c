/* Health, reflection and status details: the contracts of others. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/rpc/status.h"
#include "proto/standard/reflection.h"
#include "tests/unit/rpc/harness.h"

/* ---- reflection by itself ---- */

static bool all_served(void *ctx, struct rmd_slice service)
{
	(void)ctx;
	(void)service;
	return true;
}

static struct rmd_reflection *must_create(void)
{
	struct rmd_reflection *reflection;
	assert_int_equal(rmd_reflection_create(rmd_standard_descriptors(), &reflection),
			 0);
	return reflection;
}

/* Asks with request field `number`; gives the answer's field `wanted`, in `writer`. */
static struct rmd_slice ask(const struct rmd_reflection *reflection, uint32_t number,
			    const char *what, uint32_t wanted,
			    struct rmd_wire_writer *writer)
{
	struct rmd_wire_writer request = {0};
	rmd_wire_put_bytes(&request, 1, rmd_slice_of_string("host"));
	rmd_wire_put_bytes(&request, number, rmd_slice_of_string(what));
	struct rmd_slice asked = rmd_slice_of(request.data, request.len), found = {0};
	assert_int_equal(
		rmd_reflection_answer(reflection, asked, all_served, NULL, writer), 0);
	struct rmd_wire_reader reader =
		rmd_wire_reader_of(rmd_slice_of(writer->data, writer->len));
	struct rmd_wire_field field;
	bool echoed = false, host = false;
	while (rmd_wire_next(&reader, &field) > 0) {
		if (field.number == 1)
			host = rmd_slice_equal(field.bytes, rmd_slice_of_string("host"));
		else if (field.number == 2)
			echoed = rmd_slice_equal(field.bytes, asked);
		else if (field.number == wanted)
			found = field.bytes;
	}
	assert_true(host && echoed);
	rmd_wire_writer_fini(&request);
	return found;
}

/* How many files an answer has, and whether `name` is one of them. */
static size_t count_files(struct rmd_slice files, const char *name, bool *ret_found)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(files);
	struct rmd_wire_field file, field;
	size_t count = 0;
	*ret_found = false;
	while (rmd_wire_next(&reader, &file) > 0) {
		struct rmd_wire_reader inside = rmd_wire_reader_of(file.bytes);
		count++;
		while (rmd_wire_next(&inside, &field) > 0)
			if (field.number == 1 && field.type == RMD_WIRE_LEN &&
			    rmd_slice_equal(field.bytes, rmd_slice_of_string(name)))
				*ret_found = true;
	}
	return count;
}

static void check_symbol(const struct rmd_reflection *reflection, const char *symbol,
			 const char *file)
{
	struct rmd_wire_writer writer = {0};
	bool found;
	count_files(ask(reflection, 4, symbol, 4, &writer), file, &found);
	if (!found)
		fail_msg("%s is not found in %s", symbol, file);
	rmd_wire_writer_fini(&writer);
}

static void symbols_of_every_kind_are_found(void **state)
{
	(void)state;
	struct rmd_reflection *reflection = must_create();
	check_symbol(reflection, "remuda.v1.Executor", "remuda/v1/executor.proto");
	check_symbol(reflection, "remuda.v1.Executor.Run", "remuda/v1/executor.proto");
	check_symbol(reflection, "remuda.v1.AttachRequest", "remuda/v1/agents.proto");
	check_symbol(reflection, "remuda.v1.WorkerState", "remuda/v1/agents.proto");
	check_symbol(reflection, "grpc.health.v1.HealthCheckResponse.ServingStatus",
		     "grpc/health/v1/health.proto");
	check_symbol(reflection, "google.rpc.ErrorInfo",
		     "google/rpc/error_details.proto");
	check_symbol(reflection, "google.rpc.ErrorInfo.MetadataEntry",
		     "google/rpc/error_details.proto");
	check_symbol(reflection, "google.protobuf.Any", "google/protobuf/any.proto");
	check_symbol(reflection, "grpc.reflection.v1alpha.ServerReflection",
		     "grpc/reflection/v1alpha/reflection.proto");
	rmd_reflection_destroy(reflection);
}

static void file_comes_with_its_imports_once(void **state)
{
	(void)state;
	struct rmd_reflection *reflection = must_create();
	struct rmd_wire_writer writer = {0};
	bool found;
	struct rmd_slice files =
		ask(reflection, 3, "google/rpc/status.proto", 4, &writer);
	assert_int_equal(count_files(files, "google/protobuf/any.proto", &found), 2);
	assert_true(found);
	rmd_wire_writer_fini(&writer);
	files = ask(reflection, 3, "remuda/v1/executor.proto", 4, &writer);
	assert_true(count_files(files, "remuda/v1/value.proto", &found) >= 3);
	assert_true(found);
	rmd_wire_writer_fini(&writer);
	rmd_reflection_destroy(reflection);
}

static void what_is_not_known_is_answered_with_not_found(void **state)
{
	(void)state;
	struct rmd_reflection *reflection = must_create();
	for (uint32_t number = 3; number <= 6; number++) {
		struct rmd_wire_writer writer = {0};
		struct rmd_slice error =
			ask(reflection, number, "no.such.thing", 7, &writer);
		struct rmd_wire_reader reader = rmd_wire_reader_of(error);
		struct rmd_wire_field field;
		assert_int_equal(rmd_wire_next(&reader, &field), 1);
		assert_int_equal(field.varint, 5);
		rmd_wire_writer_fini(&writer);
	}
	struct rmd_wire_writer writer = {0};
	assert_true(rmd_reflection_answer(reflection, rmd_slice_of("\x1a\x7fx", 3),
					  all_served, NULL, &writer) < 0);
	assert_int_equal(writer.len, 0);
	rmd_reflection_destroy(reflection);
}

static void unsound_descriptors_are_refused(void **state)
{
	(void)state;
	struct rmd_reflection *reflection;
	struct rmd_slice all = rmd_standard_descriptors();
	assert_true(rmd_reflection_create(rmd_slice_of(all.data, all.len - 1),
					  &reflection) < 0);
	struct rmd_wire_writer set = {0};
	struct rmd_wire_nest file = rmd_wire_open(&set, 1), nests[40];
	for (size_t i = 0; i < 40; i++)
		nests[i] = rmd_wire_open(&set, i == 0 ? 4 : 3);
	for (size_t i = 40; i > 0; i--)
		rmd_wire_close(&set, nests[i - 1]);
	rmd_wire_close(&set, file);
	assert_int_equal(
		rmd_reflection_create(rmd_slice_of(set.data, set.len), &reflection),
		RMD_EDEPTH);
	rmd_wire_writer_reset(&set);
	for (int i = 0; i < 257; i++)
		rmd_wire_put_bytes(&set, 1, rmd_slice_of("", 0));
	assert_int_equal(
		rmd_reflection_create(rmd_slice_of(set.data, set.len), &reflection),
		RMD_ELIMIT);
	rmd_wire_writer_fini(&set);
	/* Memory runs out at each place in turn. */
	for (uint64_t n = 1;; n++) {
		rmd_alloc_fail_at(n);
		int code = rmd_reflection_create(all, &reflection);
		rmd_alloc_fail_at(0);
		if (code == 0)
			break;
		assert_int_equal(code, RMD_ENOMEM);
	}
	rmd_reflection_destroy(reflection);
}

/* ---- status details ---- */

static void reason_survives_its_encoding(void **state)
{
	(void)state;
	struct rmd_wire_writer writer = {0};
	struct rmd_slice reason;
	rmd_status_encode(&writer, RMD_RPC_NOT_FOUND, rmd_slice_of_string("text"),
			  "SOME_REASON");
	struct rmd_slice encoded = rmd_slice_of(writer.data, writer.len);
	assert_int_equal(rmd_status_reason(encoded, &reason), 0);
	assert_true(rmd_slice_equal(reason, rmd_slice_of_string("SOME_REASON")));
	for (size_t len = 0; len < encoded.len; len++)
		assert_true(rmd_status_reason(rmd_slice_of(encoded.data, len), &reason) <
			    0);
	rmd_wire_writer_fini(&writer);
}

static void status_text_is_cut_at_a_character(void **state)
{
	(void)state;
	char text[RMD_STATUS_TEXT_MAX_BYTES + 10];
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\0';
	assert_int_equal(rmd_status_text(text).len, RMD_STATUS_TEXT_MAX_BYTES);
	memcpy(text + RMD_STATUS_TEXT_MAX_BYTES - 1, "\xc3\xa9", 2);
	assert_int_equal(rmd_status_text(text).len, RMD_STATUS_TEXT_MAX_BYTES - 1);
	assert_int_equal(rmd_status_text("\xff\xfe").len, 0);
	assert_int_equal(rmd_status_text(NULL).len, 0);
}

/* ---- over the wire ---- */

/* The health status in a response; -1: none. */
static int64_t health_of(struct rmd_piece message)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(message.bytes);
	struct rmd_wire_field field;
	return rmd_wire_next(&reader, &field) == 1 && field.number == 1
		       ? (int64_t)field.varint
		       : -1;
}

static void send_text(struct caller *caller, uint32_t number, const char *text)
{
	struct rmd_wire_writer *writer = rmd_stream_begin(caller->stream);
	if (text[0] != '\0')
		rmd_wire_put_bytes(writer, number, rmd_slice_of_string(text));
	rmd_stream_end_message(caller->stream);
}

static int64_t check_health(struct rmd_loop *loop, struct rmd_channel *channel,
			    const char *service, enum rmd_rpc_status *ret_status)
{
	struct caller caller = {.stop_at_messages = 1};
	int64_t health = -1;
	caller_open(&caller, loop, channel, "/grpc.health.v1.Health/Check", 0);
	send_text(&caller, 1, service);
	rmd_stream_finish(caller.stream, RMD_RPC_OK, "");
	rmd_loop_run(loop);
	if (caller.messages == 1)
		health = health_of(caller.last);
	caller_wait_closed(&caller);
	*ret_status = caller.status;
	return health;
}

static void make_healthy(struct host *host)
{
	rmd_server_set_healthy(host->server, true);
}

static void make_unhealthy(struct host *host)
{
	rmd_server_set_healthy(host->server, false);
}

static void health_is_checked_and_watched(void **state)
{
	(void)state;
	struct host host;
	enum rmd_rpc_status status;
	host_start(&host, NULL);
	struct rmd_loop *loop = rmd_loop_create();
	struct rmd_channel *channel = must_open(loop, host.address);
	assert_int_equal(check_health(loop, channel, "", &status), 2); /* NOT_SERVING */
	struct caller watch = {.stop_at_messages = 1}, stranger = {.stop_at_messages = 1};
	caller_open(&watch, loop, channel, "/grpc.health.v1.Health/Watch", 0);
	send_text(&watch, 1, "test.Test");
	rmd_stream_finish(watch.stream, RMD_RPC_OK, "");
	rmd_loop_run(loop);
	assert_int_equal(health_of(watch.last), 2);
	caller_open(&stranger, loop, channel, "/grpc.health.v1.Health/Watch", 0);
	send_text(&stranger, 1, "no.Such");
	rmd_loop_run(loop);
	assert_int_equal(health_of(stranger.last), 3); /* SERVICE_UNKNOWN, and it stays */
	watch.stop_at_messages = 2;
	host_do(&host, make_healthy);
	host_do(&host, make_healthy); /* no change: not told */
	rmd_loop_run(loop);
	assert_int_equal(health_of(watch.last), 1);
	assert_int_equal(check_health(loop, channel, "", &status), 1);
	assert_int_equal(check_health(loop, channel, "test.Test", &status), 1);
	assert_int_equal(check_health(loop, channel, "grpc.health.v1.Health", &status),
			 1);
	assert_int_equal(status, RMD_RPC_OK);
	assert_int_equal(check_health(loop, channel, "test.Tes", &status), -1);
	assert_int_equal(status, RMD_RPC_NOT_FOUND);
	watch.stop_at_messages = 3;
	host_do(&host, make_unhealthy);
	rmd_loop_run(loop);
	assert_int_equal(health_of(watch.last), 2);
	host_do(&host, make_healthy);
	rmd_stream_cancel(stranger.stream);
	caller_wait_closed(&stranger);
	host_stop(&host, 20000); /* the watch does not hold it up */
	caller_wait_closed(&watch);
	assert_int_equal(watch.status, RMD_RPC_UNAVAILABLE);
	assert_in_range(watch.messages, 4, 5); /* the last two may have merged */
	rmd_channel_close(channel);
	rmd_loop_destroy(loop);
}

static void requests_that_are_none_are_refused(void **state)
{
	(void)state;
	static const char *const paths[] = {
		"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"};
	struct host host;
	host_start(&host, NULL);
	struct rmd_loop *loop = rmd_loop_create();
	struct rmd_channel *channel = must_open(loop, host.address);
	for (size_t i = 0; i < 3; i++) {
		struct caller garbage = {0}, silent = {0};
		caller_open(&garbage, loop, channel, paths[i], 0);
		rmd_wire_put_raw(rmd_stream_begin(garbage.stream),
				 rmd_slice_of("\x0a\x7f", 2));
		rmd_stream_end(garbage.stream);
		caller_wait_closed(&garbage);
		assert_int_equal(garbage.status, RMD_RPC_INVALID_ARGUMENT);
		caller_open(&silent, loop, channel, paths[i], 0);
		rmd_stream_finish(silent.stream, RMD_RPC_OK, "");
		caller_wait_closed(&silent);
		assert_int_equal(silent.status,
				 i == 2 ? RMD_RPC_OK : RMD_RPC_INVALID_ARGUMENT);
	}
	rmd_channel_close(channel);
	host_stop(&host, 20000);
	rmd_loop_destroy(loop);
}

static void reflection_answers_each_question_apart(void **state)
{
	(void)state;
	static const char *const paths[] = {
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"};
	struct host host;
	host_start(&host, NULL);
	struct rmd_loop *loop = rmd_loop_create();
	struct rmd_channel *channel = must_open(loop, host.address);
	for (size_t i = 0; i < 2; i++) {
		struct caller caller = {.stop_at_messages = 500};
		caller_open(&caller, loop, channel, paths[i], 0);
		for (int k = 0; k < 500; k++) /* not waiting for answers */
			send_text(&caller, 4, "remuda.v1.Executor");
		rmd_loop_run(loop);
		send_text(&caller, 7, "*");
		caller.stop_at_messages = 501;
		rmd_loop_run(loop);
		assert_int_equal(caller.messages, 501);
		/* What is served is listed, what is only described is not. */
		assert_non_null(memmem(caller.last.bytes.data, caller.last.bytes.len,
				       "grpc.health.v1.Health", 21));
		assert_null(memmem(caller.last.bytes.data, caller.last.bytes.len,
				   "remuda.v1.Executor", 18));
		rmd_stream_finish(caller.stream, RMD_RPC_OK, "");
		caller_wait_closed(&caller);
		assert_int_equal(caller.status, RMD_RPC_OK);
	}
	rmd_channel_close(channel);
	host_stop(&host, 20000);
	rmd_loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(symbols_of_every_kind_are_found),
		cmocka_unit_test(file_comes_with_its_imports_once),
		cmocka_unit_test(what_is_not_known_is_answered_with_not_found),
		cmocka_unit_test(unsound_descriptors_are_refused),
		cmocka_unit_test(reason_survives_its_encoding),
		cmocka_unit_test(status_text_is_cut_at_a_character),
		cmocka_unit_test(health_is_checked_and_watched),
		cmocka_unit_test(requests_that_are_none_are_refused),
		cmocka_unit_test(reflection_answers_each_question_apart),
	};
	return cmocka_run_group_tests_name("rpc_standard", tests, NULL, NULL);
}
