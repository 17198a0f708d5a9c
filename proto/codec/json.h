/* proto/codec/json.h: values to and from JSON (RFC 8259), exact for every kind.
 *
 * docs/values.md has the form: plain JSON for what JSON has, an object of one key that
 * begins with '$' for the rest. The parser is strict, and bounded in depth and memory
 * like that of the wire form. Independent of the locale. Pure; any thread. */
#pragma once

#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/codec/text.h"
#include "proto/codec/value.h"

/* Reads one JSON value; spaces around it are allowed, nothing else is. `*ret_value`
 * lies in `arena` and borrows nothing from `text`. While reading, a stack of about as
 * much again is taken from the heap. RMD_EINVAL: not JSON, or not a value; RMD_ERANGE:
 * a number beyond all limits; RMD_EDEPTH; RMD_ELIMIT: the arena's limit is reached;
 * RMD_ENOMEM. On failure `*ret_why` (`ret_why` may be NULL) says where and what was
 * expected, as in "line 1, column 5: expected a value, found ']'"; the caller owns it
 * (rmd_free); NULL when out of memory. */
int rmd_json_parse(struct rmd_slice text, struct rmd_arena *arena,
		   struct remuda_value *ret_value, char **ret_why);

/* Appends `value` to `out` as JSON on one line. Fails as rmd_value_check does, then or
 * when memory runs out nothing has been appended. What is printed parses to an equal
 * value. */
int rmd_json_print(const struct remuda_value *value, struct rmd_text *out);
