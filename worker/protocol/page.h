/* worker/protocol/page.h: the memory that an agent and its worker share, as both see it.
 *
 * Control page: `struct rmd_wp_page`. Output segment: a ring of records (struct
 * rmd_wp_record and payload, 8-byte aligned, never wrapped: a PAD fills the end), then a
 * large area for payloads over RMD_WP_RING_PAYLOAD_MAX. Input segment: arguments, laid
 * out by the agent alone. The memfds are sealed against changes of size, the input also
 * against writing by the worker; a memfd takes memory only where it has been touched.
 *
 * Every word has one writer, but for the slots, `agent_asleep` and `worker_waits`. The
 * agent trusts none of them: what it loads it copies, checks and uses, and never loads
 * again. */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#include "worker/protocol/protocol.h"

#define RMD_WP_VERSION 2u
#define RMD_WP_RING_BYTES ((uint64_t)256 << 10)
#define RMD_WP_RING_PAYLOAD_MAX ((uint64_t)64 << 10)
#define RMD_WP_LARGE_BYTES ((uint64_t)2 << 30)
#define RMD_WP_OUTPUT_BYTES (RMD_WP_RING_BYTES + RMD_WP_LARGE_BYTES)
#define RMD_WP_OUTCOME_MAX ((uint64_t)1 << 30)
/* Large payloads that can be on their way at a time. */
#define RMD_WP_LARGE_MAX 64u
#define RMD_WP_INPUT_BYTES ((uint64_t)1 << 30)
/* Trimming leaves so much of the input segment alone. */
#define RMD_WP_INPUT_WARM_BYTES ((uint64_t)1 << 20)
/* Arguments up to this size travel in the packet. */
#define RMD_WP_INLINE_MAX 4096u
#define RMD_WP_FUNCTION_MAX 512u
#define RMD_WP_PAGE_BYTES 4096u

/* State of a task, in the low two bits of its slot's word; the rest is its seq.
 * OFFERED -> CLAIMED (worker, before user code) -> DONE (worker, its outcome is in the
 * ring); OFFERED -> REVOKED (agent, it will never run). */
enum rmd_wp_state { RMD_WP_OFFERED, RMD_WP_CLAIMED, RMD_WP_DONE, RMD_WP_REVOKED };

#define RMD_WP_WORD(seq, state) ((uint64_t)(seq) << 2 | (uint64_t)(state))
#define RMD_WP_SLOT_OF(seq) ((uint32_t)((seq) & (RMD_WP_TASKS_MAX - 1)))

struct rmd_wp_page {
	uint32_t version; /* agent, before the worker starts */

	/* Written by the agent. */
	alignas(64) _Atomic uint64_t ring_tail; /* bytes consumed, ever */
	_Atomic uint64_t cancel; /* seq of the running task that is cancelled */
	_Atomic uint32_t
		room; /* futex: changes when room was made for a waiting worker */
	_Atomic uint32_t pipe_reads;	/* odd while the agent reads a pipe */
	_Atomic uint64_t pipe_bytes[2]; /* read from stdout, stderr, ever */
	/* The answer to what the running task asked of a child; its bytes lie in the
	 * input segment. */
	_Atomic uint32_t answers;     /* futex: rises with each, when all else is there */
	_Atomic uint32_t answer_kind; /* enum rmd_wp_answer */
	_Atomic uint64_t answer_seq, answer_number, answer_offset, answer_bytes;

	/* Written by the worker. */
	alignas(64) _Atomic uint64_t ring_head; /* bytes produced, ever */
	_Atomic uint64_t running;		/* seq of the running task; 0: none */
	_Atomic uint64_t progress_seq;
	_Atomic uint64_t progress_done, progress_total;

	/* Written by both. */
	alignas(64) _Atomic uint32_t
		agent_asleep;	       /* 1: ring the doorbell (and make it 0) */
	_Atomic uint32_t worker_waits; /* 1: wake it when there is room (and make it 0) */

	/* 1: in use; the worker sets it, the agent clears it when the payload is
	 * released. */
	alignas(64) _Atomic uint8_t large[RMD_WP_LARGE_MAX];

	alignas(64) _Atomic uint64_t slots[RMD_WP_TASKS_MAX];
};

_Static_assert(sizeof(struct rmd_wp_page) <= RMD_WP_PAGE_BYTES,
	       "the control page is one page");
_Static_assert((RMD_WP_TASKS_MAX & (RMD_WP_TASKS_MAX - 1)) == 0,
	       "a slot is a mask of seq");

enum rmd_wp_record_kind {
	RMD_WP_RECORD_PAD,	   /* skip it */
	RMD_WP_RECORD_VALUE,	   /* a: run_ns; the payload is a Value */
	RMD_WP_RECORD_ERROR,	   /* a: run_ns; the payload is an ErrorChain */
	RMD_WP_RECORD_LARGE_VALUE, /* as VALUE; the payload is a struct rmd_wp_large */
	RMD_WP_RECORD_LARGE_ERROR,
	RMD_WP_RECORD_LOG,    /* the payload is a line of log */
	RMD_WP_RECORD_MARK,   /* a, b: bytes ever written to stdout, stderr: the task's */
	RMD_WP_RECORD_SUBMIT, /* the payload is a NestedSubmit without lease */
	RMD_WP_RECORD_LARGE_SUBMIT,
	RMD_WP_RECORD_ASK,     /* a: number of a child: has it ended? b: 1: answer now */
	RMD_WP_RECORD_GIVE_UP, /* a: number of the child that it asked for: go on without
				*/
	RMD_WP_RECORD_CANCEL,  /* a: number of a child that shall end */
	RMD_WP_RECORD_KINDS,
};

struct rmd_wp_record {
	uint32_t kind;
	uint32_t payload_bytes;
	uint64_t seq;
	uint64_t a, b;
};

/* A payload in the large area. */
struct rmd_wp_large {
	uint64_t index;	 /* in page->large */
	uint64_t offset; /* in the large area */
	uint64_t len;
};

/* Bytes that a record with so long a payload takes in the ring. */
static inline uint64_t rmd_wp_record_bytes(uint64_t payload_bytes)
{
	return sizeof(struct rmd_wp_record) + ((payload_bytes + 7) & ~UINT64_C(7));
}

/* Makes a memfd of `size` bytes (close-on-exec) that can no longer change its size: its
 * descriptor, or RMD_ESYS. */
int rmd_wp_memfd(const char *name, uint64_t size);
/* Wakes a worker that waits for room in the output segment; any thread. */
void rmd_wp_wake_worker(struct rmd_wp_page *page);
