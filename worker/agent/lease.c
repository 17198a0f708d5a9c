#include "worker/agent/state.h"

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"

#define SPARES_MAX 4096u /* free leases kept: the hot path shall not call malloc */

struct rmd_alease *rmd_alease_create(struct rmd_apool *pool, uint64_t number)
{
	struct rmd_agent *agent = pool->agent;
	struct rmd_alease *lease = agent->spare;
	if (lease != NULL) {
		agent->spare = TAILQ_NEXT(lease, link);
		agent->spare_count--;
	} else if ((lease = rmd_malloc(sizeof *lease)) == NULL) {
		return NULL;
	}
	*lease = (struct rmd_alease){
		.magic = RMD_ALEASE_MAGIC, .number = number, .pool = pool};
	if (rmd_map_put(&agent->leases, number, lease) < 0) {
		rmd_free(lease);
		return NULL;
	}
	pool->held++;
	return lease;
}

void rmd_alease_destroy(struct rmd_alease *lease)
{
	RMD_CHECK_OBJ(lease, RMD_ALEASE_MAGIC);
	struct rmd_agent *agent = lease->pool->agent;
	RMD_CHECK(lease->worker == NULL);
	RMD_CHECK(rmd_map_take(&agent->leases, lease->number) == lease);
	lease->pool->held--;
	if (lease->pool->held == 0 && (lease->pool->closed || agent->draining))
		rmd_apool_unbalance(lease->pool);
	rmd_anest_free(lease);
	rmd_piece_unref(lease->arguments);
	rmd_buf_unref(lease->frame);
	lease->magic = 0;
	if (agent->spare_count >= SPARES_MAX) {
		rmd_free(lease);
		return;
	}
	lease->link.tqe_next = agent->spare;
	agent->spare = lease;
	agent->spare_count++;
}

void rmd_alease_free_spares(struct rmd_agent *agent)
{
	while (agent->spare != NULL) {
		struct rmd_alease *lease = agent->spare;
		agent->spare = TAILQ_NEXT(lease, link);
		rmd_free(lease);
	}
	agent->spare_count = 0;
}

struct rmd_alease *rmd_alease_find(const struct rmd_agent *agent, uint64_t number)
{
	return rmd_map_get(&agent->leases, number);
}

void rmd_alease_return(struct rmd_alease *lease)
{
	struct rmd_agent *agent = lease->pool->agent;
	rmd_agent_gather(agent, &agent->returned, lease->number);
	rmd_alease_destroy(lease);
}

void rmd_alease_fail(struct rmd_alease *lease, struct remuda_error *err, bool began,
		     uint64_t worker, enum rmd_failure_cause cause)
{
	struct rmd_buf *chain = rmd_agent_encode_error(err);
	struct rmd_lease_outcome outcome = {
		.lease = lease->number,
		.outcome.kind = RMD_OUTCOME_ERROR,
		.began = began,
		.worker = worker,
		.cause = cause,
	};
	if (chain != NULL)
		outcome.outcome.bytes = rmd_buf_slice(chain);
	struct rmd_piece payload = {outcome.outcome.bytes, chain};
	rmd_agent_say_outcome(lease->pool->agent, &outcome, payload);
	rmd_buf_unref(chain);
	rmd_alease_destroy(lease);
}

void rmd_alease_cancelled(struct rmd_alease *lease, const char *reason, uint64_t worker)
{
	struct rmd_lease_outcome outcome = {
		.lease = lease->number,
		.outcome = {.kind = RMD_OUTCOME_CANCELLED,
			    .bytes = rmd_slice_of_string(reason)},
		.began = true,
		.worker = worker,
	};
	rmd_agent_say_outcome(lease->pool->agent, &outcome, (struct rmd_piece){0});
	rmd_alease_destroy(lease);
}

void rmd_alease_ended(struct rmd_alease *lease, const struct rmd_wp_outcome *outcome,
		      uint64_t worker)
{
	struct rmd_lease_outcome said = {
		.lease = lease->number,
		.outcome = {.kind = outcome->kind == RMD_WP_VALUE ? RMD_OUTCOME_VALUE
								  : RMD_OUTCOME_ERROR,
			    .bytes = outcome->payload.bytes},
		.began = true,
		.worker = worker,
		.run_ns = outcome->run_ns,
	};
	rmd_agent_say_outcome(lease->pool->agent, &said, outcome->payload);
	rmd_alease_destroy(lease);
}
