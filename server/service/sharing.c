#include "server/service/sharing.h"

#include <string.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"
#include "proto/shared/mailbox.h"
#include "proto/shared/shared.h"
#include "server/service/coordinator.h"
#include "server/store/jobs.h"

/* What is larger is copied on the jobs' thread. */
#define COPY_HERE_BYTES (256u * 1024u)

/* A value on its way into a client's view; the jobs' own until it is done. */
struct rmd_sharing_copy {
	struct rmd_job job;
	struct rmd_sharing *sharing; /* NULL: the stream that wanted it has ended */
	struct rmd_shared *shared;   /* owned */
	struct rmd_segment_ref ref;
	uint8_t *to;
	struct rmd_piece value;      /* owned */
	uint64_t number;
	LIST_ENTRY(rmd_sharing_copy) link;
};

#define OF(type, member, ptr) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static void trim_fired(struct rmd_timer *timer)
{
	struct rmd_sharing *sharing = OF(struct rmd_sharing, trim, timer);
	uint64_t now_ms = rmd_clock_mono_ms();
	uint64_t again_ms = rmd_shared_trim(sharing->shared, now_ms);
	if (again_ms != 0)
		rmd_timer_start(sharing->coordinator->loop, timer, now_ms + again_ms);
}

bool rmd_sharing_begin(struct rmd_sharing *sharing, struct rmd_coordinator *coordinator,
		       const uint8_t session[RMD_SESSION_BYTES], int64_t uid)
{
	int fds[RMD_SHARED_FDS];
	sharing->coordinator = coordinator;
	sharing->trim.fire = trim_fired;
	if (coordinator->options.mailbox == NULL ||
	    rmd_mailbox_take(coordinator->options.mailbox, session, uid, fds) < 0)
		return false;
	int rc = rmd_shared_adopt(fds, coordinator->options.shared_bytes, &sharing->shared);
	for (size_t i = 0; i < RMD_SHARED_FDS; i++)
		close(fds[i]);
	if (rc < 0)
		rmd_log(RMD_LOG_WARN, "session",
			"a client's shared memory is not used: %s", rmd_errcode_text(rc));
	return rc == 0;
}

static void copy_free(struct rmd_sharing_copy *copy)
{
	LIST_REMOVE(copy, link);
	rmd_piece_unref(copy->value);
	rmd_shared_unref(copy->shared);
	rmd_free(copy);
}

void rmd_sharing_end(struct rmd_sharing *sharing)
{
	struct rmd_sharing_copy *copy;
	if (sharing->shared == NULL)
		return;
	LIST_FOREACH (copy, &sharing->coordinator->copies, link)
		if (copy->sharing == sharing)
			copy->sharing = NULL;
	rmd_timer_stop(sharing->coordinator->loop, &sharing->trim);
	rmd_shared_unref(sharing->shared);
	sharing->shared = NULL;
}

int rmd_sharing_borrow(struct rmd_sharing *sharing, const struct rmd_segment_ref *ref,
		       struct rmd_buf **ret_buf)
{
	if (sharing->shared == NULL)
		return RMD_EPROTO;
	return rmd_shared_borrow(sharing->shared, ref, ret_buf);
}

/* On the jobs' thread. The client can write there meanwhile: its own loss. */
static void copy_work(struct rmd_job *job)
{
	struct rmd_sharing_copy *copy = OF(struct rmd_sharing_copy, job, job);
	memcpy(copy->to, copy->value.bytes.data, copy->value.bytes.len);
}

static void copy_done(struct rmd_job *job)
{
	struct rmd_sharing_copy *copy = OF(struct rmd_sharing_copy, job, job);
	if (copy->sharing != NULL)
		copy->sharing->send(copy->sharing, copy->number, &copy->ref);
	else
		rmd_shared_take_back(copy->shared, &copy->ref);
	copy_free(copy);
}

bool rmd_sharing_put(struct rmd_sharing *sharing, uint64_t number, struct rmd_piece value)
{
	struct rmd_segment_ref ref;
	uint8_t *to;
	if (sharing->shared == NULL || value.bytes.len < RMD_SHARED_PAYLOAD_MIN ||
	    rmd_shared_lend(sharing->shared, value.bytes.len, &ref, &to) < 0)
		return false;
	struct rmd_coordinator *coordinator = sharing->coordinator;
	if (sharing->trim.place == 0)
		rmd_timer_start(coordinator->loop, &sharing->trim, rmd_clock_mono_ms());
	if (value.bytes.len <= COPY_HERE_BYTES || value.buf == NULL) {
		memcpy(to, value.bytes.data, value.bytes.len);
		sharing->send(sharing, number, &ref);
		return true;
	}
	struct rmd_sharing_copy *copy = rmd_malloc(sizeof *copy);
	if (copy == NULL) {
		rmd_shared_take_back(sharing->shared, &ref);
		return false;
	}
	*copy = (struct rmd_sharing_copy){.job = {.work = copy_work, .done = copy_done},
					  .sharing = sharing,
					  .shared = rmd_shared_ref(sharing->shared),
					  .ref = ref,
					  .to = to,
					  .value = rmd_piece_ref(value),
					  .number = number};
	LIST_INSERT_HEAD(&coordinator->copies, copy, link);
	rmd_jobs_submit(coordinator->jobs, &copy->job);
	return true;
}

void rmd_sharing_forget_copies(struct rmd_coordinator *coordinator)
{
	struct rmd_sharing_copy *copy;
	while ((copy = LIST_FIRST(&coordinator->copies)) != NULL)
		copy_free(copy);
}
