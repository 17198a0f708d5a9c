/* worker/crash/helper/unwind.h: from the registers of a crash to the calls that led
 * there.
 */
#pragma once

#include "worker/crash/helper/process.h"

/* A call, or the crash itself. */
struct rmd_call {
	uint64_t pc;	     /* within the instruction that was running */
	Dwfl_Module *module; /* that it lies in; NULL: none. Borrowed from `dwfl` */
};

/* Makes elfutils see the process's files. NULL: it can't. The caller owns it
 * (dwfl_end). */
Dwfl *rmd_unwind_begin(struct rmd_process *process);
/* Unwinds up to `max` calls, the innermost first; gives their number. Stops where the
 * next one would be a guess: at code without unwind information. */
size_t rmd_unwind(Dwfl *dwfl, struct rmd_process *process, struct rmd_call *calls,
		  size_t max, bool *ret_more);
