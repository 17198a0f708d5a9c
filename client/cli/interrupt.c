#include "client/cli/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client/cli/exit.h"

#define LAST_SECONDS 3u

static atomic_int notice_fd = -1;
static atomic_bool seen;

/* The terminal's cursor may stand behind a bar: the shell's prompt begins a new line
 * by itself. */
static void end_now(int signal_number)
{
	(void)signal_number;
	_exit(RMD_EXIT_INTERRUPTED);
}

static void notice(int signal_number)
{
	int saved = errno;
	uint64_t one = 1;

	if (atomic_exchange(&seen, true))
		end_now(signal_number);
	alarm(LAST_SECONDS);
	if (write(atomic_load(&notice_fd), &one, sizeof one) < 0)
		end_now(signal_number);
	errno = saved;
}

static void handle(void (*handler)(int))
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = handler}, before;

	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
		sigaction(signals[i], NULL, &before);
		if (before.sa_handler != SIG_IGN) /* nohup, or a shell's background job */
			sigaction(signals[i], &action, NULL);
	}
}

void rmd_interrupt_exit(void)
{
	handle(end_now);
}

int rmd_interrupt_notice(void)
{
	struct sigaction action = {.sa_handler = end_now};
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return -1;
	atomic_store(&notice_fd, fd);
	sigaction(SIGALRM, &action, NULL);
	handle(notice);
	return fd;
}

bool rmd_interrupt_seen(void)
{
	return atomic_load(&seen);
}
