#include "proto/shared/mailbox.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"

#define MAILBOX_MAGIC "RMDMEM1"
/* What is read from one socket before others have their turn. */
#define READS_MAX 256

struct packet {
	char magic[8];
	uint8_t session[RMD_SESSION_BYTES];
};

struct post {
	uint8_t session[RMD_SESSION_BYTES];
	int64_t uid;
	int fds[RMD_SHARED_FDS];
};

struct box {
	int fd;
	char *path;                  /* owned; bound by us; NULL: inherited */
	dev_t dev;
	ino_t ino;
};

struct rmd_mailbox {
	struct box boxes[RMD_MAILBOX_SOCKETS_MAX];
	size_t box_count;
	struct post posts[RMD_MAILBOX_POSTS_MAX]; /* the oldest first */
	size_t post_count;
};

static void close_fds(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

/* ---- posting ---- */

int rmd_mailbox_post(int fd, const char *path, const uint8_t session[RMD_SESSION_BYTES],
		     const int fds[RMD_SHARED_FDS])
{
	struct packet packet = {.magic = MAILBOX_MAGIC};
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(RMD_SHARED_FDS * sizeof(int))];
	} control = {0};
	struct iovec iov = {&packet, sizeof packet};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof control};
	memcpy(packet.session, session, RMD_SESSION_BYTES);
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(RMD_SHARED_FDS * sizeof(int));
	memcpy(CMSG_DATA(head), fds, RMD_SHARED_FDS * sizeof(int));
	int own = -1;
	if (path != NULL) {
		int len = snprintf(to.sun_path, sizeof to.sun_path, "%s%s", path,
				   RMD_MAILBOX_SUFFIX);
		if (len < 0 || (size_t)len >= sizeof to.sun_path)
			return RMD_ESYS;
		fd = own = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		message.msg_name = &to;
		message.msg_namelen = sizeof to;
	}
	ssize_t sent = fd < 0 ? -1 : sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (own >= 0)
		close(own);
	return sent == (ssize_t)sizeof packet ? 0 : RMD_ESYS;
}

/* ---- the coordinator's side ---- */

struct rmd_mailbox *rmd_mailbox_create(void)
{
	return rmd_calloc(1, sizeof(struct rmd_mailbox));
}

void rmd_mailbox_destroy(struct rmd_mailbox *mailbox)
{
	if (mailbox == NULL)
		return;
	for (size_t i = 0; i < mailbox->box_count; i++) {
		struct box *box = &mailbox->boxes[i];
		struct stat there;
		if (box->path != NULL && lstat(box->path, &there) == 0 &&
		    there.st_dev == box->dev && there.st_ino == box->ino)
			unlink(box->path);
		close(box->fd);
		rmd_free(box->path);
	}
	for (size_t i = 0; i < mailbox->post_count; i++)
		close_fds(mailbox->posts[i].fds, RMD_SHARED_FDS);
	rmd_free(mailbox);
}

int rmd_mailbox_adopt(struct rmd_mailbox *mailbox, int fd)
{
	int type = 0, rc = RMD_EINVAL;
	socklen_t len = sizeof type;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_DGRAM)
		rc = mailbox->box_count < RMD_MAILBOX_SOCKETS_MAX ? 0 : RMD_ELIMIT;
	if (rc < 0)
		close(fd);
	else
		mailbox->boxes[mailbox->box_count++] = (struct box){.fd = fd};
	return rc;
}

static int bind_box(struct box *box)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat there;
	int one = 1;
	if (strlen(box->path) >= sizeof address.sun_path)
		return RMD_EINVAL;
	memcpy(address.sun_path, box->path, strlen(box->path));
	if (lstat(box->path, &there) == 0) {
		if (!S_ISSOCK(there.st_mode))
			return RMD_EINVAL;
		unlink(box->path);
	}
	/* The file takes its mode from the socket: never open to others. */
	if (setsockopt(box->fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one) < 0 ||
	    fchmod(box->fd, 0600) < 0 ||
	    bind(box->fd, (struct sockaddr *)&address, sizeof address) < 0)
		return RMD_ESYS;
	if (lstat(box->path, &there) < 0)
		return RMD_ESYS;
	box->dev = there.st_dev;
	box->ino = there.st_ino;
	return chmod(box->path, 0600) < 0 ? RMD_ESYS : 0;
}

int rmd_mailbox_bind(struct rmd_mailbox *mailbox, const char *path)
{
	if (mailbox->box_count == RMD_MAILBOX_SOCKETS_MAX)
		return RMD_ELIMIT;
	struct box box = {.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
	if (box.fd < 0)
		return RMD_ESYS;
	box.path = rmd_asprintf("%s%s", path, RMD_MAILBOX_SUFFIX);
	int rc = box.path == NULL ? RMD_ENOMEM : bind_box(&box);
	if (rc == 0) {
		mailbox->boxes[mailbox->box_count++] = box;
		return 0;
	}
	int saved = errno;
	close(box.fd);
	rmd_free(box.path);
	errno = saved;
	return rc;
}

static void drop_post(struct rmd_mailbox *mailbox, size_t at)
{
	mailbox->post_count--;
	memmove(&mailbox->posts[at], &mailbox->posts[at + 1],
		(mailbox->post_count - at) * sizeof *mailbox->posts);
}

static void keep_post(struct rmd_mailbox *mailbox, const struct post *post)
{
	if (mailbox->post_count == RMD_MAILBOX_POSTS_MAX) {
		close_fds(mailbox->posts[0].fds, RMD_SHARED_FDS);
		drop_post(mailbox, 0);
	}
	mailbox->posts[mailbox->post_count++] = *post;
}

/* All descriptors of a message, whatever it is, and who sent it; at most `max`, which the
 * control buffer has room for. */
static size_t read_control(struct msghdr *message, int *ret_fds, size_t max,
			   int64_t *ret_uid)
{
	size_t count = 0;
	struct cmsghdr *head = CMSG_FIRSTHDR(message);
	for (; head != NULL; head = CMSG_NXTHDR(message, head)) {
		if (head->cmsg_level != SOL_SOCKET)
			continue;
		if (head->cmsg_type == SCM_CREDENTIALS) {
			struct ucred peer;
			memcpy(&peer, CMSG_DATA(head), sizeof peer);
			*ret_uid = peer.uid;
		} else if (head->cmsg_type == SCM_RIGHTS) {
			size_t here = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			if (here > max - count)
				here = max - count;
			memcpy(ret_fds + count, CMSG_DATA(head), here * sizeof(int));
			count += here;
		}
	}
	return count;
}

/* Reads one message: false: there is none. What is no post is dropped. */
static bool read_one(struct rmd_mailbox *mailbox, const struct box *box)
{
	enum { FDS_MAX = 4 };
	struct packet packet;
	int fds[FDS_MAX];
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int)) +
			   CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = {&packet, sizeof packet};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof control};
	ssize_t len = recvmsg(box->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (len < 0)
		return errno == EINTR;
	struct post post = {.uid = -1};
	size_t count = read_control(&message, fds, FDS_MAX, &post.uid);
	bool good = count == RMD_SHARED_FDS && len == (ssize_t)sizeof packet &&
		    (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 &&
		    memcmp(packet.magic, MAILBOX_MAGIC, sizeof packet.magic) == 0;
	if (!good) {
		close_fds(fds, count);
		return true;
	}
	memcpy(post.session, packet.session, RMD_SESSION_BYTES);
	memcpy(post.fds, fds, sizeof post.fds);
	keep_post(mailbox, &post);
	return true;
}

int rmd_mailbox_take(struct rmd_mailbox *mailbox, const uint8_t session[RMD_SESSION_BYTES],
		     int64_t uid, int ret_fds[RMD_SHARED_FDS])
{
	for (size_t i = 0; i < mailbox->box_count; i++)
		for (int reads = 0;
		     reads < READS_MAX && read_one(mailbox, &mailbox->boxes[i]); reads++)
			;
	for (size_t i = mailbox->post_count; i-- > 0;) {
		struct post *post = &mailbox->posts[i];
		if (memcmp(post->session, session, RMD_SESSION_BYTES) != 0 ||
		    (uid >= 0 && post->uid >= 0 && post->uid != uid))
			continue;
		memcpy(ret_fds, post->fds, sizeof post->fds);
		drop_post(mailbox, i);
		return 0;
	}
	return RMD_ENOTFOUND;
}
