/* Modules that were pushed: memfds that the agent hands down, under the names that they
 * were pushed with. What a client pushes may be bad; the worker, and what it runs for
 * others, is none the worse for it. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/errcode.h"
#include "proto/error/chain.h"
#include "worker/native/functions.h"

#define FOLDER "/proc/self/fd/"
#define MEMFD "/memfd:"
#define TAIL " (deleted)"

bool rmd_functions_pushed(const char *path, char ret_name[PATH_MAX])
{
	char link[PATH_MAX];
	if (strncmp(path, FOLDER, sizeof FOLDER - 1) != 0)
		return false;
	ssize_t len = readlink(path, link, sizeof link - 1);
	if (len < 0 || strncmp(link, MEMFD, sizeof MEMFD - 1) != 0)
		return false;
	link[len] = '\0';
	size_t name_len = (size_t)len - (sizeof MEMFD - 1);
	const char *name = link + sizeof MEMFD - 1;
	if (name_len > sizeof TAIL - 1 &&
	    strcmp(name + name_len - (sizeof TAIL - 1), TAIL) == 0)
		name_len -= sizeof TAIL - 1;
	memcpy(ret_name, name, name_len);
	ret_name[name_len] = '\0';
	return true;
}

bool rmd_functions_prefix_pushed(const struct rmd_functions *functions,
				 const char *prefix)
{
	for (size_t i = 0; i < functions->module_count; i++)
		if (functions->modules[i].pushed &&
		    strcmp(functions->modules[i].module->prefix, prefix) == 0)
			return true;
	for (size_t i = 0; i < functions->fault_count; i++)
		if (strcmp(functions->faults[i].prefix, prefix) == 0)
			return true;
	return false;
}

/* Reads the prefix from the file itself: it may not have been loaded at all. */
static void read_facts(const char *path, struct rmd_module_facts *ret_facts)
{
	struct stat st;
	const char *why;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
		size_t size = (size_t)st.st_size;
		void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes != MAP_FAILED) {
			(void)rmd_module_file_read(rmd_slice_of(bytes, size), ret_facts,
						   &why);
			munmap(bytes, size);
		}
	}
	if (fd >= 0)
		close(fd);
}

/* Takes `err`. */
static void keep_fault(struct rmd_functions *functions, const char *path,
		       struct remuda_error *err)
{
	struct rmd_module_facts facts = {{0}, 0};
	struct rmd_module_fault *faults = rmd_realloc(
		functions->faults, (functions->fault_count + 1) * sizeof *faults);
	if (faults == NULL) {
		remuda_error_free(err);
		return;
	}
	read_facts(path, &facts);
	functions->faults = faults;
	struct rmd_module_fault *fault = &faults[functions->fault_count++];
	memcpy(fault->prefix, facts.prefix, sizeof fault->prefix);
	fault->err = err;
}

int rmd_functions_load_all(struct rmd_functions *functions, const char *const *paths,
			   size_t count, struct remuda_error **ret_err)
{
	char name[PATH_MAX];
	for (size_t i = 0; i < count; i++) {
		struct remuda_error *err = NULL;
		if (rmd_functions_pushed(paths[i], name) &&
		    rmd_functions_load(functions, paths[i], &err) < 0)
			keep_fault(functions, paths[i], err);
	}
	for (size_t i = 0; i < count; i++)
		if (!rmd_functions_pushed(paths[i], name) &&
		    rmd_functions_load(functions, paths[i], ret_err) < 0)
			return RMD_EINVAL;
	return 0;
}
