#include "proto/codec/number.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"

#define CHUNK_DIGITS 9u
#define CHUNK 1000000000u /* 10^CHUNK_DIGITS */
#define SHORT_DIGITS 18u  /* so many always fit in an int64 */
/* Digits of 2^(8 * REMUDA_BIGINT_MAX), rounded up. */
#define DIGITS_MAX (REMUDA_BIGINT_MAX * 2409u / 1000u + 1)

/* ---- doubles ---- */

/* strtod, whatever the program's locale has for a decimal point. */
static double read_c(const char *text)
{
	locale_t c =
		newlocale(LC_ALL_MASK, "C", (locale_t)0); /* glibc's own: no memory */
	double number = c != (locale_t)0 ? strtod_l(text, NULL, c) : strtod(text, NULL);
	if (c != (locale_t)0)
		freelocale(c);
	return number;
}

/* Prints with so many digits; the locale's decimal point, of whatever bytes, becomes '.'.
 */
static void print_c(char *to, size_t room, int digits, double number)
{
	char raw[64];
	size_t len = 0;
	snprintf(raw, sizeof raw, "%.*g", digits, number);
	for (const char *at = raw; *at != '\0' && len + 1 < room; at++) {
		if (strchr("0123456789+-e", *at) != NULL)
			to[len++] = *at;
		else if (len == 0 || to[len - 1] != '.')
			to[len++] = '.';
	}
	to[len] = '\0';
}

void rmd_number_put_double(struct rmd_text *text, double number)
{
	char shortest[64];
	/* Fifteen digits hold any short decimal; below the normal numbers fewer may do.
	 */
	int digits = fabs(number) < 2.2250738585072014e-308 ? 1 : 15;
	do
		print_c(shortest, sizeof shortest, digits, number);
	while (++digits <= 17 && read_c(shortest) != number);
	rmd_text_put_string(text, shortest);
	if (strpbrk(shortest, ".e") == NULL)
		rmd_text_put_string(text, ".0");
}

int rmd_number_get_double(struct rmd_slice digits, double *ret_number)
{
	char own[64], *text = own;
	if (digits.len >= sizeof own) {
		text = rmd_strndup((const char *)digits.data, digits.len);
		if (text == NULL)
			return RMD_ENOMEM;
	} else {
		memcpy(own, digits.data, digits.len);
		own[digits.len] = '\0';
	}
	double number = read_c(text);
	if (text != own)
		rmd_free(text);
	if (isinf(number))
		return RMD_ERANGE;
	*ret_number = number;
	return 0;
}

/* ---- integers of any size ---- */

/* Turns `count` limbs, least significant first, into their negative. */
static void negate(uint32_t *limbs, size_t count)
{
	uint64_t carry = 1;
	for (size_t i = 0; i < count; i++) {
		carry += (uint32_t)~limbs[i];
		limbs[i] = (uint32_t)carry;
		carry >>= 32;
	}
}

/* The magnitude of `twos` in `limbs`, which has room for len / 4 + 1. */
static size_t magnitude(struct rmd_slice twos, uint32_t *limbs)
{
	size_t count = twos.len / 4 + 1;
	bool negative = twos.len != 0 && twos.data[twos.len - 1] >= 0x80;
	memset(limbs, negative ? 0xff : 0, count * sizeof *limbs);
	for (size_t i = 0; i < twos.len; i++) {
		unsigned shift = 8 * (unsigned)(i % 4);
		limbs[i / 4] &= ~((uint32_t)0xff << shift);
		limbs[i / 4] |= (uint32_t)twos.data[i] << shift;
	}
	if (negative)
		negate(limbs, count);
	while (count > 0 && limbs[count - 1] == 0)
		count--;
	return count;
}

/* Divides in place; gives the remainder. */
static uint32_t divide(uint32_t *limbs, size_t *count)
{
	uint64_t rest = 0;
	for (size_t i = *count; i-- > 0;) {
		rest = rest << 32 | limbs[i];
		limbs[i] = (uint32_t)(rest / CHUNK);
		rest %= CHUNK;
	}
	while (*count > 0 && limbs[*count - 1] == 0)
		(*count)--;
	return (uint32_t)rest;
}

void rmd_number_put_bigint(struct rmd_text *text, struct rmd_slice twos)
{
	size_t room = twos.len / 4 + 1, chunk_count = 0;
	/* A chunk holds over 29 bits: 32 / 29 of the limbs is enough, an eighth more is
	 * too. */
	uint32_t *limbs = rmd_calloc(room + room + room / 8 + 2, sizeof *limbs);
	if (limbs == NULL) {
		text->failed = true;
		return;
	}
	uint32_t *chunks = limbs + room;
	size_t count = magnitude(twos, limbs);
	do
		chunks[chunk_count++] = divide(limbs, &count);
	while (count > 0);
	if (twos.len != 0 && twos.data[twos.len - 1] >= 0x80)
		rmd_text_put_char(text, '-');
	rmd_text_printf(text, "%u", chunks[--chunk_count]);
	while (chunk_count-- > 0)
		rmd_text_printf(text, "%09u", chunks[chunk_count]);
	rmd_free(limbs);
}

static uint32_t chunk_of(const uint8_t *digits, size_t len)
{
	uint32_t chunk = 0;
	for (size_t i = 0; i < len; i++)
		chunk = chunk * 10 + (uint32_t)(digits[i] - '0');
	return chunk;
}

/* limbs = limbs * `factor` + `more` */
static void multiply_add(uint32_t *limbs, size_t *count, uint32_t factor, uint32_t more)
{
	uint64_t carry = more;
	for (size_t i = 0; i < *count; i++) {
		carry += (uint64_t)limbs[i] * factor;
		limbs[i] = (uint32_t)carry;
		carry >>= 32;
	}
	if (carry != 0)
		limbs[(*count)++] = (uint32_t)carry;
}

static int get_long(struct rmd_slice digits, bool negative, struct rmd_arena *arena,
		    struct remuda_value *ret_value)
{
	size_t first = digits.len % CHUNK_DIGITS, count = 0;
	size_t room = digits.len / CHUNK_DIGITS + 3; /* a chunk takes less than a limb */
	if (arena->limit_bytes != 0 && room * 4 > arena->limit_bytes - arena->used_bytes)
		return RMD_ELIMIT;
	uint32_t *limbs = rmd_arena_calloc(arena, room, sizeof *limbs);
	if (limbs == NULL)
		return RMD_ENOMEM;
	multiply_add(limbs, &count, 1, chunk_of(digits.data, first));
	for (size_t at = first; at < digits.len; at += CHUNK_DIGITS)
		multiply_add(limbs, &count, CHUNK,
			     chunk_of(digits.data + at, CHUNK_DIGITS));
	if (negative)
		negate(limbs, count + 1);
	/* Limbs are stored as the wire has them: least significant byte first. */
	struct rmd_slice twos = rmd_slice_of(limbs, (count + 1) * sizeof *limbs);
	struct remuda_value value = rmd_value_of_twos(twos);
	if (value.kind == REMUDA_BIGINT && value.u.bytes.len > REMUDA_BIGINT_MAX)
		return RMD_ERANGE;
	*ret_value = value;
	return 0;
}

int rmd_number_get_integer(struct rmd_slice digits, struct rmd_arena *arena,
			   struct remuda_value *ret_value)
{
	bool negative = digits.len != 0 && digits.data[0] == '-';
	if (negative)
		digits = rmd_slice_of(digits.data + 1, digits.len - 1);
	while (digits.len > 1 && digits.data[0] == '0')
		digits = rmd_slice_of(digits.data + 1, digits.len - 1);
	if (digits.len > DIGITS_MAX)
		return RMD_ERANGE;
	if (digits.len > SHORT_DIGITS)
		return get_long(digits, negative, arena, ret_value);
	int64_t number = 0;
	for (size_t i = 0; i < digits.len; i++)
		number = number * 10 + (digits.data[i] - '0');
	*ret_value = (struct remuda_value){.kind = REMUDA_INT64};
	ret_value->u.int64 = negative ? -number : number;
	return 0;
}
