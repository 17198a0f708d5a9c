/* worker/protocol/worker_parts.h: the worker's end from inside: what worker_end.c and
 * worker_nested.c share. As worker_end.h. */
#pragma once

#include <stdbool.h>

#include "proto/codec/wire.h"
#include "worker/protocol/control.h"
#include "worker/protocol/large_area.h"
#include "worker/protocol/page.h"
#include "worker/protocol/worker_end.h"

#define RMD_WPW_MAGIC 0x52575755u

struct rmd_wpw {
	uint32_t magic;
	int socket_fd;
	int output_fds[2]; /* copies of 1 and 2, which tasks may close or redirect */
	struct rmd_wp_page *page;
	uint8_t *output;
	const uint8_t *input;
	uint64_t input_bytes;
	struct rmd_wp_area area;
	remuda_local_Control *control; /* until the first task */
	const char *modules[64];

	uint8_t *packet;
	struct rmd_wire_reader reader; /* what of the packet is not yet run */
	uint64_t seq;		       /* the claimed task; 0: none */
	uint64_t ring_head;
	uint64_t marked_bytes[2]; /* the totals of the last mark */
	/* The open reservation: */
	size_t reserved_bytes;	/* its payload at most */
	uint64_t reserved_head; /* ring_head once it is published */
	struct rmd_wp_record record;
	uint64_t record_at;	   /* where it goes in the ring */
	struct rmd_wp_large large; /* len 0: the payload lies in the ring */
};

/* True: the agent has closed its end. Any thread. */
bool rmd_wpw_agent_gone(const struct rmd_wpw *end);
/* Waits until there is room for a record with a payload of `len` bytes, and places it.
 * RMD_ECLOSED. */
int rmd_wpw_place(struct rmd_wpw *end, size_t len);
/* Says in the open record that its payload is `len` bytes; true: it is a large one. */
bool rmd_wpw_size_record(struct rmd_wpw *end, size_t len);
/* Publishes the record that was placed, with its payload already there; wakes the agent.
 */
void rmd_wpw_publish(struct rmd_wpw *end);
void rmd_wpw_ring(struct rmd_wpw *end);
