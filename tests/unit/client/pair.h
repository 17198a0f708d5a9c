/* tests/unit/client/pair.h: a fake coordinator and a client of it, for each test. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include <remuda/remuda.h>

#include "tests/unit/client/fake.h"

struct pair {
	struct fake *fake;
	struct remuda *client;
};

static inline int begin(void **state, const struct fake_options *options)
{
	struct pair *pair = calloc(1, sizeof *pair);
	struct remuda_error *err = NULL;
	struct remuda_options open = REMUDA_OPTIONS_INIT;
	pair->fake = fake_start(options);
	open.address = fake_address(pair->fake);
	pair->client = remuda_open_with(&open, &err);
	if (pair->client == NULL)
		remuda_error_print(err, stderr);
	*state = pair;
	return pair->client == NULL ? -1 : 0;
}

static inline int setup(void **state)
{
	return begin(state, &(struct fake_options){0});
}

static inline int setup_narrow(void **state)
{
	return begin(state, &(struct fake_options){.window = 3});
}

static inline int teardown(void **state)
{
	struct pair *pair = *state;
	remuda_close(pair->client);
	fake_stop(pair->fake);
	free(pair);
	return 0;
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define NARROW(test) cmocka_unit_test_setup_teardown(test, setup_narrow, teardown)
