/* server/core/pool_break.c: pools that break, and clients that are done with one. */
#include "server/core/client.h"
#include "server/core/place.h"
#include "server/core/share.h"
#include "server/core/state.h"
#include "server/core/task.h"

/* --- breaking ---------------------------------------------------------------------- */

void rmd_core_pool_break(struct rmd_core_pool *pool, struct rmd_piece error)
{
	struct rmd_core_ledger *ledger;
	if (pool->broken)
		return;
	pool->broken = true;
	pool->broken_error = rmd_piece_ref(error);
	rmd_core_pool_begin_closing(pool);
	rmd_core_pool_end_queued(pool, RMD_CORE_END_POOL_BROKEN);
	if (pool->broken_on_crash && !pool->killed) {
		pool->killed = true;
		rmd_core_pool_doom_leased(pool, RMD_CORE_END_POOL_BROKEN);
	}
	/* What is leased and has not begun comes back, and ends then. */
	rmd_core_place_lower(pool, 0);
	LIST_FOREACH (ledger, &pool->ledgers, pool_link)
		rmd_core_ledger_sort(ledger);
	rmd_core_pool_touch(pool);
}

bool rmd_core_pool_broken(const struct rmd_core_pool *pool, struct rmd_piece *ret_error)
{
	RMD_CHECK_OBJ(pool, RMD_CORE_POOL_MAGIC);
	if (pool->broken && ret_error != NULL)
		*ret_error = pool->broken_error;
	return pool->broken;
}

/* --- leaving ----------------------------------------------------------------------- */

void rmd_core_pool_unwant(struct rmd_core_pool *pool,
			  const struct rmd_core_client *client)
{
	struct rmd_core_ledger *ledger;
	struct rmd_core_task *task;
	LIST_FOREACH (ledger, &pool->ledgers, pool_link) {
		uint32_t marked = 0;
		TAILQ_FOREACH (task, &ledger->leased, state_link)
			if (client == NULL || task->client == client) {
				task->unwanted = true;
				marked++;
			}
		/* The agent picks: what is not ours is granted again. */
		uint32_t most = ledger->held > ledger->recalling
					? ledger->held - ledger->recalling
					: 0;
		if (marked > 0 && most > 0)
			rmd_core_ledger_recall(
				ledger, client == NULL && marked < most ? marked : most);
	}
}

/* Has the client's own tasks there end: those that have not begun, or all. */
static void end_own(struct rmd_core_client *client, struct rmd_core_pool *pool,
		    enum rmd_core_pool_close how)
{
	struct rmd_core_task *next;
	for (struct rmd_core_task *task = TAILQ_FIRST(&client->all); task != NULL;
	     task = next) {
		next = TAILQ_NEXT(task, client_link);
		if (task->share != NULL && task->share->pool == pool &&
		    (how == RMD_CORE_POOL_KILL || task->state == RMD_CORE_TASK_QUEUED))
			rmd_core_task_doom(task, RMD_CORE_END_POOL_CLOSED);
	}
	rmd_core_pool_unwant(pool, client);
}

int rmd_core_pool_leave(struct rmd_core *core, uint64_t now_ms,
			struct rmd_core_client *client, struct rmd_core_pool *pool,
			enum rmd_core_pool_close how)
{
	rmd_core_enter(core, now_ms);
	RMD_CHECK_OBJ(client, RMD_CORE_CLIENT_MAGIC);
	RMD_CHECK_OBJ(pool, RMD_CORE_POOL_MAGIC);
	if (!rmd_core_pool_held_by(pool, client))
		return RMD_ENOTFOUND;
	if (pool->sort == RMD_CORE_POOL_OWN)
		rmd_core_pool_close(core, now_ms, pool, how);
	else if (how != RMD_CORE_POOL_DRAIN)
		end_own(client, pool, how);
	rmd_core_pool_unhold(rmd_core_share_find(client, pool));
	return 0;
}
