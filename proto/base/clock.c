#include "proto/base/clock.h"

#include <time.h>

uint64_t rmd_clock_mono_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t rmd_clock_mono_ms(void)
{
	return rmd_clock_mono_ns() / UINT64_C(1000000);
}

int64_t rmd_clock_unix_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
