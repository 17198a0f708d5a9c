/* remuda/value.h: values, what travels as argument and result.
 *
 * A value is a plain struct that borrows whatever it points to: text, bytes, items. Who
 * made it says how long that lives (in a task: the inputs for the call, what comes from
 * remuda_alloc until the task has ended; in a client: until remuda_value_free).
 * Header only, links with nothing. Not thread-safe as such: share it read-only.
 * The wire form is remuda.v1.Value in proto/remuda/v1/value.proto. */
#ifndef REMUDA_VALUE_H
#define REMUDA_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Deepest nesting: a scalar is level 1. */
#define REMUDA_VALUE_DEPTH_MAX 30
/* Most dimensions of an array. */
#define REMUDA_ARRAY_RANK_MAX 32
/* Longest u.bytes of a REMUDA_BIGINT, in bytes. */
#define REMUDA_BIGINT_MAX 65536
/* Longest names, in bytes: u.string of a REMUDA_FUNCTION, u.named.name,
 * u.opaque.codec. */
#define REMUDA_FUNCTION_NAME_MAX 512
#define REMUDA_NAMED_NAME_MAX 256
#define REMUDA_OPAQUE_CODEC_MAX 64

enum remuda_kind {
	REMUDA_NULL = 0,
	REMUDA_BOOLEAN,
	REMUDA_INT64,
	REMUDA_UINT64,               /* 2^63 and above; smaller ones are REMUDA_INT64 */
	REMUDA_BIGINT,               /* u.bytes: two's complement, little-endian, shortest form;
				      * what fits in one of the two above travels as that */
	REMUDA_FLOAT64,
	REMUDA_COMPLEX,
	REMUDA_STRING,               /* u.string: UTF-8, and a NUL behind it */
	REMUDA_BYTES,
	REMUDA_LIST,                 /* u.list */
	REMUDA_TUPLE,                /* u.list */
	REMUDA_MAP,                  /* u.map */
	REMUDA_SET,                  /* u.list */
	REMUDA_ARRAY,                /* u.array */
	REMUDA_TIMESTAMP,            /* u.time since 1970 UTC, years 1 to 9999; nanos from 0 on */
	REMUDA_DURATION,             /* u.time, at most 315,576,000,000 s; both of one sign */
	REMUDA_FUNCTION,             /* u.string: "RUNTIME:NAME", or one that was captured */
	REMUDA_BLOB,                 /* u.blob */
	REMUDA_ANY,                  /* u.any: a protobuf message */
	REMUDA_NAMED,                /* u.named */
	REMUDA_OPAQUE,               /* u.opaque */
	REMUDA_INTS,                 /* u.ints: a list of int64 only, packed */
	REMUDA_DOUBLES,              /* u.doubles: a list of float64 only, packed */
};

/* Element types of arrays; the numbers are those of remuda.v1.Dtype. */
enum remuda_dtype {
	REMUDA_DTYPE_BOOL = 1,
	REMUDA_DTYPE_INT8,
	REMUDA_DTYPE_INT16,
	REMUDA_DTYPE_INT32,
	REMUDA_DTYPE_INT64,
	REMUDA_DTYPE_UINT8,
	REMUDA_DTYPE_UINT16,
	REMUDA_DTYPE_UINT32,
	REMUDA_DTYPE_UINT64,
	REMUDA_DTYPE_FLOAT16,
	REMUDA_DTYPE_FLOAT32,
	REMUDA_DTYPE_FLOAT64,
	REMUDA_DTYPE_COMPLEX64,
	REMUDA_DTYPE_COMPLEX128,
};

/* Some bytes, borrowed. */
struct remuda_bytes {
	const void *data;            /* may be NULL when len is 0 */
	size_t len;
};

/* UTF-8 text, borrowed, with a NUL at data[len]; may hold NULs before. */
struct remuda_string {
	const char *data;
	size_t len;
};

/* A dense array in row-major order, little-endian, borrowed; data is aligned for its
 * type. */
struct remuda_array {
	enum remuda_dtype dtype;
	uint32_t rank;               /* 0: a single element */
	const uint64_t *shape;       /* rank numbers */
	const void *data;
	size_t data_bytes;           /* product(shape) * remuda_dtype_size(dtype) */
};

/* Typed vectors: what task functions take and give as one-dimensional arrays. */
struct remuda_int64s {
	const int64_t *data;
	size_t len;                  /* elements */
};
struct remuda_doubles {
	const double *data;
	size_t len;                  /* elements */
};

struct remuda_value;
struct remuda_entry;

struct remuda_value {
	enum remuda_kind kind;
	union {
		bool boolean;
		int64_t int64;
		uint64_t uint64;
		double float64;
		struct {
			double real, imaginary;
		} complex;
		struct remuda_string string;
		struct remuda_bytes bytes;
		struct {
			const struct remuda_value *items;
			size_t len;
		} list;
		struct {
			const struct remuda_entry *entries;
			size_t len;
		} map;
		struct remuda_array array;
		struct {
			int64_t seconds;
			int32_t nanos;
		} time;
		struct {
			uint8_t digest[32];
			uint64_t size_bytes;
		} blob;
		struct {
			struct remuda_string type_url;
			struct remuda_bytes data;
		} any;
		struct {
			struct remuda_string name;
			const struct remuda_value *value;
		} named;
		struct {
			struct remuda_string codec;
			struct remuda_bytes data;
		} opaque;
		struct remuda_int64s ints;
		struct remuda_doubles doubles;
	} u;
};

/* One pair of a map. */
struct remuda_entry {
	struct remuda_value key, value;
};

/* Size of one element in bytes, or 0 for what is not a dtype. */
static inline size_t remuda_dtype_size(enum remuda_dtype dtype)
{
	static const uint8_t sizes[] = {0, 1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8, 8, 16};
	return (unsigned)dtype < sizeof sizes ? sizes[(unsigned)dtype] : 0;
}

/* The element type's name ("int32"), borrowed for ever; "?" for what is not a dtype. */
static inline const char *remuda_dtype_name(enum remuda_dtype dtype)
{
	static const char *const names[] = {
		"?", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
		"uint64", "float16", "float32", "float64", "complex64", "complex128",
	};
	return (unsigned)dtype < sizeof names / sizeof *names ? names[(unsigned)dtype] : "?";
}

/* The kind's name as it stands in value.proto ("int64", "list"), borrowed for ever. */
static inline const char *remuda_kind_name(enum remuda_kind kind)
{
	static const char *const names[] = {
		"null", "boolean", "int64", "uint64", "bigint", "float64", "complex", "string",
		"bytes", "list", "tuple", "map", "set", "array", "timestamp", "duration",
		"function", "blob", "any", "named", "opaque", "ints", "doubles",
	};
	return (unsigned)kind < sizeof names / sizeof *names ? names[(unsigned)kind] : "?";
}

/* True for what can be walked with the two below: list, tuple, set, ints, doubles. A list
 * that travelled may arrive packed (ints, doubles): these hide which one it is. */
static inline bool remuda_value_listlike(const struct remuda_value *value)
{
	return value->kind == REMUDA_LIST || value->kind == REMUDA_TUPLE ||
	       value->kind == REMUDA_SET || value->kind == REMUDA_INTS ||
	       value->kind == REMUDA_DOUBLES;
}

/* Items of a listlike value; 0 for any other. */
static inline size_t remuda_value_list_len(const struct remuda_value *value)
{
	if (value->kind == REMUDA_INTS)
		return value->u.ints.len;
	if (value->kind == REMUDA_DOUBLES)
		return value->u.doubles.len;
	return remuda_value_listlike(value) ? value->u.list.len : 0;
}

/* Item `index`, below remuda_value_list_len; borrows what the list borrows. */
static inline struct remuda_value remuda_value_list_item(const struct remuda_value *value,
							 size_t index)
{
	struct remuda_value item;
	if (value->kind == REMUDA_INTS) {
		item.kind = REMUDA_INT64;
		item.u.int64 = value->u.ints.data[index];
		return item;
	}
	if (value->kind == REMUDA_DOUBLES) {
		item.kind = REMUDA_FLOAT64;
		item.u.float64 = value->u.doubles.data[index];
		return item;
	}
	return value->u.list.items[index];
}

#ifdef __cplusplus
}
#endif
#endif
