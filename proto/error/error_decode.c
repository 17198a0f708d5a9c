#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/frames_wire.h"
#include "proto/error/parts.h"

/* An ErrorChain while it is read; owns the errors that no other error owns. */
struct chain_reading {
	struct remuda_error *errors[REMUDA_ERROR_CHAIN_MAX];
	uint64_t cause[REMUDA_ERROR_CHAIN_MAX]; /* 1 + index; 0: none */
	uint64_t context[REMUDA_ERROR_CHAIN_MAX];
	bool owned[REMUDA_ERROR_CHAIN_MAX]; /* by another error */
	uint32_t count;
};

/* Reads a text into *slot. */
static int text_field(const struct rmd_wire_field *f, size_t max, char **slot,
		      const char *field, const char **ret_field)
{
	struct rmd_slice bytes;
	int rc = frames_text(f, max, &bytes, field, ret_field);
	if (rc < 0)
		return rc;
	char *text = error_text(bytes);
	if (text == NULL)
		return frames_fail(RMD_ENOMEM, field, ret_field);
	rmd_free(*slot);
	*slot = text;
	return 0;
}

/* An int32: a 64-bit two's complement on the wire. */
static int int32_field(const struct rmd_wire_field *f, int32_t *ret, const char *field,
		       const char **ret_field)
{
	if (f->type != RMD_WIRE_VARINT)
		return frames_fail(RMD_EPROTO, field, ret_field);
	int64_t value = (int64_t)f->varint;
	if (value < INT32_MIN || value > INT32_MAX)
		return frames_fail(RMD_ELIMIT, field, ret_field);
	*ret = (int32_t)value;
	return 0;
}

static int frame_read(struct rmd_slice bytes, struct remuda_error *err,
		      const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	struct rmd_slice texts[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
	uint32_t line = 0;
	uint64_t offset = 0;
	int rc;
	while ((rc = rmd_wire_next(&rest, &f)) > 0) {
		if (f.number == 1)
			rc = frames_text(&f, FRAME_MAX_BYTES, &texts[0],
					 "Frame.file (at most 1,024 bytes)", ret_field);
		else if (f.number == 2)
			rc = frames_u32(&f, &line, "Frame.line", ret_field);
		else if (f.number == 3)
			rc = frames_text(&f, FRAME_MAX_BYTES, &texts[1],
					 "Frame.function (at most 1,024 bytes)",
					 ret_field);
		else if (f.number == 4)
			rc = frames_text(&f, FRAME_MAX_BYTES, &texts[2],
					 "Frame.image (at most 1,024 bytes)", ret_field);
		else if (f.number == 5)
			rc = frames_u64(&f, &offset, "Frame.offset", ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "Frame", ret_field);
	rc = error_frame_add(err, texts, line, offset);
	return rc < 0 ? frames_fail(rc, "Error.frames", ret_field) : 0;
}

static int frames_field(const struct rmd_wire_field *f, struct remuda_error *err,
			const char **ret_field)
{
	if (f->type != RMD_WIRE_LEN)
		return frames_fail(RMD_EPROTO, "Error.frames", ret_field);
	if (err->frame_count == REMUDA_ERROR_FRAMES_MAX)
		return frames_fail(RMD_ELIMIT, "Error.frames (at most 256)", ret_field);
	return frame_read(f->bytes, err, ret_field);
}

static int payload_field(const struct rmd_wire_field *f, struct remuda_error *err,
			 const char **ret_field)
{
	static const char field[] = "Error.runtime_payload (at most 1 MiB)";
	struct rmd_slice bytes;
	int rc = frames_bytes(f, PAYLOAD_MAX_BYTES, &bytes, field, ret_field);
	if (rc < 0)
		return rc;
	uint8_t *payload = NULL;
	if (bytes.len != 0) {
		payload = rmd_malloc(bytes.len);
		if (payload == NULL)
			return frames_fail(RMD_ENOMEM, field, ret_field);
		memcpy(payload, bytes.data, bytes.len);
	}
	rmd_free(err->payload);
	err->payload = payload;
	err->payload_len = bytes.len;
	return 0;
}

static int origin_field(const struct rmd_wire_field *f, enum remuda_origin *ret_origin,
			const char **ret_field)
{
	uint64_t origin = 0;
	int rc = frames_u64(f, &origin, "Error.origin", ret_field);
	*ret_origin = origin <= REMUDA_ORIGIN_SERVICE ? (enum remuda_origin)origin
						      : REMUDA_ORIGIN_UNSPECIFIED;
	return rc;
}

/* The fields that say how and where. */
static int detail_field(const struct rmd_wire_field *f, struct remuda_error *err,
			const char **ret_field)
{
	switch (f->number) {
	case 6:
		return origin_field(f, &err->origin, ret_field);
	case 7:
		return text_field(f, HOST_MAX_BYTES, &err->host,
				  "Error.host (at most 256 bytes)", ret_field);
	case 8:
		return frames_u64(f, &err->worker, "Error.worker", ret_field);
	case 9:
		return frames_u32(f, &err->attempt, "Error.attempt", ret_field);
	case 10:
		return int32_field(f, &err->exit_code, "Error.exit_code", ret_field);
	case 11:
		return frames_bool(f, &err->exited, "Error.exited", ret_field);
	case 12:
		return int32_field(f, &err->signal, "Error.signal", ret_field);
	case 13:
		return payload_field(f, err, ret_field);
	case 14:
		return text_field(f, CODEC_MAX_BYTES, &err->codec,
				  "Error.runtime_codec (at most 64 bytes)", ret_field);
	default:
		return 0;
	}
}

static int error_field(const struct rmd_wire_field *f, struct chain_reading *chain,
		       uint32_t index, const char **ret_field)
{
	struct remuda_error *err = chain->errors[index];
	switch (f->number) {
	case 1:
		return text_field(f, TYPE_MAX_BYTES, &err->type,
				  "Error.type (at most 256 bytes)", ret_field);
	case 2:
		return text_field(f, MESSAGE_MAX_BYTES, &err->message,
				  "Error.message (at most 64 KiB)", ret_field);
	case 3:
		return frames_field(f, err, ret_field);
	case 4:
		return frames_u64(f, &chain->cause[index], "Error.cause", ret_field);
	case 5:
		return frames_u64(f, &chain->context[index], "Error.context", ret_field);
	default:
		return detail_field(f, err, ret_field);
	}
}

static int error_read(struct rmd_slice bytes, struct chain_reading *chain,
		      const char **ret_field)
{
	uint32_t index = chain->count;
	chain->errors[index] = error_new();
	if (chain->errors[index] == NULL)
		return frames_fail(RMD_ENOMEM, "Error", ret_field);
	chain->count++;
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	while ((rc = rmd_wire_next(&rest, &f)) > 0) {
		rc = error_field(&f, chain, index, ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "Error", ret_field);
	/* An empty host is a place that is not known. */
	struct remuda_error *err = chain->errors[index];
	if (err->host != NULL && err->host[0] == '\0') {
		rmd_free(err->host);
		err->host = NULL;
	}
	return 0;
}

static int chain_read(struct rmd_slice bytes, struct chain_reading *chain,
		      const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	while ((rc = rmd_wire_next(&rest, &f)) > 0) {
		if (f.number != 1)
			continue;
		if (f.type != RMD_WIRE_LEN)
			return frames_fail(RMD_EPROTO, "ErrorChain.errors", ret_field);
		if (chain->count == REMUDA_ERROR_CHAIN_MAX)
			return frames_fail(RMD_ELIMIT, "ErrorChain.errors (at most 64)",
					   ret_field);
		rc = error_read(f.bytes, chain, ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "ErrorChain", ret_field);
	if (chain->count == 0)
		return frames_fail(RMD_EPROTO, "ErrorChain.errors (at least 1)",
				   ret_field);
	return 0;
}

/* Links must point to later errors, so there is no way round in a circle. */
static int links_check(const uint64_t *links, uint32_t count, const char *field,
		       const char **ret_field)
{
	for (uint32_t i = 0; i < count; i++)
		if (links[i] != 0 && (links[i] <= i + 1 || links[i] > count))
			return frames_fail(RMD_EPROTO, field, ret_field);
	return 0;
}

/* Gives each error to the first that names it: causes before contexts, since it is causes
 * that are printed. */
static void links_take(struct chain_reading *chain)
{
	for (uint32_t i = 0; i < chain->count; i++) {
		uint64_t to = chain->cause[i];
		if (to != 0 && !chain->owned[to - 1]) {
			chain->errors[i]->cause = chain->errors[to - 1];
			chain->owned[to - 1] = true;
		}
	}
	for (uint32_t i = 0; i < chain->count; i++) {
		uint64_t to = chain->context[i];
		if (to != 0 && !chain->owned[to - 1]) {
			chain->errors[i]->context = chain->errors[to - 1];
			chain->owned[to - 1] = true;
		}
	}
	for (uint32_t i = chain->count; i-- > 0;)
		error_count(chain->errors[i]);
}

int rmd_error_decode(struct rmd_slice bytes, struct remuda_error **ret_err,
		     const char **ret_field)
{
	struct chain_reading chain = {.count = 0};
	int rc = chain_read(bytes, &chain, ret_field);
	if (rc == 0)
		rc = links_check(chain.cause, chain.count, "Error.cause (a later error)",
				 ret_field);
	if (rc == 0)
		rc = links_check(chain.context, chain.count,
				 "Error.context (a later error)", ret_field);
	if (rc == 0) {
		links_take(&chain);
		*ret_err = chain.errors[0];
		chain.owned[0] = true;
	}
	for (uint32_t i = 0; i < chain.count; i++)
		if (!chain.owned[i])
			remuda_error_free(chain.errors[i]);
	return rc;
}

struct rmd_slice rmd_error_type_of(struct rmd_slice bytes)
{
	struct rmd_wire_reader chain = rmd_wire_reader_of(bytes), error;
	struct rmd_wire_field f;
	while (frames_next(&chain, &f) > 0) {
		if (f.number != 1 || f.type != RMD_WIRE_LEN)
			continue;
		error = rmd_wire_reader_of(f.bytes);
		while (frames_next(&error, &f) > 0)
			if (f.number == 1 && f.type == RMD_WIRE_LEN &&
			    f.bytes.len <= TYPE_MAX_BYTES)
				return f.bytes;
		break;
	}
	return (struct rmd_slice){NULL, 0};
}
