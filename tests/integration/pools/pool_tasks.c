/* What the tests of pools run. */
#include <remuda/task.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

REMUDA_MODULE("pools");

static int64_t given, setups;
static char env_seen[64];

static void nap(int64_t ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&time, NULL);
}

/* Memory that is really there: each page has been written to. */
static void *take(int64_t bytes)
{
	volatile char *block = malloc((size_t)bytes);
	for (int64_t at = 0; block != NULL && at < bytes; at += 4096)
		block[at] = 1;
	return (void *)(uintptr_t)block;
}

/* An initializer: keeps `n`, and what the variable POOLS says. */
REMUDA_TASK(void, setup, (int64_t, n))
{
	const char *env = getenv("POOLS");
	given = n;
	setups++;
	snprintf(env_seen, sizeof env_seen, "%s", env != NULL ? env : "none");
}

/* What setup has kept: n * 100 + how often it ran. */
REMUDA_TASK(int64_t, kept)
{
	return given * 100 + setups;
}

REMUDA_TASK(const char *, kept_env)
{
	return env_seen;
}

/* An initializer that fails until the file is there. */
REMUDA_TASK(void, needs, (const char *, path))
{
	if (access(path, F_OK) != 0)
		remuda_raise("SetupError", "%s is not there", path);
}

/* An initializer, or a task, that kills its worker. */
REMUDA_TASK(void, die)
{
	raise(SIGKILL);
}

/* An initializer that submits a task. */
REMUDA_TASK(void, nests, (remuda_ctx *, ctx))
{
	struct remuda_value value;
	(void)remuda_ctx_get(ctx, remuda_ctx_submit(ctx, "native:pools.pid", NULL, 0),
			     &value);
}

REMUDA_TASK(int64_t, pid)
{
	return getpid();
}

/* Makes the file, then waits until the other is there; gives its process. */
REMUDA_TASK(int64_t, meet, (const char *, mine), (const char *, other))
{
	FILE *file = fopen(mine, "w");
	if (file != NULL)
		fclose(file);
	while (access(other, F_OK) != 0)
		nap(2);
	return getpid();
}

/* Takes memory and keeps it; gives its process. */
REMUDA_TASK(int64_t, grow, (int64_t, bytes))
{
	(void)take(bytes);
	nap(20);
	return getpid();
}

/* Takes memory and waits to be ended for it. */
REMUDA_TASK(void, hog, (int64_t, bytes))
{
	void *block = take(bytes);
	nap(60000);
	free(block);
}

/* The same in a child of the worker's. */
REMUDA_TASK(void, hog_below, (int64_t, bytes))
{
	pid_t child = fork();
	if (child == 0) {
		(void)take(bytes);
		nap(60000);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

/* Shares much memory with many children, which use none of their own. */
REMUDA_TASK(int64_t, share, (int64_t, bytes))
{
	void *volatile block = malloc((size_t)bytes);
	pid_t children[8];
	if (block != NULL)
		memset(block, 1, (size_t)bytes);
	for (int i = 0; i < 8; i++)
		if ((children[i] = fork()) == 0) {
			nap(700);
			_exit(0);
		}
	for (int i = 0; i < 8; i++)
		waitpid(children[i], NULL, 0);
	free(block);
	return 8;
}
