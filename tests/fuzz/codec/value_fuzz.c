/* Any bytes as a Value: what decodes is encodable, and what is encoded decodes to the
 * same and encodes to the same bytes. Memory stays within the stated multiple of the
 * input. */
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/codec/arguments.h"
#include "proto/codec/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const struct remuda_value *value, struct rmd_wire_writer *writer)
{
	struct rmd_value_fault fault;
	RMD_CHECK(rmd_value_check(value, &fault) == 0);
	rmd_value_put(writer, value);
	RMD_CHECK(!writer->failed);
}

static void settle(const struct remuda_value *first, struct rmd_arena *arena)
{
	struct rmd_wire_writer once = {0}, twice = {0};
	struct remuda_value second;
	encode(first, &once);
	RMD_CHECK(rmd_value_get(rmd_slice_of(once.data, once.len), arena, &second) == 0);
	RMD_CHECK(rmd_value_equal(first, &second));
	encode(&second, &twice);
	RMD_CHECK(rmd_slice_equal(rmd_slice_of(once.data, once.len),
				  rmd_slice_of(twice.data, twice.len)));
	rmd_wire_writer_fini(&once);
	rmd_wire_writer_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rmd_slice bytes = rmd_slice_of(data, size);
	struct rmd_arena arena, small;
	struct remuda_value value;
	struct rmd_arguments arguments;
	rmd_arena_init(&arena, 0);
	int rc = rmd_value_get(bytes, &arena, &value);
	size_t used = arena.used_bytes;
	RMD_CHECK(used <= RMD_VALUE_EXPANSION_MAX * size);
	RMD_CHECK(rc == 0 || rc == RMD_EPROTO || rc == RMD_ETRUNC || rc == RMD_EDEPTH);
	if (rc == 0)
		settle(&value, &arena);
	if (rc == 0 && used > 1) {
		rmd_arena_init(&small, used - 1);
		RMD_CHECK(rmd_value_get(bytes, &small, &value) == RMD_ELIMIT);
		rmd_arena_fini(&small);
	}
	if (rmd_arguments_get(bytes, &arena, &arguments, NULL) == 0 &&
	    arguments.arg_count > 0)
		settle(&arguments.args[0], &arena);
	rmd_arena_fini(&arena);
	return 0;
}
