/* tests/bench/client_bench.c: speed of a C client against a coordinator, one figure a
 * call.
 *
 * client_bench MODE [ADDRESS|-] MODULE [N]
 *
 * MODE: submit (N no-op tasks, one future each: seconds), round_trip (N tasks one
 * after another: median and 99th percentile in microseconds), echo (64 MiB there and
 * back, N times: median seconds), once (one task), queue (N tasks behind one that
 * sleeps; prints "queued", ends at the end of its input). ADDRESS "-": a private
 * coordinator. Prints numbers, separated by blanks. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <remuda/remuda.h>

#define ECHO_BYTES (64u << 20)

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void give_up(struct remuda_error *err)
{
	remuda_error_print(err, stderr);
	exit(1);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static int64_t square(struct remuda *client, int64_t number)
{
	struct remuda_error *err = NULL;
	int64_t result = 0;
	if (remuda_get(remuda_submit_name(client, "native:demo.square", number), &result, &err) < 0)
		give_up(err);
	if (result != number * number)
		abort();
	return result;
}

static void bench_submit(struct remuda *client, size_t count)
{
	struct remuda_future **futures = calloc(count, sizeof *futures);
	struct remuda_error *err = NULL;
	if (futures == NULL)
		abort();
	for (int64_t i = 0; i < 1000; i++)
		square(client, i);
	double begun = now();
	for (size_t i = 0; i < count; i++)
		futures[i] = remuda_submit_name(client, "native:demo.square", (int64_t)i);
	for (size_t i = 0; i < count; i++) {
		int64_t result = 0;
		if (remuda_get(futures[i], &result, &err) < 0)
			give_up(err);
		if (result != (int64_t)(i * i))
			abort();
	}
	printf("%.6f\n", now() - begun);
	free(futures);
}

static void bench_round_trip(struct remuda *client, size_t count)
{
	double *times = calloc(count, sizeof *times);
	if (times == NULL)
		abort();
	for (int64_t i = 0; i < 500; i++)
		square(client, i);
	for (size_t i = 0; i < count; i++) {
		double begun = now();
		square(client, 21);
		times[i] = (now() - begun) * 1e6;
	}
	qsort(times, count, sizeof *times, compare);
	printf("%.3f %.3f\n", times[count / 2], times[count * 99 / 100]);
	free(times);
}

static double echo_once(struct remuda *client, struct remuda_bytes bytes)
{
	struct remuda_error *err = NULL;
	const struct remuda_value *value;
	double begun = now();
	struct remuda_future *future = remuda_submit_name(client, "native:demo.echo", bytes);
	if (remuda_result(future, &value, &err) < 0)
		give_up(err);
	double took = now() - begun;
	if (value->kind != REMUDA_BYTES || value->u.bytes.len != bytes.len ||
	    memcmp(value->u.bytes.data, bytes.data, bytes.len) != 0)
		abort();
	remuda_future_free(future);
	return took;
}

static void bench_echo(struct remuda *client, size_t count)
{
	unsigned char *data = malloc(ECHO_BYTES);
	double *times = calloc(count, sizeof *times);
	if (data == NULL || times == NULL)
		abort();
	for (size_t i = 0; i < ECHO_BYTES; i++)
		data[i] = (unsigned char)(i * 2654435761u >> 24);
	struct remuda_bytes bytes = {data, ECHO_BYTES};
	echo_once(client, bytes);
	for (size_t i = 0; i < count; i++)
		times[i] = echo_once(client, bytes);
	qsort(times, count, sizeof *times, compare);
	printf("%.6f\n", times[count / 2]);
	free(times);
	free(data);
}

static void bench_queue(struct remuda *client, size_t count)
{
	remuda_future_free(remuda_submit_name(client, "native:demo.sleep_ms", 3600000));
	for (size_t i = 0; i < count; i++)
		remuda_future_free(remuda_submit_name(client, "native:demo.square", (int64_t)i));
	puts("queued");
	fflush(stdout);
	while (getchar() != EOF) {
	}
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fputs("usage: client_bench MODE ADDRESS|- MODULE [N]\n", stderr);
		return 2;
	}
	const char *modules[] = {argv[3], NULL};
	size_t count = argc > 4 ? strtoul(argv[4], NULL, 10) : 1;
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	struct remuda_error *err = NULL;
	options.address = strcmp(argv[2], "-") == 0 ? "private" : argv[2];
	if (strcmp(argv[2], "-") == 0)
		options.modules = modules;
	struct remuda *client = remuda_open_with(&options, &err);
	if (client == NULL)
		give_up(err);
	if (strcmp(argv[1], "submit") == 0)
		bench_submit(client, count);
	else if (strcmp(argv[1], "round_trip") == 0)
		bench_round_trip(client, count);
	else if (strcmp(argv[1], "echo") == 0)
		bench_echo(client, count);
	else if (strcmp(argv[1], "queue") == 0)
		bench_queue(client, count);
	else if (strcmp(argv[1], "once") == 0)
		printf("%lld\n", (long long)square(client, 21));
	else
		return 2;
	fflush(stdout);
	remuda_close(client);
	return 0;
}
