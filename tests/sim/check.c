#include "tests/sim/check.h"

#include <inttypes.h>
#include <string.h>

#include "tests/sim/rules.h"
#include "tests/sim/world.h"

void sim_check_counters(struct sim_world *world)
{
	const struct sim_service *service = &world->service;
	const struct rmd_core_config *config = &service->config;
	struct rmd_core_counters c;
	rmd_core_counters(service->core, &c);
	uint64_t open = c.queued + c.leased + c.running;
	SIM_MUST(world, c.accepted == service->accepted,
		 "%" PRIu64 " accepted, the core says %" PRIu64, service->accepted,
		 c.accepted);
	SIM_MUST(world, c.accepted - c.ended == open,
		 "%" PRIu64 " accepted, %" PRIu64 " ended, %" PRIu64 " open", c.accepted,
		 c.ended, open);
	SIM_MUST(world, c.leased + c.running == service->leases,
		 "%" PRIu64 " leases are out, the core says %" PRIu64, service->leases,
		 c.leased + c.running);
	SIM_MUST(world, service->accepted - service->gone == open + c.done,
		 "%" PRIu64 " tasks are held, the core says %" PRIu64,
		 service->accepted - service->gone, open + c.done);
	SIM_MUST(world,
		 open + c.done <= config->tasks_max &&
			 c.payload_bytes <= config->payload_bytes_max,
		 "the core holds more than it may");
	SIM_MUST(world, c.pools <= config->pools_max && c.agents <= config->agents_max,
		 "the core has more pools or agents than it may");
}

/* --- grants ------------------------------------------------------------------------ */

static uint32_t number_of(const struct sim_world *world, const struct sim_history *h)
{
	return (uint32_t)(h - world->histories.items);
}

static struct rmd_core_ledger_info ledger_of(struct sim_world *world,
					     const struct rmd_core_agent *agent,
					     const struct rmd_core_pool *pool)
{
	struct rmd_core_ledger *ledger = NULL;
	struct rmd_core_ledger_info info;
	while ((ledger = rmd_core_ledger_next(agent, ledger)) != NULL) {
		rmd_core_ledger_info(ledger, &info);
		if (info.pool == pool)
			return info;
	}
	sim_fail(world, "a grant to an agent that does not have the pool");
}

/* Whether, of two tasks of one client in one pool, `a` has its turn before `b`: the
 * deeper child, or else the higher priority; then the older one. */
static bool before(const struct sim_history *a, const struct sim_history *b)
{
	if (a->depth != b->depth)
		return a->depth > b->depth;
	if (a->depth == 0 && a->priority != b->priority)
		return a->priority > b->priority;
	return a->number < b->number;
}

/* Whether nothing keeps the client from being granted a task. */
static bool eligible(const struct sim_world *world, const struct rmd_core_client *client,
		     const struct rmd_core_pool *pool)
{
	struct rmd_core_pool_info info;
	rmd_core_pool_info(pool, &info);
	return rmd_core_client_outcome_bytes(client) <=
		       world->service.config.outcome_bytes_per_client_max / 8 &&
	       info.waiting < rmd_core_pool_waiting_max(pool) / 4;
}

/* The task is the one of its client in its pool whose turn it is (what was leased before
 * may come earlier); of all clients that wait there, its client held the fewest leases,
 * not counting tasks that wait for their children. */
static void check_turn(struct sim_world *world, const struct rmd_core_task *granted,
		       const struct sim_history *h)
{
	uint32_t held[SIM_SESSIONS + 1] = {0}, mine = 0;
	bool waits[SIM_SESSIONS + 1] = {false};
	struct rmd_core_client *own = rmd_core_task_client(granted);
	const struct rmd_core_pool *pool = rmd_core_task_pool(granted);
	struct rmd_core_task *task = NULL;
	while ((task = rmd_core_task_next(world->service.core, task)) != NULL) {
		struct rmd_core_client *client = rmd_core_task_client(task);
		if (rmd_core_task_pool(task) != pool || client == NULL || task == granted)
			continue;
		const struct sim_session *s = rmd_core_client_user(client);
		size_t i = s == NULL ? SIM_SESSIONS
				     : (size_t)(s - world->service.sessions);
		const struct sim_history *other = sim_history_of(world, task);
		if (rmd_core_task_backs_off_until_ms(task) != 0)
			continue;
		bool queued = rmd_core_task_state(task) == RMD_CORE_TASK_QUEUED;
		bool placed = !queued && !rmd_core_task_waiting(task);
		held[i] += placed;
		mine += client == own && placed;
		waits[i] = waits[i] || (queued && eligible(world, client, pool));
		SIM_MUST(world,
			 client != own || !queued || !before(other, h) || h->was_leased,
			 "task %" PRIu32 " is granted before task %" PRIu32,
			 number_of(world, h), number_of(world, other));
	}
	for (uint32_t i = 0; i <= SIM_SESSIONS; i++)
		SIM_MUST(world, !waits[i] || held[i] >= mine,
			 "task %" PRIu32 " is granted to a client that has more leases "
			 "(%" PRIu32 ") than another that waits (%" PRIu32 ")",
			 number_of(world, h), mine, held[i]);
}

static void check_payload(struct sim_world *world, const struct rmd_core_task *task,
			  const struct sim_history *h)
{
	struct rmd_slice bytes = rmd_core_task_payload(task).bytes;
	uint32_t first, last, number = number_of(world, h);
	SIM_MUST(world, bytes.len == h->payload_bytes, "a payload of another length");
	memcpy(&first, bytes.data, sizeof(first));
	memcpy(&last, bytes.data + bytes.len - sizeof(last), sizeof(last));
	SIM_MUST(world, first == number && last == number, "another task's payload");
}

void sim_check_grant(struct sim_world *world, struct rmd_core_agent *agent,
		     struct rmd_core_task *task, const struct sim_history *h)
{
	const struct sim_service *service = &world->service;
	uint32_t number = number_of(world, h);
	const struct rmd_core_pool *pool = rmd_core_task_pool(task);
	struct rmd_core_client *client = rmd_core_task_client(task);
	struct rmd_core_ledger_info info = ledger_of(world, agent, pool);
	struct sim_hub *hub = sim_hub_of(world, agent);
	const struct sim_told *told = sim_hub_told(hub, rmd_core_pool_number(pool));
	SIM_MUST(world, service->in_tick, "a grant outside of a tick");
	SIM_MUST(world, h->accepted == 1 && h->ended == 0 && !h->leased,
		 "task %" PRIu32 " is granted: it has ended, or is leased", number);
	SIM_MUST(world, client != NULL && !h->closed_under,
		 "task %" PRIu32 " of a closed client is granted", number);
	SIM_MUST(world, rmd_core_task_lease(task) > service->newest_lease,
		 "a lease number is used again");
	SIM_MUST(world, !hub->draining, "a grant to an agent that drains");
	SIM_MUST(world, told != NULL && !told->closed,
		 "a grant of a pool that the agent does not know");
	SIM_MUST(world, info.held - info.waiting <= info.slots && info.wanted > 0,
		 "%" PRIu32 " leases in %" PRIu32 " slots, %" PRIu32 " workers wanted",
		 info.held, info.slots, info.wanted);
	SIM_MUST(world, rmd_core_task_attempt(task) == h->counted + 1u,
		 "task %" PRIu32 ": attempt %" PRIu32 ", and %d were counted", number,
		 rmd_core_task_attempt(task), h->counted);
	SIM_MUST(world, h->counted < h->max_attempts,
		 "task %" PRIu32 " is granted again: %d attempts of %d", number,
		 h->counted, h->max_attempts);
	SIM_MUST(world, h->due_ms == 0 || h->due_ms > service->core_ms,
		 "task %" PRIu32 " is granted after its deadline", number);
	SIM_MUST(world, !rmd_core_pool_broken(pool, NULL),
		 "task %" PRIu32 " is granted, and its pool is broken", number);
	SIM_MUST(world, !h->cancel_asked && !h->stop_asked,
		 "task %" PRIu32 " is granted after it was cancelled", number);
	SIM_MUST(world,
		 rmd_core_client_outcome_bytes(client) <=
			 service->config.outcome_bytes_per_client_max,
		 "a grant to a client that holds too much");
	SIM_MUST(world, !sim_rules_forsaken(world, task),
		 "task %" PRIu32 " is granted, and its client is gone", number);
	SIM_MUST(world,
		 h->queue_ms == 0 || h->counted > 0 ||
			 h->accepted_ms + h->queue_ms > service->core_ms,
		 "task %" PRIu32 " is granted after its queue deadline", number);
	sim_rules_check_again(world, h);
	check_payload(world, task, h);
	if (sim_chance(&world->sample, 100))
		check_turn(world, task, h);
}

/* --- ends -------------------------------------------------------------------------- */

static bool pool_closes(const struct rmd_core_task *task)
{
	struct rmd_core_pool_info info;
	rmd_core_pool_info(rmd_core_task_pool(task), &info);
	return info.closing;
}

/* Whether the end can be, by what the model knows. */
static bool end_fits(const struct sim_world *world, const struct rmd_core_task *task,
		     const struct rmd_core_ending *ending, const struct sim_history *h)
{
	bool no_more = !sim_rules_allow(h);
	bool in_time = !h->cancel_told || h->queue_ms != 0;
	enum rmd_core_end end = ending->end;
	if (end == RMD_CORE_END_VALUE)
		return h->agent_end == RMD_CORE_END_VALUE && in_time;
	if (end == RMD_CORE_END_ERROR)
		return h->agent_end == RMD_CORE_END_ERROR && in_time &&
		       (no_more || !ending->began);
	if (end == RMD_CORE_END_CANCELLED)
		return h->cancel_asked || h->agent_end == RMD_CORE_END_CANCELLED;
	if (end == RMD_CORE_END_STOPPED || end == RMD_CORE_END_SHUTDOWN)
		return h->stop_asked;
	if (end == RMD_CORE_END_POOL_CLOSED)
		return pool_closes(task) || h->left;
	if (end == RMD_CORE_END_POOL_BROKEN)
		return rmd_core_pool_broken(rmd_core_task_pool(task), NULL) &&
		       rmd_slice_equal(ending->outcome.bytes, rmd_slice_of_string("why"));
	if (end == RMD_CORE_END_DEADLINE)
		return h->due_ms != 0 && h->due_ms <= world->service.core_ms;
	if (end == RMD_CORE_END_START_FAILED)
		return ending->start_error.bytes.len != 0 && !ending->began;
	if (end == RMD_CORE_END_AGENT_LOST)
		return no_more && !h->cancel_told &&
		       (world->service.losing || world->service.losing_said);
	if (end == RMD_CORE_END_PARENT_GONE)
		return h->child && world->histories.items[h->parent].cancel_told;
	if (end == RMD_CORE_END_CLIENT_GONE)
		return h->child && (h->closed_under || rmd_core_client_abandoned(
						      rmd_core_task_client(task)));
	return sim_rules_end_fits(world, ending, h);
}

static void check_outcome(struct sim_world *world, const struct rmd_core_ending *ending,
			  const struct sim_history *h)
{
	uint32_t words[2];
	SIM_MUST(world, ending->outcome.bytes.len >= sizeof(words), "an outcome is cut");
	memcpy(words, ending->outcome.bytes.data, sizeof(words));
	SIM_MUST(world, words[0] == number_of(world, h) && words[1] == h->outcome_attempt,
		 "task %" PRIu32 " ends with the outcome of task %" PRIu32
		 ", attempt %" PRIu32,
		 number_of(world, h), words[0], words[1]);
}

void sim_check_end(struct sim_world *world, const struct rmd_core_task *task,
		   const struct rmd_core_ending *ending, const struct sim_history *h)
{
	uint32_t number = number_of(world, h);
	SIM_MUST(world, h->accepted == 1 && h->ended == 0,
		 "task %" PRIu32 " ends, and has ended before", number);
	SIM_MUST(world, !h->closed_under || h->child,
		 "the end of a closed client's task is told");
	SIM_MUST(world, ending->attempt == h->counted,
		 "task %" PRIu32 " ends (%s) with %" PRIu32 " attempts; %d were counted",
		 number, rmd_core_end_text(ending->end), ending->attempt, h->counted);
	SIM_MUST(world, end_fits(world, task, ending, h),
		 "task %" PRIu32 " ends: %s, and nothing led to that", number,
		 rmd_core_end_text(ending->end));
	if (ending->end == RMD_CORE_END_VALUE || ending->end == RMD_CORE_END_ERROR)
		check_outcome(world, ending, h);
	else
		SIM_MUST(world,
			 ending->end == RMD_CORE_END_CANCELLED ||
				 ending->end == RMD_CORE_END_POISONED ||
				 ending->end == RMD_CORE_END_POOL_BROKEN ||
				 ending->outcome.bytes.len == 0,
			 "task %" PRIu32 " ends without an outcome, and has one", number);
}
