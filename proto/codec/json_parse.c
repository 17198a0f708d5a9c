#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/json_reader.h"
#include "proto/codec/number.h"

static int read_number(struct rmd_json_reader *reader, struct remuda_value *ret_value)
{
	const uint8_t *start = reader->at;
	struct rmd_slice digits;
	bool integer;
	int rc = rmd_json_number(reader, &digits, &integer);
	if (rc < 0)
		return rc;
	if (integer) {
		rc = rmd_number_get_integer(digits, reader->arena, ret_value);
	} else {
		*ret_value = (struct remuda_value){.kind = REMUDA_FLOAT64};
		rc = rmd_number_get_double(digits, &ret_value->u.float64);
	}
	if (rc == RMD_ERANGE)
		return rmd_json_fail(reader, rc, start, "a number beyond %s",
				     integer ? "65536 bytes" : "float64");
	return rc < 0 ? rmd_json_short(reader, rc) : 0;
}

/* true, false, null */
static int read_word(struct rmd_json_reader *reader, struct remuda_value *ret_value)
{
	static const struct {
		const char *word;
		enum remuda_kind kind;
		bool boolean;
	} words[] = {
		{"null", REMUDA_NULL, false},
		{"true", REMUDA_BOOLEAN, true},
		{"false", REMUDA_BOOLEAN, false},
	};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		size_t len = strlen(words[i].word);
		if ((size_t)(reader->end - reader->at) < len ||
		    memcmp(reader->at, words[i].word, len) != 0)
			continue;
		reader->at += len;
		*ret_value = (struct remuda_value){.kind = words[i].kind};
		ret_value->u.boolean = words[i].boolean;
		return 0;
	}
	return rmd_json_expected(reader, "a value");
}

int rmd_json_items(struct rmd_json_reader *reader, unsigned depth,
		   struct remuda_value *ret_value)
{
	size_t from = reader->stack_len;
	int rc = rmd_json_take(reader, '[', "'['");
	if (rc < 0)
		return rc;
	if (!rmd_json_skip(reader, ']')) {
		do {
			struct remuda_value item;
			rc = rmd_json_value(reader, depth + 1, &item);
			if (rc == 0)
				rc = rmd_json_push(reader, &item);
			if (rc < 0)
				return rc;
		} while (rmd_json_skip(reader, ','));
		rc = rmd_json_take(reader, ']', "',' or ']'");
		if (rc < 0)
			return rc;
	}
	return rmd_json_pop(reader, from, &ret_value->u.list.items,
			    &ret_value->u.list.len);
}

/* A pair is a key and a value in turn: what the stack holds. */
_Static_assert(sizeof(struct remuda_entry) == 2 * sizeof(struct remuda_value),
	       "no padding");

int rmd_json_map(struct rmd_json_reader *reader, size_t from,
		 struct remuda_value *ret_value)
{
	const struct remuda_value *items;
	size_t len, twin;
	int rc = rmd_json_pop(reader, from, &items, &len);
	if (rc < 0)
		return rc;
	*ret_value = (struct remuda_value){.kind = REMUDA_MAP};
	ret_value->u.map.entries = (const struct remuda_entry *)(const void *)items;
	ret_value->u.map.len = len / 2;
	rc = rmd_value_keys_distinct(ret_value->u.map.entries, len / 2, &twin);
	if (rc == RMD_EEXIST) {
		const struct remuda_value *key = &ret_value->u.map.entries[twin].key;
		bool text = key->kind == REMUDA_STRING && key->u.string.len <= 60;
		return rmd_json_fail(reader, RMD_EINVAL, reader->at - 1,
				     "the map that ends here has a key twice%s%s%s",
				     text ? ": \"" : "", text ? key->u.string.data : "",
				     text ? "\"" : "");
	}
	return rc < 0 ? rmd_json_short(reader, rc) : 0;
}

/* One pair, its key read already. */
static int read_pair(struct rmd_json_reader *reader, unsigned depth,
		     struct remuda_value key)
{
	struct remuda_value value;
	int rc = rmd_json_take(reader, ':', "':'");
	if (rc == 0)
		rc = rmd_json_push(reader, &key);
	if (rc == 0)
		rc = rmd_json_value(reader, depth + 1, &value);
	return rc == 0 ? rmd_json_push(reader, &value) : rc;
}

static int read_object(struct rmd_json_reader *reader, unsigned depth,
		       struct remuda_value *ret_value)
{
	size_t from = reader->stack_len;
	int rc = rmd_json_take(reader, '{', "'{'");
	if (rc < 0)
		return rc;
	if (rmd_json_skip(reader, '}'))
		return rmd_json_map(reader, from, ret_value);
	do {
		struct remuda_value key = {.kind = REMUDA_STRING};
		rc = rmd_json_string(reader, "a key in quotes", &key.u.string);
		if (rc < 0)
			return rc;
		int kind = reader->stack_len == from ? rmd_json_kind_of(key.u.string)
						     : -1;
		if (kind >= 0)
			return rmd_json_kind(reader, kind, depth, ret_value);
		rc = read_pair(reader, depth, key);
		if (rc < 0)
			return rc;
	} while (rmd_json_skip(reader, ','));
	rc = rmd_json_take(reader, '}', "',' or '}'");
	return rc == 0 ? rmd_json_map(reader, from, ret_value) : rc;
}

int rmd_json_value(struct rmd_json_reader *reader, unsigned depth,
		   struct remuda_value *ret_value)
{
	rmd_json_next_is(reader, ' '); /* past white space */
	if (depth > REMUDA_VALUE_DEPTH_MAX)
		return rmd_json_fail(reader, RMD_EDEPTH, reader->at,
				     "more than 30 levels deep");
	uint8_t next = reader->at == reader->end ? 0 : *reader->at;
	if (next == '{')
		return read_object(reader, depth, ret_value);
	if (next == '-' || (next >= '0' && next <= '9'))
		return read_number(reader, ret_value);
	*ret_value =
		(struct remuda_value){.kind = next == '[' ? REMUDA_LIST : REMUDA_STRING};
	if (next == '[')
		return rmd_json_items(reader, depth, ret_value);
	if (next == '"')
		return rmd_json_string(reader, "a string", &ret_value->u.string);
	return read_word(reader, ret_value);
}

int rmd_json_parse(struct rmd_slice text, struct rmd_arena *arena,
		   struct remuda_value *ret_value, char **ret_why)
{
	static const uint8_t nothing[1];
	struct rmd_json_reader reader = {.arena = arena};
	reader.start = reader.at = text.len != 0 ? text.data : nothing;
	reader.end = reader.start + text.len;
	struct remuda_value value;
	int rc = rmd_json_value(&reader, 1, &value);
	rmd_json_next_is(&reader, ' ');
	if (rc == 0 && reader.at != reader.end)
		rc = rmd_json_expected(&reader, "nothing more");
	rmd_free(reader.stack);
	if (rc == 0)
		*ret_value = value;
	if (rc < 0 && ret_why != NULL)
		*ret_why = reader.why;
	else
		rmd_free(reader.why);
	return rc;
}
