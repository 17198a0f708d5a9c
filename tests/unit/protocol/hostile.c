#include "tests/unit/protocol/hostile.h"

#include <string.h>
#include <sys/mman.h>

static void on_ready(void *ctx)
{
	((struct hostile *)ctx)->readies++;
}

static void on_start_failed(void *ctx, struct rmd_slice error_chain)
{
	(void)error_chain;
	((struct hostile *)ctx)->failures++;
}

/* Looks at every byte, so that a memory checker sees it. */
static uint64_t sum_of(struct rmd_slice bytes)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < bytes.len; i++)
		sum += bytes.data[i];
	return sum;
}

static void on_log(void *ctx, uint64_t lease, enum rmd_wp_log stream,
		   struct rmd_slice bytes, uint64_t dropped_bytes)
{
	struct hostile *hostile = ctx;
	volatile uint64_t sum = sum_of(bytes);
	(void)sum;
	(void)stream;
	(void)dropped_bytes;
	hostile->logs++;
	hostile->last_lease = lease;
	hostile->last_len = bytes.len;
	if (hostile->on_each_log != NULL)
		hostile->on_each_log(hostile);
}

static void on_outcome(void *ctx, const struct rmd_wp_outcome *outcome)
{
	struct hostile *hostile = ctx;
	struct rmd_slice seen = outcome->payload.bytes;
	if (seen.len > 4096)
		seen.len = 4096; /* a large one may be a gibibyte of nothing */
	volatile uint64_t sum = sum_of(seen);
	(void)sum;
	hostile->outcomes++;
	hostile->last_lease = outcome->lease;
	hostile->last_len = outcome->payload.bytes.len;
}

static void on_submit(void *ctx, uint64_t lease, struct rmd_piece submit)
{
	struct hostile *hostile = ctx;
	struct rmd_slice seen = submit.bytes;
	if (seen.len > 4096)
		seen.len = 4096;
	volatile uint64_t sum = sum_of(seen);
	(void)sum;
	hostile->submits++;
	hostile->last_lease = lease;
	hostile->last_len = submit.bytes.len;
}

static void on_ask(void *ctx, uint64_t lease, uint64_t number, bool now)
{
	struct hostile *hostile = ctx;
	hostile->asks++;
	if (hostile->answers || now)
		(void)rmd_wp_answer(hostile->end, lease, number, RMD_WP_ANSWER_ERROR,
				    rmd_slice_of_string("an answer"));
}

static void on_give_up(void *ctx, uint64_t lease, uint64_t number)
{
	struct hostile *hostile = ctx;
	hostile->give_ups++;
	(void)rmd_wp_answer(hostile->end, lease, number, RMD_WP_ANSWER_NONE,
			    (struct rmd_slice){NULL, 0});
}

static void on_cancel(void *ctx, uint64_t lease, uint64_t number)
{
	struct hostile *hostile = ctx;
	(void)lease;
	(void)number;
	hostile->cancels++;
}

static const struct rmd_wp_events events = {
	.ready = on_ready,
	.start_failed = on_start_failed,
	.log = on_log,
	.outcome = on_outcome,
	.submit = on_submit,
	.ask = on_ask,
	.give_up = on_give_up,
	.cancel = on_cancel,
};

bool hostile_open(struct hostile *hostile)
{
	int fds[RMD_WP_CHILD_FDS], numbers[RMD_WP_CHILD_FDS];
	*hostile = (struct hostile){.end = rmd_wp_open(4, &events, hostile)};
	if (hostile->end == NULL)
		return false;
	rmd_wp_child_fds(hostile->end, fds, numbers);
	hostile->socket_fd = fds[0];
	hostile->pipe_fds[0] = fds[4];
	hostile->pipe_fds[1] = fds[5];
	void *page = mmap(NULL, RMD_WP_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			  fds[1], 0);
	void *output = mmap(NULL, RMD_WP_OUTPUT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			    fds[3], 0);
	hostile->page = page == MAP_FAILED ? NULL : page;
	hostile->output = output == MAP_FAILED ? NULL : output;
	if (hostile->page == NULL || hostile->output == NULL) {
		hostile_close(hostile);
		return false;
	}
	for (uint64_t lease = 1; lease <= 4; lease++) {
		struct rmd_wp_task task = {.lease = lease,
					   .function = rmd_slice_of_string("f")};
		(void)rmd_wp_give(hostile->end, &task);
	}
	for (uint32_t slot = 0; slot < 4; slot++) {
		uint64_t word = atomic_load(&hostile->page->slots[slot]);
		hostile->seqs[slot] = word >> 2;
		atomic_store(&hostile->page->slots[slot], word | RMD_WP_CLAIMED);
	}
	return true;
}

void hostile_close(struct hostile *hostile)
{
	if (hostile->page != NULL)
		munmap(hostile->page, RMD_WP_PAGE_BYTES);
	if (hostile->output != NULL)
		munmap(hostile->output, RMD_WP_OUTPUT_BYTES);
	rmd_wp_close(hostile->end);
}

void hostile_record(struct hostile *hostile, const struct rmd_wp_record *record,
		    const void *payload, size_t len)
{
	uint64_t head = atomic_load(&hostile->page->ring_head);
	uint8_t *at = hostile->output + head % RMD_WP_RING_BYTES;
	memcpy(at, record, sizeof *record);
	if (len > 0)
		memcpy(at + sizeof *record, payload, len);
	atomic_store(&hostile->page->ring_head, head + rmd_wp_record_bytes(len));
}
