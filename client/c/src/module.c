/* remuda_module_push, and what it has in common with images: Blobs.FindMissing, and
 * Blobs.Put where it is missing. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/c/src/blob.h"
#include "client/c/src/client.h"
#include "proto/base/digest.h"
#include "proto/base/errcode.h"
#include "proto/codec/wire.h"
#include "proto/task/module_file.h"

#define MODULE_MAX_BYTES (UINT64_C(1) << 30)
#define PIECE_BYTES      (1u << 20)
#define ASK_TIMEOUT_MS   30000u
#define PUT_TIMEOUT_MS   600000u
#define NAME_MAX_BYTES   256u

/* Fields of remuda.v1.FindMissingRequest, FindMissingResponse, PutRequest and BlobInfo.
 */
enum {
	FIND_DIGESTS = 1,
	FIND_PURPOSE = 2,
	FOUND_MISSING = 1,
	PUT_INFO = 1,
	PUT_DATA = 2,
	INFO_DIGEST = 1,
	INFO_SIZE = 2,
	INFO_NAME = 3,
	INFO_PURPOSE = 4,
};

struct upload {
	int fd;
	const char *path;
	const char *purpose;
	uint64_t size_bytes, offset;
	struct rmd_digest digest;
	bool begun;
};

static void put_info(const struct upload *upload, struct rmd_wire_writer *writer)
{
	const char *slash = strrchr(upload->path, '/');
	const char *name = slash == NULL ? upload->path : slash + 1;
	struct rmd_wire_nest nest = rmd_wire_open(writer, PUT_INFO);
	rmd_wire_put_bytes(writer, INFO_DIGEST,
			   rmd_slice_of(upload->digest.bytes, RMD_DIGEST_BYTES));
	rmd_wire_put_varint_nz(writer, INFO_SIZE, upload->size_bytes);
	if (strlen(name) <= NAME_MAX_BYTES &&
	    rmd_wire_utf8_valid(rmd_slice_of_string(name)))
		rmd_wire_put_bytes_nz(writer, INFO_NAME, rmd_slice_of_string(name));
	rmd_wire_put_bytes(writer, INFO_PURPOSE, rmd_slice_of_string(upload->purpose));
	rmd_wire_close(writer, nest);
}

/* The next PutRequest. A file that shrinks meanwhile is cut short, and the coordinator,
 * which verifies the digest, refuses it. */
static bool next_piece(void *ctx, struct rmd_wire_writer *writer)
{
	struct upload *upload = ctx;
	if (upload->begun && upload->offset == upload->size_bytes)
		return false;
	if (!upload->begun)
		put_info(upload, writer);
	upload->begun = true;
	size_t want = upload->size_bytes - upload->offset < PIECE_BYTES
			      ? (size_t)(upload->size_bytes - upload->offset)
			      : PIECE_BYTES;
	if (want == 0)
		return true;
	rmd_wire_put_len_header(writer, PUT_DATA, want);
	uint8_t *to = rmd_wire_reserve(writer, want);
	size_t have = 0;
	while (to != NULL && have < want) {
		ssize_t n = pread(upload->fd, to + have, want - have,
				  (off_t)(upload->offset + have));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			memset(to + have, 0, want - have); /* the digest will tell */
			break;
		}
		have += (size_t)n;
	}
	upload->offset += want;
	return true;
}

static int push(struct remuda *client, struct upload *upload,
		struct remuda_error **ret_err)
{
	struct rmd_wire_writer request = {0};
	struct rmd_buf *response = NULL;
	rmd_wire_put_bytes(&request, FIND_DIGESTS,
			   rmd_slice_of(upload->digest.bytes, RMD_DIGEST_BYTES));
	/* A module that is there already is from now on the newest of its prefix. */
	rmd_wire_put_bytes(&request, FIND_PURPOSE, rmd_slice_of_string(upload->purpose));
	struct rmd_client_call find = {
		.path = "/remuda.v1.Blobs/FindMissing",
		.request = rmd_slice_of(request.data, request.len),
		.timeout_ms = ASK_TIMEOUT_MS,
	};
	int code = request.failed ? REMUDA_ENOMEM
				  : rmd_client_call(client, &find, &response, ret_err);
	rmd_wire_writer_fini(&request);
	if (code < 0)
		return code;
	bool missing = false;
	struct rmd_wire_field field;
	struct rmd_wire_reader reader = rmd_wire_reader_of(
		response != NULL ? rmd_buf_slice(response) : rmd_slice_of(NULL, 0));
	while (rmd_wire_next(&reader, &field) > 0)
		missing = missing ||
			  (field.number == FOUND_MISSING && field.type == RMD_WIRE_LEN);
	rmd_buf_unref(response);
	if (!missing)
		return 0;
	struct rmd_client_call put = {
		.path = "/remuda.v1.Blobs/Put",
		.next_message = next_piece,
		.ctx = upload,
		.timeout_ms = PUT_TIMEOUT_MS,
	};
	response = NULL;
	code = rmd_client_call(client, &put, &response, ret_err);
	rmd_buf_unref(response);
	return code;
}

int rmd_blob_push(struct remuda *client, const struct rmd_blob_file *file,
		  struct remuda_error **ret_err)
{
	struct upload upload = {.fd = file->fd,
				.path = file->name,
				.purpose = file->purpose,
				.size_bytes = file->size_bytes,
				.digest = file->digest};
	return push(client, &upload, ret_err);
}

static int not_readable(const struct upload *upload, int failure,
			struct remuda_error **ret_err)
{
	*ret_err = remuda_error_create("ModuleNotReadable", "cannot read the module %s: %s",
				       upload->path, strerror(failure));
	return failure == ENOENT ? REMUDA_ENOTFOUND : REMUDA_ESYS;
}

/* A person's slip, told before a worker meets it. */
static int check(const struct upload *upload, struct remuda_error **ret_err)
{
	struct rmd_module_facts facts;
	const char *why;
	void *bytes = mmap(NULL, (size_t)upload->size_bytes, PROT_READ, MAP_PRIVATE,
			   upload->fd, 0);
	if (bytes == MAP_FAILED)
		return not_readable(upload, errno, ret_err);
	int rc = rmd_module_file_read(rmd_slice_of(bytes, (size_t)upload->size_bytes),
				      &facts, &why);
	munmap(bytes, (size_t)upload->size_bytes);
	if (rc == 0)
		return 0;
	*ret_err = remuda_error_create("ModuleError", "module %s: %s", upload->path, why);
	return REMUDA_EINVAL;
}

/* Opens the file, looks whether it is a module, and finds its digest. */
static int prepare(struct upload *upload, struct remuda_error **ret_err)
{
	struct stat st;
	upload->fd = open(upload->path, O_RDONLY | O_CLOEXEC);
	if (upload->fd < 0 || fstat(upload->fd, &st) < 0)
		return not_readable(upload, errno, ret_err);
	if (!S_ISREG(st.st_mode) || st.st_size == 0 ||
	    (uint64_t)st.st_size > MODULE_MAX_BYTES) {
		*ret_err = remuda_error_create(
			"ModuleNotReadable",
			"the module %s is not a regular file of 1 byte to 1 GiB",
			upload->path);
		return REMUDA_EINVAL;
	}
	upload->size_bytes = (uint64_t)st.st_size;
	int code = check(upload, ret_err);
	if (code < 0)
		return code;
	if (rmd_digest_of_fd(upload->fd, &upload->digest) < 0)
		return not_readable(upload, errno, ret_err);
	return 0;
}

int remuda_module_push(struct remuda *client, const char *path, uint8_t ret_digest[32],
		       struct remuda_error **ret_err)
{
	struct upload upload = {.fd = -1, .path = path, .purpose = "module"};
	struct remuda_error *err = NULL;
	int code = remuda_status(client, &err);
	if (code == 0)
		code = prepare(&upload, &err);
	if (code == 0)
		code = push(client, &upload, &err);
	if (code == 0)
		memcpy(ret_digest, upload.digest.bytes, RMD_DIGEST_BYTES);
	if (upload.fd >= 0)
		close(upload.fd);
	if (err == NULL && code < 0)
		err = remuda_error_create("OutOfMemory", "for a module");
	if (ret_err != NULL && err != NULL)
		*ret_err = err;
	else
		remuda_error_free(err);
	return code;
}
