#include "client/cli/coordinator.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/c/src/locate.h"
#include "client/cli/exit.h"
#include "client/cli/place.h"
#include "client/cli/report.h"
#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"

#define READY_FD 3
#define LOG_TAIL_BYTES 2048
#define WORDS_MAX 160
#define END_MS 5000u

char *rmd_coordinator_program(void)
{
	char path[RMD_PATH_MAX];
	struct remuda_error *err = NULL;

	if (rmd_locate_server(NULL, path, &err) == 0)
		return rmd_strdup(path);
	rmd_report("%s", remuda_error_message(err));
	remuda_error_free(err);
	return NULL;
}

/* The words of its command line, NULL at the end; only the numbers are copies. */
struct words {
	const char *items[WORDS_MAX];
	size_t count;
	char workers[16], ready_fd[16];
};

static void make_words(struct words *words, const char *program,
		       const struct rmd_coordinator_start *start)
{
	snprintf(words->workers, sizeof words->workers, "%u", start->workers);
	snprintf(words->ready_fd, sizeof words->ready_fd, "%d", READY_FD);
	const char *fixed[] = {program,		  "--listen",	  start->address,
			       "--local-workers", words->workers, "--ready-fd",
			       words->ready_fd};
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		words->items[words->count++] = fixed[i];
	for (size_t i = 0; i < start->modules->count && words->count + 3 < WORDS_MAX;
	     i++) {
		words->items[words->count++] = "--module";
		words->items[words->count++] = start->modules->items[i];
	}
	words->items[words->count] = NULL;
}

/* In the child: becomes the coordinator, or writes errno to `fail_fd` and ends.
 * Nothing but system calls. */
_Noreturn static void become(const struct words *words, int null_fd, int log_fd,
			     int ready_fd, int fail_fd)
{
	int number, fail = fcntl(fail_fd, F_DUPFD_CLOEXEC, READY_FD + 1);
	int ready = fcntl(ready_fd, F_DUPFD_CLOEXEC, READY_FD + 1);

	setsid();
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	if (fail >= 0 && ready >= 0 && dup2(null_fd, 0) >= 0 && dup2(log_fd, 1) >= 0 &&
	    dup2(log_fd, 2) >= 0 && dup2(ready, READY_FD) >= 0) {
		for (int fd = READY_FD + 1; fd < 1024;
		     fd++) /* what our caller left open */
			fcntl(fd, F_SETFD, FD_CLOEXEC);
		execv(words->items[0], (char *const *)(uintptr_t)words->items);
	}
	number = errno;
	if (write(fail, &number, sizeof number) < 0)
		_exit(126);
	_exit(127);
}

/* True once the child has exec'ed; else reports why it did not. */
static bool has_begun(int fail_fd, const char *program)
{
	int number = 0;
	ssize_t got;

	do {
		got = read(fail_fd, &number, sizeof number);
	} while (got < 0 && errno == EINTR);
	if (got == sizeof number)
		rmd_report("%s cannot be started: %s", program, strerror(number));
	return got == 0;
}

/* Waits for "ready ...\n": 0; RMD_ECLOSED: it ended first; RMD_ETIMEOUT. */
static int wait_ready(int ready_fd, uint64_t timeout_ms)
{
	uint64_t until_ms = rmd_clock_mono_ms() + timeout_ms;
	char text[512];

	for (;;) {
		uint64_t now_ms = rmd_clock_mono_ms();
		struct pollfd poll_fd = {.fd = ready_fd, .events = POLLIN};

		if (now_ms >= until_ms)
			return RMD_ETIMEOUT;
		if (poll(&poll_fd, 1, (int)(until_ms - now_ms)) <= 0)
			continue;
		ssize_t got = read(ready_fd, text, sizeof text);
		if (got == 0)
			return RMD_ECLOSED;
		if (got > 0 && memchr(text, '\n', (size_t)got) != NULL)
			return 0;
	}
}

/* Ends our child: TERM, and KILL where that has no effect. */
static void end(pid_t pid)
{
	int pidfd = pidfd_open(pid, 0);

	kill(pid, SIGTERM);
	if (pidfd < 0 || rmd_coordinator_wait_gone(pidfd, END_MS) < 0)
		kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (pidfd >= 0)
		close(pidfd);
}

struct pipes {
	int ready[2], fail[2];
	int null_fd, log_fd;
};

static int open_pipes(struct pipes *pipes, const char *log_path)
{
	*pipes = (struct pipes){{-1, -1}, {-1, -1}, -1, -1};
	pipes->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	pipes->log_fd = open(
		log_path,
		O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (pipes->log_fd < 0) {
		rmd_report("the log %s cannot be written: %s", log_path, strerror(errno));
		return RMD_EXIT_SYSTEM;
	}
	if (pipes->null_fd < 0 || pipe2(pipes->ready, O_CLOEXEC) < 0 ||
	    pipe2(pipes->fail, O_CLOEXEC) < 0) {
		rmd_report("no descriptors to start a program with: %s", strerror(errno));
		return RMD_EXIT_SYSTEM;
	}
	return RMD_EXIT_OK;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_pipes(struct pipes *pipes)
{
	int *fds[] = {&pipes->ready[0], &pipes->ready[1], &pipes->fail[0],
		      &pipes->fail[1],	&pipes->null_fd,  &pipes->log_fd};

	for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
		close_fd(fds[i]);
}

int rmd_coordinator_start(const char *program, const struct rmd_coordinator_start *start,
			  pid_t *ret_pid)
{
	struct words words = {0};
	struct pipes pipes;
	pid_t pid = -1;
	int rc = open_pipes(&pipes, start->log_path);

	if (rc != RMD_EXIT_OK)
		goto out;
	make_words(&words, program, start);
	rc = RMD_EXIT_SYSTEM;
	pid = fork();
	if (pid == 0)
		become(&words, pipes.null_fd, pipes.log_fd, pipes.ready[1],
		       pipes.fail[1]);
	if (pid < 0) {
		rmd_report("no process can be started: %s", strerror(errno));
		goto out;
	}
	close_fd(&pipes.ready[1]);
	close_fd(&pipes.fail[1]);
	if (!has_begun(pipes.fail[0], program)) {
		waitpid(pid, NULL, 0);
		goto out;
	}
	rc = RMD_EXIT_OK;
	int ready = wait_ready(pipes.ready[0], start->timeout_ms);
	if (ready < 0) {
		end(pid);
		rc = RMD_EXIT_SERVICE;
	}
	if (ready == RMD_ETIMEOUT)
		rmd_report("the coordinator was not ready in time, and was ended");
	*ret_pid = pid;
out:
	close_pipes(&pipes);
	return rc;
}

int rmd_coordinator_pidfd(const char *socket_path)
{
	struct ucred peer;
	socklen_t len = sizeof peer;
	int fd = rmd_place_connect_unix(socket_path), pidfd = -1;

	if (fd < 0)
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 0)
		pidfd = pidfd_open(peer.pid, 0);
	close(fd);
	return pidfd;
}

int rmd_coordinator_wait_gone(int pidfd, uint64_t timeout_ms)
{
	uint64_t until_ms = rmd_clock_mono_ms() + timeout_ms;

	for (;;) {
		uint64_t now_ms = rmd_clock_mono_ms();
		uint64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
		struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};

		if (poll(&poll_fd, 1, left_ms < 60000 ? (int)left_ms : 60000) > 0)
			return 0;
		if (left_ms == 0)
			return RMD_ETIMEOUT;
	}
}

void rmd_coordinator_show_log(const char *log_path)
{
	char text[LOG_TAIL_BYTES + 1];
	FILE *log = fopen(log_path, "re");

	if (log == NULL)
		return;
	if (fseek(log, -LOG_TAIL_BYTES, SEEK_END) < 0)
		rewind(log);
	size_t len = fread(text, 1, LOG_TAIL_BYTES, log);
	fclose(log);
	if (len == 0)
		return;
	fprintf(stderr, "its log, %s, ends with:\n", log_path);
	fwrite(text, 1, len, stderr);
	if (text[len - 1] != '\n')
		fputc('\n', stderr);
}
