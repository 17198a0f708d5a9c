#include "server/core/heap.h"

#include <stdbool.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"

#define CAPACITY_MIN 16u
#define CHILDREN 4u /* a flat heap: fewer cache lines on the way */

static bool before(const struct rmd_core_heap_node *a, const struct rmd_core_heap_node *b)
{
	return a->key != b->key ? a->key < b->key : a->tie < b->tie;
}

int rmd_core_heap_promise(struct rmd_core_heap *heap)
{
	if (heap->promised == heap->capacity) {
		size_t capacity = heap->capacity == 0 ? CAPACITY_MIN : heap->capacity * 2;
		void *slots = rmd_realloc(heap->slots, capacity * sizeof(*heap->slots));
		if (slots == NULL)
			return RMD_ENOMEM;
		heap->slots = slots;
		heap->capacity = capacity;
	}
	heap->promised++;
	return 0;
}

void rmd_core_heap_release(struct rmd_core_heap *heap)
{
	RMD_CHECK(heap->promised > heap->count);
	heap->promised--;
	if (heap->capacity <= CAPACITY_MIN || heap->promised > heap->capacity / 4)
		return;
	void *slots = rmd_realloc(heap->slots, heap->capacity / 2 * sizeof(*heap->slots));
	if (slots == NULL)
		return; /* stays as large as it is */
	heap->slots = slots;
	heap->capacity /= 2;
}

static void set(struct rmd_core_heap *heap, size_t at, struct rmd_core_heap_node *node)
{
	heap->slots[at] = node;
	node->place = at + 1;
}

/* Finds the place of `node` from the free slot `at`, upwards, then downwards. */
static void settle(struct rmd_core_heap *heap, size_t at, struct rmd_core_heap_node *node)
{
	while (at > 0 && before(node, heap->slots[(at - 1) / CHILDREN])) {
		set(heap, at, heap->slots[(at - 1) / CHILDREN]);
		at = (at - 1) / CHILDREN;
	}
	for (;;) {
		size_t first = at * CHILDREN + 1, best = first;
		if (first >= heap->count)
			break;
		for (size_t i = first + 1; i < first + CHILDREN && i < heap->count; i++)
			if (before(heap->slots[i], heap->slots[best]))
				best = i;
		if (!before(heap->slots[best], node))
			break;
		set(heap, at, heap->slots[best]);
		at = best;
	}
	set(heap, at, node);
}

void rmd_core_heap_put(struct rmd_core_heap *heap, struct rmd_core_heap_node *node,
		       uint64_t key, uint64_t tie)
{
	if (node->place == 0) {
		RMD_CHECK(heap->count < heap->promised);
		node->place = ++heap->count;
	}
	node->key = key;
	node->tie = tie;
	settle(heap, node->place - 1, node);
}

void rmd_core_heap_take(struct rmd_core_heap *heap, struct rmd_core_heap_node *node)
{
	if (node->place == 0)
		return;
	size_t at = node->place - 1;
	RMD_CHECK(at < heap->count && heap->slots[at] == node);
	struct rmd_core_heap_node *last = heap->slots[--heap->count];
	node->place = 0;
	if (last != node)
		settle(heap, at, last);
}

struct rmd_core_heap_node *rmd_core_heap_first(const struct rmd_core_heap *heap)
{
	return heap->count == 0 ? NULL : heap->slots[0];
}

void rmd_core_heap_fini(struct rmd_core_heap *heap)
{
	rmd_free(heap->slots);
	*heap = (struct rmd_core_heap){0};
}
