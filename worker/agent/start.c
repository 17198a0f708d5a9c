/* How a worker is started: its descriptors, environment and modules, and the spawner's
 * part. */
#include "worker/agent/image.h"
#include "worker/agent/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/descriptors.h"
#include "proto/base/errcode.h"
#include "worker/crash/record.h"

/* Numbers of modules' descriptors in the worker; the protocol's lie below. */
#define MODULE_FD_FIRST 16
/* Behind all of them: the image that it is. */
#define IMAGE_FD (MODULE_FD_FIRST + (int)RMD_POOL_MODULES_MAX)
/* Its own part of the protocol's descriptors, its modules, its image, its channel for a
 * crash. */
#define FDS_MAX (RMD_WP_CHILD_FDS + RMD_POOL_MODULES_MAX + 2)
/* What plan_image adds to the environment. */
#define IMAGE_ENV 2u

/* What rmd_spawner_spawn wants, and the memory behind it. */
struct plan {
	struct rmd_spawn_fd fds[FDS_MAX];
	size_t fd_count;
	char paths[RMD_POOL_MODULES_MAX][32];
	const char **modules; /* owned; the texts are not */
	size_t module_count;
	char **env; /* owned, with its texts; NULL-terminated */
	size_t env_count;
	char image_path[32];
	const char *program, *argv[2];
};

static void plan_fini(struct plan *plan)
{
	for (size_t i = 0; i < plan->env_count; i++)
		rmd_free(plan->env[i]);
	rmd_free(plan->env);
	rmd_free(plan->modules);
}

static int plan_modules(struct plan *plan, const struct rmd_apool *pool)
{
	const struct rmd_agent *agent = pool->agent;
	size_t all = agent->module_count + pool->spec->module_count;
	if (all > 0 && (plan->modules = rmd_calloc(all, sizeof *plan->modules)) == NULL)
		return RMD_ENOMEM;
	for (size_t i = 0; i < agent->module_count; i++)
		plan->modules[plan->module_count++] = agent->modules[i];
	for (size_t i = 0; i < pool->spec->module_count; i++) {
		const char *name;
		int fd = rmd_amodule_fd(agent, &pool->spec->modules[i], &name);
		int number = MODULE_FD_FIRST + (int)i;
		RMD_CHECK(fd >= 0 && i < RMD_POOL_MODULES_MAX);
		plan->fds[plan->fd_count++] = (struct rmd_spawn_fd){fd, number};
		snprintf(plan->paths[i], sizeof plan->paths[i], "/proc/self/fd/%d",
			 number);
		plan->modules[plan->module_count++] = plan->paths[i];
	}
	return 0;
}

static int plan_environment(struct plan *plan, const struct rmd_pool_spec *spec)
{
	plan->env = rmd_calloc(spec->environment_count + 1 + IMAGE_ENV,
			       sizeof *plan->env);
	if (plan->env == NULL)
		return RMD_ENOMEM;
	for (size_t i = 0; i < spec->environment_count; i++) {
		const struct rmd_pair *pair = &spec->environment[i];
		plan->env[i] = rmd_asprintf(
			"%.*s=%.*s", (int)pair->key.len, (const char *)pair->key.data,
			(int)pair->value.len, (const char *)pair->value.data);
		if (plan->env[i] == NULL)
			return RMD_ENOMEM;
		plan->env_count++;
	}
	return 0;
}

/* What the pool's environment says of `name` ("LD_PRELOAD="), or NULL. */
static const char *said_of(const struct plan *plan, const char *name)
{
	const char *said = NULL;
	for (size_t i = 0; i < plan->env_count; i++)
		if (strncmp(plan->env[i], name, strlen(name)) == 0)
			said = plan->env[i] + strlen(name);
	return said;
}

/* The worker is the image itself, entered by the preload library in place of its main. A
 * sanitizer's runtime wants to be first of all. */
static int plan_image(struct plan *plan, const struct rmd_apool *pool)
{
	const struct rmd_agent *agent = pool->agent;
	if (pool->image == NULL)
		return 0;
	const struct rmd_elf_facts *facts = rmd_aimage_facts(pool->image);
	const char *others = said_of(plan, "LD_PRELOAD=");
	plan->fds[plan->fd_count++] =
		(struct rmd_spawn_fd){rmd_aimage_fd(pool->image), IMAGE_FD};
	snprintf(plan->image_path, sizeof plan->image_path, "/proc/self/fd/%d", IMAGE_FD);
	if (!facts->program) { /* our own worker loads it */
		char *object = rmd_asprintf(RMD_CAPTURE_OBJECT_VARIABLE "=%s %.128s",
					    plan->image_path,
					    rmd_aimage_name(pool->image));
		if (object == NULL)
			return RMD_ENOMEM;
		plan->env[plan->env_count++] = object;
		return 0;
	}
	plan->program = plan->image_path;
	plan->argv[0] = rmd_aimage_name(pool->image);
	char *preload = rmd_asprintf("LD_PRELOAD=%s%s%s%s%s", facts->first,
				     facts->first[0] != '\0' ? ":" : "",
				     agent->preload_path, others != NULL ? ":" : "",
				     others != NULL ? others : "");
	if (preload == NULL)
		return RMD_ENOMEM;
	plan->env[plan->env_count++] = preload;
	/* What it puts back, for the processes that its tasks start. */
	char *mark = rmd_asprintf(RMD_CAPTURE_VARIABLE "=%d:%s", IMAGE_FD,
				  others != NULL ? others : "");
	if (mark == NULL)
		return RMD_ENOMEM;
	plan->env[plan->env_count++] = mark;
	return 0;
}

static int listen_to(struct rmd_aworker *worker)
{
	int fds[3];
	rmd_wp_poll_fds(worker->wp, fds);
	for (int i = 0; i < 3; i++) {
		struct epoll_event event = {.events = EPOLLIN,
					    .data.u64 = worker->number};
		if (fds[i] >= 0 &&
		    epoll_ctl(worker->agent->epoll_fd, EPOLL_CTL_ADD, fds[i], &event) < 0)
			return RMD_ESYS;
	}
	return 0;
}

static int launch(struct rmd_aworker *worker)
{
	struct rmd_apool *pool = worker->pool;
	struct rmd_agent *agent = worker->agent;
	const char *program = rmd_agent_program(agent, pool->spec->runtime);
	struct plan plan = {.program = program, .argv = {program, NULL}};
	int fds[RMD_WP_CHILD_FDS], numbers[RMD_WP_CHILD_FDS];
	int crash_fd = -1;
	rmd_wp_child_fds(worker->wp, fds, numbers);
	for (size_t i = 0; i < RMD_WP_CHILD_FDS; i++)
		plan.fds[plan.fd_count++] = (struct rmd_spawn_fd){fds[i], numbers[i]};
	int rc = plan_modules(&plan, pool);
	if (rc == 0)
		rc = plan_environment(&plan, pool->spec);
	if (rc == 0)
		rc = plan_image(&plan, pool);
	if (rc == 0)
		rc = rmd_aworker_crash_open(worker, &crash_fd);
	if (rc == 0)
		plan.fds[plan.fd_count++] =
			(struct rmd_spawn_fd){crash_fd, RMD_CRASH_CHILD_FD};
	rmd_wp_set_names(worker->wp, agent->name, worker->number);
	if (rc == 0)
		rc = rmd_wp_send_setup(worker->wp, plan.modules, plan.module_count);
	if (rc == 0)
		rc = listen_to(worker);
	struct rmd_spawn_request request = {
		.id = worker->number,
		.program = plan.program,
		.argv = plan.argv,
		.env = (const char *const *)plan.env,
		.cwd = agent->run_dir,
		.fds = plan.fds,
		.fd_count = plan.fd_count,
	};
	if (rc == 0)
		rc = rmd_spawner_spawn(agent->spawner_fd, &request);
	int saved = errno;
	if (crash_fd >= 0)
		close(crash_fd);
	plan_fini(&plan);
	errno = saved;
	return rc;
}

/* Makes the agent's part: everything but the process. NULL: errno. */
static struct rmd_aworker *create(struct rmd_apool *pool,
				  const struct rmd_wp_events *events,
				  void (*on_timer)(struct rmd_atimer *timer))
{
	struct rmd_agent *agent = pool->agent;
	struct rmd_aworker *worker = rmd_calloc(1, sizeof *worker);
	if (worker == NULL || rmd_atimers_reserve(&agent->timers) < 0) {
		rmd_free(worker);
		errno = ENOMEM;
		return NULL;
	}
	worker->magic = RMD_AWORKER_MAGIC;
	worker->agent = agent;
	worker->pool = pool;
	worker->pidfd = worker->crash_fd = -1;
	worker->timer.fire = on_timer;
	TAILQ_INIT(&worker->hands);
	worker->number = agent->next_worker;
	worker->wp = rmd_wp_open(RMD_WP_TASKS_MAX, events, worker);
	if (worker->wp == NULL ||
	    rmd_map_put(&agent->workers, worker->number, worker) < 0) {
		int saved = worker->wp == NULL ? errno : ENOMEM;
		rmd_wp_close(worker->wp);
		rmd_atimers_release(&agent->timers);
		rmd_free(worker);
		errno = saved;
		return NULL;
	}
	agent->next_worker++;
	agent->worker_count++;
	TAILQ_INSERT_TAIL(&pool->workers, worker, all);
	return worker;
}

/* `advice` as of rmd_descriptors_advice. */
static void start_failed(struct rmd_apool *pool, const char *what, const char *why,
			 const char *advice)
{
	rmd_apool_start_failed(pool, remuda_error_create("SystemError", "cannot %s: %s%s",
							 what, why, advice));
}

int rmd_aworker_start(struct rmd_apool *pool)
{
	struct rmd_agent *agent = pool->agent;
	if (agent->spawner_fd < 0 || agent->worker_count >= RMD_AGENT_CHILDREN_MAX)
		return RMD_EAGAIN;
	struct rmd_aworker *worker =
		create(pool, &rmd_aworker_events, rmd_aworker_on_timer);
	if (worker == NULL) {
		start_failed(pool, "make the descriptors of a worker", strerror(errno),
			     rmd_descriptors_advice(errno));
		return RMD_ESYS;
	}
	int rc = launch(worker);
	if (rc == 0) {
		rmd_wp_release_child(worker->wp);
		rmd_aworker_place(worker, RMD_WORKER_STATE_STARTING, RMD_AWORKER_OPEN, 0);
		rmd_atimer_start(&agent->timers, &worker->timer,
				 agent->now_ms + agent->start_timeout_ms);
		return 0;
	}
	const char *why = rc == RMD_ESYS ? strerror(errno) : rmd_errcode_text(rc);
	const char *advice = rc == RMD_ESYS ? rmd_descriptors_advice(errno) : "";
	rmd_aworker_destroy(worker);
	if (rc != RMD_EAGAIN && rc != RMD_ECLOSED)
		start_failed(pool, "ask the spawner for a worker", why, advice);
	return rc == RMD_ECLOSED ? RMD_EAGAIN : rc;
}
