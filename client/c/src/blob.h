/* client/c/src/blob.h: sends a file to the coordinator, where it lacks it.
 *
 * Any thread but the client's own. */
#pragma once

#include "client/c/src/client.h"

/* A file whose digest is known. Borrowed for the call. */
struct rmd_blob_file {
	int fd;
	const char *name;    /* for people */
	const char *purpose; /* "module", "image" */
	uint64_t size_bytes;
	struct rmd_digest digest;
};

/* Blobs.FindMissing, and Blobs.Put where it is missing; waits. Codes as rmd_client_call.
 */
int rmd_blob_push(struct remuda *client, const struct rmd_blob_file *file,
		  struct remuda_error **ret_err);
