#include "proto/codec/text.h"

#include <stdarg.h>
#include <stdio.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"

#define TEXT_MIN 128u
#define PRINTED_MAX 120

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void rmd_text_fini(struct rmd_text *text)
{
	rmd_free(text->data);
	*text = (struct rmd_text){0};
}

/* Room for `len` bytes more and a NUL, or NULL. */
static char *reserve(struct rmd_text *text, size_t len)
{
	if (text->failed)
		return NULL;
	if (text->data == NULL || len >= text->capacity - text->len) {
		size_t want = text->capacity < TEXT_MIN ? TEXT_MIN : text->capacity * 2;
		if (len > SIZE_MAX / 4 - text->len) {
			text->failed = true;
			return NULL;
		}
		if (want < text->len + len + 1)
			want = text->len + len + 1;
		char *data = rmd_realloc(text->data, want);
		if (data == NULL) {
			text->failed = true;
			return NULL;
		}
		text->data = data;
		text->capacity = want;
	}
	char *at = text->data + text->len;
	text->len += len;
	text->data[text->len] = '\0';
	return at;
}

void rmd_text_put(struct rmd_text *text, const void *bytes, size_t len)
{
	char *at = reserve(text, len);
	if (at != NULL && len != 0)
		memcpy(at, bytes, len);
}

void rmd_text_put_char(struct rmd_text *text, char c)
{
	char *at = reserve(text, 1);
	if (at != NULL)
		*at = c;
}

void rmd_text_put_string(struct rmd_text *text, const char *string)
{
	rmd_text_put(text, string, strlen(string));
}

void rmd_text_printf(struct rmd_text *text, const char *format, ...)
{
	char line[PRINTED_MAX + 1];
	va_list args;
	va_start(args, format);
	int len = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	if (len > 0)
		rmd_text_put(text, line, len < PRINTED_MAX ? (size_t)len : PRINTED_MAX);
}

void rmd_text_put_hex(struct rmd_text *text, struct rmd_slice bytes)
{
	static const char digits[] = "0123456789abcdef";
	char *at = reserve(text, 2 * bytes.len);
	for (size_t i = 0; at != NULL && i < bytes.len; i++) {
		at[2 * i] = digits[bytes.data[i] >> 4];
		at[2 * i + 1] = digits[bytes.data[i] & 15];
	}
}

void rmd_text_put_base64(struct rmd_text *text, struct rmd_slice bytes)
{
	const uint8_t *from = bytes.data;
	size_t left = bytes.len;
	char *to = reserve(text, (left / 3 + (left % 3 != 0)) * 4);
	if (to == NULL)
		return;
	for (; left >= 3; left -= 3, from += 3, to += 4) {
		uint32_t bits = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 |
				from[2];
		to[0] = base64_digits[bits >> 18];
		to[1] = base64_digits[bits >> 12 & 63];
		to[2] = base64_digits[bits >> 6 & 63];
		to[3] = base64_digits[bits & 63];
	}
	if (left == 0)
		return;
	uint32_t bits = (uint32_t)from[0] << 16 |
			(left == 2 ? (uint32_t)from[1] << 8 : 0);
	to[0] = base64_digits[bits >> 18];
	to[1] = base64_digits[bits >> 12 & 63];
	to[2] = left == 2 ? base64_digits[bits >> 6 & 63] : '=';
	to[3] = '=';
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int rmd_text_get_hex(struct rmd_slice digits, uint8_t *ret_bytes, size_t len)
{
	if (digits.len / 2 != len || digits.len % 2 != 0)
		return RMD_EINVAL;
	for (size_t i = 0; i < digits.len; i++)
		if (hex_digit(digits.data[i]) < 0)
			return RMD_EINVAL;
	for (size_t i = 0; i < len; i++)
		ret_bytes[i] = (uint8_t)(hex_digit(digits.data[2 * i]) << 4 |
					 hex_digit(digits.data[2 * i + 1]));
	return 0;
}

static int base64_digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int rmd_text_get_base64(struct rmd_slice digits, uint8_t *ret_bytes, size_t *ret_len)
{
	size_t padding = 0, len = 0;
	if (digits.len % 4 != 0)
		return RMD_EINVAL;
	while (padding < 2 && padding < digits.len &&
	       digits.data[digits.len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < digits.len; i += 4) {
		size_t here = i + 4 == digits.len ? 4 - padding : 4;
		uint32_t bits = 0;
		for (size_t j = 0; j < 4; j++) {
			int digit = j < here ? base64_digit(digits.data[i + j]) : 0;
			if (digit < 0)
				return RMD_EINVAL;
			bits = bits << 6 | (uint32_t)digit;
		}
		for (size_t j = 0; j + 1 < here; j++)
			ret_bytes[len++] = (uint8_t)(bits >> (16 - 8 * j));
		if (here < 4 && (bits & (here == 3 ? 0xffu : 0xffffu)) != 0)
			return RMD_EINVAL; /* bits that stand for nothing */
	}
	*ret_len = len;
	return 0;
}
