/* client/c/src/client.h: a client from inside.
 *
 * Two sorts of threads meet here. Users' threads submit, cancel, open pools: under `lock`
 * they look at the state, append to the stream and number the task; the write itself (end
 * of the item) happens outside the lock, in the submitting thread. The client's own
 * thread runs the loop: it hears the stream, completes futures, acknowledges, resumes.
 *
 * Order of locks: client->lock, then the stream's (begin … end), then client->table_lock.
 * No callback is called under any of them.
 *
 * Not here: proto/rpc speaks to gRPC, proto/codec reads and writes frames. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/c/include/remuda/remuda.h"
#include "client/c/src/future.h"
#include "client/c/src/table.h"
#include "proto/base/digest.h"
#include "proto/codec/frames_pool.h"
#include "proto/codec/frames_session.h"
#include "proto/codec/transfer.h"
#include "proto/rpc/identity.h"
#include "proto/rpc/rpc.h"
#include "proto/rpc/seat.h"

#define RMD_CLIENT_OPEN_TIMEOUT_MS 10000u
/* Arguments beyond this go as a transfer. */
#define RMD_CLIENT_INLINE_BYTES (256u * 1024u)
/* A submit of more than RMD_CLIENT_LARGE_BYTES waits while so much waits to be sent. */
#define RMD_CLIENT_PENDING_MAX_BYTES (16u << 20)
#define RMD_CLIENT_LARGE_BYTES 4096u
/* Results that arrive in pieces: so many at a time, so many bytes in all. */
#define RMD_CLIENT_TRANSFERS_MAX 4096u
#define RMD_CLIENT_TRANSFERS_BYTES (UINT64_C(2) << 30)
#define RMD_CLIENT_ACKS_MAX 512u
#define RMD_CLIENT_ACK_DELAY_MS 2u
#define RMD_CLIENT_CLOSE_MS 1000u
#define RMD_CLIENT_RUNTIMES_MAX 8u
#define RMD_CLIENT_POOLS_MAX 4096u

/* OPENING -> OPEN <-> RESUMING; OPENING, OPEN, RESUMING -> LOST; any -> CLOSING -> CLOSED.
 * Written by rmd_client_move alone. */
enum rmd_client_state {
	RMD_CLIENT_OPENING,
	RMD_CLIENT_OPEN,
	RMD_CLIENT_RESUMING, /* the connection is lost, the coordinator perhaps not */
	RMD_CLIENT_LOST,             /* for good; `why` says why */
	RMD_CLIENT_CLOSING,
	RMD_CLIENT_CLOSED,
};

struct rmd_shared;
struct rmd_client_images;

/* How the coordinator is reached, which decides what a lost connection means. */
enum rmd_reach {
	RMD_REACH_PRIVATE,           /* our own: gone with its connection */
	RMD_REACH_UNIX, /* gone with its connection; another may come there */
	RMD_REACH_REMOTE,            /* perhaps only the connection is lost */
};

/* A pool that was opened in this session. */
struct rmd_client_pool {
	struct rmd_buf *raw_spec;
	struct rmd_buf *key;         /* the same without max_workers; NULL: not the user's */
	enum rmd_session_close closed; /* UNSPECIFIED: it is not */
	bool answered;
	char *error;                 /* NULL: it is open */
};

/* A submit that is not known to be accepted, kept to be sent again (REMOTE only). */
struct rmd_unaccepted {
	struct rmd_unaccepted *next;
	uint64_t number;
	struct rmd_task_spec spec;   /* its slices lie in `bytes` and `arguments` */
	struct rmd_buf *arguments;   /* large ones; NULL: in `bytes` */
	uint8_t bytes[];
};

/* Pools of the default kind, one for each runtime that was used. */
struct rmd_default_pool {
	char runtime[RMD_POOL_RUNTIME_MAX_BYTES + 1];
	uint32_t pool;
};

struct remuda {
	uint32_t magic;
	atomic_uint refs;            /* the user's, the thread's, each future's */
	unsigned fork_generation;

	/* Set before the thread starts, then read-only. */
	enum rmd_reach reach;
	char *address;
	char *client_name;
	char *server_path;           /* PRIVATE: which program it is */
	int private_fd;              /* PRIVATE: until the channel takes it; -1 */
	int memory_fd;               /* PRIVATE: where shared memory is posted; -1 */
	struct rmd_identity identity; /* not PRIVATE: who we are there */
	uint64_t shared_bytes;       /* to share with a coordinator here; 0: none */
	uint32_t open_timeout_ms;
	struct rmd_pool_spec *default_spec; /* NULL: the runtime's default pool will do */
	bool threaded;               /* the thread was started */
	pthread_t thread;

	/* Under `lock`. */
	pthread_mutex_t lock;
	pthread_cond_t changed;      /* state, window, room in the stream, answers */
	enum rmd_client_state state; /* also read without the lock, as a hint */
	struct rmd_stream *stream;   /* NULL: none that may be written to */
	uint8_t session[RMD_SESSION_BYTES];
	uint64_t next;               /* number of the next submit */
	uint64_t window;             /* submits up to this number may be sent */
	_Atomic uint64_t accepted;   /* submits up to this number are; written without it */
	atomic_uint accept_waiters;  /* threads in remuda_accepted, which wait on `changed` */
	uint64_t payload_max_bytes;
	uint64_t next_transfer;
	struct rmd_shared *shared;   /* owned; NULL: none. Set by the client's thread */
	struct rmd_unaccepted *unaccepted, **unaccepted_end;
	struct rmd_client_pool *pools; /* [i] has the number i + 1 */
	uint32_t pool_count;
	struct rmd_default_pool defaults[RMD_CLIENT_RUNTIMES_MAX];
	uint32_t default_count;
	int why_code;                /* LOST: the code and the raw ErrorChain */
	struct rmd_buf *why;
	atomic_bool room_wanted;     /* somebody waits for the stream to drain */

	/* What capture.c has sent; owned; NULL: nothing yet. */
	struct rmd_client_images *_Atomic images;
	_Atomic int encoder; /* enum remuda_encoder, for this client */

	pthread_mutex_t table_lock;
	struct rmd_table table;

	struct rmd_done_queue queue;

	struct rmd_seat seat;        /* of the loop: who waits runs it meanwhile */

	/* The client's thread only (or whoever sits in for it). */
	struct rmd_loop *loop;       /* created before the thread, freed by it */
	struct rmd_channel *channel;
	struct rmd_stream *call;     /* the session's call, also while it opens */
	struct rmd_transfers transfers;
	struct rmd_shared *offered;  /* owned; until the welcome */
	struct rmd_timer tidy;       /* of shared memory */
	uint64_t epoch;              /* 0: never welcomed */
	uint64_t *acks;
	size_t ack_count;
	struct rmd_timer ack_timer;  /* sends them */
	struct rmd_timer patience;   /* ends opening, resuming, closing */
	struct rmd_timer retry;
	struct rmd_post close_post;
	bool welcomed;               /* on the present call */
	bool misunderstood;          /* the present call brought nonsense */
	bool looping;                /* rmd_loop_run has not been told to stop */
};

struct remuda *rmd_client_ref(struct remuda *client);
/* Frees it with the last reference; NULL is allowed. */
void rmd_client_unref(struct remuda *client);
/* True in a child of the process that opened the client. */
bool rmd_client_forked(const struct remuda *client);
struct remuda_error *rmd_forked_error(void);
/* True on the client's own thread, which must not wait for itself. */
bool rmd_client_is_here(const struct remuda *client);
/* The only writer of client->state; tells all who wait. `lock` is held. */
void rmd_client_move(struct remuda *client, enum rmd_client_state state);
/* Why nothing can be submitted: gives the chain of `why`. `lock` is held; state is LOST
 * or later. */
struct remuda_error *rmd_client_why(const struct remuda *client);
/* Waits on `changed` until `until_ns` (UINT64_MAX: for ever); false: the time is up.
 * `lock` is held. */
bool rmd_client_wait(struct remuda *client, uint64_t until_ns);

/* ---- session.c: the client's thread ---- */

/* Begins: opens the channel and the session's call. From the thread's start. */
void rmd_session_start(struct remuda *client);
/* Says goodbye and stops the loop when all is delivered, soon in any case. */
void rmd_session_close(struct remuda *client);
/* Ends all open tasks with this code and error (taken); no lock is held. */
void rmd_session_fail_all(struct remuda *client, int code, struct remuda_error *err);

/* Ends all open tasks as CoordinatorLost, and forgets what was to be sent again. */
void rmd_session_give_up(struct remuda *client, const char *text);

/* ---- hear.c: what the coordinator says ---- */

/* The event `message` of the session's call. */
void rmd_session_hear(struct rmd_stream *stream, void *ctx, struct rmd_piece message);
/* Appends the acknowledgements that have gathered. */
void rmd_session_send_acks(struct remuda *client);

/* ---- resume.c ---- */

/* Remembers a submit that was just appended. `lock` is held. RMD_ENOMEM. */
int rmd_unaccepted_add(struct remuda *client, uint64_t number,
		       const struct rmd_task_spec *spec, struct rmd_buf *arguments);
/* Forgets those up to `number`. `lock` is held. */
void rmd_unaccepted_drop(struct remuda *client, uint64_t number);
/* Appends all pools (from 1) to the stream, again. `lock` is held. */
void rmd_pools_send_again(struct remuda *client);
/* Appends what is not accepted to the stream, again. `lock` is held. */
void rmd_unaccepted_send_again(struct remuda *client);

/* ---- submit.c ---- */

/* Appends `arguments` as Chunks, each in an item of its own. */
void rmd_send_transfer(struct rmd_stream *stream, uint64_t transfer,
		       struct rmd_buf *arguments);

/* ---- pool.c ---- */

/* Appends a pool to the session without waiting for the answer: its number. `lock` is
 * held. RMD_ENOMEM, RMD_ELIMIT. */
int rmd_client_add_pool(struct remuda *client, const struct rmd_pool_spec *spec,
			uint32_t *ret_pool);
/* The number of the default pool for a function "RUNTIME:NAME": 0 where the runtime's own
 * will do. `lock` is held. Codes as above. */
int rmd_client_default_pool(struct remuda *client, struct rmd_slice function,
			    uint32_t *ret_pool);
/* Whether that number was closed. `lock` is held. */
static inline bool rmd_client_pool_closed(const struct remuda *client, uint64_t pool)
{
	return pool >= 1 && pool <= client->pool_count &&
	       client->pools[pool - 1].closed != RMD_SESSION_CLOSE_UNSPECIFIED;
}
/* The answer to a pool's opening has come. The client's thread. */
void rmd_client_pool_answered(struct remuda *client, uint64_t pool,
			      struct rmd_slice error);

/* ---- pool_close.c ---- */

/* Appends the closing of pools that were closed to the stream, again. `lock` is held. */
void rmd_pools_close_again(struct remuda *client);

/* ---- call.c: other methods over the same channel ---- */

/* Calls a unary method, or one that takes a stream of messages: `next_message` (may be
 * NULL: `request` is the only one) appends the next message to the writer; false: no
 * more. Waits for the answer: 0 and its bytes in *ret_response (NULL: empty). Not on the
 * client's thread. REMUDA_EUNREACHABLE, REMUDA_ETIMEOUT, REMUDA_EINVAL and so on, with
 * the status in the error. */
struct rmd_client_call {
	const char *path;            /* "/remuda.v1.Blobs/FindMissing", for ever */
	struct rmd_slice request;
	bool (*next_message)(void *ctx, struct rmd_wire_writer *writer);
	void *ctx;
	uint32_t timeout_ms;
};
int rmd_client_call(struct remuda *client, const struct rmd_client_call *call,
		    struct rmd_buf **ret_response, struct remuda_error **ret_err);
