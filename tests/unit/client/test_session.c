/* Opening, losing and resuming a session; large payloads; pools; modules. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <remuda/remuda.h>

#include "tests/unit/client/fake.h"

static struct remuda *open_to(const char *address, uint32_t open_timeout_ms,
			      struct remuda_error **ret_err)
{
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	options.address = address;
	options.open_timeout_ms = open_timeout_ms;
	return remuda_open_with(&options, ret_err);
}

/* A fake on TCP and a client of it. */
static struct fake *remote(struct remuda **ret_client)
{
	struct fake_options options = {.listen = "tcp:127.0.0.1:0"};
	struct fake *fake = fake_start(&options);
	*ret_client = open_to(fake_address(fake), 0, NULL);
	assert_non_null(*ret_client);
	return fake;
}

static struct fake *local(struct remuda **ret_client, const struct fake_options *options)
{
	struct fake *fake = fake_start(options);
	*ret_client = open_to(fake_address(fake), 0, NULL);
	assert_non_null(*ret_client);
	return fake;
}

static void expect_error(struct remuda_error *err, const char *type, const char *part)
{
	assert_non_null(err);
	assert_string_equal(remuda_error_type(err), type);
	if (strstr(remuda_error_message(err), part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, remuda_error_message(err));
	remuda_error_free(err);
}

/* ---- opening ---- */

static void an_address_where_nobody_listens_is_named_with_a_way_out(void **state)
{
	struct remuda_error *err = NULL;
	(void)state;
	assert_null(open_to("unix:/nonexistent/remuda.sock", 0, &err));
	expect_error(err, "CoordinatorUnreachable", "unix:/nonexistent/remuda.sock");
	err = NULL;
	assert_null(open_to("http://host", 0, &err));
	expect_error(err, "InvalidAddress", "http://host");
}

static void a_coordinator_that_never_answers_is_given_up(void **state)
{
	struct remuda_error *err = NULL;
	struct fake_options options = {.mute = true};
	struct fake *fake = fake_start(&options);
	(void)state;
	assert_null(open_to(fake_address(fake), 50, &err));
	expect_error(err, "CoordinatorUnreachable", "open_timeout_ms");
	fake_stop(fake);
}

static void a_client_that_could_not_open_says_why_with_each_task(void **state)
{
	struct remuda_error *err = NULL;
	int64_t number;
	(void)state;
	struct remuda *client = remuda_open("unix:/nonexistent/remuda.sock");
	assert_non_null(client);
	assert_int_equal(remuda_status(client, NULL), REMUDA_EUNREACHABLE);
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "x:echo", 1), &number, &err),
		REMUDA_EUNREACHABLE);
	expect_error(err, "CoordinatorUnreachable", "nonexistent");
	remuda_close(client);
}

static void the_address_comes_from_the_environment_last_asked_first(void **state)
{
	struct fake_options options = {0};
	struct fake *fake = fake_start(&options);
	(void)state;
	setenv("REMUDA_ADDRESS", fake_address(fake), 1);
	struct remuda *client = remuda_open(NULL);
	unsetenv("REMUDA_ADDRESS");
	assert_int_equal(remuda_status(client, NULL), 0);
	assert_string_equal(remuda_address(client), fake_address(fake));
	remuda_close(client);
	fake_stop(fake);
}

static void a_run_folder_that_others_can_write_is_not_trusted(void **state)
{
	char root[] = "/tmp/remuda-test-XXXXXX", dir[64];
	struct remuda_error *err = NULL;
	(void)state;
	assert_non_null(mkdtemp(root));
	snprintf(dir, sizeof dir, "%s/remuda", root);
	assert_int_equal(mkdir(dir, 0777), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	setenv("XDG_RUNTIME_DIR", root, 1);
	assert_null(open_to(NULL, 0, &err));
	unsetenv("XDG_RUNTIME_DIR");
	expect_error(err, "UnsafeRunFolder", dir);
	rmdir(dir);
	rmdir(root);
}

static void an_up_socket_is_found_in_the_run_folder(void **state)
{
	char root[] = "/tmp/remuda-test-XXXXXX", dir[64], listen[96];
	struct remuda_error *err = NULL;
	struct remuda_options open = REMUDA_OPTIONS_INIT;
	(void)state;
	assert_non_null(mkdtemp(root));
	snprintf(dir, sizeof dir, "%s/remuda", root);
	assert_int_equal(mkdir(dir, 0700), 0);
	setenv("XDG_RUNTIME_DIR", root, 1);
	open.start = REMUDA_START_NEVER;
	assert_null(remuda_open_with(&open, &err));
	expect_error(err, "NoCoordinator", "remuda up");
	snprintf(listen, sizeof listen, "unix:%s/up.sock", dir);
	struct fake_options options = {.listen = listen};
	struct fake *fake = fake_start(&options);
	struct remuda *client = remuda_open_with(&open, &err);
	unsetenv("XDG_RUNTIME_DIR");
	assert_non_null(client);
	assert_string_equal(remuda_address(client), listen);
	remuda_close(client);
	fake_stop(fake);
	snprintf(listen, sizeof listen, "%s/up.sock.lock", dir);
	unlink(listen);
	rmdir(dir);
	rmdir(root);
}

static void closing_cancels_what_is_open_and_says_goodbye(void **state)
{
	struct remuda *client;
	struct fake *fake = local(&client, &(struct fake_options){0});
	struct remuda_error *err = NULL;
	(void)state;
	struct remuda_future *held = remuda_submit_name(client, "x:hold");
	remuda_close(client);
	assert_int_equal(remuda_get(held, NULL, &err), REMUDA_ECANCELLED);
	remuda_error_free(err);
	struct fake_counts counts = fake_counts(fake);
	assert_int_equal(counts.goodbyes, 1);
	assert_int_equal(counts.cancels, 1);
	fake_stop(fake);
}

static void closing_does_not_wait_for_a_task_that_hears_no_cancel(void **state)
{
	struct remuda *client;
	struct fake *fake = local(&client, &(struct fake_options){0});
	(void)state;
	struct remuda_future *deaf = remuda_submit_name(client, "x:deaf");
	remuda_close(client);
	assert_int_equal(remuda_get(deaf, NULL, NULL), REMUDA_ECANCELLED);
	fake_stop(fake);
}

/* ---- losing ---- */

static void a_lost_local_coordinator_ends_open_tasks_as_may_have_run(void **state)
{
	struct remuda *client;
	struct fake *fake = local(&client, &(struct fake_options){0});
	struct remuda_error *err = NULL;
	(void)state;
	struct remuda_future *held = remuda_submit_name(client, "x:hold");
	struct remuda_future *dies = remuda_submit_name(client, "x:die");
	assert_int_equal(remuda_get(dies, NULL, &err), REMUDA_EUNREACHABLE);
	expect_error(err, "CoordinatorLost", "may have run");
	assert_int_equal(remuda_get(held, NULL, NULL), REMUDA_EUNREACHABLE);
	/* The same one answers again, in another session. */
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:echo", 1), NULL, NULL),
			 0);
	remuda_close(client);
	fake_stop(fake);
}

static void a_coordinator_that_sends_nonsense_is_cut_off(void **state)
{
	struct remuda *client;
	struct fake *fake = local(&client, &(struct fake_options){0});
	(void)state;
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:garbage"), NULL, NULL),
			 REMUDA_EUNREACHABLE);
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:echo", 1), NULL, NULL),
			 0);
	remuda_close(client);
	fake_stop(fake);
}

static void what_would_end_the_same_way_again_is_not_said_again(void **state)
{
	struct remuda *client;
	struct fake *fake = remote(&client);
	static const char *const names[] = {"x:refuse", "x:garbage"};
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct remuda_error *err = NULL;
		struct remuda_future *held = remuda_submit_name(client, "x:hold");
		struct remuda_future *ends = remuda_submit_name(client, names[i]);
		assert_int_equal(remuda_get(ends, NULL, &err), REMUDA_EUNREACHABLE);
		expect_error(err, "CoordinatorLost", "may have run");
		assert_int_equal(remuda_get(held, NULL, NULL), REMUDA_EUNREACHABLE);
		assert_int_equal(
			remuda_get(remuda_submit_name(client, "x:echo", 1), NULL, NULL),
			0);
	}
	struct fake_counts counts = fake_counts(fake);
	assert_int_equal(counts.hellos, 3);
	assert_int_equal(counts.repeats, 0);
	remuda_close(client);
	fake_stop(fake);
}

static void a_coordinator_that_is_gone_is_given_up_after_a_while(void **state)
{
	struct fake_options options = {.listen = "tcp:127.0.0.1:0"};
	struct fake *fake = fake_start(&options);
	struct remuda *client = open_to(fake_address(fake), 300, NULL);
	struct remuda_error *err = NULL;
	(void)state;
	struct remuda_future *held = remuda_submit_name(client, "x:hold");
	FAKE_AWAIT(fake, submits, 1);
	fake_stop(fake);
	assert_int_equal(remuda_get(held, NULL, &err), REMUDA_EUNREACHABLE);
	expect_error(err, "CoordinatorLost", "may have run");
	err = NULL;
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:echo", 1), NULL, &err),
			 REMUDA_EUNREACHABLE);
	expect_error(err, "CoordinatorLost", "did not come back");
	assert_int_equal(remuda_status(client, NULL), REMUDA_EUNREACHABLE);
	remuda_close(client);
}

/* ---- resuming ---- */

static void a_broken_connection_is_resumed_and_nothing_runs_twice(void **state)
{
	struct remuda *client;
	struct fake *fake = remote(&client);
	struct remuda_future *held[20];
	(void)state;
	for (int i = 0; i < 20; i++)
		held[i] = remuda_submit_name(client, "x:hold");
	FAKE_AWAIT(fake, submits, 20);
	fake_break(fake);
	FAKE_AWAIT(fake, hellos, 2);
	fake_release(fake);
	for (int64_t i = 0; i < 20; i++) {
		int64_t number;
		assert_int_equal(remuda_get(held[i], &number, NULL), 0);
		assert_int_equal(number, i + 1);
	}
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:echo", 1), NULL, NULL),
			 0);
	struct fake_counts counts = fake_counts(fake);
	assert_int_equal(counts.submits, 21);
	assert_int_equal(counts.gaps, 0);
	remuda_close(client);
	fake_stop(fake);
}

static void submits_that_were_lost_on_the_way_are_sent_again_in_order(void **state)
{
	struct remuda *client;
	struct fake *fake = remote(&client);
	struct remuda_future *futures[50];
	(void)state;
	fake_lose_submits(fake, 3);
	for (int64_t i = 0; i < 50; i++)
		futures[i] = remuda_submit_name(client, "x:echo", i);
	for (int64_t i = 0; i < 50; i++) {
		int64_t number;
		assert_int_equal(remuda_get(futures[i], &number, NULL), 0);
		assert_int_equal(number, i);
	}
	struct fake_counts counts = fake_counts(fake);
	assert_int_equal(counts.submits, 50);
	assert_int_equal(counts.gaps, 0);
	assert_int_equal(counts.hellos, 4);
	remuda_close(client);
	fake_stop(fake);
}

static void outcomes_that_were_lost_on_the_way_come_after_the_resume(void **state)
{
	struct remuda *client;
	struct fake *fake = remote(&client);
	int64_t number;
	(void)state;
	fake_hold_back_outcomes(fake);
	struct remuda_future *future = remuda_submit_name(client, "x:echo", 5);
	FAKE_AWAIT(fake, submits, 1);
	assert_false(remuda_done(future));
	fake_break(fake);
	assert_int_equal(remuda_get(future, &number, NULL), 0);
	assert_int_equal(number, 5);
	assert_int_equal(fake_counts(fake).submits, 1);
	FAKE_AWAIT(fake, acks, 1);
	remuda_close(client);
	fake_stop(fake);
}

static void large_arguments_are_sent_again_after_a_resume(void **state)
{
	struct remuda *client;
	struct fake *fake = remote(&client);
	size_t len = 3u << 20;
	char *data = malloc(len);
	struct remuda_bytes bytes = {data, len}, back;
	(void)state;
	memset(data, 'r', len);
	fake_lose_submits(fake, 1);
	struct remuda_future *future = remuda_submit_name(client, "x:echo", bytes);
	assert_int_equal(remuda_get(future, &back, NULL), 0);
	assert_int_equal(back.len, len);
	assert_memory_equal(back.data, data, len);
	free((void *)(uintptr_t)back.data);
	free(data);
	remuda_close(client);
	fake_stop(fake);
}

static void a_cancel_asked_for_while_disconnected_is_sent_after_the_resume(void **state)
{
	struct remuda *client;
	struct fake *fake = remote(&client);
	(void)state;
	struct remuda_future *held = remuda_submit_name(client, "x:hold");
	FAKE_AWAIT(fake, submits, 1);
	fake_break(fake);
	assert_int_equal(remuda_cancel(held), 0);
	assert_int_equal(remuda_get(held, NULL, NULL), REMUDA_ECANCELLED);
	remuda_close(client);
	fake_stop(fake);
}

static void
another_coordinator_at_the_address_ends_open_tasks_and_serves_new_ones(void **state)
{
	struct remuda *client;
	struct fake *fake = remote(&client);
	struct remuda_error *err = NULL;
	(void)state;
	struct remuda_future *held = remuda_submit_name(client, "x:hold");
	FAKE_AWAIT(fake, submits, 1);
	fake_rebirth(fake);
	assert_int_equal(remuda_get(held, NULL, &err), REMUDA_EUNREACHABLE);
	expect_error(err, "CoordinatorLost", "may have run");
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:echo", 1), NULL, NULL),
			 0);
	assert_int_equal(fake_counts(fake).gaps, 0);
	remuda_close(client);
	fake_stop(fake);
}

/* ---- large payloads ---- */

static void echo_bytes(struct remuda *client, size_t len)
{
	uint8_t *data = malloc(len);
	const struct remuda_value *value;
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 31 + (i >> 12));
	struct remuda_bytes bytes = {data, len};
	struct remuda_future *future = remuda_submit_name(client, "x:echo", bytes);
	memset(data, 0, 1);                  /* it was copied: this changes nothing */
	data[0] = 0;
	assert_int_equal(remuda_result(future, &value, NULL), 0);
	assert_int_equal(value->u.bytes.len, len);
	assert_memory_equal(value->u.bytes.data, data, len);
	remuda_future_free(future);
	free(data);
}

static void payloads_of_all_sizes_go_there_and_back(void **state)
{
	struct remuda *client;
	struct fake *fake = local(&client, &(struct fake_options){0});
	static const size_t sizes[] = {
		1,	31,	32,	33,	4095,	 16383,		16384,
		200000, 262143, 262144, 262200, 1 << 20, (1 << 20) + 9, 5 << 20};
	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		echo_bytes(client, sizes[i]);
	struct fake_counts counts = fake_counts(fake);
	assert_int_equal(counts.submits, sizeof sizes / sizeof *sizes);
	assert_int_equal(counts.transfers, 6);
	remuda_close(client);
	fake_stop(fake);
}

static void a_payload_over_the_coordinators_limit_is_refused_with_the_limit(void **state)
{
	struct remuda *client;
	struct fake *fake =
		local(&client, &(struct fake_options){.payload_max_bytes = 100000});
	struct remuda_error *err = NULL;
	char *data = calloc(1, 100001);
	struct remuda_bytes bytes = {data, 100001};
	(void)state;
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "x:echo", bytes), NULL, &err),
		REMUDA_ETOOBIG);
	expect_error(err, "PayloadTooLarge", "100000");
	bytes.len = 90000;
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "x:echo", bytes), NULL, NULL), 0);
	free(data);
	remuda_close(client);
	fake_stop(fake);
}

/* ---- pools and modules ---- */

static void a_pool_that_was_opened_is_where_its_tasks_go(void **state)
{
	struct remuda *client;
	struct fake *fake = local(&client, &(struct fake_options){0});
	struct remuda_pool_options options = REMUDA_POOL_OPTIONS_INIT;
	struct remuda_task_options task = REMUDA_TASK_OPTIONS_INIT;
	const char *environment[] = {"A=1", "B=", NULL};
	struct remuda_error *err = NULL;
	uint32_t pool;
	int64_t number;
	(void)state;
	options.environment = environment;
	options.max_workers = 2;
	assert_int_equal(remuda_pool_open(client, &options, &pool, &err), 0);
	task.pool = pool;
	assert_int_equal(remuda_get(remuda_submit_name_with(client, &task, "x:pool"),
				    &number, NULL),
			 0);
	assert_int_equal(number, pool);
	assert_int_equal(remuda_get(remuda_submit_name(client, "x:pool"), &number, NULL),
			 0);
	assert_int_equal(number, 0);
	options.runtime = "bad";
	assert_int_equal(remuda_pool_open(client, &options, &pool, &err), REMUDA_EINVAL);
	expect_error(err, "PoolRefused", "runtime");
	options.name = "no spaces";
	assert_int_equal(remuda_pool_open(client, &options, &pool, &err), REMUDA_EINVAL);
	expect_error(err, "InvalidOptions", "name");
	remuda_close(client);
	fake_stop(fake);
}

static void default_pool_options_make_one_pool_for_each_runtime(void **state)
{
	struct fake_options fake_options = {0};
	struct fake *fake = fake_start(&fake_options);
	struct remuda_options options = REMUDA_OPTIONS_INIT;
	int64_t first, second, other;
	(void)state;
	options.address = fake_address(fake);
	options.max_workers = 3;
	struct remuda *client = remuda_open_with(&options, NULL);
	assert_non_null(client);
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "native:pool"), &first, NULL), 0);
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "native:pool"), &second, NULL), 0);
	assert_int_equal(
		remuda_get(remuda_submit_name(client, "python:pool"), &other, NULL), 0);
	assert_int_equal(first, 1);
	assert_int_equal(second, 1);
	assert_int_equal(other, 2);
	assert_int_equal(fake_counts(fake).pools, 2);
	remuda_close(client);
	fake_stop(fake);
}

static void a_module_is_put_once_whole_and_under_its_name(void **state)
{
	struct remuda *client;
	struct fake *fake = local(&client, &(struct fake_options){0});
	char path[] = "/tmp/remuda-module-XXXXXX", name[64];
	uint8_t digest[32], again[32];
	struct rmd_digest put;
	struct remuda_error *err = NULL;
	size_t len = (3u << 20) + 12345;
	uint8_t *data = malloc(len);
	FILE *module = fopen(REMUDA_TEST_MODULE, "rb");
	(void)state;
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + (i >> 10));
	/* What comes behind a module's end does not matter. */
	assert_non_null(module);
	assert_true(fread(data, 1, len, module) > 0);
	fclose(module);
	int fd = mkstemp(path);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
	assert_int_equal(remuda_module_push(client, path, digest, &err), 0);
	FAKE_AWAIT(fake, puts, 1);
	assert_int_equal(fake_blob(fake, &put, name), len);
	assert_memory_equal(put.bytes, digest, 32);
	assert_string_equal(name, path + strlen("/tmp/"));
	assert_int_equal(remuda_module_push(client, path, again, &err), 0);
	assert_memory_equal(again, digest, 32);
	assert_int_equal(fake_counts(fake).puts, 1);
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(remuda_module_push(client, path, digest, &err), REMUDA_EINVAL);
	expect_error(err, "ModuleError", path);
	unlink(path);
	assert_int_equal(remuda_module_push(client, path, digest, &err),
			 REMUDA_ENOTFOUND);
	expect_error(err, "ModuleNotReadable", path);
	free(data);
	remuda_close(client);
	fake_stop(fake);
}

int main(void)
{
	unsetenv("REMUDA_ADDRESS");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_where_nobody_listens_is_named_with_a_way_out),
		cmocka_unit_test(a_coordinator_that_never_answers_is_given_up),
		cmocka_unit_test(a_client_that_could_not_open_says_why_with_each_task),
		cmocka_unit_test(the_address_comes_from_the_environment_last_asked_first),
		cmocka_unit_test(a_run_folder_that_others_can_write_is_not_trusted),
		cmocka_unit_test(an_up_socket_is_found_in_the_run_folder),
		cmocka_unit_test(closing_cancels_what_is_open_and_says_goodbye),
		cmocka_unit_test(closing_does_not_wait_for_a_task_that_hears_no_cancel),
		cmocka_unit_test(
			a_lost_local_coordinator_ends_open_tasks_as_may_have_run),
		cmocka_unit_test(a_coordinator_that_sends_nonsense_is_cut_off),
		cmocka_unit_test(what_would_end_the_same_way_again_is_not_said_again),
		cmocka_unit_test(a_coordinator_that_is_gone_is_given_up_after_a_while),
		cmocka_unit_test(a_broken_connection_is_resumed_and_nothing_runs_twice),
		cmocka_unit_test(
			submits_that_were_lost_on_the_way_are_sent_again_in_order),
		cmocka_unit_test(
			outcomes_that_were_lost_on_the_way_come_after_the_resume),
		cmocka_unit_test(large_arguments_are_sent_again_after_a_resume),
		cmocka_unit_test(
			a_cancel_asked_for_while_disconnected_is_sent_after_the_resume),
		cmocka_unit_test(
			another_coordinator_at_the_address_ends_open_tasks_and_serves_new_ones),
		cmocka_unit_test(payloads_of_all_sizes_go_there_and_back),
		cmocka_unit_test(
			a_payload_over_the_coordinators_limit_is_refused_with_the_limit),
		cmocka_unit_test(a_pool_that_was_opened_is_where_its_tasks_go),
		cmocka_unit_test(default_pool_options_make_one_pool_for_each_runtime),
		cmocka_unit_test(a_module_is_put_once_whole_and_under_its_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
