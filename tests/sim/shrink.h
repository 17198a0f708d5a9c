/* tests/sim/shrink.h: the smallest run that still fails. Each try is a process of its
 * own. */
#pragma once

#include <stdbool.h>

#include "tests/sim/options.h"

/* Runs `options` in a child. True: it failed; *ret_step is where. `quietly`: its words go
 * nowhere. */
bool sim_try(const struct sim_options *options, bool quietly, uint64_t *ret_step);
/* Makes `options`, which fail, as small as it can: fewer kinds of trouble, clients,
 * agents, events. Says what it tries to stderr. */
void sim_shrink(struct sim_options *options);
