/* Listeners, connections, addresses, and the end of servers. */
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

/* ---- servers ---- */

static void refuse_listen(struct rmd_server *server, const char *address, int code, const char *says)
{
	char *actual = NULL, *why = NULL;
	assert_int_equal(rmd_server_listen(server, address, RMD_LISTEN_INSECURE, &actual, &why),
			 code);
	assert_non_null(why);
	if (strstr(why, says) == NULL || strstr(why, address) == NULL)
		fail_msg("\"%s\" does not say \"%s\" of \"%s\"", why, says, address);
	rmd_free(why);
}

static void tcp_addresses_that_cannot_be_served_are_explained(void **state)
{
	(void)state;
	struct rmd_loop *loop = rmd_loop_create();
	struct rmd_server *server = rmd_server_create(loop, NULL);
	struct sockaddr_in busy = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof busy;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char address[64];
	assert_int_equal(bind(fd, (struct sockaddr *)&busy, sizeof busy), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&busy, &len), 0);
	snprintf(address, sizeof address, "tcp:127.0.0.1:%u", ntohs(busy.sin_port));
	refuse_listen(server, address, RMD_ESYS, "already in use");
	close(fd);
	refuse_listen(server, "tcp:no-such-host.invalid:80", RMD_ESYS, "no-such-host.invalid");
	refuse_listen(server, "tcp:192.0.2.1:7070", RMD_ESYS, "no such address");
	refuse_listen(server, "dns:///localhost:80", RMD_EINVAL, "for clients");
	refuse_listen(server, "nonsense", RMD_EINVAL, "not an address");
	rmd_server_destroy(server);
	rmd_loop_destroy(loop);
}

static void methods_are_refused_when_taken_or_too_late(void **state)
{
	(void)state;
	static const struct rmd_method methods[] = {
		{"/a.B/C", NULL, 64u << 20, false},
		{"/a.B/D", NULL, (64u << 20) + 1, false},
	};
	struct rmd_loop *loop = rmd_loop_create();
	struct rmd_server *server = rmd_server_create(loop, NULL);
	assert_int_equal(rmd_server_add_methods(server, methods, 1, NULL), 0);
	assert_int_equal(rmd_server_add_methods(server, methods, 1, NULL), RMD_EEXIST);
	assert_int_equal(rmd_server_add_methods(server, methods + 1, 1, NULL), RMD_EINVAL);
	char *address = NULL, *why = NULL;
	assert_int_equal(rmd_server_listen(server, "tcp:127.0.0.1:0", RMD_LISTEN_INSECURE, &address,
					   &why), 0);
	assert_null(strstr(address, ":0"));
	rmd_free(address);
	assert_int_equal(rmd_server_add_methods(server, methods + 1, 1, NULL), RMD_EINVAL);
	rmd_server_destroy(server); /* never started */
	rmd_loop_destroy(loop);
}

/* The fields of a Who answer. */
static void ask_who(struct rmd_loop *loop, struct rmd_channel *channel, int64_t *ret_uid,
		    int64_t *ret_pid, char *ret_peer, size_t peer_len)
{
	struct caller caller = {.stop_at_messages = 1};
	caller_open(&caller, loop, channel, "/test.Test/Who", rmd_clock_mono_ms() + 10000);
	rmd_loop_run(loop);
	assert_int_equal(caller.messages, 1);
	struct rmd_wire_reader reader = rmd_wire_reader_of(caller.last.bytes);
	struct rmd_wire_field field;
	bool deadline = false, agent = false, method = false;
	while (rmd_wire_next(&reader, &field) > 0) {
		if (field.number == 2)
			*ret_uid = rmd_wire_unzigzag(field.varint);
		else if (field.number == 3)
			*ret_pid = rmd_wire_unzigzag(field.varint);
		else if (field.number == 4)
			agent = field.bytes.len > 0;
		else if (field.number == 5)
			deadline = field.varint == 1;
		else if (field.number == 6)
			snprintf(ret_peer, peer_len, "%.*s", (int)field.bytes.len,
				 (const char *)field.bytes.data);
		else if (field.number == 7)
			method = rmd_slice_equal(field.bytes,
						 rmd_slice_of_string("/test.Test/Who"));
	}
	assert_true(deadline);
	assert_true(agent);
	assert_true(method);
	caller_wait_closed(&caller);
	assert_int_equal(caller.status, RMD_RPC_OK);
}

static void unix_peer_is_known_by_its_credentials(void **state)
{
	(void)state;
	struct host host;
	int64_t uid = 7, pid = 7;
	char peer[128];
	host_start(&host, NULL);
	struct rmd_loop *loop = rmd_loop_create();
	struct rmd_channel *channel = must_open(loop, host.address);
	ask_who(loop, channel, &uid, &pid, peer, sizeof peer);
	assert_int_equal(uid, getuid());
	assert_int_equal(pid, getpid());
	assert_non_null(strstr(peer, "unix:pid="));
	rmd_channel_close(channel);
	host_stop(&host, 1000);
	rmd_loop_destroy(loop);
}

static void tcp_peer_has_no_credentials(void **state)
{
	(void)state;
	struct host host;
	int64_t uid = 7, pid = 7;
	char peer[128];
	host_start(&host, "tcp:127.0.0.1:0");
	struct rmd_loop *loop = rmd_loop_create();
	struct rmd_channel *channel = must_open(loop, host.address);
	ask_who(loop, channel, &uid, &pid, peer, sizeof peer);
	assert_int_equal(uid, -1);
	assert_int_equal(pid, -1);
	assert_non_null(strstr(peer, "127.0.0.1"));
	rmd_channel_close(channel);
	host_stop(&host, 1000);
	rmd_loop_destroy(loop);
}

static int socket_for_host, add_fd_code;

static void give_socket(struct host *host)
{
	add_fd_code = rmd_server_add_fd(host->server, socket_for_host);
}

static void socketpair_joins_client_and_server(void **state)
{
	(void)state;
	struct host host;
	int pair[2], pipe_ends[2];
	int64_t uid = 7, pid = 7;
	char peer[128], *why = NULL;
	host_start(&host, NULL);
	struct rmd_loop *loop = rmd_loop_create();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	socket_for_host = pair[0];
	host_do(&host, give_socket);
	assert_int_equal(add_fd_code, 0);
	struct rmd_channel *channel = rmd_channel_open_fd(loop, pair[1], &why);
	assert_non_null(channel);
	ask_who(loop, channel, &uid, &pid, peer, sizeof peer);
	assert_int_equal(uid, getuid());
	rmd_channel_close(channel);
	/* What is not a stream socket is refused, and closed. */
	assert_int_equal(pipe(pipe_ends), 0);
	socket_for_host = pipe_ends[0];
	host_do(&host, give_socket);
	assert_int_equal(add_fd_code, RMD_EINVAL);
	assert_int_equal(fcntl(pipe_ends[0], F_GETFD), -1);
	assert_null(rmd_channel_open_fd(loop, pipe_ends[1], &why));
	assert_non_null(strstr(why, "not a connected stream socket"));
	assert_int_equal(fcntl(pipe_ends[1], F_GETFD), -1);
	rmd_free(why);
	host_stop(&host, 1000);
	rmd_loop_destroy(loop);
}

static void peer_that_vanishes_closes_its_streams(void **state)
{
	(void)state;
	struct host host;
	int pair[2];
	char *why = NULL;
	host_start(&host, NULL);
	struct rmd_loop *loop = rmd_loop_create();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	socket_for_host = pair[0];
	host_do(&host, give_socket);
	int other = fcntl(pair[1], F_DUPFD_CLOEXEC, 0);
	struct rmd_channel *channel = rmd_channel_open_fd(loop, pair[1], &why);
	struct caller caller = {.stop_at_items = 1};
	caller_open(&caller, loop, channel, "/test.Test/Echo", 0);
	send_item(caller.stream, 0, 0, 100);
	rmd_loop_run(loop);
	shutdown(other, SHUT_RDWR); /* as if either process were gone */
	caller_wait_closed(&caller);
	assert_int_equal(caller.status, RMD_RPC_UNAVAILABLE);
	sem_wait(&host.gone);
	assert_int_equal(atomic_load(&host.cancelled_calls), 1);
	close(other);
	rmd_channel_close(channel);
	host_stop(&host, 1000);
	rmd_loop_destroy(loop);
}

static void server_is_not_there(const char *address, const char *says)
{
	struct rmd_loop *loop = rmd_loop_create();
	struct rmd_channel *channel = must_open(loop, address);
	struct caller caller = {0};
	caller_open(&caller, loop, channel, "/test.Test/Echo", 0);
	caller_wait_closed(&caller);
	assert_int_equal(caller.status, RMD_RPC_UNAVAILABLE);
	if (strstr(caller.text, says) == NULL || strstr(caller.text, address) == NULL)
		fail_msg("\"%s\" does not say \"%s\" of \"%s\"", caller.text, says, address);
	rmd_channel_close(channel);
	rmd_loop_destroy(loop);
}

static void failed_connection_says_where_and_why(void **state)
{
	(void)state;
	server_is_not_there("unix:/nowhere/at/all", "No such file or directory");
	server_is_not_there("tcp:127.0.0.1:1", "Connection refused");
	server_is_not_there("dns:///no-such-host.invalid:1", "no-such-host.invalid");
}

static void channels_to_bad_addresses_are_refused(void **state)
{
	(void)state;
	struct rmd_loop *loop = rmd_loop_create();
	char *why = NULL;
	assert_null(rmd_channel_open(loop, "ftp:x", &why));
	assert_non_null(strstr(why, "unix:PATH, tcp:HOST:PORT or dns:///HOST:PORT"));
	rmd_free(why);
	assert_null(rmd_channel_open(loop, "tcp:localhost:0", &why));
	assert_non_null(strstr(why, "port 0"));
	rmd_free(why);
	rmd_channel_close(NULL);
	rmd_server_destroy(NULL);
	rmd_loop_destroy(loop);
}

static void patient_call_waits_for_the_server(void **state)
{
	(void)state;
	struct host early, late;
	char address[128];
	host_start(&early, "tcp:127.0.0.1:0"); /* for a port that is free afterwards */
	snprintf(address, sizeof address, "%s", early.address);
	host_stop(&early, 0);
	struct rmd_loop *loop = rmd_loop_create();
	struct rmd_channel *channel = must_open(loop, address);
	struct caller hasty = {0}, patient = {.loop = loop};
	caller_open(&hasty, loop, channel, "/test.Test/Echo", 0);
	patient.stream = rmd_channel_call(channel, "/test.Test/Echo", rmd_clock_mono_ms() + 20000,
					  true, &caller_events, &patient);
	send_item(patient.stream, 0, 0, 100);
	rmd_stream_finish(patient.stream, RMD_RPC_OK, "");
	caller_wait_closed(&hasty);
	assert_int_equal(hasty.status, RMD_RPC_UNAVAILABLE);
	host_start(&late, address);
	caller_wait_closed(&patient);
	assert_int_equal(patient.status, RMD_RPC_OK);
	assert_int_equal(patient.items, 1);
	rmd_channel_close(channel);
	host_stop(&late, 1000);
	rmd_loop_destroy(loop);
}

static void *stop_soon(void *arg)
{
	host_stop(arg, 50);
	return NULL;
}

static void *stop_gently(void *arg)
{
	host_stop(arg, 20000);
	return NULL;
}

static void shutdown_ends_live_streams_after_the_grace(void **state)
{
	(void)state;
	struct host host;
	host_start(&host, NULL);
	struct rmd_loop *loop = rmd_loop_create();
	struct rmd_channel *channel = must_open(loop, host.address);
	struct caller callers[5] = {0};
	callers[4].stop_at_items = 1;
	for (size_t i = 0; i < 5; i++) {
		caller_open(&callers[i], loop, channel,
			    i == 4 ? "/test.Test/Echo" : "/test.Test/Never", 0);
		send_item(callers[i].stream, 0, 0, 100);
	}
	rmd_loop_run(loop);
	pthread_t thread;
	pthread_create(&thread, NULL, stop_soon, &host);
	for (size_t i = 0; i < 5; i++) {
		caller_wait_closed(&callers[i]);
		assert_true(callers[i].status == RMD_RPC_UNAVAILABLE ||
			    callers[i].status == RMD_RPC_CANCELLED);
	}
	pthread_join(thread, NULL);
	rmd_channel_close(channel);
	rmd_loop_destroy(loop);
}

static void shutdown_lets_calls_end_within_the_grace(void **state)
{
	(void)state;
	struct host host;
	host_start(&host, NULL);
	struct rmd_loop *loop = rmd_loop_create();
	struct rmd_channel *channel = must_open(loop, host.address);
	struct caller caller = {.stop_at_items = 1};
	caller_open(&caller, loop, channel, "/test.Test/Echo", 0);
	send_item(caller.stream, 0, 0, 100);
	rmd_loop_run(loop);
	pthread_t thread;
	pthread_create(&thread, NULL, stop_gently, &host);
	send_item(caller.stream, 0, 1, 100);
	rmd_stream_finish(caller.stream, RMD_RPC_OK, "");
	caller_wait_closed(&caller);
	assert_int_equal(caller.status, RMD_RPC_OK);
	assert_int_equal(caller.items, 2);
	pthread_join(thread, NULL);
	rmd_channel_close(channel);
	rmd_loop_destroy(loop);
}

static void run_briefly(void)
{
	struct host host;
	host_start(&host, NULL);
	struct rmd_loop *loop = rmd_loop_create();
	struct rmd_channel *channel = must_open(loop, host.address);
	struct caller caller = {0};
	caller_open(&caller, loop, channel, "/test.Test/Last", 0);
	caller_wait_closed(&caller);
	rmd_channel_close(channel);
	host_stop(&host, 1000);
	rmd_loop_destroy(loop);
}

static void nothing_is_left_behind(void **state)
{
	(void)state;
	run_briefly();
	size_t fds = count_fds(), threads = count_threads();
	for (int i = 0; i < 5; i++)
		run_briefly();
	assert_int_equal(count_fds(), fds);
	assert_int_equal(count_threads(), threads);
}

static void server_outlives_a_want_of_descriptors(void **state)
{
	(void)state;
	struct host host;
	struct rlimit old, tight;
	host_start(&host, NULL);
	struct rmd_loop *loop = rmd_loop_create();
	struct rmd_channel *channel = must_open(loop, host.address);
	struct caller caller = {0};
	/* The client has its socket; the server finds no descriptor to accept with. */
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof address.sun_path, "%s", host.address + 5);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = old;
	tight.rlim_cur = (rlim_t)fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	char byte;
	struct timeval wait = {.tv_usec = 300000};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	assert_int_equal(recv(fd, &byte, 1, 0), -1); /* nobody answers, nobody hangs up */
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	wait.tv_usec = 0;
	wait.tv_sec = 20;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	assert_int_equal(recv(fd, &byte, 1, 0), 1); /* HTTP/2 settings */
	close(fd);
	caller_open(&caller, loop, channel, "/test.Test/Last", 0);
	caller_wait_closed(&caller);
	assert_int_equal(caller.status, RMD_RPC_ALREADY_EXISTS);
	rmd_channel_close(channel);
	host_stop(&host, 1000);
	rmd_loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stale_socket_of_a_dead_process_is_replaced), /* forks: first */
		cmocka_unit_test(wrong_addresses_are_explained),
		cmocka_unit_test(targets_are_what_grpc_reads),
		cmocka_unit_test(second_server_on_a_socket_is_refused),
		cmocka_unit_test(what_is_not_a_socket_is_left_alone),
		cmocka_unit_test(paths_that_cannot_be_served_are_explained),
		cmocka_unit_test(socket_of_another_is_not_removed),
		cmocka_unit_test(tcp_addresses_that_cannot_be_served_are_explained),
		cmocka_unit_test(methods_are_refused_when_taken_or_too_late),
		cmocka_unit_test(unix_peer_is_known_by_its_credentials),
		cmocka_unit_test(tcp_peer_has_no_credentials),
		cmocka_unit_test(socketpair_joins_client_and_server),
		cmocka_unit_test(peer_that_vanishes_closes_its_streams),
		cmocka_unit_test(failed_connection_says_where_and_why),
		cmocka_unit_test(channels_to_bad_addresses_are_refused),
		cmocka_unit_test(patient_call_waits_for_the_server),
		cmocka_unit_test(shutdown_ends_live_streams_after_the_grace),
		cmocka_unit_test(shutdown_lets_calls_end_within_the_grace),
		cmocka_unit_test(nothing_is_left_behind),
		cmocka_unit_test(server_outlives_a_want_of_descriptors),
	};
	return cmocka_run_group_tests_name("rpc_listen", tests, NULL, NULL);
}
