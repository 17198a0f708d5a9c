/* Declarations for the tests of typed submits, in C and in C++. */
#pragma once

#include <remuda/remuda.h>

REMUDA_TASK_IN("x", int64_t, square, (int64_t, x));
REMUDA_TASK_IN("x", double, half, (double, x), (bool, round));
REMUDA_TASK_IN("x", void, nothing);
REMUDA_TASK_IN("x", int8_t, small, (int8_t, a), (uint16_t, b));
REMUDA_TASK_IN("x", const char *, text, (const char *, a), (struct remuda_bytes, b));
REMUDA_TASK_IN("x", int64_t, sum, (struct remuda_int64s, numbers),
	       (struct remuda_value, any));
