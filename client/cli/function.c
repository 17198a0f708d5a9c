#include "client/cli/function.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "client/cli/exit.h"
#include "client/cli/nearest.h"
#include "client/cli/report.h"
#include "proto/base/buf.h"
#include "proto/codec/wire.h"

#define NAME_MAX_BYTES 512u

static const char *const runtimes[] = {"native", "python"};

static bool runtime_known(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++)
		if (strlen(runtimes[i]) == len && memcmp(runtimes[i], name, len) == 0)
			return true;
	return false;
}

static int report_runtime(const char *name, size_t len)
{
	char runtime[64];
	struct rmd_nearest search = {.word = runtime};

	if (len < sizeof runtime) {
		memcpy(runtime, name, len);
		runtime[len] = 0;
		for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++)
			rmd_nearest_offer(&search, runtimes[i]);
	}
	if (search.best != NULL)
		rmd_report("'%s': there is no runtime '%.*s': did you mean %s:%s?", name,
			   (int)len, name, search.best, name + len + 1);
	else
		rmd_report("'%s': there is no runtime '%.*s': it is native: (functions "
			   "of modules) or "
			   "python:",
			   name, (int)len, name);
	return RMD_EXIT_USAGE;
}

int rmd_function_check(const char *name)
{
	const char *colon = strchr(name, ':');
	size_t len = strlen(name);

	if (len > NAME_MAX_BYTES || !rmd_wire_utf8_valid(rmd_slice_of(name, len))) {
		rmd_report("a function's name is UTF-8 text of at most %u bytes",
			   NAME_MAX_BYTES);
		return RMD_EXIT_USAGE;
	}
	if (colon == NULL && strchr(name, '.') != NULL) {
		rmd_report("'%s' lacks its runtime: did you mean native:%s or python:%s?",
			   name, name, name);
		return RMD_EXIT_USAGE;
	}
	if (colon == NULL || colon[1] == 0) {
		rmd_report("'%s' is no function: it must be RUNTIME:NAME, as in "
			   "native:demo.square",
			   name);
		return RMD_EXIT_USAGE;
	}
	if (!runtime_known(name, (size_t)(colon - name)))
		return report_runtime(name, (size_t)(colon - name));
	return RMD_EXIT_OK;
}
