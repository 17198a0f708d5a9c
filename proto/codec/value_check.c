/* Can this value be encoded, and if not, which part of it cannot? */
#include "proto/base/errcode.h"
#include "proto/codec/value_path.h"

/* Years 1 to 9999, and 10,000 years: the ranges of google.protobuf's Timestamp and
 * Duration. */
#define TIMESTAMP_MIN_S INT64_C(-62135596800)
#define TIMESTAMP_MAX_S INT64_C(253402300799)
#define DURATION_MAX_S INT64_C(315576000000)
#define NANOS_MAX 999999999

/* ---- one value by itself ---- */

static const char *text_blemish(struct remuda_string text, size_t max,
				const char *too_long)
{
	if (text.len != 0 && text.data == NULL)
		return "text without data";
	if (text.len > max)
		return too_long;
	if (!rmd_wire_utf8_valid(rmd_slice_of(text.data, text.len)))
		return "text that is not valid UTF-8";
	return NULL;
}

static const char *bytes_blemish(struct remuda_bytes bytes)
{
	return bytes.len != 0 && bytes.data == NULL ? "bytes without data" : NULL;
}

static const char *bigint_blemish(struct remuda_bytes bytes)
{
	const uint8_t *at = bytes.data;
	size_t len = bytes.len;
	if (len == 0 || at == NULL)
		return "a big integer without bytes";
	if (len > REMUDA_BIGINT_MAX)
		return "a big integer over 65536 bytes";
	if (len > 1 && ((at[len - 1] == 0x00 && at[len - 2] < 0x80) ||
			(at[len - 1] == 0xff && at[len - 2] >= 0x80)))
		return "a big integer that is not in its shortest form";
	return NULL;
}

static const char *array_blemish(const struct remuda_array *array)
{
	size_t size = remuda_dtype_size(array->dtype);
	if (size == 0)
		return "an array of an unknown dtype";
	if (array->rank > REMUDA_ARRAY_RANK_MAX)
		return "an array of more than 32 dimensions";
	if (array->rank != 0 && array->shape == NULL)
		return "an array without a shape";
	if (array->data_bytes != 0 && array->data == NULL)
		return "an array without data";
	bool empty = false;
	for (uint32_t i = 0; i < array->rank; i++)
		empty |= array->shape[i] == 0;
	uint64_t total = empty ? 0 : size;
	for (uint32_t i = 0; i < array->rank && !empty; i++)
		if (__builtin_mul_overflow(total, array->shape[i], &total))
			return "an array whose shape is beyond all memory";
	if (total != array->data_bytes)
		return "an array whose data is not as long as its shape says";
	return NULL;
}

static const char *timestamp_blemish(const struct remuda_value *value)
{
	int64_t seconds = value->u.time.seconds;
	if (seconds < TIMESTAMP_MIN_S || seconds > TIMESTAMP_MAX_S)
		return "a timestamp outside the years 1 to 9999";
	if (value->u.time.nanos < 0 || value->u.time.nanos > NANOS_MAX)
		return "a timestamp whose nanoseconds are not 0 to 999999999";
	return NULL;
}

static const char *duration_blemish(const struct remuda_value *value)
{
	int64_t seconds = value->u.time.seconds;
	int32_t nanos = value->u.time.nanos;
	if (seconds < -DURATION_MAX_S || seconds > DURATION_MAX_S)
		return "a duration over 315576000000 seconds";
	if (nanos < -NANOS_MAX || nanos > NANOS_MAX)
		return "a duration whose nanoseconds are beyond 999999999";
	if ((seconds < 0 && nanos > 0) || (seconds > 0 && nanos < 0))
		return "a duration whose seconds and nanoseconds differ in sign";
	return NULL;
}

static const char *list_blemish(const void *items, size_t len)
{
	return len != 0 && items == NULL ? "a length without items" : NULL;
}

static const char *opaque_blemish(const struct remuda_value *value)
{
	const char *why = text_blemish(value->u.opaque.codec, REMUDA_OPAQUE_CODEC_MAX,
				       "a codec's name over 64 bytes");
	return why != NULL ? why : bytes_blemish(value->u.opaque.data);
}

static const char *any_blemish(const struct remuda_value *value)
{
	const char *why = text_blemish(value->u.any.type_url, SIZE_MAX, NULL);
	return why != NULL ? why : bytes_blemish(value->u.any.data);
}

const char *rmd_value_blemish(const struct remuda_value *value)
{
	switch (value->kind) {
	case REMUDA_NULL:
	case REMUDA_BOOLEAN:
	case REMUDA_INT64:
	case REMUDA_UINT64:
	case REMUDA_FLOAT64:
	case REMUDA_COMPLEX:
	case REMUDA_BLOB:
		return NULL;
	case REMUDA_BIGINT:
		return bigint_blemish(value->u.bytes);
	case REMUDA_STRING:
		return text_blemish(value->u.string, SIZE_MAX, NULL);
	case REMUDA_BYTES:
		return bytes_blemish(value->u.bytes);
	case REMUDA_LIST:
	case REMUDA_TUPLE:
	case REMUDA_SET:
		return list_blemish(value->u.list.items, value->u.list.len);
	case REMUDA_MAP:
		return list_blemish(value->u.map.entries, value->u.map.len);
	case REMUDA_ARRAY:
		return array_blemish(&value->u.array);
	case REMUDA_TIMESTAMP:
		return timestamp_blemish(value);
	case REMUDA_DURATION:
		return duration_blemish(value);
	case REMUDA_FUNCTION:
		return text_blemish(value->u.string, REMUDA_FUNCTION_NAME_MAX,
				    "a function's name over 512 bytes");
	case REMUDA_ANY:
		return any_blemish(value);
	case REMUDA_NAMED:
		if (value->u.named.value == NULL)
			return "a named value without a value";
		return text_blemish(value->u.named.name, REMUDA_NAMED_NAME_MAX,
				    "a value's name over 256 bytes");
	case REMUDA_OPAQUE:
		return opaque_blemish(value);
	case REMUDA_INTS:
		return list_blemish(value->u.ints.data, value->u.ints.len);
	case REMUDA_DOUBLES:
		return list_blemish(value->u.doubles.data, value->u.doubles.len);
	}
	return "a value of an unknown kind";
}

/* ---- the whole of it ---- */

static int fault(const struct rmd_value_step *step, int rc, const char *why,
		 struct rmd_value_fault *ret_fault)
{
	if (ret_fault == NULL)
		return rc;
	ret_fault->why = why;
	rmd_value_path(step, ret_fault->path, sizeof ret_fault->path);
	return rc;
}

static int check(const struct remuda_value *value, unsigned depth,
		 const struct rmd_value_step *step, struct rmd_value_fault *ret_fault);

static int check_items(const struct remuda_value *value, unsigned depth,
		       const struct rmd_value_step *up, struct rmd_value_fault *ret_fault)
{
	struct rmd_value_step step = {.up = up, .kind = RMD_STEP_ITEM};
	for (; step.index < value->u.list.len; step.index++) {
		int rc = check(&value->u.list.items[step.index], depth + 1, &step,
			       ret_fault);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int check_pairs(const struct remuda_value *value, unsigned depth,
		       const struct rmd_value_step *up, struct rmd_value_fault *ret_fault)
{
	const struct remuda_entry *entries = value->u.map.entries;
	struct rmd_value_step step = {.up = up};
	for (; step.index < value->u.map.len; step.index++) {
		step.kind = RMD_STEP_KEY;
		int rc = check(&entries[step.index].key, depth + 1, &step, ret_fault);
		if (rc < 0)
			return rc;
		step.kind = RMD_STEP_PAIR;
		step.key = &entries[step.index].key;
		rc = check(&entries[step.index].value, depth + 1, &step, ret_fault);
		if (rc < 0)
			return rc;
	}
	int rc = rmd_value_keys_distinct(entries, value->u.map.len, &step.index);
	step.kind = RMD_STEP_KEY;
	if (rc == RMD_EEXIST)
		return fault(&step, rc, "a key that the map has already", ret_fault);
	return rc < 0 ? fault(up, rc, "out of memory", ret_fault) : 0;
}

static int check(const struct remuda_value *value, unsigned depth,
		 const struct rmd_value_step *step, struct rmd_value_fault *ret_fault)
{
	bool packed = (value->kind == REMUDA_INTS || value->kind == REMUDA_DOUBLES) &&
		      remuda_value_list_len(value) != 0;
	if (depth + packed > REMUDA_VALUE_DEPTH_MAX)
		return fault(step, RMD_EDEPTH, "more than 30 levels deep", ret_fault);
	const char *why = rmd_value_blemish(value);
	if (why != NULL)
		return fault(step, RMD_EINVAL, why, ret_fault);
	switch (value->kind) {
	case REMUDA_LIST:
	case REMUDA_TUPLE:
	case REMUDA_SET:
		return check_items(value, depth, step, ret_fault);
	case REMUDA_MAP:
		return check_pairs(value, depth, step, ret_fault);
	case REMUDA_NAMED: {
		struct rmd_value_step down = {.up = step, .kind = RMD_STEP_NAMED};
		return check(value->u.named.value, depth + 1, &down, ret_fault);
	}
	default:
		return 0;
	}
}

int rmd_value_check(const struct remuda_value *value, struct rmd_value_fault *ret_fault)
{
	return check(value, 1, NULL, ret_fault);
}
