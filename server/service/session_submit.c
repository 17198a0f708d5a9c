/* What a session does for its client's tasks and pools. */
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "server/service/executor.h"
#include "server/service/session_inside.h"

#define SESSION_POOLS_MAX 1024u

/* Whether some number of the session stands for the pool. */
static bool session_names(const struct rmd_session *session,
			  const struct rmd_core_pool *pool)
{
	const struct rmd_core_pool *named;
	size_t cursor = 0;
	while ((named = rmd_map_next(&session->pools, &cursor)) != NULL)
		if (named == pool)
			return true;
	return false;
}

/* The session is done with a pool, unless another of its numbers stands for it. */
static void leave(struct rmd_session *session, struct rmd_core_pool *pool,
		  enum rmd_core_pool_close how)
{
	if (session_names(session, pool))
		return;
	(void)rmd_core_pool_leave(session->coordinator->core, rmd_clock_mono_ms(),
				  session->client, pool, how);
	rmd_coordinator_touch(session->coordinator);
}

void rmd_session_open_pool(struct rmd_session *session,
			   const struct rmd_session_open_pool *asked)
{
	struct rmd_pool_spec *spec = NULL;
	struct rmd_core_pool *pool = NULL;
	char *why = NULL;
	const char *field = NULL;
	bool reused;
	int rc = rmd_pool_spec_read(asked->raw_spec, &spec, &field);
	if (rc < 0)
		why = rmd_asprintf("%s: %s", field != NULL ? field : "PoolSpec",
				   rmd_errcode_text(rc));
	else if (asked->pool == 0 || session->pools.count >= SESSION_POOLS_MAX)
		why = rmd_asprintf(
			"a session numbers its pools from 1, and opens at most %u",
			SESSION_POOLS_MAX);
	else if (rmd_coordinator_open_pool(session->coordinator, session->client, spec,
					   &pool, &reused, &why) == 0) {
		struct rmd_core_pool *former = rmd_map_take(&session->pools, asked->pool);
		if (rmd_map_put(&session->pools, asked->pool, pool) < 0)
			why = rmd_strdup("the coordinator is out of memory");
		if (former != NULL && former != pool)
			leave(session, former, RMD_CORE_POOL_DRAIN);
	}
	rmd_pool_spec_free(spec);
	rmd_session_response_put_pool(rmd_stream_begin(session->stream), asked->pool,
				      rmd_slice_of_string(why != NULL ? why : ""));
	rmd_stream_end(session->stream);
	rmd_session_answered(session, why != NULL ? strlen(why) : 0);
	rmd_free(why);
}

void rmd_session_close_pool(struct rmd_session *session,
			    const struct rmd_session_close_pool *asked)
{
	static const enum rmd_core_pool_close ways[] = {
		[RMD_SESSION_CLOSE_UNSPECIFIED] = RMD_CORE_POOL_DRAIN,
		[RMD_SESSION_CLOSE_DRAIN] = RMD_CORE_POOL_DRAIN,
		[RMD_SESSION_CLOSE_CANCEL] = RMD_CORE_POOL_CLOSE,
		[RMD_SESSION_CLOSE_KILL] = RMD_CORE_POOL_KILL,
	};
	struct rmd_core_pool *pool = rmd_map_take(&session->pools, asked->pool);
	if (pool != NULL)
		leave(session, pool, ways[asked->how]);
}

/* The pool that a task goes to; NULL: *ret_error says why it goes nowhere. */
static struct rmd_core_pool *pool_of(struct rmd_session *session,
				     const struct rmd_task_spec *spec,
				     struct rmd_buf **ret_error)
{
	struct rmd_core_pool *pool = NULL;
	struct rmd_slice runtime = rmd_function_runtime(spec->function);
	if (runtime.len == 0) {
		*ret_error = rmd_outcome_refused(
			"UnknownFunction",
			"\"%.*s\" names no runtime: write RUNTIME:NAME, such as "
			"native:%.*s",
			(int)spec->function.len, (const char *)spec->function.data,
			(int)spec->function.len, (const char *)spec->function.data);
		return NULL;
	}
	if (spec->pool == 0) {
		int rc = rmd_coordinator_default_pool(session->coordinator, runtime,
						      &pool);
		if (rc < 0)
			*ret_error = rmd_outcome_submit_refused(session->coordinator, rc,
								spec->function);
		return pool;
	}
	pool = rmd_map_get(&session->pools, spec->pool);
	if (pool == NULL)
		*ret_error = rmd_outcome_refused("UnknownPool",
						 "this session has opened no pool %llu",
						 (unsigned long long)spec->pool);
	return pool;
}

static void refuse(struct rmd_session *session, uint64_t number, struct rmd_buf *error)
{
	struct rmd_outcome outcome = {.kind = RMD_OUTCOME_ERROR};
	if (error != NULL)
		outcome.bytes = rmd_buf_slice(error);
	if (number > session->refused)
		session->refused = number;
	rmd_session_put_outcome(session, number, &outcome, error);
	rmd_session_answered(session, outcome.bytes.len);
	rmd_buf_unref(error);
}

/* Makes the ticket of a detached task, or says why there is none. */
static struct rmd_buf *detach(const struct rmd_session *session,
			      const struct rmd_task_spec *spec,
			      struct rmd_ticket **ret_ticket)
{
	int len = (int)spec->function.len;
	const char *name = (const char *)spec->function.data;
	if (session->coordinator->options.private_mode)
		return rmd_outcome_refused(
			"NotDetachable",
			"%.*s was not accepted: it is to go on without its client, and this "
			"private coordinator ends with the program that started it; start "
			"one that stays with `remuda up`, then submit it there",
			len, name);
	*ret_ticket = rmd_ticket_detached();
	return *ret_ticket != NULL ? NULL
				   : rmd_outcome_submit_refused(session->coordinator,
								RMD_ENOMEM, spec->function);
}

int rmd_session_submit(struct rmd_session *session,
		       const struct rmd_session_submit *submit, struct rmd_buf *frame)
{
	const struct rmd_task_spec *spec = &submit->task;
	struct rmd_buf *whole = NULL, *error = NULL;
	struct rmd_piece payload = {spec->arguments, frame};
	if (spec->segment.length != 0) {
		int rc = rmd_sharing_borrow(&session->sharing, &spec->segment, &whole);
		if (rc < 0)
			return rc;
		payload = (struct rmd_piece){rmd_buf_slice(whole), whole};
	} else if (spec->arguments_transfer != 0) {
		int rc = rmd_transfers_take(&session->transfers, spec->arguments_transfer,
					    &whole);
		if (rc < 0)
			error = rmd_outcome_refused(
				"InvalidTask",
				"its arguments (transfer %llu) have not come: %s",
				(unsigned long long)spec->arguments_transfer,
				rmd_errcode_text(rc));
		else
			payload = (struct rmd_piece){rmd_buf_slice(whole), whole};
	}
	struct rmd_core_pool *pool = error == NULL ? pool_of(session, spec, &error)
						   : NULL;
	struct rmd_ticket *ticket = NULL;
	if (pool != NULL && spec->options.detached)
		error = detach(session, spec, &ticket);
	if (pool != NULL && error == NULL) {
		struct rmd_submit_rules rules;
		struct rmd_core_submit core_submit = {
			.number = submit->number,
			.function = spec->function,
			.payload = payload,
			.labels = {spec->options.raw_labels, frame},
			.pool = pool,
			.priority = spec->options.priority,
			.deadline_ms = spec->options.deadline_ms,
			.max_attempts = spec->options.max_attempts,
			.stream_logs = spec->options.stream_logs,
			.rules = rmd_submit_rules(&spec->options, &rules),
			.user = ticket,
		};
		int rc = rmd_core_submit(session->coordinator->core, rmd_clock_mono_ms(),
					 session->client, &core_submit, NULL);
		if (rc == RMD_ECLOSED)
			error = rmd_outcome_pool_broken(pool);
		if (rc < 0 && rc != RMD_EEXIST && error == NULL)
			error = rmd_outcome_submit_refused(session->coordinator, rc,
							   spec->function);
		if (rc < 0)
			rmd_ticket_drop(ticket);
	}
	if (error != NULL)
		refuse(session, submit->number, error);
	rmd_buf_unref(whole);
	return 0;
}
