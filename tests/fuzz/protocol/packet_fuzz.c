/* Packets on the socket, as either end reads them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/codec/wire.h"
#include "worker/protocol/control.h"
#include "worker/protocol/page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read, written again, reads the same. */
static void check_entry(const struct rmd_wp_entry *entry)
{
	struct rmd_wire_writer writer = {0};
	struct rmd_wp_entry again;
	rmd_wp_entry_put(&writer, entry);
	RMD_CHECK(!writer.failed);
	struct rmd_wire_reader reader =
		rmd_wire_reader_of(rmd_slice_of(writer.data, writer.len));
	RMD_CHECK(rmd_wp_entry_next(&reader, &again) == 1);
	RMD_CHECK(again.seq == entry->seq &&
		  rmd_slice_equal(again.function, entry->function) &&
		  rmd_slice_equal(again.arguments, entry->arguments) &&
		  again.arguments_offset == entry->arguments_offset &&
		  again.arguments_bytes == entry->arguments_bytes &&
		  again.attempt == entry->attempt && again.depth == entry->depth &&
		  again.deadline_mono_ns == entry->deadline_mono_ns);
	RMD_CHECK(entry->function.len <= RMD_WP_FUNCTION_MAX &&
		  entry->arguments.len <= RMD_WP_INLINE_MAX);
	rmd_wire_writer_fini(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static remuda_local_Control control;
	if (size == 0)
		return 0;
	if (data[0] == RMD_WP_PACKET_CONTROL) {
		if (rmd_wp_control_parse(rmd_slice_of(data, size), &control) == 0)
			RMD_CHECK(control.which_kind != remuda_local_Control_setup_tag ||
				  control.kind.setup.modules_count <= 64);
		return 0;
	}
	struct rmd_wire_reader reader =
		rmd_wire_reader_of(rmd_slice_of(data + 1, size - 1));
	struct rmd_wp_entry entry;
	while (rmd_wp_entry_next(&reader, &entry) > 0)
		check_entry(&entry);
	return 0;
}
