/* server/service/map.c: Executor.Map: one function over many items, in one call. */
#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "server/service/executor.h"

#define MAP_MAGIC 0x3a900001u
#define PENDING_BYTES_MAX (1u << 20) /* unsent: beyond it outcomes wait in the core */

struct map_call;

struct item {
	struct rmd_waiter waiter; /* first */
	struct map_call *map;
	uint64_t number;	 /* of its task; 0: it was refused, or is sent */
	struct rmd_buf *refused; /* its ErrorChain */
	uint32_t index;
	uint32_t next_done; /* 1 + index of the item that ended next; 0: none */
	bool done;
};

struct map_call {
	uint32_t magic;
	struct rmd_executor *executor;
	struct rmd_stream *stream;
	struct rmd_deferred pump;
	bool requested, unordered, closed;
	uint64_t inline_max_bytes;
	uint32_t count, sent;
	uint32_t first_done, last_done; /* unordered: 1 + index; 0: none */
	struct item *items;
};

static void mark_done(struct map_call *map, struct item *item)
{
	item->done = true;
	if (map->last_done != 0)
		map->items[map->last_done - 1].next_done = item->index + 1;
	else
		map->first_done = item->index + 1;
	map->last_done = item->index + 1;
}

/* In the port: the core may not be asked for anything now, so the pump does the rest. */
static void item_ended(struct rmd_waiter *waiter, struct rmd_ticket *ticket,
		       const struct rmd_outcome *outcome, struct rmd_buf *buf)
{
	struct item *item = (struct item *)waiter;
	struct map_call *map = item->map;
	RMD_CHECK_OBJ(map, MAP_MAGIC);
	(void)outcome;
	(void)buf;
	ticket->held = true; /* until the pump has sent it */
	mark_done(map, item);
	rmd_loop_defer(map->executor->coordinator->loop, &map->pump);
}

static struct item *next_to_send(struct map_call *map)
{
	struct item *item;
	if (!map->unordered)
		return map->sent < map->count && map->items[map->sent].done
			       ? &map->items[map->sent]
			       : NULL;
	if (map->first_done == 0)
		return NULL;
	item = &map->items[map->first_done - 1];
	map->first_done = item->next_done;
	if (map->first_done == 0)
		map->last_done = 0;
	return item;
}

/* `ticket` NULL: the item was refused. */
static void send_item(struct map_call *map, const struct item *item,
		      struct rmd_ticket *ticket, const struct rmd_outcome *outcome,
		      struct rmd_buf *buf)
{
	struct rmd_task_id id = rmd_executor_task_id(map->executor, item->number);
	struct rmd_buf *made;
	struct rmd_outcome sent =
		rmd_outcome_fit(&id, ticket, map->inline_max_bytes, outcome, &made);
	rmd_map_response_put(rmd_stream_begin(map->stream), item->index, &sent,
			     made != NULL ? made : buf);
	rmd_stream_end_message(map->stream);
	rmd_buf_unref(made);
}

static void send_done(struct map_call *map, struct item *item)
{
	struct rmd_outcome outcome = {.kind = RMD_OUTCOME_ERROR};
	if (item->number == 0) {
		if (item->refused != NULL)
			outcome.bytes = rmd_buf_slice(item->refused);
		send_item(map, item, NULL, &outcome, item->refused);
		return;
	}
	struct rmd_core_task *task =
		rmd_core_task_find(map->executor->client, item->number);
	struct rmd_buf *buf;
	RMD_CHECK(task != NULL);
	rmd_outcome_make(task, rmd_core_task_end(task), rmd_core_task_outcome(task),
			 &outcome, &buf);
	struct rmd_ticket *ticket = rmd_ticket_of(task);
	send_item(map, item, ticket, &outcome, buf);
	rmd_buf_unref(buf);
	item->number = 0; /* no task of this call any more */
	if (ticket->retained)
		rmd_ticket_keep(map->executor, ticket);
	else
		rmd_ticket_forget(map->executor, ticket);
}

static void pump(struct map_call *map)
{
	struct item *item;
	while (rmd_stream_pending_bytes(map->stream) < PENDING_BYTES_MAX &&
	       (item = next_to_send(map)) != NULL) {
		send_done(map, item);
		map->sent++;
	}
	if (map->sent == map->count)
		rmd_stream_finish(map->stream, RMD_RPC_OK, "");
	rmd_coordinator_touch(map->executor->coordinator);
}

static void map_free(struct map_call *map)
{
	for (uint32_t i = 0; i < map->count; i++)
		rmd_buf_unref(map->items[i].refused);
	rmd_free(map->items);
	map->magic = 0;
	rmd_free(map);
}

static void on_pump(struct rmd_deferred *deferred)
{
	struct map_call *map =
		(struct map_call *)((char *)deferred - offsetof(struct map_call, pump));
	RMD_CHECK_OBJ(map, MAP_MAGIC);
	if (map->closed)
		map_free(map);
	else
		pump(map);
}

static void submit_item(struct map_call *map, const struct rmd_map_request *request,
			struct item *item, struct rmd_slice value)
{
	struct rmd_ticket *ticket = NULL;
	struct rmd_buf *arguments = rmd_arguments_of_value(value);
	int rc = arguments == NULL
			 ? RMD_ENOMEM
			 : rmd_ticket_submit(map->executor, request->function,
					     request->pool, &request->options, arguments,
					     false, &ticket, &item->refused);
	rmd_buf_unref(arguments);
	if (rc < 0) {
		mark_done(map, item);
		return;
	}
	item->number = ticket->number;
	rmd_ticket_wait(ticket, &item->waiter);
}

static void on_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct map_call *map = ctx;
	RMD_CHECK_OBJ(map, MAP_MAGIC);
	struct rmd_map_request request;
	const char *field = NULL;
	if (map->requested)
		return;
	map->requested = true;
	int rc = rmd_map_request_read(message.bytes, &request, &field);
	if (rc == 0) {
		map->items = rmd_calloc(request.item_count, sizeof *map->items);
		if (map->items == NULL)
			rc = RMD_ENOMEM;
	}
	if (rc < 0) {
		rmd_call_bad_request(stream, rc, field);
		return;
	}
	map->count = request.item_count;
	map->unordered = request.unordered;
	map->inline_max_bytes = request.inline_max_bytes;
	size_t cursor = 0;
	struct rmd_slice value;
	for (uint32_t i = 0; i < map->count; i++) {
		struct item *item = &map->items[i];
		item->map = map;
		item->index = i;
		item->waiter.ended = item_ended;
		if (rmd_map_request_next_item(&request, &cursor, &value))
			submit_item(map, &request, item, value);
	}
	rmd_loop_defer(map->executor->coordinator->loop, &map->pump);
}

static void on_half_closed(struct rmd_stream *stream, void *ctx)
{
	const struct map_call *map = ctx;
	if (!map->requested)
		rmd_call_bad_request(stream, RMD_ETRUNC, "the request message");
}

static void on_drained(struct rmd_stream *stream, void *ctx)
{
	struct map_call *map = ctx;
	RMD_CHECK_OBJ(map, MAP_MAGIC);
	(void)stream;
	if (map->requested && map->sent < map->count)
		rmd_loop_defer(map->executor->coordinator->loop, &map->pump);
}

/* The caller is gone: what has not ended is cancelled, what has is forgotten. */
static void on_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
		      const char *text)
{
	struct map_call *map = ctx;
	RMD_CHECK_OBJ(map, MAP_MAGIC);
	(void)stream;
	(void)status;
	(void)text;
	struct rmd_coordinator *coordinator = map->executor->coordinator;
	map->closed = true;
	for (uint32_t i = 0; i < map->count; i++) {
		struct item *item = &map->items[i];
		rmd_waiter_leave(&item->waiter);
		struct rmd_core_task *task =
			item->number == 0
				? NULL
				: rmd_core_task_find(map->executor->client, item->number);
		if (task == NULL)
			continue;
		if (rmd_core_task_state(task) == RMD_CORE_TASK_DONE)
			rmd_ticket_forget(map->executor, rmd_ticket_of(task));
		else
			rmd_core_cancel(coordinator->core, rmd_clock_mono_ms(), task,
					RMD_CORE_END_CLIENT_GONE);
	}
	rmd_coordinator_touch(coordinator);
	rmd_loop_defer(coordinator->loop, &map->pump);
}

static const struct rmd_stream_events map_events = {
	.message = on_message,
	.half_closed = on_half_closed,
	.drained = on_drained,
	.closed = on_closed,
};

void rmd_map_open(struct rmd_stream *stream, void *executor)
{
	struct map_call *map = rmd_calloc(1, sizeof *map);
	if (map == NULL) {
		rmd_stream_finish(stream, RMD_RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	map->magic = MAP_MAGIC;
	map->executor = executor;
	map->stream = stream;
	map->pump.run = on_pump;
	rmd_stream_listen(stream, &map_events, map);
}
