/* tests/unit/client/fake.h: a small coordinator that runs tasks itself, for tests of
 * libremuda.
 *
 * Speaks Session (hello, resume, window, acknowledgements, transfers, pools) and Blobs
 * on a thread of its own. What a task does is in the name of its function:
 *	x:echo     its first argument (null: none)
 *	x:count    how many arguments by position and by name, as a list
 *	x:pool     the number of the pool it was sent to
 *	x:deadline the deadline in milliseconds
 *	x:hold     nothing until fake_release, or a cancel
 *	x:deaf     nothing, ever; a cancel is not heard
 *	x:fail     a chain of two errors
 *	x:log      prints "hello", then echoes
 *	x:garbage  sends bytes that are no frame
 *	x:stray    says that its result lies where no shared memory is
 *	x:refuse   ends the call with INVALID_ARGUMENT
 *	x:die      breaks the connection without an answer */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/digest.h"

struct fake;

struct fake_options {
	const char *listen;          /* NULL: a unix socket in a folder of its own */
	uint64_t window;             /* tasks that may be open at a time; 0: 1,000,000 */
	uint64_t payload_max_bytes;  /* 0: 64 MiB */
	uint64_t inline_max_bytes;   /* results beyond it go as transfers; 0: 1 MiB */
	int fd;                      /* > 0: serves this socket and listens nowhere */
	bool mute;                   /* answers no hello */
	uint64_t shared_bytes;       /* puts so much into shared memory; 0: has none */
};

/* What it has seen. */
struct fake_counts {
	uint64_t hellos;
	uint64_t submits;            /* new ones */
	uint64_t repeats; /* submits of a number that was taken: not run again */
	uint64_t gaps;               /* submits out of order: must stay 0 */
	uint64_t acks, cancels, pools, transfers, goodbyes;
	uint64_t borrowed, lent;     /* arguments and results in shared memory */
	uint64_t open_most;          /* most tasks open at a time */
	uint64_t puts;               /* blobs */
};

/* Starts one; aborts the test on failure. */
struct fake *fake_start(const struct fake_options *options);
/* Ends it, with all connections. */
void fake_stop(struct fake *fake);
/* Its address, borrowed. */
const char *fake_address(const struct fake *fake);
struct fake_counts fake_counts(struct fake *fake);
/* Waits until `counter` of its counts (an offset) is at least `value`. */
void fake_await(struct fake *fake, size_t counter, uint64_t value);
#define FAKE_AWAIT(fake, member, value) \
	fake_await(fake, offsetof(struct fake_counts, member), value)
/* Ends all tasks that are held. */
void fake_release(struct fake *fake);
/* Breaks all connections; sessions stay and may be resumed. */
void fake_break(struct fake *fake);
/* The next `messages` messages with submits are lost, and with each the connection. */
void fake_lose_submits(struct fake *fake, unsigned messages);
/* Outcomes are kept, not sent, until the next resume. */
void fake_hold_back_outcomes(struct fake *fake);
/* Becomes another coordinator: forgets all sessions, has a new epoch, breaks
 * connections. */
void fake_rebirth(struct fake *fake);
/* The last blob that was put: size and digest of what came, its own name for it. */
size_t fake_blob(struct fake *fake, struct rmd_digest *ret_digest, char ret_name[64]);
