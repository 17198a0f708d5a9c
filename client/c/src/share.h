/* client/c/src/share.h: the memory that a client shares with a coordinator on its host.
 *
 * Made and posted anew for each call of Session, and dropped with it; used from the
 * welcome on, if that says so. Everything here may fail: then payloads go through the
 * stream. */
#pragma once

#include "client/c/src/client.h"

/* How much to share, from REMUDA_SHARED_BYTES; 0: nothing. REMUDA_EINVAL. */
int rmd_share_wanted(uint64_t *ret_bytes, struct remuda_error **ret_err);
/* Posts memory for the call that is about to say hello: true, if it should say so. The
 * client's thread. */
bool rmd_share_offer(struct remuda *client);
/* The welcome has come: what was offered is used from now on, or dropped. The client's
 * thread; `lock` is held. */
void rmd_share_answered(struct remuda *client, bool accepted);
/* The call has ended. The client's thread; `lock` is not held. */
void rmd_share_drop(struct remuda *client);
/* Has memory that is not used any more given back some time. The client's thread. */
void rmd_share_tidy(struct remuda *client);
/* What is shared now, one reference, or NULL. Any thread; `lock` is not held. */
struct rmd_shared *rmd_share_get(struct remuda *client);
