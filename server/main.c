/* remudad: the coordinator.
 *
 * The one place that knows both the server and the agent: in local mode it joins them
 * by a direct link. Order of things: the spawner is exec'ed before gRPC starts its
 * threads; at the end the tasks are drained, then the agent, then the server. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/descriptors.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"
#include "proto/rpc/rpc.h"
#include "proto/shared/mailbox.h"
#include "server/direct_link.h"
#include "server/guard.h"
#include "server/options.h"
#include "server/service/coordinator.h"
#include "server/watch.h"
#include "worker/agent/agent.h"
#include "worker/spawner/spawner.h"

#define LAST_CALLS_MS 500 /* grace of calls that still stand at the end */

struct program {
	struct rmd_guard *guard; /* NULL: whoever connects may call */
	struct rmd_server_config config;
	struct rmd_loop *loop;
	struct rmd_server *server;
	struct rmd_coordinator *coordinator;
	struct rmd_mailbox *mailbox; /* for shared memory; NULL: none */
	struct rmd_watch *watch;
	struct rmd_agent *agent;
	struct rmd_link *core_end; /* of the direct link; the coordinator owns it */
	char *addresses[RMD_LISTENERS_MAX];
	size_t address_count;
	int spawner_fd;
	pid_t spawner_pid;
	bool serving, stopping, stopping_now, down;
};

static void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	if (path == NULL || (path[0] != '/' && path[0] != '@') ||
	    strlen(path) >= sizeof to.sun_path)
		return;
	memcpy(to.sun_path, path, strlen(path));
	if (to.sun_path[0] == '@')
		to.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	socklen_t len =
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, len) <
	    0)
		rmd_log(RMD_LOG_WARN, "main", "NOTIFY_SOCKET %s: %s", path,
			strerror(errno));
	close(fd);
}

/* ---- the end ---- */

static void server_down(void *ctx)
{
	struct program *program = ctx;
	rmd_loop_stop(program->loop);
}

/* The tasks have ended: now the agent with its workers, then the calls that still
 * stand. */
static void tasks_down(void *ctx)
{
	struct program *program = ctx;
	if (program->down)
		return;
	program->down = true;
	if (program->agent != NULL) {
		rmd_direct_link_detach_agent(program->core_end);
		rmd_agent_stop(program->agent);
		program->agent = NULL;
	}
	rmd_server_shutdown(program->server, program->stopping_now ? 0 : LAST_CALLS_MS,
			    server_down, program);
}

static void stop(struct program *program, uint64_t grace_ms)
{
	if (!program->stopping) {
		program->stopping = true;
		notify("STOPPING=1");
		rmd_server_set_healthy(program->server, false);
		rmd_log(RMD_LOG_INFO, "main", "draining for at most %llu ms",
			(unsigned long long)grace_ms);
	}
	if (program->stopping_now)
		return;
	program->stopping_now = grace_ms == 0;
	rmd_coordinator_stop(program->coordinator, grace_ms, tasks_down, program);
}

static void on_shutdown_call(void *ctx, uint64_t grace_ms)
{
	stop(ctx, grace_ms);
}

static void on_watch(void *ctx, enum rmd_watch_event event)
{
	struct program *program = ctx;
	switch (event) {
	case RMD_WATCH_TERMINATE:
		stop(program, program->stopping ? 0 : program->config.grace_ms);
		return;
	case RMD_WATCH_CLIENT_GONE:
		program->stopping_now = true;
		tasks_down(program); /* nobody is left who could want an outcome */
		return;
	}
}

/* ---- the beginning ---- */

/* Leaves the client that started us: its wait() must not meet us. */
static int leave_client(void)
{
	pid_t pid = fork();
	if (pid < 0)
		return RMD_ESYS;
	if (pid > 0)
		_exit(0);
	setsid();
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return RMD_ESYS;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	close(null);
	return 0;
}

static int start_agent(struct program *program)
{
	const struct rmd_server_config *config = &program->config;
	struct rmd_link *agent_end;
	int rc = rmd_direct_link_create(program->loop, &program->core_end, &agent_end);
	if (rc == 0)
		rc = rmd_coordinator_add_agent(program->coordinator, program->core_end,
					       true);
	if (rc < 0)
		return rc;
	struct rmd_agent_options options = {
		.version = REMUDA_VERSION,
		.workers_max = config->local_workers,
		.worker_path = config->worker_path,
		.modules = config->modules,
		.module_count = config->module_count,
		.cancel_grace_ms = config->cancel_grace_ms,
		.spawner_fd = program->spawner_fd,
		.spawner_pid = program->spawner_pid,
	};
	program->agent = rmd_agent_start(&options, agent_end);
	if (program->agent == NULL) {
		rmd_log(RMD_LOG_ERROR, "main", "the local agent cannot start: %s",
			strerror(errno));
		return RMD_ESYS;
	}
	program->spawner_fd = -1;
	rmd_direct_link_attach_agent(program->core_end, program->agent);
	return 0;
}

/* Who may come: before anybody can. */
static enum rmd_exit post_guard(struct program *program)
{
	char *why = NULL;
	if (program->config.tokens == NULL ||
	    rmd_guard_post(program->server, program->config.tokens, &program->guard, &why) == 0)
		return RMD_EXIT_OK;
	fprintf(stderr, "remudad: %s\n", why != NULL ? why : "out of memory");
	enum rmd_exit code = why != NULL ? RMD_EXIT_USAGE : RMD_EXIT_SYSTEM;
	rmd_free(why);
	return code;
}

static enum rmd_exit listen_all(struct program *program)
{
	const struct rmd_server_config *config = &program->config;
	struct rmd_tls tls = {.cert_file = config->tls_cert,
			      .key_file = config->tls_key,
			      .ca_file = config->tls_ca};
	for (size_t i = 0; i < program->config.listen_count; i++) {
		char *why = NULL;
		if (rmd_server_listen(program->server, config->listen[i],
				      tls.cert_file != NULL ? &tls : NULL,
				      &program->addresses[i], &why) < 0) {
			fprintf(stderr, "remudad: %s\n", why != NULL ? why : "out of memory");
			rmd_free(why);
			return RMD_EXIT_LISTEN;
		}
		program->address_count++;
	}
	return RMD_EXIT_OK;
}

/* Where clients of this host post their memory: beside each unix socket, which is ours by
 * its lock. Without it they are served all the same. */
static enum rmd_exit open_mailbox(struct program *program)
{
	const struct rmd_server_config *config = &program->config;
	if (config->memory_fd >= 0 &&
	    rmd_mailbox_adopt(program->mailbox, config->memory_fd) < 0) {
		fprintf(stderr, "remudad: --memory-fd %d is not a datagram socket\n",
			config->memory_fd);
		return RMD_EXIT_USAGE;
	}
	for (size_t i = 0; config->shared_bytes != 0 && i < program->address_count; i++) {
		if (strncmp(program->addresses[i], "unix:", 5) != 0)
			continue;
		int rc = rmd_mailbox_bind(program->mailbox, program->addresses[i] + 5);
		if (rc < 0)
			rmd_log(RMD_LOG_WARN, "main",
				"no shared memory for clients of %s: %s",
				program->addresses[i],
				rc == RMD_ESYS ? strerror(errno) : rmd_errcode_text(rc));
	}
	return RMD_EXIT_OK;
}

static void say_ready(struct program *program)
{
	rmd_server_set_healthy(program->server, true);
	for (size_t i = 0; i < program->address_count; i++)
		rmd_log(RMD_LOG_INFO, "main", "listening on %s", program->addresses[i]);
	notify("READY=1");
	if (program->config.ready_fd < 0)
		return;
	FILE *ready = fdopen(program->config.ready_fd, "w");
	if (ready == NULL)
		return;
	fputs("ready", ready);
	for (size_t i = 0; i < program->address_count; i++)
		fprintf(ready, " %s", program->addresses[i]);
	fputs("\n", ready);
	fclose(ready);
}

static enum rmd_exit start(struct program *program)
{
	struct rmd_server_config *config = &program->config;
	struct rmd_server_options server_options = {.reflection_and_health = true};
	struct rmd_coordinator_options options = {
		.private_mode = config->private_mode,
		.payload_budget_bytes = config->payload_budget_bytes,
		.blob_budget_bytes = config->blob_budget_bytes,
		.shared_bytes = config->shared_bytes,
		.client_grace_ms = config->client_grace_ms,
		.retention_ms = config->retention_ms,
		.retained_bytes = config->retained_bytes,
		.workers_lost_max = config->workers_lost_max,
		/* The one agent of a private coordinator is there: no other will come. */
		.cannot_run_ms = config->private_mode ? 0 : config->cannot_run_ms};
	program->loop = rmd_loop_create();
	program->mailbox = rmd_mailbox_create();
	options.mailbox = config->shared_bytes != 0 ? program->mailbox : NULL;
	if (program->loop != NULL && program->mailbox != NULL)
		program->server = rmd_server_create(program->loop, &server_options);
	if (program->server != NULL)
		program->coordinator =
			rmd_coordinator_create(program->loop, program->server, &options);
	if (program->coordinator == NULL) {
		fputs("remudad: out of memory\n", stderr);
		return RMD_EXIT_SYSTEM;
	}
	enum rmd_exit code = post_guard(program);
	if (code == RMD_EXIT_OK)
		code = listen_all(program);
	if (code == RMD_EXIT_OK)
		code = open_mailbox(program);
	if (code != RMD_EXIT_OK)
		return code;
	rmd_coordinator_set_addresses(program->coordinator,
				      (const char *const *)program->addresses,
				      program->address_count);
	if (!config->private_mode)
		rmd_coordinator_on_shutdown(program->coordinator, on_shutdown_call,
					    program);
	program->watch =
		rmd_watch_start(program->loop, config->client_pidfd, on_watch, program);
	program->serving = program->watch != NULL &&
			   rmd_server_start(program->server) == 0;
	if (!program->serving || (config->agent && start_agent(program) < 0)) {
		fprintf(stderr, "remudad: cannot start: %s%s\n", strerror(errno),
			rmd_descriptors_advice(errno));
		return RMD_EXIT_SYSTEM;
	}
	if (config->client_fd >= 0 &&
	    rmd_server_add_fd(program->server, config->client_fd) < 0) {
		fprintf(stderr, "remudad: --client-fd %d is not a connected socket\n",
			config->client_fd);
		return RMD_EXIT_USAGE;
	}
	say_ready(program);
	return RMD_EXIT_OK;
}

static void finish(struct program *program)
{
	if (program->serving && !program->down) { /* it could not start wholly */
		program->stopping_now = true;
		tasks_down(program);
		rmd_loop_run(program->loop);
	}
	rmd_watch_stop(program->watch);
	if (program->agent != NULL) {
		rmd_direct_link_detach_agent(program->core_end);
		rmd_agent_stop(program->agent);
	}
	rmd_coordinator_destroy(program->coordinator);
	rmd_mailbox_destroy(program->mailbox);
	rmd_server_destroy(program->server);
	rmd_guard_dismiss(program->guard);
	if (program->loop != NULL)
		rmd_loop_destroy(program->loop);
	rmd_watch_destroy(program->watch);
	for (size_t i = 0; i < program->address_count; i++)
		rmd_free(program->addresses[i]);
	if (program->spawner_fd >= 0)
		close(program->spawner_fd);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--spawner") == 0)
		rmd_spawner_main();
	struct program program = {.spawner_fd = -1};
	enum rmd_exit code;
	char why[256];
	if (rmd_options_parse(argc, argv, &program.config, &code) < 0)
		return (int)code;
	if (rmd_descriptors_check(why, sizeof why) < 0) {
		fprintf(stderr, "remudad: %s\n", why);
		return RMD_EXIT_SYSTEM;
	}
	if (program.config.private_mode && leave_client() < 0) {
		fprintf(stderr, "remudad: %s\n", strerror(errno));
		return RMD_EXIT_SYSTEM;
	}
	rmd_watch_block_signals();
	if (program.config.agent &&
	    rmd_spawner_start(&program.spawner_fd, &program.spawner_pid) < 0) {
		fprintf(stderr, "remudad: the spawner cannot start: %s\n",
			strerror(errno));
		return RMD_EXIT_SYSTEM;
	}
	code = start(&program);
	if (code == RMD_EXIT_OK)
		rmd_loop_run(program.loop);
	finish(&program);
	return (int)code;
}
