#include "worker/crash/helper/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proto/base/errcode.h"

#define LINES_MAX 65536 /* of /proc/PID/maps */

bool rmd_process_read(const struct rmd_process *process, uint64_t address, void *ret,
		      size_t len)
{
	struct iovec here = {ret, len};
	struct iovec there = {(void *)(uintptr_t)address, len};
	return process_vm_readv(process->pid, &here, 1, &there, 1, 0) == (ssize_t)len;
}

bool rmd_process_runs(const struct rmd_process *process, uint64_t address)
{
	for (size_t i = 0; i < process->code_count; i++)
		if (address >= process->code[i].start && address < process->code[i].end)
			return true;
	return false;
}

const struct rmd_process_image *rmd_process_image_at(const struct rmd_process *process,
						     uint64_t start)
{
	for (size_t i = 0; i < process->image_count; i++)
		if (process->images[i].start == start)
			return &process->images[i];
	return NULL;
}

/* ---- its files ---- */

/* The agent's descriptor for a file without a path; -1: it has none. */
static int module_fd(const struct rmd_process *process,
		     const struct rmd_process_image *image, const char **ret_name)
{
	for (size_t i = 0; i < RMD_CRASH_MODULES_MAX && process->module_names[i] != NULL;
	     i++) {
		int fd = RMD_CRASH_MODULE_FD + (int)i;
		struct stat st;
		if (fstat(fd, &st) == 0 && st.st_ino == image->inode &&
		    st.st_dev == image->device) {
			*ret_name = process->module_names[i];
			return fd;
		}
	}
	return -1;
}

static void add_image(struct rmd_process *process, const struct rmd_process_image *image,
		      const char *path)
{
	struct rmd_process_image *last =
		process->image_count == 0 ? NULL
					  : &process->images[process->image_count - 1];
	if (last != NULL && last->inode == image->inode &&
	    last->device == image->device && strcmp(last->path, path) == 0) {
		last->end = image->end;
		return;
	}
	if (process->image_count == RMD_PROCESS_IMAGES_MAX)
		return;
	struct rmd_process_image *added = &process->images[process->image_count];
	*added = *image;
	added->path = strdup(path);
	if (added->path == NULL)
		return;
	added->name = added->path;
	(void)module_fd(process, added, &added->name);
	process->image_count++;
}

static void read_line(struct rmd_process *process, char *line)
{
	struct rmd_process_image image = {0};
	unsigned major_number, minor_number;
	uint64_t inode;
	char rights[5];
	int path_at = 0;
	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %x:%x %" SCNu64 " %n",
		   &image.start, &image.end, rights, &major_number, &minor_number, &inode,
		   &path_at) < 6 ||
	    path_at == 0)
		return;
	if (rights[2] == 'x' && process->code_count < RMD_PROCESS_CODE_MAX)
		process->code[process->code_count++] =
			(struct rmd_process_code){image.start, image.end};
	image.inode = inode;
	image.device = makedev(major_number, minor_number);
	if (inode != 0 || strcmp(line + path_at, "[vdso]") == 0)
		add_image(process, &image, line + path_at);
}

static void find_program(struct rmd_process *process)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof path, "/proc/%d/exe", (int)process->pid);
	if (stat(path, &st) < 0)
		return;
	for (size_t i = 0; i < process->image_count; i++)
		process->images[i].program = process->images[i].inode == st.st_ino &&
					     process->images[i].device == st.st_dev;
}

int rmd_process_open(struct rmd_process *process, pid_t pid,
		     const remuda_local_CrashRecord *record, char *const *module_names)
{
	char path[64], *line = NULL;
	size_t room = 0;
	process->pid = pid;
	process->record = record;
	process->module_names = module_names;
	snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return RMD_ESYS;
	for (int i = 0; i < LINES_MAX && getline(&line, &room, file) > 0; i++)
		read_line(process, line);
	free(line);
	fclose(file);
	find_program(process);
	return process->image_count > 0 ? 0 : RMD_ESYS;
}

/* What the worker knew of the image when it loaded it. */
static const remuda_local_Image *noted(const struct rmd_process *process,
				       const struct rmd_process_image *image)
{
	const remuda_local_Image *found = rmd_crash_image(process->record, image->start);
	return found != NULL && found->build_id.size > 0 ? found : NULL;
}

/* Whether the file's build-id is the one that the worker noted: for file systems that
 * show other numbers in a process's map than in a stat. */
static bool same_build_id(int fd, const remuda_local_Image *image)
{
	const void *id;
	Elf *elf = image != NULL ? elf_begin(fd, ELF_C_READ_MMAP, NULL) : NULL;
	if (elf == NULL)
		return false;
	ssize_t len = dwelf_elf_gnu_build_id(elf, &id);
	bool same = len > 0 && (size_t)len == image->build_id.size &&
		    memcmp(id, image->build_id.bytes, (size_t)len) == 0;
	elf_end(elf);
	return same;
}

int rmd_process_open_image(const struct rmd_process *process,
			   const struct rmd_process_image *image)
{
	const char *unused;
	struct stat st;
	int module = module_fd(process, image, &unused);
	if (module >= 0)
		return fcntl(module, F_DUPFD_CLOEXEC, 0);
	/* Not to wait for somebody at a fifo's other end. */
	int fd = open(image->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    ((st.st_ino == image->inode && st.st_dev == image->device) ||
	     same_build_id(fd, noted(process, image))))
		return fd;
	close(fd);
	return -1;
}
