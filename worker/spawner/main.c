/* The spawner's loop: requests in, reports out, and at the end nobody left alive. */
#include "worker/spawner/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "worker/spawner/below.h"
#include "worker/spawner/child.h"
#include "worker/spawner/packet.h"

#define SOCKET_FD 3
#define REKILL_MS 2 /* between looks for what a killed process had just started */

/* One worker process, from its start until its end has been reported. */
struct child {
	uint64_t id;
	pid_t pid; /* 0: ended, wait_status waits to be reported */
	pid_t reported_pid;
	int wait_status;
	uint32_t peak_kib;
};

struct spawner {
	struct child *children; /* RMD_SPAWN_CHILDREN_MAX of them */
	size_t count;
	size_t unreported; /* how many have pid 0 */
	int signals_fd;
	char packet[RMD_SPAWN_PACKET_MAX];
	struct rmd_spawn_parsed parsed;
};

static void kill_one(pid_t pid, void *unused)
{
	(void)unused;
	kill(pid, SIGKILL);
}

/* Kills an orphan that fell to us if it is still in the session `session`. */
static void kill_if_in_session(pid_t pid, void *session)
{
	if (getsid(pid) == *(const pid_t *)session)
		kill(pid, SIGKILL);
}

static _Noreturn void kill_everything(struct spawner *sp)
{
	for (size_t i = 0; i < sp->count; i++)
		if (sp->children[i].pid > 0)
			kill(-sp->children[i].pid, SIGKILL);
	for (;;) {
		rmd_spawn_each_below(kill_one, NULL);
		pid_t pid;
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			;
		if (pid < 0 && errno == ECHILD)
			exit(0);
		poll(NULL, 0, REKILL_MS);
	}
}

static void remove_child(struct spawner *sp, size_t i)
{
	sp->children[i] = sp->children[--sp->count];
}

/* Sends one report; RMD_EAGAIN: later. When the agent is gone, this does not return. */
static int answer(struct spawner *sp, const struct rmd_spawn_answer *what, int pidfd)
{
	int rc = rmd_spawn_packet_send(SOCKET_FD, what, sizeof *what, &pidfd,
				       pidfd >= 0 ? 1 : 0);
	if (rc < 0 && rc != RMD_EAGAIN)
		kill_everything(sp);
	return rc;
}

/* As answer, and waits for room: for what answers a request. */
static void answer_surely(struct spawner *sp, const struct rmd_spawn_answer *what,
			  int pidfd)
{
	while (answer(sp, what, pidfd) == RMD_EAGAIN) {
		struct pollfd fd = {.fd = SOCKET_FD, .events = POLLOUT};
		(void)poll(&fd, 1, 100);
	}
}

static void report_ends(struct spawner *sp)
{
	for (size_t i = sp->count; i > 0 && sp->unreported > 0; i--) {
		struct child *c = &sp->children[i - 1];
		if (c->pid != 0)
			continue;
		struct rmd_spawn_answer what = {
			.kind = RMD_SPAWN_EXITED,
			.id = c->id,
			.pid = c->reported_pid,
			.wait_status = c->wait_status,
			.peak_kib = c->peak_kib,
		};
		if (answer(sp, &what, -1) < 0)
			return;
		remove_child(sp, i - 1);
		sp->unreported--;
	}
}

static struct child *find_by_pid(struct spawner *sp, pid_t pid)
{
	for (size_t i = 0; i < sp->count; i++)
		if (sp->children[i].pid == pid)
			return &sp->children[i];
	return NULL;
}

/* Waits for all that have ended. A worker stays a zombie until its group has been killed,
 * so that its number cannot have become another process's meanwhile. */
static void reap(struct spawner *sp)
{
	for (;;) {
		siginfo_t info = {0};
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
		    info.si_pid == 0)
			return;
		struct child *c = find_by_pid(sp, info.si_pid);
		if (c != NULL) {
			kill(-c->pid, SIGKILL);
			rmd_spawn_each_below(kill_if_in_session, &c->pid);
		}
		int status;
		struct rusage usage;
		if (wait4(info.si_pid, &status, WNOHANG, &usage) <= 0 || c == NULL)
			continue;
		c->peak_kib = usage.ru_maxrss > UINT32_MAX ? UINT32_MAX
							   : (uint32_t)usage.ru_maxrss;
		c->reported_pid = c->pid;
		c->pid = 0;
		c->wait_status = status;
		sp->unreported++;
	}
}

static void handle_spawn(struct spawner *sp, size_t len, const int *fds, size_t fd_count)
{
	struct rmd_spawn_answer what = {.kind = RMD_SPAWN_FAILED};
	int pidfd = -1;
	pid_t pid = 0;
	enum rmd_spawn_stage stage = RMD_SPAWN_STAGE_FORK;
	if (rmd_spawn_parse(sp->packet, len, fd_count, &sp->parsed) < 0)
		kill_everything(
			sp); /* an agent that doesn't speak our language is no agent */
	int error = sp->count < RMD_SPAWN_CHILDREN_MAX
			    ? rmd_spawn_child(&sp->parsed, fds, &pid, &pidfd, &stage)
			    : EAGAIN;
	what.id = sp->parsed.id;
	if (error == 0) {
		what.kind = RMD_SPAWN_STARTED;
		what.pid = pid;
		sp->children[sp->count++] = (struct child){.id = what.id, .pid = pid};
	} else {
		what.error = error;
		what.stage = stage;
	}
	answer_surely(sp, &what, pidfd);
	if (pidfd >= 0)
		close(pidfd);
}

static void handle_signal(struct spawner *sp, size_t len)
{
	struct rmd_spawn_packet head;
	if (len != sizeof head)
		kill_everything(sp);
	memcpy(&head, sp->packet, sizeof head);
	if (head.op != RMD_SPAWN_OP_SIGNAL || head.signal_number < 1 ||
	    head.signal_number >= NSIG)
		kill_everything(sp);
	for (size_t i = 0; i < sp->count; i++)
		if (sp->children[i].id == head.id && sp->children[i].pid > 0)
			kill(-sp->children[i].pid, head.signal_number);
}

/* Handles all requests that are there. */
static void serve(struct spawner *sp)
{
	for (;;) {
		int fds[RMD_SPAWN_FDS_MAX];
		size_t len, fd_count;
		int rc = rmd_spawn_packet_recv(SOCKET_FD, sp->packet, sizeof sp->packet,
					       &len, fds, &fd_count);
		if (rc == RMD_EAGAIN)
			return;
		if (rc < 0)
			kill_everything(sp);
		uint32_t op = 0;
		if (len >= sizeof op)
			memcpy(&op, sp->packet, sizeof op);
		if (op == RMD_SPAWN_OP_SPAWN)
			handle_spawn(sp, len, fds, fd_count);
		else
			handle_signal(sp, len);
		while (fd_count > 0)
			close(fds[--fd_count]);
	}
}

static void heed_signals(struct spawner *sp)
{
	struct signalfd_siginfo info;
	while (read(sp->signals_fd, &info, sizeof info) == (ssize_t)sizeof info)
		if (info.ssi_signo == SIGTERM)
			kill_everything(sp);
	reap(sp);
}

static struct spawner *prepare(void)
{
	sigset_t wanted;
	struct spawner *sp = rmd_calloc(1, sizeof *sp);
	if (sp == NULL)
		return NULL;
	sp->children = rmd_calloc(RMD_SPAWN_CHILDREN_MAX, sizeof *sp->children);
	(void)prctl(PR_SET_NAME, RMD_SPAWNER_NAME);
	(void)setsid(); /* the terminal's Ctrl-C is for the agent, which then tells us */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGCHLD);
	sigaddset(&wanted, SIGTERM);
	sigprocmask(SIG_BLOCK, &wanted, NULL);
	sp->signals_fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
	/* SIGTERM, not SIGKILL: the death of the agent must leave us the time to kill
	 * what our workers have started; those have SIGKILL. Should the agent be dead
	 * already, then its end of the socket is closed. */
	if (sp->children == NULL || sp->signals_fd < 0 ||
	    prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		return NULL;
	(void)fcntl(SOCKET_FD, F_SETFD, FD_CLOEXEC);
	return sp;
}

_Noreturn void rmd_spawner_main(void)
{
	if (syscall(SYS_close_range, 4u, ~0u, 0u) < 0) {
		fprintf(stderr, "remuda-spawner: close_range: %s\n", strerror(errno));
		exit(111);
	}
	struct spawner *sp = prepare();
	if (sp == NULL) {
		fprintf(stderr, "remuda-spawner: cannot start: %s\n", strerror(errno));
		exit(111);
	}
	for (;;) {
		struct pollfd fds[2] = {
			{.fd = SOCKET_FD, .events = POLLIN},
			{.fd = sp->signals_fd, .events = POLLIN},
		};
		if (sp->unreported > 0)
			fds[0].events |= POLLOUT;
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			kill_everything(sp);
		if (fds[1].revents != 0)
			heed_signals(sp);
		if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
			serve(sp);
		if (sp->unreported > 0)
			report_ends(sp);
	}
}
