/* server/guard.h: who may call this coordinator. Whoever can open its unix socket; by TCP
 * who has a token, where there is a file of them. The loop's thread. */
#pragma once

struct rmd_server;
struct rmd_guard;

/* Stands at `server`'s door, before it starts; `tokens` is the path of the file.
 * RMD_EINVAL with *ret_why (owned; NULL when out of memory), RMD_ENOMEM. */
int rmd_guard_post(struct rmd_server *server, const char *tokens,
		   struct rmd_guard **ret_guard, char **ret_why);
/* After the server is destroyed. NULL is allowed. */
void rmd_guard_dismiss(struct rmd_guard *guard);
