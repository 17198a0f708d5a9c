#include "worker/spawner/packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/errcode.h"

/* The next NUL-terminated string of [*at, end), or NULL. */
static char *next_string(char **at, char *end)
{
	char *start = *at;
	char *nul = start < end ? memchr(start, 0, (size_t)(end - start)) : NULL;
	if (nul == NULL)
		return NULL;
	*at = nul + 1;
	return start;
}

static int parse_numbers(const char *from, size_t count,
			 int32_t numbers[RMD_SPAWN_FDS_MAX])
{
	memcpy(numbers, from, count * sizeof *numbers);
	for (size_t i = 0; i < count; i++) {
		if (numbers[i] < 0 || numbers[i] > RMD_SPAWN_NUMBER_MAX)
			return RMD_EPROTO;
		for (size_t j = 0; j < i; j++)
			if (numbers[j] == numbers[i])
				return RMD_EPROTO;
	}
	return 0;
}

int rmd_spawn_parse(char *packet, size_t len, size_t fd_count,
		    struct rmd_spawn_parsed *ret_parsed)
{
	struct rmd_spawn_packet head;
	if (len < sizeof head)
		return RMD_EPROTO;
	memcpy(&head, packet, sizeof head);
	if (head.op != RMD_SPAWN_OP_SPAWN || head.id == 0 || head.fd_count != fd_count ||
	    head.fd_count > RMD_SPAWN_FDS_MAX || head.arg_count == 0 ||
	    head.arg_count > RMD_SPAWN_STRINGS_MAX ||
	    head.env_count > RMD_SPAWN_STRINGS_MAX ||
	    head.arg_count + head.env_count > RMD_SPAWN_STRINGS_MAX ||
	    head.strings_bytes > RMD_SPAWN_BODY_MAX ||
	    len != sizeof head + head.fd_count * sizeof(int32_t) + head.strings_bytes)
		return RMD_EPROTO;
	ret_parsed->id = head.id;
	ret_parsed->fd_count = head.fd_count;
	if (parse_numbers(packet + sizeof head, head.fd_count, ret_parsed->numbers) < 0)
		return RMD_EPROTO;
	char *at = packet + sizeof head + head.fd_count * sizeof(int32_t);
	char *end = at + head.strings_bytes;
	ret_parsed->program = next_string(&at, end);
	ret_parsed->cwd = next_string(&at, end);
	if (ret_parsed->program == NULL || ret_parsed->cwd == NULL)
		return RMD_EPROTO;
	size_t n = 0;
	ret_parsed->argv = ret_parsed->pointers;
	for (uint32_t i = 0; i < head.arg_count; i++)
		if ((ret_parsed->pointers[n++] = next_string(&at, end)) == NULL)
			return RMD_EPROTO;
	ret_parsed->pointers[n++] = NULL;
	ret_parsed->env = ret_parsed->pointers + n;
	for (uint32_t i = 0; i < head.env_count; i++) {
		char *entry = next_string(&at, end);
		if (entry == NULL || strchr(entry, '=') == NULL || entry[0] == '=')
			return RMD_EPROTO;
		ret_parsed->pointers[n++] = entry;
	}
	ret_parsed->pointers[n] = NULL;
	return at == end ? 0 : RMD_EPROTO;
}

int rmd_spawn_packet_send(int fd, const void *packet, size_t len, const int *fds,
			  size_t fd_count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(RMD_SPAWN_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = (void *)(uintptr_t)packet, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (fd_count > RMD_SPAWN_FDS_MAX)
		return RMD_ETOOBIG;
	if (fd_count > 0) {
		memset(&control, 0, sizeof control);
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, fd_count * sizeof(int));
	}
	ssize_t n;
	do
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	switch (errno) {
	case EAGAIN:
	case ENOBUFS:
	case ETOOMANYREFS:
		return RMD_EAGAIN;
	case EMSGSIZE:
		return RMD_ETOOBIG;
	case EPIPE:
	case ECONNRESET:
		return RMD_ECLOSED;
	default:
		return RMD_ESYS;
	}
}

/* Collects the descriptors of `msg`. */
static size_t take_fds(struct msghdr *msg, int fds[RMD_SPAWN_FDS_MAX])
{
	size_t count = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int got;
			memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof got);
			if (count < RMD_SPAWN_FDS_MAX)
				fds[count++] = got;
			else
				close(got);
		}
	}
	return count;
}

int rmd_spawn_packet_recv(int fd, void *buffer, size_t room, size_t *ret_len,
			  int ret_fds[RMD_SPAWN_FDS_MAX], size_t *ret_fd_count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(RMD_SPAWN_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = buffer, .iov_len = room};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof control.bytes,
	};
	ssize_t n;
	do
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN	     ? RMD_EAGAIN
		       : errno == ECONNRESET ? RMD_ECLOSED
					     : RMD_ESYS;
	size_t count = take_fds(&msg, ret_fds);
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
		while (count > 0)
			close(ret_fds[--count]);
		return RMD_EPROTO;
	}
	if (n == 0)
		return RMD_ECLOSED;
	*ret_len = (size_t)n;
	*ret_fd_count = count;
	return 0;
}
