/* client/c/src/capture.h: captures functions of this program, and sends its images.
 *
 * An image is read and named by its digest once a process, and sent once a coordinator,
 * by the first submit that needs it. Any thread. */
#pragma once

#include "client/c/src/client.h"
#include "proto/codec/capture.h"

/* A captured function, as a submission carries it. What it points to lives as long as the
 * process. */
struct rmd_captured_task {
	struct rmd_capture capture;
	uintptr_t base;              /* where its image is loaded */
	struct rmd_capture_global globals[RMD_CAPTURE_GLOBALS_MAX]; /* borrow the variables */
	size_t global_count;
	/* "native:orders.parse_row", for people */
	char function[RMD_FUNCTION_MAX_BYTES + 1];
};

/* Captures the function of `task`: finds the image that it lies in, and sees that the
 * coordinator has it, which may block. NULL, or why it cannot be captured. */
struct remuda_error *rmd_capture_task(struct remuda *client,
				      const struct remuda_task *task,
				      struct rmd_captured_task *ret_captured);
/* Adds variables, to the one without `data`. NULL, or which cannot travel, and why. */
struct remuda_error *rmd_capture_globals(struct rmd_captured_task *captured,
					 const struct remuda_global *globals);
/* Forgets what the client has sent. */
void rmd_capture_forget(struct remuda *client);
