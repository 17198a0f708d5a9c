#include "worker/protocol/control.h"

#include <errno.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/wire.h"
#include "worker/protocol/page.h"

union one_fd {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int rmd_wp_packet_send(int socket_fd, struct rmd_slice packet, int fd)
{
	struct iovec iov = {(void *)(uintptr_t)packet.data, packet.len};
	union one_fd ancillary = {.bytes = {0}};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (fd >= 0) {
		msg.msg_control = ancillary.bytes;
		msg.msg_controllen = sizeof ancillary.bytes;
		struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(header), &fd, sizeof fd);
	}
	ssize_t n;
	do
		n = sendmsg(socket_fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? RMD_EAGAIN
								      : RMD_ECLOSED;
}

/* Takes the descriptor out of `msg`, or -1. */
static int fd_of(struct msghdr *msg)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(msg);
	if (header == NULL || header->cmsg_level != SOL_SOCKET ||
	    header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int)))
		return -1;
	int fd;
	memcpy(&fd, CMSG_DATA(header), sizeof fd);
	return fd;
}

int rmd_wp_packet_recv(int socket_fd, uint8_t *ret_bytes, size_t size, size_t *ret_len,
		       int *ret_fd)
{
	struct iovec iov = {ret_bytes, size};
	union one_fd ancillary;
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (ret_fd != NULL) {
		msg.msg_control = ancillary.bytes;
		msg.msg_controllen = sizeof ancillary.bytes;
	}
	ssize_t n;
	/* A peer that dies with unread packets resets the connection; that is told once,
	 * and before what it had sent: its last words come behind it. */
	do
		n = recvmsg(socket_fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return errno == EAGAIN ? RMD_EAGAIN : RMD_ESYS;
	int fd = ret_fd == NULL ? -1 : fd_of(&msg);
	/* An empty packet can't be told from the end; nobody honest sends one. */
	if (n == 0 || (msg.msg_flags & MSG_TRUNC) != 0) {
		if (fd >= 0)
			close(fd);
		return n == 0 ? RMD_ECLOSED : RMD_EPROTO;
	}
	*ret_len = (size_t)n;
	if (ret_fd != NULL)
		*ret_fd = fd;
	return 0;
}

int rmd_wp_control_send(int socket_fd, const remuda_local_Control *control, int fd)
{
	uint8_t *packet = rmd_malloc(RMD_WP_PACKET_MAX);
	if (packet == NULL)
		return RMD_ENOMEM;
	packet[0] = RMD_WP_PACKET_CONTROL;
	pb_ostream_t stream = pb_ostream_from_buffer(packet + 1, RMD_WP_PACKET_MAX - 1);
	int rc = RMD_ETOOBIG;
	if (pb_encode(&stream, remuda_local_Control_fields, control))
		rc = rmd_wp_packet_send(
			socket_fd, rmd_slice_of(packet, stream.bytes_written + 1), fd);
	rmd_free(packet);
	return rc;
}

int rmd_wp_control_parse(struct rmd_slice packet, remuda_local_Control *ret_control)
{
	if (packet.len < 1 || packet.data[0] != RMD_WP_PACKET_CONTROL)
		return RMD_EPROTO;
	pb_istream_t stream = pb_istream_from_buffer(packet.data + 1, packet.len - 1);
	memset(ret_control, 0, sizeof *ret_control);
	return pb_decode(&stream, remuda_local_Control_fields, ret_control) ? 0
									    : RMD_EPROTO;
}

void rmd_wp_entry_put(struct rmd_wire_writer *writer, const struct rmd_wp_entry *entry)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, 1);
	rmd_wire_put_varint(writer, 1, entry->seq);
	rmd_wire_put_bytes(writer, 2, entry->function);
	rmd_wire_put_bytes_nz(writer, 3, entry->arguments);
	rmd_wire_put_varint_nz(writer, 4, entry->arguments_offset);
	rmd_wire_put_varint_nz(writer, 5, entry->arguments_bytes);
	rmd_wire_put_varint_nz(writer, 6, entry->attempt);
	if (entry->deadline_mono_ns != 0)
		rmd_wire_put_fixed64(writer, 7, entry->deadline_mono_ns);
	rmd_wire_put_varint_nz(writer, 8, entry->depth);
	rmd_wire_close(writer, nest);
}

/* Puts one field where it belongs; unknown ones are nothing. RMD_EPROTO: of the wrong
 * type or out of range. */
static int entry_field(const struct rmd_wire_field *field, struct rmd_wp_entry *entry)
{
	static const enum rmd_wire_type types[] = {
		[1] = RMD_WIRE_VARINT, [2] = RMD_WIRE_LEN,    [3] = RMD_WIRE_LEN,
		[4] = RMD_WIRE_VARINT, [5] = RMD_WIRE_VARINT, [6] = RMD_WIRE_VARINT,
		[7] = RMD_WIRE_I64,    [8] = RMD_WIRE_VARINT,
	};
	if (field->number > 8)
		return 0;
	if (field->type != types[field->number])
		return RMD_EPROTO;
	switch (field->number) {
	case 1:
		entry->seq = field->varint;
		return field->varint >> 62 == 0 ? 0 : RMD_EPROTO;
	case 2:
		entry->function = field->bytes;
		return field->bytes.len <= RMD_WP_FUNCTION_MAX ? 0 : RMD_EPROTO;
	case 3:
		entry->arguments = field->bytes;
		return field->bytes.len <= RMD_WP_INLINE_MAX ? 0 : RMD_EPROTO;
	case 4:
		entry->arguments_offset = field->varint;
		return 0;
	case 5:
		entry->arguments_bytes = field->varint;
		return 0;
	case 6:
		entry->attempt = (uint32_t)field->varint;
		return field->varint <= UINT32_MAX ? 0 : RMD_EPROTO;
	case 7:
		entry->deadline_mono_ns = field->varint;
		return 0;
	default:
		entry->depth = (uint32_t)field->varint;
		return field->varint <= UINT32_MAX ? 0 : RMD_EPROTO;
	}
}

int rmd_wp_entry_next(struct rmd_wire_reader *reader, struct rmd_wp_entry *ret_entry)
{
	struct rmd_wire_field field;
	int rc;
	do {
		rc = rmd_wire_next(reader, &field);
		if (rc <= 0)
			return rc;
	} while (field.number != 1);
	if (field.type != RMD_WIRE_LEN)
		return RMD_EPROTO;
	struct rmd_wire_reader inner = rmd_wire_reader_of(field.bytes);
	struct rmd_wp_entry entry = {0};
	while ((rc = rmd_wire_next(&inner, &field)) > 0) {
		rc = entry_field(&field, &entry);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return rc;
	if (entry.seq == 0 || entry.function.len == 0)
		return RMD_EPROTO;
	*ret_entry = entry;
	return 1;
}
