/* tests/unit/frames/random_pb.h: random messages of remuda.v1, made with protobuf-c.
 *
 * Every field is set or not by chance, within its limits and with what its reader insists
 * on (numbers from 1, an outcome with one result). The same seed gives the same message.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "proto/base/buf.h"

/* Gives a message (free with protobuf_c_message_free_unpacked(message, NULL)). */
ProtobufCMessage *random_message(const ProtobufCMessageDescriptor *descriptor,
				 uint64_t seed);
/* Gives its bytes. */
struct rmd_buf *random_packed(const ProtobufCMessage *message);
