/* pthread_create and thrd_create for a worker program: as the C library's, but the new
 * thread gets a stack for signal handlers, so that its stack overflow can be told.
 *
 * Part of the program itself, which exports them, so that they come before the C
 * library's for all that tasks link with. Not for programs built with a sanitizer, which
 * has its own versions. */
#include "worker/crash/catch.h"

#ifndef RMD_CATCH_SANITIZED

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

#define EXPORTED __attribute__((visibility("default")))

/* What the new thread is to run; it owns this. */
struct start {
	void *(*run)(void *arg);
	int (*run_c11)(void *arg);
	void *arg;
};

/* The C library's own; NULL: there is none. dlsym gives an object pointer for a function.
 */
static void find_next(const char *name, void *ret_function, size_t size)
{
	void *found = dlsym(RTLD_NEXT, name);
	memcpy(ret_function, &found, size);
}

static struct start *new_start(void *arg)
{
	struct start *start = malloc(sizeof *start);
	if (start != NULL)
		*start = (struct start){.arg = arg};
	return start;
}

static void *run_thread(void *arg)
{
	struct start start = *(struct start *)arg;
	free(arg);
	(void)rmd_catch_thread_begin();
	return start.run(start.arg);
}

static int run_c11_thread(void *arg)
{
	struct start start = *(struct start *)arg;
	free(arg);
	(void)rmd_catch_thread_begin();
	return start.run_c11(start.arg);
}

EXPORTED int pthread_create(pthread_t *restrict thread,
			    const pthread_attr_t *restrict attributes,
			    void *(*run)(void *), void *restrict arg)
{
	int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	find_next("pthread_create", &next, sizeof next);
	struct start *start = new_start(arg);
	if (next == NULL || start == NULL) {
		free(start);
		return EAGAIN;
	}
	start->run = run;
	int rc = next(thread, attributes, run_thread, start);
	if (rc != 0)
		free(start);
	return rc;
}

EXPORTED int thrd_create(thrd_t *thread, thrd_start_t run, void *arg)
{
	int (*next)(thrd_t *, thrd_start_t, void *);
	find_next("thrd_create", &next, sizeof next);
	struct start *start = new_start(arg);
	if (next == NULL || start == NULL) {
		free(start);
		return thrd_nomem;
	}
	start->run_c11 = run;
	int rc = next(thread, run_c11_thread, start);
	if (rc != thrd_success)
		free(start);
	return rc;
}

#endif
