/* client/c/src/table.h: the open tasks of a session, by number.
 *
 * Numbers rise by one and most tasks end roughly in order, so this is a window of arrays
 * and no hash: 8 bytes a task, one store to put, one load to take. An array whose tasks
 * have all ended is freed, however long an older task goes on. Its user locks. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct remuda_future;
struct rmd_table_segment;

struct rmd_table {
	struct rmd_table_segment **segments; /* ring; capacity is a power of two */
	size_t capacity;
	uint64_t first;              /* segment number of the oldest in the ring */
	size_t count; /* segments in the ring, freed ones (NULL) among them */
	size_t live;                 /* tasks */
	struct rmd_table_segment *spare; /* one that is kept for the next need, or NULL */
};

/* Makes an empty table whose next number is `next`. */
void rmd_table_init(struct rmd_table *table, uint64_t next);
/* Frees it; it must hold no task. */
void rmd_table_fini(struct rmd_table *table);
/* Puts `future` under `number`, which must be the next one. RMD_ENOMEM: nothing changed.
 */
int rmd_table_put(struct rmd_table *table, uint64_t number, struct remuda_future *future);
/* The task under `number`, or NULL. */
struct remuda_future *rmd_table_get(const struct rmd_table *table, uint64_t number);
/* Takes the task under `number` out, or NULL. */
struct remuda_future *rmd_table_take(struct rmd_table *table, uint64_t number);
/* Walks upwards: the first task with a number of at least *number, which is set to it; or
 * NULL. */
struct remuda_future *rmd_table_next(const struct rmd_table *table, uint64_t *number);
