/* proto/rpc/tls.h: certificates for listeners and channels. The files are looked at
 * before gRPC gets them, since that says of a bad one no more than that a handshake
 * failed. */
#pragma once

#include <grpc/grpc_security.h>

#include "proto/rpc/rpc.h"

enum rmd_tls_side { RMD_TLS_SERVER, RMD_TLS_CLIENT };

/* Reads the files of `tls` and finds what is wrong with them: RMD_EINVAL and *ret_why
 * (owned; NULL when out of memory), which names the file. 0: they will do, now. Blocks
 * for the reading. */
int rmd_tls_check(const struct rmd_tls *tls, enum rmd_tls_side side, char **ret_why);

/* Credentials from files that rmd_tls_check found good. They are read again every few
 * seconds: new certificates count for new connections; a file that cannot be read leaves
 * the old ones. */
grpc_server_credentials *rmd_tls_server(const struct rmd_tls *tls);
grpc_channel_credentials *rmd_tls_client(const struct rmd_tls *tls);
