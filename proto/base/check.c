#include "proto/base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void rmd_check_failed(const char *condition, const char *file, int line,
				const char *function)
{
	fprintf(stderr, "%s: bug at %s:%d in %s: %s\n", program_invocation_short_name, file,
		line, function, condition);
	abort();
}
