#include "tests/sim/link.h"

#include <stdlib.h>

#include "tests/sim/world.h"

uint32_t sim_link_open(struct sim_world *world, bool to_agent, uint32_t slot)
{
	uint32_t i = 0;
	while (i < SIM_LINKS && world->links[i].used)
		i++;
	SIM_MUST(world, i < SIM_LINKS, "the simulator has too few links");
	struct sim_link *link = &world->links[i];
	link->used = true;
	link->cut = false;
	link->to_agent = to_agent;
	link->told[SIM_SERVER] = link->told[SIM_PEER] = false;
	link->slot = slot;
	link->life++;
	for (unsigned w = 0; w < 2; w++) {
		link->way[w].head = link->way[w].count = 0;
		link->way[w].last_due_us = world->now_us;
	}
	return i;
}

static uint64_t delay(struct sim_world *world)
{
	uint32_t usual = world->delay_us;
	if (!sim_has(world, SIM_LATENCY))
		return 1 + sim_draw(&world->net, usual);
	if (sim_chance(&world->net, 5))
		return sim_between(&world->net, 1000, 3000000);
	return sim_skewed(&world->net, usual);
}

static void put_event(struct sim_world *world, uint32_t i, enum sim_side to)
{
	struct sim_link *link = &world->links[i];
	const struct sim_way *way = &link->way[to];
	sim_agenda_put(&world->agenda, way->ring[way->head].due_us,
		       to == SIM_SERVER ? SIM_TO_SERVER : SIM_TO_PEER, i, link->life);
}

static void grow(struct sim_way *way)
{
	uint32_t capacity = way->capacity == 0 ? 16 : way->capacity * 2;
	struct sim_message *ring = sim_grow(NULL, capacity * sizeof(*ring));
	for (uint32_t i = 0; i < way->count; i++)
		ring[i] = way->ring[(way->head + i) & (way->capacity - 1)];
	free(way->ring);
	way->ring = ring;
	way->head = 0;
	way->capacity = capacity;
}

void sim_link_send(struct sim_world *world, uint32_t i, enum sim_side to,
		   struct sim_message message)
{
	struct sim_link *link = &world->links[i];
	struct sim_way *way = &link->way[to];
	SIM_MUST(world,
		 link->used && !link->told[to == SIM_SERVER ? SIM_PEER : SIM_SERVER],
		 "the simulator sends on a link that is gone");
	if (link->cut)
		return;
	if (way->count == way->capacity)
		grow(way);
	message.due_us = world->now_us + delay(world);
	if (message.due_us < way->last_due_us)
		message.due_us = way->last_due_us;
	way->last_due_us = message.due_us;
	way->ring[(way->head + way->count++) & (way->capacity - 1)] = message;
	if (way->count == 1)
		put_event(world, i, to);
}

static void release(struct sim_link *link)
{
	if (link->told[SIM_SERVER] && link->told[SIM_PEER])
		link->used = false;
}

void sim_link_cut(struct sim_world *world, uint32_t i, uint64_t server_us,
		  uint64_t peer_us)
{
	struct sim_link *link = &world->links[i];
	if (!link->used || link->cut)
		return;
	link->cut = true;
	link->way[SIM_SERVER].count = link->way[SIM_PEER].count = 0;
	link->life++; /* what is in flight does not arrive */
	if (!link->told[SIM_SERVER])
		sim_agenda_put(&world->agenda, world->now_us + server_us, SIM_SERVER_TOLD,
			       i, link->life);
	if (!link->told[SIM_PEER])
		sim_agenda_put(&world->agenda, world->now_us + peer_us, SIM_PEER_TOLD, i,
			       link->life);
}

/* How long until an end knows: at once, or when its keepalive was not answered. */
static uint64_t notice_us(struct sim_world *world)
{
	if (sim_has(world, SIM_HALFOPEN) && sim_chance(&world->net, 300))
		return sim_between(&world->net, 1000000, 15000000);
	return sim_between(&world->net, 1, 20000);
}

void sim_link_break(struct sim_world *world, uint32_t i)
{
	uint64_t server_us = notice_us(world);
	sim_link_cut(world, i, server_us, notice_us(world));
}

void sim_link_drop(struct sim_world *world, uint32_t i, enum sim_side side)
{
	struct sim_link *link = &world->links[i];
	link->told[side] = true;
	if (!link->cut)
		sim_link_cut(world, i, notice_us(world), notice_us(world));
	release(link);
}

void sim_link_finish(struct sim_world *world, uint32_t i, enum sim_side side)
{
	struct sim_link *link = &world->links[i];
	enum sim_side other = side == SIM_SERVER ? SIM_PEER : SIM_SERVER;
	sim_link_send(world, i, other, (struct sim_message){.word = SIM_END});
	link->told[side] = true;
	release(link);
}

void sim_link_stall(struct sim_world *world, uint32_t i, enum sim_side to,
		    uint64_t pause_us)
{
	struct sim_link *link = &world->links[i];
	if (link->used && !link->cut &&
	    link->way[to].last_due_us < world->now_us + pause_us)
		link->way[to].last_due_us = world->now_us + pause_us;
}

void sim_link_arrive(struct sim_world *world, uint32_t i, enum sim_side to)
{
	struct sim_link *link = &world->links[i];
	struct sim_way *way = &link->way[to];
	struct sim_message message = way->ring[way->head];
	way->head = (way->head + 1) & (way->capacity - 1);
	if (--way->count > 0)
		put_event(world, i, to);
	if (link->told[to])
		return;
	if (message.word == SIM_END)
		sim_link_tell(world, i, to);
	else if (to == SIM_SERVER)
		sim_server_hear(world, i, &message);
	else if (link->to_agent)
		sim_agent_hear(world, link->slot, &message);
	else
		sim_client_hear(world, link->slot, &message);
}

void sim_link_tell(struct sim_world *world, uint32_t i, enum sim_side side)
{
	struct sim_link *link = &world->links[i];
	if (link->told[side])
		return;
	link->told[side] = true;
	if (side == SIM_SERVER)
		sim_server_lost(world, i);
	else if (link->to_agent)
		sim_agent_lost(world, link->slot);
	else
		sim_client_lost(world, link->slot);
	release(link);
}

void sim_links_fini(struct sim_world *world)
{
	for (uint32_t i = 0; i < SIM_LINKS; i++)
		for (unsigned w = 0; w < 2; w++)
			free(world->links[i].way[w].ring);
}
