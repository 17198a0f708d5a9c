/* Posting descriptors: over a bound socket and an inherited one, and what is no post. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/errcode.h"
#include "proto/shared/mailbox.h"

static char dir[64], path[96], socket_path[100];

static const uint8_t one[RMD_SESSION_BYTES] = "session number 1";
static const uint8_t two[RMD_SESSION_BYTES] = "session number 2";

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/remuda-mail-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/sock", dir);
	snprintf(socket_path, sizeof socket_path, "%s/sock.mem", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(dir);                   /* fails where something is left */
}

/* Two files whose sizes tell them apart. */
static void make_files(int fds[RMD_SHARED_FDS], off_t size)
{
	for (off_t i = 0; i < (off_t)RMD_SHARED_FDS; i++) {
		fds[i] = memfd_create("test", MFD_CLOEXEC);
		assert_int_equal(ftruncate(fds[i], size + i), 0);
	}
}

static void close_files(const int fds[RMD_SHARED_FDS])
{
	for (size_t i = 0; i < RMD_SHARED_FDS; i++)
		close(fds[i]);
}

static void post(int fd, const char *to, const uint8_t *session, off_t size)
{
	int fds[RMD_SHARED_FDS];
	make_files(fds, size);
	assert_int_equal(rmd_mailbox_post(fd, to, session, fds), 0);
	close_files(fds);
}

static void expect(struct rmd_mailbox *mailbox, const uint8_t *session, off_t size)
{
	int fds[RMD_SHARED_FDS];
	struct stat st;
	assert_int_equal(rmd_mailbox_take(mailbox, session, (int64_t)getuid(), fds), 0);
	for (off_t i = 0; i < (off_t)RMD_SHARED_FDS; i++) {
		assert_int_equal(fstat(fds[i], &st), 0);
		assert_int_equal(st.st_size, size + i);
		assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
	}
	close_files(fds);
}

static void expect_none(struct rmd_mailbox *mailbox, const uint8_t *session, int64_t uid)
{
	int fds[RMD_SHARED_FDS];
	assert_int_equal(rmd_mailbox_take(mailbox, session, uid, fds), RMD_ENOTFOUND);
}

static int count_fds(void)
{
	int count = 0;
	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void each_session_finds_what_was_posted_for_it_last(void **state)
{
	struct rmd_mailbox *mailbox = rmd_mailbox_create();
	struct stat st;
	(void)state;
	assert_int_equal(rmd_mailbox_bind(mailbox, path), 0);
	assert_int_equal(lstat(socket_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	expect_none(mailbox, one, -1);
	post(-1, path, one, 100);
	post(-1, path, two, 200);
	post(-1, path, one, 300);
	expect(mailbox, one, 300);
	expect(mailbox, two, 200);
	expect_none(mailbox, two, -1);
	rmd_mailbox_destroy(mailbox);
}

static void an_inherited_socket_holds_a_post_whose_sender_has_gone(void **state)
{
	struct rmd_mailbox *mailbox = rmd_mailbox_create();
	int pair[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(rmd_mailbox_adopt(mailbox, pair[1]), 0);
	post(pair[0], NULL, one, 100);
	close(pair[0]);
	expect(mailbox, one, 100);
	assert_int_equal(rmd_mailbox_adopt(mailbox, open("/dev/null", O_RDONLY)), RMD_EINVAL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(rmd_mailbox_adopt(mailbox, pair[1]), RMD_EINVAL);
	close(pair[0]);
	rmd_mailbox_destroy(mailbox);
}

static void another_user_cannot_post_for_a_session(void **state)
{
	struct rmd_mailbox *mailbox = rmd_mailbox_create();
	(void)state;
	assert_int_equal(rmd_mailbox_bind(mailbox, path), 0);
	post(-1, path, one, 100);
	expect_none(mailbox, one, (int64_t)getuid() + 1);
	expect(mailbox, one, 100);
	rmd_mailbox_destroy(mailbox);
}

static void too_many_posts_push_the_oldest_out_and_leak_nothing(void **state)
{
	struct rmd_mailbox *mailbox = rmd_mailbox_create();
	uint8_t session[RMD_SESSION_BYTES] = "";
	(void)state;
	assert_int_equal(rmd_mailbox_bind(mailbox, path), 0);
	int before = count_fds();
	for (unsigned i = 0; i < RMD_MAILBOX_POSTS_MAX + 3; i++) {
		session[0] = (uint8_t)i;
		post(-1, path, session, 100 + (off_t)i);
		expect_none(mailbox, one, -1);   /* reads what has come */
	}
	assert_int_equal(count_fds(), before + (int)(RMD_MAILBOX_POSTS_MAX * RMD_SHARED_FDS));
	session[0] = 2;
	expect_none(mailbox, session, -1);
	session[0] = 3;
	expect(mailbox, session, 103);
	rmd_mailbox_destroy(mailbox);
	assert_int_equal(count_fds(), before - 1);
}

/* Sends `len` bytes with `count` descriptors. */
static void send_raw(const char *bytes, size_t len, size_t count)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(16 * sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)bytes, len};
	struct msghdr message = {.msg_name = &to,
				 .msg_namelen = sizeof to,
				 .msg_iov = &iov,
				 .msg_iovlen = 1};
	int fds[16];
	memcpy(to.sun_path, socket_path, strlen(socket_path));
	for (size_t i = 0; i < count; i++)
		fds[i] = 1;
	if (count != 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
	}
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(sendmsg(fd, &message, 0), len);
	close(fd);
}

static void what_is_no_post_is_dropped_with_its_descriptors(void **state)
{
	static const char good[24] = "RMDMEM1\0session number 1";
	struct rmd_mailbox *mailbox = rmd_mailbox_create();
	char long_one[100] = "RMDMEM1";
	(void)state;
	assert_int_equal(rmd_mailbox_bind(mailbox, path), 0);
	int before = count_fds();
	memcpy(long_one, good, sizeof good);
	send_raw(good, sizeof good, 0);
	send_raw(good, sizeof good, 1);
	send_raw(good, sizeof good, 3);
	expect_none(mailbox, one, -1);
	send_raw(good, sizeof good, 16);
	send_raw(good, sizeof good - 1, 2);
	send_raw(long_one, sizeof long_one, 2);
	send_raw("", 0, 2);
	expect_none(mailbox, one, -1);
	send_raw("rmdmem1\0session number 1", sizeof good, 2);
	expect_none(mailbox, one, -1);
	assert_int_equal(count_fds(), before);
	send_raw(good, sizeof good, 2);
	int fds[RMD_SHARED_FDS];
	assert_int_equal(rmd_mailbox_take(mailbox, one, -1, fds), 0);
	close_files(fds);
	rmd_mailbox_destroy(mailbox);
}

static void a_stale_socket_is_replaced_and_anything_else_is_left_alone(void **state)
{
	struct rmd_mailbox *mailbox = rmd_mailbox_create();
	struct rmd_mailbox *later = rmd_mailbox_create();
	(void)state;
	assert_int_equal(rmd_mailbox_bind(mailbox, path), 0);
	assert_int_equal(rmd_mailbox_bind(later, path), 0);
	rmd_mailbox_destroy(mailbox);        /* its socket is another's now */
	post(-1, path, one, 100);
	expect(later, one, 100);
	rmd_mailbox_destroy(later);
	int fd = open(socket_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	mailbox = rmd_mailbox_create();
	assert_int_equal(rmd_mailbox_bind(mailbox, path), RMD_EINVAL);
	rmd_mailbox_destroy(mailbox);
	assert_int_equal(unlink(socket_path), 0);
}

static void nobody_there_or_a_full_box_is_told_at_once(void **state)
{
	struct rmd_mailbox *mailbox = rmd_mailbox_create();
	int fds[RMD_SHARED_FDS], posted = 0;
	char long_path[200];
	(void)state;
	make_files(fds, 1);
	assert_int_equal(rmd_mailbox_post(-1, path, one, fds), RMD_ESYS);
	memset(long_path, 'x', sizeof long_path - 1);
	long_path[sizeof long_path - 1] = '\0';
	assert_int_equal(rmd_mailbox_post(-1, long_path, one, fds), RMD_ESYS);
	assert_int_equal(rmd_mailbox_bind(mailbox, long_path), RMD_EINVAL);
	assert_int_equal(rmd_mailbox_bind(mailbox, path), 0);
	while (posted < 100000 && rmd_mailbox_post(-1, path, one, fds) == 0)
		posted++;
	assert_in_range(posted, 1, 99999);
	close_files(fds);
	assert_int_equal(rmd_mailbox_take(mailbox, one, -1, fds), 0);
	close_files(fds);
	rmd_mailbox_destroy(mailbox);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_session_finds_what_was_posted_for_it_last),
		TEST(an_inherited_socket_holds_a_post_whose_sender_has_gone),
		TEST(another_user_cannot_post_for_a_session),
		TEST(too_many_posts_push_the_oldest_out_and_leak_nothing),
		TEST(what_is_no_post_is_dropped_with_its_descriptors),
		TEST(a_stale_socket_is_replaced_and_anything_else_is_left_alone),
		TEST(nobody_there_or_a_full_box_is_told_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
