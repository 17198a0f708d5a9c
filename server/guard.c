#include "server/guard.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"
#include "proto/rpc/rpc.h"
#include "proto/tokens/tokens.h"

#define SOURCE "guard"
#define TOKEN_MAX_BYTES 512u
/* Refusals are logged at most so often: a line each would be a way to fill the disk. */
#define SAY_EVERY_MS 1000u

struct rmd_guard {
	struct rmd_tokens *tokens;
	uint64_t said_ms, unsaid;
};

static void say(struct rmd_guard *guard, const struct rmd_stream *stream, const char *why,
		const char *name)
{
	uint64_t now_ms = rmd_clock_mono_ms();
	if (guard->said_ms != 0 && now_ms - guard->said_ms < SAY_EVERY_MS) {
		guard->unsaid++;
		return;
	}
	rmd_log(RMD_LOG_WARN, SOURCE, "%s was refused %s: %s%s%s (and %llu before)",
		rmd_stream_peer(stream), rmd_stream_method(stream), why,
		name != NULL ? " of " : "", name != NULL ? name : "",
		(unsigned long long)guard->unsaid);
	guard->said_ms = now_ms;
	guard->unsaid = 0;
}

/* The token of an "authorization: Bearer TOKEN" (RFC 6750); false: there is none. */
static bool bearer(struct rmd_stream *stream, struct rmd_slice *ret_token)
{
	static const char scheme[] = "Bearer ";
	const char *header = rmd_stream_metadata(stream, "authorization");
	if (header == NULL || strncasecmp(header, scheme, sizeof scheme - 1) != 0)
		return false;
	*ret_token = rmd_slice_of_string(header + sizeof scheme - 1);
	return ret_token->len > 0 && ret_token->len <= TOKEN_MAX_BYTES;
}

static const char *admit(void *ctx, struct rmd_stream *stream,
			 enum rmd_rpc_status *ret_status)
{
	struct rmd_guard *guard = ctx;
	struct rmd_slice token;
	const char *name = NULL;
	if (rmd_stream_peer_uid(stream) >= 0)
		return NULL; /* by a unix socket, whose mode says who may */
	*ret_status = RMD_RPC_UNAUTHENTICATED;
	rmd_tokens_look_again(guard->tokens, rmd_clock_mono_ms());
	if (!bearer(stream, &token)) {
		say(guard, stream, "no token", NULL);
		return "a token is wanted here: send \"authorization: Bearer TOKEN\" "
		       "with each "
		       "call (remuda's own programs: REMUDA_TOKEN_FILE or REMUDA_TOKEN)";
	}
	switch (rmd_tokens_find(guard->tokens, token, time(NULL), &name)) {
	case RMD_TOKEN_GOOD:
		return NULL;
	case RMD_TOKEN_EXPIRED:
		say(guard, stream, "the expired token", name);
		return "the token has expired: ask for another";
	case RMD_TOKEN_UNKNOWN:
		break;
	}
	say(guard, stream, "an unknown token", NULL);
	return "the token is not known here: it is another cluster's, or was revoked";
}

int rmd_guard_post(struct rmd_server *server, const char *tokens,
		   struct rmd_guard **ret_guard, char **ret_why)
{
	struct rmd_guard *guard = rmd_calloc(1, sizeof *guard);
	*ret_why = NULL;
	if (guard == NULL)
		return RMD_ENOMEM;
	int code = rmd_tokens_open(tokens, &guard->tokens, ret_why);
	if (code < 0) {
		rmd_free(guard);
		return code;
	}
	rmd_server_set_admission(server, admit, guard);
	*ret_guard = guard;
	return 0;
}

void rmd_guard_dismiss(struct rmd_guard *guard)
{
	if (guard == NULL)
		return;
	rmd_tokens_close(guard->tokens);
	rmd_free(guard);
}
