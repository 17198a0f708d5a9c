/* proto/codec/capture.h: captured functions, to and from remuda.v1.Capture.
 *
 * A capture lies in a task's Arguments: an agent looks for it there, and opens nothing
 * else. Errors, ownership and threads: frames.h. */
#pragma once

#include "proto/base/digest.h"
#include "proto/codec/frames.h"

/* Field of Arguments that it lies in. */
#define RMD_ARGUMENTS_CAPTURE 3u
#define RMD_CAPTURE_FORMAT_MAX_BYTES 32u
#define RMD_CAPTURE_NAME_MAX_BYTES 256u
#define RMD_CAPTURE_GLOBALS_MAX 64u
#define RMD_CAPTURE_GLOBALS_MAX_BYTES (16u << 20)
/* The format of ELF images. */
#define RMD_CAPTURE_ELF "elf"

/* The present bytes of one variable. */
struct rmd_capture_global {
	uint64_t place; /* from the load address */
	struct rmd_slice data;
};

struct rmd_capture {
	struct rmd_slice format; /* UTF-8 */
	struct rmd_digest image;
	uint64_t entry;	       /* from 1 */
	struct rmd_slice name; /* UTF-8 */
	struct rmd_slice raw;  /* the raw Capture: globals are walked in it */
	uint32_t global_count;
};

/* Finds the raw Capture in raw Arguments: 1; 0: there is none; RMD_ETRUNC, RMD_EPROTO:
 * not Arguments, or two of them. Reads tags and lengths only. */
int rmd_capture_find(struct rmd_slice arguments, struct rmd_slice *ret_raw);
/* Reads a raw Capture. */
int rmd_capture_read(struct rmd_slice raw, struct rmd_capture *ret_capture,
		     const char **ret_field);
/* Walks the globals: `rest` starts as rmd_wire_reader_of(capture->raw); false at the
 * end. */
bool rmd_capture_next_global(struct rmd_wire_reader *rest,
			     struct rmd_capture_global *ret_global);
/* Appends it to Arguments; `capture->raw` is not read, the globals come as an array. */
void rmd_capture_put(struct rmd_wire_writer *writer, const struct rmd_capture *capture,
		     const struct rmd_capture_global *globals, size_t global_count);
