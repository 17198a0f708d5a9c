/* tests/sim/hub_nested.c: tasks that tasks submit, on the coordinator's side. */
#include <inttypes.h>
#include <stdio.h>

#include "proto/base/buf.h"
#include "tests/sim/check.h"
#include "tests/sim/world.h"

void sim_hub_tell_child(struct sim_world *world, struct sim_hub *hub, uint32_t history)
{
	const struct sim_history *h = &world->histories.items[history];
	if (hub->link != SIM_NONE)
		sim_link_send(world, hub->link, SIM_PEER,
			      (struct sim_message){.word = SIM_O_CHILD,
						   .number = h->parent_lease,
						   .history = history,
						   .end = h->end,
						   .count = {h->outcome_attempt}});
}

/* Whether that code is an answer that may be. */
static bool code_fits(const struct sim_world *world, const struct sim_history *h, int rc)
{
	const struct sim_history *parent = &world->histories.items[h->parent];
	const struct rmd_core_config *config = &world->service.config;
	bool live = parent->leased && parent->lease == h->parent_lease;
	if (!live)
		return rc == RMD_ENOTFOUND;
	switch (rc) {
	case 0:
		return h->depth <= RMD_CORE_DEPTH_MAX && !parent->cancel_told;
	case RMD_EDEPTH:
		return h->depth > RMD_CORE_DEPTH_MAX;
	case RMD_ELIMIT:
		return config->tasks_max < 10000;
	case RMD_ENOMEM:
		return sim_has(world, SIM_MEMORY);
	case RMD_EAGAIN:
	case RMD_ECLOSED:
		return true;
	default:
		return false;
	}
}

/* The child is one more task: of its parent's client, with its parent's limits. */
static void accepted(struct sim_world *world, uint32_t history, const char *name)
{
	struct sim_service *service = &world->service;
	struct sim_history *h = &world->histories.items[history];
	struct sim_history *parent = &world->histories.items[h->parent];
	struct rmd_core_task *task = NULL, *at = NULL;
	struct rmd_slice function = rmd_slice_of_string(name);
	while ((at = rmd_core_task_next(service->core, at)) != NULL)
		if (rmd_slice_equal(rmd_core_task_function(at), function))
			task = at;
	SIM_MUST(world, task != NULL, "a child was accepted, and is not there");
	h->accepted++;
	h->accepted_at = ++service->accepted;
	h->number = rmd_core_task_number(task);
	h->pool = (uint32_t)rmd_core_pool_number(rmd_core_task_pool(task));
	h->due_ms = h->deadline_ms == 0 ? 0 : service->core_ms + h->deadline_ms;
	uint64_t due_ms = parent->due_ms;
	if (parent->run_ms != 0 &&
	    (due_ms == 0 || due_ms > parent->run_began_ms + parent->run_ms))
		due_ms = parent->run_began_ms + parent->run_ms;
	if (due_ms != 0 && (h->due_ms == 0 || h->due_ms > due_ms))
		h->due_ms = due_ms > service->core_ms ? due_ms : service->core_ms + 1;
	h->accepted_ms = service->core_ms;
	h->sibling = parent->children;
	parent->children = history;
}

static void hear_child(struct sim_world *world, struct sim_hub *hub,
		       const struct sim_message *message)
{
	struct rmd_core *core = world->service.core;
	struct sim_history *h = &world->histories.items[message->history];
	struct rmd_buf *buf = rmd_buf_create(h->payload_bytes);
	char name[32];
	SIM_MUST(world, buf != NULL, "no memory for a payload");
	snprintf(name, sizeof(name), SIM_NESTED "%" PRIu32, message->history + 1);
	sim_service_fill(rmd_buf_writable(buf), h->payload_bytes, message->history);
	struct rmd_core_nested nested = {
		.lease = message->number,
		.number = message->count[0],
		.function = rmd_slice_of_string(name),
		.payload = {rmd_buf_slice(buf), buf},
		.pool = message->flag
				? rmd_core_pool_find_name(core, rmd_slice_of_string("a"))
				: NULL,
		.deadline_ms = h->deadline_ms,
		.max_attempts = h->max_attempts,
	};
	sim_memory_short(world);
	int rc = rmd_core_agent_submit(core, sim_service_ms(world), hub->agent, &nested);
	sim_memory_back();
	rmd_buf_unref(buf);
	SIM_TRACE(world, "child %" PRIu32 " of task %" PRIu32 ": %s", message->history,
		  h->parent, rc == 0 ? "ok" : rmd_errcode_text(rc));
	SIM_MUST(world, code_fits(world, h, rc),
		 "the submit of a child is answered by %s", rmd_errcode_text(rc));
	if (rc == 0)
		accepted(world, message->history, name);
	h->refused = rc < 0 && rc != RMD_ENOTFOUND;
	if (h->refused)
		sim_hub_tell_child(world, hub, message->history);
}

static void hear_cancel(struct sim_world *world, struct sim_hub *hub,
			const struct sim_message *message)
{
	struct sim_history *h = &world->histories.items[message->history];
	const struct sim_history *parent = &world->histories.items[h->parent];
	bool live = parent->leased && parent->lease == message->number &&
		    h->accepted == 1 && h->ended == 0;
	h->cancel_asked = h->cancel_asked || live;
	int rc = rmd_core_agent_cancel_child(world->service.core, sim_service_ms(world),
					     hub->agent, message->number,
					     message->count[0]);
	SIM_MUST(world, rc == (live ? 0 : RMD_ENOTFOUND),
		 "the cancel of a child is answered by %s", rmd_errcode_text(rc));
}

static void hear_waits(struct sim_world *world, struct sim_hub *hub,
		       const struct sim_message *message)
{
	const struct sim_history *h = &world->histories.items[message->history];
	bool live = h->leased && h->lease == message->number;
	int rc = rmd_core_agent_waits(world->service.core, sim_service_ms(world),
				      hub->agent, message->number, message->flag);
	/* (One whose children were all refused is not known as a parent.) */
	SIM_MUST(world, rc == (live ? 0 : RMD_ENOTFOUND) || (live && rc == RMD_EPROTO),
		 "a task waits, and is answered by %s", rmd_errcode_text(rc));
}

void sim_hub_hear_nested(struct sim_world *world, struct sim_hub *hub,
			 const struct sim_message *message)
{
	if (message->word == SIM_A_CHILD)
		hear_child(world, hub, message);
	else if (message->word == SIM_A_CANCEL)
		hear_cancel(world, hub, message);
	else
		hear_waits(world, hub, message);
}
