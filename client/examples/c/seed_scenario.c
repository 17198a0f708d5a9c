/* Functions of this very program, sent to workers that have never seen it: the steps of a
 * page of loky's documentation, in C.
 *
 * 1. A function and one that it is to call live here, in main's file: both are found at
 * the top level of the task and captured.
 * 2. Nested in an argument it is not: the error says how to go on.
 * 3. The switch: the same with everything of the program's own captured.
 * 4. What that costs: a list of a million integers goes along, captured and by default.
 * 5. The wrap: only the function is captured, whatever the encoder. */
#include <remuda/remuda.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BIG 1000000

/* Takes the first item while there is a list, then calls what is left with x. */
REMUDA_TASK(static struct remuda_value, call_function, (remuda_ctx *, ctx),
	    (struct remuda_value, list_or_func), (int64_t, x),
	    (struct remuda_value, rest))
{
	struct remuda_value arg = {.kind = REMUDA_INT64, .u.int64 = x};
	struct remuda_value result = {.kind = REMUDA_NULL};
	(void)rest;
	while (remuda_value_listlike(&list_or_func) &&
	       remuda_value_list_len(&list_or_func) > 0)
		list_or_func = remuda_value_list_item(&list_or_func, 0);
	(void)remuda_call(ctx, &list_or_func, &arg, 1, &result);
	return result;
}

REMUDA_TASK(static int64_t, func_async, (int64_t, i))
{
	return 2 * i;
}

REMUDA_TASK(static struct remuda_value, id, (struct remuda_value, x))
{
	return x;
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* [[function]] */
struct nest {
	struct remuda_value function, inner;
};

static struct remuda_value nested(struct nest *nest, struct remuda_value function)
{
	struct remuda_value outer = {.kind = REMUDA_LIST};
	nest->function = function;
	nest->inner = (struct remuda_value){.kind = REMUDA_LIST};
	nest->inner.u.list.items = &nest->function;
	nest->inner.u.list.len = 1;
	outer.u.list.items = &nest->inner;
	outer.u.list.len = 1;
	return outer;
}

/* Prints the result, or the chain; true: it was 42, or an error where one is due. */
static bool show(const char *step, struct remuda_future *future, bool fails)
{
	struct remuda_error *err = NULL;
	int64_t result = 0;
	int code = remuda_get(future, &result, &err);
	if (code < 0) {
		printf("%s:\n", step);
		remuda_error_print(err, stdout);
		remuda_error_free(err);
		return fails;
	}
	printf("%s: %lld\n", step, (long long)result);
	return !fails && result == 42;
}

/* One run, in seconds; a large number: it failed. */
static double measure(struct remuda *client, enum remuda_encoder encoder,
		      struct remuda_value function, const struct remuda_value *big)
{
	struct remuda_error *err = NULL;
	int64_t result;
	remuda_set_encoder(encoder);
	double begun = now();
	if (remuda_get(remuda_submit(client, call_function, function, 21, big), &result,
		       &err) == 0)
		return now() - begun;
	remuda_error_print(err, stderr);
	remuda_error_free(err);
	return 1e9;
}

static double least(double a, double b)
{
	return a < b ? a : b;
}

/* Step 4 and 5: in turns, and the least of each, since other programs run too. */
static bool compare(struct remuda *client, const struct remuda_value *big)
{
	struct nest nest, wrapped;
	struct remuda_value inside = nested(&nest, remuda_fn(func_async));
	struct remuda_value wrap = nested(&wrapped, remuda_wrap(func_async));
	double captured_s = 1e9, default_s = 1e9, wrapped_s = 1e9;
	for (int i = 0; i < 15; i++) {
		captured_s = least(captured_s,
				   measure(client, REMUDA_ENCODER_CAPTURE, inside, big));
		default_s = least(default_s, measure(client, REMUDA_ENCODER_SCHEMA,
						     remuda_fn(func_async), big));
		wrapped_s = least(wrapped_s,
				  measure(client, REMUDA_ENCODER_SCHEMA, wrap, big));
	}
	printf("\na list of a million integers goes along:\n"
	       "  4 everything captured %8.1f ms   %.2f times the default\n"
	       "  4 default             %8.1f ms\n"
	       "  5 wrapped             %8.1f ms   %.2f times the default\n",
	       captured_s * 1e3, captured_s / default_s, default_s * 1e3, wrapped_s * 1e3,
	       wrapped_s / default_s);
	return captured_s < 1e9 && default_s < 1e9 && wrapped_s < 1e9;
}

int main(int argc, char **argv)
{
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	struct remuda_error *err = NULL;
	struct nest nest, wrapped;
	options.address = argc > 1 ? argv[1] : NULL;
	options.max_workers = 1;
	struct remuda *client = remuda_open_with(&options, &err);
	struct remuda_value *items = calloc(BIG, sizeof *items);
	if (client == NULL || items == NULL) {
		remuda_error_print(err, stderr);
		return 1;
	}
	for (int i = 0; i < BIG; i++)
		items[i] = (struct remuda_value){.kind = REMUDA_INT64, .u.int64 = i};
	struct remuda_value big = {.kind = REMUDA_LIST};
	big.u.list.items = items;
	big.u.list.len = BIG;
	bool good = true;

	good &= show(
		"1 detect",
		remuda_submit(client, call_function, remuda_fn(func_async), 21, NULL),
		false);
	good &= show("2 nested",
		     remuda_submit(client, id, nested(&nest, remuda_fn(func_async))),
		     true);
	remuda_set_encoder(REMUDA_ENCODER_CAPTURE);
	struct remuda_value inside = nested(&nest, remuda_fn(func_async));
	good &= show("3 switch", remuda_submit(client, call_function, inside, 21, NULL),
		     false);
	remuda_set_encoder(REMUDA_ENCODER_SCHEMA);
	good &= show("5 wrap",
		     remuda_submit(client, call_function,
				   nested(&wrapped, remuda_wrap(func_async)), 21, NULL),
		     false);
	good &= compare(client, &big);
	remuda_close(client);
	free(items);
	return good ? 0 : 1;
}
