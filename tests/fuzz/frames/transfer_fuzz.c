/* Chunks in any order: the budget is kept, and what comes out whole is what went in. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/codec/transfer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rmd_transfers transfers;
	struct rmd_wire_reader rest = rmd_wire_reader_of(rmd_slice_of(data, size));
	struct rmd_wire_field f;
	rmd_transfers_init(&transfers, 3, 1000, 1);
	while (rmd_wire_next(&rest, &f) > 0) {
		struct rmd_chunk chunk;
		const char *field;
		if (f.number == 1) {
			rmd_transfers_drop(&transfers, f.varint);
		} else if (rmd_chunk_read(f.bytes, &chunk, &field) == 0 &&
			   rmd_transfers_add(&transfers, &chunk) == 1) {
			struct rmd_buf *whole = NULL;
			RMD_CHECK(rmd_transfers_take(&transfers, chunk.transfer,
						     &whole) == 0);
			struct rmd_slice bytes = rmd_buf_slice(whole);
			RMD_CHECK(bytes.len == chunk.total_bytes);
			RMD_CHECK(chunk.data.len == 0 ||
				  memcmp(bytes.data + chunk.offset, chunk.data.data,
					 chunk.data.len) == 0);
			rmd_buf_unref(whole);
		}
		RMD_CHECK(transfers.used_bytes <= 1000 && transfers.by_number.count <= 3);
	}
	rmd_transfers_fini(&transfers);
	return 0;
}
