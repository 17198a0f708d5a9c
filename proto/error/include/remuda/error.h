/* remuda/error.h: errors: how a task failed, as a chain with the root cause innermost.
 *
 * A `struct remuda_error` owns its cause and its context, and so on: whoever holds the
 * outermost one frees the whole. What the getters give is borrowed until then. Used by
 * one thread at a time; may move between threads. Texts are UTF-8. The wire form is
 * remuda.v1.ErrorChain in proto/remuda/v1/error.proto. */
#ifndef REMUDA_ERROR_H
#define REMUDA_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define REMUDA_ERROR_FORMAT(at, args) __attribute__((format(printf, at, args)))
#define REMUDA_ERROR_API __attribute__((visibility("default")))
#else
#define REMUDA_ERROR_FORMAT(at, args)
#define REMUDA_ERROR_API
#endif

/* Most errors in one chain; of a longer one some in the middle are left out. */
#define REMUDA_ERROR_CHAIN_MAX 64
/* Most frames of one error. */
#define REMUDA_ERROR_FRAMES_MAX 256

struct remuda_error;

/* Stages at which a task can fail. */
enum remuda_origin {
	REMUDA_ORIGIN_UNSPECIFIED = 0,
	REMUDA_ORIGIN_ENCODE = 1,      /* the client could not encode the task */
	REMUDA_ORIGIN_LOOKUP = 2,      /* no such function, or not with this signature */
	REMUDA_ORIGIN_DECODE = 3,      /* the worker could not decode the arguments */
	REMUDA_ORIGIN_TASK = 4,        /* raised by user code */
	REMUDA_ORIGIN_RESULT = 5,      /* the result could not be encoded */
	REMUDA_ORIGIN_INITIALIZER = 6, /* the pool's initializer failed */
	REMUDA_ORIGIN_WORKER = 7,      /* the worker process was lost */
	REMUDA_ORIGIN_AGENT = 8,       /* the agent was lost */
	REMUDA_ORIGIN_SERVICE = 9,     /* the coordinator: limits, deadlines, its loss */
};

/* One place in a program. Texts are never NULL, but may be empty. */
struct remuda_frame {
	const char *file;
	uint32_t line;               /* from 1; 0: unknown */
	const char *function;
	const char *image; /* program or shared object, where no file is known */
	uint64_t offset;             /* in the image; 0: unknown */
};

/* ---- making ---- */

/* Gives an error of type `type` ("ParseError"). Never NULL: where memory has run out, the
 * one error "OutOfMemory", on which everything here is allowed and setters do nothing.
 * Bytes that are not UTF-8 are replaced. */
REMUDA_ERROR_API struct remuda_error *remuda_error_create(const char *type,
							  const char *format, ...)
	REMUDA_ERROR_FORMAT(2, 3);
/* The same with a cause, which it takes; NULL: none. Where memory has run out: the cause
 * alone. */
REMUDA_ERROR_API struct remuda_error *
remuda_error_wrap(struct remuda_error *cause, const char *type, const char *format, ...)
	REMUDA_ERROR_FORMAT(3, 4);
/* Sets what directly caused `err` (the outermost error of its chain); takes `cause`, also
 * the outermost of its own; frees the one before. NULL: none. */
REMUDA_ERROR_API void remuda_error_set_cause(struct remuda_error *err,
					     struct remuda_error *cause);
/* Sets what was being handled when `err` was raised; takes `context`; frees the one
 * before. As remuda_error_set_cause. */
REMUDA_ERROR_API void remuda_error_set_context(struct remuda_error *err,
					       struct remuda_error *context);
/* Frees the whole chain; NULL is allowed. Not for what a getter gave. */
REMUDA_ERROR_API void remuda_error_free(struct remuda_error *err);

/* ---- looking ---- */

/* Its type, never NULL. */
REMUDA_ERROR_API const char *remuda_error_type(const struct remuda_error *err);
/* What went wrong, never NULL. */
REMUDA_ERROR_API const char *remuda_error_message(const struct remuda_error *err);
/* What directly caused it; NULL: none. */
REMUDA_ERROR_API const struct remuda_error *
remuda_error_cause(const struct remuda_error *err);
/* What was being handled when it was raised; NULL: none. */
REMUDA_ERROR_API const struct remuda_error *
remuda_error_context(const struct remuda_error *err);
/* The innermost error: the cause (or, where there is none, the context) to its end. */
REMUDA_ERROR_API const struct remuda_error *
remuda_error_root(const struct remuda_error *err);
/* The stage that failed. */
REMUDA_ERROR_API enum remuda_origin remuda_error_origin(const struct remuda_error *err);
/* Where it happened: frames, outermost call first. */
REMUDA_ERROR_API size_t remuda_error_frame_count(const struct remuda_error *err);
/* Frame `index`; at or beyond the count: all empty. */
REMUDA_ERROR_API struct remuda_frame remuda_error_frame(const struct remuda_error *err,
							size_t index);
/* Host on which it happened, "" where that is not known or is this one. */
REMUDA_ERROR_API const char *remuda_error_host(const struct remuda_error *err);
/* Worker number on that host; 0: none. */
REMUDA_ERROR_API uint64_t remuda_error_worker(const struct remuda_error *err);
/* Attempt of the task, from 1; 0: none. */
REMUDA_ERROR_API uint32_t remuda_error_attempt(const struct remuda_error *err);
/* True: a worker was lost because it exited, with remuda_error_exit_code. */
REMUDA_ERROR_API bool remuda_error_exited(const struct remuda_error *err);
REMUDA_ERROR_API int remuda_error_exit_code(const struct remuda_error *err);
/* Signal that ended a lost worker; 0: none. */
REMUDA_ERROR_API int remuda_error_signal(const struct remuda_error *err);
/* The runtime's own form of the error, e.g. a pickle; NULL and *ret_len 0: none. */
REMUDA_ERROR_API const void *remuda_error_runtime_payload(const struct remuda_error *err,
							  size_t *ret_len);
/* Codec of that, "" where there is none. */
REMUDA_ERROR_API const char *remuda_error_runtime_codec(const struct remuda_error *err);

/* ---- printing ---- */

/* Prints the whole chain, root cause first, ending with a newline. Of an error with cause
 * and context only the cause is shown. Control characters are shown as \xNN. */
REMUDA_ERROR_API void remuda_error_print(const struct remuda_error *err, FILE *stream);
/* The same as a string; give it to free(). NULL: out of memory. */
REMUDA_ERROR_API char *remuda_error_string(const struct remuda_error *err);
/* "Type: message", of `err` alone, on one line, with a lost worker's signal or exit code;
 * give it to free(). NULL: out of memory. */
REMUDA_ERROR_API char *remuda_error_line(const struct remuda_error *err);
/* The chain as JSON, in protobuf's mapping of remuda.v1.ErrorChain; give it to free().
 * NULL: out of memory. */
REMUDA_ERROR_API char *remuda_error_json(const struct remuda_error *err);

#ifdef __cplusplus
}
#endif
#endif
