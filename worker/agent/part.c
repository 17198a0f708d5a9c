/* Parts of pools: queue and workers of one image.
 *
 * A pool's workers are shared anew before each balance: who runs a task keeps its worker;
 * what is left goes to those that have work, oldest first, then to workers that are warm,
 * then to the pool itself. A part that has work and no worker gets one within SLICE_MS
 * after it came: those of other parts then take nothing ahead and stop when they are
 * idle. Before that a part that has a warm worker goes on: alternating images would start
 * a process for each task. */
#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"
#include "proto/codec/capture.h"
#include "worker/agent/image.h"

#define SOURCE "agent"
#define SLICE_MS 20u
#define FAILURES_MAX 3u

/* ---- life ---- */

static struct rmd_apool *create(struct rmd_apool *pool, const struct rmd_digest *digest)
{
	struct rmd_agent *agent = pool->agent;
	size_t reserved = 0;
	struct rmd_apool *part = rmd_calloc(1, sizeof *part);
	if (part == NULL)
		return NULL;
	rmd_apool_init(part, agent, pool->number);
	part->spec = pool->spec;
	part->whole = pool;
	part->closed = pool->closed;
	part->image = rmd_aimage_use(agent, digest);
	while (part->image != NULL && reserved < 2 &&
	       rmd_atimers_reserve(&agent->timers) == 0)
		reserved++;
	if (reserved == 2) {
		LIST_INSERT_HEAD(&agent->pool_list, part, link);
		LIST_INSERT_HEAD(&pool->parts, part, part_link);
		pool->part_count++;
		return part;
	}
	while (reserved-- > 0)
		rmd_atimers_release(&agent->timers);
	if (part->image != NULL)
		rmd_aimage_leave(part->image);
	rmd_free(part);
	return NULL;
}

bool rmd_apart_end(struct rmd_apool *part)
{
	struct rmd_apool *whole = part->whole;
	if (part->held > 0 || !TAILQ_EMPTY(&part->workers))
		return false;
	rmd_apool_destroy(part);
	rmd_apool_dirty(whole);
	rmd_apool_unbalance(whole);
	return true;
}

static void fail(struct rmd_alease *lease, struct remuda_error *err)
{
	rmd_error_set_origin(err, REMUDA_ORIGIN_AGENT);
	rmd_error_set_place(err, lease->pool->agent->name, 0, lease->attempt);
	rmd_alease_fail(lease, err, false, 0, RMD_FAILURE_UNSPECIFIED);
}

/* ---- leases ---- */

static struct rmd_apool *part_of(struct rmd_apool *pool, const struct rmd_digest *digest)
{
	struct rmd_apool *part;
	LIST_FOREACH (part, &pool->parts, part_link)
		if (rmd_digest_equal(rmd_aimage_digest(part->image), digest))
			return part;
	return NULL;
}

bool rmd_apart_sort(struct rmd_alease *lease)
{
	struct rmd_apool *pool = lease->pool;
	struct rmd_slice raw;
	struct rmd_capture capture;
	const char *field = "Arguments.capture";
	int rc = rmd_capture_find(lease->arguments.bytes, &raw);
	if (rc <= 0)
		return true; /* what makes no sense its worker will say */
	rc = rmd_capture_read(raw, &capture, &field);
	if (rc < 0) {
		fail(lease, remuda_error_create("DecodeError",
						"its capture makes no sense: %s: %s",
						field, rmd_errcode_text(rc)));
		return false;
	}
	if (!rmd_slice_equal(capture.format, rmd_slice_of_string(RMD_CAPTURE_ELF))) {
		fail(lease,
		     remuda_error_create(
			     "UnknownCapture",
			     "this agent has no way to run captures of the format "
			     "%.*s, only " RMD_CAPTURE_ELF,
			     (int)capture.format.len, (const char *)capture.format.data));
		return false;
	}
	struct rmd_apool *part = part_of(pool, &capture.image);
	if (part == NULL && pool->part_count < RMD_AGENT_PARTS_MAX)
		part = create(pool, &capture.image);
	if (part == NULL) {
		fail(lease, remuda_error_create(
				    "TooManyImages",
				    "the pool runs %u images on this host, or memory "
				    "is out: wait until some have ended",
				    pool->part_count));
		return false;
	}
	pool->held--;
	part->held++;
	lease->pool = part;
	return true;
}

/* ---- sharing ---- */

/* A pool or part while workers are shared. */
struct share {
	struct rmd_apool *pool;
	uint32_t busy;	 /* workers that run a task, stand in line to go on, or start */
	uint32_t given;	 /* of what there is */
	uint64_t oldest; /* lease that waits longest here; UINT64_MAX: none does */
	bool late;	 /* that has waited its time */
};

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static struct share share_of(struct rmd_apool *pool)
{
	struct share share = {.pool = pool, .oldest = UINT64_MAX};
	struct rmd_aworker *worker;
	share.busy = rmd_apool_active(pool) + least(pool->starting, pool->queued);
	TAILQ_FOREACH (worker, &pool->line, line_link)
		share.busy++;
	if (pool->queued == 0) {
		pool->short_ms = 0;
		return share;
	}
	share.oldest = TAILQ_FIRST(&pool->queue)->number;
	if (share.busy > 0 || pool->ready > 0)
		pool->short_ms = 0;
	else if (pool->short_ms == 0)
		pool->short_ms = pool->agent->now_ms;
	share.late = pool->short_ms != 0 &&
		     pool->agent->now_ms - pool->short_ms >= SLICE_MS;
	return share;
}

static bool wants_more(const struct share *share)
{
	uint32_t extra = share->given -
			 (share->given < share->busy ? share->given : share->busy);
	return share->given >= share->busy && share->pool->queued > extra;
}

/* Who is to have the next worker. */
static struct share *next_needy(struct share *shares, size_t count)
{
	struct share *best = NULL;
	for (size_t i = 0; i < count; i++) {
		struct share *at = &shares[i];
		if (!wants_more(at))
			continue;
		bool warm = at->pool->idle > at->given - at->busy;
		bool best_warm = best != NULL &&
				 best->pool->idle > best->given - best->busy;
		if (best == NULL || (at->late && !best->late) ||
		    (at->late == best->late && warm && !best_warm) ||
		    (at->late == best->late && warm == best_warm &&
		     at->oldest < best->oldest))
			best = at;
	}
	return best;
}

static void divide(struct share *shares, size_t count, uint32_t left)
{
	struct share *needy;
	for (size_t i = 0; i < count; i++) {
		shares[i].given = least(shares[i].busy, left);
		left -= shares[i].given;
	}
	while (left > 0 && (needy = next_needy(shares, count)) != NULL) {
		needy->given++;
		needy->late = false; /* once: the others are to have some too */
		left--;
	}
	for (size_t i = 0; i < count && left > 0; i++) {
		uint32_t alive = shares[i].pool->starting + shares[i].pool->ready;
		uint32_t more = alive > shares[i].given ? alive - shares[i].given : 0;
		more = least(more, left);
		shares[i].given += more;
		left -= more;
	}
	shares[0].given += left; /* the pool itself */
}

/* What waits in the hands of others' workers is not to go before a part without one. */
static void make_way(struct share *shares, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct rmd_aworker *worker;
		if (shares[i].pool->stealable == 0)
			continue;
		TAILQ_FOREACH (worker, &shares[i].pool->workers, all)
			(void)rmd_apool_take_back(worker, UINT32_MAX);
	}
}

void rmd_apart_share(struct rmd_apool *pool)
{
	struct rmd_apool *whole = rmd_apart_whole(pool);
	struct rmd_agent *agent = whole->agent;
	if (LIST_EMPTY(&whole->parts)) {
		whole->wanted = whole->asked;
		whole->starved = false;
		return;
	}
	struct share shares[RMD_AGENT_PARTS_MAX + 1];
	size_t count = 0;
	bool starved = false;
	for (struct rmd_apool *at = whole; at != NULL; at = rmd_apart_next(at))
		shares[count++] = share_of(at);
	divide(shares, count, whole->asked);
	for (size_t i = 0; i < count; i++) {
		struct rmd_apool *at = shares[i].pool;
		if (at->short_ms != 0 && shares[i].given == 0) {
			starved = true;
			rmd_atimer_start(&agent->timers, &at->again,
					 agent->now_ms + SLICE_MS);
		}
		if (at->wanted == shares[i].given)
			continue;
		at->wanted = shares[i].given;
		rmd_apool_unbalance(at);
	}
	if (starved)
		make_way(shares, count);
	whole->starved = starved;
}

void rmd_apart_follow(struct rmd_apool *pool)
{
	struct rmd_apool *part;
	LIST_FOREACH (part, &pool->parts, part_link) {
		part->closed = pool->closed;
		rmd_apool_unbalance(part);
	}
}

/* ---- starting ---- */

/* Errors are trees with one owner: each lease gets one of its own. */
static struct remuda_error *copy_of(const struct remuda_error *err)
{
	struct rmd_buf *bytes = rmd_error_encode_buf(err);
	struct remuda_error *copy = NULL;
	const char *field;
	if (bytes == NULL || rmd_error_decode(rmd_buf_slice(bytes), &copy, &field) < 0)
		copy = remuda_error_create("OutOfMemory", "for an error");
	rmd_buf_unref(bytes);
	return copy;
}

static void fail_queued(struct rmd_apool *part, const struct remuda_error *why)
{
	struct rmd_alease *lease;
	while ((lease = TAILQ_FIRST(&part->queue)) != NULL) {
		struct remuda_error *cause = copy_of(why);
		rmd_apool_dequeue(part, lease);
		fail(lease,
		     remuda_error_wrap(cause, "CaptureError", "%.*s cannot run on %s",
				       (int)lease->function.len,
				       (const char *)lease->function.data,
				       part->agent->name));
	}
}

bool rmd_apart_here(struct rmd_apool *part)
{
	if (part->image == NULL)
		return true;
	const struct remuda_error *why = rmd_aimage_refused(part->image);
	struct remuda_error *own = NULL;
	if (part->agent->preload_path == NULL)
		why = own = remuda_error_create(
			"NotInstalled", "this agent finds no libremuda-worker.so beside "
					"its workers: install it, or use modules");
	if (why != NULL)
		fail_queued(part, why);
	remuda_error_free(own);
	return why == NULL && rmd_aimage_ready(part->image);
}

void rmd_apart_start_failed(struct rmd_apool *part, struct remuda_error *err)
{
	char *line = remuda_error_line(remuda_error_root(err));
	rmd_log(RMD_LOG_WARN, SOURCE,
		"a worker of the image %s could not be started: %s pool=%" PRIu64
		" failures=%u",
		rmd_aimage_name(part->image), line != NULL ? line : "?", part->number,
		part->failures);
	free(line);
	if (part->failures >= FAILURES_MAX) {
		struct remuda_error *why = remuda_error_wrap(
			err, "WorkerStartFailed",
			"a worker of the captured program %s could not be started",
			rmd_aimage_name(part->image));
		fail_queued(part, why);
		err = why;
	}
	remuda_error_free(err);
	rmd_apool_unbalance(part);
}
