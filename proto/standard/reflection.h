/* proto/standard/reflection.h: what grpc.reflection.v1 (and v1alpha, the same bytes)
 * answers, out of a google.protobuf.FileDescriptorSet; and the set that is built into the
 * program.
 *
 * No network here: bytes in, bytes out. After creation it is not changed, so any thread
 * may ask. */
#pragma once

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/codec/wire.h"

/* The descriptors of all contracts that we serve, with what they import; borrowed for
 * ever. */
struct rmd_slice rmd_standard_descriptors(void);

struct rmd_reflection;

/* Gives an index of `descriptors`, which are borrowed until it is destroyed. RMD_ENOMEM;
 * RMD_EPROTO, RMD_ETRUNC, RMD_EDEPTH: it is not a sound FileDescriptorSet; RMD_ELIMIT:
 * more than 256 files. */
int rmd_reflection_create(struct rmd_slice descriptors,
			  struct rmd_reflection **ret_reflection);
/* NULL is allowed. */
void rmd_reflection_destroy(struct rmd_reflection *reflection);
/* Says whether a service is served, and so listed. */
typedef bool rmd_reflection_served(void *ctx, struct rmd_slice service);
/* Appends the ServerReflectionResponse to a ServerReflectionRequest. What is not found is
 * answered too. RMD_EPROTO, RMD_ETRUNC: `request` is garbage; nothing was appended. */
int rmd_reflection_answer(const struct rmd_reflection *reflection,
			  struct rmd_slice request, rmd_reflection_served *served,
			  void *ctx, struct rmd_wire_writer *writer);
