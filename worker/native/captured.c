#include "worker/native/captured.h"

#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/base/map.h"
#include "proto/codec/capture.h"
#include "proto/error/chain.h"

#define SEGMENTS_MAX 64u
#define NAME_BYTES 129u

struct segment {
	uintptr_t begin, end;
	uint32_t flags; /* PF_R, PF_W, PF_X */
};

/* Bytes that a task's environment took the place of. */
struct saved {
	void *place;
	size_t len;
	uint8_t *bytes; /* in the run's arena */
};

struct rmd_captured {
	struct rmd_functions *functions;
	uintptr_t base;
	struct segment segments[SEGMENTS_MAX];
	size_t segment_count;
	size_t module; /* in functions->modules */
	struct remuda_module self;
	char name[NAME_BYTES];
	struct rmd_map by_entry; /* entry -> struct rmd_function, owned */
	struct rmd_digest image; /* as the last capture says */
	uint64_t last_entry;	 /* tasks come in runs of one function */
	const struct rmd_function *last;
	struct saved saved[RMD_CAPTURE_GLOBALS_MAX];
	size_t saved_count;
};

/* ---- the image ---- */

struct search {
	struct rmd_captured *captured;
	uintptr_t address; /* 0: the program itself */
};

static int visit(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *search = arg;
	struct rmd_captured *captured = search->captured;
	bool mine = search->address == 0;
	(void)size;
	captured->segment_count = 0;
	captured->base = info->dlpi_addr;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		uintptr_t begin = info->dlpi_addr + header->p_vaddr;
		if (header->p_type != PT_LOAD || captured->segment_count == SEGMENTS_MAX)
			continue;
		captured->segments[captured->segment_count++] =
			(struct segment){begin, begin + header->p_memsz, header->p_flags};
		mine = mine || (search->address >= begin &&
				search->address < begin + header->p_memsz);
	}
	return mine; /* the first that is visited is the program */
}

/* `len` bytes at `address` lie in a segment that may be used so. */
static bool within(const struct rmd_captured *captured, uintptr_t address, size_t len,
		   uint32_t flags)
{
	for (size_t i = 0; i < captured->segment_count; i++) {
		const struct segment *segment = &captured->segments[i];
		if (address >= segment->begin && address < segment->end &&
		    len <= segment->end - address && (segment->flags & flags) == flags)
			return true;
	}
	return false;
}

/* A prefix is of [A-Za-z0-9_.-]. */
static void set_name(struct rmd_captured *captured, const char *name)
{
	size_t len = strlen(name);
	if (len == 0) {
		name = "program";
		len = strlen(name);
	}
	if (len >= NAME_BYTES)
		len = NAME_BYTES - 1;
	memcpy(captured->name, name, len);
	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || strchr("_.-", c) != NULL))
			captured->name[i] = '_';
	}
	captured->self = (struct remuda_module){.abi_version = REMUDA_ABI_VERSION,
						.size = sizeof captured->self,
						.prefix = captured->name};
}

struct rmd_captured *rmd_captured_create(struct rmd_functions *functions,
					 const void *address, const char *name)
{
	struct rmd_captured *captured = rmd_calloc(1, sizeof *captured);
	struct search search = {captured, (uintptr_t)address};
	if (captured == NULL)
		return NULL;
	captured->functions = functions;
	set_name(captured, name);
	rmd_map_init(&captured->by_entry, 0);
	if (dl_iterate_phdr(visit, &search) == 0 ||
	    rmd_functions_adopt(functions, "(captured)", &captured->self) < 0) {
		rmd_captured_destroy(captured);
		return NULL;
	}
	captured->module = functions->module_count - 1;
	return captured;
}

struct rmd_captured *rmd_captured_create_self(struct rmd_functions *functions)
{
	return rmd_captured_create(functions, NULL, program_invocation_short_name);
}

void rmd_captured_destroy(struct rmd_captured *captured)
{
	struct rmd_function *function;
	size_t cursor = 0;
	if (captured == NULL)
		return;
	while ((function = rmd_map_next(&captured->by_entry, &cursor)) != NULL)
		rmd_function_free(function);
	rmd_map_fini(&captured->by_entry);
	rmd_free(captured);
}

/* ---- functions ---- */

static struct remuda_error *no_function(const struct rmd_captured *captured,
					const char *why)
{
	struct remuda_error *err = remuda_error_create(
		"CaptureError", "%s: there is no captured function at that place: %s",
		captured->name, why);
	rmd_error_set_origin(err, REMUDA_ORIGIN_LOOKUP);
	return err;
}

static const struct rmd_function *make(struct rmd_captured *captured, uint64_t entry,
				       struct remuda_error **ret_err)
{
	uintptr_t address = captured->base + entry;
	const struct remuda_task *task = (const struct remuda_task *)address;
	if (entry % _Alignof(struct remuda_task) != 0 ||
	    !within(captured, address, sizeof *task, PF_R) ||
	    !within(captured, (uintptr_t)task->name, 1, PF_R) ||
	    !within(captured, (uintptr_t)task->params, 1, PF_R) ||
	    !within(captured, (uintptr_t)task->thunk, 1, PF_X)) {
		*ret_err = no_function(captured, "no descriptor lies there");
		return NULL;
	}
	struct rmd_function *function =
		rmd_functions_make(captured->functions, captured->module, task, ret_err);
	if (function != NULL && rmd_map_put(&captured->by_entry, entry, function) < 0) {
		rmd_function_free(function);
		*ret_err = no_function(captured, "out of memory");
		return NULL;
	}
	return function;
}

/* ---- the environment ---- */

static struct remuda_error *put_globals(struct rmd_run *run,
					const struct rmd_capture *capture)
{
	struct rmd_captured *captured = run->captured;
	struct rmd_wire_reader rest = rmd_wire_reader_of(capture->raw);
	struct rmd_capture_global global;
	while (rmd_capture_next_global(&rest, &global)) {
		uintptr_t address = captured->base + global.place;
		struct saved *saved = &captured->saved[captured->saved_count];
		if (global.data.len == 0)
			continue;
		if (!within(captured, address, global.data.len, PF_R | PF_W))
			return no_function(captured,
					   "a global of it is no variable of the image");
		saved->bytes = rmd_arena_alloc(&run->arena, global.data.len);
		if (saved->bytes == NULL)
			return remuda_error_create("OutOfMemory",
						   "for the globals of a captured "
						   "function");
		saved->place = (void *)address;
		saved->len = global.data.len;
		memcpy(saved->bytes, saved->place, saved->len);
		memcpy(saved->place, global.data.data, saved->len);
		captured->saved_count++;
	}
	return NULL;
}

void rmd_captured_restore(struct rmd_run *run)
{
	struct rmd_captured *captured = run->captured;
	while (captured != NULL && captured->saved_count > 0) {
		const struct saved *saved = &captured->saved[--captured->saved_count];
		memcpy(saved->place, saved->bytes, saved->len);
	}
}

const struct rmd_function *rmd_captured_find(struct rmd_run *run,
					     struct remuda_error **ret_err)
{
	struct rmd_captured *captured = run->captured;
	struct rmd_capture capture;
	struct rmd_slice raw;
	const char *field = "Arguments.capture";
	if (captured == NULL)
		return NULL;
	int rc = rmd_capture_find(run->task->arguments, &raw);
	if (rc == 0)
		return NULL;
	if (rc > 0)
		rc = rmd_capture_read(raw, &capture, &field);
	if (rc < 0) {
		*ret_err = remuda_error_create("DecodeError", "%s: %s", field,
					       rmd_errcode_text(rc));
		return NULL;
	}
	const struct rmd_function *function =
		captured->last_entry == capture.entry
			? captured->last
			: rmd_map_get(&captured->by_entry, capture.entry);
	if (function == NULL)
		function = make(captured, capture.entry, ret_err);
	if (function == NULL)
		return NULL;
	captured->last_entry = capture.entry;
	captured->last = function;
	captured->image = capture.image;
	if (capture.global_count > 0 && (*ret_err = put_globals(run, &capture)) != NULL) {
		rmd_captured_restore(run);
		return NULL;
	}
	return function;
}

static int digit_of(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads hexadecimal digits up to a colon. False: there are none, or too many. */
static bool read_entry(struct rmd_slice text, uint64_t *ret_entry)
{
	uint64_t entry = 0;
	size_t i = 0;
	for (; i < text.len && i <= 16 && digit_of(text.data[i]) >= 0; i++)
		entry = entry << 4 | (uint64_t)digit_of(text.data[i]);
	*ret_entry = entry;
	return i > 0 && i <= 16 && i < text.len && text.data[i] == ':';
}

const struct rmd_function *rmd_captured_named(struct rmd_run *run, struct rmd_slice name,
					      struct remuda_error **ret_err)
{
	struct rmd_captured *captured = run->captured;
	size_t prefix = strlen(REMUDA_CAPTURE_PREFIX);
	size_t entry_at = prefix + 2 * RMD_DIGEST_BYTES + 1;
	uint64_t entry;
	bool ours = captured != NULL && name.len > entry_at;
	for (size_t i = 0; ours && i < RMD_DIGEST_BYTES; i++) {
		int high = digit_of(name.data[prefix + 2 * i]);
		int low = digit_of(name.data[prefix + 2 * i + 1]);
		ours = high >= 0 && low >= 0 &&
		       (high << 4 | low) == captured->image.bytes[i];
	}
	if (!ours || !read_entry(rmd_slice_of(name.data + entry_at, name.len - entry_at),
				 &entry)) {
		*ret_err = remuda_error_create(
			"CaptureError",
			"it is of another program than this worker is: only functions of "
			"the same image can be called");
		return NULL;
	}
	const struct rmd_function *function = rmd_map_get(&captured->by_entry, entry);
	return function != NULL ? function : make(captured, entry, ret_err);
}
