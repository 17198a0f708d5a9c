/* tests/sim/link.h: a connection between a peer and the coordinator: two streams of
 * messages, each in its own order, and neither in step with anything else.
 *
 * A cut loses what is in flight. Each end learns of it in its own time; until then what
 * it sends goes nowhere. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SIM_NONE UINT32_MAX

struct sim_world;

/* Kinds of messages, and which way. */
enum sim_word {
	/* client to coordinator */
	SIM_C_HELLO,   /* flag: resumes; history: the session's life */
	SIM_C_POOL,    /* number: the client's own; spec */
	SIM_C_SUBMIT,  /* number, history */
	SIM_C_CANCEL,  /* number */
	SIM_C_ACK,     /* number */
	SIM_C_GOODBYE, /* will submit nothing more */
	/* coordinator to client */
	SIM_S_WELCOME,	/* flag: the session goes on; number: accepted */
	SIM_S_ACCEPTED, /* number */
	SIM_S_WINDOW,	/* number */
	SIM_S_OUTCOME,	/* number, history, end, count: attempt */
	/* agent to coordinator */
	SIM_A_HELLO,
	SIM_A_BEGAN,	/* number: lease; history */
	SIM_A_OUTCOME,	/* number: lease; history, end, flag: began; count: attempt */
	SIM_A_RETURNED, /* number: lease; history */
	SIM_A_POOL,	/* number: pool; count: slots, workers, starting, idle */
	SIM_A_DRAINING,
	SIM_A_CHILD,  /* number: the parent's lease; history, count: 1 + its spec or 0 */
	SIM_A_CANCEL, /* number: the parent's lease; history: the child */
	SIM_A_WAITS,  /* number: lease; history; flag: waits for its children */
	SIM_A_FAREWELL, /* has said all, and begins nothing more */
	/* coordinator to agent */
	SIM_O_ORDER,  /* number: pool; count: workers; flag: closed, flag2: kill */
	SIM_O_LEASE,  /* number: lease; history; count: pool, attempt */
	SIM_O_CANCEL, /* number: lease */
	SIM_O_RECALL, /* number: pool; count: leases */
	SIM_O_CHILD,  /* number: the parent's lease; history, end, count: attempt */
	/* both ways */
	SIM_END, /* of the stream, in order */
};

struct sim_message {
	enum sim_word word;
	bool flag, flag2;
	uint8_t end; /* enum rmd_core_end */
	uint32_t history;
	uint64_t number;
	uint32_t count[4];
	uint64_t due_us;
};

enum sim_side { SIM_SERVER, SIM_PEER };

struct sim_way { /* messages to one side, a ring */
	struct sim_message *ring;
	uint32_t head, count, capacity;
	uint64_t last_due_us; /* no message overtakes another */
};

struct sim_link {
	bool used, cut, to_agent;
	bool told[2]; /* which side has given it up */
	uint32_t life;
	uint32_t slot; /* of the peer */
	struct sim_way way[2];
};

/* Opens a link from the peer in `slot`, which may send at once. Gives its number. */
uint32_t sim_link_open(struct sim_world *world, bool to_agent, uint32_t slot);
/* Sends a message to that side. */
void sim_link_send(struct sim_world *world, uint32_t link, enum sim_side to,
		   struct sim_message message);
/* Loses what is in flight; each side is told after so long. Safe to repeat. */
void sim_link_cut(struct sim_world *world, uint32_t link, uint64_t server_us,
		  uint64_t peer_us);
/* Cuts it as the world's trouble goes: sometimes an end is told late. */
void sim_link_break(struct sim_world *world, uint32_t link);
/* That side wants to hear no more of it: it is cut, and the other told soon. */
void sim_link_drop(struct sim_world *world, uint32_t link, enum sim_side side);
/* That side has said its last: the other hears the rest, and then that it is over. */
void sim_link_finish(struct sim_world *world, uint32_t link, enum sim_side side);
/* Nothing arrives at that side for so long. */
void sim_link_stall(struct sim_world *world, uint32_t link, enum sim_side to,
		    uint64_t pause_us);
/* The first message to that side has arrived; hands it over. */
void sim_link_arrive(struct sim_world *world, uint32_t link, enum sim_side to);
/* That side learns that the link was cut. */
void sim_link_tell(struct sim_world *world, uint32_t link, enum sim_side side);
void sim_links_fini(struct sim_world *world);
