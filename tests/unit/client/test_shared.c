/* Large payloads through shared memory: where they lie, what holds them, and what happens
 * where there is none or no room. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <remuda/remuda.h>

#include "tests/unit/client/fake.h"

#define MIB (1u << 20)

static struct remuda *begin(struct fake **ret_fake, uint64_t client_bytes,
			    uint64_t server_bytes)
{
	char text[32];
	struct remuda_error *err = NULL;
	struct remuda_options open = REMUDA_OPTIONS_INIT;
	*ret_fake = fake_start(&(struct fake_options){.shared_bytes = server_bytes});
	snprintf(text, sizeof text, "%llu", (unsigned long long)client_bytes);
	setenv("REMUDA_SHARED_BYTES", text, 1);
	open.address = fake_address(*ret_fake);
	struct remuda *client = remuda_open_with(&open, &err);
	unsetenv("REMUDA_SHARED_BYTES");
	if (client == NULL)
		fail_msg("%s", remuda_error_message(err));
	return client;
}

static uint8_t *pattern(size_t len, unsigned seed)
{
	uint8_t *data = malloc(len);
	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 31 + (i >> 12) + seed);
	return data;
}

/* Submits an echo of `len` bytes; they may be changed at once. */
static struct remuda_future *submit(struct remuda *client, size_t len, unsigned seed)
{
	uint8_t *data = pattern(len, seed);
	struct remuda_bytes bytes = {data, len};
	struct remuda_future *future = remuda_submit_name(client, "x:echo", bytes);
	memset(data, 0, len);
	free(data);
	return future;
}

static void expect(struct remuda_future *future, size_t len, unsigned seed)
{
	const struct remuda_value *value;
	uint8_t *data = pattern(len, seed);
	assert_int_equal(remuda_result(future, &value, NULL), 0);
	assert_int_equal(value->kind, REMUDA_BYTES);
	assert_int_equal(value->u.bytes.len, len);
	assert_memory_equal(value->u.bytes.data, data, len);
	free(data);
}

static void echo(struct remuda *client, size_t len, unsigned seed)
{
	struct remuda_future *future = submit(client, len, seed);
	expect(future, len, seed);
	remuda_future_free(future);
}

static void payloads_of_all_sizes_go_there_and_back(void **state)
{
	static const size_t sizes[] = {1,     4096,    65000,   65535,	 65536, 65537,
				       70000, 200000, 1 << 20, 3 << 20, 9 << 20};
	struct fake *fake;
	struct remuda *client = begin(&fake, 64 * MIB, 64 * MIB);
	(void)state;
	for (unsigned round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
			echo(client, sizes[i], round);
	struct fake_counts counts = fake_counts(fake);
	assert_int_equal(counts.borrowed, 3 * 8);
	assert_int_equal(counts.lent, 3 * 8);
	assert_int_equal(counts.transfers, 0);
	FAKE_AWAIT(fake, acks, 3 * sizeof sizes / sizeof *sizes);
	remuda_close(client);
	fake_stop(fake);
}

static void values_whose_size_is_not_known_beforehand_go_there_too(void **state)
{
	struct fake *fake;
	struct remuda *client = begin(&fake, 64 * MIB, 64 * MIB);
	const struct remuda_value *back;
	uint8_t *data = pattern(300000, 1);
	struct remuda_value items[4], list = {.kind = REMUDA_LIST, .u.list = {items, 4}};
	(void)state;
	for (int i = 0; i < 4; i++) {
		items[i] = (struct remuda_value){.kind = REMUDA_BYTES};
		items[i].u.bytes = (struct remuda_bytes){data, 300000};
	}
	struct remuda_future *future = remuda_submit_name(client, "x:echo", list);
	assert_int_equal(remuda_result(future, &back, NULL), 0);
	assert_int_equal(back->u.list.len, 4);
	assert_memory_equal(back->u.list.items[3].u.bytes.data, data, 300000);
	assert_int_equal(fake_counts(fake).borrowed, 1);
	assert_int_equal(fake_counts(fake).lent, 1);
	remuda_future_free(future);
	free(data);
	remuda_close(client);
	fake_stop(fake);
}

static void a_result_stays_while_its_future_is_kept_and_blocks_no_other(void **state)
{
	struct fake *fake;
	struct remuda *client = begin(&fake, 64 * MIB, 64 * MIB);
	(void)state;
	struct remuda_future *kept = submit(client, 5 * MIB, 7);
	expect(kept, 5 * MIB, 7);
	FAKE_AWAIT(fake, acks, 1);           /* acknowledged all the same */
	for (unsigned i = 0; i < 30; i++)
		echo(client, 5 * MIB, i);
	expect(kept, 5 * MIB, 7);
	assert_int_equal(fake_counts(fake).lent, 31);
	remuda_close(client);
	expect(kept, 5 * MIB, 7);
	remuda_future_free(kept);
	fake_stop(fake);
}

static void where_there_is_no_room_payloads_go_in_pieces(void **state)
{
	struct fake *fake;
	struct remuda *client = begin(&fake, 4 * MIB, 2 * MIB);
	struct remuda_future *futures[20];
	(void)state;
	for (unsigned i = 0; i < 20; i++)
		futures[i] = submit(client, MIB + i, i);
	for (unsigned i = 0; i < 20; i++)
		expect(futures[i], MIB + i, i);
	echo(client, 10 * MIB, 3);
	struct fake_counts counts = fake_counts(fake);
	assert_int_equal(counts.lent, 1);    /* the first: the futures are kept */
	assert_true(counts.transfers >= 1);
	assert_int_equal(counts.borrowed + counts.transfers, 21);
	for (unsigned i = 0; i < 20; i++)
		remuda_future_free(futures[i]);
	echo(client, MIB, 5);
	assert_int_equal(fake_counts(fake).lent, 2);
	remuda_close(client);
	fake_stop(fake);
}

static void either_side_can_do_without(void **state)
{
	(void)state;
	for (int way = 0; way < 2; way++) {
		struct fake *fake;
		struct remuda *client =
			begin(&fake, way == 0 ? 0 : 64 * MIB, way == 0 ? 64 * MIB : 0);
		echo(client, 2 * MIB, 1);
		struct fake_counts counts = fake_counts(fake);
		assert_int_equal(counts.borrowed + counts.lent, 0);
		assert_int_equal(counts.transfers, 1);
		remuda_close(client);
		fake_stop(fake);
	}
}

static void a_variable_that_is_no_number_is_named(void **state)
{
	static const char *const bad[] = {"lots", "-1", "1x", "99999999999"};
	struct remuda_options open = REMUDA_OPTIONS_INIT;
	(void)state;
	open.address = "unix:/nonexistent";
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct remuda_error *err = NULL;
		setenv("REMUDA_SHARED_BYTES", bad[i], 1);
		assert_null(remuda_open_with(&open, &err));
		assert_non_null(strstr(remuda_error_message(err), "REMUDA_SHARED_BYTES"));
		assert_non_null(strstr(remuda_error_message(err), bad[i]));
		remuda_error_free(err);
	}
	unsetenv("REMUDA_SHARED_BYTES");
}

static void a_result_that_lies_nowhere_is_an_error_of_that_task(void **state)
{
	struct fake *fake;
	struct remuda *client = begin(&fake, 64 * MIB, 64 * MIB);
	struct remuda_error *err = NULL;
	(void)state;
	struct remuda_future *future = remuda_submit_name(client, "x:stray");
	assert_int_equal(remuda_get(future, NULL, &err), REMUDA_EPROTO);
	assert_string_equal(remuda_error_type(err), "ProtocolError");
	remuda_error_free(err);
	echo(client, MIB, 1);
	remuda_close(client);
	fake_stop(fake);
}

static void a_lost_connection_gets_new_memory_and_old_results_stay(void **state)
{
	struct fake *fake;
	struct remuda *client = begin(&fake, 64 * MIB, 64 * MIB);
	(void)state;
	struct remuda_future *kept = submit(client, 3 * MIB, 1);
	expect(kept, 3 * MIB, 1);
	struct remuda_future *held = remuda_submit_name(client, "x:hold");
	fake_break(fake);
	assert_int_equal(remuda_get(held, NULL, NULL), REMUDA_EUNREACHABLE);
	echo(client, 1, 0); /* what is submitted before the new memory is there does without */
	for (unsigned i = 0; i < 3; i++)
		echo(client, 3 * MIB, 10 + i);
	assert_int_equal(fake_counts(fake).lent, 4);
	assert_int_equal(fake_counts(fake).transfers, 0);
	expect(kept, 3 * MIB, 1);
	remuda_future_free(kept);
	remuda_close(client);
	fake_stop(fake);
}

static void *echo_many(void *arg)
{
	for (unsigned i = 0; i < 25; i++)
		echo(arg, 200000 + i * 10000, i);
	return NULL;
}

static void threads_submit_large_payloads_at_once(void **state)
{
	struct fake *fake;
	struct remuda *client = begin(&fake, 8 * MIB, 8 * MIB);
	pthread_t threads[4];
	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, echo_many, client), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	struct fake_counts counts = fake_counts(fake);
	assert_int_equal(counts.submits, 100);
	assert_int_equal(counts.borrowed + counts.transfers, 100);
	remuda_close(client);
	fake_stop(fake);
}

static void a_forked_child_reads_results_and_frees_nothing_of_its_parents(void **state)
{
	struct fake *fake;
	struct remuda *client = begin(&fake, 4 * MIB, 4 * MIB);
	int status;
	(void)state;
	struct remuda_future *future = submit(client, 3 * MIB, 9);
	expect(future, 3 * MIB, 9);
	pid_t pid = fork();
	if (pid == 0) {
		const struct remuda_value *value;
		int bad = remuda_result(future, &value, NULL) != 0 ||
			  value->u.bytes.len != 3 * MIB;
		remuda_future_free(future);
		_exit(bad);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	echo(client, 3 * MIB, 1);            /* no room beside the one that is kept */
	assert_int_equal(fake_counts(fake).lent, 1);
	expect(future, 3 * MIB, 9);
	remuda_future_free(future);
	echo(client, 3 * MIB, 2);
	assert_int_equal(fake_counts(fake).lent, 2);
	remuda_close(client);
	fake_stop(fake);
}

int main(void)
{
	unsetenv("REMUDA_ADDRESS");
	unsetenv("REMUDA_SHARED_BYTES");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(payloads_of_all_sizes_go_there_and_back),
		cmocka_unit_test(values_whose_size_is_not_known_beforehand_go_there_too),
		cmocka_unit_test(a_result_stays_while_its_future_is_kept_and_blocks_no_other),
		cmocka_unit_test(where_there_is_no_room_payloads_go_in_pieces),
		cmocka_unit_test(either_side_can_do_without),
		cmocka_unit_test(a_variable_that_is_no_number_is_named),
		cmocka_unit_test(a_result_that_lies_nowhere_is_an_error_of_that_task),
		cmocka_unit_test(a_lost_connection_gets_new_memory_and_old_results_stay),
		cmocka_unit_test(threads_submit_large_payloads_at_once),
		cmocka_unit_test(
			a_forked_child_reads_results_and_frees_nothing_of_its_parents),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
