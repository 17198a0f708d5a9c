/* remuda-agent: runs workers on this host for a remote coordinator.
 *
 * The main thread runs the gRPC loop; the agent has a thread of its own; a third waits
 * for signals. One stream is an agent's whole life: after a loss the agent is stopped,
 * and another one, with a spawner of its own, joins after a pause. The first spawner is
 * exec'ed before gRPC starts its threads, later ones by posix_spawn, from the main
 * thread, which lives as long as the process (a spawner dies with the thread that started
 * it). */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/digest.h"
#include "proto/base/descriptors.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"
#include "proto/rpc/identity.h"
#include "proto/rpc/rpc.h"
#include "worker/agent/agent.h"
#include "worker/agent/config.h"
#include "worker/agent/remote_link.h"
#include "worker/spawner/spawner.h"

#define SOURCE "main"
#define REJOIN_FIRST_MS 200u
#define REJOIN_MAX_MS 10000u

struct program {
	struct rmd_agent_config config;
	struct rmd_loop *loop;
	struct rmd_channel *channel;
	struct rmd_agent *agent; /* NULL: between two lives */
	struct rmd_link *link;	 /* the agent's; only to attach and detach */
	bool stream_open;	 /* the loop may not end yet */
	bool stopping;
	bool ready_told;
	int spawner_fd; /* -1: the agent has it */
	pid_t spawner_pid;
	uint64_t pause_ms;
	struct rmd_timer rejoin;
	struct rmd_post finished_post, attached_post, exit_post;
	bool exit_posted;
	enum rmd_agent_exit code;

	pthread_t signal_thread;
	struct rmd_post signal_posts[2]; /* the first signal, the second */
	atomic_bool ending;
};

#define OWNER(member, field) \
	((struct program *)((char *)(member)-offsetof(struct program, field)))

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
		rmd_log(RMD_LOG_WARN, SOURCE, "NOTIFY_SOCKET %s: %s", path,
			strerror(errno));
	close(fd);
}

/* ---- one life of an agent ---- */

static void run_exit(struct rmd_post *post)
{
	rmd_loop_stop(OWNER(post, exit_post)->loop);
}

/* Ends the loop once nothing needs it: by a post, behind those that are still to run. */
static void consider_exit(struct program *program)
{
	if (!program->stopping || program->agent != NULL || program->stream_open ||
	    program->exit_posted)
		return;
	program->exit_posted = true;
	rmd_timer_stop(program->loop, &program->rejoin);
	rmd_loop_post(program->loop, &program->exit_post);
}

static void end_agent(struct program *program)
{
	if (program->agent == NULL)
		return;
	rmd_remote_link_detach_agent(program->link);
	rmd_agent_stop(program->agent);
	program->agent = NULL;
	program->link = NULL;
}

static void rejoin_later(struct program *program)
{
	uint32_t jitter;
	if (program->stopping) {
		consider_exit(program);
		return;
	}
	program->pause_ms = program->pause_ms == 0 ? REJOIN_FIRST_MS
						   : program->pause_ms * 2;
	if (program->pause_ms > REJOIN_MAX_MS)
		program->pause_ms = REJOIN_MAX_MS;
	rmd_random_bytes(&jitter, sizeof jitter);
	uint64_t pause_ms = program->pause_ms * (50 + jitter % 101) / 100;
	rmd_log(RMD_LOG_INFO, SOURCE, "joining %s again in %llu ms",
		program->config.coordinator, (unsigned long long)pause_ms);
	if (rmd_timer_start(program->loop, &program->rejoin,
			    rmd_clock_mono_ms() + pause_ms) < 0) {
		program->code = RMD_AGENT_EXIT_SYSTEM;
		program->stopping = true;
		consider_exit(program);
	}
}

static void on_gone(void *ctx)
{
	struct program *program = ctx;
	program->stream_open = false;
	consider_exit(program);
}

/* The agent's thread says that it has ended. */
static void on_finished(void *ctx)
{
	struct program *program = ctx;
	rmd_loop_post(program->loop, &program->finished_post);
}

static void run_finished(struct rmd_post *post)
{
	struct program *program = OWNER(post, finished_post);
	if (program->agent == NULL)
		return; /* stopped meanwhile */
	end_agent(program);
	rejoin_later(program);
}

static void on_attached(void *ctx)
{
	struct program *program = ctx;
	rmd_loop_post(program->loop, &program->attached_post);
}

static void run_attached(struct rmd_post *post)
{
	struct program *program = OWNER(post, attached_post);
	program->pause_ms = 0;
	rmd_log(RMD_LOG_INFO, SOURCE, "attached to %s", program->config.coordinator);
	if (program->ready_told)
		return;
	program->ready_told = true;
	notify("READY=1");
	if (program->config.ready_fd >= 0) {
		if (write(program->config.ready_fd, "ready\n", 6) < 0)
			rmd_log(RMD_LOG_WARN, SOURCE, "--ready-fd %d: %s",
				program->config.ready_fd, strerror(errno));
		close(program->config.ready_fd);
	}
}

static void drop_spawner(struct program *program)
{
	if (program->spawner_fd < 0)
		return;
	close(program->spawner_fd);
	program->spawner_fd = -1;
	while (waitpid(program->spawner_pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* Begins a life: a stream, and an agent that speaks over it. */
static int join(struct program *program)
{
	const struct rmd_agent_config *config = &program->config;
	if (program->spawner_fd < 0 &&
	    rmd_spawner_start(&program->spawner_fd, &program->spawner_pid) < 0) {
		rmd_log(RMD_LOG_ERROR, SOURCE, "the spawner cannot start: %s",
			strerror(errno));
		return RMD_ESYS;
	}
	int rc = rmd_remote_link_open(program->loop, program->channel, on_gone, program,
				      &program->link);
	if (rc < 0) {
		rmd_log(RMD_LOG_ERROR, SOURCE, "cannot call the coordinator: %s",
			rmd_errcode_text(rc));
		return rc;
	}
	program->stream_open = true;
	struct rmd_agent_options options = {
		.name = config->name,
		.workers_max = config->workers_max,
		.cpu_milli = config->cpu_milli,
		.worker_path = config->worker_path,
		.modules = config->modules,
		.module_count = config->module_count,
		.labels = config->labels,
		.label_count = config->label_count,
		.spawner_fd = program->spawner_fd,
		.spawner_pid = program->spawner_pid,
		.stop_grace_ms = config->stop_grace_ms,
		.cancel_grace_ms = config->cancel_grace_ms,
		.orphan_ms = config->orphan_ms,
		.attached = on_attached,
		.finished = on_finished,
		.ctx = program,
	};
	program->agent = rmd_agent_start(&options, program->link);
	if (program->agent == NULL) {
		rmd_log(RMD_LOG_ERROR, SOURCE, "the agent cannot start: %s",
			strerror(errno));
		rmd_link_destroy(program->link);
		program->link = NULL;
		return RMD_ESYS;
	}
	program->spawner_fd = -1;
	rmd_remote_link_attach_agent(program->link, program->agent);
	return 0;
}

static void on_rejoin(struct rmd_timer *timer)
{
	struct program *program = OWNER(timer, rejoin);
	if (!program->stopping && join(program) < 0)
		rejoin_later(program);
}

/* ---- signals ---- */

static void run_first_signal(struct rmd_post *post)
{
	struct program *program = OWNER(post, signal_posts[0]);
	rmd_log(RMD_LOG_INFO, SOURCE, "draining; a second signal stops at once");
	notify("STOPPING=1");
	program->stopping = true;
	if (program->agent != NULL)
		rmd_agent_drain(program->agent);
	consider_exit(program);
}

static void run_second_signal(struct rmd_post *post)
{
	struct program *program = OWNER(post, signal_posts[1]);
	rmd_log(RMD_LOG_INFO, SOURCE, "stopping at once");
	end_agent(program);
	consider_exit(program);
}

static void *wait_for_signals(void *arg)
{
	struct program *program = arg;
	sigset_t wanted;
	int unused;
	size_t seen = 0;
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, SIGINT);
	while (sigwait(&wanted, &unused) == 0 && !atomic_load(&program->ending))
		if (seen < 2)
			rmd_loop_post(program->loop, &program->signal_posts[seen++]);
	return NULL;
}

static void block_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* ---- */

/* To the coordinator: with TLS unless told otherwise; a unix socket needs none. */
static struct rmd_channel *open_channel(struct program *program, char **ret_why)
{
	const struct rmd_agent_config *config = &program->config;
	struct rmd_identity_options options = {.ca_file = config->tls_ca,
					       .cert_file = config->tls_cert,
					       .key_file = config->tls_key,
					       .server_name = config->tls_name,
					       .token_file = config->token_file,
					       .tls = true};
	struct rmd_identity identity = {0};
	struct rmd_channel *channel = NULL;
	if (config->insecure)
		return rmd_channel_open(program->loop, config->coordinator, ret_why);
	if (rmd_identity_load(&options, &identity, ret_why) == 0)
		channel = rmd_identity_open(&identity, program->loop, config->coordinator,
					    ret_why);
	rmd_identity_fini(&identity);
	return channel;
}

static enum rmd_agent_exit run(struct program *program)
{
	char *why = NULL;
	program->loop = rmd_loop_create();
	if (program->loop == NULL) {
		fputs("remuda-agent: out of memory\n", stderr);
		return RMD_AGENT_EXIT_SYSTEM;
	}
	program->channel = open_channel(program, &why);
	if (program->channel == NULL) {
		fprintf(stderr, "remuda-agent: %s\n",
			why != NULL ? why : "out of memory");
		program->code = why != NULL ? RMD_AGENT_EXIT_USAGE
					    : RMD_AGENT_EXIT_SYSTEM;
		rmd_free(why);
		goto out_loop;
	}
	if (pthread_create(&program->signal_thread, NULL, wait_for_signals, program) !=
	    0) {
		fputs("remuda-agent: no thread can be made\n", stderr);
		program->code = RMD_AGENT_EXIT_SYSTEM;
		goto out_channel;
	}
	if (join(program) < 0)
		rejoin_later(program);
	rmd_loop_run(program->loop);
	atomic_store(&program->ending, true);
	pthread_kill(program->signal_thread, SIGTERM);
	pthread_join(program->signal_thread, NULL);
out_channel:
	rmd_channel_close(program->channel);
out_loop:
	rmd_loop_destroy(program->loop);
	return program->code;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--spawner") == 0)
		rmd_spawner_main();
	static struct program program;
	enum rmd_agent_exit code;
	program.spawner_fd = -1;
	program.rejoin.fire = on_rejoin;
	program.finished_post.run = run_finished;
	program.attached_post.run = run_attached;
	program.exit_post.run = run_exit;
	program.signal_posts[0].run = run_first_signal;
	program.signal_posts[1].run = run_second_signal;
	if (rmd_agent_config_parse(argc, argv, &program.config, &code) < 0)
		return (int)code;
	char why[256];
	if (rmd_descriptors_check(why, sizeof why) < 0) {
		fprintf(stderr, "remuda-agent: %s\n", why);
		return RMD_AGENT_EXIT_SYSTEM;
	}
	block_signals();
	if (rmd_spawner_start(&program.spawner_fd, &program.spawner_pid) < 0) {
		fprintf(stderr, "remuda-agent: the spawner cannot start: %s\n",
			strerror(errno));
		return RMD_AGENT_EXIT_SYSTEM;
	}
	code = run(&program);
	drop_spawner(&program);
	return (int)code;
}
