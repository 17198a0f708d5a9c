/* proto/shared/segment.h: one segment of memory that two processes map, and its file.
 *
 * A memfd whose size is sealed, so that no mapping of it can ever fault at its end. One
 * side writes it, the other maps it read-only, through a descriptor that cannot write. It
 * is sparse: what was never written takes no memory. Its first page holds marks (see
 * shared.h), places begin behind it. A descriptor that a peer sent is checked before it
 * is mapped: it must be such a file. Any thread. */
#pragma once

#include <stdint.h>

#define RMD_SEGMENT_HEAD_BYTES 4096u
#define RMD_SEGMENT_MIN_BYTES (UINT64_C(64) << 10)
#define RMD_SEGMENT_MAX_BYTES ((UINT64_C(1) << 30) + RMD_SEGMENT_HEAD_BYTES)

enum rmd_segment_access { RMD_SEGMENT_READ, RMD_SEGMENT_WRITE };

struct rmd_segment {
	uint8_t *base;               /* NULL: none. Written only with RMD_SEGMENT_WRITE */
	uint64_t bytes;              /* of the mapping */
};

/* Makes a segment of `bytes` (a multiple of the page), maps it with `access`, and gives a
 * descriptor of it for the peer, which has the other access. RMD_ESYS: see errno. */
int rmd_segment_create(uint64_t bytes, enum rmd_segment_access access,
		       struct rmd_segment *ret_segment, int *ret_fd);
/* Checks and maps the file that a peer sent; `fd` stays the caller's. RMD_EPROTO: it is no
 * memory of ours to trust: not a sealed file of memory, or of a size that no segment has.
 * RMD_ESYS. */
int rmd_segment_adopt(int fd, enum rmd_segment_access access,
		      struct rmd_segment *ret_segment);
/* Unmaps; an empty one is allowed. */
void rmd_segment_fini(struct rmd_segment *segment);
/* Gives memory within a segment that we write back to the system; it reads as zeros
 * then. Whole pages. */
void rmd_segment_discard(const struct rmd_segment *segment, uint64_t offset,
			 uint64_t bytes);
