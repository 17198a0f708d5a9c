/* proto/base/digest.h: SHA-256 (FIPS 180-4), by OpenSSL. Blobs and images are named by
 * it. Also the random bytes of ids. Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"

#define RMD_DIGEST_BYTES 32u
#define RMD_DIGEST_HEX_BYTES 65u  /* with the NUL */

struct rmd_digest {
	uint8_t bytes[RMD_DIGEST_BYTES];
};

/* The digest of `bytes`. RMD_ENOMEM: OpenSSL could not. */
int rmd_digest_of(struct rmd_slice bytes, struct rmd_digest *ret_digest);
/* The digest of all that can be read from `fd`, from its present position. RMD_ESYS. */
int rmd_digest_of_fd(int fd, struct rmd_digest *ret_digest);
/* Writes 64 lower-case hex digits and a NUL to `ret_hex`. */
void rmd_digest_hex(const struct rmd_digest *digest, char ret_hex[RMD_DIGEST_HEX_BYTES]);
bool rmd_digest_equal(const struct rmd_digest *a, const struct rmd_digest *b);
/* Fills `len` bytes from getrandom(2). Aborts where the kernel has none to give. */
void rmd_random_bytes(void *ret_bytes, size_t len);
