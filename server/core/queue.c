#include "server/core/queue.h"

#include <stddef.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "server/core/core.h"
#include "server/core/task.h"

#define CHUNK_LEVELS 64u
#define CHUNKS 32u /* 2 * RMD_CORE_PRIORITY_MAX + 1 levels need no more */
#define RANK_ZERO ((uint32_t)RMD_CORE_PRIORITY_MAX)
/* A task that comes back passes at most so many others that came back before it: their
 * order is a courtesy that must not cost more. */
#define BACK_STEPS 64u

_Static_assert(CHUNKS *CHUNK_LEVELS > 2 * RMD_CORE_PRIORITY_MAX,
	       "a level for each priority");

struct chunk {
	uint64_t used; /* bit i: level[i] is not empty */
	struct rmd_core_task_list level[CHUNK_LEVELS];
};

struct rmd_core_levels {
	uint32_t used; /* bit i: chunk[i] has a level that is not empty */
	struct chunk *chunk[CHUNKS];
};

/* 0 is the highest priority. */
static uint32_t rank_of(int32_t priority)
{
	return (uint32_t)(RMD_CORE_PRIORITY_MAX - priority);
}

void rmd_core_queue_init(struct rmd_core_queue *queue)
{
	queue->count = 0;
	queue->levels = NULL;
	queue->nested = NULL;
	queue->nested_used = 0;
	TAILQ_INIT(&queue->zero);
}

void rmd_core_queue_fini(struct rmd_core_queue *queue)
{
	RMD_CHECK(queue->count == 0);
	for (uint32_t i = 0; queue->levels != NULL && i < CHUNKS; i++)
		rmd_free(queue->levels->chunk[i]);
	rmd_free(queue->levels);
	rmd_free(queue->nested);
	queue->levels = NULL;
	queue->nested = NULL;
}

static int reserve_nested(struct rmd_core_queue *queue)
{
	if (queue->nested != NULL)
		return 0;
	queue->nested = rmd_calloc(RMD_CORE_DEPTH_MAX, sizeof(*queue->nested));
	if (queue->nested == NULL)
		return RMD_ENOMEM;
	for (uint32_t i = 0; i < RMD_CORE_DEPTH_MAX; i++)
		TAILQ_INIT(&queue->nested[i]);
	return 0;
}

int rmd_core_queue_reserve(struct rmd_core_queue *queue, int32_t priority, uint32_t depth)
{
	uint32_t rank = rank_of(priority);
	if (depth > 0)
		return reserve_nested(queue);
	if (rank == RANK_ZERO)
		return 0;
	if (queue->levels == NULL)
		queue->levels = rmd_calloc(1, sizeof(*queue->levels));
	if (queue->levels == NULL)
		return RMD_ENOMEM;
	struct chunk **chunk = &queue->levels->chunk[rank / CHUNK_LEVELS];
	if (*chunk != NULL)
		return 0;
	*chunk = rmd_calloc(1, sizeof(**chunk));
	if (*chunk == NULL)
		return RMD_ENOMEM;
	for (uint32_t i = 0; i < CHUNK_LEVELS; i++)
		TAILQ_INIT(&(*chunk)->level[i]);
	return 0;
}

/* The list that a task belongs in. */
static struct rmd_core_task_list *list_of(struct rmd_core_queue *queue,
					  const struct rmd_core_task *task)
{
	uint32_t rank = rank_of(task->priority);
	if (task->depth > 0)
		return &queue->nested[task->depth - 1];
	if (rank == RANK_ZERO)
		return &queue->zero;
	return &queue->levels->chunk[rank / CHUNK_LEVELS]->level[rank % CHUNK_LEVELS];
}

static void mark_nested(struct rmd_core_queue *queue, uint32_t level)
{
	uint32_t bit = UINT32_C(1) << level;
	if (TAILQ_EMPTY(&queue->nested[level]))
		queue->nested_used &= ~bit;
	else
		queue->nested_used |= bit;
}

/* Brings the bits in line with whether the list of `task` is empty. */
static void mark(struct rmd_core_queue *queue, const struct rmd_core_task *task)
{
	uint32_t rank = rank_of(task->priority);
	if (task->depth > 0) {
		mark_nested(queue, task->depth - 1);
		return;
	}
	if (rank == RANK_ZERO)
		return;
	struct chunk *chunk = queue->levels->chunk[rank / CHUNK_LEVELS];
	uint64_t bit = UINT64_C(1) << rank % CHUNK_LEVELS;
	if (TAILQ_EMPTY(&chunk->level[rank % CHUNK_LEVELS]))
		chunk->used &= ~bit;
	else
		chunk->used |= bit;
	uint32_t chunk_bit = UINT32_C(1) << rank / CHUNK_LEVELS;
	if (chunk->used == 0)
		queue->levels->used &= ~chunk_bit;
	else
		queue->levels->used |= chunk_bit;
}

void rmd_core_queue_add(struct rmd_core_queue *queue, struct rmd_core_task *task)
{
	TAILQ_INSERT_TAIL(list_of(queue, task), task, state_link);
	mark(queue, task);
	queue->count++;
}

void rmd_core_queue_add_back(struct rmd_core_queue *queue, struct rmd_core_task *task)
{
	struct rmd_core_task_list *level = list_of(queue, task);
	struct rmd_core_task *older = NULL, *at = TAILQ_FIRST(level);
	for (uint32_t i = 0; i < BACK_STEPS && at != NULL && at->number < task->number;
	     i++) {
		older = at;
		at = TAILQ_NEXT(at, state_link);
	}
	if (older == NULL)
		TAILQ_INSERT_HEAD(level, task, state_link);
	else
		TAILQ_INSERT_AFTER(level, older, task, state_link);
	mark(queue, task);
	queue->count++;
}

void rmd_core_queue_remove(struct rmd_core_queue *queue, struct rmd_core_task *task)
{
	TAILQ_REMOVE(list_of(queue, task), task, state_link);
	mark(queue, task);
	queue->count--;
}

struct rmd_core_task *rmd_core_queue_first(const struct rmd_core_queue *queue)
{
	const struct rmd_core_levels *levels = queue->levels;
	if (queue->nested_used != 0)
		return TAILQ_FIRST(
			&queue->nested[31 - (uint32_t)__builtin_clz(queue->nested_used)]);
	if (levels == NULL || levels->used == 0)
		return TAILQ_FIRST(&queue->zero);
	uint32_t c = (uint32_t)__builtin_ctz(levels->used);
	uint32_t l = (uint32_t)__builtin_ctzll(levels->chunk[c]->used);
	if (!TAILQ_EMPTY(&queue->zero) && RANK_ZERO < c * CHUNK_LEVELS + l)
		return TAILQ_FIRST(&queue->zero);
	return TAILQ_FIRST(&levels->chunk[c]->level[l]);
}
