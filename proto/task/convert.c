#include "proto/task/convert.h"

#include <math.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/errcode.h"

/* ---- numbers ---- */

/* The integer in `value`, as 65 bits: *ret_negative says that it is a negative int64. */
static int integer_of(const struct remuda_value *value, bool *ret_negative,
		      uint64_t *ret_bits)
{
	if (value->kind == REMUDA_BIGINT)
		return RMD_ERANGE;
	if (value->kind != REMUDA_INT64 && value->kind != REMUDA_UINT64)
		return RMD_ETYPE;
	*ret_negative = value->kind == REMUDA_INT64 && value->u.int64 < 0;
	*ret_bits = value->u.uint64;
	return 0;
}

static int to_signed(const struct remuda_value *value, unsigned bits, int64_t *ret)
{
	bool negative;
	uint64_t number;
	int rc = integer_of(value, &negative, &number);
	if (rc < 0)
		return rc;
	int64_t low = INT64_MIN >> (64 - bits), high = INT64_MAX >> (64 - bits);
	if (negative ? (int64_t)number < low : number > (uint64_t)high)
		return RMD_ERANGE;
	*ret = (int64_t)number;
	return 0;
}

static int to_unsigned(const struct remuda_value *value, unsigned bits, uint64_t *ret)
{
	bool negative;
	uint64_t number;
	int rc = integer_of(value, &negative, &number);
	if (rc < 0)
		return rc;
	if (negative || number > UINT64_MAX >> (64 - bits))
		return RMD_ERANGE;
	*ret = number;
	return 0;
}

/* Any integer that a double holds exactly; of a float64 the number itself. */
static int to_double(const struct remuda_value *value, double *ret)
{
	if (value->kind == REMUDA_FLOAT64) {
		*ret = value->u.float64;
		return 0;
	}
	bool negative;
	uint64_t number;
	int rc = integer_of(value, &negative, &number);
	if (rc < 0)
		return rc;
	uint64_t magnitude = negative ? 0 - number : number;
	/* 53 bits between the highest and the lowest one that is set. */
	if (magnitude != 0 &&
	    64 - __builtin_clzll(magnitude) - __builtin_ctzll(magnitude) > 53)
		return RMD_ERANGE;
	*ret = negative ? -(double)magnitude : (double)magnitude;
	return 0;
}

static int to_float(const struct remuda_value *value, float *ret)
{
	double wide;
	int rc = to_double(value, &wide);
	if (rc < 0)
		return rc;
	float narrow = (float)wide;
	if (isinf(narrow) && !isinf(wide))
		return RMD_ERANGE;
	if (value->kind != REMUDA_FLOAT64 && (double)narrow != wide)
		return RMD_ERANGE;
	*ret = narrow;
	return 0;
}

static int to_bool(const struct remuda_value *value, bool *ret)
{
	uint64_t bit;
	if (value->kind == REMUDA_BOOLEAN) {
		*ret = value->u.boolean;
		return 0;
	}
	int rc = to_unsigned(value, 1, &bit);
	if (rc == 0)
		*ret = bit != 0;
	return rc;
}

/* ---- text and bytes ---- */

static int to_text(const struct remuda_value *value, struct rmd_arena *arena,
		   const char **ret)
{
	if (value->kind == REMUDA_STRING) {
		if (value->u.string.len != 0 &&
		    memchr(value->u.string.data, 0, value->u.string.len) != NULL)
			return RMD_EINVAL;
		*ret = value->u.string.len != 0 ? value->u.string.data : "";
		return 0;
	}
	if (value->kind != REMUDA_BYTES)
		return RMD_ETYPE;
	struct rmd_slice bytes = rmd_slice_of(value->u.bytes.data, value->u.bytes.len);
	if (bytes.len != 0 && memchr(bytes.data, 0, bytes.len) != NULL)
		return RMD_EINVAL;
	const char *copy = rmd_arena_copy(arena, bytes);
	if (copy == NULL)
		return RMD_ENOMEM;
	*ret = copy;
	return 0;
}

static int to_bytes(const struct remuda_value *value, struct remuda_bytes *ret)
{
	if (value->kind == REMUDA_BYTES)
		*ret = value->u.bytes;
	else if (value->kind == REMUDA_STRING)
		*ret = (struct remuda_bytes){value->u.string.data, value->u.string.len};
	else
		return RMD_ETYPE;
	return 0;
}

/* ---- vectors and arrays ---- */

/* The items of a list or tuple, or NULL: it is neither. */
static const struct remuda_value *items_of(const struct remuda_value *value,
					   size_t *ret_len)
{
	if (value->kind != REMUDA_LIST && value->kind != REMUDA_TUPLE)
		return NULL;
	*ret_len = value->u.list.len;
	return value->u.list.items;
}

static bool vector_of(const struct remuda_value *value, enum remuda_dtype dtype,
		      const void **ret_data, size_t *ret_len)
{
	if (value->kind != REMUDA_ARRAY || value->u.array.rank != 1 ||
	    value->u.array.dtype != dtype)
		return false;
	*ret_data = value->u.array.data;
	*ret_len = (size_t)value->u.array.shape[0];
	return true;
}

static bool empty_list(const struct remuda_value *value)
{
	return ((value->kind == REMUDA_LIST || value->kind == REMUDA_TUPLE) &&
		value->u.list.len == 0) ||
	       (value->kind == REMUDA_INTS && value->u.ints.len == 0) ||
	       (value->kind == REMUDA_DOUBLES && value->u.doubles.len == 0);
}

static int to_int64s(const struct remuda_value *value, struct rmd_arena *arena,
		     struct remuda_int64s *ret)
{
	const void *data = NULL;
	size_t len = 0;
	if (value->kind == REMUDA_INTS) {
		*ret = value->u.ints;
		return 0;
	}
	if (empty_list(value) || vector_of(value, REMUDA_DTYPE_INT64, &data, &len)) {
		*ret = (struct remuda_int64s){data, len};
		return 0;
	}
	const struct remuda_value *items = items_of(value, &len);
	if (items == NULL)
		return RMD_ETYPE;
	int64_t *numbers = rmd_arena_calloc(arena, len, sizeof *numbers);
	if (numbers == NULL)
		return RMD_ENOMEM;
	for (size_t i = 0; i < len; i++) {
		int rc = to_signed(&items[i], 64, &numbers[i]);
		if (rc < 0)
			return rc;
	}
	*ret = (struct remuda_int64s){numbers, len};
	return 0;
}

static int to_doubles(const struct remuda_value *value, struct rmd_arena *arena,
		      struct remuda_doubles *ret)
{
	const void *data = NULL;
	size_t len = 0;
	if (value->kind == REMUDA_DOUBLES) {
		*ret = value->u.doubles;
		return 0;
	}
	if (empty_list(value) || vector_of(value, REMUDA_DTYPE_FLOAT64, &data, &len)) {
		*ret = (struct remuda_doubles){data, len};
		return 0;
	}
	const struct remuda_value *items = items_of(value, &len);
	if (value->kind == REMUDA_INTS)
		len = value->u.ints.len;
	else if (items == NULL)
		return RMD_ETYPE;
	double *numbers = rmd_arena_calloc(arena, len, sizeof *numbers);
	if (numbers == NULL)
		return RMD_ENOMEM;
	for (size_t i = 0; i < len; i++) {
		struct remuda_value item = {.kind = REMUDA_INT64};
		if (items == NULL)
			item.u.int64 = value->u.ints.data[i];
		int rc = to_double(items != NULL ? &items[i] : &item, &numbers[i]);
		if (rc < 0)
			return rc;
	}
	*ret = (struct remuda_doubles){numbers, len};
	return 0;
}

static int to_array(const struct remuda_value *value, struct rmd_arena *arena,
		    struct remuda_array *ret)
{
	if (value->kind == REMUDA_ARRAY) {
		*ret = value->u.array;
		return 0;
	}
	if (value->kind != REMUDA_INTS && value->kind != REMUDA_DOUBLES)
		return RMD_ETYPE;
	uint64_t *shape = rmd_arena_alloc(arena, sizeof *shape);
	if (shape == NULL)
		return RMD_ENOMEM;
	bool ints = value->kind == REMUDA_INTS;
	*shape = ints ? value->u.ints.len : value->u.doubles.len;
	*ret = (struct remuda_array){
		.dtype = ints ? REMUDA_DTYPE_INT64 : REMUDA_DTYPE_FLOAT64,
		.rank = 1,
		.shape = shape,
		.data = ints ? (const void *)value->u.ints.data : value->u.doubles.data,
		.data_bytes = (size_t)*shape * 8,
	};
	return 0;
}

/* ---- by type ---- */

/* Integer types: their width, negative for unsigned ones; 0 for no integer. */
static int width_of(enum remuda_type type)
{
	static const signed char widths[] = {
		[REMUDA_TYPE_INT8] = 8,	    [REMUDA_TYPE_INT16] = 16,
		[REMUDA_TYPE_INT32] = 32,   [REMUDA_TYPE_INT64] = 64,
		[REMUDA_TYPE_UINT8] = -8,   [REMUDA_TYPE_UINT16] = -16,
		[REMUDA_TYPE_UINT32] = -32, [REMUDA_TYPE_UINT64] = -64,
		[REMUDA_TYPE_CTX] = 0,
	};
	return (unsigned)type < sizeof widths ? widths[type] : 0;
}

/* Stores the low `bits` bits: the machine is little-endian, as all of ours are. */
static void store(uint64_t number, int bits, void *ret)
{
	_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "low bytes first");
	memcpy(ret, &number, (size_t)bits / 8);
}

static int to_integer(const struct remuda_value *value, int width, void *ret)
{
	uint64_t number = 0;
	int64_t number_signed = 0;
	int rc = width > 0 ? to_signed(value, (unsigned)width, &number_signed)
			   : to_unsigned(value, (unsigned)-width, &number);
	if (rc == 0)
		store(width > 0 ? (uint64_t)number_signed : number,
		      width > 0 ? width : -width, ret);
	return rc;
}

int rmd_task_to_c(const struct remuda_value *value, enum remuda_type type,
		  struct rmd_arena *arena, void *ret)
{
	if (width_of(type) != 0)
		return to_integer(value, width_of(type), ret);
	if (type == REMUDA_TYPE_BOOL)
		return to_bool(value, ret);
	if (type == REMUDA_TYPE_FLOAT)
		return to_float(value, ret);
	if (type == REMUDA_TYPE_DOUBLE)
		return to_double(value, ret);
	if (type == REMUDA_TYPE_TEXT)
		return to_text(value, arena, ret);
	if (type == REMUDA_TYPE_BYTES)
		return to_bytes(value, ret);
	if (type == REMUDA_TYPE_INT64S)
		return to_int64s(value, arena, ret);
	if (type == REMUDA_TYPE_DOUBLES)
		return to_doubles(value, arena, ret);
	if (type == REMUDA_TYPE_ARRAY)
		return to_array(value, arena, ret);
	if (type == REMUDA_TYPE_VALUE) {
		memcpy(ret, value, sizeof *value);
		return 0;
	}
	RMD_CHECK(type == REMUDA_TYPE_STRING);
	if (value->kind != REMUDA_STRING)
		return RMD_ETYPE;
	memcpy(ret, &value->u.string, sizeof value->u.string);
	return 0;
}

static struct remuda_value of_integer(int width, const void *c)
{
	struct remuda_value value = {.kind = REMUDA_INT64};
	uint64_t number = 0;
	memcpy(&number, c, (size_t)(width > 0 ? width : -width) / 8);
	if (width > 0) {
		unsigned shift = 64 - (unsigned)width;
		value.u.int64 = (int64_t)(number << shift) >> shift;
	} else {
		value.u.uint64 = number;
		if (number > INT64_MAX)
			value.kind = REMUDA_UINT64;
	}
	return value;
}

static struct remuda_value of_text(const void *c)
{
	const char *text;
	memcpy(&text, c, sizeof text);
	if (text == NULL)
		return (struct remuda_value){.kind = REMUDA_NULL};
	return (struct remuda_value){.kind = REMUDA_STRING,
				     .u.string = {text, strlen(text)}};
}

struct remuda_value rmd_task_from_c(enum remuda_type type, const void *c)
{
	struct remuda_value value = {.kind = REMUDA_NULL};
	float narrow;
	if (width_of(type) != 0)
		return of_integer(width_of(type), c);
	switch (type) {
	case REMUDA_TYPE_VOID:
		break;
	case REMUDA_TYPE_BOOL:
		value.kind = REMUDA_BOOLEAN;
		memcpy(&value.u.boolean, c, sizeof value.u.boolean);
		break;
	case REMUDA_TYPE_FLOAT:
		value.kind = REMUDA_FLOAT64;
		memcpy(&narrow, c, sizeof narrow);
		value.u.float64 = narrow;
		break;
	case REMUDA_TYPE_DOUBLE:
		value.kind = REMUDA_FLOAT64;
		memcpy(&value.u.float64, c, sizeof value.u.float64);
		break;
	case REMUDA_TYPE_TEXT:
		return of_text(c);
	case REMUDA_TYPE_STRING:
		value.kind = REMUDA_STRING;
		memcpy(&value.u.string, c, sizeof value.u.string);
		break;
	case REMUDA_TYPE_BYTES:
		value.kind = REMUDA_BYTES;
		memcpy(&value.u.bytes, c, sizeof value.u.bytes);
		break;
	case REMUDA_TYPE_INT64S:
		value.kind = REMUDA_INTS;
		memcpy(&value.u.ints, c, sizeof value.u.ints);
		break;
	case REMUDA_TYPE_DOUBLES:
		value.kind = REMUDA_DOUBLES;
		memcpy(&value.u.doubles, c, sizeof value.u.doubles);
		break;
	case REMUDA_TYPE_ARRAY:
		value.kind = REMUDA_ARRAY;
		memcpy(&value.u.array, c, sizeof value.u.array);
		break;
	case REMUDA_TYPE_VALUE:
		memcpy(&value, c, sizeof value);
		break;
	case REMUDA_TYPE_INT8:
	case REMUDA_TYPE_INT16:
	case REMUDA_TYPE_INT32:
	case REMUDA_TYPE_INT64:
	case REMUDA_TYPE_UINT8:
	case REMUDA_TYPE_UINT16:
	case REMUDA_TYPE_UINT32:
	case REMUDA_TYPE_UINT64:
	case REMUDA_TYPE_MESSAGE:
	case REMUDA_TYPE_CTX:
		RMD_UNREACHABLE("integers are done above, messages elsewhere");
	}
	return value;
}
