#include "worker/native/object.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/crash/catch.h"
#include "worker/native/captured.h"
#include "worker/protocol/protocol.h"

#define WANTED_MAX 512u

/* "PATH NAME": how the agent says it. */
static char wanted[WANTED_MAX];
static const char *name_wanted = "";

const char *rmd_object_wanted(void)
{
	const char *said = getenv(RMD_CAPTURE_OBJECT_VARIABLE);
	if (said == NULL || strlen(said) >= sizeof wanted)
		return NULL;
	memcpy(wanted, said, strlen(said) + 1);
	(void)unsetenv(RMD_CAPTURE_OBJECT_VARIABLE);
	char *space = strchr(wanted, ' ');
	if (space != NULL) {
		*space = '\0';
		name_wanted = space + 1;
	}
	return wanted;
}

struct rmd_captured *rmd_object_load(struct rmd_functions *functions)
{
	void *handle = dlopen(wanted, RTLD_NOW | RTLD_LOCAL);
	struct link_map *map = NULL;
	if (handle == NULL || dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0 || map == NULL) {
		const char *reason = dlerror();
		fprintf(stderr, "the captured library %s cannot be loaded: %s\n",
			name_wanted, reason != NULL ? reason : "dlopen gives no reason");
		return NULL;
	}
	rmd_catch_note_images();
	return rmd_captured_create(functions, map->l_ld, name_wanted);
}
