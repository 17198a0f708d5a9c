/* remuda-worker-python: finds the interpreter for a worker and becomes it.
 *
 * The interpreter is the one that the pool's environment names (REMUDA_PYTHON: the
 * client's own, by default), else python3 on PATH. The runtime's Python code and its
 * extension module lie in ../lib/python beside this program, or in the folder
 * REMUDA_PYTHON_LIB. Descriptors and signals pass through exec untouched: remuda_worker
 * speaks the worker protocol. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Exit codes: the user's mistake; the system's. */
enum { EXIT_USER = 100, EXIT_SYSTEM = 111 };

/* Not `-m`: the folder is added behind what the user's environment says, and __main__
 * must not be ours. */
static const char bootstrap[] =
	"import sys\n"
	"sys.path[:] = [p for p in sys.path if p] + [sys.argv[1]]\n"
	"import remuda_worker\n"
	"remuda_worker.main()\n";

/* The folder of the runtime's Python code, in `ret` of PATH_MAX bytes; 0 or -1 (errno).
 */
static int find_library(char *ret)
{
	static const char *const beside[] = {"../lib/python", "../lib/remuda/python",
					     "../.."};
	char own[PATH_MAX], probe[PATH_MAX * 2];
	const char *named = getenv("REMUDA_PYTHON_LIB");
	if (named != NULL && *named != '\0')
		return (size_t)snprintf(ret, PATH_MAX, "%s", named) < PATH_MAX ? 0 : -1;
	ssize_t len = readlink("/proc/self/exe", own, sizeof own - 1);
	if (len < 0)
		return -1;
	own[len] = '\0';
	char *slash = strrchr(own, '/');
	if (slash != NULL)
		*slash = '\0';
	for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
		(void)snprintf(probe, sizeof probe, "%s/%s/remuda_worker/__init__.py",
			       own, beside[i]);
		if (access(probe, R_OK) != 0)
			continue;
		(void)snprintf(probe, sizeof probe, "%s/%s", own, beside[i]);
		return realpath(probe, ret) != NULL ? 0 : -1;
	}
	errno = ENOENT;
	return -1;
}

int main(int argc, char **argv)
{
	char library[PATH_MAX];
	const char *python = getenv("REMUDA_PYTHON");
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return printf("remuda-worker-python %s\n", REMUDA_VERSION) < 0
			       ? EXIT_SYSTEM
			       : 0;
	if (argc > 1) {
		fputs("remuda-worker-python: takes no arguments but --version\n", stderr);
		return EXIT_USER;
	}
	if (python == NULL || *python == '\0')
		python = "python3";
	if (find_library(library) < 0) {
		fprintf(stderr,
			"remuda-worker-python: the folder of remuda_worker was not found "
			"(%s): "
			"looked beside this program; REMUDA_PYTHON_LIB names it\n",
			strerror(errno));
		return EXIT_SYSTEM;
	}
	execlp(python, python, "-c", bootstrap, library, (char *)NULL);
	fprintf(stderr,
		"remuda-worker-python: %s: %s: no interpreter; REMUDA_PYTHON in the "
		"pool's "
		"environment names it, else it is python3 on PATH\n",
		python, strerror(errno));
	return EXIT_USER;
}
