/* client/c/src/check.h: is a call as the rules say, before anything is sent? Pure.
 *
 * What is wrong comes as an error that names function, argument, what was expected and
 * what was given; NULL: nothing is wrong. */
#pragma once

#include "client/c/include/remuda/remuda.h"

/* Most arguments by position, and by name. */
#define RMD_CALL_ARGS_MAX 255u

/* Checks `args` against the declaration of `task` and converts them, as C does, where
 * that is exact: from `args` to `ret_args` (room for `count`; not the same list). */
struct remuda_error *rmd_check_signature(const struct remuda_task *task,
					 const struct remuda_arg *args, size_t count,
					 struct remuda_arg *ret_args);
/* Checks one value, the argument `index` (from 0) or `name` (not NULL) of `function`. */
struct remuda_error *rmd_check_value(const char *function, size_t index, const char *name,
				     const struct remuda_value *value);
/* Checks a function's name and the options of a task (NULL: the defaults). */
struct remuda_error *rmd_check_function(const char *function);
struct remuda_error *rmd_check_task_options(const struct remuda_task_options *options);
/* Checks "key=value" texts ended by NULL (NULL: none): at most `count_max`, key and value
 * at most `part_max` bytes each, valid UTF-8. `what` names the list. *ret_count is set.
 */
struct remuda_error *rmd_check_pairs(const char *const *pairs, const char *what,
				     size_t count_max, size_t part_max,
				     size_t *ret_count);
