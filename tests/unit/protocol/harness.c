#include "tests/unit/protocol/harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/arguments.h"
#include "proto/codec/frames_nested.h"
#include "proto/codec/value.h"
#include "proto/error/chain.h"

#define PATIENCE_MS 20000

static void on_ready(void *ctx)
{
	struct harness *harness = ctx;
	assert_false(harness->ready);
	harness->ready = true;
}

static void on_start_failed(void *ctx, struct rmd_slice error_chain)
{
	struct harness *harness = ctx;
	const char *field;
	remuda_error_free(harness->start_error);
	harness->start_error = NULL;
	if (rmd_error_decode(error_chain, &harness->start_error, &field) < 0)
		harness->start_error =
			remuda_error_create("NotAChain", "what it says is no chain");
}

static void on_log(void *ctx, uint64_t lease, enum rmd_wp_log stream,
		   struct rmd_slice bytes, uint64_t dropped_bytes)
{
	static const char *const names[] = {"out", "err", "log"};
	struct harness_log *log = ((struct harness *)ctx)->log;
	size_t room = sizeof log->text - log->len;
	assert_int_equal(dropped_bytes, 0);
	if (bytes.len + 64 > room)
		return;
	log->len += (size_t)snprintf(log->text + log->len, room, "%s %llu: %.*s|",
				     names[stream], (unsigned long long)lease,
				     (int)bytes.len, (const char *)bytes.data);
}

static void on_outcome(void *ctx, const struct rmd_wp_outcome *outcome)
{
	struct harness *harness = ctx;
	struct harness_log *log = harness->log;
	harness->outcomes++;
	harness->seen_sum += outcome->lease;
	if (sizeof log->text - log->len > 64)
		log->len += (size_t)sprintf(log->text + log->len, "end %llu|",
					    (unsigned long long)outcome->lease);
	if (outcome->lease != harness->wanted)
		return;
	rmd_piece_unref(harness->payload);
	harness->payload = rmd_piece_ref(outcome->payload);
	harness->kind = outcome->kind;
	harness->run_ns = outcome->run_ns;
	harness->found = true;
}

__attribute__((format(printf, 2, 3))) static void note(struct harness *harness,
						       const char *format, ...)
{
	struct harness_log *log = harness->log;
	va_list args;
	if (sizeof log->text - log->len < 1024)
		return;
	va_start(args, format);
	log->len += (size_t)vsprintf(log->text + log->len, format, args);
	va_end(args);
}

static void on_submit(void *ctx, uint64_t lease, struct rmd_piece payload)
{
	struct harness *harness = ctx;
	struct rmd_nested_submit submit;
	const char *field;
	assert_int_equal(rmd_worker_submit_read(payload.bytes, &submit, &field), 0);
	harness->submits++;
	note(harness, "sub %llu %llu %.*s %.*s|", (unsigned long long)lease,
	     (unsigned long long)submit.number, (int)submit.function.len,
	     (const char *)submit.function.data, (int)submit.pool.len,
	     (const char *)submit.pool.data);
	rmd_piece_unref(harness->submit);
	harness->submit = rmd_piece_ref(payload);
}

static void on_ask(void *ctx, uint64_t lease, uint64_t number, bool now)
{
	struct harness *harness = ctx;
	harness->asked++;
	note(harness, "%s %llu %llu|", now ? "now" : "ask", (unsigned long long)lease,
	     (unsigned long long)number);
	if (harness->ask != NULL)
		harness->ask(harness, lease, number, now);
	else
		assert_int_equal(rmd_wp_answer(harness->end, lease, number,
					       RMD_WP_ANSWER_UNKNOWN,
					       (struct rmd_slice){NULL, 0}),
				 0);
}

static void on_give_up(void *ctx, uint64_t lease, uint64_t number)
{
	struct harness *harness = ctx;
	note(harness, "up %llu %llu|", (unsigned long long)lease,
	     (unsigned long long)number);
	if (harness->give_up != NULL)
		harness->give_up(harness, lease, number);
	else
		assert_int_equal(rmd_wp_answer(harness->end, lease, number,
					       RMD_WP_ANSWER_NONE,
					       (struct rmd_slice){NULL, 0}),
				 0);
}

static void on_cancel(void *ctx, uint64_t lease, uint64_t number)
{
	note(ctx, "can %llu %llu|", (unsigned long long)lease,
	     (unsigned long long)number);
}

void harness_answer(struct harness *harness, uint64_t lease, uint64_t number,
		    const struct remuda_value *value)
{
	struct rmd_wire_writer writer = {0};
	rmd_value_put(&writer, value);
	assert_false(writer.failed);
	assert_int_equal(rmd_wp_answer(harness->end, lease, number, RMD_WP_ANSWER_VALUE,
				       rmd_slice_of(writer.data, writer.len)),
			 0);
	rmd_wire_writer_fini(&writer);
}

void harness_answer_error(struct harness *harness, uint64_t lease, uint64_t number,
			  struct remuda_error *err)
{
	struct rmd_buf *chain = rmd_error_encode_buf(err);
	remuda_error_free(err);
	assert_non_null(chain);
	assert_int_equal(rmd_wp_answer(harness->end, lease, number, RMD_WP_ANSWER_ERROR,
				       rmd_buf_slice(chain)),
			 0);
	rmd_buf_unref(chain);
}

static const struct rmd_wp_events events = {
	.ready = on_ready,
	.start_failed = on_start_failed,
	.log = on_log,
	.outcome = on_outcome,
	.submit = on_submit,
	.ask = on_ask,
	.give_up = on_give_up,
	.cancel = on_cancel,
};

void harness_open(struct harness *harness, uint32_t tasks_max)
{
	*harness = (struct harness){.next_lease = 1};
	harness->log = rmd_calloc(1, sizeof *harness->log);
	assert_non_null(harness->log);
	rmd_arena_init(&harness->arena, 0);
	harness->end = rmd_wp_open(tasks_max, &events, harness);
	assert_non_null(harness->end);
}

void harness_start(struct harness *harness, const char *const *modules, size_t count)
{
	harness_open(harness, RMD_WP_TASKS_MAX);
	rmd_wp_set_names(harness->end, "testhost", 7);
	harness->pid = worker_process_start(harness->end, REMUDA_TEST_WORKER);
	assert_int_equal(rmd_wp_send_setup(harness->end, modules, count), 0);
	while (!harness->ready && harness_pump(harness))
		continue;
	if (!harness->ready)
		harness_wait_end(harness);
}

void harness_close(struct harness *harness)
{
	if (harness->pid > 0) {
		kill(harness->pid, SIGKILL);
		(void)worker_process_wait(harness->pid);
	}
	rmd_piece_unref(harness->payload);
	rmd_piece_unref(harness->submit);
	rmd_wp_close(harness->end);
	rmd_arena_fini(&harness->arena);
	remuda_error_free(harness->err);
	remuda_error_free(harness->start_error);
	rmd_free(harness->log);
}

bool harness_pump(struct harness *harness)
{
	if (harness->ended)
		return false;
	assert_true(worker_process_poll(harness->end, PATIENCE_MS));
	int rc = rmd_wp_read(harness->end);
	if (rc >= 0)
		return true;
	harness->ended = true;
	harness->broken = rc;
	return false;
}

void harness_wait_end(struct harness *harness)
{
	while (harness_pump(harness))
		continue;
	if (harness->broken != RMD_ECLOSED)
		kill(harness->pid, SIGKILL);
	harness->status = worker_process_wait(harness->pid);
	harness->pid = 0;
}

uint64_t harness_give(struct harness *harness, const char *function,
		      const struct remuda_value *args, size_t count)
{
	struct rmd_wire_writer writer = {0};
	for (size_t i = 0; i < count; i++)
		rmd_arguments_put(&writer, &args[i]);
	struct rmd_buf *buf = rmd_wire_writer_take(&writer);
	rmd_wire_writer_fini(&writer);
	assert_non_null(buf);
	struct rmd_wp_task task = {
		.lease = harness->next_lease++,
		.function = rmd_slice_of_string(function),
		.arguments = {rmd_buf_slice(buf), buf},
		.attempt = 3,
	};
	assert_int_equal(rmd_wp_give(harness->end, &task), 0);
	rmd_buf_unref(buf);
	return task.lease;
}

bool harness_await(struct harness *harness, uint64_t lease)
{
	harness->wanted = lease;
	harness->found = false;
	int rc = rmd_wp_flush(harness->end);
	assert_true(rc == 0 || rc == RMD_ECLOSED);
	while (!harness->found && harness_pump(harness))
		continue;
	return harness->found;
}

int harness_call(struct harness *harness, const char *function,
		 const struct remuda_value *args, size_t count)
{
	const char *field;
	if (!harness_await(harness, harness_give(harness, function, args, count)))
		return -1;
	rmd_arena_reset(&harness->arena);
	if (harness->kind == RMD_WP_VALUE) {
		assert_int_equal(rmd_value_get(harness->payload.bytes, &harness->arena,
					       &harness->value),
				 0);
		return 0;
	}
	remuda_error_free(harness->err);
	harness->err = NULL;
	assert_int_equal(rmd_error_decode(harness->payload.bytes, &harness->err, &field),
			 0);
	return 1;
}

struct remuda_value harness_int(int64_t number)
{
	return (struct remuda_value){.kind = REMUDA_INT64, .u.int64 = number};
}

struct remuda_value harness_double(double number)
{
	return (struct remuda_value){.kind = REMUDA_FLOAT64, .u.float64 = number};
}

struct remuda_value harness_text(const char *text)
{
	return (struct remuda_value){.kind = REMUDA_STRING,
				     .u.string = {text, strlen(text)}};
}

struct remuda_value harness_bytes(const void *data, size_t len)
{
	return (struct remuda_value){.kind = REMUDA_BYTES, .u.bytes = {data, len}};
}
