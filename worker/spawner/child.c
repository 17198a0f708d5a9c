#include "worker/spawner/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child says through the close-on-exec pipe when it can't go on. */
struct failure {
	int error;
	enum rmd_spawn_stage stage;
};

static _Noreturn void fail(int report_fd, enum rmd_spawn_stage stage)
{
	struct failure failure = {errno, stage};
	if (write(report_fd, &failure, sizeof failure) < 0)
		_exit(126);
	_exit(127);
}

static int reset_signals(void)
{
	struct sigaction standard = {.sa_handler = SIG_DFL};
	sigset_t none;
	for (int s = 1; s < NSIG; s++)
		if (s != SIGKILL && s != SIGSTOP)
			(void)sigaction(s, &standard,
					NULL); /* glibc keeps a few to itself */
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

/* An agent that the system protects from the OOM killer must not pass that on to user
 * code. */
static void unprotect_from_oom(void)
{
	char text[16] = {0};
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	if (read(fd, text, sizeof text - 1) > 0 && atoi(text) < 0)
		(void)!write(fd, "0", 1);
	close(fd);
}

/* Puts the descriptors under their numbers and marks all others close-on-exec. */
static int place_descriptors(const struct rmd_spawn_parsed *request, const int *fds,
			     int *report_fd)
{
	int above[RMD_SPAWN_FDS_MAX];
	int top = 2;
	bool given[3] = {false, false, false};
	for (size_t i = 0; i < request->fd_count; i++) {
		if (request->numbers[i] > top)
			top = request->numbers[i];
		if (request->numbers[i] <= 2)
			given[request->numbers[i]] = true;
	}
	/* First out of the way of all numbers that are to be filled. */
	*report_fd = fcntl(*report_fd, F_DUPFD_CLOEXEC, top + 1);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0)
		null = fcntl(null, F_DUPFD_CLOEXEC, top + 1);
	if (*report_fd < 0 || null < 0)
		return -1;
	for (size_t i = 0; i < request->fd_count; i++)
		if ((above[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, top + 1)) < 0)
			return -1;
	if (syscall(SYS_close_range, 3u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */) < 0)
		return -1;
	for (int n = 0; n <= 2; n++)
		if (!given[n] && dup2(null, n) < 0)
			return -1;
	for (size_t i = 0; i < request->fd_count; i++)
		if (dup2(above[i], request->numbers[i]) < 0)
			return -1;
	return 0;
}

static _Noreturn void child_main(const struct rmd_spawn_parsed *request, const int *fds,
				 int report_fd, pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		fail(report_fd, RMD_SPAWN_STAGE_SETUP);
	if (getppid() != parent)
		_exit(127); /* the spawner died before the line above */
	if (setsid() < 0 || place_descriptors(request, fds, &report_fd) < 0 ||
	    reset_signals() < 0)
		fail(report_fd, RMD_SPAWN_STAGE_SETUP);
	unprotect_from_oom();
	for (char **entry = request->env; *entry != NULL; entry++)
		if (putenv(*entry) != 0)
			fail(report_fd, RMD_SPAWN_STAGE_SETUP);
	if (request->cwd[0] != '\0' && chdir(request->cwd) < 0)
		fail(report_fd, RMD_SPAWN_STAGE_CWD);
	execv(request->program, request->argv);
	fail(report_fd, RMD_SPAWN_STAGE_EXEC);
}

/* Waits until the child has exec'ed (the pipe closes) or says why not. */
static struct failure hear(int fd)
{
	struct failure failure = {0, RMD_SPAWN_STAGE_NONE};
	ssize_t n;
	do
		n = read(fd, &failure, sizeof failure);
	while (n < 0 && errno == EINTR);
	if (n != 0 && n != (ssize_t)sizeof failure)
		return (struct failure){EIO, RMD_SPAWN_STAGE_SETUP};
	return failure;
}

int rmd_spawn_child(const struct rmd_spawn_parsed *request, const int *fds,
		    pid_t *ret_pid, int *ret_pidfd, enum rmd_spawn_stage *ret_stage)
{
	int report[2] = {-1, -1};
	int error = 0;
	int pidfd = -1;
	pid_t self = getpid();
	pid_t pid = -1;
	*ret_stage = RMD_SPAWN_STAGE_FORK;
	if (pipe2(report, O_CLOEXEC) < 0)
		return errno;
	pid = fork();
	if (pid == 0)
		child_main(request, fds, report[1], self);
	if (pid < 0) {
		error = errno;
		goto out;
	}
	close(report[1]);
	report[1] = -1;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
	if (pidfd < 0) {
		error = errno;
		goto out;
	}
	struct failure failure = hear(report[0]);
	error = failure.error;
	if (error != 0)
		*ret_stage = failure.stage;
out:
	close(report[0]);
	if (report[1] >= 0)
		close(report[1]);
	if (error == 0) {
		*ret_pid = pid;
		*ret_pidfd = pidfd;
		return 0;
	}
	if (pidfd >= 0)
		close(pidfd);
	if (pid > 0) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	return error;
}
