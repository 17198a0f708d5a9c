/* server/core/view.c: looking at tasks and pools from outside. */
#include "server/core/agent.h"
#include "server/core/client.h"
#include "server/core/kin.h"
#include "server/core/share.h"
#include "server/core/state.h"
#include "server/core/task.h"

const char *rmd_core_task_state_name(enum rmd_core_task_state state)
{
	static const char *const names[] = {
#define X(name, text) [name] = text,
		RMD_CORE_TASK_STATES(X)
#undef X
	};
	return names[state];
}

const char *rmd_core_end_text(enum rmd_core_end end)
{
	static const char *const texts[] = {
#define X(name, text) [name] = text,
		RMD_CORE_ENDS(X)
#undef X
	};
	return texts[end];
}

/* --- tasks ------------------------------------------------------------------------- */

struct rmd_core_task *rmd_core_task_find(const struct rmd_core_client *client,
					 uint64_t number)
{
	return rmd_core_index_get(&client->tasks, number);
}

void rmd_core_cancel(struct rmd_core *core, uint64_t now_ms, struct rmd_core_task *task,
		     enum rmd_core_end why)
{
	rmd_core_enter(core, now_ms);
	RMD_CHECK_OBJ(task, RMD_CORE_TASK_MAGIC);
	rmd_core_kin_doom(task, why);
}

uint64_t rmd_core_task_number(const struct rmd_core_task *task)
{
	return task->number;
}

struct rmd_core_client *rmd_core_task_client(const struct rmd_core_task *task)
{
	return task->client->closed ? NULL : task->client;
}

struct rmd_core_pool *rmd_core_task_pool(const struct rmd_core_task *task)
{
	return task->share == NULL ? NULL : task->share->pool;
}

void *rmd_core_task_user(const struct rmd_core_task *task)
{
	return task->user;
}

enum rmd_core_task_state rmd_core_task_state(const struct rmd_core_task *task)
{
	return task->state;
}

struct rmd_slice rmd_core_task_function(const struct rmd_core_task *task)
{
	return rmd_slice_of(task->bytes, task->function_bytes);
}

struct rmd_piece rmd_core_task_payload(const struct rmd_core_task *task)
{
	return task->state == RMD_CORE_TASK_DONE ? (struct rmd_piece){{NULL, 0}, NULL}
						 : task->payload;
}

struct rmd_piece rmd_core_task_labels(const struct rmd_core_task *task)
{
	return task->labels;
}

struct rmd_piece rmd_core_task_outcome(const struct rmd_core_task *task)
{
	return task->state == RMD_CORE_TASK_DONE ? task->payload
						 : (struct rmd_piece){{NULL, 0}, NULL};
}

enum rmd_core_end rmd_core_task_end(const struct rmd_core_task *task)
{
	return task->end;
}

uint64_t rmd_core_task_lease(const struct rmd_core_task *task)
{
	return task->lease;
}

struct rmd_core_agent *rmd_core_task_agent(const struct rmd_core_task *task)
{
	return task->ledger == NULL ? NULL : task->ledger->agent;
}

uint32_t rmd_core_task_attempt(const struct rmd_core_task *task)
{
	return task->ledger == NULL ? task->begun : task->begun + 1u;
}

uint32_t rmd_core_task_depth(const struct rmd_core_task *task)
{
	return task->depth;
}

bool rmd_core_task_stream_logs(const struct rmd_core_task *task)
{
	return task->stream_logs;
}

uint64_t rmd_core_task_accepted_ms(const struct rmd_core_task *task)
{
	return task->accepted_ms;
}

uint64_t rmd_core_task_deadline_ms(const struct rmd_core_task *task)
{
	return task->timed ? task->deadline.node.key : 0;
}

struct rmd_core_task *rmd_core_task_next(const struct rmd_core *core,
					 const struct rmd_core_task *previous)
{
	return previous == NULL ? TAILQ_FIRST(&core->tasks)
				: TAILQ_NEXT(previous, core_link);
}

struct rmd_core_task *rmd_core_agent_task(const struct rmd_core *core,
					  const struct rmd_core_agent *agent,
					  uint64_t lease)
{
	struct rmd_core_task *task = rmd_map_get(&core->leases, lease);
	return task != NULL && task->ledger->agent == agent ? task : NULL;
}

/* --- pools ------------------------------------------------------------------------- */

struct rmd_core_pool *rmd_core_pool_find(const struct rmd_core *core, uint64_t number)
{
	return rmd_map_get(&core->pools_by_number, number);
}

bool rmd_core_pool_held_by(const struct rmd_core_pool *pool,
			   const struct rmd_core_client *client)
{
	const struct rmd_core_share *share = rmd_core_share_find(client, pool);
	return share != NULL && share->holding;
}

struct rmd_core_pool *rmd_core_pool_next(const struct rmd_core *core,
					 const struct rmd_core_pool *previous)
{
	return previous == NULL ? TAILQ_FIRST(&core->pools)
				: TAILQ_NEXT(previous, core_link);
}

void rmd_core_pool_info(const struct rmd_core_pool *pool,
			struct rmd_core_pool_info *ret_info)
{
	*ret_info = (struct rmd_core_pool_info){
		.number = pool->number,
		.name = pool->name,
		.runtime = pool->runtime,
		.spec = pool->spec,
		.max_workers = pool->max_workers,
		.queued = pool->queued + pool->later,
		.leased = pool->leased,
		.done = pool->done,
		.workers = pool->workers,
		.starting = pool->starting,
		.idle = pool->idle,
		.wanted = pool->wanted,
		.holders = pool->holders,
		.waiting = pool->waiting,
		.start_error = pool->start_error,
		.closing = pool->state == RMD_CORE_POOL_CLOSING,
		.broken = pool->broken,
	};
}

uint64_t rmd_core_pool_number(const struct rmd_core_pool *pool)
{
	return pool->number;
}

void *rmd_core_pool_user(const struct rmd_core_pool *pool)
{
	return pool->user;
}

void rmd_core_pool_set_user(struct rmd_core_pool *pool, void *user)
{
	pool->user = user;
}
