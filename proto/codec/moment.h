/* proto/codec/moment.h: moments (RFC 3339) and spans of time ("1.5s") as text, exact
 * both ways.
 *
 * The forms of protobuf's JSON. Pure: no clock, no time zone data; any thread. */
#pragma once

#include "proto/codec/text.h"

/* Appends "2024-05-01T12:00:00.5Z", nanoseconds without trailing zeros. In the ranges of
 * REMUDA_TIMESTAMP. */
void rmd_moment_put(struct rmd_text *text, int64_t seconds, int32_t nanos);
/* Appends "-1.5s", likewise. In the ranges of REMUDA_DURATION. */
void rmd_moment_put_span(struct rmd_text *text, int64_t seconds, int32_t nanos);

/* Reads a moment with "Z" or an offset ("+02:00") and up to nine digits of a second's
 * fraction. RMD_EINVAL: it is not that, or no such day is; RMD_ERANGE: outside years 1
 * to 9999. */
int rmd_moment_get(struct rmd_slice text, int64_t *ret_seconds, int32_t *ret_nanos);
/* Reads a span. RMD_EINVAL: it is not that. */
int rmd_moment_get_span(struct rmd_slice text, int64_t *ret_seconds, int32_t *ret_nanos);
