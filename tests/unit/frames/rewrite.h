/* tests/unit/frames/rewrite.h: reads a message item by item and writes each item again.
 *
 * What is right comes out the same (but for unknown fields, the order of fields and
 * packing), so one comparison tests reader and writer of every field. Shared by unit
 * tests and fuzz targets. */
#pragma once

#include "proto/base/buf.h"
#include "proto/codec/wire.h"

/* Each appends to `out` what it read from `message`. `buf`: what the message lies in, so
 * that large payloads are spliced; NULL: copied. 0, or the reader's code, with
 * *ret_field. */
typedef int rewrite_fn(struct rmd_slice message, struct rmd_buf *buf,
		       struct rmd_wire_writer *out, const char **ret_field);
rewrite_fn rewrite_session_request, rewrite_session_response, rewrite_attach_request,
	rewrite_attach_response, rewrite_pool_spec, rewrite_run_request,
	rewrite_map_request, rewrite_task_ids;
