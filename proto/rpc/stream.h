/* proto/rpc/stream.h: a stream from inside this room.
 *
 * Life: made (by a channel's call, or by a server that waits for a call), running once it
 * has a gRPC call, ended once the batch that tells the end is back, closed once all
 * batches are back: then `closed` is told and the call given up. The memory goes with the
 * last reference; the loop holds one until `closed` has been told.
 *
 * Sending is one batch at a time (`sending`); whoever sets that flag under the lock
 * starts the batch outside it. All else, except what is said to be under the lock,
 * belongs to the loop's thread. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "proto/codec/wire.h"
#include "proto/rpc/loop.h"

/* When a message is larger than this, what is appended goes into the next one. */
#define RMD_STREAM_MESSAGE_BYTES (256u * 1024u)
#define RMD_STREAM_MAGIC 0x57e4a001u

struct rmd_channel;
struct rmd_server;

struct rmd_out_message {
	struct rmd_out_message *next;
	struct rmd_wire_writer writer;
	bool sealed; /* nothing may be appended */
};

enum rmd_stream_side { RMD_SIDE_CLIENT, RMD_SIDE_SERVER };

/* The last thing that is sent. OPEN -> WANTED -> GIVEN. */
enum rmd_stream_finish {
	RMD_FINISH_OPEN,
	RMD_FINISH_WANTED, /* when all that is pending is gone */
	RMD_FINISH_GIVEN,  /* part of a batch */
};

struct rmd_stream {
	uint32_t magic;
	enum rmd_stream_side side;
	struct rmd_loop *loop;
	atomic_uint refs;
	atomic_uint batches; /* started and not back */
	atomic_size_t pending_bytes;

	pthread_mutex_t lock;
	/* under the lock */
	grpc_call *call; /* NULL: none yet, or closed */
	bool dead;	 /* nothing will be sent any more */
	bool sending;
	bool greeted; /* initial metadata were given to a batch */
	enum rmd_stream_finish finish;
	struct rmd_out_message *first, *last, *spare;
	struct rmd_out_message *open;	    /* between begin and end; NULL: the void */
	size_t open_bytes;		    /* what the open message had at begin */
	struct rmd_wire_writer the_void;    /* where dropped items are written */
	bool out_of_memory;		    /* the void is there for want of memory */
	bool flying_message, flying_status; /* what the batch in flight has */
	size_t flying_bytes;
	size_t block_bytes;	    /* how large a fresh message's block is made */
	enum rmd_rpc_status status; /* the server's, to be sent */
	grpc_slice status_text, status_details;
	grpc_metadata status_metadata;

	atomic_bool deaf; /* nothing but `closed` is told */
	struct rmd_tag greeting_came, message_came, half_close_settled, sent, ended;
	struct rmd_deferred flush;
	const struct rmd_stream_events *events;
	void *ctx;
	bool rare, paused, reading, read_all, has_ended, status_sent;
	grpc_byte_buffer *incoming;
	uint32_t message_max_bytes; /* 0: the connection's limit is enough */

	grpc_metadata_array initial; /* that came */

	/* the client's */
	struct rmd_channel *channel;
	uint32_t greeting_flags;
	grpc_metadata *greeting; /* one entry, the channel's; NULL: none */
	grpc_metadata_array trailing;
	grpc_status_code end_status;
	grpc_slice end_text;
	char *end_reason; /* owned; of the trailing metadata */

	/* the server's */
	struct rmd_server *server;
	const struct rmd_method *method;
	grpc_call_details
		details; /* of the call that came; request metadata: `initial` */
	int end_cancelled;
	char *reason;	   /* owned; to go with the status */
	char *path, *peer; /* owned; peer: made when first asked for */
	int64_t peer_uid, peer_pid;
	uint64_t deadline_ms;
	char **values; /* owned; by index of `initial`, those that were asked for */
};

/* Gives a stream without a call, or NULL. */
struct rmd_stream *rmd_stream_create(struct rmd_loop *loop, enum rmd_stream_side side);
/* Frees a stream that never got a call. */
void rmd_stream_discard(struct rmd_stream *stream);
/* Starts what every call has from its beginning: reading, and waiting for its end. */
void rmd_stream_run(struct rmd_stream *stream);
/* (any thread) Ends the call for a fault: drops what is pending and tells the peer
 * `status`; on the client `closed` tells it too. `text` is copied. */
void rmd_stream_fail(struct rmd_stream *stream, enum rmd_rpc_status status,
		     const char *text);
/* A batch is back; closes the stream if that was the last. Nothing of it may be touched
 * after. */
void rmd_stream_batch_done(struct rmd_stream *stream);
/* Drops all that is appended and not given to a batch; no more is taken. Lock held. */
void rmd_stream_bury(struct rmd_stream *stream);
/* Sends soon, at the end of the loop's present round. Loop's thread. */
void rmd_stream_flush_soon(struct rmd_stream *stream);
/* What the tag `sent` and the job `flush` do. */
void rmd_stream_on_sent(struct rmd_tag *tag, bool success);
void rmd_stream_on_flush(struct rmd_deferred *deferred);
/* Learns who calls; the call has come. RMD_ENOMEM. */
int rmd_stream_learn_caller(struct rmd_stream *stream);
/* Frees what rmd_stream_learn_caller and the getters made. */
void rmd_stream_forget_caller(struct rmd_stream *stream);

/* By the owner, when the stream is closed and before its owner is told. */
void rmd_channel_stream_closed(struct rmd_channel *channel);
void rmd_server_stream_closed(struct rmd_server *server);
/* "cannot connect to ADDRESS: …" where gRPC's `text` says that a connection failed, else
 * NULL. Owned. */
char *rmd_channel_connect_text(const struct rmd_channel *channel, const char *text);
