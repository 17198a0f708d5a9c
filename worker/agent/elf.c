/* What is asked of an image, in this order: a 64-bit ELF file for this machine; a program
 * that the host's own glibc loader starts, and that calls __libc_start_main (what the
 * preload library takes the place of), or a shared object; no newer version of glibc than
 * this host's; libraries that are here. */
#include "worker/agent/elf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/agent/library.h"

#define HEADERS_MAX 256u
#define NEEDED_MAX 512u
#define SYMBOLS_MAX (1u << 20)
#define VERSIONS_MAX 4096u
/* The library that stands in for libremuda in workers. */
#define OWN_LIBRARY "libremuda.so"

/* An image while it is looked at. */
struct image {
	const uint8_t *bytes;
	size_t size;
	const char *name;
	const ElfW(Ehdr) * header;
	const ElfW(Phdr) * segments;
	const char *interpreter; /* NULL: none */
	/* Of the dynamic section; 0: not there. Addresses as in the file's segments. */
	ElfW(Addr) strings, symbols, gnu_hash, hash, versions;
	size_t strings_size, version_count;
	const ElfW(Dyn) * dynamic;
	size_t dynamic_count;
};

static struct remuda_error *refused(const struct image *image, const char *why)
{
	return remuda_error_create("ImageRefused", "%s: %s", image->name, why);
}

/* `size` bytes at `offset` of the file; NULL: they are not there, or not aligned. */
static const void *at_offset(const struct image *image, uint64_t offset, uint64_t size)
{
	if (offset > image->size || size > image->size - offset || offset % 4 != 0)
		return NULL;
	return image->bytes + offset;
}

/* Bytes of the file from `address` on, to the end of its segment. */
static const void *at_address(const struct image *image, ElfW(Addr) address,
			      uint64_t size)
{
	for (unsigned i = 0; i < image->header->e_phnum; i++) {
		const ElfW(Phdr) *segment = &image->segments[i];
		if (segment->p_type != PT_LOAD || address < segment->p_vaddr ||
		    address - segment->p_vaddr >= segment->p_filesz ||
		    size > segment->p_filesz - (address - segment->p_vaddr))
			continue;
		uint64_t offset = segment->p_offset + (address - segment->p_vaddr);
		if (offset < segment->p_offset || offset > image->size ||
		    size > image->size - offset)
			return NULL;
		return image->bytes + offset;
	}
	return NULL;
}

/* A text of the dynamic strings; NULL: there is none such. */
static const char *string_at(const struct image *image, uint64_t place)
{
	if (image->strings == 0 || place >= image->strings_size)
		return NULL;
	const char *text =
		at_address(image, image->strings + place, image->strings_size - place);
	return text != NULL && memchr(text, '\0', image->strings_size - place) != NULL
		       ? text
		       : NULL;
}

/* ---- headers ---- */

static struct remuda_error *read_header(struct image *image)
{
	const ElfW(Ehdr) *header = at_offset(image, 0, sizeof *header);
	if (header == NULL || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return refused(image, "it is no ELF file");
	image->header = header;
	if (header->e_ident[EI_CLASS] != ELFCLASS64)
		return refused(
			image,
			"it is a 32-bit program; workers here are 64-bit: build it "
			"with -m64");
	const ElfW(Ehdr) *own = rmd_library_own_header();
	if (own != NULL && (header->e_machine != own->e_machine ||
			    header->e_ident[EI_DATA] != own->e_ident[EI_DATA]))
		return remuda_error_create(
			"ImageRefused",
			"%s: it is built for another machine (ELF machine %u; this host "
			"has %u): run it in a pool of agents with such machines",
			image->name, header->e_machine, own->e_machine);
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return refused(image, "it is neither a program nor a shared object");
	if (header->e_phentsize != sizeof(ElfW(Phdr)) || header->e_phnum > HEADERS_MAX ||
	    header->e_phoff % _Alignof(ElfW(Phdr)) != 0)
		return refused(image, "its headers make no sense");
	image->segments = at_offset(image, header->e_phoff,
				    (uint64_t)header->e_phnum * sizeof(ElfW(Phdr)));
	return image->segments == NULL ? refused(image, "its headers are cut off") : NULL;
}

static struct remuda_error *read_segments(struct image *image)
{
	for (unsigned i = 0; i < image->header->e_phnum; i++) {
		const ElfW(Phdr) *segment = &image->segments[i];
		const char *text;
		if (segment->p_type == PT_INTERP) {
			if (segment->p_filesz == 0 || segment->p_offset > image->size ||
			    segment->p_filesz > image->size - segment->p_offset)
				return refused(image, "its loader's name is cut off");
			text = (const char *)image->bytes + segment->p_offset;
			if (text[segment->p_filesz - 1] != '\0')
				return refused(image, "its loader's name has no end");
			image->interpreter = text;
		} else if (segment->p_type == PT_DYNAMIC) {
			image->dynamic =
				at_offset(image, segment->p_offset, segment->p_filesz);
			image->dynamic_count = segment->p_filesz / sizeof(ElfW(Dyn));
			if (image->dynamic == NULL || segment->p_offset % 8 != 0)
				return refused(image, "its dynamic section is cut off");
		}
	}
	return NULL;
}

static void read_dynamic(struct image *image)
{
	for (size_t i = 0; i < image->dynamic_count; i++) {
		const ElfW(Dyn) *entry = &image->dynamic[i];
		switch (entry->d_tag) {
		case DT_NULL:
			image->dynamic_count = i;
			return;
		case DT_STRTAB:
			image->strings = entry->d_un.d_ptr;
			break;
		case DT_STRSZ:
			image->strings_size = entry->d_un.d_val;
			break;
		case DT_SYMTAB:
			image->symbols = entry->d_un.d_ptr;
			break;
		case DT_GNU_HASH:
			image->gnu_hash = entry->d_un.d_ptr;
			break;
		case DT_HASH:
			image->hash = entry->d_un.d_ptr;
			break;
		case DT_VERNEED:
			image->versions = entry->d_un.d_ptr;
			break;
		case DT_VERNEEDNUM:
			image->version_count = entry->d_un.d_val;
			break;
		default:
			break;
		}
	}
}

/* ---- symbols ---- */

/* How many symbols may be imports: the hash tables say, in their way. */
static size_t import_count(const struct image *image)
{
	const uint32_t *table;
	size_t count = 0;
	if (image->gnu_hash != 0 &&
	    (table = at_address(image, image->gnu_hash, 16)) != NULL)
		count = table[1]; /* imports stand before what is hashed */
	if (image->hash != 0 && (table = at_address(image, image->hash, 8)) != NULL)
		count = table[1];
	return count < SYMBOLS_MAX ? count : SYMBOLS_MAX;
}

static bool imports(const struct image *image, const char *wanted)
{
	size_t count = import_count(image);
	const ElfW(Sym) *symbols =
		image->symbols == 0
			? NULL
			: at_address(image, image->symbols, count * sizeof(ElfW(Sym)));
	for (size_t i = 1; symbols != NULL && i < count; i++) {
		ElfW(Sym) symbol;
		memcpy(&symbol, &symbols[i], sizeof symbol);
		const char *name = symbol.st_shndx != SHN_UNDEF
					   ? NULL
					   : string_at(image, symbol.st_name);
		if (name != NULL && strcmp(name, wanted) == 0)
			return true;
	}
	return false;
}

/* ---- glibc ---- */

/* "GLIBC_2.34" is above the host's? */
static bool above_host(const char *version)
{
	unsigned major = 0, minor = 0, own_major = 0, own_minor = 0;
	if (sscanf(version, "GLIBC_%u.%u", &major, &minor) != 2 ||
	    sscanf(gnu_get_libc_version(), "%u.%u", &own_major, &own_minor) != 2)
		return false;
	return major > own_major || (major == own_major && minor > own_minor);
}

/* The first version of glibc that it needs and the host lacks; NULL: there is none. */
static const char *version_missing(const struct image *image)
{
	ElfW(Addr) at = image->versions;
	size_t seen = 0;
	for (size_t i = 0; at != 0 && i < image->version_count; i++) {
		ElfW(Verneed) need;
		const void *bytes = at_address(image, at, sizeof need);
		if (bytes == NULL)
			return NULL;
		memcpy(&need, bytes, sizeof need);
		ElfW(Addr) part = at + need.vn_aux;
		for (unsigned j = 0; j < need.vn_cnt && seen < VERSIONS_MAX;
		     j++, seen++) {
			ElfW(Vernaux) aux;
			if ((bytes = at_address(image, part, sizeof aux)) == NULL)
				return NULL;
			memcpy(&aux, bytes, sizeof aux);
			const char *version = string_at(image, aux.vna_name);
			if (version != NULL && above_host(version))
				return version;
			if (aux.vna_next == 0)
				break;
			part += aux.vna_next;
		}
		if (need.vn_next == 0)
			break;
		at += need.vn_next;
	}
	return NULL;
}

/* ---- libraries ---- */

static bool starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

static struct remuda_error *check_libraries(const struct image *image,
					    struct rmd_elf_facts *facts)
{
	char missing[1024] = "";
	const char *path = NULL;
	size_t used = 0;
	for (size_t i = 0; i < image->dynamic_count; i++)
		if (image->dynamic[i].d_tag == DT_RUNPATH ||
		    image->dynamic[i].d_tag == DT_RPATH)
			path = string_at(image, image->dynamic[i].d_un.d_val);
	for (size_t i = 0; i < image->dynamic_count && i < NEEDED_MAX; i++) {
		const char *name =
			image->dynamic[i].d_tag != DT_NEEDED
				? NULL
				: string_at(image, image->dynamic[i].d_un.d_val);
		if (name == NULL || starts_with(name, OWN_LIBRARY))
			continue;
		if (strlen(name) <= RMD_ELF_NAME_MAX &&
		    (starts_with(name, "libasan.so") || starts_with(name, "libtsan.so")))
			memcpy(facts->first, name, strlen(name) + 1);
		if (rmd_library_here(name, path) || used >= sizeof missing - 300)
			continue;
		int n = snprintf(missing + used, sizeof missing - used, "%s%.255s",
				 used > 0 ? ", " : "", name);
		used += n > 0 ? (size_t)n : 0;
	}
	if (used == 0)
		return NULL;
	return remuda_error_create(
		"ImageRefused",
		"%s: it needs libraries that this host has not: %s. Install them here, "
		"or link the program with their archives (.a)",
		image->name, missing);
}

/* ---- all of it ---- */

static struct remuda_error *check_program(const struct image *image)
{
	const char *own = rmd_library_loader();
	if (image->interpreter == NULL && image->header->e_type == ET_EXEC)
		return refused(image,
			       "it is linked statically: link it without -static, so "
			       "that the C library is shared");
	if (image->interpreter != NULL && strcmp(image->interpreter, own) != 0)
		return remuda_error_create(
			"ImageRefused",
			"%s: its loader is %.200s; workers here have %s: build it with "
			"glibc (musl and others cannot be captured)",
			image->name, image->interpreter, own);
	if (image->interpreter != NULL && !imports(image, "__libc_start_main"))
		return refused(image,
			       "it does not start by glibc's __libc_start_main (a Go "
			       "program? its own start code?): put the functions into a "
			       "module instead");
	return NULL;
}

static struct remuda_error *check(struct image *image, struct rmd_elf_facts *facts)
{
	struct remuda_error *err = read_header(image);
	if (err == NULL)
		err = read_segments(image);
	if (err != NULL)
		return err;
	if (image->interpreter == NULL && image->dynamic == NULL)
		return refused(image,
			       "it is linked statically: link it without -static, so "
			       "that the C library is shared");
	read_dynamic(image);
	err = check_program(image);
	const char *version = err == NULL ? version_missing(image) : NULL;
	if (version != NULL)
		err = remuda_error_create("ImageRefused",
					  "%s: it needs %.100s; this host has glibc %s: "
					  "build it on a system "
					  "as old as the oldest host",
					  image->name, version, gnu_get_libc_version());
	facts->program = image->interpreter != NULL;
	return err != NULL ? err : check_libraries(image, facts);
}

struct remuda_error *rmd_elf_check(int fd, const char *name,
				   struct rmd_elf_facts *ret_facts)
{
	struct stat st;
	struct rmd_elf_facts facts = {.program = false};
	struct image image = {.name = name};
	if (fstat(fd, &st) < 0 || st.st_size <= 0)
		return refused(&image, "it is empty");
	image.size = (size_t)st.st_size;
	void *bytes = mmap(NULL, image.size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return refused(&image, strerror(errno));
	image.bytes = bytes;
	struct remuda_error *err = check(&image, &facts);
	munmap(bytes, image.size);
	if (err == NULL)
		*ret_facts = facts;
	return err;
}
