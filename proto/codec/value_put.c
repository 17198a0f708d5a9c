/* Values to their wire form. Lengths of flat values are known beforehand, so that a large
 * byte string is copied once; of nested ones the length is patched at their end. */
#include "proto/base/check.h"
#include "proto/codec/value.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "packed numbers are copied as they are");

static void put(struct rmd_wire_writer *writer, const struct remuda_value *value,
		unsigned depth);

static struct rmd_slice text_slice(struct remuda_string text)
{
	return rmd_slice_of(text.data, text.len);
}

static struct rmd_slice bytes_slice(struct remuda_bytes bytes)
{
	return rmd_slice_of(bytes.data, bytes.len);
}

/* Size of a LEN field of a one-byte tag with `len` bytes in it. */
static size_t field_size(size_t len)
{
	return 1 + rmd_wire_varint_size(len) + len;
}

static size_t shape_size(const struct remuda_array *array)
{
	size_t size = 0;
	for (uint32_t i = 0; i < array->rank; i++)
		size += rmd_wire_varint_size(array->shape[i]);
	return size;
}

static size_t array_size(const struct remuda_array *array)
{
	size_t size = 2; /* tag and dtype */
	if (array->rank != 0)
		size += field_size(shape_size(array));
	if (array->data_bytes != 0)
		size += field_size(array->data_bytes);
	return size;
}

static size_t packed_size(size_t items)
{
	return items == 0 ? 0 : field_size(items * 8);
}

/* Size of a flat value that may be large as a Value message; 0: not known beforehand. */
static size_t flat_size(const struct remuda_value *value)
{
	switch (value->kind) {
	case REMUDA_STRING:
		return field_size(value->u.string.len);
	case REMUDA_BYTES:
		return field_size(value->u.bytes.len);
	case REMUDA_ARRAY:
		return field_size(array_size(&value->u.array));
	case REMUDA_INTS: /* these have numbers over 15: a tag of two bytes */
		return 1 + field_size(packed_size(value->u.ints.len));
	case REMUDA_DOUBLES:
		return 1 + field_size(packed_size(value->u.doubles.len));
	default:
		return 0;
	}
}

static void put_nested(struct rmd_wire_writer *writer, uint32_t number,
		       const struct remuda_value *value, unsigned depth)
{
	size_t size = flat_size(value);
	if (size != 0) {
		rmd_wire_put_len_header(writer, number, size);
		put(writer, value, depth);
		return;
	}
	struct rmd_wire_nest nest = rmd_wire_open(writer, number);
	put(writer, value, depth);
	rmd_wire_close(writer, nest);
}

static void put_packed(struct rmd_wire_writer *writer, uint32_t number, const void *data,
		       size_t items)
{
	rmd_wire_put_len_header(writer, number, packed_size(items));
	if (items != 0)
		rmd_wire_put_bytes(writer, 1, rmd_slice_of(data, items * 8));
}

/* Writes a list of int64 only or of float64 only packed; false: it is neither. */
static bool put_homogeneous(struct rmd_wire_writer *writer,
			    const struct remuda_value *items, size_t len)
{
	enum remuda_kind kind = len < 2 ? REMUDA_NULL : items[0].kind;
	if (kind != REMUDA_INT64 && kind != REMUDA_FLOAT64)
		return false;
	for (size_t i = 1; i < len; i++)
		if (items[i].kind != kind)
			return false;
	uint32_t number = kind == REMUDA_INT64 ? REMUDA_INTS : REMUDA_DOUBLES;
	rmd_wire_put_len_header(writer, number + 1, packed_size(len));
	rmd_wire_put_len_header(writer, 1, len * 8);
	uint8_t *to = rmd_wire_reserve(writer, len * 8);
	for (size_t i = 0; to != NULL && i < len; i++)
		memcpy(to + 8 * i, &items[i].u, 8);
	return true;
}

static void put_list(struct rmd_wire_writer *writer, uint32_t number,
		     const struct remuda_value *value, unsigned depth)
{
	if (value->kind == REMUDA_LIST &&
	    put_homogeneous(writer, value->u.list.items, value->u.list.len))
		return;
	struct rmd_wire_nest nest = rmd_wire_open(writer, number);
	for (size_t i = 0; i < value->u.list.len && !writer->failed; i++)
		put_nested(writer, 1, &value->u.list.items[i], depth + 1);
	rmd_wire_close(writer, nest);
}

static void put_map(struct rmd_wire_writer *writer, uint32_t number,
		    const struct remuda_value *value, unsigned depth)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, number);
	for (size_t i = 0; i < value->u.map.len && !writer->failed; i++) {
		struct rmd_wire_nest pair = rmd_wire_open(writer, 1);
		put_nested(writer, 1, &value->u.map.entries[i].key, depth + 1);
		put_nested(writer, 2, &value->u.map.entries[i].value, depth + 1);
		rmd_wire_close(writer, pair);
	}
	rmd_wire_close(writer, nest);
}

static void put_named(struct rmd_wire_writer *writer, uint32_t number,
		      const struct remuda_value *value, unsigned depth)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, number);
	rmd_wire_put_bytes_nz(writer, 1, text_slice(value->u.named.name));
	put_nested(writer, 2, value->u.named.value, depth + 1);
	rmd_wire_close(writer, nest);
}

static void put_array(struct rmd_wire_writer *writer, uint32_t number,
		      const struct remuda_array *array)
{
	rmd_wire_put_len_header(writer, number, array_size(array));
	rmd_wire_put_varint(writer, 1, (uint64_t)array->dtype);
	if (array->rank != 0)
		rmd_wire_put_len_header(writer, 2, shape_size(array));
	for (uint32_t i = 0; i < array->rank; i++)
		rmd_wire_put_raw_varint(writer, array->shape[i]);
	rmd_wire_put_bytes_nz(writer, 3, rmd_slice_of(array->data, array->data_bytes));
}

static void put_integer(struct rmd_wire_writer *writer, const struct remuda_value *value)
{
	struct remuda_value narrow = *value;
	if (value->kind == REMUDA_BIGINT)
		narrow = rmd_value_of_twos(bytes_slice(value->u.bytes));
	if (narrow.kind == REMUDA_UINT64 && narrow.u.uint64 > INT64_MAX) {
		rmd_wire_put_varint(writer, REMUDA_UINT64 + 1, narrow.u.uint64);
	} else if (narrow.kind != REMUDA_BIGINT) {
		int64_t number = narrow.kind == REMUDA_UINT64 ? (int64_t)narrow.u.uint64
							      : narrow.u.int64;
		rmd_wire_put_sint(writer, REMUDA_INT64 + 1, number);
	} else {
		struct rmd_wire_nest nest = rmd_wire_open(writer, REMUDA_BIGINT + 1);
		rmd_wire_put_bytes(writer, 1, bytes_slice(narrow.u.bytes));
		rmd_wire_close(writer, nest);
	}
}

/* A double, left out where all its bits are zero (-0.0 has one that is not). */
static void put_part(struct rmd_wire_writer *writer, uint32_t number, double part)
{
	uint64_t bits;
	memcpy(&bits, &part, sizeof bits);
	if (bits != 0)
		rmd_wire_put_fixed64(writer, number, bits);
}

/* Kinds whose message has a handful of plain fields and no nested value. */
static void put_record(struct rmd_wire_writer *writer, uint32_t number,
		       const struct remuda_value *value)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, number);
	switch (value->kind) {
	case REMUDA_COMPLEX:
		put_part(writer, 1, value->u.complex.real);
		put_part(writer, 2, value->u.complex.imaginary);
		break;
	case REMUDA_TIMESTAMP:
	case REMUDA_DURATION:
		rmd_wire_put_varint_nz(writer, 1, (uint64_t)value->u.time.seconds);
		rmd_wire_put_varint_nz(writer, 2, (uint64_t)(int64_t)value->u.time.nanos);
		break;
	case REMUDA_FUNCTION:
		rmd_wire_put_bytes_nz(writer, 1, text_slice(value->u.string));
		break;
	case REMUDA_BLOB:
		rmd_wire_put_bytes(
			writer, 1,
			rmd_slice_of(value->u.blob.digest, sizeof value->u.blob.digest));
		rmd_wire_put_varint_nz(writer, 2, value->u.blob.size_bytes);
		break;
	case REMUDA_ANY:
		rmd_wire_put_bytes_nz(writer, 1, text_slice(value->u.any.type_url));
		rmd_wire_put_bytes_nz(writer, 2, bytes_slice(value->u.any.data));
		break;
	case REMUDA_OPAQUE:
		rmd_wire_put_bytes_nz(writer, 1, text_slice(value->u.opaque.codec));
		rmd_wire_put_bytes_nz(writer, 2, bytes_slice(value->u.opaque.data));
		break;
	default:
		RMD_UNREACHABLE("put gives only the kinds above");
	}
	rmd_wire_close(writer, nest);
}

/* A kind's field number is its place in the enum plus one. */
static void put(struct rmd_wire_writer *writer, const struct remuda_value *value,
		unsigned depth)
{
	uint32_t number = (uint32_t)value->kind + 1;
	if (depth > REMUDA_VALUE_DEPTH_MAX || number > REMUDA_DOUBLES + 1)
		writer->failed = true;
	if (writer->failed)
		return;
	switch (value->kind) {
	case REMUDA_NULL:
		rmd_wire_put_varint(writer, number, 0);
		break;
	case REMUDA_BOOLEAN:
		rmd_wire_put_varint(writer, number, value->u.boolean);
		break;
	case REMUDA_INT64:
	case REMUDA_UINT64:
	case REMUDA_BIGINT:
		put_integer(writer, value);
		break;
	case REMUDA_FLOAT64:
		rmd_wire_put_double(writer, number, value->u.float64);
		break;
	case REMUDA_STRING:
		rmd_wire_put_bytes(writer, number, text_slice(value->u.string));
		break;
	case REMUDA_BYTES:
		rmd_wire_put_bytes(writer, number, bytes_slice(value->u.bytes));
		break;
	case REMUDA_LIST:
	case REMUDA_TUPLE:
	case REMUDA_SET:
		put_list(writer, number, value, depth);
		break;
	case REMUDA_MAP:
		put_map(writer, number, value, depth);
		break;
	case REMUDA_ARRAY:
		put_array(writer, number, &value->u.array);
		break;
	case REMUDA_NAMED:
		put_named(writer, number, value, depth);
		break;
	case REMUDA_INTS:
		put_packed(writer, number, value->u.ints.data, value->u.ints.len);
		break;
	case REMUDA_DOUBLES:
		put_packed(writer, number, value->u.doubles.data, value->u.doubles.len);
		break;
	case REMUDA_COMPLEX:
	case REMUDA_TIMESTAMP:
	case REMUDA_DURATION:
	case REMUDA_FUNCTION:
	case REMUDA_BLOB:
	case REMUDA_ANY:
	case REMUDA_OPAQUE:
		put_record(writer, number, value);
		break;
	}
}

void rmd_value_put(struct rmd_wire_writer *writer, const struct remuda_value *value)
{
	put(writer, value, 1);
}

void rmd_value_put_field(struct rmd_wire_writer *writer, uint32_t number,
			 const struct remuda_value *value)
{
	put_nested(writer, number, value, 1);
}
