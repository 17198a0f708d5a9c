/* How much memory workers use: more than their pool allows, or more and more.
 *
 * What /proc says, and no guess: a worker is ended for its pool's memory_bytes when it
 * and all that it has started are seen to use more, and replaced for leak_bytes when what
 * is its own has grown by more since the end of its first task. */
#include "worker/agent/state.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/log.h"

#define SOURCE "agent"
#define LEAK_LOOK_MS 1000u  /* at most once in this time, for each worker */
#define LIMIT_LOOK_MS 100u  /* while tasks run in pools with a limit */
#define PROCESSES_MAX 1024u /* of one worker that are counted */

/* ---- what /proc says ---- */

static uint64_t page_bytes(void)
{
	long size = sysconf(_SC_PAGESIZE);
	return size > 0 ? (uint64_t)size : 4096;
}

/* Memory in use, and the part of it that others may share. False: it has ended. */
static bool read_statm(pid_t pid, uint64_t *ret_resident, uint64_t *ret_shared)
{
	char path[32];
	unsigned long long resident, shared;
	snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	bool read = fscanf(file, "%*u %llu %llu", &resident, &shared) == 2;
	fclose(file);
	if (!read)
		return false;
	*ret_resident = resident * page_bytes();
	*ret_shared = shared * page_bytes();
	return true;
}

/* Memory in use, with each page that it shares with others counted by its part. False: it
 * has ended, or may not be looked at. */
static bool read_part(pid_t pid, uint64_t *ret_bytes)
{
	char path[48], line[256];
	unsigned long long kib;
	bool found = false;
	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	while (!found && fgets(line, sizeof line, file) != NULL)
		found = sscanf(line, "Pss: %llu kB", &kib) == 1;
	fclose(file);
	if (found)
		*ret_bytes = kib * 1024u;
	return found;
}

/* A worker and all that it has started. */
struct family {
	pid_t pids[PROCESSES_MAX];
	size_t count;
};

static void add_children(struct family *family, pid_t pid, const char *thread)
{
	char path[64];
	int child;
	snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", (int)pid, thread);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return;
	while (family->count < PROCESSES_MAX && fscanf(file, "%d", &child) == 1)
		family->pids[family->count++] = child;
	fclose(file);
}

static void find_family(pid_t pid, struct family *family)
{
	family->pids[0] = pid;
	family->count = 1;
	for (size_t i = 0; i < family->count; i++) {
		char path[32];
		snprintf(path, sizeof path, "/proc/%d/task", (int)family->pids[i]);
		DIR *threads = opendir(path);
		if (threads == NULL)
			continue;
		for (struct dirent *entry; (entry = readdir(threads)) != NULL;)
			if (entry->d_name[0] != '.')
				add_children(family, family->pids[i], entry->d_name);
		closedir(threads);
	}
}

/* What they use. A first, cheap sum counts twice what they share; only where that is too
 * much the exact one is made. */
static uint64_t family_bytes(const struct family *family, uint64_t limit)
{
	uint64_t sum = 0, exact = 0, resident, shared, part;
	for (size_t i = 0; i < family->count; i++)
		if (read_statm(family->pids[i], &resident, &shared))
			sum += resident;
	if (sum <= limit)
		return sum;
	for (size_t i = 0; i < family->count; i++)
		if (read_part(family->pids[i], &part))
			exact += part;
	return exact;
}

/* ---- the limit ---- */

static void look_at(struct rmd_aworker *worker)
{
	static struct family family; /* of the agent's thread; too large for its stack */
	uint64_t limit = worker->pool->spec->memory_bytes;
	if (worker->pid <= 0 || worker->end == RMD_AWORKER_KILLED)
		return;
	find_family(worker->pid, &family);
	uint64_t bytes = family_bytes(&family, limit);
	if (bytes <= limit)
		return;
	worker->limit_bytes = limit;
	worker->used_bytes = bytes;
	worker->used_children = (uint32_t)family.count - 1;
	rmd_log(RMD_LOG_WARN, SOURCE,
		"a worker uses too much memory and is killed worker=%" PRIu64
		" pool=%" PRIu64 " bytes=%" PRIu64 " limit=%" PRIu64,
		worker->number, worker->pool->number, bytes, limit);
	rmd_aworker_kill(worker, "it used more memory than its pool allows");
}

bool rmd_aworker_limit_all(struct rmd_apool *pool)
{
	struct rmd_aworker *worker;
	bool again = false;
	if (pool->spec->memory_bytes == 0)
		return false;
	TAILQ_FOREACH (worker, &pool->workers, all) {
		if (worker->state != RMD_WORKER_STATE_BUSY && !worker->initializing)
			continue;
		again = true;
		look_at(worker);
	}
	return again;
}

void rmd_agent_arm_limit(struct rmd_agent *agent)
{
	if (agent->limit.place == 0)
		rmd_atimer_start(&agent->timers, &agent->limit,
				 agent->now_ms + LIMIT_LOOK_MS);
}

/* ---- leaks ---- */

void rmd_aworker_look_for_leak(struct rmd_aworker *worker)
{
	struct rmd_apool *pool = worker->pool;
	uint64_t allowed = rmd_pool_leak_bytes(pool->spec);
	uint64_t now_ms = worker->agent->now_ms, resident, shared;
	if (allowed == RMD_POOL_LEAK_NEVER || worker->leaked || worker->pid <= 0 ||
	    (worker->first_bytes != 0 && now_ms - worker->leak_look_ms < LEAK_LOOK_MS))
		return;
	worker->leak_look_ms = now_ms;
	if (!read_statm(worker->pid, &resident, &shared) || resident <= shared)
		return;
	uint64_t own = resident - shared;
	if (worker->first_bytes == 0)
		worker->first_bytes = own;
	if (own <= worker->first_bytes || own - worker->first_bytes <= allowed)
		return;
	worker->leaked = pool->leaking = true;
	rmd_log(RMD_LOG_INFO, SOURCE,
		"a worker has grown and is replaced worker=%" PRIu64 " pool=%" PRIu64
		" first_bytes=%" PRIu64 " bytes=%" PRIu64,
		worker->number, pool->number, worker->first_bytes, own);
	if (rmd_apool_take_back(worker, UINT32_MAX) > 0)
		rmd_apool_unbalance(pool);
}
