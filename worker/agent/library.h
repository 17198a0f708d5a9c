/* worker/agent/library.h: what this host's loader would find.
 *
 * Any thread. */
#pragma once

#include <link.h>
#include <stdbool.h>

/* The ELF header of the running program, borrowed for ever; NULL: it cannot be seen. */
const ElfW(Ehdr) * rmd_library_own_header(void);
/* The path of the host's loader, as the running program names it; "": it has none.
 * Borrowed for ever. */
const char *rmd_library_loader(void);
/* The loader finds the library `name` ("libm.so.6"): in a folder of `path` (separated by
 * colons; those with $ are taken to have it; NULL: none), in its cache or its own
 * folders. */
bool rmd_library_here(const char *name, const char *path);
