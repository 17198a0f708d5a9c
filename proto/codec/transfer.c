#include "proto/codec/transfer.h"

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"

#define TRANSFERS_MAGIC 0x72a45fe1u

struct transfer {
	struct rmd_buf *buf; /* of total_bytes */
	uint64_t total_bytes;
	uint64_t filled_bytes;
};

void rmd_transfers_init(struct rmd_transfers *transfers, uint32_t open_max,
			uint64_t budget_bytes, uint64_t seed)
{
	*transfers = (struct rmd_transfers){.magic = TRANSFERS_MAGIC,
					    .open_max = open_max,
					    .budget_bytes = budget_bytes};
	rmd_map_init(&transfers->by_number, seed);
}

static void transfer_free(struct transfer *transfer)
{
	rmd_buf_unref(transfer->buf);
	rmd_free(transfer);
}

void rmd_transfers_fini(struct rmd_transfers *transfers)
{
	RMD_CHECK_OBJ(transfers, TRANSFERS_MAGIC);
	struct transfer *transfer;
	size_t cursor = 0;
	while ((transfer = rmd_map_next(&transfers->by_number, &cursor)) != NULL)
		transfer_free(transfer);
	rmd_map_fini(&transfers->by_number);
	transfers->magic = 0;
}

/* Opens a transfer at its first piece. */
static int transfer_open(struct rmd_transfers *transfers, const struct rmd_chunk *chunk,
			 struct transfer **ret_transfer)
{
	if (chunk->transfer <= transfers->newest)
		return RMD_EPROTO;
	transfers->newest = chunk->transfer;
	if (chunk->total_bytes > RMD_TRANSFER_MAX_BYTES ||
	    transfers->by_number.count >= transfers->open_max ||
	    chunk->total_bytes > transfers->budget_bytes - transfers->used_bytes)
		return RMD_ELIMIT;
	struct transfer *transfer = rmd_calloc(1, sizeof *transfer);
	if (transfer == NULL)
		return RMD_ENOMEM;
	transfer->total_bytes = chunk->total_bytes;
	transfer->buf = rmd_buf_create((size_t)chunk->total_bytes);
	if (transfer->buf == NULL ||
	    rmd_map_put(&transfers->by_number, chunk->transfer, transfer) < 0) {
		transfer_free(transfer);
		return RMD_ENOMEM;
	}
	transfers->used_bytes += chunk->total_bytes;
	*ret_transfer = transfer;
	return 0;
}

int rmd_transfers_add(struct rmd_transfers *transfers, const struct rmd_chunk *chunk)
{
	RMD_CHECK_OBJ(transfers, TRANSFERS_MAGIC);
	struct transfer *transfer = rmd_map_get(&transfers->by_number, chunk->transfer);
	bool first = transfer == NULL;
	/* An empty piece brings nothing forward, unless all is empty. */
	if (chunk->data.len == 0 && (chunk->total_bytes != 0 || !first))
		return RMD_EPROTO;
	if (chunk->offset != (first ? 0 : transfer->filled_bytes))
		return RMD_EPROTO;
	if (chunk->data.len > chunk->total_bytes - chunk->offset)
		return RMD_EPROTO;
	if (first) {
		int rc = transfer_open(transfers, chunk, &transfer);
		if (rc < 0)
			return rc;
	} else if (chunk->total_bytes != transfer->total_bytes) {
		return RMD_EPROTO;
	}
	if (chunk->data.len != 0)
		memcpy(rmd_buf_writable(transfer->buf) + chunk->offset, chunk->data.data,
		       chunk->data.len);
	transfer->filled_bytes += chunk->data.len;
	return transfer->filled_bytes == transfer->total_bytes;
}

int rmd_transfers_take(struct rmd_transfers *transfers, uint64_t number,
		       struct rmd_buf **ret_buf)
{
	RMD_CHECK_OBJ(transfers, TRANSFERS_MAGIC);
	struct transfer *transfer = rmd_map_get(&transfers->by_number, number);
	if (transfer == NULL)
		return RMD_ENOTFOUND;
	if (transfer->filled_bytes != transfer->total_bytes)
		return RMD_EAGAIN;
	rmd_map_take(&transfers->by_number, number);
	transfers->used_bytes -= transfer->total_bytes;
	*ret_buf = transfer->buf;
	rmd_free(transfer);
	return 0;
}

void rmd_transfers_drop(struct rmd_transfers *transfers, uint64_t number)
{
	RMD_CHECK_OBJ(transfers, TRANSFERS_MAGIC);
	struct transfer *transfer = rmd_map_take(&transfers->by_number, number);
	if (transfer == NULL)
		return;
	transfers->used_bytes -= transfer->total_bytes;
	transfer_free(transfer);
}

bool rmd_chunks_next(struct rmd_chunks *chunks, struct rmd_chunk *ret_chunk)
{
	if (chunks->ended)
		return false;
	size_t left = chunks->payload.len - chunks->offset;
	size_t len = left < RMD_CHUNK_MAX_BYTES ? left : RMD_CHUNK_MAX_BYTES;
	*ret_chunk = (struct rmd_chunk){
		.transfer = chunks->transfer,
		.total_bytes = chunks->payload.len,
		.offset = chunks->offset,
		.data = {len != 0 ? chunks->payload.data + chunks->offset : NULL, len},
	};
	chunks->offset += len;
	chunks->ended = chunks->offset == chunks->payload.len;
	return true;
}
