/* tests/sim/service.h: what stands around the core in the coordinator, as a model: links
 * in, core events, actions out.
 *
 * service.c has the port, the clock and the ticks; session.c the clients' sessions, hub.c
 * the agents. Each call of the core is followed by a check (check.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "server/core/core.h"
#include "tests/sim/client.h"
#include "tests/sim/link.h"

#define SIM_SESSIONS 64u
#define SIM_HUBS 32u
#define SIM_REFUSED 64u
#define SIM_NESTED "native:f" /* and the number of its history + 1 */

struct sim_session {
	bool used, goodbye;
	uint32_t slot, life; /* whose: this is the session's id */
	uint32_t link;	     /* SIM_NONE: the client is away */
	struct rmd_core_client *client;
	uint64_t pools[SIM_CLIENT_POOLS + 1]; /* the core's numbers */
	uint64_t accepted_told, window_told, window_most;
	uint64_t refused_most;
	uint64_t left_ms; /* when its client went away, as the core was told */
	uint32_t refused[SIM_REFUSED]; /* histories; until acknowledged */
	uint32_t refused_count;
};

struct sim_told { /* what an agent was told of a pool */
	uint64_t pool;
	uint32_t workers;
	bool closed;
};

struct sim_hub {
	bool used, draining;
	uint32_t link; /* SIM_NONE: lost */
	uint32_t slot, life;
	struct rmd_core_agent *agent; /* NULL before its hello */
	struct sim_told *told;
	uint32_t told_count, told_capacity;
};

struct sim_service {
	struct rmd_core *core;
	struct rmd_core_config config;
	struct rmd_core_client *caller; /* of the coordinator's own calls */
	int64_t skew_ms;
	uint64_t core_ms; /* the latest that the core was told */
	uint64_t tick_us; /* when the next tick is due; 0: none */
	uint32_t tick_life;
	bool in_tick, destroying, losing, losing_said;
	struct rmd_core_client *closing; /* a client that is being closed */
	struct sim_session sessions[SIM_SESSIONS];
	struct sim_hub hubs[SIM_HUBS];
	uint64_t newest_lease, leases; /* leases: out now */
	uint64_t accepted, told, gone, pools_gone;
	uint32_t drained;
};

void sim_service_start(struct sim_world *world);
/* Frees the core; all its tasks must go. */
void sim_service_end(struct sim_world *world);
/* The time to tell the core now. */
uint64_t sim_service_ms(struct sim_world *world);
/* The core had an event: a tick follows soon. */
void sim_service_touch(struct sim_world *world);
void sim_service_tick(struct sim_world *world);
/* Makes one of the next allocations fail, if this seed has that trouble. The core's event
 * function follows, then sim_memory_back. */
void sim_memory_short(struct sim_world *world);
void sim_memory_back(void);
void sim_server_hear(struct sim_world *world, uint32_t link,
		     const struct sim_message *message);
void sim_server_lost(struct sim_world *world, uint32_t link);

/* service.c, for sessions and others */
struct sim_history *sim_history_of(struct sim_world *world,
				   const struct rmd_core_task *task);
/* Submits the task of `history` for `client`; the core's code. */
int sim_service_submit(struct sim_world *world, struct rmd_core_client *client,
		       struct rmd_core_pool *pool, uint32_t history);
/* Fills a payload: its bytes say whose they are, at both ends. */
void sim_service_fill(uint8_t *bytes, uint32_t len, uint32_t history);
/* Opens a pool of that sort; the core's code. */
int sim_service_open(struct sim_world *world, struct rmd_core_client *client,
		     uint32_t spec, uint32_t workers, struct rmd_core_pool **ret_pool);
/* Closes a client, whose tasks' ends nobody will be told. */
void sim_service_close(struct sim_world *world, struct rmd_core_client *client);

/* session.c */
void sim_session_hear(struct sim_world *world, uint32_t link,
		      const struct sim_message *message);
void sim_session_lost(struct sim_world *world, uint32_t link);
void sim_session_outcome(struct sim_world *world, struct sim_session *session,
			 struct rmd_core_task *task, uint8_t end);
/* The core has given the client up. */
void sim_session_expired(struct sim_world *world, struct rmd_core_client *client);
/* The session that a client's slot has in this life, or NULL. */
struct sim_session *sim_session_find(struct sim_world *world, uint32_t slot,
				     uint32_t life);
void sim_sessions_feed(struct sim_world *world);

/* hub_nested.c */
/* What tasks say that concerns their children. */
void sim_hub_hear_nested(struct sim_world *world, struct sim_hub *hub,
			 const struct sim_message *message);

/* hub.c */
void sim_hub_hear(struct sim_world *world, uint32_t link,
		  const struct sim_message *message);
void sim_hub_lost(struct sim_world *world, uint32_t link);
struct sim_hub *sim_hub_of(struct sim_world *world, const struct rmd_core_agent *agent);
/* Tells the parent's agent how a child ended, or that it was refused. */
void sim_hub_tell_child(struct sim_world *world, struct sim_hub *hub, uint32_t history);
/* What the agent was told of a pool, or NULL. */
struct sim_told *sim_hub_told(struct sim_hub *hub, uint64_t pool);
void sim_hub_order(struct sim_world *world, struct sim_hub *hub,
		   const struct rmd_core_pool *pool, const struct rmd_core_order *order);
