#include "server/core/share.h"

#include "proto/base/alloc.h"
#include "server/core/client.h"
#include "server/core/state.h"
#include "server/core/task.h"

struct rmd_core_share *rmd_core_share_find(const struct rmd_core_client *client,
					   const struct rmd_core_pool *pool)
{
	return rmd_map_get(&client->shares_by_pool, pool->number);
}

int rmd_core_share_get(struct rmd_core_client *client, struct rmd_core_pool *pool,
		       struct rmd_core_share **ret_share)
{
	struct rmd_core_share *share = rmd_core_share_find(client, pool);
	if (share != NULL) {
		*ret_share = share;
		return 0;
	}
	if (rmd_core_heap_promise(&pool->turns) < 0)
		return RMD_ENOMEM;
	share = rmd_calloc(1, sizeof(*share));
	if (share == NULL ||
	    rmd_map_put(&client->shares_by_pool, pool->number, share) < 0) {
		rmd_free(share);
		rmd_core_heap_release(&pool->turns);
		return RMD_ENOMEM;
	}
	share->magic = RMD_CORE_SHARE_MAGIC;
	share->client = client;
	share->pool = pool;
	share->turn_taken = pool->turn;
	rmd_core_queue_init(&share->queue);
	TAILQ_INIT(&share->later);
	LIST_INSERT_HEAD(&client->shares, share, client_link);
	LIST_INSERT_HEAD(&pool->shares, share, pool_link);
	*ret_share = share;
	return 0;
}

void rmd_core_share_drop(struct rmd_core_share *share)
{
	RMD_CHECK_OBJ(share, RMD_CORE_SHARE_MAGIC);
	if (share->holding || share->open > 0)
		return;
	RMD_CHECK(share->held == 0);
	rmd_core_heap_take(&share->pool->turns, &share->turn);
	rmd_core_heap_release(&share->pool->turns);
	rmd_map_take(&share->client->shares_by_pool, share->pool->number);
	LIST_REMOVE(share, client_link);
	LIST_REMOVE(share, pool_link);
	rmd_core_pool_touch(share->pool);
	rmd_core_queue_fini(&share->queue);
	share->magic = 0;
	rmd_free(share);
}

void rmd_core_share_turn(struct rmd_core_share *share)
{
	struct rmd_core_heap *turns = &share->pool->turns;
	uint64_t placed = share->held - share->waiting;
	if (share->queue.count == 0 || share->client->paused ||
	    (share->pool->crowded && !rmd_core_queue_nested(&share->queue)))
		rmd_core_heap_take(turns, &share->turn);
	else if (share->turn.place == 0 || share->turn.key != placed ||
		 share->turn.tie != share->turn_taken)
		rmd_core_heap_put(turns, &share->turn, placed, share->turn_taken);
}
