#include "server/watch.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "proto/base/alloc.h"

#define EVENTS_MAX 4                 /* more signals than this say nothing new */

struct rmd_watch {
	struct rmd_loop *loop;
	void (*hear)(void *ctx, enum rmd_watch_event event);
	void *ctx;
	int signal_fd, stop_fd, pidfd;
	pthread_t thread;
	struct watch_post {
		struct rmd_post post;        /* first */
		struct rmd_watch *watch;
		enum rmd_watch_event event;
		bool told;
	} posts[EVENTS_MAX];
	int used;                    /* posts given; the thread's own */
	bool stopped;                /* loop's thread */
};

static sigset_t watched_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	return set;
}

void rmd_watch_block_signals(void)
{
	sigset_t set = watched_signals();
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void run_post(struct rmd_post *post)
{
	struct watch_post *told = (struct watch_post *)post;
	if (!told->watch->stopped)
		told->watch->hear(told->watch->ctx, told->event);
}

static void tell(struct rmd_watch *watch, enum rmd_watch_event event)
{
	if (watch->used == EVENTS_MAX)
		return;
	struct watch_post *post = &watch->posts[watch->used++];
	*post = (struct watch_post){.post.run = run_post, .watch = watch, .event = event};
	rmd_loop_post(watch->loop, &post->post);
}

static void *run(void *arg)
{
	struct rmd_watch *watch = arg;
	struct pollfd fds[] = {{watch->signal_fd, POLLIN, 0},
			       {watch->stop_fd, POLLIN, 0},
			       {watch->pidfd, POLLIN, 0}};
	for (;;) {
		if (poll(fds, 3, -1) < 0)
			continue;
		if (fds[1].revents != 0)
			return NULL;
		struct signalfd_siginfo info;
		if (fds[0].revents != 0 && read(watch->signal_fd, &info, sizeof info) > 0)
			tell(watch, RMD_WATCH_TERMINATE);
		if (fds[2].revents != 0) {
			tell(watch, RMD_WATCH_CLIENT_GONE);
			fds[2].fd = -1;
		}
	}
}

static void close_fds(struct rmd_watch *watch)
{
	if (watch->signal_fd >= 0)
		close(watch->signal_fd);
	if (watch->stop_fd >= 0)
		close(watch->stop_fd);
}

struct rmd_watch *rmd_watch_start(struct rmd_loop *loop, int pidfd,
				  void (*hear)(void *ctx, enum rmd_watch_event event), void *ctx)
{
	struct rmd_watch *watch = rmd_calloc(1, sizeof *watch);
	if (watch == NULL)
		return NULL;
	sigset_t set = watched_signals();
	watch->loop = loop;
	watch->hear = hear;
	watch->ctx = ctx;
	watch->pidfd = pidfd;
	watch->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	watch->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (watch->signal_fd < 0 || watch->stop_fd < 0 ||
	    pthread_create(&watch->thread, NULL, run, watch) != 0) {
		close_fds(watch);
		rmd_free(watch);
		return NULL;
	}
	return watch;
}

void rmd_watch_stop(struct rmd_watch *watch)
{
	if (watch == NULL)
		return;
	watch->stopped = true;
	uint64_t one = 1;
	ssize_t written = write(watch->stop_fd, &one, sizeof one);
	(void)written;
	pthread_join(watch->thread, NULL);
	close_fds(watch);
}

void rmd_watch_destroy(struct rmd_watch *watch)
{
	rmd_free(watch);
}
