#include "proto/shared/shared.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/shared/places.h"
#include "proto/shared/segment.h"

#define SHARED_MAGIC 0x5ba4ed01u
/* So much of the beginning is never given back. */
#define WARM_BYTES (UINT64_C(1) << 20)
/* Memory is given back after so long without use, so much at a time. */
#define IDLE_MS 2000u
#define TRIM_BYTES (UINT64_C(64) << 20)
#define TRIM_PAUSE_MS 5u
/* Below this a limited address space is left alone. */
#define SHRUNK_MIN_BYTES (UINT64_C(16) << 20)

_Static_assert(RMD_PLACES_MAX * sizeof(uint32_t) <= RMD_SEGMENT_HEAD_BYTES,
	       "the marks fit the head");
_Static_assert(RMD_SEGMENT_HEAD_BYTES % RMD_PLACES_ALIGNMENT == 0,
	       "places begin behind the head");

struct rmd_shared {
	uint32_t magic;
	atomic_uint refs;
	pid_t pid;                   /* whose this is: not a child's */
	struct rmd_segment own;      /* we write it */
	struct rmd_segment theirs;   /* read-only */
	pthread_mutex_t lock;
	/* Under `lock`. */
	struct rmd_places lent;      /* in `own` */
	struct rmd_places borrowed;  /* in `theirs` */
	uint64_t used_ms;            /* when a place was lent or found free, last */
	_Atomic uint64_t warm_end;   /* below it there may be memory to give back */
};

/* The mark of `place` in the head of a segment. */
static _Atomic uint32_t *mark_of(const struct rmd_segment *segment, uint32_t place)
{
	return (_Atomic uint32_t *)(void *)segment->base + place;
}

static struct rmd_shared *shared_new(void)
{
	struct rmd_shared *shared = rmd_calloc(1, sizeof *shared);
	if (shared == NULL)
		return NULL;
	shared->magic = SHARED_MAGIC;
	atomic_init(&shared->refs, 1);
	shared->pid = getpid();
	pthread_mutex_init(&shared->lock, NULL);
	return shared;
}

/* The segments are mapped: makes the books. */
static void shared_begin(struct rmd_shared *shared, uint64_t bytes_max)
{
	uint64_t end = shared->own.bytes;
	if (end - RMD_SEGMENT_HEAD_BYTES > bytes_max)
		end = RMD_SEGMENT_HEAD_BYTES + bytes_max;
	rmd_places_init(&shared->lent, RMD_SEGMENT_HEAD_BYTES, end);
	rmd_places_init(&shared->borrowed, RMD_SEGMENT_HEAD_BYTES, shared->theirs.bytes);
}

static int create(uint64_t bytes, struct rmd_shared *shared, int ret_fds[RMD_SHARED_FDS])
{
	int rc = rmd_segment_create(bytes, RMD_SEGMENT_WRITE, &shared->own, &ret_fds[0]);
	if (rc < 0)
		return rc;
	rc = rmd_segment_create(bytes, RMD_SEGMENT_READ, &shared->theirs, &ret_fds[1]);
	if (rc < 0) {
		rmd_segment_fini(&shared->own);
		close(ret_fds[0]);
	}
	return rc;
}

int rmd_shared_create(uint64_t bytes_max, struct rmd_shared **ret_shared,
		      int ret_fds[RMD_SHARED_FDS])
{
	if (bytes_max > RMD_SEGMENT_MAX_BYTES - RMD_SEGMENT_HEAD_BYTES)
		bytes_max = RMD_SEGMENT_MAX_BYTES - RMD_SEGMENT_HEAD_BYTES;
	uint64_t bytes = (bytes_max & ~(uint64_t)(RMD_SEGMENT_HEAD_BYTES - 1)) +
			 RMD_SEGMENT_HEAD_BYTES;
	if (bytes < RMD_SEGMENT_MIN_BYTES)
		return RMD_EINVAL;
	struct rmd_shared *shared = shared_new();
	if (shared == NULL)
		return RMD_ENOMEM;
	int rc;
	while ((rc = create(bytes, shared, ret_fds)) == RMD_ESYS &&
	       bytes / 4 >= SHRUNK_MIN_BYTES)
		bytes = (bytes / 4) & ~(uint64_t)(RMD_SEGMENT_HEAD_BYTES - 1);
	if (rc < 0) {
		rmd_shared_unref(shared);
		return rc;
	}
	shared_begin(shared, bytes_max);
	*ret_shared = shared;
	return 0;
}

int rmd_shared_adopt(const int fds[RMD_SHARED_FDS], uint64_t bytes_max,
		     struct rmd_shared **ret_shared)
{
	struct rmd_shared *shared = shared_new();
	if (shared == NULL)
		return RMD_ENOMEM;
	int rc = rmd_segment_adopt(fds[0], RMD_SEGMENT_READ, &shared->theirs);
	if (rc == 0)
		rc = rmd_segment_adopt(fds[1], RMD_SEGMENT_WRITE, &shared->own);
	if (rc < 0) {
		rmd_shared_unref(shared);
		return rc;
	}
	shared_begin(shared, bytes_max);
	*ret_shared = shared;
	return 0;
}

struct rmd_shared *rmd_shared_ref(struct rmd_shared *shared)
{
	RMD_CHECK_OBJ(shared, SHARED_MAGIC);
	atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
	return shared;
}

void rmd_shared_unref(struct rmd_shared *shared)
{
	if (shared == NULL)
		return;
	RMD_CHECK_OBJ(shared, SHARED_MAGIC);
	if (atomic_fetch_sub_explicit(&shared->refs, 1, memory_order_acq_rel) != 1)
		return;
	rmd_segment_fini(&shared->own);
	rmd_segment_fini(&shared->theirs);
	rmd_places_fini(&shared->lent);
	rmd_places_fini(&shared->borrowed);
	pthread_mutex_destroy(&shared->lock);
	shared->magic = 0;
	rmd_free(shared);
}

/* A child has the books of the moment of the fork, and a lock that perhaps nobody will
 * open; the memory is still its parent's. */
static bool is_ours(const struct rmd_shared *shared)
{
	return shared->pid == getpid();
}

/* ---- lending ---- */

static void warm_up_to(struct rmd_shared *shared, uint64_t end)
{
	if (end > atomic_load_explicit(&shared->warm_end, memory_order_relaxed))
		atomic_store_explicit(&shared->warm_end, end, memory_order_relaxed);
	shared->used_ms = rmd_clock_mono_ms();
}

/* Frees the places that the other side has marked. `lock` is held. */
static void reclaim(struct rmd_shared *shared)
{
	struct rmd_segment_ref ref;
	for (uint32_t i = 0, left = shared->lent.count; left > 0 && i < RMD_PLACES_MAX; i++) {
		if (!rmd_places_get(&shared->lent, i, &ref))
			continue;
		left--;
		if (atomic_load_explicit(mark_of(&shared->theirs, i),
					 memory_order_acquire) != ref.mark)
			continue;
		rmd_places_drop(&shared->lent, i);
		warm_up_to(shared, ref.offset + ref.length);
	}
}

int rmd_shared_lend(struct rmd_shared *shared, uint64_t length,
		    struct rmd_segment_ref *ret_ref, uint8_t **ret_bytes)
{
	RMD_CHECK_OBJ(shared, SHARED_MAGIC);
	if (!is_ours(shared))
		return RMD_EAGAIN;
	pthread_mutex_lock(&shared->lock);
	reclaim(shared);
	int rc = rmd_places_take(&shared->lent, length, ret_ref);
	if (rc == 0) {
		warm_up_to(shared, ret_ref->offset + length);
		*ret_bytes = shared->own.base + ret_ref->offset;
	}
	pthread_mutex_unlock(&shared->lock);
	return rc;
}

void rmd_shared_shorten(struct rmd_shared *shared, struct rmd_segment_ref *ref,
			uint64_t length)
{
	if (!is_ours(shared))
		return;
	struct rmd_segment_ref held;
	pthread_mutex_lock(&shared->lock);
	ref->length = length;
	/* As in take_back: if it is marked already, it is no longer ours to shorten. */
	if (rmd_places_get(&shared->lent, ref->place, &held) && held.mark == ref->mark)
		rmd_places_shorten(&shared->lent, ref);
	pthread_mutex_unlock(&shared->lock);
}

void rmd_shared_take_back(struct rmd_shared *shared, const struct rmd_segment_ref *ref)
{
	struct rmd_segment_ref held;
	if (!is_ours(shared))
		return;
	pthread_mutex_lock(&shared->lock);
	/* The other side may have marked it without having been told of it. */
	if (rmd_places_get(&shared->lent, ref->place, &held) && held.mark == ref->mark)
		rmd_places_drop(&shared->lent, ref->place);
	pthread_mutex_unlock(&shared->lock);
}

/* ---- borrowing ---- */

struct loan {
	struct rmd_shared *shared;   /* owned */
	struct rmd_segment_ref ref;
};

/* Any thread: the last reference is gone. */
static void loan_release(void *owner)
{
	struct loan *loan = owner;
	struct rmd_shared *shared = loan->shared;
	if (is_ours(shared)) {
		pthread_mutex_lock(&shared->lock);
		rmd_places_drop(&shared->borrowed, loan->ref.place);
		/* After this the other side may use the place, and the index, again. */
		atomic_store_explicit(mark_of(&shared->own, loan->ref.place),
				      loan->ref.mark, memory_order_release);
		pthread_mutex_unlock(&shared->lock);
		rmd_shared_unref(shared);
	}
	rmd_free(loan);
}

int rmd_shared_borrow(struct rmd_shared *shared, const struct rmd_segment_ref *ref,
		      struct rmd_buf **ret_buf)
{
	RMD_CHECK_OBJ(shared, SHARED_MAGIC);
	struct loan *loan = rmd_malloc(sizeof *loan);
	if (loan == NULL)
		return RMD_ENOMEM;
	*loan = (struct loan){shared, *ref};
	pthread_mutex_lock(&shared->lock);
	int rc = rmd_places_enter(&shared->borrowed, ref);
	struct rmd_buf *buf = NULL;
	if (rc == 0) {
		buf = rmd_buf_wrap(rmd_slice_of(shared->theirs.base + ref->offset,
						ref->length),
				   loan_release, loan);
		if (buf == NULL) {
			rmd_places_drop(&shared->borrowed, ref->place);
			rc = RMD_ENOMEM;
		}
	}
	pthread_mutex_unlock(&shared->lock);
	if (rc < 0) {
		rmd_free(loan);
		return rc;
	}
	rmd_shared_ref(shared);
	*ret_buf = buf;
	return 0;
}

/* ---- giving back ---- */

bool rmd_shared_warm(const struct rmd_shared *shared)
{
	return atomic_load_explicit(&shared->warm_end, memory_order_relaxed) >
	       RMD_SEGMENT_HEAD_BYTES + WARM_BYTES;
}

uint64_t rmd_shared_trim(struct rmd_shared *shared, uint64_t now_ms)
{
	const uint64_t keep = RMD_SEGMENT_HEAD_BYTES + WARM_BYTES;
	uint64_t again_ms = 0, offset, bytes;
	if (!is_ours(shared))
		return 0;
	pthread_mutex_lock(&shared->lock);
	reclaim(shared);
	uint64_t end = (shared->warm_end + RMD_PLACES_ALIGNMENT - 1) &
		       ~(uint64_t)(RMD_PLACES_ALIGNMENT - 1);
	if (end > keep && now_ms < shared->used_ms + IDLE_MS) {
		again_ms = shared->used_ms + IDLE_MS - now_ms;
	} else if (end > keep) {
		uint64_t from = end - keep > TRIM_BYTES ? end - TRIM_BYTES : keep;
		for (uint64_t at = from; rmd_places_gap(&shared->lent, at, end, &offset, &bytes);
		     at = offset + bytes)
			rmd_segment_discard(&shared->own, offset, bytes);
		atomic_store_explicit(&shared->warm_end, from, memory_order_relaxed);
		again_ms = from > keep ? TRIM_PAUSE_MS : 0;
	}
	if (again_ms == 0 && shared->lent.count != 0)
		again_ms = IDLE_MS;          /* they will be free one day */
	pthread_mutex_unlock(&shared->lock);
	return again_ms;
}
