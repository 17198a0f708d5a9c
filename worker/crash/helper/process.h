/* worker/crash/helper/process.h: the crashed process, seen from outside: what files it
 * has in memory, and its memory. Nothing in it is trusted. */
#pragma once

#include <elfutils/libdwelf.h>
#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "worker/crash/helper/job.h"

#define RMD_PROCESS_IMAGES_MAX 512u
#define RMD_PROCESS_CODE_MAX 2048u

/* A file in its memory, all of its mappings together. */
struct rmd_process_image {
	uint64_t start, end;
	dev_t device;
	ino_t inode;	  /* 0: no file (the kernel's [vdso]) */
	char *path;	  /* owned */
	const char *name; /* for people: its module's, else its path; borrowed */
	bool program;	  /* it is the worker's program */
};

/* Memory that can be run. */
struct rmd_process_code {
	uint64_t start, end;
};

struct rmd_process {
	pid_t pid;
	const remuda_local_CrashRecord *record; /* borrowed */
	char *const *module_names;		/* borrowed; NULL-terminated */
	struct rmd_process_image images[RMD_PROCESS_IMAGES_MAX];
	size_t image_count;
	struct rmd_process_code code[RMD_PROCESS_CODE_MAX];
	size_t code_count;
};

/* Looks at process `pid`. RMD_ESYS: it may not be looked at, or is gone. */
int rmd_process_open(struct rmd_process *process, pid_t pid,
		     const remuda_local_CrashRecord *record, char *const *module_names);
/* Reads its memory: true if all `len` bytes are there. */
bool rmd_process_read(const struct rmd_process *process, uint64_t address, void *ret,
		      size_t len);
/* Whether `address` can be run. */
bool rmd_process_runs(const struct rmd_process *process, uint64_t address);
/* Gives the image that starts at `start`, or NULL. */
const struct rmd_process_image *rmd_process_image_at(const struct rmd_process *process,
						     uint64_t start);
/* Opens the very file that `image` is, for reading: its descriptor (owned by the caller);
 * -1: it can't be had, or is another one by now. */
int rmd_process_open_image(const struct rmd_process *process,
			   const struct rmd_process_image *image);
