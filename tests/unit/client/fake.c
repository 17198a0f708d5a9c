#include "tests/unit/client/fake_inside.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"

/* ---- counting ---- */

void fake_count(struct fake *fake, uint64_t *counter)
{
	pthread_mutex_lock(&fake->lock);
	(*counter)++;
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
}

struct fake_counts fake_counts(struct fake *fake)
{
	pthread_mutex_lock(&fake->lock);
	struct fake_counts counts = fake->counts;
	pthread_mutex_unlock(&fake->lock);
	return counts;
}

void fake_await(struct fake *fake, size_t counter, uint64_t value)
{
	pthread_mutex_lock(&fake->lock);
	uint64_t *at = (uint64_t *)(void *)((char *)&fake->counts + counter);
	while (*at < value)
		pthread_cond_wait(&fake->changed, &fake->lock);
	pthread_mutex_unlock(&fake->lock);
}

static void hear_submit(struct fake_session *session,
			const struct rmd_session_submit *submit)
{
	struct fake *fake = session->fake;
	struct rmd_buf *transferred = NULL;
	struct rmd_slice arguments = submit->task.arguments;
	if (submit->task.segment.length != 0) {
		RMD_CHECK(session->shared != NULL);
		RMD_CHECK(rmd_shared_borrow(session->shared, &submit->task.segment,
					    &transferred) == 0);
		fake_count(fake, &fake->counts.borrowed);
		arguments = rmd_buf_slice(transferred);
	}
	if (submit->task.arguments_transfer != 0) {
		if (rmd_transfers_take(&session->transfers,
				       submit->task.arguments_transfer,
				       &transferred) < 0) {
			fake_count(fake, &fake->counts.gaps);
			return;
		}
		fake_count(fake, &fake->counts.transfers);
		arguments = rmd_buf_slice(transferred);
	}
	if (submit->number <= session->accepted) {
		fake_count(fake, &fake->counts.repeats);
	} else {
		if (submit->number != session->accepted + 1)
			fake_count(fake, &fake->counts.gaps);
		session->accepted = submit->number;
		struct fake_task *task = rmd_calloc(1, sizeof *task);
		RMD_CHECK(task != NULL);
		task->number = submit->number;
		task->next = session->tasks;
		session->tasks = task;
		session->open++;
		pthread_mutex_lock(&fake->lock);
		if (session->open > fake->counts.open_most)
			fake->counts.open_most = session->open;
		pthread_mutex_unlock(&fake->lock);
		fake_run_task(session, task, &submit->task, arguments);
		fake_count(fake, &fake->counts.submits);
	}
	rmd_buf_unref(transferred);
}

static struct fake_task **find(struct fake_session *session, uint64_t number)
{
	struct fake_task **at = &session->tasks;
	while (*at != NULL && (*at)->number != number)
		at = &(*at)->next;
	return at;
}

static void forget(struct fake_task **at)
{
	struct fake_task *task = *at;
	*at = task->next;
	rmd_buf_unref(task->buf);
	rmd_free(task);
}

/* ---- hearing ---- */

/* Takes the memory that the client has posted. */
static void share(struct fake_session *session, const struct rmd_session_hello *hello)
{
	struct fake *fake = session->fake;
	int fds[RMD_SHARED_FDS];
	rmd_shared_unref(session->shared);
	session->shared = NULL;
	if (fake->options.shared_bytes == 0 || !hello->shared_memory)
		return;
	RMD_CHECK(rmd_mailbox_take(fake->mailbox, hello->session, -1, fds) == 0);
	RMD_CHECK(rmd_shared_adopt(fds, fake->options.shared_bytes, &session->shared) == 0);
	for (size_t i = 0; i < RMD_SHARED_FDS; i++)
		close(fds[i]);
}

static void hear_hello(struct fake_session **ret_session, struct fake *fake,
		       struct rmd_stream *stream, const struct rmd_session_hello *hello)
{
	struct fake_session *session = NULL;
	for (size_t i = 0; i < SESSIONS_MAX && session == NULL; i++)
		if (fake->sessions[i].known &&
		    memcmp(fake->sessions[i].id, hello->session, sizeof hello->session) ==
			    0)
			session = &fake->sessions[i];
	for (size_t i = 0; i < SESSIONS_MAX && session == NULL; i++)
		if (!fake->sessions[i].known)
			session = &fake->sessions[i];
	RMD_CHECK(session != NULL);
	if (!session->known) {
		*session = (struct fake_session){.fake = fake, .known = true, .next_transfer = 1};
		memcpy(session->id, hello->session, sizeof session->id);
		rmd_transfers_init(&session->transfers, 100, 1u << 30, 1);
	}
	session->stream = stream;
	*ret_session = session;
	share(session, hello);
	/* A new stream numbers its transfers anew. */
	rmd_transfers_fini(&session->transfers);
	rmd_transfers_init(&session->transfers, 100, 1u << 30, 1);
	fake->hold_back = false;
	struct rmd_session_welcome welcome = {
		.protocol = RMD_PROTOCOL_VERSION,
		.epoch = fake->epoch,
		.version = rmd_slice_of_string("fake"),
		.accepted = session->accepted,
		.payload_max_bytes = fake->options.payload_max_bytes,
		.shared_memory = session->shared != NULL,
	};
	rmd_session_response_put_welcome(rmd_stream_begin(stream), &welcome);
	rmd_stream_end(stream);
	fake_send_window(session);
	for (struct fake_task *task = session->tasks; task != NULL; task = task->next)
		if (task->done)
			fake_send_outcome(session, task);
}

/* One connection. */
struct fake_connection {
	struct fake *fake;
	struct fake_session *session;
};

static void hear_item(struct fake_connection *connection, struct rmd_stream *stream,
		      const struct rmd_session_request_item *item)
{
	struct fake *fake = connection->fake;
	struct fake_session *session = connection->session;
	RMD_CHECK(session != NULL || item->kind == RMD_SESSION_REQUEST_HELLO);
	switch (item->kind) {
	case RMD_SESSION_REQUEST_HELLO:
		if (!fake->options.mute)
			hear_hello(&connection->session, fake, stream, &item->hello);
		fake_count(fake, &fake->counts.hellos);
		break;
	case RMD_SESSION_REQUEST_CHUNK:
		RMD_CHECK(rmd_transfers_add(&session->transfers, &item->chunk) >= 0);
		break;
	case RMD_SESSION_REQUEST_SUBMIT:
		hear_submit(session, &item->submit);
		break;
	case RMD_SESSION_REQUEST_CANCEL: {
		struct fake_task *task = *find(session, item->number);
		if (task != NULL && !task->done && !task->deaf)
			fake_end_task(session, task, RMD_OUTCOME_CANCELLED,
				 rmd_buf_copy(rmd_slice_of_string("asked")));
		fake_count(fake, &fake->counts.cancels);
		break;
	}
	case RMD_SESSION_REQUEST_ACK: {
		struct fake_task **at = find(session, item->number);
		if (*at != NULL)
			forget(at);
		fake_count(fake, &fake->counts.acks);
		break;
	}
	case RMD_SESSION_REQUEST_OPEN_POOL: {
		bool bad = memmem(item->open_pool.raw_spec.data,
				  item->open_pool.raw_spec.len, "bad", 3) != NULL;
		rmd_session_response_put_pool(
			rmd_stream_begin(stream), item->open_pool.pool,
			rmd_slice_of_string(bad ? "runtime: none like that" : ""));
		rmd_stream_end(stream);
		fake_count(fake, &fake->counts.pools);
		break;
	}
	case RMD_SESSION_REQUEST_CLOSE_POOL:
		return;
	case RMD_SESSION_REQUEST_GOODBYE:
		fake_count(fake, &fake->counts.goodbyes);
		if (session->open == 0)
			rmd_stream_finish(stream, RMD_RPC_OK, "");
		break;
	}
}

static bool has_submits(struct rmd_slice message)
{
	struct rmd_frame_reader reader = rmd_frame_reader_of(message);
	struct rmd_session_request_item item;
	while (rmd_session_request_next(&reader, &item) > 0)
		if (item.kind == RMD_SESSION_REQUEST_SUBMIT)
			return true;
	return false;
}

static void session_message(struct rmd_stream *stream, void *ctx,
			    struct rmd_piece message)
{
	struct fake_connection *connection = ctx;
	struct fake *fake = connection->fake;
	if (fake->lose_submits != 0 && has_submits(message.bytes)) {
		fake->lose_submits--;
		rmd_stream_cancel(stream);
		return;
	}
	struct rmd_frame_reader reader = rmd_frame_reader_of(message.bytes);
	struct rmd_session_request_item item;
	int rc;
	while ((rc = rmd_session_request_next(&reader, &item)) > 0)
		hear_item(connection, stream, &item);
	RMD_CHECK(rc == 0);
	struct fake_session *session = connection->session;
	if (session != NULL && session->stream == stream) {
		rmd_session_response_put_accepted(rmd_stream_begin(stream),
						  session->accepted);
		rmd_stream_end(stream);
	}
}

static void session_closed(struct rmd_stream *stream, void *ctx,
			   enum rmd_rpc_status status, const char *text)
{
	struct fake_connection *connection = ctx;
	(void)status;
	(void)text;
	if (connection->session != NULL && connection->session->stream == stream)
		connection->session->stream = NULL;
	rmd_free(connection);
}

static void session_open(struct rmd_stream *stream, void *service)
{
	static const struct rmd_stream_events events = {.message = session_message,
							.closed = session_closed};
	struct fake_connection *connection = rmd_calloc(1, sizeof *connection);
	RMD_CHECK(connection != NULL);
	connection->fake = service;
	rmd_stream_listen(stream, &events, connection);
}

/* ---- blobs ---- */

static void find_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct fake *fake = ctx;
	struct rmd_wire_reader reader = rmd_wire_reader_of(message.bytes);
	struct rmd_wire_field field;
	struct rmd_wire_writer *writer = rmd_stream_begin(stream);
	while (rmd_wire_next(&reader, &field) > 0)
		if (field.number == 1 && memcmp(field.bytes.data, fake->blob_digest.bytes,
						RMD_DIGEST_BYTES) != 0)
			rmd_wire_put_bytes(writer, 1, field.bytes);
	rmd_stream_end_message(stream);
	rmd_stream_finish(stream, RMD_RPC_OK, "");
}

static void put_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct fake *fake = ctx;
	struct rmd_wire_reader reader = rmd_wire_reader_of(message.bytes), info;
	struct rmd_wire_field field, part;
	(void)stream;
	while (rmd_wire_next(&reader, &field) > 0) {
		if (field.number == 2)
			rmd_wire_put_raw(&fake->blob, field.bytes);
		if (field.number != 1)
			continue;
		rmd_wire_writer_reset(&fake->blob);
		info = rmd_wire_reader_of(field.bytes);
		while (rmd_wire_next(&info, &part) > 0)
			if (part.number == 3)
				snprintf(fake->blob_name, sizeof fake->blob_name, "%.*s",
					 (int)part.bytes.len,
					 (const char *)part.bytes.data);
	}
}

static void put_half_closed(struct rmd_stream *stream, void *ctx)
{
	struct fake *fake = ctx;
	rmd_digest_of(rmd_slice_of(fake->blob.data, fake->blob.len), &fake->blob_digest);
	rmd_wire_put_bytes(rmd_stream_begin(stream), 1,
			   rmd_slice_of(fake->blob_digest.bytes, RMD_DIGEST_BYTES));
	rmd_stream_end_message(stream);
	rmd_stream_finish(stream, RMD_RPC_OK, "");
	fake_count(fake, &fake->counts.puts);
}

static void find_open(struct rmd_stream *stream, void *service)
{
	static const struct rmd_stream_events events = {.message = find_message};
	rmd_stream_listen(stream, &events, service);
}

static void put_open(struct rmd_stream *stream, void *service)
{
	static const struct rmd_stream_events events = {.message = put_message,
							.half_closed = put_half_closed};
	rmd_stream_listen(stream, &events, service);
}

/* ---- life ---- */

static const struct rmd_method methods[] = {
	{.path = "/remuda.v1.Executor/Session", .open = session_open},
	{.path = "/remuda.v1.Blobs/FindMissing", .open = find_open},
	{.path = "/remuda.v1.Blobs/Put", .open = put_open},
};

/* ---- its folder ---- */

/* Folders of this process that are there; a test that fails does not stop its fake. */
#define DIRS_MAX 64u
static char dirs[DIRS_MAX][64];
static pid_t dirs_of;

static void remove_dir(char *dir)
{
	char path[64 + 256];
	struct dirent *entry;
	DIR *open = opendir(dir);
	while (open != NULL && (entry = readdir(open)) != NULL) {
		snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
		(void)unlink(path);
	}
	if (open != NULL)
		closedir(open);
	RMD_CHECK(rmdir(dir) == 0);
	dir[0] = '\0';
}

static void remove_dirs(void)
{
	for (size_t i = 0; i < DIRS_MAX && dirs_of == getpid(); i++)
		if (dirs[i][0] != '\0')
			remove_dir(dirs[i]);
}

static char *make_dir(void)
{
	size_t i = 0;
	while (i < DIRS_MAX && dirs[i][0] != '\0')
		i++;
	RMD_CHECK(i < DIRS_MAX);
	if (dirs_of == 0) {
		dirs_of = getpid();
		RMD_CHECK(atexit(remove_dirs) == 0);
	}
	strcpy(dirs[i], "/tmp/remuda-fake-XXXXXX");
	RMD_CHECK(mkdtemp(dirs[i]) != NULL);
	return dirs[i];
}

/* Has it listen, unless it serves a socket that it was given. */
static void listen_somewhere(struct fake *fake)
{
	char own[96], *why = NULL;
	const char *address = fake->options.listen;
	if (fake->options.fd > 0)
		return;
	if (address == NULL) {
		fake->dir = make_dir();
		snprintf(own, sizeof own, "unix:%s/sock", fake->dir);
		address = own;
	}
	RMD_CHECK(rmd_server_listen(fake->server, address, NULL, &fake->address,
				    &why) == 0);
}

static void *thread_main(void *arg)
{
	rmd_loop_run(((struct fake *)arg)->loop);
	return NULL;
}

struct fake *fake_start(const struct fake_options *options)
{
	struct fake *fake = calloc(1, sizeof *fake);
	RMD_CHECK(fake != NULL);
	fake->options = *options;
	if (fake->options.window == 0)
		fake->options.window = 1000000;
	if (fake->options.payload_max_bytes == 0)
		fake->options.payload_max_bytes = 64u << 20;
	if (fake->options.inline_max_bytes == 0)
		fake->options.inline_max_bytes = 1u << 20;
	fake->epoch = 4711;
	pthread_mutex_init(&fake->lock, NULL);
	pthread_cond_init(&fake->changed, NULL);
	fake->loop = rmd_loop_create();
	struct rmd_server_options server_options = {0};
	fake->server = rmd_server_create(fake->loop, &server_options);
	RMD_CHECK(fake->server != NULL);
	RMD_CHECK(rmd_server_add_methods(fake->server, methods,
					 sizeof methods / sizeof *methods, fake) == 0);
	listen_somewhere(fake);
	if (fake->options.shared_bytes != 0) {
		fake->mailbox = rmd_mailbox_create();
		RMD_CHECK(fake->mailbox != NULL);
		RMD_CHECK(rmd_mailbox_bind(fake->mailbox,
					   fake->address + strlen("unix:")) == 0);
	}
	RMD_CHECK(rmd_server_start(fake->server) == 0);
	if (fake->options.fd > 0)
		RMD_CHECK(rmd_server_add_fd(fake->server, fake->options.fd) == 0);
	RMD_CHECK(pthread_create(&fake->thread, NULL, thread_main, fake) == 0);
	return fake;
}

/* Does something on the fake's thread, and waits for it. */
struct order {
	struct rmd_post post;
	struct fake *fake;
	void (*run)(struct fake *fake, unsigned number);
	unsigned number;
	bool done;
};

static void order_run(struct rmd_post *post)
{
	struct order *order = (struct order *)(void *)post;
	struct fake *fake = order->fake;
	order->run(fake, order->number);
	pthread_mutex_lock(&fake->lock);
	order->done = true;
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
}

static void fake_do(struct fake *fake, void (*run)(struct fake *fake, unsigned number),
		    unsigned number)
{
	struct order order = {
		.post = {.run = order_run}, .fake = fake, .run = run, .number = number};
	rmd_loop_post(fake->loop, &order.post);
	pthread_mutex_lock(&fake->lock);
	while (!order.done)
		pthread_cond_wait(&fake->changed, &fake->lock);
	pthread_mutex_unlock(&fake->lock);
}

static void do_release(struct fake *fake, unsigned number)
{
	(void)number;
	for (size_t i = 0; i < SESSIONS_MAX; i++)
		for (struct fake_task *task = fake->sessions[i].tasks; task != NULL;
		     task = task->next)
			if (!task->done && !task->deaf)
				fake_end_task(&fake->sessions[i], task, RMD_OUTCOME_VALUE,
					 fake_int(task->number));
}

static void do_break(struct fake *fake, unsigned number)
{
	(void)number;
	for (size_t i = 0; i < SESSIONS_MAX; i++)
		if (fake->sessions[i].stream != NULL)
			rmd_stream_cancel(fake->sessions[i].stream);
}

static void do_forget(struct fake *fake, unsigned number)
{
	(void)number;
	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		while (fake->sessions[i].tasks != NULL)
			forget(&fake->sessions[i].tasks);
		if (fake->sessions[i].known)
			rmd_transfers_fini(&fake->sessions[i].transfers);
		rmd_shared_unref(fake->sessions[i].shared);
		fake->sessions[i].shared = NULL;
		fake->sessions[i].known = false;
	}
}

static void do_rebirth(struct fake *fake, unsigned number)
{
	do_break(fake, number);
	do_forget(fake, number);
	fake->epoch++;
}

static void do_lose(struct fake *fake, unsigned number)
{
	fake->lose_submits = number;
}

static void do_hold_back(struct fake *fake, unsigned number)
{
	(void)number;
	fake->hold_back = true;
}

void fake_release(struct fake *fake)
{
	fake_do(fake, do_release, 0);
}

void fake_break(struct fake *fake)
{
	fake_do(fake, do_break, 0);
}

void fake_rebirth(struct fake *fake)
{
	fake_do(fake, do_rebirth, 0);
}

void fake_lose_submits(struct fake *fake, unsigned messages)
{
	fake_do(fake, do_lose, messages);
}

void fake_hold_back_outcomes(struct fake *fake)
{
	fake_do(fake, do_hold_back, 0);
}

static void server_gone(void *ctx)
{
	rmd_loop_stop(((struct fake *)ctx)->loop);
}

static void do_stop(struct fake *fake, unsigned number)
{
	(void)number;
	rmd_server_shutdown(fake->server, 0, server_gone, fake);
}

void fake_stop(struct fake *fake)
{
	fake_do(fake, do_stop, 0);
	pthread_join(fake->thread, NULL);
	do_forget(fake, 0);
	rmd_mailbox_destroy(fake->mailbox);
	rmd_server_destroy(fake->server);
	rmd_loop_destroy(fake->loop);
	rmd_wire_writer_fini(&fake->blob);
	rmd_free(fake->address);
	if (fake->dir != NULL)
		remove_dir(fake->dir);
	free(fake);
}

const char *fake_address(const struct fake *fake)
{
	return fake->address;
}

size_t fake_blob(struct fake *fake, struct rmd_digest *ret_digest, char ret_name[64])
{
	pthread_mutex_lock(&fake->lock);     /* after the put was counted */
	*ret_digest = fake->blob_digest;
	memcpy(ret_name, fake->blob_name, sizeof fake->blob_name);
	size_t len = fake->blob.len;
	pthread_mutex_unlock(&fake->lock);
	return len;
}
