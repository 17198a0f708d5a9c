/* proto/base/errcode.h: the codes that internal functions return.
 *
 * 0 is success, a negative RMD_E… is not. One table makes the enum and the texts.
 * RMD_EAGAIN is ordinary (no credit, window full): callers handle it silently. */
#pragma once

#define RMD_ERRCODES(X)                                                              \
	X(RMD_EAGAIN, -1, "try again later")                                         \
	X(RMD_ENOMEM, -2, "out of memory")                                           \
	X(RMD_EINVAL, -3, "invalid argument")                                        \
	X(RMD_EPROTO, -4, "the peer broke the protocol")                             \
	X(RMD_ETRUNC, -5, "the bytes end too early")                                 \
	X(RMD_EDEPTH, -6, "nested too deeply")                                       \
	X(RMD_ETOOBIG, -7, "over the size limit")                                    \
	X(RMD_ENOTFOUND, -8, "not found")                                            \
	X(RMD_EEXIST, -9, "exists already")                                          \
	X(RMD_ECLOSED, -10, "closed")                                                \
	X(RMD_ETIMEOUT, -11, "timed out")                                            \
	X(RMD_ESYS, -12, "a system call failed (see errno)")                         \
	X(RMD_ETYPE, -13, "of another type than asked for")                          \
	X(RMD_ERANGE, -14, "out of range")                                           \
	X(RMD_EVERSION, -15, "of another version")                                   \
	X(RMD_ECANCELLED, -16, "cancelled")                                          \
	X(RMD_ELIMIT, -17, "a limit is reached")                                     \
	X(RMD_EUNREACHABLE, -18, "the peer cannot be reached")                       \
	X(RMD_ETASK, -19, "the task failed")

enum rmd_errcode {
#define X(name, value, text) name = value,
	RMD_ERRCODES(X)
#undef X
};

/* The text for `code`, borrowed for ever; for a code that is not ours "unknown error". */
const char *rmd_errcode_text(int code);
/* The name for `code` ("RMD_EPROTO"), borrowed for ever. */
const char *rmd_errcode_name(int code);
