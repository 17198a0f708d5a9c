#include "tests/unit/agent/rig.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/codec/frames_pool.h"
#include "worker/spawner/spawner.h"

/* ---- the link: agent's thread ---- */

static void heard_end(struct rig *rig, uint64_t number, enum rig_end end,
		      struct rmd_slice bytes)
{
	assert_true(number < RIG_LEASES_MAX);
	struct rig_lease *lease = &rig->leases[number];
	lease->end = end;
	lease->ends++;
	free(lease->bytes);
	lease->bytes = NULL;
	if (bytes.len > 0) {
		lease->bytes = malloc(bytes.len);
		memcpy(lease->bytes, bytes.data, bytes.len);
	}
	lease->bytes_len = (uint32_t)bytes.len;
	rig->ended++;
	if (end == RIG_VALUE)
		rig->values++;
	if (end == RIG_RETURNED)
		rig->returned++;
}

static void heard_outcome(struct rig *rig, const struct rmd_lease_outcome *outcome)
{
	static const enum rig_end ends[] = {
		[RMD_OUTCOME_VALUE] = RIG_VALUE,
		[RMD_OUTCOME_ERROR] = RIG_ERROR,
		[RMD_OUTCOME_CANCELLED] = RIG_CANCELLED,
		[RMD_OUTCOME_VALUE_TRANSFER] = RIG_VALUE,
	};
	struct rmd_slice bytes = outcome->outcome.bytes;
	if (outcome->outcome.kind == RMD_OUTCOME_VALUE_TRANSFER) {
		assert_int_equal(outcome->outcome.transfer, rig->transfer);
		bytes = rig->transfer_bytes.bytes;
	}
	heard_end(rig, outcome->lease, ends[outcome->outcome.kind], bytes);
	rig->leases[outcome->lease].began = outcome->began;
	rig->leases[outcome->lease].worker = outcome->worker;
}

static void heard_pool(struct rig *rig, const struct rmd_agent_pool *said)
{
	struct rig_pool *pool = &rig->pools[said->pool];
	size_t cursor = 0;
	pool->slots = said->slots;
	pool->idle = said->idle;
	pool->reports++;
	pool->worker_count = 0;
	while (pool->worker_count < RIG_WORKERS_MAX &&
	       rmd_agent_pool_next_worker(said, &cursor,
					  &pool->workers[pool->worker_count]))
		pool->worker_count++;
	if (!said->start_failed)
		return;
	struct remuda_error *err;
	const char *field;
	assert_int_equal(rmd_error_decode(said->start_error, &err, &field), 0);
	free(pool->start_error);
	pool->start_error = remuda_error_string(err);
	remuda_error_free(err);
	pool->start_failures++;
	pool->broken = said->broken;
}

static void heard_log(struct rig *rig, const struct rmd_lease_log *log)
{
	struct rig_lease *lease = &rig->leases[log->lease];
	size_t len = strlen(lease->log);
	size_t n = log->log.data.len;
	if (n > sizeof lease->log - 1 - len)
		n = sizeof lease->log - 1 - len;
	memcpy(lease->log + len, log->log.data.data, n);
	lease->logged = true;
	if (lease->end != RIG_OPEN)
		lease->logged_late = true;
}

static void heard_nested(struct rig *rig, const struct rmd_nested_submit *nested)
{
	struct rig_lease *lease = &rig->leases[nested->lease];
	assert_true(lease->began_told); /* before its first child */
	assert_true(nested->number > lease->nested);
	assert_int_equal(lease->end, RIG_OPEN);
	lease->nested = nested->number;
	rig->nested = *nested;
	snprintf(rig->nested_function, sizeof rig->nested_function, "%.*s",
		 (int)nested->function.len, (const char *)nested->function.data);
	snprintf(rig->nested_pool, sizeof rig->nested_pool, "%.*s", (int)nested->pool.len,
		 (const char *)nested->pool.data);
	snprintf(rig->nested_arguments, sizeof rig->nested_arguments, "%.*s",
		 (int)nested->arguments.len, (const char *)nested->arguments.data);
}

static void heard_wait(struct rig_lease *lease, bool waiting)
{
	assert_true(waiting != lease->waiting);
	lease->waiting = waiting;
	lease->waits += waiting;
}

static void heard_progress(struct rig_lease *lease,
			   const struct rmd_lease_progress *progress)
{
	lease->progress_done = progress->done;
	lease->progress_total = progress->total;
	lease->progress_told++;
}

static void heard(struct rig *rig, const struct rmd_attach_request_item *item)
{
	switch (item->kind) {
	case RMD_ATTACH_REQUEST_HELLO:
		rig->hello = true;
		return;
	case RMD_ATTACH_REQUEST_CHUNK:
		fail_msg("a chunk on the link");
		return;
	case RMD_ATTACH_REQUEST_LOG:
		heard_log(rig, &item->log);
		return;
	case RMD_ATTACH_REQUEST_BEGAN:
		rig->leases[item->number].began_told = true;
		return;
	case RMD_ATTACH_REQUEST_OUTCOME:
		heard_outcome(rig, &item->outcome);
		return;
	case RMD_ATTACH_REQUEST_RETURNED:
		heard_end(rig, item->number, RIG_RETURNED, (struct rmd_slice){0});
		return;
	case RMD_ATTACH_REQUEST_POOL:
		heard_pool(rig, &item->pool);
		return;
	case RMD_ATTACH_REQUEST_DRAINING:
		rig->draining = true;
		return;
	case RMD_ATTACH_REQUEST_NESTED:
		heard_nested(rig, &item->nested);
		return;
	case RMD_ATTACH_REQUEST_NESTED_CANCEL:
		rig->leases[item->nested_cancel.lease].nested_cancelled =
			item->nested_cancel.number;
		return;
	case RMD_ATTACH_REQUEST_WAIT:
		heard_wait(&rig->leases[item->wait.lease], item->wait.waiting);
		return;
	case RMD_ATTACH_REQUEST_PROGRESS:
		heard_progress(&rig->leases[item->progress.lease], &item->progress);
		return;
	case RMD_ATTACH_REQUEST_IMAGE_WANTED:
		rig->images_wanted++;
		rig->image_wanted = item->digest;
		return;
	}
}

static struct rmd_wire_writer *rig_begin(struct rmd_link *link)
{
	return &((struct rig *)link)->writer;
}

static void rig_end_item(struct rmd_link *link)
{
	struct rig *rig = (struct rig *)link;
	struct rmd_attach_request_item item;
	struct rmd_buf *buf = rmd_wire_writer_take(&rig->writer);
	struct rmd_frame_reader reader = rmd_frame_reader_of(rmd_buf_slice(buf));
	int rc;
	pthread_mutex_lock(&rig->lock);
	while ((rc = rmd_attach_request_next(&reader, &item)) > 0)
		heard(rig, &item);
	if (rc < 0)
		fprintf(stderr, "the agent sent %s: %s\n", rmd_errcode_name(rc),
			reader.field);
	assert_int_equal(rc, 0);
	pthread_cond_broadcast(&rig->changed);
	pthread_mutex_unlock(&rig->lock);
	rmd_buf_unref(buf);
}

static int rig_send_transfer(struct rmd_link *link, uint64_t transfer,
			     struct rmd_piece payload)
{
	struct rig *rig = (struct rig *)link;
	pthread_mutex_lock(&rig->lock);
	assert_true(transfer > rig->transfer);
	rmd_piece_unref(rig->transfer_bytes);
	rig->transfer = transfer;
	rig->transfer_bytes = payload;
	pthread_mutex_unlock(&rig->lock);
	return 0;
}

static size_t rig_pending(const struct rmd_link *link)
{
	(void)link;
	return 0;
}

static void tell_lost(void *arg)
{
	struct rig *rig = arg;
	if (rig->lost_told || rig->link_destroyed)
		return;
	rig->lost_told = true;
	rig->link.events->lost(rig->link.ctx, "the test has cut it");
}

static void rig_close(struct rmd_link *link)
{
	struct rig *rig = (struct rig *)link;
	pthread_mutex_lock(&rig->lock);
	rig->closed = true;
	pthread_cond_broadcast(&rig->changed);
	pthread_mutex_unlock(&rig->lock);
	if (rig->agent != NULL)
		rmd_agent_post(rig->agent, tell_lost, rig);
}

static void rig_destroy(struct rmd_link *link)
{
	((struct rig *)link)->link_destroyed = true;
}

static const struct rmd_link_ops ops = {
	.begin = rig_begin,
	.end = rig_end_item,
	.send_transfer = rig_send_transfer,
	.pending_bytes = rig_pending,
	.close = rig_close,
	.destroy = rig_destroy,
};

/* ---- what the coordinator says ---- */

struct parcel {
	struct rig *rig;
	uint64_t transfer;
	struct rmd_piece piece;
};

static void deliver(void *arg)
{
	struct parcel *parcel = arg;
	struct rig *rig = parcel->rig;
	if (rig->lost_told || rig->link_destroyed) {
		rmd_piece_unref(parcel->piece);
	} else if (parcel->transfer != 0) {
		rig->link.events->transfer(rig->link.ctx, parcel->transfer,
					   parcel->piece);
	} else {
		rig->link.events->frame(rig->link.ctx, parcel->piece);
		rmd_piece_unref(parcel->piece);
	}
	free(parcel);
}

static void post_parcel(struct rig *rig, uint64_t transfer, struct rmd_piece piece)
{
	struct parcel *parcel = malloc(sizeof *parcel);
	*parcel = (struct parcel){rig, transfer, piece};
	assert_int_equal(rmd_agent_post(rig->agent, deliver, parcel), 0);
}

void rig_nested(struct rig *rig, uint64_t lease, uint64_t number,
		enum rmd_outcome_kind kind, const char *payload)
{
	struct rmd_nested_outcome outcome = {
		lease, number, {.kind = kind, .bytes = rmd_slice_of_string(payload)}};
	rmd_attach_response_put_nested(&rig->out, &outcome, NULL);
}

void rig_nested_transfer(struct rig *rig, uint64_t lease, uint64_t number,
			 uint64_t transfer)
{
	struct rmd_nested_outcome outcome = {
		lease,
		number,
		{.kind = RMD_OUTCOME_VALUE_TRANSFER, .transfer = transfer}};
	rmd_attach_response_put_nested(&rig->out, &outcome, NULL);
}

void rig_send(struct rig *rig)
{
	struct rmd_buf *buf = rmd_wire_writer_take(&rig->out);
	post_parcel(rig, 0, (struct rmd_piece){rmd_buf_slice(buf), buf});
}

void rig_transfer(struct rig *rig, uint64_t number, struct rmd_piece payload)
{
	post_parcel(rig, number, payload);
}

void rig_lose(struct rig *rig)
{
	assert_int_equal(rmd_agent_post(rig->agent, tell_lost, rig), 0);
}

void rig_pool(struct rig *rig, uint64_t number, uint32_t workers,
	      const struct rig_spec *given)
{
	struct rmd_set_pool set = {.pool = number, .workers = workers};
	struct rmd_wire_writer raw = {0};
	if (given != NULL) {
		struct rmd_pair pair;
		const char *runtime = given->runtime != NULL ? given->runtime : "native";
		struct rmd_pool_spec spec = {
			.runtime = rmd_slice_of_string(runtime),
			.max_tasks_per_worker = given->max_tasks_per_worker,
			.modules = given->module,
			.module_count = given->module != NULL ? 1 : 0,
			.broken_on_crash = given->broken_on_crash,
		};
		if (given->initializer != NULL)
			spec.initializer = rmd_slice_of_string(given->initializer);
		if (given->initializer_arguments != NULL)
			spec.initializer_arguments =
				rmd_slice_of_string(given->initializer_arguments);
		if (given->environment != NULL) {
			const char *equals = strchr(given->environment, '=');
			pair.key = rmd_slice_of(given->environment,
						(size_t)(equals - given->environment));
			pair.value = rmd_slice_of_string(equals + 1);
			spec.environment = &pair;
			spec.environment_count = 1;
		}
		rmd_pool_spec_put_raw(&raw, &spec);
		set.has_spec = true;
		set.raw_spec = rmd_slice_of(raw.data, raw.len);
	}
	rmd_attach_response_put_set_pool(&rig->out, &set);
	rmd_wire_writer_fini(&raw);
}

void rig_close_pool(struct rig *rig, uint64_t pool, bool kill)
{
	struct rmd_set_pool set = {.pool = pool, .closed = true, .kill = kill};
	rmd_attach_response_put_set_pool(&rig->out, &set);
}

static void put_lease(struct rig *rig, uint64_t pool, uint64_t lease,
		      const char *function, struct rmd_slice arguments, bool stream_logs)
{
	char name[128];
	snprintf(name, sizeof name, "native:%s", function);
	struct rmd_lease_grant grant = {
		.lease = lease,
		.pool = pool,
		.function = rmd_slice_of_string(name),
		.arguments = arguments,
		.attempt = 1,
		.stream_logs = stream_logs,
	};
	rmd_attach_response_put_lease(&rig->out, &grant, NULL);
}

void rig_lease(struct rig *rig, uint64_t pool, uint64_t lease, const char *function,
	       const char *arguments)
{
	put_lease(rig, pool, lease, function, rmd_slice_of_string(arguments), false);
}

void rig_lease_logged(struct rig *rig, uint64_t pool, uint64_t lease,
		      const char *function, const char *arguments)
{
	put_lease(rig, pool, lease, function, rmd_slice_of_string(arguments), true);
}

void rig_lease_bytes(struct rig *rig, uint64_t pool, uint64_t lease, const char *function,
		     struct rmd_slice arguments)
{
	put_lease(rig, pool, lease, function, arguments, false);
}

void rig_cancel(struct rig *rig, uint64_t lease)
{
	rmd_attach_response_put_cancels(&rig->out, &lease, 1);
}

void rig_recall(struct rig *rig, uint64_t pool, uint32_t leases)
{
	struct rmd_recall recall = {pool, leases};
	rmd_attach_response_put_recall(&rig->out, &recall);
}

/* ---- start and stop ---- */

struct rig *rig_start(const struct rmd_agent_options *given)
{
	struct rmd_agent_options options = {.stop_grace_ms = 300, .cancel_grace_ms = 100};
	if (given != NULL)
		options = *given;
	struct rig *rig = calloc(1, sizeof *rig);
	rig->link.ops = &ops;
	rig->leases = calloc(RIG_LEASES_MAX, sizeof *rig->leases);
	pthread_mutex_init(&rig->lock, NULL);
	pthread_cond_init(&rig->changed, NULL);
	options.name = "test-host";
	if (options.worker_path == NULL)
		options.worker_path = "/proc/self/exe";
	assert_int_equal(rmd_spawner_start(&options.spawner_fd, &options.spawner_pid), 0);
	rig->spawner_pid = options.spawner_pid;
	rig->agent = rmd_agent_start(&options, &rig->link);
	assert_non_null(rig->agent);
	RIG_WAIT(rig, rig->hello);
	return rig;
}

void rig_stop(struct rig *rig)
{
	rmd_agent_stop(rig->agent);
	assert_true(rig->link_destroyed);
	char path[64];
	int pid;
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	FILE *children = fopen(path, "r");
	assert_int_equal(fscanf(children, "%d", &pid), EOF);
	fclose(children);
	for (size_t i = 0; i < RIG_LEASES_MAX; i++) {
		assert_true(rig->leases[i].ends <= 1);
		assert_false(rig->leases[i].logged_late);
		free(rig->leases[i].bytes);
	}
	for (size_t i = 0; i < sizeof rig->pools / sizeof *rig->pools; i++)
		free(rig->pools[i].start_error);
	rmd_piece_unref(rig->transfer_bytes);
	rmd_wire_writer_fini(&rig->writer);
	rmd_wire_writer_fini(&rig->out);
	pthread_mutex_destroy(&rig->lock);
	pthread_cond_destroy(&rig->changed);
	free(rig->leases);
	free(rig);
}

/* ---- waiting ---- */

void rig_wait_change(struct rig *rig, const char *what, int line)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += RIG_WAIT_MS / 1000;
	if (pthread_cond_timedwait(&rig->changed, &rig->lock, &until) != ETIMEDOUT)
		return;
	pthread_mutex_unlock(&rig->lock);
	fail_msg("line %d: in vain waited for %s (ended %llu, returned %llu)", line, what,
		 (unsigned long long)rig->ended, (unsigned long long)rig->returned);
}

void rig_wait_end(struct rig *rig, uint64_t lease, enum rig_end end)
{
	RIG_WAIT(rig, rig->leases[lease].end != RIG_OPEN);
	if (rig->leases[lease].end == RIG_ERROR && end != RIG_ERROR) {
		struct remuda_error *err = rig_error(rig, lease);
		remuda_error_print(err, stderr);
		remuda_error_free(err);
	}
	assert_int_equal(rig->leases[lease].end, end);
}

uint32_t rig_workers(struct rig *rig, uint64_t pool, enum rmd_worker_state state,
		     pid_t *ret_pids, uint32_t room)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < rig->pools[pool].worker_count; i++)
		if (rig->pools[pool].workers[i].state == state && n < room)
			ret_pids[n++] = (pid_t)rig->pools[pool].workers[i].pid;
	return n;
}

struct remuda_error *rig_error(struct rig *rig, uint64_t lease)
{
	struct remuda_error *err;
	const char *field;
	struct rig_lease *l = &rig->leases[lease];
	assert_int_equal(
		rmd_error_decode(rmd_slice_of(l->bytes, l->bytes_len), &err, &field), 0);
	return err;
}

const char *rig_text(struct rig *rig, uint64_t lease)
{
	static char text[256];
	struct rig_lease *l = &rig->leases[lease];
	size_t n = l->bytes_len < sizeof text - 1 ? l->bytes_len : sizeof text - 1;
	if (n > 0)
		memcpy(text, l->bytes, n);
	text[n] = '\0';
	return text;
}

void await_end_of(pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		/* (EINVAL: it is just being taken away.) */
		assert_true(errno == ESRCH || errno == EINVAL);
		return;
	}
	struct pollfd fd = {.fd = pidfd, .events = POLLIN};
	assert_int_equal(poll(&fd, 1, RIG_WAIT_MS), 1);
	close(pidfd);
}
