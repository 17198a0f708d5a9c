/* What errors of lost workers say, and records from hostile workers. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/errcode.h"
#include "worker/crash/crash.h"

static struct rmd_crash crashed(int signal, const remuda_local_CrashRecord *record)
{
	return (struct rmd_crash){
		.host = "node-b",
		.worker = 3,
		.attempt = 1,
		.function = rmd_slice_of_string("orders.parse"),
		.wait_status = signal, /* as of waitpid: killed by it */
		.status_known = true,
		.pid = 77,
		.record = record,
	};
}

static void assert_line(const struct rmd_crash *crash, const char *expected)
{
	struct remuda_error *err = rmd_crash_error(crash);
	char *line = remuda_error_line(err);
	assert_string_equal(line, expected);
	free(line);
	remuda_error_free(err);
}

#define RAN "WorkerLost: the worker process ended while it ran orders.parse"

static void the_address_is_told_as_far_as_it_is_known(void **state)
{
	(void)state;
	remuda_local_CrashRecord record = {
		.signal = SIGSEGV, .code = SEGV_MAPERR, .address = 0xdeadbeef};
	struct rmd_crash crash = crashed(SIGSEGV, &record);
	assert_line(&crash, RAN "; it used address 0xdeadbeef, where no memory is mapped "
				"[signal 11 SIGSEGV]");
	record.access = remuda_local_Access_ACCESS_EXECUTE;
	record.code = SEGV_ACCERR;
	assert_line(&crash, RAN "; it ran code at address 0xdeadbeef, whose memory does "
				"not allow it [signal 11 SIGSEGV]");
	record.code = 4711;
	assert_line(&crash,
		    RAN "; it ran code at address 0xdeadbeef [signal 11 SIGSEGV]");
	record.code = SI_KERNEL;
	assert_line(&crash, RAN "; the processor refused an instruction, and names no "
				"address [signal 11 SIGSEGV]");
	record = (remuda_local_CrashRecord){
		.signal = SIGFPE, .code = FPE_INTDIV, .address = 0x1000};
	crash = crashed(SIGFPE, &record);
	assert_line(&crash, RAN "; integer division by zero, or with too large a result "
				"at address 0x1000 [signal 8 SIGFPE]");
}

static void the_sender_of_a_signal_is_told(void **state)
{
	(void)state;
	remuda_local_CrashRecord record = {
		.signal = SIGABRT, .code = SI_TKILL, .sender = 77};
	struct rmd_crash crash = crashed(SIGABRT, &record);
	assert_line(&crash, RAN "; it sent itself the signal [signal 6 SIGABRT]");
	record.sender = 78;
	assert_line(&crash, RAN "; process 78 sent it the signal [signal 6 SIGABRT]");
}

static void a_record_of_another_signal_is_not_believed(void **state)
{
	(void)state;
	remuda_local_CrashRecord record = {.signal = SIGSEGV, .code = SEGV_MAPERR};
	struct rmd_crash crash = crashed(SIGKILL, &record);
	assert_line(&crash, RAN " [signal 9 SIGKILL]");
	crash.wait_status = 3 << 8;
	assert_line(&crash, "WorkerLost: the worker process exited while it ran "
			    "orders.parse [exit code 3]");
}

static void who_killed_it_is_told_where_it_is_known(void **state)
{
	(void)state;
	static const struct rmd_oom_proof proof = {"/sys/fs/cgroup/pool", 2, 3};
	struct rmd_crash crash = crashed(SIGKILL, NULL);
	crash.peak_bytes = UINT64_C(31) << 20;
	assert_line(&crash, RAN " [signal 9 SIGKILL]"); /* no guess from the peak */
	crash.killed_for = "it did not end by SIGTERM";
	assert_line(&crash, RAN "; its agent ended it: it did not end by SIGTERM "
				"[signal 9 SIGKILL]");
	crash.killed_for = NULL;
	crash.oom = &proof;
	assert_line(&crash,
		    "WorkerLost: the worker process was killed by the kernel for lack of "
		    "memory while it ran orders.parse (oom_kill of /sys/fs/cgroup/pool "
		    "rose from 2 to 3); its peak was 31 MiB [signal 9 SIGKILL]");
}

static void the_stack_is_the_traceback(void **state)
{
	(void)state;
	remuda_local_CrashRecord record = {.signal = SIGSEGV, .code = SEGV_MAPERR};
	struct rmd_crash crash = crashed(SIGSEGV, &record);
	struct remuda_error *stack = remuda_error_create("Stack", "%s", "");
	rmd_error_add_frame(
		stack,
		&(struct remuda_frame){.file = "a.c", .line = 3, .function = "outer"});
	rmd_error_add_frame(stack, &(struct remuda_frame){.image = "/lib/libb.so",
							  .offset = 0x20,
							  .function = "inner"});
	crash.stack = stack;
	struct remuda_error *err = rmd_crash_error(&crash);
	char *text = remuda_error_string(err);
	assert_string_equal(
		text,
		"RemoteTraceback:\n\"\"\"\nTraceback (most recent call last):\n"
		"  File \"a.c\", line 3, in outer\n"
		"  Image \"/lib/libb.so\", offset 0x20, in inner (worker 3 on node-b, "
		"attempt 1)\n"
		"WorkerLost: the worker process ended while it ran orders.parse; it used "
		"address 0x0, where no memory is mapped [signal 11 SIGSEGV]\n\"\"\"\n");
	free(text);
	remuda_error_free(err);
	remuda_error_free(stack);
}

static void without_a_stack_there_is_the_place_by_the_record(void **state)
{
	(void)state;
	remuda_local_CrashRecord record = {
		.signal = SIGSEGV,
		.code = SEGV_MAPERR,
		.registers_count = 17,
		.registers[16] = 0x5010,
		.images_count = 1,
		.images = {{.base = 0x4000,
			    .start = 0x5000,
			    .end = 0x6000,
			    .path = "/m.so"}},
	};
	struct rmd_crash crash = crashed(SIGSEGV, &record);
	struct remuda_error *err = rmd_crash_error(&crash);
	assert_int_equal(remuda_error_frame_count(err), 1);
	assert_string_equal(remuda_error_frame(err, 0).image, "/m.so");
	assert_int_equal(remuda_error_frame(err, 0).offset, 0x1010);
	remuda_error_free(err);
	record.registers[16] = 0x7000;
	err = rmd_crash_error(&crash);
	assert_int_equal(remuda_error_frame_count(err), 0);
	remuda_error_free(err);
}

/* ---- records ---- */

static remuda_local_CrashRecord given, got;
static uint8_t bytes[RMD_CRASH_RECORD_MAX + 1];

static void the_largest_record_goes_through_and_no_larger(void **state)
{
	(void)state;
	given = (remuda_local_CrashRecord){.signal = SIGSEGV,
					   .code = -6,
					   .address = UINT64_MAX,
					   .access = remuda_local_Access_ACCESS_EXECUTE,
					   .sender = UINT32_MAX,
					   .thread = UINT32_MAX,
					   .registers_count = 17,
					   .images_count = 64};
	for (int i = 0; i < 64; i++) {
		given.images[i].start = 1;
		given.images[i].base = given.images[i].end = UINT64_MAX;
		given.images[i].build_id.size = 32;
		memset(given.images[i].path, 'p', 255);
	}
	size_t len = rmd_crash_record_put(&given, bytes);
	assert_true(len > 64u * 255u && len <= RMD_CRASH_RECORD_MAX);
	assert_int_equal(rmd_crash_record_get(rmd_slice_of(bytes, len), &got), 0);
	assert_int_equal(got.images_count, 64);
	assert_int_equal(got.address, UINT64_MAX);
	/* One more image than there is room for. */
	bytes[len] = 0;
	assert_int_equal(rmd_crash_record_get(rmd_slice_of(bytes, len - 1), &got),
			 RMD_EPROTO);
	assert_int_equal(
		rmd_crash_record_get(rmd_slice_of(bytes, RMD_CRASH_RECORD_MAX + 1), &got),
		RMD_EPROTO);
}

static void a_record_that_makes_no_sense_is_refused(void **state)
{
	(void)state;
	static const remuda_local_CrashRecord bad[] = {
		{.signal = 0},
		{.signal = NSIG},
		{.signal = SIGSEGV,
		 .images_count = 1,
		 .images = {{.start = 2, .end = 2}}},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		size_t len = rmd_crash_record_put(&bad[i], bytes);
		assert_int_equal(rmd_crash_record_get(rmd_slice_of(bytes, len), &got),
				 RMD_EPROTO);
	}
	static const char too_many[] = "\x08\x0b\x39\x01\x02\x03\x04\x05\x06\x07\x08";
	memcpy(bytes, too_many, 2);
	size_t len = 2;
	for (int i = 0; i < 18; i++, len += 9)
		memcpy(bytes + len, too_many + 2, 9);
	assert_int_equal(rmd_crash_record_get(rmd_slice_of(bytes, len), &got),
			 RMD_EPROTO);
	assert_int_equal(rmd_crash_record_get(rmd_slice_of(bytes, len - 9), &got), 0);
	assert_int_equal(got.registers_count, 17);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_address_is_told_as_far_as_it_is_known),
		cmocka_unit_test(the_sender_of_a_signal_is_told),
		cmocka_unit_test(a_record_of_another_signal_is_not_believed),
		cmocka_unit_test(who_killed_it_is_told_where_it_is_known),
		cmocka_unit_test(the_stack_is_the_traceback),
		cmocka_unit_test(without_a_stack_there_is_the_place_by_the_record),
		cmocka_unit_test(the_largest_record_goes_through_and_no_larger),
		cmocka_unit_test(a_record_that_makes_no_sense_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
