/* Addresses, and unix sockets of our own. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/rpc/address.h"
#include "proto/rpc/unix_listener.h"
#include "tests/unit/rpc/harness.h"

/* ---- addresses ---- */

static void refuse_address(const char *text, const char *says)
{
	struct rmd_address address;
	char *why = NULL;
	assert_int_equal(rmd_address_parse(text, &address, &why), RMD_EINVAL);
	assert_non_null(why);
	if (strstr(why, says) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, says);
	rmd_free(why);
}

static void wrong_addresses_are_explained(void **state)
{
	(void)state;
	char text[300] = "unix:/";
	refuse_address("", "unix:PATH, tcp:HOST:PORT or dns:///HOST:PORT");
	refuse_address("localhost:7070", "unix:PATH, tcp:HOST:PORT or dns:///HOST:PORT");
	refuse_address("http://x", "dns:///HOST:PORT");
	refuse_address("unix:", "names no path");
	refuse_address("tcp:localhost", "port is missing");
	refuse_address("tcp:localhost:", "not a number");
	refuse_address("tcp:localhost:70x", "70x");
	refuse_address("tcp:localhost:65536", "65535");
	refuse_address("tcp:localhost:-1", "-1");
	refuse_address("tcp::80", "host is missing");
	refuse_address("tcp:::1:80", "brackets");
	refuse_address("dns:///a/b:80", "host");
	memset(text + 6, 'x', 107);
	refuse_address(text, "107");
	text[6 + 106] = '\0'; /* the longest that fits */
	struct rmd_address address;
	char *why;
	assert_int_equal(rmd_address_parse(text, &address, &why), 0);
	rmd_address_fini(&address);
}

static void check_target(const char *text, const char *wanted)
{
	struct rmd_address address;
	char *why = NULL;
	assert_int_equal(rmd_address_parse(text, &address, &why), 0);
	char *target = rmd_address_target(&address);
	assert_string_equal(target, wanted);
	rmd_free(target);
	rmd_address_fini(&address);
}

static void targets_are_what_grpc_reads(void **state)
{
	(void)state;
	check_target("unix:/run/a b%c", "unix:/run/a%20b%25c");
	check_target("unix:///run/x", "unix:/run/x");
	check_target("unix:x", "unix:x");
	check_target("tcp:[::1]:80", "dns:///%5B::1%5D:80");
	check_target("dns:///host.example:7070", "dns:///host.example:7070");
}

/* ---- the listener ---- */

static void refuse_listener(const char *path, int code, const char *says)
{
	struct rmd_unix_listener *listener;
	char *why = NULL;
	assert_int_equal(rmd_unix_listener_open(path, &listener, &why), code);
	assert_non_null(why);
	if (strstr(why, says) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, says);
	rmd_free(why);
}

static void second_server_on_a_socket_is_refused(void **state)
{
	(void)state;
	char folder[64], path[100], text[64];
	struct rmd_unix_listener *first, *second;
	char *why = NULL;
	make_folder(folder);
	snprintf(path, sizeof path, "%s/s", folder);
	assert_int_equal(rmd_unix_listener_open(path, &first, &why), 0);
	snprintf(text, sizeof text, "process %d already serves", (int)getpid());
	refuse_listener(path, RMD_EEXIST, text);
	/* The first one is untouched by that. */
	struct stat there;
	assert_int_equal(stat(path, &there), 0);
	assert_int_equal(there.st_mode & 0777, 0600);
	rmd_unix_listener_close(first);
	assert_int_equal(rmd_unix_listener_open(path, &second, &why), 0);
	rmd_unix_listener_close(second);
	remove_folder(folder);
}

static void stale_socket_of_a_dead_process_is_replaced(void **state)
{
	(void)state;
	char folder[64], path[100];
	struct rmd_unix_listener *listener;
	char *why = NULL;
	make_folder(folder);
	snprintf(path, sizeof path, "%s/s", folder);
	pid_t child = fork();
	if (child == 0) { /* dies without tidying up */
		_exit(rmd_unix_listener_open(path, &listener, &why) == 0 ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(rmd_unix_listener_open(path, &listener, &why), 0);
	rmd_unix_listener_close(listener);
	remove_folder(folder);
}

static void what_is_not_a_socket_is_left_alone(void **state)
{
	(void)state;
	char folder[64], path[100];
	make_folder(folder);
	snprintf(path, sizeof path, "%s/s", folder);
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	refuse_listener(path, RMD_EINVAL, "not a socket");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	refuse_listener(path, RMD_EINVAL, "not a socket");
	rmdir(path);
	remove_folder(folder);
}

static void paths_that_cannot_be_served_are_explained(void **state)
{
	(void)state;
	char path[200];
	memset(path, 'x', sizeof path);
	path[150] = '\0';
	refuse_listener(path, RMD_EINVAL, "150 bytes");
	refuse_listener("/nowhere/at/all/s", RMD_ESYS, "make its folder first");
	refuse_listener("/proc/s", RMD_ESYS, "/proc/s");
	if (geteuid() != 0)
		refuse_listener("/root/s", RMD_ESYS, "may write");
}

static void socket_of_another_is_not_removed(void **state)
{
	(void)state;
	char folder[64], path[100];
	struct rmd_unix_listener *listener;
	char *why = NULL;
	make_folder(folder);
	snprintf(path, sizeof path, "%s/s", folder);
	assert_int_equal(rmd_unix_listener_open(path, &listener, &why), 0);
	unlink(path); /* somebody else makes the path his own */
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	rmd_unix_listener_close(listener);
	assert_int_equal(unlink(path), 0);
	remove_folder(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stale_socket_of_a_dead_process_is_replaced),
		cmocka_unit_test(wrong_addresses_are_explained),
		cmocka_unit_test(targets_are_what_grpc_reads),
		cmocka_unit_test(second_server_on_a_socket_is_refused),
		cmocka_unit_test(what_is_not_a_socket_is_left_alone),
		cmocka_unit_test(paths_that_cannot_be_served_are_explained),
		cmocka_unit_test(socket_of_another_is_not_removed),
	};
	return cmocka_run_group_tests_name("rpc_listen", tests, NULL, NULL);
}
