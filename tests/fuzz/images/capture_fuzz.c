/* Arguments with a capture: what is read lies inside them and within the limits, and
 * comes back as it went when it is written again. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/codec/capture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct rmd_slice part, struct rmd_slice whole)
{
	RMD_CHECK(part.len == 0 || (part.data >= whole.data &&
				    part.data + part.len <= whole.data + whole.len));
}

/* Writes what was read, reads that, and compares. */
static void write_again(const struct rmd_capture *capture,
			const struct rmd_capture_global *globals)
{
	struct rmd_wire_writer writer = {0};
	struct rmd_capture again;
	struct rmd_slice raw;
	const char *field;
	rmd_capture_put(&writer, capture, globals, capture->global_count);
	struct rmd_buf *buf = rmd_wire_writer_take(&writer);
	rmd_wire_writer_fini(&writer);
	if (buf == NULL)
		return;
	RMD_CHECK(rmd_capture_find(rmd_buf_slice(buf), &raw) == 1);
	RMD_CHECK(rmd_capture_read(raw, &again, &field) == 0);
	RMD_CHECK(again.entry == capture->entry &&
		  again.global_count == capture->global_count);
	RMD_CHECK(rmd_slice_equal(again.name, capture->name) &&
		  rmd_slice_equal(again.format, capture->format));
	RMD_CHECK(memcmp(&again.image, &capture->image, sizeof again.image) == 0);
	rmd_buf_unref(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rmd_slice arguments = rmd_slice_of(data, size), raw;
	struct rmd_capture capture;
	struct rmd_capture_global globals[RMD_CAPTURE_GLOBALS_MAX];
	const char *field = NULL;
	uint32_t count = 0;
	if (rmd_capture_find(arguments, &raw) != 1)
		return 0;
	inside(raw, arguments);
	if (rmd_capture_read(raw, &capture, &field) < 0)
		return 0;
	RMD_CHECK(capture.global_count <= RMD_CAPTURE_GLOBALS_MAX);
	RMD_CHECK(capture.name.len <= RMD_CAPTURE_NAME_MAX_BYTES);
	RMD_CHECK(capture.format.len <= RMD_CAPTURE_FORMAT_MAX_BYTES);
	inside(capture.name, raw);
	inside(capture.format, raw);
	struct rmd_wire_reader rest = rmd_wire_reader_of(capture.raw);
	while (count < RMD_CAPTURE_GLOBALS_MAX &&
	       rmd_capture_next_global(&rest, &globals[count]))
		inside(globals[count++].data, raw);
	RMD_CHECK(count == capture.global_count);
	write_again(&capture, globals);
	return 0;
}
