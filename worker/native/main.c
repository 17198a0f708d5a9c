/* remuda-worker-native: the worker that runs modules of C functions.
 *
 * Started by an agent, with the worker protocol on descriptor 3. Reads its setup, loads
 * its modules, says ready, and then runs one task after the other. A task that crashes or
 * exits takes the process with it: that is what processes are for. */
#include <stdio.h>
#include <string.h>

#include "worker/native/builtin.h"
#include "worker/native/work.h"

int main(int argc, char **argv)
{
	static const struct rmd_work work = {.program = "remuda-worker-native",
					     .add = rmd_builtin_add};
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return printf("remuda-worker-native %s\n", REMUDA_VERSION) < 0
			       ? RMD_WORK_SYSTEM
			       : 0;
	if (argc > 1) {
		fprintf(stderr, "remuda-worker-native: takes no arguments but --version\n"
				"This program is started by remuda-agent.\n");
		return RMD_WORK_USER;
	}
	return rmd_work(&work);
}
