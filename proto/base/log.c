#include "proto/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/errcode.h"

#define LINE_MAX_BYTES 4096

static atomic_int log_level = RMD_LOG_INFO;
static const char *const level_names[] = {"error", "warn", "info", "debug"};

void rmd_log_set_level(enum rmd_log_level level)
{
	atomic_store(&log_level, (int)level);
}

int rmd_log_level_parse(const char *name, enum rmd_log_level *ret_level)
{
	for (int i = RMD_LOG_ERROR; i <= RMD_LOG_DEBUG; i++)
		if (strcmp(name, level_names[i]) == 0) {
			*ret_level = (enum rmd_log_level)i;
			return 0;
		}
	return RMD_EINVAL;
}

void rmd_log(enum rmd_log_level level, const char *source, const char *format, ...)
{
	if ((int)level > atomic_load_explicit(&log_level, memory_order_relaxed))
		return;
	int saved_errno = errno;
	char line[LINE_MAX_BYTES];
	struct timespec now;
	struct tm utc;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	size_t len = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
	len += (size_t)snprintf(line + len, sizeof line - len, ".%03ldZ %s %s: ",
				now.tv_nsec / 1000000, level_names[level], source);
	va_list args;
	va_start(args, format);
	int text = vsnprintf(line + len, sizeof line - len, format, args);
	va_end(args);
	len += text > 0 ? (size_t)text : 0;
	if (len > sizeof line - 1)
		len = sizeof line - 1;
	line[len++] = '\n';
	ssize_t written = write(STDERR_FILENO, line, len);
	(void)written;               /* there is nobody left to tell */
	errno = saved_errno;
}
