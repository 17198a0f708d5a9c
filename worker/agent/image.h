/* worker/agent/image.h: images of captured programs, and the parts of pools that run
 * them.
 *
 * A lease with a capture goes to a part of its pool: a queue with workers of its own,
 * which are that image. A pool and its parts have as many workers together as the
 * coordinator wants for the pool. Agent's thread, but for rmd_elf_check. */
#pragma once

#include "worker/agent/elf.h"
#include "worker/agent/state.h"

/* Images kept at a time, in use or not. */
#define RMD_AGENT_IMAGES_MAX 1024u
/* Bytes of images that are kept while nobody uses them, unless told otherwise. */
#define RMD_AGENT_IMAGE_BYTES_MAX (UINT64_C(1) << 30)
/* Images that a pool runs at a time. */
#define RMD_AGENT_PARTS_MAX 64u

/* ---- image.c ---- */

/* Gives the image of that digest, with one use of it; asks the coordinator for it where
 * it is not here. NULL: out of memory. */
struct rmd_aimage *rmd_aimage_use(struct rmd_agent *agent,
				  const struct rmd_digest *digest);
/* Ends one use. */
void rmd_aimage_leave(struct rmd_aimage *image);
/* Workers can be made of it. Asks again where no answer has come for long. */
bool rmd_aimage_ready(struct rmd_aimage *image);
/* Why none ever can, borrowed; NULL: they can, or that is not known yet. */
const struct remuda_error *rmd_aimage_refused(const struct rmd_aimage *image);
/* Its name for people, borrowed. */
const char *rmd_aimage_name(const struct rmd_aimage *image);
const struct rmd_digest *rmd_aimage_digest(const struct rmd_aimage *image);
/* Its sealed memfd, and what is known of it; borrowed. Only when ready. */
int rmd_aimage_fd(const struct rmd_aimage *image);
const struct rmd_elf_facts *rmd_aimage_facts(const struct rmd_aimage *image);
/* The coordinator has sent an image (transfer 0: it has none; `bytes` is empty then):
 * true; false: it is none that was asked for. References `bytes`. */
bool rmd_aimage_take(struct rmd_agent *agent, const struct rmd_module_image *said,
		     struct rmd_piece bytes);
/* At the end, as for modules. */
void rmd_aimage_join_all(struct rmd_agent *agent);
void rmd_aimage_free_all(struct rmd_agent *agent);

/* ---- part.c ---- */

/* Moves a new lease that has a capture to the part of its pool that runs its image.
 * False: the lease has ended with an error. */
bool rmd_apart_sort(struct rmd_alease *lease);
/* Shares the workers that the coordinator wants of a pool between it and its parts. */
void rmd_apart_share(struct rmd_apool *pool);
/* False: workers of this part cannot be started (yet): its image is not here. */
bool rmd_apart_here(struct rmd_apool *pool);
/* A worker of the part could not be started, for `err` (takes): after several in a row
 * its queued leases fail. */
void rmd_apart_start_failed(struct rmd_apool *part, struct remuda_error *err);
/* Ends the part if nothing is left of it: true. */
bool rmd_apart_end(struct rmd_apool *part);
/* What the coordinator said of the pool holds for its parts. */
void rmd_apart_follow(struct rmd_apool *pool);

/* The pool that it is a part of, or itself. */
static inline struct rmd_apool *rmd_apart_whole(struct rmd_apool *pool)
{
	return pool->whole != NULL ? pool->whole : pool;
}

/* Walks a pool and its parts: `at` starts as the pool; NULL ends. */
static inline struct rmd_apool *rmd_apart_next(struct rmd_apool *at)
{
	return at->whole == NULL ? LIST_FIRST(&at->parts) : LIST_NEXT(at, part_link);
}
