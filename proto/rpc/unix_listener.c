#include "proto/rpc/unix_listener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"

/* How long it rests when descriptors or memory have run out; clients wait meanwhile. */
#define REST_MS 100
/* Connections are numbered upwards from here, over so many numbers (see renumber). */
#define NUMBERS_FIRST 256
#define NUMBERS_MAX 8192
#define LOCK_TRIES 16

struct rmd_unix_listener {
	char *path, *lock_path; /* owned */
	int lock_fd, socket_fd, stop_fd;
	dev_t dev; /* of the socket that we made */
	ino_t ino;
	bool bound, started;
	pthread_t thread;
	rmd_unix_accepted *accepted;
	void *ctx;
	int numbers_end, number_next;
};

/* Sets *ret_why to `why` and gives the code: what every failure ends with. */
static int explain(int code, char **ret_why, char *why)
{
	*ret_why = why;
	return why == NULL ? RMD_ENOMEM : code;
}

/* ---- the lock ---- */

/* The process that holds the lock, as it wrote there; 0: not known. */
static long holder_of(int fd)
{
	char text[32] = "";
	ssize_t len = pread(fd, text, sizeof text - 1, 0);
	return len > 0 ? strtol(text, NULL, 10) : 0;
}

static int explain_lock(const struct rmd_unix_listener *l, int fd, char **ret_why)
{
	int error = errno;
	if (error != EWOULDBLOCK)
		return explain(RMD_ESYS, ret_why,
			       rmd_asprintf("cannot lock %s: %s", l->lock_path,
					    strerror(error)));
	long holder = holder_of(fd);
	char *by = holder > 0 ? rmd_asprintf("process %ld", holder)
			      : rmd_strdup("another process");
	char *why =
		by == NULL
			? NULL
			: rmd_asprintf(
				  "%s already serves unix:%s: use that one, stop it, or "
				  "choose another path",
				  by, l->path);
	rmd_free(by);
	return explain(RMD_EEXIST, ret_why, why);
}

static int explain_folder(const struct rmd_unix_listener *l, char **ret_why)
{
	int error = errno;
	const char *advice = error == ENOENT ? ": make its folder first"
			     : error == EACCES || error == EPERM || error == EROFS
				     ? ": choose a folder that you may write to"
				     : "";
	return explain(RMD_ESYS, ret_why,
		       rmd_asprintf("cannot serve unix:%s: %s: %s%s", l->path,
				    l->lock_path, strerror(error), advice));
}

/* A holder that goes away removes the file: what we locked may no longer be the file of
 * that name. */
static bool still_there(int fd, const char *path)
{
	struct stat locked, named;
	return fstat(fd, &locked) == 0 && stat(path, &named) == 0 &&
	       locked.st_dev == named.st_dev && locked.st_ino == named.st_ino;
}

static int take_lock(struct rmd_unix_listener *l, char **ret_why)
{
	for (int tries = 0; tries < LOCK_TRIES; tries++) {
		int fd = open(l->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			      0600);
		if (fd < 0)
			return explain_folder(l, ret_why);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			int code = explain_lock(l, fd, ret_why);
			close(fd);
			return code;
		}
		if (still_there(fd, l->lock_path)) {
			char text[32];
			int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
			if (ftruncate(fd, 0) == 0)
				(void)!pwrite(fd, text, (size_t)len,
					      0); /* only for people */
			l->lock_fd = fd;
			return 0;
		}
		close(fd);
	}
	return explain(RMD_ESYS, ret_why,
		       rmd_asprintf("cannot lock %s: it is removed again and again",
				    l->lock_path));
}

/* ---- the socket ---- */

static int remove_stale(const struct rmd_unix_listener *l, char **ret_why)
{
	struct stat there;
	if (lstat(l->path, &there) < 0)
		return 0; /* bind says what is wrong, if anything is */
	if (!S_ISSOCK(there.st_mode))
		return explain(
			RMD_EINVAL, ret_why,
			rmd_asprintf(
				"cannot serve unix:%s: there is something that is not a "
				"socket: remove it or choose another path",
				l->path));
	if (unlink(l->path) < 0)
		return explain(RMD_ESYS, ret_why,
			       rmd_asprintf("cannot remove the stale socket %s: %s",
					    l->path, strerror(errno)));
	return 0;
}

static int explain_socket(const struct rmd_unix_listener *l, const char *what,
			  char **ret_why)
{
	return explain(RMD_ESYS, ret_why,
		       rmd_asprintf("cannot serve unix:%s: %s: %s", l->path, what,
				    strerror(errno)));
}

static int bind_socket(struct rmd_unix_listener *l, char **ret_why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path, l->path,
	       strlen(l->path) + 1); /* the caller measured it */
	l->socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	l->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (l->socket_fd < 0 || l->stop_fd < 0)
		return explain_socket(l, "no descriptor", ret_why);
	/* On Linux the file takes its mode from the socket, so it is never open to
	 * others. */
	if (fchmod(l->socket_fd, 0600) < 0 ||
	    bind(l->socket_fd, (struct sockaddr *)&address, sizeof address) < 0)
		return explain_socket(l, "bind", ret_why);
	l->bound = true;
	struct stat made;
	if (lstat(l->path, &made) < 0 || chmod(l->path, 0600) < 0)
		return explain_socket(l, "stat", ret_why);
	l->dev = made.st_dev;
	l->ino = made.st_ino;
	if (listen(l->socket_fd, SOMAXCONN) < 0)
		return explain_socket(l, "listen", ret_why);
	return 0;
}

static void set_numbers(struct rmd_unix_listener *l)
{
	struct rlimit limit;
	int end = NUMBERS_FIRST;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		rlim_t usable = limit.rlim_cur / 4 * 3; /* the rest is for all else */
		end = usable > NUMBERS_FIRST + NUMBERS_MAX ? NUMBERS_FIRST + NUMBERS_MAX
							   : (int)usable;
	}
	l->numbers_end = end;
	l->number_next = NUMBERS_FIRST;
}

/* The path from the root, so that it holds when the folder of work changes. */
static char *absolute(const char *path)
{
	char folder[sizeof((struct sockaddr_un *)0)->sun_path];
	if (path[0] == '/' || getcwd(folder, sizeof folder) == NULL ||
	    strlen(folder) + 1 + strlen(path) >= sizeof folder)
		return rmd_strdup(path);
	return rmd_asprintf("%s/%s", folder, path);
}

int rmd_unix_listener_open(const char *path, struct rmd_unix_listener **ret_listener,
			   char **ret_why)
{
	struct sockaddr_un limit;
	if (strlen(path) >= sizeof limit.sun_path)
		return explain(RMD_EINVAL, ret_why,
			       rmd_asprintf("unix:%s: the path has %zu bytes, a socket's "
					    "may have %zu: "
					    "choose a shorter one",
					    path, strlen(path),
					    sizeof limit.sun_path - 1));
	struct rmd_unix_listener *l = rmd_calloc(1, sizeof *l);
	if (l == NULL)
		return explain(RMD_ENOMEM, ret_why, NULL);
	l->lock_fd = l->socket_fd = l->stop_fd = -1;
	set_numbers(l);
	l->path = absolute(path);
	l->lock_path = l->path == NULL ? NULL : rmd_asprintf("%s.lock", l->path);
	int code = l->lock_path == NULL ? explain(RMD_ENOMEM, ret_why, NULL)
					: take_lock(l, ret_why);
	if (code == 0)
		code = remove_stale(l, ret_why);
	if (code == 0)
		code = bind_socket(l, ret_why);
	if (code < 0)
		rmd_unix_listener_close(l);
	else
		*ret_listener = l;
	return code;
}

const char *rmd_unix_listener_path(const struct rmd_unix_listener *listener)
{
	return listener->path;
}

/* ---- accepting ---- */

/* True: stop. */
static bool rest(struct rmd_unix_listener *l)
{
	struct pollfd stop = {.fd = l->stop_fd, .events = POLLIN};
	return poll(&stop, 1, REST_MS) > 0;
}

/* Gives the connection a number that has not been in use for long: gRPC names the peer of
 * a call by the descriptor's number alone, so a number that is used anew at once could
 * lend the next peer's credentials to a late call of the last one. Where numbers are
 * short the old one stays. */
static int renumber(struct rmd_unix_listener *l, int fd)
{
	if (l->numbers_end <= NUMBERS_FIRST)
		return fd;
	for (int tries = 0; tries < 2; tries++) {
		int number = fcntl(fd, F_DUPFD_CLOEXEC, l->number_next);
		if (number >= 0 && number < l->numbers_end) {
			close(fd);
			l->number_next = number + 1 < l->numbers_end ? number + 1
								     : NUMBERS_FIRST;
			return number;
		}
		if (number >= 0)
			close(number);
		l->number_next = NUMBERS_FIRST;
	}
	return fd;
}

/* Accepts what waits. False: rest before the next try. */
static bool accept_all(struct rmd_unix_listener *l)
{
	for (;;) {
		int fd = accept4(l->socket_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			return errno == EAGAIN;
		struct ucred peer = {.uid = (uid_t)-1};
		socklen_t len = sizeof peer;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
			close(fd);
			continue;
		}
		l->accepted(l->ctx, renumber(l, fd), peer.uid, peer.pid);
	}
}

static void *accept_thread(void *arg)
{
	struct rmd_unix_listener *l = arg;
	struct pollfd waits[2] = {{.fd = l->stop_fd, .events = POLLIN},
				  {.fd = l->socket_fd, .events = POLLIN}};
	for (;;) {
		if (poll(waits, 2, -1) < 0) {
			if (errno != EINTR && rest(l))
				return NULL;
			continue;
		}
		if (waits[0].revents != 0)
			return NULL;
		if (!accept_all(l) && rest(l))
			return NULL;
	}
}

int rmd_unix_listener_start(struct rmd_unix_listener *listener,
			    rmd_unix_accepted *accepted, void *ctx)
{
	listener->accepted = accepted;
	listener->ctx = ctx;
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for other threads */
	int error = pthread_create(&listener->thread, NULL, accept_thread, listener);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error != 0)
		return RMD_ESYS;
	pthread_setname_np(listener->thread, "remuda-accept");
	listener->started = true;
	return 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void rmd_unix_listener_close(struct rmd_unix_listener *listener)
{
	if (listener == NULL)
		return;
	if (listener->started) {
		uint64_t one = 1;
		(void)!write(listener->stop_fd, &one,
			     sizeof one); /* an eventfd at 0 takes it */
		pthread_join(listener->thread, NULL);
	}
	struct stat there;
	if (listener->bound && lstat(listener->path, &there) == 0 &&
	    there.st_dev == listener->dev && there.st_ino == listener->ino)
		unlink(listener->path);
	if (listener->lock_fd >= 0 && still_there(listener->lock_fd, listener->lock_path))
		unlink(listener->lock_path);
	close_fd(listener->socket_fd);
	close_fd(listener->stop_fd);
	close_fd(listener->lock_fd); /* last: it frees the path for others */
	rmd_free(listener->path);
	rmd_free(listener->lock_path);
	rmd_free(listener);
}
