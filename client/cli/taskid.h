/* client/cli/taskid.h: ids of tasks as people write them.
 *
 * Printed as SESSION-NUMBER with the first 8 hex digits of the session, or, for a task that
 * a task submitted, SESSION-nNUMBER; understood
 * with any part of the session's digits from its start that is unique among the tasks
 * there are. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define RMD_TASKID_SESSION_BYTES 16u
/* Numbers of tasks that tasks submitted are from here on. */
#define RMD_TASKID_NESTED (UINT64_C(1) << 63)
/* "ffffffff-n9223372036854775807" and a NUL. */
#define RMD_TASKID_SHORT_BYTES 30u
/* 32 digits, "-", 20 digits and a NUL. */
#define RMD_TASKID_FULL_BYTES 54u

struct rmd_taskid {
	uint8_t session[RMD_TASKID_SESSION_BYTES];
	uint64_t number;
};

/* What a person wrote: the first digits of a session, and perhaps a number. */
struct rmd_taskid_pattern {
	char session[33]; /* hex digits, lower case; at least one */
	bool has_number;  /* else any */
	uint64_t number;
};

void rmd_taskid_format_short(const struct rmd_taskid *id,
			     char ret_text[RMD_TASKID_SHORT_BYTES]);
void rmd_taskid_format_full(const struct rmd_taskid *id,
			    char ret_text[RMD_TASKID_FULL_BYTES]);
/* 0, or RMD_EINVAL: it is not of the form HEX, HEX-NUMBER or HEX-nNUMBER. */
int rmd_taskid_parse(const char *text, struct rmd_taskid_pattern *ret_pattern);
bool rmd_taskid_matches(const struct rmd_taskid_pattern *pattern,
			const struct rmd_taskid *id);
/* True, and the id, if the pattern is a whole id, which needs no looking up. */
bool rmd_taskid_is_whole(const struct rmd_taskid_pattern *pattern,
			 struct rmd_taskid *ret_id);
