#include "tests/sim/world.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/sim/check.h"
#include "tests/sim/operator.h"

#define WALK_STEPS 100u		      /* between looks at everything */
#define SETTLE_US UINT64_C(900000000) /* in which all must have ended */
#define DRAIN_US 60000000u	      /* in which the core must say that it is drained */

uint64_t *sim_failed_step;
static const struct sim_world *running;

/* --- saying what is wrong ---------------------------------------------------------- */

void sim_trace(const struct sim_world *world, const char *format, ...)
{
	va_list args;
	printf("%9" PRIu64 " %12.6f  ", world->steps, (double)world->now_us / 1e6);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

static void say_where(const struct sim_world *world)
{
	if (sim_failed_step != NULL)
		*sim_failed_step = world->steps;
	fprintf(stderr,
		"remuda-sim: seed %" PRIu64 " fails at step %" PRIu64 ", %.3f s: ",
		world->options.seed, world->steps, (double)world->now_us / 1e6);
}

static void say_again(const struct sim_world *world)
{
	struct sim_options options = world->options;
	if (world->steps < options.events)
		options.events = world->steps;
	printf("again: ");
	sim_options_print(&options);
	fflush(stdout);
}

void sim_fail(const struct sim_world *world, const char *format, ...)
{
	va_list args;
	fflush(stdout);
	say_where(world);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	say_again(world);
	_exit(1);
}

/* The core found itself wrong, or crashed: its own words are above. */
static void on_signal(int number)
{
	signal(number, SIG_DFL);
	if (running != NULL) {
		say_where(running);
		fprintf(stderr, "%s\n", strsignal(number));
		say_again(running);
	}
	_exit(1);
}

/* --- making a world ---------------------------------------------------------------- */

static struct sim_random stream(uint64_t seed, uint64_t room)
{
	struct sim_random random = {seed ^ room * UINT64_C(0xd6e8feb86659fd93)};
	random.state = sim_next(&random);
	return random;
}

static void draw_faults(struct sim_world *world, struct sim_random *draw)
{
	uint32_t share = sim_between(draw, 100, 900);
	for (uint32_t i = 0; i < SIM_FAULT_COUNT; i++)
		if (sim_chance(draw, share))
			world->faults |= UINT32_C(1) << i;
	world->faults &= ~world->options.without;
}

static struct sim_world *world_create(const struct sim_options *options)
{
	struct sim_world *world = sim_grow(NULL, sizeof(*world));
	memset(world, 0, sizeof(*world));
	struct sim_random draw = stream(options->seed, 1);
	world->options = *options;
	world->net = stream(options->seed, 2);
	world->clientele = stream(options->seed, 3);
	world->farm = stream(options->seed, 4);
	world->trouble = stream(options->seed, 5);
	world->memory = stream(options->seed, 6);
	world->sample = stream(options->seed, 7);
	draw_faults(world, &draw);
	world->client_count = sim_between(&draw, 1, SIM_CLIENTS_MAX);
	world->agent_count = sim_between(&draw, 1, SIM_AGENTS_MAX);
	if (options->clients != 0 && options->clients < world->client_count)
		world->client_count = options->clients;
	if (options->agents != 0 && options->agents < world->agent_count)
		world->agent_count = options->agents;
	world->delay_us = sim_between(&draw, 20, 20000);
	world->task_us = sim_between(&draw, 100, 60000);
	world->trouble_us = sim_between(&draw, 20000, 1000000);
	world->nest_permille = sim_between(&draw, 10, 400);
	for (uint32_t i = 0; i < SIM_WORKERS; i++)
		world->workers[i].next = i + 1 < SIM_WORKERS ? i + 1 : SIM_NONE;
	return world;
}

static void world_destroy(struct sim_world *world)
{
	for (uint32_t i = 0; i < SIM_CLIENTS_MAX; i++)
		sim_client_fini(&world->clients[i]);
	for (uint32_t i = 0; i < SIM_HUBS; i++)
		free(world->service.hubs[i].told);
	sim_links_fini(world);
	sim_agenda_fini(&world->agenda);
	free(world->histories.items);
	free(world);
}

/* --- running it -------------------------------------------------------------------- */

/* Whether it is still about what it was put in for. */
static bool valid(const struct sim_world *world, const struct sim_event *event)
{
	switch (event->kind) {
	case SIM_TO_SERVER:
	case SIM_TO_PEER:
	case SIM_SERVER_TOLD:
	case SIM_PEER_TOLD:
		return world->links[event->who].used &&
		       world->links[event->who].life == event->life;
	case SIM_TICK:
		return world->service.tick_life == event->life;
	case SIM_CLIENT:
		return world->clients[event->who].actor == event->life;
	case SIM_AGENT:
	case SIM_REPORT:
		return world->agents[event->who].life == event->life;
	case SIM_WORKER:
	case SIM_BEGAN:
		return world->workers[event->who].life == event->life;
	case SIM_ACK:
	case SIM_OPERATOR:
	case SIM_TROUBLE:
	case SIM_WATCH:
		return true;
	}
	return false;
}

static void dispatch(struct sim_world *world, const struct sim_event *event)
{
	switch (event->kind) {
	case SIM_TO_SERVER:
		sim_link_arrive(world, event->who, SIM_SERVER);
		return;
	case SIM_TO_PEER:
		sim_link_arrive(world, event->who, SIM_PEER);
		return;
	case SIM_SERVER_TOLD:
		sim_link_tell(world, event->who, SIM_SERVER);
		return;
	case SIM_PEER_TOLD:
		sim_link_tell(world, event->who, SIM_PEER);
		return;
	case SIM_TICK:
		sim_service_tick(world);
		return;
	case SIM_CLIENT:
		sim_client_act(world, event->who);
		return;
	case SIM_ACK:
		sim_client_ack(world, event->who);
		return;
	case SIM_AGENT:
		sim_agent_act(world, event->who);
		return;
	case SIM_REPORT:
		sim_agent_report(world, event->who);
		return;
	case SIM_WORKER:
		sim_worker_act(world, event->who);
		return;
	case SIM_BEGAN:
		sim_worker_began(world, event->who);
		return;
	case SIM_OPERATOR:
		sim_operator_act(world);
		return;
	case SIM_TROUBLE:
		sim_operator_trouble(world);
		return;
	case SIM_WATCH:
		sim_operator_watch(world);
		return;
	}
}

static void step(struct sim_world *world)
{
	struct sim_event event;
	do {
		SIM_MUST(world, sim_agenda_take(&world->agenda, &event),
			 "nothing is left to happen");
	} while (!valid(world, &event));
	world->now_us = event.due_us;
	world->steps++;
	dispatch(world, &event);
	if (world->steps % WALK_STEPS == 0)
		sim_check_all(world);
}

/* No more trouble: everybody comes back, one agent suits every pool, and all must end. */
static void settle(struct sim_world *world)
{
	uint64_t until_us = world->now_us + SETTLE_US;
	world->settling = true;
	world->agents[0].big = true;
	sim_agent_crash(world, 0);
	if (world->options.seed % 4 == 0)
		sim_operator_shut_down(world);
	SIM_TRACE(world, "settles");
	while (!sim_operator_settled(world)) {
		struct rmd_core_counters c;
		step(world);
		rmd_core_counters(world->service.core, &c);
		SIM_MUST(world, world->now_us < until_us,
			 "some tasks do not end: %" PRIu64 " queued, %" PRIu64
			 " leased, %" PRIu64 " run, %" PRIu64 " wait for their client",
			 c.queued, c.leased, c.running, c.done);
	}
	sim_check_all(world);
}

static void drain(struct sim_world *world)
{
	uint64_t until_us = world->now_us + DRAIN_US;
	rmd_core_drain(world->service.core, sim_service_ms(world));
	sim_service_touch(world);
	while (world->service.drained == 0) {
		step(world);
		SIM_MUST(world, world->now_us < until_us, "it never says it is drained");
	}
	SIM_MUST(world, world->service.drained == 1, "drained twice");
}

static void summarize(const struct sim_world *world, struct sim_summary *ret)
{
	struct rmd_core_counters c;
	rmd_core_counters(world->service.core, &c);
	*ret = (struct sim_summary){.steps = world->steps,
				    .accepted = c.accepted,
				    .ended = c.ended,
				    .grants = c.granted,
				    .walks = world->walks,
				    .virtual_ms = world->now_us / 1000};
	for (uint32_t i = 0; i < world->histories.count; i++)
		ret->begun += world->histories.items[i].begun;
}

void sim_run(const struct sim_options *options, struct sim_summary *ret_summary)
{
	struct sim_world *world = world_create(options);
	running = world;
	signal(SIGABRT, on_signal);
	sim_service_start(world);
	for (uint32_t i = 0; i < world->client_count; i++)
		sim_client_start(world, i);
	for (uint32_t i = 0; i < world->agent_count; i++)
		sim_agent_start(world, i);
	sim_operator_start(world);
	while (world->steps < options->events)
		step(world);
	settle(world);
	drain(world);
	summarize(world, ret_summary);
	sim_service_end(world);
	sim_histories_check(world);
	running = NULL;
	world_destroy(world);
}
