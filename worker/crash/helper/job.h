/* worker/crash/helper/job.h: what an agent and its crash helper say to each other.
 *
 * The helper, remuda-crash, is started for one crash, with a SEQPACKET socket as
 * descriptor 3 and, from RMD_CRASH_MODULE_FD on, descriptors of modules that have no
 * path; its arguments are their names, in the same order. It gets one packet, struct
 * rmd_crash_job and behind it the worker's record, and answers with one, an ErrorChain
 * (at most RMD_CRASH_STACK_MAX bytes) of one error, whose frames are the stack. Then it
 * exits. An end without an answer says that there is no stack. */
#pragma once

#include <stdint.h>

#include "worker/crash/record.h"

#define RMD_CRASH_HELPER_FD 3
#define RMD_CRASH_MODULE_FD 4
#define RMD_CRASH_MODULES_MAX 64u
#define RMD_CRASH_STACK_MAX (64u * 1024u)
/* Most frames, inlined ones included: the innermost. */
#define RMD_CRASH_FRAMES_MAX 64u

struct rmd_crash_job {
	int32_t pid; /* the worker's */
};
