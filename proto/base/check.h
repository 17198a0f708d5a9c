/* proto/base/check.h: what to do when the program itself is wrong.
 *
 * RMD_CHECK guards what cannot happen unless our own code has a bug. It stays on in
 * production and aborts with the place and the condition. It is never used for a peer's
 * bytes, a user's mistake or a shortage: those have codes (errcode.h).
 * Thread-safe. */
#pragma once

/* Prints "PROGRAM: bug at FILE:LINE in FUNCTION: CONDITION" to stderr and aborts. */
_Noreturn void rmd_check_failed(const char *condition, const char *file, int line,
				const char *function);

/* Aborts unless `cond` holds. */
#define RMD_CHECK(cond)                                                              \
	((cond) ? (void)0 : rmd_check_failed(#cond, __FILE__, __LINE__, __func__))

/* Aborts unless `obj` is not NULL and its `magic` field has the value `magic_value`. */
#define RMD_CHECK_OBJ(obj, magic_value)                                              \
	RMD_CHECK((obj) != NULL && (obj)->magic == (magic_value))

/* Marks what can never be reached; `why` is a string for the one who reads the abort. */
#define RMD_UNREACHABLE(why) rmd_check_failed("unreachable: " why, __FILE__, __LINE__, __func__)
