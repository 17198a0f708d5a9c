#include "worker/crash/helper/frames.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 240 /* bytes of a file or function: 64 frames fit into the answer */
/* How the function is called that REMUDA_TASK makes around a task. */
#define THUNK_SUFFIX "__remuda_thunk"
#define LEFT_OUT "[outer frames left out]"

/* The frames, the innermost first. Texts are borrowed from elfutils. */
struct list {
	struct remuda_frame frames[RMD_CRASH_FRAMES_MAX];
	bool ours[RMD_CRASH_FRAMES_MAX]; /* not the user's, if at the outer end */
	size_t count;
	bool more;
};

static void add(struct list *list, const struct remuda_frame *frame, bool ours)
{
	if (list->count == RMD_CRASH_FRAMES_MAX) {
		list->more = true;
		return;
	}
	list->ours[list->count] = ours;
	list->frames[list->count++] = *frame;
}

/* ---- what an image says of an address ---- */

static bool describes_function(Dwarf_Die *die)
{
	switch (dwarf_tag(die)) {
	case DW_TAG_subprogram:
	case DW_TAG_inlined_subroutine:
	case DW_TAG_entry_point:
		return true;
	default:
		return false;
	}
}

/* The compilation unit that an address lies in. elfutils finds it by a table that gcc
 * writes and clang does not (.debug_aranges); without it each unit says where its code
 * is. */
static Dwarf_Die *unit_at(const struct rmd_call *call, Dwarf_Addr *ret_bias)
{
	Dwarf_Die *unit = dwfl_module_addrdie(call->module, call->pc, ret_bias);
	if (unit != NULL)
		return unit;
	while ((unit = dwfl_module_nextcu(call->module, unit, ret_bias)) != NULL)
		if (dwarf_haspc(unit, call->pc - *ret_bias) == 1)
			break;
	return unit;
}

/* `file` as the compiler was told it, which is what an error that was raised there says
 * too: without the folder that the compiler ran in. */
static const char *as_compiled(Dwarf_Die *unit, const char *file)
{
	Dwarf_Attribute attribute;
	const char *folder =
		unit == NULL ? NULL
			     : dwarf_formstring(
				       dwarf_attr(unit, DW_AT_comp_dir, &attribute));
	size_t len = folder != NULL ? strlen(folder) : 0;
	while (len > 0 && folder[len - 1] == '/')
		len--;
	if (len == 0 || file == NULL || strncmp(file, folder, len) != 0 ||
	    file[len] != '/' || file[len + 1] == '\0')
		return file;
	return file + len + 1;
}

/* Where `inlined` was inlined to. */
static void set_call_site(struct remuda_frame *frame, Dwarf_Die *unit, Dwarf_Die *inlined)
{
	Dwarf_Attribute attribute;
	Dwarf_Word file_number, line;
	Dwarf_Files *files;
	const char *file = NULL;
	frame->file = NULL;
	frame->line = 0;
	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute),
			    &file_number) == 0 &&
	    dwarf_getsrcfiles(unit, &files, NULL) == 0)
		file = dwarf_filesrc(files, file_number, NULL, NULL);
	if (file == NULL ||
	    dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &line) != 0)
		return;
	frame->file = as_compiled(unit, file);
	frame->line = (uint32_t)line;
}

/* Adds the innermost function at the address and those that it is inlined in. False:
 * there is no debug information for it. */
static bool add_functions(struct list *list, const struct rmd_call *call,
			  struct remuda_frame *frame, bool ours)
{
	Dwarf_Addr bias;
	Dwarf_Die *unit = unit_at(call, &bias);
	Dwarf_Die *scopes = NULL, *nested = NULL;
	int count = unit != NULL ? dwarf_getscopes(unit, call->pc - bias, &scopes) : -1;
	int at = 0;
	while (at < count && !describes_function(&scopes[at]))
		at++;
	/* From here outwards by where code lies, not by where it was written. */
	int depth = at < count ? dwarf_getscopes_die(&scopes[at], &nested) : -1;
	const char *symbol = frame->function;
	for (int i = 0; i < depth; i++) {
		if (!describes_function(&nested[i]))
			continue;
		frame->function = dwarf_diename(&nested[i]);
		if (frame->function == NULL)
			frame->function = symbol;
		add(list, frame, ours);
		if (dwarf_tag(&nested[i]) == DW_TAG_subprogram)
			break;
		set_call_site(frame, unit, &nested[i]);
	}
	free(nested);
	free(scopes);
	return depth > 0;
}

/* The function's name in the symbol table, if the address lies within it. */
static const char *symbol_at(Dwfl_Module *module, uint64_t pc)
{
	GElf_Off offset;
	GElf_Sym symbol;
	const char *name =
		dwfl_module_addrinfo(module, pc, &offset, &symbol, NULL, NULL, NULL);
	return name != NULL && symbol.st_size > 0 && offset < symbol.st_size ? name
									     : NULL;
}

/* What is ours at the outer end: our program, and where the C library starts threads. */
static bool is_ours(const struct rmd_process_image *image)
{
	const char *slash = strrchr(image->path, '/');
	const char *base = slash != NULL ? slash + 1 : image->path;
	return image->program || strncmp(base, "libc.so", 7) == 0 ||
	       strncmp(base, "libc-2", 6) == 0;
}

/* The file and line of the address, where they are known. */
static void set_source(struct remuda_frame *frame, const struct rmd_call *call)
{
	Dwarf_Addr bias;
	Dwarf_Die *unit = unit_at(call, &bias);
	Dwarf_Line *line = unit == NULL ? NULL : dwarf_getsrc_die(unit, call->pc - bias);
	int number;
	if (line == NULL)
		return;
	frame->file = as_compiled(unit, dwarf_linesrc(line, NULL, NULL));
	if (frame->file != NULL && dwarf_lineno(line, &number) == 0 && number > 0)
		frame->line = (uint32_t)number;
}

static void add_call(struct list *list, const struct rmd_process *process,
		     const struct rmd_call *call)
{
	struct remuda_frame frame = {0};
	Dwarf_Addr start, bias;
	if (call->module == NULL) {
		add(list, &frame, false);
		return;
	}
	dwfl_module_info(call->module, NULL, &start, NULL, NULL, NULL, NULL, NULL);
	const struct rmd_process_image *image = rmd_process_image_at(process, start);
	if (image == NULL)
		return;
	frame.image = image->name;
	frame.offset = dwfl_module_getelf(call->module, &bias) != NULL
			       ? call->pc - bias
			       : call->pc - image->start;
	frame.function = symbol_at(call->module, call->pc);
	set_source(&frame, call);
	if (!add_functions(list, call, &frame, is_ours(image)))
		add(list, &frame, is_ours(image));
}

/* ---- what is shown ---- */

/* How many frames are left without those at the outer end that are ours; all, if there
 * are no others. */
static size_t without_ours(const struct list *list)
{
	size_t count = list->count;
	while (count > 0 && list->ours[count - 1])
		count--;
	if (count == 0)
		return list->count;
	const char *outermost = list->frames[count - 1].function;
	size_t len = outermost != NULL ? strlen(outermost) : 0;
	size_t suffix = strlen(THUNK_SUFFIX);
	if (count > 1 && len > suffix &&
	    strcmp(outermost + len - suffix, THUNK_SUFFIX) == 0)
		count--;
	return count;
}

/* At most TEXT_MAX bytes of `text` in `room`; NULL stays NULL. */
static const char *cut(const char *text, char room[TEXT_MAX + 1])
{
	size_t len = text != NULL ? strlen(text) : 0;
	if (len <= TEXT_MAX)
		return text;
	memcpy(room, text, TEXT_MAX);
	memcpy(room + TEXT_MAX - 3, "...", 4);
	return room;
}

void rmd_frames_add(struct remuda_error *err, const struct rmd_process *process,
		    const struct rmd_call *calls, size_t count, bool more)
{
	struct list list = {.more = more};
	for (size_t i = 0; i < count; i++)
		add_call(&list, process, &calls[i]);
	size_t shown = list.more ? list.count : without_ours(&list);
	if (list.more)
		rmd_error_add_frame(err, &(struct remuda_frame){.function = LEFT_OUT});
	while (shown > 0) {
		struct remuda_frame frame = list.frames[--shown];
		char texts[3][TEXT_MAX + 1];
		frame.file = cut(frame.file, texts[0]);
		frame.function = cut(frame.function, texts[1]);
		frame.image = cut(frame.image, texts[2]);
		if (frame.file != NULL) {
			frame.image = NULL;
			frame.offset = 0;
		}
		rmd_error_add_frame(err, &frame);
	}
}
