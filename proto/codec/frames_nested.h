/* proto/codec/frames_nested.h: what AttachRequest and AttachResponse say of tasks that
 * tasks submit: NestedSubmit, NestedCancel, LeaseWait, NestedOutcome; and LeaseProgress.
 *
 * Part of frames_agent.h. Errors, ownership and threads: frames.h. A NestedSubmit is also
 * what a worker hands to its agent, with lease 0, which the agent fills in. */
#pragma once

#include "proto/codec/frames.h"

#define RMD_NESTED_POOL_MAX_BYTES 128u
#define RMD_NESTED_ARGUMENTS_MAX_BYTES (4u << 20)

struct rmd_nested_submit {
	uint64_t lease;		     /* from 1 */
	uint64_t number;	     /* from 1 */
	struct rmd_slice function;   /* UTF-8 */
	struct rmd_slice arguments;  /* raw Arguments; empty: none, or in the transfer */
	uint64_t arguments_transfer; /* 0: inline. Never together with arguments */
	struct rmd_slice pool;	     /* UTF-8; empty: the parent's */
	uint64_t deadline_ms;	     /* 0: none */
	uint32_t max_attempts;	     /* 0: 1 */
};

struct rmd_nested_cancel {
	uint64_t lease;	 /* from 1 */
	uint64_t number; /* from 1 */
};

struct rmd_lease_wait {
	uint64_t lease; /* from 1 */
	bool waiting;
};

struct rmd_lease_progress {
	uint64_t lease; /* from 1 */
	uint64_t done;
	uint64_t total; /* 0: not known */
};

struct rmd_nested_outcome {
	uint64_t lease;	 /* from 1 */
	uint64_t number; /* from 1 */
	struct rmd_outcome outcome;
};

/* Each reads the raw message. */
int rmd_nested_submit_read(struct rmd_slice bytes, struct rmd_nested_submit *ret_submit,
			   const char **ret_field);
int rmd_nested_cancel_read(struct rmd_slice bytes, struct rmd_nested_cancel *ret_cancel,
			   const char **ret_field);
int rmd_lease_wait_read(struct rmd_slice bytes, struct rmd_lease_wait *ret_wait,
			const char **ret_field);
int rmd_lease_progress_read(struct rmd_slice bytes,
			    struct rmd_lease_progress *ret_progress,
			    const char **ret_field);
int rmd_nested_outcome_read(struct rmd_slice bytes,
			    struct rmd_nested_outcome *ret_outcome,
			    const char **ret_field);

/* A worker's NestedSubmit: as above without a lease, and with arguments of up to
 * RMD_TRANSFER_MAX_BYTES inline. */
int rmd_worker_submit_read(struct rmd_slice bytes, struct rmd_nested_submit *ret_submit,
			   const char **ret_field);
/* Bytes that its fields take, and the fields (raw) of one, which must fit the writer's
 * room where that cannot grow. `submit->arguments` comes last. */
size_t rmd_worker_submit_bytes(const struct rmd_nested_submit *submit);
void rmd_worker_submit_put(struct rmd_wire_writer *writer,
			   const struct rmd_nested_submit *submit);

/* `buf`: what submit->arguments lies in, so that large ones are spliced; NULL: copied. */
void rmd_attach_request_put_nested(struct rmd_wire_writer *writer,
				   const struct rmd_nested_submit *submit,
				   struct rmd_buf *buf);
void rmd_attach_request_put_nested_cancel(struct rmd_wire_writer *writer,
					  const struct rmd_nested_cancel *cancel);
void rmd_attach_request_put_wait(struct rmd_wire_writer *writer,
				 const struct rmd_lease_wait *wait);
void rmd_attach_request_put_progress(struct rmd_wire_writer *writer,
				     const struct rmd_lease_progress *progress);
/* `buf`: what outcome->outcome.bytes lies in; NULL: copied. */
void rmd_attach_response_put_nested(struct rmd_wire_writer *writer,
				    const struct rmd_nested_outcome *outcome,
				    struct rmd_buf *buf);
