/* tests/sim/client.h: a model client: a session that submits, cancels, acknowledges,
 * loses its stream, comes back and sends again what was not acknowledged. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/link.h"

#define SIM_CLIENT_POOLS 4u /* that it numbers from 1; 0 is the default pool */
#define SIM_SPECS 8u	    /* sorts of pools that clients ask for */

enum sim_client_state { /* AWAY -> GREETING -> OPEN -> AWAY or GOODBYE -> AWAY */
			SIM_CLIENT_AWAY,
			SIM_CLIENT_GREETING, /* has said hello */
			SIM_CLIENT_OPEN,
			SIM_CLIENT_GOODBYE, /* waits for its last outcomes */
};

struct sim_client {
	enum sim_client_state state;
	uint32_t life;	/* its session: another number is another session id */
	uint32_t actor; /* life of its events */
	uint32_t link;	/* SIM_NONE: away */
	bool known;	/* the coordinator has welcomed this session */
	bool slow;
	uint32_t pace_us; /* between its acts */
	uint32_t open_max;
	uint64_t next, accepted, window;
	uint32_t open;	 /* tasks whose outcome it lacks */
	uint32_t *tasks; /* histories, by number - 1 */
	uint32_t capacity;
	uint8_t pools[SIM_CLIENT_POOLS];  /* 1 + its spec; 0: not opened */
	uint32_t asked[SIM_CLIENT_POOLS]; /* workers */
};

void sim_client_start(struct sim_world *world, uint32_t slot);
/* Its time to do something. */
void sim_client_act(struct sim_world *world, uint32_t slot);
void sim_client_hear(struct sim_world *world, uint32_t slot,
		     const struct sim_message *message);
/* Its stream is gone. */
void sim_client_lost(struct sim_world *world, uint32_t slot);
/* It acknowledges an outcome. */
void sim_client_ack(struct sim_world *world, uint32_t history);
void sim_client_fini(struct sim_client *client);
