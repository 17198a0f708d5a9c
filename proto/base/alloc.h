/* proto/base/alloc.h: the one seam through which all our memory comes.
 *
 * Tests make the n-th allocation fail (rmd_alloc_fail_at); everything else is malloc.
 * Running out is an error to be handled, never an abort. Thread-safe. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* Gives `size` bytes (at least 1), uninitialised, or NULL. Free with rmd_free. */
void *rmd_malloc(size_t size) __attribute__((malloc));
/* Gives `count * size` zeroed bytes, or NULL (also where the product overflows). */
void *rmd_calloc(size_t count, size_t size) __attribute__((malloc));
/* As realloc: on failure NULL, and `ptr` is untouched and still the caller's. */
void *rmd_realloc(void *ptr, size_t size);
/* Frees what one of the above gave; NULL is allowed. */
void rmd_free(void *ptr);
/* Gives a NUL-terminated copy of `text`, or NULL when out of memory. */
char *rmd_strdup(const char *text);
/* Gives a NUL-terminated copy of `len` bytes at `text`, or NULL when out of memory. */
char *rmd_strndup(const char *text, size_t len);
/* Gives the formatted string, or NULL when out of memory. */
char *rmd_asprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *rmd_vasprintf(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

/* For tests: the n-th allocation from now on (1 = the next), and only that one, fails;
 * 0 switches it off. Process-wide. */
void rmd_alloc_fail_at(uint64_t n);
/* For tests: allocations asked for since the last call of rmd_alloc_fail_at. */
uint64_t rmd_alloc_count(void);
