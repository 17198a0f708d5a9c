/* tests/unit/protocol/hostile.h: a worker that writes what it likes, in the agent's own
 * process. */
#pragma once

#include "worker/protocol/page.h"
#include "worker/protocol/protocol.h"

struct hostile {
	struct rmd_wp *end;
	struct rmd_wp_page *page; /* as a worker maps them */
	uint8_t *output;
	int socket_fd, pipe_fds[2]; /* the worker's ends, borrowed */
	uint64_t seqs[4];	    /* of leases 1 to 4, all claimed */
	uint64_t outcomes, logs, readies, failures;
	uint64_t submits, asks, give_ups, cancels;
	bool answers; /* what is asked, at once; else never */
	uint64_t last_lease, last_len;
	void (*on_each_log)(
		struct hostile *hostile); /* what it does meanwhile; NULL: nothing */
};

/* Opens an end with 4 tasks in the worker's hands, claimed. False: no resources. */
bool hostile_open(struct hostile *hostile);
void hostile_close(struct hostile *hostile);
/* Appends a record to the ring, with `len` bytes at `payload`, and publishes it. */
void hostile_record(struct hostile *hostile, const struct rmd_wp_record *record,
		    const void *payload, size_t len);
