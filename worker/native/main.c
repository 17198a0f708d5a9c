/* remuda-worker-native: the worker that runs modules of C functions.
 *
 * Started by an agent, with the worker protocol on descriptor 3. Reads its setup, loads
 * its modules, says ready, and then runs one task after the other. A task that crashes or
 * exits takes the process with it: that is what processes are for. */
#include <stdio.h>
#include <string.h>

#include "proto/error/chain.h"
#include "worker/native/builtin.h"
#include "worker/native/object.h"
#include "worker/native/work.h"

/* --check FILE: would a worker of this host load it? */
static int check(const char *path)
{
	struct rmd_functions functions = {0};
	struct remuda_error *err = NULL;
	int rc = rmd_builtin_add(&functions, &err);
	if (rc == 0)
		rc = rmd_functions_load(&functions, path, &err);
	if (rc < 0)
		remuda_error_print(err, stderr);
	remuda_error_free(err);
	rmd_functions_fini(&functions);
	return rc < 0 ? RMD_WORK_USER : RMD_WORK_STOPPED;
}

int main(int argc, char **argv)
{
	struct rmd_work work = {.program = "remuda-worker-native",
				.add = rmd_builtin_add};
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return printf("remuda-worker-native %s\n", REMUDA_VERSION) < 0
			       ? RMD_WORK_SYSTEM
			       : 0;
	if (argc == 3 && strcmp(argv[1], "--check") == 0)
		return check(argv[2]);
	if (argc > 1) {
		fprintf(stderr, "remuda-worker-native: takes no arguments but --version, or "
				"--check FILE\n"
				"This program is started by remuda-agent.\n");
		return RMD_WORK_USER;
	}
	if (rmd_object_wanted() != NULL)
		work.capture = rmd_object_load;
	return rmd_work(&work);
}
