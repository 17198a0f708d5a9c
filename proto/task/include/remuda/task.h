/* remuda/task.h: task functions: plain C or C++ functions that workers run.
 *
 *	#include <remuda/task.h>
 *	REMUDA_MODULE("demo");
 *	REMUDA_TASK(int64_t, square, (int64_t, x)) { return x * x; }
 *
 * Compiled into a shared object this is a module: its function is "native:demo.square".
 * REMUDA_TASK(ret, name, (type, parameter)...) stands where the head of a function would
 * stand; `ret` may begin with `static`. 0 to 8 parameters; before them, if wanted, the
 * context: (remuda_ctx *, ctx), spelled so. Types of parameters and results:
 *
 *	bool; integers of any size (range-checked; not char); float, double;
 *	const char *            text, or bytes without a NUL, both NUL-terminated
 *	struct remuda_string    text (UTF-8) with its length
 *	struct remuda_bytes     bytes; a parameter takes text too
 *	struct remuda_int64s, struct remuda_doubles   lists or arrays of numbers
 *	struct remuda_array     a typed array of any shape
 *	struct remuda_value     anything
 *	Type *, const Type *    a message made by protobuf-c, named by REMUDA_MESSAGE
 *	void                    (result only)
 *
 * What a parameter points to is borrowed for the call and read-only; none is NULL. What a
 * result points to comes from remuda_alloc, or is an input, or lives for ever; a text or
 * message that is NULL is the value null.
 *
 * A function stays an ordinary one, to be called and tested without remuda. Header only:
 * links with nothing; all that joins it to a worker is the table `struct remuda_abi`. */
#ifndef REMUDA_TASK_H
#define REMUDA_TASK_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <remuda/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of all structs here that an image and a worker share. */
#define REMUDA_ABI_VERSION 1u
/* Most parameters of a task function, the context not counted. */
#define REMUDA_PARAMS_MAX 8u

struct remuda_error;
struct remuda_abi;

/* What a running task knows of itself. Borrowed for the call; threads that the task
 * starts may use it until the function returns. */
typedef struct remuda_ctx {
	const struct remuda_abi *abi;
} remuda_ctx;

/* Types of parameters and results. */
enum remuda_type {
	REMUDA_TYPE_VOID = 0,
	REMUDA_TYPE_BOOL,
	REMUDA_TYPE_INT8,
	REMUDA_TYPE_INT16,
	REMUDA_TYPE_INT32,
	REMUDA_TYPE_INT64,
	REMUDA_TYPE_UINT8,
	REMUDA_TYPE_UINT16,
	REMUDA_TYPE_UINT32,
	REMUDA_TYPE_UINT64,
	REMUDA_TYPE_FLOAT,
	REMUDA_TYPE_DOUBLE,
	REMUDA_TYPE_TEXT,            /* const char * */
	REMUDA_TYPE_STRING,          /* struct remuda_string */
	REMUDA_TYPE_BYTES,           /* struct remuda_bytes */
	REMUDA_TYPE_INT64S,          /* struct remuda_int64s */
	REMUDA_TYPE_DOUBLES,         /* struct remuda_doubles */
	REMUDA_TYPE_ARRAY,           /* struct remuda_array */
	REMUDA_TYPE_VALUE,           /* struct remuda_value */
	REMUDA_TYPE_MESSAGE,         /* pointer to a message of REMUDA_MESSAGE */
	REMUDA_TYPE_CTX,             /* remuda_ctx *; never in a descriptor */
};

/* ---- descriptors: what the macros leave in an image ---- */

/* One parameter. */
struct remuda_param {
	const char *name;            /* "x" */
	const char *text;            /* its type as written: "int64_t" */
	uint32_t type;               /* enum remuda_type */
};

/* One message type of REMUDA_MESSAGE, with protobuf-c's functions for it. */
struct remuda_message {
	const char *text;            /* the C type as written: "Orders__Row" */
	const char *(*name)(void);   /* its full name: "orders.Row" */
	bool (*valid)(const void *message); /* it is of that type and can be packed */
	size_t (*packed_size)(const void *message);
	size_t (*pack)(const void *message, uint8_t *ret_bytes);
	/* Gives a message in memory of `alloc`, or NULL: not such a message. */
	void *(*unpack)(void *(*alloc)(void *arg, size_t size),
			void (*release)(void *arg, void *memory),
			void *arg, size_t len, const uint8_t *bytes);
};

/* The descriptor of one task function. */
struct remuda_task {
	uint32_t abi_version;        /* REMUDA_ABI_VERSION */
	uint32_t size;               /* of this struct */
	const char *module;          /* prefix of REMUDA_TASK_IN; NULL: the image's own */
	const char *name;            /* "square" */
	const char *file;            /* where it is written */
	uint32_t line;
	uint32_t ret_type;           /* enum remuda_type */
	const char *ret_text;        /* as written: "static int64_t" */
	uint32_t param_count;        /* the context not counted */
	uint32_t takes_ctx;          /* 1: the context is its first parameter */
	const struct remuda_param *params;
	void (*thunk)(remuda_ctx *ctx); /* NULL for REMUDA_TASK_IN */
	const struct remuda_message *const *messages; /* of its image; both may be NULL */
	const struct remuda_message *const *messages_end;
};

/* What a module exports, as `remuda_module_v1`. The first two members are for ever. */
struct remuda_module {
	uint32_t abi_version;        /* REMUDA_ABI_VERSION */
	uint32_t size;               /* of this struct */
	const char *prefix;          /* "demo" */
	const struct remuda_task *const *tasks; /* both NULL where it has none */
	const struct remuda_task *const *tasks_end;
	const struct remuda_message *const *messages;
	const struct remuda_message *const *messages_end;
};

/* The name under which a module exports its `struct remuda_module`. */
#define REMUDA_MODULE_SYMBOL "remuda_module_v1"

/* A place in a source file. */
struct remuda_place {
	const char *file;
	const char *function;
	uint32_t line;
};

/* How a task that a task submits is to run; all zero: as remuda_ctx_submit. */
struct remuda_child_options {
	const char *pool;            /* a shared pool's name; NULL: the pool of the task itself */
	uint64_t deadline_ms;        /* from now; 0, or later than its own: that of the task itself */
	uint32_t max_attempts;       /* how often it may be begun; 0: 1 */
	uint32_t reserved;           /* 0 */
};

/* All that a worker does for a task. Later versions only append; `size` tells how far
 * it goes. decode and encode are the thunk's alone; 0, or negative with an error
 * recorded. */
struct remuda_abi {
	uint32_t abi_version;        /* REMUDA_ABI_VERSION */
	uint32_t size;               /* of this struct */
	/* Writes parameter `index` (the context not counted) as its C type to `ret`. */
	int (*decode)(remuda_ctx *ctx, uint32_t index, void *ret);
	/* Takes the result, a pointer to its C type (NULL: void). */
	int (*encode)(remuda_ctx *ctx, const void *result);
	void *(*alloc)(remuda_ctx *ctx, size_t size);
	struct remuda_error *(*raise)(remuda_ctx *ctx, const struct remuda_place *place,
				      struct remuda_error *cause, const char *type,
				      const char *format, va_list args);
	struct remuda_error *(*raised)(remuda_ctx *ctx);
	void (*log)(remuda_ctx *ctx, const char *format, va_list args);
	void (*progress)(remuda_ctx *ctx, uint64_t done, uint64_t total);
	bool (*cancelled)(remuda_ctx *ctx);
	int64_t (*deadline_ms)(remuda_ctx *ctx);
	uint32_t (*attempt)(remuda_ctx *ctx);
	uint64_t (*submit)(remuda_ctx *ctx, const struct remuda_place *place,
			   const struct remuda_child_options *options, const char *function,
			   const struct remuda_value *args, size_t count);
	int (*get)(remuda_ctx *ctx, const struct remuda_place *place, uint64_t task,
		   int64_t timeout_ms, struct remuda_value *ret_value,
		   struct remuda_error **ret_err);
	void (*cancel)(remuda_ctx *ctx, uint64_t task);
	const char *(*error_type)(remuda_ctx *ctx, const struct remuda_error *err);
	const char *(*error_message)(remuda_ctx *ctx, const struct remuda_error *err);
	int (*call)(remuda_ctx *ctx, const struct remuda_place *place,
		    const struct remuda_value *function, const struct remuda_value *args,
		    size_t count, struct remuda_value *ret_value);
};

/* ---- what a task calls ---- */

/* Memory for results: `size` bytes, 16-byte aligned, uninitialised, freed when the
 * task has ended. NULL: none left, and the task then fails as OutOfMemory whatever it
 * returns. */
static inline void *remuda_alloc(remuda_ctx *ctx, size_t size)
{
	return ctx->abi->alloc(ctx, size);
}

/* Formatted text in memory of remuda_alloc, or NULL as there. */
static inline const char *remuda_format(remuda_ctx *ctx, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* One line of log, shown to who asked for the task's output. A newline is added. */
static inline void remuda_log(remuda_ctx *ctx, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Says how far the task is: `done` of `total` (0: not known), in units of its own.
 * Cheap. */
static inline void remuda_progress(remuda_ctx *ctx, uint64_t done, uint64_t total)
{
	ctx->abi->progress(ctx, done, total);
}

/* True when somebody has cancelled the task: it should return soon, whatever it
 * returns. */
static inline bool remuda_cancelled(remuda_ctx *ctx)
{
	return ctx->abi->cancelled(ctx);
}

/* Milliseconds left to the task's deadline: 0 when it has passed, -1: it has none. */
static inline int64_t remuda_deadline_ms(remuda_ctx *ctx)
{
	return ctx->abi->deadline_ms(ctx);
}

/* Which attempt this is, from 1. */
static inline uint32_t remuda_attempt(remuda_ctx *ctx)
{
	return ctx->abi->attempt(ctx);
}

/* Raises an error: remuda_raise(type, format, ...), e.g.
 *
 *	if (n != 4)
 *		return remuda_raise("ParseError", "row %d: expected 4 fields, found %d", row, n), -1;
 *
 * Records it with this place and returns (there is no jump): the task then fails whatever it
 * returns. Works in any function that a task calls, with or without a context, on the
 * task's thread (others: remuda_attach). An error raised before becomes its context ("during
 * handling ... another error").
 * Gives the error, to be the cause of another; it belongs to the task. Called while no
 * task runs, it prints the error to stderr and gives NULL. */
#define remuda_raise(...)                                                            \
	remuda_raise_at_(REMUDA_HERE_, (struct remuda_error *)0, __VA_ARGS__)
/* The same with what caused it: remuda_raise_from(cause, type, format, ...). Takes
 * `cause`, which is what a raise or remuda_raised gave, or an error of the caller's
 * own; may be NULL. */
#define remuda_raise_from(cause, ...) remuda_raise_at_(REMUDA_HERE_, cause, __VA_ARGS__)
/* The error that the running task has raised last, or NULL. Borrowed until the next
 * raise. */
static inline struct remuda_error *remuda_raised(void);

/* The context of the task that runs on this thread; NULL: none. */
static inline remuda_ctx *remuda_current(void);
/* Makes `ctx` the current one of this thread: for threads that a task starts. Gives
 * the one before; set that again before the function returns. NULL: none. */
static inline remuda_ctx *remuda_attach(remuda_ctx *ctx);

/* ---- tasks that submit tasks ----
 *
 *	struct remuda_value arg = {.kind = REMUDA_INT64, .u.int64 = n - 1}, below;
 *	uint64_t task = remuda_ctx_submit(ctx, "native:demo.nest", &arg, 1);
 *	if (remuda_ctx_get(ctx, task, &below) < 0)
 *		return -1;
 *
 * What a task submits runs in its own pool or a shared one, on any host, for the same
 * client, nested at most 10 deep. While the task waits for it, its place among the pool's
 * workers is free for others; it takes the next free place back when it goes on. When the
 * task ends, in whichever way, what it has submitted and not waited for is cancelled. A
 * task may have 10,000 open at a time. Any thread that has the context may call these;
 * those that wait, wait one after the other. */

/* Submits "RUNTIME:NAME" (without a colon: of the runtime native) with `count` arguments,
 * by position. Gives a number that only this task knows, or 0 with an error raised: an
 * argument that can't be encoded, too many open tasks. Whether there is such a function
 * or pool is told by remuda_ctx_get. */
#define remuda_ctx_submit(ctx, function, args, count)                                \
	remuda_submit_at_(ctx, REMUDA_HERE_, (const struct remuda_child_options *)0, function,   \
			  args, count)
/* The same, told how: const struct remuda_child_options *options. */
#define remuda_ctx_submit_with(ctx, options, function, args, count)                  \
	remuda_submit_at_(ctx, REMUDA_HERE_, options, function, args, count)

/* Waits for a task that was submitted: 0 and its value (`ret_value` may be NULL), which
 * lives as long as the running task; or -1 with its error raised: a ChildError that has
 * what happened there as its cause. Of 0, an error that was raised before, -1. A task's
 * end is told once. */
#define remuda_ctx_get(ctx, task, ret_value)                                         \
	remuda_get_at_(ctx, REMUDA_HERE_, task, -1, ret_value, (struct remuda_error **)0)
/* The same, and raises nothing: -1 and *ret_err, which belongs to the running task and
 * may be the cause of remuda_raise_from; 1: it has not ended within `timeout_ms` (negative: no
 * limit; 0: does not wait, and keeps its place). Having waited that long it goes on at once:
 * until a place comes free, its pool runs one task more than it has workers. */
#define remuda_ctx_wait(ctx, task, timeout_ms, ret_value, ret_err)                   \
	remuda_get_at_(ctx, REMUDA_HERE_, task, timeout_ms, ret_value, ret_err)

/* Asks that a task that was submitted end; nothing where it has ended. Its end is still
 * to be waited for, if wanted. */
static inline void remuda_ctx_cancel(remuda_ctx *ctx, uint64_t task)
{
	ctx->abi->cancel(ctx, task);
}

/* Calls a function value (an argument that the client made with remuda_fn or remuda_wrap, or
 * a name) here and now, as a part of the running task: remuda_call(ctx, &function, args,
 * count, &value). 0 and its value (`ret_value` may be NULL), which lives as long as the
 * task; -1 with an error raised. On the task's own thread. */
#define remuda_call(ctx, function, args, count, ret_value)                           \
	remuda_call_at_(ctx, REMUDA_HERE_, function, args, count, ret_value)
/* What the name of a captured function begins with, in a function value. */
#define REMUDA_CAPTURE_PREFIX "capture:"
/* The named value that a function with bound bytes is: its list of both. */
#define REMUDA_BOUND_NAME "remuda.bound"

/* Type ("ParseError") and message of an error that remuda_ctx_wait, remuda_raised or a
 * raise gave. Borrowed from it. */
static inline const char *remuda_ctx_error_type(remuda_ctx *ctx, const struct remuda_error *err)
{
	return ctx->abi->error_type(ctx, err);
}

static inline const char *remuda_ctx_error_message(remuda_ctx *ctx,
						   const struct remuda_error *err)
{
	return ctx->abi->error_message(ctx, err);
}

/* ---- the macros ---- */

/* Once in a module, at file scope: the prefix of its functions' names, at most 128
 * bytes of [A-Za-z0-9_.-]: REMUDA_MODULE("demo"); */
#define REMUDA_MODULE(prefix) REMUDA_TK_MODULE_(prefix)

/* Once per message type in an image, at file scope, after its .pb-c.h:
 * REMUDA_MESSAGE(Orders__Row, orders__row__descriptor); It travels as
 * google.protobuf.Any. */
#define REMUDA_MESSAGE(type, descriptor) REMUDA_TK_MESSAGE_(type, descriptor)

/* Defines a task function; the body follows. */
#define REMUDA_TASK(...) REMUDA_TK_DISPATCH_(DEFINE, ~, __VA_ARGS__)

/* The same under a name that C has no room for: REMUDA_TASK_NAMED("exit", void,
 * exit_now). */
#define REMUDA_TASK_NAMED(name, ...) REMUDA_TK_DISPATCH_(NAMED, name, __VA_ARGS__)

/* Declares, for a client, a task function that is in a module of the workers, so that
 * it can be submitted with types checked: REMUDA_TASK_IN("demo", int64_t, square,
 * (int64_t, x)); */
#define REMUDA_TASK_IN(prefix, ...) REMUDA_TK_DISPATCH_(DECLARE, prefix, __VA_ARGS__)

/* The descriptor of a function of REMUDA_TASK or REMUDA_TASK_IN. */
#define REMUDA_TASK_OF(name) (&name##__remuda)

#ifdef __cplusplus
}
#endif

#include <remuda/task_macros.h>

#endif
