#include "proto/base/arena.h"

#include <stdalign.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"

#define ARENA_MAGIC 0xa4e4a001u
#define ARENA_ALIGN 16u
#define BLOCK_MIN   (8u * 1024u)
#define BLOCK_KEEP  (256u * 1024u)  /* a larger block is not kept by reset */

struct rmd_arena_block {
	struct rmd_arena_block *next;
	size_t size, used;
	alignas(ARENA_ALIGN) uint8_t bytes[];
};

void rmd_arena_init(struct rmd_arena *arena, size_t limit_bytes)
{
	*arena = (struct rmd_arena){.magic = ARENA_MAGIC, .limit_bytes = limit_bytes};
}

static void free_blocks(struct rmd_arena_block *block)
{
	while (block != NULL) {
		struct rmd_arena_block *next = block->next;
		rmd_free(block);
		block = next;
	}
}

void rmd_arena_fini(struct rmd_arena *arena)
{
	RMD_CHECK_OBJ(arena, ARENA_MAGIC);
	free_blocks(arena->blocks);
	*arena = (struct rmd_arena){0};
}

void rmd_arena_reset(struct rmd_arena *arena)
{
	RMD_CHECK_OBJ(arena, ARENA_MAGIC);
	arena->used_bytes = 0;
	struct rmd_arena_block *keep = arena->blocks;
	if (keep == NULL)
		return;
	free_blocks(keep->next);
	keep->next = NULL;
	keep->used = 0;
#ifndef RMD_ARENA_PLAIN
	if (keep->size <= BLOCK_KEEP)
		return;
#endif
	rmd_free(keep);
	arena->blocks = NULL;
}

static struct rmd_arena_block *block_add(struct rmd_arena *arena, size_t size)
{
	struct rmd_arena_block *block = rmd_malloc(sizeof *block + size);
	if (block == NULL)
		return NULL;
	block->size = size;
	block->used = 0;
	block->next = arena->blocks;
	arena->blocks = block;
	return block;
}

void *rmd_arena_alloc(struct rmd_arena *arena, size_t size)
{
	RMD_CHECK_OBJ(arena, ARENA_MAGIC);
	if (size > SIZE_MAX / 4)
		return NULL;
	if (arena->limit_bytes != 0 && size > arena->limit_bytes - arena->used_bytes)
		return NULL;
	size_t room = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	struct rmd_arena_block *block = arena->blocks;
#ifdef RMD_ARENA_PLAIN
	room = size;
	block = block_add(arena, size != 0 ? size : 1);
#else
	if (block == NULL || room > block->size - block->used) {
		size_t next = block == NULL ? BLOCK_MIN : block->size * 2;
		if (next > BLOCK_KEEP)
			next = BLOCK_KEEP;
		block = block_add(arena, room > next ? room : next);
	}
#endif
	if (block == NULL)
		return NULL;
	void *given = block->bytes + block->used;
	block->used += room;
	arena->used_bytes += size;
	return given;
}

void *rmd_arena_calloc(struct rmd_arena *arena, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		return NULL;
	void *given = rmd_arena_alloc(arena, count * size);
	if (given != NULL)
		memset(given, 0, count * size);
	return given;
}

char *rmd_arena_copy(struct rmd_arena *arena, struct rmd_slice bytes)
{
	char *copy = rmd_arena_alloc(arena, bytes.len + 1);
	if (copy == NULL)
		return NULL;
	if (bytes.len != 0)
		memcpy(copy, bytes.data, bytes.len);
	copy[bytes.len] = '\0';
	return copy;
}
