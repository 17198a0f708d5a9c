#include "tests/unit/protocol/worker_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define FD_FAR 100

static void give_up(const char *what)
{
	perror(what);
	abort();
}

/* In the child: each descriptor under the number that the worker expects. What else the
 * end has open is closed first: it may have one of those numbers. */
static void place_fds(struct rmd_wp *end)
{
	int fds[RMD_WP_CHILD_FDS], numbers[RMD_WP_CHILD_FDS], own[3];
	rmd_wp_child_fds(end, fds, numbers);
	rmd_wp_poll_fds(end, own);
	for (unsigned i = 0; i < RMD_WP_CHILD_FDS; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD, FD_FAR);
		if (fds[i] < 0)
			give_up("dup");
	}
	for (int i = 0; i < 3; i++)
		close(own[i]);
	rmd_wp_release_child(end);
	for (unsigned i = 0; i < RMD_WP_CHILD_FDS; i++) {
		if (dup2(fds[i], numbers[i]) < 0)
			give_up("dup2");
		close(fds[i]);
	}
}

/* Forks; in the child the descriptors are placed. */
static pid_t fork_child(struct rmd_wp *end)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid < 0)
		give_up("fork");
	if (pid > 0) {
		rmd_wp_release_child(end);
		return pid;
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	place_fds(end);
	return 0;
}

pid_t worker_process_start(struct rmd_wp *end, const char *program)
{
	pid_t pid = fork_child(end);
	if (pid == 0) {
		execl(program, program, (char *)NULL);
		perror(program);
		_exit(127);
	}
	return pid;
}

pid_t worker_process_fork(struct rmd_wp *end, int (*body)(void *arg), void *arg)
{
	pid_t pid = fork_child(end);
	if (pid == 0)
		_exit(body(arg));
	return pid;
}

int worker_process_wait(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			give_up("waitpid");
	return status;
}

bool worker_process_poll(const struct rmd_wp *end, int timeout_ms)
{
	int fds[3];
	rmd_wp_poll_fds(end, fds);
	struct pollfd poll_fds[3];
	for (int i = 0; i < 3; i++)
		poll_fds[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
	return poll(poll_fds, 3, timeout_ms) > 0;
}
