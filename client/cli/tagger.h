/* client/cli/tagger.h: output of several tasks on one stream, each line with its tag.
 *
 * Pieces come as tasks write them, not in whole lines: a line that is cut by a piece of
 * another task is ended first. Main thread only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define RMD_TAG_BYTES 64u

struct rmd_tagger {
	FILE *out;
	bool mid_line;		 /* the last piece did not end its line */
	char tag[RMD_TAG_BYTES]; /* of the last piece */
};

/* Writes a piece; each of its lines begins with `tag` and a space. Empty tag: as it
 * comes. */
void rmd_tagger_write(struct rmd_tagger *tagger, const char *tag, const void *data,
		      size_t len);
/* Ends a line that is not ended. */
void rmd_tagger_end_line(struct rmd_tagger *tagger);
