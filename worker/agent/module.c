#include "worker/agent/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"

#define SOURCE "agent"
#define MEMFD_NAME_MAX 200u          /* the kernel takes 249 bytes */

/* A module: first being loaded by a thread of its own, then here or failed. The thread
 * owns `bytes`, `fd` and `rc` until it has posted; the agent's thread everything after.
 */
struct rmd_amodule {
	struct rmd_agent *agent;
	struct rmd_digest digest;
	char *name;
	char memfd_name[MEMFD_NAME_MAX];
	pthread_t thread;
	bool joinable;
	bool loading;
	struct rmd_piece bytes;
	int fd; /* sealed memfd; -1: none */
	int rc;
	LIST_ENTRY(rmd_amodule) link;
};

static int write_all(int fd, struct rmd_slice bytes)
{
	while (bytes.len > 0) {
		size_t piece = bytes.len < (1u << 30) ? bytes.len : 1u << 30;
		ssize_t n = write(fd, bytes.data, piece);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return RMD_ESYS;
		bytes = rmd_slice_of(bytes.data + n, bytes.len - (size_t)n);
	}
	return 0;
}

/* Copies the bytes to where nobody can change them, then checks what is there. */
static int keep(struct rmd_amodule *module)
{
	struct rmd_digest digest;
	/* The kernel shows a memfd's name: workers and debuggers find it there. */
	module->fd = memfd_create(module->memfd_name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (module->fd < 0)
		return RMD_ESYS;
	int rc = write_all(module->fd, module->bytes.bytes);
	if (rc == 0 &&
	    fcntl(module->fd, F_ADD_SEALS,
		  F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		rc = RMD_ESYS;
	if (rc == 0 && lseek(module->fd, 0, SEEK_SET) < 0)
		rc = RMD_ESYS;
	if (rc == 0)
		rc = rmd_digest_of_fd(module->fd, &digest);
	if (rc == 0 && !rmd_digest_equal(&digest, &module->digest))
		rc = RMD_EPROTO;
	return rc;
}

static void destroy(struct rmd_amodule *module)
{
	LIST_REMOVE(module, link);
	module->agent->modules_held--;
	if (module->fd >= 0)
		close(module->fd);
	rmd_piece_unref(module->bytes);
	rmd_free(module->name);
	rmd_free(module);
}

static const char *refusal(const struct rmd_amodule *module)
{
	return module->rc == RMD_EPROTO ? "its bytes are not those of its digest"
					: rmd_errcode_text(module->rc);
}

/* On the agent's thread, after the thread has done its work. */
static void on_loaded(void *arg)
{
	struct rmd_amodule *module = arg;
	struct rmd_agent *agent = module->agent;
	struct rmd_apool *pool;
	if (module->joinable)
		pthread_join(module->thread, NULL);
	module->joinable = false;
	module->loading = false;
	rmd_piece_unref(module->bytes);
	module->bytes = (struct rmd_piece){0};
	if (module->rc < 0) {
		rmd_log(RMD_LOG_ERROR, SOURCE, "the module %s is refused: %s",
			module->name, refusal(module));
		if (module->fd >= 0)
			close(module->fd);
		module->fd = -1;
	}
	LIST_FOREACH (pool, &agent->pool_list, link) {
		if (pool->missing_told) { /* no more need to wait for it */
			pool->missing_told = false;
			rmd_atimer_stop(&agent->timers, &pool->retry);
		}
		rmd_apool_unbalance(pool);
	}
}

static void *load(void *arg)
{
	struct rmd_amodule *module = arg;
	module->rc = keep(module);
	while (rmd_agent_post(module->agent, on_loaded, module) < 0)
		usleep(10000); /* no memory for a few bytes: somebody will free some */
	return NULL;
}

static struct rmd_amodule *find(const struct rmd_agent *agent,
				const struct rmd_digest *digest)
{
	struct rmd_amodule *module;
	LIST_FOREACH (module, &agent->module_list, link)
		if (rmd_digest_equal(&module->digest, digest))
			return module;
	return NULL;
}

int rmd_amodule_load(struct rmd_agent *agent, const struct rmd_module_image *image,
		     struct rmd_piece bytes)
{
	struct rmd_amodule *module = NULL;
	int rc = RMD_ENOMEM;
	struct rmd_amodule *before = find(agent, &image->digest);
	if (before != NULL && (before->loading || before->fd >= 0)) {
		rmd_piece_unref(bytes);
		return 0;
	}
	if (before != NULL)
		destroy(before); /* it was refused: here is another try */
	if (agent->modules_held >= RMD_AGENT_MODULES_MAX) {
		rc = RMD_ELIMIT;
		goto out;
	}
	module = rmd_calloc(1, sizeof *module);
	if (module == NULL)
		goto out;
	module->name = rmd_strndup((const char *)image->name.data, image->name.len);
	if (module->name == NULL)
		goto out;
	*module = (struct rmd_amodule){
		.agent = agent,
		.digest = image->digest,
		.name = module->name,
		.bytes = bytes,
		.fd = -1,
		.loading = true,
		.joinable = true,
	};
	(void)snprintf(module->memfd_name, sizeof module->memfd_name, "%s",
		       *module->name != '\0' ? module->name : "module");
	/* On the list first: the thread may be done before pthread_create returns. */
	LIST_INSERT_HEAD(&agent->module_list, module, link);
	agent->modules_held++;
	if (pthread_create(&module->thread, NULL, load, module) == 0)
		return 0;
	destroy(module);
	return RMD_ESYS;
out:
	if (module != NULL)
		rmd_free(module->name);
	rmd_free(module);
	rmd_piece_unref(bytes);
	return rc;
}

int rmd_amodule_fd(const struct rmd_agent *agent, const struct rmd_digest *digest,
		   const char **ret_name)
{
	const struct rmd_amodule *module = find(agent, digest);
	if (module == NULL || module->loading)
		return -1;
	if (ret_name != NULL)
		*ret_name = module->name;
	return module->fd;
}

bool rmd_amodule_loading(const struct rmd_agent *agent, const struct rmd_digest *digest)
{
	const struct rmd_amodule *module = find(agent, digest);
	return module != NULL && module->loading;
}

const char *rmd_amodule_refused(const struct rmd_agent *agent,
				const struct rmd_digest *digest)
{
	const struct rmd_amodule *module = find(agent, digest);
	return module != NULL && !module->loading && module->fd < 0 ? refusal(module)
								    : NULL;
}

void rmd_amodule_join_all(struct rmd_agent *agent)
{
	struct rmd_amodule *module;
	LIST_FOREACH (module, &agent->module_list, link) {
		if (module->joinable)
			pthread_join(module->thread, NULL);
		module->joinable = false;
	}
}

void rmd_amodule_free_all(struct rmd_agent *agent)
{
	struct rmd_amodule *module;
	while ((module = LIST_FIRST(&agent->module_list)) != NULL)
		destroy(module);
}
