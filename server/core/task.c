#include "server/core/task.h"

#include "proto/base/alloc.h"
#include "server/core/client.h"
#include "server/core/kin.h"
#include "server/core/lease.h"
#include "server/core/share.h"
#include "server/core/state.h"
#include "server/core/terms.h"

uint64_t rmd_core_task_bytes(const struct rmd_core_task *task)
{
	uint64_t bytes =
		task->payload.bytes.len + task->labels.bytes.len + task->function_bytes;
	return task->terms == NULL ? bytes : bytes + task->terms->last_error.bytes.len;
}

/* --- states ------------------------------------------------------------------------ */

static void quit(struct rmd_core_task *task)
{
	struct rmd_core_share *share = task->share;
	rmd_core_kin_wait(task, false);
	switch (task->state) {
	case RMD_CORE_TASK_QUEUED:
		if (task->backs_off) {
			TAILQ_REMOVE(&share->later, task, state_link);
			share->later_count--;
			share->pool->later--;
			task->backs_off = false;
			break;
		}
		rmd_core_queue_remove(&share->queue, task);
		share->pool->queued--;
		rmd_core_share_turn(share);
		break;
	case RMD_CORE_TASK_LEASED:
		TAILQ_REMOVE(&task->ledger->leased, task, state_link);
		share->pool->leased--;
		break;
	case RMD_CORE_TASK_RUNNING:
		TAILQ_REMOVE(&task->ledger->running, task, state_link);
		share->pool->leased--;
		break;
	case RMD_CORE_TASK_DONE:
		TAILQ_REMOVE(&task->client->done, task, state_link);
		task->client->done_count--;
		break;
	}
	task->client->core->by_state[task->state]--;
}

static void join(struct rmd_core_task *task, enum rmd_core_task_state to)
{
	struct rmd_core_share *share = task->share;
	switch (to) {
	case RMD_CORE_TASK_QUEUED:
		if (task->backs_off) {
			TAILQ_INSERT_TAIL(&share->later, task, state_link);
			share->later_count++;
			share->pool->later++;
			break;
		}
		if (task->leased_before)
			rmd_core_queue_add_back(&share->queue, task);
		else
			rmd_core_queue_add(&share->queue, task);
		share->pool->queued++;
		rmd_core_share_turn(share);
		break;
	case RMD_CORE_TASK_LEASED:
		TAILQ_INSERT_TAIL(&task->ledger->leased, task, state_link);
		share->pool->leased++;
		task->leased_before = true;
		break;
	case RMD_CORE_TASK_RUNNING:
		TAILQ_INSERT_TAIL(&task->ledger->running, task, state_link);
		share->pool->leased++;
		break;
	case RMD_CORE_TASK_DONE:
		TAILQ_INSERT_TAIL(&task->client->done, task, state_link);
		task->client->done_count++;
		break;
	}
	task->state = to;
	task->client->core->by_state[to]++;
	if (share->pool->peak < rmd_core_pool_load(share->pool))
		share->pool->peak = rmd_core_pool_load(share->pool);
}

void rmd_core_task_move(struct rmd_core_task *task, enum rmd_core_task_state to)
{
	RMD_CHECK_OBJ(task, RMD_CORE_TASK_MAGIC);
	RMD_CHECK(task->state != RMD_CORE_TASK_DONE);
	quit(task);
	join(task, to);
	if (task->terms != NULL)
		rmd_core_terms_heed(task);
	rmd_core_pool_touch(task->share->pool);
}

int rmd_core_task_rehome(struct rmd_core_task *task, struct rmd_core_share *to)
{
	RMD_CHECK_OBJ(task, RMD_CORE_TASK_MAGIC);
	RMD_CHECK(task->state == RMD_CORE_TASK_QUEUED && task->depth == 0);
	bool backs_off = task->backs_off;
	int rc = rmd_core_queue_reserve(&to->queue, task->priority, task->depth);
	if (rc < 0)
		return rc;
	quit(task);
	task->share->open--;
	task->share = to;
	to->open++;
	task->backs_off = backs_off;
	join(task, RMD_CORE_TASK_QUEUED);
	return 0;
}

/* Room in a task for a small outcome: most fit, and pin no frame. */
#define ROOM_MIN 32u

_Static_assert(sizeof(struct rmd_core_task) <= 320,
	       "a queued task costs at most 512 bytes");

/* --- submit ------------------------------------------------------------------------ */

/* A reference to a small part of a large frame would keep the whole frame: copy it,
 * unless that would cost more than it saves. Bytes without a buf are the caller's: always
 * copied. */
static bool worth_copying(struct rmd_piece piece)
{
	if (piece.buf == NULL || piece.bytes.len < RMD_CORE_PAYLOAD_COPY_MAX)
		return true;
	return piece.bytes.len <= 64 * RMD_CORE_PAYLOAD_COPY_MAX &&
	       piece.bytes.len < rmd_buf_slice(piece.buf).len / 4;
}

int rmd_core_task_fits(const struct rmd_core *core, const struct rmd_core_client *client,
		       const struct rmd_core_submit *submit)
{
	if (submit->function.len == 0 || submit->function.len > RMD_CORE_FUNCTION_MAX ||
	    submit->priority > RMD_CORE_PRIORITY_MAX ||
	    submit->priority < -RMD_CORE_PRIORITY_MAX ||
	    submit->max_attempts > RMD_CORE_ATTEMPTS_MAX ||
	    submit->deadline_ms > RMD_CORE_DEADLINE_MAX_MS ||
	    (submit->rules != NULL && !rmd_core_rules_fit(submit->rules)))
		return RMD_EINVAL;
	uint64_t bytes = submit->function.len + submit->payload.bytes.len +
			 submit->labels.bytes.len;
	if (core->task_count >= core->config.tasks_max ||
	    bytes > core->config.payload_bytes_per_client_max ||
	    client->payload_bytes > core->config.payload_bytes_per_client_max - bytes ||
	    bytes > core->config.payload_bytes_max ||
	    core->payload_bytes > core->config.payload_bytes_max - bytes)
		return RMD_ELIMIT;
	return 0;
}

static int submit_fits(const struct rmd_core *core, const struct rmd_core_client *client,
		       const struct rmd_core_submit *submit)
{
	const struct rmd_core_pool *pool = submit->pool;
	if (core->draining || client->closed || client->abandoned ||
	    pool->state == RMD_CORE_POOL_CLOSING)
		return RMD_ECLOSED;
	if (submit->number == 0 || submit->number >= RMD_CORE_NESTED)
		return RMD_EINVAL;
	if (pool->sort == RMD_CORE_POOL_OWN && pool->owner != client)
		return RMD_EINVAL;
	if (client->task_count - client->nested_count >=
	    core->config.tasks_per_client_max)
		return RMD_ELIMIT;
	return rmd_core_task_fits(core, client, submit);
}

/* Copies `piece` behind the task at *at, which moves on, or references it. */
static struct rmd_piece keep_piece(struct rmd_piece piece, bool copied, uint8_t **at)
{
	if (!copied)
		return rmd_piece_ref(piece);
	struct rmd_piece kept = {rmd_slice_of(*at, piece.bytes.len), NULL};
	if (piece.bytes.len != 0)
		memcpy(*at, piece.bytes.data, piece.bytes.len);
	*at += piece.bytes.len;
	return kept;
}

static struct rmd_core_task *task_new(const struct rmd_core_submit *submit,
				      uint32_t depth)
{
	bool copy_payload = worth_copying(submit->payload);
	bool copy_labels = worth_copying(submit->labels);
	size_t bytes = submit->function.len +
		       (copy_labels ? submit->labels.bytes.len : 0);
	size_t room = copy_payload ? submit->payload.bytes.len : 0;
	if (room < ROOM_MIN)
		room = ROOM_MIN;
	if (bytes + room > UINT32_MAX)
		return NULL;
	struct rmd_core_task *task = rmd_malloc(sizeof(*task) + bytes + room);
	if (task == NULL)
		return NULL;
	*task = (struct rmd_core_task){
		.magic = RMD_CORE_TASK_MAGIC,
		.priority = (int16_t)submit->priority,
		.function_bytes = (uint16_t)submit->function.len,
		.max_attempts =
			(uint16_t)(submit->max_attempts == 0 ? 1 : submit->max_attempts),
		.depth = depth,
		.room_bytes = (uint32_t)room,
		.stream_logs = submit->stream_logs,
		.user = submit->user,
		.number = submit->number,
	};
	uint8_t *at = task->bytes;
	memcpy(at, submit->function.data, submit->function.len);
	at += submit->function.len;
	task->labels = keep_piece(submit->labels, copy_labels, &at);
	task->payload = keep_piece(submit->payload, copy_payload, &at);
	return task;
}

static void task_delete(struct rmd_core *core, struct rmd_core_task *task)
{
	if (task->timed)
		rmd_core_timer_fini(core, &task->deadline);
	rmd_piece_unref(task->payload);
	rmd_piece_unref(task->labels);
	rmd_free(task->kin);
	if (task->terms != NULL)
		rmd_core_terms_free(core, task->terms);
	task->magic = 0;
	rmd_free(task);
}

/* Everything of a submit that can fail. On failure nothing is left behind. */
static int task_make(struct rmd_core_client *client, const struct rmd_core_submit *submit,
		     uint32_t depth, struct rmd_core_task **ret_task)
{
	struct rmd_core *core = client->core;
	struct rmd_core_share *share = NULL;
	int rc = RMD_ENOMEM;
	struct rmd_core_task *task = task_new(submit, depth);
	if (task == NULL)
		return RMD_ENOMEM;
	if (submit->deadline_ms != 0) {
		rc = rmd_core_timer_init(core, &task->deadline, RMD_CORE_TIMER_DEADLINE);
		if (rc < 0)
			goto out;
		task->timed = true;
	}
	if ((submit->rules != NULL || submit->max_attempts > 1) &&
	    (rc = rmd_core_terms_make(core, submit, &task->terms)) < 0)
		goto out;
	if ((rc = rmd_core_share_get(client, submit->pool, &share)) < 0 ||
	    (rc = rmd_core_queue_reserve(&share->queue, submit->priority, depth)) < 0 ||
	    (rc = rmd_core_index_put(&client->tasks, submit->number, task)) < 0)
		goto out;
	task->client = client;
	task->share = share;
	if (task->terms != NULL) {
		task->terms->task = task;
		client->detached_count += task->terms->detached;
	}
	*ret_task = task;
	return 0;
out:
	if (share != NULL)
		rmd_core_share_drop(share);
	task_delete(core, task);
	return rc;
}

int rmd_core_task_accept(struct rmd_core_client *client,
			 const struct rmd_core_submit *submit, struct rmd_core_kin *kin,
			 uint32_t depth, struct rmd_core_task **ret_task)
{
	struct rmd_core *core = client->core;
	struct rmd_core_task *task;
	int rc = task_make(client, submit, depth, &task);
	if (rc < 0)
		return rc;
	task->kin = kin;
	task->accepted_ms = core->now_ms;
	client->task_count++;
	client->nested_count += depth > 0;
	core->task_count++;
	core->accepted++;
	client->payload_bytes += rmd_core_task_bytes(task);
	core->payload_bytes += rmd_core_task_bytes(task);
	TAILQ_INSERT_TAIL(&client->all, task, client_link);
	TAILQ_INSERT_TAIL(&core->tasks, task, core_link);
	task->share->open++;
	join(task, RMD_CORE_TASK_QUEUED);
	if (task->terms != NULL)
		rmd_core_terms_heed(task);
	rmd_core_pool_touch(task->share->pool);
	if (task->timed)
		rmd_core_timer_set(core, &task->deadline,
				   core->now_ms + submit->deadline_ms);
	*ret_task = task;
	return 0;
}

int rmd_core_submit(struct rmd_core *core, uint64_t now_ms,
		    struct rmd_core_client *client, const struct rmd_core_submit *submit,
		    struct rmd_core_task **ret_task)
{
	struct rmd_core_task *task;
	rmd_core_enter(core, now_ms);
	RMD_CHECK_OBJ(client, RMD_CORE_CLIENT_MAGIC);
	RMD_CHECK_OBJ(submit->pool, RMD_CORE_POOL_MAGIC);
	if (submit->number != 0 && submit->number <= client->accepted)
		return RMD_EEXIST;
	int rc = submit_fits(core, client, submit);
	if (rc < 0 || (rc = rmd_core_task_accept(client, submit, NULL, 0, &task)) < 0)
		return rc;
	client->accepted = task->number;
	rmd_core_client_widen(client);
	if (ret_task != NULL)
		*ret_task = task;
	return 0;
}

/* --- the end ----------------------------------------------------------------------- */

/* The task's share does not count it any more. */
static void leave_share(struct rmd_core_task *task)
{
	struct rmd_core_share *share = task->share;
	if (share == NULL)
		return;
	task->share = NULL;
	share->open--;
	rmd_core_pool_touch(share->pool);
	rmd_core_share_drop(share);
}

/* Its arguments are not needed any more. */
static void drop_payload(struct rmd_core_task *task)
{
	task->client->payload_bytes -= rmd_core_task_bytes(task);
	task->client->core->payload_bytes -= rmd_core_task_bytes(task);
	rmd_piece_unref(task->payload);
	task->payload = (struct rmd_piece){{NULL, 0}, NULL};
}

void rmd_core_task_free(struct rmd_core_task *task)
{
	RMD_CHECK_OBJ(task, RMD_CORE_TASK_MAGIC);
	struct rmd_core_client *client = task->client;
	struct rmd_core *core = client->core;
	if (core->port.task_gone != NULL)
		RMD_CORE_SAY(core, task_gone, task);
	rmd_core_kin_leave(task);
	if (task->state != RMD_CORE_TASK_DONE)
		drop_payload(task);
	quit(task);
	rmd_core_lease_close(task);
	leave_share(task);
	TAILQ_REMOVE(&client->all, task, client_link);
	TAILQ_REMOVE(&core->tasks, task, core_link);
	rmd_core_index_drop(&client->tasks, task->number);
	client->task_count--;
	client->nested_count -= task->depth > 0;
	client->detached_count -= task->terms != NULL && task->terms->detached;
	core->task_count--;
	task_delete(core, task);
}

/* What is held until it is acknowledged shall not keep a whole frame alive: a small
 * outcome moves to where the arguments were, or to a buf of its own. */
static void hold_outcome(struct rmd_core_task *task)
{
	struct rmd_piece held = task->payload;
	size_t at = task->function_bytes;
	at += task->labels.buf == NULL ? task->labels.bytes.len : 0;
	if (held.buf == NULL)
		return;
	if (held.bytes.len <= task->room_bytes) {
		if (held.bytes.len != 0)
			memcpy(task->bytes + at, held.bytes.data, held.bytes.len);
		task->payload = (struct rmd_piece){
			rmd_slice_of(task->bytes + at, held.bytes.len), NULL};
		rmd_piece_unref(held);
	} else if (worth_copying(held) && held.bytes.len < rmd_buf_slice(held.buf).len) {
		struct rmd_buf *copy = rmd_buf_copy(held.bytes);
		if (copy == NULL)
			return; /* it is safe where it is */
		task->payload = (struct rmd_piece){rmd_buf_slice(copy), copy};
		rmd_piece_unref(held);
	}
}

/* Tells the port, unless the client is closed; of a child: unless its parent is gone. */
static enum rmd_core_keep tell(struct rmd_core_task *task, struct rmd_core_ending *ending)
{
	struct rmd_core *core = task->client->core;
	if (rmd_core_task_nested(task)) {
		rmd_core_kin_tell(task, ending);
		return RMD_CORE_FORGET;
	}
	if (task->client->closed ||
	    (task->client->abandoned && !rmd_core_task_detached(task)))
		return RMD_CORE_FORGET;
	core->in_port = true;
	enum rmd_core_keep keep = core->port.ended(core->port_ctx, task, ending);
	core->in_port = false;
	return keep;
}

void rmd_core_task_finish(struct rmd_core_task *task, struct rmd_core_ending *ending)
{
	struct rmd_core_client *client = task->client;
	struct rmd_core *core = client->core;
	RMD_CHECK(ending->end != RMD_CORE_END_NONE);
	if (task->timed)
		rmd_core_timer_stop(core, &task->deadline);
	drop_payload(task);
	task->payload = rmd_piece_ref(ending->outcome);
	task->end = ending->end;
	ending->attempt = task->begun;
	ending->state = task->state;
	ending->backed_off = task->backs_off;
	rmd_core_task_move(task, RMD_CORE_TASK_DONE);
	rmd_core_lease_close(task);
	core->ended++;
	task->share->pool->done++;
	enum rmd_core_keep keep = tell(task, ending);
	leave_share(task);
	if (keep == RMD_CORE_FORGET) {
		rmd_core_task_free(task);
		rmd_core_client_widen(client);
		rmd_core_client_reap(client);
		return;
	}
	hold_outcome(task);
	client->outcome_bytes += task->payload.bytes.len;
	core->outcome_bytes += task->payload.bytes.len;
	if (client->abandoned)
		rmd_core_retain(task);
	rmd_core_client_throttle(client);
	rmd_core_client_widen(client);
}

void rmd_core_task_keep_outcome(struct rmd_core_task *task, struct rmd_piece outcome)
{
	RMD_CHECK_OBJ(task, RMD_CORE_TASK_MAGIC);
	RMD_CHECK(task->state == RMD_CORE_TASK_DONE && task->client->core->in_port);
	rmd_piece_unref(task->payload);
	task->payload = outcome;
}

void rmd_core_task_doom(struct rmd_core_task *task, enum rmd_core_end why)
{
	struct rmd_core *core = task->client->core;
	RMD_CHECK(why != RMD_CORE_END_NONE);
	if (task->state == RMD_CORE_TASK_QUEUED) {
		struct rmd_core_ending ending = {.end = why};
		char waits[RMD_CORE_EXPLAIN_BYTES];
		if (why == RMD_CORE_END_START_FAILED)
			ending.start_error = task->share->pool->start_error;
		if (why == RMD_CORE_END_POOL_BROKEN)
			ending.outcome = task->share->pool->broken_error;
		if (why == RMD_CORE_END_DEADLINE || why == RMD_CORE_END_QUEUE_DEADLINE ||
		    why == RMD_CORE_END_CANNOT_RUN) {
			rmd_core_task_explain(task, waits, sizeof(waits));
			ending.waits = waits;
		}
		rmd_core_task_finish(task, &ending);
	} else if (task->state != RMD_CORE_TASK_DONE && task->doom == RMD_CORE_END_NONE) {
		task->doom = why;
		RMD_CORE_SAY(core, cancel, task->ledger->agent, task->lease);
	} else if (task->doom == RMD_CORE_END_RUN_DEADLINE ||
		   task->doom == RMD_CORE_END_QUEUE_DEADLINE) {
		task->doom = why; /* those may be taken back, this may not */
	}
}

void rmd_core_task_expired(struct rmd_core_task *task)
{
	rmd_core_kin_doom(task, RMD_CORE_END_DEADLINE);
}
