/* server/core/explain.c: why a task waits, in words. Looks at all agents: for people
 * only. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "server/core/agent.h"
#include "server/core/client.h"
#include "server/core/place.h"
#include "server/core/share.h"
#include "server/core/state.h"
#include "server/core/task.h"
#include "server/core/terms.h"

/* A text that grows in a buffer of the caller's, cut at its end. */
struct text {
	char *at;
	size_t left;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text,
						      const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int len = vsnprintf(text->at, text->left, format, args);
	va_end(args);
	size_t step = len < 0 ? 0 : (size_t)len;
	if (step >= text->left)
		step = text->left == 0 ? 0 : text->left - 1;
	text->at += step;
	text->left -= step;
}

static struct text text_of(char *ret_text, size_t size)
{
	if (size > 0)
		ret_text[0] = '\0';
	return (struct text){ret_text, size};
}

static int width(struct rmd_slice slice)
{
	return slice.len < RMD_CORE_NAME_MAX ? (int)slice.len : (int)RMD_CORE_NAME_MAX;
}

static void add_labels(struct text *text, const struct rmd_core_pool *pool)
{
	for (size_t i = 0; i < pool->label_count; i++) {
		const struct rmd_core_label *label = &pool->labels[i];
		add(text, "%s%.*s=%.*s", i == 0 ? "" : ",", width(label->key),
		    (const char *)label->key.data, width(label->value),
		    (const char *)label->value.data);
	}
}

/* What a worker needs, and what the largest agent has. */
static void add_sizes(struct text *text, const struct rmd_core_pool *pool)
{
	const struct rmd_core_agent *agent;
	uint64_t cpu = 0, memory = 0;
	TAILQ_FOREACH (agent, &pool->core->agents, link) {
		cpu = agent->cpu_milli > cpu ? agent->cpu_milli : cpu;
		memory = agent->memory_bytes > memory ? agent->memory_bytes : memory;
	}
	add(text, "no agent is large enough: a worker needs %.3g cpus",
	    pool->cpu_milli / 1000.0);
	if (pool->memory_bytes != 0)
		add(text, " and %" PRIu64 " MiB of memory", pool->memory_bytes >> 20);
	add(text, "; the most that one has is %.3g cpus", (double)cpu / 1000.0);
	if (pool->memory_bytes != 0)
		add(text, ", %" PRIu64 " MiB of memory", memory >> 20);
}

/* No agent can ever run the pool: says what the one that comes nearest lacks. */
static bool add_unfit(struct text *text, const struct rmd_core_pool *pool)
{
	const struct rmd_core_agent *agent;
	enum rmd_core_unfit nearest = RMD_CORE_UNFIT_RUNTIME;
	if (pool->wanted > 0 || pool->place == RMD_CORE_PLACE_STARVING)
		return false; /* then one suits */
	TAILQ_FOREACH (agent, &pool->core->agents, link)
		if (rmd_core_place_suits(agent, pool) > nearest)
			nearest = rmd_core_place_suits(agent, pool);
	if (TAILQ_EMPTY(&pool->core->agents)) {
		add(text, "no agent is attached");
		return true;
	}
	switch (nearest) {
	case RMD_CORE_UNFIT_RUNTIME:
		add(text, "no agent has the runtime %.*s", width(pool->runtime),
		    (const char *)pool->runtime.data);
		return true;
	case RMD_CORE_UNFIT_LABELS:
		add(text, "no agent with the runtime %.*s has the labels ",
		    width(pool->runtime), (const char *)pool->runtime.data);
		add_labels(text, pool);
		return true;
	case RMD_CORE_UNFIT_SIZE:
		add_sizes(text, pool);
		return true;
	case RMD_CORE_UNFIT_DRAINING:
		add(text, "every agent that suits is draining");
		return true;
	case RMD_CORE_FIT:
		return false;
	}
	RMD_UNREACHABLE("every way not to fit is handled above");
}

/* The same, remembered: very many tasks of one pool may come to their deadlines in one
 * tick, and there may be very many agents. */
static bool add_unfit_once(struct text *text, const struct rmd_core_pool *pool)
{
	struct rmd_core *core = pool->core;
	struct rmd_core_unfit_text *known = &core->unfit;
	if (known->pool != pool->number || known->now_ms != core->now_ms ||
	    known->room_epoch != core->room_epoch) {
		struct text fresh = text_of(known->text, sizeof(known->text));
		add_unfit(&fresh, pool);
		known->pool = pool->number;
		known->now_ms = core->now_ms;
		known->room_epoch = core->room_epoch;
	}
	add(text, "%s", known->text);
	return known->text[0] != '\0';
}

/* What is the matter with the pool; false: nothing but turns. */
static bool add_pool(struct text *text, const struct rmd_core_pool *pool)
{
	if (add_unfit_once(text, pool))
		return true;
	if (pool->wanted == 0) {
		add(text, "agents are full: waits for room for a worker");
		return true;
	}
	if (pool->workers > pool->starting)
		return false;
	add(text, "waits for its first worker to start");
	if (pool->start_failures > 0)
		add(text, " (%" PRIu32 " failed to start)", pool->start_failures);
	return true;
}

void rmd_core_pool_explain(const struct rmd_core_pool *pool, char *ret_text, size_t size)
{
	struct text text = text_of(ret_text, size);
	if (pool->queued > 0)
		add_pool(&text, pool);
}

void rmd_core_task_explain(const struct rmd_core_task *task, char *ret_text, size_t size)
{
	struct text text = text_of(ret_text, size);
	if (task->waiting)
		add(&text, "waits for tasks that it submitted");
	if (task->state != RMD_CORE_TASK_QUEUED)
		return;
	const struct rmd_core_pool *pool = task->share->pool;
	if (task->backs_off) {
		uint64_t now_ms = pool->core->now_ms, due_ms = task->terms->due_ms;
		add(&text, "backs off: attempt %u begins in %" PRIu64 " ms at the earliest",
		    task->begun + 1u, due_ms > now_ms ? due_ms - now_ms : 0);
		return;
	}
	if (task->client->paused) {
		add(&text, "its client has %" PRIu64 " bytes of outcomes to fetch first",
		    task->client->outcome_bytes);
		return;
	}
	if (add_pool(&text, pool))
		return;
	if (pool->crowded && task->depth == 0) {
		add(&text,
		    "%" PRIu32 " tasks of its pool wait for tasks that they submitted: "
		    "those go first",
		    pool->waiting);
		return;
	}
	add(&text, "waits for its turn: %" PRIu64 " tasks are queued in its pool",
	    pool->queued);
	if (pool->max_workers != 0 && pool->wanted >= pool->max_workers)
		add(&text, ", which has all %" PRIu32 " workers of its max_workers",
		    pool->max_workers);
	else
		add(&text, ", which has %" PRIu32 " workers and no room for more",
		    pool->wanted);
}
