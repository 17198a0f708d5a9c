/* libremuda-worker.so: makes a worker of any captured program.
 *
 * Loaded before the program's own libraries (LD_PRELOAD), it takes the place of
 * __libc_start_main: loader, constructors and thread-local storage are set up as in the
 * client, and the worker's life runs in place of main. It takes the place of libremuda
 * too, by its SONAME: so the program finds that here (client_stand_in.c), and gRPC is
 * not loaded.
 *
 * Its constructor runs before all others (-z initfirst), takes both variables out of the
 * environment and puts back what LD_PRELOAD was, so that what the program starts is not
 * turned into workers. Without REMUDA_CAPTURE it does nothing. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/native/builtin.h"
#include "worker/native/captured.h"
#include "worker/native/work.h"
#include "worker/protocol/protocol.h"

#define EXPORTED __attribute__((visibility("default")))
#define PRELOAD "LD_PRELOAD="
#define MARK RMD_CAPTURE_VARIABLE "="

typedef int main_fn(int argc, char **argv, char **env);
typedef int start_fn(main_fn *program_main, int argc, char **argv, void (*init)(void),
		     void (*fini)(void), void (*loader_fini)(void), void *stack_end);

static bool captured;

/* The place of the variable that begins with `name`, or NULL. */
static char **find(char **env, const char *name)
{
	for (; *env != NULL; env++)
		if (strncmp(*env, name, strlen(name)) == 0)
			return env;
	return NULL;
}

static void take_out(char **place)
{
	for (; place != NULL && *place != NULL; place++)
		place[0] = place[1];
}

/* The C library is not set up yet: the environment is what the kernel has put on the
 * stack, and is changed there. */
__attribute__((constructor)) static void clean_up(int argc, char **argv, char **env)
{
	(void)argc;
	(void)argv;
	char **mark = find(env, MARK);
	if (mark == NULL)
		return;
	captured = true;
	char *text = *mark + strlen(MARK);
	int fd = 0;
	for (; *text >= '0' && *text <= '9' && fd < 100000; text++)
		fd = fd * 10 + (*text - '0');
	if (fd > 2)
		(void)close(fd); /* the image: it is mapped */
	take_out(mark);
	char **preload = find(env, PRELOAD);
	if (preload == NULL)
		return;
	const char *before = *text == ':' ? text + 1 : text;
	if (*before == '\0')
		take_out(preload);
	else /* it is the end of what is there */
		memmove(*preload + strlen(PRELOAD), before, strlen(before) + 1);
}

static int worker_main(int argc, char **argv, char **env)
{
	static const struct rmd_work work = {
		.program = "libremuda-worker",
		.add = rmd_builtin_add,
		.capture = rmd_captured_create_self,
	};
	(void)argc;
	(void)argv;
	(void)env;
	return rmd_work(&work);
}

EXPORTED int __libc_start_main(main_fn *program_main, int argc, char **argv,
			       void (*init)(void), void (*fini)(void),
			       void (*loader_fini)(void), void *stack_end);

EXPORTED int __libc_start_main(main_fn *program_main, int argc, char **argv,
			       void (*init)(void), void (*fini)(void),
			       void (*loader_fini)(void), void *stack_end)
{
	void *found = dlsym(RTLD_NEXT, "__libc_start_main");
	start_fn *next;
	memcpy(&next, &found, sizeof next);
	if (next == NULL)
		_exit(RMD_WORK_SYSTEM);
	return next(captured ? worker_main : program_main, argc, argv, init, fini,
		    loader_fini, stack_end);
}
