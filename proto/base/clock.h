/* proto/base/clock.h: the two clocks. Thread-safe. Pure code takes times as arguments
 * instead of calling these. */
#pragma once

#include <stdint.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t rmd_clock_mono_ns(void);
/* Milliseconds of CLOCK_MONOTONIC: the `…_ms` times of this program. */
uint64_t rmd_clock_mono_ms(void);
/* Milliseconds since 1970 UTC: the `…_unix_ms` times. */
int64_t rmd_clock_unix_ms(void);
