#include "proto/codec/frames.h"
#include "proto/codec/frames_wire.h"

#define DURATION_NANOS_MAX 999999999u

/* ---- Duration ---- */

int frames_duration_read(struct rmd_slice bytes, uint64_t max_ms, uint64_t *ret_ms,
			 const char *field, const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	uint64_t seconds = 0, nanos = 0;
	int rc;
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number > 2)
			continue;
		rc = frames_u64(&f, f.number == 1 ? &seconds : &nanos, field, ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, field, ret_field);
	/* Negative ones are above 2^63 here. */
	if (seconds > max_ms / 1000 || nanos > DURATION_NANOS_MAX)
		return frames_fail(RMD_ELIMIT, field, ret_field);
	uint64_t ms = seconds * 1000 + (nanos + 999999) / 1000000;
	if (ms > max_ms)
		return frames_fail(RMD_ELIMIT, field, ret_field);
	*ret_ms = ms;
	return 0;
}

static size_t duration_size(uint64_t ms)
{
	return frames_size_number(ms / 1000) + frames_size_number(ms % 1000 * 1000000);
}

size_t frames_size_duration(uint64_t ms)
{
	return ms != 0 ? frames_size_len(duration_size(ms)) : 0;
}

uint8_t *frames_store_duration(uint8_t *at, uint32_t field, uint64_t ms)
{
	if (ms == 0)
		return at;
	at = frames_store_len(at, field, duration_size(ms));
	at = frames_store_number(at, 1, ms / 1000);
	return frames_store_number(at, 2, ms % 1000 * 1000000);
}

/* ---- RetryRule ---- */

/* RetryRule while it is read: data NULL: not yet met. */
struct rule_reading {
	struct rmd_retry_rule rule;
	struct rmd_slice backoff, backoff_max;
};

static int take_cause(uint64_t number, struct rmd_retry_rule *rule,
		      const char **ret_field)
{
	/* One that we do not know cannot be kept: to leave it out would make another
	 * rule. */
	if (number < RMD_FAILURE_TASK_ERROR || number > RMD_FAILURE_RUN_DEADLINE)
		return frames_fail(RMD_ELIMIT, "RetryRule.causes (1 to 5)", ret_field);
	rule->causes |= UINT32_C(1) << number;
	return 0;
}

/* One number, or many packed. */
static int causes_read(const struct rmd_wire_field *f, struct rmd_retry_rule *rule,
		       const char **ret_field)
{
	static const char field[] = "RetryRule.causes (1 to 5)";
	struct rmd_frame_reader reader = {.field = NULL};
	uint64_t number;
	int rc = frames_number(&reader, f, &number, field);
	while (rc > 0) {
		rc = take_cause(number, rule, ret_field);
		if (rc < 0 || !frames_packed_left(&reader))
			return rc;
		rc = frames_packed_next(&reader, &number, field);
	}
	return rc < 0 ? frames_fail(rc, field, ret_field) : 0;
}

static int type_read(const struct rmd_wire_field *f, struct rmd_retry_rule *rule,
		     const char **ret_field)
{
	static const char field[] = "RetryRule.error_types (16 of 1 to 128 bytes)";
	struct rmd_slice type = {NULL, 0};
	if (rule->error_type_count == RMD_ERROR_TYPES_MAX)
		return frames_fail(RMD_ELIMIT, field, ret_field);
	int rc = frames_text(f, RMD_ERROR_TYPE_MAX_BYTES, &type, field, ret_field);
	if (rc < 0)
		return rc;
	if (type.len == 0)
		return frames_fail(RMD_ELIMIT, field, ret_field);
	rule->error_types[rule->error_type_count++] = type;
	return 0;
}

static int wait_read(const struct rmd_wire_field *f, struct rmd_slice *raw,
		     uint64_t *ret_ms, const char *field, const char **ret_field)
{
	int rc = frames_message(f, raw, field, ret_field);
	return rc < 0 ? rc
		      : frames_duration_read(f->bytes, RMD_BACKOFF_MAX_MS, ret_ms, field,
					     ret_field);
}

static int rule_field(const struct rmd_wire_field *f, struct rule_reading *r,
		      const char **ret_field)
{
	switch (f->number) {
	case 1:
		return causes_read(f, &r->rule, ret_field);
	case 2:
		return type_read(f, &r->rule, ret_field);
	case 3:
		return wait_read(f, &r->backoff, &r->rule.backoff_ms,
				 "RetryRule.backoff (0 to a day)", ret_field);
	case 4:
		return wait_read(f, &r->backoff_max, &r->rule.backoff_max_ms,
				 "RetryRule.backoff_max (0 to a day)", ret_field);
	default:
		return 0;
	}
}

int rmd_retry_rule_read(struct rmd_slice bytes, struct rmd_retry_rule *ret_rule,
			const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	struct rule_reading r = {.rule = {.causes = 0}};
	int rc;
	while ((rc = frames_next(&rest, &f)) > 0) {
		rc = rule_field(&f, &r, ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "RetryRule", ret_field);
	*ret_rule = r.rule;
	return 0;
}

void rmd_retry_rule_encode(struct rmd_wire_writer *writer,
			   const struct rmd_retry_rule *rule)
{
	uint64_t causes[RMD_FAILURE_RUN_DEADLINE];
	size_t count = 0, size = frames_size_duration(rule->backoff_ms) +
				 frames_size_duration(rule->backoff_max_ms);
	for (uint32_t i = RMD_FAILURE_TASK_ERROR; i <= RMD_FAILURE_RUN_DEADLINE; i++)
		if ((rule->causes >> i & 1) != 0)
			causes[count++] = i;
	frames_put_packed(writer, 1, causes, count);
	for (uint32_t i = 0; i < rule->error_type_count; i++)
		size += frames_size_len(rule->error_types[i].len);
	uint8_t *at = rmd_wire_reserve(writer, size);
	if (at == NULL)
		return;
	for (uint32_t i = 0; i < rule->error_type_count; i++)
		at = frames_store_bytes_always(at, 2, rule->error_types[i]);
	at = frames_store_duration(at, 3, rule->backoff_ms);
	frames_store_duration(at, 4, rule->backoff_max_ms);
}
