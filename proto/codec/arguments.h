/* proto/codec/arguments.h: a task's arguments to and from remuda.v1.Arguments.
 *
 * Reading goes one argument at a time and opens no value, so that a caller that knows
 * what it expects can decode each into that. Pure; a reader belongs to one thread. */
#pragma once

#include "proto/base/buf.h"
#include "proto/codec/value.h"
#include "proto/codec/wire.h"

/* Most arguments by position, and as many by name. */
#define RMD_ARGUMENTS_MAX 255u
/* Longest name of an argument, in bytes. */
#define RMD_ARGUMENT_NAME_MAX 256u

/* One argument. */
struct rmd_argument {
	bool by_name;
	struct rmd_slice name;       /* UTF-8, borrowed from the input, no NUL behind it */
	struct rmd_slice value;      /* a Value message, borrowed from the input */
};

/* Reads the next argument, in wire order: 1, or 0 at the end. RMD_ETRUNC, RMD_EPROTO: not
 * Arguments, or a name that is not UTF-8 or too long. */
int rmd_arguments_next(struct rmd_wire_reader *reader, struct rmd_argument *ret_argument);

/* Counts the arguments: 0. As rmd_arguments_next, and RMD_ELIMIT: too many of a sort. */
int rmd_arguments_count(struct rmd_slice bytes, uint32_t *ret_positional, uint32_t *ret_named);

/* All arguments, decoded. */
struct rmd_arguments {
	const struct remuda_value *args; /* from the arena */
	uint32_t arg_count;
	const struct remuda_entry *kwargs; /* keys are strings; from the arena */
	uint32_t kwarg_count;
};

/* Reads and decodes all; what it gives lives as rmd_value_get says. Errors as
 * rmd_arguments_count and rmd_value_get; RMD_EPROTO also for a name that comes twice.
 * Where one value is at fault, `*ret_at` (may be NULL) is its place: by position from
 * 0, those by name behind all those by position; untouched where it is none. */
int rmd_arguments_get(struct rmd_slice bytes, struct rmd_arena *arena,
		      struct rmd_arguments *ret_arguments, uint32_t *ret_at);

/* Each appends one argument to an Arguments message. `value` as for rmd_value_put. */
void rmd_arguments_put(struct rmd_wire_writer *writer, const struct remuda_value *value);
void rmd_arguments_put_named(struct rmd_wire_writer *writer, struct rmd_slice name,
			     const struct remuda_value *value);
