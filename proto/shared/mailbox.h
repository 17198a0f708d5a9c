/* proto/shared/mailbox.h: where clients post the descriptors of their shared memory.
 *
 * One datagram from the client: which session, and two descriptors. It is sent before the
 * session's hello, so that it lies in the socket when the coordinator hears of it: no
 * thread, no waiting, no answer. The socket is PATH.mem beside a unix listener, or one
 * end of a socketpair that a private coordinator inherits. Who knows the 16 random bytes
 * of a session and is of the user that speaks in it may post for it.
 *
 * The mailbox belongs to the loop's thread; posting is for any. */
#pragma once

#include <stdint.h>

#include "proto/codec/frames.h"
#include "proto/shared/shared.h"

/* Posts that wait for their hello; a further one pushes the oldest out. */
#define RMD_MAILBOX_POSTS_MAX 64u
#define RMD_MAILBOX_SOCKETS_MAX 16u
#define RMD_MAILBOX_SUFFIX ".mem"

/* The client: posts to the bound socket `path` (NULL: `fd` is connected to a mailbox),
 * without waiting. RMD_ESYS: it cannot be posted: do without. */
int rmd_mailbox_post(int fd, const char *path, const uint8_t session[RMD_SESSION_BYTES],
		     const int fds[RMD_SHARED_FDS]);

struct rmd_mailbox;

/* Gives one without sockets, or NULL. */
struct rmd_mailbox *rmd_mailbox_create(void);
/* Closes all, and removes the sockets that it bound. NULL is allowed. */
void rmd_mailbox_destroy(struct rmd_mailbox *mailbox);
/* Adds an inherited datagram socket; takes `fd`, also on failure. RMD_EINVAL: it is none.
 * RMD_ELIMIT. */
int rmd_mailbox_adopt(struct rmd_mailbox *mailbox, int fd);
/* Binds PATH.mem, mode 0600, in place of a socket that is there; whoever calls holds the
 * lock of PATH. RMD_EINVAL: the path is too long, or something there is not a socket.
 * RMD_ESYS, RMD_ELIMIT, RMD_ENOMEM. */
int rmd_mailbox_bind(struct rmd_mailbox *mailbox, const char *path);
/* Takes out what was posted last for `session`, by a process of user `uid` (-1: it does
 * not matter); the caller closes the descriptors. RMD_ENOTFOUND. */
int rmd_mailbox_take(struct rmd_mailbox *mailbox, const uint8_t session[RMD_SESSION_BYTES],
		     int64_t uid, int ret_fds[RMD_SHARED_FDS]);
