/* worker/spawner/packet.h: the packets between an agent and its spawner.
 *
 * Both ends are the same binary, so a packet is a plain struct; still each is checked
 * before use, since the socket outlives our trust in any one process. Descriptors ride
 * along as SCM_RIGHTS. Not for other rooms. */
#pragma once

#include <stdbool.h>

#include "worker/spawner/spawner.h"

enum rmd_spawn_op { RMD_SPAWN_OP_SPAWN = 1, RMD_SPAWN_OP_SIGNAL = 2 };

/* Agent to spawner. SPAWN: followed by fd_count int32_t (numbers), then strings_bytes of
 * NUL-terminated strings: program, cwd (may be empty), arguments, variables. */
struct rmd_spawn_packet {
	uint32_t op;
	int32_t signal_number; /* SIGNAL */
	uint64_t id;
	uint32_t arg_count, env_count;
	uint32_t fd_count;
	uint32_t strings_bytes;
};

/* Spawner to agent. */
struct rmd_spawn_answer {
	uint32_t kind; /* enum rmd_spawn_report_kind */
	int32_t pid;
	uint64_t id;
	int32_t error;
	uint32_t stage;
	int32_t wait_status;
	uint32_t peak_kib;
};

#define RMD_SPAWN_PACKET_MAX                                                     \
	(sizeof(struct rmd_spawn_packet) + RMD_SPAWN_FDS_MAX * sizeof(int32_t) + \
	 RMD_SPAWN_BODY_MAX)

/* A SPAWN packet taken apart; everything points into the packet or into `pointers`. */
struct rmd_spawn_parsed {
	uint64_t id;
	const char *program;
	const char *cwd;			   /* "" : the spawner's */
	char *pointers[RMD_SPAWN_STRINGS_MAX + 2]; /* argv, NULL, env, NULL */
	char **argv, **env;
	int32_t numbers[RMD_SPAWN_FDS_MAX];
	size_t fd_count;
};

/* Checks and takes apart a SPAWN packet of `len` bytes that came with `fd_count`
 * descriptors. 0, or RMD_EPROTO. */
int rmd_spawn_parse(char *packet, size_t len, size_t fd_count,
		    struct rmd_spawn_parsed *ret_parsed);

/* Sends `len` bytes with descriptors, without blocking. RMD_EAGAIN, RMD_ECLOSED,
 * RMD_ETOOBIG, RMD_ESYS. */
int rmd_spawn_packet_send(int fd, const void *packet, size_t len, const int *fds,
			  size_t fd_count);

/* Receives one packet into `buffer` (of `room` bytes), and its descriptors
 * (close-on-exec, at most RMD_SPAWN_FDS_MAX, owned by the caller). RMD_EAGAIN,
 * RMD_ECLOSED; RMD_EPROTO: it was larger than the room or had too many descriptors (none
 * are given then); RMD_ESYS. */
int rmd_spawn_packet_recv(int fd, void *buffer, size_t room, size_t *ret_len,
			  int ret_fds[RMD_SPAWN_FDS_MAX], size_t *ret_fd_count);
