/* worker/native/functions.h: the functions that a worker can run, by name.
 *
 * Modules are added at the start and stay until the process ends. One thread. */
#pragma once

#include <limits.h>
#include <remuda/task.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/task/module_file.h"

struct remuda_error;

/* One function. */
struct rmd_function {
	char *name; /* "demo.square"; owned */
	size_t name_len;
	uint64_t hash;
	const struct remuda_task *task; /* borrowed from its module */
	size_t module;			/* index in rmd_functions.modules */
	const struct remuda_message
		*messages[REMUDA_PARAMS_MAX]; /* of its parameters, or NULL */
	const struct remuda_message *ret_message;
};

/* One module. */
struct rmd_loaded_module {
	char *path;			    /* as given, or its name if it was pushed; owned */
	const struct remuda_module *module; /* borrowed from the shared object */
	bool pushed;
};

/* A pushed module that this host's loader, or we, did not take. */
struct rmd_module_fault {
	char prefix[RMD_MODULE_PREFIX_MAX_BYTES + 1]; /* "" : cannot be told */
	struct remuda_error *err;
};

/* Starts zeroed ({0}). */
struct rmd_functions {
	struct rmd_function **table; /* by hash; a power of two long */
	size_t table_size, count;
	struct rmd_loaded_module *modules;
	size_t module_count;
	struct rmd_module_fault *faults;
	size_t fault_count;
	const struct rmd_function *last; /* tasks come in runs of one function */
};

/* Longest name, prefix and all, in bytes. */
#define RMD_FUNCTION_NAME_MAX 512u

/* Loads the shared object at `path` and adds its functions, all or none. A file that was
 * not pushed is passed over where a pushed module has its prefix. RMD_EINVAL, with *ret_err
 * naming file and reason: not loadable, no module, another version, a function that is
 * there already. */
int rmd_functions_load(struct rmd_functions *functions, const char *path,
		       struct remuda_error **ret_err);
/* Adds the functions of `module`, whose name for people is `path`. As load. */
int rmd_functions_add(struct rmd_functions *functions, const char *path,
		      const struct remuda_module *module, struct remuda_error **ret_err);
/* Adds a module without looking for functions in it: it is functions->modules' last then.
 * `module` is borrowed. RMD_ENOMEM. */
int rmd_functions_adopt(struct rmd_functions *functions, const char *path,
			const struct remuda_module *module);
/* Makes the function of a descriptor, in no table, for that module. NULL: *ret_err as
 * load. Free it with rmd_function_free. */
struct rmd_function *rmd_functions_make(const struct rmd_functions *functions,
					size_t module, const struct remuda_task *task,
					struct remuda_error **ret_err);
void rmd_function_free(struct rmd_function *function);
/* The function `name`, or NULL. */
const struct rmd_function *rmd_functions_find(struct rmd_functions *functions,
					      struct rmd_slice name);
/* Looks for a module that was not named at the start: PREFIX.so for the function
 * PREFIX.NAME, in the folders of the environment variable REMUDA_MODULE_PATH, then in
 * lib/remuda/modules beside our own program. 1: loaded one; 0: there is none, or it was
 * loaded before; else as load. */
int rmd_functions_seek(struct rmd_functions *functions, struct rmd_slice name,
		       struct remuda_error **ret_err);
/* Loads what was pushed of `paths`, then what was not. RMD_EINVAL, *ret_err: as load, of one
 * that was not pushed. One that was and is bad fails for those who ask for its functions,
 * and for nobody else. */
int rmd_functions_load_all(struct rmd_functions *functions, const char *const *paths,
			   size_t count, struct remuda_error **ret_err);
/* If the file at `path` was pushed, it is a memfd of the agent's: gives its name. */
bool rmd_functions_pushed(const char *path, char ret_name[PATH_MAX]);
/* True: a module with that prefix was pushed; it stands for it, good or bad. */
bool rmd_functions_prefix_pushed(const struct rmd_functions *functions, const char *prefix);
/* Gives the error UnknownFunction: the nearest names, and the modules; or why its module
 * is not there. */
struct remuda_error *rmd_functions_unknown(const struct rmd_functions *functions,
					   struct rmd_slice name);
/* Frees the table; the modules stay loaded. */
void rmd_functions_fini(struct rmd_functions *functions);
