/* worker/crash/catch.h: the worker's side of a crash: a signal handler that says what
 * happened, waits until the stack has been taken from outside, and lets the signal kill.
 *
 * Handles SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT, each only where nobody else does:
 * a sanitizer's handler is there before ours, and a task's or module's own replaces it.
 * In a program built with a sanitizer nothing here does anything. A child that a task has
 * forked dies as if there were no handler.
 *
 * The handler calls nothing that is not async-signal-safe, and takes no memory: a crash
 * may hold malloc's lock. It runs on a stack of its own, so that a stack overflow can be
 * told: the main thread's is made by rmd_catch_open, those of threads made by
 * pthread_create and thrd_create by our versions of these (thread.c), which the worker
 * program exports. A thread made by clone() itself has none, and its stack overflow is
 * told by its signal alone. */
#pragma once

#include <stdbool.h>

/* Takes the channel on RMD_CRASH_CHILD_FD and sets the handlers. Where that descriptor is
 * no socket: does nothing. To be called before user code is loaded, by the main thread.
 */
void rmd_catch_open(void);
/* Notes what is loaded now: to be called after loading. Main thread. */
void rmd_catch_note_images(void);

/* Gives the calling thread a stack for handlers, until it ends. False: no memory; the
 * thread runs on without. */
bool rmd_catch_thread_begin(void);

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RMD_CATCH_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define RMD_CATCH_SANITIZED 1
#endif
#endif
