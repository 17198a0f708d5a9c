#include "proto/base/check.h"
#include "proto/codec/frames.h"
#include "proto/codec/frames_wire.h"

/* TaskOptions while it is read. */
struct options_reading {
	struct rmd_task_options options;
	struct rmd_slice deadline, queue, run; /* data NULL: none yet */
	uint32_t labels;
};

/* A deadline, rounded up: it is never earlier than asked for. */
static int deadline_read(const struct rmd_wire_field *f, struct rmd_slice *raw,
			 uint64_t *ret_ms, const char *field, const char **ret_field)
{
	int rc = frames_message(f, raw, field, ret_field);
	return rc < 0 ? rc
		      : frames_duration_read(f->bytes, RMD_DEADLINE_MAX_MS, ret_ms, field,
					     ret_field);
}

static int retry_read(const struct rmd_wire_field *f, struct rmd_slice *raw,
		      const char **ret_field)
{
	struct rmd_retry_rule rule;
	int rc = frames_message(f, raw, "TaskOptions.retry", ret_field);
	return rc < 0 ? rc : rmd_retry_rule_read(*raw, &rule, ret_field);
}

/* Reads an int32 from -1000 to 1000; on the wire a negative one is a 64-bit two's
 * complement. */
static int priority_read(const struct rmd_wire_field *f, int32_t *ret_priority,
			 const char **ret_field)
{
	static const char field[] = "TaskOptions.priority (-1000 to 1000)";
	if (f->type != RMD_WIRE_VARINT)
		return frames_fail(RMD_EPROTO, field, ret_field);
	if (f->varint + RMD_PRIORITY_MAX > 2 * RMD_PRIORITY_MAX)
		return frames_fail(RMD_ELIMIT, field, ret_field);
	*ret_priority = (int32_t)(f->varint + RMD_PRIORITY_MAX) - RMD_PRIORITY_MAX;
	return 0;
}

static int label_check(const struct rmd_wire_field *f, struct options_reading *o,
		       const char **ret_field)
{
	struct rmd_pair pair;
	if (o->labels == RMD_TASK_LABELS_MAX)
		return frames_fail(RMD_ELIMIT, "TaskOptions.labels (at most 16)",
				   ret_field);
	o->labels++;
	return frames_entry(f, RMD_LABEL_MAX_BYTES, &pair,
			    "TaskOptions.labels (texts of at most 128 bytes)", ret_field);
}

static int options_field(const struct rmd_wire_field *f, struct options_reading *o,
			 const char **ret_field)
{
	int rc;
	switch (f->number) {
	case 1:
		return priority_read(f, &o->options.priority, ret_field);
	case 2:
		return deadline_read(f, &o->deadline, &o->options.deadline_ms,
				     "TaskOptions.deadline (0 to 10 years)", ret_field);
	case 3:
		rc = frames_u32(f, &o->options.max_attempts, "TaskOptions.max_attempts",
				ret_field);
		if (rc == 0 && o->options.max_attempts > RMD_ATTEMPTS_MAX)
			return frames_fail(RMD_ELIMIT,
					   "TaskOptions.max_attempts (at most 100)",
					   ret_field);
		return rc;
	case 4:
		return frames_bool(f, &o->options.stream_logs, "TaskOptions.stream_logs",
				   ret_field);
	case RMD_TASK_OPTIONS_LABELS:
		return label_check(f, o, ret_field);
	case 6:
		return deadline_read(f, &o->queue, &o->options.queue_deadline_ms,
				     "TaskOptions.queue_deadline (0 to 10 years)",
				     ret_field);
	case 7:
		return deadline_read(f, &o->run, &o->options.run_deadline_ms,
				     "TaskOptions.run_deadline (0 to 10 years)",
				     ret_field);
	case 8:
		return retry_read(f, &o->options.raw_retry, ret_field);
	case 9:
		return frames_bool(f, &o->options.detached, "TaskOptions.detached",
				   ret_field);
	default:
		return 0;
	}
}

int rmd_task_options_read(struct rmd_slice bytes, struct rmd_task_options *ret_options,
			  const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	struct options_reading o = {.labels = 0};
	int rc;
	while ((rc = frames_next(&rest, &f)) > 0) {
		rc = options_field(&f, &o, ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "TaskOptions", ret_field);
	if (o.labels != 0)
		o.options.raw_labels = bytes;
	*ret_options = o.options;
	return 0;
}

struct rmd_pairs rmd_task_labels(const struct rmd_task_options *options)
{
	return (struct rmd_pairs){rmd_wire_reader_of(options->raw_labels),
				  RMD_TASK_OPTIONS_LABELS};
}

/* Size of the label fields, stored too where `*at` is not NULL. */
static size_t labels_store(uint8_t **at, const struct rmd_task_options *options)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(options->raw_labels);
	struct rmd_wire_field f;
	size_t size = 0;
	while (frames_next(&rest, &f) > 0) {
		if (f.number != RMD_TASK_OPTIONS_LABELS || f.type != RMD_WIRE_LEN)
			continue;
		size += frames_size_len(f.bytes.len);
		if (*at != NULL)
			*at = frames_store_bytes_always(*at, f.number, f.bytes);
	}
	return size;
}

size_t frames_size_options(const struct rmd_task_options *options)
{
	size_t size = frames_size_number((uint64_t)(int64_t)options->priority) +
		      frames_size_number(options->max_attempts) +
		      frames_size_number(options->stream_logs) +
		      frames_size_number(options->detached) +
		      frames_size_duration(options->deadline_ms) +
		      frames_size_duration(options->queue_deadline_ms) +
		      frames_size_duration(options->run_deadline_ms);
	if (options->raw_retry.data != NULL)
		size += frames_size_len(options->raw_retry.len);
	if (options->raw_labels.len != 0)
		size += labels_store(&(uint8_t *){NULL}, options);
	return size;
}

uint8_t *frames_store_options(uint8_t *at, const struct rmd_task_options *options)
{
	at = frames_store_number(at, 1, (uint64_t)(int64_t)options->priority);
	at = frames_store_duration(at, 2, options->deadline_ms);
	at = frames_store_number(at, 3, options->max_attempts);
	at = frames_store_number(at, 4, options->stream_logs);
	if (options->raw_labels.len != 0)
		labels_store(&at, options);
	at = frames_store_duration(at, 6, options->queue_deadline_ms);
	at = frames_store_duration(at, 7, options->run_deadline_ms);
	if (options->raw_retry.data != NULL)
		at = frames_store_bytes_always(at, 8, options->raw_retry);
	return frames_store_number(at, 9, options->detached);
}

void rmd_task_options_put(struct rmd_wire_writer *writer, uint32_t field,
			  const struct rmd_task_options *options)
{
	size_t size = frames_size_options(options);
	if (size == 0)
		return;
	uint8_t *at = rmd_wire_reserve(writer, frames_size_len(size));
	if (at != NULL)
		frames_store_options(frames_store_len(at, field, size), options);
}

/* ---- SegmentRef ---- */

static int segment_field(const struct rmd_wire_field *f, struct rmd_segment_ref *ref,
			 const char **ret_field)
{
	switch (f->number) {
	case 1:
		return frames_u64(f, &ref->offset, "SegmentRef.offset", ret_field);
	case 2:
		return frames_u64(f, &ref->length, "SegmentRef.length", ret_field);
	case 3:
		return frames_u32(f, &ref->place, "SegmentRef.place", ret_field);
	case 4:
		return frames_u32(f, &ref->mark, "SegmentRef.mark", ret_field);
	default:
		return 0;
	}
}

int rmd_segment_ref_read(struct rmd_slice bytes, struct rmd_segment_ref *ret_ref,
			 const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	struct rmd_segment_ref ref = {.length = 0};
	int rc;
	while ((rc = frames_next(&rest, &f)) > 0) {
		rc = segment_field(&f, &ref, ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "SegmentRef", ret_field);
	if (ref.length == 0 || ref.mark == 0)
		return frames_fail(RMD_EPROTO, "SegmentRef (length and mark from 1)",
				   ret_field);
	if (ref.length > RMD_TRANSFER_MAX_BYTES)
		return frames_fail(RMD_ELIMIT, "SegmentRef.length (at most 1 GiB)",
				   ret_field);
	*ret_ref = ref;
	return 0;
}

size_t frames_size_segment(const struct rmd_segment_ref *ref)
{
	return frames_size_number(ref->offset) + frames_size_number(ref->length) +
	       frames_size_number(ref->place) + frames_size_number(ref->mark);
}

uint8_t *frames_store_segment(uint8_t *at, const struct rmd_segment_ref *ref)
{
	at = frames_store_number(at, 1, ref->offset);
	at = frames_store_number(at, 2, ref->length);
	at = frames_store_number(at, 3, ref->place);
	return frames_store_number(at, 4, ref->mark);
}

/* ---- TaskSpec ---- */

/* TaskSpec while it is read: data NULL: not yet met. */
struct spec_reading {
	struct rmd_task_spec *spec;
	struct rmd_slice arguments, options, segment;
};

static int spec_field(const struct rmd_wire_field *f, struct spec_reading *s,
		      const char **ret_field)
{
	int rc;
	switch (f->number) {
	case 1:
		return frames_text(f, RMD_FUNCTION_MAX_BYTES, &s->spec->function,
				   "TaskSpec.function (at most 512 bytes)", ret_field);
	case 2:
		rc = frames_message(f, &s->arguments, "TaskSpec.arguments", ret_field);
		if (rc == 0 && f->bytes.len > RMD_ARGUMENTS_INLINE_MAX_BYTES)
			return frames_fail(RMD_ETOOBIG,
					   "TaskSpec.arguments (at most 1 MiB inline)",
					   ret_field);
		return rc;
	case 3:
		return frames_u64(f, &s->spec->arguments_transfer,
				  "TaskSpec.arguments_transfer", ret_field);
	case 4:
		return frames_u64(f, &s->spec->pool, "TaskSpec.pool", ret_field);
	case 5:
		rc = frames_message(f, &s->options, "TaskSpec.options", ret_field);
		return rc < 0 ? rc
			      : rmd_task_options_read(f->bytes, &s->spec->options,
						      ret_field);
	case 6:
		rc = frames_message(f, &s->segment, "TaskSpec.arguments_segment",
				    ret_field);
		return rc < 0 ? rc
			      : rmd_segment_ref_read(f->bytes, &s->spec->segment,
						     ret_field);
	default:
		return 0;
	}
}

int rmd_task_spec_read(struct rmd_slice bytes, struct rmd_task_spec *ret_spec,
		       const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	struct spec_reading s = {.spec = ret_spec};
	int rc;
	*ret_spec = (struct rmd_task_spec){.pool = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		rc = spec_field(&f, &s, ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "TaskSpec", ret_field);
	if (s.arguments.len != 0 && ret_spec->arguments_transfer != 0)
		return frames_fail(RMD_EPROTO,
				   "TaskSpec.arguments_transfer (and arguments)",
				   ret_field);
	if (s.segment.data != NULL &&
	    (s.arguments.len != 0 || ret_spec->arguments_transfer != 0))
		return frames_fail(RMD_EPROTO,
				   "TaskSpec.arguments_segment (and arguments, or a transfer)",
				   ret_field);
	ret_spec->arguments = s.arguments;
	return 0;
}
