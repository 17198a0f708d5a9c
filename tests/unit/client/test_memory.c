/* A client whose memory runs out, at each allocation in turn, while it submits and gets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/alloc_fault.h"
#include "tests/unit/client/pair.h"

/* What there is to submit: small; nested, with keys to be compared; by name and with
 * labels; larger than a thread's scratch. */
enum shape { SMALL, NESTED, LABELLED, LARGE, SHAPES };

static uint8_t large[300000];

static struct remuda_future *submit(struct remuda *client, enum shape shape)
{
	static const char *const labels[] = {"a=1", "b=2", NULL};
	struct remuda_task_options options = REMUDA_TASK_OPTIONS_INIT;
	struct remuda_entry pairs[2] = {
		{{.kind = REMUDA_INT64, .u.int64 = 1}, {.kind = REMUDA_NULL}},
		{{.kind = REMUDA_INT64, .u.int64 = 2}, {.kind = REMUDA_NULL}}};
	struct remuda_value map = {.kind = REMUDA_MAP, .u.map = {pairs, 2}};
	struct remuda_bytes bytes = {large, sizeof large};
	struct remuda_named_arg named = {"row", {.value = map}};
	struct remuda_call call = {.function = "x:echo",
				   .options = &options,
				   .named_args = &named,
				   .named_count = 1};
	options.labels = labels;
	switch (shape) {
	case SMALL:
		return remuda_submit_name(client, "x:echo", 1, "two", 3.0);
	case NESTED:
		return remuda_submit_name(client, "x:echo", map);
	case LABELLED:
		return remuda_submit_call(client, &call);
	case LARGE:
		return remuda_submit_name(client, "x:echo", bytes);
	case SHAPES:
		break;
	}
	return NULL;
}

/* One life of a future; the code that it ended with. Counts what this thread allocates.
 */
static int live(struct remuda *client, enum shape shape, uint64_t fail_at,
		uint64_t *ret_allocations)
{
	struct remuda_error *err = NULL;
	struct remuda_value value = {.kind = REMUDA_NULL};
	rmd_alloc_fail_here(fail_at);
	struct remuda_future *future = submit(client, shape);
	int rc = remuda_get(future, &value, &err);
	*ret_allocations = rmd_alloc_count();
	rmd_alloc_fail_here(0);
	assert_true((rc == 0) == (err == NULL));
	if (err != NULL && strcmp(remuda_error_type(err), "CoordinatorLost") != 0 &&
	    strcmp(remuda_error_type(err), "OutOfMemory") != 0 &&
	    strcmp(remuda_error_type(err), "NoFuture") != 0) /* submit gave NULL */
		fail_msg("allocation %d of shape %d: %s: %s", (int)fail_at, (int)shape,
			 remuda_error_type(err), remuda_error_message(err));
	remuda_error_free(err);
	remuda_value_free(&value);
	return rc;
}

static void each_allocation_that_fails_in_a_submit_fails_that_task_alone(void **state)
{
	struct pair *pair = *state;
	for (enum shape shape = SMALL; shape < SHAPES; shape++) {
		uint64_t count, ignored, failed = 0;
		assert_int_equal(live(pair->client, shape, UINT64_MAX, &count), 0);
		for (uint64_t n = 1; n <= count; n++) {
			int rc = live(pair->client, shape, n, &ignored);
			if (rc != 0 && rc != REMUDA_ENOMEM && rc != REMUDA_EUNREACHABLE)
				fail_msg("shape %d, allocation %d: %d", shape, (int)n,
					 rc);
			failed += rc != 0;
			assert_int_equal(live(pair->client, SMALL, UINT64_MAX, &ignored),
					 0);
		}
		print_message("shape %d: %d allocations, %d tasks failed\n", shape,
			      (int)count, (int)failed);
		assert_true(failed > 0);
	}
}

static void a_client_that_cannot_be_made_says_so(void **state)
{
	struct pair *pair = *state;
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	options.address = fake_address(pair->fake);
	for (uint64_t n = 1;; n++) {
		struct remuda_error *err = NULL;
		rmd_alloc_fail_here(n);
		struct remuda *client = remuda_open_with(&options, &err);
		bool failed = rmd_alloc_count() >= n;
		rmd_alloc_fail_here(0);
		assert_true(client != NULL || err != NULL);
		remuda_error_free(err);
		remuda_close(client);
		if (!failed)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(each_allocation_that_fails_in_a_submit_fails_that_task_alone),
		WITH(a_client_that_cannot_be_made_says_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
