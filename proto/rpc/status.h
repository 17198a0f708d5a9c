/* proto/rpc/status.h: google.rpc.Status, which travels in the trailing metadata
 * `grpc-status-details-bin` and says more than code and text. Pure. */
#pragma once

#include "proto/base/buf.h"
#include "proto/codec/wire.h"
#include "proto/rpc/rpc.h"

/* Of a status's text at most so much is sent: metadata are limited. */
#define RMD_STATUS_TEXT_MAX_BYTES 2048u
#define RMD_STATUS_REASON_MAX_BYTES 63u

/* Appends a google.rpc.Status with an ErrorInfo of `reason` and the domain "remuda". */
void rmd_status_encode(struct rmd_wire_writer *writer, enum rmd_rpc_status status,
		       struct rmd_slice text, const char *reason);
/* Finds the reason of the first ErrorInfo; borrowed from `encoded`. RMD_ENOTFOUND; or
 * what the wire reader says of bad bytes. */
int rmd_status_reason(struct rmd_slice encoded, struct rmd_slice *ret_reason);
/* The part of `text` that is sent: cut at a character's end, empty if it is not UTF-8. */
struct rmd_slice rmd_status_text(const char *text);
