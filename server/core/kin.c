#include "server/core/kin.h"

#include "proto/base/alloc.h"
#include "server/core/agent.h"
#include "server/core/client.h"
#include "server/core/lease.h"
#include "server/core/place.h"
#include "server/core/share.h"
#include "server/core/state.h"
#include "server/core/task.h"

/* --- parents and children ---------------------------------------------------------- */

static struct rmd_core_kin *kin_new(const struct rmd_core *core)
{
	struct rmd_core_kin *kin = rmd_calloc(1, sizeof(*kin));
	if (kin == NULL)
		return NULL;
	LIST_INIT(&kin->children);
	rmd_core_index_init(&kin->by_number, core->config.seed);
	return kin;
}

/* The child's parent does not know it any more. */
static void detach(struct rmd_core_kin *child)
{
	struct rmd_core_kin *parent = child->parent;
	if (parent == NULL)
		return;
	rmd_core_index_drop(&parent->by_number, child->number);
	LIST_REMOVE(child, link);
	parent->child_count--;
	child->parent = NULL;
}

void rmd_core_kin_disown(struct rmd_core_task *task)
{
	struct rmd_core_kin *kin = task->kin, *child;
	if (kin == NULL)
		return;
	while ((child = LIST_FIRST(&kin->children)) != NULL) {
		detach(child);
		rmd_core_task_doom(child->task, RMD_CORE_END_PARENT_GONE);
	}
	kin->taken = 0;
}

void rmd_core_kin_leave(struct rmd_core_task *task)
{
	struct rmd_core_kin *kin = task->kin;
	if (kin == NULL)
		return;
	while (!LIST_EMPTY(&kin->children))
		detach(LIST_FIRST(&kin->children));
	detach(kin);
	rmd_core_index_fini(&kin->by_number);
}

void rmd_core_kin_tell(struct rmd_core_task *child, const struct rmd_core_ending *ending)
{
	struct rmd_core *core = child->client->core;
	const struct rmd_core_kin *parent = child->kin->parent;
	if (parent == NULL || core->port.child_ended == NULL)
		return;
	RMD_CORE_SAY(core, child_ended, parent->task->ledger->agent, parent->task->lease,
		     child, ending);
}

void rmd_core_kin_doom(struct rmd_core_task *task, enum rmd_core_end why)
{
	struct rmd_core_kin *child, *next;
	bool leased = task->state == RMD_CORE_TASK_LEASED ||
		      task->state == RMD_CORE_TASK_RUNNING;
	rmd_core_task_doom(task, why);
	if (!leased || task->kin == NULL)
		return;
	/* As deep as tasks nest. What was queued is gone then; the next sibling is not.
	 */
	for (child = LIST_FIRST(&task->kin->children); child != NULL; child = next) {
		next = LIST_NEXT(child, link);
		rmd_core_kin_doom(child->task, RMD_CORE_END_PARENT_GONE);
	}
}

/* --- submit ------------------------------------------------------------------------ */

static struct rmd_core_submit submit_of(const struct rmd_core_task *parent,
					const struct rmd_core_nested *nested)
{
	struct rmd_core *core = parent->client->core;
	struct rmd_core_submit submit = {
		.number = RMD_CORE_NESTED | (parent->client->last_nested + 1),
		.function = nested->function,
		.payload = nested->payload,
		.pool = nested->pool != NULL ? nested->pool : parent->share->pool,
		.priority = parent->priority,
		.deadline_ms = nested->deadline_ms,
		.max_attempts = nested->max_attempts,
		.stream_logs = parent->stream_logs,
	};
	uint64_t due_ms = rmd_core_task_due_ms(parent);
	if (due_ms != 0) {
		uint64_t left_ms = due_ms > core->now_ms ? due_ms - core->now_ms : 1;
		if (submit.deadline_ms == 0 || submit.deadline_ms > left_ms)
			submit.deadline_ms = left_ms;
	}
	return submit;
}

/* What goes on in a pool that closes, or a core that drains, may still submit to its own
 * pool: it could not end otherwise. */
static int nested_fits(const struct rmd_core_task *parent,
		       const struct rmd_core_submit *submit)
{
	const struct rmd_core *core = parent->client->core;
	const struct rmd_core_pool *own = parent->share->pool, *pool = submit->pool;
	if (parent->depth >= RMD_CORE_DEPTH_MAX)
		return RMD_EDEPTH;
	if (parent->doom != RMD_CORE_END_NONE || own->killed || own->broken)
		return RMD_ECLOSED;
	if (pool != own && pool->state == RMD_CORE_POOL_CLOSING)
		return RMD_ECLOSED;
	if (pool != own && pool->sort == RMD_CORE_POOL_OWN)
		return RMD_EINVAL;
	if (own->waiting >= rmd_core_pool_waiting_max(own))
		return RMD_EAGAIN;
	if ((parent->kin != NULL && parent->kin->child_count >= RMD_CORE_CHILDREN_MAX) ||
	    parent->client->nested_count >= core->config.tasks_per_client_max)
		return RMD_ELIMIT;
	return rmd_core_task_fits(core, parent->client, submit);
}

static int adopt(struct rmd_core_task *parent, const struct rmd_core_submit *submit,
		 uint64_t number)
{
	struct rmd_core_client *client = parent->client;
	struct rmd_core_task *task;
	struct rmd_core_kin *kin = kin_new(client->core);
	int rc = RMD_ENOMEM;
	if (parent->kin == NULL && (parent->kin = kin_new(client->core)) != NULL)
		parent->kin->task = parent;
	if (kin == NULL || parent->kin == NULL)
		goto out;
	/* Its place first, with the parent in it: all that can fail comes before. */
	rc = rmd_core_index_put(&parent->kin->by_number, number, parent);
	if (rc < 0)
		goto out;
	rc = rmd_core_task_accept(client, submit, kin, parent->depth + 1, &task);
	if (rc < 0) {
		rmd_core_index_drop(&parent->kin->by_number, number);
		goto out;
	}
	rmd_core_index_replace(&parent->kin->by_number, number, task);
	kin->task = task;
	kin->number = number;
	kin->parent = parent->kin;
	LIST_INSERT_HEAD(&parent->kin->children, kin, link);
	parent->kin->child_count++;
	parent->kin->taken = number;
	client->last_nested++;
	return 0;
out:
	rmd_free(kin);
	return rc;
}

int rmd_core_agent_submit(struct rmd_core *core, uint64_t now_ms,
			  struct rmd_core_agent *agent,
			  const struct rmd_core_nested *nested)
{
	struct rmd_core_task *parent;
	rmd_core_enter(core, now_ms);
	int rc = rmd_core_lease_find(core, agent, nested->lease, &parent);
	if (rc < 0)
		return rc;
	if (parent->state != RMD_CORE_TASK_RUNNING || nested->number == 0)
		return RMD_EPROTO;
	if (parent->kin != NULL && nested->number <= parent->kin->taken)
		return RMD_EEXIST;
	struct rmd_core_submit submit = submit_of(parent, nested);
	rc = nested_fits(parent, &submit);
	return rc < 0 ? rc : adopt(parent, &submit, nested->number);
}

int rmd_core_agent_cancel_child(struct rmd_core *core, uint64_t now_ms,
				struct rmd_core_agent *agent, uint64_t lease,
				uint64_t number)
{
	struct rmd_core_task *parent, *child = NULL;
	rmd_core_enter(core, now_ms);
	int rc = rmd_core_lease_find(core, agent, lease, &parent);
	if (rc < 0)
		return rc;
	if (parent->kin != NULL)
		child = rmd_core_index_get(&parent->kin->by_number, number);
	if (child == NULL)
		return RMD_ENOTFOUND;
	rmd_core_kin_doom(child, RMD_CORE_END_CANCELLED);
	return 0;
}

/* --- waiting ----------------------------------------------------------------------- */

uint32_t rmd_core_pool_waiting_max(const struct rmd_core_pool *pool)
{
	/* Each place has a stack of tasks below it, as deep as they nest; one more, since
	 * what was granted before the deeper ones came may begin as well. */
	uint64_t most = (uint64_t)pool->max_workers * (RMD_CORE_DEPTH_MAX + 1);
	return most == 0 || most > RMD_CORE_WAITING_MAX ? RMD_CORE_WAITING_MAX
							: (uint32_t)most;
}

/* Where very many tasks wait, only children are granted until some of those have ended:
 * tasks of many clients could otherwise all begin before any comes to its end. */
void rmd_core_kin_heed_crowd(struct rmd_core_pool *pool)
{
	struct rmd_core_share *share;
	uint32_t most = rmd_core_pool_waiting_max(pool);
	bool crowded = pool->waiting >= (pool->crowded ? most / 4 + 1 : most / 2);
	if (crowded == pool->crowded)
		return;
	pool->crowded = crowded;
	LIST_FOREACH (share, &pool->shares, pool_link)
		rmd_core_share_turn(share);
}

void rmd_core_kin_wait(struct rmd_core_task *task, bool waiting)
{
	if (task->waiting == waiting)
		return;
	int by = waiting ? 1 : -1;
	task->waiting = waiting;
	task->share->waiting += (uint64_t)by;
	rmd_core_ledger_wait(task->ledger, by);
	rmd_core_share_turn(task->share);
	rmd_core_kin_heed_crowd(task->share->pool);
	rmd_core_pool_touch(task->share->pool);
}

int rmd_core_agent_waits(struct rmd_core *core, uint64_t now_ms,
			 struct rmd_core_agent *agent, uint64_t lease, bool waiting)
{
	struct rmd_core_task *task;
	rmd_core_enter(core, now_ms);
	int rc = rmd_core_lease_find(core, agent, lease, &task);
	if (rc < 0)
		return rc;
	if (task->state != RMD_CORE_TASK_RUNNING)
		return RMD_EPROTO;
	rmd_core_kin_wait(task, waiting);
	if (!waiting)
		rmd_core_place_resumed(task->ledger);
	return 0;
}

/* --- looking at it ----------------------------------------------------------------- */

bool rmd_core_task_nested(const struct rmd_core_task *task)
{
	return task->depth > 0;
}

struct rmd_core_task *rmd_core_task_parent(const struct rmd_core_task *task)
{
	return task->kin == NULL || task->kin->parent == NULL ? NULL
							      : task->kin->parent->task;
}

uint64_t rmd_core_task_child_number(const struct rmd_core_task *task)
{
	return task->depth == 0 ? 0 : task->kin->number;
}

bool rmd_core_task_waiting(const struct rmd_core_task *task)
{
	return task->waiting;
}
