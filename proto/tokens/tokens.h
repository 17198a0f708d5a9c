/* proto/tokens/tokens.h: who may call, by tokens.
 *
 * A token is "rmd_" and 43 characters that stand for 32 random bytes (base64url, RFC
 * 4648). The file has one line for each, NAME SHA256 EXPIRES: what the token's holder is
 * called, the digest of the whole token in hex, and a day YYYY-MM-DD (UTC; good through
 * it) or "never". Empty lines and those that begin with # are skipped. The token itself
 * is nowhere: what a thief reads here opens nothing. Plain SHA-256 will do since nobody
 * guesses 256 random bits.
 *
 * One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "proto/base/buf.h"
#include "proto/base/digest.h"

#define RMD_TOKENS_MAX 10000u
#define RMD_TOKEN_NAME_MAX_BYTES 64u
#define RMD_TOKEN_BYTES 48u /* of a fresh token, with the NUL */

struct rmd_token {
	char name[RMD_TOKEN_NAME_MAX_BYTES + 1];
	struct rmd_digest digest;
	time_t until; /* the first second at which it is no longer good; 0: never */
};

struct rmd_tokens;

/* Reads the file. RMD_EINVAL: *ret_why (owned; NULL when out of memory) names the file
 * and the line; RMD_ENOMEM. */
int rmd_tokens_open(const char *path, struct rmd_tokens **ret_tokens, char **ret_why);
/* NULL is allowed. */
void rmd_tokens_close(struct rmd_tokens *tokens);
/* Reads the file again if it has changed, at most once a second (`now_ms`:
 * rmd_clock_mono_ms). One that cannot be read, or has a mistake, leaves the old tokens:
 * that is logged, once for each such file. */
void rmd_tokens_look_again(struct rmd_tokens *tokens, uint64_t now_ms);

enum rmd_token_answer { RMD_TOKEN_GOOD, RMD_TOKEN_UNKNOWN, RMD_TOKEN_EXPIRED };
/* Whose `text` is: *ret_name (borrowed until the next call of this or look_again; for
 * EXPIRED too). Takes the same time for all that are unknown. */
enum rmd_token_answer rmd_tokens_find(const struct rmd_tokens *tokens,
				      struct rmd_slice text, time_t now,
				      const char **ret_name);
/* Gives each token in turn: NULL beyond the last. */
const struct rmd_token *rmd_tokens_at(const struct rmd_tokens *tokens, size_t index);

/* Writes a fresh token and its digest. */
void rmd_token_create(char ret_text[RMD_TOKEN_BYTES], struct rmd_digest *ret_digest);
/* True for 1 to 64 of [A-Za-z0-9._-]. */
bool rmd_token_name_ok(const char *name);
