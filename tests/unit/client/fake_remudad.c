/* A stand-in for remudad: takes the options of a private coordinator, serves the
 * descriptor that it was given with the fake, and ends when its client has ended. With
 * FAKE_REMUDAD_FAIL it exits at once instead. FAKE_REMUDAD_TELL names a file for a
 * report on itself. */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/client/fake.h"

static int number_after(int argc, char **argv, const char *option)
{
	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], option) == 0)
			return atoi(argv[i + 1]);
	return -1;
}

static int count_after(int argc, char **argv, const char *option)
{
	int count = 0;
	for (int i = 1; i + 1 < argc; i++)
		count += strcmp(argv[i], option) == 0;
	return count;
}

/* Descriptors beyond the standard ones. */
static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;
	for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
		count += atoi(entry->d_name) > 2;
	if (dir != NULL)
		closedir(dir);
	return count - 1;                    /* the folder's own */
}

static void tell(const char *path, int argc, char **argv)
{
	sigset_t blocked;
	struct sigaction action;
	int fds = count_fds();
	FILE *file = fopen(path, "w");
	if (file == NULL)
		exit(3);
	sigprocmask(SIG_SETMASK, NULL, &blocked);
	sigaction(SIGCHLD, NULL, &action);
	fprintf(file,
		"fds=%d blocked=%d ignored=%d private=%d workers=%d modules=%d pid=%d\n",
		fds, sigismember(&blocked, SIGUSR1), action.sa_handler == SIG_IGN,
		argc > 1 && strcmp(argv[1], "--private") == 0,
		number_after(argc, argv, "--local-workers"),
		count_after(argc, argv, "--module"), (int)getpid());
	fclose(file);
}

int main(int argc, char **argv)
{
	int fd = number_after(argc, argv, "--client-fd");
	int pidfd = number_after(argc, argv, "--client-pidfd");
	if (getenv("FAKE_REMUDAD_FAIL") != NULL || fd < 3 || pidfd < 3)
		return 3;
	if (getenv("FAKE_REMUDAD_TELL") != NULL)
		tell(getenv("FAKE_REMUDAD_TELL"), argc, argv);
	struct fake_options options = {.fd = fd};
	fake_start(&options);
	struct pollfd poller = {.fd = pidfd, .events = POLLIN};
	while (poll(&poller, 1, -1) < 1)
		;
	_exit(0);
}
