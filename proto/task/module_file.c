/* Every place in the file comes from the file: all is checked against its length before
 * it is read, and copied out, since nothing in a slice is aligned. Pointers in a shared
 * object are relocations: a table says what they will be. */
#include "proto/task/module_file.h"

#include <ctype.h>
#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <remuda/task.h>

#include "proto/base/errcode.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#define RELATIVE R_X86_64_RELATIVE
#define ABSOLUTE R_X86_64_64
#define MACHINE_NAME "x86-64"
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#define RELATIVE R_AARCH64_RELATIVE
#define ABSOLUTE R_AARCH64_ABS64
#define MACHINE_NAME "aarch64"
#else
#error "modules of this machine are not known yet"
#endif

#define SEGMENTS_MAX 256u
#define FUNCTIONS_MAX 65536u
/* More than any linker writes; bounds the time that a file can cost. */
#define ENTRIES_MAX (UINT64_C(1) << 24)

static const char damaged[] = "it is cut short or damaged: build it again";

/* A file while it is read. Addresses are those of its segments; 0: not there. */
struct object {
	struct rmd_slice file;
	Elf64_Ehdr header;
	uint64_t symbols, strings, strings_bytes, relocations, relocations_bytes;
};

/* Copies `size` bytes at `offset`. False: they are not there. */
static bool copy_at(const struct object *object, uint64_t offset, void *ret,
		    uint64_t size)
{
	if (offset > object->file.len || size > object->file.len - offset)
		return false;
	memcpy(ret, object->file.data + offset, (size_t)size);
	return true;
}

static bool segment_at(const struct object *object, uint32_t index,
		       Elf64_Phdr *ret_segment)
{
	return object->header.e_phentsize == sizeof *ret_segment &&
	       copy_at(object, object->header.e_phoff + index * sizeof *ret_segment,
		       ret_segment, sizeof *ret_segment);
}

/* Where in the file `address` is, and how many bytes of its segment follow. */
static bool place_of(const struct object *object, uint64_t address, uint64_t *ret_offset,
		     uint64_t *ret_bytes)
{
	Elf64_Phdr segment;
	for (uint32_t i = 0; i < object->header.e_phnum && i < SEGMENTS_MAX; i++) {
		if (!segment_at(object, i, &segment))
			return false;
		if (segment.p_type != PT_LOAD || address < segment.p_vaddr ||
		    address - segment.p_vaddr >= segment.p_filesz)
			continue;
		uint64_t within = address - segment.p_vaddr;
		if (segment.p_offset > object->file.len ||
		    within > object->file.len - segment.p_offset)
			return false;
		*ret_offset = segment.p_offset + within;
		*ret_bytes = segment.p_filesz - within;
		return true;
	}
	return false;
}

static bool read_at(const struct object *object, uint64_t address, void *ret,
		    uint64_t size)
{
	uint64_t offset, bytes;
	return place_of(object, address, &offset, &bytes) && size <= bytes &&
	       copy_at(object, offset, ret, size);
}

/* The text at `address`, at most `most` bytes. False: it does not end by then. */
static bool text_at(const struct object *object, uint64_t address, char *ret_text,
		    size_t most)
{
	uint64_t offset, bytes;
	if (!place_of(object, address, &offset, &bytes))
		return false;
	for (size_t i = 0; i <= most && i < bytes; i++) {
		if (!copy_at(object, offset + i, &ret_text[i], 1))
			return false;
		if (ret_text[i] == '\0')
			return true;
	}
	return false;
}

/* ---- what file it is ---- */

static const char *head_fault(const struct object *object)
{
	const unsigned char *ident = object->header.e_ident;
	if (ident[EI_CLASS] != ELFCLASS64 || ident[EI_DATA] != ELFDATA2LSB)
		return "it is not for a 64-bit little-endian machine";
	if (object->header.e_machine != MACHINE)
		return "it is for another machine than this one (" MACHINE_NAME
		       "): build it for this one";
	if (object->header.e_type == ET_REL)
		return "it is an object file, not a shared object: link it with -shared";
	if (object->header.e_type != ET_DYN)
		return "it is a program or a core file, not a shared object: build it "
		       "with "
		       "-shared -fPIC";
	return NULL;
}

/* Finds symbols, strings and relocations. */
static bool read_dynamic(struct object *object)
{
	Elf64_Phdr segment;
	bool found = false;
	for (uint32_t i = 0; i < object->header.e_phnum && i < SEGMENTS_MAX && !found;
	     i++)
		found = segment_at(object, i, &segment) && segment.p_type == PT_DYNAMIC;
	if (!found)
		return false;
	for (uint64_t i = 0; i < segment.p_filesz / sizeof(Elf64_Dyn) && i < 4096; i++) {
		Elf64_Dyn entry;
		if (!read_at(object, segment.p_vaddr + i * sizeof entry, &entry,
			     sizeof entry))
			return false;
		if (entry.d_tag == DT_NULL)
			break;
		if (entry.d_tag == DT_SYMTAB)
			object->symbols = entry.d_un.d_ptr;
		else if (entry.d_tag == DT_STRTAB)
			object->strings = entry.d_un.d_ptr;
		else if (entry.d_tag == DT_STRSZ)
			object->strings_bytes = entry.d_un.d_val;
		else if (entry.d_tag == DT_RELA)
			object->relocations = entry.d_un.d_ptr;
		else if (entry.d_tag == DT_RELASZ)
			object->relocations_bytes = entry.d_un.d_val;
	}
	return object->symbols != 0 && object->strings != 0;
}

/* ---- its description ---- */

/* How many dynamic symbols there are: their section says so; of a file without sections
 * they end, with every linker, before their strings at the latest. */
static uint64_t count_symbols(const struct object *object)
{
	Elf64_Shdr section;
	for (uint64_t i = 0; i < object->header.e_shnum; i++)
		if (copy_at(object, object->header.e_shoff + i * sizeof section, &section,
			    sizeof section) &&
		    section.sh_type == SHT_DYNSYM)
			return section.sh_size / sizeof(Elf64_Sym);
	return object->strings > object->symbols
		       ? (object->strings - object->symbols) / sizeof(Elf64_Sym)
		       : 0;
}

/* The address of remuda_module_v1; 0: it is not defined here. */
static uint64_t find_module(const struct object *object)
{
	uint64_t count = count_symbols(object);
	char name[sizeof REMUDA_MODULE_SYMBOL];
	for (uint64_t i = 1; i < count && i < ENTRIES_MAX; i++) {
		Elf64_Sym symbol;
		if (!read_at(object, object->symbols + i * sizeof symbol, &symbol,
			     sizeof symbol))
			return 0;
		if (symbol.st_shndx == SHN_UNDEF ||
		    symbol.st_name >= object->strings_bytes)
			continue;
		if (text_at(object, object->strings + symbol.st_name, name,
			    sizeof name - 1) &&
		    strcmp(name, REMUDA_MODULE_SYMBOL) == 0)
			return symbol.st_value;
	}
	return 0;
}

/* The pointer at `address`, as the loader will make it (relative to the object's start).
 */
static uint64_t pointer_at(const struct object *object, uint64_t address)
{
	uint64_t value = 0;
	uint64_t count = object->relocations_bytes / sizeof(Elf64_Rela);
	(void)read_at(object, address, &value,
		      sizeof value); /* as with -z pack-relative-relocs */
	for (uint64_t i = 0; i < count && i < ENTRIES_MAX; i++) {
		Elf64_Rela entry;
		Elf64_Sym symbol;
		if (!read_at(object, object->relocations + i * sizeof entry, &entry,
			     sizeof entry))
			break;
		if (entry.r_offset != address)
			continue;
		if (ELF64_R_TYPE(entry.r_info) == RELATIVE)
			return (uint64_t)entry.r_addend;
		if (ELF64_R_TYPE(entry.r_info) == ABSOLUTE &&
		    read_at(object,
			    object->symbols + ELF64_R_SYM(entry.r_info) * sizeof symbol,
			    &symbol, sizeof symbol))
			return symbol.st_value + (uint64_t)entry.r_addend;
	}
	return value;
}

static bool prefix_valid(const char *prefix)
{
	if (*prefix == '\0')
		return false;
	for (; *prefix != '\0'; prefix++)
		if (!isalnum((unsigned char)*prefix) && strchr("_.-", *prefix) == NULL)
			return false;
	return true;
}

static const char *read_module(const struct object *object,
			       struct rmd_module_facts *ret_facts)
{
	uint32_t head[2]; /* abi_version and size: for ever at the beginning */
	uint64_t address = find_module(object);
	if (address == 0)
		return "it is no module of remuda: it has no symbol " REMUDA_MODULE_SYMBOL
		       " (put REMUDA_MODULE(\"name\"); in it)";
	if (!read_at(object, address, head, sizeof head))
		return damaged;
	if (head[0] != REMUDA_ABI_VERSION || head[1] < sizeof(struct remuda_module))
		return "it was built with another version of remuda/task.h: build it "
		       "again";
	uint64_t prefix =
		pointer_at(object, address + offsetof(struct remuda_module, prefix));
	if (!text_at(object, prefix, ret_facts->prefix, RMD_MODULE_PREFIX_MAX_BYTES) ||
	    !prefix_valid(ret_facts->prefix))
		return "its prefix, which REMUDA_MODULE gives, must be 1 to 128 of "
		       "[A-Za-z0-9_.-]";
	uint64_t tasks =
		pointer_at(object, address + offsetof(struct remuda_module, tasks));
	uint64_t end =
		pointer_at(object, address + offsetof(struct remuda_module, tasks_end));
	if (tasks == end)
		return "no function in it is declared with REMUDA_TASK";
	if (end < tasks || (end - tasks) / sizeof(uint64_t) > FUNCTIONS_MAX)
		return damaged;
	ret_facts->functions = (uint32_t)((end - tasks) / sizeof(uint64_t));
	return NULL;
}

int rmd_module_file_read(struct rmd_slice file, struct rmd_module_facts *ret_facts,
			 const char **ret_why)
{
	struct object object = {.file = file};
	struct rmd_module_facts facts = {{0}, 0};
	const char *why;
	if (file.len < SELFMAG || memcmp(file.data, ELFMAG, SELFMAG) != 0)
		why = "it is no shared object (no ELF file at all): build it with "
		      "-shared -fPIC";
	else if (!copy_at(&object, 0, &object.header, sizeof object.header))
		why = damaged;
	else if ((why = head_fault(&object)) == NULL)
		why = read_dynamic(&object) ? read_module(&object, &facts) : damaged;
	if (why != NULL) {
		*ret_why = why;
		return RMD_EPROTO;
	}
	*ret_facts = facts;
	return 0;
}
