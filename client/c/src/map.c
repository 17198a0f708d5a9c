/* remuda_map: a source of items on one side, futures that have ended on the other, and a
 * bounded number of tasks in between.
 *
 * In order: a ring of futures, index modulo the window. As completed: futures come back
 * through a done queue of the map's own, each with its index as its ctx. */
#include <stddef.h>
#include <string.h>

#include "client/c/src/client.h"
#include "client/c/src/future.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"

#define WINDOW_DEFAULT 4096u
#define WINDOW_MAX     (1u << 20)

struct remuda_mapping {
	struct remuda *client;
	char *function;
	struct remuda_task_options task;
	bool has_task;
	bool as_completed;
	uint32_t window, chunk;
	remuda_source_fn *source;
	void *source_ctx;
	int source_end; /* 1: there may be more; 0: none; negative: the source's code */
	uint64_t submitted, given;   /* items; those in between are in the window */
	struct remuda_future *
		*ring; /* [index % window]; as_completed: a place for each open one */
	uint32_t *free_places;       /* as_completed: places in the ring that are free */
	uint32_t free_count;
	struct map_place *places;    /* as_completed */
	struct rmd_done_queue queue;
	/* The source of remuda_map_array. */
	const struct remuda_value *items;
	size_t item_count, item_next;
	struct remuda_arg item;
};

/* Which item a future that comes back belongs to. */
struct map_place {
	uint64_t index;
	uint32_t place;
};

static int array_source(void *ctx, struct remuda_item *ret_item)
{
	struct remuda_mapping *map = ctx;
	if (map->item_next == map->item_count)
		return 0;
	map->item = remuda_arg_value(map->items[map->item_next++]);
	*ret_item = (struct remuda_item){&map->item, 1};
	return 1;
}

/* Tables for the window. */
static bool map_reserve(struct remuda_mapping *map)
{
	map->ring = rmd_calloc(map->window, sizeof(struct remuda_future *));
	if (!map->as_completed)
		return map->ring != NULL;
	map->free_places = rmd_calloc(map->window, sizeof *map->free_places);
	map->places = rmd_calloc(map->window, sizeof *map->places);
	if (map->ring == NULL || map->free_places == NULL || map->places == NULL)
		return false;
	for (uint32_t i = 0; i < map->window; i++)
		map->free_places[map->free_count++] = i;
	return true;
}

static void map_free(struct remuda_mapping *map)
{
	rmd_done_queue_fini(&map->queue);
	rmd_client_unref(map->client);
	rmd_free(map->places);
	rmd_free(map->free_places);
	rmd_free(map->ring);
	rmd_free(map->function);
	rmd_free(map);
}

struct remuda_mapping *remuda_map(struct remuda *client, const char *function,
				  remuda_source_fn *source, void *ctx,
				  const struct remuda_map_options *options)
{
	struct remuda_map_options defaults = REMUDA_MAP_OPTIONS_INIT;
	if (options == NULL)
		options = &defaults;
	struct remuda_mapping *map = client == NULL ? NULL : rmd_calloc(1, sizeof *map);
	if (map == NULL)
		return NULL;
	rmd_done_queue_init(&map->queue);
	map->client = rmd_client_ref(client);
	map->function = rmd_strdup(function);
	map->window = options->window != 0 ? options->window : WINDOW_DEFAULT;
	if (map->window > WINDOW_MAX)
		map->window = WINDOW_MAX;
	map->chunk = options->chunk != 0 ? options->chunk : (map->window + 3) / 4;
	if (map->chunk > map->window)
		map->chunk = map->window;
	map->as_completed = options->as_completed;
	if (options->task != NULL) {
		map->task = *options->task;
		map->has_task = true;
	}
	map->source = source;
	map->source_ctx = ctx;
	map->source_end = 1;
	if (map->function != NULL && map_reserve(map))
		return map;
	map_free(map);
	return NULL;
}

struct remuda_mapping *remuda_map_array(struct remuda *client, const char *function,
				    const struct remuda_value *items, size_t count,
				    const struct remuda_map_options *options)
{
	struct remuda_mapping *map =
		remuda_map(client, function, array_source, NULL, options);
	if (map == NULL)
		return NULL;
	map->source_ctx = map;
	map->items = items;
	map->item_count = count;
	return map;
}

/* Draws one item and submits it: 0; RMD_EAGAIN: there is none; RMD_ENOMEM. */
static int submit_one(struct remuda_mapping *map)
{
	struct remuda_item item = {0};
	map->source_end = map->source(map->source_ctx, &item);
	if (map->source_end <= 0)
		return RMD_EAGAIN;
	struct remuda_call call = {
		.function = map->function,
		.options = map->has_task ? &map->task : NULL,
		.args = item.args,
		.count = item.count,
	};
	struct remuda_future *future = remuda_submit_call(map->client, &call);
	if (future == NULL)
		return RMD_ENOMEM;
	uint64_t index = map->submitted++;
	if (!map->as_completed) {
		map->ring[index % map->window] = future;
		return 0;
	}
	RMD_CHECK(map->free_count != 0);
	uint32_t at = map->free_places[--map->free_count];
	map->ring[at] = future;
	map->places[at] = (struct map_place){index, at};
	return rmd_future_hook(future, &map->queue, NULL, &map->places[at]);
}

/* Draws a chunk when there is room for one, so that its items go out together. */
static int refill(struct remuda_mapping *map)
{
	if (map->source_end <= 0 ||
	    map->window - (map->submitted - map->given) < map->chunk)
		return 0;
	for (uint32_t i = 0; i < map->chunk; i++) {
		int rc = submit_one(map);
		if (rc == RMD_EAGAIN)
			return 0;
		if (rc < 0) {
			map->source_end = rc;
			return rc;
		}
	}
	return 0;
}

static int take_in_order(struct remuda_mapping *map, uint64_t until_ns,
			 struct remuda_future **ret_future, uint64_t *ret_index)
{
	struct remuda_future **place = &map->ring[map->given % map->window];
	int64_t left_ms = -1;
	if (until_ns != UINT64_MAX) {
		uint64_t now_ns = rmd_until_ns(0);
		left_ms = now_ns >= until_ns
				  ? 0
				  : (int64_t)((until_ns - now_ns + 999999) / 1000000);
	}
	int code = remuda_wait(*place, left_ms);
	if (code < 0)
		return code;
	*ret_future = *place;
	*ret_index = map->given++;
	*place = NULL;
	return 0;
}

static int take_completed(struct remuda_mapping *map, uint64_t until_ns,
			  struct remuda_future **ret_future, uint64_t *ret_index)
{
	rmd_seat_need(&map->client->seat);
	struct remuda_future *future = rmd_done_queue_pop_wait(&map->queue, until_ns);
	rmd_seat_unneed(&map->client->seat);
	if (future == NULL)
		return REMUDA_ETIMEOUT;
	const struct map_place *place = future->done_ctx;
	*ret_future = future;
	*ret_index = place->index;
	map->ring[place->place] = NULL;
	map->free_places[map->free_count++] = place->place;
	map->given++;
	return 0;
}

int remuda_map_next(struct remuda_mapping *map, int64_t timeout_ms,
		    struct remuda_future **ret_future, uint64_t *ret_index)
{
	uint64_t index;
	if (map == NULL)
		return REMUDA_ENOMEM;
	if (rmd_client_forked(map->client))
		return REMUDA_EFORKED;
	uint64_t until_ns = rmd_until_ns(timeout_ms);
	int code = refill(map);
	if (map->submitted == map->given)
		return code < 0		     ? code
		       : map->source_end < 0 ? map->source_end
					     : REMUDA_ENOTFOUND;
	code = map->as_completed ? take_completed(map, until_ns, ret_future, &index)
				 : take_in_order(map, until_ns, ret_future, &index);
	if (code == 0 && ret_index != NULL)
		*ret_index = index;
	return code;
}

static void map_gone(struct rmd_done_queue *queue)
{
	map_free((
		struct remuda_mapping *)(void *)((char *)queue -
						 offsetof(struct remuda_mapping, queue)));
}

void remuda_map_close(struct remuda_mapping *map)
{
	if (map == NULL || rmd_client_forked(map->client))
		return;
	for (uint32_t i = 0; i < map->window; i++)
		remuda_cancel(map->ring[i]);
	if (map->as_completed) {
		/* The queue must stay until each has come through it. */
		rmd_done_queue_abandon(&map->queue, map_gone);
		return;
	}
	for (uint32_t i = 0; i < map->window; i++)
		rmd_future_unref(map->ring[i]);
	map_free(map);
}
