#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/arguments.h"
#include "remuda/v1/value.pb-c.h"
#include "tests/unit/codec/values.h"

static struct rmd_arena arena;
static struct rmd_wire_writer writer;

static int setup(void **state)
{
	(void)state;
	rmd_arena_init(&arena, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rmd_arena_fini(&arena);
	rmd_wire_writer_fini(&writer);
	return 0;
}

static struct rmd_slice written(void)
{
	return rmd_slice_of(writer.data, writer.len);
}

static void arguments_by_position_and_by_name_come_back(void **state)
{
	(void)state;
	struct remuda_value one = test_int(1), text = test_string("two"),
			    three = test_int(3);
	rmd_arguments_put(&writer, &one);
	rmd_arguments_put_named(&writer, rmd_slice_of_string("key"), &three);
	rmd_arguments_put(&writer, &text);
	struct rmd_arguments arguments;
	assert_int_equal(rmd_arguments_get(written(), &arena, &arguments, NULL), 0);
	assert_int_equal(arguments.arg_count, 2);
	assert_true(rmd_value_equal(&arguments.args[0], &one));
	assert_true(rmd_value_equal(&arguments.args[1], &text));
	assert_int_equal(arguments.kwarg_count, 1);
	assert_string_equal(arguments.kwargs[0].key.u.string.data, "key");
	assert_true(rmd_value_equal(&arguments.kwargs[0].value, &three));

	Remuda__V1__Arguments *pb =
		remuda__v1__arguments__unpack(NULL, writer.len, writer.data);
	assert_non_null(pb);
	assert_int_equal(pb->n_args, 2);
	assert_int_equal(pb->args[0]->int64, 1);
	assert_string_equal(pb->args[1]->string, "two");
	assert_string_equal(pb->kwargs[0]->name, "key");
	assert_int_equal(pb->kwargs[0]->value->int64, 3);
	remuda__v1__arguments__free_unpacked(pb, NULL);
}

static void the_iterator_opens_no_value(void **state)
{
	(void)state;
	/* args: garbage of three bytes; a stranger; kwargs: name only */
	struct rmd_wire_reader reader = rmd_wire_reader_of(
		rmd_slice_of("\x0a\x03\xff\xff\xff\x18\x01\x12\x03\x0a\x01k", 12));
	struct rmd_argument argument;
	assert_int_equal(rmd_arguments_next(&reader, &argument), 1);
	assert_false(argument.by_name);
	assert_int_equal(argument.value.len, 3);
	assert_int_equal(rmd_arguments_next(&reader, &argument), 1);
	assert_true(argument.by_name);
	assert_memory_equal(argument.name.data, "k", 1);
	assert_int_equal(argument.value.len, 0);
	assert_int_equal(rmd_arguments_next(&reader, &argument), 0);
}

static void no_arguments_are_no_bytes(void **state)
{
	(void)state;
	struct rmd_arguments arguments;
	assert_int_equal(
		rmd_arguments_get(rmd_slice_of(NULL, 0), &arena, &arguments, NULL), 0);
	assert_int_equal(arguments.arg_count, 0);
	assert_int_equal(arguments.kwarg_count, 0);
}

static void more_than_255_of_a_sort_are_refused(void **state)
{
	(void)state;
	struct remuda_value null = {.kind = REMUDA_NULL};
	struct rmd_arguments arguments;
	char name[8];
	for (unsigned i = 0; i < RMD_ARGUMENTS_MAX; i++) {
		rmd_arguments_put(&writer, &null);
		snprintf(name, sizeof name, "n%u", i);
		rmd_arguments_put_named(&writer, rmd_slice_of_string(name), &null);
	}
	assert_int_equal(rmd_arguments_get(written(), &arena, &arguments, NULL), 0);
	assert_int_equal(arguments.arg_count, 255);
	assert_int_equal(arguments.kwarg_count, 255);
	size_t len = writer.len;
	rmd_arguments_put(&writer, &null);
	assert_int_equal(rmd_arguments_get(written(), &arena, &arguments, NULL),
			 RMD_ELIMIT);
	writer.len = len;
	rmd_arguments_put_named(&writer, rmd_slice_of_string("one more"), &null);
	assert_int_equal(rmd_arguments_get(written(), &arena, &arguments, NULL),
			 RMD_ELIMIT);
}

static void a_bad_name_is_refused(void **state)
{
	(void)state;
	struct remuda_value null = {.kind = REMUDA_NULL};
	struct rmd_arguments arguments;
	char name[RMD_ARGUMENT_NAME_MAX + 1];
	memset(name, 'n', sizeof name);
	rmd_arguments_put_named(&writer, rmd_slice_of(name, RMD_ARGUMENT_NAME_MAX),
				&null);
	assert_int_equal(rmd_arguments_get(written(), &arena, &arguments, NULL), 0);
	rmd_arguments_put_named(&writer, rmd_slice_of(name, RMD_ARGUMENT_NAME_MAX),
				&null);
	assert_int_equal(rmd_arguments_get(written(), &arena, &arguments, NULL),
			 RMD_EPROTO);
	rmd_wire_writer_reset(&writer);
	rmd_arguments_put_named(&writer, rmd_slice_of(name, sizeof name), &null);
	assert_int_equal(rmd_arguments_get(written(), &arena, &arguments, NULL),
			 RMD_EPROTO);
	rmd_wire_writer_reset(&writer);
	rmd_arguments_put_named(&writer, rmd_slice_of_string("\xff"), &null);
	assert_int_equal(rmd_arguments_get(written(), &arena, &arguments, NULL),
			 RMD_EPROTO);
}

static void the_place_of_a_bad_value_is_told(void **state)
{
	(void)state;
	struct remuda_value good = test_int(1), bad = test_string("\xff");
	struct rmd_arguments arguments;
	uint32_t at = 99;
	rmd_arguments_put(&writer, &good);
	rmd_arguments_put_named(&writer, rmd_slice_of_string("a"), &good);
	size_t len = writer.len;
	rmd_arguments_put(&writer, &bad);
	assert_int_equal(rmd_arguments_get(written(), &arena, &arguments, &at),
			 RMD_EPROTO);
	assert_int_equal(at, 1);
	writer.len = len;
	rmd_arguments_put_named(&writer, rmd_slice_of_string("b"), &bad);
	assert_int_equal(rmd_arguments_get(written(), &arena, &arguments, &at),
			 RMD_EPROTO);
	assert_int_equal(at, 2);
}

static void a_full_arena_is_a_limit_and_lost_memory_is_not(void **state)
{
	(void)state;
	struct remuda_value value = test_string("some text");
	struct rmd_arguments arguments;
	rmd_arguments_put(&writer, &value);
	rmd_arguments_put_named(&writer, rmd_slice_of_string("name"), &value);
	assert_int_equal(rmd_arguments_get(written(), &arena, &arguments, NULL), 0);
	size_t needed = arena.used_bytes;
	for (size_t limit = 1; limit <= needed; limit++) {
		struct rmd_arena small;
		rmd_arena_init(&small, limit);
		assert_int_equal(rmd_arguments_get(written(), &small, &arguments, NULL),
				 limit < needed ? RMD_ELIMIT : 0);
		rmd_arena_fini(&small);
	}
	for (uint64_t n = 1;; n++) {
		struct rmd_arena fresh;
		rmd_arena_init(&fresh, 0);
		rmd_alloc_fail_at(n);
		int rc = rmd_arguments_get(written(), &fresh, &arguments, NULL);
		bool reached = n <= rmd_alloc_count();
		rmd_alloc_fail_at(0);
		rmd_arena_fini(&fresh);
		assert_int_equal(rc, reached ? RMD_ENOMEM : 0);
		if (!reached)
			break;
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(arguments_by_position_and_by_name_come_back),
		TEST(the_iterator_opens_no_value),
		TEST(no_arguments_are_no_bytes),
		TEST(more_than_255_of_a_sort_are_refused),
		TEST(a_bad_name_is_refused),
		TEST(the_place_of_a_bad_value_is_told),
		TEST(a_full_arena_is_a_limit_and_lost_memory_is_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
