/* One scenario through all rooms of the core, again and again, with the first, second …
 * n-th allocation failing: a call that lacks memory leaves no trace and works when it is
 * made again. */
#include "tests/unit/core/rig.h"

#include <string.h>

#include "proto/base/alloc.h"

static struct rig rig;
static uint64_t failures, good_run; /* good_run: allocations of the last scenario */

/* Whether to make the call again; nothing must have changed. */
static bool again(int rc, const struct rmd_core_counters *before)
{
	struct rmd_core_counters after = rig_counters(&rig);
	if (rc != RMD_ENOMEM) {
		assert_int_equal(rc, 0);
		return false;
	}
	assert_memory_equal(before, &after, offsetof(struct rmd_core_counters, draining));
	failures++;
	return true;
}

#define MUST(call)                                                    \
	do {                                                          \
		struct rmd_core_counters before = rig_counters(&rig); \
		int rc = (call);                                      \
		if (!again(rc, &before))                              \
			break;                                        \
	} while (1)

static int submit(struct rmd_core_client *client, struct rmd_core_pool *pool,
		  int32_t priority, uint64_t deadline_ms, struct rmd_piece payload)
{
	struct rmd_core_submit submit = {
		.number = rmd_core_client_accepted(client) + 1,
		.function = rig_text("native:demo.square"),
		.payload = payload,
		.pool = pool,
		.priority = priority,
		.deadline_ms = deadline_ms,
		.max_attempts = 2,
	};
	return rmd_core_submit(rig.core, rig.now_ms, client, &submit, NULL);
}

static void submit_all(struct rmd_core_client *client,
		       struct rmd_core_pool *const pools[2])
{
	struct rmd_buf *frame = NULL;
	while (frame == NULL)
		frame = rmd_buf_create(5000);
	memset(rmd_buf_writable(frame), 'a', 5000);
	struct rmd_piece payload = {rmd_buf_slice(frame), frame};
	for (int i = 0; i < 40; i++)
		MUST(submit(client, pools[i % 2], i % 3 * 100, i % 4 ? 0 : 5000,
			    payload));
	rmd_buf_unref(frame);
}

/* The first grant's task has two children, one with a deadline, and does not wait for
 * them. */
static void nest(struct rmd_core_agent *agent)
{
	struct rmd_core_nested nested = {.lease = rig.leases[0].lease,
					 .function = rig_text("native:demo.child")};
	assert_int_equal(rmd_core_agent_began(rig.core, rig.now_ms, agent, nested.lease),
			 0);
	for (nested.number = 1; nested.number <= 2; nested.number++) {
		nested.deadline_ms = nested.number * 1000000 - 1000000;
		MUST(rmd_core_agent_submit(rig.core, rig.now_ms, agent, &nested));
	}
	assert_int_equal(
		rmd_core_agent_waits(rig.core, rig.now_ms, agent, nested.lease, true), 0);
}

/* The agent has the workers that it was told to, and ends what it is given; nothing that
 * it says needs memory of the core. */
static void work(struct rmd_core_agent *agent, struct rmd_core_pool *const pools[2])
{
	size_t done = 0;
	bool nested = false;
	for (int round = 0; round < 100; round++) {
		rig_pass(&rig, 60);
		for (int i = 0; i < 2; i++)
			if (rig_wanted(agent, pools[i]) > 0)
				rig_report(&rig, agent, pools[i], 4,
					   rig_wanted(agent, pools[i]));
		if (!nested && rig.grants > 0) {
			nest(agent);
			nested = true;
			continue;
		}
		for (; done < rig.grants; done++) {
			struct rmd_core_agent_outcome outcome = {
				.lease = rig.leases[done].lease,
				.end = done % 5 ? RMD_CORE_END_VALUE : RMD_CORE_END_ERROR,
				.began = true,
			};
			assert_int_equal(rmd_core_agent_outcome(rig.core, rig.now_ms,
								agent, &outcome),
					 0);
		}
	}
}

static void scenario(uint64_t fail_at)
{
	struct rmd_core_client *client = NULL;
	struct rmd_core_pool *pools[2] = {NULL};
	struct rmd_core_agent *agent = NULL;
	struct rmd_slice runtime = rig_text("native");
	struct rmd_core_label label = {rig_text("zone"), rig_text("b")};
	struct rmd_core_agent_info info = {.name = rig_text("node-a"),
					   .runtimes = &runtime,
					   .runtime_count = 1,
					   .labels = &label,
					   .label_count = 1,
					   .cpu_milli = 3000};
	struct rmd_core_pool_spec own = rig_spec("", 2), named = rig_spec("named", 2);
	const char *field;
	bool reused;
	named.labels = &label;
	named.label_count = 1;
	memset(&rig, 0, sizeof(rig));
	rig.config = (struct rmd_core_config)RMD_CORE_CONFIG_INIT;
	rig.now_ms = 1;
	rig_start(&rig);
	rmd_alloc_fail_at(fail_at);
	MUST(rmd_core_client_open(rig.core, 1, "uid:1", NULL, &client));
	MUST(rmd_core_pool_open(rig.core, 1, client, &own, &pools[0], &reused, &field));
	MUST(rmd_core_pool_open(rig.core, 1, client, &named, &pools[1], &reused, &field));
	assert_int_equal(rig_counters(&rig).pools, 2);
	MUST(rmd_core_agent_attach(rig.core, 1, &info, &agent));
	submit_all(client, pools);
	work(agent, pools);
	good_run = rmd_alloc_count();
	rmd_alloc_fail_at(0);
	assert_int_equal(rig.ends, 40);
	assert_int_equal(
		rig.ends_by[RMD_CORE_END_VALUE] + rig.ends_by[RMD_CORE_END_ERROR], 40);
	rmd_core_client_close(rig.core, rig.now_ms, client);
	rig_pass(&rig, 60000);
	assert_int_equal(rig.pools_gone, 2);
	assert_int_equal(rig.tasks_gone, 42);
	rig_stop(&rig);
}

static void each_allocation_that_fails_is_survived(void **state)
{
	(void)state;
	scenario(UINT64_MAX);
	uint64_t allocations = good_run;
	for (uint64_t n = 1; n <= allocations; n++)
		scenario(n);
	assert_true(failures > allocations / 2); /* the rest were decisions, made later */
}

static void a_core_that_cannot_be_made_is_not_made(void **state)
{
	struct rmd_core_config config = RMD_CORE_CONFIG_INIT;
	(void)state;
	for (uint64_t n = 1; n <= 2; n++) {
		rmd_alloc_fail_at(n);
		assert_null(rmd_core_create(&config, &rig_port, &rig));
	}
	rmd_alloc_fail_at(0);
	rmd_core_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation_that_fails_is_survived),
		cmocka_unit_test(a_core_that_cannot_be_made_is_not_made),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
