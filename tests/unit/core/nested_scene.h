/* tests/unit/core/nested_scene.h: a client with tasks that have begun and may submit. */
#pragma once

#include "tests/unit/core/rig.h"

/* One client, a pool of its own with `workers`, an agent with that many workers, all
 * ready; `tasks` tasks, of which those that fit were granted and have begun. */
struct scene {
	struct rig *rig;
	struct rmd_core_client *client;
	struct rmd_core_pool *pool;
	struct rmd_core_agent *agent;
};

static inline struct scene scene(void **state, unsigned tasks, uint32_t workers)
{
	struct scene s = {.rig = *state};
	s.client = rig_client(s.rig, "uid:1");
	s.pool = rig_pool(s.rig, s.client, "", workers);
	s.agent = rig_agent(s.rig, "node-a", 64);
	s.rig->keep = RMD_CORE_FORGET;
	rig_submit_many(s.rig, s.client, s.pool, tasks);
	rig_tick(s.rig);
	if (tasks > 0)
		rig_ready(s.rig, s.agent, s.pool, workers);
	for (size_t i = 0; i < s.rig->grants; i++)
		assert_int_equal(rig_began(s.rig, i), 0);
	return s;
}

/* The i-th grant's task begins (if it is not known to), submits child `number` and waits;
 * the child, if it was granted, is the last grant. */
static inline void nest(struct scene *s, size_t i, uint64_t number)
{
	struct rmd_core_task *task =
		rmd_core_agent_task(s->rig->core, s->agent, s->rig->leases[i].lease);
	assert_non_null(task);
	if (rmd_core_task_state(task) == RMD_CORE_TASK_LEASED)
		assert_int_equal(rig_began(s->rig, i), 0);
	assert_int_equal(rig_nested(s->rig, i, number, NULL), 0);
	assert_int_equal(rig_waits(s->rig, i, true), 0);
	rig_tick(s->rig);
}

static inline struct rmd_core_task *task_of(const struct scene *s, size_t i)
{
	return rmd_core_agent_task(s->rig->core, s->agent, s->rig->leases[i].lease);
}
