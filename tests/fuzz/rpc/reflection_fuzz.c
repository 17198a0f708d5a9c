/* Requests of server reflection, against the descriptors that are built in; and
 * descriptor sets, which must be refused or indexed whatever they hold. */
#include <stddef.h>

#include "proto/base/check.h"
#include "proto/standard/reflection.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool served(void *ctx, struct rmd_slice service)
{
	(void)ctx;
	return service.len % 2 == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rmd_reflection *built_in;
	struct rmd_reflection *own;
	struct rmd_slice bytes = rmd_slice_of(data, size);
	struct rmd_wire_writer writer = {0};
	if (built_in == NULL)
		RMD_CHECK(rmd_reflection_create(rmd_standard_descriptors(), &built_in) ==
			  0);
	int code = rmd_reflection_answer(built_in, bytes, served, NULL, &writer);
	RMD_CHECK(code == 0 ? writer.len >= size && !writer.failed : writer.len == 0);
	rmd_wire_writer_reset(&writer);
	if (rmd_reflection_create(bytes, &own) == 0) {
		code = rmd_reflection_answer(own, rmd_slice_of_string("\x1a\x01x"),
					     served, NULL, &writer);
		RMD_CHECK(code == 0);
		rmd_reflection_destroy(own);
	}
	rmd_wire_writer_fini(&writer);
	return 0;
}
