#include "tests/sim/client.h"

#include <inttypes.h>
#include <stdlib.h>

#include "tests/sim/rules.h"
#include "tests/sim/world.h"

#define PRIORITIES 5u

static struct sim_client *client_of(struct sim_world *world, uint32_t slot)
{
	return &world->clients[slot];
}

static void act_in(struct sim_world *world, uint32_t slot, uint64_t us)
{
	struct sim_client *client = client_of(world, slot);
	sim_agenda_put(&world->agenda, world->now_us + us, SIM_CLIENT, slot,
		       ++client->actor);
}

static void say(struct sim_world *world, uint32_t slot, struct sim_message message)
{
	sim_link_send(world, client_of(world, slot)->link, SIM_SERVER, message);
}

void sim_client_start(struct sim_world *world, uint32_t slot)
{
	struct sim_client *client = client_of(world, slot);
	client->link = SIM_NONE;
	client->life = 1;
	client->next = 1;
	client->slow = sim_has(world, SIM_SLOW) && sim_chance(&world->clientele, 300);
	client->pace_us = sim_between(&world->clientele, 1000, 60000);
	client->open_max = sim_between(&world->clientele, 1, 120);
	act_in(world, slot, sim_draw(&world->clientele, 200000));
}

void sim_client_fini(struct sim_client *client)
{
	free(client->tasks);
}

/* --- sessions ---------------------------------------------------------------------- */

/* Its session is no more: what is open will never be known, and the next is another. */
static void begin_anew(struct sim_world *world, uint32_t slot)
{
	struct sim_client *client = client_of(world, slot);
	for (uint64_t n = 1; n < client->next; n++) {
		struct sim_history *h = &world->histories.items[client->tasks[n - 1]];
		h->given_up = h->given_up || !h->delivered;
	}
	client->life++;
	client->known = false;
	client->next = 1;
	client->accepted = client->window = 0;
	client->open = 0;
	for (unsigned i = 0; i < SIM_CLIENT_POOLS; i++)
		client->pools[i] = 0;
}

static void connect(struct sim_world *world, uint32_t slot)
{
	struct sim_client *client = client_of(world, slot);
	client->link = sim_link_open(world, false, slot);
	client->state = SIM_CLIENT_GREETING;
	say(world, slot,
	    (struct sim_message){
		    .word = SIM_C_HELLO, .flag = client->known, .history = client->life});
}

void sim_client_lost(struct sim_world *world, uint32_t slot)
{
	struct sim_client *client = client_of(world, slot);
	client->link = SIM_NONE;
	if (client->state == SIM_CLIENT_GOODBYE)
		begin_anew(world, slot);
	client->state = SIM_CLIENT_AWAY;
	act_in(world, slot, 1 + sim_skewed(&world->clientele, 100000));
}

/* Goes without a word, and perhaps never comes back as who it was. */
static void leave(struct sim_world *world, uint32_t slot, bool for_ever)
{
	struct sim_client *client = client_of(world, slot);
	uint32_t link = client->link;
	client->link = SIM_NONE;
	client->state = SIM_CLIENT_AWAY;
	sim_link_drop(world, link, SIM_PEER);
	if (for_ever)
		begin_anew(world, slot);
	act_in(world, slot, 1 + sim_skewed(&world->clientele, 300000));
}

static void goodbye(struct sim_world *world, uint32_t slot)
{
	struct sim_client *client = client_of(world, slot);
	say(world, slot, (struct sim_message){.word = SIM_C_GOODBYE});
	if (client->open > 0 && sim_chance(&world->clientele, 500)) {
		client->state = SIM_CLIENT_GOODBYE; /* waits for what is open */
		return;
	}
	uint32_t link = client->link;
	client->link = SIM_NONE;
	client->state = SIM_CLIENT_AWAY;
	sim_link_finish(world, link, SIM_PEER);
	begin_anew(world, slot);
	act_in(world, slot, 1 + sim_skewed(&world->clientele, 300000));
}

/* --- what it asks for -------------------------------------------------------------- */

static void open_pool(struct sim_world *world, uint32_t slot, uint32_t i)
{
	const struct sim_client *client = client_of(world, slot);
	say(world, slot,
	    (struct sim_message){.word = SIM_C_POOL,
				 .number = i + 1,
				 .count = {client->pools[i] - 1u, client->asked[i]}});
}

static void submit_again(struct sim_world *world, uint32_t slot, uint64_t number)
{
	say(world, slot,
	    (struct sim_message){.word = SIM_C_SUBMIT,
				 .number = number,
				 .history = client_of(world, slot)->tasks[number - 1]});
}

static void describe(struct sim_world *world, struct sim_history *h)
{
	struct sim_random *draw = &world->clientele;
	h->payload_bytes = sim_chance(draw, 50) ? sim_between(draw, 1024, 3000)
						: sim_between(draw, 8, 200);
	h->max_attempts = (uint8_t)(sim_chance(draw, 600) ? 1 : sim_between(draw, 1, 4));
	if (sim_has(world, SIM_PRIORITIES) && sim_chance(draw, 400))
		h->priority = (int16_t)((int)sim_draw(draw, PRIORITIES) * 500 - 1000);
	if (sim_has(world, SIM_DEADLINES) && sim_chance(draw, 200))
		h->deadline_ms = sim_skewed(draw, 200);
	sim_rules_draw(world, h);
}

/* False: it may not, or waits for what is open. */
static bool submit(struct sim_world *world, uint32_t slot)
{
	struct sim_client *client = client_of(world, slot);
	uint32_t i = sim_draw(&world->clientele, SIM_CLIENT_POOLS + 1);
	if (client->next > client->window || client->open >= client->open_max)
		return false;
	uint32_t history = sim_history_create(world);
	struct sim_history *h = &world->histories.items[history];
	h->client = slot;
	h->life = client->life;
	h->number = client->next++;
	h->local_pool = i > 0 && client->pools[i - 1] != 0 ? i : 0;
	describe(world, h);
	if (h->number > client->capacity) {
		client->capacity = client->capacity == 0 ? 256 : client->capacity * 2;
		client->tasks = sim_grow(client->tasks,
					 client->capacity * sizeof(*client->tasks));
	}
	client->tasks[h->number - 1] = history;
	client->open++;
	submit_again(world, slot, h->number);
	return true;
}

static void cancel(struct sim_world *world, uint32_t slot)
{
	struct sim_client *client = client_of(world, slot);
	uint64_t most = client->next - 1 < 60 ? client->next - 1 : 60;
	if (most == 0)
		return;
	uint64_t number = client->next - 1 - sim_draw(&world->clientele, (uint32_t)most);
	say(world, slot, (struct sim_message){.word = SIM_C_CANCEL, .number = number});
}

static void use_pool(struct sim_world *world, uint32_t slot)
{
	struct sim_client *client = client_of(world, slot);
	uint32_t i = sim_draw(&world->clientele, SIM_CLIENT_POOLS);
	if (client->pools[i] == 0 || sim_chance(&world->clientele, 300))
		client->pools[i] = (uint8_t)(1 + sim_draw(&world->clientele, SIM_SPECS));
	client->asked[i] = sim_chance(&world->clientele, 150)
				   ? 0
				   : sim_between(&world->clientele, 1, 8);
	open_pool(world, slot, i);
}

/* Gives by how much longer than usual it waits before it acts again. */
static uint32_t act_open(struct sim_world *world, uint32_t slot)
{
	struct sim_random *draw = &world->clientele;
	const struct sim_client *client = client_of(world, slot);
	uint32_t what = sim_draw(draw, 1000);
	if (what < 3 && sim_has(world, SIM_QUITS)) {
		if (sim_chance(draw, 500))
			goodbye(world, slot);
		else
			leave(world, slot, true);
	} else if (what >= 10 && what < 20 && sim_has(world, SIM_LEAVES)) {
		leave(world, slot, false);
	} else if (what >= 20 && what < 80 && sim_has(world, SIM_CANCELS)) {
		cancel(world, slot);
	} else if ((what >= 80 && what < 100) || client->pools[0] == 0) {
		use_pool(world, slot);
	} else {
		uint32_t i = sim_between(draw, 1, 12);
		while (i > 0 && submit(world, slot))
			i--;
		return i > 0 ? 8 : 1;
	}
	return 1;
}

void sim_client_act(struct sim_world *world, uint32_t slot)
{
	struct sim_client *client = client_of(world, slot);
	uint32_t longer = 1;
	switch (client->state) {
	case SIM_CLIENT_AWAY:
		connect(world, slot);
		return;
	case SIM_CLIENT_OPEN:
		if (!world->settling)
			longer = act_open(world, slot);
		break;
	case SIM_CLIENT_GREETING:
	case SIM_CLIENT_GOODBYE:
		break;
	}
	if (client->state == SIM_CLIENT_OPEN)
		act_in(world, slot,
		       1 + sim_draw(&world->clientele, 2 * longer * client->pace_us));
}

void sim_client_ack(struct sim_world *world, uint32_t history)
{
	const struct sim_history *h = &world->histories.items[history];
	const struct sim_client *client = client_of(world, h->client);
	if (client->life == h->life &&
	    (client->state == SIM_CLIENT_OPEN || client->state == SIM_CLIENT_GOODBYE))
		say(world, h->client,
		    (struct sim_message){.word = SIM_C_ACK, .number = h->number});
}

/* --- what it hears ----------------------------------------------------------------- */

static void hear_welcome(struct sim_world *world, uint32_t slot,
			 const struct sim_message *message)
{
	struct sim_client *client = client_of(world, slot);
	if (!message->flag) { /* it was away for too long */
		uint32_t link = client->link;
		client->link = SIM_NONE;
		client->state = SIM_CLIENT_AWAY;
		sim_link_drop(world, link, SIM_PEER);
		begin_anew(world, slot);
		act_in(world, slot, 1 + sim_draw(&world->clientele, 10000));
		return;
	}
	client->state = SIM_CLIENT_OPEN;
	SIM_MUST(world, message->number >= client->accepted,
		 "client %" PRIu32 ": accepted was %" PRIu64 ", and is now %" PRIu64,
		 slot, client->accepted, message->number);
	client->known = true;
	client->accepted = message->number;
	for (uint32_t i = 0; i < SIM_CLIENT_POOLS; i++)
		if (client->pools[i] != 0)
			open_pool(world, slot, i);
	uint64_t from = client->accepted + 1;
	if (sim_chance(&world->clientele, 250)) /* more than it must: no harm */
		from -= sim_draw(&world->clientele, (uint32_t)(from < 8 ? from : 8));
	for (uint64_t n = from; n < client->next; n++)
		submit_again(world, slot, n);
	act_in(world, slot, 1 + sim_draw(&world->clientele, client->pace_us));
}

static void hear_outcome(struct sim_world *world, uint32_t slot,
			 const struct sim_message *message)
{
	struct sim_client *client = client_of(world, slot);
	struct sim_history *h = &world->histories.items[message->history];
	SIM_MUST(world,
		 h->client == slot && h->life == client->life &&
			 h->number == message->number,
		 "client %" PRIu32 " got the outcome of another's task", slot);
	bool before = h->delivered;
	sim_history_deliver(world, message->history, message->count[0], message->end);
	client->open -= before ? 0 : 1;
	uint64_t wait_us = client->slow && !world->settling
				   ? sim_skewed(&world->clientele, 200000)
				   : 1 + sim_draw(&world->clientele, 2000);
	sim_agenda_put(&world->agenda, world->now_us + wait_us, SIM_ACK, message->history,
		       0);
}

void sim_client_hear(struct sim_world *world, uint32_t slot,
		     const struct sim_message *message)
{
	struct sim_client *client = client_of(world, slot);
	switch (message->word) {
	case SIM_S_WELCOME:
		hear_welcome(world, slot, message);
		return;
	case SIM_S_ACCEPTED:
		SIM_MUST(world, message->number < client->next,
			 "client %" PRIu32 ": accepted %" PRIu64 ", which it never sent",
			 slot, message->number);
		if (message->number > client->accepted)
			client->accepted = message->number;
		return;
	case SIM_S_WINDOW:
		if (message->number > client->window)
			client->window = message->number;
		return;
	case SIM_S_OUTCOME:
		hear_outcome(world, slot, message);
		return;
	default:
		sim_fail(world, "the simulator sends a client what is not for it");
	}
}
