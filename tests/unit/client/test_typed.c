/* Typed submits: what fits is converted, what does not is refused before anything is
 * sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/c/src/check.h"
#include "remuda/v1/task.pb-c.h"
#include "tests/unit/client/fake.h"
#include "tests/unit/client/typed.h"

REMUDA_TASK_IN("x", void, inspect, (const Remuda__V1__LogChunk *, chunk));

int headers_in_c(struct remuda *client);
int headers_in_cpp(struct remuda *client);

/* A function that is in no module. */
REMUDA_TASK(static int64_t, here, (int64_t, x))
{
	return x;
}

static void expect(struct remuda_error *err, const char *type, const char *part)
{
	assert_non_null(err);
	assert_string_equal(remuda_error_type(err), type);
	if (strstr(remuda_error_message(err), part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, remuda_error_message(err));
	assert_int_equal(remuda_error_origin(err), REMUDA_ORIGIN_ENCODE);
	remuda_error_free(err);
}

static void a_wrong_count_shows_the_signature(void **state)
{
	struct remuda_arg out[8];
	(void)state;
	expect(rmd_check_signature(REMUDA_TASK_OF(square), NULL, 0, out), "ArgumentCount",
	       "square takes 1 argument, 0 given: square(int64_t x)");
	expect(rmd_check_signature(REMUDA_TASK_OF(half), REMUDA_ARGS_3(1, 2, 3), 3, out),
	       "ArgumentCount",
	       "half takes 2 arguments, 3 given: half(double x, bool round)");
	assert_null(rmd_check_signature(REMUDA_TASK_OF(nothing), NULL, 0, out));
}

static void a_wrong_type_names_argument_expected_and_got(void **state)
{
	struct remuda_arg out[8];
	(void)state;
	expect(rmd_check_signature(REMUDA_TASK_OF(square), REMUDA_ARGS_1("21"), 1, out),
	       "ArgumentType", "square: argument 1 (x): expected int64_t, got string");
	expect(rmd_check_signature(REMUDA_TASK_OF(half), REMUDA_ARGS_2(1.0, "no"), 2,
				   out),
	       "ArgumentType", "half: argument 2 (round): expected bool, got string");
	expect(rmd_check_signature(REMUDA_TASK_OF(square), REMUDA_ARGS_1(1.0), 1, out),
	       "ArgumentType", "got float64");
}

static void what_converts_exactly_is_converted_as_in_c(void **state)
{
	struct remuda_arg out[8];
	(void)state;
	assert_null(rmd_check_signature(REMUDA_TASK_OF(half), REMUDA_ARGS_2(3, true), 2,
					out));
	assert_int_equal(out[0].value.kind, REMUDA_FLOAT64);
	assert_true(out[0].value.u.float64 == 3.0);
	assert_int_equal(out[1].value.kind, REMUDA_BOOLEAN);
	assert_true(out[1].value.u.boolean);
	assert_null(rmd_check_signature(REMUDA_TASK_OF(square), REMUDA_ARGS_1((bool)true),
					1, out));
	assert_int_equal(out[0].value.kind, REMUDA_INT64);
	expect(rmd_check_signature(REMUDA_TASK_OF(half),
				   REMUDA_ARGS_2((INT64_C(1) << 53) + 1, 0), 2, out),
	       "ArgumentRange", "argument 1");
	expect(rmd_check_signature(REMUDA_TASK_OF(half), REMUDA_ARGS_2(1, 2), 2, out),
	       "ArgumentRange", "argument 2");
}

static void integers_are_held_to_the_range_of_their_parameter(void **state)
{
	struct remuda_arg out[8];
	const struct remuda_task *task = REMUDA_TASK_OF(small);
	(void)state;
	assert_null(rmd_check_signature(task, REMUDA_ARGS_2(-128, 65535), 2, out));
	assert_null(rmd_check_signature(task, REMUDA_ARGS_2(127, 0), 2, out));
	expect(rmd_check_signature(task, REMUDA_ARGS_2(128, 0), 2, out), "ArgumentRange",
	       "(a)");
	expect(rmd_check_signature(task, REMUDA_ARGS_2(-129, 0), 2, out), "ArgumentRange",
	       "(a)");
	expect(rmd_check_signature(task, REMUDA_ARGS_2(0, 65536), 2, out),
	       "ArgumentRange", "(b)");
	expect(rmd_check_signature(task, REMUDA_ARGS_2(0, -1), 2, out), "ArgumentRange",
	       "(b)");
	expect(rmd_check_signature(REMUDA_TASK_OF(square), REMUDA_ARGS_1(UINT64_MAX), 1,
				   out),
	       "ArgumentRange", "(x)");
	assert_null(rmd_check_signature(REMUDA_TASK_OF(square), REMUDA_ARGS_1(INT64_MIN),
					1, out));
}

static void text_bytes_and_lists_take_what_they_can_hold(void **state)
{
	struct remuda_arg out[8];
	const int64_t numbers[] = {1, 2};
	struct remuda_int64s ints = {numbers, 2};
	struct remuda_bytes bytes = {"b", 1};
	(void)state;
	assert_null(rmd_check_signature(REMUDA_TASK_OF(text), REMUDA_ARGS_2("a", bytes),
					2, out));
	assert_null(rmd_check_signature(REMUDA_TASK_OF(text), REMUDA_ARGS_2(NULL, "text"),
					2, out));
	expect(rmd_check_signature(REMUDA_TASK_OF(text), REMUDA_ARGS_2(1, bytes), 2, out),
	       "ArgumentType", "const char *");
	assert_null(rmd_check_signature(REMUDA_TASK_OF(sum), REMUDA_ARGS_2(ints, 0.5), 2,
					out));
	expect(rmd_check_signature(REMUDA_TASK_OF(sum), REMUDA_ARGS_2(bytes, 0.5), 2,
				   out),
	       "ArgumentType", "got bytes");
}

static void a_refused_task_is_never_sent(void **state)
{
	struct fake_options options = {0};
	struct fake *fake = fake_start(&options);
	struct remuda *client = remuda_open(fake_address(fake));
	struct remuda_error *err = NULL;
	(void)state;
	assert_int_equal(remuda_get(remuda_submit(client, square, "x"), NULL, &err),
			 REMUDA_EINVAL);
	expect(err, "ArgumentType", "square");
	assert_int_equal(fake_counts(fake).submits, 0);
	remuda_close(client);
	fake_stop(fake);
}

static void a_message_of_protobuf_c_travels_under_its_full_name(void **state)
{
	struct fake_options options = {0};
	struct fake *fake = fake_start(&options);
	struct remuda *client = remuda_open(fake_address(fake));
	Remuda__V1__LogChunk chunk = REMUDA__V1__LOG_CHUNK__INIT, uninitialised;
	struct remuda_error *err = NULL;
	struct remuda_value back;
	struct remuda_arg out[8];
	(void)state;
	chunk.dropped_bytes = 5;
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:echo", &chunk.base),
				    &back, NULL),
			 0);
	assert_int_equal(back.kind, REMUDA_ANY);
	assert_string_equal(back.u.any.type_url.data,
			    "type.googleapis.com/remuda.v1.LogChunk");
	Remuda__V1__LogChunk *read = remuda__v1__log_chunk__unpack(
		NULL, back.u.any.data.len, back.u.any.data.data);
	assert_non_null(read);
	assert_int_equal(read->dropped_bytes, 5);
	remuda__v1__log_chunk__free_unpacked(read, NULL);
	remuda_value_free(&back);
	assert_null(rmd_check_signature(REMUDA_TASK_OF(inspect),
					REMUDA_ARGS_1(&chunk.base), 1, out));
	expect(rmd_check_signature(REMUDA_TASK_OF(inspect), REMUDA_ARGS_1(1), 1, out),
	       "ArgumentType", "LogChunk");
	expect(rmd_check_signature(REMUDA_TASK_OF(square), REMUDA_ARGS_1(&chunk.base), 1,
				   out),
	       "ArgumentType", "got a message");
	memset(&uninitialised, 0, sizeof uninitialised);
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "x:echo", &uninitialised.base),
			   NULL, &err),
		REMUDA_EINVAL);
	assert_non_null(strstr(remuda_error_message(err), "argument 1: not a message"));
	remuda_error_free(err);
	remuda_close(client);
	fake_stop(fake);
}

static void the_headers_work_alone_in_c_and_in_cpp(void **state)
{
	struct fake_options options = {0};
	struct fake *fake = fake_start(&options);
	struct remuda *client = remuda_open(fake_address(fake));
	(void)state;
	assert_int_not_equal(headers_in_c(client),
			     0); /* the results are of other types */
	assert_int_equal(headers_in_cpp(client), 0);
	remuda_close(client);
	fake_stop(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wrong_count_shows_the_signature),
		cmocka_unit_test(a_wrong_type_names_argument_expected_and_got),
		cmocka_unit_test(what_converts_exactly_is_converted_as_in_c),
		cmocka_unit_test(integers_are_held_to_the_range_of_their_parameter),
		cmocka_unit_test(text_bytes_and_lists_take_what_they_can_hold),
		cmocka_unit_test(a_refused_task_is_never_sent),
		cmocka_unit_test(a_message_of_protobuf_c_travels_under_its_full_name),
		cmocka_unit_test(the_headers_work_alone_in_c_and_in_cpp),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
