/* tests/sim/walk.c: a look at everything that the core holds. Counters are sums of lists,
 * heaps are in order, and no decision is left open that could be made. Reads the core's
 * inside; changes nothing. */
#include <inttypes.h>

#include "server/core/agent.h"
#include "server/core/client.h"
#include "server/core/place.h"
#include "server/core/share.h"
#include "server/core/state.h"
#include "server/core/task.h"
#include "server/core/terms.h"
#include "tests/sim/check.h"
#include "tests/sim/world.h"

#define SAME(world, what, a, b)                           \
	SIM_MUST((world), (uint64_t)(a) == (uint64_t)(b), \
		 "%s: %" PRIu64 " and %" PRIu64, (what), (uint64_t)(a), (uint64_t)(b))

/* --- tasks and clients ------------------------------------------------------------- */

static void walk_task(struct sim_world *world, const struct rmd_core_task *task)
{
	const struct sim_history *h = sim_history_of(world, task);
	bool leased = task->state == RMD_CORE_TASK_LEASED ||
		      task->state == RMD_CORE_TASK_RUNNING;
	SAME(world, "a task with or without a lease", leased, h->leased);
	SAME(world, "a task that runs or not", task->state == RMD_CORE_TASK_RUNNING,
	     h->running);
	SAME(world, "a task's ledger", task->ledger != NULL, leased);
	SAME(world, "a task's lease", task->lease, leased ? h->lease : 0);
	SAME(world, "attempts counted", task->begun, h->counted);
	SAME(world, "an end", task->state == RMD_CORE_TASK_DONE, h->ended > 0);
	SAME(world, "a task's number", task->number, h->number);
	SIM_MUST(world, h->accepted == 1 && h->gone == 0, "a task that should be gone");
	SAME(world, "a task's depth", task->depth, h->depth);
	SAME(world, "a child whose parent is gone", h->depth > 0 && h->orphan,
	     h->depth > 0 && rmd_core_task_parent(task) == NULL);
	SIM_MUST(world, !task->waiting || task->state == RMD_CORE_TASK_RUNNING,
		 "a task waits for children, and does not run");
	if (task->state == RMD_CORE_TASK_QUEUED)
		SIM_MUST(world, task->doom == RMD_CORE_END_NONE && !task->client->closed,
			 "a task is queued that shall end");
	if (task->timed && task->state != RMD_CORE_TASK_DONE &&
	    task->doom == RMD_CORE_END_NONE)
		SIM_MUST(world, rmd_core_timer_pending(&task->deadline),
			 "a deadline that no timer watches");
	if (task->timed && task->state == RMD_CORE_TASK_DONE)
		SIM_MUST(world, !rmd_core_timer_pending(&task->deadline),
			 "a deadline of a task that has ended");
}

static void walk_client(struct sim_world *world, const struct rmd_core_client *client)
{
	const struct rmd_core_task *task;
	uint64_t all = 0, done = 0, payload = 0, outcome = 0, queued = 0, held = 0;
	uint64_t nested = 0, waiting = 0;
	const struct rmd_core_share *share;
	TAILQ_FOREACH (task, &client->all, client_link) {
		bool ended = task->state == RMD_CORE_TASK_DONE;
		all++;
		done += ended;
		queued += task->state == RMD_CORE_TASK_QUEUED;
		held += task->ledger != NULL;
		nested += task->depth > 0;
		waiting += task->waiting;
		payload += ended ? 0 : rmd_core_task_bytes(task);
		outcome += ended && (task->terms == NULL || !task->terms->retained)
				   ? task->payload.bytes.len
				   : 0;
		SIM_MUST(world, task->client == client, "a task of another client");
		SIM_MUST(world, rmd_core_index_get(&client->tasks, task->number) == task,
			 "a task is not found by its number");
	}
	SAME(world, "a client's tasks", all, client->task_count);
	SAME(world, "a client's children", nested, client->nested_count);
	SAME(world, "a client's ended tasks", done, client->done_count);
	SAME(world, "a client's payloads", payload, client->payload_bytes);
	SAME(world, "a client's outcomes", outcome, client->outcome_bytes);
	LIST_FOREACH (share, &client->shares, client_link) {
		queued -= share->queue.count + share->later_count;
		held -= share->held;
		waiting -= share->waiting;
		bool turn =
			share->queue.count > 0 && !client->paused &&
			(!share->pool->crowded || rmd_core_queue_nested(&share->queue));
		SAME(world, "a turn", turn, share->turn.place != 0);
		if (turn)
			SAME(world, "the key of a turn", share->turn.key,
			     share->held - share->waiting);
	}
	SAME(world, "a client's queues", queued, 0);
	SAME(world, "a client's leases", held, 0);
	SAME(world, "a client's tasks that wait for children", waiting, 0);
}

static void walk_tasks(struct sim_world *world)
{
	const struct rmd_core *core = world->service.core;
	uint64_t states[RMD_CORE_TASK_DONE + 1] = {0}, payload = 0, outcome = 0;
	const struct rmd_core_client *client;
	const struct rmd_core_task *task;
	TAILQ_FOREACH (task, &core->tasks, core_link) {
		states[task->state]++;
		walk_task(world, task);
	}
	for (unsigned s = 0; s <= RMD_CORE_TASK_DONE; s++)
		SAME(world, "tasks by state", states[s], core->by_state[s]);
	TAILQ_FOREACH (client, &core->clients, link) {
		walk_client(world, client);
		payload += client->payload_bytes;
		outcome += client->outcome_bytes;
	}
	LIST_FOREACH (client, &core->ghosts, ghost_link) {
		walk_client(world, client);
		payload += client->payload_bytes;
		SIM_MUST(world, client->task_count > 0 && client->closed,
			 "a closed client without tasks is not gone");
	}
	SAME(world, "payloads", payload, core->payload_bytes);
	SAME(world, "outcomes", outcome, core->outcome_bytes);
}

/* --- pools and agents -------------------------------------------------------------- */

static void walk_ledger(struct sim_world *world, const struct rmd_core_ledger *ledger)
{
	const struct rmd_core_task *task;
	uint64_t held = 0, waiting = 0;
	TAILQ_FOREACH (task, &ledger->leased, state_link) {
		SIM_MUST(world, task->state == RMD_CORE_TASK_LEASED, "not leased");
		held++;
	}
	TAILQ_FOREACH (task, &ledger->running, state_link) {
		SIM_MUST(world, task->state == RMD_CORE_TASK_RUNNING, "not running");
		held++;
		waiting += task->waiting;
	}
	SAME(world, "a ledger's leases", held, ledger->held);
	SAME(world, "a ledger's tasks that wait for children", waiting, ledger->waiting);
	SIM_MUST(world, ledger->recalling <= ledger->held,
		 "more leases are asked back than are held");
	SIM_MUST(world,
		 !ledger->resting ||
			 rmd_core_timer_pending(&ledger->pool->core->rest_timer),
		 "a ledger rests, and nothing wakes it");
	if (!ledger->ordering && !ledger->dismissed)
		SAME(world, "workers wanted and told", ledger->wanted, ledger->told);
}

static void walk_pool_sums(struct sim_world *world, const struct rmd_core_pool *pool)
{
	const struct rmd_core_ledger *ledger;
	const struct rmd_core_share *share;
	uint64_t wanted = 0, workers = 0, idle_places = 0, recalling = 0, held = 0;
	uint64_t queued = 0, later = 0, holders = 0, open = 0, turns = 0, waiting = 0;
	LIST_FOREACH (ledger, &pool->ledgers, pool_link) {
		walk_ledger(world, ledger);
		wanted += ledger->wanted;
		workers += ledger->workers;
		idle_places += ledger->idle_places;
		recalling += ledger->recalling;
		held += ledger->held;
		waiting += ledger->waiting;
	}
	LIST_FOREACH (share, &pool->shares, pool_link) {
		queued += share->queue.count;
		later += share->later_count;
		holders += share->holding;
		open += share->open;
		turns += share->turn.place != 0;
	}
	SAME(world, "a pool's wanted workers", wanted, pool->wanted);
	SAME(world, "a pool's workers", workers, pool->workers);
	SAME(world, "a pool's idle places", idle_places, pool->idle_places);
	SAME(world, "a pool's recalls", recalling, pool->recalling);
	SAME(world, "a pool's leases", held, pool->leased);
	SAME(world, "a pool's tasks that wait for children", waiting, pool->waiting);
	SAME(world, "a pool's queue", queued, pool->queued);
	SAME(world, "a pool's holders", holders, pool->holders);
	SAME(world, "a pool's later tasks", later, pool->later);
	SAME(world, "a pool's open tasks", open,
	     pool->queued + pool->leased + pool->later);
	SAME(world, "a pool's turns", turns, pool->turns.count);
	SIM_MUST(world, pool->max_workers == 0 || pool->wanted <= pool->max_workers,
		 "pool %" PRIu64 ": %" PRIu32 " workers are wanted, %" PRIu32
		 " are allowed",
		 pool->number, pool->wanted, pool->max_workers);
}

/* How many more workers of the pool the agent has room for, as place.c has it. */
static uint64_t room_at(const struct rmd_core_agent *agent,
			const struct rmd_core_pool *pool)
{
	uint64_t workers = agent->occupied.workers, cpu = agent->occupied.cpu_milli;
	uint64_t cpus = agent->cpu_milli, room = UINT64_MAX;
	if (rmd_core_place_suits(agent, pool) != RMD_CORE_FIT)
		return 0;
	if (agent->private_local && (pool->max_workers != 0 || pool->wanted == 0))
		return 1;
	if (agent->promised_to != NULL && agent->promised_to != pool) {
		workers++;
		cpu += agent->promised_to->cpu_milli;
	}
	if (agent->workers_max != 0 && cpus != 0 && cpus < 1000u * agent->workers_max)
		cpus = 1000u * agent->workers_max;
	if (agent->workers_max != 0)
		room = agent->workers_max > workers ? agent->workers_max - workers : 0;
	uint64_t by_cpu = cpus > cpu ? (cpus - cpu) / pool->cpu_milli : 0;
	return cpus != 0 && by_cpu < room ? by_cpu : room;
}

/* No queued task waits while an agent of its pool has credit; no pool lacks workers
 * without being on a list of those that wait. */
static void walk_decisions(struct sim_world *world, const struct rmd_core_pool *pool)
{
	uint64_t most = pool->max_workers != 0 ? pool->max_workers : RMD_CORE_WORKERS_MAX;
	uint64_t demand = rmd_core_pool_load(pool);
	uint64_t target = pool->killed ? 0 : demand < most ? demand : most;
	const struct rmd_core_agent *agent;
	if (pool->core->lacks_memory || pool->dirty)
		return;
	SIM_MUST(world,
		 pool->turns.count == 0 ||
			 (TAILQ_EMPTY(&pool->by_class[RMD_CORE_LEDGER_IDLE]) &&
			  TAILQ_EMPTY(&pool->by_class[RMD_CORE_LEDGER_PREFETCH])),
		 "pool %" PRIu64 ": a task waits though an agent would take it",
		 pool->number);
	SIM_MUST(world, target <= pool->wanted || pool->place != RMD_CORE_PLACE_FINE,
		 "pool %" PRIu64 ": wants %" PRIu64 " workers, has %" PRIu32
		 ", and waits for nothing",
		 pool->number, target, pool->wanted);
	bool soon = pool->core->room_came ||
		    rmd_core_timer_pending(&pool->core->offer_timer) ||
		    rmd_core_timer_pending(&pool->core->rest_timer);
	if (target > pool->wanted && !soon)
		TAILQ_FOREACH (agent, &pool->core->agents, link)
			SIM_MUST(world, room_at(agent, pool) == 0,
				 "pool %" PRIu64 " waits, and agent %" PRIu64
				 " has room for it",
				 pool->number, agent->number);
	if (pool->place == RMD_CORE_PLACE_HOMELESS)
		TAILQ_FOREACH (agent, &pool->core->agents, link)
			SIM_MUST(world, rmd_core_place_suits(agent, pool) != RMD_CORE_FIT,
				 "pool %" PRIu64 ": homeless, and agent %" PRIu64
				 " suits it",
				 pool->number, agent->number);
}

static void walk_agent(struct sim_world *world, const struct rmd_core_agent *agent)
{
	const struct rmd_core_ledger *ledger;
	struct rmd_core_load wanted = {0}, occupied = {0};
	uint64_t held = 0;
	TAILQ_FOREACH (ledger, &agent->ledgers, agent_link) {
		uint32_t places = ledger->workers > ledger->waiting
					  ? ledger->workers - ledger->waiting
					  : 0;
		places = places > ledger->wanted ? places : ledger->wanted;
		held += ledger->held;
		wanted.workers += ledger->wanted;
		wanted.cpu_milli += (uint64_t)ledger->wanted * ledger->pool->cpu_milli;
		occupied.workers += places;
		occupied.cpu_milli += (uint64_t)places * ledger->pool->cpu_milli;
	}
	SAME(world, "an agent's leases", held, agent->held);
	SAME(world, "an agent's wanted workers", wanted.workers, agent->wanted.workers);
	SAME(world, "an agent's wanted cpus", wanted.cpu_milli, agent->wanted.cpu_milli);
	SAME(world, "an agent's workers", occupied.workers, agent->occupied.workers);
	SAME(world, "an agent's cpus", occupied.cpu_milli, agent->occupied.cpu_milli);
	if (agent->private_local || agent->draining)
		return;
	uint64_t cpus = agent->cpu_milli;
	if (agent->workers_max != 0 && cpus != 0 && cpus < 1000u * agent->workers_max)
		cpus = 1000u * agent->workers_max;
	SIM_MUST(
		world,
		(cpus == 0 || wanted.cpu_milli <= cpus) &&
			(agent->workers_max == 0 || wanted.workers <= agent->workers_max),
		"agent %" PRIu64 " is told to have more workers than it has room for",
		agent->number);
}

/* --- heaps and lists --------------------------------------------------------------- */

static void walk_heap(struct sim_world *world, const struct rmd_core_heap *heap)
{
	SIM_MUST(world, heap->count <= heap->promised && heap->promised <= heap->capacity,
		 "a heap with less room than was promised");
	for (size_t i = 0; i < heap->count; i++) {
		const struct rmd_core_heap_node *node = heap->slots[i];
		const struct rmd_core_heap_node *first = heap->slots[0];
		SAME(world, "a place in a heap", node->place, i + 1);
		SIM_MUST(world,
			 first->key < node->key ||
				 (first->key == node->key && first->tie <= node->tie),
			 "the first of a heap is not the least");
	}
}

static void walk_places(struct sim_world *world)
{
	const struct rmd_core *core = world->service.core;
	const struct rmd_core_pool *pool;
	uint64_t waiting = 0, listed = 0, pools = 0;
	for (unsigned p = RMD_CORE_PLACE_STARVING; p < RMD_CORE_PLACES; p++)
		TAILQ_FOREACH (pool, &core->places[p], place_link) {
			SAME(world, "a pool's place", pool->place, p);
			listed++;
		}
	TAILQ_FOREACH (pool, &core->pools, core_link) {
		pools++;
		waiting += pool->place != RMD_CORE_PLACE_FINE;
	}
	SAME(world, "pools that wait", waiting, listed);
	SAME(world, "pools", pools, core->pool_count);
	if (!TAILQ_EMPTY(&core->places[RMD_CORE_PLACE_STARVING]) ||
	    !TAILQ_EMPTY(&core->places[RMD_CORE_PLACE_SHORT]))
		SIM_MUST(world, rmd_core_timer_pending(&core->turn_timer),
			 "pools wait for a turn that does not come");
	SIM_MUST(world, TAILQ_EMPTY(&core->dirty) || world->service.tick_us != 0,
		 "decisions are left open, and no tick comes");
}

void sim_check_all(struct sim_world *world)
{
	const struct rmd_core *core = world->service.core;
	const struct rmd_core_pool *pool;
	const struct rmd_core_agent *agent;
	uint64_t workers = 0, wanted = 0, leases = 0;
	world->walks++;
	walk_tasks(world);
	TAILQ_FOREACH (pool, &core->pools, core_link) {
		walk_pool_sums(world, pool);
		walk_decisions(world, pool);
		walk_heap(world, &pool->turns);
		workers += pool->workers;
		wanted += pool->wanted;
		leases += pool->leased;
	}
	TAILQ_FOREACH (agent, &core->agents, link)
		walk_agent(world, agent);
	walk_heap(world, &core->timers);
	walk_places(world);
	SAME(world, "workers", workers, core->workers);
	SAME(world, "wanted workers", wanted, core->wanted);
	SAME(world, "leases by number", leases, core->leases.count);
}
