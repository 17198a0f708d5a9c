/* proto/codec/frames_session.h: SessionRequest and SessionResponse, item by item.
 *
 * Errors, ownership and threads: frames.h. */
#pragma once

#include "proto/codec/frames.h"

#define RMD_CLIENT_NAME_MAX_BYTES 256u
#define RMD_POOL_ERROR_MAX_BYTES 4096u

struct rmd_session_hello {
	uint8_t session[RMD_SESSION_BYTES];
	uint32_t protocol;
	struct rmd_slice client;     /* UTF-8 */
	uint64_t epoch;              /* 0: a new session */
	uint64_t inline_max_bytes;   /* 0: 1 MiB */
	bool shared_memory;
};

struct rmd_session_submit {
	uint64_t number;             /* from 1 */
	struct rmd_task_spec task;
};

struct rmd_session_open_pool {
	uint64_t pool;               /* the session's number for it, from 1 */
	struct rmd_slice raw_spec;   /* rmd_pool_spec_read is yet to check it */
};

enum rmd_session_close {             /* the numbers of remuda.v1.ClosePool */
	RMD_SESSION_CLOSE_UNSPECIFIED, /* as DRAIN; also: one that we do not know */
	RMD_SESSION_CLOSE_DRAIN,
	RMD_SESSION_CLOSE_CANCEL,
	RMD_SESSION_CLOSE_KILL,
};

struct rmd_session_close_pool {
	uint64_t pool;               /* the session's number for it, from 1 */
	enum rmd_session_close how;
};

struct rmd_session_welcome {
	uint32_t protocol;
	uint64_t epoch;
	struct rmd_slice version;    /* UTF-8 */
	uint64_t accepted;
	uint64_t payload_max_bytes;
	bool shared_memory;
};

struct rmd_session_outcome {
	uint64_t number;
	struct rmd_outcome outcome;
	struct rmd_segment_ref segment; /* length not 0: the value, of kind VALUE with
					 * empty bytes */
};

struct rmd_session_log {
	uint64_t number;
	struct rmd_log_chunk log;
};

struct rmd_session_pool {
	uint64_t pool;
	struct rmd_slice error;      /* UTF-8; empty: it is open */
};

/* ---- client to coordinator ---- */

enum rmd_session_request_kind {
	RMD_SESSION_REQUEST_HELLO = 1,
	RMD_SESSION_REQUEST_CHUNK,
	RMD_SESSION_REQUEST_SUBMIT,
	RMD_SESSION_REQUEST_CANCEL,      /* number */
	RMD_SESSION_REQUEST_ACK,         /* number */
	RMD_SESSION_REQUEST_OPEN_POOL,
	RMD_SESSION_REQUEST_GOODBYE,     /* only where true */
	RMD_SESSION_REQUEST_CLOSE_POOL,
};

struct rmd_session_request_item {
	enum rmd_session_request_kind kind;
	union {                      /* the member named as the kind */
		struct rmd_session_hello hello;
		struct rmd_chunk chunk;
		struct rmd_session_submit submit;
		uint64_t number;
		struct rmd_session_open_pool open_pool;
		struct rmd_session_close_pool close_pool;
	};
};

/* The next item, in the order of the bytes: 1; 0: the end; else a code, and
 * reader->field. */
int rmd_session_request_next(struct rmd_frame_reader *reader,
			     struct rmd_session_request_item *ret_item);

void rmd_session_request_put_hello(struct rmd_wire_writer *writer,
				   const struct rmd_session_hello *hello);
/* `buf`: what task->arguments lies in, so that large ones are spliced; NULL: copied. */
void rmd_session_request_put_submit(struct rmd_wire_writer *writer, uint64_t number,
				    const struct rmd_task_spec *task,
				    struct rmd_buf *buf);
/* Nothing where count is 0; so the other lists of numbers too. */
void rmd_session_request_put_cancels(struct rmd_wire_writer *writer,
				     const uint64_t *numbers, size_t count);
void rmd_session_request_put_acks(struct rmd_wire_writer *writer, const uint64_t *numbers,
				  size_t count);
/* `raw_spec`: of rmd_pool_spec_put_raw (frames_pool.h). */
void rmd_session_request_put_open_pool(struct rmd_wire_writer *writer, uint64_t pool,
				       struct rmd_slice raw_spec);
void rmd_session_request_put_goodbye(struct rmd_wire_writer *writer);
void rmd_session_request_put_close_pool(struct rmd_wire_writer *writer,
					const struct rmd_session_close_pool *closed);

/* ---- coordinator to client ---- */

enum rmd_session_response_kind {
	RMD_SESSION_RESPONSE_WELCOME = 1,
	RMD_SESSION_RESPONSE_CHUNK,
	RMD_SESSION_RESPONSE_LOG,
	RMD_SESSION_RESPONSE_OUTCOME,
	RMD_SESSION_RESPONSE_ACCEPTED,   /* number */
	RMD_SESSION_RESPONSE_WINDOW,     /* number */
	RMD_SESSION_RESPONSE_POOL,
};

struct rmd_session_response_item {
	enum rmd_session_response_kind kind;
	union {                      /* the member named as the kind */
		struct rmd_session_welcome welcome;
		struct rmd_chunk chunk;
		struct rmd_session_log log;
		struct rmd_session_outcome outcome;
		uint64_t number;
		struct rmd_session_pool pool;
	};
};

/* As rmd_session_request_next. */
int rmd_session_response_next(struct rmd_frame_reader *reader,
			      struct rmd_session_response_item *ret_item);

void rmd_session_response_put_welcome(struct rmd_wire_writer *writer,
				      const struct rmd_session_welcome *welcome);
void rmd_session_response_put_log(struct rmd_wire_writer *writer, uint64_t number,
				  const struct rmd_log_chunk *log);
/* `buf`: what outcome->bytes lies in, so that large ones are spliced; NULL: copied. */
void rmd_session_response_put_outcome(struct rmd_wire_writer *writer, uint64_t number,
				      const struct rmd_outcome *outcome,
				      struct rmd_buf *buf);
/* An outcome whose value lies in the sender's segment. */
void rmd_session_response_put_segment(struct rmd_wire_writer *writer, uint64_t number,
				      const struct rmd_segment_ref *ref);
void rmd_session_response_put_accepted(struct rmd_wire_writer *writer, uint64_t number);
void rmd_session_response_put_window(struct rmd_wire_writer *writer, uint64_t number);
void rmd_session_response_put_pool(struct rmd_wire_writer *writer, uint64_t pool,
				   struct rmd_slice error);
