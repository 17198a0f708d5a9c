/* server/core/queue.h: the tasks of one client in one pool that wait.
 *
 * Children of tasks first, the deepest before others, then by age. Then the client's own
 * tasks: by priority, then by age: one FIFO for each priority in use. All is O(1): the
 * FIFO of priority 0 is embedded, those of others lie in chunks of 64, made when first
 * needed, with bits that say which are not empty. Core thread only; borrows the tasks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct rmd_core_task;
struct rmd_core_levels;

TAILQ_HEAD(rmd_core_task_list, rmd_core_task);

struct rmd_core_queue {
	uint64_t count;
	struct rmd_core_task_list zero;
	struct rmd_core_levels *levels;	   /* NULL: only priority 0 was ever used */
	uint32_t nested_used;		   /* bit i: nested[i] is not empty */
	struct rmd_core_task_list *nested; /* by depth - 1; NULL: no child ever */
};

void rmd_core_queue_init(struct rmd_core_queue *queue);
/* Frees its memory; the queue is empty. */
void rmd_core_queue_fini(struct rmd_core_queue *queue);
/* Makes sure that tasks of that priority and depth can be put in, now and later.
 * RMD_ENOMEM. */
int rmd_core_queue_reserve(struct rmd_core_queue *queue, int32_t priority,
			   uint32_t depth);
/* Whether a child is in. */
static inline bool rmd_core_queue_nested(const struct rmd_core_queue *queue)
{
	return queue->nested_used != 0;
}
/* Puts in a new task, behind those of its priority. */
void rmd_core_queue_add(struct rmd_core_queue *queue, struct rmd_core_task *task);
/* Puts a task back that was in before: before younger ones of its priority. */
void rmd_core_queue_add_back(struct rmd_core_queue *queue, struct rmd_core_task *task);
/* Takes out a task that is in. */
void rmd_core_queue_remove(struct rmd_core_queue *queue, struct rmd_core_task *task);
/* The task whose turn it is, or NULL. */
struct rmd_core_task *rmd_core_queue_first(const struct rmd_core_queue *queue);
