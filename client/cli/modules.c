#include "client/cli/modules.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/exit.h"
#include "client/cli/report.h"
#include "proto/base/alloc.h"

#define MODULES_MAX 64u

int rmd_modules_resolve(const struct rmd_option_texts *modules,
			struct rmd_option_texts *ret_paths)
{
	*ret_paths = (struct rmd_option_texts){0};
	if (modules->count == 0)
		return RMD_EXIT_OK;
	if (modules->count > MODULES_MAX) {
		rmd_report("--module can be given at most %u times", MODULES_MAX);
		return RMD_EXIT_USAGE;
	}
	ret_paths->items = rmd_calloc(modules->count + 1, sizeof *ret_paths->items);
	if (ret_paths->items == NULL)
		return rmd_report_no_memory();
	for (size_t i = 0; i < modules->count; i++) {
		char *path = realpath(modules->items[i], NULL);

		if (path == NULL || access(path, R_OK) < 0) {
			rmd_report("--module %s: %s", modules->items[i], strerror(errno));
			free(path);
			return RMD_EXIT_USAGE;
		}
		ret_paths->items[ret_paths->count++] = path;
	}
	return RMD_EXIT_OK;
}

void rmd_modules_free(struct rmd_option_texts *paths)
{
	for (size_t i = 0; i < paths->count; i++)
		free((char *)(uintptr_t)paths->items[i]);
	rmd_free(paths->items);
	*paths = (struct rmd_option_texts){0};
}
