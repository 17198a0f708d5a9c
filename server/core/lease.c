#include "server/core/lease.h"

#include "server/core/agent.h"
#include "server/core/client.h"
#include "server/core/kin.h"
#include "server/core/share.h"
#include "server/core/state.h"
#include "server/core/task.h"
#include "server/core/terms.h"

int rmd_core_lease_grant(struct rmd_core_ledger *ledger, struct rmd_core_task *task)
{
	struct rmd_core_share *share = task->share;
	struct rmd_core *core = share->pool->core;
	RMD_CHECK(task->state == RMD_CORE_TASK_QUEUED &&
		  rmd_core_ledger_placed(ledger) < ledger->slots);
	if (rmd_map_put(&core->leases, core->next_lease, task) < 0)
		return RMD_ENOMEM;
	task->lease = core->next_lease++;
	task->ledger = ledger;
	share->held++;
	share->turn_taken = ++share->pool->turn;
	rmd_core_task_move(task, RMD_CORE_TASK_LEASED);
	ledger->held++;
	ledger->agent->held++;
	core->granted++;
	rmd_core_ledger_sort(ledger);
	RMD_CORE_SAY(core, grant, ledger->agent, task);
	return 0;
}

void rmd_core_lease_close(struct rmd_core_task *task)
{
	struct rmd_core_ledger *ledger = task->ledger;
	if (ledger == NULL)
		return;
	rmd_core_kin_disown(task);
	rmd_map_take(&task->client->core->leases, task->lease);
	task->lease = 0;
	task->ledger = NULL;
	ledger->held--;
	ledger->agent->held--;
	task->share->held--;
	rmd_core_share_turn(task->share);
	rmd_core_ledger_sort(ledger);
}

/* A lease that is over is no fault of the agent's: the words crossed. */
int rmd_core_lease_find(struct rmd_core *core, const struct rmd_core_agent *agent,
			uint64_t lease, struct rmd_core_task **ret_task)
{
	RMD_CHECK_OBJ(agent, RMD_CORE_AGENT_MAGIC);
	if (lease == 0 || lease >= core->next_lease)
		return RMD_EPROTO;
	struct rmd_core_task *task = rmd_map_get(&core->leases, lease);
	if (task == NULL) {
		core->stale_events++;
		return RMD_ENOTFOUND;
	}
	if (task->ledger->agent != agent)
		return RMD_EPROTO;
	*ret_task = task;
	return 0;
}

/* The task goes back to its queue, without its lease; unless its pool wants it no more. */
static void requeue(struct rmd_core_task *task, bool began)
{
	rmd_core_task_move(task, RMD_CORE_TASK_QUEUED);
	rmd_core_lease_close(task);
	if (task->share->pool->broken)
		rmd_core_task_doom(task, RMD_CORE_END_POOL_BROKEN);
	else if (task->unwanted && !began)
		rmd_core_task_doom(task, RMD_CORE_END_POOL_CLOSED);
}

/* A task that must not begin any more has begun in time all the same, and come to its own
 * end. */
static bool began_in_time(const struct rmd_core_task *task,
			  const struct rmd_core_ending *ending)
{
	return task->doom == RMD_CORE_END_QUEUE_DEADLINE && ending->began &&
	       (ending->end == RMD_CORE_END_VALUE || ending->end == RMD_CORE_END_ERROR);
}

/* Whether a task whose lease has ended goes back to its queue. What never began does,
 * unless an error was the reason; what was cancelled never does. */
static bool goes_again(struct rmd_core_task *task, struct rmd_core_ending *ending)
{
	if (task->doom == RMD_CORE_END_RUN_DEADLINE)
		ending->cause = RMD_CORE_CAUSE_RUN_DEADLINE;
	else if (task->doom != RMD_CORE_END_NONE)
		return false;
	if (!ending->began)
		return ending->end == RMD_CORE_END_NONE;
	return ending->cause != RMD_CORE_CAUSE_NONE && task->terms != NULL &&
	       rmd_core_terms_retry(task, ending);
}

/* A lease has ended and user code may have begun, or never did: tries again, or ends as
 * `ending` says. A doomed task ends as its doom says. */
static void settle(struct rmd_core_task *task, struct rmd_core_ending *ending)
{
	ending->agent = task->ledger->agent;
	if (ending->began)
		task->begun++;
	if (began_in_time(task, ending))
		task->doom = RMD_CORE_END_NONE;
	if (goes_again(task, ending)) {
		task->doom = RMD_CORE_END_NONE;
		requeue(task, ending->began);
		return;
	}
	if (task->doom != RMD_CORE_END_NONE) {
		ending->end = task->doom;
		ending->outcome = (struct rmd_piece){{NULL, 0}, NULL};
		if (task->doom == RMD_CORE_END_POOL_BROKEN)
			ending->outcome = task->share->pool->broken_error;
	}
	rmd_core_task_finish(task, ending);
}

int rmd_core_agent_began(struct rmd_core *core, uint64_t now_ms,
			 struct rmd_core_agent *agent, uint64_t lease)
{
	struct rmd_core_task *task;
	rmd_core_enter(core, now_ms);
	int rc = rmd_core_lease_find(core, agent, lease, &task);
	if (rc < 0)
		return rc;
	if (task->state != RMD_CORE_TASK_LEASED)
		return RMD_EPROTO;
	rmd_core_task_move(task, RMD_CORE_TASK_RUNNING);
	return 0;
}

int rmd_core_agent_outcome(struct rmd_core *core, uint64_t now_ms,
			   struct rmd_core_agent *agent,
			   const struct rmd_core_agent_outcome *outcome)
{
	struct rmd_core_task *task;
	rmd_core_enter(core, now_ms);
	int rc = rmd_core_lease_find(core, agent, outcome->lease, &task);
	if (rc < 0)
		return rc;
	if (outcome->end != RMD_CORE_END_VALUE && outcome->end != RMD_CORE_END_ERROR &&
	    outcome->end != RMD_CORE_END_CANCELLED)
		return RMD_EPROTO;
	struct rmd_core_ending ending = {
		.end = outcome->end,
		.outcome = outcome->outcome,
		.worker = outcome->worker,
		.run_ns = outcome->run_ns,
		.began = outcome->began || outcome->end == RMD_CORE_END_VALUE ||
			 task->state == RMD_CORE_TASK_RUNNING,
	};
	if (outcome->end == RMD_CORE_END_ERROR) {
		ending.cause = outcome->cause != RMD_CORE_CAUSE_NONE
				       ? outcome->cause
				       : RMD_CORE_CAUSE_TASK_ERROR;
		ending.error_type = outcome->error_type;
	}
	settle(task, &ending);
	return 0;
}

int rmd_core_agent_returned(struct rmd_core *core, uint64_t now_ms,
			    struct rmd_core_agent *agent, uint64_t lease)
{
	struct rmd_core_task *task;
	rmd_core_enter(core, now_ms);
	int rc = rmd_core_lease_find(core, agent, lease, &task);
	if (rc < 0)
		return rc;
	if (task->state == RMD_CORE_TASK_RUNNING)
		return RMD_EPROTO;
	struct rmd_core_ledger *ledger = task->ledger;
	if (ledger->recalling > 0) {
		ledger->recalling--;
		ledger->pool->recalling--;
	} else if (task->doom == RMD_CORE_END_NONE && ledger->waiting == 0) {
		/* (Where a task waits, what lay behind it comes back: that is in order.)
		 */
		rmd_core_ledger_rest(ledger);
	}
	struct rmd_core_ending ending = {.began = false};
	settle(task, &ending);
	return 0;
}

static void take_back(struct rmd_core_task *task, bool began)
{
	struct rmd_core_ending ending = {.began = began};
	if (began) {
		ending.end = RMD_CORE_END_AGENT_LOST;
		ending.cause = RMD_CORE_CAUSE_AGENT_LOST;
	}
	settle(task, &ending);
}

void rmd_core_lease_take_back(struct rmd_core_ledger *ledger, bool lost)
{
	struct rmd_core_task *task;
	/* The youngest first: each goes to the front of its queue. */
	while ((task = TAILQ_LAST(&ledger->leased, rmd_core_task_list)) != NULL)
		take_back(task, lost);
	while ((task = TAILQ_LAST(&ledger->running, rmd_core_task_list)) != NULL)
		take_back(task, true);
}
