#include "client/cli/report.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/exit.h"

static void (*hook)(void *ctx);
static void *hook_ctx;

void rmd_report_hook(void (*before)(void *ctx), void *ctx)
{
	hook = before;
	hook_ctx = ctx;
}

void rmd_report_prepare(void)
{
	if (hook != NULL)
		hook(hook_ctx);
}

void rmd_report(const char *format, ...)
{
	va_list args;

	rmd_report_prepare();
	fputs("remuda: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

int rmd_report_no_memory(void)
{
	rmd_report("out of memory");
	return RMD_EXIT_SYSTEM;
}

void rmd_report_broken_pipe(void)
{
	signal(SIGPIPE, SIG_DFL);
	raise(SIGPIPE);
	_Exit(RMD_EXIT_PIPE); /* where SIGPIPE is blocked */
}

int rmd_report_flush(void)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return RMD_EXIT_OK;
	if (errno == EPIPE)
		return RMD_EXIT_PIPE;
	rmd_report("cannot write the output: %s",
		   errno != 0 ? strerror(errno) : "an earlier write failed");
	return RMD_EXIT_SYSTEM;
}
