#include "worker/agent/image.h"
#include "worker/agent/state.h"

#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"

#define NUMBERS_MAX 4096u /* gathered before they are said at once */

static uint64_t memory_bytes(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	long size = sysconf(_SC_PAGESIZE);
	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

void rmd_agent_say_hello(struct rmd_agent *agent)
{
	static const char *const runtimes[] = {"native", "python"};
	enum { LABELS_FIELD = 1 };
	struct rmd_wire_writer labels = {0};
	for (size_t i = 0; i < agent->label_count; i++) {
		const char *key = agent->labels[i];
		const char *equals = strchr(key, '=');
		struct rmd_pair pair = {rmd_slice_of(key, (size_t)(equals - key)),
					rmd_slice_of_string(equals + 1)};
		rmd_pairs_put(&labels, LABELS_FIELD, pair);
	}
	struct rmd_agent_hello hello = {
		.protocol = RMD_PROTOCOL_VERSION,
		.name = rmd_slice_of_string(agent->name),
		.version = rmd_slice_of_string(agent->version),
		.cpu_milli = agent->cpu_milli,
		.memory_bytes = memory_bytes(),
		.pid = (uint32_t)getpid(),
		.workers_max = agent->workers_max,
	};
	struct rmd_pairs pairs = {
		rmd_wire_reader_of(rmd_slice_of(labels.data, labels.len)), LABELS_FIELD};
	rmd_attach_request_put_hello(rmd_link_begin(agent->link), &hello, runtimes,
				     agent->python_path != NULL ? 2 : 1, pairs);
	rmd_link_end(agent->link);
	rmd_wire_writer_fini(&labels);
}

void rmd_agent_say_outcome(struct rmd_agent *agent,
			   const struct rmd_lease_outcome *outcome,
			   struct rmd_piece payload)
{
	if (agent->link == NULL || agent->link_lost)
		return;
	struct rmd_lease_outcome said = *outcome;
	if (said.outcome.kind == RMD_OUTCOME_VALUE &&
	    payload.bytes.len > RMD_AGENT_INLINE_MAX) {
		struct rmd_piece whole = rmd_piece_ref(payload);
		if (whole.buf == NULL)
			whole.buf = rmd_buf_copy(payload.bytes);
		if (whole.buf != NULL && payload.buf == NULL)
			whole.bytes = rmd_buf_slice(whole.buf);
		uint64_t number = agent->next_transfer++;
		if (whole.buf != NULL &&
		    rmd_link_send_transfer(agent->link, number, whole) == 0) {
			said.outcome = (struct rmd_outcome){
				.kind = RMD_OUTCOME_VALUE_TRANSFER, .transfer = number};
			payload = (struct rmd_piece){0};
		}
		/* else inline after all: it may be too much for the stream, but not for
		 * the direct link, and then the stream says so */
	}
	rmd_attach_request_put_outcome(rmd_link_begin(agent->link), &said, payload.buf);
	rmd_link_end(agent->link);
}

void rmd_agent_say_log(struct rmd_agent *agent, const struct rmd_lease_log *log)
{
	if (agent->link == NULL || agent->link_lost)
		return;
	rmd_attach_request_put_log(rmd_link_begin(agent->link), log);
	rmd_link_end(agent->link);
}

/* Appends the pool's workers to the `n` that are there. */
static size_t list_workers(const struct rmd_apool *pool, struct rmd_agent_worker *said,
			   size_t n)
{
	struct rmd_aworker *worker;
	TAILQ_FOREACH (worker, &pool->workers, all)
		said[n++] = (struct rmd_agent_worker){
			.worker = worker->number,
			.pid = (uint32_t)worker->pid,
			.state = worker->waits_in != 0 ? RMD_WORKER_STATE_WAITING
						       : worker->state,
			.lease = worker->state == RMD_WORKER_STATE_BUSY
					 ? rmd_wp_running(worker->wp)
					 : 0,
			.tasks_done = worker->tasks_done,
		};
	return n;
}

void rmd_agent_say_pool(struct rmd_apool *pool, uint32_t slots)
{
	struct rmd_agent *agent = pool->agent;
	struct rmd_agent_worker *said = NULL;
	size_t count = 0, n = 0;
	uint32_t idle = 0;
	for (struct rmd_apool *at = pool; at != NULL; at = rmd_apart_next(at)) {
		count += (size_t)at->starting + at->ready + at->stopping;
		idle += at->idle;
	}
	if (agent->link == NULL || agent->link_lost)
		return;
	if (count > 0 && (said = rmd_calloc(count, sizeof *said)) == NULL)
		return; /* it is level-triggered: the next report says it */
	for (struct rmd_apool *at = pool; at != NULL; at = rmd_apart_next(at))
		n = list_workers(at, said, n);
	RMD_CHECK(n == count);
	struct rmd_agent_pool state = {
		.pool = pool->number,
		.slots = slots,
		.idle = idle,
		.start_failed = pool->start_error != NULL,
		.broken = pool->broken,
	};
	if (pool->start_error != NULL)
		state.start_error = rmd_buf_slice(pool->start_error);
	rmd_attach_request_put_pool(rmd_link_begin(agent->link), &state, said, n);
	rmd_link_end(agent->link);
	rmd_free(said);
}

static void say_progress(struct rmd_agent *agent,
			 const struct rmd_lease_progress *progress)
{
	if (agent->link == NULL || agent->link_lost)
		return;
	rmd_attach_request_put_progress(rmd_link_begin(agent->link), progress);
	rmd_link_end(agent->link);
}

static bool tell_progress(struct rmd_apool *pool)
{
	struct rmd_aworker *worker;
	bool again = false;
	TAILQ_FOREACH (worker, &pool->workers, all) {
		struct rmd_lease_progress said;
		if (!worker->long_running)
			continue;
		again = true;
		said.lease = rmd_wp_running(worker->wp);
		struct rmd_alease *lease =
			said.lease != 0 ? rmd_alease_find(pool->agent, said.lease) : NULL;
		if (lease == NULL || lease->worker != worker || !lease->began_told ||
		    !rmd_wp_progress(worker->wp, said.lease, &said.done, &said.total) ||
		    (said.done == lease->progress_done &&
		     said.total == lease->progress_total))
			continue;
		lease->progress_done = said.done;
		lease->progress_total = said.total;
		say_progress(pool->agent, &said);
	}
	return again;
}

void rmd_agent_tell_progress(struct rmd_atimer *timer)
{
	struct rmd_agent *agent =
		(struct rmd_agent *)((char *)timer -
				     offsetof(struct rmd_agent, progress));
	struct rmd_apool *pool;
	bool again = false;
	LIST_FOREACH (pool, &agent->pool_list, link)
		again = tell_progress(pool) || again;
	if (again)
		rmd_agent_arm_progress(agent);
}

void rmd_agent_arm_progress(struct rmd_agent *agent)
{
	if (agent->progress.place == 0)
		rmd_atimer_start(&agent->timers, &agent->progress,
				 agent->now_ms + RMD_AGENT_PROGRESS_MS);
}

void rmd_agent_say_draining(struct rmd_agent *agent)
{
	if (agent->link == NULL || agent->link_lost)
		return;
	rmd_attach_request_put_draining(rmd_link_begin(agent->link));
	rmd_link_end(agent->link);
}

void rmd_agent_gather(struct rmd_agent *agent, struct rmd_anumbers *numbers,
		      uint64_t number)
{
	if (numbers->items == NULL) {
		numbers->items = rmd_calloc(NUMBERS_MAX, sizeof *numbers->items);
		numbers->capacity = numbers->items != NULL ? NUMBERS_MAX : 0;
	}
	if (agent->link == NULL || agent->link_lost)
		return;
	if (numbers->capacity == 0) { /* no memory to gather: one by one */
		struct rmd_wire_writer *writer = rmd_link_begin(agent->link);
		if (numbers == &agent->began)
			rmd_attach_request_put_began(writer, &number, 1);
		else
			rmd_attach_request_put_returned(writer, &number, 1);
		rmd_link_end(agent->link);
		return;
	}
	numbers->items[numbers->count++] = number;
	if (numbers->count == numbers->capacity)
		rmd_agent_say_numbers(agent);
}

void rmd_agent_say_numbers(struct rmd_agent *agent)
{
	if (agent->link != NULL && !agent->link_lost &&
	    agent->began.count + agent->returned.count > 0) {
		struct rmd_wire_writer *writer = rmd_link_begin(agent->link);
		rmd_attach_request_put_began(writer, agent->began.items,
					     agent->began.count);
		rmd_attach_request_put_returned(writer, agent->returned.items,
						agent->returned.count);
		rmd_link_end(agent->link);
	}
	agent->began.count = agent->returned.count = 0;
}

struct rmd_buf *rmd_agent_encode_error(struct remuda_error *err)
{
	struct rmd_buf *buf = rmd_error_encode_buf(err);
	remuda_error_free(err);
	return buf;
}
