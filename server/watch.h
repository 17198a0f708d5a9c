/* server/watch.h: turns signals and the end of a process into events of the loop.
 *
 * The queue that the loop sleeps on cannot wait for descriptors, so a small thread
 * does. */
#pragma once

#include "proto/rpc/rpc.h"

enum rmd_watch_event {
	RMD_WATCH_TERMINATE,         /* SIGTERM or SIGINT; each one */
	RMD_WATCH_CLIENT_GONE,       /* the process behind the pidfd has ended */
};

struct rmd_watch;

/* Blocks the signals in the calling thread and so in all it starts. Before any thread. */
void rmd_watch_block_signals(void);
/* Starts to watch; `pidfd` -1: signals only. `hear` is called on the loop's thread.
 * NULL: out of memory, descriptors or threads. */
struct rmd_watch *rmd_watch_start(struct rmd_loop *loop, int pidfd,
				  void (*hear)(void *ctx, enum rmd_watch_event event), void *ctx);
/* Loop's thread; no event after it. NULL is allowed. */
void rmd_watch_stop(struct rmd_watch *watch);
/* Frees it, stopped, once the loop is gone (which may hold its posts). NULL is
 * allowed. */
void rmd_watch_destroy(struct rmd_watch *watch);
