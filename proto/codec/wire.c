#include "proto/codec/wire.h"

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"

#define VARINT_MAX_BYTES 10u
#define NUMBER_MAX ((UINT64_C(1) << 29) - 1)
#define BLOCK_MIN 256u
#define SPLICES_MIN 4u

/* ---- reading ---- */

/* Reads a varint of two bytes or more, or one that may be cut short. */
static int read_varint_slow(const uint8_t **at, const uint8_t *end, uint64_t *ret_value)
{
	const uint8_t *p = *at;
	uint64_t value = 0;
	for (unsigned i = 0; i < VARINT_MAX_BYTES; i++) {
		if (p == end)
			return RMD_ETRUNC;
		uint8_t byte = *p++;
		if (i == VARINT_MAX_BYTES - 1 && byte > 1)
			return RMD_EPROTO; /* more than 64 bits */
		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte < 0x80) {
			*at = p;
			*ret_value = value;
			return 0;
		}
	}
	return RMD_EPROTO;
}

static inline int read_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret_value)
{
	if (*at != end && **at < 0x80) {
		*ret_value = *(*at)++;
		return 0;
	}
	return read_varint_slow(at, end, ret_value);
}

/* Reads `size` (4 or 8) little-endian bytes. */
static int read_fixed(const uint8_t **at, const uint8_t *end, size_t size,
		      uint64_t *ret_value)
{
	if ((size_t)(end - *at) < size)
		return RMD_ETRUNC;
	uint64_t value = 0;
	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)(*at)[i] << (8 * i);
	*at += size;
	*ret_value = value;
	return 0;
}

int rmd_wire_next(struct rmd_wire_reader *reader, struct rmd_wire_field *ret_field)
{
	const uint8_t *at = reader->at, *end = reader->end;
	if (at == end)
		return 0;
	uint64_t tag;
	int rc = read_varint(&at, end, &tag);
	if (rc < 0)
		return rc;
	uint64_t number = tag >> 3;
	if (number == 0 || number > NUMBER_MAX)
		return RMD_EPROTO;
	struct rmd_wire_field field = {
		.number = (uint32_t)number,
		.type = (enum rmd_wire_type)(tag & 7),
	};
	switch (tag & 7) {
	case RMD_WIRE_VARINT:
		rc = read_varint(&at, end, &field.varint);
		break;
	case RMD_WIRE_I64:
		rc = read_fixed(&at, end, 8, &field.varint);
		break;
	case RMD_WIRE_I32:
		rc = read_fixed(&at, end, 4, &field.varint);
		break;
	case RMD_WIRE_LEN: {
		uint64_t len;
		rc = read_varint(&at, end, &len);
		if (rc < 0)
			return rc;
		if (len > (uint64_t)(end - at))
			return RMD_ETRUNC;
		field.bytes = rmd_slice_of(at, (size_t)len);
		at += len;
		break;
	}
	default: /* groups, and numbers that mean nothing */
		return RMD_EPROTO;
	}
	if (rc < 0)
		return rc;
	reader->at = at;
	*ret_field = field;
	return 1;
}

int rmd_wire_next_varint(struct rmd_wire_reader *reader, uint64_t *ret_value)
{
	if (reader->at == reader->end)
		return 0;
	int rc = read_varint(&reader->at, reader->end, ret_value);
	return rc < 0 ? rc : 1;
}

/* Length of the multi-byte sequence that begins at `p`, or 0 where it is not valid: the
 * table of well-formed sequences in The Unicode Standard, section 3.9. */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
	uint8_t lead = p[0], low = 0x80, high = 0xbf;
	size_t len;
	if (lead >= 0xc2 && lead <= 0xdf) {
		len = 2;
	} else if (lead >= 0xe0 && lead <= 0xef) {
		len = 3;
		if (lead == 0xe0)
			low = 0xa0; /* overlong below */
		else if (lead == 0xed)
			high = 0x9f; /* surrogates above */
	} else if (lead >= 0xf0 && lead <= 0xf4) {
		len = 4;
		if (lead == 0xf0)
			low = 0x90; /* overlong below */
		else if (lead == 0xf4)
			high = 0x8f; /* beyond U+10FFFF above */
	} else {
		return 0;
	}
	if (left < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return len;
}

bool rmd_wire_utf8_valid(struct rmd_slice bytes)
{
	const uint8_t *p = bytes.data;
	size_t left = bytes.len;
	while (left > 0) {
		uint64_t eight;
		while (left >= sizeof eight) {
			memcpy(&eight, p, sizeof eight);
			if ((eight & UINT64_C(0x8080808080808080)) != 0)
				break;
			p += sizeof eight;
			left -= sizeof eight;
		}
		if (left == 0)
			break;
		size_t len = p[0] < 0x80 ? 1 : utf8_sequence(p, left);
		if (len == 0)
			return false;
		p += len;
		left -= len;
	}
	return true;
}

/* ---- writing ---- */

static void drop_splices(struct rmd_wire_writer *writer)
{
	for (size_t i = 0; i < writer->splice_count; i++)
		rmd_piece_unref(writer->splices[i].piece);
	writer->splice_count = 0;
	writer->splice_bytes = 0;
}

void rmd_wire_writer_fini(struct rmd_wire_writer *writer)
{
	drop_splices(writer);
	rmd_free(writer->splices);
	if (!writer->borrowed)
		rmd_free(writer->data);
	*writer = (struct rmd_wire_writer){0};
}

void rmd_wire_writer_reset(struct rmd_wire_writer *writer)
{
	drop_splices(writer);
	writer->len = 0;
	writer->failed = false;
}

struct rmd_buf *rmd_wire_writer_take(struct rmd_wire_writer *writer)
{
	struct rmd_buf *buf = NULL;
	if (!writer->failed)
		buf = rmd_buf_create(rmd_wire_writer_len(writer));
	if (buf != NULL) {
		uint8_t *to = rmd_buf_writable(buf);
		size_t from = 0;
		for (size_t i = 0; i <= writer->splice_count; i++) {
			bool last = i == writer->splice_count;
			size_t until = last ? writer->len : writer->splices[i].at;
			if (until > from)
				memcpy(to, writer->data + from, until - from);
			to += until - from;
			from = until;
			if (last)
				break;
			struct rmd_slice bytes = writer->splices[i].piece.bytes;
			memcpy(to, bytes.data, bytes.len);
			to += bytes.len;
		}
	}
	rmd_wire_writer_reset(writer);
	return buf;
}

static bool grow(struct rmd_wire_writer *writer, size_t extra)
{
	size_t want = writer->capacity < BLOCK_MIN / 2 ? BLOCK_MIN : writer->capacity * 2;
	if (extra > SIZE_MAX / 4 - writer->len) {
		writer->failed = true;
		return false;
	}
	if (want < writer->len + extra)
		want = writer->len + extra;
	uint8_t *data = rmd_realloc(writer->borrowed ? NULL : writer->data, want);
	if (data == NULL) {
		writer->failed = true;
		return false;
	}
	if (writer->borrowed && writer->len != 0)
		memcpy(data, writer->data, writer->len);
	writer->borrowed = false;
	writer->data = data;
	writer->capacity = want;
	return true;
}

uint8_t *rmd_wire_reserve(struct rmd_wire_writer *writer, size_t len)
{
	if (writer->failed)
		return NULL;
	if ((writer->data == NULL || len > writer->capacity - writer->len) &&
	    !grow(writer, len))
		return NULL;
	uint8_t *at = writer->data + writer->len;
	writer->len += len;
	return at;
}

static uint8_t *store_varint(uint8_t *at, uint64_t value)
{
	while (value >= 0x80) {
		*at++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*at++ = (uint8_t)value;
	return at;
}

static uint64_t tag_of(uint32_t number, enum rmd_wire_type type)
{
	RMD_CHECK(number != 0 && number <= NUMBER_MAX);
	return (uint64_t)number << 3 | (uint64_t)type;
}

void rmd_wire_put_varint(struct rmd_wire_writer *writer, uint32_t number, uint64_t value)
{
	uint64_t tag = tag_of(number, RMD_WIRE_VARINT);
	uint8_t *at = rmd_wire_reserve(writer, rmd_wire_varint_size(tag) +
						       rmd_wire_varint_size(value));
	if (at != NULL)
		store_varint(store_varint(at, tag), value);
}

void rmd_wire_put_sint(struct rmd_wire_writer *writer, uint32_t number, int64_t value)
{
	rmd_wire_put_varint(writer, number, rmd_wire_zigzag(value));
}

void rmd_wire_put_fixed64(struct rmd_wire_writer *writer, uint32_t number, uint64_t bits)
{
	uint64_t tag = tag_of(number, RMD_WIRE_I64);
	uint8_t *at = rmd_wire_reserve(writer, rmd_wire_varint_size(tag) + 8);
	if (at == NULL)
		return;
	at = store_varint(at, tag);
	for (unsigned i = 0; i < 8; i++)
		at[i] = (uint8_t)(bits >> (8 * i));
}

void rmd_wire_put_double(struct rmd_wire_writer *writer, uint32_t number, double value)
{
	uint64_t bits;
	memcpy(&bits, &value, sizeof bits);
	rmd_wire_put_fixed64(writer, number, bits);
}

void rmd_wire_put_raw(struct rmd_wire_writer *writer, struct rmd_slice bytes)
{
	if (bytes.len == 0)
		return;
	uint8_t *at = rmd_wire_reserve(writer, bytes.len);
	if (at != NULL)
		memcpy(at, bytes.data, bytes.len);
}

void rmd_wire_put_raw_varint(struct rmd_wire_writer *writer, uint64_t value)
{
	uint8_t *at = rmd_wire_reserve(writer, rmd_wire_varint_size(value));
	if (at != NULL)
		store_varint(at, value);
}

void rmd_wire_put_len_header(struct rmd_wire_writer *writer, uint32_t number, size_t len)
{
	uint64_t tag = tag_of(number, RMD_WIRE_LEN);
	uint8_t *at = rmd_wire_reserve(writer, rmd_wire_varint_size(tag) +
						       rmd_wire_varint_size(len));
	if (at != NULL)
		store_varint(store_varint(at, tag), len);
}

void rmd_wire_put_bytes(struct rmd_wire_writer *writer, uint32_t number,
			struct rmd_slice bytes)
{
	rmd_wire_put_len_header(writer, number, bytes.len);
	rmd_wire_put_raw(writer, bytes);
}

static struct rmd_wire_splice *splice_add(struct rmd_wire_writer *writer)
{
	if (writer->splice_count == writer->splice_capacity) {
		size_t want = writer->splice_capacity == 0 ? SPLICES_MIN
							   : writer->splice_capacity * 2;
		struct rmd_wire_splice *splices =
			rmd_realloc(writer->splices, want * sizeof *splices);
		if (splices == NULL) {
			writer->failed = true;
			return NULL;
		}
		writer->splices = splices;
		writer->splice_capacity = want;
	}
	return &writer->splices[writer->splice_count++];
}

void rmd_wire_put_piece(struct rmd_wire_writer *writer, uint32_t number,
			struct rmd_piece piece)
{
	if (piece.bytes.len < RMD_WIRE_SPLICE_MIN) {
		rmd_wire_put_bytes(writer, number, piece.bytes);
		return;
	}
	rmd_wire_put_len_header(writer, number, piece.bytes.len);
	if (writer->failed)
		return;
	struct rmd_wire_splice *splice = splice_add(writer);
	if (splice == NULL)
		return;
	*splice = (struct rmd_wire_splice){writer->len, rmd_piece_ref(piece)};
	writer->splice_bytes += piece.bytes.len;
}

struct rmd_wire_nest rmd_wire_open(struct rmd_wire_writer *writer, uint32_t number)
{
	uint64_t tag = tag_of(number, RMD_WIRE_LEN);
	uint8_t *at = rmd_wire_reserve(writer, rmd_wire_varint_size(tag) + 1);
	if (at == NULL)
		return (struct rmd_wire_nest){0};
	*store_varint(at, tag) = 0;
	return (struct rmd_wire_nest){writer->len - 1, writer->splice_bytes};
}

/* One byte was kept for the length, which is right for most messages. Where the length
 * needs more, the content moves back, and with it the places of the splices made since
 * open (a splice from before lies in front of the length byte, as the tag stands between
 * them). */
void rmd_wire_close(struct rmd_wire_writer *writer, struct rmd_wire_nest nest)
{
	if (writer->failed)
		return;
	RMD_CHECK(nest.length_at < writer->len);
	size_t content_at = nest.length_at + 1;
	size_t in_block = writer->len - content_at;
	uint64_t len = in_block + (writer->splice_bytes - nest.splice_bytes);
	size_t shift = rmd_wire_varint_size(len) - 1;
	if (shift != 0) {
		if (rmd_wire_reserve(writer, shift) == NULL)
			return;
		memmove(writer->data + content_at + shift, writer->data + content_at,
			in_block);
		for (size_t i = writer->splice_count;
		     i-- > 0 && writer->splices[i].at >= content_at;)
			writer->splices[i].at += shift;
	}
	store_varint(writer->data + nest.length_at, len);
}
