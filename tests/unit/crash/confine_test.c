/* What the crash helper has given up, it cannot do; what it needs, it can. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/crash/catch.h"
#include "worker/crash/helper/confine.h"

static pid_t parent;

/* Runs `body` confined, in a process of its own: its exit code. */
static int run_confined(int (*body)(void))
{
	int status;
	parent = getpid();
	pid_t pid = fork();
	if (pid == 0)
		_exit(rmd_confine() < 0 ? 100 : body());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int read_things(void)
{
	char byte = 0, copy = 1;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, &byte, 1) != 1)
		return 1;
	close(fd);
	struct iovec here = {&copy, 1}, there = {&byte, 1};
	void *memory = malloc(4 << 20);
	if (memory == NULL)
		return 2;
	free(memory);
	return process_vm_readv(parent, &here, 1, &there, 1, 0) == 1 ? 0 : 3;
}

static void it_reads_files_and_other_processes(void **state)
{
	(void)state;
	assert_int_equal(run_confined(read_things), 0);
}

/* Gives the number of the first thing that is not refused. */
static int change_things(void)
{
	char *const argv[] = {(char *)(uintptr_t) "true", NULL};
	if (open("/tmp/remuda-confined", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 ||
	    errno != EPERM)
		return 1;
	if (openat(AT_FDCWD, "/dev/null", O_RDWR) >= 0 || errno != EPERM)
		return 2;
	if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EPERM)
		return 3;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	if (pid > 0)
		return 4;
	if (execv("/bin/true", argv) == 0 || errno != EPERM)
		return 5;
	if (kill(parent, 0) == 0)
		return 6;
	if (ptrace(PTRACE_ATTACH, parent, NULL, NULL) == 0)
		return 7;
	if (unlink("/tmp/remuda-confined") == 0 || errno != EPERM)
		return 8;
	if (setuid(1) == 0)
		return 9;
	return 0;
}

static void it_changes_nothing_and_starts_nothing(void **state)
{
	(void)state;
#if defined(RMD_CATCH_SANITIZED) || !defined(__x86_64__)
	skip(); /* without the filter of calls */
#endif
	assert_int_equal(run_confined(change_things), 0);
}

static int look_at_limits(void)
{
	char line[256];
	unsigned long long soft, hard;
	int found = 0;
	FILE *file = fopen("/proc/self/limits", "re");
	if (file == NULL)
		return 1;
	while (fgets(line, sizeof line, file) != NULL) {
		if (sscanf(line, "Max cpu time %llu %llu", &soft, &hard) == 2 &&
		    hard <= 3)
			found++;
		if (sscanf(line, "Max core file size %llu %llu", &soft, &hard) == 2 &&
		    hard == 0)
			found++;
		if (sscanf(line, "Max file size %llu %llu", &soft, &hard) == 2 &&
		    hard == 0)
			found++;
	}
	return found == 3 ? 0 : 2;
}

static void its_time_and_files_are_limited(void **state)
{
	(void)state;
	assert_int_equal(run_confined(look_at_limits), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_reads_files_and_other_processes),
		cmocka_unit_test(it_changes_nothing_and_starts_nothing),
		cmocka_unit_test(its_time_and_files_are_limited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
