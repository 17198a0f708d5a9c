/* server/service/hub_parts.h: a hub from the inside: what hub.c and nested.c share.
 *
 * Loop's thread. */
#pragma once

#include "proto/base/check.h"
#include "proto/codec/frames_agent.h"
#include "server/service/hub.h"

#define RMD_HUB_MAGIC 0x4b0b0001u

/* A large payload that has come and is not named yet. */
struct rmd_parcel {
	struct rmd_piece payload;
};

struct rmd_hub {
	uint32_t magic;
	struct rmd_coordinator *coordinator;
	struct rmd_link *link;	      /* NULL once lost */
	struct rmd_core_agent *agent; /* NULL until its hello, and once lost */
	struct rmd_buf *hello;	      /* raw AgentHello */
	struct rmd_map parcels;	      /* transfer number -> struct rmd_parcel, owned */
	size_t parcel_bytes;
	struct rmd_map pool_states;   /* pool number -> struct rmd_buf: raw AgentPool */
	size_t pool_state_bytes;
	size_t refusal_bytes; /* refused children told, since the link had nothing to send */
	struct rmd_map modules_sent;  /* first 8 bytes of the digest -> the hub itself */
	struct rmd_map
		progress; /* lease -> struct rmd_lease_progress, owned, as last said */
	uint64_t last_transfer; /* of ours */
	bool own, draining, cutting;
	struct rmd_deferred cut; /* ends the hub outside of any event of its own */
	const char *why;
	TAILQ_ENTRY(rmd_hub) next;
};

/* Takes out a large payload that was sent ahead under a number; the caller drops it.
 * RMD_EPROTO: none has come. */
int rmd_hub_take_parcel(struct rmd_hub *hub, uint64_t number,
			struct rmd_piece *ret_payload);
/* Sends a large payload ahead: its number, or 0: it goes inline. */
uint64_t rmd_hub_send_ahead(struct rmd_hub *hub, struct rmd_piece payload);

/* images.c: answers an agent that lacks an image: its bytes, or that they are not here. */
void rmd_hub_send_image(struct rmd_hub *hub, const struct rmd_digest *digest);

/* nested.c: what an agent says of tasks that tasks submit. Codes as for other items: what
 * is over is 0. */
int rmd_hub_take_nested(struct rmd_hub *hub, const struct rmd_nested_submit *said,
			struct rmd_buf *frame);
int rmd_hub_take_nested_cancel(struct rmd_hub *hub, const struct rmd_nested_cancel *said);
int rmd_hub_take_wait(struct rmd_hub *hub, const struct rmd_lease_wait *said);
int rmd_hub_take_progress(struct rmd_hub *hub, const struct rmd_lease_progress *said);
/* A lease is over, or the hub (lease 0: all of them). */
void rmd_hub_drop_progress(struct rmd_hub *hub, uint64_t lease);
