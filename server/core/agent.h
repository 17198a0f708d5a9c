/* server/core/agent.h: an agent, from the inside. Core thread only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proto/base/map.h"
#include "server/core/core.h"
#include "server/core/ledger.h"

/* Room for workers that is taken. */
struct rmd_core_load {
	uint64_t workers, cpu_milli, memory_bytes;
};

struct rmd_core_agent {
	uint32_t magic;
	bool draining, private_local;
	struct rmd_core *core;
	uint64_t number;
	void *user;
	char *name; /* this and what follows lie behind the struct */
	struct rmd_slice *runtimes;
	size_t runtime_count;
	struct rmd_core_label *labels;
	size_t label_count;
	uint32_t cpu_milli, workers_max;
	uint64_t memory_bytes;
	struct rmd_core_load occupied; /* by workers that it has or should have */
	struct rmd_core_load wanted;   /* by workers that it should have */
	uint64_t held;		       /* leases */
	struct rmd_core_pool *promised_to; /* who gets the room that comes, or NULL */
	struct rmd_map ledgers_by_pool;
	struct rmd_core_ledger_list ledgers;
	LIST_HEAD(, rmd_core_ledger) staffed; /* ledgers with wanted workers */
	TAILQ_ENTRY(rmd_core_agent) link;
};

/* Frees it; it has no ledgers. */
void rmd_core_agent_free(struct rmd_core_agent *agent);
