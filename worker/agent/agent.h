/* worker/agent/agent.h: an agent: starts, watches and stops workers for a coordinator.
 *
 * Runs on one thread of its own, on epoll. Used by the program remuda-agent (link: a gRPC
 * stream) and by remudad for its built-in agent (direct link). Speaks AttachRequest and
 * AttachResponse over its link. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/link/link.h"

struct rmd_agent;

struct rmd_agent_options {
	const char *name;            /* NULL: the host name */
	const char *version;
	uint32_t workers_max;        /* 0: what cpu_milli gives */
	uint32_t cpu_milli;          /* 0: the cpus this process may use */
	const char *worker_path;     /* program of native workers; NULL: beside our own */
	const char *const *modules;  /* paths of modules that every native worker loads */
	size_t module_count;
	int spawner_fd;              /* from rmd_spawner_start; the agent owns it */
	int spawner_pid;
	const char *run_dir;         /* for module files; NULL: memfds only */
	uint64_t stop_grace_ms;      /* TERM to KILL; 0: 5000 */
};

/* Starts the agent's thread. `link` is the agent's end; the agent owns it. The link's events
 * must be delivered on the agent's thread: by rmd_agent_post. NULL: errno says why. */
struct rmd_agent *rmd_agent_start(const struct rmd_agent_options *options, struct rmd_link *link);

/* (any thread) Has `run(arg)` called on the agent's thread; in order; one wake for what gathers. 0 or RMD_ENOMEM. */
int rmd_agent_post(struct rmd_agent *agent, void (*run)(void *arg), void *arg);

/* (any thread) Begins nothing new, gives back what has not begun, leaves when all has ended. */
void rmd_agent_drain(struct rmd_agent *agent);

/* Ends the agent: kills its workers, joins its thread, frees it. NULL is allowed. */
void rmd_agent_stop(struct rmd_agent *agent);

/* (any thread) True when its link is lost and all workers are gone. */
bool rmd_agent_finished(const struct rmd_agent *agent);
