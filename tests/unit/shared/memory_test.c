/* Both ends of shared memory in one process: what is lent, borrowed, marked, given back;
 * and files that are not to be trusted. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/shared/segment.h"
#include "proto/shared/shared.h"

#define MIB (1u << 20)

struct ends {
	struct rmd_shared *client, *server;
};

static void close_both(const int fds[RMD_SHARED_FDS])
{
	close(fds[0]);
	close(fds[1]);
}

static struct ends open_ends(uint64_t client_bytes, uint64_t server_bytes)
{
	struct ends ends;
	int fds[RMD_SHARED_FDS];
	assert_int_equal(rmd_shared_create(client_bytes, &ends.client, fds), 0);
	assert_int_equal(rmd_shared_adopt(fds, server_bytes, &ends.server), 0);
	close_both(fds);
	return ends;
}

static void close_ends(struct ends *ends)
{
	rmd_shared_unref(ends->client);
	rmd_shared_unref(ends->server);
}

/* Lends `length` bytes of `fill`. */
static struct rmd_segment_ref lend(struct rmd_shared *shared, size_t length, int fill)
{
	struct rmd_segment_ref ref;
	uint8_t *to;
	assert_int_equal(rmd_shared_lend(shared, length, &ref, &to), 0);
	memset(to, fill, length);
	return ref;
}

static void expect_bytes(const struct rmd_buf *buf, size_t length, int fill)
{
	struct rmd_slice bytes = rmd_buf_slice(buf);
	assert_int_equal(bytes.len, length);
	for (size_t i = 0; i < length; i++)
		if (bytes.data[i] != fill)
			fail_msg("byte %zu", i);
}

static void bytes_go_both_ways_and_their_places_are_free_after_the_last_use(void **state)
{
	struct ends ends = open_ends(4 * MIB, 4 * MIB);
	(void)state;
	for (int way = 0; way < 2; way++) {
		struct rmd_shared *from = way == 0 ? ends.client : ends.server;
		struct rmd_shared *to = way == 0 ? ends.server : ends.client;
		struct rmd_segment_ref ref = lend(from, 3 * MIB, 'a' + way), other;
		struct rmd_buf *buf;
		uint8_t *room;
		assert_int_equal(rmd_shared_borrow(to, &ref, &buf), 0);
		expect_bytes(buf, 3 * MIB, 'a' + way);
		rmd_buf_unref(rmd_buf_ref(buf));
		assert_int_equal(rmd_shared_lend(from, 2 * MIB, &other, &room), RMD_EAGAIN);
		rmd_buf_unref(buf);
		assert_int_equal(rmd_shared_lend(from, 2 * MIB, &other, &room), 0);
		assert_int_equal(other.offset, ref.offset);
		rmd_shared_take_back(from, &other);
	}
	close_ends(&ends);
}

static void a_ref_that_is_used_twice_or_meets_another_is_refused(void **state)
{
	struct ends ends = open_ends(4 * MIB, 4 * MIB);
	struct rmd_segment_ref ref = lend(ends.client, 100000, 'x'), forged = ref;
	struct rmd_buf *buf, *none = NULL;
	(void)state;
	assert_int_equal(rmd_shared_borrow(ends.server, &ref, &buf), 0);
	assert_int_equal(rmd_shared_borrow(ends.server, &ref, &none), RMD_EPROTO);
	forged.place++;
	assert_int_equal(rmd_shared_borrow(ends.server, &forged, &none), RMD_EPROTO);
	forged.offset = 0;
	assert_int_equal(rmd_shared_borrow(ends.server, &forged, &none), RMD_EPROTO);
	forged.offset = 4 * MIB;
	assert_int_equal(rmd_shared_borrow(ends.server, &forged, &none), RMD_EPROTO);
	assert_null(none);
	rmd_buf_unref(buf);
	close_ends(&ends);
}

static void what_was_borrowed_outlives_both_ends(void **state)
{
	struct ends ends = open_ends(MIB, MIB);
	struct rmd_segment_ref ref = lend(ends.client, 70000, 'q');
	struct rmd_buf *buf;
	(void)state;
	assert_int_equal(rmd_shared_borrow(ends.server, &ref, &buf), 0);
	close_ends(&ends);
	expect_bytes(buf, 70000, 'q');
	rmd_buf_unref(buf);
}

static void the_coordinator_puts_in_no_more_than_its_own_limit(void **state)
{
	struct ends ends = open_ends(4 * MIB, 100000);
	struct rmd_segment_ref ref;
	uint8_t *to;
	(void)state;
	assert_int_equal(rmd_shared_lend(ends.server, 100001, &ref, &to), RMD_EAGAIN);
	assert_int_equal(rmd_shared_lend(ends.server, 100000, &ref, &to), 0);
	assert_int_equal(rmd_shared_lend(ends.server, 1, &ref, &to), RMD_EAGAIN);
	close_ends(&ends);
}

static void a_place_can_be_shortened_and_what_it_loses_is_free(void **state)
{
	struct ends ends = open_ends(MIB, MIB);
	struct rmd_segment_ref ref = lend(ends.client, MIB, 's'), next;
	uint8_t *to;
	(void)state;
	assert_int_equal(rmd_shared_lend(ends.client, MIB / 2, &next, &to), RMD_EAGAIN);
	rmd_shared_shorten(ends.client, &ref, 10);
	assert_int_equal(ref.length, 10);
	assert_int_equal(rmd_shared_lend(ends.client, MIB / 2, &next, &to), 0);
	close_ends(&ends);
}

/* The other side marks places that it was never told of. */
static void marks_that_come_too_early_harm_nobody(void **state)
{
	struct rmd_segment theirs = {0};
	struct rmd_shared *client, *server;
	struct rmd_segment_ref ref, again;
	uint8_t *to;
	int fds[RMD_SHARED_FDS];
	(void)state;
	assert_int_equal(rmd_shared_create(MIB, &client, fds), 0);
	assert_int_equal(rmd_shared_adopt(fds, MIB, &server), 0);
	assert_int_equal(rmd_segment_adopt(fds[1], RMD_SEGMENT_WRITE, &theirs), 0);
	close_both(fds);
	assert_int_equal(rmd_shared_lend(client, 1000, &ref, &to), 0);
	((uint32_t *)(void *)theirs.base)[ref.place] = ref.mark;
	assert_int_equal(rmd_shared_lend(client, 1000, &again, &to), 0);
	assert_int_equal(again.offset, ref.offset);
	rmd_shared_shorten(client, &ref, 10);
	rmd_shared_take_back(client, &ref);   /* of a use that is over */
	rmd_shared_take_back(client, &again);
	rmd_shared_take_back(client, &again);
	memset(theirs.base, 0xff, RMD_SEGMENT_HEAD_BYTES);
	for (int i = 0; i < 100; i++)
		assert_int_equal(rmd_shared_lend(client, 1000, &ref, &to), 0);
	rmd_segment_fini(&theirs);
	rmd_shared_unref(client);
	rmd_shared_unref(server);
}

/* ---- files ---- */

static int file_of(unsigned flags, int seals, off_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC | flags);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	if (seals != 0)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void refuse(int fd)
{
	struct rmd_segment segment = {0};
	assert_int_equal(rmd_segment_adopt(fd, RMD_SEGMENT_READ, &segment), RMD_EPROTO);
	assert_null(segment.base);
	close(fd);
}

static void a_file_whose_size_can_change_is_refused(void **state)
{
	const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	char path[] = "/tmp/remuda-shared-XXXXXX";
	int pair[2];
	(void)state;
	refuse(file_of(0, 0, MIB));
	refuse(file_of(MFD_ALLOW_SEALING, 0, MIB));
	refuse(file_of(MFD_ALLOW_SEALING, F_SEAL_GROW | F_SEAL_SEAL, MIB));
	refuse(file_of(MFD_ALLOW_SEALING, F_SEAL_SHRINK | F_SEAL_GROW, MIB));
	refuse(file_of(MFD_ALLOW_SEALING, all, 0));
	refuse(file_of(MFD_ALLOW_SEALING, all, RMD_SEGMENT_MIN_BYTES - 4096));
	refuse(file_of(MFD_ALLOW_SEALING, all, MIB + 1));
	refuse(file_of(MFD_ALLOW_SEALING, all, (off_t)RMD_SEGMENT_MAX_BYTES + 4096));
	int fd = mkstemp(path);
	unlink(path);
	assert_int_equal(ftruncate(fd, MIB), 0);
	refuse(fd);
	assert_int_equal(pipe(pair), 0);
	refuse(pair[0]);
	close(pair[1]);
	struct rmd_segment segment;
	fd = file_of(MFD_ALLOW_SEALING, all, MIB);
	assert_int_equal(rmd_segment_adopt(fd, RMD_SEGMENT_WRITE, &segment), 0);
	rmd_segment_fini(&segment);
	close(fd);
}

static void a_file_that_cannot_be_written_is_no_place_for_results(void **state)
{
	int fds[RMD_SHARED_FDS], swapped[RMD_SHARED_FDS];
	struct rmd_shared *client, *server = NULL;
	(void)state;
	assert_int_equal(rmd_shared_create(MIB, &client, fds), 0);
	swapped[0] = swapped[1] = fds[0];    /* twice the one that only reads */
	assert_int_equal(rmd_shared_adopt(swapped, MIB, &server), RMD_ESYS);
	assert_null(server);
	assert_int_equal(fcntl(fds[0], F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0) ==
		    MAP_FAILED);
	assert_int_equal(ftruncate(fds[1], 4096), -1);
	close_both(fds);
	rmd_shared_unref(client);
}

static void too_little_memory_is_not_worth_sharing(void **state)
{
	int fds[RMD_SHARED_FDS];
	struct rmd_shared *client = NULL;
	(void)state;
	assert_int_equal(rmd_shared_create(0, &client, fds), RMD_EINVAL);
	assert_int_equal(rmd_shared_create(4096, &client, fds), RMD_EINVAL);
	assert_null(client);
}

/* ---- giving back ---- */

static uint64_t blocks_of(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* Trims as long as it asks for it, with a clock that jumps. */
static void trim_all(struct rmd_shared *shared)
{
	uint64_t now_ms = rmd_clock_mono_ms();
	for (int i = 0; i < 100; i++) {
		uint64_t again_ms = rmd_shared_trim(shared, now_ms);
		if (again_ms == 0)
			return;
		now_ms += again_ms;
	}
}

static void idle_memory_goes_back_around_what_is_held(void **state)
{
	int fds[RMD_SHARED_FDS];
	struct ends ends;
	struct rmd_buf *low, *high;
	(void)state;
	assert_int_equal(rmd_shared_create(512 * MIB, &ends.client, fds), 0);
	assert_int_equal(rmd_shared_adopt(fds, MIB, &ends.server), 0);
	assert_false(rmd_shared_warm(ends.client));
	struct rmd_segment_ref first = lend(ends.client, 100 * MIB, 1);
	struct rmd_segment_ref second = lend(ends.client, 3 * MIB, 2);
	assert_true(rmd_shared_warm(ends.client));
	assert_int_equal(rmd_shared_borrow(ends.server, &first, &low), 0);
	assert_int_equal(rmd_shared_borrow(ends.server, &second, &high), 0);
	assert_true(blocks_of(fds[0]) >= 103 * MIB);
	rmd_buf_unref(low);
	assert_true(rmd_shared_trim(ends.client, rmd_clock_mono_ms()) > 0);
	assert_true(blocks_of(fds[0]) >= 103 * MIB); /* it was in use a moment ago */
	trim_all(ends.client);
	assert_true(blocks_of(fds[0]) < 6 * MIB);
	expect_bytes(high, 3 * MIB, 2);
	rmd_buf_unref(high);
	trim_all(ends.client);
	assert_true(blocks_of(fds[0]) < 2 * MIB);
	assert_false(rmd_shared_warm(ends.client));
	close_both(fds);
	close_ends(&ends);
}

/* ---- processes and threads ---- */

static void a_forked_child_frees_nothing_of_its_parents(void **state)
{
	struct ends ends = open_ends(MIB, MIB);
	struct rmd_segment_ref ref = lend(ends.server, MIB, 'f'), other;
	struct rmd_buf *buf;
	uint8_t *to;
	int status;
	(void)state;
	assert_int_equal(rmd_shared_borrow(ends.client, &ref, &buf), 0);
	pid_t pid = fork();
	if (pid == 0) {
		int bad = rmd_buf_slice(buf).data[5] != 'f';
		rmd_buf_unref(buf);
		bad |= rmd_shared_lend(ends.client, 1, &other, &to) != RMD_EAGAIN;
		_exit(bad);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(rmd_shared_lend(ends.server, 1000, &other, &to), RMD_EAGAIN);
	rmd_buf_unref(buf);
	assert_int_equal(rmd_shared_lend(ends.server, 1000, &other, &to), 0);
	close_ends(&ends);
}

static void *exchange(void *arg)
{
	struct ends *ends = arg;
	for (int i = 0; i < 3000; i++) {
		struct rmd_segment_ref ref;
		struct rmd_buf *buf;
		uint8_t *to;
		size_t length = 1 + (size_t)(i * 7919) % 20000;
		int rc = rmd_shared_lend(ends->client, length, &ref, &to);
		if (rc == RMD_EAGAIN)
			continue;
		if (rc < 0)
			return "lend";
		memset(to, i & 0xff, length);
		if (rmd_shared_borrow(ends->server, &ref, &buf) < 0)
			return "borrow";
		struct rmd_slice bytes = rmd_buf_slice(buf);
		bool good = bytes.data[0] == (i & 0xff) && bytes.data[length - 1] == (i & 0xff);
		rmd_buf_unref(buf);
		if (!good)
			return "bytes";
	}
	return NULL;
}

static void threads_lend_and_borrow_at_once(void **state)
{
	struct ends ends = open_ends(MIB, MIB);
	pthread_t threads[4];
	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, exchange, &ends), 0);
	for (int i = 0; i < 4; i++) {
		void *failed;
		pthread_join(threads[i], &failed);
		if (failed != NULL)
			fail_msg("%s", (char *)failed);
	}
	close_ends(&ends);
}

static void each_failing_allocation_is_told_and_leaks_nothing(void **state)
{
	(void)state;
	for (uint64_t n = 1; n < 50; n++) {
		struct rmd_shared *client = NULL, *server = NULL;
		struct rmd_segment_ref ref;
		struct rmd_buf *buf = NULL;
		uint8_t *to;
		int fds[RMD_SHARED_FDS];
		rmd_alloc_fail_at(n);
		int rc = rmd_shared_create(MIB, &client, fds);
		if (rc == 0) {
			rc = rmd_shared_adopt(fds, MIB, &server);
			close_both(fds);
		}
		if (rc == 0 && (rc = rmd_shared_lend(client, 1000, &ref, &to)) == 0)
			rc = rmd_shared_borrow(server, &ref, &buf);
		rmd_alloc_fail_at(0);
		rmd_buf_unref(buf);
		rmd_shared_unref(server);
		rmd_shared_unref(client);
		if (rc == 0)
			return;
		assert_int_equal(rc, RMD_ENOMEM);
	}
	fail_msg("it never went well");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			bytes_go_both_ways_and_their_places_are_free_after_the_last_use),
		cmocka_unit_test(a_ref_that_is_used_twice_or_meets_another_is_refused),
		cmocka_unit_test(what_was_borrowed_outlives_both_ends),
		cmocka_unit_test(the_coordinator_puts_in_no_more_than_its_own_limit),
		cmocka_unit_test(a_place_can_be_shortened_and_what_it_loses_is_free),
		cmocka_unit_test(marks_that_come_too_early_harm_nobody),
		cmocka_unit_test(a_file_whose_size_can_change_is_refused),
		cmocka_unit_test(a_file_that_cannot_be_written_is_no_place_for_results),
		cmocka_unit_test(too_little_memory_is_not_worth_sharing),
		cmocka_unit_test(idle_memory_goes_back_around_what_is_held),
		cmocka_unit_test(a_forked_child_frees_nothing_of_its_parents),
		cmocka_unit_test(threads_lend_and_borrow_at_once),
		cmocka_unit_test(each_failing_allocation_is_told_and_leaks_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
