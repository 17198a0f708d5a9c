/* Modules of all types, as each compiler makes them, in the real worker.
 *
 *	task_types_test MODULE... */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orders.pb-c.h"
#include "proto/base/clock.h"
#include "proto/codec/value.h"
#include "proto/error/chain.h"
#include "tests/unit/protocol/harness.h"

static const char *module_path;

static int open_module(void **state)
{
	static struct harness h;
	harness_start(&h, &module_path, 1);
	if (!h.ready && h.start_error != NULL)
		remuda_error_print(h.start_error, stderr);
	assert_true(h.ready);
	*state = &h;
	return 0;
}

static int close_module(void **state)
{
	harness_close(*state);
	return 0;
}

static void assert_int(struct harness *h, const char *function, struct remuda_value arg,
		       int64_t expected)
{
	int rc = harness_call(h, function, &arg, 1);
	if (rc != 0)
		fail_msg("%s: %d: %s", function, rc,
			 rc == 1 ? remuda_error_message(h->err) : "");
	assert_int_equal(h->value.kind, REMUDA_INT64);
	assert_int_equal(h->value.u.int64, expected);
}

static void assert_refused(struct harness *h, const char *function,
			   struct remuda_value arg)
{
	assert_int_equal(harness_call(h, function, &arg, 1), 1);
	assert_string_equal(remuda_error_type(h->err), "SignatureMismatch");
}

static struct remuda_value unsigned_of(uint64_t number)
{
	return (struct remuda_value){.kind = REMUDA_UINT64, .u.uint64 = number};
}

static void integers_pass_in_their_range_and_no_further(void **state)
{
	static const struct {
		const char *function;
		int64_t low, high;
	} types[] = {
		{"types.i8", INT8_MIN, INT8_MAX},    {"types.i16", INT16_MIN, INT16_MAX},
		{"types.i32", INT32_MIN, INT32_MAX}, {"types.u8", 0, UINT8_MAX},
		{"types.u16", 0, UINT16_MAX},	     {"types.u32", 0, UINT32_MAX},
	};
	struct harness *h = *state;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		assert_int(h, types[i].function, harness_int(types[i].low), types[i].low);
		assert_int(h, types[i].function, harness_int(types[i].high),
			   types[i].high);
		assert_refused(h, types[i].function, harness_int(types[i].low - 1));
		assert_refused(h, types[i].function, harness_int(types[i].high + 1));
		assert_refused(h, types[i].function, harness_double(1));
		assert_refused(h, types[i].function, harness_text("1"));
	}
	static const char *const wide[] = {"types.i64", "types.l", "types.ll"};
	for (int i = 0; i < 3; i++) {
		assert_int(h, wide[i], harness_int(INT64_MIN), INT64_MIN);
		assert_int(h, wide[i], harness_int(INT64_MAX), INT64_MAX);
		assert_refused(h, wide[i], unsigned_of(UINT64_MAX));
	}
	static const char *const wide_unsigned[] = {"types.u64", "types.ull",
						    "types.size"};
	for (int i = 0; i < 3; i++) {
		struct remuda_value most = unsigned_of(UINT64_MAX);
		assert_int(h, wide_unsigned[i], harness_int(INT64_MAX), INT64_MAX);
		assert_refused(h, wide_unsigned[i], harness_int(-1));
		assert_int_equal(harness_call(h, wide_unsigned[i], &most, 1), 0);
		assert_int_equal(h->value.kind, REMUDA_UINT64);
		assert_true(h->value.u.uint64 == UINT64_MAX);
	}
}

static void booleans_and_floats_are_exact_or_refused(void **state)
{
	struct harness *h = *state;
	struct remuda_value yes = {.kind = REMUDA_BOOLEAN, .u.boolean = true};
	assert_int_equal(harness_call(h, "types.not_", &yes, 1), 0);
	assert_int_equal(h->value.kind, REMUDA_BOOLEAN);
	assert_false(h->value.u.boolean);
	struct remuda_value zero = harness_int(0);
	assert_int_equal(harness_call(h, "types.not_", &zero, 1), 0);
	assert_true(h->value.u.boolean);
	assert_refused(h, "types.not_", harness_int(2));

	struct remuda_value tenth = harness_double(0.1),
			    exact = harness_int((int64_t)1 << 53);
	assert_int_equal(harness_call(h, "types.f64", &tenth, 1), 0);
	assert_true(h->value.kind == REMUDA_FLOAT64 && h->value.u.float64 == 0.1);
	assert_int_equal(harness_call(h, "types.f64", &exact, 1), 0);
	assert_true(h->value.u.float64 == 9007199254740992.0);
	assert_refused(h, "types.f64", harness_int(((int64_t)1 << 53) + 1));
	assert_int_equal(harness_call(h, "types.f32", &tenth, 1), 0);
	assert_true(h->value.u.float64 == (double)0.1f);
	assert_refused(h, "types.f32", harness_double(1e300));
	assert_refused(h, "types.f32", harness_int((1 << 24) + 1));
	struct remuda_value infinite = harness_double(INFINITY);
	assert_int_equal(harness_call(h, "types.f32", &infinite, 1), 0);
	assert_true(isinf(h->value.u.float64));
}

static void text_and_bytes(void **state)
{
	struct harness *h = *state;
	struct remuda_value text = harness_text("gr\xc3\xbc\xc3\x9f"),
			    raw = harness_bytes("a\xff", 2);
	struct remuda_value nul = harness_bytes("a\0b", 3), null_text = harness_text("0");
	assert_int_equal(harness_call(h, "types.text", &text, 1), 0);
	assert_int_equal(h->value.kind, REMUDA_STRING);
	assert_string_equal(h->value.u.string.data, text.u.string.data);
	assert_int_equal(harness_call(h, "types.text", &null_text, 1), 0);
	assert_int_equal(h->value.kind, REMUDA_NULL);
	assert_refused(h, "types.text", nul);
	assert_refused(h, "types.text", (struct remuda_value){.kind = REMUDA_NULL});
	nul.kind = REMUDA_STRING;
	nul.u.string = (struct remuda_string){"a\0b", 3};
	assert_refused(h, "types.text", nul);
	assert_int_equal(harness_call(h, "types.string", &nul, 1), 0);
	assert_int_equal(h->value.u.string.len, 3);
	assert_refused(h, "types.string", raw);
	assert_int_equal(harness_call(h, "types.bytes", &raw, 1), 0);
	assert_int_equal(h->value.kind, REMUDA_BYTES);
	assert_memory_equal(h->value.u.bytes.data, "a\xff", 2);
	assert_int_equal(harness_call(h, "types.bytes", &text, 1), 0);
	assert_int_equal(h->value.u.bytes.len, text.u.string.len);
	assert_refused(h, "types.bytes", harness_int(1));
	/* Bytes that are no text go in, but do not come out as text. */
	assert_int_equal(harness_call(h, "types.text", &raw, 1), 1);
	assert_int_equal(remuda_error_origin(h->err), REMUDA_ORIGIN_RESULT);
}

static void vectors_take_all_spellings_of_a_list(void **state)
{
	static const int64_t ints[] = {1, -2, 3};
	static const double doubles[] = {1, -2, 3};
	static const uint64_t shape[] = {3};
	struct harness *h = *state;
	struct remuda_value items[] = {harness_int(1), harness_int(-2), harness_int(3)};
	struct remuda_value spellings[] = {
		{.kind = REMUDA_INTS, .u.ints = {ints, 3}},
		{.kind = REMUDA_LIST, .u.list = {items, 3}},
		{.kind = REMUDA_TUPLE, .u.list = {items, 3}},
		{.kind = REMUDA_ARRAY,
		 .u.array = {REMUDA_DTYPE_INT64, 1, shape, ints, sizeof ints}},
	};
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(harness_call(h, "types.int64s", &spellings[i], 1), 0);
		assert_int_equal(h->value.kind, REMUDA_INTS);
		assert_int_equal(h->value.u.ints.len, 3);
		assert_memory_equal(h->value.u.ints.data, ints, sizeof ints);
		if (i == 3)
			break; /* an array of int64 is not one of double */
		assert_int_equal(harness_call(h, "types.doubles", &spellings[i], 1), 0);
		assert_int_equal(h->value.kind, REMUDA_DOUBLES);
		assert_memory_equal(h->value.u.doubles.data, doubles, sizeof doubles);
	}
	struct remuda_value empty = {.kind = REMUDA_LIST};
	assert_int_equal(harness_call(h, "types.int64s", &empty, 1), 0);
	assert_int_equal(harness_call(h, "types.doubles", &empty, 1), 0);
	struct remuda_value real = {.kind = REMUDA_DOUBLES, .u.doubles = {doubles, 3}};
	assert_refused(h, "types.int64s", real);
	assert_refused(h, "types.doubles", spellings[3]);
	items[1] = harness_text("x");
	assert_refused(h, "types.int64s", spellings[1]);
	assert_refused(h, "types.doubles", spellings[1]);
	assert_int_equal(harness_call(h, "types.array", &real, 1), 0);
	assert_int_equal(h->value.kind, REMUDA_ARRAY);
	assert_int_equal(h->value.u.array.dtype, REMUDA_DTYPE_FLOAT64);
	assert_int_equal(h->value.u.array.shape[0], 3);
	assert_refused(h, "types.array", harness_int(3));
}

static void large_vectors_come_back(void **state)
{
	enum { ITEMS = 1000000 };
	struct harness *h = *state;
	int64_t *ints = malloc(ITEMS * sizeof *ints);
	assert_non_null(ints);
	for (int i = 0; i < ITEMS; i++)
		ints[i] = i * 3 - 7;
	struct remuda_value value = {.kind = REMUDA_INTS, .u.ints = {ints, ITEMS}};
	assert_int_equal(harness_call(h, "types.int64s", &value, 1), 0);
	assert_int_equal(h->value.u.ints.len, ITEMS);
	assert_memory_equal(h->value.u.ints.data, ints, ITEMS * sizeof *ints);
	assert_int_equal(harness_call(h, "types.value", &value, 1), 0);
	assert_int_equal(h->value.u.ints.len, ITEMS);
	free(ints);
}

static void any_value_comes_back(void **state)
{
	struct harness *h = *state;
	struct remuda_value inner[] = {
		harness_int(1), harness_text("two"), {.kind = REMUDA_NULL}};
	struct remuda_entry entry = {harness_text("k"),
				     {.kind = REMUDA_LIST, .u.list = {inner, 3}}};
	struct remuda_value map = {.kind = REMUDA_MAP, .u.map = {&entry, 1}};
	assert_int_equal(harness_call(h, "types.value", &map, 1), 0);
	assert_true(rmd_value_equal(&h->value, &map));
}

static void arity(void **state)
{
	struct harness *h = *state;
	struct remuda_value args[8];
	assert_int_equal(harness_call(h, "types.nothing", NULL, 0), 0);
	assert_int_equal(h->value.kind, REMUDA_NULL);
	assert_int_equal(harness_call(h, "types.nothing_with_ctx", NULL, 0), 0);
	assert_int_equal(harness_call(h, "types.answer", NULL, 0), 0);
	assert_int_equal(h->value.u.int64, 42);
	for (int i = 0; i < 8; i++)
		args[i] = harness_int(i + 1);
	assert_int_equal(harness_call(h, "types.eight", args, 8), 0);
	assert_int_equal(h->value.u.int64, 12345678);
	assert_int_equal(harness_call(h, "types.eight_and_ctx", args, 8), 0);
	assert_int_equal(h->value.u.int64, 12345678 + 3);
	assert_int_equal(harness_call(h, "types.eight", args, 7), 1);
	assert_non_null(
		strstr(remuda_error_message(h->err), "expected 8 arguments, got 7"));
	assert_int(h, "types.elsewhere", harness_int(1), 2);
	assert_int(h, "types.default", harness_int(5), 5);
	assert_int_equal(harness_call(h, "types.descriptors_are_right", NULL, 0), 0);
	assert_true(h->value.u.boolean);
	assert_int_equal(harness_call(h, "types.square", NULL, 0), 1);
	assert_string_equal(remuda_error_type(h->err), "UnknownFunction");
}

static void messages_travel_as_any(void **state)
{
	struct harness *h = *state;
	int32_t amounts[] = {1, 20, 300};
	char name[] = "row";
	uint8_t packed[64];
	Orders__Row row = ORDERS__ROW__INIT;
	row.name = name;
	row.n_amounts = 3;
	row.amounts = amounts;
	size_t len = orders__row__pack(&row, packed);
	struct remuda_value any = {.kind = REMUDA_ANY};
	any.u.any.type_url.data = "type.googleapis.com/orders.Row";
	any.u.any.type_url.len = strlen(any.u.any.type_url.data);
	any.u.any.data = (struct remuda_bytes){packed, len};
	assert_int_equal(harness_call(h, "types.same_row", &any, 1), 0);
	assert_true(rmd_value_equal(&h->value, &any));
	assert_int_equal(harness_call(h, "types.summed_row", &any, 1), 0);
	Orders__Row *sum = orders__row__unpack(NULL, h->value.u.any.data.len,
					       h->value.u.any.data.data);
	assert_non_null(sum);
	assert_string_equal(sum->name, "sum of row");
	assert_int_equal(sum->amounts[0], 321);
	orders__row__free_unpacked(sum, NULL);
	struct remuda_value other = any, broken = any;
	other.u.any.type_url.data = "type.googleapis.com/orders.Col";
	broken.u.any.data = (struct remuda_bytes){"\x0a\x7f", 2};
	assert_refused(h, "types.same_row", other);
	assert_refused(h, "types.same_row", broken);
	assert_non_null(
		strstr(remuda_error_message(h->err), "no valid message orders.Row"));
	assert_refused(h, "types.same_row", harness_int(1));
}

static void raising_makes_chains_across_files_and_threads(void **state)
{
	struct harness *h = *state;
	struct remuda_value five = harness_int(5), many = harness_int(10000);
	assert_int_equal(harness_call(h, "types.raising", &five, 1), 1);
	assert_string_equal(remuda_error_type(h->err), "High");
	assert_string_equal(remuda_error_message(h->err), "above 5");
	assert_string_equal(remuda_error_frame(h->err, 0).function,
			    "raise_in_another_file");
	assert_string_equal(remuda_error_type(remuda_error_cause(h->err)), "Low");
	assert_int_equal(harness_call(h, "types.raising_in_context", &five, 1), 1);
	assert_string_equal(remuda_error_type(h->err), "Second");
	assert_string_equal(remuda_error_type(remuda_error_context(h->err)), "First");
	assert_null(remuda_error_cause(h->err));
	assert_int_equal(harness_call(h, "types.raising_in_thread", NULL, 0), 1);
	assert_string_equal(remuda_error_type(h->err), "ThreadError");
	assert_non_null(strstr(h->log->text, "in a thread\n|"));
	assert_int_equal(harness_call(h, "types.raising_for_ever", &many, 1), 1);
	assert_string_equal(remuda_error_message(h->err), "9999");
	/* Nothing of it is left for the next task. */
	assert_int_equal(harness_call(h, "types.answer", NULL, 0), 0);
}

static void results_that_cannot_be_encoded_say_so(void **state)
{
	struct harness *h = *state;
	assert_int_equal(harness_call(h, "types.bad_utf8", NULL, 0), 1);
	assert_string_equal(remuda_error_message(h->err),
			    "types.bad_utf8: its result can't be encoded: text that is "
			    "not valid UTF-8");
	assert_int_equal(remuda_error_origin(h->err), REMUDA_ORIGIN_RESULT);
	assert_int_equal(harness_call(h, "types.too_deep", NULL, 0), 1);
	assert_int_equal(remuda_error_origin(h->err), REMUDA_ORIGIN_RESULT);
}

static void answer_42(struct harness *h, uint64_t lease, uint64_t number, bool now)
{
	struct remuda_value value = harness_int(42);
	(void)now;
	harness_answer(h, lease, number, &value);
}

static void the_context_knows_and_tells(void **state)
{
	struct harness *h = *state;
	struct remuda_value what = harness_text("one");
	assert_int_equal(harness_call(h, "types.deadline", NULL, 0), 0);
	assert_int_equal(h->value.u.int64, -1);
	struct rmd_wp_task task = {.lease = 1000000,
				   .function = rmd_slice_of_string("types.deadline"),
				   .deadline_mono_ns = rmd_clock_mono_ns() +
						       UINT64_C(60000000000)};
	assert_int_equal(rmd_wp_give(h->end, &task), 0);
	assert_true(harness_await(h, task.lease));
	assert_int_equal(rmd_value_get(h->payload.bytes, &h->arena, &h->value), 0);
	assert_true(h->value.u.int64 > 10000 && h->value.u.int64 <= 60000);
	assert_int_equal(harness_call(h, "types.logging", &what, 1), 0);
	assert_non_null(strstr(h->log->text, "one and 2\n|end "));
	h->ask = answer_42;
	assert_int_equal(harness_call(h, "types.submitting", NULL, 0), 0);
	assert_int_equal(h->value.u.int64, 42);
	h->ask = NULL;
	assert_non_null(strstr(h->log->text, " 1 native:types.answer |ask "));
}

static void exceptions_become_errors(void **state)
{
	struct harness *h = *state;
	struct remuda_value what = harness_int(3);
	if (strstr(module_path, "cxx") == NULL)
		return;
	assert_int(h, "types.throwing", what, 3);
	what = harness_int(0);
	assert_int_equal(harness_call(h, "types.throwing", &what, 1), 1);
	assert_string_equal(remuda_error_type(h->err), "shop::trouble");
	assert_string_equal(remuda_error_message(h->err), "no stock");
	assert_string_equal(remuda_error_frame(h->err, 0).function, "throwing");
	what = harness_int(1);
	assert_int_equal(harness_call(h, "types.throwing", &what, 1), 1);
	assert_string_equal(remuda_error_message(h->err), "a text");
	what = harness_int(2);
	assert_int_equal(harness_call(h, "types.throwing", &what, 1), 1);
	assert_string_equal(remuda_error_type(h->err), "int");
	assert_int(h, "types.next_colour", harness_int(0), 1);
	assert_refused(h, "types.next_colour", harness_int(256));
	assert_int_equal(harness_call(h, "types.unwinding", NULL, 0), 1);
	assert_string_equal(remuda_error_type(h->err), "shop::trouble");
	assert_string_equal(remuda_error_type(remuda_error_context(h->err)), "Late");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_pass_in_their_range_and_no_further),
		cmocka_unit_test(booleans_and_floats_are_exact_or_refused),
		cmocka_unit_test(text_and_bytes),
		cmocka_unit_test(vectors_take_all_spellings_of_a_list),
		cmocka_unit_test(large_vectors_come_back),
		cmocka_unit_test(any_value_comes_back),
		cmocka_unit_test(arity),
		cmocka_unit_test(messages_travel_as_any),
		cmocka_unit_test(raising_makes_chains_across_files_and_threads),
		cmocka_unit_test(results_that_cannot_be_encoded_say_so),
		cmocka_unit_test(the_context_knows_and_tells),
		cmocka_unit_test(exceptions_become_errors),
	};
	int failed = argc < 2;
	for (int i = 1; i < argc; i++) {
		module_path = argv[i];
		print_message("%s\n", module_path);
		failed += cmocka_run_group_tests_name(module_path, tests, open_module,
						      close_module);
	}
	return failed != 0;
}
