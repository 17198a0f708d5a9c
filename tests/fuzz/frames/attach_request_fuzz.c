/* What an agent sends. */
#include "tests/fuzz/frames/stable.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_stable(rewrite_attach_request, data, size);
	return 0;
}
