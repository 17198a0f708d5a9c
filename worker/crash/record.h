/* worker/crash/record.h: what a dying worker and its agent say to each other.
 *
 * A SEQPACKET socketpair of its own for each worker, so that a crash in the midst of
 * anything can use it. Worker: the record. Agent: TRACER, the process that is to look at
 * the worker; the worker allows it to, and answers AGREED. Agent: DONE; the worker dies
 * of its signal. The worker waits RMD_CRASH_LINE_MS for the first word and, once there is
 * a tracer, RMD_CRASH_WAIT_MS for its work, and no longer.
 *
 * Every byte from the worker may be forged by user code: it can spoil its own error
 * message, and nothing else. */
#pragma once

#include <stdint.h>

#include "local/crash.pb.h"
#include "proto/base/buf.h"

/* Number of the channel's descriptor in a new worker. */
#define RMD_CRASH_CHILD_FD 15
/* Most bytes of a record: one packet. */
#define RMD_CRASH_RECORD_MAX remuda_local_CrashRecord_size
/* How long a dying worker waits for its stack to be taken, … */
#define RMD_CRASH_WAIT_MS 2000
/* … and before that for somebody to take it: many may crash at once, on a busy host. */
#define RMD_CRASH_LINE_MS 10000

enum rmd_crash_op { RMD_CRASH_TRACER = 1, RMD_CRASH_AGREED = 2, RMD_CRASH_DONE = 3 };

/* All packets but the record. */
struct rmd_crash_word {
	uint32_t op; /* enum rmd_crash_op */
	int32_t pid; /* TRACER */
};

/* Writes `record` to `bytes`; gives its length, or 0: it does not fit. Async-signal-safe.
 */
size_t rmd_crash_record_put(const remuda_local_CrashRecord *record,
			    uint8_t bytes[RMD_CRASH_RECORD_MAX]);
/* Reads a record. RMD_EPROTO: it makes no sense. */
int rmd_crash_record_get(struct rmd_slice bytes, remuda_local_CrashRecord *ret_record);
/* The image that `address` lies in, or NULL. */
const remuda_local_Image *rmd_crash_image(const remuda_local_CrashRecord *record,
					  uint64_t address);
/* The address of the instruction at which it crashed; 0: not known. */
uint64_t rmd_crash_pc(const remuda_local_CrashRecord *record);
