/* proto/error/chain.h: errors for those who make them and pass them on: details, wire
 * form.
 *
 * Adds to remuda/error.h what only our own rooms set. Links with no gRPC and no OpenSSL:
 * workers use it. One thread at a time. Setters copy what they are given; where memory
 * runs out they leave that detail out, so that an error is always there to be reported.
 * Bytes that are not UTF-8 are replaced by U+FFFD. The message should not repeat signal,
 * exit code, worker or host: printing adds them (signal and exit code at the end of the
 * message's first line). */
#pragma once

#include <stdarg.h>

#include "proto/base/buf.h"
#include "remuda/error.h"

struct rmd_wire_writer;

/* As remuda_error_wrap; `cause` may be NULL. */
struct remuda_error *rmd_error_vcreate(struct remuda_error *cause, const char *type,
				       const char *format, va_list args)
	REMUDA_ERROR_FORMAT(3, 0);
void rmd_error_set_origin(struct remuda_error *err, enum remuda_origin origin);
/* Where it happened; `host` may be NULL or empty, numbers 0: not known. */
void rmd_error_set_place(struct remuda_error *err, const char *host, uint64_t worker,
			 uint32_t attempt);
/* Sets the place of every error in the chain that has none (worker 0 and no host). */
void rmd_error_set_place_deep(struct remuda_error *err, const char *host, uint64_t worker,
			      uint32_t attempt);
/* Puts `earlier` (takes it) below the root of `err`, as what was being handled then. */
void rmd_error_add_earlier(struct remuda_error *err, struct remuda_error *earlier);
/* A worker was lost since it exited. */
void rmd_error_set_exit_code(struct remuda_error *err, int exit_code);
/* A worker was lost by a signal. */
void rmd_error_set_signal(struct remuda_error *err, int signal);
/* Adds the next inner frame; its texts may be NULL. */
void rmd_error_add_frame(struct remuda_error *err, const struct remuda_frame *frame);
/* At most 1 MiB, codec at most 64 bytes; else it is left out. */
void rmd_error_set_runtime_payload(struct remuda_error *err, const char *codec,
				   struct rmd_slice payload);

/* Most bytes that rmd_error_encode writes. */
#define RMD_ERROR_CHAIN_MAX_BYTES (2u << 20)

/* Appends the fields of an ErrorChain (raw: no tag or length before them): copied, not
 * spliced. What is over the limits of error.proto, or makes the whole exceed
 * RMD_ERROR_CHAIN_MAX_BYTES, is cut, with a mark that says so. Shortage: the writer
 * fails. */
void rmd_error_encode(const struct remuda_error *err, struct rmd_wire_writer *writer);
/* Gives the raw ErrorChain in a buf, or NULL: out of memory. */
struct rmd_buf *rmd_error_encode_buf(const struct remuda_error *err);

/* Reads a raw ErrorChain: gives *ret_err (never the OutOfMemory error). An error that two
 * others name stays with one of them, one that none names is dropped. NULs in texts
 * become '?'. RMD_ETRUNC, RMD_EPROTO, RMD_ETOOBIG, RMD_ELIMIT with *ret_field as in
 * proto/codec/frames.h; RMD_ENOMEM. */
int rmd_error_decode(struct rmd_slice bytes, struct remuda_error **ret_err,
		     const char **ret_field);

/* The type of the outermost error of a raw ErrorChain, borrowed from it; empty: it has none,
 * or cannot be read. Nothing else is looked at. */
struct rmd_slice rmd_error_type_of(struct rmd_slice bytes);

/* The signal's name ("SIGSEGV"), borrowed for ever; "?" for an unknown one. */
const char *rmd_error_signal_name(int signal);
