/* tests/sim/check.h: what must hold after every event, and what is looked at now and then
 * because a look at everything costs more. */
#pragma once

#include <stdint.h>

#include "server/core/core.h"

struct sim_world;
struct sim_history;

/* After each event: the core's counters are what the model counted. */
void sim_check_counters(struct sim_world *world);
/* The core grants the task of `history` to `agent`: may it? */
void sim_check_grant(struct sim_world *world, struct rmd_core_agent *agent,
		     struct rmd_core_task *task, const struct sim_history *history);
/* The core says how a task ended: can that be? */
void sim_check_end(struct sim_world *world, const struct rmd_core_task *task,
		   const struct rmd_core_ending *ending,
		   const struct sim_history *history);

/* walk.c: everything that the core holds, against the model and against itself. */
void sim_check_all(struct sim_world *world);
