/* Tasks that submit tasks, in the native worker: the test plays its agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/errcode.h"
#include "proto/codec/arguments.h"
#include "proto/codec/frames_nested.h"
#include "proto/error/chain.h"
#include "tests/unit/protocol/harness.h"

static const char *const modules[] = {REMUDA_TEST_NESTED "/nested.so"};

static int start(void **state)
{
	struct harness *h = calloc(1, sizeof *h);
	assert_non_null(h);
	harness_start(h, modules, 1);
	assert_true(h->ready);
	*state = h;
	return 0;
}

static int stop(void **state)
{
	harness_close(*state);
	free(*state);
	return 0;
}

static void assert_has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, text);
}

/* The first argument of the last child, doubled. */
static void answer_double(struct harness *h, uint64_t lease, uint64_t number, bool now)
{
	struct rmd_nested_submit submit;
	struct rmd_arguments arguments;
	const char *field;
	(void)now;
	assert_int_equal(rmd_worker_submit_read(h->submit.bytes, &submit, &field), 0);
	assert_int_equal(rmd_arguments_get(submit.arguments, &h->arena, &arguments, NULL),
			 0);
	assert_int_equal(arguments.arg_count, 1);
	struct remuda_value value = harness_int(arguments.args[0].u.int64 * 2);
	harness_answer(h, lease, number, &value);
}

static void answer_echo(struct harness *h, uint64_t lease, uint64_t number, bool now)
{
	struct rmd_nested_submit submit;
	struct rmd_arguments arguments;
	const char *field;
	(void)now;
	assert_int_equal(rmd_worker_submit_read(h->submit.bytes, &submit, &field), 0);
	assert_int_equal(rmd_arguments_get(submit.arguments, &h->arena, &arguments, NULL),
			 0);
	harness_answer(h, lease, number, &arguments.args[0]);
}

static void answer_error(struct harness *h, uint64_t lease, uint64_t number, bool now)
{
	(void)now;
	harness_answer_error(
		h, lease, number,
		remuda_error_wrap(remuda_error_create("RootError", "disk full"),
				  "ParseError", "row 7"));
}

static void answer(struct harness *h, uint64_t lease, uint64_t number,
		   enum rmd_wp_answer kind, const char *text)
{
	assert_int_equal(
		rmd_wp_answer(h->end, lease, number, kind, rmd_slice_of_string(text)), 0);
}

static void a_child_is_submitted_by_name_and_its_value_got(void **state)
{
	struct harness *h = *state;
	struct remuda_value arg = harness_int(21);
	h->ask = answer_double;
	assert_int_equal(harness_call(h, "nested.plain", &arg, 1), 0);
	assert_int_equal(h->value.u.int64, 42);
	assert_has(h->log->text, "sub 1 1 native:far.away |ask 1 1|end 1|");
	/* Numbers begin anew with each task. */
	assert_int_equal(harness_call(h, "nested.plain", &arg, 1), 0);
	assert_has(h->log->text, "sub 2 1 native:far.away |ask 2 1|end 2|");
}

static void options_are_passed_on(void **state)
{
	struct harness *h = *state;
	struct remuda_value pool = harness_text("gpus");
	struct rmd_nested_submit submit;
	const char *field;
	assert_int_equal(harness_call(h, "nested.with", &pool, 1), 0);
	assert_has(h->log->text, "sub 1 1 python:math.pow gpus|end 1|");
	assert_int_equal(rmd_worker_submit_read(h->submit.bytes, &submit, &field), 0);
	assert_int_equal(submit.deadline_ms, 1234);
	assert_int_equal(submit.max_attempts, 3);
	assert_int_equal(submit.arguments.len, 0);
}

static void a_mebibyte_goes_to_a_child_and_comes_back(void **state)
{
	struct harness *h = *state;
	enum { LEN = 3 << 20 };
	uint8_t *bytes = malloc(LEN);
	assert_non_null(bytes);
	for (size_t i = 0; i < LEN; i++)
		bytes[i] = (uint8_t)(i * 31 >> 3);
	struct remuda_value arg = harness_bytes(bytes, LEN);
	h->ask = answer_echo;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(harness_call(h, "nested.plain", &arg, 1), 0);
		assert_int_equal(h->value.u.bytes.len, LEN);
		assert_memory_equal(h->value.u.bytes.data, bytes, LEN);
	}
	free(bytes);
}

static void a_childs_error_is_raised_with_its_chain(void **state)
{
	struct harness *h = *state;
	struct remuda_value arg = harness_int(1);
	h->ask = answer_error;
	assert_int_equal(harness_call(h, "nested.plain", &arg, 1), 1);
	assert_string_equal(remuda_error_type(h->err), "ChildError");
	assert_has(remuda_error_message(h->err),
		   "native:far.away, which nested.plain submitted");
	const struct remuda_error *cause = remuda_error_cause(h->err);
	assert_string_equal(remuda_error_type(cause), "ParseError");
	assert_string_equal(remuda_error_type(remuda_error_cause(cause)), "RootError");
}

static void a_childs_error_can_be_handled_or_raised_from(void **state)
{
	struct harness *h = *state;
	h->ask = answer_error;
	assert_int_equal(harness_call(h, "nested.handled", NULL, 0), 0);
	assert_string_equal(h->value.u.string.data, "ParseError: row 7");
	assert_int_equal(harness_call(h, "nested.from", NULL, 0), 1);
	assert_string_equal(remuda_error_type(h->err), "OrderError");
	assert_string_equal(remuda_error_type(remuda_error_cause(h->err)), "ParseError");
}

static void ask_cancelled(struct harness *h, uint64_t lease, uint64_t number, bool now)
{
	(void)now;
	answer(h, lease, number, RMD_WP_ANSWER_CANCELLED, "by an operator");
}

static void a_cancelled_child_is_an_error(void **state)
{
	struct harness *h = *state;
	h->ask = ask_cancelled;
	assert_int_equal(harness_call(h, "nested.handled", NULL, 0), 0);
	assert_string_equal(h->value.u.string.data,
			    "Cancelled: native:far.away was cancelled: by an operator");
}

/* Not yet; not within the time; then it is there. */
static void ask_late(struct harness *h, uint64_t lease, uint64_t number, bool now)
{
	struct remuda_value value = harness_int(7);
	if (now)
		answer(h, lease, number, RMD_WP_ANSWER_NONE, "");
	else if (h->asked == 3)
		harness_answer(h, lease, number, &value);
}

static void a_task_may_poll_and_wait_for_a_while(void **state)
{
	struct harness *h = *state;
	h->ask = ask_late;
	assert_int_equal(harness_call(h, "nested.patient", NULL, 0), 0);
	assert_int_equal(h->value.u.int64, 1107);
	assert_has(h->log->text, "|now 1 1|ask 1 1|up 1 1|ask 1 1|end 1|");
}

/* The child ends just when the task has given up: that is told, not NONE. */
static void give_up_late(struct harness *h, uint64_t lease, uint64_t number)
{
	struct remuda_value value = harness_int(5);
	harness_answer(h, lease, number, &value);
}

static void an_end_that_crosses_giving_up_is_told(void **state)
{
	struct harness *h = *state;
	h->ask = ask_late;
	h->give_up = give_up_late;
	assert_int_equal(harness_call(h, "nested.patient", NULL, 0), 0);
	/* now: 1, later: 0 and 5, last: it was told before: an error */
	assert_int_equal(h->value.u.int64, 1000 - 10 + 5);
}

static void ask_stop(struct harness *h, uint64_t lease, uint64_t number, bool now)
{
	(void)now;
	rmd_wp_cancel(h->end, lease);
	answer(h, lease, number, RMD_WP_ANSWER_STOP, "");
}

static void a_cancelled_task_that_waits_goes_on_with_an_error(void **state)
{
	struct harness *h = *state;
	struct remuda_value arg = harness_int(1);
	h->ask = ask_stop;
	assert_int_equal(harness_call(h, "nested.plain", &arg, 1), 1);
	assert_has(remuda_error_message(remuda_error_cause(h->err)),
		   "the task was cancelled while it waited for native:far.away");
}

static void mistakes_are_named(void **state)
{
	struct harness *h = *state;
	h->ask = answer_error;
	assert_int_equal(harness_call(h, "nested.twice", NULL, 0), 1);
	assert_has(remuda_error_message(remuda_error_cause(h->err)),
		   "this task has not submitted it, or has got its end before");
	assert_int_equal(harness_call(h, "nested.bad_argument", NULL, 0), 1);
	assert_string_equal(remuda_error_type(h->err), "EncodeError");
	assert_has(remuda_error_message(h->err), "args[1] can't be encoded");
	assert_int_equal(harness_call(h, "nested.long_name", NULL, 0), 1);
	assert_string_equal(remuda_error_type(h->err), "SubmitError");
	assert_int_equal(h->submits, 1);
}

static void open_children_are_limited(void **state)
{
	struct harness *h = *state;
	struct remuda_value count = harness_int(10000);
	assert_int_equal(harness_call(h, "nested.many", &count, 1), 0);
	assert_int_equal(h->value.u.int64, 10000);
	count = harness_int(10001);
	assert_int_equal(harness_call(h, "nested.many", &count, 1), 1);
	assert_has(remuda_error_message(h->err), "10000 tasks are open");
	assert_int_equal(h->submits, 20000);
}

static void a_child_is_cancelled_by_its_parent(void **state)
{
	struct harness *h = *state;
	h->ask = ask_cancelled;
	assert_int_equal(harness_call(h, "nested.cancels", NULL, 0), 1);
	assert_has(h->log->text, "sub 1 1 native:far.away |can 1 1|ask 1 1|end 1|");
}

static void ask_number(struct harness *h, uint64_t lease, uint64_t number, bool now)
{
	struct remuda_value value = harness_int((int64_t)number);
	(void)now;
	harness_answer(h, lease, number, &value);
}

static void threads_of_a_task_may_submit_and_wait(void **state)
{
	struct harness *h = *state;
	h->ask = ask_number;
	assert_int_equal(harness_call(h, "nested.threads", NULL, 0), 0);
	assert_int_equal(h->value.u.int64, 100 * 101 / 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		T(a_child_is_submitted_by_name_and_its_value_got),
		T(options_are_passed_on),
		T(a_mebibyte_goes_to_a_child_and_comes_back),
		T(a_childs_error_is_raised_with_its_chain),
		T(a_childs_error_can_be_handled_or_raised_from),
		T(a_cancelled_child_is_an_error),
		T(a_task_may_poll_and_wait_for_a_while),
		T(an_end_that_crosses_giving_up_is_told),
		T(a_cancelled_task_that_waits_goes_on_with_an_error),
		T(mistakes_are_named),
		T(open_children_are_limited),
		T(a_child_is_cancelled_by_its_parent),
		T(threads_of_a_task_may_submit_and_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
