/* server/service/large.c: values and arguments that are larger than a call's message: the
 * ones are referred to, the others lie in a blob. */
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "server/service/executor.h"

struct rmd_outcome rmd_outcome_fit(const struct rmd_task_id *id,
				   struct rmd_ticket *ticket, uint64_t inline_max_bytes,
				   const struct rmd_outcome *outcome,
				   struct rmd_buf **ret_buf)
{
	size_t size = outcome->bytes.len;
	bool ours = ticket != NULL && ticket->number != 0;
	struct rmd_outcome fit = {.kind = RMD_OUTCOME_ERROR};
	if (inline_max_bytes == 0)
		inline_max_bytes = RMD_OUTCOME_INLINE_DEFAULT_BYTES;
	*ret_buf = NULL;
	if (outcome->kind != RMD_OUTCOME_VALUE || size <= inline_max_bytes)
		return *outcome;
	if (!ours || size <= RMD_UNARY_RETAINED_MAX_BYTES) {
		*ret_buf =
			rmd_value_reference(id, size, ours ? RMD_UNARY_RETENTION_MS : 0);
		fit.kind = RMD_OUTCOME_VALUE_REFERENCE;
	}
	if (*ret_buf == NULL) {
		*ret_buf = rmd_outcome_refused(
			"ResultTooLarge",
			"the result has %zu bytes; for a call at most %llu are kept: "
			"use Session, which has no such limit",
			size, (unsigned long long)RMD_UNARY_RETAINED_MAX_BYTES);
		fit.kind = RMD_OUTCOME_ERROR;
	} else if (ours) {
		ticket->retained = true;
	}
	if (*ret_buf != NULL)
		fit.bytes = rmd_buf_slice(*ret_buf);
	return fit;
}

bool rmd_call_lend_blob(struct rmd_executor *executor, struct rmd_stream *stream,
			const struct rmd_run_request *request,
			struct rmd_buf **ret_arguments)
{
	if (request->arg_count + request->kwarg_count != 0) {
		rmd_call_bad_request(stream, RMD_EPROTO,
				     "arguments_blob (and args or kwargs)");
		return false;
	}
	struct rmd_digest digest;
	memcpy(digest.bytes, request->arguments_blob.data, sizeof digest.bytes);
	const struct rmd_blob *blob = rmd_blobs_find(executor->coordinator->blobs,
						     &digest, rmd_clock_mono_ms());
	if (blob == NULL) {
		rmd_stream_set_reason(stream, "UNKNOWN_BLOB");
		rmd_stream_finish(stream, RMD_RPC_NOT_FOUND,
				  "no blob has the SHA-256 of arguments_blob, or it was "
				  "not used for too long: put it by Blobs.Put");
		return false;
	}
	*ret_arguments = rmd_buf_ref(blob->bytes.buf);
	return true;
}
