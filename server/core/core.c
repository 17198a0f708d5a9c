#include "server/core/core.h"

#include "proto/base/alloc.h"
#include "server/core/agent.h"
#include "server/core/client.h"
#include "server/core/share.h"
#include "server/core/state.h"
#include "server/core/task.h"

static void lists_init(struct rmd_core *core)
{
	TAILQ_INIT(&core->clients);
	LIST_INIT(&core->paused);
	LIST_INIT(&core->ghosts);
	TAILQ_INIT(&core->pools);
	TAILQ_INIT(&core->warm);
	for (unsigned i = 0; i < RMD_CORE_PLACES; i++)
		TAILQ_INIT(&core->places[i]);
	TAILQ_INIT(&core->dirty);
	TAILQ_INIT(&core->agents);
	TAILQ_INIT(&core->orders);
	LIST_INIT(&core->resting);
	TAILQ_INIT(&core->tasks);
	TAILQ_INIT(&core->retained);
	rmd_map_init(&core->pools_by_number, core->config.seed);
	rmd_map_init(&core->pools_by_name, core->config.seed);
	rmd_map_init(&core->leases, core->config.seed);
}

struct rmd_core *rmd_core_create(const struct rmd_core_config *config,
				 const struct rmd_core_port *port, void *port_ctx)
{
	RMD_CHECK(port->grant && port->cancel && port->recall && port->order &&
		  port->ended);
	RMD_CHECK(config->start_failures_max > 0 && config->turn_ms > 0 &&
		  config->poison_max > 0);
	struct rmd_core *core = rmd_calloc(1, sizeof(*core));
	if (core == NULL)
		return NULL;
	core->magic = RMD_CORE_MAGIC;
	core->config = *config;
	core->port = *port;
	core->port_ctx = port_ctx;
	core->random = config->seed;
	core->next_pool = core->next_agent = core->next_lease = 1;
	lists_init(core);
	if (rmd_core_timer_init(core, &core->turn_timer, RMD_CORE_TIMER_TURN) < 0 ||
	    rmd_core_timer_init(core, &core->offer_timer, RMD_CORE_TIMER_OFFER) < 0 ||
	    rmd_core_timer_init(core, &core->rest_timer, RMD_CORE_TIMER_REST) < 0 ||
	    rmd_core_timer_init(core, &core->retain_timer, RMD_CORE_TIMER_RETAIN) < 0 ||
	    rmd_core_timer_init(core, &core->home_timer, RMD_CORE_TIMER_HOME) < 0) {
		rmd_core_heap_fini(&core->timers);
		rmd_free(core);
		return NULL;
	}
	return core;
}

static void client_destroy(struct rmd_core_client *client)
{
	struct rmd_core_share *share;
	while ((share = LIST_FIRST(&client->shares)) != NULL) {
		share->holding = false;
		rmd_core_share_drop(share);
	}
	rmd_core_client_free(client);
}

static void agent_destroy(struct rmd_core_agent *agent)
{
	struct rmd_core_ledger *ledger;
	while ((ledger = TAILQ_FIRST(&agent->ledgers)) != NULL)
		rmd_core_ledger_destroy(ledger);
	rmd_core_agent_free(agent);
}

void rmd_core_destroy(struct rmd_core *core)
{
	struct rmd_core_pool *pool;
	if (core == NULL)
		return;
	RMD_CHECK_OBJ(core, RMD_CORE_MAGIC);
	RMD_CHECK(!core->in_port);
	while (!TAILQ_EMPTY(&core->tasks))
		rmd_core_task_free(TAILQ_FIRST(&core->tasks));
	while (!TAILQ_EMPTY(&core->clients))
		client_destroy(TAILQ_FIRST(&core->clients));
	while (!LIST_EMPTY(&core->ghosts))
		client_destroy(LIST_FIRST(&core->ghosts));
	while (!TAILQ_EMPTY(&core->agents))
		agent_destroy(TAILQ_FIRST(&core->agents));
	while ((pool = TAILQ_FIRST(&core->pools)) != NULL) {
		if (core->port.pool_gone != NULL)
			RMD_CORE_SAY(core, pool_gone, pool);
		rmd_core_pool_free(pool);
	}
	rmd_map_fini(&core->pools_by_number);
	rmd_map_fini(&core->pools_by_name);
	rmd_map_fini(&core->leases);
	rmd_core_heap_fini(&core->timers);
	core->magic = 0;
	rmd_free(core);
}

void rmd_core_drain(struct rmd_core *core, uint64_t now_ms)
{
	rmd_core_enter(core, now_ms);
	core->draining = true;
}

void rmd_core_cancel_all(struct rmd_core *core, uint64_t now_ms, enum rmd_core_end why)
{
	struct rmd_core_task *next;
	rmd_core_enter(core, now_ms);
	for (struct rmd_core_task *task = TAILQ_FIRST(&core->tasks); task != NULL;
	     task = next) {
		next = TAILQ_NEXT(task, core_link);
		rmd_core_task_doom(task, why);
	}
}

void rmd_core_counters(const struct rmd_core *core,
		       struct rmd_core_counters *ret_counters)
{
	*ret_counters = (struct rmd_core_counters){
		.clients = core->client_count,
		.pools = core->pool_count,
		.agents = core->agent_count,
		.queued = core->by_state[RMD_CORE_TASK_QUEUED],
		.leased = core->by_state[RMD_CORE_TASK_LEASED],
		.running = core->by_state[RMD_CORE_TASK_RUNNING],
		.done = core->by_state[RMD_CORE_TASK_DONE],
		.accepted = core->accepted,
		.ended = core->ended,
		.granted = core->granted,
		.payload_bytes = core->payload_bytes,
		.outcome_bytes = core->outcome_bytes,
		.workers = core->workers,
		.wanted_workers = core->wanted,
		.stale_events = core->stale_events,
		.draining = core->draining,
	};
}
