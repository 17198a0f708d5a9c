/* worker/agent/remote_link.h: the link of an agent to a remote coordinator: one gRPC
 * stream, Agents.Attach.
 *
 * Two threads meet in it: the loop's (it hears the stream) and the agent's (it owns the
 * link). What is sent goes into the stream from the agent's thread; what comes gathers in
 * an inbox that the agent empties, one wake for as much as gathers. The transfers of the
 * link are Chunks on the stream. */
#pragma once

#include "proto/link/link.h"

struct rmd_agent;
struct rmd_channel;
struct rmd_loop;

/* Calls Agents.Attach on `channel`. Loop's thread. The link goes to rmd_agent_start.
 * `gone(ctx)` is called once, on the loop's thread, when the call has ended and the link
 * needs neither loop nor channel any more (its end of the agent may still be destroyed
 * later). RMD_ENOMEM. */
int rmd_remote_link_open(struct rmd_loop *loop, struct rmd_channel *channel,
			 void (*gone)(void *ctx), void *ctx, struct rmd_link **ret_link);

/* Tells the link which agent owns it: after rmd_agent_start, on the loop's thread. What
 * has come before waits for it. */
void rmd_remote_link_attach_agent(struct rmd_link *link, struct rmd_agent *agent);

/* The agent is about to be stopped: nothing is posted to it from now on. Loop's thread.
 */
void rmd_remote_link_detach_agent(struct rmd_link *link);
