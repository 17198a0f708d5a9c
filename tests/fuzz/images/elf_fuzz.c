/* An image that somebody captured: an agent reads its headers before it starts it. */
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/error/chain.h"
#include "worker/agent/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rmd_elf_facts facts;
	int fd = memfd_create("image", MFD_CLOEXEC);
	RMD_CHECK(fd >= 0);
	RMD_CHECK(size == 0 || write(fd, data, size) == (ssize_t)size);
	remuda_error_free(rmd_elf_check(fd, "image", &facts));
	close(fd);
	return 0;
}
