/* tests/unit/agent/rig.h: a coordinator for tests, played over a real agent.
 *
 * The agent, its thread and its spawner are real; the link is ours, and so is the program
 * of the workers: this test program itself, which fake_worker_main makes one. Functions
 * of that worker (in pools of runtime "native"): fake_worker.c. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/codec/frames_agent.h"
#include "proto/error/chain.h"
#include "worker/agent/agent.h"

#define RIG_LEASES_MAX 200001u
#define RIG_WORKERS_MAX 64u
#define RIG_WAIT_MS 30000

enum rig_end { RIG_OPEN, RIG_VALUE, RIG_ERROR, RIG_CANCELLED, RIG_RETURNED };

/* What was heard of one lease. */
struct rig_lease {
	enum rig_end end;
	uint8_t ends; /* how often it has ended */
	bool began_told, began;
	bool logged, logged_late;	   /* late: after its end */
	bool waiting;			   /* for its children */
	uint32_t waits;			   /* how often it began to */
	uint64_t nested, nested_cancelled; /* numbers of the last child, and cancel */
	uint64_t progress_done, progress_total;
	uint32_t progress_told;
	uint64_t worker;
	uint32_t bytes_len;
	uint8_t *bytes; /* value or chain, if not empty */
	char log[128];
};

struct rig_pool {
	uint32_t slots, idle, worker_count, reports, start_failures;
	struct rmd_agent_worker workers[RIG_WORKERS_MAX];
	char *start_error; /* printed chain */
	bool broken;
};

struct rig {
	struct rmd_link link; /* first */
	struct rmd_agent *agent;
	pid_t spawner_pid;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct rmd_wire_writer writer; /* the agent's item under way */
	struct rmd_wire_writer out;    /* what the test sends next */
	bool hello, draining, lost_told, link_destroyed, closed;
	struct rig_lease *leases; /* by number */
	struct rig_pool pools[8]; /* by number */
	uint64_t ended, returned, values;
	uint64_t transfer; /* last transfer that came */
	struct rmd_piece transfer_bytes;
	uint64_t most_open_transfers;
	uint32_t images_wanted;
	struct rmd_digest image_wanted; /* the last */
	struct rmd_nested_submit nested; /* the last; of its slices: */
	char nested_function[64], nested_pool[64], nested_arguments[64];
};

/* Starts an agent. `options` NULL: defaults with short graces. */
struct rig *rig_start(const struct rmd_agent_options *options);
/* Stops it, and checks that no process and no lease that ended twice is left. */
void rig_stop(struct rig *rig);

/* ---- what the coordinator says: gathers until rig_send ---- */
struct rig_spec {
	const char *environment; /* "NAME=VALUE" or NULL */
	const char *runtime;	 /* NULL: native */
	const struct rmd_digest *module;
	uint32_t max_tasks_per_worker;
	const char *initializer, *initializer_arguments; /* NULL: none */
	bool broken_on_crash;
};
void rig_pool(struct rig *rig, uint64_t pool, uint32_t workers,
	      const struct rig_spec *spec);
void rig_close_pool(struct rig *rig, uint64_t pool, bool kill);
void rig_lease(struct rig *rig, uint64_t pool, uint64_t lease, const char *function,
	       const char *arguments);
/* As rig_lease; its output is wanted. */
void rig_lease_logged(struct rig *rig, uint64_t pool, uint64_t lease,
		      const char *function, const char *arguments);
/* Any bytes as arguments. */
void rig_lease_bytes(struct rig *rig, uint64_t pool, uint64_t lease, const char *function,
		     struct rmd_slice arguments);
void rig_cancel(struct rig *rig, uint64_t lease);
void rig_recall(struct rig *rig, uint64_t pool, uint32_t leases);
/* A child has ended, in that way. */
void rig_nested(struct rig *rig, uint64_t lease, uint64_t number,
		enum rmd_outcome_kind kind, const char *payload);
void rig_nested_transfer(struct rig *rig, uint64_t lease, uint64_t number,
			 uint64_t transfer);
void rig_send(struct rig *rig);
/* Delivers a transfer (takes the reference). */
void rig_transfer(struct rig *rig, uint64_t number, struct rmd_piece payload);
/* The link is lost. */
void rig_lose(struct rig *rig);

/* ---- waiting: fails the test after RIG_WAIT_MS ---- */
/* Waits until `condition` (with rig->lock held) is true. */
#define RIG_WAIT(rig, condition)                                      \
	do {                                                          \
		pthread_mutex_lock(&(rig)->lock);                     \
		while (!(condition))                                  \
			rig_wait_change((rig), #condition, __LINE__); \
		pthread_mutex_unlock(&(rig)->lock);                   \
	} while (0)
void rig_wait_change(struct rig *rig, const char *what, int line);
void rig_wait_end(struct rig *rig, uint64_t lease, enum rig_end end);
/* The pids of the pool's workers in a state, as last reported; gives the number. */
uint32_t rig_workers(struct rig *rig, uint64_t pool, enum rmd_worker_state state,
		     pid_t *ret_pids, uint32_t room);
/* The error of a lease that ended in RIG_ERROR; remuda_error_free. */
struct remuda_error *rig_error(struct rig *rig, uint64_t lease);
/* The value of a lease as text; "" where there is none. In a static buffer. */
const char *rig_text(struct rig *rig, uint64_t lease);
/* Waits until process `pid` is no more (or a zombie). */
void await_end_of(pid_t pid);

/* Runs this process as a worker, if argv[0] says so. */
void fake_worker_main(int argc, char **argv);
