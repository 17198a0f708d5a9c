/* proto/codec/text.h: a growing text, and bytes spelled in it (hexadecimal, base64).
 *
 * Pure. A text belongs to one thread at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"

/* Starts zeroed ({0}). `failed` is sticky: memory has run out, further puts do
 * nothing. */
struct rmd_text {
	char *data;                  /* owned; a NUL at data[len]; NULL while nothing was put */
	size_t len, capacity;
	bool failed;
};

/* Frees what the text holds and zeroes it. */
void rmd_text_fini(struct rmd_text *text);
/* Appends `len` bytes. */
void rmd_text_put(struct rmd_text *text, const void *bytes, size_t len);
void rmd_text_put_char(struct rmd_text *text, char c);
/* Appends a NUL-terminated string. */
void rmd_text_put_string(struct rmd_text *text, const char *string);
/* Appends what printf would print; at most 120 characters of it. */
void rmd_text_printf(struct rmd_text *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Appends two lower-case digits a byte. */
void rmd_text_put_hex(struct rmd_text *text, struct rmd_slice bytes);
/* Appends base64 (RFC 4648, section 4: the plain alphabet, padded). */
void rmd_text_put_base64(struct rmd_text *text, struct rmd_slice bytes);

/* Reads `2 * len` hexadecimal digits, of either case. RMD_EINVAL: they are not that. */
int rmd_text_get_hex(struct rmd_slice digits, uint8_t *ret_bytes, size_t len);
/* Most bytes that `digits` of base64 can stand for. */
static inline size_t rmd_text_base64_room(struct rmd_slice digits)
{
	return digits.len / 4 * 3;
}
/* Reads padded base64 into `ret_bytes`, which has rmd_text_base64_room bytes.
 * RMD_EINVAL: it is not in the one form that rmd_text_put_base64 writes. */
int rmd_text_get_base64(struct rmd_slice digits, uint8_t *ret_bytes, size_t *ret_len);
