#include "client/c/src/share.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/shared/mailbox.h"
#include "proto/shared/shared.h"

#define UNIX_PREFIX "unix:"

int rmd_share_wanted(uint64_t *ret_bytes, struct remuda_error **ret_err)
{
	const char *text = getenv("REMUDA_SHARED_BYTES");
	char *end;
	if (text == NULL || *text == '\0') {
		*ret_bytes = RMD_SHARED_DEFAULT_BYTES;
		return 0;
	}
	unsigned long long bytes = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || bytes > RMD_SHARED_DEFAULT_BYTES) {
		*ret_err = remuda_error_create(
			"InvalidOptions",
			"REMUDA_SHARED_BYTES is \"%s\": it takes the bytes of memory to share "
			"with a coordinator on this host, from 0 (none) to %llu",
			text, (unsigned long long)RMD_SHARED_DEFAULT_BYTES);
		return REMUDA_EINVAL;
	}
	*ret_bytes = bytes;
	return 0;
}

bool rmd_share_offer(struct remuda *client)
{
	int fds[RMD_SHARED_FDS];
	const char *path = NULL;
	if (client->shared_bytes == 0 || client->reach == RMD_REACH_REMOTE)
		return false;
	if (client->reach == RMD_REACH_UNIX)
		path = client->address + strlen(UNIX_PREFIX);
	else if (client->memory_fd < 0)
		return false;
	if (rmd_shared_create(client->shared_bytes, &client->offered, fds) < 0)
		return false;
	int rc = rmd_mailbox_post(client->memory_fd, path, client->session, fds);
	for (size_t i = 0; i < RMD_SHARED_FDS; i++)
		close(fds[i]);
	if (rc == 0)
		return true;
	rmd_shared_unref(client->offered);
	client->offered = NULL;
	return false;
}

void rmd_share_answered(struct remuda *client, bool accepted)
{
	if (accepted) {
		client->shared = client->offered;
		client->offered = NULL;
	}
	rmd_shared_unref(client->offered);
	client->offered = NULL;
}

void rmd_share_drop(struct remuda *client)
{
	rmd_timer_stop(client->loop, &client->tidy);
	pthread_mutex_lock(&client->lock);
	struct rmd_shared *shared = client->shared;
	client->shared = NULL;
	pthread_mutex_unlock(&client->lock);
	rmd_shared_unref(shared);
	rmd_shared_unref(client->offered);
	client->offered = NULL;
}

static void tidy_fired(struct rmd_timer *timer)
{
	struct remuda *client = (struct remuda *)(void *)((char *)timer -
							  offsetof(struct remuda, tidy));
	uint64_t now_ms = rmd_clock_mono_ms();
	uint64_t again_ms = rmd_shared_trim(client->shared, now_ms);
	if (again_ms != 0)
		rmd_timer_start(client->loop, timer, now_ms + again_ms);
}

void rmd_share_tidy(struct remuda *client)
{
	if (client->shared == NULL || client->tidy.place != 0 ||
	    !rmd_shared_warm(client->shared))
		return;
	client->tidy.fire = tidy_fired;
	rmd_timer_start(client->loop, &client->tidy, rmd_clock_mono_ms());
}

struct rmd_shared *rmd_share_get(struct remuda *client)
{
	pthread_mutex_lock(&client->lock);
	struct rmd_shared *shared = client->shared;
	if (shared != NULL)
		rmd_shared_ref(shared);
	pthread_mutex_unlock(&client->lock);
	return shared;
}
