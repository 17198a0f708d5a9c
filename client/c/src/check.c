#include "client/c/src/check.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/errcode.h"
#include "proto/codec/frames.h"
#include "proto/codec/value.h"
#include "proto/codec/wire.h"
#include "proto/error/chain.h"

/* For "kwargs[…]" in a message. */
#define PLACE_BYTES 64
/* Integers up to this size are doubles without loss. */
#define DOUBLE_EXACT_MAX (INT64_C(1) << 53)

/* ---- one argument against its declared type ---- */

static bool fits_signed(int64_t n, unsigned bits)
{
	return bits == 64 ||
	       (n >= -(INT64_C(1) << (bits - 1)) && n < INT64_C(1) << (bits - 1));
}

static bool fits_unsigned(const struct remuda_value *value, unsigned bits)
{
	if (value->kind == REMUDA_UINT64)
		return bits == 64;
	return value->u.int64 >= 0 && (bits == 64 || value->u.int64 < INT64_C(1) << bits);
}

/* Integers: a boolean is 0 or 1, as in C. RMD_ETYPE, RMD_ERANGE. */
static int to_integer(const struct remuda_value *from, bool with_sign, unsigned bits,
		      struct remuda_value *to)
{
	if (from->kind == REMUDA_BOOLEAN) {
		*to = (struct remuda_value){.kind = REMUDA_INT64, .u.int64 = from->u.boolean};
		return 0;
	}
	if (from->kind != REMUDA_INT64 && from->kind != REMUDA_UINT64)
		return RMD_ETYPE;
	if (!with_sign)
		return fits_unsigned(from, bits) ? 0 : RMD_ERANGE;
	return from->kind == REMUDA_INT64 && fits_signed(from->u.int64, bits)
		       ? 0
		       : RMD_ERANGE;
}

static int to_boolean(const struct remuda_value *from, struct remuda_value *to)
{
	if (from->kind == REMUDA_BOOLEAN)
		return 0;
	if (from->kind != REMUDA_INT64)
		return RMD_ETYPE;
	if (from->u.int64 != 0 && from->u.int64 != 1)
		return RMD_ERANGE;
	*to = (struct remuda_value){.kind = REMUDA_BOOLEAN, .u.boolean = from->u.int64 == 1};
	return 0;
}

static int to_double(const struct remuda_value *from, struct remuda_value *to)
{
	if (from->kind == REMUDA_FLOAT64)
		return 0;
	if (from->kind != REMUDA_INT64)
		return RMD_ETYPE;
	if (from->u.int64 > DOUBLE_EXACT_MAX || from->u.int64 < -DOUBLE_EXACT_MAX)
		return RMD_ERANGE;
	*to = (struct remuda_value){.kind = REMUDA_FLOAT64, .u.float64 = (double)from->u.int64};
	return 0;
}

/* A list of numbers: packed, an array of that type, or a list (whose items the worker
 * checks). */
static int is_numbers(const struct remuda_value *value, enum remuda_kind packed,
		      enum remuda_dtype dtype)
{
	if (value->kind == packed || value->kind == REMUDA_LIST ||
	    value->kind == REMUDA_TUPLE)
		return 0;
	return value->kind == REMUDA_ARRAY && value->u.array.dtype == dtype &&
			       value->u.array.rank == 1
		       ? 0
		       : RMD_ETYPE;
}

static int one_of(const struct remuda_value *value, enum remuda_kind a,
		  enum remuda_kind b, enum remuda_kind c)
{
	return value->kind == a || value->kind == b || value->kind == c ? 0 : RMD_ETYPE;
}

/* Fills *to (a copy of *from before) as a parameter of `type` takes it. */
static int convert(enum remuda_type type, const struct remuda_arg *arg,
		   struct remuda_value *to)
{
	const struct remuda_value *from = &arg->value;
	if (arg->message != NULL)
		return type == REMUDA_TYPE_MESSAGE || type == REMUDA_TYPE_VALUE
			       ? 0
			       : RMD_ETYPE;
	switch (type) {
	case REMUDA_TYPE_BOOL:
		return to_boolean(from, to);
	case REMUDA_TYPE_INT8:
	case REMUDA_TYPE_INT16:
	case REMUDA_TYPE_INT32:
	case REMUDA_TYPE_INT64:
		return to_integer(from, true, 8u << (type - REMUDA_TYPE_INT8), to);
	case REMUDA_TYPE_UINT8:
	case REMUDA_TYPE_UINT16:
	case REMUDA_TYPE_UINT32:
	case REMUDA_TYPE_UINT64:
		return to_integer(from, false, 8u << (type - REMUDA_TYPE_UINT8), to);
	case REMUDA_TYPE_FLOAT:
	case REMUDA_TYPE_DOUBLE:
		return to_double(from, to);
	case REMUDA_TYPE_TEXT:
		return one_of(from, REMUDA_STRING, REMUDA_BYTES, REMUDA_NULL);
	case REMUDA_TYPE_STRING:
		return one_of(from, REMUDA_STRING, REMUDA_STRING, REMUDA_STRING);
	case REMUDA_TYPE_BYTES:
		return one_of(from, REMUDA_BYTES, REMUDA_STRING, REMUDA_BYTES);
	case REMUDA_TYPE_INT64S:
		return is_numbers(from, REMUDA_INTS, REMUDA_DTYPE_INT64);
	case REMUDA_TYPE_DOUBLES:
		return is_numbers(from, REMUDA_DOUBLES, REMUDA_DTYPE_FLOAT64);
	case REMUDA_TYPE_ARRAY:
		return one_of(from, REMUDA_ARRAY, REMUDA_ARRAY, REMUDA_ARRAY);
	case REMUDA_TYPE_MESSAGE:
		return one_of(from, REMUDA_ANY, REMUDA_NULL, REMUDA_ANY);
	case REMUDA_TYPE_VALUE:
		return 0;
	case REMUDA_TYPE_VOID:
	case REMUDA_TYPE_CTX:
		return RMD_ETYPE;
	}
	return RMD_ETYPE;
}

/* ---- signatures ---- */

static struct remuda_error *encode_error(struct remuda_error *err)
{
	rmd_error_set_origin(err, REMUDA_ORIGIN_ENCODE);
	return err;
}

/* A parameter's type as it was written: stdbool.h makes `bool` a macro. */
static const char *type_text(const struct remuda_param *param)
{
	return strcmp(param->text, "_Bool") == 0 ? "bool" : param->text;
}

/* "square(int64_t x)" */
static void signature(const struct remuda_task *task, char *ret_text, size_t size)
{
	int n = snprintf(ret_text, size, "%s(", task->name);
	for (uint32_t i = 0; i < task->param_count && n > 0 && (size_t)n < size; i++)
		n += snprintf(ret_text + n, size - (size_t)n, "%s%s %s",
			      i == 0 ? "" : ", ", type_text(&task->params[i]),
			      task->params[i].name);
	if (n > 0 && (size_t)n < size)
		snprintf(ret_text + n, size - (size_t)n, ")");
}

struct remuda_error *rmd_check_signature(const struct remuda_task *task,
					 const struct remuda_arg *args, size_t count,
					 struct remuda_arg *ret_args)
{
	char text[512];
	if (count != task->param_count) {
		signature(task, text, sizeof text);
		return encode_error(remuda_error_create(
			"ArgumentCount", "%s takes %u argument%s, %zu given: %s",
			task->name, (unsigned)task->param_count,
			task->param_count == 1 ? "" : "s", count, text));
	}
	for (size_t i = 0; i < count; i++) {
		ret_args[i] = args[i];
		int rc = convert((enum remuda_type)task->params[i].type, &args[i],
				 &ret_args[i].value);
		if (rc == 0)
			continue;
		const char *given = args[i].message != NULL
					    ? "a message"
					    : remuda_kind_name(args[i].value.kind);
		signature(task, text, sizeof text);
		return encode_error(remuda_error_create(
			rc == RMD_ERANGE ? "ArgumentRange" : "ArgumentType",
			"%s: argument %zu (%s): expected %s, %s %s: %s", task->name,
			i + 1, task->params[i].name, type_text(&task->params[i]),
			rc == RMD_ERANGE ? "which does not hold this" : "got", given,
			text));
	}
	return NULL;
}

struct remuda_error *rmd_check_value(const char *function, size_t index, const char *name,
				     const struct remuda_value *value)
{
	struct rmd_value_fault fault = {.path = "", .why = "not a value"};
	char place[PLACE_BYTES];
	int rc = value->kind == REMUDA_INT64 ? 0 : rmd_value_check(value, &fault);
	if (rc == 0)
		return NULL;
	if (rc == RMD_ENOMEM)
		return encode_error(remuda_error_create(
			"OutOfMemory", "%s: no memory to check an argument", function));
	if (name != NULL)
		snprintf(place, sizeof place, "kwargs[\"%.40s\"]", name);
	else
		snprintf(place, sizeof place, "args[%zu]", index);
	return encode_error(remuda_error_create("EncodeError",
						"%s: %s%s can't be encoded: %s", function,
						place, fault.path, fault.why));
}

/* ---- names and options ---- */

#define RETRY_ALL                                                          \
	((uint32_t)REMUDA_RETRY_TASK_ERROR | REMUDA_RETRY_WORKER_LOST |    \
	 REMUDA_RETRY_OUT_OF_MEMORY | REMUDA_RETRY_AGENT_LOST |            \
	 REMUDA_RETRY_RUN_DEADLINE)

struct remuda_error *rmd_check_function(const char *function)
{
	size_t len = function == NULL ? 0 : strlen(function);
	const char *why = NULL;
	if (len == 0)
		why = "it is empty";
	else if (len > RMD_FUNCTION_MAX_BYTES)
		why = "it is longer than 512 bytes";
	else if (!rmd_wire_utf8_valid(rmd_slice_of(function, len)))
		why = "it is not UTF-8";
	else if (strchr(function, ':') == NULL)
		why = "it names no runtime; a function is named RUNTIME:NAME, e.g. "
		      "native:demo.square";
	if (why == NULL)
		return NULL;
	return encode_error(remuda_error_create(
		"FunctionName", "cannot submit \"%.100s\": %s",
		len != 0 && rmd_wire_utf8_valid(rmd_slice_of(function, len)) ? function
									     : "",
		why));
}

struct remuda_error *rmd_check_pairs(const char *const *pairs, const char *what,
				     size_t count_max, size_t part_max, size_t *ret_count)
{
	size_t count = 0;
	for (; pairs != NULL && pairs[count] != NULL; count++) {
		const char *pair = pairs[count];
		const char *equals = strchr(pair, '=');
		const char *why = NULL;
		if (count == count_max)
			why = "there are too many";
		else if (equals == NULL || equals == pair)
			why = "it is not of the form name=value";
		else if ((size_t)(equals - pair) > part_max ||
			 strlen(equals + 1) > part_max)
			why = "it is too long";
		else if (!rmd_wire_utf8_valid(rmd_slice_of_string(pair)))
			why = "it is not UTF-8";
		if (why != NULL)
			return encode_error(remuda_error_create(
				"InvalidOptions",
				"%s: \"%.60s\": %s (at most %zu, "
				"each part at most %zu bytes)",
				what, pair, why, count_max, part_max));
	}
	*ret_count = count;
	return NULL;
}

/* What is wrong with the rules by which the task ends; NULL: nothing. */
static const char *rules_mistake(const struct remuda_task_options *options)
{
	size_t count = 0;
	if (options->queue_deadline_ms > RMD_DEADLINE_MAX_MS ||
	    options->run_deadline_ms > RMD_DEADLINE_MAX_MS)
		return "queue_deadline_ms and run_deadline_ms must be at most 10 years";
	if (options->backoff_ms > RMD_BACKOFF_MAX_MS ||
	    options->backoff_max_ms > RMD_BACKOFF_MAX_MS)
		return "backoff_ms and backoff_max_ms must be at most a day";
	if ((options->retry_on & ~RETRY_ALL) != 0)
		return "retry_on must be a sum of enum remuda_retry";
	for (; options->error_types != NULL && options->error_types[count] != NULL;
	     count++) {
		struct rmd_slice type = rmd_slice_of_string(options->error_types[count]);
		if (count == RMD_ERROR_TYPES_MAX || type.len == 0 ||
		    type.len > RMD_ERROR_TYPE_MAX_BYTES || !rmd_wire_utf8_valid(type))
			return "error_types must be at most 16 texts of 1 to 128 bytes, "
			       "ended by NULL";
	}
	return NULL;
}

struct remuda_error *rmd_check_task_options(const struct remuda_task_options *options)
{
	size_t count;
	const char *why = NULL;
	if (options == NULL)
		return NULL;
	if (options->version != REMUDA_TASK_OPTIONS_VERSION)
		why = "version is not known: start from REMUDA_TASK_OPTIONS_INIT";
	else if (options->priority < -RMD_PRIORITY_MAX ||
		 options->priority > RMD_PRIORITY_MAX)
		why = "priority must be from -1000 to 1000";
	else if (options->max_attempts > RMD_ATTEMPTS_MAX)
		why = "max_attempts must be at most 100";
	else if (options->deadline_ms > RMD_DEADLINE_MAX_MS)
		why = "deadline_ms must be at most 10 years";
	else
		why = rules_mistake(options);
	if (why != NULL)
		return encode_error(remuda_error_create("InvalidOptions",
							"remuda_task_options: %s", why));
	return rmd_check_pairs(options->labels, "remuda_task_options.labels",
			       RMD_TASK_LABELS_MAX, RMD_LABEL_MAX_BYTES, &count);
}
