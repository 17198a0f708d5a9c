/* proto/codec/number.h: numbers as decimal text, exact both ways.
 *
 * Independent of the locale. Pure; any thread. */
#pragma once

#include "proto/base/arena.h"
#include "proto/codec/text.h"
#include "proto/codec/value.h"

/* Appends a finite double in the fewest digits that read back as the same bits, and so
 * that it is seen to be no integer: "1.0", "0.1", "1e+22", "-0.0". */
void rmd_number_put_double(struct rmd_text *text, double number);
/* Appends the integer of these bytes (two's complement, least significant first) in
 * decimal. Takes time with the square of its length: 0.2 s at REMUDA_BIGINT_MAX. */
void rmd_number_put_bigint(struct rmd_text *text, struct rmd_slice twos);

/* Reads decimal digits, maybe with a '-' before, as an integer in its narrowest kind;
 * a big one lies in `arena`. The caller has seen that there is nothing else in
 * `digits`. RMD_ERANGE: over REMUDA_BIGINT_MAX; RMD_ELIMIT: the arena is full;
 * RMD_ENOMEM. */
int rmd_number_get_integer(struct rmd_slice digits, struct rmd_arena *arena,
			   struct remuda_value *ret_value);
/* Reads a JSON number as the nearest double. RMD_ERANGE: it is beyond the largest;
 * RMD_ENOMEM. */
int rmd_number_get_double(struct rmd_slice digits, double *ret_number);
