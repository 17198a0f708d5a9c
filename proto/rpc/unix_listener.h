/* proto/rpc/unix_listener.h: our own unix socket, because gRPC would take over a live
 * one, does not know who connects, and spins when descriptors run out.
 *
 * Whoever holds the lock on PATH.lock may remove what lies at PATH and serve there.
 * Accepting has a small thread of its own. */
#pragma once

#include <sys/types.h>

struct rmd_unix_listener;

/* Hears of a connection, on the listener's thread; takes `fd` (non-blocking,
 * close-on-exec). */
typedef void rmd_unix_accepted(void *ctx, int fd, uid_t uid, pid_t pid);

/* Takes PATH.lock, removes a stale socket, binds PATH with mode 0600 and listens; accepts
 * nothing yet. RMD_EEXIST: another process serves there. RMD_EINVAL: the path is too
 * long, or something there is not a socket. RMD_ESYS, RMD_ENOMEM. On failure *ret_why
 * (owned; NULL when out of memory) tells a person. */
int rmd_unix_listener_open(const char *path, struct rmd_unix_listener **ret_listener,
			   char **ret_why);
/* The path, absolute where that fits a socket's name; borrowed. */
const char *rmd_unix_listener_path(const struct rmd_unix_listener *listener);
/* Starts to accept. RMD_ESYS. */
int rmd_unix_listener_start(struct rmd_unix_listener *listener,
			    rmd_unix_accepted *accepted, void *ctx);
/* Stops, waits for the thread, removes the socket and the lock (if they are still ours),
 * frees. NULL is allowed. */
void rmd_unix_listener_close(struct rmd_unix_listener *listener);
