/* The agent with the native runtime and the demo module: the real thing from lease to
 * outcome. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/arena.h"
#include "proto/codec/arguments.h"
#include "tests/unit/agent/rig.h"
#include "worker/spawner/spawner.h"

static const char *const demo[] = {REMUDA_DEMO_MODULE};

static const struct rig_spec plain;
/* A sanitizer would make an exit of a signal. */
#if defined(__SANITIZE_THREAD__)
static const struct rig_spec crashing = {.environment = "TSAN_OPTIONS=handle_segv=0"};
#else
static const struct rig_spec crashing = {.environment = "ASAN_OPTIONS=handle_segv=0"};
#endif

static struct rig *start(const char *const *modules, size_t count)
{
	struct rmd_agent_options options = {
		.worker_path = REMUDA_NATIVE_WORKER,
		.modules = modules,
		.module_count = count,
		.stop_grace_ms = 300,
		.cancel_grace_ms = 200,
	};
	return rig_start(&options);
}

/* A lease whose argument is one integer. */
static void lease_int(struct rig *rig, uint64_t lease, const char *function,
		      int64_t argument)
{
	struct rmd_wire_writer writer = {0};
	struct remuda_value value = {.kind = REMUDA_INT64, .u.int64 = argument};
	rmd_arguments_put(&writer, &value);
	rig_lease_bytes(rig, 1, lease, function, rmd_slice_of(writer.data, writer.len));
	rmd_wire_writer_fini(&writer);
}

static int64_t result_int(struct rig *rig, uint64_t lease)
{
	struct rmd_arena arena;
	struct remuda_value value;
	struct rmd_slice bytes =
		rmd_slice_of(rig->leases[lease].bytes, rig->leases[lease].bytes_len);
	rmd_arena_init(&arena, 0);
	assert_int_equal(rmd_value_get(bytes, &arena, &value), 0);
	assert_int_equal(value.kind, REMUDA_INT64);
	rmd_arena_fini(&arena);
	return value.u.int64;
}

static void function_of_a_module_gives_its_value(void **state)
{
	(void)state;
	struct rig *rig = start(demo, 1);
	rig_pool(rig, 1, 2, &plain);
	for (uint64_t i = 1; i <= 1000; i++)
		lease_int(rig, i, "demo.square", (int64_t)i);
	rig_send(rig);
	RIG_WAIT(rig, rig->ended == 1000);
	for (uint64_t i = 1; i <= 1000; i++) {
		rig_wait_end(rig, i, RIG_VALUE);
		assert_int_equal(result_int(rig, i), i * i);
	}
	rig_stop(rig);
}

static void failures_and_crashes_are_told_apart(void **state)
{
	(void)state;
	struct rig *rig = start(demo, 1);
	rig_pool(rig, 1, 1, &crashing);
	rig_lease(rig, 1, 1, "demo.fail", "");
	rig_lease(rig, 1, 2, "demo.crash", "");
	lease_int(rig, 3, "demo.exit", 7);
	lease_int(rig, 4, "demo.square", 12);
	rig_lease(rig, 1, 5, "demo.nothing", "");
	rig_send(rig);
	RIG_WAIT(rig, rig->ended == 5);
	struct remuda_error *err = rig_error(rig, 1);
	assert_string_equal(remuda_error_host(err), "test-host");
	assert_int_equal(remuda_error_origin(err), REMUDA_ORIGIN_TASK);
	remuda_error_free(err);
	err = rig_error(rig, 2);
	assert_string_equal(remuda_error_type(err), "WorkerLost");
	assert_int_equal(remuda_error_signal(err), SIGSEGV);
	remuda_error_free(err);
	err = rig_error(rig, 3);
	assert_string_equal(remuda_error_type(err), "WorkerLost");
	assert_int_equal(remuda_error_exit_code(err), 7);
	remuda_error_free(err);
	assert_int_equal(result_int(rig, 4), 144);
	err = rig_error(rig, 5);
	assert_int_equal(remuda_error_origin(err), REMUDA_ORIGIN_LOOKUP);
	remuda_error_free(err);
	rig_stop(rig);
}

static void sleeping_task_is_cancelled(void **state)
{
	(void)state;
	struct rig *rig = start(demo, 1);
	rig_pool(rig, 1, 1, &plain);
	lease_int(rig, 1, "demo.sleep_ms", 100000);
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[1].began_told);
	rig_cancel(rig, 1);
	rig_send(rig);
	RIG_WAIT(rig, rig->leases[1].end != RIG_OPEN);
	rig_stop(rig);
}

static void module_that_cannot_be_loaded_is_named(void **state)
{
	(void)state;
	static const char *const broken[] = {"/etc/passwd"};
	struct rig *rig = start(broken, 1);
	rig_pool(rig, 1, 1, &plain);
	rig_send(rig);
	RIG_WAIT(rig, rig->pools[1].start_failures > 0);
	assert_non_null(strstr(rig->pools[1].start_error, "/etc/passwd"));
	rig_stop(rig);
}

static void module_that_was_pushed_is_loaded(void **state)
{
	(void)state;
	struct rmd_digest digest;
	struct stat info;
	int fd = open(REMUDA_DEMO_MODULE, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &info) == 0);
	struct rmd_buf *buf = rmd_buf_create((size_t)info.st_size);
	assert_int_equal(read(fd, rmd_buf_writable(buf), (size_t)info.st_size),
			 info.st_size);
	close(fd);
	assert_int_equal(rmd_digest_of(rmd_buf_slice(buf), &digest), 0);
	const struct rig_spec spec = {.module = &digest};
	struct rig *rig = start(NULL, 0);
	rig_transfer(rig, 1, (struct rmd_piece){rmd_buf_slice(buf), buf});
	struct rmd_module_image image = {digest, 1, rmd_slice_of_string("demo.so")};
	rig_pool(rig, 1, 1, &spec);
	lease_int(rig, 1, "demo.square", 9);
	rmd_attach_response_put_module(&rig->out, &image);
	rig_send(rig);
	rig_wait_end(rig, 1, RIG_VALUE);
	assert_int_equal(result_int(rig, 1), 81);
	rig_stop(rig);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--spawner") == 0)
		rmd_spawner_main();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(function_of_a_module_gives_its_value),
		cmocka_unit_test(failures_and_crashes_are_told_apart),
		cmocka_unit_test(sleeping_task_is_cancelled),
		cmocka_unit_test(module_that_cannot_be_loaded_is_named),
		cmocka_unit_test(module_that_was_pushed_is_loaded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
