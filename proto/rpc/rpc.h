/* proto/rpc/rpc.h: gRPC for the rest of the house: one loop, servers, channels, streams.
 *
 * This room is the only one that includes <grpc/...>. One thread runs a loop and hears
 * all its events. Functions marked (any thread) may be called from anywhere; all others
 * on the loop's thread. No event is called under a lock or from inside a function that
 * the hearer calls, except where said.
 *
 * Streams batch naturally: what is appended between two writes goes out as one message,
 * which is right because concatenated protobuf messages merge. So all messages that are
 * sent through rmd_stream_begin/end must be of that form: repeated fields, and singular
 * fields of which the last one wins. Messages that may not merge (a chunk of bytes, a
 * oneof) are sent with rmd_stream_end_message instead.
 *
 * Bytes that are sent by reference are dropped on any thread, perhaps with locks of this
 * room held: the release function of such a buf must not call into this room. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"

struct rmd_wire_writer;

/* RPC status codes, the numbers of gRPC. */
enum rmd_rpc_status {
	RMD_RPC_OK = 0,
	RMD_RPC_CANCELLED = 1,
	RMD_RPC_UNKNOWN = 2,
	RMD_RPC_INVALID_ARGUMENT = 3,
	RMD_RPC_DEADLINE_EXCEEDED = 4,
	RMD_RPC_NOT_FOUND = 5,
	RMD_RPC_ALREADY_EXISTS = 6,
	RMD_RPC_PERMISSION_DENIED = 7,
	RMD_RPC_RESOURCE_EXHAUSTED = 8,
	RMD_RPC_FAILED_PRECONDITION = 9,
	RMD_RPC_ABORTED = 10,
	RMD_RPC_OUT_OF_RANGE = 11,
	RMD_RPC_UNIMPLEMENTED = 12,
	RMD_RPC_INTERNAL = 13,
	RMD_RPC_UNAVAILABLE = 14,
	RMD_RPC_DATA_LOSS = 15,
	RMD_RPC_UNAUTHENTICATED = 16,
};

/* The status's name ("UNAVAILABLE"), borrowed for ever. */
const char *rmd_rpc_status_name(enum rmd_rpc_status status);

/* ---- loop ---- */

struct rmd_loop;
struct rmd_seat;

/* Gives a loop with gRPC initialised, or NULL (out of memory). No fork after this. gRPC's
 * own log lines are switched off for the process, unless GRPC_VERBOSITY is in the
 * environment. */
struct rmd_loop *rmd_loop_create(void);
/* Handles events until rmd_loop_stop; may be called again. The thread that does so is the
 * loop's thread; before the first call it is the one that sets things up. */
void rmd_loop_run(struct rmd_loop *loop);
/* (any thread, not a signal handler) Makes rmd_loop_run return after this event. */
void rmd_loop_stop(struct rmd_loop *loop);
/* Frees the loop, once all its servers, channels and streams are gone; shuts gRPC down.
 * Posts that have not run are forgotten. NULL is allowed. */
void rmd_loop_destroy(struct rmd_loop *loop);

/* Lets other threads run the loop while they wait (proto/rpc/seat.h). Before
 * rmd_loop_run; `seat` must outlive the loop. */
void rmd_loop_set_seat(struct rmd_loop *loop, struct rmd_seat *seat);

/* A job for the loop's thread, embedded by its owner; runs once per post. */
struct rmd_post {
	void (*run)(struct rmd_post *post);
	struct rmd_post *next; /* the loop's own */
};
/* (any thread) Runs `post` on the loop's thread soon; in order of posting; one wake for
 * as many as gather. `post` must not be posted again before it runs. */
void rmd_loop_post(struct rmd_loop *loop, struct rmd_post *post);

/* A job for the end of the present round of events, embedded by its owner. */
struct rmd_deferred {
	void (*run)(struct rmd_deferred *deferred);
	struct rmd_deferred *next; /* the loop's own */
	bool queued;		   /* the loop's own */
};
/* Runs `deferred` once before the loop sleeps again; asking twice is asking once. */
void rmd_loop_defer(struct rmd_loop *loop, struct rmd_deferred *deferred);

/* As rmd_loop_defer, but after all jobs of that function: for what hands on that which
 * they gather. */
void rmd_loop_defer_flush(struct rmd_loop *loop, struct rmd_deferred *deferred);
/* (any thread) True on the thread that is inside rmd_loop_run of `loop`. */
bool rmd_loop_is_here(const struct rmd_loop *loop);

/* A timer, embedded by its owner; zeroed before the first start. */
struct rmd_timer {
	void (*fire)(struct rmd_timer *timer);
	uint64_t at_ms; /* the loop's own */
	size_t place;	/* the loop's own; 0: not started */
};
/* Fires once at `at_ms` (rmd_clock_mono_ms) or soon after; starting again moves it. 0 or
 * RMD_ENOMEM. */
int rmd_timer_start(struct rmd_loop *loop, struct rmd_timer *timer, uint64_t at_ms);
/* Stops it; one that is not started is allowed. */
void rmd_timer_stop(struct rmd_loop *loop, struct rmd_timer *timer);

/* ---- streams: both sides of one call ---- */

struct rmd_stream;

/* What the owner of a stream hears; `ctx` is what it set. Unset ones are not called. */
struct rmd_stream_events {
	/* A message; borrowed for the call (ref it to keep slices of it). The next one is
	 * read after this returns, unless reading is paused. */
	void (*message)(struct rmd_stream *stream, void *ctx, struct rmd_piece message);
	/* Server only: the client sends no more messages. */
	void (*half_closed)(struct rmd_stream *stream, void *ctx);
	/* All that was sent has gone to the transport; more may be appended. */
	void (*drained)(struct rmd_stream *stream, void *ctx);
	/* The call has ended. Last event, exactly once; `stream` is freed after it
	 * returns unless referred to. On the client: the peer's status; on the server:
	 * RMD_RPC_OK if its own status (whatever it was) was handed to the transport,
	 * else CANCELLED: the client has cancelled, gone, or its deadline has passed.
	 * `text` is borrowed for the call, never NULL. */
	void (*closed)(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
		       const char *text);
};

/* Sets whom the events go to. A server handler does this in its `open`. */
void rmd_stream_listen(struct rmd_stream *stream, const struct rmd_stream_events *events,
		       void *ctx);
void *rmd_stream_ctx(const struct rmd_stream *stream);
/* (any thread) Keeps the memory of `stream` beyond `closed`, for threads that may still
 * call the functions marked (any thread): after `closed` these do nothing. */
struct rmd_stream *rmd_stream_ref(struct rmd_stream *stream);
/* (any thread) Drops a reference of rmd_stream_ref. Before the loop is destroyed. */
void rmd_stream_unref(struct rmd_stream *stream);
/* (any thread; locks the stream until end, so be brief) Gives the writer to append one
 * item to. The item is whole top-level fields; none at all is an empty message. Never
 * NULL: where memory has run out, the writer says so by its sticky failure, and the
 * stream ends with RESOURCE_EXHAUSTED. After finish, cancel or `closed` what is appended
 * is dropped. */
struct rmd_wire_writer *rmd_stream_begin(struct rmd_stream *stream);
/* (any thread) Ends the item. If no write is in flight: on the loop's thread it goes out
 * at the end of the present round, on another thread at once, from that thread. Otherwise
 * when the write in flight is done, with all that gathered, in messages of at most 256
 * KiB + one item. */
void rmd_stream_end(struct rmd_stream *stream);
/* (any thread) As rmd_stream_end, and ends the message too: what is appended later goes
 * out in a message of its own. If all items of a stream end so, none is merged with
 * another. */
void rmd_stream_end_message(struct rmd_stream *stream);
/* (any thread) Bytes appended and not yet taken by the transport, which holds more. */
size_t rmd_stream_pending_bytes(const struct rmd_stream *stream);
/* Stops (true) or resumes reading messages: back-pressure on the peer. Works from within
 * `message` too; a message that was being read when it is called still comes. */
void rmd_stream_pause(struct rmd_stream *stream, bool paused);
/* Server: sends what is pending, then the status, which ends the call. Client:
 * half-closes after what is pending (status and text are ignored). Once; later sends are
 * dropped. */
void rmd_stream_finish(struct rmd_stream *stream, enum rmd_rpc_status status,
		       const char *text);
/* (any thread while the stream lives) Ends the call now, dropping what is pending;
 * `closed` follows on the loop's thread. The peer sees CANCELLED. Safe to repeat. */
void rmd_stream_cancel(struct rmd_stream *stream);

/* Server only: who calls. Method ("/remuda.v1.Executor/Run"), peer string, and for unix
 * sockets its credentials (uid -1: not known). Borrowed while the stream lives. */
const char *rmd_stream_method(const struct rmd_stream *stream);
const char *rmd_stream_peer(const struct rmd_stream *stream);
int64_t rmd_stream_peer_uid(const struct rmd_stream *stream);
int64_t rmd_stream_peer_pid(const struct rmd_stream *stream);
/* Server only: the value of request metadata `key`, or NULL; borrowed while the stream
 * lives. */
const char *rmd_stream_metadata(struct rmd_stream *stream, const char *key);
/* Server only: milliseconds (rmd_clock_mono_ms) of the call's deadline; 0: none. */
uint64_t rmd_stream_deadline_ms(const struct rmd_stream *stream);
/* Client only, from `closed`: the reason of the ErrorInfo that the server sent along with
 * its status, or NULL. Borrowed while the stream lives. */
const char *rmd_stream_reason(const struct rmd_stream *stream);
/* Server only: a google.rpc.Status detail that goes with the status of finish: an
 * ErrorInfo with this reason ("UNKNOWN_FUNCTION"; upper case, at most 63 bytes) and
 * domain "remuda". Before finish. Copied. */
void rmd_stream_set_reason(struct rmd_stream *stream, const char *reason);

/* ---- server ---- */

struct rmd_server;

/* One method: who opens its calls. */
struct rmd_method {
	const char *path; /* "/remuda.v1.Executor/Run"; must outlive the server */
	/* A call has come: listen to the stream here. A unary call is a stream that gets
	 * one message and then `half_closed`. `service` is the ctx of
	 * rmd_server_add_methods. */
	void (*open)(struct rmd_stream *stream, void *service);
	uint32_t message_max_bytes; /* larger messages end the call; 0: 4 MiB + 64 KiB */
	bool rare; /* long-lived and idle (Watch): polled apart, so that many of
		    * them cost the others nothing; events up to 20 ms late */
};

struct rmd_server_options {
	bool reflection_and_health; /* serve grpc.health.v1, reflection v1 and v1alpha */
};

/* Gives a server that listens nowhere yet, or NULL. */
struct rmd_server *rmd_server_create(struct rmd_loop *loop,
				     const struct rmd_server_options *options);
/* Adds methods (borrowed until destroy), before the first listen: the largest of their
 * limits (at most 64 MiB) becomes that of the connections. 0; RMD_ENOMEM; RMD_EEXIST: a
 * path is taken; RMD_EINVAL: too late, or a limit over 64 MiB. */
int rmd_server_add_methods(struct rmd_server *server, const struct rmd_method *methods,
			   size_t count, void *service);
/* Whose certificates are used and trusted: paths of PEM files, borrowed for the call.
 * They are read again every few seconds, for new connections. */
struct rmd_tls {
	/* Server: certificates of clients must be signed by these; NULL: none is asked
	 * for. Client: the server's must be; NULL: the system's authorities. */
	const char *ca_file;
	const char *cert_file; /* our own; on a client NULL: none */
	const char *key_file;  /* its private key */
	/* Client: what the server's certificate must be for; NULL: the address's host. */
	const char *server_name;
};

/* Who may call: asked for each call that comes, before its method is opened. NULL: it
 * may; else why not, borrowed for ever, with *ret_status (UNAUTHENTICATED until set
 * otherwise). Health checks are not asked about. */
typedef const char *rmd_admit_fn(void *ctx, struct rmd_stream *stream,
				 enum rmd_rpc_status *ret_status);
/* Sets that, before start. */
void rmd_server_set_admission(struct rmd_server *server, rmd_admit_fn *admit, void *ctx);

/* Listens, before start. "unix:PATH": our own listener: takes PATH.lock (RMD_EEXIST:
 * another process serves there), removes a stale socket, accepts itself, knows its peers.
 * "tcp:HOST:PORT": gRPC's; port 0: a free one; with `tls`, or open to whoever reaches it
 * where that is NULL (a unix socket has none in any case). On success *ret_address (free
 * with rmd_free) is where clients go, in the same form. On failure *ret_why (free with
 * rmd_free; NULL when out of memory) names the address, the reason and a way out:
 * RMD_EINVAL (not of these forms, a path too long, or a bad certificate), RMD_EEXIST,
 * RMD_ESYS, RMD_ENOMEM. */
int rmd_server_listen(struct rmd_server *server, const char *address,
		      const struct rmd_tls *tls, char **ret_address, char **ret_why);
/* Serves one connected stream socket, after start; takes `fd`, also on failure.
 * RMD_EINVAL: it is none. RMD_ECLOSED: the server is not started or is shutting down. */
int rmd_server_add_fd(struct rmd_server *server, int fd);
/* Begins to accept and to serve. 0; RMD_ENOMEM; RMD_ESYS: no thread could be made. */
int rmd_server_start(struct rmd_server *server);
/* What health says: true: SERVING. Until it is called NOT_SERVING; watchers are told. */
void rmd_server_set_healthy(struct rmd_server *server, bool healthy);
/* Accepts nothing new (sockets are removed at once), lets calls end, cancels them after
 * `grace_ms`, then calls `done` (on the loop's thread, not from inside this) once; the
 * server may be destroyed in it or after it. Called again: only the first counts, `done`
 * may be NULL. */
void rmd_server_shutdown(struct rmd_server *server, uint64_t grace_ms,
			 void (*done)(void *ctx), void *ctx);
/* Frees a server that was never started or whose shutdown is done. NULL is allowed. */
void rmd_server_destroy(struct rmd_server *server);

/* ---- client ---- */

struct rmd_channel;

/* Gives a channel to "unix:PATH", "tcp:HOST:PORT" or "dns:///HOST:PORT"; connects when
 * first used. NULL: the address is not of these forms or memory is out; *ret_why (free
 * with rmd_free) says. */
struct rmd_channel *rmd_channel_open(struct rmd_loop *loop, const char *address,
				     char **ret_why);
/* How a channel goes there; all borrowed for the call. */
struct rmd_channel_options {
	const struct rmd_tls *tls; /* NULL: without TLS */
	const char *token; /* sent with each call as "authorization: Bearer"; NULL:
			    * none. Refused over TCP without TLS */
};
/* As rmd_channel_open. NULL with *ret_why also where a certificate or the token will not
 * do. */
struct rmd_channel *rmd_channel_open_with(struct rmd_loop *loop, const char *address,
					  const struct rmd_channel_options *options,
					  char **ret_why);
/* The same over a connected stream socket; takes `fd`, also on failure. It never
 * reconnects. */
struct rmd_channel *rmd_channel_open_fd(struct rmd_loop *loop, int fd, char **ret_why);
/* Closes; streams on it must have ended. NULL is allowed. */
void rmd_channel_close(struct rmd_channel *channel);
/* Starts a call; deadline in rmd_clock_mono_ms, 0: none; `wait_for_ready`: keep trying to
 * connect until the deadline instead of failing with UNAVAILABLE. `path` must live as
 * long as the stream. NULL: out of memory. */
struct rmd_stream *rmd_channel_call(struct rmd_channel *channel, const char *path,
				    uint64_t deadline_ms, bool wait_for_ready,
				    const struct rmd_stream_events *events, void *ctx);
