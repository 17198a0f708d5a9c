/* The link over gRPC: a real agent at one end, a scripted server of Agents.Attach at the
 * other. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/codec/frames_pool.h"
#include "proto/codec/transfer.h"
#include "proto/rpc/rpc.h"
#include "tests/unit/agent/rig.h"
#include "worker/agent/agent.h"
#include "worker/agent/remote_link.h"
#include "worker/spawner/spawner.h"

#define LARGE ((size_t)9 << 20) /* of a payload that goes in chunks */
#define SMALL_TASKS 5000u
#define TEST_MS 60000u

enum scene { WORK, SERVER_ENDS, SERVER_TALKS_NONSENSE, AGENT_STOPS };

static struct {
	enum scene scene;
	struct rmd_loop *loop;
	struct rmd_server *server;
	struct rmd_channel *channel;
	struct rmd_agent *agent;
	struct rmd_link *link;
	struct rmd_stream *stream; /* the server's end */
	struct rmd_transfers transfers;
	struct rmd_buf *large;
	struct rmd_post finished_post;
	struct rmd_timer alarm;
	bool hello, attached, drained, gone, server_down;
	uint32_t values;
	bool large_back;
} t;

static void maybe_done(void)
{
	if (t.gone && t.agent == NULL && t.stream == NULL && !t.server_down) {
		rmd_channel_close(t.channel);
		t.channel = NULL;
	}
}

static void stop_agent(void)
{
	rmd_remote_link_detach_agent(t.link);
	rmd_agent_stop(t.agent);
	t.agent = NULL;
}

static void server_down(void *ctx)
{
	(void)ctx;
	t.server_down = true;
	rmd_loop_stop(t.loop);
}

static void consider_end(void)
{
	if (!t.gone || t.agent != NULL || t.stream != NULL)
		return;
	maybe_done();
	rmd_server_shutdown(t.server, 0, server_down, NULL);
}

/* ---- the server's side ---- */

static void send_work(struct rmd_stream *stream)
{
	struct rmd_agent_welcome welcome = {1, 5, 1};
	struct rmd_pool_spec spec = {.runtime = rmd_slice_of_string("native")};
	struct rmd_wire_writer raw = {0};
	struct rmd_set_pool set = {.pool = 1, .has_spec = true, .workers = 2};
	rmd_pool_spec_put_raw(&raw, &spec);
	set.raw_spec = rmd_slice_of(raw.data, raw.len);
	struct rmd_wire_writer *writer = rmd_stream_begin(stream);
	rmd_attach_response_put_welcome(writer, &welcome);
	rmd_attach_response_put_set_pool(writer, &set);
	rmd_stream_end(stream);
	rmd_wire_writer_fini(&raw);
	/* Two large transfers, interleaved, between other items. */
	struct rmd_chunks chunks[2] = {rmd_chunks_of(1, rmd_buf_slice(t.large)),
				       rmd_chunks_of(2, rmd_buf_slice(t.large))};
	struct rmd_lease_grant grant = {
		.pool = 1, .function = rmd_slice_of_string("native:noop"), .attempt = 1};
	for (uint64_t i = 1; i <= SMALL_TASKS; i++) {
		struct rmd_chunk chunk;
		writer = rmd_stream_begin(stream);
		grant.lease = i;
		if (rmd_chunks_next(&chunks[(i + 1) % 2], &chunk))
			rmd_chunk_put(writer, RMD_FIELD_CHUNKS, &chunk, t.large);
		rmd_attach_response_put_lease(writer, &grant, NULL);
		rmd_stream_end(stream);
	}
	grant.function = rmd_slice_of_string("native:reverse");
	for (uint64_t i = 1; i <= 2; i++) {
		grant.lease = SMALL_TASKS + i;
		grant.arguments_transfer = i;
		rmd_attach_response_put_lease(rmd_stream_begin(stream), &grant, NULL);
		rmd_stream_end(stream);
	}
}

static void check_outcome(const struct rmd_lease_outcome *outcome)
{
	struct rmd_buf *whole;
	t.values++;
	if (outcome->lease <= SMALL_TASKS) {
		assert_int_equal(outcome->outcome.kind, RMD_OUTCOME_VALUE);
		return;
	}
	assert_int_equal(outcome->outcome.kind, RMD_OUTCOME_VALUE_TRANSFER);
	assert_int_equal(
		rmd_transfers_take(&t.transfers, outcome->outcome.transfer, &whole), 0);
	struct rmd_slice back = rmd_buf_slice(whole), sent = rmd_buf_slice(t.large);
	assert_int_equal(back.len, LARGE);
	for (size_t i = 0; i < LARGE; i += 1021)
		assert_int_equal(back.data[LARGE - 1 - i], sent.data[i]);
	rmd_buf_unref(whole);
	t.large_back = true;
}

static void after_message(struct rmd_stream *stream)
{
	if (t.scene == SERVER_ENDS && t.values > 100)
		rmd_stream_finish(stream, RMD_RPC_UNAVAILABLE, "going down");
	if (t.scene == AGENT_STOPS && t.values > 100 && t.agent != NULL) {
		stop_agent();
		consider_end();
	}
	if (t.scene == WORK && t.values == SMALL_TASKS + 2 && !t.drained) {
		t.drained = true;
		rmd_attach_response_put_drain(rmd_stream_begin(stream));
		rmd_stream_end(stream);
	}
}

static void on_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct rmd_frame_reader reader = rmd_frame_reader_of(message.bytes);
	struct rmd_attach_request_item item;
	int rc;
	(void)ctx;
	while ((rc = rmd_attach_request_next(&reader, &item)) > 0) {
		if (item.kind == RMD_ATTACH_REQUEST_HELLO) {
			t.hello = true;
			assert_true(rmd_slice_equal(item.hello.name,
						    rmd_slice_of_string("n")));
			if (t.scene == SERVER_TALKS_NONSENSE) {
				rmd_wire_put_raw(rmd_stream_begin(stream),
						 rmd_slice_of_string("\x12\x02nonsense"));
				rmd_stream_end(stream);
			} else {
				send_work(stream);
			}
		} else if (item.kind == RMD_ATTACH_REQUEST_CHUNK) {
			assert_true(rmd_transfers_add(&t.transfers, &item.chunk) >= 0);
		} else if (item.kind == RMD_ATTACH_REQUEST_OUTCOME) {
			check_outcome(&item.outcome);
		}
	}
	assert_int_equal(rc, 0);
	after_message(stream);
}

static void on_half_closed(struct rmd_stream *stream, void *ctx)
{
	(void)ctx;
	rmd_stream_finish(stream, RMD_RPC_OK, "");
}

static void on_server_closed(struct rmd_stream *stream, void *ctx,
			     enum rmd_rpc_status status, const char *text)
{
	(void)stream, (void)ctx, (void)status, (void)text;
	t.stream = NULL;
	consider_end();
}

static const struct rmd_stream_events server_events = {
	.message = on_message,
	.half_closed = on_half_closed,
	.closed = on_server_closed,
};

static void on_open(struct rmd_stream *stream, void *service)
{
	(void)service;
	t.stream = stream;
	rmd_stream_listen(stream, &server_events, NULL);
}

static const struct rmd_method method = {.path = "/remuda.v1.Agents/Attach",
					 .open = on_open,
					 .message_max_bytes = 8u << 20};

/* ---- the agent's side ---- */

static void run_finished(struct rmd_post *post)
{
	(void)post;
	if (t.agent != NULL)
		stop_agent();
	consider_end();
}

static void on_finished(void *ctx)
{
	(void)ctx;
	rmd_loop_post(t.loop, &t.finished_post);
}

static void on_attached(void *ctx)
{
	(void)ctx;
	t.attached = true;
}

static void on_gone(void *ctx)
{
	(void)ctx;
	t.gone = true;
	consider_end();
}

static void on_alarm(struct rmd_timer *timer)
{
	(void)timer;
	fail_msg("it takes too long: %u values", t.values);
}

static void play(enum scene scene)
{
	char *why = NULL, *address = NULL;
	char path[64];
	memset(&t, 0, sizeof t);
	t.scene = scene;
	t.large = rmd_buf_create(LARGE);
	for (size_t i = 0; i < LARGE; i++)
		rmd_buf_writable(t.large)[i] = (uint8_t)(i * 2654435761u >> 23);
	rmd_transfers_init(&t.transfers, 16, 64 << 20, 1);
	struct rmd_agent_options options = {
		.name = "n",
		.worker_path = "/proc/self/exe",
		.attached = on_attached,
		.finished = on_finished,
	};
	pid_t pid;
	assert_int_equal(rmd_spawner_start(&options.spawner_fd, &pid), 0);
	options.spawner_pid = pid;
	t.loop = rmd_loop_create();
	t.finished_post.run = run_finished;
	t.alarm.fire = on_alarm;
	struct rmd_server_options server_options = {.reflection_and_health = false};
	t.server = rmd_server_create(t.loop, &server_options);
	assert_int_equal(rmd_server_add_methods(t.server, &method, 1, NULL), 0);
	snprintf(path, sizeof path, "unix:/tmp/remuda-link-test-%d.sock", (int)getpid());
	assert_int_equal(
		rmd_server_listen(t.server, path, NULL, &address, &why),
		0);
	assert_int_equal(rmd_server_start(t.server), 0);
	t.channel = rmd_channel_open(t.loop, address, &why);
	assert_non_null(t.channel);
	assert_int_equal(rmd_remote_link_open(t.loop, t.channel, on_gone, NULL, &t.link),
			 0);
	t.agent = rmd_agent_start(&options, t.link);
	assert_non_null(t.agent);
	rmd_remote_link_attach_agent(t.link, t.agent);
	rmd_timer_start(t.loop, &t.alarm, rmd_clock_mono_ms() + TEST_MS);
	rmd_loop_run(t.loop);
	rmd_timer_stop(t.loop, &t.alarm);
	rmd_server_destroy(t.server);
	rmd_loop_destroy(t.loop);
	rmd_free(address);
	rmd_transfers_fini(&t.transfers);
	rmd_buf_unref(t.large);
	assert_true(t.hello);
}

static void work_goes_over_the_stream_and_drains(void **state)
{
	(void)state;
	play(WORK);
	assert_true(t.attached && t.large_back);
	assert_int_equal(t.values, SMALL_TASKS + 2);
}

static void stream_that_the_coordinator_ends_is_a_lost_link(void **state)
{
	(void)state;
	play(SERVER_ENDS);
}

static void nonsense_of_the_coordinator_ends_the_stream(void **state)
{
	(void)state;
	play(SERVER_TALKS_NONSENSE);
	assert_false(t.attached);
}

static void agent_can_be_stopped_in_the_midst_of_work(void **state)
{
	(void)state;
	play(AGENT_STOPS);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--spawner") == 0)
		rmd_spawner_main();
	fake_worker_main(argc, argv);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(work_goes_over_the_stream_and_drains),
		cmocka_unit_test(stream_that_the_coordinator_ends_is_a_lost_link),
		cmocka_unit_test(nonsense_of_the_coordinator_ends_the_stream),
		cmocka_unit_test(agent_can_be_stopped_in_the_midst_of_work),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
