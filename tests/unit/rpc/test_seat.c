/* The seat of a loop: who waits runs it, one at a time, and nothing is forgotten. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/clock.h"
#include "proto/rpc/rpc.h"
#include "proto/rpc/seat.h"

#define PATIENCE_MS 20000u

struct rig {
	struct rmd_loop *loop;
	struct rmd_seat seat;
	pthread_t owner;
};

static void *run_loop(void *arg)
{
	rmd_loop_run(arg);
	return NULL;
}

static int rig_start(void **state)
{
	static struct rig rig;
	memset(&rig, 0, sizeof rig);
	rig.loop = rmd_loop_create();
	assert_non_null(rig.loop);
	assert_int_equal(rmd_seat_init(&rig.seat), 0);
	rmd_loop_set_seat(rig.loop, &rig.seat);
	assert_int_equal(pthread_create(&rig.owner, NULL, run_loop, rig.loop), 0);
	*state = &rig;
	return 0;
}

static int rig_end(void **state)
{
	struct rig *rig = *state;
	rmd_loop_stop(rig->loop);
	pthread_join(rig->owner, NULL);
	rmd_loop_destroy(rig->loop);
	rmd_seat_fini(&rig->seat);
	return 0;
}

/* A job that says where it ran. */
struct job {
	struct rmd_post post;
	pthread_t ran_on;
	atomic_bool ran;
};

static void run_job(struct rmd_post *post)
{
	struct job *job = (struct job *)(void *)post;
	job->ran_on = pthread_self();
	atomic_store(&job->ran, true);
}

static void post_job(struct rig *rig, struct job *job)
{
	memset(job, 0, sizeof *job);
	job->post.run = run_job;
	rmd_loop_post(rig->loop, &job->post);
}

static void await(const atomic_bool *flag)
{
	uint64_t until_ms = rmd_clock_mono_ms() + PATIENCE_MS;
	while (!atomic_load((atomic_bool *)(uintptr_t)flag)) {
		assert_true(rmd_clock_mono_ms() < until_ms);
		sched_yield();
	}
}

/* What a guest waits for, and a word that it sits. */
struct wish {
	atomic_bool inside, granted;
};

static bool is_granted(const void *ctx)
{
	struct wish *wish = (struct wish *)(uintptr_t)ctx;
	atomic_store(&wish->inside, true);
	return atomic_load(&wish->granted);
}

/* Asks until the owner has stood up, which it does between two rounds. */
static void visit(struct rig *rig, struct wish *wish, uint64_t until_ms)
{
	uint64_t patience_ms = rmd_clock_mono_ms() + PATIENCE_MS;
	struct job nudge;
	while (!rmd_seat_visit(&rig->seat, is_granted, wish, until_ms)) {
		assert_true(rmd_clock_mono_ms() < patience_ms);
		post_job(rig, &nudge);
		await(&nudge.ran);
	}
}

struct helper {
	pthread_t thread;
	struct rig *rig;
	struct wish *wish;
	struct job job;
};

static void *post_when_inside(void *arg)
{
	struct helper *helper = arg;
	await(&helper->wish->inside);
	post_job(helper->rig, &helper->job);
	await(&helper->job.ran);
	atomic_store(&helper->wish->granted, true);
	struct job nudge;
	post_job(helper->rig, &nudge);
	await(&nudge.ran);
	return NULL;
}

static void who_waits_does_the_work(void **state)
{
	struct rig *rig = *state;
	struct wish wish = {0};
	struct helper helper = {.rig = rig, .wish = &wish};
	pthread_create(&helper.thread, NULL, post_when_inside, &helper);
	visit(rig, &wish, UINT64_MAX);
	pthread_join(helper.thread, NULL);
	assert_true(atomic_load(&wish.granted));
	assert_true(pthread_equal(helper.job.ran_on, pthread_self()));
}

static void the_owner_comes_back_when_nobody_waits(void **state)
{
	struct rig *rig = *state;
	struct wish wish = {.granted = true};
	struct job job;
	visit(rig, &wish, UINT64_MAX);
	post_job(rig, &job);
	await(&job.ran);
	assert_true(pthread_equal(job.ran_on, rig->owner));
}

static void a_visit_ends_at_its_time(void **state)
{
	struct rig *rig = *state;
	struct wish wish = {0};
	uint64_t until_ms = rmd_clock_mono_ms() + 30;
	visit(rig, &wish, until_ms);
	assert_true(rmd_clock_mono_ms() >= until_ms);
}

static void *need_when_inside(void *arg)
{
	struct helper *helper = arg;
	await(&helper->wish->inside);
	rmd_seat_need(&helper->rig->seat);
	return NULL;
}

static void a_guest_goes_when_the_owner_is_needed(void **state)
{
	struct rig *rig = *state;
	struct wish wish = {0};
	struct helper helper = {.rig = rig, .wish = &wish};
	struct job job;
	pthread_create(&helper.thread, NULL, need_when_inside, &helper);
	visit(rig, &wish, UINT64_MAX);
	pthread_join(helper.thread, NULL);
	assert_false(atomic_load(&wish.granted));
	post_job(rig, &job);
	await(&job.ran);
	assert_true(pthread_equal(job.ran_on, rig->owner));
	assert_false(rmd_seat_visit(&rig->seat, is_granted, &wish, UINT64_MAX));
	rmd_seat_unneed(&rig->seat);
	atomic_store(&wish.granted, true);
	visit(rig, &wish, UINT64_MAX);
}

static void *keep_when_inside(void *arg)
{
	struct helper *helper = arg;
	await(&helper->wish->inside);
	rmd_seat_keep(&helper->rig->seat);
	post_job(helper->rig, &helper->job);
	await(&helper->job.ran);
	return NULL;
}

static void a_seat_that_is_kept_has_no_guests(void **state)
{
	struct rig *rig = *state;
	struct wish wish = {0};
	struct helper helper = {.rig = rig, .wish = &wish};
	pthread_create(&helper.thread, NULL, keep_when_inside, &helper);
	visit(rig, &wish, UINT64_MAX);
	pthread_join(helper.thread, NULL);
	assert_true(pthread_equal(helper.job.ran_on, rig->owner));
	assert_false(rmd_seat_visit(&rig->seat, is_granted, &wish, UINT64_MAX));
}

static void *stop_when_inside(void *arg)
{
	struct helper *helper = arg;
	await(&helper->wish->inside);
	rmd_loop_stop(helper->rig->loop);
	return NULL;
}

static void a_loop_that_stops_shows_its_guest_out(void **state)
{
	struct rig *rig = *state;
	struct wish wish = {0};
	struct helper helper = {.rig = rig, .wish = &wish};
	pthread_create(&helper.thread, NULL, stop_when_inside, &helper);
	visit(rig, &wish, UINT64_MAX);
	pthread_join(helper.thread, NULL);
	assert_false(atomic_load(&wish.granted));
}

enum { CROWD = 4, TURNS = 3000 };

static bool job_ran(const void *ctx)
{
	return atomic_load(&((struct job *)(uintptr_t)ctx)->ran);
}

static void *wait_in_turns(void *arg)
{
	struct rig *rig = arg;
	for (unsigned i = 0; i < TURNS; i++) {
		struct job job;
		post_job(rig, &job);
		if (i % 7 == 3)
			rmd_seat_need(&rig->seat);
		while (!job_ran(&job))
			if (!rmd_seat_visit(&rig->seat, job_ran, &job, UINT64_MAX))
				sched_yield();
		if (i % 7 == 3)
			rmd_seat_unneed(&rig->seat);
	}
	return NULL;
}

static void a_crowd_loses_nothing(void **state)
{
	struct rig *rig = *state;
	pthread_t crowd[CROWD];
	for (int i = 0; i < CROWD; i++)
		pthread_create(&crowd[i], NULL, wait_in_turns, rig);
	for (int i = 0; i < CROWD; i++)
		pthread_join(crowd[i], NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_end)
	const struct CMUnitTest tests[] = {
		T(who_waits_does_the_work),
		T(the_owner_comes_back_when_nobody_waits),
		T(a_visit_ends_at_its_time),
		T(a_guest_goes_when_the_owner_is_needed),
		T(a_seat_that_is_kept_has_no_guests),
		T(a_loop_that_stops_shows_its_guest_out),
		T(a_crowd_loses_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
