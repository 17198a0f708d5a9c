#include "proto/codec/value_path.h"

#include <stdio.h>

#include "proto/base/errcode.h"

#define WORD_MAX 40u /* longer keys are cut in a path */

static bool plain_word(struct remuda_string text)
{
	if (text.len == 0 || text.len > WORD_MAX)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			      c == '_';
		if (!letter && (i == 0 || c < '0' || c > '9'))
			return false;
	}
	return true;
}

/* Text between quotes, cut short, with all that is not printable ASCII as '?'. */
static int write_quoted(char *to, size_t room, struct remuda_string text)
{
	char clean[WORD_MAX + 1];
	size_t len = text.len < WORD_MAX ? text.len : WORD_MAX;
	for (size_t i = 0; i < len; i++) {
		char c = text.data[i];
		clean[i] = c >= ' ' && c <= '~' && c != '"' ? c : '?';
	}
	clean[len] = '\0';
	return snprintf(to, room, "[\"%s%s\"]", clean, len < text.len ? "..." : "");
}

static int write_step(char *to, size_t room, const struct rmd_value_step *step)
{
	switch (step->kind) {
	case RMD_STEP_ITEM:
		return snprintf(to, room, "[%zu]", step->index);
	case RMD_STEP_KEY:
		return snprintf(to, room, "{%zu:key}", step->index);
	case RMD_STEP_NAMED:
		return snprintf(to, room, ".value");
	case RMD_STEP_PAIR:
		break;
	}
	if (step->key->kind != REMUDA_STRING)
		return snprintf(to, room, "{%zu}", step->index);
	struct remuda_string text = step->key->u.string;
	if (plain_word(text))
		return snprintf(to, room, ".%.*s", (int)text.len, text.data);
	return write_quoted(to, room, text);
}

void rmd_value_path(const struct rmd_value_step *step, char *ret_path, size_t size)
{
	const struct rmd_value_step *way[REMUDA_VALUE_DEPTH_MAX + 1];
	size_t steps = 0, len = 0;
	for (; step != NULL && steps < sizeof way / sizeof *way; step = step->up)
		way[steps++] = step;
	ret_path[0] = '\0';
	while (steps-- > 0) {
		int wrote = write_step(ret_path + len, size - len, way[steps]);
		if (wrote < 0 || (size_t)wrote >= size - len)
			break;
		len += (size_t)wrote;
	}
}

/* ---- what can't be decoded ---- */

/* A walk to the innermost part that can't be decoded. */
struct search {
	struct rmd_arena *arena;
	struct rmd_value_fault *fault;
	int rc;
};

static void descend(struct search *search, struct rmd_slice value,
		    const struct rmd_value_step *step);

/* True if `value` is what can't be decoded: then the walk has gone on into it. */
static bool at_fault(struct search *search, struct rmd_slice value,
		     const struct rmd_value_step *step, struct remuda_value *ret)
{
	int rc = rmd_value_get(value, search->arena, ret);
	if (rc == 0)
		return false;
	search->rc = rc;
	descend(search, value, step);
	return true;
}

/* Field 2 of a pair, or of a named value, and field 1. */
static void two_fields(struct rmd_slice message, struct rmd_slice *ret_first,
		       struct rmd_slice *ret_second)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(message);
	struct rmd_wire_field field;
	*ret_first = *ret_second = rmd_slice_of(NULL, 0);
	while (rmd_wire_next(&reader, &field) > 0) {
		if (field.type != RMD_WIRE_LEN)
			continue;
		if (field.number == 1)
			*ret_first = field.bytes;
		if (field.number == 2)
			*ret_second = field.bytes;
	}
}

static bool pair_at_fault(struct search *search, struct rmd_slice pair,
			  struct rmd_value_step *step)
{
	struct rmd_slice first, second;
	struct remuda_value key, value;
	two_fields(pair, &first, &second);
	step->kind = RMD_STEP_KEY;
	if (at_fault(search, first, step, &key))
		return true;
	step->kind = RMD_STEP_PAIR;
	step->key = &key;
	return at_fault(search, second, step, &value);
}

/* Looks at what lies in a list or map, item by item. */
static bool item_at_fault(struct search *search, struct rmd_slice message,
			  enum remuda_kind kind, const struct rmd_value_step *up)
{
	struct rmd_value_step step = {.up = up};
	struct rmd_wire_reader reader = rmd_wire_reader_of(message);
	struct rmd_wire_field field;
	struct remuda_value value;
	while (rmd_wire_next(&reader, &field) > 0) {
		if (field.number != 1 || field.type != RMD_WIRE_LEN)
			continue;
		if (kind == REMUDA_MAP ? pair_at_fault(search, field.bytes, &step)
				       : at_fault(search, field.bytes, &step, &value))
			return true;
		step.index++;
		step.kind = RMD_STEP_ITEM;
	}
	return false;
}

/* `value` can't be decoded: finds the part of it that is the reason. */
static void descend(struct search *search, struct rmd_slice value,
		    const struct rmd_value_step *step)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(value);
	struct rmd_wire_field field, last = {.type = RMD_WIRE_VARINT};
	struct rmd_value_step down = {.up = step, .kind = RMD_STEP_NAMED};
	struct rmd_slice name, inner;
	struct remuda_value ignored;
	rmd_value_path(step, search->fault->path, sizeof search->fault->path);
	search->fault->why = rmd_errcode_text(search->rc);
	while (rmd_wire_next(&reader, &field) > 0)
		if (field.number <= REMUDA_DOUBLES + 1)
			last = field;
	if (last.type != RMD_WIRE_LEN || search->rc == RMD_ENOMEM)
		return;
	enum remuda_kind kind = (enum remuda_kind)(last.number - 1);
	if (kind == REMUDA_LIST || kind == REMUDA_TUPLE || kind == REMUDA_SET ||
	    kind == REMUDA_MAP) {
		(void)item_at_fault(search, last.bytes, kind, step);
	} else if (kind == REMUDA_NAMED) {
		two_fields(last.bytes, &name, &inner);
		(void)at_fault(search, inner, &down, &ignored);
	}
}

void rmd_value_locate(struct rmd_slice bytes, int rc, struct rmd_arena *arena,
		      struct rmd_value_fault *ret_fault)
{
	struct search search = {.arena = arena, .fault = ret_fault, .rc = rc};
	descend(&search, bytes, NULL);
}
