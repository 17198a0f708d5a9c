/* Workers: how many, where, when they stop; leases recalled; why a task waits. */
#include "tests/unit/core/rig.h"

#include <string.h>

#include "proto/base/alloc.h"

static void workers_start_on_demand_up_to_max_workers(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 8);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "", 3);
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, pool), 0);
	assert_int_equal(rig->orders, 0);
	for (uint32_t tasks = 1; tasks <= 5; tasks++) {
		rig_submit(rig, client, pool);
		rig_tick(rig);
		assert_int_equal(rig_wanted(agent, pool), tasks < 3 ? tasks : 3);
	}
	assert_int_equal(rig->orders, 3);
	assert_int_equal(rig->first_orders, 1);
}

static void a_burst_is_one_order(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 8);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "", 6);
	rig_submit_many(rig, client, pool, 100);
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, pool), 6);
	assert_int_equal(rig->orders, 1);
}

static void an_agents_capacity_limits_its_workers(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_slice runtime = rig_text("native");
	struct rmd_core_agent_info info = {.name = rig_text("n"),
					   .runtimes = &runtime,
					   .runtime_count = 1,
					   .cpu_milli = 4000,
					   .memory_bytes = 1 << 20,
					   .workers_max = 3};
	struct rmd_core_agent *agent;
	assert_int_equal(rmd_core_agent_attach(rig->core, 0, &info, &agent), 0);
	struct rmd_core_pool *pool = rig_pool(rig, client, "", 100);
	rig_submit_many(rig, client, pool, 50);
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, pool), 3);
	info.private_local = true;
	struct rmd_core_agent *local;
	assert_int_equal(rmd_core_agent_attach(rig->core, 0, &info, &local), 0);
	rig_tick(rig);
	assert_int_equal(rig_wanted(local, pool), 47); /* as many as there are tasks */
}

static void cpus_and_memory_of_a_worker_count(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_slice runtime = rig_text("native");
	struct rmd_core_agent_info info = {.name = rig_text("n"),
					   .runtimes = &runtime,
					   .runtime_count = 1,
					   .cpu_milli = 4000,
					   .memory_bytes = 10 << 20};
	struct rmd_core_agent *agent;
	assert_int_equal(rmd_core_agent_attach(rig->core, 0, &info, &agent), 0);
	struct rmd_core_pool_spec spec = rig_spec("cpu", 100);
	struct rmd_core_pool *cpu, *memory;
	const char *field;
	bool reused;
	spec.cpu_milli = 1500;
	rmd_core_pool_open(rig->core, 0, client, &spec, &cpu, &reused, &field);
	spec = rig_spec("memory", 100);
	spec.cpu_milli = 100;
	spec.memory_bytes = 4 << 20;
	rmd_core_pool_open(rig->core, 0, client, &spec, &memory, &reused, &field);
	rig_submit_many(rig, client, cpu, 9);
	rig_submit_many(rig, client, memory, 9);
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, cpu), 2);
	assert_int_equal(rig_wanted(agent, memory), 2);
}

static void workers_are_spread_and_a_new_agent_attracts_some(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *a = rig_agent(rig, "node-a", 4),
			      *b = rig_agent(rig, "node-b", 4);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "", 12);
	rig_submit_many(rig, client, pool, 6);
	rig_tick(rig);
	assert_int_equal(rig_wanted(a, pool), 3);
	assert_int_equal(rig_wanted(b, pool), 3);
	rig_submit_many(rig, client, pool, 20);
	rig_tick(rig);
	assert_int_equal(rig_wanted(a, pool) + rig_wanted(b, pool), 8);
	struct rmd_core_agent *c = rig_agent(rig, "node-c", 8);
	rig_tick(rig);
	assert_int_equal(rig_wanted(c, pool), 4);
	rmd_core_agent_lost(rig->core, rig->now_ms, a, RMD_CORE_FAREWELL_LOST);
	rig_tick(rig);
	assert_int_equal(rig_wanted(b, pool), 4);
	assert_int_equal(rig_wanted(c, pool), 8);
}

static void a_draining_agent_gets_nothing_new(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *a = rig_agent(rig, "node-a", 4);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "", 4);
	rig_submit_many(rig, client, pool, 6);
	rig_ready(rig, a, pool, 4);
	assert_int_equal(rig->grants, 4);
	rmd_core_agent_draining(rig->core, rig->now_ms, a);
	rig_tick(rig);
	assert_int_equal(rig_wanted(a, pool), 0);
	rig_value(rig, 0);
	rig_returned(rig, 1);
	rig_tick(rig);
	assert_int_equal(rig->grants, 4);
	struct rmd_core_agent *b = rig_agent(rig, "node-b", 4);
	rig_ready(rig, b, pool, 4);
	assert_int_equal(rig->grants, 7);
	assert_ptr_equal(rig->leases[4].agent, b);
}

static void idle_workers_get_tasks_before_any_waits_at_an_agent(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *a = rig_agent(rig, "node-a", 2),
			      *b = rig_agent(rig, "node-b", 2);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "", 4);
	rig_submit_many(rig, client, pool, 4);
	rig_tick(rig);
	rig_report(rig, a, pool, 64, 2);
	rig_report(rig, b, pool, 64, 2);
	rig_tick(rig);
	assert_int_equal(rig_held(a, pool), 2);
	assert_int_equal(rig_held(b, pool), 2);
	rig_submit_many(rig, client, pool, 10);
	rig_tick(rig);
	assert_int_equal(rig_held(a, pool), 7);
	assert_int_equal(rig_held(b, pool), 7);
}

static void what_waits_at_one_agent_is_recalled_for_idle_workers_of_another(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *a = rig_agent(rig, "node-a", 2),
			      *b = rig_agent(rig, "node-b", 2);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "", 4);
	rig_submit_many(rig, client, pool, 10);
	rig_tick(rig);
	rig_report(rig, a, pool, 64, 2);
	rig_tick(rig);
	assert_int_equal(rig_held(a, pool), 10);
	rig_report(rig, b, pool, 64, 2);
	rig_tick(rig);
	assert_int_equal(rig->recalls, 1);
	assert_int_equal(rig->recalled_leases, 2);
	assert_ptr_equal(rig->last_recall, a);
	rig_tick(rig);
	assert_int_equal(rig->recalled_leases, 2); /* said once */
	rig_returned(rig, 9);
	rig_returned(rig, 8);
	rig_tick(rig);
	assert_int_equal(rig_held(a, pool), 8);
	assert_int_equal(rig_held(b, pool), 2);
	assert_int_equal(rig->recalled_leases, 2);
	rig_value(rig, 10);
	rig_tick(rig);
	assert_int_equal(rig->recalled_leases, 3);
	/* What was asked back ends there instead: it is asked for no more. */
	for (size_t i = 0; i < 7; i++)
		rig_value(rig, i);
	rig_value(rig, 11);
	rig_tick(rig);
	assert_int_equal(rig->recalled_leases, 3);
	rmd_core_client_close(rig->core, rig->now_ms, client);
	client = rig_client(rig, "uid:1");
	assert_ptr_equal(rig_pool(rig, client, "", 4), pool);
	rig_report(rig, b, pool, 0, 2);
	rig_submit_many(rig, client, pool, 6);
	rig_tick(rig);
	rig_report(rig, b, pool, 64, 2);
	rig_tick(rig);
	assert_int_equal(rig->recalled_leases, 5);
}

static void idle_workers_stop_after_the_idle_time(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 4);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "", 4);
	rig_submit_many(rig, client, pool, 4);
	rig_ready(rig, agent, pool, 4);
	rig_pass(rig, 60000); /* busy: no worker stops */
	assert_int_equal(rig_wanted(agent, pool), 4);
	for (size_t i = 0; i < 3; i++)
		rig_value(rig, i);
	rig_pass(rig, 9999);
	assert_int_equal(rig_wanted(agent, pool), 4);
	rig_pass(rig, 1);
	assert_int_equal(rig_wanted(agent, pool), 1);
	rig_value(rig, 3);
	rig_pass(rig, 10000);
	assert_int_equal(rig_wanted(agent, pool), 0);
	assert_int_equal(rig->pools_gone, 0);
}

static void workers_in_use_now_and_then_are_kept(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 4);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "", 4);
	rig_submit_many(rig, client, pool, 4);
	rig_ready(rig, agent, pool, 4);
	for (size_t i = 0; i < 4; i++)
		rig_value(rig, i);
	for (int round = 0; round < 20; round++) {
		size_t from = rig->grants;
		rig_pass(rig, 3000);
		rig_submit_many(rig, client, pool, 2);
		rig_tick(rig);
		for (size_t i = from; i < rig->grants; i++)
			rig_value(rig, i);
	}
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, pool),
			 2); /* the most that were used at a time */
}

static void idle_workers_of_other_pools_make_room(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 2);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *old = rig_pool(rig, client, "old", 2);
	struct rmd_core_pool *new = rig_pool(rig, client, "new", 2);
	rig_submit_many(rig, client, old, 2);
	rig_ready(rig, agent, old, 2);
	rig_value(rig, 0);
	rig_value(rig, 1);
	rig_tick(rig);
	rig_submit(rig, client, new);
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, old), 1);
	assert_int_equal(rig_wanted(agent, new), 0); /* until the other is gone */
	rig_report(rig, agent, old, 1, 1);
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, new), 1);
}

static void workers_that_become_idle_later_make_room_too(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 1);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *old = rig_pool(rig, client, "old", 1);
	struct rmd_core_pool *new = rig_pool(rig, client, "new", 1);
	rig_submit(rig, client, old);
	rig_ready(rig, agent, old, 1);
	rig_submit(rig, client, new);
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, old), 1);
	rig_value(rig, 0);
	rig_pass(rig, 20);
	assert_int_equal(rig_wanted(agent, old), 0);
	rig_report(rig, agent, old, 0, 0);
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, new), 1);
}

/* The agent does what it was told at once: as many workers as wanted. */
static void obey(struct rig *rig, struct rmd_core_agent *agent,
		 struct rmd_core_pool *pool)
{
	if (rig_wanted(agent, pool) > 0 || rig_counters(rig).workers > 0)
		rig_report(rig, agent, pool, 0, rig_wanted(agent, pool));
}

static void busy_pools_share_a_full_agent_in_turns(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 5);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *one = rig_pool(rig, client, "one", 100);
	struct rmd_core_pool *two = rig_pool(rig, client, "two", 100);
	rig_submit_many(rig, client, one, 100);
	rig_tick(rig);
	rig_submit_many(rig, client, two, 100);
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, one), 5);
	for (int i = 0; i < 10; i++) {
		obey(rig, agent, one);
		obey(rig, agent, two);
		rig_pass(rig, 1000);
	}
	assert_int_equal(rig_wanted(agent, one), 3);
	assert_int_equal(rig_wanted(agent, two), 2);
	uint64_t orders = rig->orders;
	for (int i = 0; i < 10; i++) {
		obey(rig, agent, one);
		obey(rig, agent, two);
		rig_pass(rig, 1000);
	}
	assert_int_equal(rig->orders, orders); /* fair: nothing moves any more */
}

static void more_busy_pools_than_places_all_have_their_turn(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 1);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	static const char *const names[] = {"a", "b", "c"};
	struct rmd_core_pool *pools[3];
	unsigned turns[3] = {0};
	for (int i = 0; i < 3; i++) {
		pools[i] = rig_pool(rig, client, names[i], 1);
		rig_submit_many(rig, client, pools[i], 10);
	}
	for (int round = 0; round < 30; round++) {
		for (int i = 0; i < 3; i++) {
			obey(rig, agent, pools[i]);
			turns[i] += rig_wanted(agent, pools[i]);
		}
		rig_pass(rig, 1000);
	}
	for (int i = 0; i < 3; i++)
		assert_in_range(turns[i], 5, 15);
}

static void a_pool_that_is_opened_again_keeps_its_place_in_the_line(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 1);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	static const char *const names[] = {"a", "b", "c"};
	struct rmd_core_pool *pools[3];
	unsigned turns[3] = {0};
	for (int i = 0; i < 3; i++) {
		pools[i] = rig_pool(rig, client, names[i], 1);
		rig_submit_many(rig, client, pools[i], 10);
	}
	for (uint32_t round = 0; round < 30; round++) {
		for (int i = 0; i < 3; i++) {
			obey(rig, agent, pools[i]);
			turns[i] += rig_wanted(agent, pools[i]);
		}
		assert_ptr_equal(rig_pool(rig, client, "a", 1 + round % 2), pools[0]);
		rig_pass(rig, 1000);
	}
	for (int i = 0; i < 3; i++)
		assert_in_range(turns[i], 5, 15);
}

/* As obey, but workers stop one by one: one at each call. */
static void obey_slowly(struct rig *rig, struct rmd_core_agent *agent,
			struct rmd_core_pool *pool, uint32_t *has)
{
	uint32_t wanted = rig_wanted(agent, pool);
	*has = *has > wanted ? *has - 1 : wanted;
	assert_int_equal(rig_report(rig, agent, pool, *has, *has), 0);
	rig_tick(rig);
}

static void a_worker_that_needs_more_has_its_turn_among_small_ones(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 2);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *small[3], *large;
	struct rmd_core_pool_spec spec = rig_spec("large", 1);
	uint32_t has[3] = {0};
	const char *field;
	bool reused;
	for (int i = 0; i < 3; i++) {
		small[i] = rig_pool(rig, client, (const char *[]){"a", "b", "c"}[i], 2);
		rig_submit_many(rig, client, small[i], 1000);
	}
	rig_tick(rig);
	spec.cpu_milli = 2000;
	assert_int_equal(rmd_core_pool_open(rig->core, rig->now_ms, client, &spec, &large,
					    &reused, &field),
			 0);
	rig_submit(rig, client, large);
	unsigned turns = 0;
	for (int turn = 0; turn < 20; turn++) {
		for (int i = 0; i < 3; i++)
			if (rig_wanted(agent, small[i]) > 0 || has[i] > 0)
				obey_slowly(rig, agent, small[i], &has[i]);
		if (rig_wanted(agent, large) > 0) {
			assert_int_equal(rig_counters(rig).wanted_workers, 1);
			turns++;
		}
		rig_pass(rig, rig->config.turn_ms);
	}
	assert_in_range(turns, 3, 10);
}

static void a_private_agent_has_a_worker_for_every_pool(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_slice runtime = rig_text("native");
	struct rmd_core_agent_info info = {.name = rig_text("n"),
					   .runtimes = &runtime,
					   .runtime_count = 1,
					   .cpu_milli = 2000,
					   .private_local = true};
	struct rmd_core_agent *agent;
	assert_int_equal(rmd_core_agent_attach(rig->core, 0, &info, &agent), 0);
	struct rmd_core_pool *sized = rig_pool(rig, client, "sized", 4);
	struct rmd_core_pool *other = rig_pool(rig, client, "other", 0);
	rig_submit_many(rig, client, sized, 10);
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, sized), 4);
	rig_submit_many(rig, client, other, 10);
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, other), 1);
	assert_int_equal(rig_wanted(agent, sized), 4);
}

static void clients_of_a_pool_take_turns(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 1);
	struct rmd_core_client *greedy = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, greedy, "p", 1);
	rig_submit_many(rig, greedy, pool, 1000);
	rig_ready(rig, agent, pool, 4);
	struct rmd_core_client *modest = rig_client(rig, "uid:2");
	rig_submit_many(rig, modest, pool, 10);
	for (size_t i = 0; i < 20; i++) {
		rig_value(rig, i);
		rig_tick(rig);
	}
	unsigned of_modest = 0;
	for (size_t i = 4; i < 24; i++)
		of_modest += rig->leases[i].client == modest;
	assert_int_equal(of_modest, 10);
	for (size_t i = 4; i < 6; i++) /* who holds least is next */
		assert_ptr_equal(rig->leases[i].client, modest);
}

static void an_agent_that_gives_leases_back_unasked_rests(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 1);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "p", 1);
	rig_submit(rig, client, pool);
	rig_ready(rig, agent, pool, 1);
	rig_returned(rig, 0);
	rig_tick(rig);
	assert_int_equal(rig->grants, 1);
	assert_true(rig->due_ms != 0 && rig->due_ms <= rig->now_ms + 100);
	rig_pass(rig, 100);
	assert_int_equal(rig->grants, 2);
	rig_returned(rig, 1);
	rig_report(rig, agent, pool, 1, 1);
	rig_tick(rig);
	assert_int_equal(rig->grants, 3);
}

static void assert_waits(struct rmd_core_client *client, uint64_t number, const char *why)
{
	char text[RMD_CORE_EXPLAIN_BYTES];
	rmd_core_task_explain(rmd_core_task_find(client, number), text, sizeof(text));
	if (strstr(text, why) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", why, text);
}

static void a_task_says_why_it_waits(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_label label = {rig_text("zone"), rig_text("b")};
	struct rmd_core_pool_spec spec = rig_spec("p", 1);
	struct rmd_core_pool *python, *labelled, *large,
		*pool = rig_pool(rig, client, "", 1);
	const char *field;
	bool reused;
	rig_submit(rig, client, pool);
	assert_waits(client, 1, "no agent is attached");
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 2);
	spec.runtime = rig_text("python");
	rmd_core_pool_open(rig->core, 0, client, &spec, &python, &reused, &field);
	rig_submit(rig, client, python);
	assert_waits(client, 2, "no agent has the runtime python");
	spec = rig_spec("labelled", 1);
	spec.labels = &label;
	spec.label_count = 1;
	rmd_core_pool_open(rig->core, 0, client, &spec, &labelled, &reused, &field);
	rig_submit(rig, client, labelled);
	assert_waits(client, 3, "has the labels zone=b");
	spec = rig_spec("large", 1);
	spec.cpu_milli = 3000;
	rmd_core_pool_open(rig->core, 0, client, &spec, &large, &reused, &field);
	rig_submit(rig, client, large);
	assert_waits(client, 4, "needs 3 cpus; the most that one has is 2 cpus");
	rig_tick(rig);
	assert_waits(client, 1, "waits for its first worker to start");
	rig_ready(rig, agent, pool, 1);
	rig_submit(rig, client, pool);
	rig_tick(rig);
	assert_waits(client, 5,
		     "waits for its turn: 1 tasks are queued in its pool, which has "
		     "all 1 workers of its max_workers");
	char text[RMD_CORE_EXPLAIN_BYTES] = "x";
	rmd_core_task_explain(rmd_core_task_find(client, 1), text, sizeof(text));
	assert_string_equal(text, "");
	rmd_core_task_explain(rmd_core_task_find(client, 2), text, 8);
	assert_string_equal(text, "no agen");
	rmd_core_agent_draining(rig->core, rig->now_ms, agent);
	rig_tick(rig);
	assert_waits(client, 5, "every agent that suits is draining");
}

static void a_smaller_pool_stops_workers_at_once(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 8);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "", 8);
	rig_submit_many(rig, client, pool, 20);
	rig_ready(rig, agent, pool, 8);
	assert_int_equal(rig_wanted(agent, pool), 8);
	rig_pool(rig, client, "", 3);
	rig_tick(rig);
	assert_int_equal(rig_wanted(agent, pool), 3);
}

static void a_decision_that_lacks_memory_is_made_later(void **state)
{
	struct rig *rig = *state;
	struct rmd_core_agent *agent = rig_agent(rig, "node-a", 2);
	struct rmd_core_client *client = rig_client(rig, "uid:1");
	struct rmd_core_pool *pool = rig_pool(rig, client, "", 1);
	rig_submit(rig, client, pool);
	rmd_alloc_fail_at(1);
	rig_tick(rig);
	rmd_alloc_fail_at(0);
	assert_int_equal(rig_wanted(agent, pool), 0);
	assert_true(rig->due_ms != 0 && rig->due_ms <= rig->now_ms + 100);
	rig_pass(rig, 100);
	assert_int_equal(rig_wanted(agent, pool), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(workers_start_on_demand_up_to_max_workers),
		T(a_burst_is_one_order),
		T(an_agents_capacity_limits_its_workers),
		T(cpus_and_memory_of_a_worker_count),
		T(workers_are_spread_and_a_new_agent_attracts_some),
		T(a_draining_agent_gets_nothing_new),
		T(idle_workers_get_tasks_before_any_waits_at_an_agent),
		T(what_waits_at_one_agent_is_recalled_for_idle_workers_of_another),
		T(idle_workers_stop_after_the_idle_time),
		T(workers_in_use_now_and_then_are_kept),
		T(idle_workers_of_other_pools_make_room),
		T(workers_that_become_idle_later_make_room_too),
		T(busy_pools_share_a_full_agent_in_turns),
		T(more_busy_pools_than_places_all_have_their_turn),
		T(a_pool_that_is_opened_again_keeps_its_place_in_the_line),
		T(a_worker_that_needs_more_has_its_turn_among_small_ones),
		T(a_private_agent_has_a_worker_for_every_pool),
		T(clients_of_a_pool_take_turns),
		T(an_agent_that_gives_leases_back_unasked_rests),
		T(a_task_says_why_it_waits),
		T(a_smaller_pool_stops_workers_at_once),
		T(a_decision_that_lacks_memory_is_made_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
