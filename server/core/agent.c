#include "server/core/agent.h"

#include "proto/base/alloc.h"
#include "server/core/lease.h"
#include "server/core/place.h"
#include "server/core/state.h"

static bool labels_fit(const struct rmd_core_label *labels, size_t count)
{
	if (count > RMD_CORE_LABELS_MAX)
		return false;
	for (size_t i = 0; i < count; i++)
		if (labels[i].key.len == 0 || labels[i].key.len > RMD_CORE_NAME_MAX ||
		    labels[i].value.len > RMD_CORE_NAME_MAX)
			return false;
	return true;
}

static bool info_fits(const struct rmd_core_agent_info *info)
{
	if (info->name.len > RMD_CORE_NAME_MAX ||
	    info->runtime_count > RMD_CORE_RUNTIMES_MAX)
		return false;
	for (size_t i = 0; i < info->runtime_count; i++)
		if (info->runtimes[i].len == 0 ||
		    info->runtimes[i].len > RMD_CORE_RUNTIME_MAX)
			return false;
	return labels_fit(info->labels, info->label_count);
}

static struct rmd_slice copy_slice(struct rmd_slice slice, uint8_t **at)
{
	struct rmd_slice copy = rmd_slice_of(*at, slice.len);
	if (slice.len != 0)
		memcpy(*at, slice.data, slice.len);
	*at += slice.len;
	return copy;
}

/* One allocation: the struct, the arrays, the bytes that they point to. */
static struct rmd_core_agent *agent_new(const struct rmd_core_agent_info *info)
{
	size_t bytes = info->name.len + 1;
	for (size_t i = 0; i < info->runtime_count; i++)
		bytes += info->runtimes[i].len;
	for (size_t i = 0; i < info->label_count; i++)
		bytes += info->labels[i].key.len + info->labels[i].value.len;
	struct rmd_core_agent *agent;
	agent = rmd_calloc(1, sizeof(*agent) +
				      info->runtime_count * sizeof(*agent->runtimes) +
				      info->label_count * sizeof(*agent->labels) + bytes);
	if (agent == NULL)
		return NULL;
	agent->runtimes = (struct rmd_slice *)(agent + 1);
	agent->labels = (struct rmd_core_label *)(agent->runtimes + info->runtime_count);
	uint8_t *at = (uint8_t *)(agent->labels + info->label_count);
	for (size_t i = 0; i < info->runtime_count; i++)
		agent->runtimes[i] = copy_slice(info->runtimes[i], &at);
	for (size_t i = 0; i < info->label_count; i++) {
		agent->labels[i].key = copy_slice(info->labels[i].key, &at);
		agent->labels[i].value = copy_slice(info->labels[i].value, &at);
	}
	agent->name = (char *)at;
	copy_slice(info->name, &at);
	return agent;
}

/* It takes no more workers: nobody's room is kept there. */
static void break_promise(struct rmd_core_agent *agent)
{
	if (agent->promised_to != NULL)
		rmd_core_place_forgo(agent->promised_to);
}

/* An agent came, left or changed its mind: pools that no agent suited may find one, or
 * the reverse. */
static void agents_changed(struct rmd_core *core)
{
	struct rmd_core_pool *pool;
	while ((pool = TAILQ_FIRST(&core->places[RMD_CORE_PLACE_HOMELESS])) != NULL) {
		rmd_core_pool_set_place(pool, RMD_CORE_PLACE_FINE);
		rmd_core_pool_touch(pool);
	}
	rmd_core_room(core);
}

int rmd_core_agent_attach(struct rmd_core *core, uint64_t now_ms,
			  const struct rmd_core_agent_info *info,
			  struct rmd_core_agent **ret_agent)
{
	rmd_core_enter(core, now_ms);
	if (!info_fits(info))
		return RMD_EINVAL;
	if (core->agent_count >= core->config.agents_max)
		return RMD_ELIMIT;
	struct rmd_core_agent *agent = agent_new(info);
	if (agent == NULL)
		return RMD_ENOMEM;
	agent->magic = RMD_CORE_AGENT_MAGIC;
	agent->core = core;
	agent->number = core->next_agent++;
	agent->user = info->user;
	agent->runtime_count = info->runtime_count;
	agent->label_count = info->label_count;
	agent->cpu_milli = info->cpu_milli;
	agent->memory_bytes = info->memory_bytes;
	agent->workers_max = info->workers_max;
	agent->private_local = info->private_local;
	rmd_map_init(&agent->ledgers_by_pool, core->config.seed);
	TAILQ_INIT(&agent->ledgers);
	LIST_INIT(&agent->staffed);
	TAILQ_INSERT_TAIL(&core->agents, agent, link);
	core->agent_count++;
	agents_changed(core);
	*ret_agent = agent;
	return 0;
}

void rmd_core_agent_free(struct rmd_core_agent *agent)
{
	struct rmd_core *core = agent->core;
	RMD_CHECK(TAILQ_EMPTY(&agent->ledgers) && agent->held == 0);
	break_promise(agent);
	if (core->next_to_staff == agent)
		core->next_to_staff = TAILQ_NEXT(agent, link);
	TAILQ_REMOVE(&core->agents, agent, link);
	core->agent_count--;
	rmd_map_fini(&agent->ledgers_by_pool);
	agent->magic = 0;
	rmd_free(agent);
}

void rmd_core_agent_draining(struct rmd_core *core, uint64_t now_ms,
			     struct rmd_core_agent *agent)
{
	struct rmd_core_ledger *ledger;
	rmd_core_enter(core, now_ms);
	RMD_CHECK_OBJ(agent, RMD_CORE_AGENT_MAGIC);
	if (agent->draining)
		return;
	agent->draining = true;
	break_promise(agent);
	TAILQ_FOREACH (ledger, &agent->ledgers, agent_link) {
		rmd_core_ledger_want(ledger, 0);
		rmd_core_ledger_sort(ledger);
	}
	agents_changed(core);
}

void rmd_core_agent_lost(struct rmd_core *core, uint64_t now_ms,
			 struct rmd_core_agent *agent, enum rmd_core_farewell how)
{
	struct rmd_core_ledger *ledger;
	rmd_core_enter(core, now_ms);
	RMD_CHECK_OBJ(agent, RMD_CORE_AGENT_MAGIC);
	agent->draining = true;
	break_promise(agent);
	TAILQ_FOREACH (ledger, &agent->ledgers, agent_link)
		rmd_core_lease_take_back(ledger, how == RMD_CORE_FAREWELL_LOST);
	while ((ledger = TAILQ_FIRST(&agent->ledgers)) != NULL)
		rmd_core_ledger_destroy(ledger);
	rmd_core_agent_free(agent);
	agents_changed(core);
}

/* --- looking at it ----------------------------------------------------------------- */

uint64_t rmd_core_agent_number(const struct rmd_core_agent *agent)
{
	return agent->number;
}

const char *rmd_core_agent_name(const struct rmd_core_agent *agent)
{
	return agent->name;
}

void *rmd_core_agent_user(const struct rmd_core_agent *agent)
{
	return agent->user;
}

bool rmd_core_agent_drains(const struct rmd_core_agent *agent)
{
	return agent->draining;
}

uint64_t rmd_core_agent_held(const struct rmd_core_agent *agent)
{
	return agent->held;
}

struct rmd_core_agent *rmd_core_agent_next(const struct rmd_core *core,
					   const struct rmd_core_agent *previous)
{
	return previous == NULL ? TAILQ_FIRST(&core->agents) : TAILQ_NEXT(previous, link);
}
