/* proto/codec/frames_agent.h: AttachRequest and AttachResponse, item by item; what they say
 * of nested tasks is in frames_nested.h.
 *
 * Errors, ownership and threads: frames.h. */
#pragma once

#include "proto/base/digest.h"
#include "proto/codec/frames.h"
#include "proto/codec/frames_nested.h"

#define RMD_AGENT_NAME_MAX_BYTES 256u
#define RMD_AGENT_RUNTIMES_MAX 16u
#define RMD_AGENT_LABELS_MAX 64u
#define RMD_AGENT_WORKERS_MAX 100000u /* in one AgentPool */
#define RMD_RUNTIME_MAX_BYTES 64u
#define RMD_MODULE_NAME_MAX_BYTES 256u
/* Those of a Run may be larger than a TaskSpec's. */
#define RMD_LEASE_ARGUMENTS_MAX_BYTES (4u << 20)

/* ---- agent to coordinator ---- */

struct rmd_agent_hello {
	uint32_t protocol;
	struct rmd_slice name;       /* UTF-8 */
	struct rmd_slice version;    /* UTF-8 */
	uint32_t cpu_milli;
	uint64_t memory_bytes;       /* 0: not known */
	uint32_t pid;
	uint32_t workers_max;        /* 0: what the cpus give */
	struct rmd_slice raw;        /* the message, for runtimes and labels */
};

/* Walks the runtimes: *cursor starts at 0; false at the end. */
bool rmd_agent_hello_next_runtime(const struct rmd_agent_hello *hello, size_t *cursor,
				  struct rmd_slice *ret_runtime);
/* Walks the labels. */
struct rmd_pairs rmd_agent_hello_labels(const struct rmd_agent_hello *hello);

enum rmd_worker_state {              /* the numbers of remuda.v1.WorkerState */
	RMD_WORKER_STATE_UNSPECIFIED,/* also: one that we do not know */
	RMD_WORKER_STATE_STARTING,
	RMD_WORKER_STATE_IDLE,
	RMD_WORKER_STATE_BUSY,
	RMD_WORKER_STATE_STOPPING,
	RMD_WORKER_STATE_WAITING,    /* for tasks that its task submitted */
};

struct rmd_agent_worker {
	uint64_t worker;
	uint32_t pid;
	enum rmd_worker_state state;
	uint64_t lease;              /* 0: none */
	uint64_t tasks_done;
};

struct rmd_agent_pool {
	uint64_t pool;
	uint32_t slots;
	uint32_t idle;
	bool start_failed;           /* start_error is set */
	struct rmd_slice start_error;/* raw ErrorChain */
	bool broken;
	struct rmd_slice raw;        /* the raw AgentPool: workers are walked in it */
};

/* Walks the workers: *cursor starts at 0; false at the end. */
bool rmd_agent_pool_next_worker(const struct rmd_agent_pool *pool, size_t *cursor,
				struct rmd_agent_worker *ret_worker);

struct rmd_lease_outcome {
	uint64_t lease;
	struct rmd_outcome outcome;
	bool began;
	uint64_t worker;             /* 0: none */
	uint64_t run_ns;             /* 0: unknown */
	enum rmd_failure_cause cause; /* UNSPECIFIED: the task raised it, or none */
};

struct rmd_lease_log {
	uint64_t lease;              /* 0: between tasks */
	uint64_t worker;
	struct rmd_log_chunk log;
};

enum rmd_attach_request_kind {
	RMD_ATTACH_REQUEST_HELLO = 1,
	RMD_ATTACH_REQUEST_CHUNK,
	RMD_ATTACH_REQUEST_LOG,
	RMD_ATTACH_REQUEST_BEGAN,        /* number: a lease */
	RMD_ATTACH_REQUEST_OUTCOME,
	RMD_ATTACH_REQUEST_RETURNED,     /* number: a lease */
	RMD_ATTACH_REQUEST_POOL,
	RMD_ATTACH_REQUEST_DRAINING,     /* only where true */
	RMD_ATTACH_REQUEST_NESTED,
	RMD_ATTACH_REQUEST_NESTED_CANCEL,
	RMD_ATTACH_REQUEST_WAIT,
	RMD_ATTACH_REQUEST_PROGRESS,
	RMD_ATTACH_REQUEST_IMAGE_WANTED, /* digest */
};

struct rmd_attach_request_item {
	enum rmd_attach_request_kind kind;
	union {                      /* the member named as the kind */
		struct rmd_agent_hello hello;
		struct rmd_chunk chunk;
		struct rmd_lease_log log;
		uint64_t number;
		struct rmd_lease_outcome outcome;
		struct rmd_agent_pool pool;
		struct rmd_nested_submit nested;
		struct rmd_nested_cancel nested_cancel;
		struct rmd_lease_wait wait;
		struct rmd_lease_progress progress;
		struct rmd_digest digest;
	};
};

/* The next item, in the order of the bytes: 1; 0: the end; else a code, and
 * reader->field. */
int rmd_attach_request_next(struct rmd_frame_reader *reader,
			    struct rmd_attach_request_item *ret_item);

/* `hello->raw` is not read: the runtimes come as strings, the labels as pairs. */
void rmd_attach_request_put_hello(struct rmd_wire_writer *writer,
				  const struct rmd_agent_hello *hello,
				  const char *const *runtimes, size_t runtime_count,
				  struct rmd_pairs labels);
void rmd_attach_request_put_log(struct rmd_wire_writer *writer,
				const struct rmd_lease_log *log);
/* Nothing where count is 0; so the other lists of numbers too. */
void rmd_attach_request_put_began(struct rmd_wire_writer *writer, const uint64_t *leases,
				  size_t count);
/* `buf`: what outcome->outcome.bytes lies in, so that large ones are spliced; NULL:
 * copied. */
void rmd_attach_request_put_outcome(struct rmd_wire_writer *writer,
				    const struct rmd_lease_outcome *outcome,
				    struct rmd_buf *buf);
void rmd_attach_request_put_returned(struct rmd_wire_writer *writer,
				     const uint64_t *leases, size_t count);
/* `pool->raw` is not read: the workers come as an array. */
void rmd_attach_request_put_pool(struct rmd_wire_writer *writer,
				 const struct rmd_agent_pool *pool,
				 const struct rmd_agent_worker *workers,
				 size_t worker_count);
void rmd_attach_request_put_draining(struct rmd_wire_writer *writer);
void rmd_attach_request_put_image_wanted(struct rmd_wire_writer *writer,
					 const struct rmd_digest *digest);

/* ---- coordinator to agent ---- */

struct rmd_agent_welcome {
	uint32_t protocol;
	uint64_t epoch;
	uint64_t agent;
};

struct rmd_set_pool {
	uint64_t pool;
	bool has_spec;
	struct rmd_slice raw_spec;   /* rmd_pool_spec_read is yet to check it */
	uint32_t workers;
	bool closed;
	bool kill;
};

struct rmd_lease_grant {             /* remuda.v1.Lease */
	uint64_t lease;              /* from 1 */
	uint64_t pool;
	struct rmd_slice function;   /* UTF-8 */
	struct rmd_slice arguments;  /* raw Arguments; empty: none, or in the transfer */
	uint64_t arguments_transfer; /* 0: inline. Never together with arguments */
	uint32_t attempt;            /* from 1 */
	uint64_t deadline_ms;        /* left; 0: none */
	bool stream_logs;
	uint32_t depth;
};

struct rmd_recall {
	uint64_t pool;
	uint32_t leases;
};

struct rmd_module_image {
	struct rmd_digest digest;
	uint64_t transfer;           /* 0: an image that the coordinator lacks */
	struct rmd_slice name;       /* UTF-8 */
};

enum rmd_attach_response_kind {
	RMD_ATTACH_RESPONSE_WELCOME = 1,
	RMD_ATTACH_RESPONSE_CHUNK,
	RMD_ATTACH_RESPONSE_SET_POOL,
	RMD_ATTACH_RESPONSE_LEASE,
	RMD_ATTACH_RESPONSE_CANCEL,      /* number: a lease */
	RMD_ATTACH_RESPONSE_RECALL,
	RMD_ATTACH_RESPONSE_DRAIN,       /* only where true */
	RMD_ATTACH_RESPONSE_MODULE,
	RMD_ATTACH_RESPONSE_NESTED,
};

struct rmd_attach_response_item {
	enum rmd_attach_response_kind kind;
	union {                      /* the member named as the kind */
		struct rmd_agent_welcome welcome;
		struct rmd_chunk chunk;
		struct rmd_set_pool set_pool;
		struct rmd_lease_grant lease;
		uint64_t number;
		struct rmd_recall recall;
		struct rmd_module_image module;
		struct rmd_nested_outcome nested;
	};
};

/* As rmd_attach_request_next. */
int rmd_attach_response_next(struct rmd_frame_reader *reader,
			     struct rmd_attach_response_item *ret_item);

void rmd_attach_response_put_welcome(struct rmd_wire_writer *writer,
				     const struct rmd_agent_welcome *welcome);
void rmd_attach_response_put_set_pool(struct rmd_wire_writer *writer,
				      const struct rmd_set_pool *set_pool);
/* `buf`: what lease->arguments lies in, so that large ones are spliced; NULL: copied. */
void rmd_attach_response_put_lease(struct rmd_wire_writer *writer,
				   const struct rmd_lease_grant *lease,
				   struct rmd_buf *buf);
/* Nothing where count is 0. */
void rmd_attach_response_put_cancels(struct rmd_wire_writer *writer,
				     const uint64_t *leases, size_t count);
void rmd_attach_response_put_recall(struct rmd_wire_writer *writer,
				    const struct rmd_recall *recall);
void rmd_attach_response_put_drain(struct rmd_wire_writer *writer);
void rmd_attach_response_put_module(struct rmd_wire_writer *writer,
				    const struct rmd_module_image *module);
