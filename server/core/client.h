/* server/core/client.h: one session of one client, from the inside.
 *
 * A closed client lives on, unseen, until agents have confirmed the end of its leases.
 * Core thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proto/base/map.h"
#include "server/core/index.h"
#include "server/core/queue.h"
#include "server/core/timers.h"

struct rmd_core;
struct rmd_core_share;

struct rmd_core_client {
	uint32_t magic;
	bool closed;  /* its handle is gone */
	bool closing; /* in the middle of rmd_core_client_close */
	bool abandoned; /* is gone; its detached tasks go on */
	bool paused;  /* holds too many bytes of outcomes: no grants */
	struct rmd_core *core;
	void *user;
	struct rmd_core_index tasks; /* by number */
	uint64_t accepted;	     /* highest number */
	uint64_t window;	     /* as last computed; never falls */
	uint64_t task_count;	     /* in all states, children too */
	uint64_t nested_count;	     /* of them: children */
	uint64_t last_nested;	     /* their numbers, without RMD_CORE_NESTED */
	uint64_t detached_count;     /* in all states */
	uint64_t done_count;
	uint64_t payload_bytes, outcome_bytes;
	struct rmd_core_task_list all, done;
	struct rmd_map shares_by_pool;
	LIST_HEAD(, rmd_core_share) shares;
	uint32_t pools_held;
	struct rmd_core_timer linger;
	TAILQ_ENTRY(rmd_core_client) link; /* core->clients, unless closed */
	LIST_ENTRY(rmd_core_client) paused_link, ghost_link;
	char identity[];
};

/* Pauses or resumes its grants, as the bytes of its outcomes say. */
void rmd_core_client_throttle(struct rmd_core_client *client);
/* Looks again at all paused clients: all outcomes together came under their limit. */
void rmd_core_clients_unpause(struct rmd_core *core);
/* Raises the window as far as the limits allow. */
void rmd_core_client_widen(struct rmd_core_client *client);
/* Forgets a task that has ended, and what is held for it. */
void rmd_core_client_forget(struct rmd_core_task *task);
/* Holds no pool any more. */
void rmd_core_client_release_pools(struct rmd_core_client *client);
/* retain.c: it is gone, and has detached tasks. It may be closed when this returns. */
void rmd_core_client_abandon(struct rmd_core_client *client);
/* Frees a closed client when its last task is gone; closes an abandoned one then. */
void rmd_core_client_reap(struct rmd_core_client *client);
/* The client left and did not come back in time. */
void rmd_core_client_lingered(struct rmd_core_client *client);
/* Frees it with its index; it has no tasks and no shares. */
void rmd_core_client_free(struct rmd_core_client *client);
