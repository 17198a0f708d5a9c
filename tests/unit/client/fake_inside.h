/* tests/unit/client/fake_inside.h: the fake coordinator from inside. */
#pragma once

#include <pthread.h>

#include "proto/codec/frames_session.h"
#include "proto/codec/transfer.h"
#include "proto/rpc/rpc.h"
#include "proto/shared/mailbox.h"
#include "tests/unit/client/fake.h"

#define SESSIONS_MAX 16u

/* A task without outcome, or with one that is not acknowledged. */
struct fake_task {
	struct fake_task *next;
	uint64_t number;
	bool deaf, done;
	struct rmd_outcome outcome;
	struct rmd_buf *buf;         /* what the outcome's bytes lie in */
};

struct fake_session {
	struct fake *fake;
	uint8_t id[RMD_SESSION_BYTES];
	bool known;
	struct rmd_stream *stream;   /* NULL: not connected */
	uint64_t accepted, open, ended, next_transfer;
	struct fake_task *tasks;
	struct rmd_transfers transfers;
	struct rmd_shared *shared;   /* owned; NULL: none */
};

struct fake {
	struct fake_options options;
	char *dir; /* one of dirs in fake.c; NULL: none of its own */
	char *address;
	struct rmd_loop *loop;
	struct rmd_server *server;
	struct rmd_mailbox *mailbox;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct fake_counts counts;   /* under `lock` */
	/* the loop's thread */
	uint64_t epoch;
	unsigned lose_submits;
	bool hold_back;
	struct fake_session sessions[SESSIONS_MAX];
	struct rmd_wire_writer blob;
	struct rmd_digest blob_digest;
	char blob_name[64];
};

/* Adds one to a counter of `fake->counts`, and tells who waits for it. Any thread. */
void fake_count(struct fake *fake, uint64_t *counter);

/* The rest: the fake's own thread. */

/* Tells the client how far it may go. */
void fake_send_window(struct fake_session *session);
/* Sends what has become of a task, unless outcomes are held back. */
void fake_send_outcome(struct fake_session *session, const struct fake_task *task);
/* Ends a task; takes `buf`. */
void fake_end_task(struct fake_session *session, struct fake_task *task,
		   enum rmd_outcome_kind kind, struct rmd_buf *buf);
/* Does what the name of the task's function says. */
void fake_run_task(struct fake_session *session, struct fake_task *task,
		   const struct rmd_task_spec *spec, struct rmd_slice arguments);
/* An int64 as a raw Value. */
struct rmd_buf *fake_int(uint64_t number);
