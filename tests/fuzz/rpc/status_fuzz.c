/* google.rpc.Status out of trailing metadata, as a server could send it to a client. */
#include <stddef.h>

#include "proto/base/check.h"
#include "proto/rpc/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rmd_slice reason;
	if (rmd_status_reason(rmd_slice_of(data, size), &reason) == 0 && reason.len > 0)
		RMD_CHECK(reason.data >= data && reason.data + reason.len <= data + size);
	return 0;
}
