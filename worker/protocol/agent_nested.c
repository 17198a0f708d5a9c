/* Tasks that submit tasks: what the agent's end hears of them, and what it answers. */
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "worker/protocol/agent_end.h"

/* One question at a time: an answer has one place. */
static int hear_ask(struct rmd_wp *end, struct rmd_wp_slot *slot,
		    const struct rmd_wp_record *record)
{
	if (end->events->ask == NULL || record->a == 0 || slot->asked != 0)
		return RMD_EPROTO;
	slot->asked = record->a;
	end->events->ask(end->ctx, slot->lease, record->a, record->b != 0);
	return 0;
}

int rmd_wp_nested(struct rmd_wp *end, const struct rmd_wp_record *record,
		  struct rmd_piece payload)
{
	struct rmd_wp_slot *slot = rmd_wp_slot_of(end, record->seq);
	if (slot == NULL)
		return RMD_EPROTO;
	/* (DONE: its outcome stands in the ring behind this.) */
	uint64_t word = atomic_load_explicit(&end->shared->page->slots[slot - end->slots],
					     memory_order_acquire);
	if (word != RMD_WP_WORD(record->seq, RMD_WP_CLAIMED) &&
	    word != RMD_WP_WORD(record->seq, RMD_WP_DONE))
		return RMD_EPROTO;
	switch (record->kind) {
	case RMD_WP_RECORD_SUBMIT:
	case RMD_WP_RECORD_LARGE_SUBMIT:
		if (end->events->submit == NULL)
			return RMD_EPROTO;
		end->events->submit(end->ctx, slot->lease, payload);
		return 0;
	case RMD_WP_RECORD_ASK:
		return hear_ask(end, slot, record);
	case RMD_WP_RECORD_GIVE_UP:
		if (end->events->give_up == NULL)
			return RMD_EPROTO;
		/* What is answered already has crossed it. */
		if (record->a != 0 && slot->asked == record->a)
			end->events->give_up(end->ctx, slot->lease, record->a);
		return 0;
	case RMD_WP_RECORD_CANCEL:
		if (end->events->cancel == NULL)
			return RMD_EPROTO;
		end->events->cancel(end->ctx, slot->lease, record->a);
		return 0;
	default:
		return RMD_EPROTO;
	}
}

int rmd_wp_answer(struct rmd_wp *end, uint64_t lease, uint64_t number,
		  enum rmd_wp_answer kind, struct rmd_slice payload)
{
	RMD_CHECK_OBJ(end, RMD_WP_MAGIC);
	RMD_CHECK(kind < RMD_WP_ANSWERS);
	struct rmd_wp_slot *slot = rmd_map_get(&end->leases, lease);
	struct rmd_wp_page *page = end->shared->page;
	struct rmd_wp_extent extent = {0};
	if (slot == NULL || slot->asked != number || number == 0)
		return RMD_ENOTFOUND;
	/* The worker asks again only when it has done with the answer before. */
	if (slot->answer.len != 0)
		rmd_wp_inputs_drop(&end->inputs, slot->answer);
	slot->answer = extent;
	if (payload.len != 0) {
		int rc = rmd_wp_inputs_put(&end->inputs, payload, &extent);
		if (rc < 0)
			return rc;
	}
	slot->answer = extent;
	slot->asked = 0;
	atomic_store_explicit(&page->answer_kind, kind, memory_order_relaxed);
	atomic_store_explicit(&page->answer_seq, slot->seq, memory_order_relaxed);
	atomic_store_explicit(&page->answer_number, number, memory_order_relaxed);
	atomic_store_explicit(&page->answer_offset, extent.offset, memory_order_relaxed);
	atomic_store_explicit(&page->answer_bytes, extent.len, memory_order_relaxed);
	atomic_fetch_add_explicit(&page->answers, 1, memory_order_release);
	(void)syscall(SYS_futex, &page->answers, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	return 0;
}
