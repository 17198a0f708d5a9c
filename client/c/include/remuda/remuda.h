/* remuda/remuda.h: submit functions to a pool of worker processes, from C and C++.
 *
 *	struct remuda *client = remuda_open(NULL);
 *	struct remuda_error *err = NULL;
 *	int64_t sum;
 *	struct remuda_future *future = remuda_submit_name(client, "native:demo.add", 1, 2);
 *	if (remuda_get(future, &sum, &err) < 0)
 *		remuda_error_print(err, stderr);
 *	remuda_close(client);
 *
 * A client (`struct remuda`) is a connection to a coordinator with one thread of its own
 * behind it. A future is one submitted task. All functions are thread-safe unless they
 * say otherwise; one future must not be freed (or taken) while another thread uses it.
 *
 * Codes: 0 or a negative REMUDA_E…. `ret_…` is written on success only. `ret_err`, always
 * last, may be NULL; where it is not, a failure gives a chain of errors to the caller,
 * who frees it with remuda_error_free.
 *
 * fork: a child may not use what its parent opened: every call fails there with
 * REMUDA_EFORKED and leaves the parent unharmed; the child opens a client of its own,
 * after exec. A program that never frees or closes anything still ends cleanly. */
#ifndef REMUDA_REMUDA_H
#define REMUDA_REMUDA_H

#include <remuda/arg.h>
#include <remuda/error.h>
#include <remuda/task.h>
#include <remuda/value.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define REMUDA_API __attribute__((visibility("default")))
#else
#define REMUDA_API
#endif

struct remuda;
struct remuda_future;
struct remuda_mapping;

/* What functions return. */
enum remuda_code {
	REMUDA_OK = 0,
	REMUDA_EAGAIN = -1,          /* nothing there now */
	REMUDA_ENOMEM = -2,          /* out of memory */
	REMUDA_EINVAL = -3,          /* an argument makes no sense */
	REMUDA_EPROTO = -4,          /* the coordinator broke the protocol */
	REMUDA_ETOOBIG = -7,         /* over a limit of size */
	REMUDA_ENOTFOUND = -8,       /* no such file, pool, function */
	REMUDA_ECLOSED = -10,        /* the client or pool is closed, or the task had ended */
	REMUDA_ETIMEOUT = -11,       /* the time is up; nothing else has changed */
	REMUDA_ESYS = -12,           /* a system call failed: the error says which */
	REMUDA_ETYPE = -13,          /* the result is of another type than asked for */
	REMUDA_ERANGE = -14,         /* the result does not fit the type asked for */
	REMUDA_ECANCELLED = -16,     /* the task was cancelled */
	REMUDA_EUNREACHABLE = -18,   /* no coordinator could be reached, or it was lost */
	REMUDA_ETASK = -19,          /* the task failed: the error says how */
	REMUDA_EFORKED = -32,        /* called in a child of who opened the client */
};

/* The text for a code, borrowed for ever. */
REMUDA_API const char *remuda_code_text(int code);
/* The library's version, "MAJOR.MINOR.PATCH", borrowed for ever. */
REMUDA_API const char *remuda_version(void);

/* ---- open and close ---- */

/* May a coordinator be started where none is found? */
enum remuda_start {
	REMUDA_START_PRIVATE = 0,    /* start a private one that ends with this process */
	REMUDA_START_NEVER,          /* fail with REMUDA_EUNREACHABLE instead */
};

/* How to open a client. Start from REMUDA_OPTIONS_INIT; 0 and NULL mean the default. */
struct remuda_options {
	uint32_t version;            /* REMUDA_OPTIONS_VERSION */
	enum remuda_start start;
	/* "unix:PATH", "tcp:HOST:PORT", "dns:///HOST:PORT". NULL: the environment
	 * variable REMUDA_ADDRESS, else the user's `remuda up` socket (RUNDIR/up.sock;
	 * RUNDIR is $XDG_RUNTIME_DIR/remuda, else /tmp/remuda-UID, and must be the user's
	 * own, mode 0700), else as `start` says. "private": a private one, whatever else
	 * there is. With a coordinator on this host large payloads go through shared
	 * memory: up to 1 GiB for each direction, or the bytes that the environment variable
	 * REMUDA_SHARED_BYTES says, 0: none. */
	const char *address;
	/* Program of the private coordinator. NULL: the environment variable
	 * REMUDA_SERVER, else `remudad` beside this library or program (same folder or
	 * ../bin), else on PATH. */
	const char *server_path;
	/* The pool of tasks that name none: workers at most; 0: as many as cpus. */
	uint32_t max_workers;
	/* Its workers stop after so long without work, milliseconds; 0: 10 s. */
	uint32_t idle_timeout_ms;
	/* Its workers' additional environment, "NAME=VALUE", ended by NULL. */
	const char *const *environment;
	/* Files of modules that its native workers load, ended by NULL. */
	const char *const *modules;
	/* How long opening may take, and how long a lost coordinator is looked for again
	 * before open tasks end as CoordinatorLost, milliseconds; 0: 10 s. */
	uint32_t open_timeout_ms;
	/* The program's name and version for people (`remuda ps`); NULL: the process
	 * name. */
	const char *client_name;
	/* For tcp: and dns: addresses: TLS, with the system's authorities, or with those of
	 * ca_file (PEM). NULL, false: as the environment variables REMUDA_TLS=1 and
	 * REMUDA_CA say; without any of these, no TLS. */
	bool tls;
	const char *ca_file;
	/* Our own certificate and private key (PEM), where the coordinator wants one. NULL:
	 * REMUDA_CERT, REMUDA_KEY. */
	const char *cert_file, *key_file;
	/* What the coordinator's certificate must be for. NULL: REMUDA_TLS_NAME, else the
	 * host of the address. */
	const char *tls_name;
	/* The token that goes with each call; never over TCP without TLS. NULL: the first
	 * line of the file REMUDA_TOKEN_FILE, else REMUDA_TOKEN. */
	const char *token;
};
#define REMUDA_OPTIONS_VERSION 1u
#ifdef __cplusplus
#define REMUDA_OPTIONS_INIT                                                          \
	{REMUDA_OPTIONS_VERSION, REMUDA_START_PRIVATE, nullptr, nullptr, 0, 0,       \
	 nullptr, nullptr, 0, nullptr, false, nullptr, nullptr, nullptr, nullptr,    \
	 nullptr}
#else
#define REMUDA_OPTIONS_INIT {.version = REMUDA_OPTIONS_VERSION}
#endif

/* Opens a client to `address` (NULL: see remuda_options.address). Never NULL unless
 * memory is out: where opening fails, remuda_status says why and each task submitted ends
 * with that error, so a short program needs to look only once. Close with remuda_close.
 */
REMUDA_API struct remuda *remuda_open(const char *address);

/* Opens a client. NULL: `*ret_err` names what was tried and what to do. Returns when the
 * coordinator has answered, after options->open_timeout_ms at the latest. */
REMUDA_API struct remuda *remuda_open_with(const struct remuda_options *options,
					   struct remuda_error **ret_err);

/* 0 while tasks can be submitted; else why not: REMUDA_EUNREACHABLE, REMUDA_EFORKED … */
REMUDA_API int remuda_status(const struct remuda *client, struct remuda_error **ret_err);

/* Where the client is connected: the address in the form of remuda_options.address, or
 * "private". Borrowed until close. */
REMUDA_API const char *remuda_address(const struct remuda *client);

/* Cancels what is open, says goodbye (waits up to a second), ends the client's thread and
 * frees the client. Futures stay valid: those that had not ended fail as CoordinatorLost
 * or cancelled; each must still be freed. Not from a callback of this client. NULL is
 * allowed. */
REMUDA_API void remuda_close(struct remuda *client);

/* ---- submit ---- */

/* Where a worker wrote. */
enum remuda_stream {
	REMUDA_STDOUT = 1,
	REMUDA_STDERR = 2,
	REMUDA_LOG = 3,              /* the task's context */
};

/* Hears what a task prints, before its outcome; on the client's thread. `data` (at most
 * 64 KiB, not necessarily whole lines or text) is borrowed for the call; `dropped_bytes`
 * were lost before it, since they came too fast. Must not block: hand over and return. */
typedef void remuda_log_fn(void *ctx, enum remuda_stream stream, const void *data,
			   size_t len, uint64_t dropped_bytes);

/* A static or global variable of the image that a captured function lies in. */
struct remuda_global {
	const void *data;
	size_t len;
};

/* How to run a task. Start from REMUDA_TASK_OPTIONS_INIT; 0 and NULL mean the default. */
struct remuda_task_options {
	uint32_t version;            /* REMUDA_TASK_OPTIONS_VERSION */
	uint32_t pool; /* from remuda_pool_open; 0: the client's default pool */
	int32_t priority; /* -1000 to 1000, higher goes first among one's own */
	uint32_t max_attempts;       /* how often it may be begun, 1 to 100; 0: 1 */
	/* From the submit to the outcome, milliseconds; 0: no limit. It also bounds how
	 * long the submit itself may block (see below). */
	uint64_t deadline_ms;
	remuda_log_fn *on_log;       /* not NULL: what the task prints is wanted */
	void *log_ctx;
	/* "key=value" for `remuda ps`, at most 16, ended by NULL. */
	const char *const *labels;
	uint64_t queue_deadline_ms;  /* from acceptance until it begins; 0: no limit */
	uint64_t run_deadline_ms;    /* of each attempt; 0: no limit */
	/* After which failures another attempt is made, as far as max_attempts allows: a sum
	 * of enum remuda_retry; 0, and no error_types: all but REMUDA_RETRY_RUN_DEADLINE.
	 * Never after a cancel, nor once the task has ended as many workers as the
	 * coordinator allows one task (3 by default). */
	uint32_t retry_on;
	/* And errors of these types that the task raises, at most 16, ended by NULL. */
	const char *const *error_types;
	/* Before the second attempt, doubled for each further one up to the longest, half of
	 * it left to chance; at most a day. 0: at once; of the longest: a minute. */
	uint64_t backoff_ms, backoff_max_ms;
	/* It goes on when this client is closed or gone, and its outcome waits: `remuda wait`
	 * and Executor.Await find it by its id (remuda_session_hex, remuda_number; see
	 * remuda_accepted). A private coordinator refuses it. */
	bool detached;
	/* Of a captured function: variables whose present bytes travel with the task, as
	 * REMUDA_WITH gives them: in place while it runs, taken out after. NULL: none. */
	const struct remuda_global *globals;
};
#define REMUDA_TASK_OPTIONS_VERSION 1u

/* Why an attempt failed, for remuda_task_options.retry_on. */
enum remuda_retry {
	REMUDA_RETRY_TASK_ERROR = 1 << 1,    /* the task raised an error, of any type */
	REMUDA_RETRY_WORKER_LOST = 1 << 2,   /* its worker crashed or exited */
	REMUDA_RETRY_OUT_OF_MEMORY = 1 << 3, /* … was killed for want of memory */
	REMUDA_RETRY_AGENT_LOST = 1 << 4,
	REMUDA_RETRY_RUN_DEADLINE = 1 << 5,
};
#ifdef __cplusplus
#define REMUDA_TASK_OPTIONS_INIT                                                     \
	{REMUDA_TASK_OPTIONS_VERSION, 0, 0, 0, 0, nullptr, nullptr, nullptr,         \
	 0, 0, 0, nullptr, 0, 0, false, nullptr}
#else
#define REMUDA_TASK_OPTIONS_INIT {.version = REMUDA_TASK_OPTIONS_VERSION}
#endif

/* Submits a task function that is declared with REMUDA_TASK, by its C name:
 *
 *	struct remuda_future *future = remuda_submit(client, square, 21);
 *
 * 0 to 8 arguments, of any type that REMUDA_ARG takes. They are checked against the
 * declaration here (a wrong count or type makes a future that fails, naming function,
 * argument, what was expected and what was given) and converted as C converts, where that
 * is exact (an int for a double; 0 or 1 for a bool). Copied before the submit returns,
 * but for large ones, which are sent while it blocks.
 *
 * Gives a future: take it with remuda_get or free it. NULL only when memory is out, or
 * `client` is NULL; remuda_get(NULL, …) says so. Every other failure ends the future.
 *
 * Back-pressure: when the coordinator's window is full, a submit blocks until it opens or
 * the task's deadline passes. Not from a callback of the client's thread in that case:
 * there it fails with REMUDA_EAGAIN as its error instead of blocking. */
#define remuda_submit(...) REMUDA_PICK_(SUBMIT, __VA_ARGS__)(__VA_ARGS__)
/* The same with options: remuda_submit_with(client, &options, square, 21). */
#define remuda_submit_with(...) REMUDA_PICK_(SUBMIT_WITH, __VA_ARGS__)(__VA_ARGS__)
/* Submits by name: remuda_submit_name(client, "native:demo.square", 21). The worker
 * checks the arguments. */
#define remuda_submit_name(...) REMUDA_PICK_(NAME, __VA_ARGS__)(__VA_ARGS__)
/* The same with options: remuda_submit_name_with(client, &options, "x:name", 21). */
#define remuda_submit_name_with(...) REMUDA_PICK_(NAME_WITH, __VA_ARGS__)(__VA_ARGS__)

/* What remuda_submit and remuda_submit_with call. `options` may be NULL. */
REMUDA_API struct remuda_future *
remuda_submit_task(struct remuda *client, const struct remuda_task *task,
		   const struct remuda_task_options *options,
		   const struct remuda_arg *args, size_t count);

/* One argument by name, for runtimes that have them (Python). */
struct remuda_named_arg {
	const char *name;            /* at most 256 bytes */
	struct remuda_arg arg;
};

/* A call that is put together at run time. `options` and the lists may be NULL. */
struct remuda_call {
	const char *function;        /* "RUNTIME:NAME", at most 512 bytes */
	const struct remuda_task_options *options;
	const struct remuda_arg *args;
	size_t count;                /* at most 255 */
	const struct remuda_named_arg *named_args;
	size_t named_count;          /* at most 255 */
};
/* Submits `call`; all of it is borrowed for the call. As remuda_submit. */
REMUDA_API struct remuda_future *remuda_submit_call(struct remuda *client,
						    const struct remuda_call *call);

/* ---- futures ---- */

/* True when the task has its outcome. */
REMUDA_API bool remuda_done(const struct remuda_future *future);

/* Waits for the outcome: 0 (there is one: a value or a failure); REMUDA_ETIMEOUT.
 * `timeout_ms` below 0: for ever. */
REMUDA_API int remuda_wait(struct remuda_future *future, int64_t timeout_ms);

/* Waits until at least one of `count` futures has ended; `*ret_index` is the first of
 * them in the array. NULLs in it are passed over. REMUDA_ETIMEOUT; REMUDA_EINVAL: all are
 * NULL. */
REMUDA_API int remuda_wait_any(struct remuda_future *const *futures, size_t count,
			       int64_t timeout_ms, size_t *ret_index);

/* Waits until all have ended; REMUDA_ETIMEOUT. */
REMUDA_API int remuda_wait_all(struct remuda_future *const *futures, size_t count,
			       int64_t timeout_ms);

/* Waits for the outcome and takes (frees) the future, whatever the outcome is. `ret`: a
 * pointer to int64_t, int, uint64_t, unsigned, long long, unsigned long long, double,
 * float, bool; char * (NUL-terminated; free it), struct remuda_string, struct
 * remuda_bytes, struct remuda_int64s, struct remuda_doubles (free their data); struct
 * remuda_value (remuda_value_free); or NULL: the value is not wanted. 0, REMUDA_ETASK,
 * REMUDA_ECANCELLED, REMUDA_ETYPE, REMUDA_ERANGE, REMUDA_EUNREACHABLE, REMUDA_ENOMEM … */
#define remuda_get(future, ret, ret_err) REMUDA_GET_(future, ret, ret_err)

/* Waits for the outcome and looks at the value; the future stays the caller's and
 * `*ret_value` is borrowed from it until it is freed. Nothing is copied: for large
 * values. Codes as remuda_get. */
REMUDA_API int remuda_result(struct remuda_future *future,
			     const struct remuda_value **ret_value,
			     struct remuda_error **ret_err);

/* Asks that the task be cancelled. 0: asked; it ends as cancelled, unless its outcome was
 * already on its way. REMUDA_ECLOSED: it had ended. */
REMUDA_API int remuda_cancel(struct remuda_future *future);

/* Frees the future; the task goes on and its outcome is forgotten. NULL is allowed. */
REMUDA_API void remuda_future_free(struct remuda_future *future);

/* The task's number in its client's session, from 1: with remuda_session_hex, what
 * `remuda ps` shows. 0: it was never sent. */
REMUDA_API uint64_t remuda_number(const struct remuda_future *future);
/* Waits until the coordinator has accepted the task: a detached one goes on from then on even
 * if this program ends. 0 (one that was refused has ended: remuda_done); REMUDA_EINVAL: it
 * was never sent; REMUDA_ETIMEOUT (timeout_ms below 0: for ever); REMUDA_EUNREACHABLE; not
 * from a callback. */
REMUDA_API int remuda_accepted(const struct remuda_future *future, int64_t timeout_ms);
/* The session's 16 bytes as 32 hex digits and a NUL. */
REMUDA_API void remuda_session_hex(const struct remuda *client, char ret_hex[33]);

/* ---- when it is done: callbacks, event loops ---- */

/* Hears that `future` has its outcome: remuda_get and remuda_result do not wait then. The
 * callback owns the future, which stays valid until it takes or frees it, then or later,
 * on any thread. */
typedef void remuda_done_fn(struct remuda_future *future, void *ctx);

/* Has `done` called once, on the client's thread, or here and now, before the call
 * returns, if the future has ended already: `done` must not need a lock that the caller
 * holds. Once a future, and not together with remuda_enqueue: REMUDA_EINVAL, and the
 * future stays the caller's; else it belongs to the callback, and only remuda_cancel may
 * still be called for it, until `done` is.
 *
 * In the callback: no waiting for other futures, no long work: it holds up all outcomes of
 * this client, and all that other threads send. Submitting is allowed, but fails with
 * REMUDA_EAGAIN where it would have to wait. remuda_close is not. `ctx` must live until
 * `done` has been called, which it always is: for what is open when the client is closed
 * during remuda_close, by CoordinatorLost or cancelled. */
REMUDA_API int remuda_on_done(struct remuda_future *future, remuda_done_fn *done,
			      void *ctx);

/* Has the future put on its client's done queue when it ends (at once if it has), for a
 * thread of the caller's own: nothing is called on the client's. Once a future, and not
 * together with remuda_on_done: REMUDA_EINVAL. REMUDA_ECLOSED: its client is closed. Both
 * leave the future the caller's; else it belongs to the queue, and only remuda_cancel may
 * still be called for it, until it comes off again. With `done`, remuda_dispatch calls it;
 * else remuda_next_done gives the future back.
 *
 * The queue has no limit of its own: it holds what was submitted and not yet taken off, so
 * who submits faster than the queue is emptied bounds the number of open tasks. remuda_close
 * frees what is still on it, without a call of `done`: empty it before, if `ctx` is to be
 * freed there. */
REMUDA_API int remuda_enqueue(struct remuda_future *future, remuda_done_fn *done,
			      void *ctx);

/* A descriptor for poll, epoll, libuv: readable while the done queue is not empty. Owned
 * by the client: do not read or close it. REMUDA_EFORKED and REMUDA_ESYS are negative
 * too. */
REMUDA_API int remuda_fd(struct remuda *client);

/* Takes the next future off the done queue, in the order in which they ended, or NULL when
 * it is empty; the future is then the caller's, `*ret_ctx` (may be NULL) what remuda_enqueue
 * was given. Never blocks. Any thread, also several: each future comes to one of them. */
REMUDA_API struct remuda_future *remuda_next_done(struct remuda *client, void **ret_ctx);

/* Calls the `done` of every future that is on the done queue now, on this thread; futures
 * without one are freed. Gives how many there were. Never blocks of itself; in `done` all
 * is allowed but remuda_close, waiting too. What ends meanwhile is for the next call: the
 * descriptor is readable again. */
REMUDA_API size_t remuda_dispatch(struct remuda *client);

/* ---- map ---- */

/* How to map. Start from REMUDA_MAP_OPTIONS_INIT. */
struct remuda_map_options {
	uint32_t version;            /* REMUDA_MAP_OPTIONS_VERSION */
	bool as_completed;           /* false: results in the order of the items */
	uint32_t window; /* most tasks submitted and not yet given out; 0: 4096 */
	uint32_t chunk; /* items that are drawn and sent together; 0: window / 4 */
	/* For each; borrowed until close; may be NULL. */
	const struct remuda_task_options *task;
};
#define REMUDA_MAP_OPTIONS_VERSION 1u
#ifdef __cplusplus
#define REMUDA_MAP_OPTIONS_INIT {REMUDA_MAP_OPTIONS_VERSION, false, 0, 0, nullptr}
#else
#define REMUDA_MAP_OPTIONS_INIT {.version = REMUDA_MAP_OPTIONS_VERSION}
#endif

/* The arguments of one task. */
struct remuda_item {
	const struct remuda_arg *args; /* borrowed until the source is called again */
	size_t count;
};
/* Gives the next item: 1; 0: there is none left; negative: stop, this code is what
 * map_next reports. Called on the thread that calls remuda_map_next. */
typedef int remuda_source_fn(void *ctx, struct remuda_item *ret_item);

/* Runs `function` over items: draws them as results are taken, never more than the window
 * ahead, so neither the items nor the results need fit in memory. One thread at a time.
 * Gives a map (close with remuda_map_close), or NULL when memory is out. `options` may be
 * NULL. */
REMUDA_API struct remuda_mapping *remuda_map(struct remuda *client, const char *function,
					 remuda_source_fn *source, void *ctx,
					 const struct remuda_map_options *options);

/* The same over an array of values, one argument each; borrowed until close. */
REMUDA_API struct remuda_mapping *
remuda_map_array(struct remuda *client, const char *function,
		 const struct remuda_value *items, size_t count,
		 const struct remuda_map_options *options);

/* Waits for the next result: 0, and gives its future, which has ended (take it with
 * remuda_get), and the index of its item, from 0 (`ret_index` may be NULL).
 * REMUDA_ENOTFOUND: no more items. REMUDA_ETIMEOUT (timeout_ms below 0: for ever). Other
 * codes: the source's own. */
REMUDA_API int remuda_map_next(struct remuda_mapping *map, int64_t timeout_ms,
			       struct remuda_future **ret_future, uint64_t *ret_index);

/* Cancels what has been submitted and not given out; frees the map. NULL is allowed. */
REMUDA_API void remuda_map_close(struct remuda_mapping *map);

/* ---- modules ---- (pools: remuda/pool.h) */

/* Sends a module (a shared object of task functions) to the coordinator, if it lacks it,
 * and gives its SHA-256 for remuda_pool_options.modules. Blocks. */
REMUDA_API int remuda_module_push(struct remuda *client, const char *path,
				  uint8_t ret_digest[32], struct remuda_error **ret_err);

/* ---- functions as code ---- */

/* A function that is in no module that workers can find is captured: the program it lies in
 * is sent, once, and workers are started of it (docs/capture.md). At the top level of a task
 * (the function itself, and arguments that are functions) that happens by itself. For
 * functions nested in an argument, such as in a list, the encoder decides. */
enum remuda_encoder {
	REMUDA_ENCODER_DEFAULT = 0,  /* client: the process's; process: REMUDA_ENCODER of the
				      * environment ("schema", "auto", "capture"), else schema */
	REMUDA_ENCODER_SCHEMA,       /* nested ones go by name, or are refused */
	REMUDA_ENCODER_CAPTURE,      /* the program's own are captured wherever they are */
	REMUDA_ENCODER_AUTO,         /* nested ones as at the top level */
};
/* Sets the encoder of this process's clients. REMUDA_EINVAL. */
REMUDA_API int remuda_set_encoder(enum remuda_encoder encoder);
/* Sets that of one client. REMUDA_EINVAL. */
REMUDA_API int remuda_client_set_encoder(struct remuda *client, enum remuda_encoder encoder);

/* A function of REMUDA_TASK as a value, to be an argument or part of one; a task calls it
 * with remuda_call. */
#define remuda_fn(function) remuda_function_value_(&function##__remuda_entry, REMUDA_FN_CODEC)
/* The same, captured in any case, whatever the encoder. */
#define remuda_wrap(function)                                                          \
	remuda_function_value_(&function##__remuda_entry, REMUDA_WRAP_CODEC)

/* 1 to 8 variables, for remuda_task_options.globals (in C++: an array of struct
 * remuda_global that ends with {nullptr, 0}), until the end of the block:
 * options.globals = REMUDA_WITH(palette, threshold); At most 16 MiB in all; what they
 * point to does not travel. Not thread-local ones. */
#define REMUDA_WITH(...)                                                               \
	((const struct remuda_global[]){                                               \
		REMUDA_CAT_(REMUDA_WITH_, REMUDA_COUNT_(__VA_ARGS__))(__VA_ARGS__){NULL, 0}})

/* Where remuda_bind keeps a function with its bytes. */
struct remuda_bound {
	struct remuda_value parts[2], list;
};
/* A function (of remuda_fn or remuda_wrap) with bytes bound to it, as a value: who calls it by
 * remuda_call gives it what is after them; the bytes are its first argument, a struct
 * remuda_bytes. `bound` and `bytes` are borrowed until the submit has returned. */
static inline struct remuda_value remuda_bind(struct remuda_bound *bound,
					      struct remuda_value function,
					      struct remuda_bytes bytes)
{
	struct remuda_value value;
	memset(&value, 0, sizeof value);
	memset(bound, 0, sizeof *bound);
	bound->parts[0] = function;
	bound->parts[1].kind = REMUDA_BYTES;
	bound->parts[1].u.bytes = bytes;
	bound->list.kind = REMUDA_LIST;
	bound->list.u.list.items = bound->parts;
	bound->list.u.list.len = 2;
	value.kind = REMUDA_NAMED;
	value.u.named.name.data = REMUDA_BOUND_NAME;
	value.u.named.name.len = sizeof REMUDA_BOUND_NAME - 1;
	value.u.named.value = &bound->list;
	return value;
}

/* ---- values ---- */

/* Frees what a value from remuda_get or remuda_value_copy points to, and makes it null.
 * NULL is allowed. */
REMUDA_API void remuda_value_free(struct remuda_value *value);
/* A deep copy, for remuda_value_free. REMUDA_ENOMEM; REMUDA_ETOOBIG: deeper than
 * REMUDA_VALUE_DEPTH_MAX. */
REMUDA_API int remuda_value_copy(const struct remuda_value *value,
				 struct remuda_value *ret_copy);

/* ---- what remuda_get calls, by type ---- */

REMUDA_API int remuda_get_int64(struct remuda_future *future, int64_t *ret,
				struct remuda_error **ret_err);
REMUDA_API int remuda_get_llong(struct remuda_future *future, long long *ret,
				struct remuda_error **ret_err);
REMUDA_API int remuda_get_int(struct remuda_future *future, int *ret,
			      struct remuda_error **ret_err);
REMUDA_API int remuda_get_uint64(struct remuda_future *future, uint64_t *ret,
				 struct remuda_error **ret_err);
REMUDA_API int remuda_get_ullong(struct remuda_future *future, unsigned long long *ret,
				 struct remuda_error **ret_err);
REMUDA_API int remuda_get_uint(struct remuda_future *future, unsigned *ret,
			       struct remuda_error **ret_err);
REMUDA_API int remuda_get_double(struct remuda_future *future, double *ret,
				 struct remuda_error **ret_err);
REMUDA_API int remuda_get_float(struct remuda_future *future, float *ret,
				struct remuda_error **ret_err);
REMUDA_API int remuda_get_bool(struct remuda_future *future, bool *ret,
			       struct remuda_error **ret_err);
REMUDA_API int remuda_get_text(struct remuda_future *future, char **ret,
			       struct remuda_error **ret_err);
REMUDA_API int remuda_get_string(struct remuda_future *future, struct remuda_string *ret,
				 struct remuda_error **ret_err);
REMUDA_API int remuda_get_bytes(struct remuda_future *future, struct remuda_bytes *ret,
				struct remuda_error **ret_err);
REMUDA_API int remuda_get_int64s(struct remuda_future *future, struct remuda_int64s *ret,
				 struct remuda_error **ret_err);
REMUDA_API int remuda_get_doubles(struct remuda_future *future,
				  struct remuda_doubles *ret,
				  struct remuda_error **ret_err);
REMUDA_API int remuda_get_value(struct remuda_future *future, struct remuda_value *ret,
				struct remuda_error **ret_err);
REMUDA_API int remuda_get_nothing(struct remuda_future *future, const void *null,
				  struct remuda_error **ret_err);

#ifdef __cplusplus
}
#endif

#include <remuda/macros.h>
#include <remuda/pool.h>

#endif
