/* Tasks that submit tasks: the worker's end. */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "worker/protocol/worker_parts.h"

/* How often a task that waits looks whether its agent is still there. */
#define LOOK_NS UINT64_C(200000000)

void rmd_wpw_submit(struct rmd_wpw *end, size_t len)
{
	RMD_CHECK_OBJ(end, RMD_WPW_MAGIC);
	end->record.kind = rmd_wpw_size_record(end, len) ? RMD_WP_RECORD_LARGE_SUBMIT
							 : RMD_WP_RECORD_SUBMIT;
	rmd_wpw_publish(end);
	rmd_wpw_ring(end);
}

/* Publishes a record without payload. */
static int say(struct rmd_wpw *end, enum rmd_wp_record_kind kind, uint64_t a, uint64_t b)
{
	RMD_CHECK_OBJ(end, RMD_WPW_MAGIC);
	RMD_CHECK(end->seq != 0);
	int rc = rmd_wpw_place(end, 0);
	if (rc < 0)
		return rc;
	end->record =
		(struct rmd_wp_record){.kind = kind, .seq = end->seq, .a = a, .b = b};
	rmd_wpw_publish(end);
	rmd_wpw_ring(end);
	return 0;
}

int rmd_wpw_ask(struct rmd_wpw *end, uint64_t number, enum rmd_wpw_ask how,
		uint32_t *ret_ticket)
{
	*ret_ticket = atomic_load_explicit(&end->page->answers, memory_order_acquire);
	return say(end, RMD_WP_RECORD_ASK, number, how == RMD_WPW_ASK_NOW);
}

int rmd_wpw_give_up(struct rmd_wpw *end, uint64_t number)
{
	return say(end, RMD_WP_RECORD_GIVE_UP, number, 0);
}

int rmd_wpw_cancel_child(struct rmd_wpw *end, uint64_t number)
{
	return say(end, RMD_WP_RECORD_CANCEL, number, 0);
}

/* Sleeps until `word` is not `value`, for `ns` at most. */
static void sleep_on(_Atomic uint32_t *word, uint32_t value, uint64_t ns)
{
	const struct timespec timeout = {(time_t)(ns / 1000000000u),
					 (long)(ns % 1000000000u)};
	(void)syscall(SYS_futex, word, FUTEX_WAIT, value, &timeout, NULL, 0);
}

int rmd_wpw_await_answer(struct rmd_wpw *end, uint64_t number, uint32_t ticket,
			 uint64_t until_mono_ns, enum rmd_wp_answer *ret_kind,
			 struct rmd_slice *ret_payload)
{
	struct rmd_wp_page *page = end->page;
	while (atomic_load_explicit(&page->answers, memory_order_acquire) == ticket) {
		uint64_t wait_ns = LOOK_NS;
		if (until_mono_ns != 0) {
			uint64_t now_ns = rmd_clock_mono_ns();
			if (now_ns >= until_mono_ns)
				return RMD_ETIMEOUT;
			if (until_mono_ns - now_ns < wait_ns)
				wait_ns = until_mono_ns - now_ns;
		}
		sleep_on(&page->answers, ticket, wait_ns);
		if (atomic_load_explicit(&page->answers, memory_order_acquire) ==
			    ticket &&
		    rmd_wpw_agent_gone(end))
			return RMD_ECLOSED;
	}
	uint32_t kind = atomic_load_explicit(&page->answer_kind, memory_order_relaxed);
	uint64_t offset =
		atomic_load_explicit(&page->answer_offset, memory_order_relaxed);
	uint64_t bytes = atomic_load_explicit(&page->answer_bytes, memory_order_relaxed);
	if (kind >= RMD_WP_ANSWERS || bytes > end->input_bytes ||
	    offset > end->input_bytes - bytes ||
	    atomic_load_explicit(&page->answer_seq, memory_order_relaxed) != end->seq ||
	    atomic_load_explicit(&page->answer_number, memory_order_relaxed) != number)
		return RMD_EPROTO;
	*ret_kind = (enum rmd_wp_answer)kind;
	*ret_payload = rmd_slice_of(end->input + offset, bytes);
	return 0;
}
