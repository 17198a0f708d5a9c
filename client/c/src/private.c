/* Starting a private coordinator from inside somebody else's program.
 *
 * The host program may have threads, handlers for SIGCHLD, a loop around wait(): it must
 * see nothing of this. So an intermediate process is made by clone(CLONE_VM |
 * CLONE_VFORK) with no exit signal (only __WCLONE waits meet it), and that one makes the
 * coordinator's process the same way and ends: the coordinator is an orphan from its
 * first instruction. The intermediate never calls exec, which would make it an ordinary
 * child again (exec sets the exit signal to SIGCHLD). Both share our memory while we are
 * stopped, as with vfork: the reason why an exec failed comes back through a variable.
 * Their code runs with all signals blocked, in raw system calls, and outside of
 * sanitizers, whose state they share with us. */
#include "client/c/src/private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"

#define STACK_BYTES (64u * 1024u)
#define MODULES_MAX 64u
#define FIXED_ARGS  12u
#define KEPT_FDS    3u

#if defined(__clang__) || defined(__GNUC__)
#define UNINSTRUMENTED \
	__attribute__((no_sanitize("address", "thread", "undefined"), noinline))
#else
#define UNINSTRUMENTED
#endif

extern char **environ;

/* glibc's clone under its other name: what sanitizers put in place of `clone` takes each
 * call for a fork. */
int __clone(int (*run)(void *arg), void *stack, int flags, void *arg, ...);

/* What the two processes share with us. */
struct start {
	const char *path;
	char **argv;
	char **envp;
	int keep[KEPT_FDS];          /* descriptors that the program inherits: the stream,
				      * our pidfd, the mailbox */
	int null_fd;                 /* its standard input and output */
	uint8_t *stack;              /* of the second process */
	sigset_t no_signals;
	volatile int failure;        /* errno of what failed; 0: the program runs */
};

/* The kernel's form of a signal action: with glibc's we would change the host's own
 * record. */
struct kernel_action {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	unsigned long mask;
};

/* Handlers are ours, not the program's: each goes back to default before signals are let
 * in. */
UNINSTRUMENTED static void reset_signals(const sigset_t *no_signals)
{
	struct kernel_action action = {0};
	for (long signo = 1; signo <= 64; signo++)
		syscall(SYS_rt_sigaction, signo, &action, NULL, 8);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, no_signals, NULL, 8);
}

UNINSTRUMENTED static int program(void *arg)
{
	struct start *start = arg;
	syscall(SYS_setsid);
	syscall(SYS_dup3, start->null_fd, 0, 0);
	syscall(SYS_dup3, start->null_fd, 1, 0);
	syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
	for (unsigned i = 0; i < KEPT_FDS; i++)
		syscall(SYS_fcntl, start->keep[i], F_SETFD, 0);
	reset_signals(&start->no_signals);
	syscall(SYS_execve, start->path, start->argv, start->envp);
	start->failure = errno;
	syscall(SYS_exit_group, 127);
	return 127;
}

UNINSTRUMENTED static int intermediate(void *arg)
{
	struct start *start = arg;
	int pid = __clone(program, start->stack + STACK_BYTES,
			  CLONE_VM | CLONE_VFORK | SIGCHLD, start);
	if (pid < 0)
		start->failure = errno;
	syscall(SYS_exit_group, 0);
	return 0;
}

/* Runs both; errno of what failed, or 0. */
static int launch(struct start *start)
{
	uint8_t *stacks = mmap(NULL, 2 * STACK_BYTES, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stacks == MAP_FAILED)
		return errno;
	sigset_t all, before;
	int cancel_state;
	start->stack = stacks;
	sigfillset(&all);
	sigemptyset(&start->no_signals);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	int pid = __clone(intermediate, stacks + 2 * STACK_BYTES, CLONE_VM | CLONE_VFORK,
			  start);
	int failure = pid < 0 ? errno : 0;
	if (pid > 0) {
		while (waitpid(pid, NULL, (int)__WCLONE) < 0 && errno == EINTR)
			;
		failure = start->failure;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_setcancelstate(cancel_state, NULL);
	munmap(stacks, 2 * STACK_BYTES);
	return failure;
}

static struct remuda_error *start_error(const struct rmd_private_options *options,
					int failure, const char *what)
{
	return remuda_error_create("ServerStartFailed",
				   "cannot start the private coordinator %s: %s: %s",
				   options->server_path, what, strerror(failure));
}

/* Fills `argv` (room for FIXED_ARGS + 2 a module) with texts that are borrowed or in
 * `text`. */
static void make_argv(const struct rmd_private_options *options,
		      const struct start *start, char text[5][40], char **argv)
{
	size_t n = 0;
	snprintf(text[0], sizeof text[0], "%d", start->keep[0]);
	snprintf(text[1], sizeof text[1], "%d", start->keep[1]);
	snprintf(text[2], sizeof text[2], "%u", (unsigned)options->max_workers);
	snprintf(text[3], sizeof text[3], "%d", start->keep[2]);
	snprintf(text[4], sizeof text[4], "%llu", (unsigned long long)options->shared_bytes);
	const char *fixed[] = {"remudad",     "--private",     "--client-fd",
			       text[0],	      "--client-pidfd", text[1],
			       "--memory-fd", text[3],		"--shared-bytes",
			       text[4],	      NULL};
	for (; fixed[n] != NULL; n++)
		argv[n] = (char *)(uintptr_t)fixed[n];
	if (options->max_workers != 0) {
		argv[n++] = (char *)(uintptr_t)"--local-workers";
		argv[n++] = text[2];
	}
	for (size_t i = 0; options->modules != NULL && options->modules[i] != NULL; i++) {
		argv[n++] = (char *)(uintptr_t)"--module";
		argv[n++] = (char *)(uintptr_t)options->modules[i];
	}
	argv[n] = NULL;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Moves a descriptor out of the way of standard input, output and error, which the host
 * may have closed. -1 as given, or with errno. */
static int above_stdio(int fd)
{
	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	int failure = errno;
	close(fd);
	errno = failure;
	return moved;
}

int rmd_private_modules(const char *const *modules, char ***ret_paths,
			struct remuda_error **ret_err)
{
	size_t count = 0;
	while (modules != NULL && modules[count] != NULL)
		count++;
	char **paths = rmd_calloc(count + 1, sizeof *paths);
	int rc = paths == NULL ? REMUDA_ENOMEM : 0;
	*ret_paths = paths;
	for (size_t i = 0; rc == 0 && i < count; i++) {
		paths[i] = realpath(modules[i], NULL);
		if (paths[i] != NULL && access(paths[i], R_OK) == 0)
			continue;
		rc = errno == ENOENT ? REMUDA_ENOTFOUND : REMUDA_ESYS;
		*ret_err = remuda_error_create("ModuleNotReadable",
					       "cannot read the module %s: %s", modules[i],
					       strerror(errno));
	}
	return rc;
}

void rmd_private_modules_free(char **paths)
{
	for (size_t i = 0; paths != NULL && paths[i] != NULL; i++)
		free(paths[i]);
	rmd_free(paths);
}

int rmd_private_start(const struct rmd_private_options *options, int *ret_fd,
		      int *ret_memory_fd, struct remuda_error **ret_err)
{
	int pair[2] = {-1, -1}, memory[2] = {-1, -1}, rc = RMD_ESYS;
	char text[5][40];
	size_t modules = 0;
	while (options->modules != NULL && options->modules[modules] != NULL)
		modules++;
	if (modules > MODULES_MAX) {
		*ret_err = remuda_error_create("TooManyModules",
					       "%zu modules; at most %u", modules,
					       MODULES_MAX);
		return RMD_ELIMIT;
	}
	char *argv[FIXED_ARGS + 2 * MODULES_MAX + 1];
	struct start start = {.path = options->server_path,
			      .argv = argv,
			      .envp = environ,
			      .null_fd = -1};
	start.keep[0] = start.keep[1] = start.keep[2] = -1;

	const char *what = "socketpair";
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		goto out;
	start.keep[0] = pair[1] = above_stdio(pair[1]);
	if (pair[1] < 0)
		goto out;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, memory) < 0)
		goto out;
	start.keep[2] = memory[1] = above_stdio(memory[1]);
	if (memory[1] < 0)
		goto out;
	what = "pidfd_open";
	start.keep[1] = above_stdio((int)syscall(SYS_pidfd_open, getpid(), 0));
	if (start.keep[1] < 0)
		goto out;
	what = "/dev/null";
	start.null_fd = above_stdio(open("/dev/null", O_RDWR | O_CLOEXEC));
	if (start.null_fd < 0)
		goto out;
	make_argv(options, &start, text, argv);
	what = "exec";
	errno = launch(&start);
	if (errno != 0)
		goto out;
	*ret_fd = pair[0];
	*ret_memory_fd = memory[0];
	pair[0] = memory[0] = -1;
	rc = 0;
out:
	if (rc < 0)
		*ret_err = start_error(options, errno, what);
	close_fd(pair[0]);
	close_fd(pair[1]);
	close_fd(memory[0]);
	close_fd(memory[1]);
	close_fd(start.keep[1]);
	close_fd(start.null_fd);
	return rc;
}
