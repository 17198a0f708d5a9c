/* Tasks that tasks submit, between the core and the agent of the parent; and how far
 * tasks say they are. */
#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/link/link.h"
#include "server/service/hub_parts.h"

/* ---- outcomes ---- */

static void send_outcome(struct rmd_hub *hub, uint64_t lease, uint64_t number,
			 const struct rmd_outcome *outcome, struct rmd_buf *buf)
{
	if (hub->link == NULL)
		return;
	struct rmd_nested_outcome said = {lease, number, *outcome};
	if (outcome->kind == RMD_OUTCOME_VALUE) {
		uint64_t ahead =
			rmd_hub_send_ahead(hub, (struct rmd_piece){outcome->bytes, buf});
		if (ahead != 0)
			said.outcome = (struct rmd_outcome){
				.kind = RMD_OUTCOME_VALUE_TRANSFER, .transfer = ahead};
	}
	rmd_attach_response_put_nested(rmd_link_begin(hub->link), &said, buf);
	rmd_link_end(hub->link);
}

void rmd_hub_child_ended(struct rmd_hub *hub, uint64_t lease, struct rmd_core_task *child,
			 const struct rmd_core_ending *ending)
{
	RMD_CHECK_OBJ(hub, RMD_HUB_MAGIC);
	struct rmd_outcome outcome;
	struct rmd_buf *buf;
	rmd_outcome_make_ending(child, ending, &outcome, &buf);
	send_outcome(hub, lease, rmd_core_task_child_number(child), &outcome, buf);
	rmd_buf_unref(buf);
}

/* ---- submits ---- */

/* An agent waits for the answers to at most so many children of a lease that it has time
 * to read some: one that lets these pile up does not read. */
#define REFUSALS_MAX_BYTES ((size_t)64 << 20)

static void send_refusal(struct rmd_hub *hub, const struct rmd_nested_submit *said,
			 struct rmd_buf *error)
{
	struct rmd_outcome outcome = {.kind = RMD_OUTCOME_ERROR};
	if (error != NULL)
		outcome.bytes = rmd_buf_slice(error);
	if (hub->link == NULL || rmd_link_pending_bytes(hub->link) == 0)
		hub->refusal_bytes = 0;
	hub->refusal_bytes += outcome.bytes.len;
	if (hub->refusal_bytes > REFUSALS_MAX_BYTES)
		rmd_hub_cut(hub, "it does not read how its children were refused");
	else
		send_outcome(hub, said->lease, said->number, &outcome, error);
}

/* Why the core refused a child. */
static struct rmd_buf *refusal(const struct rmd_hub *hub,
			       const struct rmd_core_task *parent, int rc,
			       struct rmd_slice function)
{
	int len = (int)function.len;
	const char *name = (const char *)function.data;
	const struct rmd_core_pool *pool = rmd_core_task_pool(parent);
	switch (rc) {
	case RMD_EDEPTH:
		return rmd_outcome_refused("DepthExceeded",
					   "%.*s was not accepted: its parent is nested "
					   "%u deep, and tasks that "
					   "submit tasks may be nested at most %u deep",
					   len, name, rmd_core_task_depth(parent),
					   RMD_CORE_DEPTH_MAX);
	case RMD_EAGAIN:
		return rmd_outcome_refused(
			"ResourceExhausted",
			"%.*s was not accepted: %u tasks of its parent's pool wait for "
			"tasks "
			"that they submitted, and no more may: submit fewer tasks that "
			"submit tasks, or give the pool more workers",
			len, name, rmd_core_pool_waiting_max(pool));
	case RMD_ECLOSED:
		return rmd_outcome_refused(
			"Unavailable",
			"%.*s was not accepted: its parent was cancelled, "
			"or its pool is closed",
			len, name);
	default:
		return rmd_outcome_submit_refused(hub->coordinator, rc, function);
	}
}

/* The pool of that name; NULL and no error: the parent's. */
static struct rmd_core_pool *pool_of(const struct rmd_hub *hub,
				     const struct rmd_nested_submit *said,
				     struct rmd_buf **ret_error, int *ret_rc)
{
	struct rmd_core_pool *pool = NULL;
	*ret_rc = 0;
	if (said->pool.len == 0)
		return NULL;
	pool = rmd_core_pool_find_name(hub->coordinator->core, said->pool);
	if (pool != NULL)
		return pool;
	*ret_rc = RMD_ENOTFOUND;
	*ret_error = rmd_outcome_refused(
		"UnknownPool", "%.*s was not accepted: no pool is named \"%.*s\"",
		(int)said->function.len, (const char *)said->function.data,
		(int)said->pool.len, (const char *)said->pool.data);
	return NULL;
}

static int submit(struct rmd_hub *hub, const struct rmd_nested_submit *said,
		  struct rmd_piece payload)
{
	struct rmd_core *core = hub->coordinator->core;
	struct rmd_buf *error = NULL;
	int rc;
	const struct rmd_core_task *parent =
		rmd_core_agent_task(core, hub->agent, said->lease);
	struct rmd_core_nested nested = {.lease = said->lease,
					 .number = said->number,
					 .function = said->function,
					 .payload = payload,
					 .pool = pool_of(hub, said, &error, &rc),
					 .deadline_ms = said->deadline_ms,
					 .max_attempts = said->max_attempts};
	bool refused = rc < 0;
	if (!refused) {
		rc = rmd_core_agent_submit(core, rmd_clock_mono_ms(), hub->agent,
					   &nested);
		if (rc == RMD_ENOTFOUND || rc == RMD_EEXIST || rc == RMD_EPROTO)
			return rc == RMD_EPROTO ? rc : 0;
		refused = rc < 0;
	}
	if (refused && parent != NULL) {
		if (error == NULL)
			error = refusal(hub, parent, rc, said->function);
		send_refusal(hub, said, error);
	}
	rmd_buf_unref(error);
	return 0;
}

int rmd_hub_take_nested(struct rmd_hub *hub, const struct rmd_nested_submit *said,
			struct rmd_buf *frame)
{
	struct rmd_piece payload = {said->arguments, frame}, parcel = {{NULL, 0}, NULL};
	if (said->arguments_transfer != 0) {
		int rc = rmd_hub_take_parcel(hub, said->arguments_transfer, &parcel);
		if (rc < 0)
			return rc;
		payload = parcel;
	}
	int rc = submit(hub, said, payload);
	rmd_piece_unref(parcel);
	return rc;
}

int rmd_hub_take_nested_cancel(struct rmd_hub *hub, const struct rmd_nested_cancel *said)
{
	int rc = rmd_core_agent_cancel_child(hub->coordinator->core, rmd_clock_mono_ms(),
					     hub->agent, said->lease, said->number);
	return rc == RMD_ENOTFOUND ? 0 : rc;
}

int rmd_hub_take_wait(struct rmd_hub *hub, const struct rmd_lease_wait *said)
{
	int rc = rmd_core_agent_waits(hub->coordinator->core, rmd_clock_mono_ms(),
				      hub->agent, said->lease, said->waiting);
	return rc == RMD_ENOTFOUND ? 0 : rc;
}

/* ---- progress ---- */

int rmd_hub_take_progress(struct rmd_hub *hub, const struct rmd_lease_progress *said)
{
	if (rmd_core_agent_task(hub->coordinator->core, hub->agent, said->lease) == NULL)
		return 0; /* it is over */
	struct rmd_lease_progress *kept = rmd_map_get(&hub->progress, said->lease);
	if (kept == NULL) {
		kept = rmd_malloc(sizeof *kept);
		if (kept == NULL || rmd_map_put(&hub->progress, said->lease, kept) < 0) {
			rmd_free(kept);
			return 0; /* the next word comes soon */
		}
	}
	*kept = *said;
	return 0;
}

void rmd_hub_drop_progress(struct rmd_hub *hub, uint64_t lease)
{
	struct rmd_lease_progress *kept;
	size_t cursor = 0;
	if (hub->progress.count == 0)
		return;
	if (lease != 0) {
		rmd_free(rmd_map_take(&hub->progress, lease));
		return;
	}
	while ((kept = rmd_map_next(&hub->progress, &cursor)) != NULL)
		rmd_free(kept);
}

bool rmd_hub_progress(const struct rmd_hub *hub, uint64_t lease, uint64_t *ret_done,
		      uint64_t *ret_total)
{
	const struct rmd_lease_progress *kept = rmd_map_get(&hub->progress, lease);
	if (kept == NULL)
		return false;
	*ret_done = kept->done;
	*ret_total = kept->total;
	return true;
}
