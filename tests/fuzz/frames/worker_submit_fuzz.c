/* What a worker's task says of a task that it submits: read, written, read again. */
#include "proto/base/check.h"
#include "proto/codec/frames_nested.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rmd_nested_submit submit, again;
	struct rmd_wire_writer first = {0}, second = {0};
	const char *field = NULL;
	if (rmd_worker_submit_read(rmd_slice_of(data, size), &submit, &field) < 0) {
		RMD_CHECK(field != NULL);
		return 0;
	}
	rmd_worker_submit_put(&first, &submit);
	RMD_CHECK(!first.failed && first.len == rmd_worker_submit_bytes(&submit));
	RMD_CHECK(rmd_worker_submit_read(rmd_slice_of(first.data, first.len), &again,
					 &field) == 0);
	rmd_worker_submit_put(&second, &again);
	RMD_CHECK(rmd_slice_equal(rmd_slice_of(first.data, first.len),
				  rmd_slice_of(second.data, second.len)));
	rmd_wire_writer_fini(&first);
	rmd_wire_writer_fini(&second);
	return 0;
}
