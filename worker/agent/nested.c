/* Tasks that submit tasks: children of leases, and workers that wait for them.
 *
 * The agent passes submits on and keeps how children ended until their parent asks. A
 * worker whose task asks for a child that has not ended WAITS: it gives its place among
 * the pool's workers to others, and what it had not begun. When the child has ended it
 * stands IN LINE, still without a place; the first in line gets the next place that comes
 * free, before any new task begins, and is answered.
 *
 * A task that is cancelled, or has waited as long as it wanted to, is answered at once,
 * place or not: what it does next (cancel the child that has its place, say) may be all
 * that could free one. Until it has one, nothing new begins. */
#include "worker/agent/state.h"

#include <inttypes.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"

#define SOURCE "agent"
/* A pool whose tasks submitted tasks so lately gets no more than it can begin. */
#define NESTS_MS 2000u

struct rmd_achild {
	uint64_t number;
	bool ended;
	enum rmd_wp_answer kind;
	struct rmd_piece payload; /* referenced */
};

/* Of a lease whose task has submitted something. */
struct rmd_anest {
	struct rmd_map children; /* number -> struct rmd_achild, owned */
	uint64_t last;		 /* highest number submitted */
	uint64_t asked;		 /* child that its worker waits for; 0: none */
};

/* ---- children ---- */

static void child_free(struct rmd_agent *agent, struct rmd_achild *child)
{
	agent->nested_bytes -= child->payload.bytes.len;
	rmd_piece_unref(child->payload);
	rmd_free(child);
}

void rmd_anest_free(struct rmd_alease *lease)
{
	struct rmd_anest *nest = lease->nest;
	struct rmd_achild *child;
	size_t cursor = 0;
	if (nest == NULL)
		return;
	while ((child = rmd_map_next(&nest->children, &cursor)) != NULL)
		child_free(lease->pool->agent, child);
	rmd_map_fini(&nest->children);
	rmd_free(nest);
	lease->nest = NULL;
}

static struct rmd_anest *nest_of(struct rmd_alease *lease)
{
	uint64_t seed;
	if (lease->nest != NULL)
		return lease->nest;
	struct rmd_anest *nest = rmd_calloc(1, sizeof *nest);
	if (nest == NULL)
		return NULL;
	rmd_random_bytes(&seed, sizeof seed);
	rmd_map_init(&nest->children, seed);
	lease->nest = nest;
	return nest;
}

static struct rmd_achild *child_of(const struct rmd_alease *lease, uint64_t number)
{
	return lease->nest == NULL ? NULL : rmd_map_get(&lease->nest->children, number);
}

/* Makes the child `number`. RMD_EPROTO: not one that may come now; RMD_ENOMEM. */
static int child_add(struct rmd_alease *lease, uint64_t number)
{
	struct rmd_anest *nest = nest_of(lease);
	if (nest == NULL)
		return RMD_ENOMEM;
	if (number <= nest->last || nest->children.count >= RMD_AGENT_CHILDREN_OPEN_MAX)
		return RMD_EPROTO;
	struct rmd_achild *child = rmd_calloc(1, sizeof *child);
	if (child == NULL || rmd_map_put(&nest->children, number, child) < 0) {
		rmd_free(child);
		return RMD_ENOMEM;
	}
	child->number = number;
	nest->last = number;
	return 0;
}

/* ---- places ---- */

uint32_t rmd_apool_active(const struct rmd_apool *pool)
{
	return pool->ready - pool->idle - pool->waiting;
}

bool rmd_apool_nests(const struct rmd_apool *pool)
{
	return pool->nested_ms != 0 && pool->agent->now_ms - pool->nested_ms < NESTS_MS;
}

bool rmd_apool_forget_nesting(struct rmd_apool *pool)
{
	uint32_t spare = pool->spare_next > pool->waiting ? pool->spare_next
							  : pool->waiting;
	bool changed = spare != pool->spare;
	pool->spare = spare;
	pool->spare_next = pool->waiting;
	if (pool->nested_ms != 0 && !rmd_apool_nests(pool)) {
		pool->nested_ms = 0;
		rmd_apool_dirty(pool);
		changed = true;
	}
	if (changed)
		rmd_apool_unbalance(pool);
	return pool->nested_ms != 0 || pool->spare > 0;
}

/* What is queued here but no deeper than the task that waits goes back: its children are
 * to go first, and come from the coordinator. */
static void return_shallow(struct rmd_apool *pool, uint32_t depth)
{
	struct rmd_alease *lease, *previous;
	for (lease = TAILQ_LAST(&pool->queue, rmd_aleases); lease != NULL;
	     lease = previous) {
		previous = TAILQ_PREV(lease, rmd_aleases, link);
		if (lease->depth > depth)
			continue;
		rmd_apool_dequeue(pool, lease);
		rmd_alease_return(lease);
	}
}

static void say_wait(struct rmd_agent *agent, uint64_t lease, bool waiting)
{
	struct rmd_lease_wait wait = {lease, waiting};
	if (agent->link == NULL || agent->link_lost)
		return;
	rmd_attach_request_put_wait(rmd_link_begin(agent->link), &wait);
	rmd_link_end(agent->link);
}

static void begin_wait(struct rmd_aworker *worker, struct rmd_alease *lease)
{
	struct rmd_apool *pool = worker->pool;
	(void)rmd_apool_take_back(worker, UINT32_MAX);
	worker->long_running = true;
	rmd_agent_arm_progress(worker->agent);
	rmd_aworker_place(worker, worker->state, RMD_AWORKER_STUCK, worker->in_hands);
	rmd_aworker_set_waiting(worker, lease->number);
	if (pool->waiting > pool->spare_next)
		pool->spare_next = pool->waiting;
	if (pool->spare_next > pool->spare)
		pool->spare = pool->spare_next;
	say_wait(worker->agent, lease->number, true);
	return_shallow(pool, lease->depth);
	rmd_apool_unbalance(pool);
}

static void leave_line(struct rmd_aworker *worker)
{
	if (!worker->in_line)
		return;
	worker->in_line = false;
	TAILQ_REMOVE(&worker->pool->line, worker, line_link);
}

static void enter_line(struct rmd_aworker *worker)
{
	if (worker->in_line)
		return;
	worker->in_line = true;
	TAILQ_INSERT_TAIL(&worker->pool->line, worker, line_link);
	rmd_apool_unbalance(worker->pool);
}

void rmd_aworker_end_wait(struct rmd_aworker *worker)
{
	if (worker->waits_in == 0)
		return;
	leave_line(worker);
	rmd_aworker_set_waiting(worker, 0);
	rmd_apool_unbalance(worker->pool);
}

/* ---- answers ---- */

/* Where the true answer cannot be given: why. */
static void answer_error(struct rmd_aworker *worker, const struct rmd_alease *lease,
			 uint64_t number, int why)
{
	struct remuda_error *err = remuda_error_create(
		why == RMD_EAGAIN ? "OutOfMemory" : "PayloadTooLarge",
		"what a task that it submitted gave cannot be handed to the worker: %s",
		rmd_errcode_text(why));
	rmd_error_set_origin(err, REMUDA_ORIGIN_AGENT);
	rmd_error_set_place(err, worker->agent->name, worker->number, lease->attempt);
	struct rmd_buf *chain = rmd_agent_encode_error(err);
	struct rmd_slice bytes = {NULL, 0};
	if (chain != NULL)
		bytes = rmd_buf_slice(chain);
	if (rmd_wp_answer(worker->wp, lease->number, number, RMD_WP_ANSWER_ERROR, bytes) <
	    0)
		(void)rmd_wp_answer(worker->wp, lease->number, number,
				    RMD_WP_ANSWER_UNKNOWN, (struct rmd_slice){NULL, 0});
	rmd_buf_unref(chain);
}

static void answer(struct rmd_aworker *worker, const struct rmd_alease *lease,
		   uint64_t number, enum rmd_wp_answer kind)
{
	(void)rmd_wp_answer(worker->wp, lease->number, number, kind,
			    (struct rmd_slice){NULL, 0});
}

/* Answers with the child's end, which is told once. */
static void deliver(struct rmd_aworker *worker, struct rmd_alease *lease,
		    struct rmd_achild *child)
{
	int rc = rmd_wp_answer(worker->wp, lease->number, child->number, child->kind,
			       child->payload.bytes);
	if (rc == RMD_EAGAIN || rc == RMD_ETOOBIG)
		answer_error(worker, lease, child->number, rc);
	(void)rmd_map_take(&lease->nest->children, child->number);
	child_free(worker->agent, child);
}

/* The worker goes on. */
static void resume(struct rmd_aworker *worker)
{
	struct rmd_alease *lease = rmd_alease_find(worker->agent, worker->waits_in);
	RMD_CHECK(lease != NULL && lease->worker == worker && lease->nest != NULL);
	uint64_t asked = lease->nest->asked;
	struct rmd_achild *child = child_of(lease, asked);
	rmd_aworker_end_wait(worker);
	lease->nest->asked = 0;
	say_wait(worker->agent, lease->number, false);
	if (child != NULL && child->ended)
		deliver(worker, lease, child);
	else
		answer(worker, lease, asked, RMD_WP_ANSWER_NONE);
}

void rmd_apool_resume_some(struct rmd_apool *pool)
{
	struct rmd_aworker *worker;
	/* At least one at a time, also where the pool shall have no workers here: what
	 * has begun goes on to its end. */
	uint32_t places = pool->wanted > 0 ? pool->wanted : 1;
	while ((worker = TAILQ_FIRST(&pool->line)) != NULL &&
	       rmd_apool_active(pool) < places)
		resume(worker);
	/* What others have not begun shall not go before those in line. */
	for (uint32_t load = RMD_WP_TASKS_MAX;
	     worker != NULL && pool->stealable > 0 && load >= 2; load--) {
		struct rmd_aworker *busy = TAILQ_FIRST(&pool->by_load[load]);
		if (busy != NULL && rmd_apool_take_back(busy, UINT32_MAX) == 0)
			break;
	}
}

void rmd_aworker_stop_waiting(struct rmd_aworker *worker, struct rmd_alease *lease)
{
	if (worker->waits_in != lease->number)
		return;
	uint64_t asked = lease->nest->asked;
	rmd_aworker_end_wait(worker);
	lease->nest->asked = 0;
	say_wait(worker->agent, lease->number, false);
	answer(worker, lease, asked, RMD_WP_ANSWER_STOP);
}

/* ---- what the worker says ---- */

/* The lease that a worker speaks of, or NULL: it is broken, or runs an initializer, which
 * has no children. */
static struct rmd_alease *lease_of(struct rmd_aworker *worker, uint64_t number)
{
	RMD_CHECK_OBJ(worker, RMD_AWORKER_MAGIC);
	if (number == RMD_AGENT_INITIALIZER && worker->initializing)
		return NULL;
	struct rmd_alease *lease = rmd_alease_find(worker->agent, number);
	if (lease != NULL && lease->worker == worker)
		return lease;
	worker->broken = true;
	return NULL;
}

static void say_submit(struct rmd_agent *agent, struct rmd_nested_submit *submit,
		       struct rmd_buf *buf)
{
	if (agent->link == NULL || agent->link_lost)
		return;
	if (submit->arguments.len > RMD_AGENT_INLINE_MAX) {
		struct rmd_buf *whole = buf != NULL ? rmd_buf_ref(buf)
						    : rmd_buf_copy(submit->arguments);
		struct rmd_piece piece = {buf != NULL || whole == NULL
						  ? submit->arguments
						  : rmd_buf_slice(whole),
					  whole};
		uint64_t number = agent->next_transfer++;
		if (whole != NULL &&
		    rmd_link_send_transfer(agent->link, number, piece) == 0) {
			submit->arguments_transfer = number;
			submit->arguments = (struct rmd_slice){NULL, 0};
		}
	}
	rmd_attach_request_put_nested(rmd_link_begin(agent->link), submit, buf);
	rmd_link_end(agent->link);
}

void rmd_aworker_on_submit(void *ctx, uint64_t number, struct rmd_piece payload)
{
	struct rmd_aworker *worker = ctx;
	struct rmd_alease *lease = lease_of(worker, number);
	struct rmd_nested_submit submit;
	const char *field;
	if (lease == NULL)
		return;
	struct rmd_agent *agent = worker->agent;
	struct rmd_apool *pool = worker->pool;
	int rc = rmd_worker_submit_read(payload.bytes, &submit, &field);
	if (rc == 0)
		rc = child_add(lease, submit.number);
	if (rc == RMD_ENOMEM)
		return; /* asked for, it will be unknown */
	if (rc < 0) {
		worker->broken = true;
		return;
	}
	if (!lease->began_told) { /* before its first child */
		lease->began_told = true;
		rmd_agent_gather(agent, &agent->began, lease->number);
		rmd_agent_say_numbers(agent);
	}
	submit.lease = lease->number;
	say_submit(agent, &submit, payload.buf);
	if (!rmd_apool_nests(pool))
		rmd_apool_dirty(pool); /* fewer slots from now on */
	pool->nested_ms = agent->now_ms;
}

void rmd_aworker_on_ask(void *ctx, uint64_t number, uint64_t asked, bool now)
{
	struct rmd_aworker *worker = ctx;
	struct rmd_alease *lease = lease_of(worker, number);
	if (lease == NULL) {
		if (!worker->broken)
			rmd_aworker_refuse_children(worker, asked);
		return;
	}
	struct rmd_achild *child = child_of(lease, asked);
	if (lease->cancelled)
		answer(worker, lease, asked, RMD_WP_ANSWER_STOP);
	else if (child == NULL)
		answer(worker, lease, asked, RMD_WP_ANSWER_UNKNOWN);
	else if (child->ended)
		deliver(worker, lease, child);
	else if (now)
		answer(worker, lease, asked, RMD_WP_ANSWER_NONE);
	else if (worker->waits_in != 0)
		worker->broken = true; /* it runs one task at a time */
	else {
		lease->nest->asked = asked;
		begin_wait(worker, lease);
	}
}

void rmd_aworker_on_give_up(void *ctx, uint64_t number, uint64_t asked)
{
	struct rmd_aworker *worker = ctx;
	struct rmd_alease *lease = lease_of(worker, number);
	if (lease != NULL && worker->waits_in == number && lease->nest->asked == asked)
		resume(worker);
}

void rmd_aworker_on_cancel_child(void *ctx, uint64_t number, uint64_t asked)
{
	struct rmd_aworker *worker = ctx;
	struct rmd_alease *lease = lease_of(worker, number);
	struct rmd_agent *agent = worker->agent;
	const struct rmd_achild *child = lease == NULL ? NULL : child_of(lease, asked);
	if (child == NULL || child->ended || agent->link == NULL || agent->link_lost)
		return;
	struct rmd_nested_cancel cancel = {number, asked};
	rmd_attach_request_put_nested_cancel(rmd_link_begin(agent->link), &cancel);
	rmd_link_end(agent->link);
}

/* ---- what the coordinator says ---- */

/* The error of a child whose outcome could not be held; empty without memory. */
static struct rmd_piece lost_payload(const struct rmd_agent *agent)
{
	struct remuda_error *err = remuda_error_create(
		"PayloadLost",
		"the agent could not hold what a nested task gave: too much waits there "
		"for tasks that do not ask, or memory is out");
	rmd_error_set_origin(err, REMUDA_ORIGIN_AGENT);
	rmd_error_set_place(err, agent->name, 0, 0);
	struct rmd_buf *chain = rmd_agent_encode_error(err);
	if (chain == NULL)
		return (struct rmd_piece){0};
	return (struct rmd_piece){rmd_buf_slice(chain), chain};
}

/* Keeps how the child ended. Takes the reference in `payload`; NULL: it was lost. */
static void keep(struct rmd_agent *agent, struct rmd_achild *child,
		 enum rmd_wp_answer kind, struct rmd_piece payload)
{
	if (payload.buf == NULL ||
	    payload.bytes.len > RMD_AGENT_TRANSFER_BYTES_MAX - agent->nested_bytes) {
		rmd_piece_unref(payload);
		kind = RMD_WP_ANSWER_ERROR;
		payload = lost_payload(agent);
	}
	child->ended = true;
	child->kind = kind;
	child->payload = payload;
	agent->nested_bytes += payload.bytes.len;
}

void rmd_agent_take_nested(struct rmd_agent *agent, const struct rmd_nested_outcome *said)
{
	struct rmd_piece payload = {0};
	enum rmd_wp_answer kind = RMD_WP_ANSWER_VALUE;
	const struct rmd_outcome *outcome = &said->outcome;
	struct rmd_alease *lease = rmd_alease_find(agent, said->lease);
	struct rmd_achild *child = lease == NULL ? NULL : child_of(lease, said->number);
	if (outcome->kind == RMD_OUTCOME_VALUE_TRANSFER)
		(void)rmd_agent_take_transfer(agent, outcome->transfer, &payload);
	if (child == NULL || child->ended) { /* of a lease that is over */
		rmd_piece_unref(payload);
		return;
	}
	if (outcome->kind == RMD_OUTCOME_ERROR)
		kind = RMD_WP_ANSWER_ERROR;
	else if (outcome->kind == RMD_OUTCOME_CANCELLED)
		kind = RMD_WP_ANSWER_CANCELLED;
	/* A small part of a frame shall not keep all of it: a copy. */
	if (outcome->kind != RMD_OUTCOME_VALUE_TRANSFER &&
	    (payload.buf = rmd_buf_copy(outcome->bytes)) != NULL)
		payload.bytes = rmd_buf_slice(payload.buf);
	keep(agent, child, kind, payload);
	if (lease->worker != NULL && lease->worker->waits_in == lease->number &&
	    lease->nest->asked == said->number)
		enter_line(lease->worker);
}
