#include "proto/codec/frames_agent.h"
#include "proto/codec/frames_wire.h"

/* ---- NestedSubmit ---- */

static int submit_field(const struct rmd_wire_field *f, struct rmd_nested_submit *submit,
			uint64_t arguments_max, const char **ret_field)
{
	switch (f->number) {
	case 1:
		return frames_u64(f, &submit->lease, "NestedSubmit.lease", ret_field);
	case 2:
		return frames_u64(f, &submit->number, "NestedSubmit.number", ret_field);
	case 3:
		return frames_text(f, RMD_FUNCTION_MAX_BYTES, &submit->function,
				   "NestedSubmit.function (at most 512 bytes)",
				   ret_field);
	case 4:
		if (f->bytes.len > arguments_max)
			return frames_fail(RMD_ETOOBIG,
					   "NestedSubmit.arguments (at most 4 MiB "
					   "inline)",
					   ret_field);
		return frames_message(f, &submit->arguments, "NestedSubmit.arguments",
				      ret_field);
	case 5:
		return frames_u64(f, &submit->arguments_transfer,
				  "NestedSubmit.arguments_transfer", ret_field);
	case 6:
		return frames_text(f, RMD_NESTED_POOL_MAX_BYTES, &submit->pool,
				   "NestedSubmit.pool (at most 128 bytes)", ret_field);
	case 7:
		return frames_u64(f, &submit->deadline_ms, "NestedSubmit.deadline_ms",
				  ret_field);
	case 8:
		return frames_u32(f, &submit->max_attempts, "NestedSubmit.max_attempts",
				  ret_field);
	default:
		return 0;
	}
}

static int submit_read(struct rmd_slice bytes, uint64_t arguments_max,
		       struct rmd_nested_submit *ret_submit, const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	*ret_submit = (struct rmd_nested_submit){.lease = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		rc = submit_field(&f, ret_submit, arguments_max, ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "NestedSubmit", ret_field);
	if (ret_submit->number == 0)
		return frames_fail(RMD_EPROTO, "NestedSubmit.number (from 1)", ret_field);
	if (ret_submit->deadline_ms > RMD_DEADLINE_MAX_MS)
		return frames_fail(RMD_ELIMIT,
				   "NestedSubmit.deadline_ms (at most 10 years)",
				   ret_field);
	if (ret_submit->max_attempts > RMD_ATTEMPTS_MAX)
		return frames_fail(RMD_ELIMIT, "NestedSubmit.max_attempts (at most 100)",
				   ret_field);
	if (ret_submit->arguments.len != 0 && ret_submit->arguments_transfer != 0)
		return frames_fail(RMD_EPROTO,
				   "NestedSubmit.arguments_transfer (and arguments)",
				   ret_field);
	return 0;
}

int rmd_nested_submit_read(struct rmd_slice bytes, struct rmd_nested_submit *ret_submit,
			   const char **ret_field)
{
	int rc =
		submit_read(bytes, RMD_NESTED_ARGUMENTS_MAX_BYTES, ret_submit, ret_field);
	if (rc == 0 && ret_submit->lease == 0)
		return frames_fail(RMD_EPROTO, "NestedSubmit.lease (from 1)", ret_field);
	return rc;
}

int rmd_worker_submit_read(struct rmd_slice bytes, struct rmd_nested_submit *ret_submit,
			   const char **ret_field)
{
	int rc = submit_read(bytes, RMD_TRANSFER_MAX_BYTES, ret_submit, ret_field);
	if (rc == 0 && (ret_submit->lease != 0 || ret_submit->arguments_transfer != 0))
		return frames_fail(RMD_EPROTO, "NestedSubmit of a worker", ret_field);
	return rc;
}

size_t rmd_worker_submit_bytes(const struct rmd_nested_submit *submit)
{
	return frames_size_number(submit->lease) + frames_size_number(submit->number) +
	       frames_size_bytes(submit->function) +
	       frames_size_bytes(submit->arguments) +
	       frames_size_number(submit->arguments_transfer) +
	       frames_size_bytes(submit->pool) + frames_size_number(submit->deadline_ms) +
	       frames_size_number(submit->max_attempts);
}

/* Stores all but the arguments. */
static uint8_t *store_submit(uint8_t *at, const struct rmd_nested_submit *submit)
{
	at = frames_store_number(at, 1, submit->lease);
	at = frames_store_number(at, 2, submit->number);
	at = frames_store_bytes(at, 3, submit->function);
	at = frames_store_number(at, 5, submit->arguments_transfer);
	at = frames_store_bytes(at, 6, submit->pool);
	at = frames_store_number(at, 7, submit->deadline_ms);
	return frames_store_number(at, 8, submit->max_attempts);
}

void rmd_worker_submit_put(struct rmd_wire_writer *writer,
			   const struct rmd_nested_submit *submit)
{
	uint8_t *at = rmd_wire_reserve(writer, rmd_worker_submit_bytes(submit));
	if (at != NULL)
		frames_store_bytes(store_submit(at, submit), 4, submit->arguments);
}

void rmd_attach_request_put_nested(struct rmd_wire_writer *writer,
				   const struct rmd_nested_submit *submit,
				   struct rmd_buf *buf)
{
	bool spliced = frames_spliced(submit->arguments, buf);
	size_t arguments = frames_size_bytes(submit->arguments);
	size_t size = rmd_worker_submit_bytes(submit);
	uint8_t *at = rmd_wire_reserve(writer,
				       frames_size_len(size) - (spliced ? arguments : 0));
	if (at == NULL)
		return;
	at = frames_store_len(at, RMD_ATTACH_REQUEST_NESTED, size);
	at = store_submit(at, submit);
	if (spliced)
		rmd_wire_put_piece(writer, 4, (struct rmd_piece){submit->arguments, buf});
	else
		frames_store_bytes(at, 4, submit->arguments);
}

/* ---- NestedCancel, LeaseWait, LeaseProgress ---- */

int rmd_nested_cancel_read(struct rmd_slice bytes, struct rmd_nested_cancel *ret_cancel,
			   const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	*ret_cancel = (struct rmd_nested_cancel){.lease = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1)
			rc = frames_u64(&f, &ret_cancel->lease, "NestedCancel.lease",
					ret_field);
		else if (f.number == 2)
			rc = frames_u64(&f, &ret_cancel->number, "NestedCancel.number",
					ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "NestedCancel", ret_field);
	if (ret_cancel->lease == 0 || ret_cancel->number == 0)
		return frames_fail(RMD_EPROTO, "NestedCancel (lease and number from 1)",
				   ret_field);
	return 0;
}

void rmd_attach_request_put_nested_cancel(struct rmd_wire_writer *writer,
					  const struct rmd_nested_cancel *cancel)
{
	struct rmd_wire_nest nest =
		rmd_wire_open(writer, RMD_ATTACH_REQUEST_NESTED_CANCEL);
	rmd_wire_put_varint_nz(writer, 1, cancel->lease);
	rmd_wire_put_varint_nz(writer, 2, cancel->number);
	rmd_wire_close(writer, nest);
}

int rmd_lease_wait_read(struct rmd_slice bytes, struct rmd_lease_wait *ret_wait,
			const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	*ret_wait = (struct rmd_lease_wait){.lease = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1)
			rc = frames_u64(&f, &ret_wait->lease, "LeaseWait.lease",
					ret_field);
		else if (f.number == 2)
			rc = frames_bool(&f, &ret_wait->waiting, "LeaseWait.waiting",
					 ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "LeaseWait", ret_field);
	if (ret_wait->lease == 0)
		return frames_fail(RMD_EPROTO, "LeaseWait.lease (from 1)", ret_field);
	return 0;
}

void rmd_attach_request_put_wait(struct rmd_wire_writer *writer,
				 const struct rmd_lease_wait *wait)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, RMD_ATTACH_REQUEST_WAIT);
	rmd_wire_put_varint_nz(writer, 1, wait->lease);
	rmd_wire_put_varint_nz(writer, 2, wait->waiting);
	rmd_wire_close(writer, nest);
}

int rmd_lease_progress_read(struct rmd_slice bytes,
			    struct rmd_lease_progress *ret_progress,
			    const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	*ret_progress = (struct rmd_lease_progress){.lease = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1)
			rc = frames_u64(&f, &ret_progress->lease, "LeaseProgress.lease",
					ret_field);
		else if (f.number == 2)
			rc = frames_u64(&f, &ret_progress->done, "LeaseProgress.done",
					ret_field);
		else if (f.number == 3)
			rc = frames_u64(&f, &ret_progress->total, "LeaseProgress.total",
					ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "LeaseProgress", ret_field);
	if (ret_progress->lease == 0)
		return frames_fail(RMD_EPROTO, "LeaseProgress.lease (from 1)", ret_field);
	return 0;
}

void rmd_attach_request_put_progress(struct rmd_wire_writer *writer,
				     const struct rmd_lease_progress *progress)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, RMD_ATTACH_REQUEST_PROGRESS);
	rmd_wire_put_varint_nz(writer, 1, progress->lease);
	rmd_wire_put_varint_nz(writer, 2, progress->done);
	rmd_wire_put_varint_nz(writer, 3, progress->total);
	rmd_wire_close(writer, nest);
}

/* ---- NestedOutcome ---- */

int rmd_nested_outcome_read(struct rmd_slice bytes,
			    struct rmd_nested_outcome *ret_outcome,
			    const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	struct rmd_slice inner = {NULL, 0};
	int rc;
	*ret_outcome = (struct rmd_nested_outcome){.lease = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == 1)
			rc = frames_u64(&f, &ret_outcome->lease, "NestedOutcome.lease",
					ret_field);
		else if (f.number == 2)
			rc = frames_u64(&f, &ret_outcome->number, "NestedOutcome.number",
					ret_field);
		else if (f.number == 3)
			rc = frames_message(&f, &inner, "NestedOutcome.outcome",
					    ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "NestedOutcome", ret_field);
	if (ret_outcome->lease == 0 || ret_outcome->number == 0)
		return frames_fail(RMD_EPROTO, "NestedOutcome (lease and number from 1)",
				   ret_field);
	return rmd_outcome_read(inner, &ret_outcome->outcome, ret_field);
}

void rmd_attach_response_put_nested(struct rmd_wire_writer *writer,
				    const struct rmd_nested_outcome *outcome,
				    struct rmd_buf *buf)
{
	struct frames_outcome o = frames_outcome_of(&outcome->outcome, buf);
	size_t size = frames_size_number(outcome->lease) +
		      frames_size_number(outcome->number) + frames_size_len(o.size);
	size_t elsewhere = o.size - frames_outcome_in_block(&o);
	uint8_t *at = rmd_wire_reserve(writer, frames_size_len(size) - elsewhere);
	if (at == NULL)
		return;
	at = frames_store_len(at, RMD_ATTACH_RESPONSE_NESTED, size);
	at = frames_store_number(at, 1, outcome->lease);
	at = frames_store_number(at, 2, outcome->number);
	frames_store_outcome(frames_store_len(at, 3, o.size), &o);
	frames_splice_outcome(writer, &o);
}
