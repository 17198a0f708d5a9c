/* tests/sim/random.h: numbers that follow from a seed. Each room of the simulator draws
 * from its own, so that a change in one leaves the others as they were. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sim_random {
	uint64_t state;
};

/* splitmix64, as in "Fast splittable pseudorandom number generators" (OOPSLA 2014). */
static inline uint64_t sim_next(struct sim_random *random)
{
	uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* 0 … below - 1. */
static inline uint32_t sim_draw(struct sim_random *random, uint32_t below)
{
	return (uint32_t)(((sim_next(random) >> 32) * below) >> 32);
}

/* low … high. */
static inline uint32_t sim_between(struct sim_random *random, uint32_t low, uint32_t high)
{
	return low + sim_draw(random, high - low + 1);
}

/* True so many times in a thousand. */
static inline bool sim_chance(struct sim_random *random, uint32_t permille)
{
	return sim_draw(random, 1000) < permille;
}

/* Mostly near `typical`, at times a hundred times as long, at least 1. */
static inline uint32_t sim_skewed(struct sim_random *random, uint32_t typical)
{
	uint32_t scale = sim_draw(random, 16);
	uint32_t most = scale == 0  ? typical * 100
			: scale < 4 ? typical * 10
				    : typical * 2;
	return 1 + sim_draw(random, most);
}
