/* proto/codec/frames_unary.h: the messages of Run, Submit, Await, Cancel and Map, at the
 * coordinator: it reads the requests and writes the responses.
 *
 * Errors, ownership and threads: frames.h. */
#pragma once

#include "proto/codec/frames.h"

#define RMD_ARGS_MAX 255u
#define RMD_REQUEST_ID_MAX_BYTES 128u
#define RMD_AWAIT_TASKS_MAX 10000u
#define RMD_MAP_ITEMS_MAX 100000u
#define RMD_MAP_MAX_BYTES (4u << 20)
#define RMD_POOL_REFERENCE_MAX_BYTES 128u
#define RMD_CALL_INLINE_MAX_BYTES (64u << 20)
#define RMD_ARGUMENTS_BLOB_BYTES 32u

/* RunRequest and SubmitRequest. */
struct rmd_run_request {
	struct rmd_slice function;   /* UTF-8; may be empty */
	struct rmd_slice pool;       /* UTF-8; empty: the runtime's default pool */
	struct rmd_slice request_id; /* UTF-8; empty: none */
	struct rmd_task_options options;
	uint64_t inline_max_bytes;   /* 0: RMD_OUTCOME_INLINE_DEFAULT_BYTES */
	struct rmd_slice arguments_blob; /* a SHA-256, or empty: none */
	uint32_t arg_count, kwarg_count;
	size_t arguments_bytes;      /* size of rmd_run_request_arguments */
	struct rmd_slice raw;        /* the message */
};

int rmd_run_request_read(struct rmd_slice message, struct rmd_run_request *ret_request,
			 const char **ret_field);
/* The same for a SubmitRequest. */
int rmd_submit_request_read(struct rmd_slice message, struct rmd_run_request *ret_request,
			    const char **ret_field);
/* Gives its arguments as a raw Arguments in a buf of its own (the Values are copied, not
 * decoded). RMD_ENOMEM. */
int rmd_run_request_arguments(const struct rmd_run_request *request,
			      struct rmd_buf **ret_arguments);

struct rmd_map_request {
	struct rmd_slice function;   /* UTF-8; may be empty */
	struct rmd_slice pool;       /* UTF-8; empty: the runtime's default pool */
	struct rmd_task_options options;
	bool unordered;
	uint64_t inline_max_bytes;   /* as in rmd_run_request */
	uint32_t item_count;
	struct rmd_slice raw;        /* the message */
};

int rmd_map_request_read(struct rmd_slice message, struct rmd_map_request *ret_request,
			 const char **ret_field);
/* Walks the items, raw Values: *cursor starts at 0; false at the end. */
bool rmd_map_request_next_item(const struct rmd_map_request *request, size_t *cursor,
			       struct rmd_slice *ret_value);
/* Gives a raw Arguments whose only argument is `value` (a raw Value, copied), or NULL: no
 * memory. */
struct rmd_buf *rmd_arguments_of_value(struct rmd_slice value);

/* AwaitRequest and CancelRequest: the next id: 1; 0: the end; else a code, and
 * reader->field. */
int rmd_task_ids_next(struct rmd_frame_reader *reader, struct rmd_task_id *ret_id);
/* AwaitRequest.inline_max_bytes. */
int rmd_await_request_inline_max(struct rmd_slice message, uint64_t *ret_bytes,
				 const char **ret_field);

/* Gives a raw ValueReference, or NULL: no memory. */
struct rmd_buf *rmd_value_reference(const struct rmd_task_id *task, uint64_t size_bytes,
				    uint64_t kept_ms);

/* RunResponse: its task and outcome; its logs one by one. `buf` as in rmd_outcome_put. */
void rmd_run_response_put(struct rmd_wire_writer *writer, const struct rmd_task_id *task,
			  const struct rmd_outcome *outcome, struct rmd_buf *buf);
void rmd_run_response_put_log(struct rmd_wire_writer *writer,
			      const struct rmd_log_chunk *log);
/* SubmitResponse. */
void rmd_submit_response_put(struct rmd_wire_writer *writer,
			     const struct rmd_task_id *task);
/* AwaitResponse. `buf` as in rmd_outcome_put. */
void rmd_await_response_put(struct rmd_wire_writer *writer,
			    const struct rmd_task_id *task,
			    const struct rmd_outcome *outcome, struct rmd_buf *buf);
/* MapResponse. `buf` as in rmd_outcome_put. */
void rmd_map_response_put(struct rmd_wire_writer *writer, uint64_t index,
			  const struct rmd_outcome *outcome, struct rmd_buf *buf);

enum rmd_cancel_result {             /* the numbers of remuda.v1.CancelResult */
	RMD_CANCEL_RESULT_CANCELLED = 1,
	RMD_CANCEL_RESULT_DONE,
	RMD_CANCEL_RESULT_NOT_FOUND,
};

/* CancelResponse: one result; call it once for each task, in order. */
void rmd_cancel_response_put(struct rmd_wire_writer *writer,
			     enum rmd_cancel_result result);
