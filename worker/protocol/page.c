#include "worker/protocol/page.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/errcode.h"

int rmd_wp_memfd(const char *name, uint64_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return RMD_ESYS;
	if (ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return RMD_ESYS;
	}
	return fd;
}

void rmd_wp_wake_worker(struct rmd_wp_page *page)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&page->worker_waits, memory_order_relaxed) == 0 ||
	    atomic_exchange(&page->worker_waits, 0) == 0)
		return;
	atomic_fetch_add(&page->room, 1);
	(void)syscall(SYS_futex, &page->room, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
