/* server/direct_link.h: the link to the agent that lives in this process.
 *
 * Two ends, each owned by one thread: the core's (the loop's thread) and the agent's.
 * What one end appends gathers in a buffer that both know, under a lock held for the
 * length of an item; the other end takes the whole buffer at its next turn and reads
 * it where it lies. Large payloads change hands by reference; but where the core keeps
 * many of the agent's, further ones are copied, so that workers get their memory back
 * whatever clients do. One wake for as many items as gather. */
#pragma once

#include "proto/link/link.h"

struct rmd_agent;
struct rmd_loop;

struct rmd_direct_link;

/* Payloads of the agent that the core holds by reference at a time. Fewer than one worker
 * has places for. */
#define RMD_DIRECT_LENT_MAX 32u

/* Makes a pair. The core's end speaks on `loop`'s thread. *ret_core and *ret_agent are
 * owned by whoever gets them and freed by rmd_link_destroy. RMD_ENOMEM. */
int rmd_direct_link_create(struct rmd_loop *loop, struct rmd_link **ret_core,
			   struct rmd_link **ret_agent);

/* Tells the pair which agent owns the agent's end. After rmd_agent_start, on the
 * loop's thread; what was sent to the agent before waits for it. */
void rmd_direct_link_attach_agent(struct rmd_link *core_end, struct rmd_agent *agent);

/* The agent is about to be stopped: nothing is posted to it from now on. Loop's
 * thread. */
void rmd_direct_link_detach_agent(struct rmd_link *core_end);
