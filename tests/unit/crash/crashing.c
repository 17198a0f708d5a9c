/* A module of tasks that end badly, each in its own way. The tests know functions by name
 * and lines by the marks LINE_…, so code may move. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <remuda/task.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

REMUDA_MODULE("crashing");

#define NOINLINE __attribute__((noinline, noclone))

REMUDA_TASK(int64_t, square, (int64_t, x))
{
	return x * x;
}

REMUDA_TASK(void, null_write)
{
	volatile int *volatile nowhere = NULL;
	*nowhere = 1; /* LINE_null_write */
}

REMUDA_TASK(int32_t, null_read)
{
	const volatile int *volatile nowhere = (const int *)16;
	return *nowhere;
}

REMUDA_TASK(void, read_only_write)
{
	volatile char *volatile text = (char *)(uintptr_t) "read only";
	text[0] = 'R';
}

REMUDA_TASK(void, null_call)
{
	void (*volatile nowhere)(void) = NULL;
	nowhere(); /* LINE_null_call */
}

REMUDA_TASK(void, wild_read)
{
	const volatile char *volatile nowhere =
		(const char *)(uintptr_t)0xdead000000000000u;
	(void)*nowhere;
}

/* ---- three deep, static ---- */

static NOINLINE int innermost(const int *volatile from)
{
	return *from + 1; /* LINE_innermost */
}

static NOINLINE int middle(const int *from)
{
	return innermost(from) + 2; /* LINE_middle */
}

static NOINLINE int outermost(const int *from)
{
	return middle(from) + 3; /* LINE_outermost */
}

REMUDA_TASK(int32_t, three_deep)
{
	return outermost((const int *)8) + 4; /* LINE_three_deep */
}

static inline __attribute__((always_inline)) int inlined(const volatile int *from)
{
	return *from; /* LINE_inlined */
}

REMUDA_TASK(int32_t, inline_crash)
{
	return inlined((const int *)8) + 1; /* LINE_inline_crash */
}

/* ---- stacks ---- */

static NOINLINE size_t recurse(volatile char *above)
{
	volatile char room[512];
	room[0] = above[0];
	return recurse(room) + (size_t)room[0];
}

REMUDA_TASK(uint64_t, overflow)
{
	volatile char first = 1;
	return recurse(&first);
}

static void *overflow_thread(void *arg)
{
	(void)arg;
	volatile char first = 1;
	return (void *)recurse(&first);
}

static NOINLINE void *crash_thread(void *arg)
{
	*(volatile int *volatile)arg = 1; /* LINE_crash_thread */
	return NULL;
}

static int c11_thread(void *arg)
{
	volatile char first = 1;
	(void)arg;
	return (int)recurse(&first);
}

static void run_thread(void *(*run)(void *))
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, run, (void *)8) == 0)
		pthread_join(thread, NULL);
}

REMUDA_TASK(void, thread_crash)
{
	run_thread(crash_thread);
}

REMUDA_TASK(void, thread_overflow)
{
	run_thread(overflow_thread);
}

REMUDA_TASK(void, c11_overflow)
{
	thrd_t thread;
	if (thrd_create(&thread, c11_thread, NULL) == thrd_success)
		thrd_join(thread, NULL);
}

static void *nothing(void *arg)
{
	return arg;
}

/* Threads come and go as ever: values, attributes, exits. */
REMUDA_TASK(uint64_t, many_threads, (uint32_t, count))
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < count; i++) {
		pthread_t thread;
		void *result;
		if (pthread_create(&thread, NULL, nothing, (void *)(uintptr_t)i) != 0)
			return 0;
		pthread_join(thread, &result);
		sum += (uintptr_t)result;
	}
	return sum;
}

/* Threads that all crash at once. */
REMUDA_TASK(void, many_crash)
{
	pthread_t threads[8];
	for (int i = 0; i < 8; i++)
		if (pthread_create(&threads[i], NULL, crash_thread, (void *)8) != 0)
			return;
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
}

/* ---- other signals ---- */

REMUDA_TASK(void, aborts)
{
	fputs("about to abort\n", stderr);
	abort();
}

REMUDA_TASK(int32_t, divide)
{
	volatile int zero = 0, one = 1;
	return one / zero;
}

REMUDA_TASK(void, trap)
{
	__builtin_trap();
}

REMUDA_TASK(int32_t, past_the_file)
{
	int fd = memfd_create("short", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 8192) < 0)
		return -1;
	const volatile char *bytes = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED || ftruncate(fd, 4096) < 0)
		return -1;
	return bytes[5000];
}

/* Dies inside malloc, in a process with threads: its lock is held. */
REMUDA_TASK(void, in_malloc)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, nothing, NULL) == 0)
		pthread_join(thread, NULL);
	uintptr_t *volatile block = malloc(4000);
	void *volatile behind = malloc(16);
	if (block == NULL || behind == NULL)
		return;
	volatile uintptr_t *volatile stale = block;
	free(block);
	stale[1] = 16; /* the list of free blocks leads to nowhere */
	block = malloc(8000);
}

REMUDA_TASK(void, exits, (int, code))
{
	exit(code);
}

REMUDA_TASK(void, exits_at_once, (int, code))
{
	_exit(code);
}

/* Sends itself a signal. */
REMUDA_TASK(void, raises, (int, signal_number))
{
	raise(signal_number);
}

/* Gives the wait status of a child that crashes. */
REMUDA_TASK(int32_t, child_crash)
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0) {
		*(volatile int *)8 = 1;
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static void own_handler(int signal_number)
{
	_exit(signal_number + 50);
}

REMUDA_TASK(void, handled)
{
	signal(SIGSEGV, own_handler);
	*(volatile int *)8 = 1;
}

REMUDA_TASK(void, sleeps)
{
	struct timespec time = {600, 0};
	nanosleep(&time, NULL);
}

/* Says `count` times on the worker's own channel that it has crashed: in a way that makes
 * sense, or not. Then it exits, or returns. */
static const char record[] = {8, SIGSEGV};

static int channel_fd(void)
{
	int channel = -1, type;
	socklen_t len = sizeof type;
	for (int fd = 0; fd < 1024; fd++)
		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
		    type == SOCK_SEQPACKET)
			channel = fd; /* the protocol's own lies below */
	return channel;
}

static void *forge_later(void *arg)
{
	char go[64];
	(void)arg;
	snprintf(go, sizeof go, "/tmp/remuda-forge-%d", (int)getpid());
	while (unlink(go) < 0)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	(void)!send(channel_fd(), record, sizeof record, MSG_DONTWAIT | MSG_NOSIGNAL);
	return NULL;
}

/* Says that it has crashed when it is over and /tmp/remuda-forge-PID is there. */
REMUDA_TASK(void, forges_late)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, forge_later, NULL) == 0)
		pthread_detach(thread);
}

REMUDA_TASK(void, forges, (int, count), (bool, sense), (bool, ends))
{
	int channel = channel_fd();
	for (int i = 0; i < count; i++)
		(void)!send(channel, sense ? record : "nonsense", sense ? 2 : 8,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
	if (ends)
		exit(3);
}

/* Takes memory, and touches it, until somebody stops it. */
REMUDA_TASK(void, grows)
{
	for (;;) {
		char *block = malloc(1 << 20);
		if (block != NULL)
			memset(block, 1, 1 << 20);
	}
}
