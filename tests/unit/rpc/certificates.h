/* tests/unit/rpc/certificates.h: certificates for tests, made afresh, in a folder. */
#pragma once

#include <stdbool.h>

/* What NAME.crt and NAME.key shall be. */
struct certificate {
	const char *name;
	const char *issuer;   /* the name of one made before; NULL: itself */
	const char *dns;      /* what host it is for; NULL: it is an authority */
	long from_s, until_s; /* from now; both 0: for an hour */
	bool weak;	      /* RSA of 1024 bits */
};

/* Writes NAME.crt and NAME.key to `folder`. */
void certificate_make(const char *folder, const struct certificate *wanted);
/* "FOLDER/NAME.SUFFIX"; the caller frees it. */
char *certificate_path(const char *folder, const char *name, const char *suffix);
/* Removes NAME.crt and NAME.key. */
void certificate_remove(const char *folder, const char *name);
