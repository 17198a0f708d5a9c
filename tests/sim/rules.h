/* tests/sim/rules.h: the rules by which a model's task ends, as the model understands
 * them: deadlines of queue and runs, when another attempt may be made, detached tasks. */
#pragma once

#include <stdbool.h>

#include "server/core/core.h"
#include "tests/sim/history.h"

struct sim_world;

/* Draws what a client asks for beyond the common. */
void sim_rules_draw(struct sim_world *world, struct sim_history *h);
/* The same for the core; NULL: nothing. */
const struct rmd_core_rules *sim_rules_of(const struct sim_history *h,
					  struct rmd_core_rules *ret_rules);
/* An attempt whose code may have begun has failed: remembers why. */
void sim_rules_failed(struct sim_world *world, struct sim_history *h,
		      enum rmd_core_cause cause);
/* Whether the rules allow another attempt after the last failure; not whether too many
 * workers were lost. */
bool sim_rules_allow(const struct sim_history *h);
/* It ended as many workers as one task may. */
bool sim_rules_poisoned(const struct sim_world *world, const struct sim_history *h);
/* Another attempt is granted: checks that it may be, and that its time has come. */
void sim_rules_check_again(struct sim_world *world, const struct sim_history *h);
/* Whether an end by one of these rules can be. */
bool sim_rules_end_fits(const struct sim_world *world,
			const struct rmd_core_ending *ending,
			const struct sim_history *h);
/* The client of that task is gone for ever, or was abandoned and the task is none of
 * those that go on. */
bool sim_rules_forsaken(struct sim_world *world, const struct rmd_core_task *task);
