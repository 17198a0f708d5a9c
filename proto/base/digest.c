#include "proto/base/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <sys/random.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"

#define READ_BYTES (256u * 1024u)

int rmd_digest_of(struct rmd_slice bytes, struct rmd_digest *ret_digest)
{
	unsigned len = RMD_DIGEST_BYTES;
	int ok = EVP_Digest(bytes.data, bytes.len, ret_digest->bytes, &len, EVP_sha256(), NULL);
	return ok == 1 ? 0 : RMD_ENOMEM;
}

int rmd_digest_of_fd(int fd, struct rmd_digest *ret_digest)
{
	int rc = RMD_ENOMEM;
	uint8_t *chunk = rmd_malloc(READ_BYTES);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	if (chunk == NULL || ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		goto out;
	for (;;) {
		ssize_t n = read(fd, chunk, READ_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = RMD_ESYS;
			goto out;
		}
		if (n == 0)
			break;
		if (EVP_DigestUpdate(ctx, chunk, (size_t)n) != 1)
			goto out;
	}
	if (EVP_DigestFinal_ex(ctx, ret_digest->bytes, NULL) == 1)
		rc = 0;
out:;
	int saved_errno = errno;
	EVP_MD_CTX_free(ctx);
	rmd_free(chunk);
	errno = saved_errno;
	return rc;
}

void rmd_digest_hex(const struct rmd_digest *digest, char ret_hex[RMD_DIGEST_HEX_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < RMD_DIGEST_BYTES; i++) {
		ret_hex[2 * i] = digits[digest->bytes[i] >> 4];
		ret_hex[2 * i + 1] = digits[digest->bytes[i] & 15];
	}
	ret_hex[2 * RMD_DIGEST_BYTES] = '\0';
}

bool rmd_digest_equal(const struct rmd_digest *a, const struct rmd_digest *b)
{
	return memcmp(a->bytes, b->bytes, RMD_DIGEST_BYTES) == 0;
}

void rmd_random_bytes(void *ret_bytes, size_t len)
{
	uint8_t *at = ret_bytes;
	while (len > 0) {
		ssize_t n = getrandom(at, len, 0);
		RMD_CHECK(n > 0 || errno == EINTR);
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
}
