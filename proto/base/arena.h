/* proto/base/arena.h: memory that lives as long as one frame or one request.
 *
 * Allocations are 16-byte aligned, never freed one by one, and all gone at reset or
 * fini. With RMD_ARENA_PLAIN (debug and sanitizer builds) each allocation is a malloc
 * of its own, so that memory checkers see each object. One thread at a time. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"

struct rmd_arena_block;

struct rmd_arena {
	uint32_t magic;
	struct rmd_arena_block *blocks; /* the newest first */
	size_t used_bytes;           /* given out since init or reset */
	size_t limit_bytes;          /* beyond it rmd_arena_alloc says NULL; 0: no limit */
};

/* Makes `arena` empty; it allocates nothing yet. `limit_bytes` as in the struct. */
void rmd_arena_init(struct rmd_arena *arena, size_t limit_bytes);
/* Frees everything; `arena` must be initialised again before use. */
void rmd_arena_fini(struct rmd_arena *arena);
/* Forgets all allocations, keeping one block for the next round. */
void rmd_arena_reset(struct rmd_arena *arena);
/* Gives `size` bytes, uninitialised, until reset or fini; NULL: no memory, or over the
 * limit. */
void *rmd_arena_alloc(struct rmd_arena *arena, size_t size);
/* As rmd_arena_alloc for `count * size` bytes, zeroed; NULL also where that overflows. */
void *rmd_arena_calloc(struct rmd_arena *arena, size_t count, size_t size);
/* A copy of `bytes` with a NUL behind it, until reset or fini; NULL as above. */
char *rmd_arena_copy(struct rmd_arena *arena, struct rmd_slice bytes);
