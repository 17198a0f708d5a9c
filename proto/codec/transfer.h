/* proto/codec/transfer.h: payloads too large for one message: to Chunks and back.
 *
 * Receiving: `struct rmd_transfers` puts the pieces of one peer's transfers together;
 * what it holds is bounded by a number and a byte budget, and a whole is allocated once,
 * at its first piece (the budget is charged for all of it then, so a peer that announces
 * much and sends nothing gets no further). Sending: `struct rmd_chunks` cuts a piece.
 * Pure; one thread at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/map.h"
#include "proto/codec/frames.h"

struct rmd_transfers {
	uint32_t magic;
	struct rmd_map by_number;    /* of struct transfer, owned */
	uint32_t open_max; /* transfers held at a time, unfinished and finished */
	uint64_t budget_bytes;       /* sum of their total_bytes */
	uint64_t used_bytes;
	uint64_t newest;             /* numbers rise: highest seen */
};

/* Makes it empty. `seed`: random, since numbers come from the peer. */
void rmd_transfers_init(struct rmd_transfers *transfers, uint32_t open_max,
			uint64_t budget_bytes, uint64_t seed);
/* Drops all that is held. */
void rmd_transfers_fini(struct rmd_transfers *transfers);

/* Takes in one piece (its data is copied). 1: with it the transfer is whole; 0: more must
 * come. RMD_EPROTO: its place is not where the last piece ended, its total is another
 * than before, it is empty, or its number is not higher than all before. RMD_ELIMIT: too
 * many transfers are open, or the budget is spent. RMD_ENOMEM. After RMD_ELIMIT and
 * RMD_ENOMEM the transfer is not held, and its later pieces are RMD_EPROTO. */
int rmd_transfers_add(struct rmd_transfers *transfers, const struct rmd_chunk *chunk);

/* Takes a whole transfer out: gives its bytes in *ret_buf (one reference) and frees its
 * part of the budget. RMD_ENOTFOUND: no such transfer. RMD_EAGAIN: it is not whole yet.
 */
int rmd_transfers_take(struct rmd_transfers *transfers, uint64_t number,
		       struct rmd_buf **ret_buf);

/* Forgets a transfer, whole or not; one that is not held is allowed. */
void rmd_transfers_drop(struct rmd_transfers *transfers, uint64_t number);

/* What is yet to be cut. The payload is borrowed. */
struct rmd_chunks {
	uint64_t transfer;
	struct rmd_slice payload;
	size_t offset;
	bool ended;
};

/* `payload` at most RMD_TRANSFER_MAX_BYTES. */
static inline struct rmd_chunks rmd_chunks_of(uint64_t transfer, struct rmd_slice payload)
{
	return (struct rmd_chunks){.transfer = transfer, .payload = payload};
}

/* The next Chunk, of at most RMD_CHUNK_MAX_BYTES, for rmd_chunk_put; false at the end. An
 * empty payload gives one empty Chunk. */
bool rmd_chunks_next(struct rmd_chunks *chunks, struct rmd_chunk *ret_chunk);
