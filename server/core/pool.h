/* server/core/pool.h: a pool, from the inside. Core thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "server/core/core.h"
#include "server/core/heap.h"
#include "server/core/ledger.h"
#include "server/core/timers.h"

struct rmd_core_share;

enum rmd_core_pool_sort {
	RMD_CORE_POOL_NAMED,   /* shared by name */
	RMD_CORE_POOL_OWN,     /* of one client, then warm for the next of its identity */
	RMD_CORE_POOL_DEFAULT, /* of a runtime, shared */
};

enum rmd_core_pool_state { /* OPEN -> CLOSING -> gone */
			   RMD_CORE_POOL_OPEN,
			   RMD_CORE_POOL_CLOSING, /* takes no tasks */
};

/* Whether it has the workers that it could use: the list it is in. */
enum rmd_core_pool_place {
	RMD_CORE_PLACE_FINE,	 /* in no list */
	RMD_CORE_PLACE_STARVING, /* no worker at all, and agents are full */
	RMD_CORE_PLACE_SHORT,	 /* could use more, but agents are full */
	RMD_CORE_PLACE_HOMELESS, /* no agent suits, however empty */
};
#define RMD_CORE_PLACES 4u

struct rmd_core_pool {
	uint32_t magic;
	enum rmd_core_pool_sort sort;
	enum rmd_core_pool_state state;
	enum rmd_core_pool_place place;
	struct rmd_core *core;
	uint64_t number;
	void *user;

	/* What it is. Slices lie behind the struct. */
	struct rmd_slice name, runtime, identity, owner_identity;
	struct rmd_core_label *labels;
	size_t label_count;
	uint32_t cpu_milli, max_tasks_per_worker;
	uint64_t memory_bytes, idle_timeout_ms, leak_bytes;
	struct rmd_slice initializer;
	bool broken_on_crash;
	struct rmd_piece spec;

	/* Who uses it. */
	struct rmd_core_client *owner; /* of an OWN pool; NULL: warm */
	bool warm;		       /* an OWN pool without its client: on core->warm */
	bool claimed;		/* named, opened or resized without a client: stays */
	bool killed;		/* its closing kills workers */
	bool broken;		/* its tasks fail with broken_error; CLOSING */
	struct rmd_piece broken_error;
	uint32_t asked_workers; /* without a client; counts while claimed */
	uint32_t max_workers;	/* 0: as many as there is room for */
	uint32_t holders;
	LIST_HEAD(, rmd_core_share) shares;
	struct rmd_core_heap turns;
	uint64_t turn; /* rises with each grant */

	/* Its tasks, and its workers: sums over its ledgers. */
	uint64_t queued, leased, done;
	uint64_t later; /* queued tasks that back off, which `queued` does not count */
	uint64_t homeless_ms; /* since when no agent suits what is queued; 0: one does */
	uint32_t wanted, workers, starting, idle;
	uint32_t waiting;     /* leased tasks that wait for their children */
	bool crowded;	      /* so many wait that only children are granted */
	uint64_t idle_places; /* ready workers without a lease */
	uint64_t recalling;   /* leases asked back and not yet seen */
	LIST_HEAD(, rmd_core_ledger) ledgers;
	struct rmd_core_ledger_list by_class[RMD_CORE_LEDGER_CLASSES];
	LIST_HEAD(, rmd_core_ledger) overloaded;
	uint32_t start_failures; /* in a row */
	struct rmd_piece start_error;

	struct rmd_core_timer idle_timer; /* while it has more workers than work */
	uint64_t peak;			  /* most tasks at a time since it was set */

	uint64_t full_epoch; /* 1 + core->room_epoch when there was no room; 0: never */
	bool turn_due;	     /* room was made for it: it is first in its list of places */
	struct rmd_core_agent
		*promised; /* where one worker's room is kept for it, or NULL */
	bool dirty;	   /* to be looked at by the next tick */
	TAILQ_ENTRY(rmd_core_pool) dirty_link, core_link, place_link, warm_link;
	struct rmd_core_pool *name_next; /* another pool under the same hash */
	uint8_t bytes[];
};

/* Tasks that have not ended: queued and leased ones. */
static inline uint64_t rmd_core_pool_demand(const struct rmd_core_pool *pool)
{
	return pool->queued + pool->leased;
}
/* Tasks that could use a place for a worker: those that wait for children do not. */
static inline uint64_t rmd_core_pool_load(const struct rmd_core_pool *pool)
{
	return rmd_core_pool_demand(pool) - pool->waiting;
}

/* Puts the pool on the list of those that the next tick looks at. */
void rmd_core_pool_touch(struct rmd_core_pool *pool);
/* Moves it to another list of places. */
void rmd_core_pool_set_place(struct rmd_core_pool *pool, enum rmd_core_pool_place to);
/* Computes its size from what its holders ask for. */
void rmd_core_pool_size(struct rmd_core_pool *pool);
/* The client holds it no more: its share may be gone, an own pool is warm from now on. */
void rmd_core_pool_unhold(struct rmd_core_share *share);
/* Ends all queued tasks; has all leased ones end. */
void rmd_core_pool_end_queued(struct rmd_core_pool *pool, enum rmd_core_end why);
void rmd_core_pool_doom_leased(struct rmd_core_pool *pool, enum rmd_core_end why);
/* Its workers cannot be started: fails its queued tasks, stops trying until new ones
 * come. */
void rmd_core_pool_fail(struct rmd_core_pool *pool);
/* The idle time is over: fewer workers, or the end of a pool that nobody uses. */
void rmd_core_pool_idled(struct rmd_core_pool *pool);
/* Sets or stops the idle timer. */
void rmd_core_pool_watch_idle(struct rmd_core_pool *pool);
/* Closes its ledgers and frees it, as far as its time has come. True: it is gone. */
bool rmd_core_pool_reap(struct rmd_core_pool *pool);
/* From OPEN to CLOSING: found no more. */
void rmd_core_pool_begin_closing(struct rmd_core_pool *pool);
/* What the client (NULL: any) has there that is leased and has not begun comes back, and
 * ends then (END_POOL_CLOSED). */
void rmd_core_pool_unwant(struct rmd_core_pool *pool,
			  const struct rmd_core_client *client);
/* Its tasks that wait, or where a crash breaks it all of them, fail with `error` (an
 * ErrorChain, referenced), and so does what comes back. Once. */
void rmd_core_pool_break(struct rmd_core_pool *pool, struct rmd_piece error);
/* Frees it; it has no tasks, shares or ledgers. */
void rmd_core_pool_free(struct rmd_core_pool *pool);

/* pool_name.c: shared pools by name. */
/* Puts a NAMED or DEFAULT pool in. RMD_ENOMEM. */
int rmd_core_pool_name_put(struct rmd_core_pool *pool);
/* Takes it out, if it is in. */
void rmd_core_pool_name_drop(struct rmd_core_pool *pool);
struct rmd_core_pool *rmd_core_pool_name_get(const struct rmd_core *core,
					     enum rmd_core_pool_sort sort,
					     struct rmd_slice name);
