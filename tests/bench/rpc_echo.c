/* tests/bench/rpc_echo.c: streams of proto/rpc against a raw loop over gRPC core, in one
 * run.
 *
 *   bench_rpc_echo [--seconds S] [--tcp]     one JSON object a line
 *
 * Items of 64 bytes go from a client process to a server process, which copies and
 * returns them, over one stream. `streams` is what the rest of the house uses; `raw` has
 * the same batches with none of our code between it and gRPC: its completion queue, one
 * message per write. K is how many items the client appends before it lets go; the window
 * is 64 K (K=1: 1). Then the same with items of 1 MiB, which our streams pass on by
 * reference, four at a time. */
#include <errno.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/codec/wire.h"
#include "proto/rpc/rpc.h"

#define ITEM_BYTES 64u
#define LARGE_BYTES (1u << 20)
#define SAMPLES_MAX 1000000u
#define ROUNDS 5

/* What a run is asked to do, and what it found. */
struct run {
	const char *address;
	uint64_t k, window;
	double seconds;
	uint64_t sent, received, messages;
	uint64_t sent_at_ns, stop_at_ns;
	float *samples_us;
	size_t samples;
};

static void sample(struct run *run)
{
	if (run->window == 1 && run->samples < SAMPLES_MAX)
		run->samples_us[run->samples++] =
			(float)(rmd_clock_mono_ns() - run->sent_at_ns) / 1000.0f;
}

/* ---- with our streams ---- */

static struct rmd_loop *loop;
static size_t item_bytes = ITEM_BYTES;

static void put_item(struct rmd_wire_writer *writer, uint64_t number)
{
	if (item_bytes == LARGE_BYTES) {
		struct rmd_buf *item = rmd_buf_create(LARGE_BYTES);
		memset(rmd_buf_writable(item), 0, LARGE_BYTES);
		memcpy(rmd_buf_writable(item), &number, sizeof number);
		rmd_wire_put_piece(writer, 1,
				   (struct rmd_piece){rmd_buf_slice(item), item});
		rmd_buf_unref(item);
		return;
	}
	uint8_t item[ITEM_BYTES] = {0};
	memcpy(item, &number, sizeof number);
	rmd_wire_put_bytes(writer, 1, rmd_slice_of(item, sizeof item));
}

static void serve_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	(void)ctx;
	struct rmd_wire_reader reader = rmd_wire_reader_of(message.bytes);
	struct rmd_wire_field field;
	while (rmd_wire_next(&reader, &field) > 0) { /* item by item, as a service does */
		struct rmd_wire_writer *writer = rmd_stream_begin(stream);
		rmd_wire_put_piece(writer, 1,
				   (struct rmd_piece){field.bytes, message.buf});
		rmd_stream_end(stream);
	}
}

static void serve_end(struct rmd_stream *stream, void *ctx)
{
	(void)ctx;
	rmd_stream_finish(stream, RMD_RPC_OK, "");
}

static const struct rmd_stream_events serve_events = {
	.message = serve_message,
	.half_closed = serve_end,
};

static void serve_open(struct rmd_stream *stream, void *service)
{
	rmd_stream_listen(stream, &serve_events, service);
}

static void tell(int fd)
{
	char byte = 1;
	RMD_CHECK(write(fd, &byte, 1) == 1);
}

static void wait_for(int fd)
{
	char byte;
	RMD_CHECK(read(fd, &byte, 1) == 1);
}

static void serve_streams(const char *address, int ready)
{
	static const struct rmd_method method = {"/bench.Bench/Echo", serve_open, 0,
						 false};
	char *actual, *why;
	loop = rmd_loop_create();
	struct rmd_server *server = rmd_server_create(loop, NULL);
	RMD_CHECK(rmd_server_add_methods(server, &method, 1, NULL) == 0);
	if (rmd_server_listen(server, address, NULL, &actual, &why) < 0) {
		fprintf(stderr, "bench_rpc_echo: %s\n", why);
		exit(3);
	}
	RMD_CHECK(rmd_server_start(server) == 0);
	tell(ready);
	rmd_loop_run(loop); /* until it is killed */
}

static void send_streams(struct run *run, struct rmd_stream *stream)
{
	uint64_t now_ns = rmd_clock_mono_ns();
	if (now_ns >= run->stop_at_ns) {
		if (run->sent == run->received)
			rmd_stream_finish(stream, RMD_RPC_OK, "");
		return;
	}
	run->sent_at_ns = now_ns;
	while (run->sent - run->received < run->window) {
		put_item(rmd_stream_begin(stream), run->sent++);
		rmd_stream_end(stream);
	}
}

static void hear_message(struct rmd_stream *stream, void *ctx, struct rmd_piece message)
{
	struct run *run = ctx;
	struct rmd_wire_reader reader = rmd_wire_reader_of(message.bytes);
	struct rmd_wire_field field;
	run->messages++;
	while (rmd_wire_next(&reader, &field) > 0) {
		uint64_t number;
		memcpy(&number, field.bytes.data, sizeof number);
		RMD_CHECK(number == run->received);
		run->received++;
	}
	sample(run);
	send_streams(run, stream);
}

static void hear_closed(struct rmd_stream *stream, void *ctx, enum rmd_rpc_status status,
			const char *text)
{
	(void)stream;
	(void)ctx;
	if (status != RMD_RPC_OK)
		fprintf(stderr, "bench_rpc_echo: %s\n", text);
	rmd_loop_stop(loop);
}

static const struct rmd_stream_events hear_events = {
	.message = hear_message,
	.closed = hear_closed,
};

static void run_streams(struct run *run)
{
	char *why;
	loop = rmd_loop_create();
	struct rmd_channel *channel = rmd_channel_open(loop, run->address, &why);
	RMD_CHECK(channel != NULL);
	run->stop_at_ns = rmd_clock_mono_ns() + (uint64_t)(run->seconds * 1e9);
	struct rmd_stream *stream = rmd_channel_call(channel, "/bench.Bench/Echo", 0,
						     true, &hear_events, run);
	send_streams(run, stream);
	rmd_loop_run(loop);
	rmd_channel_close(channel);
	rmd_loop_destroy(loop);
}

/* ---- raw ---- */

enum raw_tag { RAW_CALL = 1, RAW_READ, RAW_WRITE, RAW_OTHER };

struct raw {
	grpc_completion_queue *queue;
	grpc_call *call;
	grpc_byte_buffer *in;
	bool writing;
	uint8_t *gathered; /* the server's: what waits to be returned */
	size_t len, capacity;
	uint64_t batch_bytes;
};

static void raw_batch(struct raw *raw, const grpc_op *op, size_t count, enum raw_tag tag)
{
	RMD_CHECK(grpc_call_start_batch(raw->call, op, count, (void *)(uintptr_t)tag,
					NULL) == GRPC_CALL_OK);
}

static void raw_read(struct raw *raw)
{
	grpc_op op = {.op = GRPC_OP_RECV_MESSAGE,
		      .data.recv_message.recv_message = &raw->in};
	raw_batch(raw, &op, 1, RAW_READ);
}

static void raw_write(struct raw *raw, grpc_slice slice)
{
	grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_op op = {.op = GRPC_OP_SEND_MESSAGE,
		      .data.send_message.send_message = message};
	raw->writing = true;
	raw_batch(raw, &op, 1, RAW_WRITE);
	grpc_byte_buffer_destroy(message);
	grpc_slice_unref(slice);
}

static void raw_return(struct raw *raw)
{
	if (raw->writing || raw->len == 0)
		return;
	size_t len = raw->len < raw->batch_bytes ? raw->len : raw->batch_bytes;
	grpc_slice slice =
		grpc_slice_from_copied_buffer((const char *)raw->gathered, len);
	raw->len -= len;
	memmove(raw->gathered, raw->gathered + len, raw->len);
	raw_write(raw, slice);
}

static void raw_gather(struct raw *raw)
{
	grpc_byte_buffer_reader reader;
	grpc_slice *slice;
	size_t total = grpc_byte_buffer_length(raw->in);
	if (raw->len + total > raw->capacity) {
		raw->capacity = (raw->len + total) * 2;
		raw->gathered = realloc(raw->gathered, raw->capacity);
		RMD_CHECK(raw->gathered != NULL);
	}
	grpc_byte_buffer_reader_init(&reader, raw->in);
	while (grpc_byte_buffer_reader_peek(&reader, &slice)) {
		memcpy(raw->gathered + raw->len, GRPC_SLICE_START_PTR(*slice),
		       GRPC_SLICE_LENGTH(*slice));
		raw->len += GRPC_SLICE_LENGTH(*slice);
	}
	grpc_byte_buffer_reader_destroy(&reader);
	grpc_byte_buffer_destroy(raw->in);
	raw->in = NULL;
}

static void serve_raw(const char *address, uint64_t k, int ready)
{
	struct raw raw = {.batch_bytes = k * item_bytes};
	grpc_call_details details;
	grpc_metadata_array metadata;
	grpc_init();
	grpc_server *server = grpc_server_create(NULL, NULL);
	raw.queue = grpc_completion_queue_create_for_next(NULL);
	grpc_server_register_completion_queue(server, raw.queue, NULL);
	grpc_server_credentials *insecure = grpc_insecure_server_credentials_create();
	if (strncmp(address, "tcp:", 4) == 0)
		address += 4;
	RMD_CHECK(grpc_server_add_http2_port(server, address, insecure) != 0);
	grpc_server_start(server);
	grpc_call_details_init(&details);
	grpc_metadata_array_init(&metadata);
	grpc_server_request_call(server, &raw.call, &details, &metadata, raw.queue,
				 raw.queue, (void *)(uintptr_t)RAW_CALL);
	tell(ready);
	for (;;) {
		grpc_event event = grpc_completion_queue_next(
			raw.queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
		enum raw_tag tag = (enum raw_tag)(uintptr_t)event.tag;
		if (tag == RAW_CALL) {
			grpc_op op = {.op = GRPC_OP_SEND_INITIAL_METADATA};
			raw_batch(&raw, &op, 1, RAW_OTHER);
			raw_read(&raw);
		} else if (tag == RAW_READ && raw.in == NULL) {
			grpc_op op = {.op = GRPC_OP_SEND_STATUS_FROM_SERVER};
			raw_batch(&raw, &op, 1, RAW_OTHER);
		} else if (tag == RAW_READ) {
			raw_gather(&raw);
			raw_read(&raw);
			raw_return(&raw);
		} else if (tag == RAW_WRITE) {
			raw.writing = false;
			raw_return(&raw);
		}
	}
}

static void send_raw(struct run *run, struct raw *raw)
{
	if (raw->writing)
		return;
	uint64_t now_ns = rmd_clock_mono_ns();
	if (now_ns >= run->stop_at_ns) {
		grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
		if (run->sent == run->received) {
			raw->writing = true;
			raw_batch(raw, &op, 1, RAW_OTHER);
		}
		return;
	}
	run->sent_at_ns = now_ns;
	uint64_t count = run->window - (run->sent - run->received);
	if (count > run->k)
		count = run->k;
	if (count == 0)
		return;
	grpc_slice slice = grpc_slice_malloc(count * item_bytes);
	memset(GRPC_SLICE_START_PTR(slice), 0, count * item_bytes);
	for (uint64_t i = 0; i < count; i++, run->sent++)
		memcpy(GRPC_SLICE_START_PTR(slice) + i * item_bytes, &run->sent,
		       sizeof run->sent);
	raw_write(raw, slice);
}

static void run_raw(struct run *run)
{
	struct raw raw = {0};
	grpc_metadata_array initial, trailing;
	grpc_status_code code;
	grpc_slice text;
	const char *target = run->address;
	grpc_init();
	raw.queue = grpc_completion_queue_create_for_next(NULL);
	grpc_channel_credentials *insecure = grpc_insecure_credentials_create();
	if (strncmp(target, "tcp:", 4) == 0)
		target += 4;
	grpc_channel *channel = grpc_channel_create(target, insecure, NULL);
	raw.call = grpc_channel_create_call(
		channel, NULL, GRPC_PROPAGATE_DEFAULTS, raw.queue,
		grpc_slice_from_static_string("/bench.Bench/Echo"), NULL,
		gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
	grpc_metadata_array_init(&initial);
	grpc_metadata_array_init(&trailing);
	grpc_op ops[2] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
			  {.op = GRPC_OP_RECV_INITIAL_METADATA,
			   .data.recv_initial_metadata.recv_initial_metadata = &initial}};
	grpc_op end = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
		       .data.recv_status_on_client = {.trailing_metadata = &trailing,
						      .status = &code,
						      .status_details = &text}};
	run->stop_at_ns = rmd_clock_mono_ns() + (uint64_t)(run->seconds * 1e9);
	raw_batch(&raw, ops, 2, RAW_OTHER);
	raw_batch(&raw, &end, 1, RAW_CALL);
	raw_read(&raw);
	send_raw(run, &raw);
	for (enum raw_tag tag = RAW_OTHER; tag != RAW_CALL;) {
		grpc_event event = grpc_completion_queue_next(
			raw.queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
		tag = (enum raw_tag)(uintptr_t)event.tag;
		if (tag == RAW_READ && raw.in != NULL) {
			run->messages++;
			run->received += grpc_byte_buffer_length(raw.in) / item_bytes;
			raw.len = 0;
			raw_gather(&raw);
			sample(run);
			raw_read(&raw);
			send_raw(run, &raw);
		} else if (tag == RAW_WRITE) {
			raw.writing = false;
			send_raw(run, &raw);
		}
	}
}

/* ---- both ---- */

static int by_size(const void *a, const void *b)
{
	const float *left = a, *right = b;
	return (*left > *right) - (*left < *right);
}

enum way { WAY_STREAMS, WAY_RAW };

/* Runs client and server, each in a process of its own. Gives items a second, or for a
 * window of one the median round trip in microseconds. */
static double measure(enum way way, const char *address, uint64_t k, double seconds)
{
	int ready[2], result[2];
	double value = 0;
	RMD_CHECK(pipe(ready) == 0 && pipe(result) == 0);
	pid_t server = fork();
	if (server == 0) {
		if (way == WAY_RAW)
			serve_raw(address, k, ready[1]);
		else
			serve_streams(address, ready[1]);
		_exit(0);
	}
	wait_for(ready[0]);
	pid_t client = fork();
	if (client == 0) {
		struct run run = {.address = address, .k = k, .seconds = seconds};
		run.window = item_bytes == LARGE_BYTES ? 4 : k == 1 ? 1 : k * 64;
		run.samples_us = calloc(SAMPLES_MAX, sizeof *run.samples_us);
		uint64_t begun_ns = rmd_clock_mono_ns();
		if (way == WAY_RAW)
			run_raw(&run);
		else
			run_streams(&run);
		value = (double)run.received * 1e9 /
			(double)(rmd_clock_mono_ns() - begun_ns);
		if (run.window == 1 && run.samples > 0) {
			qsort(run.samples_us, run.samples, sizeof *run.samples_us,
			      by_size);
			value = (double)run.samples_us[run.samples / 2];
		}
		RMD_CHECK(write(result[1], &value, sizeof value) == sizeof value);
		_exit(0);
	}
	RMD_CHECK(read(result[0], &value, sizeof value) == sizeof value);
	waitpid(client, NULL, 0);
	kill(server, 9);
	waitpid(server, NULL, 0);
	if (strncmp(address, "unix:", 5) == 0) {
		char lock[128];
		snprintf(lock, sizeof lock, "%s.lock", address + 5);
		unlink(lock);
		unlink(address + 5);
	}
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(result[i]);
	}
	return value;
}

static void compare(const char *name, const char *address, uint64_t k, double seconds)
{
	bool trip = k == 1 && item_bytes == ITEM_BYTES;
	double best[2] = {0, 0};
	for (int round = 0; round < ROUNDS;
	     round++) /* in turns: the machine's mood changes */
		for (int way = WAY_STREAMS; way <= WAY_RAW; way++) {
			double value = measure((enum way)way, address, k, seconds);
			bool better = trip ? best[way] == 0 || value < best[way]
					   : value > best[way];
			if (better)
				best[way] = value;
		}
	printf("{\"name\":\"rpc_echo_%s\",\"value\":%.1f,\"unit\":\"%s\",\"raw\":%.1f,"
	       "\"ratio\":%.3f}\n",
	       name, best[WAY_STREAMS], trip ? "us" : "items/s", best[WAY_RAW],
	       best[WAY_STREAMS] / best[WAY_RAW]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char folder[] = "/tmp/remuda-bench-XXXXXX", address[64] = "tcp:127.0.0.1:47071";
	double seconds = 0.4;
	bool tcp = false;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--tcp") == 0) {
			tcp = true;
		} else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
			seconds = atof(argv[++i]);
		} else {
			fprintf(stderr, "usage: bench_rpc_echo [--seconds S] [--tcp]\n");
			return 2;
		}
	}
	if (mkdtemp(folder) == NULL)
		return 1;
	if (!tcp)
		snprintf(address, sizeof address, "unix:%s/s", folder);
	compare("round_trip", address, 1, seconds);
	compare("k16", address, 16, seconds);
	compare("k64", address, 64, seconds);
	compare("k256", address, 256, seconds);
	item_bytes = LARGE_BYTES;
	compare("1mib", address, 1, seconds);
	rmdir(folder);
	return 0;
}
