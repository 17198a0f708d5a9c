/* A file that is pushed as a module: it is read without a step outside, and refused with
 * a reason. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/task/module_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rmd_module_facts facts;
	const char *why = NULL;
	if (rmd_module_file_read(rmd_slice_of(data, size), &facts, &why) < 0) {
		RMD_CHECK(why != NULL && strlen(why) > 0);
		return 0;
	}
	size_t len = strnlen(facts.prefix, sizeof facts.prefix);
	RMD_CHECK(len > 0 && len <= RMD_MODULE_PREFIX_MAX_BYTES);
	return 0;
}
