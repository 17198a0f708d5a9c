/* proto/error/parts.h: what an error is made of, for error*.c alone.
 *
 * Errors form a tree: each owns its cause and its context; at most REMUDA_ERROR_CHAIN_MAX
 * in one. So whatever walks it may recurse. */
#pragma once

#include "proto/error/chain.h"

#define RMD_ERROR_MAGIC 0xe6606e11u

#define TYPE_MAX_BYTES    256u
#define MESSAGE_MAX_BYTES 65536u
#define HOST_MAX_BYTES    256u
#define FRAME_MAX_BYTES   1024u /* each of its texts */
#define PAYLOAD_MAX_BYTES (1u << 20)
#define CODEC_MAX_BYTES   64u

struct error_frame {
	char *texts;                 /* owned: what the pointers in `frame` point into */
	struct remuda_frame frame;
};

struct remuda_error {
	uint32_t magic;
	uint32_t count;              /* errors in this tree, itself included */
	uint32_t left_out;           /* errors that were taken out below this one */
	char *type, *message;        /* owned; NULL: empty */
	struct remuda_error *cause, *context; /* owned; NULL: none */
	enum remuda_origin origin;
	char *host;                  /* owned; NULL: empty */
	uint64_t worker;
	uint32_t attempt;
	bool exited;
	int32_t exit_code, signal;
	struct error_frame *frames;  /* owned */
	size_t frame_count, frame_capacity;
	size_t frames_left_out;      /* frames[FRAMES_KEPT_FIRST] says so, where not 0 */
	uint8_t *payload;            /* owned; NULL: none */
	size_t payload_len;
	char *codec;                 /* owned */
};

/* Gives an empty error, or NULL: out of memory. */
struct remuda_error *error_new(void);
/* Gives a valid copy with a NUL behind: what is not UTF-8 is U+FFFD, a NUL '?'. NULL: out
 * of memory. */
char *error_text(struct rmd_slice text);
/* Adds a frame with texts as above. RMD_ENOMEM: nothing changed. */
int error_frame_add(struct remuda_error *err, const struct rmd_slice texts[3],
		    uint32_t line, uint64_t offset);
/* Sets count from cause and context. */
void error_count(struct remuda_error *err);

/* The tree, flat: each before its cause, that before its context. */
struct error_flat {
	const struct remuda_error *errors[REMUDA_ERROR_CHAIN_MAX];
	uint32_t cause[REMUDA_ERROR_CHAIN_MAX];   /* 1 + index; 0: none */
	uint32_t context[REMUDA_ERROR_CHAIN_MAX];
	uint32_t count;
};
void error_flatten(const struct remuda_error *err, struct error_flat *ret_flat);

/* " [3 errors left out below]" where errors were taken out, else "". */
#define ERROR_TAIL_BYTES 64u
void error_tail(const struct remuda_error *err, char ret_tail[ERROR_TAIL_BYTES]);
