#include "worker/protocol/inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "worker/protocol/page.h"

#define ALIGNMENT 64u

/* A read-only descriptor of the file of `fd`: one that came from the same open could
 * write. */
static int reopen_read_only(int fd)
{
	char path[32];
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int rmd_wp_inputs_init(struct rmd_wp_inputs *inputs, uint64_t size)
{
	*inputs = (struct rmd_wp_inputs){.worker_fd = -1, .size = size};
	int fd = rmd_wp_memfd("remuda-input", size);
	if (fd < 0)
		return RMD_ESYS;
	int rc = RMD_ESYS;
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		goto out;
	inputs->base = base;
	(void)madvise(base, size, MADV_DONTDUMP);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0)
		goto out;
	inputs->worker_fd = reopen_read_only(fd);
	if (inputs->worker_fd >= 0)
		rc = 0;
out:;
	int saved = errno;
	close(fd);
	errno = saved;
	return rc;
}

void rmd_wp_inputs_fini(struct rmd_wp_inputs *inputs)
{
	if (inputs->base != NULL)
		munmap(inputs->base, inputs->size);
	if (inputs->worker_fd >= 0)
		close(inputs->worker_fd);
	*inputs = (struct rmd_wp_inputs){.worker_fd = -1};
}

int rmd_wp_inputs_put(struct rmd_wp_inputs *inputs, struct rmd_slice bytes,
		      struct rmd_wp_extent *ret_extent)
{
	if (bytes.len > inputs->size)
		return RMD_ETOOBIG;
	RMD_CHECK(bytes.len > 0 && inputs->count < RMD_WP_INPUTS_MAX);
	uint64_t at = 0; /* aligned, as all offsets are: never beyond the next piece */
	uint32_t i = 0;
	for (; i < inputs->count; i++) {
		if (inputs->live[i].offset - at >= bytes.len)
			break;
		at = (inputs->live[i].offset + inputs->live[i].len + ALIGNMENT - 1) &
		     ~(uint64_t)(ALIGNMENT - 1);
		if (at > inputs->size)
			return RMD_EAGAIN;
	}
	if (i == inputs->count && inputs->size - at < bytes.len)
		return RMD_EAGAIN;
	memmove(&inputs->live[i + 1], &inputs->live[i],
		(inputs->count - i) * sizeof inputs->live[0]);
	inputs->live[i] = (struct rmd_wp_extent){at, bytes.len};
	inputs->count++;
	memcpy(inputs->base + at, bytes.data, bytes.len);
	if (at + bytes.len > inputs->touched_bytes)
		inputs->touched_bytes = at + bytes.len;
	*ret_extent = inputs->live[i];
	return 0;
}

void rmd_wp_inputs_drop(struct rmd_wp_inputs *inputs, struct rmd_wp_extent extent)
{
	uint32_t low = 0, high = inputs->count;
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (inputs->live[middle].offset < extent.offset)
			low = middle + 1;
		else
			high = middle;
	}
	RMD_CHECK(low < inputs->count && inputs->live[low].offset == extent.offset);
	inputs->count--;
	memmove(&inputs->live[low], &inputs->live[low + 1],
		(inputs->count - low) * sizeof inputs->live[0]);
}
