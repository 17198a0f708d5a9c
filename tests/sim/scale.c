#include "tests/sim/scale.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "server/core/core.h"
#include "tests/sim/agenda.h"

#define POOLS 64u
#define CLIENTS 16u
#define CYCLES 2000000u /* decisions that are timed at each size */
#define BURST 256u	/* outcomes between two ticks */
#define HELD 100000u	/* tasks that are held, to weigh them */
#define START_MS 1u

struct lease {
	uint64_t lease;
	struct rmd_core_agent *agent;
};

struct told {
	struct rmd_core_agent *agent;
	uint64_t pool;
	uint32_t workers;
};

struct scale {
	struct rmd_core *core;
	struct rmd_core_client *clients[CLIENTS];
	struct rmd_core_pool *pools[POOLS];
	uint64_t numbers[CLIENTS];
	struct lease *leases; /* a ring: those that are out, oldest first */
	uint64_t head, tail, capacity;
	uint64_t submitted, queued;
	struct told *told; /* orders that the agents have not obeyed yet */
	size_t told_count, told_capacity;
	uint64_t now_ms;
	enum rmd_core_keep keep; /* what becomes of tasks that end */
	struct rmd_piece outcome;
};

static void must(int rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "remuda-sim: %s: %s\n", what, rmd_errcode_text(rc));
	exit(1);
}

/* --- the port ---------------------------------------------------------------------- */

static void on_grant(void *ctx, struct rmd_core_agent *agent, struct rmd_core_task *task)
{
	struct scale *s = ctx;
	if (s->tail - s->head == s->capacity)
		must(RMD_ELIMIT, "more leases than workers");
	s->leases[s->tail++ % s->capacity] =
		(struct lease){rmd_core_task_lease(task), agent};
	s->queued--;
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
	struct scale *s = ctx;
	if (s->told_count == s->told_capacity) {
		s->told_capacity = s->told_capacity == 0 ? 1024 : s->told_capacity * 2;
		s->told = sim_grow(s->told, s->told_capacity * sizeof(*s->told));
	}
	s->told[s->told_count++] =
		(struct told){agent, rmd_core_pool_number(pool), order->workers};
}

static enum rmd_core_keep on_ended(void *ctx, struct rmd_core_task *task,
				   const struct rmd_core_ending *ending)
{
	const struct scale *s = ctx;
	(void)task, (void)ending;
	return s->keep;
}

/* --- making it --------------------------------------------------------------------- */

static struct rmd_slice name_of(char *text, size_t size, const char *what, uint32_t i)
{
	snprintf(text, size, "%s-%" PRIu32, what, i);
	return rmd_slice_of_string(text);
}

static void open_all(struct scale *s, uint32_t agents, uint32_t workers)
{
	struct rmd_slice runtime = rmd_slice_of_string("native");
	struct rmd_core_agent *agent;
	const char *field;
	char name[32];
	bool reused;
	for (uint32_t i = 0; i < agents; i++) {
		struct rmd_core_agent_info info = {
			.name = name_of(name, sizeof(name), "agent", i),
			.runtimes = &runtime,
			.runtime_count = 1,
			.cpu_milli = workers * 1000};
		must(rmd_core_agent_attach(s->core, START_MS, &info, &agent), "agent");
	}
	for (uint32_t i = 0; i < CLIENTS; i++)
		must(rmd_core_client_open(s->core, START_MS, "uid:1", NULL,
					  &s->clients[i]),
		     "client");
	uint64_t all = (uint64_t)agents * workers;
	for (uint32_t i = 0; i < POOLS; i++) {
		struct rmd_core_pool_spec spec = {
			.name = name_of(name, sizeof(name), "pool", i),
			.runtime = runtime,
			.max_workers = all < POOLS ? 1 : (uint32_t)(all / POOLS)};
		must(rmd_core_pool_open(s->core, START_MS, NULL, &spec, &s->pools[i],
					&reused, &field),
		     "pool");
	}
}

static void submit(struct scale *s)
{
	uint32_t client = (uint32_t)(s->submitted % CLIENTS);
	struct rmd_core_submit submit = {
		.number = ++s->numbers[client],
		.function = rmd_slice_of_string("native:demo.square"),
		.payload = {rmd_slice_of("\x0a\x02\x18\x2a", 4), NULL},
		.pool = s->pools[s->submitted / CLIENTS % POOLS],
	};
	must(rmd_core_submit(s->core, s->now_ms, s->clients[client], &submit, NULL),
	     "submit");
	s->submitted++;
	s->queued++;
}

/* Decides; agents obey at once: they have the workers that they were told to have, all
 * ready; then decides again. */
static void tick(struct scale *s)
{
	rmd_core_tick(s->core, ++s->now_ms);
	if (s->told_count == 0)
		return;
	for (size_t i = 0; i < s->told_count; i++) {
		struct rmd_core_agent_pool state = {.pool = s->told[i].pool,
						    .slots = s->told[i].workers,
						    .workers = s->told[i].workers};
		must(rmd_core_agent_pool(s->core, s->now_ms, s->told[i].agent, &state),
		     "report");
	}
	s->told_count = 0;
	rmd_core_tick(s->core, s->now_ms);
}

/* --- measuring --------------------------------------------------------------------- */

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

/* Ends the oldest leases, as many as a burst has. Gives how many. */
static uint64_t end_some(struct scale *s)
{
	uint64_t count = s->tail - s->head < BURST ? s->tail - s->head : BURST;
	for (uint64_t i = 0; i < count; i++) {
		struct lease lease = s->leases[s->head++ % s->capacity];
		struct rmd_core_agent_outcome outcome = {.lease = lease.lease,
							 .end = RMD_CORE_END_VALUE,
							 .outcome = s->outcome,
							 .began = true};
		must(rmd_core_agent_outcome(s->core, s->now_ms, lease.agent, &outcome),
		     "outcome");
	}
	return count;
}

/* Ends so many tasks and submits others in their place. */
static void turn_over(struct scale *s, uint64_t tasks)
{
	for (uint64_t done = 0; done < tasks;) {
		uint64_t count = end_some(s);
		for (uint64_t i = 0; i < count; i++)
			submit(s);
		tick(s);
		must(s->tail == s->head ? RMD_EAGAIN : 0, "nothing is leased");
		done += count;
	}
}

/* Nanoseconds of a task's whole life while as many come as go. */
static double cycle(struct scale *s)
{
	uint64_t start = cpu_ns();
	turn_over(s, CYCLES);
	return (double)(cpu_ns() - start) / CYCLES;
}

/* Bytes of a task that has ended and waits for its client. */
static double held_bytes(struct scale *s)
{
	turn_over(s, HELD);
	size_t before = heap_bytes();
	s->keep = RMD_CORE_KEEP;
	turn_over(s, HELD);
	s->keep = RMD_CORE_FORGET;
	size_t after = heap_bytes();
	struct rmd_core_counters c;
	rmd_core_counters(s->core, &c);
	double bytes = (double)(after - before) / (double)c.done;
	for (uint32_t i = 0; i < CLIENTS; i++) {
		struct rmd_core_task *task;
		while ((task = rmd_core_client_outcome_next(s->clients[i], NULL)) != NULL)
			must(rmd_core_ack(s->core, s->now_ms, s->clients[i],
					  rmd_core_task_number(task)),
			     "ack");
	}
	return bytes;
}

static void fill_to(struct scale *s, uint64_t tasks)
{
	size_t before = heap_bytes();
	uint64_t from = s->queued + (s->tail - s->head), added = 0;
	uint64_t start = cpu_ns();
	for (; from + added < tasks; added++)
		submit(s);
	double submit_ns = (double)(cpu_ns() - start) / (double)added;
	double bytes = (double)(heap_bytes() - before) / (double)added;
	start = cpu_ns();
	tick(s);
	double first_ms = (double)(cpu_ns() - start) / 1e6;
	double life_ns = cycle(s);
	struct rmd_core_counters c;
	rmd_core_counters(s->core, &c);
	printf("%9" PRIu64 " tasks: %8" PRIu64 " queued, %7" PRIu64
	       " leased; submit %4.0f ns, life %5.0f ns (%8.0f decisions/s), first tick "
	       "%6.1f ms, %4.0f bytes queued, %4.0f held\n",
	       tasks, c.queued, c.leased, submit_ns, life_ns, 1e9 / life_ns, first_ms,
	       bytes, held_bytes(s));
	fflush(stdout);
}

void sim_scale(uint32_t agents, uint32_t workers, uint64_t tasks)
{
	static const struct rmd_core_port port = {
		.grant = on_grant,
		.cancel = on_cancel,
		.recall = on_recall,
		.order = on_order,
		.ended = on_ended,
	};
	struct rmd_core_config config = RMD_CORE_CONFIG_INIT;
	struct scale s = {.capacity = (uint64_t)agents * workers,
			  .now_ms = START_MS,
			  .keep = RMD_CORE_FORGET};
	config.tasks_max = tasks + 1;
	config.agents_max = agents;
	config.tasks_max += HELD + BURST;
	config.payload_bytes_max = UINT64_MAX / 8;
	struct rmd_buf *buf = rmd_buf_copy(rmd_slice_of_string("\x08\x01\x10\x02"));
	s.leases = calloc(s.capacity, sizeof(*s.leases));
	s.core = rmd_core_create(&config, &port, &s);
	must(s.core == NULL || buf == NULL || s.leases == NULL ? RMD_ENOMEM : 0, "core");
	s.outcome = (struct rmd_piece){rmd_buf_slice(buf), buf};
	size_t empty = heap_bytes();
	open_all(&s, agents, workers);
	printf("%" PRIu32 " agents x %" PRIu32 " workers, %u pools, %u clients: "
	       "%.0f bytes an agent\n",
	       agents, workers, POOLS, CLIENTS, (double)(heap_bytes() - empty) / agents);
	fflush(stdout);
	for (uint64_t size = 1000; size < tasks; size *= 10)
		fill_to(&s, size);
	fill_to(&s, tasks);
	free(s.told);
	rmd_core_destroy(s.core);
	rmd_buf_unref(buf);
	free(s.leases);
}
