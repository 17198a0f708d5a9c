/* hello: one function of a module, by name, and with its types checked.
 *
 *	cc hello.c -o hello $(pkg-config --cflags --libs remuda)
 *	./hello demo.so 21
 *
 * No server is needed: remuda starts one for this program, which ends with it. */
#include <remuda/remuda.h>

#include <stdio.h>
#include <stdlib.h>

/* What the module has, said again for the compiler: see client/examples/modules/demo.c.
 */
REMUDA_TASK_IN("demo", int64_t, square, (int64_t, x));

static int failed(struct remuda_error *err)
{
	remuda_error_print(err, stderr);
	remuda_error_free(err);
	return 1;
}

int main(int argc, char **argv)
{
	const char *modules[] = {argc > 1 ? argv[1] : "demo.so", NULL};
	int64_t number = argc > 2 ? strtoll(argv[2], NULL, 10) : 21, by_name, typed;
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	struct remuda_error *err = NULL;

	options.modules = modules;
	struct remuda *client = remuda_open_with(&options, &err);
	if (client == NULL)
		return failed(err);

	/* By name: the worker checks the arguments. */
	struct remuda_future *first =
		remuda_submit_name(client, "native:demo.square", number);
	/* By declaration: this program does, before anything is sent. */
	struct remuda_future *second = remuda_submit(client, square, number);

	if (remuda_get(first, &by_name, &err) < 0 || remuda_get(second, &typed, &err) < 0)
		return failed(err);
	printf("%lld %lld\n", (long long)by_name, (long long)typed);

	/* A task that fails gives a chain of errors; the one that started it all comes
	 * first. */
	if (remuda_get(remuda_submit_name(client, "native:demo.fail"), NULL, &err) < 0) {
		remuda_error_print(err, stdout);
		remuda_error_free(err);
	}
	remuda_close(client);
	return 0;
}
