/* proto/rpc/identity.h: who a client, the command line or an agent is to a coordinator
 * elsewhere: whom it trusts, its own certificate, its token. From what its user says,
 * else from the environment:
 *
 *   REMUDA_TLS=1        TLS, with the system's authorities
 *   REMUDA_CA           TLS, with the authorities of this file (PEM)
 *   REMUDA_CERT, REMUDA_KEY   our certificate and its private key (PEM)
 *   REMUDA_TLS_NAME     what the server's certificate is for, where that is not the host
 *   REMUDA_TOKEN, REMUDA_TOKEN_FILE   the token, or the file whose first line it is */
#pragma once

#include "proto/rpc/rpc.h"

#define RMD_TOKEN_MAX_BYTES 512u

struct rmd_identity {
	struct rmd_tls tls;
	bool secure;	   /* TLS is wanted */
	char *texts[5];	   /* owned; what `tls` and `token` point to */
	const char *token; /* NULL: none */
};

/* What is known without the environment; each may be NULL. Borrowed for the call. */
struct rmd_identity_options {
	const char *ca_file, *cert_file, *key_file, *server_name, *token, *token_file;
	bool tls; /* also without any of the files */
};

/* Fills *ret_identity. Blocks for reading a token's file. RMD_EINVAL with *ret_why
 * (owned) where that cannot be read or is readable by others; RMD_ENOMEM. On failure
 * nothing is to be freed but *ret_why. */
int rmd_identity_load(const struct rmd_identity_options *options,
		      struct rmd_identity *ret_identity, char **ret_why);
/* Frees what it holds; the token is wiped. */
void rmd_identity_fini(struct rmd_identity *identity);
/* As rmd_channel_open_with, as this identity. A unix socket needs none of it but the
 * token. */
struct rmd_channel *rmd_identity_open(const struct rmd_identity *identity,
				      struct rmd_loop *loop, const char *address,
				      char **ret_why);
