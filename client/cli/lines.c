#include "client/cli/lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"

#define LINES_MAGIC 0x11ae5001u
#define READ_BYTES ((size_t)256 << 10)

void rmd_lines_init(struct rmd_lines *lines, int fd, char delimiter,
		    size_t line_max_bytes)
{
	*lines = (struct rmd_lines){
		.magic = LINES_MAGIC,
		.fd = fd,
		.delimiter = delimiter,
		.line_max_bytes = line_max_bytes,
	};
}

void rmd_lines_fini(struct rmd_lines *lines)
{
	RMD_CHECK_OBJ(lines, LINES_MAGIC);
	rmd_free(lines->data);
	*lines = (struct rmd_lines){0};
}

size_t rmd_lines_held_bytes(const struct rmd_lines *lines)
{
	RMD_CHECK_OBJ(lines, LINES_MAGIC);
	return lines->end - lines->begin;
}

/* Makes room for READ_BYTES behind the end. */
static int make_room(struct rmd_lines *lines)
{
	size_t held = lines->end - lines->begin, capacity = lines->capacity;
	char *data;

	if (lines->capacity - lines->end >= READ_BYTES)
		return 0;
	if (lines->begin > 0 &&
	    lines->begin >= held) { /* each byte moves at most once a round */
		memmove(lines->data, lines->data + lines->begin, held);
		lines->scanned -= lines->begin;
		lines->begin = 0;
		lines->end = held;
	}
	if (lines->capacity - lines->end >= READ_BYTES)
		return 0;
	while (capacity - lines->end < READ_BYTES)
		capacity = capacity == 0 ? READ_BYTES * 2 : capacity * 2;
	data = rmd_realloc(lines->data, capacity);
	if (data == NULL)
		return RMD_ENOMEM;
	lines->data = data;
	lines->capacity = capacity;
	return 0;
}

static uint64_t count_delimiters(const char *data, size_t len, char delimiter)
{
	uint64_t count = 0;

	for (const char *end = data + len; data < end; data++) {
		data = memchr(data, delimiter, (size_t)(end - data));
		if (data == NULL)
			break;
		count++;
	}
	return count;
}

int rmd_lines_fill(struct rmd_lines *lines)
{
	RMD_CHECK_OBJ(lines, LINES_MAGIC);
	if (lines->ended)
		return 0;
	int rc = make_room(lines);
	if (rc < 0)
		return rc;
	ssize_t got = read(lines->fd, lines->data + lines->end, READ_BYTES);
	if (got < 0)
		return errno == EINTR || errno == EAGAIN ? RMD_EAGAIN : RMD_ESYS;
	if (got == 0) {
		lines->ended = true;
		if (lines->skipping || (lines->end > lines->begin &&
					lines->data[lines->end - 1] != lines->delimiter))
			lines->lines_read++; /* the last one lacks its delimiter */
		return 0;
	}
	lines->lines_read +=
		count_delimiters(lines->data + lines->end, (size_t)got, lines->delimiter);
	lines->bytes_read += (uint64_t)got;
	lines->end += (size_t)got;
	return 1;
}

/* Forgets all that is held; what follows belongs to a line that is too long. */
static int skip_held(struct rmd_lines *lines)
{
	lines->begin = lines->scanned = lines->end = 0;
	lines->skipping = !lines->ended;
	return lines->ended ? RMD_ETOOBIG : RMD_EAGAIN;
}

int rmd_lines_next(struct rmd_lines *lines, struct rmd_slice *ret_line)
{
	RMD_CHECK_OBJ(lines, LINES_MAGIC);
	const char *at = NULL;
	size_t len;

	if (lines->end > lines->scanned)
		at = memchr(lines->data + lines->scanned, lines->delimiter,
			    lines->end - lines->scanned);
	if (at == NULL && !lines->ended) {
		lines->scanned = lines->end;
		len = lines->end - lines->begin;
		return lines->skipping || len > lines->line_max_bytes ? skip_held(lines)
								      : RMD_EAGAIN;
	}
	if (at == NULL && lines->begin == lines->end && !lines->skipping)
		return 0;
	size_t line_end = at != NULL ? (size_t)(at - lines->data) : lines->end;
	bool too_long = lines->skipping ||
			line_end - lines->begin > lines->line_max_bytes;
	*ret_line = rmd_slice_of(lines->data + lines->begin, line_end - lines->begin);
	lines->begin = lines->scanned = at != NULL ? line_end + 1 : line_end;
	lines->skipping = false;
	return too_long ? RMD_ETOOBIG : 1;
}
