/* map: one function over any number of items, in constant memory.
 *
 *	./map demo.so 100000
 *
 * Adds up the squares of 1 to N. Items are drawn as results are taken, so that never more
 * than the window are under way. */
#include <remuda/remuda.h>

#include <stdio.h>
#include <stdlib.h>

struct counter {
	int64_t next, last;
	struct remuda_arg arg; /* lives until the next call, as the source promises */
};

static int next_number(void *ctx, struct remuda_item *ret_item)
{
	struct counter *counter = ctx;
	if (counter->next > counter->last)
		return 0;
	counter->arg = REMUDA_ARG(counter->next++);
	*ret_item = (struct remuda_item){&counter->arg, 1};
	return 1;
}

static int failed(struct remuda_error *err)
{
	remuda_error_print(err, stderr);
	remuda_error_free(err);
	return 1;
}

int main(int argc, char **argv)
{
	const char *modules[] = {argc > 1 ? argv[1] : "demo.so", NULL};
	struct counter counter = {.next = 1,
				  .last = argc > 2 ? strtoll(argv[2], NULL, 10) : 1000};
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	struct remuda_map_options how = REMUDA_MAP_OPTIONS_INIT;
	struct remuda_error *err = NULL;
	struct remuda_future *future;
	int64_t sum = 0, squared;

	options.modules = modules;
	struct remuda *client = remuda_open_with(&options, &err);
	if (client == NULL)
		return failed(err);

	how.as_completed = true;     /* the order does not matter for a sum */
	struct remuda_mapping *map =
		remuda_map(client, "native:demo.square", next_number, &counter, &how);
	while (remuda_map_next(map, -1, &future, NULL) == 0) {
		if (remuda_get(future, &squared, &err) < 0)
			return failed(err);
		sum += squared;
	}
	remuda_map_close(map);
	printf("%lld\n", (long long)sum);
	remuda_close(client);
	return 0;
}
