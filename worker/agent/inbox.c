#include "worker/agent/image.h"
#include "worker/agent/state.h"

#include <stdio.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"

#define SOURCE "agent"

struct rmd_atransfer {
	struct rmd_piece payload;
};

/* ---- transfers ---- */

bool rmd_agent_take_transfer(struct rmd_agent *agent, uint64_t number,
			     struct rmd_piece *ret_piece)
{
	struct rmd_atransfer *transfer = rmd_map_take(&agent->transfers, number);
	if (transfer == NULL)
		return false;
	*ret_piece = transfer->payload;
	agent->transfer_bytes -= transfer->payload.bytes.len;
	rmd_free(transfer);
	return true;
}

void rmd_agent_drop_transfers(struct rmd_agent *agent)
{
	size_t cursor = 0;
	struct rmd_atransfer *transfer;
	while ((transfer = rmd_map_next(&agent->transfers, &cursor)) != NULL) {
		rmd_piece_unref(transfer->payload);
		rmd_free(transfer);
	}
	rmd_map_fini(&agent->transfers);
	agent->transfer_bytes = 0;
}

static void on_transfer(void *ctx, uint64_t number, struct rmd_piece payload)
{
	struct rmd_agent *agent = ctx;
	RMD_CHECK_OBJ(agent, RMD_AGENT_MAGIC);
	struct rmd_atransfer *transfer = NULL;
	if (!agent->link_lost && agent->transfers.count < RMD_AGENT_TRANSFERS_MAX &&
	    payload.bytes.len <= RMD_AGENT_TRANSFER_BYTES_MAX - agent->transfer_bytes)
		transfer = rmd_malloc(sizeof *transfer);
	if (transfer != NULL)
		transfer->payload = payload;
	if (transfer == NULL || rmd_map_put(&agent->transfers, number, transfer) < 0) {
		/* What names it will say that it is not here. */
		rmd_free(transfer);
		rmd_piece_unref(payload);
		return;
	}
	agent->transfer_bytes += payload.bytes.len;
}

/* ---- leases ---- */

static void fail_new(struct rmd_alease *lease, const char *type,
		     enum remuda_origin origin, const char *text)
{
	struct remuda_error *err = remuda_error_create(type, "%s", text);
	rmd_error_set_origin(err, origin);
	rmd_error_set_place(err, lease->pool->agent->name, 0, lease->attempt);
	rmd_alease_fail(lease, err, false, 0, RMD_FAILURE_UNSPECIFIED);
}

/* Function and arguments. False: the lease has ended with an error. */
static bool fill(struct rmd_alease *lease, const struct rmd_lease_grant *grant,
		 struct rmd_buf *frame)
{
	struct rmd_slice runtime = lease->pool->spec->runtime;
	lease->attempt = grant->attempt;
	lease->depth = grant->depth;
	lease->stream_logs = grant->stream_logs;
	if (grant->deadline_ms != 0)
		lease->deadline_mono_ns = rmd_clock_mono_ns() +
					  grant->deadline_ms * 1000000u;
	if (grant->arguments_transfer != 0 &&
	    !rmd_agent_take_transfer(lease->pool->agent, grant->arguments_transfer,
				     &lease->arguments)) {
		fail_new(lease, "PayloadLost", REMUDA_ORIGIN_AGENT,
			 "the agent could not hold the task's arguments: too many large "
			 "arguments "
			 "wait there, or memory is out");
		return false;
	}
	if (frame == NULL) {
		fail_new(lease, "OutOfMemory", REMUDA_ORIGIN_AGENT,
			 "the agent has no memory for the task");
		return false;
	}
	if (grant->function.len <= runtime.len + 1 ||
	    grant->function.data[runtime.len] != ':' ||
	    memcmp(grant->function.data, runtime.data, runtime.len) != 0) {
		char text[RMD_FUNCTION_MAX_BYTES + RMD_POOL_RUNTIME_MAX_BYTES + 80];
		snprintf(text, sizeof text,
			 "%.*s is not a function of runtime %.*s, which its pool has",
			 (int)grant->function.len, (const char *)grant->function.data,
			 (int)runtime.len, (const char *)runtime.data);
		fail_new(lease, "UnknownFunction", REMUDA_ORIGIN_LOOKUP, text);
		return false;
	}
	lease->frame = rmd_buf_ref(frame);
	lease->function = rmd_slice_of(grant->function.data + runtime.len + 1,
				       grant->function.len - runtime.len - 1);
	if (grant->arguments_transfer == 0)
		lease->arguments =
			rmd_piece_ref((struct rmd_piece){grant->arguments, frame});
	return rmd_apart_sort(lease);
}

static int on_lease(struct rmd_agent *agent, const struct rmd_lease_grant *grant,
		    struct rmd_buf *frame)
{
	struct rmd_apool *pool = rmd_apool_find(agent, grant->pool);
	if (rmd_alease_find(agent, grant->lease) != NULL)
		return RMD_EPROTO;
	struct rmd_alease *lease = NULL;
	if (pool != NULL && !agent->draining && agent->leases.count < RMD_AGENT_HELD_MAX)
		lease = rmd_alease_create(pool, grant->lease);
	if (lease == NULL) { /* not now, not here */
		struct rmd_piece unused = {0};
		if (grant->arguments_transfer != 0 &&
		    rmd_agent_take_transfer(agent, grant->arguments_transfer, &unused))
			rmd_piece_unref(unused);
		rmd_agent_gather(agent, &agent->returned, grant->lease);
		return 0;
	}
	if (fill(lease, grant, frame)) {
		rmd_apool_enqueue(lease->pool, lease, RMD_APOOL_LAST);
		rmd_apool_unbalance(lease->pool);
	}
	return 0;
}

static void on_cancel(struct rmd_agent *agent, uint64_t number)
{
	struct rmd_alease *lease = rmd_alease_find(agent, number);
	if (lease == NULL || lease->cancelled)
		return; /* its end is on its way */
	struct rmd_aworker *worker = lease->worker;
	if (worker == NULL) {
		rmd_apool_dequeue(lease->pool, lease);
		rmd_alease_return(lease);
	} else if (rmd_wp_take_back(worker->wp, number)) {
		rmd_aworker_let_go(worker, lease);
		rmd_alease_return(lease);
		rmd_apool_unbalance(worker->pool);
	} else {
		lease->cancelled = true;
		rmd_aworker_cancel(worker, lease);
		rmd_aworker_stop_waiting(worker, lease);
	}
}

static int on_module(struct rmd_agent *agent, const struct rmd_module_image *image)
{
	struct rmd_piece bytes = {0};
	bool come = rmd_agent_take_transfer(agent, image->transfer, &bytes);
	if (rmd_aimage_take(agent, image, bytes)) {
		rmd_piece_unref(bytes);
		return 0;
	}
	if (!come) {
		rmd_log(RMD_LOG_WARN, SOURCE,
			"the bytes of the module %.*s have not come",
			(int)image->name.len, (const char *)image->name.data);
		return 0; /* the pools that need it will say so */
	}
	int rc = rmd_amodule_load(agent, image, bytes);
	if (rc < 0)
		rmd_log(RMD_LOG_WARN, SOURCE, "the module %.*s cannot be kept: %s",
			(int)image->name.len, (const char *)image->name.data,
			rmd_errcode_text(rc));
	return 0;
}

/* ---- frames ---- */

static int on_welcome(struct rmd_agent *agent, const struct rmd_agent_welcome *welcome)
{
	if (welcome->protocol != RMD_PROTOCOL_VERSION)
		return RMD_EVERSION;
	if (!agent->welcome && agent->on_attached != NULL)
		agent->on_attached(agent->ctx);
	agent->welcome = true;
	return 0;
}

static int handle(struct rmd_agent *agent, const struct rmd_attach_response_item *item,
		  struct rmd_buf *frame)
{
	struct rmd_apool *pool;
	switch (item->kind) {
	case RMD_ATTACH_RESPONSE_WELCOME:
		return on_welcome(agent, &item->welcome);
	case RMD_ATTACH_RESPONSE_CHUNK:
		return RMD_EPROTO; /* the link puts them together */
	case RMD_ATTACH_RESPONSE_SET_POOL:
		return rmd_apool_set(agent, &item->set_pool);
	case RMD_ATTACH_RESPONSE_LEASE:
		return on_lease(agent, &item->lease, frame);
	case RMD_ATTACH_RESPONSE_CANCEL:
		on_cancel(agent, item->number);
		return 0;
	case RMD_ATTACH_RESPONSE_RECALL:
		pool = rmd_apool_find(agent, item->recall.pool);
		if (pool != NULL)
			rmd_apool_recall(pool, item->recall.leases);
		return 0;
	case RMD_ATTACH_RESPONSE_DRAIN:
		rmd_agent_begin_draining(agent);
		return 0;
	case RMD_ATTACH_RESPONSE_MODULE:
		return on_module(agent, &item->module);
	case RMD_ATTACH_RESPONSE_NESTED:
		rmd_agent_take_nested(agent, &item->nested);
		return 0;
	}
	RMD_UNREACHABLE("kind of item");
}

static void on_frame(void *ctx, struct rmd_piece frame)
{
	struct rmd_agent *agent = ctx;
	RMD_CHECK_OBJ(agent, RMD_AGENT_MAGIC);
	struct rmd_frame_reader reader = rmd_frame_reader_of(frame.bytes);
	struct rmd_attach_response_item item;
	struct rmd_buf *copy = NULL;
	int rc;
	if (agent->link_lost)
		return;
	if (frame.buf == NULL) { /* leases keep slices of it */
		copy = rmd_buf_copy(frame.bytes);
		if (copy != NULL)
			reader = rmd_frame_reader_of(rmd_buf_slice(copy));
		frame.buf = copy;
	}
	while ((rc = rmd_attach_response_next(&reader, &item)) > 0)
		if ((rc = handle(agent, &item, frame.buf)) < 0)
			break;
	if (rc < 0) {
		rmd_log(RMD_LOG_ERROR, SOURCE,
			"the coordinator broke the protocol: %s%s%s",
			rmd_errcode_text(rc), reader.field != NULL ? ": " : "",
			reader.field != NULL ? reader.field : "");
		rmd_link_close(agent->link);
	}
	rmd_buf_unref(copy);
}

static void on_lost(void *ctx, const char *why)
{
	struct rmd_agent *agent = ctx;
	struct rmd_apool *pool;
	RMD_CHECK_OBJ(agent, RMD_AGENT_MAGIC);
	if (agent->link_lost)
		return;
	agent->link_lost = true;
	rmd_log(agent->leaving ? RMD_LOG_DEBUG : RMD_LOG_WARN, SOURCE,
		"the link to the coordinator is gone: %s", why);
	/* Nothing new begins: also not what lies in workers' hands. */
	LIST_FOREACH (pool, &agent->pool_list, link) {
		struct rmd_aworker *worker;
		TAILQ_FOREACH (worker, &pool->workers, all)
			(void)rmd_apool_take_back(worker, UINT32_MAX);
		rmd_apool_unbalance(pool);
	}
	if (agent->orphan_ms == 0)
		rmd_apool_kill_all(agent);
	else
		rmd_atimer_start(&agent->timers, &agent->orphan,
				 agent->now_ms + agent->orphan_ms);
}

const struct rmd_link_events rmd_agent_link_events = {
	.frame = on_frame,
	.transfer = on_transfer,
	.lost = on_lost,
};
