#include <stdio.h>
#include <string.h>

#include "proto/base/alloc.h"
#include "proto/base/check.h"
#include "proto/base/errcode.h"
#include "proto/codec/wire.h"
#include "proto/error/parts.h"

/* Of too many frames the outermost and the innermost are kept, with a mark between them.
 */
#define FRAMES_KEPT_FIRST (REMUDA_ERROR_FRAMES_MAX / 2)
#define FRAMES_MIN 4u

/* What there is where memory has run out; never written, never freed. */
static struct remuda_error out_of_memory = {
	.magic = RMD_ERROR_MAGIC,
	.count = 1,
	.type = (char[]){"OutOfMemory"},
	.message =
		(char[]){"memory has run out, so the error that happened cannot be told"},
};

static void error_check(const struct remuda_error *err)
{
	RMD_CHECK_OBJ(err, RMD_ERROR_MAGIC);
}

/* ---- making and freeing ---- */

struct remuda_error *error_new(void)
{
	struct remuda_error *err = rmd_calloc(1, sizeof *err);
	if (err != NULL) {
		err->magic = RMD_ERROR_MAGIC;
		err->count = 1;
	}
	return err;
}

char *error_text(struct rmd_slice text)
{
	static const char replacement[] = "\xef\xbf\xbd";
	bool valid = rmd_wire_utf8_valid(text);
	char *copy = rmd_malloc((valid ? text.len : text.len * 3) + 1);
	if (copy == NULL)
		return NULL;
	size_t len = 0;
	for (size_t i = 0; i < text.len;) {
		size_t step = 1;
		if (!valid && text.data[i] >= 0x80) {
			size_t left = text.len - i < 4 ? text.len - i : 4;
			for (step = 2; step <= left; step++)
				if (rmd_wire_utf8_valid(
					    rmd_slice_of(text.data + i, step)))
					break;
			if (step > left) {
				memcpy(copy + len, replacement, 3);
				len += 3;
				i++;
				continue;
			}
		}
		memcpy(copy + len, text.data + i, step);
		if (copy[len] == '\0')
			copy[len] = '?';
		len += step;
		i += step;
	}
	copy[len] = '\0';
	return copy;
}

struct remuda_error *rmd_error_vcreate(struct remuda_error *cause, const char *type,
				       const char *format, va_list args)
{
	struct remuda_error *err = error_new();
	char *message = rmd_vasprintf(format, args);
	if (err != NULL && message != NULL) {
		err->type = error_text(rmd_slice_of_string(type));
		err->message = error_text(rmd_slice_of_string(message));
	}
	rmd_free(message);
	if (err == NULL || err->type == NULL || err->message == NULL) {
		remuda_error_free(err);
		return cause != NULL ? cause : &out_of_memory;
	}
	remuda_error_set_cause(err, cause);
	return err;
}

struct remuda_error *remuda_error_create(const char *type, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	struct remuda_error *err = rmd_error_vcreate(NULL, type, format, args);
	va_end(args);
	return err;
}

struct remuda_error *remuda_error_wrap(struct remuda_error *cause, const char *type,
				       const char *format, ...)
{
	va_list args;
	va_start(args, format);
	struct remuda_error *err = rmd_error_vcreate(cause, type, format, args);
	va_end(args);
	return err;
}

void remuda_error_free(struct remuda_error *err)
{
	if (err == NULL || err == &out_of_memory)
		return;
	error_check(err);
	remuda_error_free(err->cause);
	remuda_error_free(err->context);
	for (size_t i = 0; i < err->frame_count; i++)
		rmd_free(err->frames[i].texts);
	rmd_free(err->frames);
	rmd_free(err->type);
	rmd_free(err->message);
	rmd_free(err->host);
	rmd_free(err->payload);
	rmd_free(err->codec);
	err->magic = 0;
	rmd_free(err);
}

/* ---- the chain ---- */

void error_count(struct remuda_error *err)
{
	err->count = 1 + (err->cause != NULL ? err->cause->count : 0) +
		     (err->context != NULL ? err->context->count : 0);
}

/* Where the larger part of what is below `err` hangs. */
static struct remuda_error **larger_slot(struct remuda_error *err)
{
	uint32_t causes = err->cause != NULL ? err->cause->count : 0;
	uint32_t contexts = err->context != NULL ? err->context->count : 0;
	return contexts > causes ? &err->context : &err->cause;
}

/* Takes one error out of the middle of the longest way down: neither the outermost nor a
 * root. */
static void shorten(struct remuda_error *err)
{
	struct remuda_error *way[2 * REMUDA_ERROR_CHAIN_MAX + 1];
	size_t len = 0;
	for (struct remuda_error *at = err; at != NULL && len < sizeof way / sizeof *way;
	     at = *larger_slot(at))
		way[len++] = at;
	RMD_CHECK(len > 2); /* more than 64 errors hang on at most two branches each */
	size_t middle = len / 2;
	struct remuda_error *above = way[middle - 1], *victim = way[middle];
	struct remuda_error **slot = larger_slot(victim);
	*larger_slot(above) = *slot;
	*slot = NULL;
	error_count(victim);
	above->left_out += victim->count + victim->left_out;
	remuda_error_free(victim);
	for (size_t i = middle; i-- > 0;)
		error_count(way[i]);
}

static void set_inner(struct remuda_error *err, struct remuda_error **slot,
		      struct remuda_error *inner)
{
	RMD_CHECK(inner != err || err == &out_of_memory);
	if (err == &out_of_memory) {
		remuda_error_free(inner);
		return;
	}
	remuda_error_free(*slot);
	*slot = inner;
	error_count(err);
	while (err->count > REMUDA_ERROR_CHAIN_MAX)
		shorten(err);
}

void remuda_error_set_cause(struct remuda_error *err, struct remuda_error *cause)
{
	error_check(err);
	set_inner(err, &err->cause, cause);
}

void remuda_error_set_context(struct remuda_error *err, struct remuda_error *context)
{
	error_check(err);
	set_inner(err, &err->context, context);
}

void rmd_error_add_earlier(struct remuda_error *err, struct remuda_error *earlier)
{
	error_check(err);
	struct remuda_error **slot = err->cause != NULL ? &err->cause : &err->context;
	struct remuda_error *inner = *slot;
	if (inner == NULL) {
		remuda_error_set_context(err, earlier);
		return;
	}
	*slot = NULL; /* an error is put below one that stands alone */
	error_count(err);
	rmd_error_add_earlier(inner, earlier);
	set_inner(err, slot, inner);
}

static void flatten(const struct remuda_error *err, struct error_flat *flat)
{
	uint32_t own = flat->count++;
	RMD_CHECK(own < REMUDA_ERROR_CHAIN_MAX);
	flat->errors[own] = err;
	flat->cause[own] = err->cause != NULL ? flat->count + 1 : 0;
	if (err->cause != NULL)
		flatten(err->cause, flat);
	flat->context[own] = err->context != NULL ? flat->count + 1 : 0;
	if (err->context != NULL)
		flatten(err->context, flat);
}

void error_flatten(const struct remuda_error *err, struct error_flat *ret_flat)
{
	error_check(err);
	ret_flat->count = 0;
	flatten(err, ret_flat);
}

void error_tail(const struct remuda_error *err, char ret_tail[ERROR_TAIL_BYTES])
{
	ret_tail[0] = '\0';
	if (err->left_out != 0)
		snprintf(ret_tail, ERROR_TAIL_BYTES, " [%u error%s left out below]",
			 err->left_out, err->left_out == 1 ? "" : "s");
}

/* ---- details ---- */

void rmd_error_set_origin(struct remuda_error *err, enum remuda_origin origin)
{
	error_check(err);
	if (err != &out_of_memory)
		err->origin = origin;
}

void rmd_error_set_place(struct remuda_error *err, const char *host, uint64_t worker,
			 uint32_t attempt)
{
	error_check(err);
	if (err == &out_of_memory)
		return;
	rmd_free(err->host);
	err->host = NULL;
	if (host != NULL && host[0] != '\0')
		err->host = error_text(rmd_slice_of_string(host));
	err->worker = worker;
	err->attempt = attempt;
}

void rmd_error_set_place_deep(struct remuda_error *err, const char *host, uint64_t worker,
			      uint32_t attempt)
{
	error_check(err);
	if (err->host == NULL && err->worker == 0)
		rmd_error_set_place(err, host, worker, attempt);
	if (err->cause != NULL)
		rmd_error_set_place_deep(err->cause, host, worker, attempt);
	if (err->context != NULL)
		rmd_error_set_place_deep(err->context, host, worker, attempt);
}

void rmd_error_set_exit_code(struct remuda_error *err, int exit_code)
{
	error_check(err);
	if (err == &out_of_memory)
		return;
	err->exited = true;
	err->exit_code = exit_code;
}

void rmd_error_set_signal(struct remuda_error *err, int signal)
{
	error_check(err);
	if (err != &out_of_memory)
		err->signal = signal;
}

/* Makes the texts of a frame: file, function, image, one behind the other. */
static int frame_make(const struct rmd_slice texts[3], struct error_frame *ret_frame)
{
	char *parts[3] = {NULL, NULL, NULL};
	size_t lens[3] = {0, 0, 0};
	char *all = NULL;
	int rc = RMD_ENOMEM;
	for (size_t i = 0; i < 3; i++) {
		parts[i] = error_text(texts[i]);
		if (parts[i] == NULL)
			goto out;
		lens[i] = strlen(parts[i]) + 1;
	}
	all = rmd_malloc(lens[0] + lens[1] + lens[2]);
	if (all == NULL)
		goto out;
	memcpy(all, parts[0], lens[0]);
	memcpy(all + lens[0], parts[1], lens[1]);
	memcpy(all + lens[0] + lens[1], parts[2], lens[2]);
	*ret_frame = (struct error_frame){
		.texts = all,
		.frame = {.file = all,
			  .function = all + lens[0],
			  .image = all + lens[0] + lens[1]},
	};
	rc = 0;
out:
	for (size_t i = 0; i < 3; i++)
		rmd_free(parts[i]);
	return rc;
}

/* Where there are as many frames as may be: takes out the one behind the mark, which says
 * so. */
static int frames_make_room(struct remuda_error *err)
{
	size_t gone = err->frames_left_out == 0 ? 2 : err->frames_left_out + 1;
	char text[ERROR_TAIL_BYTES];
	snprintf(text, sizeof text, "[%zu frames left out]", gone);
	const struct rmd_slice texts[3] = {
		{NULL, 0}, rmd_slice_of_string(text), {NULL, 0}};
	struct error_frame mark;
	int rc = frame_make(texts, &mark);
	if (rc < 0)
		return rc;
	struct error_frame *at = &err->frames[FRAMES_KEPT_FIRST];
	rmd_free(at[0].texts);
	rmd_free(at[1].texts);
	at[0] = mark;
	memmove(&at[1], &at[2], (err->frame_count - FRAMES_KEPT_FIRST - 2) * sizeof *at);
	err->frame_count--;
	err->frames_left_out = gone;
	return 0;
}

int error_frame_add(struct remuda_error *err, const struct rmd_slice texts[3],
		    uint32_t line, uint64_t offset)
{
	if (err->frame_count == err->frame_capacity &&
	    err->frame_capacity < REMUDA_ERROR_FRAMES_MAX) {
		size_t want = err->frame_capacity == 0 ? FRAMES_MIN
						       : err->frame_capacity * 2;
		struct error_frame *frames =
			rmd_realloc(err->frames, want * sizeof *frames);
		if (frames == NULL)
			return RMD_ENOMEM;
		err->frames = frames;
		err->frame_capacity = want;
	}
	struct error_frame made;
	int rc = frame_make(texts, &made);
	if (rc < 0)
		return rc;
	made.frame.line = line;
	made.frame.offset = offset;
	if (err->frame_count == REMUDA_ERROR_FRAMES_MAX) {
		rc = frames_make_room(err);
		if (rc < 0) {
			rmd_free(made.texts);
			return rc;
		}
	}
	err->frames[err->frame_count++] = made;
	return 0;
}

void rmd_error_add_frame(struct remuda_error *err, const struct remuda_frame *frame)
{
	error_check(err);
	if (err == &out_of_memory)
		return;
	const struct rmd_slice texts[3] = {
		rmd_slice_of_string(frame->file != NULL ? frame->file : ""),
		rmd_slice_of_string(frame->function != NULL ? frame->function : ""),
		rmd_slice_of_string(frame->image != NULL ? frame->image : ""),
	};
	(void)error_frame_add(err, texts, frame->line, frame->offset);
}

void rmd_error_set_runtime_payload(struct remuda_error *err, const char *codec,
				   struct rmd_slice payload)
{
	error_check(err);
	if (err == &out_of_memory)
		return;
	rmd_free(err->payload);
	rmd_free(err->codec);
	err->payload = NULL;
	err->payload_len = 0;
	err->codec = NULL;
	if (payload.len == 0 || payload.len > PAYLOAD_MAX_BYTES ||
	    strlen(codec) > CODEC_MAX_BYTES)
		return;
	err->payload = rmd_malloc(payload.len);
	err->codec = error_text(rmd_slice_of_string(codec));
	if (err->payload == NULL || err->codec == NULL ||
	    strlen(err->codec) > CODEC_MAX_BYTES) {
		rmd_free(err->payload);
		rmd_free(err->codec);
		err->payload = NULL;
		err->codec = NULL;
		return;
	}
	memcpy(err->payload, payload.data, payload.len);
	err->payload_len = payload.len;
}
