/* The kinds that JSON lacks: objects of one key that begins with '$'. */
#include "proto/base/errcode.h"
#include "proto/codec/json_reader.h"
#include "proto/codec/moment.h"
#include "proto/codec/number.h"

#define DTYPE_MAX REMUDA_DTYPE_COMPLEX128

/* ---- parts ---- */

static int invalid(struct rmd_json_reader *reader, const uint8_t *at,
		   const char *expected)
{
	return rmd_json_fail(reader, RMD_EINVAL, at, "expected %s", expected);
}

/* Whole, so that a NUL within is seen. */
static bool text_is(struct remuda_string text, const char *word)
{
	return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

/* Past white space: where the next token stands, for a complaint about it. */
static const uint8_t *here(struct rmd_json_reader *reader)
{
	rmd_json_next_is(reader, ' ');
	return reader->at;
}

static int read_base64(struct rmd_json_reader *reader, const void **ret_data,
		       size_t *ret_len)
{
	const uint8_t *at = here(reader);
	struct remuda_string text;
	void *room;
	int rc = rmd_json_string(reader, "base64 in quotes", &text);
	if (rc < 0)
		return rc;
	struct rmd_slice digits = rmd_slice_of(text.data, text.len);
	rc = rmd_json_room(reader, rmd_text_base64_room(digits), &room);
	if (rc < 0)
		return rc;
	*ret_data = room;
	if (rmd_text_get_base64(digits, room, ret_len) < 0)
		return invalid(reader, at, "base64, padded with '='");
	return 0;
}

static int read_bytes(struct rmd_json_reader *reader, struct remuda_bytes *ret)
{
	return read_base64(reader, &ret->data, &ret->len);
}

static int read_uint64(struct rmd_json_reader *reader, uint64_t *ret)
{
	const uint8_t *at = here(reader);
	struct remuda_value value;
	struct rmd_slice digits;
	bool integer;
	int rc = rmd_json_number(reader, &digits, &integer);
	if (rc < 0)
		return rc;
	rc = integer ? rmd_number_get_integer(digits, reader->arena, &value) : RMD_ERANGE;
	if (rc == RMD_ENOMEM || rc == RMD_ELIMIT)
		return rmd_json_short(reader, rc);
	if (rc == 0 && value.kind == REMUDA_UINT64)
		*ret = value.u.uint64;
	else if (rc == 0 && value.kind == REMUDA_INT64 && value.u.int64 >= 0)
		*ret = (uint64_t)value.u.int64;
	else
		return invalid(reader, at, "a whole number from 0 to 2^64-1");
	return 0;
}

/* "nan", "inf", "-inf", or a NaN's 64 bits in hexadecimal behind "nan:". */
static int read_special_float(struct rmd_json_reader *reader, double *ret)
{
	const uint8_t *at = here(reader);
	struct remuda_string text;
	uint64_t bits = 0;
	uint8_t bytes[8];
	int rc = rmd_json_string(reader, "\"nan\", \"inf\" or \"-inf\"", &text);
	if (rc < 0)
		return rc;
	struct rmd_slice digits = rmd_slice_of(text.data, text.len);
	if (text_is(text, "nan")) {
		bits = UINT64_C(0x7ff8000000000000);
	} else if (text_is(text, "inf")) {
		bits = UINT64_C(0x7ff0000000000000);
	} else if (text_is(text, "-inf")) {
		bits = UINT64_C(0xfff0000000000000);
	} else if (strncmp(text.data, "nan:", 4) == 0) {
		digits = rmd_slice_of(text.data + 4, text.len - 4);
		if (rmd_text_get_hex(digits, bytes, sizeof bytes) == 0)
			for (size_t i = 0; i < sizeof bytes; i++)
				bits = bits << 8 | bytes[i];
		if ((bits & UINT64_C(0x7ff0000000000000)) !=
			    UINT64_C(0x7ff0000000000000) ||
		    (bits & UINT64_C(0x000fffffffffffff)) == 0)
			bits = 0;
	}
	if (bits == 0)
		return invalid(reader, at,
			       "\"nan\", \"inf\", \"-inf\", or \"nan:\" and the 16 "
			       "hexadecimal digits of one");
	*ret = rmd_wire_double(bits);
	return 0;
}

/* A part of a complex number: a number, or {"$float": …}. */
static int read_part(struct rmd_json_reader *reader, double *ret)
{
	const uint8_t *at = here(reader);
	struct remuda_string key;
	struct rmd_slice digits;
	bool integer;
	int rc;
	if (!rmd_json_skip(reader, '{')) {
		rc = rmd_json_number(reader, &digits, &integer);
		if (rc == 0 && (rc = rmd_number_get_double(digits, ret)) == RMD_ERANGE)
			return rmd_json_fail(reader, rc, at, "a number beyond float64");
		return rc == RMD_ENOMEM ? rmd_json_short(reader, rc) : rc;
	}
	rc = rmd_json_string(reader, "\"$float\"", &key);
	if (rc == 0 && !text_is(key, "$float"))
		return invalid(reader, at, "a number or {\"$float\": ...}");
	if (rc == 0)
		rc = rmd_json_take(reader, ':', "':'");
	if (rc == 0)
		rc = read_special_float(reader, ret);
	return rc == 0 ? rmd_json_take(reader, '}', "'}'") : rc;
}

/* ---- objects of certain members, in any order ---- */

struct members {
	const char *const *names; /* NULL behind the last; at most 8 */
	unsigned seen;		  /* a bit each */
	bool begun;
};

/* Takes the next member's name and colon: 1 and its place in `names`, or 0 behind the
 * '}'. */
static int next_member(struct rmd_json_reader *reader, struct members *members,
		       unsigned *ret_at)
{
	struct remuda_string name;
	int rc = members->begun ? 0 : rmd_json_take(reader, '{', "'{'");
	if (rc < 0)
		return rc;
	bool more = members->begun ? rmd_json_skip(reader, ',')
				   : !rmd_json_next_is(reader, '}');
	members->begun = true;
	if (!more) {
		const uint8_t *at = here(reader);
		rc = rmd_json_take(reader, '}', "',' or '}'");
		for (unsigned i = 0; rc == 0 && members->names[i] != NULL; i++)
			if ((members->seen & 1u << i) == 0)
				rc = rmd_json_fail(reader, RMD_EINVAL, at,
						   "expected \"%s\" too",
						   members->names[i]);
		return rc;
	}
	const uint8_t *at = here(reader);
	rc = rmd_json_string(reader, "a member's name in quotes", &name);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; members->names[i] != NULL; i++) {
		if (!text_is(name, members->names[i]))
			continue;
		if ((members->seen & 1u << i) != 0)
			return rmd_json_fail(reader, RMD_EINVAL, at, "\"%s\" twice",
					     name.data);
		members->seen |= 1u << i;
		*ret_at = i;
		rc = rmd_json_take(reader, ':', "':'");
		return rc < 0 ? rc : 1;
	}
	return rmd_json_fail(reader, RMD_EINVAL, at, "expected \"%s\", \"%s\"%s",
			     members->names[0], members->names[1],
			     members->names[2] != NULL ? " or another" : "");
}

static int read_dtype(struct rmd_json_reader *reader, enum remuda_dtype *ret)
{
	const uint8_t *at = here(reader);
	struct remuda_string name;
	int rc = rmd_json_string(reader, "a dtype in quotes", &name);
	if (rc < 0)
		return rc;
	for (int dtype = REMUDA_DTYPE_BOOL; dtype <= DTYPE_MAX; dtype++)
		if (text_is(name, remuda_dtype_name((enum remuda_dtype)dtype))) {
			*ret = (enum remuda_dtype)dtype;
			return 0;
		}
	return invalid(reader, at, "a dtype such as \"int32\" or \"float64\"");
}

static int read_shape(struct rmd_json_reader *reader, struct remuda_array *array)
{
	uint64_t shape[REMUDA_ARRAY_RANK_MAX];
	void *room;
	int rc = rmd_json_take(reader, '[', "'['");
	if (rc < 0 || rmd_json_skip(reader, ']'))
		return rc;
	do {
		if (array->rank == REMUDA_ARRAY_RANK_MAX)
			return rmd_json_expected(reader, "at most 32 dimensions");
		rc = read_uint64(reader, &shape[array->rank++]);
		if (rc < 0)
			return rc;
	} while (rmd_json_skip(reader, ','));
	rc = rmd_json_take(reader, ']', "',' or ']'");
	if (rc == 0)
		rc = rmd_json_room(reader, array->rank * sizeof *shape, &room);
	if (rc < 0)
		return rc;
	memcpy(room, shape, array->rank * sizeof *shape);
	array->shape = room;
	return 0;
}

static int read_array(struct rmd_json_reader *reader, unsigned depth,
		      struct remuda_value *ret)
{
	static const char *const names[] = {"dtype", "shape", "data", NULL};
	struct members members = {.names = names};
	struct remuda_array *array = &ret->u.array;
	unsigned at;
	int rc;
	(void)depth;
	while ((rc = next_member(reader, &members, &at)) > 0) {
		rc = at == 0   ? read_dtype(reader, &array->dtype)
		     : at == 1 ? read_shape(reader, array)
			       : read_base64(reader, &array->data, &array->data_bytes);
		if (rc < 0)
			return rc;
	}
	return rc;
}

static int read_blob(struct rmd_json_reader *reader, unsigned depth,
		     struct remuda_value *ret)
{
	static const char *const names[] = {"digest", "size_bytes", NULL};
	struct members members = {.names = names};
	unsigned at;
	int rc;
	(void)depth;
	while ((rc = next_member(reader, &members, &at)) > 0) {
		const uint8_t *start = here(reader);
		struct remuda_string hex;
		rc = at == 0 ? rmd_json_string(reader, "a digest in quotes", &hex)
			     : read_uint64(reader, &ret->u.blob.size_bytes);
		if (rc < 0)
			return rc;
		if (at == 0 &&
		    rmd_text_get_hex(rmd_slice_of(hex.data, hex.len), ret->u.blob.digest,
				     sizeof ret->u.blob.digest) < 0)
			return invalid(reader, start, "64 hexadecimal digits");
	}
	return rc;
}

/* A text and bytes: any, opaque. */
static int read_labelled(struct rmd_json_reader *reader, const char *const *names,
			 struct remuda_string *ret_label, struct remuda_bytes *ret_data)
{
	struct members members = {.names = names};
	unsigned at;
	int rc;
	while ((rc = next_member(reader, &members, &at)) > 0) {
		rc = at == 0 ? rmd_json_string(reader, "a string", ret_label)
			     : read_bytes(reader, ret_data);
		if (rc < 0)
			return rc;
	}
	return rc;
}

static int read_any(struct rmd_json_reader *reader, unsigned depth,
		    struct remuda_value *ret)
{
	static const char *const names[] = {"type_url", "data", NULL};
	(void)depth;
	return read_labelled(reader, names, &ret->u.any.type_url, &ret->u.any.data);
}

static int read_opaque(struct rmd_json_reader *reader, unsigned depth,
		       struct remuda_value *ret)
{
	static const char *const names[] = {"codec", "data", NULL};
	(void)depth;
	return read_labelled(reader, names, &ret->u.opaque.codec, &ret->u.opaque.data);
}

static int read_named(struct rmd_json_reader *reader, unsigned depth,
		      struct remuda_value *ret)
{
	static const char *const names[] = {"name", "value", NULL};
	struct members members = {.names = names};
	unsigned at;
	void *room;
	int rc = rmd_json_room(reader, sizeof *ret, &room);
	if (rc < 0)
		return rc;
	while ((rc = next_member(reader, &members, &at)) > 0) {
		rc = at == 0 ? rmd_json_string(reader, "a string", &ret->u.named.name)
			     : rmd_json_value(reader, depth + 1, room);
		if (rc < 0)
			return rc;
	}
	ret->u.named.value = room;
	return rc;
}

/* ---- what is a string or a list behind its key ---- */

static int read_bytes_kind(struct rmd_json_reader *reader, unsigned depth,
			   struct remuda_value *ret)
{
	(void)depth;
	return read_bytes(reader, &ret->u.bytes);
}

static int read_function(struct rmd_json_reader *reader, unsigned depth,
			 struct remuda_value *ret)
{
	(void)depth;
	return rmd_json_string(reader, "a function's name in quotes", &ret->u.string);
}

static int read_float(struct rmd_json_reader *reader, unsigned depth,
		      struct remuda_value *ret)
{
	(void)depth;
	return read_special_float(reader, &ret->u.float64);
}

static int read_complex(struct rmd_json_reader *reader, unsigned depth,
			struct remuda_value *ret)
{
	(void)depth;
	int rc = rmd_json_take(reader, '[', "'['");
	if (rc == 0)
		rc = read_part(reader, &ret->u.complex.real);
	if (rc == 0)
		rc = rmd_json_take(reader, ',', "',' and an imaginary part");
	if (rc == 0)
		rc = read_part(reader, &ret->u.complex.imaginary);
	return rc == 0 ? rmd_json_take(reader, ']', "']'") : rc;
}

static int read_time(struct rmd_json_reader *reader, unsigned depth,
		     struct remuda_value *ret)
{
	bool stamp = ret->kind == REMUDA_TIMESTAMP;
	const uint8_t *at = here(reader);
	struct remuda_string text;
	(void)depth;
	int rc = rmd_json_string(reader, "a time in quotes", &text);
	if (rc < 0)
		return rc;
	struct rmd_slice slice = rmd_slice_of(text.data, text.len);
	rc = stamp ? rmd_moment_get(slice, &ret->u.time.seconds, &ret->u.time.nanos)
		   : rmd_moment_get_span(slice, &ret->u.time.seconds, &ret->u.time.nanos);
	if (rc == RMD_ERANGE)
		return invalid(reader, at, "a year from 1 to 9999");
	if (rc < 0)
		return invalid(reader, at,
			       stamp ? "a moment such as \"2024-05-01T12:00:00.5Z\""
				     : "seconds such as \"1.5s\"");
	return 0;
}

/* [[key, value], …] */
static int read_map(struct rmd_json_reader *reader, unsigned depth,
		    struct remuda_value *ret)
{
	size_t from = reader->stack_len;
	int rc = rmd_json_take(reader, '[', "'['");
	if (rc < 0)
		return rc;
	if (rmd_json_skip(reader, ']'))
		return rmd_json_map(reader, from, ret);
	do {
		struct remuda_value part;
		rc = rmd_json_take(reader, '[', "'[' and a key and a value");
		if (rc == 0)
			rc = rmd_json_value(reader, depth + 1, &part);
		if (rc == 0)
			rc = rmd_json_push(reader, &part);
		if (rc == 0)
			rc = rmd_json_take(reader, ',', "',' and a value");
		if (rc == 0)
			rc = rmd_json_value(reader, depth + 1, &part);
		if (rc == 0)
			rc = rmd_json_push(reader, &part);
		if (rc == 0)
			rc = rmd_json_take(reader, ']', "']'");
		if (rc < 0)
			return rc;
	} while (rmd_json_skip(reader, ','));
	rc = rmd_json_take(reader, ']', "',' or ']'");
	return rc == 0 ? rmd_json_map(reader, from, ret) : rc;
}

/* ---- the table ---- */

static const struct {
	const char *key;
	enum remuda_kind kind;
	int (*read)(struct rmd_json_reader *reader, unsigned depth,
		    struct remuda_value *ret);
} kinds[] = {
	{"$bytes", REMUDA_BYTES, read_bytes_kind},
	{"$tuple", REMUDA_TUPLE, rmd_json_items},
	{"$set", REMUDA_SET, rmd_json_items},
	{"$map", REMUDA_MAP, read_map},
	{"$complex", REMUDA_COMPLEX, read_complex},
	{"$float", REMUDA_FLOAT64, read_float},
	{"$array", REMUDA_ARRAY, read_array},
	{"$timestamp", REMUDA_TIMESTAMP, read_time},
	{"$duration", REMUDA_DURATION, read_time},
	{"$function", REMUDA_FUNCTION, read_function},
	{"$blob", REMUDA_BLOB, read_blob},
	{"$any", REMUDA_ANY, read_any},
	{"$named", REMUDA_NAMED, read_named},
	{"$opaque", REMUDA_OPAQUE, read_opaque},
};

int rmd_json_kind_of(struct remuda_string key)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (text_is(key, kinds[i].key))
			return (int)i;
	return -1;
}

int rmd_json_kind(struct rmd_json_reader *reader, int kind, unsigned depth,
		  struct remuda_value *ret_value)
{
	int rc = rmd_json_take(reader, ':', "':'");
	if (rc < 0)
		return rc;
	const uint8_t *at = here(reader);
	*ret_value = (struct remuda_value){.kind = kinds[kind].kind};
	rc = kinds[kind].read(reader, depth, ret_value);
	if (rc < 0)
		return rc;
	const char *why = rmd_value_blemish(ret_value);
	if (why != NULL)
		return rmd_json_fail(reader, RMD_EINVAL, at, "%s", why);
	if (!rmd_json_skip(reader, '}'))
		return rmd_json_fail(reader, RMD_EINVAL, here(reader),
				     "expected '}': nothing may stand beside \"%s\"",
				     kinds[kind].key);
	return 0;
}
