/* The spawner as a real process: what it starts, what it reports, and that nothing
 * survives it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/errcode.h"
#include "worker/spawner/packet.h"
#include "worker/spawner/spawner.h"

struct fixture {
	int fd;
	pid_t pid;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	assert_int_equal(rmd_spawner_start(&f->fd, &f->pid), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	if (f->fd >= 0)
		close(f->fd);
	if (f->pid > 0)
		assert_int_equal(waitpid(f->pid, NULL, 0), f->pid);
	free(f);
	return 0;
}

static struct rmd_spawn_report next_report(struct fixture *f)
{
	struct rmd_spawn_report report;
	int rc;
	while ((rc = rmd_spawner_read(f->fd, &report)) == RMD_EAGAIN) {
		struct pollfd fd = {.fd = f->fd, .events = POLLIN};
		assert_true(poll(&fd, 1, 20000) > 0);
	}
	assert_int_equal(rc, 0);
	return report;
}

static pid_t start_sh(struct fixture *f, uint64_t id, const char *script,
		      const struct rmd_spawn_fd *fds, size_t fd_count)
{
	const char *argv[] = {"sh", "-c", script, NULL};
	struct rmd_spawn_request request = {.id = id,
					    .program = "/bin/sh",
					    .argv = argv,
					    .fds = fds,
					    .fd_count = fd_count};
	assert_int_equal(rmd_spawner_spawn(f->fd, &request), 0);
	struct rmd_spawn_report report = next_report(f);
	assert_int_equal(report.kind, RMD_SPAWN_STARTED);
	assert_int_equal(report.id, id);
	assert_true(report.pidfd >= 0);
	close(report.pidfd);
	return report.pid;
}

static void await_end_of(pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		assert_int_equal(errno, ESRCH);
		return;
	}
	struct pollfd fd = {.fd = pidfd, .events = POLLIN};
	assert_int_equal(poll(&fd, 1, 20000), 1);
	close(pidfd);
}

/* Reads one line from a pipe. */
static void read_line(int fd, char *line, size_t room)
{
	size_t n = 0;
	while (n + 1 < room && read(fd, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
}

static int read_number(int fd)
{
	char line[64];
	read_line(fd, line, sizeof line);
	return atoi(line);
}

static void reports_start_and_exit_code(void **state)
{
	struct fixture *f = *state;
	pid_t pid = start_sh(f, 7, "exit 42", NULL, 0);
	struct rmd_spawn_report report = next_report(f);
	assert_int_equal(report.kind, RMD_SPAWN_EXITED);
	assert_int_equal(report.id, 7);
	assert_int_equal(report.pid, pid);
	assert_true(WIFEXITED(report.wait_status));
	assert_int_equal(WEXITSTATUS(report.wait_status), 42);
}

static void reports_the_signal_that_ended_a_process(void **state)
{
	struct fixture *f = *state;
	start_sh(f, 1, "kill -SEGV $$", NULL, 0);
	struct rmd_spawn_report report = next_report(f);
	assert_int_equal(report.kind, RMD_SPAWN_EXITED);
	assert_true(WIFSIGNALED(report.wait_status));
	assert_int_equal(WTERMSIG(report.wait_status), SIGSEGV);
}

static void reports_the_errno_of_a_failed_exec(void **state)
{
	struct fixture *f = *state;
	const char *argv[] = {"x", NULL};
	struct rmd_spawn_request request = {
		.id = 3, .program = "/nonexistent/program", .argv = argv};
	assert_int_equal(rmd_spawner_spawn(f->fd, &request), 0);
	struct rmd_spawn_report report = next_report(f);
	assert_int_equal(report.kind, RMD_SPAWN_FAILED);
	assert_int_equal(report.id, 3);
	assert_int_equal(report.error, ENOENT);
	assert_int_equal(report.stage, RMD_SPAWN_STAGE_EXEC);
	request.program = "/bin/sh";
	request.cwd = "/nonexistent";
	assert_int_equal(rmd_spawner_spawn(f->fd, &request), 0);
	report = next_report(f);
	assert_int_equal(report.kind, RMD_SPAWN_FAILED);
	assert_int_equal(report.stage, RMD_SPAWN_STAGE_CWD);
	start_sh(f, 4, "exit 0", NULL, 0); /* and it goes on */
}

/* The probe is this program, run with --probe: it writes what it finds to descriptor 9.
 */
static int probe_main(void)
{
	FILE *out = fdopen(9, "w");
	sigset_t mask;
	struct sigaction action;
	int signals_odd = 0;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int s = 1; s < 32; s++) {
		if (sigismember(&mask, s) == 1)
			signals_odd++;
		if (s != SIGKILL && s != SIGSTOP && sigaction(s, NULL, &action) == 0 &&
		    action.sa_handler == SIG_IGN)
			signals_odd++;
	}
	int deathsig = 0;
	prctl(PR_GET_PDEATHSIG, &deathsig);
	fprintf(out, "%d %d %d %d:", getsid(0) == getpid(), getpgrp() == getpid(),
		signals_odd, deathsig);
	for (int fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			fprintf(out, " %d", fd);
	char cwd[256];
	fprintf(out, "|%s|%s\n", getenv("REMUDA_PROBE"), getcwd(cwd, sizeof cwd));
	fclose(out);
	return 0;
}

static void child_gets_exactly_what_the_request_says(void **state)
{
	struct fixture *f = *state;
	int ends[2];
	char line[512];
	const char *argv[] = {"probe", "--probe", NULL};
	const char *env[] = {"REMUDA_PROBE=a=b", NULL};
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	int stray = dup(ends[0]); /* inheritable here, yet not the spawner's */
	struct rmd_spawn_fd fds[] = {{ends[1], 9}, {ends[0], 3}, {ends[0], 4}};
	struct rmd_spawn_request request = {
		.id = 1,
		.program = "/proc/self/exe",
		.argv = argv,
		.env = env,
		.cwd = "/usr",
		.fds = fds,
		.fd_count = 3,
	};
	assert_int_equal(rmd_spawner_spawn(f->fd, &request), 0);
	struct rmd_spawn_report report = next_report(f);
	assert_int_equal(report.kind, RMD_SPAWN_STARTED);
	close(report.pidfd);
	close(ends[1]);
	close(stray);
	read_line(ends[0], line, sizeof line);
	close(ends[0]);
	assert_string_equal(line, "1 1 0 9: 0 1 2 3 4 9|a=b|/usr");
}

static void signals_reach_the_whole_group(void **state)
{
	struct fixture *f = *state;
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct rmd_spawn_fd fds[] = {{ends[1], 1}};
	start_sh(f, 5, "sleep 1000 & echo $!; wait", fds, 1);
	close(ends[1]);
	pid_t grandchild = read_number(ends[0]);
	assert_int_equal(rmd_spawner_signal(f->fd, 5, SIGTERM), 0);
	struct rmd_spawn_report report = next_report(f);
	assert_int_equal(report.kind, RMD_SPAWN_EXITED);
	assert_int_equal(WTERMSIG(report.wait_status), SIGTERM);
	await_end_of(grandchild);
	close(ends[0]);
}

static void leftovers_of_an_ended_worker_are_killed(void **state)
{
	struct fixture *f = *state;
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct rmd_spawn_fd fds[] = {{ends[1], 1}};
	/* set -m gives the background job a process group of its own */
	start_sh(f, 5, "set -m; sleep 1000 & echo $!; exit 0", fds, 1);
	close(ends[1]);
	pid_t grandchild = read_number(ends[0]);
	assert_int_equal(next_report(f).kind, RMD_SPAWN_EXITED);
	await_end_of(grandchild);
	close(ends[0]);
}

#define DAEMON_SCRIPT                                                       \
	"setsid sh -c 'echo $$; exec sleep 1000' & echo $$; trap '' TERM; " \
	"while :; do sleep 1000; done"

static void start_family(struct fixture *f, pid_t *ret_child, pid_t *ret_daemon)
{
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct rmd_spawn_fd fds[] = {{ends[1], 1}};
	pid_t pid = start_sh(f, 5, DAEMON_SCRIPT, fds, 1);
	close(ends[1]);
	int a = read_number(ends[0]);
	int b = read_number(ends[0]);
	close(ends[0]);
	*ret_child = pid;
	*ret_daemon = a == pid ? b : a;
	assert_true(*ret_daemon > 0);
}

static void closing_the_socket_kills_workers_and_daemons(void **state)
{
	struct fixture *f = *state;
	pid_t child, runaway;
	start_family(f, &child, &runaway);
	close(f->fd);
	f->fd = -1;
	await_end_of(f->pid);
	assert_int_equal(kill(child, 0), -1);
	assert_int_equal(kill(runaway, 0), -1);
}

static void sigterm_kills_workers_and_daemons(void **state)
{
	struct fixture *f = *state;
	pid_t child, runaway;
	struct rmd_spawn_report report;
	start_family(f, &child, &runaway);
	kill(f->pid, SIGTERM);
	await_end_of(f->pid);
	assert_int_equal(kill(child, 0), -1);
	assert_int_equal(kill(runaway, 0), -1);
	assert_int_equal(rmd_spawner_read(f->fd, &report), RMD_ECLOSED);
	assert_int_equal(rmd_spawner_signal(f->fd, 5, SIGTERM), RMD_ECLOSED);
}

static void killed_spawner_takes_its_workers_along(void **state)
{
	struct fixture *f = *state;
	pid_t child, runaway;
	start_family(f, &child, &runaway);
	kill(f->pid, SIGKILL);
	await_end_of(child);
	/* what the worker had started falls to this process */
	rmd_spawner_bury(f->pid);
	f->pid = -1;
	assert_int_equal(waitpid(-1, NULL, 0), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(kill(runaway, 0), -1);
}

/* An agent in a process of its own, which is then killed. */
static void killed_agent_leaves_nobody(void **state)
{
	(void)state;
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t agent = fork();
	if (agent == 0) {
		struct fixture f;
		pid_t pids[3];
		if (rmd_spawner_start(&f.fd, &f.pid) < 0)
			_exit(1);
		start_family(&f, &pids[0], &pids[1]);
		pids[2] = f.pid;
		if (write(ends[1], pids, sizeof pids) != (ssize_t)sizeof pids)
			_exit(1);
		for (;;)
			pause();
	}
	pid_t pids[3];
	assert_int_equal(read(ends[0], pids, sizeof pids), sizeof pids);
	kill(agent, SIGKILL);
	assert_int_equal(waitpid(agent, NULL, 0), agent);
	for (int i = 0; i < 3; i++)
		await_end_of(pids[i]);
	/* they fell to us, as a subreaper of the agent's */
	while (waitpid(-1, NULL, 0) > 0)
		;
	close(ends[0]);
	close(ends[1]);
}

static void refuses_requests_over_the_limits(void **state)
{
	struct fixture *f = *state;
	static char large[RMD_SPAWN_BODY_MAX];
	static const char *many[RMD_SPAWN_STRINGS_MAX + 2];
	struct rmd_spawn_fd fds[RMD_SPAWN_FDS_MAX + 1] = {{0, 0}};
	memset(large, 'x', sizeof large - 1);
	const char *argv[] = {"sh", large, NULL};
	struct rmd_spawn_request request = {
		.id = 1, .program = "/bin/true", .argv = argv};
	assert_int_equal(rmd_spawner_spawn(f->fd, &request), RMD_ETOOBIG);
	large[sizeof large - 1 - sizeof "/bin/true" - sizeof "" - sizeof "sh"] = '\0';
	assert_int_equal(rmd_spawner_spawn(f->fd, &request), 0); /* exactly the maximum */
	assert_int_equal(next_report(f).id, 1);
	for (size_t i = 0; i < RMD_SPAWN_STRINGS_MAX + 1; i++)
		many[i] = "a";
	request.argv = many;
	assert_int_equal(rmd_spawner_spawn(f->fd, &request), RMD_ETOOBIG);
	request.argv = argv;
	argv[1] = NULL;
	request.fds = fds;
	request.fd_count = RMD_SPAWN_FDS_MAX + 1;
	assert_int_equal(rmd_spawner_spawn(f->fd, &request), RMD_ETOOBIG);
	request.id = 0;
	assert_int_equal(rmd_spawner_spawn(f->fd, &request), RMD_EINVAL);
}

static size_t sample(char *packet)
{
	static const char strings[] = "/p\0/cwd\0a0\0a1\0N=V";
	int32_t numbers[2] = {0, RMD_SPAWN_NUMBER_MAX};
	struct rmd_spawn_packet head = {
		.op = RMD_SPAWN_OP_SPAWN,
		.id = 9,
		.arg_count = 2,
		.env_count = 1,
		.fd_count = 2,
		.strings_bytes = sizeof strings,
	};
	memcpy(packet, &head, sizeof head);
	memcpy(packet + sizeof head, numbers, sizeof numbers);
	memcpy(packet + sizeof head + sizeof numbers, strings, sizeof strings);
	return sizeof head + sizeof numbers + sizeof strings;
}

static void request_packets_are_checked(void **state)
{
	(void)state;
	static char packet[256], bad[256];
	static struct rmd_spawn_parsed parsed;
	size_t len = sample(packet);
	assert_int_equal(rmd_spawn_parse(packet, len, 2, &parsed), 0);
	assert_string_equal(parsed.program, "/p");
	assert_string_equal(parsed.cwd, "/cwd");
	assert_string_equal(parsed.argv[1], "a1");
	assert_null(parsed.argv[2]);
	assert_string_equal(parsed.env[0], "N=V");
	assert_null(parsed.env[1]);
	assert_int_equal(rmd_spawn_parse(packet, len, 1, &parsed), RMD_EPROTO);
	for (size_t n = 0; n < len; n++)
		assert_int_equal(rmd_spawn_parse(packet, n, 2, &parsed), RMD_EPROTO);
	memcpy(bad, packet, len);
	bad[len - 1] = 'x'; /* no NUL at the end */
	assert_int_equal(rmd_spawn_parse(bad, len, 2, &parsed), RMD_EPROTO);
	memcpy(bad, packet, len);
	bad[len - 3] = 'x'; /* a variable without '=' */
	assert_int_equal(rmd_spawn_parse(bad, len, 2, &parsed), RMD_EPROTO);
	int32_t number = RMD_SPAWN_NUMBER_MAX + 1;
	memcpy(bad, packet, len);
	memcpy(bad + sizeof(struct rmd_spawn_packet), &number, sizeof number);
	assert_int_equal(rmd_spawn_parse(bad, len, 2, &parsed), RMD_EPROTO);
	number = RMD_SPAWN_NUMBER_MAX; /* the same twice */
	memcpy(bad + sizeof(struct rmd_spawn_packet), &number, sizeof number);
	assert_int_equal(rmd_spawn_parse(bad, len, 2, &parsed), RMD_EPROTO);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--spawner") == 0)
		rmd_spawner_main();
	if (argc > 1 && strcmp(argv[1], "--probe") == 0)
		return probe_main();
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(reports_start_and_exit_code),
		T(reports_the_signal_that_ended_a_process),
		T(reports_the_errno_of_a_failed_exec),
		T(child_gets_exactly_what_the_request_says),
		T(signals_reach_the_whole_group),
		T(leftovers_of_an_ended_worker_are_killed),
		T(closing_the_socket_kills_workers_and_daemons),
		T(sigterm_kills_workers_and_daemons),
		T(killed_spawner_takes_its_workers_along),
		cmocka_unit_test(killed_agent_leaves_nobody),
		T(refuses_requests_over_the_limits),
		cmocka_unit_test(request_packets_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
