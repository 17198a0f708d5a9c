/* Streams between a client and a server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "tests/unit/rpc/harness.h"

/* Both ends of most tests. */
struct pair {
	struct host host;
	struct rmd_loop *loop;
	struct rmd_channel *channel;
};

static int pair_start_at(void **state, const char *listen)
{
	struct pair *pair = calloc(1, sizeof *pair);
	host_start(&pair->host, listen);
	pair->loop = rmd_loop_create();
	pair->channel = must_open(pair->loop, pair->host.address);
	*state = pair;
	return 0;
}

static int pair_start(void **state)
{
	return pair_start_at(state, NULL);
}

static int pair_start_tcp(void **state)
{
	return pair_start_at(state, "tcp:127.0.0.1:0");
}

static int pair_stop(void **state)
{
	struct pair *pair = *state;
	rmd_channel_close(pair->channel);
	host_stop(&pair->host, 0);
	rmd_loop_destroy(pair->loop);
	free(pair);
	return 0;
}

static void unary_call_gets_one_message_and_a_status(void **state)
{
	struct pair *pair = *state;
	struct caller caller = {0};
	caller_open(&caller, pair->loop, pair->channel, "/test.Test/Echo", 0);
	send_item(caller.stream, 0, 0, 100);
	rmd_stream_finish(caller.stream, RMD_RPC_OK, "");
	caller_wait_closed(&caller);
	assert_int_equal(caller.status, RMD_RPC_OK);
	assert_string_equal(caller.text, "");
	assert_int_equal(caller.items, 1);
	assert_int_equal(caller.messages, 1);
	assert_int_equal(caller.item_bytes, 100);
}

static void items_of_one_round_go_out_as_one_message(void **state)
{
	struct pair *pair = *state;
	struct caller caller = {0};
	caller_open(&caller, pair->loop, pair->channel, "/test.Test/Echo", 0);
	/* From the loop's thread nothing goes before the round ends. Here no round runs,
	 * so only the first item goes alone, and all others wait for that write. */
	for (uint64_t i = 0; i < 1000; i++)
		send_item(caller.stream, 0, i, 64);
	rmd_stream_finish(caller.stream, RMD_RPC_OK, "");
	caller_wait_closed(&caller);
	assert_int_equal(caller.items, 1000);
	assert_false(caller.out_of_order);
	assert_in_range(caller.messages, 1, 10);
	assert_true(caller.drained > 0);
}

struct sender {
	struct rmd_stream *stream;
	uint64_t id, count;
	pthread_t thread;
};

static void *sender_thread(void *arg)
{
	struct sender *sender = arg;
	for (uint64_t i = 0; i < sender->count; i++)
		send_item(sender->stream, sender->id, i, 32);
	return NULL;
}

static void items_of_many_threads_keep_their_order(void **state)
{
	struct pair *pair = *state;
	struct caller caller = {.stop_at_items = 100000};
	struct sender senders[4];
	caller_open(&caller, pair->loop, pair->channel, "/test.Test/Echo", 0);
	for (size_t i = 0; i < 4; i++) {
		senders[i] = (struct sender){rmd_stream_ref(caller.stream), i, 25000, 0};
		pthread_create(&senders[i].thread, NULL, sender_thread, &senders[i]);
	}
	rmd_loop_run(pair->loop);
	for (size_t i = 0; i < 4; i++) {
		pthread_join(senders[i].thread, NULL);
		rmd_stream_unref(senders[i].stream);
	}
	assert_int_equal(caller.items, 100000);
	assert_false(caller.out_of_order);
	assert_int_equal(rmd_stream_pending_bytes(caller.stream), 0);
	rmd_stream_finish(caller.stream, RMD_RPC_OK, "");
	caller_wait_closed(&caller);
	assert_int_equal(caller.status, RMD_RPC_OK);
}

static void threads_may_send_on_a_stream_that_is_closed(void **state)
{
	struct pair *pair = *state;
	struct caller caller = {0};
	struct sender sender = {.count = 20000};
	caller_open(&caller, pair->loop, pair->channel, "/test.Test/Echo", 0);
	sender.stream = rmd_stream_ref(caller.stream);
	pthread_create(&sender.thread, NULL, sender_thread, &sender);
	rmd_stream_cancel(caller.stream);
	caller_wait_closed(&caller);
	pthread_join(sender.thread, NULL);
	assert_int_equal(caller.status, RMD_RPC_CANCELLED);
	assert_int_equal(rmd_stream_pending_bytes(sender.stream), 0);
	rmd_stream_cancel(sender.stream);
	rmd_stream_unref(sender.stream);
}

static void large_payload_goes_in_chunks_by_reference(void **state)
{
	struct pair *pair = *state;
	enum { CHUNK = 1 << 20, CHUNKS = 64 };
	struct caller caller = {.stop_at_items = CHUNKS};
	struct rmd_buf *payload = rmd_buf_create((size_t)CHUNK * CHUNKS);
	assert_non_null(payload);
	caller_open(&caller, pair->loop, pair->channel, "/test.Test/Echo", 0);
	for (uint64_t i = 0; i < CHUNKS; i++) {
		uint64_t head[2] = {0, i};
		uint8_t *at = rmd_buf_writable(payload) + i * CHUNK;
		memset(at, (int)i, CHUNK);
		memcpy(at, head, sizeof head);
		struct rmd_wire_writer *writer = rmd_stream_begin(caller.stream);
		rmd_wire_put_piece(writer, 1,
				   (struct rmd_piece){rmd_slice_of(at, CHUNK), payload});
		rmd_stream_end(caller.stream);
	}
	assert_true(rmd_stream_pending_bytes(caller.stream) >
		    (size_t)CHUNK * (CHUNKS - 2));
	rmd_buf_unref(payload);
	rmd_loop_run(pair->loop);
	assert_int_equal(caller.items, CHUNKS);
	assert_int_equal(caller.item_bytes, (uint64_t)CHUNK * CHUNKS);
	assert_false(caller.out_of_order);
	/* The last chunk is what was sent. */
	assert_int_equal(caller.last.bytes.data[caller.last.bytes.len - 1], CHUNKS - 1);
	rmd_stream_finish(caller.stream, RMD_RPC_OK, "");
	caller_wait_closed(&caller);
}

static void stop_loop(struct rmd_timer *timer)
{
	struct {
		struct rmd_timer timer;
		struct rmd_loop *loop;
	} *stopper = (void *)timer;
	rmd_loop_stop(stopper->loop);
}

static void paused_reader_holds_the_sender_back(void **state)
{
	struct pair *pair = *state;
	struct caller caller = {0};
	struct {
		struct rmd_timer timer;
		struct rmd_loop *loop;
	} stopper = {{.fire = stop_loop}, pair->loop};
	caller_open(&caller, pair->loop, pair->channel, "/test.Test/Deaf", 0);
	for (uint64_t i = 0; i < 64; i++)
		send_item(caller.stream, 0, i, 1 << 20);
	rmd_timer_start(pair->loop, &stopper.timer, rmd_clock_mono_ms() + 200);
	rmd_loop_run(pair->loop);
	/* What the transport takes is bounded by its window; the rest stays ours. */
	assert_true(rmd_stream_pending_bytes(caller.stream) > (32u << 20));
	rmd_stream_cancel(caller.stream);
	caller_wait_closed(&caller);
	assert_int_equal(caller.status, RMD_RPC_CANCELLED);
}

static void paused_client_gets_all_when_it_resumes(void **state)
{
	struct pair *pair = *state;
	struct caller caller = {0};
	struct {
		struct rmd_timer timer;
		struct rmd_loop *loop;
	} stopper = {{.fire = stop_loop}, pair->loop};
	caller_open(&caller, pair->loop, pair->channel, "/test.Test/Last", 0);
	rmd_stream_pause(caller.stream, true);
	rmd_timer_start(pair->loop, &stopper.timer, rmd_clock_mono_ms() + 50);
	rmd_loop_run(pair->loop);
	assert_false(caller.closed);
	assert_true(caller.messages <= 1);
	rmd_stream_pause(caller.stream, false);
	caller_wait_closed(&caller);
	assert_int_equal(caller.items, 1000);
	assert_int_equal(caller.status, RMD_RPC_ALREADY_EXISTS);
}

static void finish_sends_what_is_pending_first(void **state)
{
	struct pair *pair = *state;
	struct caller caller = {0};
	caller_open(&caller, pair->loop, pair->channel, "/test.Test/Last", 0);
	caller_wait_closed(&caller);
	assert_int_equal(caller.items, 1000);
	assert_false(caller.out_of_order);
	assert_int_equal(caller.status, RMD_RPC_ALREADY_EXISTS);
	assert_string_equal(caller.text, "sent all");
}

static void whole_messages_do_not_merge(void **state)
{
	struct pair *pair = *state;
	struct caller caller = {0};
	caller_open(&caller, pair->loop, pair->channel, "/test.Test/Whole", 0);
	caller_wait_closed(&caller);
	assert_int_equal(caller.messages, 3);
	assert_int_equal(caller.status, RMD_RPC_OK);
}

static void deadline_ends_the_call_on_both_sides(void **state)
{
	struct pair *pair = *state;
	struct caller caller = {0};
	uint64_t begun_ms = rmd_clock_mono_ms();
	caller_open(&caller, pair->loop, pair->channel, "/test.Test/Never",
		    begun_ms + 100);
	caller_wait_closed(&caller);
	assert_int_equal(caller.status, RMD_RPC_DEADLINE_EXCEEDED);
	assert_in_range(rmd_clock_mono_ms() - begun_ms, 90, 5000);
}

static void cancel_by_the_client_ends_the_server_side(void **state)
{
	struct pair *pair = *state;
	struct caller caller = {.stop_at_items = 1};
	caller_open(&caller, pair->loop, pair->channel, "/test.Test/Echo", 0);
	send_item(caller.stream, 0, 0, 16);
	rmd_loop_run(pair->loop);
	assert_int_equal(atomic_load(&pair->host.open_calls), 1);
	rmd_stream_cancel(caller.stream);
	rmd_stream_cancel(caller.stream);
	send_item(caller.stream, 0, 1, 16);
	caller_wait_closed(&caller);
	assert_int_equal(caller.status, RMD_RPC_CANCELLED);
	sem_wait(&pair->host.gone);
	assert_int_equal(atomic_load(&pair->host.cancelled_calls), 1);
	assert_int_equal(atomic_load(&pair->host.half_closed_calls), 0);
}

static void cancel_by_the_server_is_told_to_the_client(void **state)
{
	struct pair *pair = *state;
	struct caller caller = {0};
	caller_open(&caller, pair->loop, pair->channel, "/test.Test/Cancel", 0);
	send_item(caller.stream, 0, 0, 16);
	caller_wait_closed(&caller);
	assert_int_equal(caller.status, RMD_RPC_CANCELLED);
}

static void failure_carries_status_text_and_reason(void **state)
{
	struct pair *pair = *state;
	struct caller caller = {0};
	caller_open(&caller, pair->loop, pair->channel, "/test.Test/Fail", 0);
	caller_wait_closed(&caller);
	assert_int_equal(caller.status, RMD_RPC_NOT_FOUND);
	assert_string_equal(caller.text, "no such horse: \xc3\xa9");
	assert_string_equal(caller.reason, "NO_SUCH_HORSE");
}

static void unknown_method_is_named(void **state)
{
	struct pair *pair = *state;
	struct caller caller = {0};
	caller_open(&caller, pair->loop, pair->channel, "/test.Test/Nothing", 0);
	caller_wait_closed(&caller);
	assert_int_equal(caller.status, RMD_RPC_UNIMPLEMENTED);
	assert_non_null(strstr(caller.text, "/test.Test/Nothing"));
}

static void message_over_the_methods_limit_is_refused(void **state)
{
	struct pair *pair = *state;
	struct caller fits = {0}, large = {0};
	caller_open(&fits, pair->loop, pair->channel, "/test.Test/Small", 0);
	send_item(fits.stream, 0, 0, 1000 - 3);
	rmd_stream_finish(fits.stream, RMD_RPC_OK, "");
	caller_wait_closed(&fits);
	assert_int_equal(fits.status, RMD_RPC_OK);
	assert_int_equal(fits.items, 1);
	caller_open(&large, pair->loop, pair->channel, "/test.Test/Small", 0);
	send_item(large.stream, 0, 0, 1001 - 3);
	caller_wait_closed(&large);
	assert_int_equal(large.status, RMD_RPC_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(large.text, "1001"));
	assert_non_null(strstr(large.text, "at most 1000"));
}

static void message_over_the_connections_limit_is_refused(void **state)
{
	struct pair *pair = *state;
	struct caller caller = {0};
	caller_open(&caller, pair->loop, pair->channel, "/test.Test/Echo", 0);
	send_item(caller.stream, 0, 0, 5u << 20);
	caller_wait_closed(&caller);
	assert_int_equal(caller.status, RMD_RPC_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(caller.text, "4259840"));
}

static void rare_method_serves_as_the_others(void **state)
{
	struct pair *pair = *state;
	struct caller callers[8] = {0};
	for (size_t i = 0; i < 8; i++) {
		caller_open(&callers[i], pair->loop, pair->channel, "/test.Test/Rare", 0);
		send_item(callers[i].stream, 0, 0, 100);
		rmd_stream_finish(callers[i].stream, RMD_RPC_OK, "");
	}
	for (size_t i = 0; i < 8; i++) {
		caller_wait_closed(&callers[i]);
		assert_int_equal(callers[i].status, RMD_RPC_OK);
		assert_int_equal(callers[i].items, 1);
	}
}

static void server_memory_shortage_ends_the_stream_and_nothing_else(void **state)
{
	struct pair *pair = *state;
	unary_call_gets_one_message_and_a_status(state); /* now it is connected */
	/* Each single failing allocation of an exchange, on either side: it ends in OK or
	 * in a clear status, and the next call works. */
	for (uint64_t n = 1; n <= 40; n++) {
		struct caller caller = {0};
		rmd_alloc_fail_at(n);
		caller.loop = pair->loop;
		caller.stream = rmd_channel_call(pair->channel, "/test.Test/Echo", 0,
						 false, &caller_events, &caller);
		if (caller.stream != NULL) {
			send_item(caller.stream, 0, 0, 40000);
			if (caller.stream != NULL)
				rmd_stream_finish(caller.stream, RMD_RPC_OK, "");
			caller_wait_closed(&caller);
			assert_true(caller.status == RMD_RPC_OK ||
				    caller.status == RMD_RPC_RESOURCE_EXHAUSTED);
		}
		rmd_alloc_fail_at(0);
	}
	unary_call_gets_one_message_and_a_status(state);
}

#define ON_UNIX(test) cmocka_unit_test_setup_teardown(test, pair_start, pair_stop)
#define ON_TCP(test)                                                  \
	{                                                             \
#test " (tcp)", test, pair_start_tcp, pair_stop, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_UNIX(unary_call_gets_one_message_and_a_status),
		ON_TCP(unary_call_gets_one_message_and_a_status),
		ON_UNIX(items_of_one_round_go_out_as_one_message),
		ON_UNIX(items_of_many_threads_keep_their_order),
		ON_TCP(items_of_many_threads_keep_their_order),
		ON_UNIX(threads_may_send_on_a_stream_that_is_closed),
		ON_UNIX(large_payload_goes_in_chunks_by_reference),
		ON_TCP(large_payload_goes_in_chunks_by_reference),
		ON_UNIX(paused_reader_holds_the_sender_back),
		ON_UNIX(paused_client_gets_all_when_it_resumes),
		ON_UNIX(finish_sends_what_is_pending_first),
		ON_UNIX(whole_messages_do_not_merge),
		ON_UNIX(deadline_ends_the_call_on_both_sides),
		ON_UNIX(cancel_by_the_client_ends_the_server_side),
		ON_UNIX(cancel_by_the_server_is_told_to_the_client),
		ON_UNIX(failure_carries_status_text_and_reason),
		ON_UNIX(unknown_method_is_named),
		ON_UNIX(message_over_the_methods_limit_is_refused),
		ON_UNIX(message_over_the_connections_limit_is_refused),
		ON_UNIX(rare_method_serves_as_the_others),
		ON_UNIX(server_memory_shortage_ends_the_stream_and_nothing_else),
	};
	return cmocka_run_group_tests_name("rpc_stream", tests, NULL, NULL);
}
