/* client/cli/place.h: where the coordinator is: what was said, else the user's own.
 *
 * RUNDIR is $XDG_RUNTIME_DIR/remuda, else /tmp/remuda-UID; it must be the user's
 * alone. Main thread only. */
#pragma once

#include <stdbool.h>

/* Where to look, and who said so. */
struct rmd_place {
	char *text; /* owned: "unix:/run/user/1000/remuda/up.sock" */
	const char
		*said_by; /* "--address", "REMUDA_ADDRESS", "remuda up": for messages */
	bool by_default;  /* nobody said: it is the socket of `remuda up` */
};

/* Gives the address that `option` (NULL: not given) or REMUDA_ADDRESS says, else that
 * of `remuda up`. Checks its form. An enum rmd_exit; what is wrong is reported. Free
 * with fini. */
int rmd_place_find(const char *option, struct rmd_place *ret_address);
void rmd_place_fini(struct rmd_place *address);
/* The path of a "unix:PATH" address, borrowed from it, or NULL. */
const char *rmd_place_unix_path(const char *address);
/* RMD_EXIT_OK if `text` is unix:PATH, tcp:HOST:PORT or dns:///HOST:PORT; else says
 * what is wrong. */
int rmd_place_check(const char *text, const char *said_by);
/* Gives the path of `name` in RUNDIR (rmd_free), or NULL: no memory. */
char *rmd_place_run_path(const char *name);
/* Makes RUNDIR if need be, and checks that it is a folder of ours, mode 0700. An enum
 * rmd_exit; what is wrong is reported. */
int rmd_place_make_run_folder(void);
/* True if somebody listens at a unix: address; of others it cannot be known: false. */
bool rmd_place_is_served(const struct rmd_place *address);
/* Says that nobody is there and what to do; `why` is what was tried, "": not known. Gives
 * RMD_EXIT_SERVICE. */
int rmd_place_report_nobody(const struct rmd_place *address, const char *why);
/* Connects to a unix socket. Gives the descriptor, or -1 and errno. */
int rmd_place_connect_unix(const char *path);
