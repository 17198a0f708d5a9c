/* The chain in protobuf's JSON mapping: 64-bit numbers are strings, bytes are base64,
 * what has its default is left out. */
#include <inttypes.h>
#include <stdio.h>

#include "proto/base/alloc.h"
#include "proto/codec/wire.h"
#include "proto/error/parts.h"

/* The object that is being written. */
struct json {
	struct rmd_wire_writer out;
	bool first; /* no member of this object has been put */
};

static void put(struct json *json, const char *text)
{
	rmd_wire_put_raw(&json->out, rmd_slice_of_string(text));
}

static void put_name(struct json *json, const char *name)
{
	put(json, json->first ? "\"" : ",\"");
	put(json, name);
	put(json, "\":");
	json->first = false;
}

static void put_escaped(struct json *json, const char *text)
{
	for (; *text != '\0'; text++) {
		char escape[8];
		size_t plain = 0;
		while ((uint8_t)text[plain] >= 0x20 && text[plain] != '"' &&
		       text[plain] != '\\' && text[plain] != 0x7f)
			plain++;
		rmd_wire_put_raw(&json->out, rmd_slice_of(text, plain));
		text += plain;
		if (*text == '\0')
			return;
		if (*text == '"' || *text == '\\')
			snprintf(escape, sizeof escape, "\\%c", *text);
		else if (*text == '\n')
			snprintf(escape, sizeof escape, "\\n");
		else
			snprintf(escape, sizeof escape, "\\u%04x",
				 (unsigned)(uint8_t)*text);
		put(json, escape);
	}
}

/* A string member; with `tail` behind the text. Nothing where both are empty. */
static void put_text(struct json *json, const char *name, const char *text,
		     const char *tail)
{
	if (text[0] == '\0' && tail[0] == '\0')
		return;
	put_name(json, name);
	put(json, "\"");
	put_escaped(json, text);
	put_escaped(json, tail);
	put(json, "\"");
}

/* A number of at most 32 bits; nothing where it is 0. */
static void put_number(struct json *json, const char *name, int64_t value)
{
	char text[24];
	if (value == 0)
		return;
	snprintf(text, sizeof text, "%" PRId64, value);
	put_name(json, name);
	put(json, text);
}

/* A number of 64 bits; nothing where it is 0. */
static void put_long(struct json *json, const char *name, uint64_t value)
{
	char text[24];
	if (value == 0)
		return;
	snprintf(text, sizeof text, "\"%" PRIu64 "\"", value);
	put_name(json, name);
	put(json, text);
}

static void put_base64(struct json *json, const uint8_t *data, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t *at = rmd_wire_reserve(&json->out, (len + 2) / 3 * 4);
	if (at == NULL)
		return;
	for (size_t i = 0; i < len; i += 3) {
		uint32_t three = (uint32_t)data[i] << 16;
		if (i + 1 < len)
			three |= (uint32_t)data[i + 1] << 8;
		if (i + 2 < len)
			three |= data[i + 2];
		*at++ = (uint8_t)digits[three >> 18];
		*at++ = (uint8_t)digits[three >> 12 & 63];
		*at++ = i + 1 < len ? (uint8_t)digits[three >> 6 & 63] : '=';
		*at++ = i + 2 < len ? (uint8_t)digits[three & 63] : '=';
	}
}

static void put_frames(struct json *json, const struct remuda_error *err)
{
	if (err->frame_count == 0)
		return;
	put_name(json, "frames");
	for (size_t i = 0; i < err->frame_count; i++) {
		const struct remuda_frame *frame = &err->frames[i].frame;
		put(json, i == 0 ? "[{" : ",{");
		json->first = true;
		put_text(json, "file", frame->file, "");
		put_number(json, "line", frame->line);
		put_text(json, "function", frame->function, "");
		put_text(json, "image", frame->image, "");
		put_long(json, "offset", frame->offset);
		put(json, "}");
	}
	put(json, "]");
	json->first = false;
}

static const char *origin_name(enum remuda_origin origin)
{
	static const char *const names[] = {
		"",
		"ORIGIN_ENCODE",
		"ORIGIN_LOOKUP",
		"ORIGIN_DECODE",
		"ORIGIN_TASK",
		"ORIGIN_RESULT",
		"ORIGIN_INITIALIZER",
		"ORIGIN_WORKER",
		"ORIGIN_AGENT",
		"ORIGIN_SERVICE",
	};
	return (unsigned)origin < sizeof names / sizeof *names ? names[origin] : "";
}

static void put_error(struct json *json, const struct error_flat *flat, uint32_t index)
{
	const struct remuda_error *err = flat->errors[index];
	char tail[ERROR_TAIL_BYTES];
	error_tail(err, tail);
	json->first = true;
	put_text(json, "type", remuda_error_type(err), "");
	put_text(json, "message", remuda_error_message(err), tail);
	put_frames(json, err);
	put_number(json, "cause", flat->cause[index]);
	put_number(json, "context", flat->context[index]);
	put_text(json, "origin", origin_name(err->origin), "");
	put_text(json, "host", remuda_error_host(err), "");
	put_long(json, "worker", err->worker);
	put_number(json, "attempt", err->attempt);
	put_number(json, "exitCode", err->exit_code);
	if (err->exited) {
		put_name(json, "exited");
		put(json, "true");
	}
	put_number(json, "signal", err->signal);
	if (err->payload_len != 0) {
		put_name(json, "runtimePayload");
		put(json, "\"");
		put_base64(json, err->payload, err->payload_len);
		put(json, "\"");
	}
	put_text(json, "runtimeCodec", remuda_error_runtime_codec(err), "");
}

char *remuda_error_json(const struct remuda_error *err)
{
	struct error_flat flat;
	struct json json = {.first = true};
	error_flatten(err, &flat);
	put(&json, "{\"errors\":[");
	for (uint32_t i = 0; i < flat.count; i++) {
		put(&json, i == 0 ? "{" : ",{");
		put_error(&json, &flat, i);
		put(&json, "}");
	}
	put(&json, "]}");
	rmd_wire_put_raw(&json.out, rmd_slice_of("", 1));
	if (json.out.failed) {
		rmd_wire_writer_fini(&json.out);
		return NULL;
	}
	rmd_free(json.out.splices);
	return (char *)json.out.data;
}
