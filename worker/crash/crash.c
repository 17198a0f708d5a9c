#include "worker/crash/crash.h"

#include <string.h>
#include <sys/wait.h>

/* Most of the tail that goes into a message. */
#define TAIL_MAX 4096

/* The end of `from` as text, without its last newlines; NULs become '?'. False: it is
 * empty. */
static bool copy_tail(struct rmd_slice from, char tail[TAIL_MAX + 1])
{
	size_t len = from.len < TAIL_MAX ? from.len : TAIL_MAX;
	if (len > 0)
		memcpy(tail, from.data + (from.len - len), len);
	while (len > 0 && tail[len - 1] == '\n')
		len--;
	for (size_t i = 0; i < len; i++)
		if (tail[i] == '\0')
			tail[i] = '?';
	tail[len] = '\0';
	return len > 0;
}

struct remuda_error *rmd_crash_error(const struct rmd_crash *crash)
{
	bool exited = crash->status_known && WIFEXITED(crash->wait_status);
	bool signalled = crash->status_known && WIFSIGNALED(crash->wait_status);
	char tail[TAIL_MAX + 1];
	const char *said =
		copy_tail(crash->stderr_tail, tail) ? "; it last wrote to stderr:\n" : "";
	struct remuda_error *err;
	if (crash->function.len > 0)
		err = remuda_error_create(
			"WorkerLost", "the worker process %s while it ran %.*s%s%s",
			exited ? "exited" : "ended", (int)crash->function.len,
			(const char *)crash->function.data, said, tail);
	else
		err = remuda_error_create("WorkerLost", "the worker process %s%s%s",
					  exited ? "exited" : "ended", said, tail);
	rmd_error_set_origin(err, REMUDA_ORIGIN_WORKER);
	rmd_error_set_place(err, crash->host, crash->worker, crash->attempt);
	if (exited)
		rmd_error_set_exit_code(err, WEXITSTATUS(crash->wait_status));
	if (signalled)
		rmd_error_set_signal(err, WTERMSIG(crash->wait_status));
	return err;
}
