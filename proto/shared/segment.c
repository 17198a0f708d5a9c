#include "proto/shared/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "proto/base/errcode.h"

/* Its size can never change, nor can this be undone. Writing is not sealed: the seal
 * that would do that forbids to punch holes too, and memory could not be given back. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int map(int fd, uint64_t bytes, enum rmd_segment_access access,
	       struct rmd_segment *ret_segment)
{
	int protection = access == RMD_SEGMENT_WRITE ? PROT_READ | PROT_WRITE : PROT_READ;
	void *base = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return RMD_ESYS;
	(void)madvise(base, bytes, MADV_DONTDUMP);
	*ret_segment = (struct rmd_segment){base, bytes};
	return 0;
}

/* Another descriptor of the file, which can only read. */
static int reopen_read_only(int fd)
{
	char path[32];
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int rmd_segment_create(uint64_t bytes, enum rmd_segment_access access,
		       struct rmd_segment *ret_segment, int *ret_fd)
{
	struct rmd_segment segment = {0};
	int peer_fd = -1, rc = RMD_ESYS, saved;
	int fd = memfd_create("remuda-shared", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, SEALS) < 0 || map(fd, bytes, access, &segment) < 0)
		goto out;
	if (access == RMD_SEGMENT_WRITE) {
		peer_fd = reopen_read_only(fd);
		/* Who has that one opens no other by way of /proc without going out of
		 * its way. */
		if (peer_fd < 0 || fchmod(fd, 0) < 0)
			goto out;
	} else {
		peer_fd = fd;
		fd = -1;
	}
	*ret_segment = segment;
	*ret_fd = peer_fd;
	segment = (struct rmd_segment){0};
	peer_fd = -1;
	rc = 0;
out:
	saved = errno;
	rmd_segment_fini(&segment);
	if (fd >= 0)
		close(fd);
	if (peer_fd >= 0)
		close(peer_fd);
	errno = saved;
	return rc;
}

/* Only memory, of small pages and a size that stays: reading or writing it can then
 * never wait for anybody, nor end in SIGBUS. */
static int check(int fd, uint64_t *ret_bytes)
{
	struct stat st;
	struct statfs fs;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS)
		return RMD_EPROTO;
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return RMD_ESYS;
	if (!S_ISREG(st.st_mode) || fs.f_type != TMPFS_MAGIC)
		return RMD_EPROTO;
	uint64_t bytes = (uint64_t)st.st_size;
	if (bytes < RMD_SEGMENT_MIN_BYTES || bytes > RMD_SEGMENT_MAX_BYTES ||
	    bytes % RMD_SEGMENT_HEAD_BYTES != 0)
		return RMD_EPROTO;
	*ret_bytes = bytes;
	return 0;
}

int rmd_segment_adopt(int fd, enum rmd_segment_access access,
		      struct rmd_segment *ret_segment)
{
	uint64_t bytes;
	int rc = check(fd, &bytes);
	return rc < 0 ? rc : map(fd, bytes, access, ret_segment);
}

void rmd_segment_fini(struct rmd_segment *segment)
{
	if (segment->base != NULL)
		munmap(segment->base, segment->bytes);
	*segment = (struct rmd_segment){0};
}

void rmd_segment_discard(const struct rmd_segment *segment, uint64_t offset,
			 uint64_t bytes)
{
	(void)madvise(segment->base + offset, bytes, MADV_REMOVE);
}
