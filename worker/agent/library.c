#include "worker/agent/library.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define CACHE "/etc/ld.so.cache"
#define CACHE_MAGIC "glibc-ld.so.cache1.1"

/* /etc/ld.so.cache as glibc writes it since 2.2. */
struct cache_entry {
	int32_t flags;
	uint32_t name, path; /* places of texts, from the header's begin */
	uint32_t os_version;
	uint64_t hwcap;
};
struct cache {
	char magic[20]; /* CACHE_MAGIC, without its NUL */
	uint32_t count, strings_bytes;
	uint32_t unused[5];
	struct cache_entry entries[];
};

/* ---- ourselves ---- */

struct own {
	const ElfW(Ehdr) * header;
	const char *loader;
};

static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct own *own = arg;
	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		const void *at = (const void *)(info->dlpi_addr + segment->p_vaddr);
		if (segment->p_type == PT_INTERP)
			own->loader = at;
		else if (segment->p_type == PT_LOAD && segment->p_offset == 0)
			own->header = at;
	}
	return 1; /* the first is the program */
}

const ElfW(Ehdr) * rmd_library_own_header(void)
{
	struct own own = {0};
	(void)dl_iterate_phdr(look, &own);
	return own.header;
}

const char *rmd_library_loader(void)
{
	struct own own = {.loader = ""};
	(void)dl_iterate_phdr(look, &own);
	return own.loader;
}

/* ---- others ---- */

static bool in_folder(const char *folder, size_t len, const char *name)
{
	char path[PATH_BYTES];
	int n = snprintf(path, sizeof path, "%.*s/%s", (int)len, folder, name);
	return n > 0 && n < PATH_BYTES && access(path, R_OK) == 0;
}

static bool in_path(const char *path, const char *name)
{
	while (path != NULL) {
		size_t len = strcspn(path, ":");
		/* Relative to a program that is elsewhere: only its own start can tell.
		 */
		if (len > 0 &&
		    (memchr(path, '$', len) != NULL || in_folder(path, len, name)))
			return true;
		path = path[len] == ':' ? path + len + 1 : NULL;
	}
	return false;
}

static bool find_in(const struct cache *cache, size_t size, const char *name)
{
	size_t room = strlen(name) + 1;
	if (size < sizeof *cache || memcmp(cache->magic, CACHE_MAGIC, 20) != 0 ||
	    cache->count > (size - sizeof *cache) / sizeof cache->entries[0])
		return false;
	for (uint32_t i = 0; i < cache->count; i++) {
		uint32_t at = cache->entries[i].name;
		if (at < size && room <= size - at &&
		    memcmp((const char *)cache + at, name, room) == 0)
			return true;
	}
	return false;
}

static bool in_cache(const char *name)
{
	struct stat st;
	bool found = false;
	int fd = open(CACHE, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		void *bytes =
			mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes != MAP_FAILED) {
			found = find_in(bytes, (size_t)st.st_size, name);
			munmap(bytes, (size_t)st.st_size);
		}
	}
	close(fd);
	return found;
}

bool rmd_library_here(const char *name, const char *path)
{
	static const char *const folders[] = {"/lib64", "/usr/lib64", "/lib", "/usr/lib"};
	if (strchr(name, '/') != NULL)
		return access(name, R_OK) == 0;
	if (in_path(path, name) || in_cache(name))
		return true;
	for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
		if (in_folder(folders[i], strlen(folders[i]), name))
			return true;
	return false;
}
