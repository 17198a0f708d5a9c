/* tests/sim/operator.h: who resizes, closes and cancels from outside, what troubles there
 * are with agents, clock and network, and who watches that nobody starves. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sim_world;

void sim_operator_start(struct sim_world *world);
/* Does something to a pool or a task; calls a function of the default pool. */
void sim_operator_act(struct sim_world *world);
/* Something breaks. */
void sim_operator_trouble(struct sim_world *world);
/* Once a second: a pool with tasks and an agent for them goes on. */
void sim_operator_watch(struct sim_world *world);
/* Whether all accepted tasks have ended, and their clients acknowledged that. */
bool sim_operator_settled(struct sim_world *world);
/* Everything is cancelled: the coordinator shuts down. */
void sim_operator_shut_down(struct sim_world *world);
