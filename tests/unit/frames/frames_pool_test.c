#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/frames_pool.h"
#include "proto/codec/frames_unary.h"

static const struct rmd_pair environment[] = {
	{{(const uint8_t *)"PATH", 4}, {(const uint8_t *)"/bin", 4}},
	{{(const uint8_t *)"A", 1}, {(const uint8_t *)"1", 1}},
	{{(const uint8_t *)"A", 1}, {(const uint8_t *)"2", 1}}};
static const struct rmd_digest modules[] = {{{1, 2, 3}}, {{4, 5, 6}}};
static const struct rmd_digest other_modules[] = {{{1, 2, 3}}, {{4, 5, 7}}};
static const struct rmd_pair labels[] = {
	{{(const uint8_t *)"zone", 4}, {(const uint8_t *)"b", 1}}};

static struct rmd_pool_spec spec_full(void)
{
	return (struct rmd_pool_spec){
		.name = rmd_slice_of_string("shared"),
		.runtime = rmd_slice_of_string("native"),
		.max_workers = 4,
		.idle_timeout_ms = 500,
		.environment = environment,
		.environment_count = 3,
		.modules = modules,
		.module_count = 2,
		.max_tasks_per_worker = 9,
		.cpu_milli = 250,
		.memory_bytes = 1 << 30,
		.labels = labels,
		.label_count = 1,
		.initializer = rmd_slice_of_string("native:demo.setup"),
		.initializer_arguments = rmd_slice_of_string("raw"),
		.leak_bytes = 5,
		.broken_on_crash = true,
	};
}

static struct rmd_pool_spec *copy_of(const struct rmd_pool_spec *spec)
{
	struct rmd_pool_spec *copy = NULL;
	const char *field = "";
	assert_int_equal(rmd_pool_spec_copy(spec, &copy, &field), 0);
	return copy;
}

static void a_copy_is_whole_sorted_and_terminated(void **state)
{
	(void)state;
	struct rmd_pool_spec full = spec_full(), *copy = copy_of(&full);
	assert_string_equal((const char *)copy->name.data, "shared");
	assert_string_equal((const char *)copy->runtime.data, "native");
	assert_int_equal(copy->environment_count, 2);
	assert_string_equal((const char *)copy->environment[0].key.data, "A");
	assert_string_equal((const char *)copy->environment[0].value.data,
			    "2"); /* the last one counts */
	assert_string_equal((const char *)copy->environment[1].key.data, "PATH");
	assert_string_equal((const char *)copy->environment[1].value.data, "/bin");
	assert_int_equal(copy->module_count, 2);
	assert_memory_equal(copy->modules, modules, sizeof modules);
	assert_string_equal((const char *)copy->labels[0].value.data, "b");
	assert_int_equal(copy->max_tasks_per_worker, 9);
	assert_string_equal((const char *)copy->initializer.data, "native:demo.setup");
	assert_true(rmd_slice_equal(copy->initializer_arguments,
				    rmd_slice_of_string("raw")));
	assert_int_equal(copy->leak_bytes, 5);
	assert_true(copy->broken_on_crash);
	rmd_pool_spec_free(copy);
	rmd_pool_spec_free(NULL);
}

static void only_max_workers_makes_a_resize(void **state)
{
	(void)state;
	struct rmd_pool_spec full = spec_full(), other = spec_full();
	struct rmd_pool_spec *a = copy_of(&full), *b;
	const char *field = NULL;
	b = copy_of(&other);
	assert_int_equal(rmd_pool_spec_match(a, b, &field), RMD_POOL_SAME);
	rmd_pool_spec_free(b);
	other.max_workers = 8;
	b = copy_of(&other);
	assert_int_equal(rmd_pool_spec_match(a, b, &field), RMD_POOL_RESIZED);
	assert_null(field);
	rmd_pool_spec_free(b);
	rmd_pool_spec_free(a);
}

static void a_default_is_the_same_as_its_value(void **state)
{
	(void)state;
	struct rmd_pool_spec zero = {.runtime = rmd_slice_of_string("native")};
	struct rmd_pool_spec said = zero;
	said.idle_timeout_ms = RMD_POOL_IDLE_TIMEOUT_DEFAULT_MS;
	said.cpu_milli = RMD_POOL_CPU_DEFAULT_MILLI;
	said.leak_bytes = RMD_POOL_LEAK_DEFAULT_BYTES;
	struct rmd_pool_spec *a = copy_of(&zero), *b = copy_of(&said);
	const char *field = NULL;
	assert_int_equal(rmd_pool_spec_match(a, b, &field), RMD_POOL_SAME);
	rmd_pool_spec_free(a);
	rmd_pool_spec_free(b);
}

static void each_field_that_differs_is_named(void **state)
{
	(void)state;
	static const char *const names[] = {
		"name",	       "runtime",      "idle_timeout_ms", "environment",
		"environment", "modules",      "modules",	  "max_tasks_per_worker",
		"cpu_milli",   "memory_bytes", "labels",	  "initializer",
		"initializer", "leak_bytes",   "broken_on_crash"};
	struct rmd_pool_spec full = spec_full(), *a = copy_of(&full);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct rmd_pool_spec other = spec_full();
		switch (i) {
		case 0:
			other.name = rmd_slice_of_string("other");
			break;
		case 1:
			other.runtime = rmd_slice_of_string("python");
			other.initializer = rmd_slice_of_string("python:setup");
			break;
		case 2:
			other.idle_timeout_ms = 0;
			break;
		case 3:
			other.environment_count = 2;
			break; /* A is 1 now */
		case 4:
			other.environment_count = 1;
			break;
		case 5:
			other.module_count = 1;
			break;
		case 6:
			other.modules = other_modules;
			break;
		case 7:
			other.max_tasks_per_worker = 0;
			break;
		case 8:
			other.cpu_milli = 0;
			break;
		case 9:
			other.memory_bytes = 0;
			break;
		case 10:
			other.label_count = 0;
			break;
		case 11:
			other.initializer = rmd_slice_of_string("native:demo.other");
			break;
		case 12:
			other.initializer_arguments = rmd_slice_of_string("");
			break;
		case 13:
			other.leak_bytes = RMD_POOL_LEAK_NEVER;
			break;
		case 14:
			other.broken_on_crash = false;
			break;
		}
		struct rmd_pool_spec *b = copy_of(&other);
		const char *field = "";
		assert_int_equal(rmd_pool_spec_match(a, b, &field), RMD_POOL_DIFFERENT);
		assert_string_equal(field, names[i]);
		rmd_pool_spec_free(b);
	}
	rmd_pool_spec_free(a);
}

static void an_initializer_is_of_the_runtime_of_its_pool(void **state)
{
	(void)state;
	static const struct {
		const char *function, *arguments;
		int rc;
	} cases[] = {{"native:a", "", 0},	    {"native:", "", RMD_EINVAL},
		     {"python:a", "", RMD_EINVAL},  {"native", "", RMD_EINVAL},
		     {"", "x", 0 /* not said */},   {"nativ:ae", "", RMD_EINVAL}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct rmd_pool_spec spec = {
			.runtime = rmd_slice_of_string("native"),
			.initializer = rmd_slice_of_string(cases[i].function),
			.initializer_arguments = rmd_slice_of_string(cases[i].arguments)};
		struct rmd_pool_spec *copy = NULL;
		const char *field = "";
		assert_int_equal(rmd_pool_spec_copy(&spec, &copy, &field), cases[i].rc);
		if (cases[i].rc != 0)
			assert_string_equal(
				field,
				"PoolSpec.initializer (RUNTIME:NAME, of its runtime)");
		rmd_pool_spec_free(copy);
	}
}

static void what_an_initializer_takes_is_bounded(void **state)
{
	(void)state;
	static uint8_t bytes[RMD_POOL_INITIALIZER_ARGUMENTS_MAX_BYTES + 1];
	for (size_t over = 0; over <= 1; over++) {
		struct rmd_pool_spec spec = {
			.runtime = rmd_slice_of_string("native"),
			.initializer = rmd_slice_of_string("native:a"),
			.initializer_arguments =
				rmd_slice_of(bytes, sizeof bytes - 1 + over)};
		struct rmd_pool_spec *copy = NULL;
		const char *field = "";
		assert_int_equal(rmd_pool_spec_copy(&spec, &copy, &field),
				 over ? RMD_ETOOBIG : 0);
		rmd_pool_spec_free(copy);
	}
}

static void each_failing_allocation_is_an_error_and_nothing_leaks(void **state)
{
	(void)state;
	struct rmd_pool_spec full = spec_full(), *copy = NULL;
	const char *field = "";
	int rc = RMD_ENOMEM;
	unsigned failures = 0;
	for (uint64_t n = 1; rc != 0; n++) {
		rmd_alloc_fail_at(n);
		rc = rmd_pool_spec_copy(&full, &copy, &field);
		rmd_alloc_fail_at(0);
		assert_true(rc == 0 || rc == RMD_ENOMEM);
		failures += rc != 0;
	}
	assert_true(failures >= 2);
	rmd_pool_spec_free(copy);

	struct rmd_run_request request;
	struct rmd_buf *arguments = NULL;
	assert_int_equal(
		rmd_run_request_read(rmd_slice_of("\x12\x00", 2), &request, &field), 0);
	rmd_alloc_fail_at(1);
	assert_int_equal(rmd_run_request_arguments(&request, &arguments), RMD_ENOMEM);
	rmd_alloc_fail_at(1);
	assert_null(rmd_arguments_of_value(rmd_slice_of("", 0)));
	rmd_alloc_fail_at(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_is_whole_sorted_and_terminated),
		cmocka_unit_test(only_max_workers_makes_a_resize),
		cmocka_unit_test(a_default_is_the_same_as_its_value),
		cmocka_unit_test(each_field_that_differs_is_named),
		cmocka_unit_test(an_initializer_is_of_the_runtime_of_its_pool),
		cmocka_unit_test(what_an_initializer_takes_is_bounded),
		cmocka_unit_test(each_failing_allocation_is_an_error_and_nothing_leaks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
