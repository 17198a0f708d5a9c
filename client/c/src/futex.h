/* client/c/src/futex.h: sleep until a word changes. Any thread. */
#pragma once

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Sleeps while `*word` is `value`, until woken or until `until_ns` of CLOCK_MONOTONIC
 * (UINT64_MAX: for ever). May return early for no reason: look again. */
static inline void rmd_futex_wait(atomic_uint *word, unsigned value, uint64_t until_ns)
{
	struct timespec until = {
		.tv_sec = (time_t)(until_ns / 1000000000u),
		.tv_nsec = (long)(until_ns % 1000000000u),
	};
	int saved = errno;
	syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
		until_ns == UINT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
	errno = saved;
}

/* Wakes all that sleep on `word`. */
static inline void rmd_futex_wake(atomic_uint *word)
{
	int saved = errno;
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	errno = saved;
}
