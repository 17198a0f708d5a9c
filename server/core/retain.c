/* server/core/retain.c: outcomes of detached tasks, which wait for whoever asks by their id
 * once their client has them or is gone; and clients that are gone, whose detached tasks go
 * on. What is retained counts by itself: it keeps no client from being granted tasks. */
#include "server/core/client.h"
#include "server/core/kin.h"
#include "server/core/state.h"
#include "server/core/task.h"
#include "server/core/terms.h"

#define RETAINED_MAX 100000u

static bool too_many(const struct rmd_core *core)
{
	return core->retained_bytes > core->config.retained_bytes_max ||
	       core->retained_count > RETAINED_MAX;
}

/* The first of the list is the one that goes first, by time and by bytes. */
static void arm(struct rmd_core *core)
{
	const struct rmd_core_terms *first = TAILQ_FIRST(&core->retained);
	if (first == NULL)
		rmd_core_timer_stop(core, &core->retain_timer);
	else
		rmd_core_timer_set(core, &core->retain_timer,
				   too_many(core) ? core->now_ms : first->forget_ms);
}

void rmd_core_retain(struct rmd_core_task *task)
{
	struct rmd_core *core = task->client->core;
	struct rmd_core_terms *terms = task->terms;
	RMD_CHECK(terms->detached && task->state == RMD_CORE_TASK_DONE);
	if (terms->retained)
		return;
	uint64_t longest = UINT64_MAX - core->now_ms;
	uint64_t wait_ms = core->config.retention_ms;
	terms->retained = true;
	terms->forget_ms = core->now_ms + (wait_ms < longest ? wait_ms : longest);
	TAILQ_INSERT_TAIL(&core->retained, terms, retained_link);
	core->retained_count++;
	core->retained_bytes += task->payload.bytes.len;
	task->client->outcome_bytes -= task->payload.bytes.len;
	core->outcome_bytes -= task->payload.bytes.len;
	arm(core);
}

void rmd_core_retained_expire(struct rmd_core *core)
{
	struct rmd_core_terms *terms;
	while ((terms = TAILQ_FIRST(&core->retained)) != NULL &&
	       (terms->forget_ms <= core->now_ms || too_many(core)))
		rmd_core_client_forget(terms->task);
	arm(core);
}

/* --- abandoned clients ------------------------------------------------------------- */

/* The task that a client submitted and that led to this one goes on; NULL: none does. */
static bool goes_on(const struct rmd_core_task *task)
{
	while (task != NULL && rmd_core_task_nested(task))
		task = rmd_core_task_parent(task);
	return task != NULL && rmd_core_task_detached(task);
}

void rmd_core_client_abandon(struct rmd_core_client *client)
{
	struct rmd_core_task *next;
	client->abandoned = true;
	client->closing = true;
	for (struct rmd_core_task *task = TAILQ_FIRST(&client->all); task != NULL;
	     task = next) {
		next = TAILQ_NEXT(task, client_link);
		bool done = task->state == RMD_CORE_TASK_DONE;
		if (!goes_on(task) && done)
			rmd_core_client_forget(task);
		else if (!goes_on(task))
			rmd_core_task_doom(task, RMD_CORE_END_CLIENT_GONE);
		else if (done)
			rmd_core_retain(task);
	}
	rmd_core_client_release_pools(client);
	client->closing = false;
	rmd_core_client_throttle(client);
	rmd_core_client_reap(client);
}
