/* Measures the worker protocol: the agent's end here, a real native worker with the
 *module demo in another process. Prints one JSON object a line.
 *
 *	bench_protocol WORKER MODULE_DIR */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/codec/arguments.h"
#include "tests/unit/protocol/worker_process.h"
#include "worker/protocol/protocol.h"

#define TASKS 1000000u
#define ROUNDS 5
#define ECHO_BYTES ((size_t)64 << 20)
#define ECHOS 16u
#define PINGS 20000u

struct bench {
	struct rmd_wp *end;
	bool ready;
	uint64_t outcomes, errors, payload_bytes;
	uint64_t reads;
};

static void on_ready(void *ctx)
{
	((struct bench *)ctx)->ready = true;
}

static void on_start_failed(void *ctx, struct rmd_slice error_chain)
{
	(void)ctx;
	fprintf(stderr,
		"bench_protocol: the worker does not start (%zu bytes of reasons)\n",
		error_chain.len);
	exit(1);
}

static void on_log(void *ctx, uint64_t lease, enum rmd_wp_log stream,
		   struct rmd_slice bytes, uint64_t dropped_bytes)
{
	(void)ctx;
	(void)lease;
	(void)stream;
	(void)dropped_bytes;
	fwrite(bytes.data, 1, bytes.len, stderr);
}

static void on_outcome(void *ctx, const struct rmd_wp_outcome *outcome)
{
	struct bench *bench = ctx;
	bench->outcomes++;
	bench->errors += outcome->kind == RMD_WP_ERROR;
	bench->payload_bytes += outcome->payload.bytes.len;
}

static const struct rmd_wp_events events = {
	.ready = on_ready,
	.start_failed = on_start_failed,
	.log = on_log,
	.outcome = on_outcome,
};

static void check(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "bench_protocol: %s: %s\n", what, rmd_errcode_text(rc));
	exit(1);
}

/* Gives up to `count` tasks and handles outcomes until all have theirs. */
static void run(struct bench *bench, const struct rmd_wp_task *model, uint64_t count)
{
	struct rmd_wp_task task = *model;
	uint64_t given = 0, until = bench->outcomes + count;
	static uint64_t lease;
	while (bench->outcomes < until) {
		int rc = 0;
		while (given < count && rc == 0) {
			task.lease = ++lease;
			rc = rmd_wp_give(bench->end, &task);
			given += rc == 0;
		}
		check(rc == RMD_EAGAIN ? 0 : rc, "give");
		rc = rmd_wp_flush(bench->end);
		check(rc == RMD_EAGAIN ? 0 : rc, "flush");
		(void)worker_process_poll(bench->end, 1000);
		bench->reads++;
		check(rmd_wp_read(bench->end), "read");
	}
}

static double best_of(struct bench *bench, const struct rmd_wp_task *task, uint64_t count)
{
	double best = 0;
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t begun_ns = rmd_clock_mono_ns();
		run(bench, task, count);
		double seconds = (double)(rmd_clock_mono_ns() - begun_ns) / 1e9;
		if ((double)count / seconds > best)
			best = (double)count / seconds;
	}
	return best;
}

static struct rmd_piece arguments_of(const struct remuda_value *value)
{
	struct rmd_wire_writer writer = {0};
	rmd_arguments_put(&writer, value);
	struct rmd_buf *buf = rmd_wire_writer_take(&writer);
	rmd_wire_writer_fini(&writer);
	if (buf == NULL)
		exit(1);
	return (struct rmd_piece){rmd_buf_slice(buf), buf};
}

static void bench_tasks(struct bench *bench)
{
	struct remuda_value seven = {.kind = REMUDA_INT64, .u.int64 = 7};
	struct rmd_wp_task task = {.function = rmd_slice_of_string("demo.square"),
				   .arguments = arguments_of(&seven),
				   .attempt = 1};
	run(bench, &task, 10000);
	uint64_t reads = bench->reads;
	double rate = best_of(bench, &task, TASKS);
	printf("{\"name\":\"protocol_tasks\",\"value\":%.0f,\"unit\":\"tasks/"
	       "s\",\"floor\":700000}\n",
	       rate);
	printf("{\"name\":\"protocol_tasks_per_wake\",\"value\":%.1f,\"unit\":\"tasks\"}"
	       "\n",
	       (double)TASKS * ROUNDS / (double)(bench->reads - reads));
	uint64_t begun_ns = rmd_clock_mono_ns();
	for (uint32_t i = 0; i < PINGS; i++)
		run(bench, &task, 1);
	printf("{\"name\":\"protocol_round_trip\",\"value\":%.2f,\"unit\":\"us\"}\n",
	       (double)(rmd_clock_mono_ns() - begun_ns) / 1e3 / PINGS);
	rmd_piece_unref(task.arguments);
}

static void bench_echo(struct bench *bench)
{
	uint8_t *bytes = malloc(ECHO_BYTES);
	if (bytes == NULL)
		exit(1);
	memset(bytes, 'x', ECHO_BYTES);
	struct remuda_value value = {.kind = REMUDA_BYTES,
				     .u.bytes = {bytes, ECHO_BYTES}};
	struct rmd_wp_task task = {.function = rmd_slice_of_string("demo.echo"),
				   .arguments = arguments_of(&value),
				   .attempt = 1};
	uint64_t begun_ns = rmd_clock_mono_ns();
	run(bench, &task, 1);
	double cold = (double)(rmd_clock_mono_ns() - begun_ns) / 1e9;
	double rate = best_of(bench, &task, ECHOS);
	printf("{\"name\":\"protocol_echo_64mib\",\"value\":%.0f,\"unit\":\"MB/"
	       "s\",\"floor\":3000}\n",
	       rate * 2 * (double)ECHO_BYTES / 1e6);
	printf("{\"name\":\"protocol_echo_64mib_cold\",\"value\":%.0f,\"unit\":\"MB/"
	       "s\"}\n",
	       2 * (double)ECHO_BYTES / 1e6 / cold);
	rmd_piece_unref(task.arguments);
	free(bytes);
}

int main(int argc, char **argv)
{
	struct bench bench = {0};
	char module[4096];
	const char *modules[] = {module};
	if (argc != 3) {
		fprintf(stderr, "usage: bench_protocol WORKER MODULE_DIR\n");
		return 2;
	}
	(void)snprintf(module, sizeof module, "%s/demo.so", argv[2]);
	bench.end = rmd_wp_open(RMD_WP_TASKS_MAX, &events, &bench);
	if (bench.end == NULL) {
		perror("bench_protocol");
		return 1;
	}
	pid_t pid = worker_process_start(bench.end, argv[1]);
	check(rmd_wp_send_setup(bench.end, modules, 1), "setup");
	while (!bench.ready) {
		(void)worker_process_poll(bench.end, 1000);
		check(rmd_wp_read(bench.end), "read");
	}
	bench_tasks(&bench);
	bench_echo(&bench);
	rmd_wp_send_stop(bench.end);
	int status = worker_process_wait(pid);
	rmd_wp_close(bench.end);
	return status != 0 || bench.errors != 0;
}
