#include "proto/codec/capture.h"

#include <string.h>

#include "proto/codec/frames_wire.h"

enum { FORMAT = 1, IMAGE, ENTRY, NAME, GLOBALS };
enum { GLOBAL_PLACE = 1, GLOBAL_DATA };

int rmd_capture_find(struct rmd_slice arguments, struct rmd_slice *ret_raw)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(arguments);
	struct rmd_wire_field f;
	struct rmd_slice found = {NULL, 0};
	int rc, count = 0;
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number != RMD_ARGUMENTS_CAPTURE)
			continue;
		if (f.type != RMD_WIRE_LEN || count++ > 0)
			return RMD_EPROTO;
		found = f.bytes;
	}
	if (rc < 0)
		return rc;
	if (count > 0)
		*ret_raw = found;
	return count;
}

static int global_read(struct rmd_slice bytes, struct rmd_capture_global *ret_global,
		       const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(bytes);
	struct rmd_wire_field f;
	int rc;
	*ret_global = (struct rmd_capture_global){.place = 0};
	while ((rc = frames_next(&rest, &f)) > 0) {
		if (f.number == GLOBAL_PLACE)
			rc = frames_u64(&f, &ret_global->place, "CaptureGlobal.place",
					ret_field);
		else if (f.number == GLOBAL_DATA)
			rc = frames_bytes(
				&f, RMD_CAPTURE_GLOBALS_MAX_BYTES, &ret_global->data,
				"CaptureGlobal.data (at most 16 MiB)", ret_field);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? frames_fail(rc, "CaptureGlobal", ret_field) : 0;
}

/* A capture while it is read. */
struct reading {
	struct rmd_capture capture;
	struct rmd_slice image;
	size_t global_bytes;
};

static int capture_field(const struct rmd_wire_field *f, struct reading *r,
			 const char **ret_field)
{
	struct rmd_capture_global global;
	int rc;
	switch (f->number) {
	case FORMAT:
		return frames_text(f, RMD_CAPTURE_FORMAT_MAX_BYTES, &r->capture.format,
				   "Capture.format (at most 32 bytes)", ret_field);
	case IMAGE:
		return frames_bytes(f, RMD_DIGEST_BYTES, &r->image,
				    "Capture.image (32 bytes)", ret_field);
	case ENTRY:
		return frames_u64(f, &r->capture.entry, "Capture.entry", ret_field);
	case NAME:
		return frames_text(f, RMD_CAPTURE_NAME_MAX_BYTES, &r->capture.name,
				   "Capture.name (at most 256 bytes)", ret_field);
	case GLOBALS:
		if (f->type != RMD_WIRE_LEN)
			return frames_fail(RMD_EPROTO, "Capture.globals", ret_field);
		if (++r->capture.global_count > RMD_CAPTURE_GLOBALS_MAX)
			return frames_fail(RMD_ELIMIT, "Capture.globals (at most 64)",
					   ret_field);
		rc = global_read(f->bytes, &global, ret_field);
		if (rc == 0 &&
		    (r->global_bytes += global.data.len) > RMD_CAPTURE_GLOBALS_MAX_BYTES)
			return frames_fail(RMD_ETOOBIG,
					   "Capture.globals (at most 16 MiB)", ret_field);
		return rc;
	default:
		return 0;
	}
}

int rmd_capture_read(struct rmd_slice raw, struct rmd_capture *ret_capture,
		     const char **ret_field)
{
	struct rmd_wire_reader rest = rmd_wire_reader_of(raw);
	struct rmd_wire_field f;
	struct reading r = {.capture.raw = raw};
	int rc;
	while ((rc = frames_next(&rest, &f)) > 0) {
		rc = capture_field(&f, &r, ret_field);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		return frames_fail(rc, "Capture", ret_field);
	if (r.image.len != RMD_DIGEST_BYTES)
		return frames_fail(RMD_EPROTO, "Capture.image (32 bytes)", ret_field);
	if (r.capture.entry == 0)
		return frames_fail(RMD_EPROTO, "Capture.entry (from 1)", ret_field);
	memcpy(r.capture.image.bytes, r.image.data, RMD_DIGEST_BYTES);
	*ret_capture = r.capture;
	return 0;
}

bool rmd_capture_next_global(struct rmd_wire_reader *rest,
			     struct rmd_capture_global *ret_global)
{
	struct rmd_wire_field f;
	const char *field;
	while (frames_next(rest, &f) > 0)
		if (f.number == GLOBALS)
			return global_read(f.bytes, ret_global, &field) == 0;
	return false;
}

void rmd_capture_put(struct rmd_wire_writer *writer, const struct rmd_capture *capture,
		     const struct rmd_capture_global *globals, size_t global_count)
{
	struct rmd_wire_nest nest = rmd_wire_open(writer, RMD_ARGUMENTS_CAPTURE);
	rmd_wire_put_bytes_nz(writer, FORMAT, capture->format);
	rmd_wire_put_bytes(writer, IMAGE,
			   rmd_slice_of(capture->image.bytes, RMD_DIGEST_BYTES));
	rmd_wire_put_varint_nz(writer, ENTRY, capture->entry);
	rmd_wire_put_bytes_nz(writer, NAME, capture->name);
	for (size_t i = 0; i < global_count; i++) {
		struct rmd_wire_nest inner = rmd_wire_open(writer, GLOBALS);
		rmd_wire_put_varint_nz(writer, GLOBAL_PLACE, globals[i].place);
		rmd_wire_put_bytes_nz(writer, GLOBAL_DATA, globals[i].data);
		rmd_wire_close(writer, inner);
	}
	rmd_wire_close(writer, nest);
}
