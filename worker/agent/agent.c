/* The agent's life: start, the loop of its thread, drain, stop. */
#include "worker/agent/image.h"
#include "worker/agent/state.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"

#define EVENTS_MAX 64
#define TIMERS_OWN 7 /* the agent's own timers, always reserved */

#define OWNER(timer, field) \
	((struct rmd_agent *)((char *)(timer)-offsetof(struct rmd_agent, field)))

/* ---- mail ---- */

static void wake(struct rmd_agent *agent)
{
	uint64_t one = 1;
	(void)!write(agent->wake_fd, &one, sizeof one);
}

int rmd_agent_post(struct rmd_agent *agent, void (*run)(void *arg), void *arg)
{
	struct rmd_amail *mail = rmd_malloc(sizeof *mail);
	if (mail == NULL)
		return RMD_ENOMEM;
	*mail = (struct rmd_amail){run, arg, NULL};
	pthread_mutex_lock(&agent->mail_lock);
	*agent->mail_last = mail;
	agent->mail_last = &mail->next;
	bool must_wake = !agent->woken;
	agent->woken = true;
	pthread_mutex_unlock(&agent->mail_lock);
	if (must_wake)
		wake(agent);
	return 0;
}

static void run_mail(struct rmd_agent *agent)
{
	pthread_mutex_lock(&agent->mail_lock);
	struct rmd_amail *mail = agent->mail;
	agent->mail = NULL;
	agent->mail_last = &agent->mail;
	agent->woken = false;
	pthread_mutex_unlock(&agent->mail_lock);
	while (mail != NULL) {
		struct rmd_amail *next = mail->next;
		mail->run(mail->arg);
		rmd_free(mail);
		mail = next;
	}
}

/* ---- timers ---- */

static void on_check(struct rmd_atimer *timer)
{
	struct rmd_agent *agent = OWNER(timer, check);
	struct rmd_apool *pool;
	bool again = false;
	LIST_FOREACH (pool, &agent->pool_list, link)
		again = rmd_aworker_check_all(pool) || again;
	if (again)
		rmd_atimer_start(&agent->timers, timer,
				 agent->now_ms + RMD_AGENT_LONG_MS);
}

static void on_trim(struct rmd_atimer *timer)
{
	struct rmd_agent *agent = OWNER(timer, trim);
	struct rmd_apool *pool;
	bool again = false;
	rmd_oom_look(&agent->oom);
	LIST_FOREACH (pool, &agent->pool_list, link)
		again = rmd_aworker_trim_all(pool) || again;
	if (again)
		rmd_atimer_start(&agent->timers, timer,
				 agent->now_ms + RMD_AGENT_TRIM_MS);
}

static void on_limit(struct rmd_atimer *timer)
{
	struct rmd_agent *agent = OWNER(timer, limit);
	struct rmd_apool *pool;
	bool again = false;
	LIST_FOREACH (pool, &agent->pool_list, link)
		again = rmd_aworker_limit_all(pool) || again;
	if (again)
		rmd_agent_arm_limit(agent);
}

static void on_report(struct rmd_atimer *timer)
{
	struct rmd_agent *agent = OWNER(timer, report);
	struct rmd_apool *pool;
	LIST_FOREACH (pool, &agent->pool_list, link)
		if (pool->idle_changed)
			rmd_apool_dirty(pool);
}

static void on_orphan(struct rmd_atimer *timer)
{
	rmd_apool_kill_all(OWNER(timer, orphan));
}

static void on_respawn(struct rmd_atimer *timer)
{
	rmd_agent_respawn(OWNER(timer, respawn));
}

void rmd_agent_arm_check(struct rmd_agent *agent)
{
	if (agent->check.place == 0)
		rmd_atimer_start(&agent->timers, &agent->check,
				 agent->now_ms + RMD_AGENT_LONG_MS);
	if (agent->trim.place != 0)
		return;
	rmd_oom_settle(&agent->oom); /* nobody has looked since all were idle */
	rmd_atimer_start(&agent->timers, &agent->trim, agent->now_ms + RMD_AGENT_TRIM_MS);
}

/* ---- drain and end ---- */

void rmd_agent_begin_draining(struct rmd_agent *agent)
{
	struct rmd_apool *pool;
	if (agent->draining)
		return;
	agent->draining = true;
	rmd_agent_say_draining(agent);
	LIST_FOREACH (pool, &agent->pool_list, link) {
		struct rmd_aworker *worker;
		TAILQ_FOREACH (worker, &pool->workers, all)
			(void)rmd_apool_take_back(worker, UINT32_MAX);
		rmd_apool_dirty(pool);
		rmd_apool_unbalance(pool);
	}
}

static void on_drain(void *arg)
{
	rmd_agent_begin_draining(arg);
}

void rmd_agent_drain(struct rmd_agent *agent)
{
	RMD_CHECK_OBJ(agent, RMD_AGENT_MAGIC);
	while (rmd_agent_post(agent, on_drain, agent) < 0)
		usleep(10000); /* no memory for a few bytes: somebody will free some */
}

/* Nothing more to wait for? */
static void consider_leaving(struct rmd_agent *agent)
{
	if (agent->draining && !agent->link_lost && !agent->leaving &&
	    agent->leases.count == 0) {
		agent->leaving = true;
		rmd_link_close(agent->link);
	}
	if (!agent->link_lost || agent->worker_count > 0 || atomic_load(&agent->finished))
		return;
	atomic_store(&agent->finished, true);
	if (agent->on_finished != NULL)
		agent->on_finished(agent->ctx);
}

/* ---- the loop ---- */

static void handle_event(struct rmd_agent *agent, uint64_t what)
{
	if (what == RMD_AGENT_WAKE) {
		uint64_t unused;
		(void)!read(agent->wake_fd, &unused, sizeof unused);
		run_mail(agent);
	} else if (what == RMD_AGENT_SPAWNER) {
		if (agent->spawner_fd >= 0)
			rmd_agent_spawner_readable(agent);
	} else {
		/* By number: it may have gone in this very round. */
		struct rmd_aworker *worker = rmd_map_get(
			&agent->workers, what & ~(RMD_AGENT_CRASH | RMD_AGENT_HELPER));
		if (worker == NULL)
			return;
		if ((what & RMD_AGENT_CRASH) != 0)
			rmd_aworker_crash_readable(worker);
		else if ((what & RMD_AGENT_HELPER) != 0)
			rmd_aworker_helper_readable(worker);
		else
			rmd_aworker_readable(worker);
	}
}

static void read_hot(struct rmd_agent *agent)
{
	SLIST_HEAD(, rmd_aworker) now;
	struct rmd_aworker *worker;
	now.slh_first = agent->hot.slh_first;
	SLIST_INIT(&agent->hot);
	while ((worker = SLIST_FIRST(&now)) != NULL) { /* reading frees no worker */
		SLIST_REMOVE_HEAD(&now, hot_link);
		worker->hot = false;
		rmd_aworker_readable(worker);
	}
}

static void end_round(struct rmd_agent *agent)
{
	rmd_apool_balance_all(agent);
	rmd_aworker_flush_all(agent);
	rmd_apool_report_all(agent);
	rmd_agent_say_numbers(agent);
	consider_leaving(agent);
}

/* How long the agent's thread may sleep after this round, for epoll_wait. */
static int sleep_ms(const struct rmd_agent *agent)
{
	if (agent->stopping || !SLIST_EMPTY(&agent->hot) ||
	    !SLIST_EMPTY(&agent->unbalanced))
		return 0;
	return rmd_atimers_wait_ms(&agent->timers, agent->now_ms);
}

/* True if the thread that sleeps would wake too late for what there is to do now. */
static bool oversleeps(const struct rmd_agent *agent)
{
	int wait = sleep_ms(agent);
	if (wait < 0)
		return false;
	return agent->sleep_ms < 0 || agent->now_ms + (uint64_t)wait <
					      agent->slept_ms + (uint64_t)agent->sleep_ms;
}

bool rmd_agent_try_run(struct rmd_agent *agent, void (*run)(void *arg), void *arg)
{
	RMD_CHECK_OBJ(agent, RMD_AGENT_MAGIC);
	if (pthread_mutex_trylock(&agent->round) != 0)
		return false;
	agent->now_ms = rmd_clock_mono_ms();
	run_mail(agent);
	run(arg);
	end_round(agent);
	if (oversleeps(agent))
		wake(agent);
	pthread_mutex_unlock(&agent->round);
	return true;
}

static void loop(struct rmd_agent *agent)
{
	struct epoll_event events[EVENTS_MAX];
	while (!agent->stopping) {
		agent->now_ms = agent->slept_ms = rmd_clock_mono_ms();
		agent->sleep_ms = sleep_ms(agent);
		int wait = agent->sleep_ms;
		pthread_mutex_unlock(&agent->round);
		int n = epoll_wait(agent->epoll_fd, events, EVENTS_MAX, wait);
		pthread_mutex_lock(&agent->round);
		agent->now_ms = rmd_clock_mono_ms();
		RMD_CHECK(n >= 0 || errno == EINTR);
		read_hot(agent);
		for (int i = 0; i < n; i++)
			handle_event(agent, events[i].data.u64);
		rmd_atimers_run(&agent->timers, agent->now_ms);
		end_round(agent);
	}
}

/* Kills everything and waits until it is gone; then forgets it. */
static void tear_down(struct rmd_agent *agent)
{
	struct rmd_apool *pool;
	bool lost = agent->link_lost;
	agent->link_lost = true; /* nothing more is said */
	if (agent->spawner_fd >= 0)
		rmd_agent_spawner_end(agent);
	while ((pool = LIST_FIRST(&agent->pool_list)) != NULL) {
		struct rmd_aworker *worker;
		struct rmd_alease *lease;
		while ((worker = TAILQ_FIRST(&pool->workers)) != NULL) {
			while ((lease = TAILQ_FIRST(&worker->hands)) != NULL) {
				rmd_aworker_let_go(worker, lease);
				rmd_alease_destroy(lease);
			}
			rmd_aworker_destroy(worker);
		}
		while ((lease = TAILQ_FIRST(&pool->queue)) != NULL) {
			rmd_apool_dequeue(pool, lease);
			rmd_alease_destroy(lease);
		}
		rmd_apool_destroy(pool);
	}
	rmd_agent_drop_transfers(agent);
	if (!lost)
		rmd_link_close(agent->link);
	rmd_amodule_join_all(agent);
	rmd_aimage_join_all(agent);
	run_mail(agent);
	rmd_link_destroy(agent->link);
	agent->link = NULL;
	run_mail(agent);
	rmd_amodule_free_all(agent);
	rmd_aimage_free_all(agent);
}

static void *thread_main(void *arg)
{
	struct rmd_agent *agent = arg;
	(void)pthread_setname_np(pthread_self(), "remuda-agent");
	pthread_mutex_lock(&agent->round);
	agent->now_ms = rmd_clock_mono_ms();
	rmd_agent_say_hello(agent);
	loop(agent);
	tear_down(agent);
	pthread_mutex_unlock(&agent->round);
	return NULL;
}

/* ---- start and stop ---- */

static void destroy(struct rmd_agent *agent)
{
	rmd_alease_free_spares(agent);
	rmd_free(agent->returned.items);
	rmd_free(agent->began.items);
	rmd_map_fini(&agent->pools);
	rmd_map_fini(&agent->workers);
	rmd_map_fini(&agent->leases);
	rmd_map_fini(&agent->transfers);
	rmd_atimers_fini(&agent->timers);
	rmd_agent_free_options(agent);
	if (agent->epoll_fd >= 0)
		close(agent->epoll_fd);
	if (agent->wake_fd >= 0)
		close(agent->wake_fd);
	pthread_mutex_destroy(&agent->mail_lock);
	pthread_mutex_destroy(&agent->round);
	agent->magic = 0;
	rmd_free(agent);
}

static void init(struct rmd_agent *agent)
{
	uint64_t seed;
	rmd_random_bytes(&seed, sizeof seed);
	agent->magic = RMD_AGENT_MAGIC;
	agent->epoll_fd = agent->wake_fd = -1;
	agent->next_worker = agent->next_transfer = 1;
	agent->check.fire = on_check;
	agent->trim.fire = on_trim;
	agent->limit.fire = on_limit;
	agent->report.fire = on_report;
	agent->progress.fire = rmd_agent_tell_progress;
	agent->orphan.fire = on_orphan;
	agent->respawn.fire = on_respawn;
	agent->mail_last = &agent->mail;
	atomic_init(&agent->finished, false);
	pthread_mutex_init(&agent->mail_lock, NULL);
	pthread_mutex_init(&agent->round, NULL);
	rmd_map_init(&agent->pools, seed);
	rmd_map_init(&agent->workers, seed);
	rmd_map_init(&agent->leases, seed);
	rmd_map_init(&agent->transfers, seed);
	LIST_INIT(&agent->pool_list);
	TAILQ_INIT(&agent->images);
	agent->image_bytes_max = RMD_AGENT_IMAGE_BYTES_MAX;
	LIST_INIT(&agent->module_list);
	SLIST_INIT(&agent->unflushed);
	SLIST_INIT(&agent->hot);
	SLIST_INIT(&agent->unbalanced);
	TAILQ_INIT(&agent->crashes);
	rmd_oom_init(&agent->oom, "/proc/self/cgroup", "/proc/self/mountinfo");
}

static int open_loop(struct rmd_agent *agent)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = RMD_AGENT_WAKE};
	agent->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	agent->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (agent->epoll_fd < 0 || agent->wake_fd < 0 ||
	    epoll_ctl(agent->epoll_fd, EPOLL_CTL_ADD, agent->wake_fd, &event) < 0)
		return RMD_ESYS;
	for (int i = 0; i < TIMERS_OWN; i++)
		if (rmd_atimers_reserve(&agent->timers) < 0)
			return RMD_ENOMEM;
	return rmd_agent_spawner_listen(agent);
}

struct rmd_agent *rmd_agent_start(const struct rmd_agent_options *options,
				  struct rmd_link *link)
{
	sigset_t all, before;
	struct rmd_agent *agent = rmd_calloc(1, sizeof *agent);
	if (agent == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	init(agent);
	agent->spawner_fd = options->spawner_fd;
	agent->spawner_pid = options->spawner_pid;
	agent->link = link;
	int rc = rmd_agent_copy_options(agent, options);
	if (rc == 0)
		rc = open_loop(agent);
	int error = rc == RMD_ENOMEM ? ENOMEM : rc == RMD_EINVAL ? EINVAL : errno;
	if (rc == 0) {
		rmd_link_listen(link, &rmd_agent_link_events, agent);
		/* Signals are for other threads of the process. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		error = pthread_create(&agent->thread, NULL, thread_main, agent);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		if (error == 0)
			return agent;
	}
	destroy(agent);
	errno = error;
	return NULL;
}

static void on_stop(void *arg)
{
	struct rmd_agent *agent = arg;
	agent->stopping = true;
}

void rmd_agent_stop(struct rmd_agent *agent)
{
	if (agent == NULL)
		return;
	RMD_CHECK_OBJ(agent, RMD_AGENT_MAGIC);
	while (rmd_agent_post(agent, on_stop, agent) < 0)
		usleep(10000); /* no memory for a few bytes: somebody will free some */
	pthread_join(agent->thread, NULL);
	destroy(agent);
}

bool rmd_agent_finished(const struct rmd_agent *agent)
{
	return atomic_load(&agent->finished);
}
