#include <signal.h>

#include "proto/base/check.h"
#include "proto/error/parts.h"

static const struct remuda_error *checked(const struct remuda_error *err)
{
	RMD_CHECK_OBJ(err, RMD_ERROR_MAGIC);
	return err;
}

static const char *text(const char *owned)
{
	return owned != NULL ? owned : "";
}

const char *remuda_error_type(const struct remuda_error *err)
{
	return text(checked(err)->type);
}

const char *remuda_error_message(const struct remuda_error *err)
{
	return text(checked(err)->message);
}

const struct remuda_error *remuda_error_cause(const struct remuda_error *err)
{
	return checked(err)->cause;
}

const struct remuda_error *remuda_error_context(const struct remuda_error *err)
{
	return checked(err)->context;
}

const struct remuda_error *remuda_error_root(const struct remuda_error *err)
{
	for (;;) {
		const struct remuda_error *inner =
			checked(err)->cause != NULL ? err->cause : err->context;
		if (inner == NULL)
			return err;
		err = inner;
	}
}

enum remuda_origin remuda_error_origin(const struct remuda_error *err)
{
	return checked(err)->origin;
}

size_t remuda_error_frame_count(const struct remuda_error *err)
{
	return checked(err)->frame_count;
}

struct remuda_frame remuda_error_frame(const struct remuda_error *err, size_t index)
{
	if (index >= checked(err)->frame_count)
		return (struct remuda_frame){.file = "", .function = "", .image = ""};
	return err->frames[index].frame;
}

const char *remuda_error_host(const struct remuda_error *err)
{
	return text(checked(err)->host);
}

uint64_t remuda_error_worker(const struct remuda_error *err)
{
	return checked(err)->worker;
}

uint32_t remuda_error_attempt(const struct remuda_error *err)
{
	return checked(err)->attempt;
}

bool remuda_error_exited(const struct remuda_error *err)
{
	return checked(err)->exited;
}

int remuda_error_exit_code(const struct remuda_error *err)
{
	return checked(err)->exit_code;
}

int remuda_error_signal(const struct remuda_error *err)
{
	return checked(err)->signal;
}

const void *remuda_error_runtime_payload(const struct remuda_error *err, size_t *ret_len)
{
	*ret_len = checked(err)->payload_len;
	return err->payload;
}

const char *remuda_error_runtime_codec(const struct remuda_error *err)
{
	return text(checked(err)->codec);
}

const char *rmd_error_signal_name(int signal)
{
	static const char *const names[] = {
		[SIGHUP] = "SIGHUP",	   [SIGINT] = "SIGINT",
		[SIGQUIT] = "SIGQUIT",	   [SIGILL] = "SIGILL",
		[SIGTRAP] = "SIGTRAP",	   [SIGABRT] = "SIGABRT",
		[SIGBUS] = "SIGBUS",	   [SIGFPE] = "SIGFPE",
		[SIGKILL] = "SIGKILL",	   [SIGUSR1] = "SIGUSR1",
		[SIGSEGV] = "SIGSEGV",	   [SIGUSR2] = "SIGUSR2",
		[SIGPIPE] = "SIGPIPE",	   [SIGALRM] = "SIGALRM",
		[SIGTERM] = "SIGTERM",	   [SIGCHLD] = "SIGCHLD",
		[SIGCONT] = "SIGCONT",	   [SIGSTOP] = "SIGSTOP",
		[SIGTSTP] = "SIGTSTP",	   [SIGTTIN] = "SIGTTIN",
		[SIGTTOU] = "SIGTTOU",	   [SIGURG] = "SIGURG",
		[SIGXCPU] = "SIGXCPU",	   [SIGXFSZ] = "SIGXFSZ",
		[SIGPROF] = "SIGPROF",	   [SIGVTALRM] = "SIGVTALRM",
		[SIGWINCH] = "SIGWINCH",   [SIGIO] = "SIGIO",
		[SIGPWR] = "SIGPWR",	   [SIGSYS] = "SIGSYS",
#ifdef SIGSTKFLT
		[SIGSTKFLT] = "SIGSTKFLT",
#endif
	};
	if (signal <= 0 || (size_t)signal >= sizeof names / sizeof *names ||
	    names[signal] == NULL)
		return "?";
	return names[signal];
}
