/* Servers and channels: whom they listen to, whom they reach, how they end. */
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

static void refuse_listen(struct rmd_server *server, const char *address, int code,
			  const char *says)
{
	char *actual = NULL, *why = NULL;
	assert_int_equal(rmd_server_listen(server, address, NULL, &actual, &why), code);
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
	refuse_listen(server, "tcp:no-such-host.invalid:80", RMD_ESYS,
		      "no-such-host.invalid");
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
	assert_int_equal(rmd_server_add_methods(server, methods + 1, 1, NULL),
			 RMD_EINVAL);
	char *address = NULL, *why = NULL;
	assert_int_equal(
		rmd_server_listen(server, "tcp:127.0.0.1:0", NULL, &address, &why), 0);
	assert_null(strstr(address, ":0"));
	rmd_free(address);
	assert_int_equal(rmd_server_add_methods(server, methods + 1, 1, NULL),
			 RMD_EINVAL);
	rmd_server_destroy(server); /* never started */
	rmd_loop_destroy(loop);
}

/* The fields of a Who answer. */
static void ask_who(struct rmd_loop *loop, struct rmd_channel *channel, int64_t *ret_uid,
		    int64_t *ret_pid, char *ret_peer, size_t peer_len)
{
	struct caller caller = {.stop_at_messages = 1};
	caller_open(&caller, loop, channel, "/test.Test/Who",
		    rmd_clock_mono_ms() + 10000);
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
	assert_int_equal(atomic_load(&host.half_closed_calls), 0);
	close(other);
	rmd_channel_close(channel);
	host_stop(&host, 1000);
	rmd_loop_destroy(loop);
}

/* Sends `len` bytes to the server and waits until it hangs up. */
static void speak_nonsense(const struct host *host, const void *bytes, size_t len)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof address.sun_path, "%s", host->address + 5);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = {.tv_sec = 20};
	char answer[4096];
	ssize_t got;
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
	while ((got = recv(fd, answer, sizeof answer, 0)) > 0)
		continue;
	assert_true(got == 0 || errno == ECONNRESET);
	close(fd);
}

static void server_hangs_up_on_nonsense_and_goes_on(void **state)
{
	(void)state;
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	struct host host;
	char bytes[512];
	host_start(&host, NULL);
	struct rmd_loop *loop = rmd_loop_create();
	struct rmd_channel *channel = must_open(loop, host.address);
	speak_nonsense(&host, "GET / HTTP/1.1\r\n\r\n", 18);
	memset(bytes, 0xff, sizeof bytes);
	speak_nonsense(&host, bytes, sizeof bytes);
	memcpy(bytes, preface, sizeof preface - 1); /* then a frame of 16 MiB - 1 */
	speak_nonsense(&host, bytes, sizeof bytes);
	struct caller caller = {0};
	caller_open(&caller, loop, channel, "/test.Test/Last", 0);
	caller_wait_closed(&caller);
	assert_int_equal(caller.status, RMD_RPC_ALREADY_EXISTS);
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
		fail_msg("\"%s\" does not say \"%s\" of \"%s\"", caller.text, says,
			 address);
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
	patient.stream = rmd_channel_call(channel, "/test.Test/Echo",
					  rmd_clock_mono_ms() + 20000, true,
					  &caller_events, &patient);
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
		cmocka_unit_test(tcp_addresses_that_cannot_be_served_are_explained),
		cmocka_unit_test(methods_are_refused_when_taken_or_too_late),
		cmocka_unit_test(unix_peer_is_known_by_its_credentials),
		cmocka_unit_test(tcp_peer_has_no_credentials),
		cmocka_unit_test(socketpair_joins_client_and_server),
		cmocka_unit_test(peer_that_vanishes_closes_its_streams),
		cmocka_unit_test(server_hangs_up_on_nonsense_and_goes_on),
		cmocka_unit_test(failed_connection_says_where_and_why),
		cmocka_unit_test(channels_to_bad_addresses_are_refused),
		cmocka_unit_test(patient_call_waits_for_the_server),
		cmocka_unit_test(shutdown_ends_live_streams_after_the_grace),
		cmocka_unit_test(shutdown_lets_calls_end_within_the_grace),
		cmocka_unit_test(nothing_is_left_behind),
		cmocka_unit_test(server_outlives_a_want_of_descriptors),
	};
	return cmocka_run_group_tests_name("rpc_server", tests, NULL, NULL);
}
