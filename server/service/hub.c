#include "server/service/hub.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"
#include "proto/base/map.h"
#include "proto/codec/frames_agent.h"
#include "proto/error/chain.h"
#include "proto/link/link.h"
#include "server/service/hub_parts.h"

/* Arguments up to this size travel inside the lease. */
#define INLINE_MAX_BYTES (256u * 1024u)
#define TRANSFERS_HELD_MAX 4096u /* large payloads that no item has named yet */
/* What an agent says of all its pools; that of one with 100,000 workers is some 4 MiB. */
#define POOL_STATES_MAX_BYTES ((size_t)64 << 20)

static void touch(struct rmd_hub *hub)
{
	rmd_coordinator_touch(hub->coordinator);
}

/* ---- life ---- */

static void hub_free(struct rmd_hub *hub)
{
	size_t cursor = 0;
	struct rmd_parcel *parcel;
	struct rmd_buf *state;
	while ((parcel = rmd_map_next(&hub->parcels, &cursor)) != NULL) {
		rmd_piece_unref(parcel->payload);
		rmd_free(parcel);
	}
	cursor = 0;
	while ((state = rmd_map_next(&hub->pool_states, &cursor)) != NULL)
		rmd_buf_unref(state);
	rmd_hub_drop_progress(hub, 0);
	rmd_map_fini(&hub->progress);
	rmd_map_fini(&hub->parcels);
	rmd_map_fini(&hub->pool_states);
	rmd_map_fini(&hub->modules_sent);
	rmd_buf_unref(hub->hello);
	TAILQ_REMOVE(&hub->coordinator->hubs, hub, next);
	hub->magic = 0;
	rmd_free(hub);
}

/* The core forgets the agent: what it held is settled. */
static void leave_core(struct rmd_hub *hub)
{
	if (hub->agent == NULL)
		return;
	struct rmd_core_agent *agent = hub->agent;
	enum rmd_core_farewell how = hub->draining && rmd_core_agent_held(agent) == 0
					     ? RMD_CORE_FAREWELL_SAID
					     : RMD_CORE_FAREWELL_LOST;
	rmd_log(hub->own || how == RMD_CORE_FAREWELL_SAID ? RMD_LOG_INFO : RMD_LOG_WARN,
		"agent", "%s has gone: %s; it held %llu tasks agent=%llu",
		rmd_core_agent_name(agent), hub->why != NULL ? hub->why : "?",
		(unsigned long long)rmd_core_agent_held(agent),
		(unsigned long long)rmd_core_agent_number(agent));
	hub->agent = NULL;
	rmd_core_agent_lost(hub->coordinator->core, rmd_clock_mono_ms(), agent, how);
	touch(hub);
}

static void on_lost(void *ctx, const char *why)
{
	struct rmd_hub *hub = ctx;
	RMD_CHECK_OBJ(hub, RMD_HUB_MAGIC);
	struct rmd_link *link = hub->link;
	if (hub->why == NULL)
		hub->why = why;
	hub->link = NULL;
	leave_core(hub);
	rmd_link_destroy(link);
	if (!hub->cutting)
		hub_free(hub);
}

/* Runs apart from the frame that was found wrong. */
static void run_cut(struct rmd_deferred *deferred)
{
	struct rmd_hub *hub =
		(struct rmd_hub *)((char *)deferred - offsetof(struct rmd_hub, cut));
	RMD_CHECK_OBJ(hub, RMD_HUB_MAGIC);
	hub->cutting = false;
	leave_core(hub);
	if (hub->link == NULL)
		hub_free(hub);
	else
		rmd_link_close(hub->link); /* `lost` follows and frees the hub */
}

void rmd_hub_cut(struct rmd_hub *hub, const char *why)
{
	RMD_CHECK_OBJ(hub, RMD_HUB_MAGIC);
	if (hub->cutting || hub->link == NULL)
		return;
	rmd_log(RMD_LOG_WARN, "agent", "cut off: %s agent=%llu", why,
		hub->agent != NULL ? (unsigned long long)rmd_core_agent_number(hub->agent)
				   : 0);
	hub->why = why;
	hub->cutting = true;
	rmd_loop_defer(hub->coordinator->loop, &hub->cut);
}

void rmd_hub_destroy(struct rmd_hub *hub)
{
	RMD_CHECK_OBJ(hub, RMD_HUB_MAGIC);
	rmd_link_destroy(hub->link);
	hub_free(hub);
}

/* ---- what the agent says ---- */

static bool name_taken(const struct rmd_coordinator *coordinator, struct rmd_slice name)
{
	const struct rmd_hub *other;
	TAILQ_FOREACH (other, &coordinator->hubs, next)
		if (other->agent != NULL &&
		    rmd_slice_equal(rmd_slice_of_string(rmd_core_agent_name(other->agent)),
				    name))
			return true;
	return false;
}

/* Two agents of one name could not be told apart: the later one goes by NAME#2. It is not
 * refused, since the earlier may be its own former life, not yet given up. */
static struct rmd_slice unique_name(const struct rmd_hub *hub, struct rmd_slice name,
				    char ret_name[RMD_CORE_NAME_MAX + 1])
{
	struct rmd_slice unique = name;
	for (unsigned i = 2; i < 10000 && name_taken(hub->coordinator, unique); i++) {
		int room = (int)RMD_CORE_NAME_MAX - 6;
		(void)snprintf(ret_name, RMD_CORE_NAME_MAX + 1, "%.*s#%u",
			       name.len < (size_t)room ? (int)name.len : room,
			       (const char *)name.data, i);
		unique = rmd_slice_of_string(ret_name);
	}
	if (unique.data != name.data)
		rmd_log(RMD_LOG_WARN, "agent",
			"another agent is called %.*s: this one goes by %s (--name gives each "
			"its own)",
			(int)name.len, (const char *)name.data, ret_name);
	return unique;
}

static int take_hello(struct rmd_hub *hub, const struct rmd_agent_hello *hello)
{
	if (hub->agent != NULL)
		return RMD_EPROTO;
	if (hello->protocol != RMD_PROTOCOL_VERSION) {
		rmd_log(RMD_LOG_ERROR, "agent",
			"%.*s speaks protocol %u and this coordinator %u: give both the "
			"same "
			"version",
			(int)hello->name.len, (const char *)hello->name.data,
			hello->protocol, RMD_PROTOCOL_VERSION);
		return RMD_EVERSION;
	}
	struct rmd_slice runtimes[RMD_CORE_RUNTIMES_MAX];
	struct rmd_core_label labels[RMD_CORE_LABELS_MAX];
	char name[RMD_CORE_NAME_MAX + 1];
	struct rmd_core_agent_info info = {
		.name = unique_name(hub, hello->name, name),
		.runtimes = runtimes,
		.cpu_milli = hello->cpu_milli,
		.memory_bytes = hello->memory_bytes,
		.workers_max = hello->workers_max,
		.labels = labels,
		.private_local = hub->own && hub->coordinator->options.private_mode,
		.user = hub};
	size_t cursor = 0;
	while (info.runtime_count < RMD_CORE_RUNTIMES_MAX &&
	       rmd_agent_hello_next_runtime(hello, &cursor,
					    &runtimes[info.runtime_count]))
		info.runtime_count++;
	struct rmd_pair pair;
	struct rmd_pairs pairs = rmd_agent_hello_labels(hello);
	while (info.label_count < RMD_CORE_LABELS_MAX && rmd_pairs_next(&pairs, &pair))
		labels[info.label_count++] =
			(struct rmd_core_label){pair.key, pair.value};
	hub->hello = rmd_buf_copy(hello->raw);
	if (hub->hello == NULL)
		return RMD_ENOMEM;
	int rc = rmd_core_agent_attach(hub->coordinator->core, rmd_clock_mono_ms(), &info,
				       &hub->agent);
	if (rc < 0)
		return rc;
	struct rmd_agent_welcome welcome = {RMD_PROTOCOL_VERSION, hub->coordinator->epoch,
					    rmd_core_agent_number(hub->agent)};
	rmd_attach_response_put_welcome(rmd_link_begin(hub->link), &welcome);
	rmd_link_end(hub->link);
	rmd_log(RMD_LOG_INFO, "agent", "%.*s has come: %u cpus agent=%llu",
		(int)hello->name.len, (const char *)hello->name.data,
		hello->cpu_milli / 1000, (unsigned long long)welcome.agent);
	return 0;
}

static void drop_pool_state(struct rmd_hub *hub, uint64_t pool)
{
	struct rmd_buf *state = rmd_map_take(&hub->pool_states, pool);
	if (state == NULL)
		return;
	hub->pool_state_bytes -= rmd_buf_slice(state).len;
	rmd_buf_unref(state);
}

/* The latest state of a pool is kept for those who ask. */
static int keep_pool_state(struct rmd_hub *hub, const struct rmd_agent_pool *pool)
{
	drop_pool_state(hub, pool->pool);
	if (pool->raw.len > POOL_STATES_MAX_BYTES - hub->pool_state_bytes)
		return RMD_ELIMIT;
	struct rmd_buf *state = rmd_buf_copy(pool->raw);
	if (state == NULL)
		return RMD_ENOMEM;
	int rc = rmd_map_put(&hub->pool_states, pool->pool, state);
	if (rc < 0)
		rmd_buf_unref(state);
	else
		hub->pool_state_bytes += pool->raw.len;
	return rc;
}

static int take_pool(struct rmd_hub *hub, const struct rmd_agent_pool *pool)
{
	struct rmd_core_agent_pool state = {.pool = pool->pool,
					    .slots = pool->slots,
					    .idle = pool->idle,
					    .start_failed = pool->start_failed,
					    .broken = pool->broken};
	struct rmd_agent_worker worker;
	size_t cursor = 0;
	while (rmd_agent_pool_next_worker(pool, &cursor, &worker)) {
		state.workers += worker.state != RMD_WORKER_STATE_STOPPING;
		state.starting += worker.state == RMD_WORKER_STATE_STARTING;
	}
	struct rmd_buf *why = NULL;
	if (pool->start_failed && (why = rmd_buf_copy(pool->start_error)) == NULL)
		return RMD_ENOMEM;
	if (why != NULL)
		state.start_error = (struct rmd_piece){rmd_buf_slice(why), why};
	int rc = rmd_core_agent_pool(hub->coordinator->core, rmd_clock_mono_ms(),
				     hub->agent, &state);
	rmd_buf_unref(why);
	if (rc == RMD_ENOTFOUND) {
		drop_pool_state(hub, pool->pool);
		return 0;
	}
	return rc < 0 ? rc : keep_pool_state(hub, pool);
}

int rmd_hub_take_parcel(struct rmd_hub *hub, uint64_t number,
			struct rmd_piece *ret_payload)
{
	struct rmd_parcel *parcel = rmd_map_take(&hub->parcels, number);
	if (parcel == NULL)
		return RMD_EPROTO;
	*ret_payload = parcel->payload;
	hub->parcel_bytes -= parcel->payload.bytes.len;
	rmd_free(parcel);
	return 0;
}

static int take_outcome(struct rmd_hub *hub, const struct rmd_lease_outcome *said,
			struct rmd_buf *frame)
{
	struct rmd_core_agent_outcome outcome = {.lease = said->lease,
						 .outcome = {said->outcome.bytes, frame},
						 .began = said->began,
						 .worker = said->worker,
						 .run_ns = said->run_ns,
						 .cause = (enum rmd_core_cause)said->cause};
	struct rmd_piece parcel = {{NULL, 0}, NULL};
	struct rmd_buf *copy = NULL;
	rmd_hub_drop_progress(hub, said->lease);
	switch (said->outcome.kind) {
	case RMD_OUTCOME_VALUE:
		outcome.end = RMD_CORE_END_VALUE;
		break;
	case RMD_OUTCOME_ERROR:
		outcome.end = RMD_CORE_END_ERROR;
		outcome.error_type = rmd_error_type_of(said->outcome.bytes);
		break;
	case RMD_OUTCOME_CANCELLED:
		outcome.end = RMD_CORE_END_CANCELLED;
		break;
	case RMD_OUTCOME_VALUE_TRANSFER: {
		int rc = rmd_hub_take_parcel(hub, said->outcome.transfer, &parcel);
		if (rc < 0)
			return rc;
		outcome.end = RMD_CORE_END_VALUE;
		outcome.outcome = parcel;
		break;
	}
	case RMD_OUTCOME_VALUE_REFERENCE:
		return RMD_EPROTO; /* no reader gives it */
	}
	/* A held outcome must not pin the whole frame that it came in. */
	if (parcel.buf == NULL && outcome.outcome.bytes.len != 0) {
		copy = rmd_buf_copy(outcome.outcome.bytes);
		if (copy == NULL)
			return RMD_ENOMEM;
		outcome.outcome = (struct rmd_piece){rmd_buf_slice(copy), copy};
	}
	int rc = rmd_core_agent_outcome(hub->coordinator->core, rmd_clock_mono_ms(),
					hub->agent, &outcome);
	rmd_piece_unref(parcel);
	rmd_buf_unref(copy);
	return rc == RMD_ENOTFOUND ? 0 : rc;
}

static void take_log(struct rmd_hub *hub, const struct rmd_lease_log *said)
{
	struct rmd_coordinator *coordinator = hub->coordinator;
	struct rmd_core_task *task =
		said->lease == 0
			? NULL
			: rmd_core_agent_task(coordinator->core, hub->agent, said->lease);
	if (task == NULL && said->lease != 0)
		return; /* of a lease that is over */
	rmd_admin_log(coordinator->admin, hub, task, said->worker, &said->log);
	/* What a child prints is shown to whoever asked for the output of the first of
	 * its parents. */
	while (task != NULL && rmd_core_task_nested(task))
		task = rmd_core_task_parent(task);
	struct rmd_core_client *client = task == NULL ? NULL : rmd_core_task_client(task);
	if (client == NULL || !rmd_core_task_stream_logs(task))
		return;
	struct rmd_submitter *submitter = rmd_core_client_user(client);
	submitter->log(submitter, task, &said->log);
}

static int take_item(struct rmd_hub *hub, const struct rmd_attach_request_item *item,
		     struct rmd_buf *frame)
{
	struct rmd_core *core = hub->coordinator->core;
	uint64_t now_ms = rmd_clock_mono_ms();
	int rc = 0;
	if (hub->agent == NULL && item->kind != RMD_ATTACH_REQUEST_HELLO)
		return RMD_EPROTO;
	switch (item->kind) {
	case RMD_ATTACH_REQUEST_HELLO:
		return take_hello(hub, &item->hello);
	case RMD_ATTACH_REQUEST_CHUNK:
		return RMD_EPROTO; /* the link's own business */
	case RMD_ATTACH_REQUEST_LOG:
		take_log(hub, &item->log);
		return 0;
	case RMD_ATTACH_REQUEST_BEGAN:
		rc = rmd_core_agent_began(core, now_ms, hub->agent, item->number);
		break;
	case RMD_ATTACH_REQUEST_OUTCOME:
		return take_outcome(hub, &item->outcome, frame);
	case RMD_ATTACH_REQUEST_RETURNED:
		rmd_hub_drop_progress(hub, item->number);
		rc = rmd_core_agent_returned(core, now_ms, hub->agent, item->number);
		break;
	case RMD_ATTACH_REQUEST_POOL:
		return take_pool(hub, &item->pool);
	case RMD_ATTACH_REQUEST_DRAINING:
		hub->draining = true;
		rmd_core_agent_draining(core, now_ms, hub->agent);
		return 0;
	case RMD_ATTACH_REQUEST_NESTED:
		return rmd_hub_take_nested(hub, &item->nested, frame);
	case RMD_ATTACH_REQUEST_NESTED_CANCEL:
		return rmd_hub_take_nested_cancel(hub, &item->nested_cancel);
	case RMD_ATTACH_REQUEST_WAIT:
		return rmd_hub_take_wait(hub, &item->wait);
	case RMD_ATTACH_REQUEST_PROGRESS:
		return rmd_hub_take_progress(hub, &item->progress);
	case RMD_ATTACH_REQUEST_IMAGE_WANTED:
		rmd_hub_send_image(hub, &item->digest);
		return 0;
	}
	return rc == RMD_ENOTFOUND ? 0 : rc;
}

static void on_frame(void *ctx, struct rmd_piece frame)
{
	struct rmd_hub *hub = ctx;
	RMD_CHECK_OBJ(hub, RMD_HUB_MAGIC);
	struct rmd_frame_reader reader = rmd_frame_reader_of(frame.bytes);
	struct rmd_attach_request_item item;
	int rc = 0;
	if (hub->cutting)
		return;
	while ((rc = rmd_attach_request_next(&reader, &item)) > 0)
		if ((rc = take_item(hub, &item, frame.buf)) < 0)
			break;
	if (rc < 0) {
		rmd_log(RMD_LOG_ERROR, "agent", "a bad frame: %s%s%s",
			rmd_errcode_text(rc), reader.field != NULL ? " at " : "",
			reader.field != NULL ? reader.field : "");
		rmd_hub_cut(hub, rmd_errcode_text(rc));
	}
	touch(hub);
}

static void on_transfer(void *ctx, uint64_t number, struct rmd_piece payload)
{
	struct rmd_hub *hub = ctx;
	RMD_CHECK_OBJ(hub, RMD_HUB_MAGIC);
	struct rmd_parcel *parcel = rmd_malloc(sizeof *parcel);
	if (parcel != NULL)
		parcel->payload = payload;
	uint64_t budget_bytes = hub->coordinator->options.payload_budget_bytes;
	if (parcel == NULL || hub->parcels.count >= TRANSFERS_HELD_MAX ||
	    hub->parcel_bytes > budget_bytes ||
	    payload.bytes.len > budget_bytes - hub->parcel_bytes ||
	    rmd_map_put(&hub->parcels, number, parcel) < 0) {
		rmd_free(parcel);
		rmd_piece_unref(payload);
		rmd_hub_cut(hub, "too many large outcomes, or the same number twice");
		return;
	}
	hub->parcel_bytes += payload.bytes.len;
}

static const struct rmd_link_events link_events = {
	.frame = on_frame,
	.transfer = on_transfer,
	.lost = on_lost,
};

int rmd_hub_create(struct rmd_coordinator *coordinator, struct rmd_link *link, bool own)
{
	struct rmd_hub *hub = rmd_calloc(1, sizeof *hub);
	if (hub == NULL) {
		rmd_link_destroy(link);
		return RMD_ENOMEM;
	}
	uint64_t seed;
	rmd_random_bytes(&seed, sizeof seed);
	hub->magic = RMD_HUB_MAGIC;
	hub->coordinator = coordinator;
	hub->link = link;
	hub->own = own;
	hub->cut.run = run_cut;
	rmd_map_init(&hub->parcels, seed);
	rmd_map_init(&hub->progress, seed);
	rmd_map_init(&hub->pool_states, seed);
	rmd_map_init(&hub->modules_sent, seed);
	TAILQ_INSERT_TAIL(&coordinator->hubs, hub, next);
	rmd_link_listen(link, &link_events, hub);
	return 0;
}

struct rmd_hub *rmd_hub_next(struct rmd_coordinator *coordinator, struct rmd_hub *hub)
{
	return hub == NULL ? TAILQ_FIRST(&coordinator->hubs) : TAILQ_NEXT(hub, next);
}

/* ---- what the core wants ---- */

static uint64_t deadline_left_ms(const struct rmd_core_task *task)
{
	uint64_t deadline_ms = rmd_core_task_deadline_ms(task);
	uint64_t run_ms = rmd_core_task_run_deadline_ms(task);
	if (deadline_ms == 0)
		return run_ms;
	uint64_t now_ms = rmd_clock_mono_ms();
	uint64_t left_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 1;
	return run_ms != 0 && run_ms < left_ms ? run_ms : left_ms;
}

uint64_t rmd_hub_send_ahead(struct rmd_hub *hub, struct rmd_piece payload)
{
	if (payload.bytes.len <= INLINE_MAX_BYTES || payload.buf == NULL)
		return 0;
	uint64_t number = ++hub->last_transfer;
	if (rmd_link_send_transfer(hub->link, number, rmd_piece_ref(payload)) < 0)
		rmd_hub_cut(hub, "out of memory for a transfer");
	return number;
}

void rmd_hub_grant(struct rmd_hub *hub, struct rmd_core_task *task)
{
	RMD_CHECK_OBJ(hub, RMD_HUB_MAGIC);
	if (hub->link == NULL)
		return; /* the agent is being given up: the core will be told */
	struct rmd_piece payload = rmd_core_task_payload(task);
	uint64_t ahead = rmd_hub_send_ahead(hub, payload);
	struct rmd_lease_grant lease = {
		.lease = rmd_core_task_lease(task),
		.pool = rmd_core_pool_number(rmd_core_task_pool(task)),
		.function = rmd_core_task_function(task),
		.arguments = ahead == 0 ? payload.bytes : (struct rmd_slice){NULL, 0},
		.arguments_transfer = ahead,
		.attempt = rmd_core_task_attempt(task),
		.deadline_ms = deadline_left_ms(task),
		.stream_logs = rmd_core_task_stream_logs(task) ||
			       rmd_admin_logs_wanted(hub->coordinator->admin),
		.depth = rmd_core_task_depth(task),
	};
	rmd_attach_response_put_lease(rmd_link_begin(hub->link), &lease, payload.buf);
	rmd_link_end(hub->link);
}

void rmd_hub_cancel(struct rmd_hub *hub, uint64_t lease)
{
	RMD_CHECK_OBJ(hub, RMD_HUB_MAGIC);
	if (hub->link == NULL)
		return;
	rmd_attach_response_put_cancels(rmd_link_begin(hub->link), &lease, 1);
	rmd_link_end(hub->link);
}

void rmd_hub_recall(struct rmd_hub *hub, struct rmd_core_pool *pool, uint32_t leases)
{
	RMD_CHECK_OBJ(hub, RMD_HUB_MAGIC);
	if (hub->link == NULL)
		return;
	struct rmd_recall recall = {rmd_core_pool_number(pool), leases};
	rmd_attach_response_put_recall(rmd_link_begin(hub->link), &recall);
	rmd_link_end(hub->link);
}

/* The modules that a pool's workers load go to the agent once, before the pool. */
static void send_modules(struct rmd_hub *hub, const struct rmd_pool_spec *spec)
{
	for (size_t i = 0; i < spec->module_count; i++) {
		struct rmd_blob *blob = rmd_blobs_find(
			hub->coordinator->blobs, &spec->modules[i], rmd_clock_mono_ms());
		uint64_t key;
		memcpy(&key, spec->modules[i].bytes, sizeof key);
		if (blob == NULL || rmd_map_put(&hub->modules_sent, key, hub) < 0)
			continue; /* gone: the agent says which it lacks; or sent before
				   */
		struct rmd_module_image image = {.digest = blob->digest,
						 .transfer = ++hub->last_transfer,
						 .name = rmd_slice_of_string(blob->name)};
		if (rmd_link_send_transfer(hub->link, image.transfer,
					   rmd_piece_ref(blob->bytes)) < 0)
			rmd_hub_cut(hub, "out of memory for a module");
		rmd_attach_response_put_module(rmd_link_begin(hub->link), &image);
		rmd_link_end(hub->link);
	}
}

void rmd_hub_order(struct rmd_hub *hub, struct rmd_core_pool *pool,
		   const struct rmd_core_order *order)
{
	RMD_CHECK_OBJ(hub, RMD_HUB_MAGIC);
	if (hub->link == NULL)
		return;
	struct rmd_core_pool_info info;
	rmd_core_pool_info(pool, &info);
	struct rmd_set_pool set = {.pool = info.number,
				   .has_spec = order->first,
				   .raw_spec = info.spec.bytes,
				   .workers = order->workers,
				   .closed = order->closed,
				   .kill = order->kill};
	struct rmd_pool_spec *spec = NULL;
	const char *field;
	if (order->first && rmd_pool_spec_read(info.spec.bytes, &spec, &field) == 0)
		send_modules(hub, spec);
	rmd_pool_spec_free(spec);
	rmd_attach_response_put_set_pool(rmd_link_begin(hub->link), &set);
	rmd_link_end(hub->link);
	if (order->closed)
		drop_pool_state(hub, info.number);
}

/* ---- for Admin ---- */

struct rmd_core_agent *rmd_hub_agent(const struct rmd_hub *hub)
{
	return hub->agent;
}

struct rmd_slice rmd_hub_hello(const struct rmd_hub *hub)
{
	return hub->hello == NULL ? (struct rmd_slice){NULL, 0}
				  : rmd_buf_slice(hub->hello);
}

struct rmd_slice rmd_hub_pool_state(const struct rmd_hub *hub, uint64_t pool)
{
	const struct rmd_buf *state = rmd_map_get(&hub->pool_states, pool);
	return state == NULL ? (struct rmd_slice){NULL, 0} : rmd_buf_slice(state);
}
