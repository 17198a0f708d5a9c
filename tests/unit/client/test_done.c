/* Callbacks, the done queue, back-pressure, threads, fork. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/client/pair.h"

/* ---- callbacks ---- */

struct heard {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int count;
	int64_t sum;
	pthread_t thread;
};

static void hear(struct remuda_future *future, void *ctx)
{
	struct heard *heard = ctx;
	int64_t number = 0;
	remuda_get(future, &number, NULL);
	pthread_mutex_lock(&heard->lock);
	heard->count++;
	heard->sum += number;
	heard->thread = pthread_self();
	pthread_cond_broadcast(&heard->changed);
	pthread_mutex_unlock(&heard->lock);
}

static void a_callback_is_called_once_on_the_clients_thread(void **state)
{
	struct pair *pair = *state;
	struct heard heard = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0,
			      pthread_self()};
	for (int i = 0; i < 100; i++) {
		struct remuda_future *future = remuda_submit_name(pair->client, "x:hold");
		assert_int_equal(remuda_on_done(future, hear, &heard), 0);
	}
	FAKE_AWAIT(pair->fake, submits, 100);
	fake_release(pair->fake);
	pthread_mutex_lock(&heard.lock);
	while (heard.count < 100)
		pthread_cond_wait(&heard.changed, &heard.lock);
	pthread_mutex_unlock(&heard.lock);
	assert_int_equal(heard.sum, 5050);
	assert_false(pthread_equal(heard.thread, pthread_self()));
}

static void a_callback_on_a_future_that_has_ended_comes_at_once(void **state)
{
	struct pair *pair = *state;
	struct heard heard = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0,
			      0};
	struct remuda_future *future = remuda_submit_name(pair->client, "x:echo", 8);
	assert_int_equal(remuda_wait(future, -1), 0);
	assert_int_equal(remuda_on_done(future, hear, &heard), 0);
	assert_int_equal(heard.sum, 8);
	assert_true(pthread_equal(heard.thread, pthread_self()));
}

static void an_event_loop_hears_of_ended_futures_through_a_descriptor(void **state)
{
	struct pair *pair = *state;
	struct pollfd poller = {.fd = remuda_fd(pair->client), .events = POLLIN};
	struct remuda_future *futures[10], *done;
	void *ctx;
	int seen = 0;
	assert_true(poller.fd >= 0);
	assert_int_equal(poll(&poller, 1, 0), 0);
	for (int i = 0; i < 10; i++) {
		futures[i] = remuda_submit_name(pair->client, "x:hold");
		assert_int_equal(remuda_enqueue(futures[i], NULL, &futures[i]), 0);
		assert_int_equal(remuda_enqueue(futures[i], NULL, NULL), REMUDA_EINVAL);
	}
	assert_null(remuda_next_done(pair->client, &ctx));
	FAKE_AWAIT(pair->fake, submits, 10);
	fake_release(pair->fake);
	while (seen < 10) {
		assert_int_equal(poll(&poller, 1, 10000), 1);
		while ((done = remuda_next_done(pair->client, &ctx)) != NULL) {
			assert_ptr_equal(*(struct remuda_future **)ctx, done);
			assert_true(remuda_done(done));
			remuda_future_free(done);
			seen++;
		}
	}
	assert_int_equal(poll(&poller, 1, 0), 0);
}

static void dispatch_calls_back_on_the_thread_that_dispatches(void **state)
{
	struct pair *pair = *state;
	struct heard heard = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0,
			      0};
	struct pollfd poller = {.fd = remuda_fd(pair->client), .events = POLLIN};
	for (int i = 1; i <= 4; i++)
		assert_int_equal(
			remuda_enqueue(remuda_submit_name(pair->client, "x:echo", i),
				       hear, &heard),
			0);
	for (size_t called = 0; called < 4;) {
		assert_int_equal(poll(&poller, 1, 10000), 1);
		called += remuda_dispatch(pair->client);
	}
	assert_int_equal(heard.sum, 10);
	assert_true(pthread_equal(heard.thread, pthread_self()));
	assert_int_equal(poll(&poller, 1, 0), 0);
}

/* ---- back-pressure ---- */

/* Nobody could take it off again: it would never be freed. */
static void a_closed_client_has_no_queue_to_put_a_future_on(void **state)
{
	struct pair *pair = *state;
	struct remuda_future *future = remuda_submit_name(pair->client, "x:echo", 1);
	int64_t result = 0;
	assert_int_equal(remuda_wait(future, -1), 0);
	remuda_close(pair->client);
	pair->client = NULL;
	assert_int_equal(remuda_enqueue(future, NULL, NULL), REMUDA_ECLOSED);
	assert_int_equal(remuda_get(future, &result, NULL), 0);
	assert_int_equal(result, 1);
}

/* A program that submits and never looks: the client takes the outcomes in all the same,
 * so that the coordinator is not held up, and gives them back when asked. */
static void outcomes_that_nobody_takes_off_hold_up_nothing(void **state)
{
	struct remuda *client = ((struct pair *)*state)->client;
	enum { TASKS = 2000 };
	int64_t result = 0;
	for (int i = 0; i < TASKS; i++)
		assert_int_equal(remuda_enqueue(remuda_submit_name(client, "x:echo", i),
						NULL, NULL),
				 0);
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "x:echo", 7), &result, NULL), 0);
	assert_int_equal(result, 7);
	struct pollfd readable = {.fd = remuda_fd(client), .events = POLLIN};
	for (int taken = 0; taken < TASKS;) {
		struct remuda_future *future = remuda_next_done(client, NULL);
		if (future == NULL) {
			assert_int_equal(poll(&readable, 1, 30000), 1);
			continue;
		}
		assert_int_equal(remuda_get(future, &result, NULL), 0);
		taken++;
	}
	assert_null(remuda_next_done(client, NULL));
}

static void a_full_window_blocks_the_submit_until_its_deadline(void **state)
{
	struct pair *pair = *state;
	struct remuda_error *err = NULL;
	struct remuda_task_options options = REMUDA_TASK_OPTIONS_INIT;
	struct remuda_future *held[3];
	for (int i = 0; i < 3; i++)
		held[i] = remuda_submit_name(pair->client, "x:hold");
	options.deadline_ms = 20;
	struct remuda_future *late =
		remuda_submit_name_with(pair->client, &options, "x:echo", 1);
	assert_int_equal(remuda_get(late, NULL, &err), REMUDA_ETIMEOUT);
	assert_string_equal(remuda_error_type(err), "DeadlineExceeded");
	remuda_error_free(err);
	FAKE_AWAIT(pair->fake, submits, 3);
	fake_release(pair->fake);
	assert_int_equal(
		remuda_get(remuda_submit_name(pair->client, "x:echo", 1), NULL, NULL), 0);
	assert_int_equal(remuda_wait_all(held, 3, -1), 0);
	assert_int_equal(fake_counts(pair->fake).submits, 4);
	for (int i = 0; i < 3; i++)
		remuda_future_free(held[i]);
}

struct from_callback {
	struct pair *pair;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int accepted, code; /* code: of the first that was not */
};

static void submit_from_callback(struct remuda_future *future, void *ctx)
{
	struct from_callback *from = ctx;
	int accepted = 0, code = 0;
	while (code == 0 && accepted < 10) {
		struct remuda_future *next =
			remuda_submit_name(from->pair->client, "x:deaf");
		if (remuda_wait(next, 0) == 0)
			code = remuda_get(next, NULL, NULL);
		else
			remuda_future_free(next);
		accepted += code == 0;
	}
	remuda_future_free(future);
	pthread_mutex_lock(&from->lock);
	from->accepted = accepted;
	from->code = code;
	pthread_cond_signal(&from->changed);
	pthread_mutex_unlock(&from->lock);
}

static void a_callback_is_refused_where_it_would_have_to_wait_for_itself(void **state)
{
	struct pair *pair = *state;
	struct from_callback from = {pair, PTHREAD_MUTEX_INITIALIZER,
				     PTHREAD_COND_INITIALIZER, 0, 0};
	struct remuda_future *future = remuda_submit_name(pair->client, "x:hold");
	assert_int_equal(remuda_on_done(future, submit_from_callback, &from), 0);
	FAKE_AWAIT(pair->fake, submits, 1);
	fake_release(pair->fake);
	pthread_mutex_lock(&from.lock);
	while (from.code == 0)
		pthread_cond_wait(&from.changed, &from.lock);
	pthread_mutex_unlock(&from.lock);
	assert_int_equal(from.code, REMUDA_EAGAIN);
	assert_in_range(from.accepted, 2, 3);
}

#define THREADS 8
#define EACH 2000

static void *submit_many(void *arg)
{
	struct remuda *client = arg;
	struct remuda_future *futures[100];
	for (int round = 0; round < EACH / 100; round++) {
		for (int64_t i = 0; i < 100; i++)
			futures[i] = remuda_submit_name(client, "x:echo", i);
		for (int64_t i = 0; i < 100; i++) {
			int64_t got = -1;
			if (remuda_get(futures[i], &got, NULL) != 0 || got != i)
				return (void *)1;
		}
	}
	return NULL;
}

static void eight_threads_submit_without_gaps_or_mix_ups(void **state)
{
	struct pair *pair = *state;
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, submit_many, pair->client), 0);
	for (int i = 0; i < THREADS; i++) {
		void *failed;
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	struct fake_counts counts = fake_counts(pair->fake);
	assert_int_equal(counts.submits, THREADS * EACH);
	assert_int_equal(counts.gaps + counts.repeats, 0);
	FAKE_AWAIT(pair->fake, acks, THREADS * EACH);
}

static void eight_threads_never_exceed_a_narrow_window(void **state)
{
	eight_threads_submit_without_gaps_or_mix_ups(state);
	struct fake_counts counts = fake_counts(((struct pair *)*state)->fake);
	assert_in_range(counts.open_most, 1, 3);
}

/* ---- fork ---- */

static void a_forked_child_is_refused_and_the_parent_unharmed(void **state)
{
	struct pair *pair = *state;
	struct remuda_future *held = remuda_submit_name(pair->client, "x:hold");
	pid_t pid = fork();
	if (pid == 0) {
		struct remuda_error *err = NULL;
		bool right = remuda_get(remuda_submit_name(pair->client, "x:echo", 1),
					NULL, &err) == REMUDA_EFORKED &&
			     strcmp(remuda_error_type(err), "Forked") == 0 &&
			     remuda_wait(held, -1) == REMUDA_EFORKED &&
			     remuda_cancel(held) == REMUDA_EFORKED &&
			     remuda_status(pair->client, NULL) == REMUDA_EFORKED &&
			     remuda_fd(pair->client) == REMUDA_EFORKED;
		remuda_close(pair->client);
		_exit(right ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	FAKE_AWAIT(pair->fake, submits, 1);
	fake_release(pair->fake);
	assert_int_equal(remuda_get(held, NULL, NULL), 0);
	assert_int_equal(
		remuda_get(remuda_submit_name(pair->client, "x:echo", 1), NULL, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_callback_is_called_once_on_the_clients_thread),
		WITH(a_callback_on_a_future_that_has_ended_comes_at_once),
		WITH(an_event_loop_hears_of_ended_futures_through_a_descriptor),
		WITH(dispatch_calls_back_on_the_thread_that_dispatches),
		WITH(a_closed_client_has_no_queue_to_put_a_future_on),
		NARROW(outcomes_that_nobody_takes_off_hold_up_nothing),
		NARROW(a_full_window_blocks_the_submit_until_its_deadline),
		NARROW(a_callback_is_refused_where_it_would_have_to_wait_for_itself),
		WITH(eight_threads_submit_without_gaps_or_mix_ups),
		NARROW(eight_threads_never_exceed_a_narrow_window),
		WITH(a_forked_child_is_refused_and_the_parent_unharmed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
