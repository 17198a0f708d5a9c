/* Any text as JSON: what parses prints, and what is printed parses to the same and prints
 * as the same text. A refusal says where. */
#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As much as four megabytes, whatever the input. */
#define ARENA_MAX (4u << 20)

static void settle(const struct remuda_value *first, struct rmd_arena *arena)
{
	struct rmd_text once = {0}, twice = {0};
	struct remuda_value second;
	RMD_CHECK(rmd_json_print(first, &once) == 0);
	RMD_CHECK(rmd_json_parse(rmd_slice_of(once.data, once.len), arena, &second,
				 NULL) == 0);
	RMD_CHECK(rmd_value_equal(first, &second));
	RMD_CHECK(rmd_json_print(&second, &twice) == 0);
	RMD_CHECK(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	rmd_text_fini(&once);
	rmd_text_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rmd_arena arena, fresh;
	struct remuda_value value;
	char *why = NULL;
	rmd_arena_init(&arena, ARENA_MAX);
	rmd_arena_init(&fresh, 0);
	int rc = rmd_json_parse(rmd_slice_of(data, size), &arena, &value, &why);
	RMD_CHECK(arena.used_bytes <= ARENA_MAX);
	RMD_CHECK(rc == 0 ? why == NULL : why != NULL && strncmp(why, "line ", 5) == 0);
	if (rc == 0)
		settle(&value, &fresh);
	rmd_free(why);
	rmd_arena_fini(&arena);
	rmd_arena_fini(&fresh);
	return 0;
}
