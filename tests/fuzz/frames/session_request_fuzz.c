/* What a client sends in a session. */
#include "tests/fuzz/frames/stable.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_stable(rewrite_session_request, data, size);
	return 0;
}
