/* proto/base/alloc_fault.h: for tests of programs with several threads: allocations of
 * one thread alone that fail. The rest of the seam is alloc.h. */
#pragma once

#include <stdint.h>

/* As rmd_alloc_fail_at, but only the calling thread's allocations are counted and fail;
 * rmd_alloc_count counts only them. One thread at a time. */
void rmd_alloc_fail_here(uint64_t n);
