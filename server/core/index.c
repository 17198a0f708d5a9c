#include "server/core/index.h"

#include <stddef.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"

#define PAGE_SHIFT 4u
#define PAGE_ENTRIES (1u << PAGE_SHIFT)

struct rmd_core_page {
	uint64_t key;	/* number >> PAGE_SHIFT of all its tasks */
	uint32_t count; /* entries that are not NULL; at least 1 */
	struct rmd_core_task *entry[PAGE_ENTRIES];
};

void rmd_core_index_init(struct rmd_core_index *index, uint64_t seed)
{
	rmd_map_init(&index->pages, seed);
	index->last = NULL;
}

void rmd_core_index_fini(struct rmd_core_index *index)
{
	struct rmd_core_page *page;
	for (size_t cursor = 0; (page = rmd_map_next(&index->pages, &cursor)) != NULL;)
		rmd_free(page);
	rmd_map_fini(&index->pages);
	index->last = NULL;
}

static struct rmd_core_page *page_of(const struct rmd_core_index *index, uint64_t number)
{
	uint64_t key = number >> PAGE_SHIFT;
	if (index->last != NULL && index->last->key == key)
		return index->last;
	return rmd_map_get(&index->pages, key);
}

int rmd_core_index_put(struct rmd_core_index *index, uint64_t number,
		       struct rmd_core_task *task)
{
	struct rmd_core_page *page = page_of(index, number);
	if (page == NULL) {
		page = rmd_calloc(1, sizeof(*page));
		if (page == NULL)
			return RMD_ENOMEM;
		page->key = number >> PAGE_SHIFT;
		if (rmd_map_put(&index->pages, page->key, page) < 0) {
			rmd_free(page);
			return RMD_ENOMEM;
		}
	}
	RMD_CHECK(page->entry[number % PAGE_ENTRIES] == NULL);
	page->entry[number % PAGE_ENTRIES] = task;
	page->count++;
	index->last = page;
	return 0;
}

void rmd_core_index_replace(struct rmd_core_index *index, uint64_t number,
			    struct rmd_core_task *task)
{
	struct rmd_core_page *page = page_of(index, number);
	RMD_CHECK(page != NULL && page->entry[number % PAGE_ENTRIES] != NULL);
	page->entry[number % PAGE_ENTRIES] = task;
}

struct rmd_core_task *rmd_core_index_get(const struct rmd_core_index *index,
					 uint64_t number)
{
	const struct rmd_core_page *page = page_of(index, number);
	return page == NULL ? NULL : page->entry[number % PAGE_ENTRIES];
}

void rmd_core_index_drop(struct rmd_core_index *index, uint64_t number)
{
	struct rmd_core_page *page = page_of(index, number);
	RMD_CHECK(page != NULL && page->entry[number % PAGE_ENTRIES] != NULL);
	page->entry[number % PAGE_ENTRIES] = NULL;
	if (--page->count > 0) {
		index->last = page;
		return;
	}
	if (index->last == page)
		index->last = NULL;
	rmd_map_take(&index->pages, page->key);
	rmd_free(page);
}
