#include "server/core/terms.h"

#include <stdio.h>

#include "proto/base/alloc.h"
#include "server/core/agent.h"
#include "server/core/client.h"
#include "server/core/kin.h"
#include "server/core/share.h"
#include "server/core/state.h"
#include "server/core/task.h"

/* --- making ------------------------------------------------------------------------ */

bool rmd_core_rules_fit(const struct rmd_core_rules *rules)
{
	if (rules->queue_deadline_ms > RMD_CORE_DEADLINE_MAX_MS ||
	    rules->run_deadline_ms > RMD_CORE_DEADLINE_MAX_MS ||
	    rules->backoff_ms > RMD_CORE_BACKOFF_MAX_MS ||
	    rules->backoff_max_ms > RMD_CORE_BACKOFF_MAX_MS ||
	    (rules->retry_on & ~RMD_CORE_RETRY_ALL) != 0 ||
	    rules->error_type_count > RMD_CORE_ERROR_TYPES_MAX)
		return false;
	for (size_t i = 0; i < rules->error_type_count; i++)
		if (rules->error_types[i].len == 0 ||
		    rules->error_types[i].len > RMD_CORE_ERROR_TYPE_MAX)
			return false;
	return true;
}

static struct rmd_core_terms *terms_new(const struct rmd_core_rules *rules)
{
	size_t bytes = 0;
	for (size_t i = 0; i < rules->error_type_count; i++)
		bytes += rules->error_types[i].len;
	struct rmd_core_terms *terms = rmd_calloc(
		1, sizeof(*terms) + rules->error_type_count * sizeof(terms->types[0]) +
			   bytes);
	if (terms == NULL)
		return NULL;
	uint8_t *at = (uint8_t *)&terms->types[rules->error_type_count];
	for (size_t i = 0; i < rules->error_type_count; i++) {
		struct rmd_slice type = rules->error_types[i];
		memcpy(at, type.data, type.len);
		terms->types[i] = rmd_slice_of(at, type.len);
		at += type.len;
	}
	terms->type_count = (uint32_t)rules->error_type_count;
	return terms;
}

int rmd_core_terms_make(struct rmd_core *core, const struct rmd_core_submit *submit,
			struct rmd_core_terms **ret_terms)
{
	static const struct rmd_core_rules none = {.detached = false};
	const struct rmd_core_rules *rules = submit->rules != NULL ? submit->rules
								   : &none;
	*ret_terms = NULL;
	if (submit->rules == NULL && submit->max_attempts <= 1)
		return 0;
	struct rmd_core_terms *terms = terms_new(rules);
	if (terms == NULL)
		return RMD_ENOMEM;
	if (rmd_core_timer_init(core, &terms->timer, RMD_CORE_TIMER_TERMS) < 0) {
		rmd_free(terms);
		return RMD_ENOMEM;
	}
	terms->queue_ms = rules->queue_deadline_ms;
	terms->run_ms = rules->run_deadline_ms;
	terms->backoff_ms = rules->backoff_ms;
	terms->backoff_max_ms = rules->backoff_max_ms != 0
					? rules->backoff_max_ms
					: RMD_CORE_BACKOFF_DEFAULT_MAX_MS;
	terms->retry_on = rules->retry_on;
	if (rules->retry_on == 0 && rules->error_type_count == 0)
		terms->retry_on = RMD_CORE_RETRY_DEFAULT;
	terms->detached = rules->detached;
	*ret_terms = terms;
	return 0;
}

void rmd_core_terms_free(struct rmd_core *core, struct rmd_core_terms *terms)
{
	if (terms == NULL)
		return;
	if (terms->retained)
		TAILQ_REMOVE(&core->retained, terms, retained_link);
	rmd_core_timer_fini(core, &terms->timer);
	rmd_piece_unref(terms->last_error);
	rmd_free(terms->failures);
	rmd_free(terms);
}

/* --- the timer --------------------------------------------------------------------- */

/* When its timer is due, or 0: never. */
static uint64_t due_of(const struct rmd_core_task *task)
{
	const struct rmd_core_terms *terms = task->terms;
	switch (task->state) {
	case RMD_CORE_TASK_QUEUED:
		if (task->backs_off)
			return terms->due_ms;
		/* fall through */
	case RMD_CORE_TASK_LEASED:
		return task->begun == 0 && terms->queue_ms != 0
			       ? task->accepted_ms + terms->queue_ms
			       : 0;
	case RMD_CORE_TASK_RUNNING:
		return terms->run_ms != 0 ? task->client->core->now_ms + terms->run_ms
					  : 0;
	case RMD_CORE_TASK_DONE:
		return 0;
	}
	RMD_UNREACHABLE("every state of a task is handled above");
}

void rmd_core_terms_heed(struct rmd_core_task *task)
{
	struct rmd_core *core = task->client->core;
	uint64_t due_ms = due_of(task);
	if (due_ms == 0)
		rmd_core_timer_stop(core, &task->terms->timer);
	else
		rmd_core_timer_set(core, &task->terms->timer, due_ms);
}

void rmd_core_terms_fired(struct rmd_core_terms *terms)
{
	struct rmd_core_task *task = terms->task;
	if (task->state == RMD_CORE_TASK_QUEUED && task->backs_off)
		rmd_core_task_move(task, RMD_CORE_TASK_QUEUED);
	else if (task->state == RMD_CORE_TASK_RUNNING)
		rmd_core_kin_doom(task, RMD_CORE_END_RUN_DEADLINE);
	else
		rmd_core_kin_doom(task, RMD_CORE_END_QUEUE_DEADLINE);
}

uint64_t rmd_core_task_due_ms(const struct rmd_core_task *task)
{
	uint64_t due_ms = rmd_core_task_deadline_ms(task);
	if (task->terms == NULL || task->terms->run_ms == 0 ||
	    task->state != RMD_CORE_TASK_RUNNING)
		return due_ms;
	uint64_t run_due_ms = task->terms->timer.node.key;
	return due_ms != 0 && due_ms < run_due_ms ? due_ms : run_due_ms;
}

/* --- another attempt --------------------------------------------------------------- */

static bool rule_allows(const struct rmd_core_terms *terms,
			const struct rmd_core_ending *ending)
{
	if ((terms->retry_on & RMD_CORE_CAUSE_BIT(ending->cause)) != 0)
		return true;
	if (ending->cause != RMD_CORE_CAUSE_TASK_ERROR)
		return false;
	for (uint32_t i = 0; i < terms->type_count; i++)
		if (rmd_slice_equal(terms->types[i], ending->error_type))
			return true;
	return false;
}

/* Splitmix64: the simulator must meet the same numbers again. */
static uint64_t draw(struct rmd_core *core)
{
	uint64_t z = core->random += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* Before the attempt after `begun`: the first wait doubled begun - 1 times, of which the
 * latter half is left to chance, so that what failed together does not return together.
 */
static uint64_t backoff_of(struct rmd_core *core, const struct rmd_core_terms *terms,
			   uint32_t begun)
{
	uint64_t wait_ms = terms->backoff_ms;
	for (uint32_t i = 1; i < begun && wait_ms < terms->backoff_max_ms; i++)
		wait_ms *= 2;
	if (wait_ms > terms->backoff_max_ms)
		wait_ms = terms->backoff_max_ms;
	return wait_ms - draw(core) % (wait_ms / 2 + 1);
}

/* The error of the last failed attempt, which counts as bytes of the task's. */
static void keep_error(struct rmd_core_task *task, struct rmd_piece error)
{
	struct rmd_core_terms *terms = task->terms;
	struct rmd_core_client *client = task->client;
	struct rmd_core *core = client->core;
	struct rmd_buf *copy = NULL;
	size_t len = error.bytes.len;
	client->payload_bytes -= terms->last_error.bytes.len;
	core->payload_bytes -= terms->last_error.bytes.len;
	rmd_piece_unref(terms->last_error);
	terms->last_error = (struct rmd_piece){{NULL, 0}, NULL};
	if (len == 0 || len > RMD_CORE_LAST_ERROR_MAX ||
	    len > core->config.payload_bytes_max - core->payload_bytes ||
	    len > core->config.payload_bytes_per_client_max - client->payload_bytes ||
	    (copy = rmd_buf_copy(error.bytes)) == NULL)
		return; /* its cause is known all the same */
	terms->last_error = (struct rmd_piece){rmd_buf_slice(copy), copy};
	client->payload_bytes += len;
	core->payload_bytes += len;
}

static void remember(struct rmd_core_task *task, const struct rmd_core_ending *ending)
{
	struct rmd_core_terms *terms = task->terms;
	if (terms->failures == NULL)
		terms->failures =
			rmd_calloc(RMD_CORE_ATTEMPTS_KEPT, sizeof(*terms->failures));
	if (terms->failures == NULL)
		return; /* its number is known all the same */
	if (terms->failure_count == RMD_CORE_ATTEMPTS_KEPT) {
		terms->failure_count--;
		memmove(&terms->failures[0], &terms->failures[1],
			terms->failure_count * sizeof(terms->failures[0]));
	}
	struct rmd_core_attempt *kept = &terms->failures[terms->failure_count++];
	*kept = (struct rmd_core_attempt){
		.attempt = task->begun,
		.cause = ending->cause,
		.worker = ending->worker,
		.run_ns = ending->run_ns,
		.ended_ms = task->client->core->now_ms,
	};
	if (ending->agent != NULL)
		snprintf(kept->agent, sizeof(kept->agent), "%s",
			 rmd_core_agent_name(ending->agent));
}

bool rmd_core_terms_retry(struct rmd_core_task *task, struct rmd_core_ending *ending)
{
	struct rmd_core_terms *terms = task->terms;
	struct rmd_core *core = task->client->core;
	if (ending->cause == RMD_CORE_CAUSE_WORKER_LOST ||
	    ending->cause == RMD_CORE_CAUSE_OUT_OF_MEMORY)
		terms->lost++;
	if (task->begun >= task->max_attempts || !rule_allows(terms, ending))
		return false;
	if (terms->lost >= core->config.poison_max) {
		ending->end = RMD_CORE_END_POISONED;
		return false;
	}
	remember(task, ending);
	keep_error(task, ending->outcome);
	if (terms->backoff_ms != 0) {
		terms->due_ms = core->now_ms + backoff_of(core, terms, task->begun);
		task->backs_off = true;
	}
	return true;
}

/* --- looking at it ----------------------------------------------------------------- */

uint32_t rmd_core_task_failures(const struct rmd_core_task *task)
{
	return task->terms == NULL ? 0 : task->terms->failure_count;
}

const struct rmd_core_attempt *rmd_core_task_failure(const struct rmd_core_task *task,
						     uint32_t index)
{
	RMD_CHECK(index < rmd_core_task_failures(task));
	return &task->terms->failures[index];
}

struct rmd_piece rmd_core_task_last_error(const struct rmd_core_task *task)
{
	return task->terms == NULL ? (struct rmd_piece){{NULL, 0}, NULL}
				   : task->terms->last_error;
}

uint64_t rmd_core_task_queue_deadline_ms(const struct rmd_core_task *task)
{
	return task->terms == NULL ? 0 : task->terms->queue_ms;
}

uint64_t rmd_core_task_run_deadline_ms(const struct rmd_core_task *task)
{
	return task->terms == NULL ? 0 : task->terms->run_ms;
}

bool rmd_core_task_detached(const struct rmd_core_task *task)
{
	return task->terms != NULL && task->terms->detached;
}

uint64_t rmd_core_task_backs_off_until_ms(const struct rmd_core_task *task)
{
	return task->backs_off ? task->terms->due_ms : 0;
}

const char *rmd_core_cause_text(enum rmd_core_cause cause)
{
	static const char *const texts[] = {
#define TEXT(name, text) [name] = text,
		RMD_CORE_CAUSES(TEXT)
#undef TEXT
	};
	return texts[cause];
}
