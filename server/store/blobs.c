#include "server/store/blobs.h"

#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/base/map.h"

#define BLOBS_MAGIC  0xb10b5001u
#define UPLOAD_MAGIC 0x0b10ad01u

struct rmd_blobs {
	uint32_t magic;
	struct rmd_jobs *jobs;
	uint64_t budget_bytes, used_bytes, ttl_ms;
	struct rmd_blob *first;
	uint64_t pushes;             /* of modules, so far */
	struct rmd_map by_digest;    /* key: the digest's first 8 bytes; equal ones are refused */
};

struct rmd_upload {
	uint32_t magic;
	struct rmd_blobs *blobs;
	struct rmd_digest announced, found;
	struct rmd_buf *buf;
	uint64_t got_bytes, now_ms;
	char *name;
	bool module;
	struct rmd_module_facts facts;
	const char *why;
	int rc;
	rmd_upload_done *done;
	void *ctx;
	struct rmd_job job;
};

static uint64_t key_of(const struct rmd_digest *digest)
{
	uint64_t key;
	memcpy(&key, digest->bytes, sizeof key);
	return key;
}

struct rmd_blobs *rmd_blobs_create(struct rmd_jobs *jobs, uint64_t budget_bytes, uint64_t ttl_ms)
{
	struct rmd_blobs *blobs = rmd_calloc(1, sizeof *blobs);
	if (blobs == NULL)
		return NULL;
	blobs->magic = BLOBS_MAGIC;
	blobs->jobs = jobs;
	blobs->budget_bytes = budget_bytes;
	blobs->ttl_ms = ttl_ms;
	rmd_map_init(&blobs->by_digest, 0);
	return blobs;
}

static void blob_free(struct rmd_blobs *blobs, struct rmd_blob *blob)
{
	blobs->used_bytes -= blob->bytes.bytes.len;
	rmd_piece_unref(blob->bytes);
	rmd_free(blob->name);
	rmd_free(blob);
}

void rmd_blobs_destroy(struct rmd_blobs *blobs)
{
	if (blobs == NULL)
		return;
	RMD_CHECK_OBJ(blobs, BLOBS_MAGIC);
	while (blobs->first != NULL) {
		struct rmd_blob *blob = blobs->first;
		blobs->first = blob->next;
		blob_free(blobs, blob);
	}
	rmd_map_fini(&blobs->by_digest);
	blobs->magic = 0;
	rmd_free(blobs);
}

struct rmd_blob *rmd_blobs_find(struct rmd_blobs *blobs, const struct rmd_digest *digest,
				uint64_t now_ms)
{
	RMD_CHECK_OBJ(blobs, BLOBS_MAGIC);
	struct rmd_blob *blob = rmd_map_get(&blobs->by_digest, key_of(digest));
	if (blob == NULL || !rmd_digest_equal(&blob->digest, digest))
		return NULL;
	blob->expires_ms = now_ms + blobs->ttl_ms;
	return blob;
}

void rmd_blobs_hold(struct rmd_blobs *blobs, struct rmd_blob *blob)
{
	RMD_CHECK_OBJ(blobs, BLOBS_MAGIC);
	blob->holders++;
}

void rmd_blobs_release(struct rmd_blobs *blobs, struct rmd_blob *blob, uint64_t now_ms)
{
	RMD_CHECK_OBJ(blobs, BLOBS_MAGIC);
	RMD_CHECK(blob->holders > 0);
	blob->holders--;
	blob->expires_ms = now_ms + blobs->ttl_ms;
}

void rmd_blobs_push_module(struct rmd_blobs *blobs, struct rmd_blob *blob)
{
	RMD_CHECK_OBJ(blobs, BLOBS_MAGIC);
	RMD_CHECK(blob->module);
	blob->pushed = ++blobs->pushes;
}

void rmd_blobs_drop_module(struct rmd_blobs *blobs, struct rmd_blob *blob)
{
	RMD_CHECK_OBJ(blobs, BLOBS_MAGIC);
	blob->module = false;
	blob->pushed = 0;
}

bool rmd_blobs_module_newest(const struct rmd_blobs *blobs, const struct rmd_blob *blob)
{
	RMD_CHECK_OBJ(blobs, BLOBS_MAGIC);
	for (const struct rmd_blob *other = blobs->first; other != NULL; other = other->next)
		if (other->module && other->pushed > blob->pushed &&
		    strcmp(other->facts.prefix, blob->facts.prefix) == 0)
			return false;
	return blob->module && blob->pushed != 0;
}

struct rmd_blob *rmd_blobs_first(struct rmd_blobs *blobs)
{
	RMD_CHECK_OBJ(blobs, BLOBS_MAGIC);
	return blobs->first;
}

uint64_t rmd_blobs_tick(struct rmd_blobs *blobs, uint64_t now_ms)
{
	RMD_CHECK_OBJ(blobs, BLOBS_MAGIC);
	uint64_t next_ms = 0;
	for (struct rmd_blob **at = &blobs->first; *at != NULL;) {
		struct rmd_blob *blob = *at;
		if (blob->holders == 0 && blob->expires_ms <= now_ms) {
			*at = blob->next;
			rmd_map_take(&blobs->by_digest, key_of(&blob->digest));
			blob_free(blobs, blob);
			continue;
		}
		uint64_t due_ms = blob->holders == 0 ? blob->expires_ms : now_ms + blobs->ttl_ms;
		if (next_ms == 0 || due_ms < next_ms)
			next_ms = due_ms;
		at = &blob->next;
	}
	return next_ms;
}

int rmd_upload_begin(struct rmd_blobs *blobs, const struct rmd_digest *digest, uint64_t size_bytes,
		     struct rmd_slice name, bool module, struct rmd_upload **ret_upload)
{
	RMD_CHECK_OBJ(blobs, BLOBS_MAGIC);
	if (size_bytes > RMD_BLOB_BYTES_MAX)
		return RMD_ETOOBIG;
	if (size_bytes > blobs->budget_bytes - blobs->used_bytes)
		return RMD_ELIMIT;
	struct rmd_upload *upload = rmd_calloc(1, sizeof *upload);
	if (upload == NULL)
		return RMD_ENOMEM;
	upload->magic = UPLOAD_MAGIC;
	upload->blobs = blobs;
	upload->announced = *digest;
	upload->module = module;
	upload->buf = rmd_buf_create((size_t)size_bytes);
	upload->name = rmd_strndup((const char *)name.data, name.len);
	if (upload->buf == NULL || upload->name == NULL) {
		rmd_buf_unref(upload->buf);
		rmd_free(upload->name);
		rmd_free(upload);
		return RMD_ENOMEM;
	}
	blobs->used_bytes += size_bytes;
	*ret_upload = upload;
	return 0;
}

int rmd_upload_append(struct rmd_upload *upload, struct rmd_slice bytes)
{
	RMD_CHECK_OBJ(upload, UPLOAD_MAGIC);
	if (bytes.len > rmd_buf_slice(upload->buf).len - upload->got_bytes)
		return RMD_ERANGE;
	if (bytes.len != 0)
		memcpy(rmd_buf_writable(upload->buf) + upload->got_bytes, bytes.data, bytes.len);
	upload->got_bytes += bytes.len;
	return 0;
}

void rmd_upload_abort(struct rmd_upload *upload)
{
	if (upload == NULL)
		return;
	RMD_CHECK_OBJ(upload, UPLOAD_MAGIC);
	if (upload->buf != NULL)
		upload->blobs->used_bytes -= rmd_buf_slice(upload->buf).len;
	rmd_buf_unref(upload->buf);
	rmd_free(upload->name);
	upload->magic = 0;
	rmd_free(upload);
}

static void verify(struct rmd_job *job)
{
	struct rmd_upload *upload =
		(struct rmd_upload *)((char *)job - offsetof(struct rmd_upload, job));
	upload->rc = rmd_digest_of(rmd_buf_slice(upload->buf), &upload->found);
	if (upload->rc == 0 && !rmd_digest_equal(&upload->announced, &upload->found))
		upload->rc = RMD_EINVAL;
	if (upload->rc == 0 && upload->module)
		upload->rc = rmd_module_file_read(rmd_buf_slice(upload->buf), &upload->facts,
						  &upload->why);
}

/* Makes the verified upload a blob: takes its buf and name. */
static int store(struct rmd_upload *upload, struct rmd_blob **ret_blob)
{
	struct rmd_blobs *blobs = upload->blobs;
	struct rmd_blob *blob = rmd_calloc(1, sizeof *blob);
	if (blob == NULL)
		return RMD_ENOMEM;
	*blob = (struct rmd_blob){.digest = upload->found,
				  .bytes = {rmd_buf_slice(upload->buf), upload->buf},
				  .name = upload->name,
				  .module = upload->module,
				  .facts = upload->facts,
				  .expires_ms = upload->now_ms + blobs->ttl_ms,
				  .next = blobs->first};
	int rc = rmd_map_put(&blobs->by_digest, key_of(&blob->digest), blob);
	if (rc < 0) {
		rmd_free(blob);
		return rc;
	}
	blobs->first = blob;
	upload->buf = NULL;
	upload->name = NULL;
	*ret_blob = blob;
	return 0;
}

static void verified(struct rmd_job *job)
{
	struct rmd_upload *upload =
		(struct rmd_upload *)((char *)job - offsetof(struct rmd_upload, job));
	RMD_CHECK_OBJ(upload, UPLOAD_MAGIC);
	int rc = upload->rc;
	bool existed = false;
	struct rmd_blob *blob = NULL;
	if (rc == 0) {
		blob = rmd_blobs_find(upload->blobs, &upload->found, upload->now_ms);
		existed = blob != NULL;
		if (existed && upload->module) {
			blob->module = true;
			blob->facts = upload->facts;
		}
		if (!existed)
			rc = store(upload, &blob);
	}
	upload->done(upload->ctx, rc, upload->why, blob, existed);
	rmd_upload_abort(upload);    /* what store() took is not in it any more */
}

int rmd_upload_finish(struct rmd_upload *upload, uint64_t now_ms, rmd_upload_done *done, void *ctx)
{
	RMD_CHECK_OBJ(upload, UPLOAD_MAGIC);
	if (upload->got_bytes != rmd_buf_slice(upload->buf).len)
		return RMD_ETRUNC;
	upload->now_ms = now_ms;
	upload->done = done;
	upload->ctx = ctx;
	upload->job.work = verify;
	upload->job.done = verified;
	rmd_jobs_submit(upload->blobs->jobs, &upload->job);
	return 0;
}
