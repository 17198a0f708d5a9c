#include "proto/base/alloc.h"
#include "proto/base/alloc_fault.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define LARGE_BYTES     ((size_t)4 << 20)

/* Counting costs one relaxed load while no test has switched it on. */
static atomic_bool counting;
static atomic_uint_fast64_t asked, fail_at;
/* Only the threads count that have said so. */
static atomic_bool some_threads;
static _Thread_local bool this_thread;

static bool must_fail(void)
{
	if (!atomic_load_explicit(&counting, memory_order_relaxed))
		return false;
	if (atomic_load_explicit(&some_threads, memory_order_relaxed) && !this_thread)
		return false;
	return atomic_fetch_add(&asked, 1) + 1 == atomic_load(&fail_at);
}

void rmd_alloc_fail_at(uint64_t n)
{
	atomic_store(&asked, 0);
	atomic_store(&fail_at, n);
	atomic_store(&some_threads, false);
	atomic_store(&counting, n != 0);
}

void rmd_alloc_fail_here(uint64_t n)
{
	rmd_alloc_fail_at(0);
	this_thread = n != 0;
	atomic_store(&fail_at, n);
	atomic_store(&some_threads, true);
	atomic_store(&counting, n != 0);
}

uint64_t rmd_alloc_count(void)
{
	return atomic_load(&asked);
}

/* Large blocks are new memory each time: with huge pages their first use costs a five-hundredth
 * of the page faults. */
static void *malloc_large(size_t size)
{
	if (size > SIZE_MAX - HUGE_PAGE_BYTES)
		return NULL;
	size_t whole = (size + HUGE_PAGE_BYTES - 1) & ~(size_t)(HUGE_PAGE_BYTES - 1);
	void *block = aligned_alloc(HUGE_PAGE_BYTES, whole);
	if (block != NULL)
		(void)madvise(block, whole, MADV_HUGEPAGE); /* a wish: any answer will do */
	return block;
}

void *rmd_malloc(size_t size)
{
	if (must_fail())
		return NULL;
	return size < LARGE_BYTES ? malloc(size != 0 ? size : 1) : malloc_large(size);
}

void *rmd_calloc(size_t count, size_t size)
{
	if (count == 0 || size == 0)
		count = size = 1;
	if (count > PTRDIFF_MAX / size)
		return NULL;         /* ourselves: a sanitizer's calloc would abort */
	return must_fail() ? NULL : calloc(count, size);
}

void *rmd_realloc(void *ptr, size_t size)
{
	return must_fail() ? NULL : realloc(ptr, size != 0 ? size : 1);
}

void rmd_free(void *ptr)
{
	free(ptr);
}

char *rmd_strndup(const char *text, size_t len)
{
	char *copy = rmd_malloc(len + 1);
	if (copy == NULL)
		return NULL;
	if (len != 0)
		memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

char *rmd_strdup(const char *text)
{
	return rmd_strndup(text, strlen(text));
}

char *rmd_vasprintf(const char *format, va_list args)
{
	va_list again;
	va_copy(again, args);
	char *text = NULL;
	int len = vsnprintf(NULL, 0, format, args);
	if (len >= 0 && (text = rmd_malloc((size_t)len + 1)) != NULL)
		vsnprintf(text, (size_t)len + 1, format, again);
	va_end(again);
	return text;
}

char *rmd_asprintf(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char *text = rmd_vasprintf(format, args);
	va_end(args);
	return text;
}
