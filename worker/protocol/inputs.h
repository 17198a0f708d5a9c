/* worker/protocol/inputs.h: the input segment: where arguments of more than a few KiB
 * lie.
 *
 * Written by the agent alone; the worker cannot write there (F_SEAL_FUTURE_WRITE, which
 * our own mapping, made before, is exempt from). Pieces are placed first-fit from the
 * bottom, so that warm memory is used again. The seal also forbids punching holes: to
 * give memory back the whole segment is replaced. Agent's thread. */
#pragma once

#include <stdint.h>

#include "proto/base/buf.h"
#include "worker/protocol/protocol.h"

struct rmd_wp_extent {
	uint64_t offset, len; /* len 0: none */
};

/* Arguments of tasks in its hands, and an answer to each. */
#define RMD_WP_INPUTS_MAX (2u * RMD_WP_TASKS_MAX)

struct rmd_wp_inputs {
	uint8_t *base; /* our mapping; NULL: none */
	int worker_fd; /* read-only, for the worker; -1: handed over */
	uint64_t size;
	uint64_t touched_bytes; /* below it memory may be in use */
	uint32_t count;
	struct rmd_wp_extent live[RMD_WP_INPUTS_MAX]; /* by offset */
};

/* Makes a segment of `size` bytes. RMD_ESYS. */
int rmd_wp_inputs_init(struct rmd_wp_inputs *inputs, uint64_t size);
/* Unmaps and closes; also where init failed. */
void rmd_wp_inputs_fini(struct rmd_wp_inputs *inputs);
/* Copies `bytes` in. RMD_EAGAIN: no room now; RMD_ETOOBIG: larger than the segment. */
int rmd_wp_inputs_put(struct rmd_wp_inputs *inputs, struct rmd_slice bytes,
		      struct rmd_wp_extent *ret_extent);
/* Frees what put gave. */
void rmd_wp_inputs_drop(struct rmd_wp_inputs *inputs, struct rmd_wp_extent extent);
