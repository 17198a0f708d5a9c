/* client/cli/output.h: what tasks print, from the client's thread to the terminal.
 *
 * The client's thread hands pieces over and goes on; the main thread writes them to
 * stderr before it prints the outcome they belong to. What is held is bounded: where
 * stderr is slower than the tasks, pieces are dropped and counted. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "client/cli/tagger.h"

struct rmd_output;

/* Most bytes that are held. */
#define RMD_OUTPUT_MAX_BYTES (8u << 20)

/* Gives an output, or NULL: no memory or descriptors. */
struct rmd_output *rmd_output_create(void);
/* No push may come any more. NULL is allowed. */
void rmd_output_destroy(struct rmd_output *output);
/* A descriptor that is readable while pieces are held. Borrowed. */
int rmd_output_fd(const struct rmd_output *output);
/* (any thread) Hands over a piece (copied) of the task of line `line`, 0: of the only
 * one. `dropped_bytes` were lost before it. */
void rmd_output_push(struct rmd_output *output, uint64_t line, const void *data,
		     size_t len, uint64_t dropped_bytes);
/* Writes what is held to stderr: as it comes, or with the line's number before each
 * line ("[17] "). */
void rmd_output_drain(struct rmd_output *output);
/* Ends a last line that has no end. */
void rmd_output_end_line(struct rmd_output *output);
