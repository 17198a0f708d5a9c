#include "tests/fuzz/frames/stable.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/errcode.h"

void check_stable(rewrite_fn *rewrite, const uint8_t *data, size_t size)
{
	struct rmd_wire_writer first = {0}, second = {0};
	const char *field = NULL;
	int rc = rewrite(rmd_slice_of(data, size), NULL, &first, &field);
	RMD_CHECK(rc == 0 || (rc < 0 && field != NULL && rc != RMD_ENOMEM));
	RMD_CHECK(!first.failed);
	if (rc == 0) {
		rc = rewrite(rmd_slice_of(first.data, first.len), NULL, &second, &field);
		RMD_CHECK(rc == 0);
		RMD_CHECK(rmd_slice_equal(rmd_slice_of(first.data, first.len),
					  rmd_slice_of(second.data, second.len)));
	}
	rmd_wire_writer_fini(&first);
	rmd_wire_writer_fini(&second);
}
