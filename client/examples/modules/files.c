/* files: functions over files of the worker's host.
 *
 *	find . -type f | remuda map -r native:files.sha256 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <remuda/task.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

REMUDA_MODULE("files");

#define PIECE_BYTES (64 * 1024)

/* Raises what errno says of `path`. */
static void raise_errno(const char *what, const char *path)
{
	int saved = errno;
	remuda_raise(saved == ENOENT ? "FileNotFound" : "FileError", "%s %s: %s", what, path,
		     strerror(saved));
}

/* Reads `fd` to its end into the digest; 0, or -1 with an error raised. */
static int digest_fd(remuda_ctx *ctx, EVP_MD_CTX *digest, int fd, const char *path)
{
	unsigned char piece[PIECE_BYTES];
	for (;;) {
		ssize_t n = read(fd, piece, PIECE_BYTES);
		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			raise_errno("cannot read", path);
			return -1;
		}
		if (remuda_cancelled(ctx)) {
			remuda_raise("Cancelled", "%s: cancelled while it was read", path);
			return -1;
		}
		if (EVP_DigestUpdate(digest, piece, (size_t)n) != 1) {
			remuda_raise("DigestError", "%s: OpenSSL cannot compute SHA-256", path);
			return -1;
		}
	}
}

/* Opens a file that can be read to its end: -1 with an error raised. */
static int open_file(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		raise_errno("cannot open", path);
		return -1;
	}
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	remuda_raise("FileError", "%s: not a regular file", path);
	return -1;
}

/* The SHA-256 of the file at `path`, as 64 hex digits. */
REMUDA_TASK(const char *, sha256, (remuda_ctx *, ctx), (const char *, path))
{
	static const char digits[] = "0123456789abcdef";
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	char *hex = NULL;
	int fd = open_file(path);
	if (fd < 0)
		return NULL;
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	if (digest == NULL || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1) {
		remuda_raise("DigestError", "%s: OpenSSL cannot begin SHA-256", path);
		goto out;
	}
	if (digest_fd(ctx, digest, fd, path) < 0)
		goto out;
	if (EVP_DigestFinal_ex(digest, bytes, &len) != 1) {
		remuda_raise("DigestError", "%s: OpenSSL cannot end SHA-256", path);
		goto out;
	}
	hex = remuda_alloc(ctx, 2 * (size_t)len + 1);
	if (hex == NULL)
		goto out;
	for (unsigned i = 0; i < len; i++) {
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	hex[2 * len] = '\0';
out:
	EVP_MD_CTX_free(digest);
	close(fd);
	return hex;
}
