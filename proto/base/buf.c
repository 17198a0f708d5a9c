#include "proto/base/buf.h"

#include <stdatomic.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"

#define BUF_MAGIC 0xb0fb0f01u

struct rmd_buf {
	uint32_t magic;
	atomic_uint refs;
	struct rmd_slice bytes;
	rmd_buf_release *release;    /* NULL: the bytes follow the struct */
	void *owner;
};

static struct rmd_buf *buf_new(size_t extra)
{
	if (extra > SIZE_MAX / 2)
		return NULL;
	struct rmd_buf *buf = rmd_malloc(sizeof *buf + extra);
	if (buf == NULL)
		return NULL;
	*buf = (struct rmd_buf){.magic = BUF_MAGIC, .refs = 1};
	return buf;
}

struct rmd_buf *rmd_buf_create(size_t len)
{
	struct rmd_buf *buf = buf_new(len);
	if (buf != NULL)
		buf->bytes = rmd_slice_of(buf + 1, len);
	return buf;
}

struct rmd_buf *rmd_buf_copy(struct rmd_slice bytes)
{
	struct rmd_buf *buf = rmd_buf_create(bytes.len);
	if (buf != NULL && bytes.len != 0)
		memcpy(buf + 1, bytes.data, bytes.len);
	return buf;
}

struct rmd_buf *rmd_buf_wrap(struct rmd_slice bytes, rmd_buf_release *release, void *owner)
{
	RMD_CHECK(release != NULL);
	struct rmd_buf *buf = buf_new(0);
	if (buf == NULL)
		return NULL;
	buf->bytes = bytes;
	buf->release = release;
	buf->owner = owner;
	return buf;
}

struct rmd_buf *rmd_buf_ref(struct rmd_buf *buf)
{
	RMD_CHECK_OBJ(buf, BUF_MAGIC);
	atomic_fetch_add_explicit(&buf->refs, 1, memory_order_relaxed);
	return buf;
}

void rmd_buf_unref(struct rmd_buf *buf)
{
	if (buf == NULL)
		return;
	RMD_CHECK_OBJ(buf, BUF_MAGIC);
	if (atomic_fetch_sub_explicit(&buf->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (buf->release != NULL)
		buf->release(buf->owner);
	buf->magic = 0;
	rmd_free(buf);
}

struct rmd_slice rmd_buf_slice(const struct rmd_buf *buf)
{
	RMD_CHECK_OBJ(buf, BUF_MAGIC);
	return buf->bytes;
}

uint8_t *rmd_buf_writable(struct rmd_buf *buf)
{
	RMD_CHECK_OBJ(buf, BUF_MAGIC);
	RMD_CHECK(buf->release == NULL);
	return (uint8_t *)(buf + 1);
}

void rmd_buf_truncate(struct rmd_buf *buf, size_t len)
{
	RMD_CHECK_OBJ(buf, BUF_MAGIC);
	RMD_CHECK(len <= buf->bytes.len);
	buf->bytes.len = len;
}
