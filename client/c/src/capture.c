/* Capturing: from the address of a descriptor to its image, digest and place. */
#include "client/c/src/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/c/src/blob.h"
#include "proto/base/alloc.h"
#include "proto/base/clock.h"
#include "proto/base/errcode.h"
#include "proto/error/chain.h"

#define IMAGE_MAX_BYTES (UINT64_C(1) << 30)
/* An image that was sent is asked for again after so long: the coordinator keeps it. */
#define KNOWN_MS 30000u
#define KNOWN_MAX 256u
#define NAME_MAX_BYTES 128u
#define PATH_BYTES 4096

/* An image of this process: read once, kept for ever. */
struct image {
	struct image *next;
	uintptr_t base;
	char *path; /* "" for the program itself; owned */
	char *name; /* owned */
	struct rmd_digest digest;
	uint64_t size_bytes;
};

static pthread_mutex_t images_lock = PTHREAD_MUTEX_INITIALIZER;
static struct image *images;

/* What a client's coordinator has. */
struct rmd_client_images {
	pthread_mutex_t lock; /* held while one is sent: others wait for it */
	size_t count;
	struct {
		struct rmd_digest digest;
		uint64_t known_ms;
	} items[KNOWN_MAX];
};

/* ---- which image ---- */

struct search {
	uintptr_t address;
	unsigned index; /* of those visited */
	uintptr_t base;
	bool program, interpreted;
	char path[PATH_BYTES];
};

static int visit(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *search = arg;
	bool mine = false, interpreted = false;
	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uintptr_t begin = info->dlpi_addr + segment->p_vaddr;
		interpreted = interpreted || segment->p_type == PT_INTERP;
		mine = mine || (segment->p_type == PT_LOAD && search->address >= begin &&
				search->address - begin < segment->p_memsz);
	}
	search->program = search->index++ == 0;
	if (!mine)
		return 0;
	search->base = info->dlpi_addr;
	search->interpreted = interpreted;
	if (!search->program)
		snprintf(search->path, sizeof search->path, "%s", info->dlpi_name);
	return 1;
}

static struct remuda_error *refused(const struct remuda_task *task, const char *why)
{
	return remuda_error_create("CaptureError", "%s (%s:%u) cannot be captured: %s",
				   task->name, task->file, (unsigned)task->line, why);
}

static struct remuda_error *find_image(const struct remuda_task *task,
				       struct search *search)
{
	*search = (struct search){.address = (uintptr_t)task};
	if (task->thunk == NULL)
		return refused(
			task,
			"it is only declared here (REMUDA_TASK_IN): it goes by name");
	if (getauxval(AT_SECURE) != 0)
		return refused(task, "this program runs with more rights than its user "
				     "(setuid): put the function into a module");
	if (dl_iterate_phdr(visit, search) == 0)
		return refused(task,
			       "it lies in no program or library that is mapped from a "
			       "file");
	if (search->program && !search->interpreted)
		return refused(task, "this program is linked statically: link it without "
				     "-static");
	return NULL;
}

/* ---- its bytes ---- */

static int open_image(const struct image *image)
{
	return open(image->path[0] == '\0' ? "/proc/self/exe" : image->path,
		    O_RDONLY | O_CLOEXEC);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash == NULL ? path : slash + 1;
}

/* A name of [A-Za-z0-9_.-], to be part of a function's. */
static char *name_of(const struct search *search)
{
	const char *from = search->program ? program_invocation_short_name
					   : base_name(search->path);
	char *name = rmd_strndup(from, strnlen(from, NAME_MAX_BYTES));
	for (char *at = name; at != NULL && *at != '\0'; at++)
		if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
		      (*at >= '0' && *at <= '9') || strchr("_.-", *at) != NULL))
			*at = '_';
	return name;
}

static void image_free(struct image *image)
{
	if (image != NULL) {
		rmd_free(image->path);
		rmd_free(image->name);
	}
	rmd_free(image);
}

static struct remuda_error *not_readable(const struct remuda_task *task,
					 const struct image *image, const char *why)
{
	char text[512];
	snprintf(text, sizeof text, "its image %s cannot be read: %s",
		 image->path[0] == '\0' ? "/proc/self/exe" : image->path, why);
	return refused(task, text);
}

static struct remuda_error *read_image(const struct remuda_task *task,
				       struct image *image)
{
	struct stat st;
	struct remuda_error *err = NULL;
	int fd = open_image(image);
	if (fd < 0)
		return not_readable(task, image, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
		err = not_readable(task, image, "it is no regular file");
	else if ((uint64_t)st.st_size > IMAGE_MAX_BYTES)
		err = not_readable(
			task, image,
			"it is larger than 1 GiB: strip it (strip --strip-debug)");
	else if (rmd_digest_of_fd(fd, &image->digest) < 0)
		err = not_readable(task, image, strerror(errno));
	else
		image->size_bytes = (uint64_t)st.st_size;
	close(fd);
	return err;
}

/* The image of `search`, read the first time. images_lock is held. */
static struct remuda_error *image_of(const struct remuda_task *task,
				     const struct search *search,
				     struct image **ret_image)
{
	for (struct image *at = images; at != NULL; at = at->next)
		if (at->base == search->base && strcmp(at->path, search->path) == 0) {
			*ret_image = at;
			return NULL;
		}
	struct remuda_error *err = NULL;
	struct image *image = rmd_calloc(1, sizeof *image);
	if (image != NULL) {
		image->base = search->base;
		image->path = rmd_strdup(search->path);
		image->name = name_of(search);
	}
	if (image == NULL || image->path == NULL || image->name == NULL)
		err = remuda_error_create("OutOfMemory", "for an image");
	else
		err = read_image(task, image);
	if (err != NULL) {
		image_free(image);
		return err;
	}
	image->next = images;
	images = image;
	*ret_image = image;
	return NULL;
}

/* ---- sending ---- */

static struct rmd_client_images *known_of(struct remuda *client)
{
	struct rmd_client_images *known = atomic_load(&client->images);
	if (known != NULL)
		return known;
	struct rmd_client_images *fresh = rmd_calloc(1, sizeof *fresh);
	if (fresh == NULL || pthread_mutex_init(&fresh->lock, NULL) != 0) {
		rmd_free(fresh);
		return NULL;
	}
	if (atomic_compare_exchange_strong(&client->images, &known, fresh))
		return fresh;
	pthread_mutex_destroy(&fresh->lock);
	rmd_free(fresh);
	return known;
}

void rmd_capture_forget(struct remuda *client)
{
	struct rmd_client_images *known = atomic_load(&client->images);
	if (known == NULL)
		return;
	pthread_mutex_destroy(&known->lock);
	rmd_free(known);
}

/* Sends the image if the coordinator lacks it. `known->lock` is held. */
static struct remuda_error *send_image(struct remuda *client, const struct image *image)
{
	struct remuda_error *err = NULL;
	if (rmd_client_is_here(client))
		return remuda_error_create(
			"WrongThread",
			"a callback on the client's thread cannot wait until the program "
			"is "
			"sent: submit one of its functions from another thread before");
	struct rmd_blob_file file = {
		.fd = open_image(image),
		.name = image->name,
		.purpose = "image",
		.size_bytes = image->size_bytes,
		.digest = image->digest,
	};
	if (file.fd < 0)
		return remuda_error_create("SystemError", "cannot open the image %s: %s",
					   image->name, strerror(errno));
	if (rmd_blob_push(client, &file, &err) < 0 && err == NULL)
		err = remuda_error_create("OutOfMemory", "for an image");
	close(file.fd);
	return err;
}

static struct remuda_error *ensure_sent(struct remuda *client, const struct image *image)
{
	struct rmd_client_images *known = known_of(client);
	struct remuda_error *err = NULL;
	uint64_t now_ms = rmd_clock_mono_ms();
	size_t i = 0;
	if (known == NULL)
		return remuda_error_create("OutOfMemory", "for an image");
	pthread_mutex_lock(&known->lock);
	while (i < known->count &&
	       !rmd_digest_equal(&known->items[i].digest, &image->digest))
		i++;
	bool fresh = i < known->count && now_ms - known->items[i].known_ms < KNOWN_MS;
	/* On the client's thread an image that was there is taken to be there still. */
	if (!fresh && !(i < known->count && rmd_client_is_here(client)))
		err = send_image(client, image);
	if (err == NULL && !fresh && i < KNOWN_MAX) {
		known->items[i].digest = image->digest;
		known->items[i].known_ms = now_ms;
		if (i == known->count)
			known->count++;
	}
	pthread_mutex_unlock(&known->lock);
	return err;
}

struct remuda_error *rmd_capture_globals(struct rmd_captured_task *captured,
					 const struct remuda_global *globals)
{
	uint64_t total = 0;
	for (size_t i = 0; globals[i].data != NULL; i++) {
		uintptr_t address = (uintptr_t)globals[i].data;
		struct search search = {.address = address};
		const char *why = NULL;
		if (i == RMD_CAPTURE_GLOBALS_MAX)
			return remuda_error_create("EncodeError", "%s: more than %u globals",
						   captured->function,
						   RMD_CAPTURE_GLOBALS_MAX);
		if (dl_iterate_phdr(visit, &search) == 0 || search.base != captured->base)
			why = "it is no static or global variable of the function's own "
			      "program or library (thread-local ones cannot travel)";
		else if ((total += globals[i].len) > RMD_CAPTURE_GLOBALS_MAX_BYTES)
			why = "all of them take more than 16 MiB: give large data as an "
			      "argument";
		if (why != NULL)
			return remuda_error_create("EncodeError",
						   "%s: global %zu of its options cannot "
						   "travel: %s",
						   captured->function, i + 1, why);
		captured->globals[captured->global_count++] = (struct rmd_capture_global){
			.place = address - captured->base,
			.data = rmd_slice_of(globals[i].data, globals[i].len),
		};
	}
	return NULL;
}

struct remuda_error *rmd_capture_task(struct remuda *client,
				      const struct remuda_task *task,
				      struct rmd_captured_task *ret_captured)
{
	struct search search;
	struct image *image = NULL;
	struct remuda_error *err = find_image(task, &search);
	if (err == NULL) {
		pthread_mutex_lock(&images_lock);
		err = image_of(task, &search, &image);
		pthread_mutex_unlock(&images_lock);
	}
	if (err == NULL && (err = ensure_sent(client, image)) != NULL)
		err = remuda_error_wrap(err, "CaptureError",
					"%s (%s:%u) cannot be captured: its image %s "
					"could not be sent",
					task->name, task->file, (unsigned)task->line,
					image->name);
	if (err != NULL)
		return err;
	ret_captured->base = image->base;
	ret_captured->global_count = 0;
	ret_captured->capture = (struct rmd_capture){
		.format = rmd_slice_of_string(RMD_CAPTURE_ELF),
		.image = image->digest,
		.entry = (uintptr_t)task - image->base,
		.name = rmd_slice_of_string(image->name),
	};
	if ((size_t)snprintf(ret_captured->function, sizeof ret_captured->function,
			     "native:%s.%s", image->name,
			     task->name) >= sizeof ret_captured->function)
		return remuda_error_create("FunctionName", "the name of %s is too long",
					   task->name);
	return NULL;
}
