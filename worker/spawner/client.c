#include "worker/spawner/spawner.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "worker/spawner/packet.h"

/* Runs our own program as a spawner with `fd` as descriptor 3. */
static int run_self(int fd, pid_t *ret_pid)
{
	char *argv[] = {"remuda-spawner", "--spawner", NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int error = posix_spawn_file_actions_init(&actions);
	if (error != 0)
		goto out;
	error = posix_spawnattr_init(&attr);
	if (error != 0)
		goto out_actions;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	/* dup2 also clears close-on-exec when both numbers are the same. */
	error = posix_spawn_file_actions_adddup2(&actions, fd, 3);
	if (error == 0)
		error = posix_spawn(ret_pid, "/proc/self/exe", &actions, &attr, argv,
				    environ);
	posix_spawnattr_destroy(&attr);
out_actions:
	posix_spawn_file_actions_destroy(&actions);
out:
	errno = error;
	return error == 0 ? 0 : RMD_ESYS;
}

int rmd_spawner_start(int *ret_fd, pid_t *ret_pid)
{
	int ends[2];
	pid_t pid;
	int room = 1 << 20;
	/* So that what a killed spawner leaves behind falls to us, not to init. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return RMD_ESYS;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return RMD_ESYS;
	/* As much as the system allows; a smaller buffer means RMD_EAGAIN earlier, no
	 * more. */
	(void)setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	int rc = run_self(ends[1], &pid);
	int saved = errno;
	close(ends[1]);
	if (rc < 0) {
		close(ends[0]);
		errno = saved;
		return rc;
	}
	*ret_fd = ends[0];
	*ret_pid = pid;
	return 0;
}

/* Appends `text` with its NUL; false: no room. */
static bool put_string(char *packet, size_t *len, const char *text)
{
	size_t n = strlen(text) + 1;
	if (n > RMD_SPAWN_PACKET_MAX - *len)
		return false;
	memcpy(packet + *len, text, n);
	*len += n;
	return true;
}

static int build(const struct rmd_spawn_request *request, char *packet, size_t *ret_len)
{
	struct rmd_spawn_packet head = {.op = RMD_SPAWN_OP_SPAWN, .id = request->id};
	size_t len = sizeof head;
	head.fd_count = (uint32_t)request->fd_count;
	for (size_t i = 0; i < request->fd_count; i++) {
		int32_t number = request->fds[i].number;
		memcpy(packet + len, &number, sizeof number);
		len += sizeof number;
	}
	size_t strings_at = len;
	bool fits = put_string(packet, &len, request->program) &&
		    put_string(packet, &len, request->cwd != NULL ? request->cwd : "");
	for (const char *const *arg = request->argv; fits && *arg != NULL; arg++) {
		fits = put_string(packet, &len, *arg);
		head.arg_count++;
	}
	for (const char *const *e = request->env; fits && e != NULL && *e != NULL; e++) {
		fits = put_string(packet, &len, *e);
		head.env_count++;
	}
	if (!fits || len - strings_at > RMD_SPAWN_BODY_MAX ||
	    head.arg_count + head.env_count > RMD_SPAWN_STRINGS_MAX)
		return RMD_ETOOBIG;
	head.strings_bytes = (uint32_t)(len - strings_at);
	memcpy(packet, &head, sizeof head);
	*ret_len = len;
	return 0;
}

int rmd_spawner_spawn(int fd, const struct rmd_spawn_request *request)
{
	int fds[RMD_SPAWN_FDS_MAX];
	if (request->id == 0 || request->argv[0] == NULL)
		return RMD_EINVAL;
	if (request->fd_count > RMD_SPAWN_FDS_MAX)
		return RMD_ETOOBIG;
	for (size_t i = 0; i < request->fd_count; i++)
		fds[i] = request->fds[i].fd;
	char *packet = rmd_malloc(RMD_SPAWN_PACKET_MAX);
	if (packet == NULL)
		return RMD_ENOMEM;
	size_t len;
	int rc = build(request, packet, &len);
	if (rc == 0)
		rc = rmd_spawn_packet_send(fd, packet, len, fds, request->fd_count);
	rmd_free(packet);
	return rc;
}

int rmd_spawner_signal(int fd, uint64_t id, int signal_number)
{
	struct rmd_spawn_packet head = {
		.op = RMD_SPAWN_OP_SIGNAL, .signal_number = signal_number, .id = id};
	return rmd_spawn_packet_send(fd, &head, sizeof head, NULL, 0);
}

int rmd_spawner_read(int fd, struct rmd_spawn_report *ret_report)
{
	struct rmd_spawn_answer answer;
	int fds[RMD_SPAWN_FDS_MAX];
	size_t len, count;
	int rc = rmd_spawn_packet_recv(fd, &answer, sizeof answer, &len, fds, &count);
	if (rc < 0)
		return rc;
	bool started = len == sizeof answer && answer.kind == RMD_SPAWN_STARTED;
	if (len != sizeof answer || answer.kind > RMD_SPAWN_EXITED ||
	    count != (started ? 1 : 0)) {
		while (count > 0)
			close(fds[--count]);
		return RMD_EPROTO;
	}
	*ret_report = (struct rmd_spawn_report){
		.kind = (enum rmd_spawn_report_kind)answer.kind,
		.id = answer.id,
		.pid = answer.pid,
		.pidfd = started ? fds[0] : -1,
		.error = answer.error,
		.stage = answer.stage <= RMD_SPAWN_STAGE_EXEC
				 ? (enum rmd_spawn_stage)answer.stage
				 : RMD_SPAWN_STAGE_NONE,
		.wait_status = answer.wait_status,
		.peak_bytes = (uint64_t)answer.peak_kib * 1024u,
	};
	return 0;
}
