#include "proto/base/check.h"
#include "proto/codec/frames_agent.h"
#include "proto/codec/frames_wire.h"

#define BEGAN 4u

/* ---- AgentHello ---- */

#define HELLO_RUNTIMES 4u
#define HELLO_LABELS 7u

/* What is counted while an AgentHello is read. */
struct hello_counts {
	uint32_t runtimes, labels;
};

static int hello_repeated(const struct rmd_wire_field *f, struct hello_counts *counts,
			  const char **ret_field)
{
	struct rmd_slice runtime;
	struct rmd_pair pair;
	if (f->number == HELLO_RUNTIMES) {
		if (counts->runtimes++ == RMD_AGENT_RUNTIMES_MAX)
			return frames_fail(RMD_ELIMIT, "AgentHello.runtimes (at most 16)",
					   ret_field);
		return frames_text(f, RMD_RUNTIME_MAX_BYTES, &runtime,
				   "AgentHello.runtimes (at most 64 bytes each)",
				   ret_field);
	}
	if (counts->labels++ == RMD_AGENT_LABELS_MAX)
		return frames_fail(RMD_ELIMIT, "AgentHello.labels (at most 64)",
				   ret_field);
	return frames_entry(f, RMD_LABEL_MAX_BYTES, &pair,
			    "AgentHello.labels (texts of at most 128 bytes)", ret_field);
}

static int hello_field(const struct rmd_wire_field *f, struct rmd_agent_hello *hello,
		       struct hello_counts *counts, const char **ret_field)
{
	switch (f->number) {
	case 1:
		return frames_u32(f, &hello->protocol, "AgentHello.protocol", ret_field);
	case 2:
		return frames_text(f, RMD_AGENT_NAME_MAX_BYTES, &hello->name,
				   "AgentHello.name (at most 256 bytes)", ret_field);
	case 3:
		return frames_text(f, RMD_VERSION_MAX_BYTES, &hello->version,
				   "AgentHello.version (at most 256 bytes)", ret_field);
	case 5:
		return frames_u32(f, &hello->cpu_milli, "AgentHello.cpu_milli",
				  ret_field);
	case 6:
		return frames_u64(f, &hello->memory_bytes, "AgentHello.memory_bytes",
				  ret_field);
	case HELLO_RUNTIMES:
	case HELLO_LABELS:
		return hello_repeated(f, counts, ret_field);
	case 8:
		return frames_u32(f, &hello->pid, "AgentHello.pid", ret_field);
	case 9:
		return frames_u32(f, &hello->workers_max, "AgentHello.workers_max",
				  ret_field);
	default:
		return 0;
	}
}

static int hello_read(struct rmd_slice bytes, struct rmd_agent_hello *ret_hello,
		      const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	struct hello_counts counts = {0, 0};
	int rc;
	*ret_hello = (struct rmd_agent_hello){.raw = bytes};
	while ((rc = frames_next(&rest, &f)) > 0) {
		rc = hello_field(&f, ret_hello, &counts, ret_field);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "AgentHello", ret_field) : 0;
}

bool rmd_agent_hello_next_runtime(const struct rmd_agent_hello *hello, size_t *cursor,
				  struct rmd_slice *ret_runtime)
{
	return frames_next_of(hello->raw, HELLO_RUNTIMES, cursor, ret_runtime);
}

struct rmd_pairs rmd_agent_hello_labels(const struct rmd_agent_hello *hello)
{
	return (struct rmd_pairs){rmd_wire_reader_of(hello->raw), HELLO_LABELS};
}

void rmd_attach_request_put_hello(struct rmd_wire_writer *writer,
				  const struct rmd_agent_hello *hello,
				  const char *const *runtimes, size_t runtime_count,
				  struct rmd_pairs labels)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, RMD_ATTACH_REQUEST_HELLO);
	struct rmd_pair pair;
	rmd_wire_put_varint_nz(writer, 1, hello->protocol);
	rmd_wire_put_bytes_nz(writer, 2, hello->name);
	rmd_wire_put_bytes_nz(writer, 3, hello->version);
	for (size_t i = 0; i < runtime_count; i++)
		rmd_wire_put_bytes(writer, HELLO_RUNTIMES,
				   rmd_slice_of_string(runtimes[i]));
	rmd_wire_put_varint_nz(writer, 5, hello->cpu_milli);
	rmd_wire_put_varint_nz(writer, 6, hello->memory_bytes);
	while (rmd_pairs_next(&labels, &pair))
		rmd_pairs_put(writer, HELLO_LABELS, pair);
	rmd_wire_put_varint_nz(writer, 8, hello->pid);
	rmd_wire_put_varint_nz(writer, 9, hello->workers_max);
	rmd_wire_close(writer, nest);
}

/* ---- AgentPool ---- */

#define POOL_WORKERS 3u

static int worker_field(const struct rmd_wire_field *f, struct rmd_agent_worker *worker,
			const char **ret_field)
{
	uint64_t state = 0;
	int rc;
	switch (f->number) {
	case 1:
		return frames_u64(f, &worker->worker, "AgentWorker.worker", ret_field);
	case 2:
		return frames_u32(f, &worker->pid, "AgentWorker.pid", ret_field);
	case 3:
		rc = frames_u64(f, &state, "AgentWorker.state", ret_field);
		worker->state = state <= RMD_WORKER_STATE_WAITING
					? (enum rmd_worker_state)state
					: RMD_WORKER_STATE_UNSPECIFIED;
		return rc;
	case 4:
		return frames_u64(f, &worker->lease, "AgentWorker.lease", ret_field);
	case 5:
		return frames_u64(f, &worker->tasks_done, "AgentWorker.tasks_done",
				  ret_field);
	default:
		return 0;
	}
}

static int worker_read(struct rmd_slice bytes, struct rmd_agent_worker *ret_worker,
		       const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	*ret_worker = (struct rmd_agent_worker){.worker = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		rc = worker_field(&f, ret_worker, ret_field);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "AgentWorker", ret_field) : 0;
}

static int pool_field(const struct rmd_wire_field *f, struct rmd_agent_pool *pool,
		      const char **ret_field)
{
	struct rmd_agent_worker worker;
	switch (f->number) {
	case 1:
		return frames_u64(f, &pool->pool, "AgentPool.pool", ret_field);
	case 2:
		return frames_u32(f, &pool->slots, "AgentPool.slots", ret_field);
	case POOL_WORKERS:
		if (f->type != RMD_WIRE_LEN)
			return frames_fail(RMD_EPROTO, "AgentPool.workers", ret_field);
		return worker_read(f->bytes, &worker, ret_field);
	case 4:
		if (f->bytes.len > RMD_OUTCOME_INLINE_MAX_BYTES)
			return frames_fail(RMD_ETOOBIG,
					   "AgentPool.start_error (at most 4 MiB)",
					   ret_field);
		pool->start_failed = true;
		return frames_message(f, &pool->start_error, "AgentPool.start_error",
				      ret_field);
	case 5:
		return frames_u32(f, &pool->idle, "AgentPool.idle", ret_field);
	case 6:
		return frames_bool(f, &pool->broken, "AgentPool.broken", ret_field);
	default:
		return 0;
	}
}

static int pool_read(struct rmd_slice bytes, struct rmd_agent_pool *ret_pool,
		     const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	uint32_t workers = 0;
	int rc;
	*ret_pool = (struct rmd_agent_pool){.raw = bytes};
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == POOL_WORKERS && workers++ == RMD_AGENT_WORKERS_MAX)
			return frames_fail(RMD_ELIMIT,
					   "AgentPool.workers (at most 100,000)",
					   ret_field);
		rc = pool_field(&f, ret_pool, ret_field);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "AgentPool", ret_field) : 0;
}

bool rmd_agent_pool_next_worker(const struct rmd_agent_pool *pool, size_t *cursor,
				struct rmd_agent_worker *ret_worker)
{
	struct rmd_slice bytes;
	const char *field;
	return frames_next_of(pool->raw, POOL_WORKERS, cursor, &bytes) &&
	       worker_read(bytes, ret_worker, &field) == 0;
}

static void worker_put(struct rmd_wire_writer *writer,
		       const struct rmd_agent_worker *worker)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, POOL_WORKERS);
	rmd_wire_put_varint_nz(writer, 1, worker->worker);
	rmd_wire_put_varint_nz(writer, 2, worker->pid);
	rmd_wire_put_varint_nz(writer, 3, worker->state);
	rmd_wire_put_varint_nz(writer, 4, worker->lease);
	rmd_wire_put_varint_nz(writer, 5, worker->tasks_done);
	rmd_wire_close(writer, nest);
}

void rmd_attach_request_put_pool(struct rmd_wire_writer *writer,
				 const struct rmd_agent_pool *pool,
				 const struct rmd_agent_worker *workers,
				 size_t worker_count)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, RMD_ATTACH_REQUEST_POOL);
	rmd_wire_put_varint_nz(writer, 1, pool->pool);
	rmd_wire_put_varint_nz(writer, 2, pool->slots);
	for (size_t i = 0; i < worker_count; i++)
		worker_put(writer, &workers[i]);
	if (pool->start_failed)
		rmd_wire_put_bytes(writer, 4, pool->start_error);
	rmd_wire_put_varint_nz(writer, 5, pool->idle);
	rmd_wire_put_varint_nz(writer, 6, pool->broken);
	rmd_wire_close(writer, nest);
}

/* ---- LeaseOutcome, LeaseLog ---- */

static int cause_read(const struct rmd_wire_field *f, enum rmd_failure_cause *ret_cause,
		      const char **ret_field)
{
	static const char field[] = "LeaseOutcome.cause (0 to 5)";
	uint32_t number = 0;
	int rc = frames_u32(f, &number, field, ret_field);
	if (rc == 0 && number > RMD_FAILURE_RUN_DEADLINE)
		rc = frames_fail(RMD_ELIMIT, field, ret_field);
	if (rc == 0)
		*ret_cause = (enum rmd_failure_cause)number;
	return rc;
}

static int outcome_field(const struct rmd_wire_field *f,
			 struct rmd_lease_outcome *outcome, struct rmd_slice *bytes,
			 const char **ret_field)
{
	switch (f->number) {
	case 1:
		return frames_u64(f, &outcome->lease, "LeaseOutcome.lease", ret_field);
	case 2:
		return frames_message(f, bytes, "LeaseOutcome.outcome", ret_field);
	case 3:
		return frames_bool(f, &outcome->began, "LeaseOutcome.began", ret_field);
	case 4:
		return frames_u64(f, &outcome->worker, "LeaseOutcome.worker", ret_field);
	case 5:
		return frames_u64(f, &outcome->run_ns, "LeaseOutcome.run_ns", ret_field);
	case 6:
		return cause_read(f, &outcome->cause, ret_field);
	default:
		return 0;
	}
}

static int outcome_read(struct rmd_slice bytes, struct rmd_lease_outcome *ret_outcome,
			const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	struct rmd_slice inner = {NULL, 0};
	int rc;
	*ret_outcome = (struct rmd_lease_outcome){.lease = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		rc = outcome_field(&f, ret_outcome, &inner, ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "LeaseOutcome", ret_field);
	if (ret_outcome->lease == 0)
		return frames_fail(RMD_EPROTO, "LeaseOutcome.lease (from 1)", ret_field);
	return rmd_outcome_read(inner, &ret_outcome->outcome, ret_field);
}

void rmd_attach_request_put_outcome(struct rmd_wire_writer *writer,
				    const struct rmd_lease_outcome *outcome,
				    struct rmd_buf *buf)
{
	struct frames_outcome o = frames_outcome_of(&outcome->outcome, buf);
	size_t size = frames_size_number(outcome->lease) + frames_size_len(o.size) +
		      frames_size_number(outcome->began) +
		      frames_size_number(outcome->worker) +
		      frames_size_number(outcome->run_ns) +
		      frames_size_number(outcome->cause);
	size_t elsewhere = o.size - frames_outcome_in_block(&o);
	uint8_t *at = rmd_wire_reserve(writer, frames_size_len(size) - elsewhere);
	if (at == NULL)
		return;
	at = frames_store_len(at, RMD_ATTACH_REQUEST_OUTCOME, size);
	at = frames_store_number(at, 1, outcome->lease);
	at = frames_store_number(at, 3, outcome->began);
	at = frames_store_number(at, 4, outcome->worker);
	at = frames_store_number(at, 5, outcome->run_ns);
	at = frames_store_number(at, 6, outcome->cause);
	frames_store_outcome(frames_store_len(at, 2, o.size), &o);
	frames_splice_outcome(writer, &o);
}

static int log_read(struct rmd_slice bytes, struct rmd_lease_log *ret_log,
		    const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	struct rmd_slice log = {NULL, 0};
	int rc;
	*ret_log = (struct rmd_lease_log){.lease = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1)
			rc = frames_u64(&f, &ret_log->lease, "LeaseLog.lease", ret_field);
		else if (f.number == 2)
			rc = frames_u64(&f, &ret_log->worker, "LeaseLog.worker",
					ret_field);
		else if (f.number == 3)
			rc = frames_message(&f, &log, "LeaseLog.log", ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "LeaseLog", ret_field);
	return rmd_log_chunk_read(log, &ret_log->log, ret_field);
}

void rmd_attach_request_put_log(struct rmd_wire_writer *writer,
				const struct rmd_lease_log *log)
{
	size_t inner = frames_size_log(&log->log);
	size_t size = frames_size_number(log->lease) + frames_size_number(log->worker) +
		      frames_size_len(inner);
	uint8_t *at = rmd_wire_reserve(writer, frames_size_len(size));
	if (at == NULL)
		return;
	at = frames_store_len(at, RMD_ATTACH_REQUEST_LOG, size);
	at = frames_store_number(at, 1, log->lease);
	at = frames_store_number(at, 2, log->worker);
	frames_store_log(frames_store_len(at, 3, inner), &log->log);
}

/* ---- the message ---- */

static const char *numbers_field(uint32_t number)
{
	return number == BEGAN ? "AttachRequest.began" : "AttachRequest.returned";
}

static int digest_read(struct rmd_slice bytes, struct rmd_digest *ret_digest,
		       const char **ret_field)
{
	if (bytes.len != RMD_DIGEST_BYTES)
		return frames_fail(RMD_EPROTO, "AttachRequest.images_wanted (32 bytes)",
				   ret_field);
	memcpy(ret_digest->bytes, bytes.data, RMD_DIGEST_BYTES);
	return 0;
}

/* One field: 1: an item is in *item; 0: there is none in it. */
static int request_field(struct rmd_frame_reader *reader, const struct rmd_wire_field *f,
			 struct rmd_attach_request_item *item)
{
	bool draining;
	int rc;
	switch (f->number) {
	case RMD_ATTACH_REQUEST_HELLO:
		rc = hello_read(f->bytes, &item->hello, &reader->field);
		break;
	case RMD_ATTACH_REQUEST_CHUNK:
		rc = rmd_chunk_read(f->bytes, &item->chunk, &reader->field);
		break;
	case RMD_ATTACH_REQUEST_LOG:
		rc = log_read(f->bytes, &item->log, &reader->field);
		break;
	case RMD_ATTACH_REQUEST_OUTCOME:
		rc = outcome_read(f->bytes, &item->outcome, &reader->field);
		break;
	case RMD_ATTACH_REQUEST_BEGAN:
	case RMD_ATTACH_REQUEST_RETURNED:
		item->kind = (enum rmd_attach_request_kind)f->number;
		return frames_number(reader, f, &item->number, numbers_field(f->number));
	case RMD_ATTACH_REQUEST_POOL:
		rc = pool_read(f->bytes, &item->pool, &reader->field);
		break;
	case RMD_ATTACH_REQUEST_DRAINING:
		item->kind = RMD_ATTACH_REQUEST_DRAINING;
		rc = frames_bool(f, &draining, "AttachRequest.draining", &reader->field);
		return rc < 0 ? rc : draining;
	case RMD_ATTACH_REQUEST_NESTED:
		rc = rmd_nested_submit_read(f->bytes, &item->nested, &reader->field);
		break;
	case RMD_ATTACH_REQUEST_NESTED_CANCEL:
		rc = rmd_nested_cancel_read(f->bytes, &item->nested_cancel,
					    &reader->field);
		break;
	case RMD_ATTACH_REQUEST_WAIT:
		rc = rmd_lease_wait_read(f->bytes, &item->wait, &reader->field);
		break;
	case RMD_ATTACH_REQUEST_PROGRESS:
		rc = rmd_lease_progress_read(f->bytes, &item->progress, &reader->field);
		break;
	case RMD_ATTACH_REQUEST_IMAGE_WANTED:
		rc = digest_read(f->bytes, &item->digest, &reader->field);
		break;
	default:
		return 0;
	}
	if (f->type != RMD_WIRE_LEN)
		return frames_fail(RMD_EPROTO, "AttachRequest", &reader->field);
	item->kind = (enum rmd_attach_request_kind)f->number;
	return rc < 0 ? rc : 1;
}

int rmd_attach_request_next(struct rmd_frame_reader *reader,
			    struct rmd_attach_request_item *ret_item)
{
	if (frames_packed_left(reader)) {
		ret_item->kind = (enum rmd_attach_request_kind)reader->packed_field;
		return frames_packed_next(reader, &ret_item->number,
					  numbers_field(reader->packed_field));
	}
	struct rmd_wire_field f;
	int rc;
	while ((rc = frames_next(&reader->rest, &f)) > 0) {
		rc = request_field(reader, &f, ret_item);
		if (rc != 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "AttachRequest", &reader->field) : 0;
}

void rmd_attach_request_put_began(struct rmd_wire_writer *writer, const uint64_t *leases,
				  size_t count)
{
	frames_put_packed(writer, RMD_ATTACH_REQUEST_BEGAN, leases, count);
}

void rmd_attach_request_put_returned(struct rmd_wire_writer *writer,
				     const uint64_t *leases, size_t count)
{
	frames_put_packed(writer, RMD_ATTACH_REQUEST_RETURNED, leases, count);
}

void rmd_attach_request_put_draining(struct rmd_wire_writer *writer)
{
	rmd_wire_put_varint(writer, RMD_ATTACH_REQUEST_DRAINING, 1);
}

void rmd_attach_request_put_image_wanted(struct rmd_wire_writer *writer,
					 const struct rmd_digest *digest)
{
	rmd_wire_put_bytes(writer, RMD_ATTACH_REQUEST_IMAGE_WANTED,
			   rmd_slice_of(digest->bytes, RMD_DIGEST_BYTES));
}
