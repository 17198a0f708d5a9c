/* proto/task/convert.h: values to and from the C types of task functions.
 *
 * One set of rules for the worker (arguments) and the client library (results):
 * exact or refused. Pure; any thread. Messages are not handled here. */
#pragma once

#include <remuda/task.h>

#include "proto/base/arena.h"

/* Writes `value` as the C type `type` to `ret`. What it points to is borrowed from
 * `value`, or from `arena`. RMD_ETYPE: another kind; RMD_ERANGE: not exactly that number;
 * RMD_EINVAL: a NUL where the text ends with one; RMD_ENOMEM.
 *
 * Integers take integers in range; bool also 0 and 1; double any integer that it
 * can hold exactly; float any double in its range (rounded). Text (const char *) takes
 * strings and bytes; a string only strings; bytes both. Vectors take packed lists, lists
 * and tuples of such numbers, and one-dimensional arrays of their dtype; an array takes
 * packed lists too. */
int rmd_task_to_c(const struct remuda_value *value, enum remuda_type type,
		  struct rmd_arena *arena, void *ret);

/* Makes the value of a C object of type `type`, from which it borrows; of an array the
 * shape too. `type` is none of VOID (gives null), MESSAGE, CTX. A NULL text is null. */
struct remuda_value rmd_task_from_c(enum remuda_type type, const void *c);

/* What a parameter of that type takes, for messages ("int8_t (-128 to 127)"), borrowed
 * for ever. */
const char *rmd_task_type_text(enum remuda_type type);

/* Writes the function's signature to `ret_text`, cut to `size`: "int64_t
 * demo.square(int64_t x)". `prefix` may be NULL. */
void rmd_task_signature(const struct remuda_task *task, const char *prefix,
			char *ret_text, size_t size);

/* The message type that `type_text` ("const Orders__Row *") means in the image of `task`,
 * or NULL. */
const struct remuda_message *rmd_task_message(const struct remuda_task *task,
					      const char *type_text);
