/* proto/task/module_file.h: what a module's file says of itself, without loading it.
 *
 * Reads a shared object as bytes: whether it is one, for this machine, and what its
 * REMUDA_MODULE says. It does not tell whether the loader will take it (symbols and
 * libraries of the host decide that). Pure; any thread. */
#pragma once

#include <stdint.h>

#include "proto/base/buf.h"

#define RMD_MODULE_PREFIX_MAX_BYTES 128u

struct rmd_module_facts {
	char prefix[RMD_MODULE_PREFIX_MAX_BYTES +
		    1];	    /* of its functions' names: "demo" */
	uint32_t functions; /* declared with REMUDA_TASK */
};

/* Reads the whole file. RMD_EPROTO: no module for this machine and this version;
 * *ret_why is then a static text that begins with "it" and says what to do about it. */
int rmd_module_file_read(struct rmd_slice file, struct rmd_module_facts *ret_facts,
			 const char **ret_why);
