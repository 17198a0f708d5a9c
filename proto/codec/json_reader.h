/* proto/codec/json_reader.h: what the files of the JSON parser share: json_reader.c
 * has the tokens, json_kinds.c the kinds that JSON lacks, json_parse.c the rest. Not
 * for others. */
#pragma once

#include "proto/codec/json.h"

/* Where the parser is. All functions below give 0 or a code that rmd_json_fail has
 * noted. */
struct rmd_json_reader {
	const uint8_t *start, *at, *end;
	struct rmd_arena *arena;     /* borrowed */
	struct remuda_value *stack;  /* owned: items of the lists and maps not yet closed */
	size_t stack_len, stack_capacity;
	char *why;                   /* owned: of the first failure */
};

/* Notes that at `at` the text is wrong in the way that `format` says, and gives `rc`. */
int rmd_json_fail(struct rmd_json_reader *reader, int rc, const uint8_t *at,
		  const char *format, ...) __attribute__((format(printf, 4, 5)));
/* "expected WHAT, found …" at the present place: RMD_EINVAL. */
int rmd_json_expected(struct rmd_json_reader *reader, const char *what);
/* Notes a shortage: RMD_ENOMEM, RMD_ELIMIT. */
int rmd_json_short(struct rmd_json_reader *reader, int rc);
/* Gives `size` bytes of the arena. */
int rmd_json_room(struct rmd_json_reader *reader, size_t size, void **ret_room);

/* Skips white space, and says if `c` comes next (not taken). */
bool rmd_json_next_is(struct rmd_json_reader *reader, char c);
/* The same, and takes it if it does. */
bool rmd_json_skip(struct rmd_json_reader *reader, char c);
/* Takes `c`, or fails with `what` was expected. */
int rmd_json_take(struct rmd_json_reader *reader, char c, const char *what);
/* Reads a string; its text lies in the arena. */
int rmd_json_string(struct rmd_json_reader *reader, const char *what,
		    struct remuda_string *ret_text);
/* Takes a number as it is written; `*ret_integer`: it has neither '.' nor exponent. */
int rmd_json_number(struct rmd_json_reader *reader, struct rmd_slice *ret_digits,
		    bool *ret_integer);

/* Pushes `value`; the stack's items from `from` on become an array in the arena with
 * pop. */
int rmd_json_push(struct rmd_json_reader *reader, const struct remuda_value *value);
int rmd_json_pop(struct rmd_json_reader *reader, size_t from,
		 const struct remuda_value **ret_items, size_t *ret_len);

/* Reads any value at level `depth` (json_parse.c). */
int rmd_json_value(struct rmd_json_reader *reader, unsigned depth,
		   struct remuda_value *ret_value);
/* Reads "[ value, … ]" into u.list, whatever kind of list it is (json_parse.c). */
int rmd_json_items(struct rmd_json_reader *reader, unsigned depth,
		   struct remuda_value *ret_value);
/* Makes a map of the stack's items from `from` on: keys and values by turns
 * (json_parse.c). */
int rmd_json_map(struct rmd_json_reader *reader, size_t from, struct remuda_value *ret_value);

/* If `key` is one of a kind that JSON lacks ("$bytes"), its place in the table, else
 * -1. */
int rmd_json_kind_of(struct remuda_string key);
/* Reads what stands behind that key, up to the closing '}' (json_kinds.c). */
int rmd_json_kind(struct rmd_json_reader *reader, int kind, unsigned depth,
		  struct remuda_value *ret_value);
