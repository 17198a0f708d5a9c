/* worker/agent/elf.h: whether an image can run here as a worker, and what it needs.
 *
 * Reads hostile bytes: everything is bounded by the file. Any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/error/chain.h"

/* Longest name of a library. */
#define RMD_ELF_NAME_MAX 255u

/* What is known of an image that can run. */
struct rmd_elf_facts {
	bool program; /* false: a shared object */
	/* The sanitizer's runtime that must be loaded first ("libasan.so.8"); "": none.
	 */
	char first[RMD_ELF_NAME_MAX + 1];
};

/* Looks at the image in `fd`, a file that does not change; `name` is for messages. NULL:
 * it can run, and *ret_facts; else why not, and what to do: an error of the type
 * ImageRefused. */
struct remuda_error *rmd_elf_check(int fd, const char *name,
				   struct rmd_elf_facts *ret_facts);
