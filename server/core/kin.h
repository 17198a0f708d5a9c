/* server/core/kin.h: tasks that tasks submit: who is whose child, and who waits.
 *
 * A child knows its parent as long as the lease in which it was submitted goes on; then
 * it is cancelled, and nobody hears of it. A parent that waits gives its place away: its
 * ledger, pool and share count it as waiting. Core thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "server/core/core.h"
#include "server/core/index.h"

/* What is known of a task that is a child, a parent, or both. */
struct rmd_core_kin {
	struct rmd_core_task *task;    /* whose it is */
	struct rmd_core_kin *parent;   /* NULL: none, or its lease is over */
	uint64_t number;	       /* as a child: in its parent's lease */
	LIST_ENTRY(rmd_core_kin) link; /* of the parent's children */
	/* In the present lease: */
	LIST_HEAD(, rmd_core_kin) children; /* that have not ended */
	struct rmd_core_index by_number;    /* the children */
	uint64_t taken;			    /* highest number of a child */
	uint32_t child_count;
};

/* The task's lease is over: cancels its children and forgets them. */
void rmd_core_kin_disown(struct rmd_core_task *task);
/* `task` is about to be freed: neither parent nor children know it any more. */
void rmd_core_kin_leave(struct rmd_core_task *task);
/* A child has ended: tells the agent of its parent's lease, if that goes on. */
void rmd_core_kin_tell(struct rmd_core_task *child, const struct rmd_core_ending *ending);
/* As rmd_core_task_doom, and cancels its children, and theirs, at once. */
void rmd_core_kin_doom(struct rmd_core_task *task, enum rmd_core_end why);
/* Counts a leased task as waiting, or not; nothing where it is so already. */
void rmd_core_kin_wait(struct rmd_core_task *task, bool waiting);
/* The number of tasks that wait, or that may, has changed: are only children granted? */
void rmd_core_kin_heed_crowd(struct rmd_core_pool *pool);
