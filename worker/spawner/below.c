#include "worker/spawner/below.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/spawner/spawner.h"

#define REKILL_MS 2	/* between looks for what a killed process had just started */
#define REKILL_MAX 5000 /* then somebody sleeps in the kernel for good */

static void visit_thread(const char *thread, void (*visit)(pid_t pid, void *arg),
			 void *arg)
{
	char path[64];
	int pid;
	snprintf(path, sizeof path, "/proc/self/task/%.20s/children", thread);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return;
	while (fscanf(file, "%d", &pid) == 1)
		visit(pid, arg);
	fclose(file);
}

void rmd_spawn_each_below(void (*visit)(pid_t pid, void *arg), void *arg)
{
	DIR *threads = opendir("/proc/self/task");
	if (threads == NULL)
		return;
	for (struct dirent *entry; (entry = readdir(threads)) != NULL;)
		if (isdigit((unsigned char)entry->d_name[0]))
			visit_thread(entry->d_name, visit, arg);
	closedir(threads);
}

static bool named_spawner(pid_t pid)
{
	char path[64], name[32] = {0};
	snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	bool same = fgets(name, sizeof name, file) != NULL &&
		    strcmp(name, RMD_SPAWNER_NAME "\n") == 0;
	fclose(file);
	return same;
}

struct burial {
	pid_t own_session;
	bool found; /* something in this round: look again */
};

static void bury_one(pid_t pid, void *arg)
{
	struct burial *burial = arg;
	pid_t session = getsid(pid);
	if (session < 0 || session == burial->own_session || named_spawner(pid))
		return;
	kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, WNOHANG);
	burial->found =
		true; /* its own children may have fallen to us after the list was made */
}

void rmd_spawner_bury(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	for (int i = 0; i < REKILL_MAX; i++) {
		struct burial burial = {.own_session = getsid(0)};
		rmd_spawn_each_below(bury_one, &burial);
		if (!burial.found)
			return;
		poll(NULL, 0, REKILL_MS);
	}
}
