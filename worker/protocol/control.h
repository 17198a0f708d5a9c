/* worker/protocol/control.h: packets on the socket between agent and worker.
 *
 * Both ends use it. Packets have at most RMD_WP_PACKET_MAX bytes;
 * proto/local/worker.proto says what is in them. Any thread, one at a time per socket. */
#pragma once

#include <stdint.h>

#include "local/worker.pb.h"
#include "proto/base/buf.h"
#include "worker/protocol/protocol.h"

#define RMD_WP_PACKET_TASKS 'T'
#define RMD_WP_PACKET_CONTROL 'C'
#define RMD_WP_PACKET_DOORBELL 'D'

/* Sends one packet, with `fd` where that is not negative. 0; RMD_EAGAIN (the socket does
 * not block and is full); RMD_ECLOSED: the peer is gone. */
int rmd_wp_packet_send(int socket_fd, struct rmd_slice packet, int fd);
/* Receives one packet of at most `size` bytes. *ret_len: its length; *ret_fd (NULL: none
 * is expected, and the kernel drops it): the descriptor that came with it, close-on-exec,
 * or -1. 0; RMD_EAGAIN; RMD_ECLOSED; RMD_EPROTO: longer than `size`, or empty; RMD_ESYS.
 */
int rmd_wp_packet_recv(int socket_fd, uint8_t *ret_bytes, size_t size, size_t *ret_len,
		       int *ret_fd);
/* Sends `control` as a packet; as rmd_wp_packet_send, and RMD_ENOMEM; RMD_ETOOBIG. */
int rmd_wp_control_send(int socket_fd, const remuda_local_Control *control, int fd);
/* Reads the Control in a packet, its first byte included. RMD_EPROTO: there is none. */
int rmd_wp_control_parse(struct rmd_slice packet, remuda_local_Control *ret_control);

/* One task of a packet; borrowed from it. */
struct rmd_wp_entry {
	uint64_t seq;
	struct rmd_slice function;
	struct rmd_slice arguments;		    /* inline ones */
	uint64_t arguments_offset, arguments_bytes; /* bytes 0: inline */
	uint32_t attempt;
	uint32_t depth;
	uint64_t deadline_mono_ns;
};

struct rmd_wire_writer;
struct rmd_wire_reader;
/* Appends a task to the packet that `writer` holds. */
void rmd_wp_entry_put(struct rmd_wire_writer *writer, const struct rmd_wp_entry *entry);
/* Reads the next task of a packet (the reader stands behind its first byte): 1, 0: there
 * is none. RMD_EPROTO, RMD_ETRUNC: no such packet, or a number out of its range. */
int rmd_wp_entry_next(struct rmd_wire_reader *reader, struct rmd_wp_entry *ret_entry);
