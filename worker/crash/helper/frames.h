/* worker/crash/helper/frames.h: from calls to frames that a person can read. */
#pragma once

#include "proto/error/chain.h"
#include "worker/crash/helper/unwind.h"

/* Adds the frames of `calls` to `err`, the outermost first: with function, file and line,
 * inlined ones on their own; without debug information image and offset. Leaves out what
 * is ours (the worker's program and the C library's start of a thread, below user code),
 * and of more than RMD_CRASH_FRAMES_MAX the outer ones. `more`: there were more calls. */
void rmd_frames_add(struct remuda_error *err, const struct rmd_process *process,
		    const struct rmd_call *calls, size_t count, bool more);
