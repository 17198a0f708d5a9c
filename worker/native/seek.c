/* Modules that nobody named: PREFIX.so in the folders of installed modules, loaded when a
 * function PREFIX.NAME is first asked for. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/native/functions.h"

#define PATH_BYTES 4096

/* The part before the last dot, as a file's name; false: it cannot be one. */
static bool prefix_of(struct rmd_slice name, char ret_prefix[RMD_FUNCTION_NAME_MAX + 1])
{
	const void *dot = name.len == 0 ? NULL : memrchr(name.data, '.', name.len);
	if (dot == NULL || dot == name.data || name.len > RMD_FUNCTION_NAME_MAX)
		return false;
	size_t len = (size_t)((const uint8_t *)dot - name.data);
	for (size_t i = 0; i < len; i++)
		if (!isalnum(name.data[i]) && strchr("_-", name.data[i]) == NULL)
			return false; /* no slash, no dot: it stays in its folder */
	memcpy(ret_prefix, name.data, len);
	ret_prefix[len] = '\0';
	return true;
}

/* Loads FOLDER/PREFIX.so if that is there: 1; 0: it is not; a code as rmd_functions_load.
 */
static int try_folder(struct rmd_functions *functions, const char *folder,
		      size_t folder_len, const char *prefix,
		      struct remuda_error **ret_err)
{
	char path[PATH_BYTES];
	int len = snprintf(path, sizeof path, "%.*s/%s.so", (int)folder_len, folder,
			   prefix);
	if (folder_len == 0 || len >= (int)sizeof path || access(path, R_OK) != 0)
		return 0;
	int rc = rmd_functions_load(functions, path, ret_err);
	return rc < 0 ? rc : 1;
}

/* The folders of REMUDA_MODULE_PATH, separated by colons. */
static int try_path(struct rmd_functions *functions, const char *prefix,
		    struct remuda_error **ret_err)
{
	const char *at = getenv("REMUDA_MODULE_PATH");
	int rc = 0;
	while (at != NULL && rc == 0) {
		size_t len = strcspn(at, ":");
		rc = try_folder(functions, at, len, prefix, ret_err);
		at = at[len] == ':' ? at + len + 1 : NULL;
	}
	return rc;
}

/* The folders where modules lie beside our own program, built or installed. */
static int try_own(struct rmd_functions *functions, const char *prefix,
		   struct remuda_error **ret_err)
{
	static const char *const relative[] = {"../lib/remuda/modules",
					       RMD_MODULE_FOLDER};
	char self[PATH_BYTES], folder[PATH_BYTES + 128];
	ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
	if (len <= 0)
		return 0;
	self[len] = '\0';
	char *slash = strrchr(self, '/');
	if (slash == NULL)
		return 0;
	*slash = '\0';
	int rc = 0;
	for (size_t i = 0; i < 2 && rc == 0; i++) {
		int room = snprintf(folder, sizeof folder, "%s/%s", self, relative[i]);
		rc = try_folder(functions, folder, (size_t)room, prefix, ret_err);
	}
	return rc;
}

int rmd_functions_seek(struct rmd_functions *functions, struct rmd_slice name,
		       struct remuda_error **ret_err)
{
	char prefix[RMD_FUNCTION_NAME_MAX + 1];
	if (!prefix_of(name, prefix))
		return 0;
	for (size_t i = 0; i < functions->module_count; i++)
		if (strcmp(functions->modules[i].module->prefix, prefix) == 0)
			return 0; /* loaded: it just has no such function */
	int rc = try_path(functions, prefix, ret_err);
	return rc != 0 ? rc : try_own(functions, prefix, ret_err);
}
