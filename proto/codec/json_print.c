#include <math.h>

#include "proto/base/errcode.h"
#include "proto/codec/json.h"
#include "proto/codec/moment.h"
#include "proto/codec/number.h"

static void print(struct rmd_text *out, const struct remuda_value *value);

static void print_text(struct rmd_text *out, struct remuda_string text)
{
	static const char names[] = "\"\\\b\f\n\r\t", escapes[] = "\"\\bfnrt";
	size_t from = 0;
	rmd_text_put_char(out, '"');
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];
		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		rmd_text_put(out, text.data + from, i - from);
		from = i + 1;
		const char *name = memchr(names, c, sizeof names - 1);
		if (name != NULL)
			rmd_text_printf(out, "\\%c", escapes[name - names]);
		else
			rmd_text_printf(out, "\\u%04x", c);
	}
	rmd_text_put(out, text.len != 0 ? text.data + from : "", text.len - from);
	rmd_text_put_char(out, '"');
}

static void print_base64(struct rmd_text *out, const void *data, size_t len)
{
	rmd_text_put_char(out, '"');
	rmd_text_put_base64(out, rmd_slice_of(data, len));
	rmd_text_put_char(out, '"');
}

static void print_double(struct rmd_text *out, double number)
{
	uint64_t bits;
	memcpy(&bits, &number, sizeof bits);
	if (isfinite(number))
		rmd_number_put_double(out, number);
	else if (isinf(number))
		rmd_text_printf(out, "{\"$float\":\"%sinf\"}", number < 0 ? "-" : "");
	else if (bits == UINT64_C(0x7ff8000000000000))
		rmd_text_put_string(out, "{\"$float\":\"nan\"}");
	else
		rmd_text_printf(out, "{\"$float\":\"nan:%016llx\"}",
				(unsigned long long)bits);
}

static void print_items(struct rmd_text *out, const struct remuda_value *value)
{
	size_t len = remuda_value_list_len(value);
	rmd_text_put_char(out, '[');
	for (size_t i = 0; i < len && !out->failed; i++) {
		struct remuda_value item = remuda_value_list_item(value, i);
		if (i != 0)
			rmd_text_put_char(out, ',');
		print(out, &item);
	}
	rmd_text_put_char(out, ']');
}

/* True if JSON can hold the map as an object that nobody takes for something else. */
static bool plain_map(const struct remuda_value *map)
{
	for (size_t i = 0; i < map->u.map.len; i++) {
		const struct remuda_value *key = &map->u.map.entries[i].key;
		if (key->kind != REMUDA_STRING ||
		    (key->u.string.len != 0 && key->u.string.data[0] == '$'))
			return false;
	}
	return true;
}

static void print_map(struct rmd_text *out, const struct remuda_value *value)
{
	bool plain = plain_map(value);
	rmd_text_put_string(out, plain ? "{" : "{\"$map\":[");
	for (size_t i = 0; i < value->u.map.len && !out->failed; i++) {
		if (i != 0)
			rmd_text_put_char(out, ',');
		if (!plain)
			rmd_text_put_char(out, '[');
		print(out, &value->u.map.entries[i].key);
		rmd_text_put_char(out, plain ? ':' : ',');
		print(out, &value->u.map.entries[i].value);
		if (!plain)
			rmd_text_put_char(out, ']');
	}
	rmd_text_put_string(out, plain ? "}" : "]}");
}

static void print_array(struct rmd_text *out, const struct remuda_array *array)
{
	rmd_text_printf(out, "{\"$array\":{\"dtype\":\"%s\",\"shape\":[",
			remuda_dtype_name(array->dtype));
	for (uint32_t i = 0; i < array->rank; i++)
		rmd_text_printf(out, "%s%llu", i != 0 ? "," : "",
				(unsigned long long)array->shape[i]);
	rmd_text_put_string(out, "],\"data\":");
	print_base64(out, array->data, array->data_bytes);
	rmd_text_put_string(out, "}}");
}

static void print_labelled(struct rmd_text *out, const char *head,
			   struct remuda_string label, struct remuda_bytes data)
{
	rmd_text_put_string(out, head);
	print_text(out, label);
	rmd_text_put_string(out, ",\"data\":");
	print_base64(out, data.data, data.len);
	rmd_text_put_string(out, "}}");
}

/* The kinds that JSON lacks and that are not lists or maps. */
static void print_lacking(struct rmd_text *out, const struct remuda_value *value)
{
	switch (value->kind) {
	case REMUDA_COMPLEX:
		rmd_text_put_string(out, "{\"$complex\":[");
		print_double(out, value->u.complex.real);
		rmd_text_put_char(out, ',');
		print_double(out, value->u.complex.imaginary);
		rmd_text_put_string(out, "]}");
		break;
	case REMUDA_BYTES:
		rmd_text_put_string(out, "{\"$bytes\":");
		print_base64(out, value->u.bytes.data, value->u.bytes.len);
		rmd_text_put_char(out, '}');
		break;
	case REMUDA_TIMESTAMP:
		rmd_text_put_string(out, "{\"$timestamp\":\"");
		rmd_moment_put(out, value->u.time.seconds, value->u.time.nanos);
		rmd_text_put_string(out, "\"}");
		break;
	case REMUDA_DURATION:
		rmd_text_put_string(out, "{\"$duration\":\"");
		rmd_moment_put_span(out, value->u.time.seconds, value->u.time.nanos);
		rmd_text_put_string(out, "\"}");
		break;
	case REMUDA_FUNCTION:
		rmd_text_put_string(out, "{\"$function\":");
		print_text(out, value->u.string);
		rmd_text_put_char(out, '}');
		break;
	case REMUDA_BLOB:
		rmd_text_put_string(out, "{\"$blob\":{\"digest\":\"");
		rmd_text_put_hex(out, rmd_slice_of(value->u.blob.digest, 32));
		rmd_text_printf(out, "\",\"size_bytes\":%llu}}",
				(unsigned long long)value->u.blob.size_bytes);
		break;
	case REMUDA_ANY:
		print_labelled(out, "{\"$any\":{\"type_url\":", value->u.any.type_url,
			       value->u.any.data);
		break;
	case REMUDA_OPAQUE:
		print_labelled(out, "{\"$opaque\":{\"codec\":", value->u.opaque.codec,
			       value->u.opaque.data);
		break;
	default: /* REMUDA_NAMED */
		rmd_text_put_string(out, "{\"$named\":{\"name\":");
		print_text(out, value->u.named.name);
		rmd_text_put_string(out, ",\"value\":");
		print(out, value->u.named.value);
		rmd_text_put_string(out, "}}");
	}
}

/* `value` has passed rmd_value_check, so its depth is bounded. */
static void print(struct rmd_text *out, const struct remuda_value *value)
{
	switch (value->kind) {
	case REMUDA_NULL:
		rmd_text_put_string(out, "null");
		break;
	case REMUDA_BOOLEAN:
		rmd_text_put_string(out, value->u.boolean ? "true" : "false");
		break;
	case REMUDA_INT64:
		rmd_text_printf(out, "%lld", (long long)value->u.int64);
		break;
	case REMUDA_UINT64:
		rmd_text_printf(out, "%llu", (unsigned long long)value->u.uint64);
		break;
	case REMUDA_BIGINT:
		rmd_number_put_bigint(
			out, rmd_slice_of(value->u.bytes.data, value->u.bytes.len));
		break;
	case REMUDA_FLOAT64:
		print_double(out, value->u.float64);
		break;
	case REMUDA_STRING:
		print_text(out, value->u.string);
		break;
	case REMUDA_LIST:
	case REMUDA_INTS:
	case REMUDA_DOUBLES:
		print_items(out, value);
		break;
	case REMUDA_TUPLE:
	case REMUDA_SET:
		rmd_text_put_string(out, value->kind == REMUDA_SET ? "{\"$set\":"
								   : "{\"$tuple\":");
		print_items(out, value);
		rmd_text_put_char(out, '}');
		break;
	case REMUDA_MAP:
		print_map(out, value);
		break;
	case REMUDA_ARRAY:
		print_array(out, &value->u.array);
		break;
	case REMUDA_COMPLEX:
	case REMUDA_BYTES:
	case REMUDA_TIMESTAMP:
	case REMUDA_DURATION:
	case REMUDA_FUNCTION:
	case REMUDA_BLOB:
	case REMUDA_ANY:
	case REMUDA_NAMED:
	case REMUDA_OPAQUE:
		print_lacking(out, value);
		break;
	}
}

int rmd_json_print(const struct remuda_value *value, struct rmd_text *out)
{
	int rc = rmd_value_check(value, NULL);
	if (rc < 0)
		return rc;
	if (out->failed)
		return RMD_ENOMEM;
	size_t len = out->len;
	print(out, value);
	if (!out->failed)
		return 0;
	out->failed = false; /* the text is as before, and may be used on */
	out->len = len;
	if (out->data != NULL)
		out->data[len] = '\0';
	return RMD_ENOMEM;
}
