#include "tests/sim/history.h"

#include <inttypes.h>
#include <string.h>

#include "tests/sim/world.h"

uint32_t sim_history_create(struct sim_world *world)
{
	struct sim_histories *all = &world->histories;
	if (all->count == all->capacity) {
		all->capacity = all->capacity == 0 ? 1024 : all->capacity * 2;
		all->items = sim_grow(all->items, all->capacity * sizeof(*all->items));
	}
	memset(&all->items[all->count], 0, sizeof(*all->items));
	all->items[all->count].children = SIM_NONE;
	return all->count++;
}

void sim_history_orphan(struct sim_world *world, struct sim_history *h)
{
	struct sim_history *items = world->histories.items;
	for (uint32_t i = h->children; i != SIM_NONE; i = items[i].sibling)
		items[i].orphan = true;
	h->children = SIM_NONE;
}

void sim_history_begin(struct sim_world *world, uint32_t history, uint64_t lease,
		       uint32_t attempt)
{
	struct sim_history *h = &world->histories.items[history];
	uint8_t bit = (uint8_t)(1u << (attempt - 1));
	SIM_TRACE(world, "task %" PRIu32 " begins: lease %" PRIu64 " attempt %" PRIu32,
		  history, lease, attempt);
	h->begun++;
	SIM_MUST(world, attempt >= 1 && attempt <= h->max_attempts,
		 "task %" PRIu32 ": attempt %" PRIu32 " of at most %d", history, attempt,
		 h->max_attempts);
	SIM_MUST(world, (h->attempts & bit) == 0,
		 "task %" PRIu32 ": user code of attempt %" PRIu32 " began twice",
		 history, attempt);
	h->attempts |= bit;
	SIM_MUST(world, h->begun <= h->max_attempts,
		 "task %" PRIu32 ": user code began %d times, max_attempts is %d",
		 history, h->begun, h->max_attempts);
	SIM_MUST(world, h->begun <= h->counted + (h->leased ? 1 : 0),
		 "task %" PRIu32 ": user code began %d times; the core knows of %d "
		 "attempts, and has %s (%s)",
		 history, h->begun, h->counted,
		 h->leased ? "leased it" : "no lease of it",
		 rmd_core_end_text((enum rmd_core_end)h->end));
}

void sim_history_deliver(struct sim_world *world, uint32_t history, uint32_t attempt,
			 uint8_t end)
{
	struct sim_history *h = &world->histories.items[history];
	if (end == RMD_CORE_END_NONE) {
		SIM_MUST(world, h->refused && h->accepted == 0,
			 "task %" PRIu32 ": refused, and accepted", history);
	} else {
		SIM_MUST(world, h->ended == 1 && h->end == end,
			 "task %" PRIu32 ": the client heard another end: %s", history,
			 rmd_core_end_text((enum rmd_core_end)end));
		SIM_MUST(world, h->outcome_attempt == attempt,
			 "task %" PRIu32 ": the client heard of attempt %" PRIu32
			 ", and attempt %d ended it",
			 history, attempt, h->outcome_attempt);
	}
	SIM_MUST(world, !h->delivered || h->delivered_end == end,
		 "task %" PRIu32 ": told twice, and differently", history);
	h->delivered = true;
	h->delivered_end = end;
}

static void check_one(struct sim_world *world, uint32_t i)
{
	const struct sim_history *h = &world->histories.items[i];
	SIM_MUST(world, h->accepted <= 1, "task %" PRIu32 ": accepted twice", i);
	SIM_MUST(world, h->begun <= h->counted,
		 "task %" PRIu32 ": began %d times, and the core knows of %d", i,
		 h->begun, h->counted);
	SIM_MUST(world, h->begun == 0 || h->accepted == 1,
		 "task %" PRIu32 ": ran, and was not accepted", i);
	if (h->child) {
		SIM_MUST(world, h->gone == h->accepted && h->ended <= h->accepted,
			 "child %" PRIu32 ": accepted %d times, ended %d, freed %d", i,
			 h->accepted, h->ended, h->gone);
		SIM_MUST(world,
			 h->ended == 1 || h->accepted == 0 || h->orphan ||
				 h->closed_under,
			 "child %" PRIu32 ": ended, and its parent was not told", i);
		return;
	}
	if (h->accepted == 0) {
		SIM_MUST(world, h->ended == 0 && h->gone == 0,
			 "task %" PRIu32 ": ended, and was not accepted", i);
		SIM_MUST(world, h->refused == h->delivered || h->given_up,
			 "task %" PRIu32 ": refused, and its client does not know", i);
		SIM_MUST(world, h->refused || h->given_up || h->client == SIM_NONE,
			 "task %" PRIu32 ": neither accepted nor refused", i);
		return;
	}
	SIM_MUST(world, h->gone == 1, "task %" PRIu32 ": accepted, and freed %d times", i,
		 h->gone);
	if (h->closed_under && h->ended == 0)
		return; /* its client closed: nobody is told */
	SIM_MUST(world, h->ended == 1, "task %" PRIu32 ": accepted, and ended %d times",
		 i, h->ended);
	SIM_MUST(world, h->delivered || h->given_up || h->closed_under,
		 "task %" PRIu32 ": ended (%s), and its client was not told", i,
		 rmd_core_end_text((enum rmd_core_end)h->end));
}

void sim_histories_check(struct sim_world *world)
{
	for (uint32_t i = 0; i < world->histories.count; i++)
		check_one(world, i);
}
