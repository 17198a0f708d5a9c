/* The record of a crash, as user code may forge it: it is refused, or makes an error that
 * can be printed. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/codec/wire.h"
#include "worker/crash/crash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static remuda_local_CrashRecord record;
	static uint8_t again[RMD_CRASH_RECORD_MAX];
	if (rmd_crash_record_get(rmd_slice_of(data, size), &record) < 0)
		return 0;
	struct rmd_crash crash = {
		.host = "fuzz",
		.worker = 1,
		.wait_status = (int)record.signal & 0x7f,
		.status_known = true,
		.pid = 1,
		.record = &record,
		.stderr_tail = rmd_slice_of(data, size),
	};
	struct remuda_error *err = rmd_crash_error(&crash);
	char *string = remuda_error_string(err), *line = remuda_error_line(err);
	RMD_CHECK(string != NULL && line != NULL);
	RMD_CHECK(rmd_wire_utf8_valid(rmd_slice_of_string(string)));
	RMD_CHECK(strchr(string, '\x1b') == NULL && strchr(line, '\n') == NULL);
	RMD_CHECK(remuda_error_frame_count(err) <= 1);
	free(string);
	free(line);
	remuda_error_free(err);
	RMD_CHECK(rmd_crash_record_put(&record, again) > 0);
	return 0;
}
