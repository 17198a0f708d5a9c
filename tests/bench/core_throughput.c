/* tests/bench/core_throughput.c: the scheduler alone: task life cycles a second with
 * 1,000, 100,000 and 1,000,000 tasks queued, and what a queued task costs. One JSON
 * object a line. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "server/core/core.h"

#define SLOTS 256u

struct bench {
	struct rmd_core *core;
	struct rmd_core_client *client;
	struct rmd_core_pool *pool;
	struct rmd_core_agent *agent;
	uint64_t lease[SLOTS * 2];
	size_t granted;
	struct rmd_piece outcome;
	uint64_t number;
};

static void on_grant(void *ctx, struct rmd_core_agent *agent, struct rmd_core_task *task)
{
	struct bench *b = ctx;
	(void)agent;
	b->lease[b->granted++] = rmd_core_task_lease(task);
}

static void on_cancel(void *ctx, struct rmd_core_agent *agent, uint64_t lease)
{
	(void)ctx, (void)agent, (void)lease;
}

static void on_recall(void *ctx, struct rmd_core_agent *agent, struct rmd_core_pool *pool,
		      uint32_t leases)
{
	(void)ctx, (void)agent, (void)pool, (void)leases;
}

static void on_order(void *ctx, struct rmd_core_agent *agent, struct rmd_core_pool *pool,
		     const struct rmd_core_order *order)
{
	(void)ctx, (void)agent, (void)pool, (void)order;
}

static enum rmd_core_keep on_ended(void *ctx, struct rmd_core_task *task,
				   const struct rmd_core_ending *ending)
{
	(void)ctx, (void)task, (void)ending;
	return RMD_CORE_KEEP;
}

static void must(int rc)
{
	if (rc == 0)
		return;
	fprintf(stderr, "core_throughput: %s\n", rmd_errcode_text(rc));
	exit(1);
}

static void open_all(struct bench *b)
{
	static const struct rmd_core_port port = {
		.grant = on_grant,
		.cancel = on_cancel,
		.recall = on_recall,
		.order = on_order,
		.ended = on_ended,
	};
	struct rmd_core_config config = RMD_CORE_CONFIG_INIT;
	struct rmd_slice runtime = rmd_slice_of_string("native");
	struct rmd_core_pool_spec spec = {.runtime = runtime, .max_workers = 2};
	struct rmd_core_agent_info info = {.name = runtime,
					   .runtimes = &runtime,
					   .runtime_count = 1,
					   .cpu_milli = 2000};
	const char *field;
	bool reused;
	b->core = rmd_core_create(&config, &port, b);
	must(b->core == NULL ? RMD_ENOMEM : 0);
	must(rmd_core_client_open(b->core, 1, "uid:0", NULL, &b->client));
	must(rmd_core_pool_open(b->core, 1, b->client, &spec, &b->pool, &reused, &field));
	must(rmd_core_agent_attach(b->core, 1, &info, &b->agent));
	struct rmd_buf *buf = rmd_buf_copy(rmd_slice_of_string("\x08\x01\x10\x02"));
	must(buf == NULL ? RMD_ENOMEM : 0);
	b->outcome = (struct rmd_piece){rmd_buf_slice(buf), buf};
}

static void submit(struct bench *b)
{
	struct rmd_core_submit submit = {
		.number = ++b->number,
		.function = rmd_slice_of_string("native:demo.square"),
		.payload = {rmd_slice_of("\x0a\x02\x18\x2a", 4), NULL},
		.pool = b->pool,
	};
	must(rmd_core_submit(b->core, 1, b->client, &submit, NULL));
}

/* Ends all leases and acknowledges their tasks (numbers rise as leases do). */
static void end_leases(struct bench *b, uint64_t *acked)
{
	size_t count = b->granted;
	b->granted = 0;
	for (size_t i = 0; i < count; i++) {
		struct rmd_core_agent_outcome outcome = {.lease = b->lease[i],
							 .end = RMD_CORE_END_VALUE,
							 .outcome = b->outcome,
							 .began = true};
		must(rmd_core_agent_outcome(b->core, 1, b->agent, &outcome));
	}
	for (size_t i = 0; i < count; i++)
		must(rmd_core_ack(b->core, 1, b->client, ++*acked));
}

static void print(const char *name, uint64_t queued, double value, const char *unit)
{
	printf("{\"name\": \"%s_%llu\", \"value\": %.1f, \"unit\": \"%s\"}\n", name,
	       (unsigned long long)queued, value, unit);
}

/* Time on the processor: the scheduler never waits, and neighbours should not count. */
static uint64_t cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t heap_bytes(void)
{
	struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

/* Holds `queued` tasks while `cycles` more go through, then drains. */
static void run(uint64_t queued, uint64_t cycles)
{
	struct bench b = {0};
	uint64_t acked = 0;
	open_all(&b);
	size_t empty = heap_bytes();
	uint64_t start = cpu_ns();
	for (uint64_t i = 0; i < queued; i++)
		submit(&b);
	double filled = (double)(cpu_ns() - start);
	double bytes = (double)(heap_bytes() - empty) / (double)queued;
	rmd_core_tick(b.core, 1);
	struct rmd_core_agent_pool state = {
		.pool = rmd_core_pool_number(b.pool), .slots = SLOTS, .workers = 2};
	must(rmd_core_agent_pool(b.core, 1, b.agent, &state));
	rmd_core_tick(b.core, 1);
	start = cpu_ns();
	for (uint64_t done = 0; done < cycles;) {
		size_t batch = b.granted;
		end_leases(&b, &acked);
		for (size_t i = 0; i < batch; i++)
			submit(&b);
		done += batch;
		rmd_core_tick(b.core, 1);
	}
	double cycled = (double)(cpu_ns() - start);
	start = cpu_ns();
	while (b.granted > 0) {
		end_leases(&b, &acked);
		rmd_core_tick(b.core, 1);
	}
	double drained = (double)(cpu_ns() - start);
	print("core_submit", queued, (double)queued * 1e9 / filled, "1/s");
	print("core_life_cycle", queued, (double)cycles * 1e9 / cycled, "1/s");
	print("core_drain", queued, (double)queued * 1e9 / drained, "1/s");
	print("core_queued_task", queued, bytes, "bytes");
	print("core_after_drain", queued, (double)(heap_bytes() - empty), "bytes");
	rmd_piece_unref(b.outcome);
	rmd_core_destroy(b.core);
}

int main(void)
{
	static const uint64_t sizes[] = {1000, 100000, 1000000};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		run(sizes[i], 2000000);
	return 0;
}
