/* tests/sim/hub.c: the coordinator's side of agents. What an agent says of leases is
 * compared with what the model knows of them, before and after the core hears it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/check.h"
#include "tests/sim/rules.h"
#include "tests/sim/world.h"

static struct sim_hub *by_link(struct sim_world *world, uint32_t link)
{
	for (uint32_t i = 0; i < SIM_HUBS; i++)
		if (world->service.hubs[i].used && world->service.hubs[i].link == link)
			return &world->service.hubs[i];
	return NULL;
}

struct sim_hub *sim_hub_of(struct sim_world *world, const struct rmd_core_agent *agent)
{
	struct sim_hub *hub = rmd_core_agent_user(agent);
	SIM_MUST(world, hub != NULL && hub->used && hub->agent == agent,
		 "an agent with a hub that is gone");
	return hub;
}

struct sim_told *sim_hub_told(struct sim_hub *hub, uint64_t pool)
{
	for (uint32_t i = hub->told_count; i > 0; i--)
		if (hub->told[i - 1].pool == pool)
			return &hub->told[i - 1];
	return NULL;
}

/* --- orders ------------------------------------------------------------------------ */

static struct sim_told *introduce(struct sim_hub *hub, uint64_t pool)
{
	if (hub->told_count == hub->told_capacity) {
		hub->told_capacity = hub->told_capacity == 0 ? 16
							     : hub->told_capacity * 2;
		hub->told = sim_grow(hub->told, hub->told_capacity * sizeof(*hub->told));
	}
	hub->told[hub->told_count] = (struct sim_told){.pool = pool};
	return &hub->told[hub->told_count++];
}

void sim_hub_order(struct sim_world *world, struct sim_hub *hub,
		   const struct rmd_core_pool *pool, const struct rmd_core_order *order)
{
	struct rmd_core_pool_info info;
	rmd_core_pool_info(pool, &info);
	struct sim_told *told = sim_hub_told(hub, info.number);
	SIM_MUST(world, (told == NULL) == order->first,
		 "pool %" PRIu64 ": a first order that is not, or the reverse",
		 info.number);
	if (told == NULL)
		told = introduce(hub, info.number);
	SIM_MUST(world, !told->closed, "an order of pool %" PRIu64 " after its last",
		 info.number);
	SIM_MUST(world, !order->closed || info.closing, "a pool is closed that is not");
	SIM_MUST(world, info.max_workers == 0 || order->workers <= info.max_workers,
		 "pool %" PRIu64 ": %" PRIu32 " workers of at most %" PRIu32, info.number,
		 order->workers, info.max_workers);
	told->closed = order->closed;
	told->workers = order->workers;
	SIM_TRACE(world, "order to agent %" PRIu32 ": pool %" PRIu64 " %" PRIu32 "%s",
		  hub->slot, info.number, order->workers,
		  order->kill	  ? " killed"
		  : order->closed ? " closed"
				  : "");
	if (hub->link != SIM_NONE)
		sim_link_send(world, hub->link, SIM_PEER,
			      (struct sim_message){.word = SIM_O_ORDER,
						   .number = info.number,
						   .flag = order->closed,
						   .flag2 = order->kill,
						   .count = {order->workers}});
}

/* --- joining and leaving ----------------------------------------------------------- */

static void hear_hello(struct sim_world *world, uint32_t link)
{
	static const struct rmd_core_label label = {{(const uint8_t *)"gpu", 3},
						    {(const uint8_t *)"yes", 3}};
	struct rmd_slice runtimes[2] = {rmd_slice_of_string("native"),
					rmd_slice_of_string("python")};
	uint32_t slot = world->links[link].slot, i = 0;
	const struct sim_agent *peer = &world->agents[slot];
	while (i < SIM_HUBS && world->service.hubs[i].used)
		i++;
	SIM_MUST(world, i < SIM_HUBS, "the simulator has too few hubs");
	struct sim_hub *hub = &world->service.hubs[i];
	*hub = (struct sim_hub){.link = link,
				.slot = slot,
				.life = peer->life,
				.told = hub->told,
				.told_capacity = hub->told_capacity};
	struct rmd_core_agent_info info = {
		.name = rmd_slice_of_string("agent"),
		.runtimes = runtimes,
		.runtime_count = peer->python ? 2 : 1,
		.cpu_milli = peer->cpu_milli,
		.workers_max = peer->workers_max,
		.labels = &label,
		.label_count = peer->labelled ? 1 : 0,
		.private_local = peer->private_local,
		.user = hub,
	};
	sim_memory_short(world);
	int rc = rmd_core_agent_attach(world->service.core, sim_service_ms(world), &info,
				       &hub->agent);
	sim_memory_back();
	SIM_MUST(world, rc == 0 || rc == RMD_ENOMEM, "an agent attaches: %s",
		 rmd_errcode_text(rc));
	hub->used = rc == 0;
	if (rc != 0)
		sim_link_drop(world, link, SIM_SERVER);
}

/* What the model expects of each task that the agent holds, before it is lost. */
static void foresee(struct sim_world *world, const struct sim_hub *hub,
		    enum rmd_core_farewell how)
{
	struct rmd_core_task *task = NULL;
	while ((task = rmd_core_task_next(world->service.core, task)) != NULL) {
		struct sim_history *h = sim_history_of(world, task);
		if (rmd_core_task_agent(task) != hub->agent)
			continue;
		SIM_MUST(world, h->leased && &world->service.hubs[h->hub] == hub,
			 "an agent holds what it was not leased");
		h->agent_end = RMD_CORE_END_AGENT_LOST;
		h->leased = false;
		if (how == RMD_CORE_FAREWELL_LOST || h->running)
			h->counted++;
		if (how == RMD_CORE_FAREWELL_LOST || h->running)
			sim_rules_failed(world, h, RMD_CORE_CAUSE_AGENT_LOST);
		h->running = false;
		sim_history_orphan(world, h);
	}
}

static void leave(struct sim_world *world, struct sim_hub *hub,
		  enum rmd_core_farewell how)
{
	struct sim_service *service = &world->service;
	uint64_t held = rmd_core_agent_held(hub->agent);
	SIM_TRACE(world, "agent %" PRIu32 " is lost with %" PRIu64 " leases%s", hub->slot,
		  held, how == RMD_CORE_FAREWELL_SAID ? ", in order" : "");
	foresee(world, hub, how);
	service->leases -= held;
	service->losing = how == RMD_CORE_FAREWELL_LOST;
	service->losing_said = how == RMD_CORE_FAREWELL_SAID;
	sim_memory_short(world);
	rmd_core_agent_lost(service->core, sim_service_ms(world), hub->agent, how);
	sim_memory_back();
	service->losing = service->losing_said = false;
	hub->used = false;
	hub->agent = NULL;
	sim_check_counters(world);
	sim_service_touch(world);
}

void sim_hub_lost(struct sim_world *world, uint32_t link)
{
	struct sim_hub *hub = by_link(world, link);
	if (hub == NULL)
		return;
	hub->link = SIM_NONE;
	leave(world, hub,
	      hub->draining && rmd_core_agent_held(hub->agent) == 0
		      ? RMD_CORE_FAREWELL_SAID
		      : RMD_CORE_FAREWELL_LOST);
}

/* --- leases ------------------------------------------------------------------------ */

/* Whether the lease is the one that the core has of that task. */
static bool current(const struct sim_history *h, uint64_t lease)
{
	return h->leased && h->lease == lease;
}

static void expect(struct sim_world *world, const char *what, uint64_t lease, bool live,
		   int rc)
{
	SIM_MUST(world, rc == (live ? 0 : RMD_ENOTFOUND),
		 "lease %" PRIu64 ", which is %s, %s: %s", lease, live ? "held" : "over",
		 what, rmd_errcode_text(rc));
}

/* Whether a task that its agent gave up has to end now; else it is tried again. */
static void check_over(struct sim_world *world, const struct sim_history *h, bool must)
{
	bool over = h->ended > 0 || h->gone > 0;
	/* What its pool wants no more is not tried again (end_fits has checked that). */
	if (over && (h->end == RMD_CORE_END_POOL_CLOSED || h->end == RMD_CORE_END_POOL_BROKEN))
		return;
	SIM_MUST(world, over == must,
		 "task %td %s (the agent said: %s; %d of %d attempts%s)",
		 h - world->histories.items,
		 must ? "should have ended" : "has ended too early",
		 rmd_core_end_text((enum rmd_core_end)h->agent_end), h->counted,
		 h->max_attempts, h->cancel_told ? ", cancelled" : "");
}

static void hear_began(struct sim_world *world, struct sim_hub *hub,
		       const struct sim_message *message)
{
	struct sim_history *h = &world->histories.items[message->history];
	bool live = current(h, message->number);
	h->running = h->running || live;
	int rc = rmd_core_agent_began(world->service.core, sim_service_ms(world),
				      hub->agent, message->number);
	if (live)
		h->run_began_ms = world->service.core_ms;
	expect(world, "began", message->number, live, rc);
}

static void hear_returned(struct sim_world *world, struct sim_hub *hub,
			  const struct sim_message *message)
{
	struct sim_history *h = &world->histories.items[message->history];
	bool live = current(h, message->number);
	if (live) {
		h->agent_end = RMD_CORE_END_NONE;
		world->service.leases--;
		h->leased = false;
	}
	int rc = rmd_core_agent_returned(world->service.core, sim_service_ms(world),
					 hub->agent, message->number);
	expect(world, "comes back", message->number, live, rc);
	if (live)
		check_over(world, h, h->cancel_told);
}

/* An outcome says whose it is. */
static struct rmd_buf *outcome_bytes(struct sim_world *world,
				     const struct sim_message *message)
{
	uint32_t words[2] = {message->history, message->count[0]};
	size_t len = sizeof(words);
	len += sim_chance(&world->sample, 30) ? sim_draw(&world->sample, 3000)
					      : sim_draw(&world->sample, 100);
	struct rmd_buf *buf = rmd_buf_create(len);
	SIM_MUST(world, buf != NULL, "no memory for an outcome");
	memset(rmd_buf_writable(buf), 'r', len);
	memcpy(rmd_buf_writable(buf), words, sizeof(words));
	return buf;
}

static void hear_outcome(struct sim_world *world, struct sim_hub *hub,
			 const struct sim_message *message)
{
	struct sim_history *h = &world->histories.items[message->history];
	bool live = current(h, message->number), began = message->flag || h->running;
	struct rmd_buf *buf = outcome_bytes(world, message);
	struct rmd_core_agent_outcome outcome = {
		.lease = message->number,
		.end = (enum rmd_core_end)message->end,
		.outcome = {rmd_buf_slice(buf), buf},
		.began = message->flag,
		.worker = 1,
		.cause = (enum rmd_core_cause)message->count[1],
	};
	if (live) {
		world->service.leases--;
		h->agent_end = message->end;
		h->outcome_attempt = (uint8_t)message->count[0];
		if (began || message->end == RMD_CORE_END_VALUE)
			h->counted++;
		if (began && message->end == RMD_CORE_END_ERROR)
			sim_rules_failed(world, h,
					 message->count[1] != 0
						 ? outcome.cause
						 : RMD_CORE_CAUSE_TASK_ERROR);
		h->leased = h->running = false;
		sim_history_orphan(world, h);
	}
	sim_memory_short(world);
	int rc = rmd_core_agent_outcome(world->service.core, sim_service_ms(world),
					hub->agent, &outcome);
	sim_memory_back();
	rmd_buf_unref(buf);
	expect(world, "has ended", message->number, live, rc);
	/* Where the core has asked for its end by a deadline of queue or run, only it knows
	 * whether that was all. */
	if (live && !(h->cancel_told && (h->queue_ms != 0 || h->run_ms != 0)))
		check_over(world, h,
			   h->cancel_told || message->end != RMD_CORE_END_ERROR ||
				   !began || !sim_rules_allow(h) ||
				   sim_rules_poisoned(world, h));
}

static void hear_pool(struct sim_world *world, struct sim_hub *hub,
		      const struct sim_message *message)
{
	const struct sim_told *told = sim_hub_told(hub, message->number);
	struct rmd_core_agent_pool state = {
		.pool = message->number,
		.slots = message->count[0],
		.workers = message->count[1],
		.starting = message->count[2],
		.idle = message->count[3],
		.start_failed = message->flag,
		.broken = message->flag2,
		.start_error = {rmd_slice_of_string("why"), NULL},
	};
	sim_memory_short(world);
	int rc = rmd_core_agent_pool(world->service.core, sim_service_ms(world),
				     hub->agent, &state);
	sim_memory_back();
	SIM_MUST(world, rc == 0 || (rc == RMD_ENOTFOUND && told != NULL && told->closed),
		 "a report of pool %" PRIu64 ": %s", message->number,
		 rmd_errcode_text(rc));
}

void sim_hub_hear(struct sim_world *world, uint32_t link,
		  const struct sim_message *message)
{
	struct sim_hub *hub = by_link(world, link);
	if (message->word == SIM_A_HELLO) {
		hear_hello(world, link);
	} else if (hub == NULL) {
		sim_fail(world, "an agent speaks before its hello");
	}
	switch (message->word) {
	case SIM_A_BEGAN:
		hear_began(world, hub, message);
		break;
	case SIM_A_OUTCOME:
		hear_outcome(world, hub, message);
		break;
	case SIM_A_RETURNED:
		hear_returned(world, hub, message);
		break;
	case SIM_A_POOL:
		hear_pool(world, hub, message);
		break;
	case SIM_A_CHILD:
	case SIM_A_CANCEL:
	case SIM_A_WAITS:
		sim_hub_hear_nested(world, hub, message);
		break;
	case SIM_A_DRAINING:
		hub->draining = true;
		rmd_core_agent_draining(world->service.core, sim_service_ms(world),
					hub->agent);
		break;
	case SIM_A_FAREWELL:
		hub->link = SIM_NONE;
		leave(world, hub, RMD_CORE_FAREWELL_SAID);
		sim_link_drop(world, link, SIM_SERVER);
		break;
	default:
		break;
	}
	sim_check_counters(world);
	sim_service_touch(world);
}
