#include "worker/agent/state.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"

#define STOP_GRACE_MS 5000u
#define CANCEL_GRACE_MS 1000u
#define START_TIMEOUT_MS 60000u
#define WORKER_PROGRAM "remuda-worker-native"
#define PYTHON_PROGRAM "remuda-worker-python"
#define CRASH_PROGRAM "remuda-crash"

static uint32_t own_cpu_milli(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return 1000;
	return (uint32_t)CPU_COUNT(&set) * 1000u;
}

/* A program of ours: beside our own, else where an installation has it. Gives its path,
 * which may not exist, or NULL. */
static char *find_program(const char *name)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n <= 0)
		return NULL;
	self[n] = '\0';
	char *slash = strrchr(self, '/');
	if (slash != NULL)
		*slash = '\0';
	char *beside = rmd_asprintf("%s/%s", self, name);
	char *libexec = rmd_asprintf("%s/../libexec/remuda/%s", self, name);
	if (beside != NULL && libexec != NULL && access(beside, X_OK) != 0 &&
	    access(libexec, X_OK) == 0) {
		rmd_free(beside);
		return libexec;
	}
	rmd_free(libexec);
	return beside;
}

/* The program of python workers, or NULL: there is none here. */
static char *find_python(void)
{
	const char *named = getenv("REMUDA_WORKER_PYTHON");
	char *path = named != NULL ? rmd_strdup(named) : find_program(PYTHON_PROGRAM);
	if (path == NULL || access(path, X_OK) == 0)
		return path;
	rmd_free(path);
	return NULL;
}

static int copy_list(const char *const *from, size_t count, char ***ret_list,
		     size_t *ret_count)
{
	if (count == 0)
		return 0;
	*ret_list = rmd_calloc(count, sizeof **ret_list);
	if (*ret_list == NULL)
		return RMD_ENOMEM;
	for (; *ret_count < count; (*ret_count)++)
		if (((*ret_list)[*ret_count] = rmd_strdup(from[*ret_count])) == NULL)
			return RMD_ENOMEM;
	return 0;
}

/* The preload library beside our own program, built or installed; NULL: there is none. */
static char *find_preload(void)
{
	static const char *const places[] = {RMD_PRELOAD_FOLDER, "../lib"};
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
	if (len <= 0)
		return NULL;
	self[len] = '\0';
	char *slash = strrchr(self, '/');
	for (size_t i = 0; slash != NULL && i < sizeof places / sizeof places[0]; i++) {
		char *path = rmd_asprintf("%.*s/%s/libremuda-worker.so",
					  (int)(slash - self), self, places[i]);
		if (path == NULL || access(path, R_OK) == 0)
			return path;
		rmd_free(path);
	}
	return NULL;
}

static char *host_name(void)
{
	char name[RMD_AGENT_NAME_MAX_BYTES + 1] = {0};
	if (gethostname(name, sizeof name - 1) < 0 || name[0] == '\0')
		return rmd_strdup("localhost");
	return rmd_strdup(name);
}

static bool labels_valid(const struct rmd_agent_options *options)
{
	if (options->label_count > RMD_AGENT_LABELS_MAX)
		return false;
	for (size_t i = 0; i < options->label_count; i++) {
		const char *equals = strchr(options->labels[i], '=');
		if (equals == NULL || equals == options->labels[i] ||
		    equals - options->labels[i] > (ptrdiff_t)RMD_LABEL_MAX_BYTES ||
		    strlen(equals + 1) > RMD_LABEL_MAX_BYTES)
			return false;
	}
	return true;
}

int rmd_agent_copy_options(struct rmd_agent *agent,
			   const struct rmd_agent_options *options)
{
	if (!labels_valid(options) || options->module_count > RMD_POOL_MODULES_MAX ||
	    (options->name != NULL && strlen(options->name) > RMD_AGENT_NAME_MAX_BYTES))
		return RMD_EINVAL;
	agent->name = options->name != NULL ? rmd_strdup(options->name) : host_name();
	agent->version =
		rmd_strdup(options->version != NULL ? options->version : REMUDA_VERSION);
	agent->worker_path = options->worker_path != NULL
				     ? rmd_strdup(options->worker_path)
				     : find_program(WORKER_PROGRAM);
	agent->python_path = find_python();
	agent->crash_path = options->crash_path != NULL
				    ? rmd_strdup(options->crash_path)
				    : find_program(CRASH_PROGRAM);
	agent->preload_path = find_preload();
	if (agent->name == NULL || agent->version == NULL || agent->worker_path == NULL)
		return RMD_ENOMEM;
	if (options->run_dir != NULL &&
	    (agent->run_dir = rmd_strdup(options->run_dir)) == NULL)
		return RMD_ENOMEM;
	int rc = copy_list(options->modules, options->module_count, &agent->modules,
			   &agent->module_count);
	if (rc == 0)
		rc = copy_list(options->labels, options->label_count, &agent->labels,
			       &agent->label_count);
	agent->workers_max = options->workers_max;
	agent->cpu_milli = options->cpu_milli != 0 ? options->cpu_milli : own_cpu_milli();
	agent->stop_grace_ms = options->stop_grace_ms != 0 ? options->stop_grace_ms
							   : STOP_GRACE_MS;
	agent->cancel_grace_ms = options->cancel_grace_ms != 0 ? options->cancel_grace_ms
							       : CANCEL_GRACE_MS;
	agent->start_timeout_ms = options->start_timeout_ms != 0
					  ? options->start_timeout_ms
					  : START_TIMEOUT_MS;
	agent->orphan_ms = options->orphan_ms;
	agent->on_finished = options->finished;
	agent->on_attached = options->attached;
	agent->ctx = options->ctx;
	return rc;
}

const char *rmd_agent_program(const struct rmd_agent *agent, struct rmd_slice runtime)
{
	if (rmd_slice_equal(runtime, rmd_slice_of_string("native")))
		return agent->worker_path;
	if (rmd_slice_equal(runtime, rmd_slice_of_string("python")))
		return agent->python_path;
	return NULL;
}

static void free_list(char **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		rmd_free(list[i]);
	rmd_free(list);
}

void rmd_agent_free_options(struct rmd_agent *agent)
{
	rmd_free(agent->name);
	rmd_free(agent->version);
	rmd_free(agent->worker_path);
	rmd_free(agent->python_path);
	rmd_free(agent->crash_path);
	rmd_free(agent->preload_path);
	rmd_free(agent->run_dir);
	free_list(agent->modules, agent->module_count);
	free_list(agent->labels, agent->label_count);
}
