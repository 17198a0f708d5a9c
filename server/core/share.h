/* server/core/share.h: what one client has in one pool: a queue, a turn, a claim to its
 * size.
 *
 * Lives while the client holds the pool or has a task in it that has not ended. Turns:
 * the client with the fewest leases in the pool is next (tasks that wait for their
 * children not counted), then the one that waited longest. Core thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "server/core/heap.h"
#include "server/core/queue.h"

struct rmd_core_client;
struct rmd_core_pool;

struct rmd_core_share {
	uint32_t magic;
	struct rmd_core_client *client;
	struct rmd_core_pool *pool;
	struct rmd_core_queue queue;
	struct rmd_core_heap_node turn; /* in pool->turns while it may be granted */
	uint64_t turn_taken; /* when it was last granted a lease, in turns of the pool */
	uint64_t held;	     /* leases */
	uint64_t waiting;    /* of them: their task waits for its children */
	uint64_t open;	     /* tasks that have not ended */
	struct rmd_core_task_list later; /* queued tasks that back off */
	uint64_t later_count;
	bool holding;	     /* the client opened the pool and has not released it */
	uint32_t asked_workers; /* while holding; 0: all there is room for */
	LIST_ENTRY(rmd_core_share) client_link, pool_link;
};

/* Gives the share of `client` in `pool`, made anew if need be: the caller must add a task
 * or a hold to it, or drop it. RMD_ENOMEM. */
int rmd_core_share_get(struct rmd_core_client *client, struct rmd_core_pool *pool,
		       struct rmd_core_share **ret_share);
/* The share if there is one, or NULL. */
struct rmd_core_share *rmd_core_share_find(const struct rmd_core_client *client,
					   const struct rmd_core_pool *pool);
/* Frees the share if nothing keeps it. */
void rmd_core_share_drop(struct rmd_core_share *share);
/* Brings its place among the turns in line with its queue, leases and client. */
void rmd_core_share_turn(struct rmd_core_share *share);
