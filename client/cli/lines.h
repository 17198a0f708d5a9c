/* client/cli/lines.h: input cut into lines, in bounded memory.
 *
 * Reads when told to (rmd_lines_fill), so the caller may wait for several things at once.
 * A line over the limit is passed over and said so, whatever its length. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"

/* Longest line: what one argument may weigh. */
#define RMD_LINE_MAX_BYTES (64u << 20)

struct rmd_lines {
	uint32_t magic;
	int fd;		/* borrowed */
	char delimiter; /* '\n' or 0 */
	bool ended;	/* all has been read */
	bool skipping;	/* inside a line that is over the limit */
	size_t line_max_bytes;
	char *data; /* owned */
	size_t begin, scanned, end,
		capacity;    /* [begin, end) is unread; no delimiter before scanned */
	uint64_t bytes_read; /* so far */
	uint64_t lines_read; /* delimiters so far, and a last line without one */
};

/* Starts at the present position of `fd`. */
void rmd_lines_init(struct rmd_lines *lines, int fd, char delimiter,
		    size_t line_max_bytes);
void rmd_lines_fini(struct rmd_lines *lines);
/* Reads once (blocks where nothing is there). 1: something came; 0: the input has
 * ended; RMD_EAGAIN: a signal came first, or a descriptor that does not block has
 * nothing; RMD_ESYS; RMD_ENOMEM. */
int rmd_lines_fill(struct rmd_lines *lines);
/* The next line, without its delimiter, borrowed until the next fill: 1. RMD_EAGAIN:
 * fill first. 0: no more lines. RMD_ETOOBIG: there was a line over the limit; it is
 * gone. */
int rmd_lines_next(struct rmd_lines *lines, struct rmd_slice *ret_line);
/* Bytes that were read and not yet given out. */
size_t rmd_lines_held_bytes(const struct rmd_lines *lines);
