#include "server/core/client.h"

#include "proto/base/alloc.h"
#include "server/core/share.h"
#include "server/core/state.h"
#include "server/core/task.h"
#include "server/core/terms.h"

int rmd_core_client_open(struct rmd_core *core, uint64_t now_ms, const char *identity,
			 void *user, struct rmd_core_client **ret_client)
{
	rmd_core_enter(core, now_ms);
	size_t len = strlen(identity);
	if (core->draining)
		return RMD_ECLOSED;
	if (len > RMD_CORE_NAME_MAX)
		return RMD_EINVAL;
	if (core->client_count >= core->config.clients_max)
		return RMD_ELIMIT;
	struct rmd_core_client *client = rmd_calloc(1, sizeof(*client) + len + 1);
	if (client == NULL)
		return RMD_ENOMEM;
	if (rmd_core_timer_init(core, &client->linger, RMD_CORE_TIMER_LINGER) < 0) {
		rmd_free(client);
		return RMD_ENOMEM;
	}
	client->magic = RMD_CORE_CLIENT_MAGIC;
	client->core = core;
	client->user = user;
	memcpy(client->identity, identity, len + 1);
	rmd_core_index_init(&client->tasks, core->config.seed);
	rmd_map_init(&client->shares_by_pool, core->config.seed);
	TAILQ_INIT(&client->all);
	TAILQ_INIT(&client->done);
	LIST_INIT(&client->shares);
	TAILQ_INSERT_TAIL(&core->clients, client, link);
	core->client_count++;
	rmd_core_client_widen(client);
	*ret_client = client;
	return 0;
}

void rmd_core_client_free(struct rmd_core_client *client)
{
	struct rmd_core *core = client->core;
	RMD_CHECK(client->task_count == 0 && LIST_EMPTY(&client->shares));
	if (client->closed) {
		LIST_REMOVE(client, ghost_link);
	} else {
		TAILQ_REMOVE(&core->clients, client, link);
		core->client_count--;
	}
	if (client->paused)
		LIST_REMOVE(client, paused_link);
	rmd_core_timer_fini(core, &client->linger);
	rmd_core_index_fini(&client->tasks);
	rmd_map_fini(&client->shares_by_pool);
	client->magic = 0;
	rmd_free(client);
}

/* Frees a task that has ended. Where all outcomes together come under their limit,
 * clients that were paused for it go on. */
static void forget_outcome(struct rmd_core_task *task)
{
	struct rmd_core *core = task->client->core;
	uint64_t bytes = task->payload.bytes.len, most = core->config.outcome_bytes_max;
	bool came_under = core->outcome_bytes > most &&
			  core->outcome_bytes - bytes <= most;
	if (task->terms != NULL && task->terms->retained) {
		core->retained_bytes -= bytes;
		core->retained_count--;
		rmd_core_task_free(task);
		return;
	}
	task->client->outcome_bytes -= bytes;
	core->outcome_bytes -= bytes;
	rmd_core_task_free(task);
	if (came_under)
		rmd_core_clients_unpause(core);
}

/* Ends what can end now; asks agents for the rest. */
static void end_tasks(struct rmd_core_client *client)
{
	struct rmd_core_task *next;
	for (struct rmd_core_task *task = TAILQ_FIRST(&client->all); task != NULL;
	     task = next) {
		next = TAILQ_NEXT(task, client_link);
		if (task->state == RMD_CORE_TASK_DONE)
			forget_outcome(task);
		else
			rmd_core_task_doom(task, RMD_CORE_END_CLIENT_GONE);
	}
}

void rmd_core_client_release_pools(struct rmd_core_client *client)
{
	struct rmd_core_share *next;
	for (struct rmd_core_share *share = LIST_FIRST(&client->shares); share != NULL;
	     share = next) {
		next = LIST_NEXT(share, client_link);
		if (share->holding)
			rmd_core_pool_unhold(share);
	}
}

static void client_close(struct rmd_core_client *client)
{
	struct rmd_core *core = client->core;
	TAILQ_REMOVE(&core->clients, client, link);
	core->client_count--;
	LIST_INSERT_HEAD(&core->ghosts, client, ghost_link);
	rmd_core_timer_stop(core, &client->linger);
	client->closed = true;
	client->closing = true;
	client->user = NULL;
	end_tasks(client);
	rmd_core_client_release_pools(client);
	client->closing = false;
	rmd_core_client_reap(client);
}

/* Nobody is there any more: says so, and closes it. */
static void expire(struct rmd_core_client *client)
{
	struct rmd_core *core = client->core;
	if (core->port.client_expired != NULL)
		RMD_CORE_SAY(core, client_expired, client);
	client_close(client);
}

void rmd_core_client_reap(struct rmd_core_client *client)
{
	if (client->closing || client->task_count > 0)
		return;
	if (client->closed)
		rmd_core_client_free(client);
	else if (client->abandoned)
		expire(client);
}

void rmd_core_client_close(struct rmd_core *core, uint64_t now_ms,
			   struct rmd_core_client *client)
{
	rmd_core_enter(core, now_ms);
	RMD_CHECK_OBJ(client, RMD_CORE_CLIENT_MAGIC);
	RMD_CHECK(!client->closed);
	client_close(client);
}

void rmd_core_client_leave(struct rmd_core *core, uint64_t now_ms,
			   struct rmd_core_client *client, uint64_t linger_ms)
{
	rmd_core_enter(core, now_ms);
	RMD_CHECK_OBJ(client, RMD_CORE_CLIENT_MAGIC);
	uint64_t longest = UINT64_MAX - core->now_ms;
	rmd_core_timer_set(core, &client->linger,
			   core->now_ms + (linger_ms < longest ? linger_ms : longest));
}

void rmd_core_client_resume(struct rmd_core *core, uint64_t now_ms,
			    struct rmd_core_client *client)
{
	rmd_core_enter(core, now_ms);
	RMD_CHECK_OBJ(client, RMD_CORE_CLIENT_MAGIC);
	RMD_CHECK(!client->abandoned);
	rmd_core_timer_stop(core, &client->linger);
}

void rmd_core_client_lingered(struct rmd_core_client *client)
{
	if (client->detached_count > 0)
		rmd_core_client_abandon(client);
	else
		expire(client);
}

void rmd_core_client_forget(struct rmd_core_task *task)
{
	struct rmd_core_client *client = task->client;
	forget_outcome(task);
	rmd_core_client_throttle(client);
	rmd_core_client_widen(client);
	rmd_core_client_reap(client);
}

int rmd_core_ack(struct rmd_core *core, uint64_t now_ms, struct rmd_core_client *client,
		 uint64_t number)
{
	rmd_core_enter(core, now_ms);
	RMD_CHECK_OBJ(client, RMD_CORE_CLIENT_MAGIC);
	struct rmd_core_task *task = rmd_core_index_get(&client->tasks, number);
	if (task == NULL)
		return RMD_ENOTFOUND;
	if (task->state != RMD_CORE_TASK_DONE)
		return RMD_EPROTO;
	if (task->terms != NULL && task->terms->detached) {
		rmd_core_retain(task);
		rmd_core_client_throttle(client);
	} else {
		rmd_core_client_forget(task);
	}
	return 0;
}

/* --- back-pressure ----------------------------------------------------------------- */

static bool holds_too_much(const struct rmd_core_client *client)
{
	const struct rmd_core *core = client->core;
	uint64_t most = core->config.outcome_bytes_per_client_max;
	if (client->outcome_bytes > most)
		return true;
	return core->outcome_bytes > core->config.outcome_bytes_max &&
	       client->outcome_bytes > most / 8;
}

void rmd_core_client_throttle(struct rmd_core_client *client)
{
	struct rmd_core_share *share;
	bool paused = holds_too_much(client);
	if (paused == client->paused)
		return;
	client->paused = paused;
	if (paused)
		LIST_INSERT_HEAD(&client->core->paused, client, paused_link);
	else
		LIST_REMOVE(client, paused_link);
	LIST_FOREACH (share, &client->shares, client_link) {
		rmd_core_share_turn(share);
		rmd_core_pool_touch(share->pool);
	}
}

void rmd_core_clients_unpause(struct rmd_core *core)
{
	struct rmd_core_client *next;
	for (struct rmd_core_client *client = LIST_FIRST(&core->paused); client != NULL;
	     client = next) {
		next = LIST_NEXT(client, paused_link);
		rmd_core_client_throttle(client);
	}
}

void rmd_core_client_widen(struct rmd_core_client *client)
{
	const struct rmd_core_config *config = &client->core->config;
	uint64_t own = client->task_count - client->nested_count;
	if (own >= config->tasks_per_client_max || rmd_core_client_full(client))
		return;
	uint64_t window = client->accepted + (config->tasks_per_client_max - own);
	if (window > client->window)
		client->window = window;
}

bool rmd_core_client_full(const struct rmd_core_client *client)
{
	const struct rmd_core *core = client->core;
	return client->payload_bytes > core->config.payload_bytes_per_client_max / 2 ||
	       core->payload_bytes > core->config.payload_bytes_max / 4 * 3;
}

/* --- looking at it ----------------------------------------------------------------- */

bool rmd_core_client_abandoned(const struct rmd_core_client *client)
{
	return client->abandoned;
}

uint64_t rmd_core_client_detached(const struct rmd_core_client *client)
{
	return client->detached_count;
}

void *rmd_core_client_user(const struct rmd_core_client *client)
{
	return client->user;
}

const char *rmd_core_client_identity(const struct rmd_core_client *client)
{
	return client->identity;
}

uint64_t rmd_core_client_accepted(const struct rmd_core_client *client)
{
	return client->accepted;
}

uint64_t rmd_core_client_window(const struct rmd_core_client *client)
{
	return client->window;
}

uint64_t rmd_core_client_open_tasks(const struct rmd_core_client *client)
{
	return client->task_count - client->nested_count - client->done_count;
}

uint64_t rmd_core_client_tasks(const struct rmd_core_client *client)
{
	return client->task_count - client->nested_count;
}

uint64_t rmd_core_client_outcome_bytes(const struct rmd_core_client *client)
{
	return client->outcome_bytes;
}

struct rmd_core_task *rmd_core_client_outcome_next(const struct rmd_core_client *client,
						   const struct rmd_core_task *previous)
{
	return previous == NULL ? TAILQ_FIRST(&client->done)
				: TAILQ_NEXT(previous, state_link);
}
