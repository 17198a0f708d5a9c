/* Values from their wire form: a peer's bytes, so everything is counted before it is
 * allocated, and depth is bounded by our own count. Of a message only the kind that comes
 * last is opened: what a peer repeats costs it bytes and us nothing. */
#include "proto/base/errcode.h"
#include "proto/codec/value.h"

static int get(struct rmd_slice bytes, unsigned depth, struct rmd_arena *arena,
	       struct remuda_value *ret);

/* Memory of the arena; says which of two things is lacking. `*ret` NULL for none. */
static int take(struct rmd_arena *arena, size_t count, size_t size, void **ret)
{
	size_t bytes;
	*ret = NULL;
	if (count == 0)
		return 0;
	if (__builtin_mul_overflow(count, size, &bytes) ||
	    (arena->limit_bytes != 0 && bytes > arena->limit_bytes - arena->used_bytes))
		return RMD_ELIMIT;
	*ret = rmd_arena_alloc(arena, bytes);
	return *ret == NULL ? RMD_ENOMEM : 0;
}

static int get_text(struct rmd_slice bytes, struct rmd_arena *arena,
		    struct remuda_string *ret)
{
	void *copy;
	if (bytes.len == 0) {
		*ret = (struct remuda_string){"", 0};
		return 0;
	}
	int rc = take(arena, bytes.len + 1, 1, &copy);
	if (rc < 0)
		return rc;
	memcpy(copy, bytes.data, bytes.len);
	((char *)copy)[bytes.len] = '\0';
	*ret = (struct remuda_string){copy, bytes.len};
	return 0;
}

static struct remuda_bytes get_bytes(struct rmd_slice bytes)
{
	return (struct remuda_bytes){bytes.data, bytes.len};
}

/* `bytes` where they lie if they are aligned to `align` there, else a copy. */
static int get_aligned(struct rmd_slice bytes, size_t align, struct rmd_arena *arena,
		       const void **ret)
{
	void *copy;
	if ((uintptr_t)bytes.data % align == 0) {
		*ret = bytes.data;
		return 0;
	}
	int rc = take(arena, bytes.len, 1, &copy);
	if (rc == 0 && bytes.len != 0)
		memcpy(copy, bytes.data, bytes.len);
	if (rc == 0)
		*ret = copy;
	return rc;
}

/* What a message of a few fields by number holds: the last of each. */
struct few_fields {
	struct rmd_slice bytes[4]; /* LEN */
	uint64_t numbers[4];	   /* VARINT, I64 */
	bool present[4];	   /* LEN */
};

static int get_few(struct rmd_slice message, enum rmd_wire_type number_type,
		   struct few_fields *ret)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(message);
	struct rmd_wire_field field;
	int rc;
	*ret = (struct few_fields){0};
	while ((rc = rmd_wire_next(&reader, &field)) > 0) {
		if (field.number > 3)
			continue;
		if (field.type == RMD_WIRE_LEN) {
			ret->bytes[field.number] = field.bytes;
			ret->present[field.number] = true;
		} else if (field.type == number_type) {
			ret->numbers[field.number] = field.varint;
		}
	}
	return rc;
}

/* Counts the LEN fields of number 1. */
static int count_items(struct rmd_slice message, size_t *ret_count)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(message);
	struct rmd_wire_field field;
	size_t count = 0;
	int rc;
	while ((rc = rmd_wire_next(&reader, &field)) > 0)
		count += field.number == 1 && field.type == RMD_WIRE_LEN;
	if (rc == 0)
		*ret_count = count;
	return rc;
}

/* The next LEN field of number 1; the message was counted, so it reads well. */
static struct rmd_slice next_item(struct rmd_wire_reader *reader)
{
	struct rmd_wire_field field = {0};
	while (rmd_wire_next(reader, &field) > 0)
		if (field.number == 1 && field.type == RMD_WIRE_LEN)
			break;
	return field.bytes;
}

static int get_list(struct rmd_slice message, unsigned depth, struct rmd_arena *arena,
		    struct remuda_value *ret)
{
	size_t count;
	void *room;
	int rc = count_items(message, &count);
	if (rc == 0 && count != 0 && depth == REMUDA_VALUE_DEPTH_MAX)
		rc = RMD_EDEPTH;
	if (rc == 0)
		rc = take(arena, count, sizeof(struct remuda_value), &room);
	if (rc < 0)
		return rc;
	struct remuda_value *items = room;
	struct rmd_wire_reader reader = rmd_wire_reader_of(message);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = get(next_item(&reader), depth + 1, arena, &items[i]);
	ret->u.list.items = items;
	ret->u.list.len = count;
	return rc;
}

static int get_pair(struct rmd_slice message, unsigned depth, struct rmd_arena *arena,
		    struct remuda_entry *ret)
{
	struct few_fields fields;
	int rc = get_few(message, RMD_WIRE_VARINT, &fields);
	if (rc == 0)
		rc = get(fields.bytes[1], depth, arena, &ret->key);
	return rc == 0 ? get(fields.bytes[2], depth, arena, &ret->value) : rc;
}

static int get_map(struct rmd_slice message, unsigned depth, struct rmd_arena *arena,
		   struct remuda_value *ret)
{
	size_t count, twin;
	void *room;
	int rc = count_items(message, &count);
	if (rc == 0 && count != 0 && depth == REMUDA_VALUE_DEPTH_MAX)
		rc = RMD_EDEPTH;
	if (rc == 0)
		rc = take(arena, count, sizeof(struct remuda_entry), &room);
	if (rc < 0)
		return rc;
	struct remuda_entry *entries = room;
	struct rmd_wire_reader reader = rmd_wire_reader_of(message);
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = get_pair(next_item(&reader), depth + 1, arena, &entries[i]);
	if (rc == 0)
		rc = rmd_value_keys_distinct(entries, count, &twin);
	ret->u.map.entries = entries;
	ret->u.map.len = count;
	return rc == RMD_EEXIST ? RMD_EPROTO : rc;
}

/* Counts the 8-byte items of field 1, packed or not, in all chunks; `*ret_whole` is the
 * only chunk where there is but one. */
static int count_packed(struct rmd_slice message, size_t *ret_count,
			struct rmd_slice *ret_whole)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(message);
	struct rmd_wire_field field;
	size_t count = 0, chunks = 0;
	int rc;
	while ((rc = rmd_wire_next(&reader, &field)) > 0) {
		if (field.number != 1 ||
		    (field.type != RMD_WIRE_LEN && field.type != RMD_WIRE_I64))
			continue;
		if (field.bytes.len % 8 != 0)
			return RMD_EPROTO;
		count += field.type == RMD_WIRE_I64 ? 1 : field.bytes.len / 8;
		chunks += field.type == RMD_WIRE_I64 ? 2 : 1;
		*ret_whole = field.bytes;
	}
	*ret_count = count;
	if (chunks != 1)
		*ret_whole = (struct rmd_slice){0};
	return rc;
}

static void gather_packed(struct rmd_slice message, uint8_t *to)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(message);
	struct rmd_wire_field field;
	while (rmd_wire_next(&reader, &field) > 0) {
		if (field.number != 1)
			continue;
		if (field.type == RMD_WIRE_I64) {
			memcpy(to, &field.varint, 8);
			to += 8;
		} else if (field.type == RMD_WIRE_LEN && field.bytes.len != 0) {
			memcpy(to, field.bytes.data, field.bytes.len);
			to += field.bytes.len;
		}
	}
}

static int get_packed(struct rmd_slice message, unsigned depth, struct rmd_arena *arena,
		      struct remuda_value *ret)
{
	struct rmd_slice whole = {0};
	size_t count = 0;
	const void *data = NULL;
	void *room;
	int rc = count_packed(message, &count, &whole);
	if (rc == 0 && count != 0 && depth == REMUDA_VALUE_DEPTH_MAX)
		rc = RMD_EDEPTH;
	if (rc == 0 && whole.len != 0) {
		rc = get_aligned(whole, 8, arena, &data);
	} else if (rc == 0 && count != 0) {
		rc = take(arena, count, 8, &room);
		if (rc == 0)
			gather_packed(message, room);
		data = room;
	}
	if (ret->kind == REMUDA_INTS)
		ret->u.ints = (struct remuda_int64s){data, count};
	else
		ret->u.doubles = (struct remuda_doubles){data, count};
	return rc;
}

/* Appends the dimensions of one field, packed or single; beyond `max` RMD_EPROTO. */
static int get_dimensions(const struct rmd_wire_field *field, uint64_t *shape,
			  uint32_t *rank)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(field->bytes);
	uint64_t dimension = field->varint;
	int rc = field->type == RMD_WIRE_VARINT
			 ? 1
			 : rmd_wire_next_varint(&reader, &dimension);
	while (rc > 0) {
		if (*rank == REMUDA_ARRAY_RANK_MAX)
			return RMD_EPROTO;
		shape[(*rank)++] = dimension;
		rc = rmd_wire_next_varint(&reader, &dimension);
	}
	return rc;
}

/* Complex elements are aligned like their parts, all others to their size. */
static size_t dtype_align(enum remuda_dtype dtype)
{
	size_t size = remuda_dtype_size(dtype);
	bool complex = dtype == REMUDA_DTYPE_COMPLEX64 ||
		       dtype == REMUDA_DTYPE_COMPLEX128;
	return size == 0 ? 1 : complex ? size / 2 : size;
}

static int get_array(struct rmd_slice message, struct rmd_arena *arena,
		     struct remuda_value *ret)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(message);
	struct rmd_wire_field field;
	uint64_t shape[REMUDA_ARRAY_RANK_MAX], dtype = 0;
	struct rmd_slice data = {0};
	struct remuda_array *array = &ret->u.array;
	void *room;
	int rc;
	*array = (struct remuda_array){0};
	while ((rc = rmd_wire_next(&reader, &field)) > 0) {
		if (field.number == 1 && field.type == RMD_WIRE_VARINT)
			dtype = field.varint;
		else if (field.number == 3 && field.type == RMD_WIRE_LEN)
			data = field.bytes;
		else if (field.number == 2 &&
			 (field.type == RMD_WIRE_VARINT || field.type == RMD_WIRE_LEN))
			rc = get_dimensions(&field, shape, &array->rank);
		if (rc < 0)
			return rc;
	}
	if (rc == 0 && dtype > REMUDA_DTYPE_COMPLEX128)
		rc = RMD_EPROTO;
	if (rc == 0)
		rc = take(arena, array->rank, sizeof *shape, &room);
	if (rc < 0)
		return rc;
	array->dtype = (enum remuda_dtype)dtype;
	array->shape = room;
	if (array->rank != 0)
		memcpy(room, shape, array->rank * sizeof *shape);
	array->data_bytes = data.len;
	return get_aligned(data, dtype_align(array->dtype), arena, &array->data);
}

static int get_bigint(struct rmd_slice message, struct remuda_value *ret)
{
	struct few_fields fields;
	int rc = get_few(message, RMD_WIRE_VARINT, &fields);
	if (rc == 0)
		*ret = rmd_value_of_twos(fields.bytes[1]);
	return rc;
}

static int get_named(struct rmd_slice message, unsigned depth, struct rmd_arena *arena,
		     struct remuda_value *ret)
{
	static const struct remuda_value nothing = {.kind = REMUDA_NULL};
	struct few_fields fields;
	void *room;
	int rc = get_few(message, RMD_WIRE_VARINT, &fields);
	if (rc == 0 && depth == REMUDA_VALUE_DEPTH_MAX)
		rc = RMD_EDEPTH;
	if (rc == 0)
		rc = get_text(fields.bytes[1], arena, &ret->u.named.name);
	ret->u.named.value = &nothing;
	if (rc < 0 || fields.bytes[2].len == 0)
		return rc;
	rc = take(arena, 1, sizeof(struct remuda_value), &room);
	ret->u.named.value = room;
	return rc == 0 ? get(fields.bytes[2], depth + 1, arena, room) : rc;
}

/* Kinds whose message has a handful of plain fields and no nested value. */
static int get_record(struct rmd_slice message, struct rmd_arena *arena,
		      struct remuda_value *ret)
{
	struct few_fields fields;
	bool doubles = ret->kind == REMUDA_COMPLEX;
	int rc = get_few(message, doubles ? RMD_WIRE_I64 : RMD_WIRE_VARINT, &fields);
	if (rc < 0)
		return rc;
	switch (ret->kind) {
	case REMUDA_COMPLEX:
		ret->u.complex.real = rmd_wire_double(fields.numbers[1]);
		ret->u.complex.imaginary = rmd_wire_double(fields.numbers[2]);
		return 0;
	case REMUDA_FUNCTION:
		return get_text(fields.bytes[1], arena, &ret->u.string);
	case REMUDA_BLOB:
		if (fields.bytes[1].len != sizeof ret->u.blob.digest)
			return RMD_EPROTO;
		memcpy(ret->u.blob.digest, fields.bytes[1].data,
		       sizeof ret->u.blob.digest);
		ret->u.blob.size_bytes = fields.numbers[2];
		return 0;
	case REMUDA_ANY:
		ret->u.any.data = get_bytes(fields.bytes[2]);
		return get_text(fields.bytes[1], arena, &ret->u.any.type_url);
	case REMUDA_OPAQUE:
		ret->u.opaque.data = get_bytes(fields.bytes[2]);
		return get_text(fields.bytes[1], arena, &ret->u.opaque.codec);
	default: /* REMUDA_TIMESTAMP, REMUDA_DURATION */
		ret->u.time.seconds = (int64_t)fields.numbers[1];
		ret->u.time.nanos =
			(int32_t)(uint32_t)fields.numbers[2]; /* as protobuf: low bits */
		return 0;
	}
}

/* The kind of a field, or -1 if it is none, or has a wire type that is not its own. */
static int kind_of(const struct rmd_wire_field *field)
{
	static const uint8_t types[] = {
		[REMUDA_NULL] = RMD_WIRE_VARINT,   [REMUDA_BOOLEAN] = RMD_WIRE_VARINT,
		[REMUDA_INT64] = RMD_WIRE_VARINT,  [REMUDA_UINT64] = RMD_WIRE_VARINT,
		[REMUDA_BIGINT] = RMD_WIRE_LEN,	   [REMUDA_FLOAT64] = RMD_WIRE_I64,
		[REMUDA_COMPLEX] = RMD_WIRE_LEN,   [REMUDA_STRING] = RMD_WIRE_LEN,
		[REMUDA_BYTES] = RMD_WIRE_LEN,	   [REMUDA_LIST] = RMD_WIRE_LEN,
		[REMUDA_TUPLE] = RMD_WIRE_LEN,	   [REMUDA_MAP] = RMD_WIRE_LEN,
		[REMUDA_SET] = RMD_WIRE_LEN,	   [REMUDA_ARRAY] = RMD_WIRE_LEN,
		[REMUDA_TIMESTAMP] = RMD_WIRE_LEN, [REMUDA_DURATION] = RMD_WIRE_LEN,
		[REMUDA_FUNCTION] = RMD_WIRE_LEN,  [REMUDA_BLOB] = RMD_WIRE_LEN,
		[REMUDA_ANY] = RMD_WIRE_LEN,	   [REMUDA_NAMED] = RMD_WIRE_LEN,
		[REMUDA_OPAQUE] = RMD_WIRE_LEN,	   [REMUDA_INTS] = RMD_WIRE_LEN,
		[REMUDA_DOUBLES] = RMD_WIRE_LEN,
	};
	uint32_t kind = field->number - 1;
	return kind < sizeof types && types[kind] == field->type ? (int)kind : -1;
}

static int get_kind(const struct rmd_wire_field *field, unsigned depth,
		    struct rmd_arena *arena, struct remuda_value *ret)
{
	switch (ret->kind) {
	case REMUDA_NULL:
		return 0;
	case REMUDA_BOOLEAN:
		ret->u.boolean = field->varint != 0;
		return 0;
	case REMUDA_INT64:
		ret->u.int64 = rmd_wire_unzigzag(field->varint);
		return 0;
	case REMUDA_UINT64:
		ret->u.uint64 = field->varint;
		if (field->varint <= INT64_MAX) {
			ret->kind = REMUDA_INT64;
			ret->u.int64 = (int64_t)field->varint;
		}
		return 0;
	case REMUDA_FLOAT64:
		ret->u.float64 = rmd_wire_double(field->varint);
		return 0;
	case REMUDA_BIGINT:
		return get_bigint(field->bytes, ret);
	case REMUDA_STRING:
		return get_text(field->bytes, arena, &ret->u.string);
	case REMUDA_BYTES:
		ret->u.bytes = get_bytes(field->bytes);
		return 0;
	case REMUDA_LIST:
	case REMUDA_TUPLE:
	case REMUDA_SET:
		return get_list(field->bytes, depth, arena, ret);
	case REMUDA_MAP:
		return get_map(field->bytes, depth, arena, ret);
	case REMUDA_ARRAY:
		return get_array(field->bytes, arena, ret);
	case REMUDA_NAMED:
		return get_named(field->bytes, depth, arena, ret);
	case REMUDA_INTS:
	case REMUDA_DOUBLES:
		return get_packed(field->bytes, depth, arena, ret);
	case REMUDA_COMPLEX:
	case REMUDA_TIMESTAMP:
	case REMUDA_DURATION:
	case REMUDA_FUNCTION:
	case REMUDA_BLOB:
	case REMUDA_ANY:
	case REMUDA_OPAQUE:
		return get_record(field->bytes, arena, ret);
	}
	return RMD_EPROTO;
}

static int get(struct rmd_slice bytes, unsigned depth, struct rmd_arena *arena,
	       struct remuda_value *ret)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(bytes);
	struct rmd_wire_field field, last = {0};
	int rc, kind = REMUDA_NULL;
	while ((rc = rmd_wire_next(&reader, &field)) > 0) {
		int here = kind_of(&field);
		if (here < 0)
			continue;
		kind = here;
		last = field;
	}
	*ret = (struct remuda_value){.kind = (enum remuda_kind)kind};
	if (rc == 0)
		rc = get_kind(&last, depth, arena, ret);
	if (rc < 0)
		return rc;
	return rmd_value_blemish(ret) != NULL ? RMD_EPROTO : 0;
}

int rmd_value_get(struct rmd_slice bytes, struct rmd_arena *arena,
		  struct remuda_value *ret_value)
{
	struct remuda_value value;
	int rc = get(bytes, 1, arena, &value);
	if (rc == 0)
		*ret_value = value;
	return rc;
}
