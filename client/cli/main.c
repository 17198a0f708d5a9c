/* remuda: the command line of the herd. */
#include <signal.h>

#include "client/cli/command.h"
#include "client/cli/exit.h"
#include "client/cli/interrupt.h"
#include "client/cli/report.h"

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN); /* a write then says EPIPE: report.h ends the program */
	rmd_interrupt_exit();
	int rc = rmd_command_line(argc > 0 ? argc - 1 : 0, argv + 1);
	if (rc == RMD_EXIT_PIPE)
		rmd_report_broken_pipe();
	return rc;
}
