#include "client/cli/output.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "client/cli/report.h"
#include "proto/base/alloc.h"
#include "proto/base/check.h"

#define OUTPUT_MAGIC 0x00709701u

struct piece {
	STAILQ_ENTRY(piece) link;
	uint64_t line, dropped_bytes;
	size_t len;
	char data[];
};

STAILQ_HEAD(pieces, piece);

struct rmd_output {
	uint32_t magic;
	int event_fd;	      /* owned */
	pthread_mutex_t lock; /* guards what follows, but for the tagger */
	struct pieces pieces; /* owned */
	size_t held_bytes;
	uint64_t dropped_bytes;	  /* since the last piece that was kept */
	struct rmd_tagger tagger; /* main thread */
};

struct rmd_output *rmd_output_create(void)
{
	struct rmd_output *output = rmd_calloc(1, sizeof *output);

	if (output == NULL)
		return NULL;
	output->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (output->event_fd < 0) {
		rmd_free(output);
		return NULL;
	}
	output->magic = OUTPUT_MAGIC;
	pthread_mutex_init(&output->lock, NULL);
	STAILQ_INIT(&output->pieces);
	return output;
}

void rmd_output_destroy(struct rmd_output *output)
{
	struct piece *piece;

	if (output == NULL)
		return;
	RMD_CHECK_OBJ(output, OUTPUT_MAGIC);
	while ((piece = STAILQ_FIRST(&output->pieces)) != NULL) {
		STAILQ_REMOVE_HEAD(&output->pieces, link);
		rmd_free(piece);
	}
	close(output->event_fd);
	pthread_mutex_destroy(&output->lock);
	output->magic = 0;
	rmd_free(output);
}

int rmd_output_fd(const struct rmd_output *output)
{
	RMD_CHECK_OBJ(output, OUTPUT_MAGIC);
	return output->event_fd;
}

void rmd_output_push(struct rmd_output *output, uint64_t line, const void *data,
		     size_t len, uint64_t dropped_bytes)
{
	RMD_CHECK_OBJ(output, OUTPUT_MAGIC);
	struct piece *piece = rmd_malloc(sizeof *piece + len);
	uint64_t one = 1;

	if (piece != NULL && len > 0)
		memcpy(piece->data, data, len);
	pthread_mutex_lock(&output->lock);
	output->dropped_bytes += dropped_bytes;
	if (piece == NULL || output->held_bytes + len > RMD_OUTPUT_MAX_BYTES) {
		output->dropped_bytes += len;
		rmd_free(piece);
		piece = NULL;
	} else {
		piece->line = line;
		piece->len = len;
		piece->dropped_bytes = output->dropped_bytes;
		output->dropped_bytes = 0;
		output->held_bytes += len;
		STAILQ_INSERT_TAIL(&output->pieces, piece, link);
	}
	pthread_mutex_unlock(&output->lock);
	if (piece != NULL && write(output->event_fd, &one, sizeof one) < 0)
		return; /* its counter is full: it is readable */
}

static void write_piece(struct rmd_tagger *tagger, const struct piece *piece)
{
	char tag[RMD_TAG_BYTES] = "";

	if (piece->line != 0)
		snprintf(tag, sizeof tag, "[%" PRIu64 "]", piece->line);
	if (piece->dropped_bytes > 0) {
		rmd_tagger_end_line(tagger);
		rmd_report("%" PRIu64
			   " bytes of output were dropped here: it came too fast",
			   piece->dropped_bytes);
	}
	rmd_tagger_write(tagger, tag, piece->data, piece->len);
}

void rmd_output_drain(struct rmd_output *output)
{
	RMD_CHECK_OBJ(output, OUTPUT_MAGIC);
	struct pieces taken = STAILQ_HEAD_INITIALIZER(taken);
	struct piece *piece;
	uint64_t count;

	if (read(output->event_fd, &count, sizeof count) < 0)
		count = 0; /* nothing new */
	pthread_mutex_lock(&output->lock);
	STAILQ_CONCAT(&taken, &output->pieces);
	output->held_bytes = 0;
	pthread_mutex_unlock(&output->lock);
	output->tagger.out = stderr;
	if (!STAILQ_EMPTY(&taken))
		rmd_report_prepare();
	while ((piece = STAILQ_FIRST(&taken)) != NULL) {
		STAILQ_REMOVE_HEAD(&taken, link);
		write_piece(&output->tagger, piece);
		rmd_free(piece);
	}
}

void rmd_output_end_line(struct rmd_output *output)
{
	RMD_CHECK_OBJ(output, OUTPUT_MAGIC);
	output->tagger.out = stderr;
	rmd_tagger_end_line(&output->tagger);
}
