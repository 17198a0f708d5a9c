/* The agent's end against a worker that writes nonsense: it alone is cut off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "tests/unit/protocol/hostile.h"
#include "worker/protocol/control.h"

/* Opens, has one thing done, and expects that read says so. */
static void expect(int code, void (*act)(struct hostile *hostile))
{
	struct hostile hostile;
	assert_true(hostile_open(&hostile));
	act(&hostile);
	assert_int_equal(rmd_wp_read(hostile.end), code);
	hostile_close(&hostile);
}

static struct rmd_wp_record record_of(enum rmd_wp_record_kind kind, uint64_t seq,
				      uint32_t len)
{
	return (struct rmd_wp_record){
		.kind = (uint32_t)kind, .payload_bytes = len, .seq = seq};
}

static void honest_value(struct hostile *h)
{
	struct rmd_wp_record record = record_of(RMD_WP_RECORD_VALUE, h->seqs[0], 3);
	hostile_record(h, &record, "abc", 3);
}

static void head_beyond_the_ring(struct hostile *h)
{
	atomic_store(&h->page->ring_head, RMD_WP_RING_BYTES + 8);
}

static void head_far_away(struct hostile *h)
{
	atomic_store(&h->page->ring_head, UINT64_MAX - 7);
}

static void head_unaligned(struct hostile *h)
{
	atomic_store(&h->page->ring_head, 33);
}

static void head_within_a_record(struct hostile *h)
{
	atomic_store(&h->page->ring_head, 16);
}

static void payload_beyond_the_head(struct hostile *h)
{
	struct rmd_wp_record record = record_of(RMD_WP_RECORD_VALUE, h->seqs[0], 4096);
	hostile_record(h, &record, "abc", 3);
}

static void payload_of_four_gibibytes(struct hostile *h)
{
	struct rmd_wp_record record =
		record_of(RMD_WP_RECORD_VALUE, h->seqs[0], UINT32_MAX);
	hostile_record(h, &record, "abc", 3);
}

static void payload_one_beyond_the_maximum(struct hostile *h)
{
	uint32_t len = (uint32_t)RMD_WP_RING_PAYLOAD_MAX + 1;
	struct rmd_wp_record record = record_of(RMD_WP_RECORD_VALUE, h->seqs[0], len);
	hostile_record(h, &record, h->output + 100000, len);
}

static void unknown_kind(struct hostile *h)
{
	struct rmd_wp_record record = record_of(RMD_WP_RECORD_KINDS, h->seqs[0], 0);
	hostile_record(h, &record, NULL, 0);
}

static void outcome_of_no_task(struct hostile *h)
{
	struct rmd_wp_record record = record_of(RMD_WP_RECORD_VALUE, h->seqs[0] + 256, 0);
	hostile_record(h, &record, NULL, 0);
}

static void outcome_of_seq_zero(struct hostile *h)
{
	struct rmd_wp_record record = record_of(RMD_WP_RECORD_VALUE, 0, 0);
	hostile_record(h, &record, NULL, 0);
}

static void outcome_twice(struct hostile *h)
{
	honest_value(h);
	honest_value(h);
}

static void outcome_of_a_task_never_claimed(struct hostile *h)
{
	atomic_store(&h->page->slots[0], RMD_WP_WORD(h->seqs[0], RMD_WP_OFFERED));
	honest_value(h);
}

static void log_of_no_task(struct hostile *h)
{
	struct rmd_wp_record record = record_of(RMD_WP_RECORD_LOG, 12345, 1);
	hostile_record(h, &record, "x", 1);
}

static void mark_beyond_what_a_pipe_holds(struct hostile *h)
{
	struct rmd_wp_record record = record_of(RMD_WP_RECORD_MARK, h->seqs[0], 0);
	record.a = UINT64_MAX;
	hostile_record(h, &record, NULL, 0);
}

static void large_record(struct hostile *h, struct rmd_wp_large large)
{
	struct rmd_wp_record record =
		record_of(RMD_WP_RECORD_LARGE_VALUE, h->seqs[0], sizeof large);
	hostile_record(h, &record, &large, sizeof large);
}

static void large_at_no_place(struct hostile *h)
{
	large_record(h, (struct rmd_wp_large){.index = RMD_WP_LARGE_MAX, .len = 1});
}

static void large_beyond_the_area(struct hostile *h)
{
	large_record(h,
		     (struct rmd_wp_large){.offset = RMD_WP_LARGE_BYTES - 1, .len = 2});
}

static void large_that_wraps(struct hostile *h)
{
	large_record(h, (struct rmd_wp_large){.offset = UINT64_MAX, .len = 16});
}

static void large_over_the_maximum(struct hostile *h)
{
	large_record(h, (struct rmd_wp_large){.len = RMD_WP_OUTCOME_MAX + 1});
}

static void large_without_a_place(struct hostile *h)
{
	struct rmd_wp_record record = record_of(RMD_WP_RECORD_LARGE_VALUE, h->seqs[0], 3);
	hostile_record(h, &record, "abc", 3);
}

static void send_packet(struct hostile *h, const void *bytes, size_t len)
{
	assert_int_equal(send(h->socket_fd, bytes, len, 0), len);
}

static void packet_of_an_unknown_kind(struct hostile *h)
{
	send_packet(h, "?", 1);
}

static void doorbell_with_a_tail(struct hostile *h)
{
	send_packet(h, "Dx", 2);
}

static void control_of_garbage(struct hostile *h)
{
	send_packet(h, "C\xff\xff\xff", 4);
}

static void control_of_the_agents_own(struct hostile *h)
{
	send_packet(h, "C\x22\x00", 3); /* stop */
}

static void ready_twice(struct hostile *h)
{
	send_packet(h, "C\x12\x00", 3);
	send_packet(h, "C\x12\x00", 3);
}

static void packet_over_the_maximum(struct hostile *h)
{
	static uint8_t bytes[RMD_WP_PACKET_MAX + 1];
	bytes[0] = RMD_WP_PACKET_CONTROL;
	send_packet(h, bytes, sizeof bytes);
}

static void say(struct hostile *h, enum rmd_wp_record_kind kind, uint64_t seq, uint64_t a)
{
	struct rmd_wp_record record = record_of(kind, seq, 0);
	record.a = a;
	hostile_record(h, &record, NULL, 0);
}

static void submit_of_no_task(struct hostile *h)
{
	say(h, RMD_WP_RECORD_SUBMIT, h->seqs[0] + 256, 0);
}

static void submit_of_a_task_never_claimed(struct hostile *h)
{
	atomic_store(&h->page->slots[0], RMD_WP_WORD(h->seqs[0], RMD_WP_OFFERED));
	say(h, RMD_WP_RECORD_SUBMIT, h->seqs[0], 0);
}

static void large_submit_beyond_the_area(struct hostile *h)
{
	struct rmd_wp_large large = {.offset = RMD_WP_LARGE_BYTES - 1, .len = 2};
	struct rmd_wp_record record =
		record_of(RMD_WP_RECORD_LARGE_SUBMIT, h->seqs[0], sizeof large);
	hostile_record(h, &record, &large, sizeof large);
}

static void large_submit_without_a_place(struct hostile *h)
{
	struct rmd_wp_record record =
		record_of(RMD_WP_RECORD_LARGE_SUBMIT, h->seqs[0], 3);
	hostile_record(h, &record, "abc", 3);
}

static void ask_for_no_child(struct hostile *h)
{
	say(h, RMD_WP_RECORD_ASK, h->seqs[0], 0);
}

static void ask_twice(struct hostile *h)
{
	say(h, RMD_WP_RECORD_ASK, h->seqs[0], 1);
	say(h, RMD_WP_RECORD_ASK, h->seqs[0], 1);
}

static void cancel_of_no_task(struct hostile *h)
{
	say(h, RMD_WP_RECORD_CANCEL, 0, 1);
}

static void nonsense_ends_the_worker(void **state)
{
	static void (*const acts[])(struct hostile * hostile) = {
		head_beyond_the_ring,
		head_far_away,
		head_unaligned,
		head_within_a_record,
		payload_beyond_the_head,
		payload_of_four_gibibytes,
		payload_one_beyond_the_maximum,
		unknown_kind,
		outcome_of_no_task,
		outcome_of_seq_zero,
		outcome_twice,
		outcome_of_a_task_never_claimed,
		log_of_no_task,
		mark_beyond_what_a_pipe_holds,
		large_at_no_place,
		large_beyond_the_area,
		large_that_wraps,
		large_over_the_maximum,
		large_without_a_place,
		packet_of_an_unknown_kind,
		doorbell_with_a_tail,
		control_of_garbage,
		control_of_the_agents_own,
		ready_twice,
		packet_over_the_maximum,
		submit_of_no_task,
		submit_of_a_task_never_claimed,
		large_submit_beyond_the_area,
		large_submit_without_a_place,
		ask_for_no_child,
		ask_twice,
		cancel_of_no_task,
	};
	(void)state;
	expect(0, honest_value);
	for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
		expect(RMD_EPROTO, acts[i]);
}

/* Each task in its hands asks again and again: an answer takes no room for ever. */
static void answers_do_not_pile_up(void **state)
{
	struct hostile h;
	(void)state;
	assert_true(hostile_open(&h));
	h.answers = true;
	for (int i = 0; i < 1000; i++) {
		say(&h, RMD_WP_RECORD_ASK, h.seqs[i % 4], 7);
		assert_int_equal(rmd_wp_read(h.end), 0);
		assert_int_equal(atomic_load(&h.page->answers), i + 1);
		assert_int_equal(atomic_load(&h.page->answer_number), 7);
		assert_int_equal(atomic_load(&h.page->answer_bytes), 9);
		assert_true(atomic_load(&h.page->answer_offset) < 4096);
	}
	assert_int_equal(h.asks, 1000);
	/* Nothing is asked any more. */
	assert_int_equal(rmd_wp_answer(h.end, 1, 7, RMD_WP_ANSWER_NONE,
				       (struct rmd_slice){NULL, 0}),
			 RMD_ENOTFOUND);
	say(&h, RMD_WP_RECORD_GIVE_UP, h.seqs[0], 7);
	assert_int_equal(rmd_wp_read(h.end), 0);
	assert_int_equal(h.give_ups, 0);
	h.answers = false;
	say(&h, RMD_WP_RECORD_ASK, h.seqs[0], 8);
	say(&h, RMD_WP_RECORD_GIVE_UP, h.seqs[0], 7); /* of another */
	say(&h, RMD_WP_RECORD_GIVE_UP, h.seqs[0], 8);
	say(&h, RMD_WP_RECORD_CANCEL, h.seqs[0], 8);
	assert_int_equal(rmd_wp_read(h.end), 0);
	assert_int_equal(h.give_ups, 1);
	assert_int_equal(h.cancels, 1);
	hostile_close(&h);
}

static void what_a_task_submitted_before_its_outcome_counts(void **state)
{
	struct hostile h;
	(void)state;
	assert_true(hostile_open(&h));
	struct rmd_wp_record record = record_of(RMD_WP_RECORD_SUBMIT, h.seqs[0], 3);
	hostile_record(&h, &record, "abc", 3);
	honest_value(&h);
	atomic_store(&h.page->slots[RMD_WP_SLOT_OF(h.seqs[0])],
		     RMD_WP_WORD(h.seqs[0], RMD_WP_DONE));
	assert_int_equal(rmd_wp_read(h.end), 0);
	assert_int_equal(h.submits, 1);
	assert_int_equal(h.outcomes, 1);
	hostile_close(&h);
}

static void a_place_still_held_is_not_lent_twice(void **state)
{
	struct hostile h;
	(void)state;
	assert_true(hostile_open(&h));
	large_record(&h, (struct rmd_wp_large){.index = 5, .len = 100});
	assert_int_equal(rmd_wp_read(h.end), 0);
	assert_int_equal(h.outcomes, 1);
	assert_int_equal(h.last_len, 100);
	/* Nobody kept it, so it may come again; of one that is kept see below. */
	struct rmd_wp_large again = {.index = 5, .len = 50};
	struct rmd_wp_record record =
		record_of(RMD_WP_RECORD_LARGE_VALUE, h.seqs[1], sizeof again);
	hostile_record(&h, &record, &again, sizeof again);
	assert_int_equal(rmd_wp_read(h.end), 0);
	assert_int_equal(h.outcomes, 2);
	hostile_close(&h);
}

static void output_is_told_whole_whatever_the_marks_say(void **state)
{
	struct hostile h;
	(void)state;
	assert_true(hostile_open(&h));
	assert_int_equal(write(h.pipe_fds[0], "hello", 5), 5);
	struct rmd_wp_record mark = record_of(RMD_WP_RECORD_MARK, h.seqs[2], 0);
	mark.a = 2000; /* more than was written, less than a pipe holds */
	hostile_record(&h, &mark, NULL, 0);
	assert_int_equal(rmd_wp_read(h.end), 0);
	assert_int_equal(h.logs, 1);
	assert_int_equal(h.last_len, 5);
	mark.a = 1; /* less than has been told */
	hostile_record(&h, &mark, NULL, 0);
	assert_int_equal(rmd_wp_read(h.end), 0);
	assert_int_equal(h.logs, 1);
	hostile_close(&h);
}

/* 64 bytes in the ring, so that records end where it ends. */
static void log_line(struct hostile *h)
{
	static const char line[32] = "a line of log";
	struct rmd_wp_record record =
		record_of(RMD_WP_RECORD_LOG, h->seqs[0], sizeof line);
	hostile_record(h, &record, line, sizeof line);
}

static void a_worker_that_always_has_more_does_not_hold_the_agent(void **state)
{
	struct hostile h;
	(void)state;
	assert_true(hostile_open(&h));
	log_line(&h);
	h.on_each_log = log_line; /* for each line that is read there is another one */
	assert_int_equal(rmd_wp_read(h.end), 1);
	assert_int_equal(h.logs, (1u << 20) / 64);
	assert_int_equal(rmd_wp_read(h.end), 1);
	h.on_each_log = NULL;
	assert_int_equal(rmd_wp_read(h.end), 0);
	assert_int_equal(h.logs, 2 * (1u << 20) / 64 + 1);
	hostile_close(&h);
}

static void a_start_failure_is_handed_on(void **state)
{
	struct hostile h;
	(void)state;
	assert_true(hostile_open(&h));
	send_packet(&h, "C\x1a\x05\x0a\x03xyz", 8);
	assert_int_equal(rmd_wp_read(h.end), 0);
	assert_int_equal(h.failures, 1);
	hostile_close(&h);
}

static void every_allocation_may_fail(void **state)
{
	struct hostile h;
	(void)state;
	for (uint64_t n = 1; n < 60; n++) {
		rmd_alloc_fail_at(n);
		bool opened = hostile_open(&h);
		if (opened) {
			honest_value(&h);
			struct rmd_wp_large large = {.index = 1, .len = 10};
			struct rmd_wp_record record = record_of(RMD_WP_RECORD_LARGE_VALUE,
								h.seqs[1], sizeof large);
			hostile_record(&h, &record, &large, sizeof large);
			(void)!write(h.pipe_fds[1], "e", 1);
			int rc = 1;
			for (int i = 0; i < 3 && rc == 1; i++)
				rc = rmd_wp_read(h.end);
			(void)rmd_wp_send_setup(h.end, NULL, 0);
			rmd_wp_send_stop(h.end);
			/* The records that stood in the ring are not lost by it. */
			if (h.seqs[0] != 0 && h.seqs[1] != 0) {
				assert_int_equal(rc, 0);
				assert_int_equal(h.outcomes, 2);
			}
			hostile_close(&h);
		}
		rmd_alloc_fail_at(0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nonsense_ends_the_worker),
		cmocka_unit_test(answers_do_not_pile_up),
		cmocka_unit_test(what_a_task_submitted_before_its_outcome_counts),
		cmocka_unit_test(a_place_still_held_is_not_lent_twice),
		cmocka_unit_test(output_is_told_whole_whatever_the_marks_say),
		cmocka_unit_test(a_worker_that_always_has_more_does_not_hold_the_agent),
		cmocka_unit_test(a_start_failure_is_handed_on),
		cmocka_unit_test(every_allocation_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
