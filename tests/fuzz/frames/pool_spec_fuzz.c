/* What a pool is. */
#include "tests/fuzz/frames/stable.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_stable(rewrite_pool_spec, data, size);
	return 0;
}
