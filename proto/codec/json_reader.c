/* The parser's tokens, its stack and its complaints. */
#include "proto/codec/json_reader.h"

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"

#define STACK_MIN 32u

/* ---- complaints ---- */

int rmd_json_fail(struct rmd_json_reader *reader, int rc, const uint8_t *at,
		  const char *format, ...)
{
	size_t line = 1, column = 1;
	for (const uint8_t *p = reader->start; p != at; p++) {
		if (*p == '\n') {
			line++;
			column = 1;
		} else if ((*p & 0xc0) != 0x80) {
			column++; /* a character, not its further bytes */
		}
	}
	va_list args;
	va_start(args, format);
	char *what = rmd_vasprintf(format, args);
	va_end(args);
	rmd_free(reader->why);
	reader->why = NULL;
	if (what != NULL)
		reader->why =
			rmd_asprintf("line %zu, column %zu: %s", line, column, what);
	rmd_free(what);
	return rc;
}

int rmd_json_expected(struct rmd_json_reader *reader, const char *what)
{
	const uint8_t *at = reader->at;
	if (at == reader->end)
		return rmd_json_fail(reader, RMD_EINVAL, at, "expected %s, found the end",
				     what);
	if (*at > ' ' && *at <= '~')
		return rmd_json_fail(reader, RMD_EINVAL, at, "expected %s, found '%c'",
				     what, *at);
	return rmd_json_fail(reader, RMD_EINVAL, at, "expected %s, found byte 0x%02x",
			     what, *at);
}

int rmd_json_short(struct rmd_json_reader *reader, int rc)
{
	return rmd_json_fail(reader, rc, reader->at, "%s",
			     rc == RMD_ELIMIT ? "too large" : rmd_errcode_text(rc));
}

int rmd_json_room(struct rmd_json_reader *reader, size_t size, void **ret_room)
{
	struct rmd_arena *arena = reader->arena;
	if (arena->limit_bytes != 0 && size > arena->limit_bytes - arena->used_bytes)
		return rmd_json_short(reader, RMD_ELIMIT);
	*ret_room = rmd_arena_alloc(arena, size);
	return *ret_room == NULL ? rmd_json_short(reader, RMD_ENOMEM) : 0;
}

/* ---- the stack ---- */

int rmd_json_push(struct rmd_json_reader *reader, const struct remuda_value *value)
{
	if (reader->stack_len == reader->stack_capacity) {
		size_t want = reader->stack_capacity == 0 ? STACK_MIN
							  : reader->stack_capacity * 2;
		struct rmd_arena *arena = reader->arena;
		size_t bytes = reader->stack_len * sizeof *value; /* will go there all */
		if (arena->limit_bytes != 0 &&
		    bytes > arena->limit_bytes - arena->used_bytes)
			return rmd_json_short(reader, RMD_ELIMIT);
		struct remuda_value *stack =
			rmd_realloc(reader->stack, want * sizeof *stack);
		if (stack == NULL)
			return rmd_json_short(reader, RMD_ENOMEM);
		reader->stack = stack;
		reader->stack_capacity = want;
	}
	reader->stack[reader->stack_len++] = *value;
	return 0;
}

int rmd_json_pop(struct rmd_json_reader *reader, size_t from,
		 const struct remuda_value **ret_items, size_t *ret_len)
{
	size_t len = reader->stack_len - from;
	void *room = NULL;
	if (len != 0) {
		int rc = rmd_json_room(reader, len * sizeof **ret_items, &room);
		if (rc < 0)
			return rc;
		memcpy(room, reader->stack + from, len * sizeof **ret_items);
	}
	reader->stack_len = from;
	*ret_items = room;
	*ret_len = len;
	return 0;
}

/* ---- tokens ---- */

bool rmd_json_next_is(struct rmd_json_reader *reader, char c)
{
	while (reader->at != reader->end && (*reader->at == ' ' || *reader->at == '\t' ||
					     *reader->at == '\n' || *reader->at == '\r'))
		reader->at++;
	return reader->at != reader->end && *reader->at == (uint8_t)c;
}

bool rmd_json_skip(struct rmd_json_reader *reader, char c)
{
	bool found = rmd_json_next_is(reader, c);
	reader->at += found;
	return found;
}

int rmd_json_take(struct rmd_json_reader *reader, char c, const char *what)
{
	return rmd_json_skip(reader, c) ? 0 : rmd_json_expected(reader, what);
}

static bool digit_next(const struct rmd_json_reader *reader)
{
	return reader->at != reader->end && *reader->at >= '0' && *reader->at <= '9';
}

static int take_digits(struct rmd_json_reader *reader)
{
	if (!digit_next(reader))
		return rmd_json_expected(reader, "a digit");
	while (digit_next(reader))
		reader->at++;
	return 0;
}

/* One of two characters, without white space before it. */
static bool take_either(struct rmd_json_reader *reader, char a, char b)
{
	bool found = reader->at != reader->end &&
		     (*reader->at == (uint8_t)a || *reader->at == (uint8_t)b);
	reader->at += found;
	return found;
}

int rmd_json_number(struct rmd_json_reader *reader, struct rmd_slice *ret_digits,
		    bool *ret_integer)
{
	const uint8_t *start = reader->at;
	bool integer = true;
	int rc;
	take_either(reader, '-', '-');
	if (take_either(reader, '0', '0'))
		rc = digit_next(reader)
			     ? rmd_json_expected(reader, "no digit after a leading 0")
			     : 0;
	else
		rc = take_digits(reader);
	if (rc == 0 && take_either(reader, '.', '.')) {
		integer = false;
		rc = take_digits(reader);
	}
	if (rc == 0 && take_either(reader, 'e', 'E')) {
		integer = false;
		take_either(reader, '+', '-');
		rc = take_digits(reader);
	}
	if (rc < 0)
		return rc;
	*ret_digits = rmd_slice_of(start, (size_t)(reader->at - start));
	*ret_integer = integer;
	return 0;
}

/* Four hexadecimal digits behind "\u". */
static int take_unit(struct rmd_json_reader *reader, uint32_t *ret_unit)
{
	uint8_t bytes[2];
	if (reader->end - reader->at < 4 ||
	    rmd_text_get_hex(rmd_slice_of(reader->at, 4), bytes, 2) < 0)
		return rmd_json_expected(reader, "four hexadecimal digits");
	*ret_unit = (uint32_t)bytes[0] << 8 | bytes[1];
	reader->at += 4;
	return 0;
}

/* A character behind "\u", maybe of two such units. */
static int take_code_point(struct rmd_json_reader *reader, uint32_t *ret_point)
{
	const uint8_t *start = reader->at;
	uint32_t high = 0, low = 0;
	int rc = take_unit(reader, &high);
	if (rc < 0)
		return rc;
	*ret_point = high;
	if (high < 0xd800 || high > 0xdfff)
		return 0;
	if (high <= 0xdbff && take_either(reader, '\\', '\\') &&
	    take_either(reader, 'u', 'u')) {
		rc = take_unit(reader, &low);
		if (rc < 0)
			return rc;
		*ret_point = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
		if (low >= 0xdc00 && low <= 0xdfff)
			return 0;
	}
	return rmd_json_fail(reader, RMD_EINVAL, start, "half of a surrogate pair");
}

/* At most four bytes; the escape that stood for them took at least six a unit. */
static char *store_utf8(char *to, uint32_t point)
{
	if (point < 0x80) {
		*to++ = (char)point;
	} else if (point < 0x800) {
		*to++ = (char)(0xc0 | point >> 6);
		*to++ = (char)(0x80 | (point & 63));
	} else if (point < 0x10000) {
		*to++ = (char)(0xe0 | point >> 12);
		*to++ = (char)(0x80 | (point >> 6 & 63));
		*to++ = (char)(0x80 | (point & 63));
	} else {
		*to++ = (char)(0xf0 | point >> 18);
		*to++ = (char)(0x80 | (point >> 12 & 63));
		*to++ = (char)(0x80 | (point >> 6 & 63));
		*to++ = (char)(0x80 | (point & 63));
	}
	return to;
}

/* What stands behind a backslash. */
static int take_escape(struct rmd_json_reader *reader, char **to)
{
	static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	if (take_either(reader, 'u', 'u')) {
		uint32_t point;
		int rc = take_code_point(reader, &point);
		if (rc == 0)
			*to = store_utf8(*to, point);
		return rc;
	}
	for (size_t i = 0; i < sizeof names - 1; i++)
		if (take_either(reader, names[i], names[i])) {
			*(*to)++ = means[i];
			return 0;
		}
	return rmd_json_expected(reader, "an escape such as \\n or \\u00e9");
}

/* The closing quote, not passing control characters. */
static int find_quote(struct rmd_json_reader *reader, const uint8_t **ret_quote)
{
	const uint8_t *at = reader->at;
	while (at != reader->end && *at != '"' && *at >= 0x20)
		at += *at == '\\' && at + 1 != reader->end ? 2 : 1;
	*ret_quote = at;
	if (at != reader->end && *at == '"')
		return 0;
	reader->at = at;
	return rmd_json_expected(reader, at == reader->end
						 ? "a closing '\"'"
						 : "an escape for a control character");
}

int rmd_json_string(struct rmd_json_reader *reader, const char *what,
		    struct remuda_string *ret_text)
{
	const uint8_t *quote = NULL;
	void *room = NULL;
	int rc = rmd_json_take(reader, '"', what);
	const uint8_t *start = reader->at;
	if (rc == 0)
		rc = find_quote(reader, &quote);
	if (rc == 0)
		rc = rmd_json_room(reader, (size_t)(quote - start) + 1, &room);
	if (rc < 0)
		return rc;
	char *text = room, *to = text;
	while (reader->at < quote) {
		const uint8_t *slash =
			memchr(reader->at, '\\', (size_t)(quote - reader->at));
		size_t plain = (size_t)((slash != NULL ? slash : quote) - reader->at);
		memcpy(to, reader->at, plain);
		to += plain;
		reader->at += plain;
		if (slash == NULL)
			break;
		reader->at++;
		rc = take_escape(reader, &to);
		if (rc < 0)
			return rc;
	}
	*to = '\0';
	if (!rmd_wire_utf8_valid(rmd_slice_of(text, (size_t)(to - text))))
		return rmd_json_fail(reader, RMD_EINVAL, start,
				     "text that is not valid UTF-8");
	reader->at = quote + 1;
	*ret_text = (struct remuda_string){text, (size_t)(to - text)};
	return 0;
}
