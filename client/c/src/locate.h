/* client/c/src/locate.h: where a coordinator is, and where its program is. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "client/c/include/remuda/remuda.h"

/* Longest path that is built here. */
#define RMD_PATH_MAX 4096u

/* The address of the user's `remuda up` socket, "unix:RUNDIR/up.sock". RUNDIR is
 * $XDG_RUNTIME_DIR/remuda, else /tmp/remuda-UID. 0; RMD_ENOTFOUND: no such socket.
 * RMD_EINVAL: RUNDIR is not a folder of this user alone (0700): it is not trusted, and
 * `*ret_err` says so. */
int rmd_locate_up(char ret_address[RMD_PATH_MAX], struct remuda_error **ret_err);

/* The run folder of this user, as above; it need not exist. RMD_ETOOBIG. */
int rmd_locate_run_dir(char ret_path[RMD_PATH_MAX]);

/* The program remudad: `given`, else REMUDA_SERVER, else beside this library or program,
 * else on PATH. RMD_ENOTFOUND: the error names all places that were looked at and what to
 * do. */
int rmd_locate_server(const char *given, char ret_path[RMD_PATH_MAX],
		      struct remuda_error **ret_err);
