/* proto/codec/frames.h: what the stream messages of remuda.v1 have in common.
 *
 * Hand-written, bounded readers and writers for the hot path: batches of tasks, outcomes
 * and chunks (frames_session.h, frames_agent.h), and for Run, Submit, Await, Cancel and
 * Map (frames_unary.h). Pools' specs are in frames_pool.h. Not here: Value and
 * ErrorChain, which travel as raw slices and are never decoded.
 *
 * Reading: every slice borrows from the message that was read. Every limit that the
 * .proto states is checked. Unknown fields are skipped (a newer version wrote them); a
 * known field of another wire type, and a second occurrence of a nested message that
 * occurs once, are RMD_EPROTO. Codes of all readers:
 *
 *   RMD_ETRUNC   the bytes end inside a field
 *   RMD_EPROTO   not the wire format, not UTF-8, or what means nothing
 *   RMD_ETOOBIG  a text or bytes field over its limit
 *   RMD_ELIMIT   a number over its limit, or too many items
 *
 * and with each the field, as a static text: "TaskSpec.function (at most 512 bytes)". On
 * failure nothing may be assumed about the item, and the reader is of no more use.
 *
 * Writing: one function per item; each appends one top-level field. Shortage of memory
 * makes the writer fail (wire.h). What a writer is given must be within the limits,
 * except where said. Pure; a reader or writer belongs to one thread at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/codec/wire.h"

/* ---- limits (those of the .proto) ---- */

#define RMD_SESSION_BYTES 16u
#define RMD_FUNCTION_MAX_BYTES 512u
#define RMD_ARGUMENTS_INLINE_MAX_BYTES (1u << 20)
#define RMD_OUTCOME_INLINE_DEFAULT_BYTES (1u << 20)
#define RMD_OUTCOME_INLINE_MAX_BYTES (4u << 20)
#define RMD_REASON_MAX_BYTES 256u
#define RMD_PRIORITY_MAX 1000
#define RMD_DEADLINE_MAX_MS (UINT64_C(3653) * 24 * 3600 * 1000) /* 10 years */
#define RMD_ATTEMPTS_MAX 100u
#define RMD_TASK_LABELS_MAX 16u
#define RMD_LABEL_MAX_BYTES 128u   /* key and value of any label, each */
#define RMD_CHUNK_MAX_BYTES (1u << 20)
#define RMD_TRANSFER_MAX_BYTES (UINT64_C(1) << 30)
#define RMD_LOG_MAX_BYTES 65536u
#define RMD_VERSION_MAX_BYTES 256u  /* a program's version, for people */
#define RMD_PROTOCOL_VERSION 1u

/* ---- reading ---- */

/* A cursor over one message: made by rmd_frame_reader_of, moved by the …_next functions
 * of that message. Copy it to look ahead. */
struct rmd_frame_reader {
	struct rmd_wire_reader rest;
	struct rmd_wire_reader packed; /* what is left of a packed field */
	uint32_t packed_field;
	uint32_t count;              /* items given, where their number is limited */
	const char *field;           /* after a failure: which field; static */
};

static inline struct rmd_frame_reader rmd_frame_reader_of(struct rmd_slice message)
{
	return (struct rmd_frame_reader){.rest = rmd_wire_reader_of(message)};
}

/* One pair of a map<string, string>; borrowed. */
struct rmd_pair {
	struct rmd_slice key, value;
};

/* Walks a map<string, string> that a reader has checked. */
struct rmd_pairs {
	struct rmd_wire_reader rest;
	uint32_t field;              /* number of the map field */
};

/* The next pair; false at the end. In the order of the bytes; of a key that comes twice
 * the last one counts. */
bool rmd_pairs_next(struct rmd_pairs *pairs, struct rmd_pair *ret_pair);
/* Appends one entry of a map<string, string> with field number `field`. */
void rmd_pairs_put(struct rmd_wire_writer *writer, uint32_t field, struct rmd_pair pair);

/* ---- TaskId ---- */

struct rmd_task_id {
	uint8_t session[RMD_SESSION_BYTES];
	uint64_t number;             /* from 1 */
};

int rmd_task_id_read(struct rmd_slice bytes, struct rmd_task_id *ret_id,
		     const char **ret_field);
/* Appends it as a message field. */
void rmd_task_id_put(struct rmd_wire_writer *writer, uint32_t field,
		     const struct rmd_task_id *id);

/* ---- SegmentRef ---- */

/* A place in shared memory (proto/shared). length 0: none. */
struct rmd_segment_ref {
	uint64_t offset, length;
	uint32_t place, mark;
};

/* Reads a raw SegmentRef: length from 1 to 1 GiB, mark not 0; whether the place lies in
 * the segment is for others to check. */
int rmd_segment_ref_read(struct rmd_slice bytes, struct rmd_segment_ref *ret_ref,
			 const char **ret_field);

/* ---- TaskOptions, TaskSpec ---- */

struct rmd_task_options {
	int32_t priority;
	uint64_t deadline_ms;        /* rounded up; 0: none */
	uint32_t max_attempts;       /* 0: 1 */
	bool stream_logs;
	struct rmd_slice raw_labels; /* the raw TaskOptions where it has labels, else
				      * empty; rmd_task_labels walks them */
	uint64_t queue_deadline_ms;  /* as deadline_ms */
	uint64_t run_deadline_ms;
	struct rmd_slice raw_retry;  /* the raw RetryRule, checked; data NULL: none */
	bool detached;
};

/* ---- RetryRule ---- */

#define RMD_ERROR_TYPES_MAX 16u
#define RMD_ERROR_TYPE_MAX_BYTES 128u
#define RMD_BACKOFF_MAX_MS UINT64_C(86400000) /* a day */

enum rmd_failure_cause {             /* the numbers of remuda.v1.FailureCause */
	RMD_FAILURE_UNSPECIFIED,
	RMD_FAILURE_TASK_ERROR,
	RMD_FAILURE_WORKER_LOST,
	RMD_FAILURE_OUT_OF_MEMORY,
	RMD_FAILURE_AGENT_LOST,
	RMD_FAILURE_RUN_DEADLINE,
};

struct rmd_retry_rule {
	uint32_t causes;             /* bit i: rmd_failure_cause i */
	uint32_t error_type_count;
	struct rmd_slice error_types[RMD_ERROR_TYPES_MAX]; /* UTF-8, 1 to 128 bytes */
	uint64_t backoff_ms, backoff_max_ms; /* rounded up; 0: the default */
};

/* Reads a raw RetryRule; the types borrow from it. */
int rmd_retry_rule_read(struct rmd_slice bytes, struct rmd_retry_rule *ret_rule,
			const char **ret_field);
/* Appends its fields (raw: no tag or length before them), for raw_retry. */
void rmd_retry_rule_encode(struct rmd_wire_writer *writer,
			   const struct rmd_retry_rule *rule);

/* Reads a raw TaskOptions; empty bytes give the defaults. */
int rmd_task_options_read(struct rmd_slice bytes, struct rmd_task_options *ret_options,
			  const char **ret_field);
/* Appends it as a message field; nothing where all is default. Of raw_labels only the
 * labels. */
void rmd_task_options_put(struct rmd_wire_writer *writer, uint32_t field,
			  const struct rmd_task_options *options);
/* Walks the labels. To make raw_labels: rmd_pairs_put with RMD_TASK_OPTIONS_LABELS. */
struct rmd_pairs rmd_task_labels(const struct rmd_task_options *options);
#define RMD_TASK_OPTIONS_LABELS 5u

struct rmd_task_spec {
	struct rmd_slice function;   /* UTF-8; may be empty */
	struct rmd_slice arguments;  /* raw Arguments; empty: none, or in the transfer */
	uint64_t arguments_transfer; /* 0: inline. Never together with arguments */
	uint64_t pool;
	struct rmd_task_options options;
	struct rmd_segment_ref segment; /* the arguments; length 0: elsewhere. Never
					 * together with arguments or the transfer */
};

/* Reads a raw TaskSpec. */
int rmd_task_spec_read(struct rmd_slice bytes, struct rmd_task_spec *ret_spec,
		       const char **ret_field);

/* ---- Outcome ---- */

enum rmd_outcome_kind {
	RMD_OUTCOME_VALUE = 1,
	RMD_OUTCOME_ERROR,
	RMD_OUTCOME_CANCELLED,
	RMD_OUTCOME_VALUE_TRANSFER,
	RMD_OUTCOME_VALUE_REFERENCE, /* written for calls; never read */
};

struct rmd_outcome {
	enum rmd_outcome_kind kind;
	struct rmd_slice bytes;      /* raw Value | raw ErrorChain | reason text | empty |
				      * raw ValueReference */
	uint64_t transfer;           /* VALUE_TRANSFER: its number, else 0 */
};

/* Reads a raw Outcome; one of the first four must be set. */
int rmd_outcome_read(struct rmd_slice bytes, struct rmd_outcome *ret_outcome,
		     const char **ret_field);
/* Appends it as a message field. `buf` is what outcome->bytes lies in: large bytes are
 * then spliced in by reference; NULL: copied. */
void rmd_outcome_put(struct rmd_wire_writer *writer, uint32_t field,
		     const struct rmd_outcome *outcome, struct rmd_buf *buf);

/* ---- Chunk ---- */

struct rmd_chunk {
	uint64_t transfer;           /* from 1 */
	uint64_t total_bytes;
	uint64_t offset;             /* offset + data.len <= total_bytes */
	struct rmd_slice data;
};

int rmd_chunk_read(struct rmd_slice bytes, struct rmd_chunk *ret_chunk,
		   const char **ret_field);
/* Appends it as a message field; `buf` as in rmd_outcome_put. In all four stream messages
 * the field is RMD_FIELD_CHUNKS. */
void rmd_chunk_put(struct rmd_wire_writer *writer, uint32_t field,
		   const struct rmd_chunk *chunk, struct rmd_buf *buf);
#define RMD_FIELD_CHUNKS 2u

/* ---- LogChunk ---- */

enum rmd_log_stream {                /* the numbers of remuda.v1.LogStream */
	RMD_LOG_STREAM_UNSPECIFIED,  /* also: one that we do not know */
	RMD_LOG_STREAM_STDOUT,
	RMD_LOG_STREAM_STDERR,
	RMD_LOG_STREAM_LOG,
};

struct rmd_log_chunk {
	enum rmd_log_stream stream;
	struct rmd_slice data;       /* any bytes */
	uint64_t dropped_bytes;      /* lost before this piece */
};

int rmd_log_chunk_read(struct rmd_slice bytes, struct rmd_log_chunk *ret_log,
		       const char **ret_field);
/* Appends it as a message field; the data is copied. */
void rmd_log_chunk_put(struct rmd_wire_writer *writer, uint32_t field,
		       const struct rmd_log_chunk *log);
