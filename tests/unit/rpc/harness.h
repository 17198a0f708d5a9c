/* tests/unit/rpc/harness.h: a server in its own thread, a client on the test's. */
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/codec/wire.h"
#include "proto/rpc/rpc.h"

/* What the test's server does:
 *   /test.Test/Echo    sends back every message's items (field 1), then OK
 *   /test.Test/Fail    NOT_FOUND "no such horse", reason NO_SUCH_HORSE
 *   /test.Test/Small   as Echo, messages of at most 1000 bytes
 *   /test.Test/Never   reads and never answers
 *   /test.Test/Deaf    reads nothing for ever
 *   /test.Test/Rare    as Echo, on the rare queue
 *   /test.Test/Who     one message: peer uid, pid, metadata "user-agent", has deadline
 *   /test.Test/Cancel  cancels when a message comes
 *   /test.Test/Last    sends 1000 items and the status at once
 *   /test.Test/Whole   three messages that do not merge */
struct host {
	char folder[64];
	char *address; /* where the first listener is */
	struct rmd_loop *loop;
	struct rmd_server *server;
	pthread_t thread;
	atomic_int open_calls, cancelled_calls, half_closed_calls;
	sem_t gone; /* posted for each call that closes */
	uint64_t grace_ms;
};

/* Makes a folder in /tmp for sockets. */
void make_folder(char ret_folder[64]);
void remove_folder(const char *folder);

/* How a server listens and whom it lets in, where not whoever comes. */
struct host_guard {
	const struct rmd_tls *tls;
	rmd_admit_fn *admit;
};
void host_start_guarded(struct host *host, const char *listen,
			const struct host_guard *guard);
/* Starts a server; `listen` NULL: a unix socket in a fresh folder. */
void host_start(struct host *host, const char *listen);
/* Runs `job` on the server's thread and waits for it. */
void host_do(struct host *host, void (*job)(struct host *host));
/* Shuts the server down with `grace_ms`, waits, frees. */
void host_stop(struct host *host, uint64_t grace_ms);

/* A client's stream that counts. */
struct caller {
	struct rmd_loop *loop;
	struct rmd_stream *stream;
	uint64_t items, item_bytes, messages;
	uint64_t next[8]; /* of each sender: the number that must come next */
	bool out_of_order;
	bool closed;
	enum rmd_rpc_status status;
	char text[512], reason[64];
	uint64_t stop_at_items, stop_at_messages; /* the loop stops there */
	struct rmd_piece last;			  /* kept */
	size_t drained;
};

extern const struct rmd_stream_events caller_events;

/* Opens the stream of `caller` (zeroed but for its wishes). */
void caller_open(struct caller *caller, struct rmd_loop *loop,
		 struct rmd_channel *channel, const char *path, uint64_t deadline_ms);
/* Sends one item of field 1: `sender` and `number`, then zeroes up to `len` bytes. */
void send_item(struct rmd_stream *stream, uint64_t sender, uint64_t number, size_t len);
/* Runs the loop until the call is closed. */
void caller_wait_closed(struct caller *caller);
struct rmd_channel *must_open(struct rmd_loop *loop, const char *address);
/* Counts what must not leak. */
size_t count_fds(void);
size_t count_threads(void);
