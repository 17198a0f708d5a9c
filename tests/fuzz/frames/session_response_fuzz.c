/* What a coordinator sends to a client. */
#include "tests/fuzz/frames/stable.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_stable(rewrite_session_response, data, size);
	return 0;
}
