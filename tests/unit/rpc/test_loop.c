/* The loop by itself: timers, posts, deferred jobs. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/rpc/rpc.h"
#include "proto/rpc/timer.h"

static int loop_start(void **state)
{
	*state = rmd_loop_create();
	return *state == NULL;
}

static int loop_end(void **state)
{
	rmd_loop_destroy(*state);
	return 0;
}

struct alarm_clock {
	struct rmd_timer timer;
	struct rmd_loop *loop;
	uint64_t fired_ms;
	int *order, place;
	bool last;
};

static void ring(struct rmd_timer *timer)
{
	struct alarm_clock *alarm_clock = (struct alarm_clock *)(void *)timer;
	alarm_clock->fired_ms = rmd_clock_mono_ms();
	alarm_clock->place = (*alarm_clock->order)++;
	if (alarm_clock->last)
		rmd_loop_stop(alarm_clock->loop);
}

static void timers_fire_in_order_and_not_early(void **state)
{
	struct rmd_loop *loop = *state;
	int order = 0;
	struct alarm_clock alarms[20] = {0};
	uint64_t now_ms = rmd_clock_mono_ms();
	for (size_t i = 0; i < 20; i++) {
		size_t k = i * 7 % 20;
		alarms[k] = (struct alarm_clock){{.fire = ring}, loop, 0,
						 &order,	 -1,   k == 19};
		assert_int_equal(
			rmd_timer_start(loop, &alarms[k].timer, now_ms + 5 + k * 3), 0);
	}
	rmd_timer_stop(loop, &alarms[4].timer);
	rmd_timer_stop(loop, &alarms[4].timer);
	rmd_timer_start(loop, &alarms[2].timer,
			now_ms + 5 + 17 * 3 + 1); /* moved behind 17 */
	rmd_loop_run(loop);
	for (size_t i = 0; i < 20; i++)
		if (i != 4)
			assert_true(alarms[i].fired_ms >= now_ms + 5 + i * 3);
	assert_int_equal(alarms[4].place, -1);
	assert_int_equal(order, 19);
	assert_true(alarms[2].place > alarms[17].place &&
		    alarms[2].place < alarms[18].place);
	for (size_t i = 6; i < 18; i++)
		assert_true(alarms[i].place > alarms[i - 1].place);
}

static void heap_of_timers_agrees_with_sorting(void **state)
{
	(void)state;
	enum { COUNT = 500 };
	struct rmd_timers timers = {0};
	struct rmd_timer *all = calloc(COUNT, sizeof *all);
	srand(7);
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < COUNT; i++)
			assert_int_equal(
				rmd_timers_put(&timers, &all[i], (uint64_t)rand() % 300),
				0);
		for (size_t i = 0; i < COUNT; i += 3)
			rmd_timers_remove(&timers, &all[i]);
		uint64_t last_ms = 0;
		for (size_t left = COUNT - (COUNT + 2) / 3; left > 0; left--) {
			struct rmd_timer *first = rmd_timers_first(&timers);
			assert_true(first->at_ms >= last_ms);
			last_ms = first->at_ms;
			rmd_timers_remove(&timers, first);
			assert_int_equal(first->place, 0);
		}
		assert_null(rmd_timers_first(&timers));
	}
	struct rmd_timers small = {0};
	rmd_alloc_fail_at(1);
	assert_int_equal(rmd_timers_put(&small, &all[0], 1), RMD_ENOMEM);
	rmd_alloc_fail_at(0);
	assert_int_equal(all[0].place, 0);
	rmd_timers_fini(&timers);
	free(all);
}

/* ---- posts ---- */

enum { POSTERS = 4, POSTS = 20000 };

struct letter {
	struct rmd_post post;
	struct poster *from;
	unsigned number;
};

struct poster {
	pthread_t thread;
	struct rmd_loop *loop;
	struct letter *letters;
	unsigned seen;
	bool disordered;
	unsigned *total;
};

static void letter_arrives(struct rmd_post *post)
{
	struct letter *letter = (struct letter *)(void *)post;
	struct poster *from = letter->from;
	if (letter->number != from->seen++)
		from->disordered = true;
	if (++*from->total == POSTERS * POSTS)
		rmd_loop_stop(from->loop);
}

static void *post_all(void *arg)
{
	struct poster *poster = arg;
	for (unsigned i = 0; i < POSTS; i++) {
		poster->letters[i] = (struct letter){{.run = letter_arrives}, poster, i};
		rmd_loop_post(poster->loop, &poster->letters[i].post);
	}
	return NULL;
}

static void posts_of_four_threads_all_run_in_order(void **state)
{
	struct poster posters[POSTERS] = {0};
	unsigned total = 0;
	for (size_t i = 0; i < POSTERS; i++) {
		posters[i].loop = *state;
		posters[i].letters = calloc(POSTS, sizeof *posters[i].letters);
		posters[i].total = &total;
		pthread_create(&posters[i].thread, NULL, post_all, &posters[i]);
	}
	rmd_loop_run(*state);
	for (size_t i = 0; i < POSTERS; i++) {
		pthread_join(posters[i].thread, NULL);
		free(posters[i].letters);
		assert_false(posters[i].disordered);
		assert_int_equal(posters[i].seen, POSTS);
	}
}

static void *stop_it(void *loop)
{
	rmd_loop_stop(loop);
	return NULL;
}

static void loop_stops_from_any_thread_and_runs_again(void **state)
{
	for (int i = 0; i < 50; i++) {
		pthread_t thread;
		pthread_create(&thread, NULL, stop_it, *state);
		rmd_loop_run(*state);
		pthread_join(thread, NULL);
	}
	rmd_loop_stop(*state); /* before it runs */
	rmd_loop_run(*state);
}

/* ---- deferred jobs ---- */

struct chore {
	struct rmd_deferred deferred;
	struct rmd_loop *loop;
	unsigned runs, wanted;
};

static void do_chore(struct rmd_deferred *deferred)
{
	struct chore *chore = (struct chore *)(void *)deferred;
	if (++chore->runs == chore->wanted)
		rmd_loop_stop(chore->loop);
	else
		rmd_loop_defer(chore->loop, deferred);
}

static void deferred_job_runs_once_however_often_it_is_asked_for(void **state)
{
	struct chore chore = {{.run = do_chore}, *state, 0, 1};
	rmd_loop_defer(*state, &chore.deferred);
	rmd_loop_defer(*state, &chore.deferred);
	rmd_loop_run(*state);
	assert_int_equal(chore.runs, 1);
}

static void job_that_defers_itself_does_not_starve_timers(void **state)
{
	int order = 0;
	struct chore chore = {{.run = do_chore}, *state, 0, UINT32_MAX};
	struct alarm_clock alarm_clock = {{.fire = ring}, *state, 0, &order, 0, true};
	rmd_loop_defer(*state, &chore.deferred);
	rmd_timer_start(*state, &alarm_clock.timer, rmd_clock_mono_ms() + 10);
	rmd_loop_run(*state);
	assert_int_equal(order, 1);
	assert_true(chore.runs > 1);
	chore.wanted = chore.runs + 1; /* it must not be in the list when it goes */
	rmd_loop_run(*state);
}

static void status_codes_have_names(void **state)
{
	(void)state;
	assert_string_equal(rmd_rpc_status_name(RMD_RPC_OK), "OK");
	assert_string_equal(rmd_rpc_status_name(RMD_RPC_UNAUTHENTICATED),
			    "UNAUTHENTICATED");
	assert_string_equal(rmd_rpc_status_name((enum rmd_rpc_status)99), "UNKNOWN");
}

#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, loop_start, loop_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_LOOP(timers_fire_in_order_and_not_early),
		cmocka_unit_test(heap_of_timers_agrees_with_sorting),
		ON_LOOP(posts_of_four_threads_all_run_in_order),
		ON_LOOP(loop_stops_from_any_thread_and_runs_again),
		ON_LOOP(deferred_job_runs_once_however_often_it_is_asked_for),
		ON_LOOP(job_that_defers_itself_does_not_starve_timers),
		cmocka_unit_test(status_codes_have_names),
	};
	return cmocka_run_group_tests_name("rpc_loop", tests, NULL, NULL);
}
