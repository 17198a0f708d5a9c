/* Images: programs whose functions were captured. Asked for by digest, verified while
 * they are copied to where nobody can change them, and looked at by a thread of their
 * own; kept while workers are made of them, and after that as long as there is room. */
#include "worker/agent/image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/base/log.h"

#define SOURCE "agent"
#define IMAGE_MAGIC 0xa6e27005u
/* An answer that does not come is asked for again. */
#define ASK_AGAIN_MS 10000u

enum image_state { WANTED, LOADING, READY, REFUSED };

/* The thread owns `bytes`, `fd`, `facts` and `refusal` while LOADING; the agent's thread
 * everything else, and all of it before and after. */
struct rmd_aimage {
	uint32_t magic;
	enum image_state state;
	struct rmd_agent *agent;
	struct rmd_digest digest;
	char *name; /* owned; NULL: not said yet */
	pthread_t thread;
	bool joinable;
	uint32_t users;
	uint64_t size_bytes;
	uint64_t asked_ms;
	struct rmd_piece bytes;
	int fd; /* sealed memfd; -1: none */
	struct rmd_elf_facts facts;
	struct remuda_error *refusal; /* owned; REFUSED: why */
	TAILQ_ENTRY(rmd_aimage) link; /* used last: first */
};

static struct rmd_aimage *find(const struct rmd_agent *agent,
			       const struct rmd_digest *digest)
{
	struct rmd_aimage *image;
	TAILQ_FOREACH (image, &agent->images, link)
		if (rmd_digest_equal(&image->digest, digest))
			return image;
	return NULL;
}

static void destroy(struct rmd_aimage *image)
{
	RMD_CHECK_OBJ(image, IMAGE_MAGIC);
	struct rmd_agent *agent = image->agent;
	RMD_CHECK(image->users == 0 && image->state != LOADING);
	TAILQ_REMOVE(&agent->images, image, link);
	agent->image_count--;
	agent->image_bytes -= image->size_bytes;
	if (image->fd >= 0)
		close(image->fd);
	rmd_piece_unref(image->bytes);
	remuda_error_free(image->refusal);
	rmd_free(image->name);
	image->magic = 0;
	rmd_free(image);
}

/* Those used least lately go, as long as there are too many or too large ones. */
static void evict(struct rmd_agent *agent)
{
	struct rmd_aimage *image, *previous;
	for (image = TAILQ_LAST(&agent->images, rmd_aimages); image != NULL;
	     image = previous) {
		previous = TAILQ_PREV(image, rmd_aimages, link);
		if (agent->image_bytes <= agent->image_bytes_max &&
		    agent->image_count <= RMD_AGENT_IMAGES_MAX)
			return;
		if (image->users == 0 && image->state != LOADING)
			destroy(image);
	}
}

static void ask(struct rmd_aimage *image)
{
	struct rmd_agent *agent = image->agent;
	image->asked_ms = agent->now_ms;
	if (agent->link == NULL || agent->link_lost)
		return;
	rmd_attach_request_put_image_wanted(rmd_link_begin(agent->link), &image->digest);
	rmd_link_end(agent->link);
}

/* ---- use ---- */

struct rmd_aimage *rmd_aimage_use(struct rmd_agent *agent,
				  const struct rmd_digest *digest)
{
	struct rmd_aimage *image = find(agent, digest);
	if (image != NULL && image->state == REFUSED && image->users == 0) {
		destroy(image); /* here is another try */
		image = NULL;
	}
	if (image == NULL) {
		image = rmd_calloc(1, sizeof *image);
		if (image == NULL)
			return NULL;
		image->magic = IMAGE_MAGIC;
		image->agent = agent;
		image->digest = *digest;
		image->fd = -1;
		TAILQ_INSERT_HEAD(&agent->images, image, link);
		agent->image_count++;
		ask(image);
	}
	TAILQ_REMOVE(&agent->images, image, link);
	TAILQ_INSERT_HEAD(&agent->images, image, link);
	image->users++;
	return image;
}

void rmd_aimage_leave(struct rmd_aimage *image)
{
	RMD_CHECK_OBJ(image, IMAGE_MAGIC);
	RMD_CHECK(image->users > 0);
	image->users--;
	evict(image->agent);
}

bool rmd_aimage_ready(struct rmd_aimage *image)
{
	struct rmd_agent *agent = image->agent;
	if (image->state == WANTED && agent->now_ms - image->asked_ms >= ASK_AGAIN_MS)
		ask(image);
	return image->state == READY;
}

const struct remuda_error *rmd_aimage_refused(const struct rmd_aimage *image)
{
	return image->state == REFUSED ? image->refusal : NULL;
}

const char *rmd_aimage_name(const struct rmd_aimage *image)
{
	return image->name != NULL ? image->name : "?";
}

const struct rmd_digest *rmd_aimage_digest(const struct rmd_aimage *image)
{
	return &image->digest;
}

int rmd_aimage_fd(const struct rmd_aimage *image)
{
	RMD_CHECK(image->state == READY);
	return image->fd;
}

const struct rmd_elf_facts *rmd_aimage_facts(const struct rmd_aimage *image)
{
	RMD_CHECK(image->state == READY);
	return &image->facts;
}

/* ---- loading: on a thread of its own ---- */

static struct remuda_error *system_refusal(const struct rmd_aimage *image,
					   const char *what)
{
	return remuda_error_create("SystemError", "cannot %s the image %s: %s", what,
				   image->name, strerror(errno));
}

/* Copies the bytes to where nobody can change them, then checks what is there. */
static struct remuda_error *keep(struct rmd_aimage *image)
{
	struct rmd_digest digest;
	struct rmd_slice bytes = image->bytes.bytes;
	image->fd = memfd_create(image->name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (image->fd < 0)
		return system_refusal(image, "make a place for");
	while (bytes.len > 0) {
		size_t piece = bytes.len < (1u << 30) ? bytes.len : 1u << 30;
		ssize_t n = write(image->fd, bytes.data, piece);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return system_refusal(image, "keep");
		bytes = rmd_slice_of(bytes.data + n, bytes.len - (size_t)n);
	}
	if (fcntl(image->fd, F_ADD_SEALS,
		  F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0 ||
	    lseek(image->fd, 0, SEEK_SET) < 0 || rmd_digest_of_fd(image->fd, &digest) < 0)
		return system_refusal(image, "seal");
	if (!rmd_digest_equal(&digest, &image->digest))
		return remuda_error_create("DigestMismatch",
					   "the bytes of the image %s are not those of "
					   "its digest",
					   image->name);
	return rmd_elf_check(image->fd, image->name, &image->facts);
}

/* On the agent's thread, after the thread has done its work. */
static void on_loaded(void *arg)
{
	struct rmd_aimage *image = arg;
	struct rmd_agent *agent = image->agent;
	struct rmd_apool *pool;
	RMD_CHECK_OBJ(image, IMAGE_MAGIC);
	if (image->joinable)
		pthread_join(image->thread, NULL);
	image->joinable = false;
	rmd_piece_unref(image->bytes);
	image->bytes = (struct rmd_piece){0};
	image->state = image->refusal == NULL ? READY : REFUSED;
	if (image->state == REFUSED && image->fd >= 0) {
		close(image->fd);
		image->fd = -1;
	}
	LIST_FOREACH (pool, &agent->pool_list, link)
		if (pool->image == image)
			rmd_apool_unbalance(pool);
	evict(agent);
}

static void *load(void *arg)
{
	struct rmd_aimage *image = arg;
	image->refusal = keep(image);
	while (rmd_agent_post(image->agent, on_loaded, image) < 0)
		usleep(10000); /* no memory for a few bytes: somebody will free some */
	return NULL;
}

static void refuse(struct rmd_aimage *image, struct remuda_error *err)
{
	image->refusal = err;
	on_loaded(image);
}

bool rmd_aimage_take(struct rmd_agent *agent, const struct rmd_module_image *said,
		     struct rmd_piece bytes)
{
	struct rmd_aimage *image = find(agent, &said->digest);
	if (image == NULL || image->state != WANTED)
		return false;
	rmd_free(image->name);
	image->name = rmd_strndup((const char *)said->name.data, said->name.len);
	image->bytes = rmd_piece_ref(bytes);
	if (image->name == NULL || bytes.buf == NULL) {
		char hex[RMD_DIGEST_HEX_BYTES];
		rmd_digest_hex(&image->digest, hex);
		refuse(image,
		       image->name == NULL || said->transfer != 0
			       ? remuda_error_create("OutOfMemory", "for an image")
			       : remuda_error_create(
					 "ImageMissing",
					 "the coordinator has the image %s no more: "
					 "submit again, which sends it again",
					 hex));
		return true;
	}
	image->size_bytes = bytes.bytes.len;
	agent->image_bytes += image->size_bytes;
	image->state = LOADING;
	image->joinable = true;
	if (pthread_create(&image->thread, NULL, load, image) != 0) {
		image->joinable = false;
		refuse(image,
		       remuda_error_create("SystemError", "no thread for an image"));
	}
	return true;
}

void rmd_aimage_join_all(struct rmd_agent *agent)
{
	struct rmd_aimage *image;
	TAILQ_FOREACH (image, &agent->images, link) {
		if (image->joinable)
			pthread_join(image->thread, NULL);
		image->joinable = false;
	}
}

void rmd_aimage_free_all(struct rmd_agent *agent)
{
	struct rmd_aimage *image;
	while ((image = TAILQ_FIRST(&agent->images)) != NULL)
		destroy(image);
}
