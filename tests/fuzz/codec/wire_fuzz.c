/* Any bytes through the wire reader: it stays within them, and what it reads it writes
 * again so that it reads the same. Every LEN field is tried as a message too, a few
 * levels down. */
#include "proto/base/check.h"
#include "proto/codec/arguments.h"
#include "proto/codec/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LEVELS 4

static void write_again(struct rmd_wire_writer *writer,
			const struct rmd_wire_field *field)
{
	switch (field->type) {
	case RMD_WIRE_VARINT:
		rmd_wire_put_varint(writer, field->number, field->varint);
		break;
	case RMD_WIRE_I64:
		rmd_wire_put_fixed64(writer, field->number, field->varint);
		break;
	case RMD_WIRE_I32: /* there is no writer for it: as the varint it stands for */
		rmd_wire_put_varint(writer, field->number, field->varint);
		break;
	case RMD_WIRE_LEN:
		rmd_wire_put_bytes(writer, field->number, field->bytes);
		break;
	}
}

static void walk(struct rmd_slice bytes, unsigned levels)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(bytes), again;
	struct rmd_wire_field field, copy;
	struct rmd_wire_writer writer = {0};
	const uint8_t *before = reader.at;
	int rc;
	while ((rc = rmd_wire_next(&reader, &field)) > 0) {
		RMD_CHECK(reader.at > before && reader.at <= reader.end);
		before = reader.at;
		RMD_CHECK(field.number >= 1 && field.number < 1u << 29);
		if (field.type == RMD_WIRE_LEN) {
			RMD_CHECK(field.bytes.data >= bytes.data);
			RMD_CHECK(field.bytes.data + field.bytes.len <= reader.end);
			(void)rmd_wire_utf8_valid(field.bytes);
			if (levels > 0)
				walk(field.bytes, levels - 1);
		}
		rmd_wire_writer_reset(&writer);
		write_again(&writer, &field);
		RMD_CHECK(!writer.failed);
		again = rmd_wire_reader_of(rmd_slice_of(writer.data, writer.len));
		RMD_CHECK(rmd_wire_next(&again, &copy) == 1);
		RMD_CHECK(copy.number == field.number && copy.varint == field.varint);
		RMD_CHECK(rmd_slice_equal(copy.bytes, field.bytes));
		RMD_CHECK(rmd_wire_next(&again, &copy) == 0);
	}
	RMD_CHECK(rc < 0 || reader.at == reader.end);
	rmd_wire_writer_fini(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rmd_slice bytes = rmd_slice_of(data, size);
	struct rmd_wire_reader reader = rmd_wire_reader_of(bytes);
	struct rmd_argument argument;
	uint64_t number;
	walk(bytes, LEVELS);
	while (rmd_wire_next_varint(&reader, &number) > 0)
		RMD_CHECK(reader.at <= reader.end);
	reader = rmd_wire_reader_of(bytes);
	while (rmd_arguments_next(&reader, &argument) > 0)
		RMD_CHECK(argument.value.len <= size);
	return 0;
}
