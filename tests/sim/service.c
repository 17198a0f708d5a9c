#include "tests/sim/service.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "tests/sim/check.h"
#include "tests/sim/rules.h"
#include "tests/sim/world.h"

#define START_MS 1000000000u

/* --- the clock and the ticks ------------------------------------------------------- */

uint64_t sim_service_ms(struct sim_world *world)
{
	struct sim_service *service = &world->service;
	uint64_t ms =
		(uint64_t)((int64_t)(START_MS + world->now_us / 1000) + service->skew_ms);
	if (ms > service->core_ms)
		service->core_ms = ms;
	return ms;
}

static void tick_at(struct sim_world *world, uint64_t us)
{
	struct sim_service *service = &world->service;
	if (service->tick_us != 0 && service->tick_us <= us)
		return;
	service->tick_us = us;
	sim_agenda_put(&world->agenda, us, SIM_TICK, 0, ++service->tick_life);
}

void sim_service_touch(struct sim_world *world)
{
	uint64_t wait_us =
		sim_chance(&world->sample, 700) ? 0 : sim_draw(&world->sample, 500);
	tick_at(world, world->now_us + wait_us);
}

void sim_service_tick(struct sim_world *world)
{
	struct sim_service *service = &world->service;
	service->tick_us = 0;
	service->in_tick = true;
	sim_memory_short(world);
	uint64_t now_ms = sim_service_ms(world);
	uint64_t due_ms = rmd_core_tick(service->core, now_ms);
	sim_memory_back();
	service->in_tick = false;
	SIM_TRACE(world, "tick at %" PRIu64 ", due %" PRIu64, now_ms, due_ms);
	sim_check_counters(world);
	sim_sessions_feed(world);
	if (due_ms == 0)
		return;
	uint64_t wait_ms = due_ms > now_ms ? due_ms - now_ms : 1;
	tick_at(world, world->now_us + wait_ms * 1000);
}

void sim_memory_short(struct sim_world *world)
{
	if (sim_has(world, SIM_MEMORY) && sim_chance(&world->memory, 20))
		rmd_alloc_fail_at(1 + sim_draw(&world->memory, 8));
}

void sim_memory_back(void)
{
	rmd_alloc_fail_at(0);
}

/* --- the port ---------------------------------------------------------------------- */

/* A child has no user of ours: its function's name says which it is. */
static uintptr_t nested_number(const struct rmd_core_task *task)
{
	struct rmd_slice function = rmd_core_task_function(task);
	uintptr_t number = 0;
	for (size_t i = strlen(SIM_NESTED); i < function.len; i++)
		number = number * 10 + (function.data[i] - (uintptr_t)'0');
	return number;
}

struct sim_history *sim_history_of(struct sim_world *world,
				   const struct rmd_core_task *task)
{
	uintptr_t number = (uintptr_t)rmd_core_task_user(task);
	if (rmd_core_task_nested(task))
		number = nested_number(task);
	SIM_MUST(world, number > 0 && number <= world->histories.count,
		 "a task with a user that nobody gave");
	return &world->histories.items[number - 1];
}

static uint32_t number_of(const struct sim_world *world, const struct sim_history *h)
{
	return (uint32_t)(h - world->histories.items);
}

static void on_grant(void *ctx, struct rmd_core_agent *agent, struct rmd_core_task *task)
{
	struct sim_world *world = ctx;
	struct sim_history *h = sim_history_of(world, task);
	struct sim_hub *hub = sim_hub_of(world, agent);
	sim_check_grant(world, agent, task, h);
	world->service.leases++;
	h->leased = h->was_leased = true;
	h->running = h->cancel_told = false;
	h->children = SIM_NONE;
	h->lease = world->service.newest_lease = rmd_core_task_lease(task);
	h->hub = (uint32_t)(hub - world->service.hubs);
	SIM_TRACE(world, "grant of lease %" PRIu64 ": task %" PRIu32 " to agent %" PRIu32,
		  h->lease, number_of(world, h), hub->slot);
	if (hub->link == SIM_NONE)
		return;
	sim_link_send(world, hub->link, SIM_PEER,
		      (struct sim_message){.word = SIM_O_LEASE,
					   .number = h->lease,
					   .history = number_of(world, h),
					   .count = {(uint32_t)rmd_core_pool_number(
							     rmd_core_task_pool(task)),
						     rmd_core_task_attempt(task)}});
}

/* An agent is being lost: its leases end one after the other. */
static bool losing(const struct sim_world *world)
{
	return world->service.losing || world->service.losing_said;
}

static void on_cancel(void *ctx, struct rmd_core_agent *agent, uint64_t lease)
{
	struct sim_world *world = ctx;
	struct rmd_core_task *task =
		rmd_core_agent_task(world->service.core, agent, lease);
	SIM_MUST(world, task != NULL, "cancel of lease %" PRIu64 ", which is over",
		 lease);
	struct sim_history *h = sim_history_of(world, task);
	SIM_MUST(world, (h->leased || losing(world)) && h->lease == lease,
		 "cancel of lease %" PRIu64 " of a task that has another", lease);
	SIM_MUST(world, !h->cancel_told, "lease %" PRIu64 " was cancelled twice", lease);
	h->cancel_told = true;
	struct sim_hub *hub = sim_hub_of(world, agent);
	SIM_TRACE(world, "cancel of lease %" PRIu64 ": task %" PRIu32, lease,
		  number_of(world, h));
	if (hub->link != SIM_NONE)
		sim_link_send(
			world, hub->link, SIM_PEER,
			(struct sim_message){.word = SIM_O_CANCEL, .number = lease});
}

static void on_recall(void *ctx, struct rmd_core_agent *agent, struct rmd_core_pool *pool,
		      uint32_t leases)
{
	struct sim_world *world = ctx;
	struct sim_hub *hub = sim_hub_of(world, agent);
	uint64_t number = rmd_core_pool_number(pool);
	const struct sim_told *told = sim_hub_told(hub, number);
	SIM_MUST(world, leases > 0 && leases <= rmd_core_agent_held(agent),
		 "recall of %" PRIu32 " leases of %" PRIu64 " held", leases,
		 rmd_core_agent_held(agent));
	SIM_MUST(world, told != NULL && !told->closed,
		 "recall for pool %" PRIu64 ", which the agent does not know", number);
	SIM_TRACE(world, "recall of %" PRIu32 " from agent %" PRIu32 " pool %" PRIu64,
		  leases, hub->slot, number);
	if (hub->link != SIM_NONE)
		sim_link_send(world, hub->link, SIM_PEER,
			      (struct sim_message){.word = SIM_O_RECALL,
						   .number = number,
						   .count = {leases}});
}

static void on_order(void *ctx, struct rmd_core_agent *agent, struct rmd_core_pool *pool,
		     const struct rmd_core_order *order)
{
	struct sim_world *world = ctx;
	sim_hub_order(world, sim_hub_of(world, agent), pool, order);
}

static struct sim_session *session_of(struct sim_world *world,
				      const struct rmd_core_client *client)
{
	struct sim_session *session = rmd_core_client_user(client);
	SIM_MUST(world, session != NULL && session->used && session->client == client,
		 "a client with a session that is gone");
	return session;
}

static enum rmd_core_keep on_ended(void *ctx, struct rmd_core_task *task,
				   const struct rmd_core_ending *ending)
{
	struct sim_world *world = ctx;
	struct sim_history *h = sim_history_of(world, task);
	SIM_TRACE(world, "end of task %" PRIu32 ": %s, attempt %" PRIu32,
		  number_of(world, h), rmd_core_end_text(ending->end), ending->attempt);
	SIM_MUST(world, rmd_core_task_client(task) != NULL,
		 "the end of a task whose client is closed");
	sim_check_end(world, task, ending, h);
	h->ended++;
	h->end = (uint8_t)ending->end;
	h->leased = h->running = false;
	world->service.told++;
	if (h->client == SIM_NONE) {
		sim_history_deliver(world, number_of(world, h), h->outcome_attempt,
				    h->end);
		return RMD_CORE_FORGET;
	}
	sim_session_outcome(world, session_of(world, rmd_core_task_client(task)), task,
			    h->end);
	return RMD_CORE_KEEP;
}

static void on_child_ended(void *ctx, struct rmd_core_agent *agent, uint64_t lease,
			   struct rmd_core_task *child,
			   const struct rmd_core_ending *ending)
{
	struct sim_world *world = ctx;
	struct sim_history *h = sim_history_of(world, child);
	const struct sim_history *parent = &world->histories.items[h->parent];
	struct sim_hub *hub = sim_hub_of(world, agent);
	SIM_TRACE(world, "end of child %" PRIu32 ": %s", number_of(world, h),
		  rmd_core_end_text(ending->end));
	SIM_MUST(world, h->child && h->parent_lease == lease,
		 "the end of a child is told to another lease");
	SIM_MUST(world,
		 losing(world) ||
			 (!h->orphan && parent->leased && parent->lease == lease &&
			  &world->service.hubs[parent->hub] == hub),
		 "the end of a child is told to a lease that is over");
	sim_check_end(world, child, ending, h);
	h->ended++;
	h->end = (uint8_t)ending->end;
	h->leased = h->running = false;
	sim_hub_tell_child(world, hub, number_of(world, h));
}

static void on_task_gone(void *ctx, struct rmd_core_task *task)
{
	struct sim_world *world = ctx;
	struct sim_history *h = sim_history_of(world, task);
	world->service.gone++;
	h->gone++;
	SIM_MUST(world, h->gone == 1, "a task was freed twice");
	h->closed_under = h->closed_under ||
			  (h->ended == 0 && sim_rules_forsaken(world, task));
	SIM_MUST(world, h->ended == 1 || h->closed_under || h->orphan,
		 "task %" PRIu32 ": freed before its end was told", number_of(world, h));
	h->leased = h->running = false;
}

static void on_pool_gone(void *ctx, struct rmd_core_pool *pool)
{
	struct sim_world *world = ctx;
	struct rmd_core_pool_info info;
	rmd_core_pool_info(pool, &info);
	world->service.pools_gone++;
	SIM_MUST(world, info.queued + info.leased == 0 || world->service.destroying,
		 "pool %" PRIu64 " is gone with tasks", info.number);
}

static void on_expired(void *ctx, struct rmd_core_client *client)
{
	sim_session_expired(ctx, client);
}

static void on_drained(void *ctx)
{
	struct sim_world *world = ctx;
	struct rmd_core_counters counters;
	rmd_core_counters(world->service.core, &counters);
	world->service.drained++;
	SIM_MUST(world, counters.draining, "drained, and was not asked to");
	SIM_MUST(world, counters.queued + counters.leased + counters.running == 0,
		 "drained, and tasks are left");
}

static const struct rmd_core_port port = {
	.grant = on_grant,
	.cancel = on_cancel,
	.recall = on_recall,
	.order = on_order,
	.ended = on_ended,
	.child_ended = on_child_ended,
	.task_gone = on_task_gone,
	.pool_gone = on_pool_gone,
	.client_expired = on_expired,
	.drained = on_drained,
};

/* --- life -------------------------------------------------------------------------- */

/* Little room, so that limits are met. */
static void draw_limits(struct sim_world *world, struct rmd_core_config *config)
{
	struct sim_random *draw = &world->memory;
	config->tasks_per_client_max = sim_between(draw, 8, 120);
	config->tasks_max = sim_between(draw, 40, 600);
	config->payload_bytes_per_client_max = sim_between(draw, 6000, 40000);
	config->payload_bytes_max = sim_between(draw, 20000, 100000);
	config->outcome_bytes_per_client_max = sim_between(draw, 500, 10000);
	config->outcome_bytes_max = sim_between(draw, 2000, 30000);
	config->retained_bytes_max = sim_between(draw, 100, 3000);
	config->pools_max = sim_between(draw, 4, 40);
	config->pools_per_client_max = sim_between(draw, 1, 5);
}

void sim_service_start(struct sim_world *world)
{
	struct sim_service *service = &world->service;
	service->config = (struct rmd_core_config)RMD_CORE_CONFIG_INIT;
	service->config.seed = sim_next(&world->memory);
	service->config.turn_ms = sim_between(&world->memory, 50, 1000);
	service->config.idle_timeout_ms = sim_between(&world->memory, 200, 5000);
	service->config.poison_max = sim_between(&world->memory, 1, 4);
	service->config.retention_ms = sim_between(&world->memory, 100, 3000);
	service->config.cannot_run_ms = sim_chance(&world->memory, 500)
						? UINT64_MAX
						: sim_between(&world->memory, 0, 5000);
	if (sim_has(world, SIM_LIMITS))
		draw_limits(world, &service->config);
	service->core = rmd_core_create(&service->config, &port, world);
	SIM_MUST(world, service->core != NULL, "no core");
	int rc = rmd_core_client_open(service->core, sim_service_ms(world), "caller",
				      NULL, &service->caller);
	SIM_MUST(world, rc == 0, "no client for the coordinator's own calls");
}

void sim_service_end(struct sim_world *world)
{
	struct sim_service *service = &world->service;
	service->destroying = true;
	for (uint32_t i = 0; i < world->histories.count; i++) {
		struct sim_history *h = &world->histories.items[i];
		h->closed_under = h->closed_under || (h->accepted > 0 && h->gone == 0);
	}
	rmd_core_destroy(service->core);
	service->core = NULL;
	SIM_MUST(world, service->gone == service->accepted,
		 "%" PRIu64 " tasks were accepted, and %" PRIu64 " freed",
		 service->accepted, service->gone);
}

void sim_server_hear(struct sim_world *world, uint32_t link,
		     const struct sim_message *message)
{
	if (world->links[link].to_agent)
		sim_hub_hear(world, link, message);
	else
		sim_session_hear(world, link, message);
}

void sim_server_lost(struct sim_world *world, uint32_t link)
{
	if (world->links[link].to_agent)
		sim_hub_lost(world, link);
	else
		sim_session_lost(world, link);
}

/* --- events of the core ------------------------------------------------------------ */

static struct rmd_slice text(const char *string)
{
	return rmd_slice_of_string(string);
}

int sim_service_open(struct sim_world *world, struct rmd_core_client *client,
		     uint32_t sort, uint32_t workers, struct rmd_core_pool **ret_pool)
{
	static const struct rmd_core_label label = {{(const uint8_t *)"gpu", 3},
						    {(const uint8_t *)"yes", 3}};
	static const char *const names[] = {"", "", "", "", "a", "b", "c", ""};
	struct rmd_core_pool_spec spec = {
		.name = text(names[sort % 8]),
		.runtime = text(sort == 3 || sort == 6 ? "python" : "native"),
		.max_workers = workers,
		.cpu_milli = sort == 1	 ? 2000
			     : sort == 5 ? 500
					 : 0,
		.labels = &label,
		.label_count = sort == 2 ? 1 : 0,
		.idle_timeout_ms = sort == 7 ? 100 : 0,
		.broken_on_crash = sort == 1 || sort == 4,
	};
	const char *field = NULL;
	bool reused;
	sim_memory_short(world);
	int rc = rmd_core_pool_open(world->service.core, sim_service_ms(world), client,
				    &spec, ret_pool, &reused, &field);
	sim_memory_back();
	SIM_MUST(world,
		 rc == 0 || (rc == RMD_ENOMEM && sim_has(world, SIM_MEMORY)) ||
			 (rc == RMD_ECLOSED && world->settling) ||
			 (rc == RMD_ELIMIT && world->service.config.pools_max < 100),
		 "opening a pool of sort %" PRIu32 ": %s", sort, rmd_errcode_text(rc));
	sim_check_counters(world);
	sim_service_touch(world);
	return rc;
}

void sim_service_fill(uint8_t *bytes, uint32_t len, uint32_t history)
{
	memset(bytes, 'p', len);
	memcpy(bytes, &history, sizeof(history));
	memcpy(bytes + len - sizeof(history), &history, sizeof(history));
}

static void check_code(struct sim_world *world, const struct sim_history *h, int rc,
		       const struct rmd_core_counters *before)
{
	const struct rmd_core_config *config = &world->service.config;
	bool small = sim_has(world, SIM_LIMITS) || config->tasks_max < 10000;
	switch (rc) {
	case 0:
		SIM_MUST(world, h->accepted == 0, "a task was accepted twice");
		SIM_MUST(world,
			 before->queued + before->leased + before->running +
					 before->done <
				 config->tasks_max,
			 "more tasks are held than may be");
		return;
	case RMD_EEXIST:
		SIM_MUST(world, h->accepted == 1 || h->refused,
			 "number %" PRIu64 " was taken for another task", h->number);
		return;
	case RMD_ELIMIT:
		SIM_MUST(world, small, "a limit that is far away is reached");
		return;
	case RMD_ENOMEM:
		SIM_MUST(world, sim_has(world, SIM_MEMORY), "no memory, and there is");
		return;
	case RMD_ECLOSED:
		return;
	default:
		sim_fail(world, "a submit is answered by %s", rmd_errcode_text(rc));
	}
}

int sim_service_submit(struct sim_world *world, struct rmd_core_client *client,
		       struct rmd_core_pool *pool, uint32_t history)
{
	struct sim_service *service = &world->service;
	struct sim_history *h = &world->histories.items[history];
	struct rmd_core_counters before;
	struct rmd_buf *buf = rmd_buf_create(h->payload_bytes);
	SIM_MUST(world, buf != NULL, "no memory for a payload");
	sim_service_fill(rmd_buf_writable(buf), h->payload_bytes, history);
	rmd_core_counters(service->core, &before);
	struct rmd_core_rules rules;
	struct rmd_core_submit submit = {
		.number = h->number,
		.function = text("native:f"),
		.payload = {rmd_buf_slice(buf), buf},
		.pool = pool,
		.priority = h->priority,
		.deadline_ms = h->deadline_ms,
		.max_attempts = h->max_attempts,
		.rules = sim_rules_of(h, &rules),
		.user = (void *)(uintptr_t)(history + 1),
	};
	sim_memory_short(world);
	int rc = rmd_core_submit(service->core, sim_service_ms(world), client, &submit,
				 NULL);
	sim_memory_back();
	rmd_buf_unref(buf);
	SIM_TRACE(world, "submit of task %" PRIu32 " to pool %" PRIu64 ": %s", history,
		  rmd_core_pool_number(pool), rc == 0 ? "ok" : rmd_errcode_text(rc));
	check_code(world, h, rc, &before);
	if (rc == 0) {
		h->accepted++;
		h->accepted_at = ++service->accepted;
		h->pool = (uint32_t)rmd_core_pool_number(pool);
		h->accepted_ms = service->core_ms;
		h->due_ms = h->deadline_ms == 0 ? 0 : service->core_ms + h->deadline_ms;
	}
	sim_check_counters(world);
	sim_service_touch(world);
	return rc;
}

void sim_service_close(struct sim_world *world, struct rmd_core_client *client)
{
	struct rmd_core_task *task = NULL;
	while ((task = rmd_core_task_next(world->service.core, task)) != NULL)
		if (rmd_core_task_client(task) == client)
			sim_history_of(world, task)->closed_under = true;
	sim_memory_short(world);
	rmd_core_client_close(world->service.core, sim_service_ms(world), client);
	sim_memory_back();
	sim_check_counters(world);
	sim_service_touch(world);
}
