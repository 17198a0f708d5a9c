/* The printed form: see the golden texts in tests/unit/error.
 *
 * A wire writer serves as the growing string: its failure is sticky, so memory is asked
 * about once, at the end. */
#include <inttypes.h>
#include <stdio.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/codec/wire.h"
#include "proto/error/parts.h"

static void put(struct rmd_wire_writer *out, const char *text)
{
	rmd_wire_put_raw(out, rmd_slice_of_string(text));
}

__attribute__((format(printf, 2, 3))) static void put_format(struct rmd_wire_writer *out,
							     const char *format, ...)
{
	char text[128];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	put(out, text);
}

enum newlines { NEWLINES_KEPT, NEWLINES_ESCAPED };

/* Puts a text that may come from a peer: what could steer a terminal (C0 but tab and
 * newline, DEL, C1) is shown as \xNN. */
static void put_safe(struct rmd_wire_writer *out, const char *text, size_t len,
		     enum newlines newlines)
{
	size_t done = 0;
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)text[i], shown = c;
		size_t size = 1;
		if (c == 0xc2 && i + 1 < len && (uint8_t)text[i + 1] < 0xa0) {
			size = 2;
			shown = (uint8_t)text[i + 1];
		} else if (c == '\t' || (c >= 0x20 && c != 0x7f) ||
			   (c == '\n' && newlines == NEWLINES_KEPT)) {
			continue;
		}
		rmd_wire_put_raw(out, rmd_slice_of(text + done, i - done));
		if (c == '\n')
			put(out, "\\n");
		else
			put_format(out, "\\x%02x", shown);
		i += size - 1;
		done = i + 1;
	}
	rmd_wire_put_raw(out, rmd_slice_of(text + done, len - done));
}

static void put_word(struct rmd_wire_writer *out, const char *text)
{
	put_safe(out, text, strlen(text), NEWLINES_ESCAPED);
}

/* "worker 3 on node-b, attempt 1", as far as it is known. */
static void put_place(struct rmd_wire_writer *out, const struct remuda_error *err)
{
	const char *host = remuda_error_host(err);
	if (err->worker != 0)
		put_format(out, "worker %" PRIu64, err->worker);
	if (host[0] != '\0') {
		put(out, err->worker != 0 ? " on " : "host ");
		put_word(out, host);
	}
	if (err->attempt != 0)
		put_format(out, "%sattempt %" PRIu32,
			   err->worker != 0 || host[0] != '\0' ? ", " : "", err->attempt);
}

static bool has_place(const struct remuda_error *err)
{
	return err->worker != 0 || err->host != NULL || err->attempt != 0;
}

static void put_frame(struct rmd_wire_writer *out, const struct remuda_frame *frame)
{
	const char *before_function = ", in ";
	if (frame->file[0] != '\0') {
		put(out, "  File \"");
		put_word(out, frame->file);
		put(out, "\"");
		if (frame->line != 0)
			put_format(out, ", line %" PRIu32, frame->line);
	} else if (frame->image[0] != '\0') {
		put(out, "  Image \"");
		put_word(out, frame->image);
		put(out, "\"");
		if (frame->offset != 0)
			put_format(out, ", offset 0x%" PRIx64, frame->offset);
	} else {
		before_function = "  In ";
	}
	if (frame->function[0] != '\0') {
		put(out, before_function);
		put_word(out, frame->function);
	} else if (frame->file[0] == '\0' && frame->image[0] == '\0') {
		put(out, "  In an unknown function");
	}
}

/* "Type: message", with how a worker ended at the end of the message's first line. */
static void put_what(struct rmd_wire_writer *out, const struct remuda_error *err,
		     enum newlines newlines)
{
	const char *message = remuda_error_message(err);
	size_t len = strlen(message), first = strcspn(message, "\n");
	char tail[ERROR_TAIL_BYTES];
	put_word(out, remuda_error_type(err));
	if (len != 0)
		put(out, ": ");
	put_safe(out, message, first, newlines);
	if (err->signal != 0)
		put_format(out, " [signal %" PRId32 " %s]", err->signal,
			   rmd_error_signal_name(err->signal));
	if (err->exited)
		put_format(out, " [exit code %" PRId32 "]", err->exit_code);
	put_safe(out, message + first, len - first, newlines);
	if (newlines == NEWLINES_ESCAPED)
		return;
	error_tail(err, tail);
	put(out, tail);
	put(out, "\n");
}

/* One error: as a traceback where it happened elsewhere or its frames are known. */
static void put_error(struct rmd_wire_writer *out, const struct remuda_error *err)
{
	if (err->frame_count == 0 && err->worker == 0 && err->host == NULL) {
		put_what(out, err, NEWLINES_KEPT);
		return;
	}
	put(out, "RemoteTraceback:\n\"\"\"\n");
	if (err->frame_count != 0) {
		put(out, "Traceback (most recent call last):\n");
		for (size_t i = 0; i < err->frame_count; i++) {
			put_frame(out, &err->frames[i].frame);
			if (i + 1 == err->frame_count && has_place(err)) {
				put(out, " (");
				put_place(out, err);
				put(out, ")");
			}
			put(out, "\n");
		}
	} else {
		put(out, "On ");
		put_place(out, err);
		put(out, ":\n");
	}
	put_what(out, err, NEWLINES_KEPT);
	put(out, "\"\"\"\n");
}

static void put_chain(struct rmd_wire_writer *out, const struct remuda_error *err)
{
	if (err->cause != NULL) {
		put_chain(out, err->cause);
		put(out,
		    "\nThe above error was the direct cause of the following error:\n\n");
	} else if (err->context != NULL) {
		put_chain(out, err->context);
		put(out,
		    "\nDuring handling of the above error, another error occurred:\n\n");
	}
	put_error(out, err);
}

/* Gives the string in `out`, or NULL: it failed. */
static char *take_string(struct rmd_wire_writer *out)
{
	rmd_wire_put_raw(out, rmd_slice_of("", 1));
	if (out->failed) {
		rmd_wire_writer_fini(out);
		return NULL;
	}
	RMD_CHECK(out->splice_count == 0);
	char *string = (char *)out->data;
	rmd_free(out->splices);
	return string;
}

char *remuda_error_string(const struct remuda_error *err)
{
	struct rmd_wire_writer out = {0};
	RMD_CHECK_OBJ(err, RMD_ERROR_MAGIC);
	put_chain(&out, err);
	return take_string(&out);
}

void remuda_error_print(const struct remuda_error *err, FILE *stream)
{
	char *string = remuda_error_string(err);
	if (string != NULL)
		fputs(string, stream);
	else /* too little memory for the whole: what can be said without */
		fprintf(stream, "%s (no memory to print the whole error)\n",
			remuda_error_type(err));
	rmd_free(string);
}

char *remuda_error_line(const struct remuda_error *err)
{
	struct rmd_wire_writer out = {0};
	RMD_CHECK_OBJ(err, RMD_ERROR_MAGIC);
	put_what(&out, err, NEWLINES_ESCAPED);
	return take_string(&out);
}
