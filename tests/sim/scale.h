/* tests/sim/scale.h: what a decision and a task cost with many agents, workers and tasks.
 * No network and no trouble here: agents answer at once, so that the core is what is
 * measured. */
#pragma once

#include <stdint.h>

/* Prints a line for 1,000 tasks, 10,000 … up to `tasks`. */
void sim_scale(uint32_t agents, uint32_t workers, uint64_t tasks);
