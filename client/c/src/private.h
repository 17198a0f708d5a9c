/* client/c/src/private.h: starts a coordinator of our own. Any thread. */
#pragma once

#include "client/c/include/remuda/remuda.h"

/* How to start it. */
struct rmd_private_options {
	const char *server_path;     /* the program */
	uint32_t max_workers;        /* 0: as it thinks best */
	const char *const *modules;  /* ended by NULL; may be NULL */
	uint64_t shared_bytes;       /* of shared memory; 0: none */
};

/* Starts the program in the background and gives our ends of two sockets to it
 * (close-on-exec, nonblocking): a stream to speak through, and one for datagrams, where
 * shared memory is posted. It is no child of this process: wait() does not meet it,
 * no SIGCHLD comes. It ends with us. RMD_ESYS, RMD_ENOMEM, RMD_ELIMIT with *ret_err. */
int rmd_private_start(const struct rmd_private_options *options, int *ret_fd,
		      int *ret_memory_fd, struct remuda_error **ret_err);

/* Where the coordinator will find the modules from any folder. Gives whole paths in the order of
 * `modules` (ended by NULL; may be NULL), NULL behind them, also on failure; free with
 * rmd_private_modules_free. REMUDA_ENOTFOUND, REMUDA_ESYS with *ret_err; REMUDA_ENOMEM. */
int rmd_private_modules(const char *const *modules, char ***ret_paths,
			struct remuda_error **ret_err);
void rmd_private_modules_free(char **paths);
