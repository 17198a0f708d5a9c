#include "worker/agent/state.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"

#define SOURCE "agent"
#define RESTART_FIRST_MS 50u
#define RESTART_MAX_MS 5000u

int rmd_agent_spawner_listen(struct rmd_agent *agent)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = RMD_AGENT_SPAWNER};
	return epoll_ctl(agent->epoll_fd, EPOLL_CTL_ADD, agent->spawner_fd, &event) < 0
		       ? RMD_ESYS
		       : 0;
}

/* Every worker has died with the spawner (or dies now); what they started falls to us. */
static void lose_workers(struct rmd_agent *agent)
{
	struct rmd_apool *pool;
	rmd_spawner_bury(agent->spawner_pid);
	LIST_FOREACH (pool, &agent->pool_list, link) {
		struct rmd_aworker *worker, *next;
		for (worker = TAILQ_FIRST(&pool->workers); worker != NULL;
		     worker = next) {
			next = TAILQ_NEXT(worker, all);
			worker->expected = true; /* the fault is not theirs */
			rmd_aworker_ended(worker, NULL);
		}
	}
}

static void lose_spawner(struct rmd_agent *agent)
{
	rmd_log(RMD_LOG_ERROR, SOURCE,
		"the spawner is lost, and its workers with it; starting another");
	close(agent->spawner_fd);
	agent->spawner_fd = -1;
	lose_workers(agent);
	agent->crash_helpers = 0;
	agent->spawner_pid = -1;
	rmd_atimer_start(&agent->timers, &agent->respawn,
			 agent->now_ms + agent->spawner_restart_ms);
	agent->spawner_restart_ms = agent->spawner_restart_ms == 0
					    ? RESTART_FIRST_MS
					    : agent->spawner_restart_ms * 2;
	if (agent->spawner_restart_ms > RESTART_MAX_MS)
		agent->spawner_restart_ms = RESTART_MAX_MS;
}

void rmd_agent_spawner_end(struct rmd_agent *agent)
{
	int status;
	pid_t pid;
	close(agent->spawner_fd);
	agent->spawner_fd = -1;
	do
		pid = waitpid(agent->spawner_pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	if (pid < 0 || !WIFEXITED(status))
		rmd_spawner_bury(agent->spawner_pid); /* it could not do so itself */
}

void rmd_agent_respawn(struct rmd_agent *agent)
{
	struct rmd_apool *pool;
	pid_t pid;
	if (agent->stopping || rmd_spawner_start(&agent->spawner_fd, &pid) < 0 ||
	    (agent->spawner_pid = pid, rmd_agent_spawner_listen(agent)) < 0) {
		rmd_log(RMD_LOG_ERROR, SOURCE, "a spawner cannot be started: %s",
			strerror(errno));
		rmd_atimer_start(&agent->timers, &agent->respawn,
				 agent->now_ms + RESTART_MAX_MS);
		return;
	}
	LIST_FOREACH (pool, &agent->pool_list, link)
		rmd_apool_unbalance(pool);
}

void rmd_agent_spawner_readable(struct rmd_agent *agent)
{
	struct rmd_spawn_report report;
	int rc;
	while ((rc = rmd_spawner_read(agent->spawner_fd, &report)) == 0) {
		if ((report.id & RMD_AGENT_HELPER) != 0) {
			rmd_aworker_helper_reported(agent, &report);
			continue;
		}
		struct rmd_aworker *worker = rmd_map_get(&agent->workers, report.id);
		if (report.kind == RMD_SPAWN_STARTED)
			agent->spawner_restart_ms = 0;
		if (worker != NULL)
			rmd_aworker_reported(worker, &report);
		else if (report.pidfd >= 0)
			close(report.pidfd);
	}
	if (rc != RMD_EAGAIN)
		lose_spawner(agent);
}
