#include "proto/base/check.h"
#include "proto/codec/frames_agent.h"
#include "proto/codec/frames_wire.h"

/* ---- reading ---- */

static int welcome_read(struct rmd_slice bytes, struct rmd_agent_welcome *w,
			const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	*w = (struct rmd_agent_welcome){.protocol = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1)
			rc = frames_u32(&f, &w->protocol, "AgentWelcome.protocol",
					ret_field);
		else if (f.number == 2)
			rc = frames_u64(&f, &w->epoch, "AgentWelcome.epoch", ret_field);
		else if (f.number == 3)
			rc = frames_u64(&f, &w->agent, "AgentWelcome.agent", ret_field);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "AgentWelcome", ret_field) : 0;
}

static int set_pool_field(const struct rmd_wire_field *f, struct rmd_set_pool *set_pool,
			  const char **ret_field)
{
	switch (f->number) {
	case 1:
		return frames_u64(f, &set_pool->pool, "SetPool.pool", ret_field);
	case 2:
		set_pool->has_spec = true;
		return frames_message(f, &set_pool->raw_spec, "SetPool.spec", ret_field);
	case 3:
		return frames_u32(f, &set_pool->workers, "SetPool.workers", ret_field);
	case 4:
		return frames_bool(f, &set_pool->closed, "SetPool.closed", ret_field);
	case 5:
		return frames_bool(f, &set_pool->kill, "SetPool.kill", ret_field);
	default:
		return 0;
	}
}

static int set_pool_read(struct rmd_slice bytes, struct rmd_set_pool *ret_set_pool,
			 const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	*ret_set_pool = (struct rmd_set_pool){.pool = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		rc = set_pool_field(&f, ret_set_pool, ret_field);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "SetPool", ret_field) : 0;
}

static int lease_field(const struct rmd_wire_field *f, struct rmd_lease_grant *lease,
		       const char **ret_field)
{
	switch (f->number) {
	case 1:
		return frames_u64(f, &lease->lease, "Lease.lease", ret_field);
	case 2:
		return frames_u64(f, &lease->pool, "Lease.pool", ret_field);
	case 3:
		return frames_text(f, RMD_FUNCTION_MAX_BYTES, &lease->function,
				   "Lease.function (at most 512 bytes)", ret_field);
	case 4:
		if (f->bytes.len > RMD_LEASE_ARGUMENTS_MAX_BYTES)
			return frames_fail(RMD_ETOOBIG,
					   "Lease.arguments (at most 4 MiB inline)",
					   ret_field);
		return frames_message(f, &lease->arguments, "Lease.arguments", ret_field);
	case 5:
		return frames_u64(f, &lease->arguments_transfer,
				  "Lease.arguments_transfer", ret_field);
	case 6:
		return frames_u32(f, &lease->attempt, "Lease.attempt", ret_field);
	case 7:
		return frames_u64(f, &lease->deadline_ms, "Lease.deadline_ms", ret_field);
	case 8:
		return frames_bool(f, &lease->stream_logs, "Lease.stream_logs",
				   ret_field);
	case 9:
		return frames_u32(f, &lease->depth, "Lease.depth", ret_field);
	default:
		return 0;
	}
}

static int lease_read(struct rmd_slice bytes, struct rmd_lease_grant *ret_lease,
		      const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	*ret_lease = (struct rmd_lease_grant){.lease = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		rc = lease_field(&f, ret_lease, ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "Lease", ret_field);
	if (ret_lease->lease == 0)
		return frames_fail(RMD_EPROTO, "Lease.lease (from 1)", ret_field);
	if (ret_lease->attempt == 0)
		return frames_fail(RMD_EPROTO, "Lease.attempt (from 1)", ret_field);
	if (ret_lease->deadline_ms > RMD_DEADLINE_MAX_MS)
		return frames_fail(RMD_ELIMIT, "Lease.deadline_ms (at most 10 years)",
				   ret_field);
	if (ret_lease->arguments.len != 0 && ret_lease->arguments_transfer != 0)
		return frames_fail(RMD_EPROTO, "Lease.arguments_transfer (and arguments)",
				   ret_field);
	return 0;
}

static int recall_read(struct rmd_slice bytes, struct rmd_recall *ret_recall,
		       const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	*ret_recall = (struct rmd_recall){.pool = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1)
			rc = frames_u64(&f, &ret_recall->pool, "Recall.pool", ret_field);
		else if (f.number == 2)
			rc = frames_u32(&f, &ret_recall->leases, "Recall.leases",
					ret_field);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "Recall", ret_field) : 0;
}

static int module_read(struct rmd_slice bytes, struct rmd_module_image *ret_module,
		       const char **ret_field)
{
	static const char digest_field[] = "ModuleImage.digest (32 bytes)";
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	struct rmd_slice digest = {NULL, 0};
	int rc;
	*ret_module = (struct rmd_module_image){.transfer = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1)
			rc = frames_bytes(&f, RMD_DIGEST_BYTES, &digest, digest_field,
					  ret_field);
		else if (f.number == 2)
			rc = frames_u64(&f, &ret_module->transfer, "ModuleImage.transfer",
					ret_field);
		else if (f.number == 3)
			rc = frames_text(&f, RMD_MODULE_NAME_MAX_BYTES, &ret_module->name,
					 "ModuleImage.name (at most 256 bytes)",
					 ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "ModuleImage", ret_field);
	if (digest.len != RMD_DIGEST_BYTES)
		return frames_fail(RMD_EPROTO, digest_field, ret_field);
	memcpy(ret_module->digest.bytes, digest.data, RMD_DIGEST_BYTES);
	return 0;
}

/* One field: 1: an item is in *item; 0: there is none in it. */
static int response_field(struct rmd_frame_reader *reader, const struct rmd_wire_field *f,
			  struct rmd_attach_response_item *item)
{
	bool drain;
	int rc;
	switch (f->number) {
	case RMD_ATTACH_RESPONSE_WELCOME:
		rc = welcome_read(f->bytes, &item->welcome, &reader->field);
		break;
	case RMD_ATTACH_RESPONSE_CHUNK:
		rc = rmd_chunk_read(f->bytes, &item->chunk, &reader->field);
		break;
	case RMD_ATTACH_RESPONSE_SET_POOL:
		rc = set_pool_read(f->bytes, &item->set_pool, &reader->field);
		break;
	case RMD_ATTACH_RESPONSE_LEASE:
		rc = lease_read(f->bytes, &item->lease, &reader->field);
		break;
	case RMD_ATTACH_RESPONSE_CANCEL:
		item->kind = RMD_ATTACH_RESPONSE_CANCEL;
		return frames_number(reader, f, &item->number, "AttachResponse.cancels");
	case RMD_ATTACH_RESPONSE_RECALL:
		rc = recall_read(f->bytes, &item->recall, &reader->field);
		break;
	case RMD_ATTACH_RESPONSE_DRAIN:
		item->kind = RMD_ATTACH_RESPONSE_DRAIN;
		rc = frames_bool(f, &drain, "AttachResponse.drain", &reader->field);
		return rc < 0 ? rc : drain;
	case RMD_ATTACH_RESPONSE_MODULE:
		rc = module_read(f->bytes, &item->module, &reader->field);
		break;
	case RMD_ATTACH_RESPONSE_NESTED:
		rc = rmd_nested_outcome_read(f->bytes, &item->nested, &reader->field);
		break;
	default:
		return 0;
	}
	if (f->type != RMD_WIRE_LEN)
		return frames_fail(RMD_EPROTO, "AttachResponse", &reader->field);
	item->kind = (enum rmd_attach_response_kind)f->number;
	return rc < 0 ? rc : 1;
}

int rmd_attach_response_next(struct rmd_frame_reader *reader,
			     struct rmd_attach_response_item *ret_item)
{
	if (frames_packed_left(reader)) {
		ret_item->kind = RMD_ATTACH_RESPONSE_CANCEL;
		return frames_packed_next(reader, &ret_item->number,
					  "AttachResponse.cancels");
	}
	struct rmd_wire_field f;
	int rc;
	while ((rc = frames_next(&reader->rest, &f)) > 0) {
		rc = response_field(reader, &f, ret_item);
		if (rc != 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "AttachResponse", &reader->field) : 0;
}

/* ---- writing ---- */

void rmd_attach_response_put_welcome(struct rmd_wire_writer *writer,
				     const struct rmd_agent_welcome *welcome)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, RMD_ATTACH_RESPONSE_WELCOME);
	rmd_wire_put_varint_nz(writer, 1, welcome->protocol);
	rmd_wire_put_varint_nz(writer, 2, welcome->epoch);
	rmd_wire_put_varint_nz(writer, 3, welcome->agent);
	rmd_wire_close(writer, nest);
}

void rmd_attach_response_put_set_pool(struct rmd_wire_writer *writer,
				      const struct rmd_set_pool *set_pool)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, RMD_ATTACH_RESPONSE_SET_POOL);
	rmd_wire_put_varint_nz(writer, 1, set_pool->pool);
	if (set_pool->has_spec)
		rmd_wire_put_bytes(writer, 2, set_pool->raw_spec);
	rmd_wire_put_varint_nz(writer, 3, set_pool->workers);
	rmd_wire_put_varint_nz(writer, 4, set_pool->closed);
	rmd_wire_put_varint_nz(writer, 5, set_pool->kill);
	rmd_wire_close(writer, nest);
}

void rmd_attach_response_put_lease(struct rmd_wire_writer *writer,
				   const struct rmd_lease_grant *lease,
				   struct rmd_buf *buf)
{
	bool spliced = frames_spliced(lease->arguments, buf);
	size_t arguments = frames_size_bytes(lease->arguments);
	size_t size = frames_size_number(lease->lease) + frames_size_number(lease->pool) +
		      frames_size_bytes(lease->function) + arguments +
		      frames_size_number(lease->arguments_transfer) +
		      frames_size_number(lease->attempt) +
		      frames_size_number(lease->deadline_ms) +
		      frames_size_number(lease->stream_logs) +
		      frames_size_number(lease->depth);
	uint8_t *at = rmd_wire_reserve(writer,
				       frames_size_len(size) - (spliced ? arguments : 0));
	if (at == NULL)
		return;
	at = frames_store_len(at, RMD_ATTACH_RESPONSE_LEASE, size);
	at = frames_store_number(at, 1, lease->lease);
	at = frames_store_number(at, 2, lease->pool);
	at = frames_store_bytes(at, 3, lease->function);
	at = frames_store_number(at, 5, lease->arguments_transfer);
	at = frames_store_number(at, 6, lease->attempt);
	at = frames_store_number(at, 7, lease->deadline_ms);
	at = frames_store_number(at, 8, lease->stream_logs);
	at = frames_store_number(at, 9, lease->depth);
	if (spliced)
		rmd_wire_put_piece(writer, 4, (struct rmd_piece){lease->arguments, buf});
	else
		frames_store_bytes(at, 4, lease->arguments);
}

void rmd_attach_response_put_cancels(struct rmd_wire_writer *writer,
				     const uint64_t *leases, size_t count)
{
	frames_put_packed(writer, RMD_ATTACH_RESPONSE_CANCEL, leases, count);
}

void rmd_attach_response_put_recall(struct rmd_wire_writer *writer,
				    const struct rmd_recall *recall)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, RMD_ATTACH_RESPONSE_RECALL);
	rmd_wire_put_varint_nz(writer, 1, recall->pool);
	rmd_wire_put_varint_nz(writer, 2, recall->leases);
	rmd_wire_close(writer, nest);
}

void rmd_attach_response_put_drain(struct rmd_wire_writer *writer)
{
	rmd_wire_put_varint(writer, RMD_ATTACH_RESPONSE_DRAIN, 1);
}

void rmd_attach_response_put_module(struct rmd_wire_writer *writer,
				    const struct rmd_module_image *module)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, RMD_ATTACH_RESPONSE_MODULE);
	rmd_wire_put_bytes(writer, 1,
			   rmd_slice_of(module->digest.bytes, RMD_DIGEST_BYTES));
	rmd_wire_put_varint_nz(writer, 2, module->transfer);
	rmd_wire_put_bytes_nz(writer, 3, module->name);
	rmd_wire_close(writer, nest);
}
