/* server/core/index.h: the tasks of one client by number.
 *
 * Numbers rise by one, so the index keeps pages of 16 neighbours: about 10 bytes a task,
 * and neighbours share a cache line. Numbers with large gaps work too, at a page each.
 * Core thread only. The index owns its pages, not the tasks. */
#pragma once

#include <stdint.h>

#include "proto/base/map.h"

struct rmd_core_task;
struct rmd_core_page;

struct rmd_core_index {
	struct rmd_map pages;
	struct rmd_core_page *last; /* the one used last, or NULL */
};

void rmd_core_index_init(struct rmd_core_index *index, uint64_t seed);
/* Frees the pages. */
void rmd_core_index_fini(struct rmd_core_index *index);
/* Puts `task` under `number`, which is free. RMD_ENOMEM: nothing changed. */
int rmd_core_index_put(struct rmd_core_index *index, uint64_t number,
		       struct rmd_core_task *task);
/* Puts another task in the place of the one under `number`. */
void rmd_core_index_replace(struct rmd_core_index *index, uint64_t number,
			    struct rmd_core_task *task);
/* The task under `number`, or NULL. */
struct rmd_core_task *rmd_core_index_get(const struct rmd_core_index *index,
					 uint64_t number);
/* Takes the task under `number`, which is there, out. */
void rmd_core_index_drop(struct rmd_core_index *index, uint64_t number);
