/* remuda: the command line of the herd. */
#include <fcntl.h>
#include <signal.h>

#include "client/cli/command.h"
#include "client/cli/exit.h"
#include "client/cli/interrupt.h"
#include "client/cli/report.h"

/* Where our caller closed stdin, stdout or stderr, something else of ours would get its
 * number and be read or written in its place. What stands there instead fails when it is
 * used. A constructor, since those of gRPC open descriptors too. */
__attribute__((constructor(101))) static void hold_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN); /* a write then says EPIPE: report.h ends the program */
	rmd_interrupt_exit();
	int rc = rmd_command_line(argc > 0 ? argc - 1 : 0, argv + 1);
	if (rc == RMD_EXIT_PIPE)
		rmd_report_broken_pipe();
	return rc;
}
