/* server/core/terms.h: what a task with rare wishes has beside it: deadlines of its queue
 * and its runs, its rule for another attempt, what became of the earlier ones.
 *
 * Only tasks that ask for such have terms: most cost nothing. One timer serves the queue
 * deadline, the run deadline and the back-off, which exclude one another: the task's
 * state says which it is. Core thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "server/core/core.h"
#include "server/core/timers.h"

struct rmd_core_terms {
	struct rmd_core_task *task;
	struct rmd_core_timer timer;
	uint64_t queue_ms, run_ms;
	uint64_t backoff_ms, backoff_max_ms;
	uint64_t due_ms; /* of the back-off */
	uint32_t retry_on;
	uint16_t lost; /* workers that it ended */
	bool detached;
	bool retained; /* has ended, and waits on core->retained */
	uint64_t forget_ms;
	TAILQ_ENTRY(rmd_core_terms) retained_link;
	struct rmd_piece last_error;
	struct rmd_core_attempt *failures; /* owned; NULL: none yet */
	uint32_t failure_count;
	uint32_t type_count;
	struct rmd_slice types[]; /* bytes behind them */
};

/* Whether all is in its range. */
bool rmd_core_rules_fit(const struct rmd_core_rules *rules);
/* Makes the terms of a submit: NULL where it needs none. RMD_ENOMEM. */
int rmd_core_terms_make(struct rmd_core *core, const struct rmd_core_submit *submit,
			struct rmd_core_terms **ret_terms);
/* NULL is allowed. */
void rmd_core_terms_free(struct rmd_core *core, struct rmd_core_terms *terms);
/* The task has another state: sets its timer. */
void rmd_core_terms_heed(struct rmd_core_task *task);
/* The timer has come. The task may be gone when this returns. */
void rmd_core_terms_fired(struct rmd_core_terms *terms);
/* An attempt of a task with terms, whose user code may have begun, has failed, as
 * `ending` says (with its cause; task->begun counts it). True: the task is to be tried
 * again, now or after its back-off (which is prepared). False: it ends; ending->end may
 * have become END_POISONED. */
bool rmd_core_terms_retry(struct rmd_core_task *task, struct rmd_core_ending *ending);

/* retain.c: outcomes of detached tasks whose client is gone. */
/* Holds it from now on for its time; nothing where it is held so already. */
void rmd_core_retain(struct rmd_core_task *task);
/* Forgets those whose time is over, or whose bytes are too many: the oldest first. */
void rmd_core_retained_expire(struct rmd_core *core);
