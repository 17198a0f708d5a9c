#include "client/c/src/table.h"

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"

#define SEGMENT_TASKS 512u
#define RING_MIN      8u

struct rmd_table_segment {
	size_t live;
	struct remuda_future *futures[SEGMENT_TASKS];
};

void rmd_table_init(struct rmd_table *table, uint64_t next)
{
	*table = (struct rmd_table){.first = next / SEGMENT_TASKS};
}

void rmd_table_fini(struct rmd_table *table)
{
	RMD_CHECK(table->live == 0);
	for (size_t i = 0; i < table->count; i++)
		rmd_free(table->segments[(table->first + i) & (table->capacity - 1)]);
	rmd_free(table->segments);
	rmd_free(table->spare);
	*table = (struct rmd_table){0};
}

/* The place in the ring for `number`, or NULL where the ring does not reach. */
static struct rmd_table_segment **place_of(const struct rmd_table *table, uint64_t number)
{
	uint64_t segment = number / SEGMENT_TASKS;
	if (segment < table->first || segment - table->first >= table->count)
		return NULL;
	return &table->segments[segment & (table->capacity - 1)];
}

static int ring_grow(struct rmd_table *table)
{
	size_t capacity = table->capacity == 0 ? RING_MIN : table->capacity * 2;
	struct rmd_table_segment **ring =
		rmd_calloc(capacity, sizeof(struct rmd_table_segment *));
	if (ring == NULL)
		return RMD_ENOMEM;
	for (size_t i = 0; i < table->count; i++)
		ring[(table->first + i) & (capacity - 1)] =
			table->segments[(table->first + i) & (table->capacity - 1)];
	rmd_free(table->segments);
	table->segments = ring;
	table->capacity = capacity;
	return 0;
}

/* An empty segment behind which newer ones stand is of no more use; the newest one stays.
 */
static void segment_retire(struct rmd_table *table, uint64_t segment)
{
	if (segment - table->first + 1 == table->count)
		return;
	struct rmd_table_segment **place =
		&table->segments[segment & (table->capacity - 1)];
	if (table->spare == NULL)
		table->spare = *place;
	else
		rmd_free(*place);
	*place = NULL;
	while (table->count > 1 &&
	       table->segments[table->first & (table->capacity - 1)] == NULL) {
		table->first++;
		table->count--;
	}
}

/* Makes the ring reach `segment` (at most one beyond its end) with memory behind it. */
static int segment_reach(struct rmd_table *table, uint64_t segment)
{
	if (table->count == 0)
		table->first = segment;
	RMD_CHECK(segment >= table->first && segment - table->first <= table->count);
	if (segment - table->first == table->count) {
		if (table->count == table->capacity && ring_grow(table) < 0)
			return RMD_ENOMEM;
		table->segments[segment & (table->capacity - 1)] = NULL;
		table->count++;
	}
	struct rmd_table_segment **place =
		&table->segments[segment & (table->capacity - 1)];
	if (*place == NULL) {
		*place = table->spare != NULL ? table->spare : rmd_malloc(sizeof **place);
		table->spare = NULL;
		if (*place == NULL)
			return RMD_ENOMEM;
		**place = (struct rmd_table_segment){0};
	}
	if (segment > table->first) { /* the newest until now may have run empty before */
		struct rmd_table_segment *before =
			table->segments[(segment - 1) & (table->capacity - 1)];
		if (before != NULL && before->live == 0)
			segment_retire(table, segment - 1);
	}
	return 0;
}

int rmd_table_put(struct rmd_table *table, uint64_t number, struct remuda_future *future)
{
	struct rmd_table_segment **place = place_of(table, number);
	if (place == NULL || *place == NULL) {
		if (segment_reach(table, number / SEGMENT_TASKS) < 0)
			return RMD_ENOMEM;
		place = place_of(table, number);
	}
	RMD_CHECK((*place)->futures[number % SEGMENT_TASKS] == NULL);
	(*place)->futures[number % SEGMENT_TASKS] = future;
	(*place)->live++;
	table->live++;
	return 0;
}

struct remuda_future *rmd_table_get(const struct rmd_table *table, uint64_t number)
{
	struct rmd_table_segment **place = place_of(table, number);
	return place == NULL || *place == NULL
		       ? NULL
		       : (*place)->futures[number % SEGMENT_TASKS];
}

struct remuda_future *rmd_table_take(struct rmd_table *table, uint64_t number)
{
	struct rmd_table_segment **place = place_of(table, number);
	if (place == NULL || *place == NULL)
		return NULL;
	struct remuda_future *future = (*place)->futures[number % SEGMENT_TASKS];
	if (future == NULL)
		return NULL;
	(*place)->futures[number % SEGMENT_TASKS] = NULL;
	table->live--;
	if (--(*place)->live == 0)
		segment_retire(table, number / SEGMENT_TASKS);
	return future;
}

struct remuda_future *rmd_table_next(const struct rmd_table *table, uint64_t *number)
{
	uint64_t at = *number;
	if (at / SEGMENT_TASKS < table->first)
		at = table->first * SEGMENT_TASKS;
	struct rmd_table_segment **place;
	while ((place = place_of(table, at)) != NULL) {
		struct remuda_future *future =
			*place == NULL ? NULL : (*place)->futures[at % SEGMENT_TASKS];
		if (future != NULL) {
			*number = at;
			return future;
		}
		at = *place == NULL ? (at / SEGMENT_TASKS + 1) * SEGMENT_TASKS : at + 1;
	}
	return NULL;
}
