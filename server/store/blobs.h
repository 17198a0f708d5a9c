/* server/store/blobs.h: bytes named by their SHA-256, in memory, bounded.
 *
 * A blob lives while somebody holds it, or for its time to live after it was put,
 * found or held last. Uploads are charged to the same budget from their first byte.
 * Loop's thread; hashing runs as a job. */
#pragma once

#include <stdbool.h>

#include "proto/base/digest.h"
#include "proto/task/module_file.h"
#include "server/store/jobs.h"

/* Largest blob. */
#define RMD_BLOB_BYTES_MAX (UINT64_C(1) << 30)

struct rmd_blobs;

struct rmd_blob {                    /* read-only for others */
	struct rmd_digest digest;
	struct rmd_piece bytes;
	char *name;                  /* for people; "" if none */
	bool module;
	struct rmd_module_facts facts; /* of a module */
	uint64_t pushed;             /* modules: a later push has a larger number; 0: none */
	uint32_t holders;
	uint64_t expires_ms;
	struct rmd_blob *next;
};

/* `budget_bytes`: of all blobs and uploads together. NULL: out of memory. */
struct rmd_blobs *rmd_blobs_create(struct rmd_jobs *jobs, uint64_t budget_bytes, uint64_t ttl_ms);
void rmd_blobs_destroy(struct rmd_blobs *blobs);
/* The blob, its life renewed, or NULL. Borrowed until the loop's next event unless
 * held. */
struct rmd_blob *rmd_blobs_find(struct rmd_blobs *blobs, const struct rmd_digest *digest,
				uint64_t now_ms);
void rmd_blobs_hold(struct rmd_blobs *blobs, struct rmd_blob *blob);
void rmd_blobs_release(struct rmd_blobs *blobs, struct rmd_blob *blob, uint64_t now_ms);
/* The module is from now on the newest of its prefix. */
void rmd_blobs_push_module(struct rmd_blobs *blobs, struct rmd_blob *blob);
/* It is a module no more, only bytes. */
void rmd_blobs_drop_module(struct rmd_blobs *blobs, struct rmd_blob *blob);
/* Whether it is a module, and the newest of its prefix. */
bool rmd_blobs_module_newest(const struct rmd_blobs *blobs, const struct rmd_blob *blob);
/* All blobs, newest first: blob->next. NULL: none. */
struct rmd_blob *rmd_blobs_first(struct rmd_blobs *blobs);
/* Drops what has outlived its time; gives when to call again, 0: nothing waits. */
uint64_t rmd_blobs_tick(struct rmd_blobs *blobs, uint64_t now_ms);

struct rmd_upload;

/* What comes of an upload: 0 and the blob; RMD_EINVAL: another digest than announced;
 * RMD_EPROTO: announced as a module and is none, `why` says it (a static text); RMD_ENOMEM. */
typedef void rmd_upload_done(void *ctx, int rc, const char *why, struct rmd_blob *blob,
			     bool existed);

/* Begins an upload of `size_bytes`; `name` is copied. RMD_ETOOBIG: over
 * RMD_BLOB_BYTES_MAX; RMD_ELIMIT: over the budget; RMD_ENOMEM. */
int rmd_upload_begin(struct rmd_blobs *blobs, const struct rmd_digest *digest, uint64_t size_bytes,
		     struct rmd_slice name, bool module, struct rmd_upload **ret_upload);
/* Appends bytes. RMD_ERANGE: more than announced. */
int rmd_upload_append(struct rmd_upload *upload, struct rmd_slice bytes);
/* All bytes are there: verifies (as a job), then calls `done` once. Ends `upload`.
 * RMD_ETRUNC: fewer bytes than announced: `done` is not called and the upload is still
 * the caller's. */
int rmd_upload_finish(struct rmd_upload *upload, uint64_t now_ms, rmd_upload_done *done, void *ctx);
/* Gives it up; NULL is allowed. */
void rmd_upload_abort(struct rmd_upload *upload);
