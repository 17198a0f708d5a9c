/* client/cli/progress.h: how far `remuda map` is, drawn on a terminal.
 *
 * Draws nothing unless stderr is a terminal that can go back to the start of its line.
 * The formatting is pure. Main thread only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is drawn. */
struct rmd_progress_view {
	uint64_t done, failed; /* failed is a part of done */
	uint64_t total;	       /* 0: not known */
	bool estimated;	       /* the total is a guess from the size of the input */
	uint64_t elapsed_ms;
	double rate; /* lines a second of late; 0: not known */
};

/* Longest line that is drawn. */
#define RMD_PROGRESS_COLUMNS_MAX 200u

/* Writes one line of at most `columns` - 1 ASCII characters: "1,234/5,678 [=====>
 * ] 21 %  512/s  ETA 0:08". */
void rmd_progress_format(const struct rmd_progress_view *view, size_t columns,
			 char ret_line[RMD_PROGRESS_COLUMNS_MAX]);
/* "1234567" as "1,234,567". */
void rmd_progress_format_count(uint64_t count, char ret_text[32]);
/* "0:08", "12:34", "1:02:03"; from 100 hours on "4d". */
void rmd_progress_format_time(uint64_t ms, char ret_text[32]);

struct rmd_progress {
	bool shown; /* the terminal can show it and it is wanted */
	bool drawn; /* a line of ours stands there */
	uint64_t begun_at_ms, drawn_at_ms;
	uint64_t marked_at_ms, marked_done; /* for the rate */
	double rate;
};

/* Starts the clock. `wanted`: false draws nothing. */
void rmd_progress_start(struct rmd_progress *progress, bool wanted);
/* Draws at most ten times a second; `view`'s elapsed_ms and rate are filled in. */
void rmd_progress_update(struct rmd_progress *progress, struct rmd_progress_view view);
/* Takes the line away, so that something else can be written. */
void rmd_progress_hide(struct rmd_progress *progress);
/* Draws a last time and leaves the line there. */
void rmd_progress_finish(struct rmd_progress *progress, struct rmd_progress_view view);
/* Milliseconds until the next drawing is due; -1: none will be. */
int rmd_progress_wait_ms(const struct rmd_progress *progress);
