/* server/direct_link: what one end sends the other hears, in order, once. The agent's thread is
 * played by the test: rmd_agent_post queues, run_agent runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/wire.h"
#include "proto/rpc/rpc.h"
#include "server/direct_link.h"
#include "worker/agent/agent.h"

#define POSTS_MAX 16u

static struct {
	void (*run)(void *arg);
	void *arg;
} posts[POSTS_MAX];
static size_t post_count;

int rmd_agent_post(struct rmd_agent *agent, void (*run)(void *arg), void *arg)
{
	(void)agent;
	assert_true(post_count < POSTS_MAX);
	posts[post_count].run = run;
	posts[post_count++].arg = arg;
	return 0;
}

static unsigned runs_here;
static bool agent_sleeps;

bool rmd_agent_try_run(struct rmd_agent *agent, void (*run)(void *arg), void *arg)
{
	(void)agent;
	if (!agent_sleeps)
		return false;
	runs_here++;
	run(arg);
	return true;
}

static void run_agent(void)
{
	for (size_t i = 0; i < post_count; i++)
		posts[i].run(posts[i].arg);
	post_count = 0;
}

/* What an end has heard, as a text: "f:1,2 " a frame, "t5:abc " a transfer, "lost". */
struct ear {
	char heard[512];
	bool keeps;
	struct rmd_piece kept[RMD_DIRECT_LENT_MAX + 2];
	size_t kept_count;
};

static void on_frame(void *ctx, struct rmd_piece frame)
{
	struct ear *ear = ctx;
	struct rmd_wire_reader reader = rmd_wire_reader_of(frame.bytes);
	struct rmd_wire_field field;
	strcat(ear->heard, "f:");
	while (rmd_wire_next(&reader, &field) > 0) {
		size_t len = strlen(ear->heard);
		snprintf(ear->heard + len, sizeof ear->heard - len, "%u,", (unsigned)field.varint);
	}
	strcat(ear->heard, " ");
}

static void on_transfer(void *ctx, uint64_t number, struct rmd_piece payload)
{
	struct ear *ear = ctx;
	size_t len = strlen(ear->heard);
	if (ear->keeps) {
		assert_true(ear->kept_count < sizeof ear->kept / sizeof *ear->kept);
		ear->kept[ear->kept_count++] = payload;
		return;
	}
	snprintf(ear->heard + len, sizeof ear->heard - len, "t%u:%.*s ", (unsigned)number,
		 (int)payload.bytes.len, (const char *)payload.bytes.data);
	rmd_piece_unref(payload);
}

static void on_lost(void *ctx, const char *why)
{
	struct ear *ear = ctx;
	(void)why;
	strcat(ear->heard, "lost");
}

static const struct rmd_link_events events = {on_frame, on_transfer, on_lost};

struct rig {
	struct rmd_loop *loop;
	struct rmd_link *core, *agent;
	struct ear core_ear, agent_ear;
	struct rmd_deferred stop, say;
	size_t say_bytes;
};

static struct rmd_agent *const some_agent = (struct rmd_agent *)&post_count;

static void stop_loop(struct rmd_deferred *deferred)
{
	rmd_loop_stop(((struct rig *)((char *)deferred - offsetof(struct rig, stop)))->loop);
}

/* Lets the core's end hear what has come. */
static void run_core(struct rig *rig)
{
	rig->stop = (struct rmd_deferred){.run = stop_loop};
	rmd_loop_defer(rig->loop, &rig->stop);
	rmd_loop_run(rig->loop);
}

static int setup(void **state)
{
	struct rig *rig = rmd_calloc(1, sizeof *rig);
	post_count = 0;
	runs_here = 0;
	agent_sleeps = true;
	rig->loop = rmd_loop_create();
	assert_int_equal(rmd_direct_link_create(rig->loop, &rig->core, &rig->agent), 0);
	rmd_link_listen(rig->core, &events, &rig->core_ear);
	rmd_link_listen(rig->agent, &events, &rig->agent_ear);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	rmd_link_destroy(rig->core);
	rmd_link_destroy(rig->agent); /* NULL where a test has destroyed it */
	run_core(rig);
	run_agent();
	rmd_loop_destroy(rig->loop);
	rmd_free(rig);
	return 0;
}

static void send(struct rmd_link *link, unsigned number)
{
	rmd_wire_put_varint(rmd_link_begin(link), 1, number);
	rmd_link_end(link);
}

static void items_that_gather_come_as_one_frame_with_one_wake(void **state)
{
	struct rig *rig = *state;
	rmd_direct_link_attach_agent(rig->core, some_agent);
	send(rig->core, 1);
	send(rig->core, 2);
	send(rig->core, 3);
	assert_int_equal(post_count, 1);
	run_agent();
	assert_string_equal(rig->agent_ear.heard, "f:1,2,3, ");
	send(rig->core, 4);
	run_agent();
	assert_string_equal(rig->agent_ear.heard, "f:1,2,3, f:4, ");
}

static void say_on_loop(struct rmd_deferred *deferred)
{
	struct rig *rig = (struct rig *)((char *)deferred - offsetof(struct rig, say));
	static const uint8_t zeros[1 << 16];
	send(rig->core, 1);
	if (rig->say_bytes != 0) {
		rmd_wire_put_bytes(rmd_link_begin(rig->core), 2,
				   rmd_slice_of(zeros, rig->say_bytes));
		rmd_link_end(rig->core);
	}
}

/* Sends from the loop's thread: a number, and so many bytes if any. */
static void say(struct rig *rig, size_t bytes)
{
	rig->say = (struct rmd_deferred){.run = say_on_loop};
	rig->say_bytes = bytes;
	rmd_loop_defer(rig->loop, &rig->say);
	run_core(rig);
}

static void the_loop_does_a_little_work_of_an_agent_that_sleeps(void **state)
{
	struct rig *rig = *state;
	rmd_direct_link_attach_agent(rig->core, some_agent);
	say(rig, 0);
	assert_int_equal(runs_here, 1);
	assert_int_equal(post_count, 0);
	assert_string_equal(rig->agent_ear.heard, "f:1, ");
}

static void an_agent_that_works_or_is_given_much_is_woken(void **state)
{
	struct rig *rig = *state;
	rmd_direct_link_attach_agent(rig->core, some_agent);
	agent_sleeps = false;
	say(rig, 0);
	assert_int_equal(post_count, 1);
	run_agent();
	agent_sleeps = true;
	say(rig, 1 << 16);
	assert_int_equal(runs_here, 0);
	assert_int_equal(post_count, 1);
	run_agent();
	assert_string_equal(rig->agent_ear.heard, "f:1, f:1,0, ");
}

static void what_was_sent_before_the_agent_came_waits_for_it(void **state)
{
	struct rig *rig = *state;
	send(rig->core, 7);
	assert_int_equal(post_count, 0);
	rmd_direct_link_attach_agent(rig->core, some_agent);
	run_agent();
	assert_string_equal(rig->agent_ear.heard, "f:7, ");
}

static void the_core_hears_on_its_loop(void **state)
{
	struct rig *rig = *state;
	send(rig->agent, 1);
	send(rig->agent, 2);
	assert_string_equal(rig->core_ear.heard, "");
	run_core(rig);
	assert_string_equal(rig->core_ear.heard, "f:1,2, ");
}

static void transfers_come_before_the_items_that_may_name_them(void **state)
{
	struct rig *rig = *state;
	struct rmd_buf *buf = rmd_buf_copy(rmd_slice_of_string("abc"));
	assert_int_equal(rmd_link_send_transfer(rig->agent, 5,
						(struct rmd_piece){rmd_buf_slice(buf), buf}),
			 0);
	send(rig->agent, 9);
	run_core(rig);
	assert_string_equal(rig->core_ear.heard, "t5:abc f:9, ");
}

/* A payload in memory of a worker; `*ret_back` rises when that is given back. */
static void count_back(void *back)
{
	(*(unsigned *)back)++;
}

static void send_lent(struct rmd_link *link, uint64_t number, const char *text,
		      unsigned *ret_back)
{
	struct rmd_buf *buf = rmd_buf_wrap(rmd_slice_of_string(text), count_back, ret_back);
	assert_int_equal(rmd_link_send_transfer(link, number,
						(struct rmd_piece){rmd_buf_slice(buf), buf}),
			 0);
}

static void what_the_core_keeps_is_lent_up_to_a_limit_and_then_copied(void **state)
{
	struct rig *rig = *state;
	static const char text[] = "result";
	unsigned back = 0;
	rig->core_ear.keeps = true;
	for (unsigned i = 1; i <= RMD_DIRECT_LENT_MAX; i++)
		send_lent(rig->agent, i, text, &back);
	assert_int_equal(back, 0);
	send_lent(rig->agent, RMD_DIRECT_LENT_MAX + 1, text, &back);
	assert_int_equal(back, 1);
	run_core(rig);
	assert_int_equal(rig->core_ear.kept_count, RMD_DIRECT_LENT_MAX + 1);
	for (size_t i = 0; i <= RMD_DIRECT_LENT_MAX; i++) {
		const struct rmd_piece *piece = &rig->core_ear.kept[i];
		assert_int_equal(piece->bytes.len, strlen(text));
		assert_memory_equal(piece->bytes.data, text, strlen(text));
		assert_true((piece->bytes.data == (const uint8_t *)text) ==
			    (i < RMD_DIRECT_LENT_MAX));
	}
	rmd_piece_unref(rig->core_ear.kept[0]);
	assert_int_equal(back, 2);
	send_lent(rig->agent, RMD_DIRECT_LENT_MAX + 2, text, &back);
	assert_int_equal(back, 2);
	run_core(rig);
	for (size_t i = 1; i < rig->core_ear.kept_count; i++)
		rmd_piece_unref(rig->core_ear.kept[i]);
	assert_int_equal(back, RMD_DIRECT_LENT_MAX + 2);
}

static void a_loan_outlives_the_link(void **state)
{
	struct rig *rig = *state;
	unsigned back = 0;
	rig->core_ear.keeps = true;
	send_lent(rig->agent, 1, "result", &back);
	run_core(rig);
	rmd_link_destroy(rig->agent);
	rig->agent = NULL;
	rmd_link_destroy(rig->core);
	run_core(rig);
	assert_int_equal(back, 0);
	rmd_piece_unref(rig->core_ear.kept[0]);
	assert_int_equal(back, 1);
	assert_int_equal(rmd_direct_link_create(rig->loop, &rig->core, &rig->agent), 0);
}

static void close_is_heard_after_what_was_sent_and_once(void **state)
{
	struct rig *rig = *state;
	send(rig->agent, 1);
	rmd_link_close(rig->agent);
	rmd_link_close(rig->agent);
	run_core(rig);
	run_core(rig);
	assert_string_equal(rig->core_ear.heard, "f:1, lost");
}

static void destroyed_end_is_told_to_the_other_and_hears_nothing(void **state)
{
	struct rig *rig = *state;
	rmd_direct_link_attach_agent(rig->core, some_agent);
	send(rig->core, 1);
	rmd_link_destroy(rig->agent);
	run_agent();
	assert_string_equal(rig->agent_ear.heard, "");
	run_core(rig);
	assert_string_equal(rig->core_ear.heard, "lost");
	rig->agent = NULL;
}

static void nothing_is_posted_to_a_detached_agent(void **state)
{
	struct rig *rig = *state;
	rmd_direct_link_attach_agent(rig->core, some_agent);
	rmd_direct_link_detach_agent(rig->core);
	send(rig->core, 1);
	assert_int_equal(post_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(items_that_gather_come_as_one_frame_with_one_wake),
		T(the_loop_does_a_little_work_of_an_agent_that_sleeps),
		T(an_agent_that_works_or_is_given_much_is_woken),
		T(what_was_sent_before_the_agent_came_waits_for_it),
		T(the_core_hears_on_its_loop),
		T(transfers_come_before_the_items_that_may_name_them),
		T(what_the_core_keeps_is_lent_up_to_a_limit_and_then_copied),
		T(a_loan_outlives_the_link),
		T(close_is_heard_after_what_was_sent_and_once),
		T(destroyed_end_is_told_to_the_other_and_hears_nothing),
		T(nothing_is_posted_to_a_detached_agent),
#undef T
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
