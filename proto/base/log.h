/* proto/base/log.h: log lines of the programs (never of libraries: proto/ and client/c
 * do not log). A line goes to stderr as "LEVEL SOURCE: message key=value …" with a
 * time stamp; ids are given as key=value at the end of the message. Thread-safe: one
 * write a line. */
#pragma once

enum rmd_log_level { RMD_LOG_ERROR, RMD_LOG_WARN, RMD_LOG_INFO, RMD_LOG_DEBUG };

/* What is more detailed than `level` is not written. Default: RMD_LOG_INFO. */
void rmd_log_set_level(enum rmd_log_level level);
/* "error" … "debug" to a level; 0, or RMD_EINVAL. */
int rmd_log_level_parse(const char *name, enum rmd_log_level *ret_level);
/* Writes one line; `source` is the room that speaks ("agent", "pool"). Longer than 4
 * KiB is cut. */
void rmd_log(enum rmd_log_level level, const char *source, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
