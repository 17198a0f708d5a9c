/* server/core/heap.h: a heap of nodes that are embedded in what they order.
 *
 * The smallest (key, tie) comes first. Room for a node is promised beforehand, where lack
 * of memory can still be reported; insert never fails. O(log n). Core thread only. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct rmd_core_heap_node {
	uint64_t key, tie;
	size_t place; /* 1 + index in the heap; 0: in none */
};

struct rmd_core_heap {
	struct rmd_core_heap_node **slots;
	size_t count, capacity;
	size_t promised; /* nodes that may want to be in it; at least count */
};

/* Promises room for one more node. RMD_ENOMEM: nothing changed. */
int rmd_core_heap_promise(struct rmd_core_heap *heap);
/* Takes one promise back; its node is out. Memory shrinks with promises. */
void rmd_core_heap_release(struct rmd_core_heap *heap);
/* Puts `node` in, or moves it when it is in, by the key and tie given. */
void rmd_core_heap_put(struct rmd_core_heap *heap, struct rmd_core_heap_node *node,
		       uint64_t key, uint64_t tie);
/* Takes `node` out; nothing happens when it is not in. */
void rmd_core_heap_take(struct rmd_core_heap *heap, struct rmd_core_heap_node *node);
/* The node with the smallest key, or NULL. */
struct rmd_core_heap_node *rmd_core_heap_first(const struct rmd_core_heap *heap);
/* Frees the heap's own memory. */
void rmd_core_heap_fini(struct rmd_core_heap *heap);
