/* worker/protocol/agent_end.h: the agent's end from inside: what its .c files share.
 *
 * agent_end.c opens and closes, agent_give.c hands tasks over and takes them back,
 * agent_nested.c answers what tasks ask of their children, agent_read.c hears what the
 * worker says. Agent's thread, but for struct rmd_wp_shared.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "proto/base/map.h"
#include "proto/codec/wire.h"
#include "worker/protocol/inputs.h"
#include "worker/protocol/page.h"
#include "worker/protocol/protocol.h"

#define RMD_WP_MAGIC 0x52575001u
#define RMD_WP_STDERR_TAIL_BYTES 4096u
#define RMD_WP_PIPE_PIECE_BYTES ((size_t)64 << 10)

/* The mappings; payloads in the large area keep them alive, whatever thread holds those.
 */
struct rmd_wp_shared {
	atomic_uint refs;
	struct rmd_wp_page *page;
	const uint8_t *output;
	atomic_bool
		held[RMD_WP_LARGE_MAX]; /* handed out, not yet released: our own record */
};

void rmd_wp_shared_unref(struct rmd_wp_shared *shared);

/* A task in the worker's hands. */
struct rmd_wp_slot {
	uint64_t seq; /* 0: the slot is free */
	uint64_t lease;
	struct rmd_wp_extent input;
	uint64_t asked;		     /* child that it waits to hear of; 0: none */
	struct rmd_wp_extent answer; /* bytes of the last answer */
};

/* Output of the worker: read, but perhaps not yet told whose it is. */
struct rmd_wp_pipe {
	int fd;
	bool ended;	     /* nobody can write to it any more */
	uint64_t told_bytes; /* given to events->log, ever */
	uint8_t *piece;	     /* RMD_WP_PIPE_PIECE_BYTES, made at the first output */
	size_t at, len;	     /* what of it is not yet told */
};

struct rmd_wp {
	uint32_t magic;
	const struct rmd_wp_events *events;
	void *ctx;
	int socket_fd;
	int page_fd, output_fd; /* until the child is released */
	int child_socket_fd, child_pipe_fds[2];
	struct rmd_wp_shared *shared;
	struct rmd_wp_inputs inputs;

	uint32_t tasks_max;
	uint64_t next_seq;     /* without the slot */
	struct rmd_map leases; /* lease -> its slot */
	struct rmd_wp_slot slots[RMD_WP_TASKS_MAX];
	uint8_t free_slots[RMD_WP_TASKS_MAX]; /* a stack */
	uint32_t free_count;
	struct rmd_wire_writer packet; /* tasks that wait for flush */
	bool stop_wanted;

	bool ready;  /* it said so */
	bool closed; /* it has closed its end */
	uint64_t ring_tail;
	struct rmd_wp_pipe pipes[2];
	char host[257];
	uint64_t worker;
	uint8_t stderr_tail[RMD_WP_STDERR_TAIL_BYTES];
	size_t stderr_tail_len;
};

/* The live slot of `seq`, or NULL: no task in the worker's hands has it. */
struct rmd_wp_slot *rmd_wp_slot_of(struct rmd_wp *end, uint64_t seq);
/* Handles one of the records of a task that submits tasks; `payload` lies in our memory,
 * or is lent. RMD_EPROTO. */
int rmd_wp_nested(struct rmd_wp *end, const struct rmd_wp_record *record,
		  struct rmd_piece payload);
/* The task in `slot` is no longer in the worker's hands: frees slot and input. */
void rmd_wp_slot_free(struct rmd_wp *end, struct rmd_wp_slot *slot);
