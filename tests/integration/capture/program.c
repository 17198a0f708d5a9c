/* A program whose own static functions run on workers: built in many ways by
 * CMakeLists.txt. `program ADDRESS WHAT…`: does each, and prints a line for each. */
#include <dlfcn.h>
#include <errno.h>
#include <remuda/remuda.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static __thread int64_t thread_local_start = 100;
static int64_t constructed;
static int64_t global = 7;
static int ended;

__attribute__((constructor)) static void construct(void)
{
	constructed = 11;
}

static void at_end(void)
{
	ended = 1;
}

REMUDA_TASK(static int64_t, twice, (int64_t, i))
{
	return 2 * i;
}

/* What the loader and constructors have set up is there. */
REMUDA_TASK(static int64_t, set_up, (int64_t, i))
{
	thread_local_start++;
	return i + constructed + thread_local_start + global +
	       (atexit(at_end) == 0 ? 0 : 1000);
}

REMUDA_TASK(static const char *, variable, (remuda_ctx *, ctx), (const char *, name))
{
	const char *value = getenv(name);
	return remuda_format(ctx, "%s", value != NULL ? value : "(none)");
}

/* What a task starts is no worker. */
REMUDA_TASK(static int64_t, child, (int64_t, code))
{
	char command[64];
	snprintf(command, sizeof command, "exit %d", (int)code);
	int status = system(command);
	return status < 0 ? -1 : status >> 8;
}

REMUDA_TASK(static int64_t, pid, (int64_t, microseconds))
{
	struct timespec time = {0, (long)microseconds * 1000};
	(void)nanosleep(&time, NULL);
	return getpid();
}

REMUDA_TASK(static double, total, (struct remuda_doubles, items))
{
	double sum = 0;
	for (size_t i = 0; i < items.len; i++)
		sum += items.data[i];
	return sum;
}

REMUDA_TASK(static int64_t, fails, (int64_t, row))
{
	remuda_raise("ParseError", "row %d: expected 4 fields, found 3", (int)row);
	return 0;
}

REMUDA_TASK(static int64_t, crashes, (int64_t, i))
{
	volatile int64_t *nowhere = (volatile int64_t *)(uintptr_t)8;
	return *nowhere + i;
}

/* A captured function calls one by name, and is its parent. */
REMUDA_TASK(static int64_t, parent, (remuda_ctx *, ctx), (int64_t, x))
{
	struct remuda_value arg = {.kind = REMUDA_INT64, .u.int64 = x}, result;
	uint64_t task = remuda_ctx_submit(ctx, "native:demo.square", &arg, 1);
	if (task == 0 || remuda_ctx_get(ctx, task, &result) < 0)
		return -1;
	return result.u.int64;
}

REMUDA_TASK(static struct remuda_value, call_first, (remuda_ctx *, ctx),
	    (struct remuda_value, function), (int64_t, x))
{
	struct remuda_value arg = {.kind = REMUDA_INT64, .u.int64 = x};
	struct remuda_value result = {.kind = REMUDA_NULL};
	if (remuda_value_listlike(&function))
		function = remuda_value_list_item(&function, 0);
	(void)remuda_call(ctx, &function, &arg, 1, &result);
	return result;
}

/* Globals that travel, and are as before when the next task comes. */
static int64_t scale = 1;
static char label[8] = "none";
REMUDA_TASK(static int64_t, scaled, (int64_t, x))
{
	int64_t result = scale * x + label[0];
	scale = -1;
	return result;
}

REMUDA_TASK(static int64_t, add_bound, (struct remuda_bytes, bound), (int64_t, x))
{
	int64_t more;
	memcpy(&more, bound.data, sizeof more);
	return x + more;
}

static int print_int(const char *what, struct remuda_future *future)
{
	struct remuda_error *err = NULL;
	int64_t value;
	if (remuda_get(future, &value, &err) < 0) {
		remuda_error_print(err, stderr);
		remuda_error_free(err);
		printf("%s failed\n", what);
		return 1;
	}
	printf("%s %lld\n", what, (long long)value);
	return 0;
}

static int print_text(const char *what, struct remuda_future *future)
{
	struct remuda_error *err = NULL;
	char *text;
	if (remuda_get(future, &text, &err) < 0) {
		remuda_error_print(err, stderr);
		remuda_error_free(err);
		printf("%s failed\n", what);
		return 1;
	}
	printf("%s %s\n", what, text);
	free(text);
	return 0;
}

static int print_total(struct remuda *client)
{
	struct remuda_error *err = NULL;
	double sum = 0;
	double *items = malloc(1000000 * sizeof *items);
	for (int i = 0; items != NULL && i < 1000000; i++)
		items[i] = 0.5;
	struct remuda_doubles all = {items, 1000000};
	int code = remuda_get(remuda_submit(client, total, all), &sum, &err);
	if (code < 0)
		remuda_error_print(err, stderr);
	remuda_error_free(err);
	free(items);
	printf("total %.1f\n", sum);
	return code < 0;
}

/* Many at a time: all of them, in the workers of this program. */
static int print_many(struct remuda *client)
{
	enum { MANY = 2000 };
	static struct remuda_future *futures[MANY];
	int64_t sum = 0, value;
	for (int i = 0; i < MANY; i++)
		futures[i] = remuda_submit(client, twice, i);
	for (int i = 0; i < MANY; i++)
		if (remuda_get(futures[i], &value, NULL) == 0)
			sum += value;
	printf("many %lld\n", (long long)sum);
	return 0;
}

static int print_globals(struct remuda *client)
{
	static __thread int64_t own;
	struct remuda_task_options options = REMUDA_TASK_OPTIONS_INIT;
	int failures = 0;
	scale = 10;
	memcpy(label, "A", 2);
	options.globals = REMUDA_WITH(scale, label);
	failures += print_int("globals", remuda_submit_with(client, &options, scaled, 4));
	failures += print_int("without", remuda_submit(client, scaled, 4));
	options.globals = REMUDA_WITH(own);
	(void)print_int("own", remuda_submit_with(client, &options, scaled, 4));
	return failures;
}

static int print_bound(struct remuda *client)
{
	int64_t more = 100;
	struct remuda_bound bound;
	struct remuda_bytes bytes = {&more, sizeof more};
	struct remuda_value function = remuda_bind(&bound, remuda_fn(add_bound), bytes);
	return print_int("bound", remuda_submit(client, call_first, function, 5));
}

static int print_plugin(struct remuda *client, const char *path)
{
	struct remuda_future *(*submit)(struct remuda *, int64_t);
	void *plugin = dlopen(path, RTLD_NOW);
	void *found = plugin == NULL ? NULL : dlsym(plugin, "plugin_submit");
	memcpy(&submit, &found, sizeof submit);
	if (submit == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	return print_int("plugin", submit(client, 14)) +
	       print_int("plugin", submit(client, 15));
}

static int print_call(struct remuda *client, const char *what)
{
	struct remuda_value items[1] = {remuda_fn(twice)};
	struct remuda_value list = {.kind = REMUDA_LIST},
			    name = {.kind = REMUDA_FUNCTION};
	list.u.list.items = items;
	list.u.list.len = 1;
	name.u.string = (struct remuda_string){"native:demo.square", 18};
	if (strcmp(what, "nested") == 0)
		return print_int(what, remuda_submit(client, call_first, list, 21));
	if (strcmp(what, "function") == 0)
		return print_int(what, remuda_submit(client, call_first, items[0], 21));
	return print_int(what, remuda_submit(client, call_first, name, 7));
}

static int run(struct remuda *client, const char *what)
{
	if (strcmp(what, "nested") == 0 || strcmp(what, "function") == 0 ||
	    strcmp(what, "by_name") == 0)
		return print_call(client, what);
	if (strcmp(what, "globals") == 0)
		return print_globals(client);
	if (strcmp(what, "bound") == 0)
		return print_bound(client);
	if (strncmp(what, "plugin:", 7) == 0)
		return print_plugin(client, what + 7);
	if (strcmp(what, "twice") == 0)
		return print_int(what, remuda_submit(client, twice, 21));
	if (strcmp(what, "set_up") == 0)
		return print_int(what, remuda_submit(client, set_up, 1000));
	if (strcmp(what, "child") == 0)
		return print_int(what, remuda_submit(client, child, 5));
	if (strcmp(what, "pid") == 0)
		return print_int(what, remuda_submit(client, pid, 0));
	if (strcmp(what, "fails") == 0)
		return print_int(what, remuda_submit(client, fails, 7));
	if (strcmp(what, "crashes") == 0)
		return print_int(what, remuda_submit(client, crashes, 7));
	if (strcmp(what, "parent") == 0)
		return print_int(what, remuda_submit(client, parent, 9));
	if (strcmp(what, "wrong") == 0)
		return print_int(what, remuda_submit(client, twice, "text"));
	if (strcmp(what, "square") == 0)
		return print_int(what,
				 remuda_submit_name(client, "native:demo.square", 6));
	if (strcmp(what, "total") == 0)
		return print_total(client);
	if (strcmp(what, "many") == 0)
		return print_many(client);
	if (strncmp(what, "variable:", 9) == 0)
		return print_text(what, remuda_submit(client, variable, what + 9));
	fprintf(stderr, "what is %s?\n", what);
	return 1;
}

int main(int argc, char **argv)
{
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	struct remuda_error *err = NULL;
	int failures = 0;
	options.address = argc > 1 ? argv[1] : NULL;
	const char *workers = getenv("PROGRAM_WORKERS");
	options.max_workers = workers != NULL ? (uint32_t)atoi(workers) : 2;
	struct remuda *client = remuda_open_with(&options, &err);
	if (client == NULL) {
		remuda_error_print(err, stderr);
		return 2;
	}
	for (int i = 2; i < argc; i++) {
		failures += run(client, argv[i]);
		(void)fflush(stdout);
		if (getenv("PROGRAM_WAITS") != NULL && getchar() == EOF)
			break;
	}
	remuda_close(client);
	return failures > 0;
}
