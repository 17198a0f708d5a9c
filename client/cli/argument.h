/* client/cli/argument.h: words and lines as arguments of a function.
 *
 * One word is one argument: JSON where it parses as JSON (proto/codec/json.h has the
 * form), else a string; with `text` always a string; with `spread` it must be a JSON
 * array, whose items are the arguments. What is not UTF-8 is bytes. Pure; one thread
 * at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <remuda/arg.h>

#include "proto/base/arena.h"
#include "proto/base/buf.h"

/* Most arguments of a task. */
#define RMD_ARGUMENT_LIST_MAX 255u
/* Size of the text that says what is wrong. */
#define RMD_ARGUMENT_WHY_BYTES 160u

struct rmd_argument_rule {
	bool text, spread;
	uint64_t strings; /* bit i: the function asks for a string as argument i */
};

/* Arguments of one task; they borrow from the words and from the arena. */
struct rmd_argument_list {
	struct rmd_arena arena;
	struct remuda_arg *args; /* in the arena; NULL while there are none */
	size_t count;
	bool open; /* the word added last was not simply text: the rule mattered */
};

void rmd_argument_list_init(struct rmd_argument_list *list);
void rmd_argument_list_fini(struct rmd_argument_list *list);
/* Empties it for the next task. */
void rmd_argument_list_reset(struct rmd_argument_list *list);
/* Takes back what was added behind the first `count`. */
void rmd_argument_list_cut(struct rmd_argument_list *list, size_t count);
/* Adds what `word` says (borrowed until reset; needs no NUL). RMD_EINVAL: `spread`,
 * and it is no JSON array; RMD_EDEPTH, RMD_ERANGE: it is JSON, but no value;
 * RMD_ELIMIT: too much, or more than RMD_ARGUMENT_LIST_MAX; RMD_ENOMEM. On failure
 * nothing was added, and `ret_why` is for a person. */
int rmd_argument_list_add(struct rmd_argument_list *list, struct rmd_argument_rule rule,
			  struct rmd_slice word, char ret_why[RMD_ARGUMENT_WHY_BYTES]);
