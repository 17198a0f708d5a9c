/* Submitting, waiting, getting, cancelling. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/client/pair.h"

/* ---- types there and back ---- */

static void every_type_comes_back_as_it_went(void **state)
{
	struct remuda *client = ((struct pair *)*state)->client;
	int64_t i;
	int n;
	unsigned u;
	uint64_t big;
	double d;
	float f;
	bool b;
	char *text;
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:echo", -5), &i, NULL),
			 0);
	assert_int_equal(i, -5);
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:echo", 'a'), &n, NULL),
			 0);
	assert_int_equal(n, 97);
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:echo", 7u), &u, NULL),
			 0);
	assert_int_equal(u, 7);
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "x:echo", UINT64_MAX), &big, NULL),
		0);
	assert_true(big == UINT64_MAX);
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:echo", 0.5), &d, NULL),
			 0);
	assert_true(d == 0.5);
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:echo", 1.5f), &f, NULL),
			 0);
	assert_true(f == 1.5f);
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "x:echo", (bool)true), &b, NULL),
		0);
	assert_true(b);
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:echo", "h\xc3\xa9"),
				    &text, NULL),
			 0);
	assert_string_equal(text, "h\xc3\xa9");
	free(text);
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "x:echo", NULL), NULL, NULL), 0);
}

static void vectors_and_bytes_come_back_as_they_went(void **state)
{
	struct remuda *client = ((struct pair *)*state)->client;
	const int64_t numbers[] = {1, -2, INT64_MAX};
	const double reals[] = {0.5, -1e300};
	struct remuda_int64s ints = {numbers, 3};
	struct remuda_doubles doubles = {reals, 2};
	struct remuda_bytes bytes = {"a\0b", 3};
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "x:echo", ints), &ints, NULL), 0);
	assert_int_equal(ints.len, 3);
	assert_memory_equal(ints.data, numbers, sizeof numbers);
	free((void *)(uintptr_t)ints.data);
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "x:echo", doubles), &doubles, NULL),
		0);
	assert_int_equal(doubles.len, 2);
	assert_memory_equal(doubles.data, reals, sizeof reals);
	free((void *)(uintptr_t)doubles.data);
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "x:echo", bytes), &bytes, NULL), 0);
	assert_int_equal(bytes.len, 3);
	assert_memory_equal(bytes.data, "a\0b", 3);
	free((void *)(uintptr_t)bytes.data);
}

static void a_nested_value_is_the_callers_own_after_get(void **state)
{
	struct remuda *client = ((struct pair *)*state)->client;
	struct remuda_value inner[2] = {{.kind = REMUDA_STRING, .u.string = {"x", 1}},
					{.kind = REMUDA_INT64, .u.int64 = 4}};
	struct remuda_value list = {.kind = REMUDA_LIST, .u.list = {inner, 2}};
	struct remuda_entry entry = {{.kind = REMUDA_STRING, .u.string = {"key", 3}},
				     list};
	struct remuda_value map = {.kind = REMUDA_MAP, .u.map = {&entry, 1}}, got;
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "x:echo", map), &got, NULL), 0);
	assert_int_equal(got.kind, REMUDA_MAP);
	assert_string_equal(got.u.map.entries[0].key.u.string.data, "key");
	assert_int_equal(got.u.map.entries[0].value.u.list.items[1].u.int64, 4);
	remuda_value_free(&got);
	assert_int_equal(got.kind, REMUDA_NULL);
}

static void a_result_of_another_type_is_an_error_that_names_both(void **state)
{
	struct remuda *client = ((struct pair *)*state)->client;
	struct remuda_error *err = NULL;
	int64_t i = 99;
	int n;
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "x:echo", "text"), &i, &err),
		REMUDA_ETYPE);
	assert_int_equal(i, 99);
	assert_string_equal(remuda_error_message(err),
			    "the result is of type string, but an int64 was asked for");
	remuda_error_free(err);
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "x:echo", INT64_C(1) << 40), &n,
			   NULL),
		REMUDA_ERANGE);
}

static void a_borrowed_result_may_be_looked_at_twice(void **state)
{
	struct remuda *client = ((struct pair *)*state)->client;
	struct remuda_future *future = remuda_submit_name(client, "x:echo", "kept");
	const struct remuda_value *value, *again;
	assert_int_equal(remuda_result(future, &value, NULL), 0);
	assert_int_equal(remuda_result(future, &again, NULL), 0);
	assert_ptr_equal(value, again);
	assert_string_equal(value->u.string.data, "kept");
	remuda_future_free(future);
}

static void zero_to_eight_arguments_are_counted_right(void **state)
{
	struct remuda *client = ((struct pair *)*state)->client;
	struct remuda_int64s counts;
	struct remuda_named_arg named = {"by_name", REMUDA_ARG(1)};
	struct remuda_call call = {.function = "x:count",
				   .args = REMUDA_ARGS_2(1, 2),
				   .count = 2,
				   .named_args = &named,
				   .named_count = 1};
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:count"), &counts, NULL),
			 0);
	assert_int_equal(counts.data[0], 0);
	free((void *)(uintptr_t)counts.data);
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:count", 1, 2., "3", 4,
						       5, 6, 7, 8),
				    &counts, NULL),
			 0);
	assert_int_equal(counts.data[0], 8);
	free((void *)(uintptr_t)counts.data);
	assert_int_equal(remuda_get(remuda_submit_call(client, &call), &counts, NULL), 0);
	assert_int_equal(counts.data[0], 2);
	assert_int_equal(counts.data[1], 1);
	free((void *)(uintptr_t)counts.data);
}

/* ---- failures ---- */

static void a_failed_task_gives_its_whole_chain(void **state)
{
	struct remuda *client = ((struct pair *)*state)->client;
	struct remuda_error *err = NULL;
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:fail"), NULL, &err),
			 REMUDA_ETASK);
	assert_string_equal(remuda_error_type(err), "OuterError");
	assert_string_equal(remuda_error_message(remuda_error_cause(err)), "row 7");
	remuda_error_free(err);
}

static void no_client_and_no_future_are_errors_not_crashes(void **state)
{
	struct remuda_error *err = NULL;
	int64_t i;
	(void)state;
	assert_null(remuda_submit_name(NULL, "x:echo", 1));
	assert_int_equal(remuda_get((struct remuda_future *)NULL, &i, &err),
			 REMUDA_ENOMEM);
	assert_non_null(strstr(remuda_error_message(err), "no future"));
	remuda_error_free(err);
	remuda_future_free(NULL);
	remuda_close(NULL);
	assert_int_equal(remuda_cancel(NULL), REMUDA_ECLOSED);
}

static void expect_encode_error(struct remuda_future *future, const char *part)
{
	struct remuda_error *err = NULL;
	assert_true(remuda_done(future));
	assert_int_equal(remuda_get(future, NULL, &err), REMUDA_EINVAL);
	assert_int_equal(remuda_error_origin(err), REMUDA_ORIGIN_ENCODE);
	if (strstr(remuda_error_message(err), part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, remuda_error_message(err));
	remuda_error_free(err);
}

static void what_cannot_be_encoded_names_function_argument_and_place(void **state)
{
	struct remuda *client = ((struct pair *)*state)->client;
	struct remuda_value bad = {.kind = REMUDA_STRING, .u.string = {"\xff", 1}};
	struct remuda_value list = {.kind = REMUDA_LIST, .u.list = {&bad, 1}};
	struct remuda_task_options options = REMUDA_TASK_OPTIONS_INIT;
	expect_encode_error(remuda_submit_name(client, "x:echo", 1, list),
			    "x:echo: args[1][0] can't be encoded: text that is not");
	struct remuda_entry pair = {{.kind = REMUDA_STRING, .u.string = {"name", 4}}, bad};
	struct remuda_value items[4] = {{.kind = REMUDA_NULL}};
	items[3] = (struct remuda_value){.kind = REMUDA_MAP, .u.map = {&pair, 1}};
	list.u.list = (__typeof__(list.u.list)){items, 4};
	expect_encode_error(remuda_submit_name(client, "x:echo", list),
			    "x:echo: args[0][3].name can't be encoded");
	struct remuda_named_arg named = {"row", {.value = list}};
	struct remuda_call call = {
		.function = "x:echo", .named_args = &named, .named_count = 1};
	expect_encode_error(remuda_submit_call(client, &call),
			    "x:echo: kwargs[\"row\"][3].name can't be encoded");
	expect_encode_error(remuda_submit_name(client, "", 1), "it is empty");
	expect_encode_error(remuda_submit_name(client, "noruntime", 1), "RUNTIME:NAME");
	options.priority = 1001;
	expect_encode_error(remuda_submit_name_with(client, &options, "x:echo", 1),
			    "priority");
	options.priority = 0;
	const char *labels[] = {"nolabel", NULL};
	options.labels = labels;
	expect_encode_error(remuda_submit_name_with(client, &options, "x:echo", 1),
			    "nolabel");
	assert_int_equal(fake_counts(((struct pair *)*state)->fake).submits, 0);
}

/* ---- waiting and cancelling ---- */

static void a_wait_that_times_out_changes_nothing(void **state)
{
	struct pair *pair = *state;
	struct remuda_future *future = remuda_submit_name(pair->client, "x:hold");
	assert_int_equal(remuda_wait(future, 0), REMUDA_ETIMEOUT);
	assert_int_equal(remuda_wait(future, 5), REMUDA_ETIMEOUT);
	assert_false(remuda_done(future));
	FAKE_AWAIT(pair->fake, submits, 1);
	fake_release(pair->fake);
	assert_int_equal(remuda_get(future, NULL, NULL), 0);
}

static void a_cancelled_task_ends_as_cancelled(void **state)
{
	struct pair *pair = *state;
	struct remuda_error *err = NULL;
	struct remuda_future *future = remuda_submit_name(pair->client, "x:hold");
	assert_int_equal(remuda_cancel(future), 0);
	assert_int_equal(remuda_wait(future, -1), 0);
	assert_int_equal(remuda_cancel(future), REMUDA_ECLOSED);
	assert_int_equal(remuda_get(future, NULL, &err), REMUDA_ECANCELLED);
	assert_string_equal(remuda_error_type(err), "Cancelled");
	remuda_error_free(err);
}

static void wait_any_finds_the_one_that_ended(void **state)
{
	struct pair *pair = *state;
	struct remuda_future *futures[4] = {
		NULL, remuda_submit_name(pair->client, "x:deaf"),
		remuda_submit_name(pair->client, "x:hold"), NULL};
	size_t index = 99;
	assert_int_equal(remuda_wait_any(futures, 4, 5, &index), REMUDA_ETIMEOUT);
	assert_int_equal(index, 99);
	FAKE_AWAIT(pair->fake, submits, 2);
	fake_release(pair->fake);
	assert_int_equal(remuda_wait_any(futures, 4, -1, &index), 0);
	assert_int_equal(index, 2);
	assert_int_equal(remuda_wait_all(futures, 4, 0), REMUDA_ETIMEOUT);
	assert_int_equal(remuda_wait_all(futures + 2, 2, 0), 0);
	assert_int_equal(remuda_wait_any(futures, 1, -1, &index), REMUDA_EINVAL);
	remuda_future_free(futures[1]);
	remuda_future_free(futures[2]);
}

static void a_dropped_future_is_acknowledged_all_the_same(void **state)
{
	struct pair *pair = *state;
	remuda_future_free(remuda_submit_name(pair->client, "x:hold"));
	FAKE_AWAIT(pair->fake, submits, 1);
	fake_release(pair->fake);
	FAKE_AWAIT(pair->fake, acks, 1);
}

/* ---- options ---- */

struct printed {
	char text[64];
	uint64_t dropped_bytes;
	enum remuda_stream stream;
};

static void hear_print(void *ctx, enum remuda_stream stream, const void *data, size_t len,
		       uint64_t dropped_bytes)
{
	struct printed *printed = ctx;
	memcpy(printed->text, data, len);
	printed->text[len] = '\0';
	printed->dropped_bytes = dropped_bytes;
	printed->stream = stream;
}

static void what_a_task_prints_is_heard_before_its_outcome(void **state)
{
	struct pair *pair = *state;
	struct printed printed = {.text = ""};
	struct remuda_task_options options = REMUDA_TASK_OPTIONS_INIT;
	options.on_log = hear_print;
	options.log_ctx = &printed;
	assert_int_equal(
		remuda_get(remuda_submit_name_with(pair->client, &options, "x:log", 1),
			   NULL, NULL),
		0);
	assert_string_equal(printed.text, "hello");
	assert_int_equal(printed.dropped_bytes, 3);
	assert_int_equal(printed.stream, REMUDA_STDOUT);
}

static void a_deadline_travels_with_the_task(void **state)
{
	struct pair *pair = *state;
	struct remuda_task_options options = REMUDA_TASK_OPTIONS_INIT;
	int64_t deadline_ms;
	options.deadline_ms = 60000;
	assert_int_equal(
		remuda_get(remuda_submit_name_with(pair->client, &options, "x:deadline"),
			   &deadline_ms, NULL),
		0);
	assert_in_range(deadline_ms, 30000, 60000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(every_type_comes_back_as_it_went),
		WITH(vectors_and_bytes_come_back_as_they_went),
		WITH(a_nested_value_is_the_callers_own_after_get),
		WITH(a_result_of_another_type_is_an_error_that_names_both),
		WITH(a_borrowed_result_may_be_looked_at_twice),
		WITH(zero_to_eight_arguments_are_counted_right),
		WITH(a_failed_task_gives_its_whole_chain),
		WITH(no_client_and_no_future_are_errors_not_crashes),
		WITH(what_cannot_be_encoded_names_function_argument_and_place),
		WITH(a_wait_that_times_out_changes_nothing),
		WITH(a_cancelled_task_ends_as_cancelled),
		WITH(wait_any_finds_the_one_that_ended),
		WITH(a_dropped_future_is_acknowledged_all_the_same),
		WITH(what_a_task_prints_is_heard_before_its_outcome),
		WITH(a_deadline_travels_with_the_task),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
