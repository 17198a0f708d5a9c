/* worker/agent/agent.h: an agent: starts, watches and stops workers for a coordinator.
 *
 * Runs on one thread of its own, on epoll; where that sleeps another may do a round of its
 * work (rmd_agent_try_run): "the agent's thread" is whoever does. Used by the program
 * remuda-agent (link: a gRPC stream) and by remudad for its built-in agent (direct link).
 * Speaks AttachRequest and AttachResponse over its link. One link is an agent's whole life:
 * when it is lost, the agent begins nothing more, ends its workers and is finished. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/link/link.h"

struct rmd_agent;

/* Settings; those not named are 0 and get the default that their comment says. Texts are
 * borrowed for the call of rmd_agent_start (copied). */
struct rmd_agent_options {
	const char *name;	    /* NULL: the host name */
	const char *version;	    /* NULL: this program's */
	uint32_t workers_max;	    /* 0: what cpu_milli gives; said to the coordinator */
	uint32_t cpu_milli;	    /* 0: the cpus this process may use */
	const char *worker_path;    /* program of native workers; NULL: beside our own */
	const char *crash_path;	    /* program of crash helpers; NULL: beside our own */
	const char *const *modules; /* paths of modules that every native worker loads */
	size_t module_count;
	const char *const *labels; /* "key=value", each */
	size_t label_count;
	int spawner_fd; /* from rmd_spawner_start; the agent owns it (on success) */
	int spawner_pid;
	const char *run_dir;	  /* working folder of workers; NULL: our own */
	uint64_t stop_grace_ms;	  /* TERM to KILL; 0: 5000 */
	uint64_t cancel_grace_ms; /* from the cancel word to TERM; 0: 1000 */
	uint64_t orphan_ms; /* what runs when the link is lost may run on so long; 0: not
			       at all */
	uint64_t start_timeout_ms; /* from exec to ready; 0: 60000 */
	/* Called once, on the agent's thread, when the coordinator has welcomed the
	 * agent. May be NULL. */
	void (*attached)(void *ctx);
	/* Called once, on the agent's thread, when rmd_agent_finished becomes true. May
	 * be NULL. Must not call rmd_agent_stop. */
	void (*finished)(void *ctx);
	void *ctx; /* of these two */
};

/* Starts the agent's thread. `link` is the agent's end; the agent owns it from now on (on
 * success). The link's events must be delivered on the agent's thread: by rmd_agent_post.
 * NULL: errno says why. */
struct rmd_agent *rmd_agent_start(const struct rmd_agent_options *options,
				  struct rmd_link *link);

/* (any thread) Has `run(arg)` called on the agent's thread; in order; one wake for what
 * gathers. What was posted before rmd_agent_stop is run in any case. 0 or RMD_ENOMEM. */
int rmd_agent_post(struct rmd_agent *agent, void (*run)(void *arg), void *arg);

/* (any thread) Runs `run(arg)` here and now, and what the agent does after it, if the
 * agent's own thread sleeps: a wake less. For a few microseconds of work. False: that
 * thread is at work, nothing was done; then rmd_agent_post. */
bool rmd_agent_try_run(struct rmd_agent *agent, void (*run)(void *arg), void *arg);

/* (any thread) Begins nothing new, gives back what has not begun, leaves when all has
 * ended. Safe to repeat. */
void rmd_agent_drain(struct rmd_agent *agent);

/* Ends the agent: kills its workers and whatever they started, joins its thread, destroys
 * the link, frees the agent. Nothing may be posted from the moment this is called. NULL
 * is allowed. */
void rmd_agent_stop(struct rmd_agent *agent);

/* (any thread) True when its link is lost and all workers are gone. */
bool rmd_agent_finished(const struct rmd_agent *agent);
