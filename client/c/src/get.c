/* remuda_result and remuda_get: what became of a task, as the type that is asked for. */
#include "client/c/src/get.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/c/src/client.h"
#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/value.h"
#include "proto/error/chain.h"

void rmd_decoded_free(struct rmd_decoded *decoded)
{
	if (decoded == NULL)
		return;
	rmd_arena_fini(&decoded->arena);
	rmd_free(decoded);
}

int rmd_future_code(const struct remuda_future *future)
{
	if (future->code != 0)
		return future->code;
	switch (future->kind) {
	case RMD_OUTCOME_VALUE:
	case RMD_OUTCOME_VALUE_TRANSFER:
		return 0;
	case RMD_OUTCOME_ERROR:
		return REMUDA_ETASK;
	case RMD_OUTCOME_CANCELLED:
		return REMUDA_ECANCELLED;
	case RMD_OUTCOME_VALUE_REFERENCE: /* sessions have none */
		break;
	}
	return REMUDA_EPROTO;
}

struct remuda_error *rmd_future_error(const struct remuda_future *future)
{
	struct remuda_error *err = NULL;
	const char *field = NULL;
	if (future->kind == RMD_OUTCOME_CANCELLED) {
		if (future->bytes.len == 0)
			return remuda_error_create("Cancelled", "the task was cancelled");
		return remuda_error_create("Cancelled", "the task was cancelled: %.*s",
					   (int)future->bytes.len,
					   (const char *)future->bytes.data);
	}
	if (future->bytes.len == 0)
		return remuda_error_create("OutOfMemory", "out of memory in the client");
	int rc = rmd_error_decode(future->bytes, &err, &field);
	if (rc == 0)
		return err;
	return remuda_error_create(
		rc == RMD_ENOMEM ? "OutOfMemory" : "ProtocolError",
		"the task failed, and its error cannot be read: %s (%s)",
		rmd_errcode_text(rc), field != NULL ? field : "ErrorChain");
}

/* Gives `err` to the caller, or drops it where the caller wants none. Gives `code`. */
static int give(int code, struct remuda_error *err, struct remuda_error **ret_err)
{
	if (ret_err != NULL)
		*ret_err = err;
	else
		remuda_error_free(err);
	return code;
}

static int no_future(struct remuda_error **ret_err)
{
	return give(REMUDA_ENOMEM,
		    remuda_error_create("NoFuture",
					"there is no future: the submit was given no "
					"client (NULL), or memory was out"),
		    ret_err);
}

static int decode(struct remuda_future *future, struct remuda_error **ret_err)
{
	struct rmd_decoded *decoded = rmd_calloc(1, sizeof *decoded);
	if (decoded == NULL)
		return give(REMUDA_ENOMEM,
			    remuda_error_create("OutOfMemory", "for a result"), ret_err);
	rmd_arena_init(&decoded->arena, 0);
	int rc = rmd_value_get(future->bytes, &decoded->arena, &decoded->value);
	if (rc < 0) {
		rmd_decoded_free(decoded);
		return give(rc == RMD_ENOMEM ? REMUDA_ENOMEM : REMUDA_EPROTO,
			    remuda_error_create(rc == RMD_ENOMEM ? "OutOfMemory"
								 : "ProtocolError",
						"the result cannot be read: %s",
						rmd_errcode_text(rc)),
			    ret_err);
	}
	future->decoded = decoded;
	return 0;
}

int remuda_result(struct remuda_future *future, const struct remuda_value **ret_value,
		  struct remuda_error **ret_err)
{
	if (future == NULL)
		return no_future(ret_err);
	int code = remuda_wait(future, -1);
	if (code < 0)
		return give(code, rmd_forked_error(), ret_err);
	code = rmd_future_code(future);
	if (code < 0)
		return give(code, rmd_future_error(future), ret_err);
	if (future->decoded == NULL && (code = decode(future, ret_err)) < 0)
		return code;
	*ret_value = &future->decoded->value;
	return 0;
}

/* ---- by type ---- */

static struct remuda_error *type_error(const struct remuda_value *value,
				       const char *asked)
{
	return remuda_error_create("ResultType",
				   "the result is of type %s, but %s was asked for",
				   remuda_kind_name(value->kind), asked);
}

static struct remuda_error *range_error(const char *asked)
{
	return remuda_error_create("ResultRange", "the result does not fit %s", asked);
}

/* Waits, then has `convert` fill `ret`; takes the future. convert: 0, REMUDA_ETYPE,
 * REMUDA_ERANGE or REMUDA_ENOMEM. */
static int take(struct remuda_future *future, void *ret, const char *asked,
		int (*convert)(const struct remuda_value *value, void *ret),
		struct remuda_error **ret_err)
{
	const struct remuda_value *value;
	int code = remuda_result(future, &value, ret_err);
	if (code == 0 && (code = convert(value, ret)) < 0) {
		struct remuda_error *err =
			code == REMUDA_ETYPE ? type_error(value, asked)
			: code == REMUDA_ERANGE
				? range_error(asked)
				: remuda_error_create("OutOfMemory", "for a result");
		give(code, err, ret_err);
	}
	rmd_future_unref(future);
	return code;
}

static int as_int64(const struct remuda_value *value, void *ret)
{
	if (value->kind == REMUDA_UINT64 || value->kind == REMUDA_BIGINT)
		return REMUDA_ERANGE;
	if (value->kind != REMUDA_INT64)
		return REMUDA_ETYPE;
	*(int64_t *)ret = value->u.int64;
	return 0;
}

static int as_uint64(const struct remuda_value *value, void *ret)
{
	if (value->kind == REMUDA_BIGINT ||
	    (value->kind == REMUDA_INT64 && value->u.int64 < 0))
		return REMUDA_ERANGE;
	if (value->kind != REMUDA_INT64 && value->kind != REMUDA_UINT64)
		return REMUDA_ETYPE;
	*(uint64_t *)ret =
		value->kind == REMUDA_INT64 ? (uint64_t)value->u.int64 : value->u.uint64;
	return 0;
}

static int as_llong(const struct remuda_value *value, void *ret)
{
	int64_t number;
	int code = as_int64(value, &number);
	if (code == 0)
		*(long long *)ret = number;
	return code;
}

static int as_ullong(const struct remuda_value *value, void *ret)
{
	uint64_t number;
	int code = as_uint64(value, &number);
	if (code == 0)
		*(unsigned long long *)ret = number;
	return code;
}

static int as_int(const struct remuda_value *value, void *ret)
{
	int64_t number;
	int code = as_int64(value, &number);
	if (code == 0 && (number < INT_MIN || number > INT_MAX))
		code = REMUDA_ERANGE;
	if (code == 0)
		*(int *)ret = (int)number;
	return code;
}

static int as_uint(const struct remuda_value *value, void *ret)
{
	uint64_t number;
	int code = as_uint64(value, &number);
	if (code == 0 && number > UINT_MAX)
		code = REMUDA_ERANGE;
	if (code == 0)
		*(unsigned *)ret = (unsigned)number;
	return code;
}

static int as_double(const struct remuda_value *value, void *ret)
{
	const int64_t exact = INT64_C(1) << 53;
	if (value->kind == REMUDA_FLOAT64)
		*(double *)ret = value->u.float64;
	else if (value->kind != REMUDA_INT64)
		return REMUDA_ETYPE;
	else if (value->u.int64 > exact || value->u.int64 < -exact)
		return REMUDA_ERANGE;
	else
		*(double *)ret = (double)value->u.int64;
	return 0;
}

static int as_float(const struct remuda_value *value, void *ret)
{
	double number;
	int code = as_double(value, &number);
	if (code == 0 && isfinite(number) && fabs(number) > (double)FLT_MAX)
		code = REMUDA_ERANGE;
	if (code == 0)
		*(float *)ret = (float)number;
	return code;
}

static int as_bool(const struct remuda_value *value, void *ret)
{
	if (value->kind != REMUDA_BOOLEAN)
		return REMUDA_ETYPE;
	*(bool *)ret = value->u.boolean;
	return 0;
}

/* A copy from malloc with a NUL behind it: what the caller gives to free(). */
static void *copy_out(const void *data, size_t len)
{
	char *copy = rmd_malloc(len + 1);
	if (copy == NULL)
		return NULL;
	if (len != 0)
		memcpy(copy, data, len);
	copy[len] = '\0';
	return copy;
}

static int as_string(const struct remuda_value *value, void *ret)
{
	if (value->kind != REMUDA_STRING)
		return REMUDA_ETYPE;
	char *copy = copy_out(value->u.string.data, value->u.string.len);
	if (copy == NULL)
		return REMUDA_ENOMEM;
	*(struct remuda_string *)ret = (struct remuda_string){copy, value->u.string.len};
	return 0;
}

static int as_text(const struct remuda_value *value, void *ret)
{
	if (value->kind == REMUDA_STRING && value->u.string.len != 0 &&
	    memchr(value->u.string.data, '\0', value->u.string.len) != NULL)
		return REMUDA_ERANGE;
	struct remuda_string string;
	int code = as_string(value, &string);
	if (code == 0)
		*(char **)ret = (char *)(uintptr_t)string.data;
	return code;
}

static int as_bytes(const struct remuda_value *value, void *ret)
{
	if (value->kind != REMUDA_BYTES)
		return REMUDA_ETYPE;
	void *copy = copy_out(value->u.bytes.data, value->u.bytes.len);
	if (copy == NULL)
		return REMUDA_ENOMEM;
	*(struct remuda_bytes *)ret = (struct remuda_bytes){copy, value->u.bytes.len};
	return 0;
}

/* Numbers of 8 bytes each: a packed list, a list of `item` only, a 1-dimensional array.
 */
static int as_numbers(const struct remuda_value *value, enum remuda_kind packed,
		      enum remuda_kind item, enum remuda_dtype dtype, void **ret_data,
		      size_t *ret_len)
{
	const void *data = NULL;
	size_t len = 0;
	if (value->kind == packed) {
		data = packed == REMUDA_INTS ? (const void *)value->u.ints.data
					     : value->u.doubles.data;
		len = packed == REMUDA_INTS ? value->u.ints.len : value->u.doubles.len;
	} else if (value->kind == REMUDA_ARRAY && value->u.array.dtype == dtype &&
		   value->u.array.rank == 1) {
		data = value->u.array.data;
		len = value->u.array.shape[0];
	} else if (value->kind == REMUDA_LIST || value->kind == REMUDA_TUPLE) {
		len = value->u.list.len;
		for (size_t i = 0; i < len; i++)
			if (value->u.list.items[i].kind != item)
				return REMUDA_ETYPE;
	} else {
		return REMUDA_ETYPE;
	}
	uint64_t *copy = copy_out(data, data != NULL ? len * 8 : 0);
	if (data == NULL && copy != NULL) {
		rmd_free(copy);
		copy = rmd_calloc(len, 8);
	}
	if (copy == NULL)
		return REMUDA_ENOMEM;
	for (size_t i = 0; data == NULL && i < len; i++)
		memcpy(&copy[i], &value->u.list.items[i].u, 8);
	*ret_data = copy;
	*ret_len = len;
	return 0;
}

static int as_int64s(const struct remuda_value *value, void *ret)
{
	void *data;
	struct remuda_int64s *numbers = ret;
	int code = as_numbers(value, REMUDA_INTS, REMUDA_INT64, REMUDA_DTYPE_INT64, &data,
			      &numbers->len);
	if (code == 0)
		numbers->data = data;
	return code;
}

static int as_doubles(const struct remuda_value *value, void *ret)
{
	void *data;
	struct remuda_doubles *numbers = ret;
	int code = as_numbers(value, REMUDA_DOUBLES, REMUDA_FLOAT64, REMUDA_DTYPE_FLOAT64,
			      &data, &numbers->len);
	if (code == 0)
		numbers->data = data;
	return code;
}

static int as_value(const struct remuda_value *value, void *ret)
{
	return remuda_value_copy(value, ret);
}

static int as_nothing(const struct remuda_value *value, void *ret)
{
	(void)value;
	(void)ret;
	return 0;
}

#define GETTER(name, type, asked)                                                    \
	int remuda_get_##name(struct remuda_future *future, type *ret,               \
			      struct remuda_error **ret_err)                         \
	{                                                                            \
		return take(future, ret, asked, as_##name, ret_err);                 \
	}

GETTER(int64, int64_t, "an int64")
GETTER(llong, long long, "an int64")
GETTER(int, int, "an int")
GETTER(uint64, uint64_t, "a uint64")
GETTER(ullong, unsigned long long, "a uint64")
GETTER(uint, unsigned, "an unsigned int")
GETTER(double, double, "a double")
GETTER(float, float, "a float")
GETTER(bool, bool, "a boolean")
GETTER(text, char *, "text without a NUL")
GETTER(string, struct remuda_string, "text")
GETTER(bytes, struct remuda_bytes, "bytes")
GETTER(int64s, struct remuda_int64s, "a list of int64")
GETTER(doubles, struct remuda_doubles, "a list of doubles")
GETTER(value, struct remuda_value, "any value")

int remuda_get_nothing(struct remuda_future *future, const void *null,
		       struct remuda_error **ret_err)
{
	(void)null;
	return take(future, NULL, "nothing", as_nothing, ret_err);
}
