/* proto/rpc/message.h: messages between our writers and pieces and gRPC's byte buffers,
 * without copying what is large. Thread-safe. */
#pragma once

#include <grpc/byte_buffer.h>

#include "proto/base/buf.h"
#include "proto/codec/wire.h"

/* Gives the writer's message for gRPC and empties the writer, which keeps its block if
 * that was small enough to be copied. NULL: out of memory; the writer is untouched. */
grpc_byte_buffer *rmd_message_pack(struct rmd_wire_writer *writer);

/* Takes a received message apart: gives its bytes in one piece, with a reference.
 * RMD_ENOMEM; RMD_EPROTO: it cannot be read (compressed in a way that we do not know).
 * `message` stays the caller's. */
int rmd_message_unpack(grpc_byte_buffer *message, struct rmd_piece *ret_piece);
