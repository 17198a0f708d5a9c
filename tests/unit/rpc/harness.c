#include "tests/unit/rpc/harness.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"

/* ---- the server's methods ---- */

/* Appends the items (field 1) of `message`, large ones by reference. */
static void put_items(struct rmd_wire_writer *writer, struct rmd_piece message)
{
	struct rmd_wire_reader reader = rmd_wire_reader_of(message.bytes);
	struct rmd_wire_field field;
	while (rmd_wire_next(&reader, &field) > 0)
		if (field.number == 1)
			rmd_wire_put_piece(writer, 1,
					   (struct rmd_piece){field.bytes, message.buf});
}

static void echo_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	(void)ctx;
	put_items(rmd_stream_begin(stream), message);
	rmd_stream_end(stream);
}

static void echo_half_closed(struct rmd_stream *stream, void *ctx)
{
	struct host *host = ctx;
	atomic_fetch_add(&host->half_closed_calls, 1);
	rmd_stream_finish(stream, RMD_RPC_OK, "");
}

static void host_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
			const char *text)
{
	(void)stream;
	(void)text;
	struct host *host = ctx;
	if (status == RMD_RPC_CANCELLED)
		atomic_fetch_add(&host->cancelled_calls, 1);
	atomic_fetch_sub(&host->open_calls, 1);
	sem_post(&host->gone);
}

static const struct rmd_stream_events echo_events = {
	.message = echo_message,
	.half_closed = echo_half_closed,
	.closed = host_closed,
};
static const struct rmd_stream_events never_events = {.closed = host_closed};

static void began(struct rmd_stream *stream, void *service,
		  const struct rmd_stream_events *events)
{
	struct host *host = service;
	atomic_fetch_add(&host->open_calls, 1);
	rmd_stream_listen(stream, events, service);
}

static void echo_open(struct rmd_stream *stream, void *service)
{
	began(stream, service, &echo_events);
}

static void never_open(struct rmd_stream *stream, void *service)
{
	began(stream, service, &never_events);
}

static void deaf_open(struct rmd_stream *stream, void *service)
{
	began(stream, service, &never_events);
	rmd_stream_pause(stream, true);
}

static void fail_open(struct rmd_stream *stream, void *service)
{
	began(stream, service, &never_events);
	rmd_stream_set_reason(stream, "NO_SUCH_HORSE");
	rmd_stream_finish(stream, RMD_RPC_NOT_FOUND, "no such horse: \xc3\xa9");
}

static void who_open(struct rmd_stream *stream, void *service)
{
	began(stream, service, &never_events);
	const char *agent = rmd_stream_metadata(stream, "user-agent");
	struct rmd_wire_writer *writer = rmd_stream_begin(stream);
	rmd_wire_put_sint(writer, 2, rmd_stream_peer_uid(stream));
	rmd_wire_put_sint(writer, 3, rmd_stream_peer_pid(stream));
	rmd_wire_put_bytes(writer, 4, rmd_slice_of_string(agent == NULL ? "" : agent));
	rmd_wire_put_varint(writer, 5, rmd_stream_deadline_ms(stream) != 0);
	rmd_wire_put_bytes(writer, 6, rmd_slice_of_string(rmd_stream_peer(stream)));
	rmd_wire_put_bytes(writer, 7, rmd_slice_of_string(rmd_stream_method(stream)));
	rmd_stream_end(stream);
	rmd_stream_finish(stream, RMD_RPC_OK, "");
}

static void cancel_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	(void)ctx;
	(void)message;
	rmd_stream_cancel(stream);
	rmd_stream_cancel(stream);
}

static const struct rmd_stream_events cancel_events = {
	.message = cancel_message,
	.closed = host_closed,
};

static void cancel_open(struct rmd_stream *stream, void *service)
{
	began(stream, service, &cancel_events);
}

static void last_open(struct rmd_stream *stream, void *service)
{
	began(stream, service, &never_events);
	for (uint64_t i = 0; i < 1000; i++)
		send_item(stream, 0, i, 2000); /* several messages */
	rmd_stream_finish(stream, RMD_RPC_ALREADY_EXISTS, "sent all");
	send_item(stream, 0, 1000, 16); /* too late: dropped */
	rmd_stream_finish(stream, RMD_RPC_OK, "");
}

static void whole_open(struct rmd_stream *stream, void *service)
{
	began(stream, service, &never_events);
	for (int i = 0; i < 3; i++) {
		struct rmd_wire_writer *writer = rmd_stream_begin(stream);
		if (i != 1) /* the second one is empty */
			rmd_wire_put_varint(writer, 2, (uint64_t)i + 1);
		rmd_stream_end_message(stream);
	}
	rmd_stream_finish(stream, RMD_RPC_OK, "");
}

static const struct rmd_method methods[] = {
	{"/test.Test/Echo", echo_open, 0, false},
	{"/test.Test/Fail", fail_open, 0, false},
	{"/test.Test/Small", echo_open, 1000, false},
	{"/test.Test/Never", never_open, 0, false},
	{"/test.Test/Deaf", deaf_open, 0, false},
	{"/test.Test/Rare", echo_open, 0, true},
	{"/test.Test/Who", who_open, 0, false},
	{"/test.Test/Cancel", cancel_open, 0, false},
	{"/test.Test/Last", last_open, 0, false},
	{"/test.Test/Whole", whole_open, 0, false},
};

/* ---- the server ---- */

void make_folder(char ret_folder[64])
{
	strcpy(ret_folder, "/tmp/remuda-test-XXXXXX");
	assert_non_null(mkdtemp(ret_folder));
}

void remove_folder(const char *folder)
{
	assert_int_equal(rmdir(folder), 0); /* so nothing may be left in it */
}

static void *host_thread(void *arg)
{
	struct host *host = arg;
	rmd_loop_run(host->loop);
	return NULL;
}

void host_start(struct host *host, const char *listen)
{
	host_start_guarded(host, listen, &(struct host_guard){0});
}

void host_start_guarded(struct host *host, const char *listen,
			const struct host_guard *guard)
{
	*host = (struct host){0};
	sem_init(&host->gone, 0, 0);
	char *why = NULL, *unix_listen = NULL;
	make_folder(host->folder);
	host->loop = rmd_loop_create();
	assert_non_null(host->loop);
	host->server = rmd_server_create(
		host->loop, &(struct rmd_server_options){.reflection_and_health = true});
	assert_non_null(host->server);
	assert_int_equal(rmd_server_add_methods(host->server, methods,
						sizeof methods / sizeof *methods, host),
			 0);
	if (listen == NULL)
		listen = unix_listen = rmd_asprintf("unix:%s/s", host->folder);
	rmd_server_set_admission(host->server, guard->admit, host);
	if (rmd_server_listen(host->server, listen, guard->tls, &host->address, &why) < 0)
		fail_msg("%s", why);
	rmd_free(unix_listen);
	assert_int_equal(rmd_server_start(host->server), 0);
	assert_int_equal(pthread_create(&host->thread, NULL, host_thread, host), 0);
}

struct host_job {
	struct rmd_post post;
	struct host *host;
	void (*run)(struct host *host);
	sem_t done;
};

static void run_host_job(struct rmd_post *post)
{
	struct host_job *job = (struct host_job *)(void *)post;
	job->run(job->host);
	sem_post(&job->done);
}

void host_do(struct host *host, void (*run)(struct host *host))
{
	struct host_job job = {.post.run = run_host_job, .host = host, .run = run};
	sem_init(&job.done, 0, 0);
	rmd_loop_post(host->loop, &job.post);
	sem_wait(&job.done);
	sem_destroy(&job.done);
}

static void host_down(void *ctx)
{
	struct host *host = ctx;
	RMD_CHECK(atomic_load(&host->open_calls) == 0);
	rmd_server_destroy(host->server);
	rmd_loop_stop(host->loop);
}

static void host_begin_stop(struct host *host)
{
	rmd_server_shutdown(host->server, host->grace_ms, host_down, host);
	rmd_server_shutdown(host->server, 0, NULL, NULL); /* only the first counts */
}

void host_stop(struct host *host, uint64_t grace_ms)
{
	host->grace_ms = grace_ms;
	host_do(host, host_begin_stop);
	pthread_join(host->thread, NULL);
	rmd_loop_destroy(host->loop);
	rmd_free(host->address);
	sem_destroy(&host->gone);
	remove_folder(host->folder);
}

/* ---- the client ---- */

static void caller_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	(void)stream;
	struct caller *caller = ctx;
	struct rmd_wire_reader reader = rmd_wire_reader_of(message.bytes);
	struct rmd_wire_field field;
	caller->messages++;
	rmd_piece_unref(caller->last);
	caller->last = rmd_piece_ref(message);
	while (rmd_wire_next(&reader, &field) > 0) {
		if (field.number != 1 || field.bytes.len < 16)
			continue;
		uint64_t head[2];
		memcpy(head, field.bytes.data, sizeof head);
		if (head[0] >= 8 || caller->next[head[0]] != head[1])
			caller->out_of_order = true;
		else
			caller->next[head[0]]++;
		caller->items++;
		caller->item_bytes += field.bytes.len;
	}
	if ((caller->stop_at_items != 0 && caller->items >= caller->stop_at_items) ||
	    (caller->stop_at_messages != 0 &&
	     caller->messages >= caller->stop_at_messages))
		rmd_loop_stop(caller->loop);
}

static void caller_drained(struct rmd_stream *stream, void *ctx)
{
	(void)stream;
	struct caller *caller = ctx;
	caller->drained++;
}

static void caller_closed(struct rmd_stream *stream, void *ctx,
			  enum rmd_rpc_status status, const char *text)
{
	struct caller *caller = ctx;
	const char *reason = rmd_stream_reason(stream);
	RMD_CHECK(!caller->closed);
	caller->closed = true;
	caller->status = status;
	snprintf(caller->text, sizeof caller->text, "%s", text);
	snprintf(caller->reason, sizeof caller->reason, "%s",
		 reason == NULL ? "" : reason);
	rmd_piece_unref(caller->last);
	caller->last = (struct rmd_piece){0};
	caller->stream = NULL;
	rmd_loop_stop(caller->loop);
}

const struct rmd_stream_events caller_events = {
	.message = caller_message,
	.drained = caller_drained,
	.closed = caller_closed,
};

void caller_open(struct caller *caller, struct rmd_loop *loop,
		 struct rmd_channel *channel, const char *path, uint64_t deadline_ms)
{
	caller->loop = loop;
	caller->stream = rmd_channel_call(channel, path, deadline_ms, false,
					  &caller_events, caller);
	assert_non_null(caller->stream);
}

void send_item(struct rmd_stream *stream, uint64_t sender, uint64_t number, size_t len)
{
	struct rmd_wire_writer *writer = rmd_stream_begin(stream);
	rmd_wire_put_len_header(writer, 1, len);
	uint8_t *at = rmd_wire_reserve(writer, len);
	if (at != NULL) {
		memset(at, 0, len);
		memcpy(at, &sender, sizeof sender);
		memcpy(at + 8, &number, sizeof number);
	}
	rmd_stream_end(stream);
}

void caller_wait_closed(struct caller *caller)
{
	while (!caller->closed)
		rmd_loop_run(caller->loop);
}

struct rmd_channel *must_open(struct rmd_loop *loop, const char *address)
{
	char *why = NULL;
	struct rmd_channel *channel = rmd_channel_open(loop, address, &why);
	if (channel == NULL)
		fail_msg("%s", why);
	return channel;
}

static size_t count_entries(const char *folder)
{
	size_t count = 0;
	DIR *dir = opendir(folder);
	assert_non_null(dir);
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

size_t count_fds(void)
{
	return count_entries("/proc/self/fd");
}

size_t count_threads(void)
{
	return count_entries("/proc/self/task");
}
