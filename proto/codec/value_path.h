/* proto/codec/value_path.h: the way to a part of a value, in words: "[0][3].name".
 *
 * The codec's own: rmd_value_check says which part can't be encoded, rmd_value_locate
 * which part of a wire form can't be decoded. Pure. */
#pragma once

#include "proto/codec/value.h"

enum rmd_value_step_kind {
	RMD_STEP_ITEM,	/* [index] */
	RMD_STEP_KEY,	/* {index:key} */
	RMD_STEP_PAIR,	/* .key, ["odd key"], or {index} */
	RMD_STEP_NAMED, /* .value */
};

/* The way down, innermost first; lives on the stack of who walks. */
struct rmd_value_step {
	const struct rmd_value_step *up; /* NULL: the outermost */
	enum rmd_value_step_kind kind;
	size_t index;
	const struct remuda_value *key; /* of a PAIR */
};

/* Writes the whole path to `ret_path`, cut to `size`; `step` NULL:
 * "". */
void rmd_value_path(const struct rmd_value_step *step, char *ret_path, size_t size);
