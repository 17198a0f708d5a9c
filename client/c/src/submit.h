/* client/c/src/submit.h: a task that has been checked and is about to be sent. */
#pragma once

#include "client/c/src/capture.h"
#include "client/c/src/client.h"

struct rmd_submission {
	struct rmd_task_spec
		spec; /* all but the arguments set; slices borrowed for the call */
	const struct rmd_captured_task *captured; /* NULL: the function goes by name */
	const struct remuda_arg *args; /* checked; no messages among them */
	size_t count;
	const struct remuda_named_arg *named_args;
	size_t named_count;
	uint64_t until_ns;           /* the deadline, CLOCK_MONOTONIC; UINT64_MAX: none */
	/* rmd_submit's own. Where the arguments are: in `large`, in a place of shared
	 * memory, or in a block of the thread. */
	struct rmd_buf *large;
	struct rmd_shared *shared;   /* one reference; NULL: not in shared memory */
	struct rmd_segment_ref place;
};

/* Sends the task, or ends `future` with the reason why not. Blocks while the window is
 * full. Gives `future`. */
struct remuda_future *rmd_submit(struct remuda *client, struct rmd_submission *submission,
				 struct remuda_future *future);
