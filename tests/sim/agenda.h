/* tests/sim/agenda.h: what happens when: events in order of virtual time, and those of
 * one time in the order in which they were put in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds of events, and what `who` is. */
#define SIM_EVENTS(X)                                                      \
	X(SIM_TO_SERVER, "to server")	  /* link: a message arrives */    \
	X(SIM_TO_PEER, "to peer")	  /* link: a message arrives */    \
	X(SIM_SERVER_TOLD, "server told") /* link: that it is cut */       \
	X(SIM_PEER_TOLD, "peer told")	  /* link: that it is cut */       \
	X(SIM_TICK, "tick")		  /* none */                       \
	X(SIM_CLIENT, "client")		  /* client: acts */               \
	X(SIM_ACK, "ack")		  /* history: its client has it */ \
	X(SIM_AGENT, "agent")		  /* agent: starts, or gives up */ \
	X(SIM_REPORT, "report")		  /* agent: says what changed */   \
	X(SIM_WORKER, "worker")		  /* worker: its state ends */     \
	X(SIM_BEGAN, "began")		  /* worker: runs for long */      \
	X(SIM_OPERATOR, "operator")	  /* none */                       \
	X(SIM_TROUBLE, "trouble")	  /* none */                       \
	X(SIM_WATCH, "watch")		  /* none */

#define SIM_ENUM(name, text) name,
enum sim_event_kind { SIM_EVENTS(SIM_ENUM) };
#undef SIM_ENUM

struct sim_event {
	uint64_t due_us, order;
	enum sim_event_kind kind;
	uint32_t who;
	uint32_t life; /* of `who`: an event of an earlier life is void */
};

struct sim_agenda {
	struct sim_event *events; /* a heap */
	size_t count, capacity;
	uint64_t order;
};

void sim_agenda_fini(struct sim_agenda *agenda);
void sim_agenda_put(struct sim_agenda *agenda, uint64_t due_us, enum sim_event_kind kind,
		    uint32_t who, uint32_t life);
/* Takes the first event out. False: there is none. */
bool sim_agenda_take(struct sim_agenda *agenda, struct sim_event *ret_event);
const char *sim_event_name(enum sim_event_kind kind);
/* Memory of the simulator's own, which never fails: NULL ends the program. */
void *sim_grow(void *array, size_t bytes);
