/* remuda-crash: looks at a worker that has crashed, and says how it got there.
 *
 * Started by an agent for one crash (job.h), while the worker waits in its signal
 * handler. All it reads may be user code's making: it is confined, short-lived, and its
 * own crash or delay costs nothing but the stack. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/base/errcode.h"
#include "proto/codec/wire.h"
#include "worker/crash/helper/confine.h"
#include "worker/crash/helper/frames.h"

enum { EXIT_USAGE = 100, EXIT_SYSTEM = 111 };

static int receive(struct rmd_crash_job *ret_job, remuda_local_CrashRecord *ret_record)
{
	static uint8_t packet[sizeof *ret_job + RMD_CRASH_RECORD_MAX + 1];
	ssize_t n;
	do
		n = recv(RMD_CRASH_HELPER_FD, packet, sizeof packet, 0);
	while (n < 0 && errno == EINTR);
	if (n < (ssize_t)sizeof *ret_job)
		return n < 0 ? RMD_ESYS : RMD_ECLOSED;
	memcpy(ret_job, packet, sizeof *ret_job);
	return rmd_crash_record_get(
		rmd_slice_of(packet + sizeof *ret_job, (size_t)n - sizeof *ret_job),
		ret_record);
}

static int answer(const struct remuda_error *err)
{
	struct rmd_wire_writer writer = {0};
	rmd_error_encode(err, &writer);
	ssize_t n = -1;
	if (!writer.failed && writer.len <= RMD_CRASH_STACK_MAX)
		n = send(RMD_CRASH_HELPER_FD, writer.data, writer.len, MSG_NOSIGNAL);
	rmd_wire_writer_fini(&writer);
	return n < 0 ? RMD_ESYS : 0;
}

static void add_stack(struct remuda_error *err, struct rmd_process *process)
{
	struct rmd_call calls[RMD_CRASH_FRAMES_MAX];
	bool more;
	Dwfl *dwfl = rmd_unwind_begin(process);
	if (dwfl == NULL)
		return;
	size_t count = rmd_unwind(dwfl, process, calls, RMD_CRASH_FRAMES_MAX, &more);
	rmd_frames_add(err, process, calls, count, more);
	dwfl_end(dwfl);
}

int main(int argc, char **argv)
{
	static struct rmd_process process;
	static remuda_local_CrashRecord record;
	struct rmd_crash_job job;
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return printf("remuda-crash %s\n", REMUDA_VERSION) < 0 ? EXIT_SYSTEM : 0;
	/* elfutils would ask a server for debug information. */
	(void)unsetenv("DEBUGINFOD_URLS");
	if (rmd_confine() < 0)
		return EXIT_SYSTEM;
	int rc = receive(&job, &record);
	if (rc < 0) {
		fprintf(stderr,
			"remuda-crash: no job: %s\nThis program is started by "
			"remuda-agent when a worker crashes.\n",
			rmd_errcode_text(rc));
		return EXIT_USAGE;
	}
	struct remuda_error *err = remuda_error_create("Stack", "%s", "");
	if (rmd_process_open(&process, job.pid, &record, argv + 1) == 0)
		add_stack(err, &process);
	rc = answer(err);
	remuda_error_free(err);
	return rc < 0 ? EXIT_SYSTEM : 0;
}
