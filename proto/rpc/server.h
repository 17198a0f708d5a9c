/* proto/rpc/server.h: the server from inside this room. */
#pragma once

#include <stdatomic.h>
#include <sys/types.h>

#include "proto/base/map.h"
#include "proto/rpc/loop.h"

#define RMD_SERVER_MAGIC 0x5e4e4001u
#define RMD_LISTENERS_MAX 8u

struct rmd_standard;
struct rmd_unix_listener;

/* CREATED -> SERVING -> STOPPING -> STOPPED; CREATED -> STOPPING where it is destroyed
 * unused. */
enum server_state { SERVER_CREATED, SERVER_SERVING, SERVER_STOPPING, SERVER_STOPPED };

struct served_method {
	const struct rmd_method *method; /* borrowed */
	void *service;
};

/* Asks gRPC for calls, one at a time: of one rare method, or of all others. */
struct call_request {
	struct rmd_tag came;
	struct rmd_server *server;
	const struct served_method *rare; /* NULL: all others */
	void *registration;		  /* gRPC's handle of the rare method */
	struct rmd_stream *stream; /* for the next call; NULL: memory had run out */
	gpr_timespec deadline;
	struct rmd_deferred retry;
};

struct rmd_server {
	uint32_t magic;
	enum server_state state;
	struct rmd_loop *loop;
	grpc_server *grpc; /* NULL until the first TCP listener, or start */
	uint32_t transport_max_bytes;
	struct served_method *methods; /* sorted by path */
	size_t method_count;
	uint32_t largest_message_bytes;
	struct call_request *requests; /* [0]: all that are not rare */
	size_t request_count, requests_out;
	struct rmd_unix_listener *listeners[RMD_LISTENERS_MAX];
	size_t listener_count;
	struct rmd_map
		peers; /* descriptor -> struct known_peer, owned (server_listen.c) */
	atomic_size_t arrivals; /* connections on their way from a listener's thread */
	size_t streams;
	struct rmd_standard *standard;
	struct rmd_tag shut;
	bool shut_down, orphaned;
	struct rmd_timer grace;
	struct rmd_deferred finish;
	rmd_admit_fn *admit; /* NULL: whoever connects */
	void *admit_ctx;
	void (*done)(void *ctx);
	void *done_ctx;
};

/* Makes gRPC's server, if there is none yet; from now on no methods can be added. */
void rmd_server_ensure_grpc(struct rmd_server *server);
/* Ends a shutdown soon, if nothing of the server is under way any more. */
void rmd_server_maybe_finish(struct rmd_server *server);
/* On a listener's thread: a connection has come; takes `fd`. */
void rmd_server_on_accepted(void *ctx, int fd, uid_t uid, pid_t pid);
/* Frees what is known of peers. */
void rmd_server_forget_peers(struct rmd_server *server);
/* A person's text for a peer that gRPC calls `peer`, and its credentials where they are
 * known. Owned; NULL: out of memory. */
char *rmd_server_peer(struct rmd_server *server, const char *peer, int64_t *ret_uid,
		      int64_t *ret_pid);

/* Health and reflection (standard.c). */
/* Gives the services, with their methods added to `server`; NULL: out of memory. */
struct rmd_standard *rmd_standard_create(struct rmd_server *server);
void rmd_standard_set_healthy(struct rmd_standard *standard, bool healthy);
/* Says NOT_SERVING for good and ends all watches. */
void rmd_standard_shut_down(struct rmd_standard *standard);
/* NULL is allowed. */
void rmd_standard_destroy(struct rmd_standard *standard);
/* True if a method of `service` ("remuda.v1.Executor") is served. */
bool rmd_server_has_service(const struct rmd_server *server, struct rmd_slice service);
/* Walks the paths of all methods: NULL beyond the last. Borrowed. */
const char *rmd_server_method_path(const struct rmd_server *server, size_t index);
