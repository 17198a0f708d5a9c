#include "client/cli/taskid.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/errcode.h"

static void format_hex(const uint8_t *bytes, size_t len, char *ret_text)
{
	for (size_t i = 0; i < len; i++)
		snprintf(ret_text + 2 * i, 3, "%02x", bytes[i]);
}

/* Behind the session: "-17", or "-n17" for the 17th that a task submitted. */
static void format_number(uint64_t number, char *ret_text, size_t size)
{
	if (number >= RMD_TASKID_NESTED)
		snprintf(ret_text, size, "-n%" PRIu64, number - RMD_TASKID_NESTED);
	else
		snprintf(ret_text, size, "-%" PRIu64, number);
}

void rmd_taskid_format_short(const struct rmd_taskid *id,
			     char ret_text[RMD_TASKID_SHORT_BYTES])
{
	format_hex(id->session, 4, ret_text);
	format_number(id->number, ret_text + 8, RMD_TASKID_SHORT_BYTES - 8);
}

void rmd_taskid_format_full(const struct rmd_taskid *id,
			    char ret_text[RMD_TASKID_FULL_BYTES])
{
	format_hex(id->session, RMD_TASKID_SESSION_BYTES, ret_text);
	format_number(id->number, ret_text + 32, RMD_TASKID_FULL_BYTES - 32);
}

int rmd_taskid_parse(const char *text, struct rmd_taskid_pattern *ret_pattern)
{
	struct rmd_taskid_pattern pattern = {0};
	size_t len = 0;
	bool nested;
	char *end;

	for (; isxdigit((unsigned char)text[len]); len++) {
		if (len >= sizeof pattern.session - 1)
			return RMD_EINVAL;
		pattern.session[len] = (char)tolower((unsigned char)text[len]);
	}
	if (len == 0 || (text[len] != 0 && text[len] != '-'))
		return RMD_EINVAL;
	if (text[len] == '-') {
		nested = text[len + 1] == 'n';
		len += nested ? 2 : 1;
		if (!isdigit((unsigned char)text[len]))
			return RMD_EINVAL;
		errno = 0;
		pattern.has_number = true;
		pattern.number = strtoull(text + len, &end, 10);
		if (errno != 0 || *end != 0 ||
		    (nested && pattern.number >= RMD_TASKID_NESTED))
			return RMD_EINVAL;
		if (nested)
			pattern.number += RMD_TASKID_NESTED;
	}
	*ret_pattern = pattern;
	return 0;
}

bool rmd_taskid_matches(const struct rmd_taskid_pattern *pattern,
			const struct rmd_taskid *id)
{
	char session[33];

	format_hex(id->session, RMD_TASKID_SESSION_BYTES, session);
	return strncmp(session, pattern->session, strlen(pattern->session)) == 0 &&
	       (!pattern->has_number || pattern->number == id->number);
}

bool rmd_taskid_is_whole(const struct rmd_taskid_pattern *pattern,
			 struct rmd_taskid *ret_id)
{
	if (!pattern->has_number ||
	    strlen(pattern->session) != 2 * RMD_TASKID_SESSION_BYTES)
		return false;
	for (size_t i = 0; i < RMD_TASKID_SESSION_BYTES; i++) {
		char digits[3] = {pattern->session[2 * i], pattern->session[2 * i + 1],
				  0};

		ret_id->session[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	ret_id->number = pattern->number;
	return true;
}
