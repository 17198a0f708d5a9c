#include "worker/crash/helper/unwind.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REGISTERS 17 /* x86-64: 16 and the instruction pointer */
#define SP_REGISTER 7
#define PC_REGISTER 16
#define CALL_BYTES 7 /* of the longest indirect call instruction */
#define VDSO_MAX ((uint64_t)1 << 20)

/* One unwinding. */
struct unwinding {
	const struct rmd_process *process;
	uint64_t registers[REGISTERS];
	struct rmd_call *calls;
	size_t count, max;
	bool more;
};

/* ---- files ---- */

/* The kernel's own image is a whole ELF file in memory. */
static Elf *read_vdso(const struct rmd_process *process,
		      const struct rmd_process_image *image)
{
	uint64_t len = image->end - image->start;
	char *bytes = len <= VDSO_MAX ? malloc(len) : NULL;
	if (bytes == NULL || !rmd_process_read(process, image->start, bytes, len))
		return NULL;
	return elf_memory(bytes, len); /* lives as long as we do */
}

static int find_elf(Dwfl_Module *module, void **user, const char *name, Dwarf_Addr base,
		    char **ret_path, Elf **ret_elf)
{
	const struct rmd_process *process = *user;
	const struct rmd_process_image *image = rmd_process_image_at(process, base);
	(void)module;
	(void)name;
	if (image == NULL)
		return -1;
	if (image->inode == 0) {
		*ret_elf = read_vdso(process, image);
		return -1;
	}
	int fd = rmd_process_open_image(process, image);
	if (fd >= 0)
		*ret_path = strdup(image->path);
	return fd;
}

Dwfl *rmd_unwind_begin(struct rmd_process *process)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = find_elf,
		.find_debuginfo = dwfl_standard_find_debuginfo,
	};
	Dwfl *dwfl = dwfl_begin(&callbacks);
	if (dwfl == NULL)
		return NULL;
	dwfl_report_begin(dwfl);
	for (size_t i = 0; i < process->image_count; i++) {
		const struct rmd_process_image *image = &process->images[i];
		void **user;
		Dwfl_Module *module =
			dwfl_report_module(dwfl, image->path, image->start, image->end);
		if (module == NULL)
			continue;
		dwfl_module_info(module, &user, NULL, NULL, NULL, NULL, NULL, NULL);
		*user = process;
	}
	dwfl_report_end(dwfl, NULL, NULL);
	return dwfl;
}

/* ---- the process, as elfutils asks for it ---- */

static pid_t next_thread(Dwfl *dwfl, void *arg, void **thread)
{
	struct unwinding *unwinding = arg;
	(void)dwfl;
	if (*thread != NULL)
		return 0;
	*thread = unwinding;
	return unwinding->process->pid;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *arg, void **thread)
{
	(void)dwfl;
	(void)tid;
	*thread = arg;
	return true;
}

static bool read_word(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *ret, void *arg)
{
	struct unwinding *unwinding = arg;
	(void)dwfl;
	return rmd_process_read(unwinding->process, address, ret, sizeof *ret);
}

static bool set_registers(Dwfl_Thread *thread, void *arg)
{
	struct unwinding *unwinding = arg;
	return dwfl_thread_state_registers(thread, 0, REGISTERS, unwinding->registers);
}

/* ---- unwinding ---- */

static bool add_call(struct unwinding *unwinding, Dwfl *dwfl, uint64_t pc)
{
	if (unwinding->count == unwinding->max) {
		unwinding->more = true;
		return false;
	}
	unwinding->calls[unwinding->count++] =
		(struct rmd_call){pc, dwfl_addrmodule(dwfl, pc)};
	return true;
}

/* Whether the image says how to unwind from `pc`. Without that elfutils would go on by
 * the frame pointer, which may be anything. */
static bool unwindable(Dwfl_Module *module, uint64_t pc)
{
	Dwarf_Addr bias;
	Dwarf_Frame *frame = NULL;
	Dwarf_CFI *cfi = module != NULL ? dwfl_module_eh_cfi(module, &bias) : NULL;
	bool found = cfi != NULL && dwarf_cfi_addrframe(cfi, pc - bias, &frame) == 0;
	free(frame);
	if (found || module == NULL)
		return found;
	frame = NULL;
	cfi = dwfl_module_dwarf_cfi(module, &bias);
	found = cfi != NULL && dwarf_cfi_addrframe(cfi, pc - bias, &frame) == 0;
	free(frame);
	return found;
}

static int on_frame(Dwfl_Frame *frame, void *arg)
{
	struct unwinding *unwinding = arg;
	Dwfl *dwfl = dwfl_thread_dwfl(dwfl_frame_thread(frame));
	Dwarf_Addr pc;
	bool running;
	if (!dwfl_frame_pc(frame, &pc, &running) || pc == 0)
		return DWARF_CB_ABORT;
	if (!running)
		pc--; /* a return address lies behind its call */
	if (!rmd_process_runs(unwinding->process, pc) || !add_call(unwinding, dwfl, pc))
		return DWARF_CB_ABORT;
	Dwfl_Module *module = unwinding->calls[unwinding->count - 1].module;
	return unwindable(module, pc) ? DWARF_CB_OK : DWARF_CB_ABORT;
}

/* Whether an indirect call instruction ends at `address`: FF /2, with what may follow. */
static bool behind_call(const struct rmd_process *process, uint64_t address)
{
	uint8_t code[CALL_BYTES];
	if (!rmd_process_runs(process, address) ||
	    !rmd_process_read(process, address - sizeof code, code, sizeof code))
		return false;
	for (size_t len = 2; len <= sizeof code; len++) {
		const uint8_t *at = code + sizeof code - len;
		if (at[0] == 0xff && (at[1] & 0x38) == 0x10)
			return true;
	}
	return false;
}

/* A call through a bad pointer: nothing can be run where it went. Its caller is on top of
 * the stack, if that is behind a call. */
static bool step_out_of_nowhere(struct unwinding *unwinding)
{
	uint64_t *registers = unwinding->registers, caller;
	if (!rmd_process_read(unwinding->process, registers[SP_REGISTER], &caller,
			      sizeof caller) ||
	    !behind_call(unwinding->process, caller))
		return false;
	registers[PC_REGISTER] = caller - 1; /* as in the midst of the call */
	registers[SP_REGISTER] += sizeof caller;
	return true;
}

size_t rmd_unwind(Dwfl *dwfl, struct rmd_process *process, struct rmd_call *calls,
		  size_t max, bool *ret_more)
{
	static const Dwfl_Thread_Callbacks callbacks = {
		.next_thread = next_thread,
		.get_thread = get_thread,
		.memory_read = read_word,
		.set_initial_registers = set_registers,
	};
	struct unwinding unwinding = {.process = process, .calls = calls, .max = max};
	const remuda_local_CrashRecord *record = process->record;
	*ret_more = false;
	if (record->registers_count != REGISTERS)
		return 0;
	memcpy(unwinding.registers, record->registers, sizeof unwinding.registers);
	if (!rmd_process_runs(process, unwinding.registers[PC_REGISTER]) &&
	    !step_out_of_nowhere(&unwinding))
		return 0;
	if (!dwfl_attach_state(dwfl, NULL, process->pid, &callbacks, &unwinding))
		return 0;
	(void)dwfl_getthread_frames(dwfl, process->pid, on_frame, &unwinding);
	*ret_more = unwinding.more;
	return unwinding.count;
}
